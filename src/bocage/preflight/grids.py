"""Checks of grids: CRS, alignment and coverage of each source, and shifts between sources and polygons."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Grid, Window
from bocage.preflight import shift
from bocage.preflight.finding import Finding
from bocage.preflight.shift import SIDE, Shift, View
from bocage.progress import Progress
from bocage.samples.rasterise import Pixels
from bocage.scene import Cube
from bocage.sources.raster import inspect, resolution_in
from bocage.sources.source import Readable, Source, with_bands

POLYGONS = "polygons"


def check_grid(source: Readable, grid: Grid, cube: Cube) -> Iterator[Finding]:
    """Return findings on CRS, alignment and coverage of a source, compared with the map grid."""
    theirs = source.grid
    if theirs.crs != grid.crs:
        yield Finding(
            "note", source.name, f"its CRS is {theirs.crs_name}, that of the map is {grid.crs_name}; the source is warped once",
            "Nothing to do. To avoid warping, choose a [grid] in the CRS of the source.",
        )  # fmt: skip
    elif not source.nests_in(cube.grid):
        row, column = (o - np.floor(o) for o in cube.grid.offset_of(theirs))
        resampling = cube.preparation.resampling
        yield Finding(
            "warning" if resampling == "nearest" else "note", source.name,
            f"its pixels ({theirs.resolution:g}) are not aligned with its target grid ({cube.grid.resolution:g}): its corner is "
            f"{row:.2f} px south, {column:.2f} px east of a pixel corner; it is warped with resampling '{resampling}'",
            'Set [grid] like to this source, or set resampling = "bilinear" ("nearest" shifts pixels by up to half a pixel).'
            if resampling == "nearest" else "Nothing to do. To avoid warping, set [grid] like to this source.",
        )  # fmt: skip
    share = _covered(theirs, grid)
    if share <= 0:
        yield Finding(
            "error", source.name,
            f"does not overlap the map: it covers {_bounds(theirs)}, the map {_bounds(grid)}",
            "Check the files and [grid].",
        )  # fmt: skip
    elif share < 0.999:
        yield Finding(
            "warning",
            source.name,
            f"covers {100 * share:.0f} % of the map",
            "The rest of the map will be nodata. Reduce [grid] bounds to avoid this.",
        )


def _covered(source: Grid, grid: Grid) -> float:
    theirs = (
        source.geobox.extent.to_crs(grid.crs, resolution="auto") if source.crs != grid.crs else source.geobox.extent
    )
    ours = grid.geobox.extent
    return float(theirs.intersection(ours).area / ours.area) if theirs.intersects(ours) else 0.0


def _bounds(grid: Grid) -> str:
    return "(" + ", ".join(f"{b:.0f}" for b in grid.bounds) + f") in {grid.crs_name}"


def check_shifts(
    sources: Mapping[str, Readable], grid: Grid, pixels: Pixels | None, progress: Progress
) -> Iterator[Finding]:
    """Measure the shifts between sources, between bands of different resolution, and between sources and polygons.

    Parameters
    ----------
    pixels
        Labelled pixels of the map; None if the polygons could not be read.
    """
    views = _views(sources)
    pairs = list(combinations(views, 2)) + [(POLYGONS, name) for name in views if pixels is not None and len(pixels)]
    shifts: dict[tuple[str, str], tuple[Shift, float]] = {}
    cache: dict[tuple[str, float, Window], View | None] = {}
    for done, (first, second) in enumerate(pairs, start=1):
        found = _measured(first, second, views, grid, pixels, cache)
        if found:
            shifts[first, second] = found
        progress.step("measuring shifts", done, len(pairs))
    yield from _findings(shifts, len(views) + (pixels is not None))


def _views(sources: Mapping[str, Readable]) -> dict[str, Readable]:
    """Return the sources by name; a source with bands of several resolutions is divided into one entry per resolution."""
    views: dict[str, Readable] = {}
    for name, source in sources.items():
        groups: dict[float, list[str]] = {}
        if isinstance(source, Source):
            for band, file in source.acquisitions[0].files.items():
                groups.setdefault(inspect(file.path).grid.resolution, []).append(band)
        if len(groups) < 2:
            views[name] = source
        else:
            assert isinstance(source, Source)
            views |= {f"{name} ({gsd:g} m bands)": with_bands(source, bands) for gsd, bands in sorted(groups.items())}
    return views


def _measured(
    first: str,
    second: str,
    views: Mapping[str, Readable],
    grid: Grid,
    pixels: Pixels | None,
    cache: dict[tuple[str, float, Window], View | None],
) -> tuple[Shift, float] | None:
    """Return the shift of the second view relative to the first, and the pixel size of the shift; None if not measurable."""
    if first == POLYGONS:
        assert pixels is not None
        target, window = grid, _around(grid, int(np.median(pixels.row)), int(np.median(pixels.column)))
    else:
        target = _finer(views[first].grid, views[second].grid, grid)
        column, row = ~target.transform @ (grid.transform @ (grid.shape[1] / 2, grid.shape[0] / 2))
        window = _around(target, int(row), int(column))
    if min(window.height, window.width) < 4 * shift.REACH:
        return None

    def seen(name: str) -> View | None:
        key = (name, target.resolution, window)
        if key not in cache:
            cache[key] = shift.view(views[name], target, window)
        return cache[key]

    other = seen(second)
    if other is None:
        return None
    if first == POLYGONS:
        assert pixels is not None
        measured = shift.from_polygons(_numbers(pixels, window), other)
    else:
        ours = seen(first)
        coarsest = max(resolution_in(views[name].grid, target.crs) for name in (first, second))
        measured = None if ours is None else shift.between(ours, other, max(1, round(coarsest / target.resolution)))
    return (measured, target.resolution) if measured else None


def _numbers(pixels: Pixels, window: Window) -> NDArray[np.int64]:
    """Return the polygon number of each pixel of a window of the map (y, x), -1 outside polygons."""
    number = np.full((window.height, window.width), -1, np.int64)
    row, column = pixels.row - window.y, pixels.column - window.x
    inside = (row >= 0) & (row < window.height) & (column >= 0) & (column < window.width)
    number[row[inside], column[inside]] = pixels.polygon[inside]
    return number


def _finer(a: Grid, b: Grid, grid: Grid) -> Grid:
    """Return the finer of two grids if it has the CRS of the map, the map grid otherwise."""
    finest = min(a, b, key=lambda candidate: candidate.resolution)
    return finest if finest.crs == grid.crs else grid


def _around(grid: Grid, row: int, column: int) -> Window:
    """Return a window of at most ``SIDE`` pixels a side around a pixel, inside the grid."""
    height, width = (min(SIDE, n) for n in grid.shape)
    y, x = (
        min(max(0, c - n // 2), whole - n)
        for c, n, whole in zip((row, column), (height, width), grid.shape, strict=True)
    )
    return Window(y, x, height, width)


def _findings(shifts: Mapping[tuple[str, str], tuple[Shift, float]], members: int) -> Iterator[Finding]:
    """Return a finding for each shifted pair, or a single finding if all shifted pairs have one source in common."""
    notable = {pair: found for pair, found in shifts.items() if found[0].is_notable}
    shifted = _common_source(notable, members)
    if shifted:
        yield _about(shifted, shifts)
        return
    for (first, second), (measured, resolution) in notable.items():
        yield Finding(
            "warning", second, f"is shifted {measured.told(resolution)} of {first}; {_measure(measured)}",
            "Check which of the two is georeferenced correctly, and move the other by this shift (gdal_edit.py -a_ullr).",
        )  # fmt: skip


def _measure(measured: Shift) -> str:
    """Return the evidence for a shift as text."""
    return f"share of variance explained: {measured.unshifted:.2f} as delivered, {measured.strength:.2f} with the shift corrected"


def _common_source(notable: Mapping[tuple[str, str], object], members: int) -> str:
    """Return the only source common to all shifted pairs; empty with fewer than two pairs, or without such a source."""
    named = Counter(name for pair in notable for name in {_source(view) for view in pair})
    if len(notable) < 2 or members < 3 or not named:
        return ""
    (name, count), *others = named.most_common()
    return name if count == len(notable) and all(n < count for _, n in others) else ""


def _source(view: str) -> str:
    return view.partition(" (")[0]


def _about(name: str, shifts: Mapping[tuple[str, str], tuple[Shift, float]]) -> Finding:
    """Return the finding on the shift of one source relative to all others; each other source has the same weight."""
    pairs = {pair: found for pair, found in shifts.items() if (_source(pair[0]) == name) != (_source(pair[1]) == name)}
    against: dict[str, list[tuple[float, float]]] = {}
    for (first, second), (measured, resolution) in pairs.items():
        sign, other = (1, first) if _source(second) == name else (-1, second)
        moved = (sign * measured.rows * resolution, sign * measured.columns * resolution)
        against.setdefault(_source(other), []).append(moved)
    finest = min(resolution for _, resolution in pairs.values())
    rows, columns = np.mean([np.mean(moved, axis=0) for moved in against.values()], axis=0) / finest
    mean = Shift(float(rows), float(columns), 0, 0).told(finest)
    details = "; ".join(f"{b} relative to {a}: {m.told(r) or 'no shift'}" for (a, b), (m, r) in pairs.items())
    west, north = -columns * finest, rows * finest
    return Finding(
        "warning", name, f"is shifted {mean} of {' and '.join(against)}, which agree with one another ({details})",
        f"If the others are correct, move {name} by {west:+.3g} east and {north:+.3g} north, in CRS units (gdal_edit.py -a_ullr).",
    )  # fmt: skip
