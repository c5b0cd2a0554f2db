"""A landscape's plain rasters → the product trees that users receive. One delivery format per file of this folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from bocage.progress import Progress
from bocage.simulate.formats import landsat, pleiades, s1tiling, safe, spot67, stac, theia


class Format(Protocol):
    """A file of this folder."""

    @property
    def SENSOR(self) -> str:  # noqa: N802 - a module's constant
        """The simulated sensor that it delivers: ``vhr``, ``s2`` or ``s1``."""

    def write(self, plain: Path, folder: Path, progress: Progress) -> None:
        """Write the rasters of the folder `plain` as products into `folder`."""

    def section(self) -> str:
        """Return the recipe's sources that read them, paths relative to the landscape's folder."""


FORMATS: Mapping[str, Format] = {
    "landsat": landsat,
    "pleiades": pleiades,
    "s1tiling": s1tiling,
    "safe": safe,
    "spot67": spot67,
    "stac": stac,
    "theia": theia,
}
