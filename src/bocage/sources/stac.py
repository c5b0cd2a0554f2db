"""Any sensor from a STAC catalogue: an API searched by area, dates and cloud cover, or a static catalogue on disk.

Assets of an API are downloaded once over the area, at their native resolution, into a cache of GeoTIFF files. A file enters the
cache only when it is complete, so that an interrupted download resumes. If the server replaces a file, the new version is
downloaded. Local files are read in place.
"""

import json
import random
import re
import time as clock
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.windows import Window as RioWindow

from bocage.disk import digest, inside, own_part_of, replacing, safe_name
from bocage.errors import SourceError, UnknownNameError
from bocage.grid import WGS84
from bocage.progress import QUIET, Progress
from bocage.ranges import STORED, VALUE, Range, check_ranges
from bocage.redaction import redacted, redacted_address
from bocage.shelf import outside
from bocage.sources import landsat_c2l2, sentinel2_l2a
from bocage.sources.base import Acquisition, BandFile, SensorSpec
from bocage.sources.declared import RADAR
from bocage.sources.products import passes, say_versions
from bocage.sources.raster import inspect
from bocage.sources.stac_items import (
    bands_declared,
    check_count,
    declared_values,
    interval,
    is_file_uri,
    items_of,
    longitudes_meet,
    path_of,
    time_of,
    version,
)
from bocage.sources.stac_values import check_offsets, decoding_of, say_scales
from bocage.sources.stac_versions import Versions, version_in_cache
from bocage.words import Note

SPEC = SensorSpec("stac", "any sensor from a STAC API or a static catalogue")
VERSIONED = True
"""The names of files in the cache change with the item, whose pixels may be the same."""
MASKS: Mapping[str, tuple[str, Any]] = {
    "sentinel2_l2a": ("scl", sentinel2_l2a),
    "landsat_c2l2": ("qa_pixel", landsat_c2l2),
}
"""Sensor (`like`) to the name of its quality layer and to the module that interprets this layer."""
REMOTE = re.compile(
    r"(?:/vsi(?:zip|gzip|tar)/+\{?)?(?:(?:/vsicurl/)?https?://|(?:s3|gs)://|/vsi(?:s3|gs|az|oss|swift)/)", re.I
)
"""Address of an asset that is downloaded; any other address is a path on disk."""
LONGEST_WAIT = 30.0
"""Maximum pause between two attempts, in seconds."""
HTTP = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_MAX_RETRY": "3",
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "GDAL_HTTP_CONNECTTIMEOUT": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1",
    "GDAL_HTTP_LOW_SPEED_TIME": "60",
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",  # a truncated response would be cached, and every retry would fail
}


