"""``bocage mosaic``: mosaic of the maps of several scenes, with a rule for overlaps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bocage.errors import GridError, MappingError
from bocage.finish.layers import written_layers
from bocage.grid import Grid, Window
from bocage.jobs.derived import check_free
from bocage.layout import MapLayout, MosaicLayout
from bocage.mapping.areas import AreaCount
from bocage.mapping.delivered import Delivered, check_alike, open_delivered, report_edited
from bocage.mapping.delivery import Delivery
from bocage.mapping.writers import WRITERS, MapBand
from bocage.progress import QUIET, Progress
from bocage.run import held
from bocage.sources.source import union

Rule = Literal["confidence", "first"]
TILE = 1024


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
    RunFolderError
        `folder` is that of one of the maps or of a run, holds another map, or is in use by another process.
    """
    maps = [open_delivered(one, ("classes", "confidence")) for one in folders]
    _check(maps)
    report_edited(maps, progress)
    layout = MosaicLayout(folder)
    check_free(layout, maps, get_args(Rule), "a mosaic")
    try:
        grid = union([one.grid for one in maps])
    except GridError as error:
        raise MappingError(f"The maps cannot be mosaicked: {error}") from error
    with held(folder):
        check_free(layout, maps, get_args(Rule), "a mosaic")  # a run may have ended since
        return _write(maps, grid, layout.map, rule, progress)


def _write(maps: Sequence[Delivered], grid: Grid, layout: MapLayout, rule: Rule, progress: Progress) -> Path:
    legend, about = maps[0].legend, {"rule": rule, "maps": [str(one.folder) for one in maps]}
    newest = max(one.layout.checksums.stat().st_mtime for one in maps)
    bands = {
        "classes": (MapBand("class", "uint8" if max(legend.codes) <= 255 else "uint16", 0, categorical=True),),
        "confidence": (MapBand("confidence", "uint8", 255),),
        "scene": (MapBand("scene (1: the first)", "uint8", 0),),
    }
    layout.path.mkdir(parents=True, exist_ok=True)
    areas, windows = AreaCount(grid, legend), list(grid.tiles(TILE))
    for last in (layout.item, layout.checksums):
        last.unlink(missing_ok=True)
    with written_layers(layout, grid, bands, legend) as outputs:
        for done, window in enumerate(windows, start=1):
            found = _window(maps, grid, window, rule)
            areas.count(window, found["classes"])
            for layer, output in outputs.items():
                output.put(window, found[layer][None].astype(bands[layer][0].dtype))
            progress.step("building the mosaic", done, len(windows))
    files = {layer: layout.layer(layer, WRITERS.get("cog").SUFFIX) for layer in bands}
    Delivery(layout, grid, legend, bands, files, about, None, newest).write(areas.areas())
    return files["classes"]


def _window(maps: Sequence[Delivered], grid: Grid, window: Window, rule: Rule) -> dict[str, NDArray[Any]]:
    shape = (window.height, window.width)
    classes, confidence = np.zeros(shape, np.uint16), np.full(shape, 255, np.uint8)
    scene = np.zeros(shape, np.uint8)
    for number, one in enumerate(maps, start=1):
        codes = one.read("classes", grid, window, 0)
        sure = one.read("confidence", grid, window, 255)
        new = (codes > 0) & (scene == 0)
        if rule == "confidence":
            new |= (codes > 0) & (sure != 255) & (confidence != 255) & (sure > confidence)
        classes[new], confidence[new], scene[new] = codes[new], sure[new], number
    return {"classes": classes, "confidence": confidence, "scene": scene}


def _check(maps: Sequence[Delivered]) -> None:
    """Check that maps can be mosaicked.

    Raises
    ------
    MappingError
        There are fewer than two maps or more than 255, or they differ in legend, CRS, resolution or pixel alignment.
    """
    if not 2 <= len(maps) <= 255:
        raise MappingError(f"A mosaic takes 2 to 255 maps; found {len(maps)}.")
    for other in maps[1:]:
        check_alike(maps[0], other)
