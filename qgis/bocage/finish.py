"""Finish the map of a run (``bocage finish``)."""

from qgis.core import QgsProcessingOutputVectorLayer

from .algorithm import MapAlgorithm
from .command import run
from .words import text


class Finish(MapAlgorithm):
    """Regularises and vectorises a map."""

    NAME = "finish"

    def initAlgorithm(self, configuration=None):
        """Add the parameters."""
        self.add_folder("FOLDER", "folder")
        self.add_settings()
        self.add_outputs()
        self.addOutput(QgsProcessingOutputVectorLayer("POLYGONS", text("polygons")))

    def processAlgorithm(self, parameters, context, feedback):
        """Call the command."""
        folder = self.path(parameters, "FOLDER", context)
        run(["finish", folder, *self.settings(parameters, context)], folder, feedback)
        found = self.results(folder, parameters, context)
        polygons = sorted(folder.glob("finish/polygons.[gf]*"))
        return {**found, "POLYGONS": str(polygons[-1])} if polygons else found
