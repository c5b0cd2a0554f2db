"""Files delivered with a map: styles, table of areas, STAC item, checksums."""

import datetime
import json
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from affine import Affine
from odc.geo import CRS

from bocage.days import date_of
from bocage.disk import artefact, checksums_of, write_checksums, write_text
from bocage.grid import Grid, geojson_of
from bocage.layout import MapLayout
from bocage.legend import LandClass, Legend
from bocage.mapping.areas import Areas
from bocage.mapping.layers import LAYERS
from bocage.mapping.styles import qml, sld
from bocage.mapping.unclassified import Unclassified
from bocage.mapping.writers import WRITERS, MapBand
from bocage.words import Note


@dataclass(frozen=True)
class Delivery:
    """A complete map and its metadata."""

    layout: MapLayout
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
    replaced: str = ""
    """Checksum of the classes that were in the folder before; empty without a complete map, or if it is not known."""

    def write(self, areas: Areas) -> None:
        """Write what goes with the map; the checksums come last."""
        layout = self.layout
        write_text(layout.qml, qml(self.legend))
        write_text(layout.sld, sld(self.legend))
        for layer, style in self._styles.items():
            one = LAYERS[layer]
            write_text(style, one.style(self.legend) if one.style else qml(one.legend(self.legend)))
        areas.save(layout.areas)
        sums = checksums_of(self._members(), layout.path)
        self._remove_earlier(sums)
        write_text(layout.item, self._item(sums))
        write_checksums(layout.checksums, sums | checksums_of([layout.item], layout.path))

    def _remove_earlier(self, sums: Mapping[str, str]) -> None:
        """Remove layers of an earlier map, and what was made of its classes, unless they are the same."""
        suffixes = (*(WRITERS.get(name).SUFFIX for name in WRITERS), ".qml", ".tif.aux.xml")
        old = [self.layout.layer(name, suffix) for name in LAYERS if name not in self.files for suffix in suffixes]
        if sums[self.files["classes"].name] != self.replaced:
            old += self.layout.finished
        for path in old:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _members(self) -> list[Path]:
        beside = [self.layout.layer(path.name, ".aux.xml") for path in self.files.values()]
        found = [*self.files.values(), *(p for p in beside if p.exists())]
        return [*found, self.layout.qml, self.layout.sld, *self._styles.values(), self.layout.areas]

    @property
    def _styles(self) -> dict[str, Path]:
        """Layers beside the map itself that have classes or a style of their own → their style for QGIS."""
        styled = {name for name, layer in LAYERS.items() if layer.style}
        further = [n for n, bands in self.bands.items() if (bands[0].categorical or n in styled) and n != "classes"]
        return {name: self.layout.layer(name, ".qml") for name in further if name in self.files}

    def _item(self, sums: Mapping[str, str]) -> str:
        import pystac
        from pystac.extensions.projection import ProjectionExtension

        item = pystac.Item("map", *geojson_of(self.grid.crs.proj, self.grid.bounds), *self._when())
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
        others = {
            "style": (self.layout.qml, "application/xml"),
            "sld": (self.layout.sld, "application/vnd.ogc.sld+xml"),
            "areas": (self.layout.areas, "text/csv"),
        } | {f"style of {layer}": (path, "application/xml") for layer, path in self._styles.items()}
        for key, (path, kind) in others.items():
            item.add_asset(key, pystac.Asset(f"./{path.name}", media_type=kind, roles=["metadata"]))
        for asset in item.assets.values():
            path = self.layout.path / Path(asset.href).name
            # A multihash: SHA-256 (12), of 32 bytes (20).
            asset.extra_fields |= {"file:size": path.stat().st_size, "file:checksum": "1220" + sums[path.name]}
        return json.dumps(item.to_dict(include_self_link=False, transform_hrefs=False), indent=1)

    def _class(self, legend: Legend, index: int) -> dict[str, Any]:
        one = legend.classes[index]
        above = {"bocage:parent": one.parent} if one.parent else {}
        color = legend.colors[index][1:].upper()
        return {"value": one.code, "name": _slug(one.name), "title": one.name, "color_hint": color, **above}

    def _when(self) -> tuple[Any, ...]:
        """Return the positional arguments of an item: its date or None, and its properties with the period."""
        if self.days is None:
            return datetime.datetime.fromtimestamp(int(self.newest), datetime.UTC), {}
        start, end = (date_of(day) for day in self.days)
        period = {"start_datetime": f"{start}T00:00:00Z", "end_datetime": f"{end}T23:59:59Z"}
        return None, period

    def _asset(self, layer: str, path: Path) -> Any:
        import pystac

        cog = path.suffix == ".tif"
        asset = pystac.Asset(f"./{path.name}", layer, media_type=pystac.MediaType.COG if cog else None, roles=["data"])
        asset.extra_fields["raster:bands"] = [
            {"name": b.name, "data_type": b.dtype, "nodata": b.nodata, "scale": b.scale} for b in self.bands[layer]
        ]
        if bits := self.bands[layer][0].bits:
            values = [{"value": 0, "name": "absent"}, {"value": 1, "name": "member"}]
            fields = (
                {"name": _slug(name), "description": name, "offset": k, "length": 1} for k, name in enumerate(bits)
            )
            asset.extra_fields["classification:bitfields"] = [{**field, "classes": values} for field in fields]
        if any(band.categorical for band in self.bands[layer]):
            legend = LAYERS[layer].legend(self.legend)
            asset.extra_fields["classification:classes"] = [self._class(legend, i) for i in range(len(legend.classes))]
        return asset


