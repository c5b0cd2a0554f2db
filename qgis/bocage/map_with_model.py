"""Map the scene of a recipe with the model of another run (``bocage map --model``)."""

from qgis.core import QgsProcessingParameterBoolean, QgsProcessingParameterFolderDestination

from .algorithm import MapAlgorithm
from .command import run
from .words import text


class MapWithModel(MapAlgorithm):
    """Makes a map with a trained model."""

    NAME = "map_with_model"

    def initAlgorithm(self, configuration=None):
        """Add the parameters."""
        self.add_recipe()
        self.add_folder("MODEL", "model")
        self.add_settings()
        self.addParameter(QgsProcessingParameterBoolean("OVERWRITE", text("overwrite"), False))
        self.addParameter(QgsProcessingParameterFolderDestination("FOLDER", text("folder")))
        self.add_outputs()

    def processAlgorithm(self, parameters, context, feedback):
        """Call the command."""
        recipe = self.path(parameters, "RECIPE", context)
        model = self.path(parameters, "MODEL", context)
        folder = self.path(parameters, "FOLDER", context)
        arguments = ["map", recipe, "--model", model, "--out", folder, *self.settings(parameters, context)]
        arguments += ["--overwrite"] if self.parameterAsBool(parameters, "OVERWRITE", context) else []
        run(arguments, recipe.parent, feedback)
        return self.results(folder, parameters, context)
