"""Runs the algorithms of the plugin in the Python of QGIS, and prints what they did as JSON.

python3 qgis_plugin.py FOLDER-OF-PLUGINS STORY, where STORY is a JSON file: a list of algorithm, parameters, and the progress at
which it is cancelled.
"""

import json
import sys
from pathlib import Path

sys.path[:0] = ["/usr/share/qgis/python/plugins", sys.argv[1]]

import bocage
import processing
from processing.core.Processing import Processing
from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsVectorLayer,
)


class Feedback(QgsProcessingFeedback):
    """Keeps what is shown; cancels itself at a given progress."""

    def __init__(self, stop):
        super().__init__(False)
        self.stop, self.progress, self.lines = stop, [], []

    def setProgress(self, value):
        super().setProgress(value)
        self.progress.append(value)
        if value == self.stop:
            self.cancel()

    def keep(self, *line):
        self.lines.append(str(line[0]))

    setProgressText = pushInfo = pushWarning = pushCommandInfo = pushDebugInfo = pushConsoleInfo = reportError = keep


def told(algorithm, parameters, stop):
    feedback, context = Feedback(stop), QgsProcessingContext()
    context.setProject(QgsProject.instance())
    answer = {"error": "", "results": {}, "loaded": {}}
    try:
        found = processing.run(algorithm, parameters, feedback=feedback, context=context)
        answer["results"] = {name: value for name, value in found.items() if isinstance(value, (str, int, float))}
    except QgsProcessingException as error:
        answer["error"] = str(error)
    tree = QgsProject.instance().layerTreeRoot()
    for node in tree.findLayers():
        layer = node.layer()
        answer["loaded"][layer.name()] = [layer.isValid(), layer.renderer().type(), layer.source(), node.isVisible()]
    answer["groups"] = [[one.name() for one in group.children()] for group in tree.children()]
    QgsProject.instance().clear()
    return {**answer, "progress": feedback.progress, "lines": feedback.lines}


application = QgsApplication([], True)
application.initQgis()
Processing.initialize()
plugin = bocage.classFactory(None)
plugin.initProcessing()
provider = QgsApplication.processingRegistry().providerById("bocage")
answers = {"algorithms": sorted(one.id() for one in provider.algorithms()), "told": []}
for name, parameters, stop in json.loads(Path(sys.argv[2]).read_text(encoding="utf-8")):
    if parameters.get("REFERENCE") == "memory":
        parameters["REFERENCE"] = QgsVectorLayer("Polygon?crs=EPSG:4326", "drawn", "memory")
    answers["told"].append(told(name, parameters, stop))
plugin.unload()
answers["unloaded"] = QgsApplication.processingRegistry().providerById("bocage") is None
print(json.dumps(answers))
