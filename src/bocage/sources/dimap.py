"""DIMAP version 2 orthoimages of Airbus (SPOT 6/7, Pléiades): tiles, radiometry, special values, cloud polygons.

Reference: Airbus Defence and Space, SPOT Imagery User Guide and Pléiades Imagery User Guide. The tiles of a product
are acquisitions of the same date, so that reading a window opens only the tiles that it touches.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from xml.etree.ElementTree import Element

import pyproj
import shapely
from rasterio.warp import transform_bounds

from bocage.errors import SourceError
from bocage.progress import Progress
from bocage.sources.base import Acquisition, BandFile, Cover, Decoding, SensorSpec
from bocage.sources.products import Product, ProductSettings, chosen_bands, collect, generated, products, utc
from bocage.sources.raster import inspect
from bocage.words import Note

MEMBERS = ("maskMembers", "featureMember", "MaskFeature")
"""Elements of a mask that is not empty."""


@dataclass(frozen=True)
class DimapSettings(ProductSettings):
    """Settings of a folder of DIMAP orthoimages in the recipe."""

    image: Literal["pan", "ms", "pms"] = "ms"
    """Image to read: panchromatic, multispectral, or multispectral that Airbus pansharpened (PMS). PAN and MS are two sources,
    each at its native resolution."""
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
    """Return the tiles of every orthoimage of the type set by `image`. For each date, the product made last comes first.

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
    names = chosen_bands(
        spec, settings.bands, tuple(n for n, c in bands.items() if (c == "P") == (settings.image == "pan"))
    )
    wrong = [n for n in names if (bands[n] == "P") != (settings.image == "pan")]
    if wrong:
        raise SourceError(f"The band '{wrong[0]}' is not in the {settings.image} image. Declare another source for it.")
    kinds = {
        id(p): (kind, p) for p in products(settings.path, r"DIM_.*\.XML", f"{spec.name} product") if (kind := _kind(p, missions))
    }  # fmt: skip
    found = [product for kind, product in kinds.values() if kind == settings.image]
    if not found:
        others = sorted({kind for kind, _ in kinds.values()})
        has = f"It has {', '.join(others)}: set image = '{others[0]}'." if others else "Check 'path' and 'image'."
        raise SourceError(f"{settings.path} has no {settings.image} orthoimage of {spec.name}. {has}")
    found.sort(key=lambda p: p.metadata, reverse=True)
    chosen = {n: bands[n] for n in names}
    read: Callable[[Product], list[Acquisition]] = lambda p: _tiles(p, chosen, settings, progress)  # noqa: E731
    return collect(found, settings, read, progress)


def _kind(product: Product, missions: tuple[str, ...]) -> str:
    """Return the image that a product contains ("pan", "ms", "pms"); empty if it is not of one of the missions."""
    root = product.xml()
    mission = (root.findtext(".//Strip_Source/MISSION") or "").upper().replace("-", "").replace(" ", "")
    if mission not in missions:
        return ""
    spectral = (root.findtext(".//SPECTRAL_PROCESSING") or "").strip().upper()
    if spectral in ("P", "PAN", "PA"):
        return "pan"
    return "pms" if spectral.startswith("PMS") else "ms"


def _tiles(
    product: Product, bands: Mapping[str, str], settings: DimapSettings, progress: Progress
) -> list[Acquisition]:
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
    date = "mosaic" if settings.mosaic else f"{time:%Y%m%d}"
    paths = _tile_files(product, root)
    hidden = _clouds(product, paths, progress) if settings.clouds else None
    details = {"product": _title(product)} | generated(root.findtext(".//PRODUCTION_DATE"), product)
    tiles = []
    for path in paths:
        files = {name: BandFile(path, indexes[code], decodings[name]) for name, code in bands.items()}
        tiles.append(Acquisition(time, files, {}, (), date, hidden, details))
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


def _ids(product: Product) -> dict[str, str]:
    """Return the metadata file and the identifier of each product in the folder of a product, which may hold several."""
    return {name: PurePosixPath(name).stem[len("DIM_") :] for name in product.match(r"(?i)(?:\A|/)DIM_[^/]*\.XML")}


def _title(product: Product) -> str:
    """Return the name of a product: that of its folder, or its identifier where the folder holds several."""
    ids = _ids(product)
    return ids[product.metadata] if len(ids) > 1 else product.name


def _cloud_masks(product: Product) -> list[str]:
    """Return the files of the cloud mask, ``CLD_<identifier>_MSK.GML``, without those of other products in the folder."""
    ids = _ids(product)
    masks = []
    for name in product.match(r"(?i)MASKS/CLD_.*\.GML"):
        title = PurePosixPath(name).name[len("CLD_") :]
        owner = max((one for one in ids.values() if title.startswith(f"{one}_")), key=len, default="")
        if owner in ("", ids[product.metadata]):
            masks.append(name)
    return masks


