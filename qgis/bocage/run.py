"""Run a recipe (``bocage run``): train, evaluate, map, report."""

from qgis.core import (
    QgsProcessingParameterBoolean,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
)

from .algorithm import MapAlgorithm
from .command import run
from .words import text


class Run(MapAlgorithm):
    """Makes a map from a recipe."""

    NAME = "run"

    def initAlgorithm(self, configuration=None):
        """Add the parameters."""
        self.add_recipe()
        self.add_settings()
        self.addParameter(
            QgsProcessingParameterNumber("WORKERS", text("workers"), optional=True, minValue=1)
        )  # fmt: skip
        self.addParameter(QgsProcessingParameterBoolean("OVERWRITE", text("overwrite"), False))
        self.addParameter(
            QgsProcessingParameterFolderDestination("FOLDER", text("folder"), optional=True, createByDefault=False)
        )
        self.add_outputs()

    def processAlgorithm(self, parameters, context, feedback):
        """Call the command."""
        recipe = self.path(parameters, "RECIPE", context)
        folder = self.path(parameters, "FOLDER", context) or recipe.parent / "runs" / recipe.stem
        arguments = ["run", recipe, "--out", folder, *self.settings(parameters, context)]
        if parameters.get("WORKERS") is not None:
            arguments += ["--workers", self.parameterAsInt(parameters, "WORKERS", context)]
        arguments += ["--overwrite"] if self.parameterAsBool(parameters, "OVERWRITE", context) else []
        run(arguments, recipe.parent, feedback)
        return self.results(folder, parameters, context)
