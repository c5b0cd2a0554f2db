"""What a STAC item says about itself: its time, its processing, the values of its assets."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from bocage.errors import SourceError
from bocage.sources import sentinel2_l2a
from bocage.sources.times import in_utc

ADDED = -1000.0
"""What is added to stored reflectance of Sentinel-2 since baseline 04.00, before the scale."""


def longitudes_meet(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Return whether two intervals of longitudes overlap; west is larger than east across the antimeridian.

    >>> longitudes_meet((178, -178), (-180, -179)), longitudes_meet((1, 2), (178, -178))
    (True, False)
    """
    (a, b), (c, d) = ((west, east + 360 * (east < west)) for west, east in (one, other))
    return any(a < d + turn and b > c + turn for turn in (-360, 0, 360))


def is_file_uri(href: str) -> bool:
    """Return whether a link is a ``file:`` URI, which is absolute with two slashes, three or one."""
    return href.lower().startswith("file:")


def path_of(href: str) -> Path:
    """Return the path on disk of a link: the one as it is written, or else the one without percent encoding.

    >>> path_of("file:/no/such%20folder/B04.tif").as_posix(), path_of("file://localhost/no/B04.tif").as_posix()
    ('/no/such folder/B04.tif', '/no/B04.tif')
    """
    if not is_file_uri(href):
        written, decoded = Path(href), Path(unquote(href))
    else:
        written = Path(re.sub(r"(?i)\Afile:(?://(?:localhost)?(?=/))?", "", href))
        decoded = Path(url2pathname(urlsplit(href).path))
    return written if written.exists() else decoded


def items_of(catalogue: Path) -> list[Any]:
    """Return the items of a catalogue on disk, or the item in the file. Its links may have percent encoding.

    Raises
    ------
    SourceError
        The file, or one that it links to, is missing or is not STAC.
    """
    import pystac
    from pystac.stac_io import DefaultStacIO

    class OnDisk(DefaultStacIO):
        def read_text_from_href(self, href: str) -> str:
            remote = "://" in href and not is_file_uri(href)
            text = super().read_text_from_href(href if remote else str(path_of(href)))
            return re.sub(r'(?i)"file:/(?=[^/])', '"file:///', text)  # pystac takes one slash for a relative link

    try:
        root = pystac.read_file(str(catalogue), OnDisk())
        return list(root.get_items(recursive=True)) if isinstance(root, pystac.Catalog) else [root]
    except (OSError, ValueError, KeyError, pystac.STACError) as error:
        raise SourceError(f"{catalogue} is not a complete STAC catalogue: {error}.") from error


def interval(item: Any) -> tuple[datetime, datetime]:
    """Return the first and the last time of an item, UTC; both are its time, if it has one.

    Raises
    ------
    SourceError
        The item has neither a time nor a start and an end.
    """
    if item.datetime is not None:
        return in_utc(item.datetime), in_utc(item.datetime)
    try:
        start, end = (datetime.fromisoformat(item.properties[f"{n}_datetime"]) for n in ("start", "end"))
    except (KeyError, ValueError, TypeError) as error:
        raise SourceError(
            f"Item {item.id} has neither 'datetime' nor a valid 'start_datetime' and 'end_datetime'. Correct the item."
        ) from error
    return in_utc(start), in_utc(end)


def time_of(item: Any) -> datetime:
    """Return the time of an item, UTC; the middle of an item that lasts (a composite)."""
    first, last = interval(item)
    return first + (last - first) / 2


def version(item: Any) -> tuple[str, str, str]:
    """Return a value that is larger for a newer processing: its time, its baseline, and the id of the item."""
    names = ("s2:generation_time", "processing:datetime", "created", "updated")
    text = next((str(item.properties[name]) for name in names if item.properties.get(name)), "")
    try:
        made = in_utc(datetime.fromisoformat(text)).isoformat()
    except ValueError:
        made = ""
    baseline = item.properties.get("s2:processing_baseline") or item.properties.get("processing:version") or ""
    return made, str(baseline), item.id


def declared_values(item: Any, asset: str) -> dict[str, Any]:
    """Return what an item declares about the values of an asset (scale, offset, nodata, data_type).

    STAC 1.0 has it in ``raster:bands``; STAC 1.1 in ``bands``, or on the asset where it holds for all its bands.
    """
    extra = item.assets[asset].extra_fields
    found: dict[str, Any] = {}
    for place in (extra, *((extra.get(key) or [{}])[0] for key in ("bands", "raster:bands"))):
        fields = {key.removeprefix("raster:"): value for key, value in place.items() if value is not None}
        found |= {key: fields[key] for key in ("scale", "offset", "nodata", "data_type") if key in fields}
    return found


def bands_declared(item: Any, asset: str) -> int:
    """Return the number of bands that an item declares for an asset; 0 if it declares none."""
    return max(len(item.assets[asset].extra_fields.get(key) or ()) for key in ("bands", "raster:bands"))


def check_count(item: Any, asset: str, count: int) -> None:
    """Check that an asset has one band.

    Raises
    ------
    SourceError
        It has several.
    """
    if count > 1:
        raise SourceError(
            f"Item {item.id}, asset {asset} has {count} bands, and only its first would be read. Use the assets of the single "
            "bands, or the sensor 'image' or 'series' with the files."
        )


def reflectance_decoding(item: Any, scale: float | None, offset: float | None) -> tuple[float, float]:
    """Return scale and offset of Sentinel-2 reflectance: those given, else those of its processing baseline.

    Raises
    ------
    SourceError
        Neither is known.
    """
    factor = 1e-4 if scale is None else scale
    if item.properties.get("earthsearch:boa_offset_applied"):
        return factor, 0.0
    if scale is not None and offset is not None:
        return scale, offset
    added = adds_offset(item)
    if added is None:
        raise SourceError(
            f"Item {item.id} has neither scale and offset nor a processing baseline. Set 'scale' and 'offset' in the recipe."
        )
    return factor, ADDED * factor if added else 0.0


def adds_offset(item: Any) -> bool | None:
    """Return whether the stored reflectance of a Sentinel-2 item has the offset of baseline 04.00; None without a baseline."""
    if item.properties.get("earthsearch:boa_offset_applied"):
        return False
    baseline = item.properties.get("s2:processing_baseline") or item.properties.get("processing:version")
    match = re.fullmatch(r"(\d+)\.(\d+)", str(baseline or ""))
    return (int(match[1]), int(match[2])) >= sentinel2_l2a.OFFSET_SINCE if match else None


def is_sentinel2(item: Any) -> bool:
    """Return whether an item says that it is of Sentinel-2."""
    named = (str(item.properties.get(key) or "").lower() for key in ("constellation", "platform"))
    return "s2:processing_baseline" in item.properties or any(name.startswith("sentinel-2") for name in named)
