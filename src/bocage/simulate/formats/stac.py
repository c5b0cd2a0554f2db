"""Sentinel-2-like series as a static STAC catalogue: an item per date, a GeoTIFF per band."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from bocage.grid import WGS84, Grid, Ratio
from bocage.progress import Progress
from bocage.simulate.formats.plain import Plain, grid_of, halved, moments, opened, write_raster
from bocage.simulate.sensors import CLEAR, S2_10M, S2_20M
from bocage.simulate.signatures import BANDS

SENSOR = "s2"
COLLECTION = "bocage-s2"
EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
    "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
]


def section() -> str:
    """Return the recipe section of the sources."""
    bands = ", ".join(f'{band} = "{band}"' for band in BANDS)
    return (
        '[sources.s2]\nsensor = "stac"\ncatalogue = "s2/catalog.json"\nquality = "scl"\nclear = [4]\n'
        f"bands = {{ {bands} }}\n"
    )


def write(plain: Path, folder: Path, progress: Progress) -> None:
    """Write ``catalog.json``, ``collection.json``, ``items/`` and ``assets/``."""
    fine, when = grid_of(plain / "blue.tif"), moments(plain / "blue.tif")
    west, south, east, north = fine.geobox.extent.to_crs(WGS84).boundingbox
    box, names = [west, south, east, north], []
    (folder / "items").mkdir(parents=True)
    with opened(plain) as rasters:
        for date, moment in enumerate(when):
            item = _item(rasters, date, moment, fine, box, folder)
            names.append(item["id"])
            (folder / "items" / f"{item['id']}.json").write_text(json.dumps(item, indent=1), encoding="utf-8")
            progress.step("writing STAC items", date + 1, len(when))
    _write_catalogue(folder, names, box, when)


def _write_catalogue(folder: Path, names: list[str], box: list[float], when: list[datetime]) -> None:
    links = [{"rel": "item", "href": f"./items/{name}.json", "type": "application/geo+json"} for name in names]
    up = [{"rel": "root", "href": "./catalog.json"}, {"rel": "parent", "href": "./catalog.json"}]
    interval = [[f"{when[0].isoformat()}Z", f"{when[-1].isoformat()}Z"]]
    collection = {
        "type": "Collection", "id": COLLECTION, "stac_version": "1.0.0", "description": "A simulated series.",
        "license": "CC0-1.0", "links": up + links,
        "extent": {"spatial": {"bbox": [box]}, "temporal": {"interval": interval}},
    }  # fmt: skip
    child = {"rel": "child", "href": "./collection.json", "type": "application/json"}
    catalogue = {
        "type": "Catalog", "id": "bocage-simulation", "stac_version": "1.0.0", "description": "A simulated landscape.",
        "links": [{"rel": "root", "href": "./catalog.json"}, child],
    }  # fmt: skip
    (folder / "collection.json").write_text(json.dumps(collection, indent=1), encoding="utf-8")
    (folder / "catalog.json").write_text(json.dumps(catalogue, indent=1), encoding="utf-8")


def _item(rasters: Plain, date: int, moment: datetime, fine: Grid, box: list[float], folder: Path) -> dict[str, Any]:
    name = f"S2_{moment:%Y%m%d}"
    coarse = Ratio(coarser=2).grid(fine)
    assets = {}
    for band in (*S2_10M, *S2_20M, "scl"):
        grid = coarse if band in S2_20M or band == "scl" else fine
        window = halved(fine.window) if grid is coarse else fine.window
        layer = rasters.layer("quality" if band == "scl" else band, date, window)
        write_raster(folder / "assets" / name / f"{band}.tif", layer[None], grid, 0)
        assets[band] = _asset(f"../assets/{name}/{band}.tif", band, grid)
    clear = float((rasters.layer("quality", date, halved(fine.window)) == CLEAR).mean())
    west, south, east, north = box
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    up = {"rel": "collection", "href": "../collection.json", "type": "application/json"}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": COLLECTION,
        "stac_extensions": EXTENSIONS, "bbox": box, "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": f"{moment.isoformat()}Z", "eo:cloud_cover": round(100 * (1 - clear), 2),
            "proj:epsg": fine.crs.epsg, "platform": "sentinel-2a",
        },
        "links": [up, {"rel": "root", "href": "../catalog.json"}], "assets": assets,
    }  # fmt: skip


def _asset(href: str, band: str, grid: Grid) -> dict[str, Any]:
    stored: dict[str, Any] = {"nodata": 0, "data_type": "uint8" if band == "scl" else "uint16"}
    if band != "scl":
        stored |= {"scale": 0.0001, "offset": 0}
    asset = {
        "href": href, "type": "image/tiff; application=geotiff", "roles": ["data"],
        "proj:shape": list(grid.shape), "proj:transform": list(grid.transform)[:6], "raster:bands": [stored],
    }  # fmt: skip
    return asset if band == "scl" else {**asset, "eo:bands": [{"name": band, "common_name": band}]}
