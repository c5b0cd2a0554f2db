"""DIMAP version 2 orthoimages of Airbus (SPOT 6/7, Pléiades): tiles, radiometry, special values, cloud polygons.

Reference: Airbus Defence and Space, SPOT Imagery User Guide and Pléiades Imagery User Guide. The tiles of a product
are acquisitions of the same date, so that reading a window opens only the tiles that it touches.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from xml.etree.ElementTree import Element

import shapely

from bocage.errors import SourceError
from bocage.progress import Progress
from bocage.sources.base import Acquisition, BandFile, Cover, Decoding, SensorSpec
from bocage.sources.products import Product, ProductSettings, chosen_bands, collect, products, utc
from bocage.sources.raster import inspect


@dataclass(frozen=True)
class DimapSettings(ProductSettings):
    """Settings of a folder of DIMAP orthoimages in the recipe."""

    image: Literal["pan", "ms"] = "ms"
    """Image to read. PAN and MS are two sources, each at its native resolution."""
    radiometry: Literal["reflectance", "radiance", "stored"] = "reflectance"
    """Values of the source: "reflectance" (top-of-atmosphere unless the product is corrected), "radiance" in
    W·m⁻²·sr⁻¹·µm⁻¹, or "stored" (stored values, without conversion)."""
    saturated: bool = True
    """Whether saturated pixels (bright roofs) are kept."""
    clouds: bool = True
    """Whether the polygons of the product's cloud mask are masked."""
    mosaic: bool = False
    """Whether all products form one date: a mosaic of neighbouring strips."""


def find_images(
    settings: DimapSettings, spec: SensorSpec, missions: tuple[str, ...], bands: Mapping[str, str], progress: Progress
) -> list[Acquisition]:
    """Return the tiles of every orthoimage of the type set by `image`. For each date, the most recent product comes first.

    Parameters
    ----------
    missions
        Names of the mission in the metadata.
    bands
        Common name to band identifier in the metadata (``B0``), for PAN and MS together.

    Raises
    ------
    SourceError
        No such image is found, or an image cannot be used and ``on_error`` is "stop".
    """
    kinds = {name: "pan" if code == "P" else "ms" for name, code in bands.items()}
    names = chosen_bands(spec, settings.bands, tuple(n for n, kind in kinds.items() if kind == settings.image))
    wrong = [n for n in names if kinds[n] != settings.image]
    if wrong:
        raise SourceError(f"The band '{wrong[0]}' is not in the {settings.image} image. Declare another source for it.")
    found = [p for p in products(settings.path, r"DIM_.*\.XML", f"{spec.name} product") if _is(p, missions, settings)]
    if not found:
        raise SourceError(
            f"{settings.path} has no {settings.image} orthoimage of {spec.name}. Check 'path' and 'image'."
        )
    found.sort(key=lambda p: p.metadata, reverse=True)
    read: Callable[[Product], list[Acquisition]] = lambda p: _tiles(p, {n: bands[n] for n in names}, settings)  # noqa: E731
    return collect(found, settings, read, progress)


def _is(product: Product, missions: tuple[str, ...], settings: DimapSettings) -> bool:
    """Return whether a product is of one of the missions and contains the image of the settings."""
    root = product.xml()
    mission = (root.findtext(".//Strip_Source/MISSION") or "").upper().replace("-", "").replace(" ", "")
    spectral = (root.findtext(".//SPECTRAL_PROCESSING") or "").upper()
    is_pan = spectral in ("P", "PAN", "PA")
    return mission in missions and is_pan == (settings.image == "pan")


def _tiles(product: Product, bands: Mapping[str, str], settings: DimapSettings) -> list[Acquisition]:
    root = product.xml()
    if "ORTHO" not in (root.findtext(".//PROCESSING_LEVEL") or "").upper():
        raise SourceError(
            f"{product} is not an orthoimage (processing level {root.findtext('.//PROCESSING_LEVEL')}). Orthorectify it, "
            "for example with the Orfeo ToolBox, or order the level ORTHO."
        )
    time = _time(product, root)
    indexes = {e.findtext("BAND_ID"): int(e.findtext("BAND_INDEX") or 0) for e in root.iter("Raster_Index")}
    absent = [code for code in bands.values() if code not in indexes]
    if absent:
        raise SourceError(
            f"{product}: {product.metadata} does not list the band {absent[0]}. It lists {', '.join(map(str, indexes))}."
        )
    decodings = {name: _decoding(product, root, code, time, settings) for name, code in bands.items()}
    hidden = _clouds(product) if settings.clouds else None
    date = "mosaic" if settings.mosaic else f"{time:%Y%m%d}"
    tiles = []
    for path in _tile_files(product, root):
        files = {name: BandFile(path, indexes[code], decodings[name]) for name, code in bands.items()}
        tiles.append(Acquisition(time, files, {}, (), date, hidden, {"product": product.name}))
    return tiles


def _tile_files(product: Product, root: Element) -> list[Any]:
    """Return the image files of the product, after a check of their total size against the metadata."""
    listed = [e.attrib.get("href", "") for e in root.iter("DATA_FILE_PATH")]
    if not listed:
        raise SourceError(f"{product}: {product.metadata} lists no image file. Download the product again.")
    paths = []
    for name in listed:
        if name not in product.files:
            raise SourceError(
                f"{product} lacks the image {name}, which {product.metadata} lists. Download the product again."
            )
        paths.append(product.files[name])
    rows, columns = (int(product.text(root, f".//Raster_Dimensions/{n}")) for n in ("NROWS", "NCOLS"))
    grids = [inspect(path).grid for path in paths]
    resolution = grids[0].resolution
    height = round((max(g.bounds[3] for g in grids) - min(g.bounds[1] for g in grids)) / resolution)
    width = round((max(g.bounds[2] for g in grids) - min(g.bounds[0] for g in grids)) / resolution)
    if (height, width) != (rows, columns):
        raise SourceError(
            f"{product}: its {len(paths)} image file(s) cover {height} x {width} pixels, but {product.metadata} gives {rows} x "
            f"{columns}. A tile is damaged or belongs to another product. Download the product again."
        )
    return paths


