"""Write the QGIS project of a run, and load its layers (``bocage qgis``)."""

from qgis.core import QgsProcessingException

from .algorithm import MapAlgorithm
from .command import run


class OpenRun(MapAlgorithm):
    """Loads the layers of a run."""

    NAME = "open_run"

    def initAlgorithm(self, configuration=None):
        """Add the parameters."""
        self.add_folder("FOLDER", "folder")
        self.add_outputs()

    def processAlgorithm(self, parameters, context, feedback):
        """Call the command."""
        folder = self.path(parameters, "FOLDER", context)
        try:
            run(["qgis", folder], folder, feedback)
        except QgsProcessingException as error:  # a project that the user saved is loaded as it is
            if feedback.isCanceled() or not self.project_of(folder).exists():
                raise
            feedback.pushWarning(str(error))
        return self.results(folder, parameters, context)
