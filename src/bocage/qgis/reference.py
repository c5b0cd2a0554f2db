"""The reference polygons of a run as a GeoPackage, with their class, their part in the split, and their errors."""

from pathlib import Path

import numpy as np
import pyogrio
import shapely

from bocage.disk import replacing
from bocage.errors import FinishError
from bocage.vectorfile import GDAL_ERRORS
from bocage.view.places import labelled_polygons
from bocage.view.viewed import Viewed

PARTS = {
    "errors": ("view_with_errors", (215, 25, 28)),
    "test": ("view_part_test", (44, 123, 182)),
    "train": ("view_part_train", (240, 180, 0)),
    "validation": ("view_part_validation", (150, 90, 200)),
    "unused": ("view_part_unused", (120, 120, 120)),
}
"""Value of :data:`WRONG` → key of its text, colour."""
WRONG = 'CASE WHEN "wrong" > 0 THEN \'errors\' ELSE "part" END'
"""Expression of QGIS by which the polygons are drawn."""
COLUMNS = {"polygon": np.int64, "class": object, "part": object, "tested": np.int64, "wrong": np.int64}


def write_reference(viewed: Viewed, path: Path) -> dict[str, tuple[int, int, int]]:
    """Write the polygons; return their classes with their colours, in the order of the legend. Without polygons, write nothing.

    Raises
    ------
    SamplesError
        The polygons cannot be read.
    FinishError
        The file cannot be written.
    """
    polygons = list(labelled_polygons(viewed))
    if not polygons:
        return {}
    shapes = [_several(shape) for shape, _ in polygons]
    values = [np.array([one[name] for _, one in polygons], kind) for name, kind in COLUMNS.items()]
    with replacing(path, path.with_name(f".{path.stem}.part{path.suffix}")) as partial:
        partial.unlink(missing_ok=True)
        try:
            pyogrio.raw.write(
                partial, shapely.to_wkb(shapes), values, list(COLUMNS), layer=path.stem, driver="GPKG",
                geometry_type="MultiPolygon", crs=viewed.grid.crs.to_wkt(), dataset_options={"VERSION": "1.2"},
            )  # fmt: skip
        except (*GDAL_ERRORS, RuntimeError) as error:
            raise FinishError(f"{path} cannot be written: {error}. Is the disk full?") from error
    colors = {one["class"]: one["color"] for _, one in polygons}
    order = {name: k for k, name in enumerate((*viewed.legend.names, *colors))}
    return {name: _rgb(colors[name]) for name in sorted(colors, key=order.__getitem__)}


def _several(shape: shapely.Geometry) -> shapely.Geometry:
    """Return the polygons of a shape as one multipolygon."""
    parts = shapely.get_parts(shapely.get_parts(shape))
    return shapely.multipolygons(parts[shapely.get_dimensions(parts) == 2])


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
