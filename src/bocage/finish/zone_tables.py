"""Zonal statistics as tables: CSV with a row for each zone and class, GeoParquet with a row for each zone."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from bocage.disk import replacing
from bocage.evaluation.area import Estimate
from bocage.finish.vectors import geo_metadata, writing
from bocage.finish.zones import ZoneStatistics
from bocage.grid import HECTARE, Grid
from bocage.legend import Legend
from bocage.textfile import write_csv

HEADER = ("zone", "code", "class", "mapped_ha", "share", "zone_ha", "covered", "confidence")
ESTIMATED = ("estimated_ha", "error_ha", "low_ha", "high_ha")


def write_zones(found: ZoneStatistics, legend: Legend, grid: Grid, table: Path, places: Path) -> None:
    """Write the statistics to a CSV file `table` and to a GeoParquet file `places`.

    ``share`` is the share of a class in the mapped area of the zone, ``covered`` the share of the zone with a class in the map.
    The GeoParquet file has ``ha_<code>``, ``share_<code>`` and, with estimates, ``estimated_ha_<code>``, ``error_ha_<code>``,
    ``low_ha_<code>`` and ``high_ha_<code>`` (95 % interval).
    """
    header = [*HEADER, *(ESTIMATED if found.estimates else ())]
    write_csv(table, [header, *_rows(found, legend)])
    columns: dict[str, Any] = {
        "zone": list(found.zones.names), "zone_ha": found.size / HECTARE, "covered": found.covered,
        "confidence": pa.array(found.confidence, from_pandas=True),
    }  # fmt: skip
    mapped = np.maximum(found.area.sum(1), 1e-12)
    for k, code in enumerate(legend.codes):
        columns |= {f"ha_{code}": found.area[:, k] / HECTARE, f"share_{code}": found.area[:, k] / mapped}
        if found.estimates:
            values = np.array([_hectares(row[k]) for row in found.estimates])
            columns |= {f"{name}_{code}": pa.array(values[:, i], from_pandas=True) for i, name in enumerate(ESTIMATED)}
    columns["geometry"] = shapely.to_wkb(found.zones.shapes)
    kinds = sorted({shape.geom_type for shape in found.zones.shapes})
    bounds = tuple(float(v) for v in shapely.total_bounds(found.zones.shapes))
    with replacing(places) as partial, writing(places):
        pq.write_table(pa.table(columns).replace_schema_metadata(geo_metadata(grid, kinds, bounds)), partial)


def _rows(found: ZoneStatistics, legend: Legend) -> Iterator[list[Any]]:
    for z, name in enumerate(found.zones.names):
        mapped, sure = max(float(found.area[z].sum()), 1e-12), found.confidence[z]
        zone = (f"{found.size[z] / HECTARE:.4f}", f"{found.covered[z]:.4f}", "" if math.isnan(sure) else f"{sure:.1f}")
        for k, (code, label) in enumerate(zip(legend.codes, legend.names, strict=True)):
            area = float(found.area[z, k])
            row = [name, code, label, f"{area / HECTARE:.4f}", f"{area / mapped:.4f}", *zone]
            numbers = _hectares(found.estimates[z][k]) if found.estimates else ()
            yield [*row, *("" if math.isnan(number) else f"{number:.4f}" for number in numbers)]


def _hectares(estimate: Estimate) -> tuple[float, float, float, float]:
    one = estimate.times(1 / HECTARE)
    return one.value, one.error, one.low, one.high
