"""The scene: every source as a cube on its own grid, nested in the map's; made, and written to disk where that pays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bocage.disk import inside, safe_name
from bocage.errors import SourceError
from bocage.grid import Grid, Ratio, nearest_ratio, nesting
from bocage.progress import QUIET, Progress
from bocage.scene.cube import Cube, Preparation, check_indices
from bocage.scene.prepared import Prepared, Preparing, prepare
from bocage.sources import HistorySource, Readable, Source, check_overlap
from bocage.sources.declared import peek
from bocage.sources.placement import resolution_on
from bocage.words import Note


@dataclass(frozen=True)
class Scene:
    """Name to cube, one per source. It describes; ``samples/`` and ``mapping/`` read."""

    grid: Grid
    """The map's grid."""
    cubes: Mapping[str, Cube]
    notes: tuple[Note, ...] = ()
    """What the user should know of how the sources were laid on the grid."""

    @property
    def ids(self) -> tuple[str, ...] | None:
        """Sample ids, one for each row of the grid, where the sources are tables; None for imagery."""
        return next(iter(self.cubes.values())).source.ids


def make_scene(grid: Grid, sources: Sequence[Readable], preparations: Mapping[str, Preparation]) -> Scene:
    """Lay every source on the map's grid, at its own resolution.

    Raises
    ------
    SourceError
        A source does not overlap the map, lacks a band that an index needs, or is not in dB and has a speckle filter.
    SceneError
        Temperatures are missing that thermal days need, or crop calendars cannot be used.
    """
    _check_tables(sources)
    cubes: dict[str, Cube] = {}
    notes: list[Note] = []
    chosen = {source.name: preparations.get(source.name, Preparation()) for source in sources}
    over = [_over(source, grid, chosen[source.name]) for source in sources]
    ratios = _ratios(over, grid, chosen)
    for source in over:
        preparation, ratio = chosen[source.name], ratios[source.name]
        notes += source.notes
        nested = ratio.grid(grid)
        if not source.nests_in(nested):
            per_pixel = Note.of("finer", n=ratio.finer) if ratio.finer > 1 else Note.of("coarser", n=ratio.coarser)
            how = preparation.resampling
            notes.append(Note.of("warped", source.name, to=nested.resolution, ratio=per_pixel, how=how))
        cubes[source.name] = cube = Cube(source, nested, ratio, preparation)
        cube.check_days()  # raise an error for missing temperatures now, before any reading
    return Scene(grid, cubes, (*notes, *_same_season(cubes)))


def _over(source: Readable, grid: Grid, preparation: Preparation) -> Readable:
    """Return a source without acquisitions outside the map, after a check of what its preparation needs."""
    check_overlap(source, grid)
    source = source.over(grid)
    check_indices(source, preparation.indices)
    if preparation.speckle:
        _check_decibels(source)
    return source


def _ratios(sources: Sequence[Readable], grid: Grid, preparations: Mapping[str, Preparation]) -> dict[str, Ratio]:
    """Return the ratio of each source to the map: the one of its preparation, or else the nearest one (:func:`nesting`)."""
    given = {source.name: ratio for source in sources if (ratio := preparations[source.name].ratio)}
    nearest = {
        source.name: nearest_ratio(grid.resolution, resolution_on(source.grid, grid))
        for source in sources
        if source.name not in given
    }
    return nesting(nearest, given)


def _check_decibels(source: Readable) -> None:
    """Check that a source with a speckle filter is in dB, by values of its first image.

    Raises
    ------
    SourceError
        None of the values is negative.
    """
    files = source.acquisitions[0].files if isinstance(source, Source) else {}
    for name, file in list(files.items())[:1]:
        how = file.decoding
        stored = peek(file)
        if stored.size and not how.decibel and (stored * how.scale + how.offset).min() >= 0:
            raise SourceError(
                f"Source '{source.name}': 'speckle' filters backscatter in dB, but no value of {name} in {file.path} is negative"
                '. Set decibel = "power" or "amplitude" if the file holds linear backscatter, or remove speckle.'
            )


def _same_season(cubes: Mapping[str, Cube]) -> Iterator[Note]:
    """Yield a note on each history whose last year is the year of the last image: it may hold the classes to be mapped."""
    last = [cube.source.times[-1] for cube in cubes.values() if cube.source.dated]
    imaged = max((time.year for time in last if time), default=None)
    for name, cube in cubes.items():
        if imaged and isinstance(cube.source, HistorySource) and cube.source.years[-1] >= imaged:
            yield Note.of("same_season", name, year=str(cube.source.years[-1]))


def _check_tables(sources: Sequence[Readable]) -> None:
    """Check that the sources are all imagery, or all tables, which have the same rows (:func:`same_rows`).

    Raises
    ------
    SourceError
        The sources mix tables and imagery.
    """
    first, *others = sources
    for other in others:
        if (first.ids is None) != (other.ids is None):
            raise SourceError(
                f"The sources '{first.name}' and '{other.name}' are a table and imagery. Use only one of the two in a recipe."
            )


def prepare_scene(
    scene: Scene, folder: Path, settings: Preparing, progress: Progress = QUIET
) -> tuple[Scene, dict[str, Prepared]]:
    """Write the cubes that are costly to compute to `folder`, and return the scene that reads them from this folder.

    Returns
    -------
    scene : the scene with prepared cubes
    made : source name to the result of its preparation

    Raises
    ------
    SceneError, SourceError
        The disk is full, or a file cannot be read. Complete shards are kept.
    """
    cubes, made, notes = dict(scene.cubes), {}, list(scene.notes)
    for name, cube in scene.cubes.items():
        if settings.wants(cube):
            made[name] = prepare(cube, inside(folder, f"{safe_name(name)}.zarr"), settings, progress)
            cubes[name] = cube.kept_at(made[name].path)
            if made[name].never_clear:
                share = 100 * made[name].never_clear / made[name].pixels
                notes.append(
                    Note.of("never_clear", name, n=made[name].never_clear, total=made[name].pixels, share=share)
                )
    return replace(scene, cubes=cubes, notes=tuple(notes)), made
