"""Complete maps on disk, opened without their recipe: ``map/`` of a run, or a mosaic."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import artefact, damaged, read_checksums
from bocage.errors import MappingError
from bocage.grid import Grid, Window
from bocage.layout import MapLayout, RunLayout
from bocage.legend import Legend
from bocage.mapping.areas import AreaCount, Areas
from bocage.mapping.delivery import Item
from bocage.mapping.writers import WRITERS
from bocage.progress import Progress
from bocage.sources.base import Decoding
from bocage.sources.raster import inspect, read

TILE = 1024
"""Side of the windows in which the pixels of an edited map are counted."""
MOST = 20
"""Largest number of folders of maps, or of classes of legends, that a message names."""


@dataclass(frozen=True)
class Delivered:
    """A complete map."""

    layout: MapLayout
    grid: Grid
    legend: Legend

    @property
    def folder(self) -> Path:
        """The map's folder."""
        return self.layout.path

    def path(self, layer: str) -> Path:
        """Return the file of a layer, which may not exist."""
        return self.layout.layer(layer, WRITERS.get("cog").SUFFIX)

    @cached_property
    def is_edited(self) -> bool:
        """Whether the classes are not those that were written with the map (:func:`is_edited`)."""
        return is_edited(self.layout)

    def read(self, layer: str, grid: Grid, window: Window, nodata: int, band: int = 1) -> NDArray[Any]:
        """Read a window of a layer on an aligned grid; `nodata` outside."""
        found, there = read(self.path(layer), [band], grid, window, "nearest", Decoding(nodata=nodata))
        return np.where(there[0], found[0], np.array(nodata, found.dtype))

    def areas(self) -> Areas:
        """Return mapped pixels and hectares of every class as ``classes.tif`` is now: those of the file if it was edited."""
        if not self.is_edited:
            return Areas.load(self.layout.areas, self.legend)
        count = AreaCount(self.grid, self.legend)
        for window in self.grid.tiles(TILE):
            count.count(window, self.read("classes", self.grid, window, 0))
        return count.areas()


def is_edited(layout: MapLayout) -> bool:
    """Return whether ``classes.tif`` of a complete map was changed since it was written, such as by hand.

    Raises
    ------
    RunFolderError
        The list of checksums is damaged.
    """
    with artefact(layout.checksums):
        sums = read_checksums(layout.checksums)
    classes = layout.layer("classes", WRITERS.get("cog").SUFFIX).name
    return bool(damaged(layout.path, {classes: sums[classes]})) if classes in sums else False


def report_edited(maps: Sequence[Delivered], progress: Progress) -> None:
    """Report the maps whose classes were changed since they were written: they are used as they are now."""
    for one in maps:
        if one.is_edited:
            progress.say(
                f"{one.path('classes')} was changed since the map was written. It is used as it is now; its confidence, "
                "probabilities and areas.csv are those of the map before the change."
            )


def open_delivered(folder: Path, layers: Sequence[str] = ("classes",)) -> Delivered:
    """Open the map in a folder, or in the folder ``map/`` inside it.

    Raises
    ------
    MappingError
        The folder holds no complete map, or not all `layers` in the format "cog".
    RunFolderError
        The description of the map is damaged.
    """
    layout = MapLayout.of(folder)
    if not layout.is_complete:
        inside = RunLayout(folder).map.path if RunLayout(folder).map.path.is_dir() else folder
        if several := sorted(str(one) for one in inside.glob("*") if MapLayout(one).is_complete):
            raise MappingError(
                f"{folder} holds several maps. Give the folder of one: {', '.join(several[:MOST])}{', …' * (len(several) > MOST)}"
            )
        raise MappingError(f"{folder} holds no complete map ({layout.checksums.name} is missing); map there first.")
    needed = [*(layout.layer(name, WRITERS.get("cog").SUFFIX) for name in layers), layout.item]
    if missing := [path.name for path in needed if not path.exists()]:
        raise MappingError(
            f"{layout.path} has no {missing[0]}; {' and '.join(layers)} of the map are needed, in the format 'cog'."
        )
    return Delivered(layout, inspect(needed[0]).grid, Item.load(layout.item).legend)


def check_alike(first: Delivered, other: Delivered) -> None:
    """Check that two maps have the same legend and aligned pixels.

    Raises
    ------
    MappingError
        They differ in legend, CRS, resolution or pixel alignment.
    """
    if [(c.code, c.name) for c in other.legend.classes] != [(c.code, c.name) for c in first.legend.classes]:
        raise MappingError(f"{other.folder} has another legend than {first.folder}: {_difference(first, other)}")
    if other.grid.crs != first.grid.crs:
        raise MappingError(
            f"{other.folder} is in {other.grid.crs_name}, {first.folder} in {first.grid.crs_name}. Map both with the same "
            "[grid] crs."
        )
    row, column = first.grid.offset_of(other.grid)
    off = max(abs(row - round(row)), abs(column - round(column)))
    if abs(other.grid.resolution - first.grid.resolution) > 1e-6 * first.grid.resolution or off > 0.01:
        raise MappingError(
            f"{other.folder} is not aligned with the pixels of {first.folder} (resolution {other.grid.resolution:g} and "
            f"{first.grid.resolution:g}, {off:.2f} pixels off). Map both with the same [grid] resolution and corner."
        )


def _difference(first: Delivered, other: Delivered) -> str:
    """Return the classes that one of two legends has only, and what to do, as sentences."""
    ours, theirs = ([f"{c.code} {c.name}" for c in one.legend.classes] for one in (first, other))
    found = []
    for one, own, others in ((other, theirs, ours), (first, ours, theirs)):
        if only := [name for name in own if name not in others]:
            found.append(f"only {one.folder} has {', '.join(only[:MOST])}{', …' * (len(only) > MOST)}")
    if not found:
        return "the order of the classes differs. Map both with the classes of [legend] in one order."
    return (
        f'{"; ".join(found)}. Map both with one [legend]: rare = "train" in [split] keeps classes of few polygons, and '
        "[legend] level joins classes below a common one."
    )
