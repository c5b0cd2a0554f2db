"""Opens a project in QGIS, in its own Python, and prints what QGIS sees as JSON: python3 qgis_opened.py PROJECT X Y."""

import json
import sys

from qgis.core import Qgis, QgsApplication, QgsLayerTreeGroup, QgsPointXY, QgsProject, QgsRaster, QgsRasterLayer


def seen(layer, point):
    renderer = layer.renderer()
    found = {"name": layer.name(), "valid": layer.isValid(), "source": layer.source(), "renderer": renderer.type()}
    found["crs"] = layer.crs().authid()
    if not layer.isValid():
        return found
    if isinstance(layer, QgsRasterLayer):
        values = layer.dataProvider().identify(point, QgsRaster.IdentifyFormatValue).results()
        found["values"] = list(values.values())
        if renderer.type() == "paletted":
            found["classes"] = {str(int(one.value)): [one.label, one.color.name()] for one in renderer.classes()}
        return found
    found["features"] = layer.featureCount()
    found["fields"] = layer.fields().names()
    found["classes"] = {str(one.value()): one.label() for one in renderer.categories()}
    return found


def tree(group):
    return [[c.name(), tree(c)] if isinstance(c, QgsLayerTreeGroup) else c.name() for c in group.children()]


application = QgsApplication([], False)
application.initQgis()
project = QgsProject.instance()
assert project.read(sys.argv[1]), project.error()
place = QgsPointXY(float(sys.argv[2]), float(sys.argv[3]))
extent = project.viewSettings().fullExtent()
answer = {
    "version": Qgis.QGIS_VERSION,
    "title": project.title(),
    "abstract": project.metadata().abstract(),
    "crs": project.crs().authid(),
    "extent": [extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum()],
    "tree": tree(project.layerTreeRoot()),
    "layers": [seen(node.layer(), place) for node in project.layerTreeRoot().findLayers()],
    "shown": [layer.name() for layer in project.layerTreeRoot().checkedLayers()],
}
project.clear()
application.exitQgis()
print(json.dumps(answer))
