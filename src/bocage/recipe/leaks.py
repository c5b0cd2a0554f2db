"""Sources of a first recipe without the bands that give the labels."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bocage.grid import Grid
from bocage.recipe.sections import Candidate, candidates_of
from bocage.samples.leaks import Leak, leaks_of
from bocage.samples.rasterise import Pixels
from bocage.sources.found import Found, Image, Series


def without_leaks(
    candidate: Candidate, grid: Grid, pixels: Pixels, found: Found, folder: Path, out: Path
) -> tuple[Candidate | None, str]:
    """Return the source without the bands whose values give the labels, and why; None if no band remains.

    The reason is empty if no band gives the labels.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    leaks = leaks_of(candidate.source, grid, pixels)
    if not leaks:
        return candidate, ""
    names = [leak.band for leak in leaks]
    rest = _rest(candidate, names, found, folder, out)
    shown = ", ".join(f"'{name}'" for name in names)
    what = f"source '{candidate.name}'"
    if rest:
        what += f": its band{'s' * (len(names) > 1)} {shown}"
    elif len(candidate.source.bands) > 1:
        what += f" (band{'s' * (len(names) > 1)} {shown} of {len(candidate.source.bands)})"
    elif names[0] not in ("b1", candidate.name):
        what += f" (variable {shown})"
    return rest, f"{what} {'are' if rest and len(names) > 1 else 'is'} left out: {_why(leaks[0], bool(rest))}"


def _why(leak: Leak, is_band: bool) -> str:
    """Return the evidence that a band is a map of classes."""
    it = "it" if not is_band else "the band"
    return (
        f"its {leak.values} values give the label of {leak.right} of {leak.polygons} polygons, so {it} is an earlier map or a "
        "raster of the labels, and no imagery"
    )


def _rest(candidate: Candidate, names: Sequence[str], found: Found, folder: Path, out: Path) -> Candidate | None:
    """Return the source of the other bands, opened again; None if there is none, or the bands of its sensor cannot be skipped."""
    key = candidate.name
    raster = found.series.get(key) or found.images.get(key)
    if raster is None or set(names) >= set(candidate.source.bands):
        return None
    changed = _without(raster, names)
    alone = Found(
        {key: changed} if isinstance(changed, Image) else {}, {key: changed} if isinstance(changed, Series) else {}
    )
    return next(iter(candidates_of(alone, folder, out)), None)


def _without(raster: Series | Image, names: Sequence[str]) -> Series | Image:
    """Return a raster whose bands of these names are skipped."""
    bands = tuple("-" if name in names else name for name in raster.bands)
    if isinstance(raster, Image):
        return replace(raster, bands=bands)
    return replace(
        raster, bands=bands, variables={name: path for name, path in raster.variables.items() if name not in names}
    )
