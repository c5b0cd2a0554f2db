"""Files delivered with a map: styles, table of areas, STAC item, checksums."""

import csv
import datetime
import hashlib
import io
import json
import os
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Grid, Window
from bocage.legend import Legend
from bocage.mapping.styles import qml, sld
from bocage.mapping.writers import MapBand, partial_path

ITEM, AREAS, CHECKSUMS = "item.json", "areas.csv", "checksums.sha256"
DAY = datetime.date(1970, 1, 1)


@dataclass
class Areas:
    """Number of pixels of each class in each row, counted window by window; the totals do not depend on the windows."""

    grid: Grid
    legend: Legend
    rows: NDArray[np.int64] = field(init=False)
    """Number of pixels (K, rows of the grid)."""

    def __post_init__(self) -> None:
        self.rows = np.zeros((len(self.legend.classes), self.grid.shape[0]), np.int64)

    def count(self, window: Window, codes: NDArray[Any]) -> None:
        """Add the codes (height, width) of a window to the counts."""
        ys = window.slices[0]
        for k, code in enumerate(self.legend.codes):
            self.rows[k, ys] += (codes == code).sum(1)

    @property
    def pixels(self) -> NDArray[np.int64]:
        """Number of pixels of each class (K,)."""
        return np.asarray(self.rows.sum(1))

    @property
    def hectares(self) -> NDArray[np.float64]:
        """Area of each class in hectares (K,); on a geographic grid, the pixel size is computed for each row."""
        if not self.grid.crs.proj.is_geographic:
            height, width = self.grid.metres
            return np.asarray(self.pixels * (height * width / 10_000), np.float64)
        sizes = [self.grid.crop(Window(y, 0, 1, 1)).metres for y in range(self.grid.shape[0])]
        return np.asarray(self.rows @ np.array([height * width / 10_000 for height, width in sizes]))

    def text(self) -> str:
        """Return the table as CSV: code, name, pixels, hectares, and the share of the mapped area in percent."""
        stream, total = io.StringIO(), max(float(self.hectares.sum()), 1e-12)
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["code", "name", "pixels", "hectares", "percent"])
        rows = zip(self.legend.codes, self.legend.names, self.pixels.tolist(), self.hectares.tolist(), strict=True)
        for code, name, pixels, hectares in rows:
            table.writerow([code, name, pixels, f"{hectares:.4f}", f"{100 * hectares / total:.3f}"])
        return stream.getvalue()


@dataclass(frozen=True)
class Delivery:
    """A complete map and its metadata."""

    folder: Path
    grid: Grid
    legend: Legend
    bands: Mapping[str, tuple[MapBand, ...]]
    """Layer → its bands."""
    files: Mapping[str, Path]
    """Layer → its file."""
    about: Mapping[str, Any]
    """Provenance of the map, written to the properties of the STAC item."""
    days: tuple[int, int] | None
    """First and last day (since 1970-01-01) of the dated sources; None if no source is dated."""
    newest: float
    """Latest modification time of the input files (Unix time): the date of a map whose sources are not dated."""

    def write(self, areas: Areas) -> None:
        """Write the files delivered with the map; the checksums come last."""
        self._put("classes.qml", qml(self.legend))
        self._put("classes.sld", sld(self.legend))
        self._put(AREAS, areas.text())
        sums = {path: _sha256(path) for path in self._members()}
        self._put(ITEM, self._item(sums))
        sums[self.folder / ITEM] = _sha256(self.folder / ITEM)
        lines = [f"{value}  {path.relative_to(self.folder)}" for path, value in sorted(sums.items())]
        self._put(CHECKSUMS, "\n".join(lines) + "\n")

    def _members(self) -> list[Path]:
        beside = [self.folder / f"{path.name}.aux.xml" for path in self.files.values()]
        found = [*self.files.values(), *(p for p in beside if p.exists())]
        return [*found, *(self.folder / name for name in ("classes.qml", "classes.sld", AREAS))]

    def _put(self, name: str, text: str) -> None:
        path = self.folder / name
        partial_path(path).write_text(text, encoding="utf-8")
        os.replace(partial_path(path), path)

    def _item(self, sums: Mapping[Path, str]) -> str:
        import pystac
        from pystac.extensions.projection import ProjectionExtension

        place = self.grid.geobox.extent.to_crs("EPSG:4326")
        item = pystac.Item("map", place.json, list(place.boundingbox.bbox), *self._when())
        projection = ProjectionExtension.ext(item, add_if_missing=True)
        projection.apply(
            epsg=self.grid.crs.epsg,
            wkt2=None if self.grid.crs.epsg else self.grid.crs.to_wkt(),
            shape=list(self.grid.shape),
            transform=list(self.grid.transform)[:6],
            bbox=list(self.grid.bounds),
        )
        for name, version in (("raster", "v1.1.0"), ("classification", "v2.0.0"), ("file", "v2.1.0")):
            item.stac_extensions.append(f"https://stac-extensions.github.io/{name}/{version}/schema.json")
        item.properties |= {f"bocage:{key}": value for key, value in self.about.items()}
        for layer, path in self.files.items():
            item.add_asset(layer, self._asset(layer, path))
        others = {"style": ("classes.qml", "application/xml"), "sld": ("classes.sld", "application/vnd.ogc.sld+xml")}
        for key, (name, kind) in (others | {"areas": (AREAS, "text/csv")}).items():
            item.add_asset(key, pystac.Asset(f"./{name}", media_type=kind, roles=["metadata"]))
        for asset in item.assets.values():
            path = self.folder / Path(asset.href).name
            # Multihash prefix: SHA-256 (12), 32 bytes (20).
            asset.extra_fields |= {"file:size": path.stat().st_size, "file:checksum": "1220" + sums[path]}
        return json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=1)

    def _class(self, index: int) -> dict[str, Any]:
        one = self.legend.classes[index]
        above = {"bocage:parent": one.parent} if one.parent else {}
        color = self.legend.colors[index][1:].upper()
        return {"value": one.code, "name": _slug(one.name), "title": one.name, "color_hint": color, **above}

    def _when(self) -> tuple[Any, ...]:
        """Return the positional arguments of an item: its date or None, and its properties with the period."""
        if self.days is None:
            return datetime.datetime.fromtimestamp(int(self.newest), datetime.UTC), {}
        start, end = (DAY + datetime.timedelta(day) for day in self.days)
        period = {"start_datetime": f"{start}T00:00:00Z", "end_datetime": f"{end}T23:59:59Z"}
        return None, period

    def _asset(self, layer: str, path: Path) -> Any:
        import pystac

        cog = path.suffix == ".tif"
        asset = pystac.Asset(f"./{path.name}", layer, media_type=pystac.MediaType.COG if cog else None, roles=["data"])
        asset.extra_fields["raster:bands"] = [
            {"name": b.name, "data_type": b.dtype, "nodata": b.nodata, "scale": b.scale} for b in self.bands[layer]
        ]
        if any(band.categorical for band in self.bands[layer]):
            asset.extra_fields["classification:classes"] = [self._class(i) for i in range(len(self.legend.classes))]
        return asset


def _slug(name: str) -> str:
    """Return a name with the characters that the classification extension allows: letters, digits, - and _."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join(c if c.isalnum() else "-" for c in plain).strip("-") or "class"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
