"""Mosaic of the maps of several scenes, with a rule for overlaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.errors import GridError, MappingError
from bocage.grid import Grid, Window
from bocage.layout import MapLayout
from bocage.legend import Legend
from bocage.mapping.areas import AreaCount
from bocage.mapping.delivery import Delivery, Item
from bocage.mapping.writers import WRITERS, MapBand
from bocage.progress import QUIET, Progress
from bocage.sources.base import Decoding
from bocage.sources.raster import inspect, read
from bocage.sources.source import union

Rule = Literal["confidence", "first"]
TILE = 1024


@dataclass(frozen=True)
class _Map:
    """A map to mosaic."""

    layout: MapLayout
    grid: Grid
    legend: Legend

    @property
    def folder(self) -> Path:
        """The map's folder."""
        return self.layout.path

    def layer(self, name: str, grid: Grid, window: Window, nodata: int) -> NDArray[Any]:
        """Read a window of a layer, no data outside."""
        path = self.layout.layer(name, WRITERS.get("cog").SUFFIX)
        found, there = read(path, [1], grid, window, "nearest", Decoding(nodata=nodata))
        return np.where(there[0], found[0], np.array(nodata, found.dtype))


def make_mosaic(folders: Sequence[Path], folder: Path, rule: Rule = "confidence", progress: Progress = QUIET) -> Path:
    """Write the mosaic of several maps to `folder`, and return the path of its classes.

    The layers are the classes, the confidence, and the number of the map that each pixel comes from.

    Parameters
    ----------
    folders
        Folders of complete maps: ``map/`` of runs, or other mosaics. Their pixels must be aligned.
    rule
        Rule for overlaps. "confidence" takes the class with the highest confidence (the first map if they are equal). "first"
        takes the class of the first map that has data.

    Raises
    ------
    MappingError
        A folder holds no complete map, or the maps differ in legend, CRS, resolution or pixel alignment.
    """
    maps = [_open(one) for one in folders]
    _check(maps)
    try:
        grid = union([one.grid for one in maps])
    except GridError as error:
        raise MappingError(f"The maps cannot be mosaicked: {error}") from error
    legend = maps[0].legend
    dtype = "uint8" if max(legend.codes) <= 255 else "uint16"
    bands = {
        "classes": (MapBand("class", dtype, 0, categorical=True),),
        "confidence": (MapBand("confidence", "uint8", 255),),
        "scene": (MapBand("scene (1: the first)", "uint8", 0),),
    }
    folder.mkdir(parents=True, exist_ok=True)
    writer, areas, layout = WRITERS.get("cog"), AreaCount(grid, legend), MapLayout(folder)
    for last in (layout.item, layout.checksums):
        last.unlink(missing_ok=True)
    files = {layer: layout.layer(layer, writer.SUFFIX) for layer in bands}
    outputs = {layer: writer.open(files[layer], grid, bands[layer], legend) for layer in bands}
    try:
        windows = list(grid.tiles(TILE))
        for done, window in enumerate(windows, start=1):
            found = _window(maps, grid, window, rule)
            areas.count(window, found["classes"])
            for layer, output in outputs.items():
                output.put(window, found[layer][None].astype(bands[layer][0].dtype))
            progress.step("building the mosaic", done, len(windows))
        for output in outputs.values():
            output.close()
    except BaseException:
        for output in outputs.values():
            output.discard()
        raise
    about = {"rule": rule, "maps": [str(one.folder) for one in maps]}
    newest = max(one.layout.checksums.stat().st_mtime for one in maps)
    Delivery(layout, grid, legend, bands, files, about, None, newest).write(areas.areas())
    return files["classes"]


def _window(maps: Sequence[_Map], grid: Grid, window: Window, rule: Rule) -> dict[str, NDArray[Any]]:
    shape = (window.height, window.width)
    classes, confidence = np.zeros(shape, np.uint16), np.full(shape, 255, np.uint8)
    scene = np.zeros(shape, np.uint8)
    for number, one in enumerate(maps, start=1):
        codes = one.layer("classes", grid, window, 0)
        sure = one.layer("confidence", grid, window, 255)
        new = (codes > 0) & (scene == 0)
        if rule == "confidence":
            new |= (codes > 0) & (sure != 255) & (confidence != 255) & (sure > confidence)
        classes[new], confidence[new], scene[new] = codes[new], sure[new], number
    return {"classes": classes, "confidence": confidence, "scene": scene}


def _open(folder: Path) -> _Map:
    layout, suffix = MapLayout.of(folder), WRITERS.get("cog").SUFFIX
    if not layout.is_complete:
        raise MappingError(f"{folder} holds no complete map ({layout.checksums.name} is missing); map there first.")
    needed = (layout.layer("classes", suffix), layout.layer("confidence", suffix), layout.item)
    if missing := [path.name for path in needed if not path.exists()]:
        raise MappingError(
            f"{layout.path} has no {missing[0]}; a mosaic needs classes and confidence of every map, in the format 'cog'."
        )
    return _Map(layout, inspect(needed[0]).grid, Item.load(layout.item).legend)


def _check(maps: Sequence[_Map]) -> None:
    """Check that maps can be mosaicked.

    Raises
    ------
    MappingError
        There are fewer than two maps or more than 255, or they differ in legend, CRS, resolution or pixel alignment.
    """
    if not 2 <= len(maps) <= 255:
        raise MappingError(f"A mosaic takes 2 to 255 maps; found {len(maps)}.")
    first = maps[0]
    for other in maps[1:]:
        if [(c.code, c.name) for c in other.legend.classes] != [(c.code, c.name) for c in first.legend.classes]:
            raise MappingError(f"{other.folder} has another legend than {first.folder}: {_difference(first, other)}.")
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


def _difference(first: _Map, other: _Map) -> str:
    ours, theirs = ({(c.code, c.name) for c in m.legend.classes} for m in (first, other))
    odd = sorted(ours ^ theirs)
    return f"{odd[0][0]} {odd[0][1]} is in one legend only" if odd else "the order of the classes differs"
