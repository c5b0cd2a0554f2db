"""PAN and MS as Pléiades orthoimages (DIMAP v2)."""

from pathlib import Path

from bocage.progress import Progress
from bocage.simulate.formats.dimap import Platform, write_dimap

SENSOR = "vhr"


def section() -> str:
    """Return the recipe section of the sources."""
    return "\n".join(
        f'[sources.{kind}]\nsensor = "pleiades"\npath = "vhr"\nimage = "{kind}"\n' for kind in ("pan", "ms")
    )


def write(plain: Path, folder: Path, progress: Progress) -> None:
    """Write a PAN and an MS product."""
    write_dimap(Platform("PHR", "1A", "PHR1A"), plain, folder, progress)
