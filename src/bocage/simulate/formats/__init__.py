"""Plain rasters of a landscape → product folders as delivered to users. One product format per module of this folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from bocage.progress import Progress
from bocage.simulate.formats import landsat, pleiades, s1tiling, safe, spot67, stac, theia


class Format(Protocol):
    """Module of a product format."""

    @property
    def SENSOR(self) -> str:  # noqa: N802 - a module's constant
        """Simulated sensor of the format: ``vhr``, ``s2`` or ``s1``."""

    def write(self, plain: Path, folder: Path, progress: Progress) -> None:
        """Write the rasters of the folder `plain` as products to `folder`."""

    def section(self) -> str:
        """Return the recipe section of the sources that read the products, with paths relative to the landscape folder."""


FORMATS: Mapping[str, Format] = {
    "landsat": landsat,
    "pleiades": pleiades,
    "s1tiling": s1tiling,
    "safe": safe,
    "spot67": spot67,
    "stac": stac,
    "theia": theia,
}
