"""Trends as tables: CSV with a row for each parcel, CSV with a row for each parcel and year, GeoParquet and GeoPackage."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from bocage.disk import replacing
from bocage.finish.trends import STATISTICS, Settings, Trends, Years
from bocage.finish.vectors import DRIVERS, copy, geo_metadata, writing
from bocage.finish.zones import Zones
from bocage.grid import Grid
from bocage.layout import TrendsLayout
from bocage.textfile import write_csv
from bocage.vectorfile import multipolygons

TREND = ("slope", "low", "high", "p")


@dataclass(frozen=True)
class ParcelTrends:
    """Statistics, trends and anomalies of parcels."""

    parcels: Zones
    grid: Grid
    """Grid whose CRS the parcels have."""
    years: Years
    trends: Trends
    settings: Settings

    @property
    def without(self) -> list[str]:
        """Names of the parcels that have no trend."""
        return [name for name, slope in zip(self.parcels.names, self.trends.slope, strict=True) if math.isnan(slope)]

    def write(self, layout: TrendsLayout) -> None:
        """Write the tables; the folder must exist.

        Raises
        ------
        FinishError
            A file cannot be written.
        """
        write_csv(layout.years, [YEARLY, *self._yearly()])
        header = ["parcel", "statistic", *TREND, "years", "clear_dates"]
        write_csv(layout.table("csv"), [header, *self._rows()])
        self._write_places(layout)

    def _yearly(self) -> Iterator[list[Any]]:
        found = self.years
        for p, name in enumerate(self.parcels.names):
            for y, year in enumerate(found.years):
                numbers = [*(found.values[one][p, y] for one in STATISTICS), self.trends.anomaly[p, y]]
                yield [name, year, int(found.dates[p, y]), int(found.gap[p, y]), *map(_shown, numbers)]

    def _rows(self) -> Iterator[list[Any]]:
        found = self.trends
        for p, name in enumerate(self.parcels.names):
            numbers = (getattr(found, key)[p] for key in TREND)
            counts = (int(found.count[p]), int(self.years.dates[p].sum()))
            yield [name, f"{self.settings.index} {self.settings.statistic}", *map(_shown, numbers), *counts]

    def _write_places(self, layout: TrendsLayout) -> None:
        columns: dict[str, Any] = {"parcel": list(self.parcels.names)}
        columns |= {key: pa.array(getattr(self.trends, key), from_pandas=True) for key in TREND}
        columns |= {"years": self.trends.count, "clear_dates": self.years.dates.sum(1)}
        statistic = self.settings.statistic
        for y, year in enumerate(self.years.years):
            columns[f"{statistic}_{year}"] = pa.array(self.years.values[statistic][:, y], from_pandas=True)
            columns[f"anomaly_{year}"] = pa.array(self.trends.anomaly[:, y], from_pandas=True)
            columns[f"clear_dates_{year}"] = self.years.dates[:, y]
        shapes = multipolygons(self.parcels.shapes)
        columns["geometry"] = shapely.to_wkb(shapes)
        bounds = tuple(float(v) for v in shapely.total_bounds(shapes))
        path = layout.table("parquet")
        metadata = geo_metadata(self.grid, ["MultiPolygon"], bounds)
        with replacing(path) as partial, writing(path):
            pq.write_table(pa.table(columns).replace_schema_metadata(metadata), partial)
        copy(path, layout.table("gpkg"), DRIVERS["gpkg"], self.grid, len(shapes))


YEARLY = ("parcel", "year", "clear_dates", "longest_gap_days", *STATISTICS, "anomaly")


def _shown(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