def _time(product: Product, root: Element) -> datetime:
    day = product.text(root, ".//Strip_Source/IMAGING_DATE")
    clock = (root.findtext(".//Strip_Source/IMAGING_TIME") or "00:00:00").strip().rstrip("Z")
    return utc(f"{day}T{clock[:8]}Z", product)


def _decoding(product: Product, root: Element, code: str, time: datetime, settings: DimapSettings) -> Decoding:
    special = {
        (e.findtext("SPECIAL_VALUE_TEXT") or "").upper(): float(e.findtext("SPECIAL_VALUE_COUNT") or 0)
        for e in root.iter("Special_Value")
    }
    nodata = special.get("NODATA", 0.0)
    saturated = () if settings.saturated or "SATURATED" not in special else (special["SATURATED"],)
    scale, offset = _scale(product, root, code, time, settings)
    return Decoding(scale, offset, nodata, saturated)


def _scale(product: Product, root: Element, code: str, time: datetime, settings: DimapSettings) -> tuple[float, float]:
    """Return scale and offset from stored values to the values set by ``radiometry``."""
    processing = (root.findtext(".//RADIOMETRIC_PROCESSING") or "").upper()
    if settings.radiometry == "stored":
        return 1.0, 0.0
    if "STRETCH" in processing or "DISPLAY" in processing:
        raise SourceError(
            f"{product} is stretched for display ({processing}): its values are not radiometric. Order BASIC or "
            'REFLECTANCE, or set radiometry = "stored".'
        )
    if processing == "REFLECTANCE" and settings.radiometry == "reflectance":
        gain, bias = _gain(product, root, "Band_Reflectance", code)
        return 1 / gain, bias
    gain, bias = _gain(product, root, "Band_Radiance", code)
    if settings.radiometry == "radiance":
        return 1 / gain, bias
    factor = _reflectance_per_radiance(product, root, code, time)
    return factor / gain, factor * bias


def _gain(product: Product, root: Element, kind: str, code: str) -> tuple[float, float]:
    """Return GAIN and BIAS of a band: ``physical = stored / GAIN + BIAS``."""
    for element in root.iter(kind):
        if element.findtext("BAND_ID") == code:
            return float(product.text(element, "GAIN")), float(element.findtext("BIAS") or 0)
    raise SourceError(
        f'{product}: {product.metadata} has no {kind} for band {code}. Set radiometry = "stored" to use the stored values '
        "without conversion."
    )


def _reflectance_per_radiance(product: Product, root: Element, code: str, time: datetime) -> float:
    """Return π d² / (E0 cos θ), the factor from radiance to top-of-atmosphere reflectance.

    d is the distance to the sun in astronomical units, E0 the solar irradiance of the band and θ the solar zenith angle.
    """
    for element in root.iter("Band_Solar_Irradiance"):
        if element.findtext("BAND_ID") == code:
            irradiance = float(product.text(element, "VALUE"))
            elevation = float(product.text(root, ".//Solar_Incidences/SUN_ELEVATION"))
            day = time.timetuple().tm_yday
            distance = 1 - 0.01672 * math.cos(math.radians(0.9856 * (day - 4)))
            return math.pi * distance**2 / (irradiance * math.sin(math.radians(elevation)))
    raise SourceError(
        f'{product}: {product.metadata} has no solar irradiance for band {code}. Set radiometry = "radiance".'
    )


def _clouds(product: Product) -> Cover | None:
    """Return the polygons of the cloud mask (GML), or None if the mask is missing or empty."""
    names = product.match(r"(?i)MASKS/CLD_.*\.GML")
    parts, crs = [], ""
    for name in names:
        root = product.xml(name)
        for polygon in root.iterfind(".//{*}Polygon"):
            crs = crs or _srs(polygon, root)
            rings = [_ring(e) for e in polygon.iterfind(".//{*}exterior//{*}posList")]
            holes = [_ring(e) for e in polygon.iterfind(".//{*}interior//{*}posList")]
            parts += [shapely.Polygon(ring, holes) for ring in rings]
    if not parts:
        return None
    if not crs:
        raise SourceError(
            f"{product}: the cloud mask {names[0]} has no coordinate reference system (srsName). Set clouds = false to ignore it."
        )
    return Cover(crs, shapely.union_all([p if p.is_valid else p.buffer(0) for p in parts]))


def _srs(polygon: Element, root: Element) -> str:
    """Return ``EPSG:<code>`` of a GML polygon, from its srsName or else from the first srsName of the file."""
    named = polygon.attrib.get("srsName") or next(
        (e.attrib["srsName"] for e in root.iter() if "srsName" in e.attrib), ""
    )
    match = re.search(r"EPSG\D*(\d+)\Z", named)
    return f"EPSG:{match[1]}" if match else ""


def _ring(element: Element) -> list[tuple[float, float]]:
    numbers = [float(n) for n in (element.text or "").split()]
    size = int(element.attrib.get("srsDimension", 2))
    return [(numbers[i], numbers[i + 1]) for i in range(0, len(numbers), size)]