@dataclass(frozen=True)
class Settings:
    """Settings of a STAC catalogue in the recipe."""

    bands: dict[str, str]
    """Common name to asset name: ``blue = "B02"``."""
    url: str = ""
    """Root URL of a STAC API. Give either `url` or `catalogue`."""
    catalogue: Path | None = None
    """Path of a ``catalog.json`` or ``collection.json`` on disk."""
    collections: tuple[str, ...] = ()
    """Collections to search; empty: all."""
    area: Annotated[tuple[float, float, float, float] | None, Range(-360, 360)] = None
    """West, south, east, north in degrees (WGS 84); required with `url`. West is larger than east across the antimeridian."""
    start: date | None = None
    """First day, UTC; default: no limit."""
    end: date | None = None
    """Last day, UTC, included; default: no limit."""
    cloud: Annotated[float | None, Range(0, 100)] = None
    """Maximum cloud cover of an item (``eo:cloud_cover``), in percent; items without it are left out. Default: no limit."""
    cache: Path | None = None
    """Folder for downloaded files; required with `url`."""
    quality: str = ""
    """Asset name of the quality layer; empty: no mask."""
    clear: Annotated[tuple[int, ...], VALUE] = ()
    """Values of the quality layer that are clear; empty: those of the sensor `like`, or without `like` all values but 0."""
    like: Literal["", "sentinel2_l2a", "landsat_c2l2"] = ""
    """Sensor whose rules apply to the quality layer and to the processing baseline."""
    scale: Annotated[float | None, Range(0, 1e12, above=True)] = None
    """Factor of the stored values: ``value = stored * scale + offset``; default: the value of the items (raster extension)."""
    offset: Annotated[float | None, Range(-1e12, 1e12)] = None
    """Offset that is added to the scaled values, in the unit of the source; default: the value of the items."""
    nodata: Annotated[float | None, STORED] = None
    """Stored nodata value; default: the nodata value of the items or of the files."""
    decibel: bool = False
    """Whether to convert the assets to dB."""
    stored: Literal["linear", "amplitude"] = "linear"
    """Unit that `decibel` converts: linear power, or its square root (amplitude)."""
    relative_orbit: Annotated[int, Range(0, 175)] = 0
    """Relative orbit to keep (``sat:relative_orbit``), for radar; 0: all."""
    sign: str = ""
    """``"its.module:function"`` that takes a pystac Item and returns it with signed URLs."""
    retries: Annotated[int, Range(0, 100)] = 5
    """Number of retries of each request, with growing pauses; at least 0."""
    on_error: Literal["stop", "skip"] = "stop"
    """If an item cannot be read: "stop", or "skip" the item and report it."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if bool(self.url) == bool(self.catalogue):
            raise ValueError("give either 'url' (an API) or 'catalogue' (a file)")
        if self.url and (self.area is None or self.cache is None):
            raise ValueError("'url' also needs 'area' (west, south, east, north in degrees) and 'cache' (a folder)")
        if not self.bands:
            raise ValueError("'bands' must name at least one asset")

    @property
    def radar(self) -> bool:
        """Whether the assets are backscatter, which depends on the orbit."""
        return self.decibel or any(name in RADAR for name in self.bands)


def find(settings: Settings, progress: Progress = QUIET) -> list[Acquisition]:
    """Return the acquisitions of all items that match the search, after downloading the missing assets.

    Raises
    ------
    SourceError
        The catalogue cannot be read, no item matches the search, or an asset is missing or cannot be downloaded.
    """
    items = _chosen(_search(settings, progress), settings, progress)
    if not items:
        raise SourceError(
            f"{settings.url or settings.catalogue}: no item matches 'collections', 'area', 'start', 'end', 'cloud' and "
            "'relative_orbit'."
        )
    found: list[Acquisition] = []
    dead: list[str] = []
    with ThreadPoolExecutor(4) as pool:
        for done, (item, outcome) in enumerate(zip(items, pool.map(_guarded(settings), items), strict=True), start=1):
            if isinstance(outcome, SourceError):
                dead.append(str(outcome))
                if settings.on_error == "stop":
                    pool.shutdown(cancel_futures=True)
                    raise SourceError(f'{outcome} (Or set on_error = "skip" to go on without this item.)') from outcome
                progress.say(Note.of("left_out", reason=str(outcome)))
            elif outcome is not None:
                found.append(outcome)
            progress.step("fetching items", done, len(items), item.id)
    if dead:
        progress.say(Note.of("items_left_out", n=len(dead), total=len(items)))
    if not found:
        raise SourceError(
            f"None of the {len(items)} items can be read: {dead[0] if dead else 'all are outside the area.'}"
        )
    say_scales(items, settings, progress)
    check_offsets(items, found, settings, progress)
    found = _in_order(found, settings)
    say_versions(found, progress)
    return found


def _in_order(found: list[Acquisition], settings: Settings) -> list[Acquisition]:
    """Return acquisitions in the order of their dates; those of radar without an orbit have the date of their pass."""
    if settings.radar:
        times = {k: a.time for k, a in enumerate(found) if a.time and a.date == f"{a.time:%Y%m%d}"}
        dates = passes(times)
        found = [replace(a, date=dates.get(k, a.date)) for k, a in enumerate(found)]
    return sorted(found, key=lambda a: a.date)


def clear_mask(acquisition: Acquisition, layers: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """Return True where the pixel is clear, by the rules of the sensor `like`.

    Without `like`, the values of ``acquisition.clear`` are clear, or all values but 0 if that is empty.
    """
    ((name, layer),) = layers.items()
    for layer_name, sensor in MASKS.values():
        if name == layer_name:
            mask: NDArray[np.bool_] = sensor.clear_mask(acquisition, layers)
            return mask
    return np.isin(layer, acquisition.clear) if acquisition.clear else np.asarray(layer != 0)


def _search(settings: Settings, progress: Progress) -> list[Any]:
    """Return the items of the catalogue; if the API does not respond, the items of the last identical search."""
    import pystac

    if settings.catalogue:
        return items_of(settings.catalogue)
    assert settings.cache
    question = json.dumps([settings.url, settings.collections, settings.area, str(settings.start), str(settings.end)])
    answer = settings.cache / "searches" / f"{digest(question)}.json"
    try:
        items = _request(settings)
    except SourceError as error:
        if not answer.exists():
            raise
        when = f"{datetime.fromtimestamp(answer.stat().st_mtime):%Y-%m-%d %H:%M}"
        progress.say(Note.of("earlier_answer", reason=str(error), when=when))
        return [pystac.Item.from_dict(one) for one in json.loads(answer.read_text(encoding="utf-8"))]
    # Signatures expire, so that the kept answer loses nothing without them.
    _write(answer, redacted(json.dumps([item.to_dict(transform_hrefs=False) for item in items])).encode())
    return items


def _request(settings: Settings) -> list[Any]:
    import pystac_client
    import requests
    from pystac_client.stac_api_io import StacApiIO
    from urllib3 import Retry

    again = Retry(
        total=settings.retries, backoff_factor=0.5, backoff_max=LONGEST_WAIT, allowed_methods=None,
        status_forcelist=(408, 429, 500, 502, 503, 504),
    )  # fmt: skip
    days = f"{settings.start or '..'}/{settings.end or '..'}" if settings.start or settings.end else None
    try:
        client = pystac_client.Client.open(settings.url, stac_io=StacApiIO(max_retries=again, timeout=60))
        search = client.search(
            collections=list(settings.collections) or None, bbox=settings.area, datetime=days, limit=200
        )
        return list(search.items())
    except (pystac_client.exceptions.APIError, requests.RequestException, NotImplementedError, KeyError) as error:
        raise SourceError(
            f"The STAC API {settings.url} does not respond ({_short(error)}). Check 'url' and the network."
        ) from error


def _chosen(items: Sequence[Any], settings: Settings, progress: Progress) -> list[Any]:
    """Return the items that match the settings, in order of time; of the same day, the newest processing first."""
    chosen = [item for item in items if _fits(item, settings)]
    if settings.cloud is not None:
        known = [item for item in chosen if isinstance(item.properties.get("eo:cloud_cover"), int | float)]
        if len(known) < len(chosen):
            progress.say(Note.of("no_cloud_cover", n=len(chosen) - len(known), total=len(chosen)))
        chosen = [item for item in known if item.properties["eo:cloud_cover"] <= settings.cloud]
    if lasting := [item for item in chosen if item.datetime is None]:
        progress.say(Note.of("intervals", n=len(lasting), total=len(chosen)))
    orbits = {item.properties.get("sat:relative_orbit") for item in chosen} - {None}
    if settings.radar and len(orbits) > 1:
        progress.say(Note.of("several_orbits", orbits=sorted(orbits)))
    chosen.sort(key=version, reverse=True)
    chosen.sort(key=lambda item: f"{time_of(item):%Y%m%d}")
    return chosen


def _fits(item: Any, settings: Settings) -> bool:
    """Return whether an item is of the collections, the days and the area; an item that lasts fits if one of its days does."""
    first, last = interval(item)
    if (settings.start and last.date() < settings.start) or (settings.end and first.date() > settings.end):
        return False
    if settings.collections and item.collection_id not in settings.collections:
        return False
    if settings.relative_orbit and item.properties.get("sat:relative_orbit") != settings.relative_orbit:
        return False
    if settings.area is None or item.bbox is None:
        return True
    half = len(item.bbox) // 2  # a box of three dimensions has the elevation after the latitude
    west, south, east, north = settings.area
    return bool(
        item.bbox[1] < north
        and item.bbox[half + 1] > south
        and longitudes_meet((west, east), (item.bbox[0], item.bbox[half]))
    )


class _OutsideError(Exception):
    """The bounding box of an item, in degrees, touches the area, but its image does not."""


def _guarded(settings: Settings) -> Callable[[Any], Acquisition | SourceError | None]:
    """Return a function that gives the acquisition of an item, or the error, or None if its image is outside the area."""
    sign = _signer(settings.sign)
    versions = Versions(ask=not settings.sign)

    def work(item: Any) -> Acquisition | SourceError | None:
        try:
            return _acquisition(item, settings, sign, versions)
        except SourceError as error:
            return error
        except _OutsideError:
            return None

    return work


def _signer(name: str) -> Callable[[Any], Any]:
    if not name:
        return lambda item: item
    module, _, function = name.partition(":")
    try:
        signer: Callable[[Any], Any] = getattr(outside(module, f"The signing function '{name}'"), function)
    except (UnknownNameError, AttributeError) as error:
        raise SourceError(f"{error} Check 'sign'.") from error
    return signer


def _acquisition(item: Any, settings: Settings, sign: Callable[[Any], Any], versions: Versions) -> Acquisition:
    wanted = dict(settings.bands) | ({"quality": settings.quality} if settings.quality else {})
    missing = [asset for asset in wanted.values() if asset not in item.assets]
    if missing:
        raise SourceError(f"Item {item.id} has no asset '{missing[0]}'. Its assets are {', '.join(item.assets)}.")
    paths = {name: _local(item, asset, settings, sign, versions) for name, asset in wanted.items()}
    for name, asset in wanted.items():
        check_count(item, asset, max(bands_declared(item, asset), inspect(paths[name]).count))
    files = {
        n: BandFile(paths[n], 1, decoding_of(item, asset, settings, paths[n])) for n, asset in settings.bands.items()
    }
    layer, clear = _clear(settings)
    quality = {layer: BandFile(paths["quality"], 1)} if settings.quality else {}
    when = time_of(item)
    orbit = str(item.properties.get("sat:relative_orbit", "")) if settings.radar else ""
    return Acquisition(when, files, quality, clear, f"{when:%Y%m%d}{orbit}", None, {"item": item.id})


def _clear(settings: Settings) -> tuple[str, tuple[int, ...]]:
    """Return the name of the quality layer, which selects its rules, and the values of the acquisition's ``clear``."""
    if settings.like == "landsat_c2l2":
        return ("quality", settings.clear) if settings.clear else (MASKS[settings.like][0], (landsat_c2l2.SNOW,))
    if settings.like == "sentinel2_l2a":
        return MASKS[settings.like][0], settings.clear or sentinel2_l2a.CLEAR
    return "quality", settings.clear