@dataclass(frozen=True)
class Item:
    """What the STAC item of a map says about the map."""

    legend: Legend
    grid: Grid
    fingerprint: str
    """Digest of the model; empty for a mosaic."""
    files: Mapping[str, Path]
    """Layer → its file."""
    inputs: str = ""
    """Digest of the imagery; empty for a map made of maps."""
    rule: str = ""
    """Rule of a mosaic or of a fusion; empty for any other map."""
    until: str = ""
    """Last day of the series, YYYY-MM-DD; empty for a map of whole series."""
    version: str = ""
    """Version of Bocage that made the map."""
    unclassified: Note | None = None
    """The share of the map without a class, and why; None if few pixels have none, or if it is not known."""

    @classmethod
    def load(cls, path: Path) -> "Item":
        """Read the item of a map.

        Raises
        ------
        RunFolderError
            The file is missing or damaged.
        """
        with artefact(path):
            record = json.loads(path.read_text(encoding="utf-8"))
            about, assets = record["properties"], record["assets"]
            legend = Legend(tuple(map(_land_class, assets["classes"]["classification:classes"])))
            crs = CRS(about.get("proj:code") or about["proj:wkt2"])
            grid = Grid.of(crs, Affine(*about["proj:transform"][:6]), tuple(about["proj:shape"]))
            layers = {
                name: path.with_name(Path(one["href"]).name) for name, one in assets.items() if "raster:bands" in one
            }
            return cls(
                legend,
                grid,
                about.get("bocage:model_fingerprint", ""),
                layers,
                about.get("bocage:inputs", ""),
                about.get("bocage:rule", ""),
                about.get("bocage:until", ""),
                about.get("bocage:versions", {}).get("bocage", ""),
                _unclassified(about),
            )


def _unclassified(about: Mapping[str, Any]) -> Note | None:
    counts = about.get("bocage:unclassified")
    return Unclassified.from_dict(counts).note(about["bocage:model"]) if counts else None


def _land_class(said: Mapping[str, Any]) -> LandClass:
    color = f"#{said['color_hint'].lower()}" if said.get("color_hint") else ""
    return LandClass(said["value"], said["title"], color, said.get("bocage:parent", ""))


def _slug(name: str) -> str:
    """Return a name with the characters that the classification extension allows: letters, digits, - and _."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return "".join(c if c.isalnum() else "-" for c in plain).strip("-") or "class"
