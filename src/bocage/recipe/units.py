"""Remarks on a source of rasters whose unit is not proposed, or does not hold for all of its bands."""

import re

from bocage.sources import Source
from bocage.sources.declared import RADAR
from bocage.sources.values import OPTICAL, Unit


def unnamed(key: str, source: Source, unit: Unit) -> list[str]:
    """Return a remark if no unit is proposed for a source with several bands, whose names are not known."""
    if len(source.bands) < 2 or unit.why or set(source.bands) & {*OPTICAL, *RADAR}:
        return []
    shown = ", ".join(source.bands[:4]) + (", …" if len(source.bands) > 4 else "")
    if not all(re.fullmatch(r"b\d+", name) for name in source.bands):
        return [
            f"source '{key}': its bands ({shown}) have no common names, and their unit is not proposed. Write the common names "
            "(blue, green, red, nir, …) of spectral bands, and 'scale' if their values are not reflectance or dB"
        ]
    dates = (
        "" if source.dated else "If each band is a date, use sensor 'series', with the dates in the setting 'dates'. "
    )
    return [
        f"source '{key}': its {len(source.bands)} bands have no name, and their unit is not proposed. {dates}Write the common "
        "names (blue, green, red, nir, …) in 'bands'"
    ]


def two_units(key: str, source: Source, unit: Unit) -> list[str]:
    """Return a remark if a source with bands of radar and of another kind has a scale, which only those of one kind need."""
    radar, optical = ([n for n in source.bands if n in kind] for kind in (RADAR, OPTICAL))
    others = [name for name in source.bands if name not in (*RADAR, *OPTICAL)]
    if unit.decibel and others and not optical:
        return [
            f"source '{key}': 'decibel' converts all bands, and {', '.join(others)} may be no backscatter, as a ratio or an "
            'index of it. Skip such bands ("-" in bands), or write them to files of their own'
        ]
    if not (radar and optical) or not (unit.decibel or (unit.scale, unit.offset) != (1.0, 0.0)):
        return []
    return [
        f"source '{key}': the unit is that of its {'radar' if len(radar) > len(optical) else 'optical'} bands, and the others "
        f"({', '.join(optical if len(radar) > len(optical) else radar)}) have another one. Write radar and optical bands to "
        "files of their own"
    ]
