"""The provider: its algorithms, and the setting with the path of the command of Bocage."""

from pathlib import Path

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .check import Check
from .command import SETTING, found
from .finish import Finish
from .map_with_model import MapWithModel
from .open_run import OpenRun
from .recipe import MakeRecipe
from .run import Run
from .words import text

ICON = str(Path(__file__).with_name("icon.svg"))
ALGORITHMS = (MakeRecipe, Check, Run, MapWithModel, Finish, OpenRun)


class Provider(QgsProcessingProvider):
    """The algorithms of Bocage."""

    def id(self):
        """Return the name of the provider in scripts."""
        return "bocage"

    def name(self):
        """Return the name of the provider in the toolbox."""
        return "Bocage"

    def icon(self):
        """Return the icon of the provider."""
        return QIcon(ICON)

    def svgIconPath(self):
        """Return the path of the icon."""
        return ICON

    def load(self):
        """Add the setting and the algorithms."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        ProcessingConfig.addSetting(
            Setting(self.name(), SETTING, text("setting"), found(), valuetype=Setting.FILE)
        )  # fmt: skip
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self):
        """Remove the setting."""
        ProcessingConfig.removeSetting(SETTING)

    def loadAlgorithms(self):
        """Add the algorithms."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())