def _local(item: Any, asset: str, settings: Settings, sign: Callable[[Any], Any], versions: Versions) -> Path:
    """Return the path of an asset on disk, or of its copy in the cache, which is downloaded if this version is missing."""
    href = _address(item, asset)
    if not REMOTE.match(href):
        path = path_of(href)
        if settings.url:
            raise SourceError(
                f"Item {item.id}, asset {asset}: the API {settings.url} gives a path on this machine ({path}) instead of an "
                "address. The item is refused. Check 'url'."
            )
        if not path.exists():
            raise SourceError(f"Item {item.id}, asset {asset}: {path} does not exist. Check the link in the catalogue.")
        return path
    if settings.cache is None:
        raise SourceError(f"Item {item.id} is not on disk ({href}). Set 'cache' to a folder for its copy.")
    changed = item.properties.get("updated") or item.properties.get("created") or ""
    # Signatures change from one hour to the next; the address without its query does not.
    key = digest(redacted_address(href).partition("?")[0], settings.area, changed)
    folder = inside(settings.cache, item.collection_id or "items", item.id)
    kept = version_in_cache(folder, f"{safe_name(asset)}-{key}", versions.of(item, asset, href))
    path = inside(folder, kept.name)
    if not path.exists():
        _with_retries(
            lambda: _fetch(sign(item.clone()), asset, settings, path),
            settings.retries,
            f"Item {item.id}, asset {asset}",
        )
    inspect(path)
    return path


