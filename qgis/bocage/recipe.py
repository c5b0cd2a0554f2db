"""Make a recipe for images and polygons (``bocage init``)."""

from qgis.core import (
    QgsProcessingException,
    QgsProcessingParameterField,
    QgsProcessingParameterFileDestination,
    QgsProcessingParameterVectorLayer,
    QgsProviderRegistry,
)

from .algorithm import VECTOR, Algorithm
from .command import run
from .words import text


class MakeRecipe(Algorithm):
    """Writes a recipe."""

    NAME = "make_recipe"

    def initAlgorithm(self, configuration=None):
        """Add the parameters."""
        self.add_folder("IMAGES", "images")
        self.addParameter(QgsProcessingParameterVectorLayer("REFERENCE", text("reference"), VECTOR))
        self.addParameter(
            QgsProcessingParameterField("LABEL", text("label"), parentLayerParameterName="REFERENCE", optional=True)
        )  # fmt: skip
        self.addParameter(
            QgsProcessingParameterFileDestination("RECIPE", text("recipe"), fileFilter=text("recipe_filter"))
        )  # fmt: skip

    def processAlgorithm(self, parameters, context, feedback):
        """Call the command."""
        images = self.path(parameters, "IMAGES", context)
        reference = self.parameterAsVectorLayer(parameters, "REFERENCE", context)
        label = self.parameterAsString(parameters, "LABEL", context)
        recipe = self.parameterAsFileOutput(parameters, "RECIPE", context)
        file, layer = file_of(reference)
        arguments = ["init", images, file, "--out", recipe]
        arguments += ["--label", label] if label else []
        arguments += ["--layer", layer] if layer else []
        run(arguments, images, feedback)
        return {"RECIPE": recipe}


def file_of(layer):
    """Return the file of a vector layer, and the name of the layer in it.

    Raises
    ------
    QgsProcessingException
        The layer is not read from a file.
    """
    parts = QgsProviderRegistry.instance().decodeUri(layer.providerType(), layer.source())
    if layer.providerType() != "ogr" or not parts.get("path"):
        raise QgsProcessingException(text("not_a_file").format(name=layer.name()))
    return parts["path"], parts.get("layerName") or ""
