"""What the algorithms have in common: names, help, parameters that several have, and the layers of a run."""

from pathlib import Path

from qgis.core import (
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingOutputFile,
    QgsProcessingOutputRasterLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterString,
    QgsProject,
)

from .words import text


class Algorithm(QgsProcessingAlgorithm):
    """An algorithm that calls a command of Bocage. Its class has its name, which is also that of its texts."""

    NAME = ""

    def name(self):
        """Return the name in scripts."""
        return self.NAME.replace("_", "")

    def displayName(self):
        """Return the name in the toolbox."""
        return text(self.NAME)

    def shortHelpString(self):
        """Return the help."""
        return text(f"{self.NAME}_help")

    def createInstance(self):
        """Return a new algorithm of the same class."""
        return type(self)()

    def add_recipe(self):
        """Add the recipe as a parameter."""
        self.addParameter(
            QgsProcessingParameterFile("RECIPE", text("recipe"), fileFilter=text("recipe_filter"))
        )  # fmt: skip

    def add_folder(self, name, title, optional=False):
        """Add an existing folder as a parameter."""
        folder = QgsProcessingParameterFile.Folder
        self.addParameter(QgsProcessingParameterFile(name, text(title), folder, optional=optional))

    def add_settings(self):
        """Add the settings that replace those of the recipe."""
        self.addParameter(QgsProcessingParameterString("SETTINGS", text("settings"), multiLine=True, optional=True))

    def settings(self, parameters, context):
        """Return the options of these settings."""
        lines = self.parameterAsString(parameters, "SETTINGS", context).splitlines()
        return [part for line in lines if line.strip() for part in ("--set", line.strip())]

    def path(self, parameters, name, context):
        """Return the path of a file or folder; None if the parameter is empty."""
        given = self.parameterAsString(parameters, name, context)
        return Path(given) if given else None


class MapAlgorithm(Algorithm):
    """An algorithm whose results are the folder of a run, and can be loaded."""

    LOADED = ("shown",)
    """Layers that are loaded: those that the project shows, or further ones by the end of their path."""

    def __init__(self):
        super().__init__()
        self.load = False
        self.project = None

    def add_outputs(self):
        """Add the results, and the choice to load them."""
        self.addParameter(QgsProcessingParameterBoolean("LOAD", text("load"), True))
        self.addOutput(QgsProcessingOutputRasterLayer("CLASSES", text("classes")))
        self.addOutput(QgsProcessingOutputFile("REPORT", text("report")))
        self.addOutput(QgsProcessingOutputFile("PROJECT", text("project")))

    def results(self, folder, parameters, context):
        """Return the results in the folder of a run."""
        self.load = self.parameterAsBool(parameters, "LOAD", context)
        self.project = self.project_of(folder)
        files = {
            "CLASSES": folder / "map" / "classes.tif",
            "REPORT": folder / "report.html",
            "PROJECT": self.project,
        }
        return {"FOLDER": str(folder), **{name: str(path) for name, path in files.items() if path.exists()}}

    def project_of(self, folder):
        """Return the path of the project in the folder of a run."""
        return folder / "qgis" / "project.qgz"

    def postProcessAlgorithm(self, context, feedback):
        """Load the layers with their styles, which are those of the project of the run."""
        if self.load and self.project is not None:
            for layer in layers_of(self.project, self.LOADED):
                title = layer.name()
                context.temporaryLayerStore().addMapLayer(layer)
                details = QgsProcessingContext.LayerDetails(title, context.project(), title)
                context.addLayerToLoadOnCompletion(layer.id(), details)
        return {}


def layers_of(path, wanted):
    """Return copies of the layers of a project: those that it shows, and those whose source contains a text of `wanted`."""
    project = QgsProject()
    if not path.exists() or not project.read(str(path)):
        raise QgsProcessingException(text("not_loaded").format(path=path))
    tree = project.layerTreeRoot()
    chosen = []
    for node in reversed(tree.findLayers()):  # layers are added on top of each other
        layer = node.layer()
        shown = "shown" in wanted and node.isVisible()
        if layer is not None and layer.isValid() and (shown or any(one in layer.source() for one in wanted)):
            chosen.append(layer.clone())
    return chosen


VECTOR = [QgsProcessing.TypeVectorPolygon, QgsProcessing.TypeVectorPoint]
"""Kinds of layers that reference data may have."""
