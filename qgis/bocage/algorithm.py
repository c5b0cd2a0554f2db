"""What the algorithms have in common: names, help, parameters that several have, and the layers of a run."""

from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsLayerTree,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingOutputFile,
    QgsProcessingOutputRasterLayer,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFile,
    QgsProcessingParameterString,
    QgsProject,
)
from qgis.PyQt.QtCore import QThread

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
        """Load the layers of the project of the run, with their groups and styles; not from the thread of a model."""
        in_window = QThread.currentThread() == QgsApplication.instance().thread()
        if self.load and in_window and context.project() is not None:
            load(self.project, context.project())
        return {}


def load(path, project):
    """Add the layers of a project, with their groups and styles, to another one, on top.

    Raises
    ------
    QgsProcessingException
        The project of the run is missing or cannot be read.
    """
    own = QgsProject()
    if not path.exists() or not own.read(str(path)):
        raise QgsProcessingException(text("not_loaded").format(path=path))
    group = project.layerTreeRoot().insertGroup(0, own.title())
    _copy(own.layerTreeRoot(), group, project)


def _copy(source, target, project):
    """Add the layers and groups of a group to a group of another project."""
    for node in source.children():
        if QgsLayerTree.isGroup(node):
            copied = target.addGroup(node.name())
            _copy(node, copied, project)
        elif node.layer() is None or not node.layer().isValid():
            continue
        else:
            copied = target.addLayer(project.addMapLayer(node.layer().clone(), False))
        copied.setItemVisibilityChecked(node.itemVisibilityChecked())
        copied.setExpanded(node.isExpanded())


VECTOR = [QgsProcessing.TypeVectorPolygon, QgsProcessing.TypeVectorPoint]
"""Kinds of layers that reference data may have."""
