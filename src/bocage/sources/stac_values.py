"""Values of the assets of STAC items: their decoding, by the recipe, the item or the file, and checks of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bocage.errors import SourceError
from bocage.progress import Progress
from bocage.sources.base import Acquisition, Decoding
from bocage.sources.declared import COMMON, RADAR
from bocage.sources.raster import inspect
from bocage.sources.stac_items import adds_offset, declared_values, is_sentinel2, reflectance_decoding
from bocage.words import Note

if TYPE_CHECKING:
    from bocage.sources.stac import Settings


def decoding_of(item: Any, asset: str, settings: "Settings", path: Path) -> Decoding:
    """Return the decoding of an asset: what the recipe gives, else the item, else its file.

    Raises
    ------
    SourceError
        The rules of the sensor `like` need a scale, or a processing baseline, that the item does not have.
    """
    band = declared_values(item, asset)
    info = inspect(path)
    declared = (info.scales[0], info.offsets[0]) if (info.scales[0], info.offsets[0]) != (1.0, 0.0) else (None, None)
    scale, offset = band.get("scale", declared[0]), band.get("offset", declared[1])
    scale = settings.scale if settings.scale is not None else scale
    offset = settings.offset if settings.offset is not None else offset
    if settings.like == "sentinel2_l2a" and settings.offset is None:
        scale, offset = reflectance_decoding(item, scale, offset)
    if settings.like == "landsat_c2l2" and scale is None:
        raise SourceError(f"Item {item.id}, asset {asset} has no scale. Set 'scale' and 'offset' in the recipe.")
    nodata = settings.nodata if settings.nodata is not None else band.get("nodata")
    nodata = float(nodata) if nodata is not None else None
    kind: Literal["", "power", "amplitude"] = ""
    if settings.decibel:
        kind = "amplitude" if settings.stored == "amplitude" else "power"
    return Decoding(1.0 if scale is None else float(scale), float(offset or 0), nodata, decibel=kind)


def say_scales(items: Sequence[Any], settings: "Settings", progress: Progress) -> None:
    """Report the first item whose scale or offset differs from those of the recipe."""
    for item in items:
        for asset in settings.bands.values():
            declared = declared_values(item, asset) if asset in item.assets else {}
            for key, given in (("scale", settings.scale), ("offset", settings.offset)):
                if given is not None and not np.isclose(float(declared.get(key, given)), given, rtol=1e-6):
                    scale, offset = (f"{declared.get(k, d):g}" for k, d in (("scale", 1), ("offset", 0)))
                    progress.say(Note.of("scale_differs", file=f"{item.id}, {asset}", scale=scale, offset=offset))
                    return


def check_offsets(
    items: Sequence[Any], found: Sequence[Acquisition], settings: "Settings", progress: Progress
) -> None:  # fmt: skip
    """Report reflectance of Sentinel-2 whose offset since baseline 04.00 nothing removes.

    Raises
    ------
    SourceError
        Other items do not have this offset: the values of one surface would differ between the dates.
    """
    bands = {name: asset for name, asset in settings.bands.items() if name in COMMON and name not in RADAR}
    if settings.like or settings.offset is not None:
        return
    plain = {a.details["item"] for a in found if any(a.files[name].decoding.offset == 0 for name in bands)}
    kept = [item for item in items if item.id in plain and is_sentinel2(item) and not _says_offset(item, bands)]
    added = [item for item in kept if adds_offset(item)]
    if not added:
        return
    if len(added) < len(kept):
        raise SourceError(
            f"{len(added)} of {len(kept)} items, such as {added[0].id}, are of baseline 04.00 or later, which adds 1000 to the "
            "stored reflectance, and neither the items nor the recipe give an offset: values would differ between the dates. Set "
            "like = \"sentinel2_l2a\", which removes it, or 'offset'."
        )
    progress.say(Note.of("no_offset", n=len(added), total=len(items)))


def _says_offset(item: Any, bands: Mapping[str, str]) -> bool:
    """Return whether an item gives the offset of all these assets, which may be 0."""
    return all("offset" in declared_values(item, asset) for asset in bands.values())
