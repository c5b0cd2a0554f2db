"""Checks of grids: CRS, alignment and coverage of each source, and shifts between sources and polygons."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Grid, Window
from bocage.preflight import shift
from bocage.preflight.finding import Finding
from bocage.preflight.shift import SIDE, Shift, View
from bocage.progress import Progress
from bocage.samples.rasterise import Pixels
from bocage.scene import Cube
from bocage.sources.placement import resolution_on, share_covered
from bocage.sources.raster import inspect
from bocage.sources.source import Readable, Source, with_bands
from bocage.words import Note, chained, without_exponent

Label = str | Note
"""What a shift is measured on: the name of a source, some bands of a source, or the polygons."""
POLYGONS = Note.of("polygons_place")
DIGITS = 6
"""Decimals of degrees in a message: 0.1 m."""


def check_grid(source: Readable, grid: Grid, cube: Cube) -> Iterator[Finding]:
    """Return findings on CRS and alignment of a source, compared with the map grid."""
    theirs = source.grid
    if theirs.crs != grid.crs:
        note = Note.of("other_crs", theirs=theirs.crs_name, ours=grid.crs_name)
        yield Finding.of("note", source.name, note)
    elif not source.nests_in(cube.grid):
        resampling = cube.preparation.resampling
        note = _misfit(theirs, cube.grid, resampling)
        if resampling == "nearest":
            yield Finding.of("warning", source.name, note)
        else:
            yield Finding.of("note", source.name, note, "no_warp_needed")


def _misfit(theirs: Grid, ours: Grid, how: str) -> Note:
    """Return what differs between two grids of one CRS: the size of the pixels, or else only their corners."""
    sizes: dict[str, Any] = {"theirs": theirs.resolution, "ours": ours.resolution, "how": how}
    if not np.isclose(theirs.resolution, ours.resolution, rtol=1e-6, atol=0):
        return Note.of("other_pixel_size", **sizes)
    row, column = (o - np.floor(o) for o in ours.offset_of(theirs))
    return Note.of("not_aligned", row=float(row), column=float(column), **sizes)


def check_coverage(source: Readable, grid: Grid) -> Iterator[Finding]:
    """Return a finding on a source that does not cover the whole map: an error if it covers nothing."""
    theirs = source.grid
    share = share_covered(theirs, grid)
    if share <= 0:
        yield Finding.of("error", source.name, Note.of("no_overlap", theirs=_bounds(theirs), ours=_bounds(grid)))
    elif share < 0.999:
        yield Finding.of("warning", source.name, Note.of("partly_covered", share=100 * share))


def _bounds(grid: Grid) -> Note:
    digits = DIGITS if grid.crs.proj.is_geographic else 0
    return Note.of("bounds", bounds=tuple(f"{b:.{digits}f}" for b in grid.bounds), crs=grid.crs_name)


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
    pairs: list[tuple[Label, Label]] = list(combinations(views, 2))
    pairs += [(POLYGONS, view) for view in views if pixels is not None and len(pixels)]
    shifts: dict[tuple[Label, Label], tuple[Shift, float]] = {}
    cache: dict[tuple[Label, float, Window], View | None] = {}
    for done, (first, second) in enumerate(pairs, start=1):
        found = _measured(first, second, views, grid, pixels, cache)
        if found:
            shifts[first, second] = found
        progress.step("measuring shifts", done, len(pairs))
    yield from _findings(shifts, len(views) + (pixels is not None), grid)


def _views(sources: Mapping[str, Readable]) -> dict[Label, Readable]:
    """Return the sources by label; a source with bands of several resolutions is divided into one entry per resolution."""
    views: dict[Label, Readable] = {}
    for name, source in sources.items():
        groups: dict[float, list[str]] = {}
        if isinstance(source, Source):
            for band, file in source.acquisitions[0].files.items():
                groups.setdefault(inspect(file.path).grid.metres[0], []).append(band)
        if len(groups) < 2:
            views[name] = source
        else:
            assert isinstance(source, Source)
            for gsd, bands in sorted(groups.items()):
                views[Note.of("bands_at", name=name, gsd=gsd)] = with_bands(source, bands)
    return views


def _measured(
    first: Label,
    second: Label,
    views: Mapping[Label, Readable],
    grid: Grid,
    pixels: Pixels | None,
    cache: dict[tuple[Label, float, Window], View | None],
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

    def seen(label: Label) -> View | None:
        key = (label, target.resolution, window)
        if key not in cache:
            cache[key] = shift.view(views[label], target, window)
        return cache[key]

    other = seen(second)
    if other is None:
        return None
    if first == POLYGONS:
        assert pixels is not None
        measured = shift.from_polygons(_numbers(pixels, window), other)
    else:
        ours = seen(first)
        coarsest = max(resolution_on(views[label].grid, target) for label in (first, second))
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


def _findings(shifts: Mapping[tuple[Label, Label], tuple[Shift, float]], members: int, grid: Grid) -> Iterator[Finding]:
    """Return a finding for each pair with a certain shift, or a single one if all shifted pairs have one source in common."""
    notable = {pair: found for pair, found in shifts.items() if found[0].is_notable}
    shifted = _common_source(notable, members)
    if shifted:
        yield _about(shifted, shifts, grid)
        return
    for (first, second), (measured, resolution) in notable.items():
        if not measured.is_certain:
            continue
        evidence: dict[str, Any] = {"before": measured.unshifted, "after": measured.strength}
        note = Note.of("shifted", shift=measured.note(_sides(grid, resolution)), other=first, **evidence)
        yield Finding.of("warning", second, note)


def _common_source(notable: Mapping[tuple[Label, Label], object], members: int) -> Label | None:
    """Return the only source common to all shifted pairs; None with fewer than two pairs, or without such a source."""
    named = Counter(name for pair in notable for name in {_source(view) for view in pair})
    if len(notable) < 2 or members < 3 or not named:
        return None
    (name, count), *others = named.most_common()
    return name if count == len(notable) and all(n < count for _, n in others) else None


def _source(label: Label) -> Label:
    """Return the source of some of its bands; any other label as it is."""
    return str(label.value("name")) if isinstance(label, Note) and label.code == "bands_at" else label


def _sides(grid: Grid, resolution: float) -> tuple[float, float]:
    """Return height and width in metres of a pixel of `resolution`, in the CRS and at the latitude of the map."""
    north, east = (side / grid.resolution for side in grid.metres)
    return resolution * north, resolution * east


def _about(name: Label, shifts: Mapping[tuple[Label, Label], tuple[Shift, float]], grid: Grid) -> Finding:
    """Return the finding on the shift of one source relative to all others; each other source has the same weight."""
    pairs = {pair: found for pair, found in shifts.items() if (_source(pair[0]) == name) != (_source(pair[1]) == name)}
    against: dict[Label, list[tuple[float, float]]] = {}
    for (first, second), (measured, resolution) in pairs.items():
        sign, other = (1, first) if _source(second) == name else (-1, second)
        moved = (sign * measured.rows * resolution, sign * measured.columns * resolution)
        against.setdefault(_source(other), []).append(moved)
    finest = min(resolution for _, resolution in pairs.values())
    rows, columns = np.mean([np.mean(moved, axis=0) for moved in against.values()], axis=0) / finest
    details = [
        Note.of("shift_detail", view=b, other=a, shift=m.note(_sides(grid, r))) for (a, b), (m, r) in pairs.items()
    ]
    note = Note.of(
        "shifted_source",
        name=name,
        shift=Shift(float(rows), float(columns), 0, 0).note(_sides(grid, finest)),
        others=chained("and", list(against)),
        details=chained("semicolon", details),
        east=_signed(-columns * finest, grid),
        north=_signed(rows * finest, grid),
    )
    return Finding.of("warning", name, note)


def _signed(units: float, grid: Grid) -> str:
    """Return a distance in CRS units with its sign."""
    return f"{units:+.{DIGITS}f}" if grid.crs.proj.is_geographic else without_exponent(f"{units:+.3g}")
