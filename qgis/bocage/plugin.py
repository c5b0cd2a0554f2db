"""The plugin: adds its provider to Processing, in QGIS and in ``qgis_process``."""

from qgis.core import QgsApplication

from .provider import Provider


class Plugin:
    """The plugin, as QGIS loads it."""

    def __init__(self):
        self.provider = None

    def initProcessing(self):
        """Add the provider; ``qgis_process`` calls this alone."""
        self.provider = Provider()
        QgsApplication.processingRegistry().addProvider(self.provider)

    def initGui(self):
        """Add the provider in the window of QGIS."""
        self.initProcessing()

    def unload(self):
        """Remove the provider."""
        QgsApplication.processingRegistry().removeProvider(self.provider)
