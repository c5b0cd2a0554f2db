"""Sources + Grid → Scene: every source as a cube on its own grid, nested in the map's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bocage.grid import Grid, nearest_ratio
from bocage.scene.cube import Block, Cube, Preparation, check_indices
from bocage.scene.gaps import Fill
from bocage.scene.indices import INDICES
from bocage.sources import Readable, check_overlap
from bocage.sources.raster import resolution_in


@dataclass(frozen=True)
class Scene:
    """Name to cube, one per source. It describes; ``samples/`` and ``mapping/`` read."""

    grid: Grid
    """The map's grid."""
    cubes: Mapping[str, Cube]
    notes: tuple[str, ...] = ()
    """What the user should know of how the sources were laid on the grid."""


def make_scene(grid: Grid, sources: Sequence[Readable], preparations: Mapping[str, Preparation]) -> Scene:
    """Lay every source on the map's grid, at its own resolution.

    Raises
    ------
    SourceError
        A source does not overlap the map, or lacks a band that an index needs.
    """
    cubes: dict[str, Cube] = {}
    notes: list[str] = []
    for source in sources:
        preparation = preparations.get(source.name, Preparation())
        check_overlap(source, grid)
        source = source.over(grid)  # noqa: PLW2901 - from here on, what touches the map
        notes += source.notes
        check_indices(source, preparation.indices)
        ratio = preparation.ratio or nearest_ratio(grid.resolution, resolution_in(source.grid, grid.crs))
        nested = ratio.grid(grid)
        if not source.nests_in(nested):
            notes.append(
                f"Source '{source.name}' does not nest in the map grid: it is warped onto {nested.resolution:g} "
                f"({ratio}) with resampling '{preparation.resampling}'."
            )
        cubes[source.name] = Cube(source, nested, ratio, preparation)
    return Scene(grid, cubes, tuple(notes))


__all__ = ["INDICES", "Block", "Cube", "Fill", "Preparation", "Scene", "make_scene"]