def _with_retries(work: Callable[[], None], retries: int, subject: str) -> None:
    """Call `work`. After a failure, wait and retry; the pause doubles each time."""
    for attempt in range(retries + 1):
        try:
            work()
            return
        except (OSError, rasterio.errors.RasterioError, RuntimeError, ValueError) as error:
            if isinstance(error, OSError) and error.errno in (
                13,
                28,
                30,
            ):  # access denied, disk full, read-only: retries cannot help
                raise SourceError(
                    f"{subject} cannot be written to the cache: {error.strerror} ({error.filename})."
                ) from error
            if attempt == retries:
                raise SourceError(
                    f"{subject} cannot be read after {attempt + 1} attempt(s) ({_short(error)}). The link may be broken."
                ) from error
            clock.sleep(min(LONGEST_WAIT, 0.5 * 2**attempt) * (0.5 + random.random() / 2))


def _fetch(item: Any, asset: str, settings: Settings, path: Path) -> None:
    """Read an asset over the area, on its native grid, and write it to `path` with its mask."""
    import odc.stac

    with rasterio.Env(**HTTP):
        geobox, scale, offset = _layout(item, asset)
        if settings.area is not None:
            geobox = _crop(geobox, settings.area)
        loaded = odc.stac.load(
            [item], bands=[asset], geobox=geobox, fail_on_error=True, stac_cfg=_as_stored(item, asset)
        )
        mask = _mask(item, asset, geobox)
        values, nodata = loaded[asset].values[0], loaded[asset].attrs.get("nodata")
        if nodata is None:  # of an item that gives the data type only
            with rasterio.open(_address(item, asset)) as dataset:
                nodata = dataset.nodata
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, own_part_of(path)) as partial, rasterio.open(
        partial, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, dtype=values.dtype,
        crs=geobox.crs.to_wkt(), transform=geobox.transform, nodata=nodata, compress="deflate", tiled=True,
        BIGTIFF="IF_SAFER",
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
        dataset.scales, dataset.offsets = (scale,), (offset,)
        if mask is not None:
            with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
                dataset.write_mask(mask)


def _as_stored(item: Any, asset: str) -> dict[str, Any]:
    """Return the odc-stac configuration with data type and nodata of an asset whose item does not give its data type."""
    if declared_values(item, asset).get("data_type"):
        return {}
    with rasterio.open(_address(item, asset)) as dataset:
        stored = {"data_type": dataset.dtypes[0], "nodata": dataset.nodata}
    return {"assets": {asset: stored}}


def _mask(item: Any, asset: str, geobox: Any) -> NDArray[np.uint8] | None:
    """Return the mask or alpha band of an asset on a part of its grid, 0 where not valid; None if it has none."""
    with rasterio.open(_address(item, asset)) as dataset:
        if {MaskFlags.all_valid, MaskFlags.nodata} & set(dataset.mask_flag_enums[0]):
            return None
        x, y = ~dataset.transform @ (geobox.transform.c, geobox.transform.f)
        height, width = geobox.shape
        part = RioWindow(round(x), round(y), width, height)
        return np.asarray(dataset.read_masks(1, window=part))


def _layout(item: Any, asset: str) -> tuple[Any, float, float]:
    """Return the grid, scale and offset of an asset, read from its file: in items they may be rounded or missing."""
    from odc.geo.geobox import GeoBox

    with rasterio.open(_address(item, asset)) as dataset:
        check_count(item, asset, dataset.count)
        if dataset.crs is None:
            points = "ground control points and no CRS" if dataset.gcps[0] else "no CRS"
            raise SourceError(
                f"Item {item.id}, asset {asset}: the image has {points}. Use a collection of terrain-corrected or orthorectified "
                "images (for Sentinel-1, RTC instead of GRD)."
            )
        return GeoBox(dataset.shape, dataset.transform, dataset.crs), dataset.scales[0], dataset.offsets[0]


def _address(item: Any, asset: str) -> str:
    href: str = item.assets[asset].href
    return href if is_file_uri(href) else str(item.assets[asset].get_absolute_href() or href)


def _crop(geobox: Any, area: tuple[float, float, float, float]) -> Any:
    from odc.geo.geom import box

    west, south, east, north = area
    wanted = box(west, south, east + 360 * (east < west), north, crs=WGS84).to_crs(geobox.crs, resolution="auto")
    part = geobox.overlap_roi(geobox.enclosing(wanted))
    cropped = geobox[part]
    if cropped.is_empty():
        raise _OutsideError
    return cropped


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, own_part_of(path)) as partial:
        partial.write_bytes(content)


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
