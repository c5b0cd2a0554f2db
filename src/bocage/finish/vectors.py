"""The vector map: polygons of a map's objects with class, area, confidence and shares, streamed to files.

Polygons are written to GeoParquet as they come; the other formats are copied from it, a part at a time. Each file is read back
before it gets its name, because GDAL reports some failed writes only as a message.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import shapely
from numpy.typing import NDArray

from bocage.disk import replacing
from bocage.errors import FinishError
from bocage.finish.ground import ground_areas
from bocage.finish.polygons import Batch, polygons_of
from bocage.finish.settings import Format
from bocage.grid import HECTARE, Grid, Window
from bocage.mapping.delivered import Delivered
from bocage.objects.connected import Codes
from bocage.objects.scratch import Scratch
from bocage.progress import Progress
from bocage.vectorfile import GDAL_ERRORS

DRIVERS: Mapping[Format, str] = {"gpkg": "GPKG", "fgb": "FlatGeobuf"}
"""Format → driver of GDAL; GeoParquet is written without GDAL."""
ROWS = 5_000
"""Number of polygons that are written together."""
UNKNOWN = 255
"""No data of the confidence."""


@dataclass(frozen=True)
class VectorMap:
    """A map to vectorise.

    Fields of a polygon: ``id`` (number of the object's first pixel, row by row, plus 1), ``code``, ``class``, ``area_m2``,
    ``area_ha``, ``pixels``, ``confidence`` (mean, 0 to 100), ``share`` (of its pixels that the classification gave its class, 0
    to 1) and, if the map has probabilities, ``probability`` (mean of its class over its pixels, 0 to 1).
    """

    land: Delivered
    codes: Codes
    """The classes, or the regularised classes."""
    simplified: float
    """Tolerance of the simplification in pixels; 0: none."""

    def write(self, files: Mapping[Format, Path], scratch: Scratch, progress: Progress) -> int:
        """Write the polygons to files, whose folder exists; return their number.

        Raises
        ------
        FinishError
            A file cannot be written.
        """
        spool = files.get("parquet", scratch.folder / "polygons.parquet")
        with replacing(spool) as partial:
            count = self._spool(partial, spool, scratch, progress)
        others = [name for name in files if name in DRIVERS]
        for done, name in enumerate(others, start=1):
            copy(spool, files[name], DRIVERS[name], self.codes.grid, count)
            progress.step("writing polygons", done, len(others), files[name].name)
        return count

    def _spool(self, partial: Path, path: Path, scratch: Scratch, progress: Progress) -> int:
        count, schema, waiting = 0, self._schema(), []
        with writing(path):
            with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
                for batch in polygons_of(self.codes, scratch, self.simplified, progress, self._measures):
                    waiting.append(self._table(batch, schema))
                    if sum(map(len, waiting)) >= ROWS:
                        writer.write_table(pa.concat_tables(waiting))
                        waiting.clear()
                    count += len(batch.number)
                writer.write_table(pa.concat_tables(waiting or [schema.empty_table()]))
            _check_count(path, sum(len(part) for part in pq.ParquetFile(partial).iter_batches(ROWS)), count)
        return count

    @property
    def _has_confidence(self) -> bool:
        return self.land.path("confidence").exists()

    @property
    def _has_probabilities(self) -> bool:
        return self.land.path("probabilities").exists()

    def _measures(self, window: Window, codes: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return what is summed over the pixels of each object."""
        land, grid = self.land, self.codes.grid
        found = {"pixels": np.ones(codes.shape), "code": codes, "same": land.read("classes", grid, window, 0) == codes}
        if self._has_confidence:
            sure = land.read("confidence", grid, window, UNKNOWN)
            found |= {"known": sure != UNKNOWN, "sure": np.where(sure == UNKNOWN, 0, sure)}
        if self._has_probabilities:
            likely = np.zeros(codes.shape)
            for k, code in enumerate(land.legend.codes, start=1):
                if (codes == code).any():
                    band = land.read("probabilities", grid, window, 0, k)
                    scale, nodata = (0.01, 255) if band.dtype == np.uint8 else (0.0001, 65535)
                    likely += np.where((codes == code) & (band != nodata), band * scale, 0)
            found["likely"] = likely
        return found

    def _schema(self) -> Any:
        names = {"id": pa.int64(), "code": pa.int32(), "class": pa.string(), "area_m2": pa.float64()}
        names |= {"area_ha": pa.float64(), "pixels": pa.int64()}
        names |= {"confidence": pa.float64()} if self._has_confidence else {}
        names |= {"share": pa.float64()}
        names |= {"probability": pa.float64()} if self._has_probabilities else {}
        return pa.schema({**names, "geometry": pa.binary()}, geo_metadata(self.codes.grid, ["Polygon"]))

    def _table(self, batch: Batch, schema: Any) -> Any:
        sums, areas = batch.sums, ground_areas(batch.polygons, self.codes.grid.crs.proj)
        pixels, codes = sums["pixels"], np.rint(sums["code"] / sums["pixels"]).astype(np.int32)
        names = dict(zip(self.land.legend.codes, self.land.legend.names, strict=True))
        columns = {
            "id": batch.number, "code": codes, "class": [names[code] for code in codes.tolist()], "area_m2": areas,
            "area_ha": areas / HECTARE, "pixels": pixels.astype(np.int64), "share": sums["same"] / pixels,
            "geometry": shapely.to_wkb(batch.polygons),
        }  # fmt: skip
        if self._has_confidence:
            known = sums["known"]
            columns["confidence"] = pa.array(sums["sure"] / np.maximum(known, 1), mask=known == 0)
        if self._has_probabilities:
            columns["probability"] = sums["likely"] / pixels
        return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def geo_metadata(grid: Grid, kinds: list[str], bounds: tuple[float, ...] = ()) -> dict[str, str]:
    """Return the metadata of GeoParquet 1.1.0 for geometries in the CRS of a grid, by default within its bounds."""
    column = {
        "encoding": "WKB", "geometry_types": kinds, "crs": json.loads(grid.crs.proj.to_json()),
        "bbox": list(bounds or grid.bounds),
    }  # fmt: skip
    return {"geo": json.dumps({"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}})}


def copy(spool: Path, path: Path, driver: str, grid: Grid, count: int) -> None:
    """Copy a GeoParquet file of polygons, or of multipolygons, to another format, a part at a time.

    Raises
    ------
    FinishError
        The file cannot be written.
    """
    source = pq.ParquetFile(spool)
    (kind,) = json.loads(source.schema_arrow.metadata[b"geo"])["columns"]["geometry"]["geometry_types"]
    reader = pa.RecordBatchReader.from_batches(source.schema_arrow.remove_metadata(), source.iter_batches(ROWS))
    with replacing(path, path.with_name(f".{path.stem}.part{path.suffix}")) as partial:
        partial.unlink(missing_ok=True)
        try:
            with writing(path):
                pyogrio.write_arrow(
                    reader, partial, layer=path.stem, driver=driver, geometry_name="geometry", geometry_type=kind,
                    crs=grid.crs.to_wkt(),
                )  # fmt: skip
                with pyogrio.open_arrow(partial, use_pyarrow=True, batch_size=ROWS) as (_, parts):
                    _check_count(path, sum(len(part) for part in parts), count)
                # FlatGeobuf has no index of no polygon.
                if count and not pyogrio.read_info(partial)["capabilities"]["fast_spatial_filter"]:
                    raise FinishError(f"{path} has no spatial index when it is read back. Is the disk full?")
        finally:
            for left in path.parent.glob(f"{partial.name}-*"):  # journals of SQLite
                left.unlink()


def _check_count(path: Path, found: int, count: int) -> None:
    if found != count:
        raise FinishError(f"{path} has {found} of {count} polygons when it is read back. Is the disk full?")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Report that a vector file cannot be written or read back.

    Raises
    ------
    FinishError
        GDAL or Arrow failed.
    """
    try:
        yield
    except (*GDAL_ERRORS, pa.ArrowException, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the system; Arrow reports errors of GDAL under the same type, without a number
        why = " ".join(f"{error}".split())[:200]
        raise FinishError(f"{path} cannot be written: {why}. Is the disk full?") from error