def _clouds(product: Product, paths: Sequence[Path], progress: Progress) -> Cover | None:
    """Return the polygons of the cloud mask (GML), or None if the mask is missing or empty.

    A mask with polygons of which none touches the image, or whose content cannot be read, is reported.
    """
    covers = []
    for name in _cloud_masks(product):
        root = product.xml(name)
        parts = [part for polygon in root.iterfind(".//{*}Polygon") for part in _polygons(polygon)]
        if not parts:
            if any(e.tag.rpartition("}")[2] in MEMBERS for e in root.iter()):
                progress.say(Note.of("cloud_mask_unread", product=product.name, file=name))
            continue
        crs = _srs(root)
        if not crs:
            raise SourceError(
                f"{product}: the cloud mask {name} has no coordinate reference system (srsName). Set clouds = false to ignore it."
            )
        cover = _placed(Cover(crs, shapely.union_all([p if p.is_valid else p.buffer(0) for p in parts])), paths, root)
        if cover is None:
            progress.say(Note.of("cloud_mask_elsewhere", product=product.name, file=name))
        else:
            covers.append(cover)
    if len({cover.crs for cover in covers}) > 1:
        raise SourceError(f"{product}: its cloud masks have several coordinate reference systems. Keep only one mask.")
    return Cover(covers[0].crs, shapely.union_all([c.polygons for c in covers])) if covers else None


def _placed(cover: Cover, paths: Sequence[Path], root: Element) -> Cover | None:
    """Return the mask with its axes in the order that lays it on the image, or None if neither order does.

    The standard gives the order by the form of the name of the CRS, and not all products follow it. The order of the standard is
    tried first.
    """
    swapped = Cover(cover.crs, shapely.transform(cover.polygons, lambda xy: xy[:, ::-1]))
    order = (swapped, cover) if _first_axis_is_north(root, cover.crs) else (cover, swapped)
    grids = [inspect(path).grid for path in paths]
    frames = [shapely.box(*transform_bounds(g.crs.to_wkt(), cover.crs, *g.bounds)) for g in grids]
    image = shapely.union_all(frames)
    return next((c for c in order if c.polygons.intersects(image)), None)


def _first_axis_is_north(root: Element, crs: str) -> bool:
    """Return whether the name of the CRS is a URN, which keeps the order of the authority, and this order is northing first."""
    if not any("urn:ogc:def:crs:EPSG" in e.attrib.get("srsName", "") for e in root.iter()):
        return False
    return pyproj.CRS(crs).axis_info[0].direction.lower() == "north"


def _srs(root: Element) -> str:
    """Return the CRS of a GML mask, from the srsName of its first polygon or else from the first srsName of the file."""
    elements = [*root.iterfind(".//{*}Polygon"), *root.iter()]
    named = next((e.attrib["srsName"] for e in elements if "srsName" in e.attrib), "")
    match = re.search(r"EPSG\D*(?:\d+\.\d+\D+)?(\d+)\Z", named)
    return f"EPSG:{match[1]}" if match else "OGC:CRS84" if named.endswith("CRS84") else ""


def _polygons(polygon: Element) -> Iterator[shapely.Polygon]:
    """Yield the parts of a polygon of GML 3 (exterior, posList) or GML 2 (outerBoundaryIs, coordinates)."""
    shells = [_ring(e) for name in ("exterior", "outerBoundaryIs") for e in polygon.iterfind(f".//{{*}}{name}")]
    holes = [_ring(e) for name in ("interior", "innerBoundaryIs") for e in polygon.iterfind(f".//{{*}}{name}")]
    yield from (shapely.Polygon(ring, [h for h in holes if len(h) > 3]) for ring in shells if len(ring) > 3)


def _ring(boundary: Element) -> list[tuple[float, float]]:
    """Return the vertices of a boundary, in the order of the axes of the file."""
    for element in boundary.iterfind(".//{*}coordinates"):
        decimal, comma, blank = (element.attrib.get(k, d) for k, d in (("decimal", "."), ("cs", ","), ("ts", " ")))
        tuples = [t.split(comma) for t in (element.text or "").replace("\n", blank).split(blank) if t.strip()]
        return [(float(t[0].replace(decimal, ".")), float(t[1].replace(decimal, "."))) for t in tuples]
    listed = [*boundary.iterfind(".//{*}posList"), *boundary.iterfind(".//{*}pos")]
    numbers: list[tuple[float, float]] = []
    for element in listed:
        values = [float(n) for n in (element.text or "").split()]
        size = int(element.attrib.get("srsDimension", boundary.attrib.get("srsDimension", 2)))
        numbers += [(values[i], values[i + 1]) for i in range(0, len(values) - size + 1, size)]
    return numbers
