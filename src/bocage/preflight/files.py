"""Every file opened, its header and a block of it read; what its numbers say."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Window
from bocage.preflight.finding import Finding
from bocage.progress import Progress
from bocage.sources.base import BandFile
from bocage.sources.raster import inspect, read
from bocage.sources.source import Source

BLOCK = 256
RADAR = ("vv", "vh", "hh", "hv")
OPTICAL = ("blue", "green", "red", "nir", "pan", "swir", "rededge", "coastal")
REFLECTANCE, BACKSCATTER = (-0.2, 1.5), (-40.0, 15.0)
ODD = 0.01
"""Share of values outside the range from which on it is told."""
CONSTANT = 0.02
"""Share of pixels that repeat one extreme value from which on it looks like undeclared no data."""
MOST = 6
"""Files named in one finding."""


@dataclass
class Seen:
    """What blocks of one band told, over all dates."""

    values: list[NDArray[Any]]
    """Physical values, valid ones."""
    zero: list[str]
    """Files that are all zero where they were read."""
    extreme: dict[float, list[tuple[str, float]]]
    """Stored value that may stand for no data: files and shares."""


def check_files(source: Source, progress: Progress) -> Iterator[Finding]:
    """Read a block of every band of every acquisition."""
    seen = {name: Seen([], [], {}) for name in source.bands}
    total = len(source.acquisitions)
    for done, acquisition in enumerate(source.acquisitions, start=1):
        for name, file in acquisition.files.items():
            try:
                _look(file, seen[name], done)
            except SourceError as error:
                yield Finding("error", source.name, str(error), "Copy or download the file again.")
        for file in acquisition.quality.values():
            try:
                _block(file, done)
            except SourceError as error:
                yield Finding("error", source.name, str(error), "Copy or download the file again.")
        progress.step(f"reading a block of every file of {source.name}", done, total)
    for name, one in seen.items():
        yield from _told(source.name, name, one, total)


def _block(file: BandFile, turn: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A block of a file: another part of it at each turn, as stored."""
    grid = inspect(file.path).grid
    height, width = (min(BLOCK, n) for n in grid.shape)
    spots = ((0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0))
    down, across = spots[turn % len(spots)]
    window = Window(round(down * (grid.shape[0] - height)), round(across * (grid.shape[1] - width)), height, width)
    decoding = file.decoding
    stored, valid = read(file.path, [file.index], grid, window, "nearest", decoding)
    return stored[0], valid[0]


def _look(file: BandFile, seen: Seen, turn: int) -> None:
    stored, valid = _block(file, turn)
    label = f"{file.path.name}[{file.index}]" if inspect(file.path).count > 1 else file.path.name
    if not np.any(stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored):
        seen.zero.append(label)
    elif file.decoding.nodata is None and inspect(file.path).nodata is None:
        _look_for_nodata(stored, label, seen)
    if valid.any():
        some = stored[valid][:: max(1, int(valid.sum()) // 4000)]
        seen.values.append(file.decoding.physical(some))


def _look_for_nodata(stored: NDArray[Any], label: str, seen: Seen) -> None:
    """A value that fills a whole edge of the block, and is the least or the greatest, stands for no data."""
    edges = (stored[0], stored[-1], stored[:, 0], stored[:, -1])
    for value in (stored.min(), stored.max()):
        share = float((stored == value).mean())
        if share >= CONSTANT and share < 1 and any((edge == value).mean() > 0.9 for edge in edges):
            seen.extreme.setdefault(float(value), []).append((label, share))


def _told(source: str, band: str, seen: Seen, total: int) -> Iterator[Finding]:
    where = f"{source}.{band}"
    if seen.zero:
        severity = "error" if len(seen.zero) == total else "warning"
        yield Finding(
            severity, where, f"{len(seen.zero)} of {total} files hold nothing but zeros ({_some(seen.zero)})",  # type: ignore[arg-type]
            "Check the export of this band; leave the date or the band out.",
        )  # fmt: skip
    for value, files in seen.extreme.items():
        share = float(np.mean([s for _, s in files]))
        yield Finding(
            "warning", where,
            f"no data is not declared, and {100 * share:.0f} % of the pixels read are exactly {value:g} ({_some([f for f, _ in files])})",
            f"If {value:g} means no data, say nodata = {value:g} in [sources.{source}], or declare it in the files.",
        )  # fmt: skip
    if seen.values:
        yield from _range(source, band, np.concatenate(seen.values))
    else:
        yield Finding(
            "error",
            where,
            "no valid value in any block that was read",
            "Check nodata, and that this is the right file.",
        )


def _range(source: str, band: str, values: NDArray[Any]) -> Iterator[Finding]:
    kind, (low, high) = _expected(band)
    if not kind:
        return
    outside = float(((values < low) | (values > high)).mean())
    if outside < ODD:
        return
    shown = f"values go from {np.percentile(values, 1):.4g} to {np.percentile(values, 99):.4g} (1 to 99 %)"
    if kind == "reflectance":
        remedy = (
            "Reflectance goes from 0 to about 1: say scale (0.0001 for most products) and offset, or check the file."
        )
    elif values.min() >= 0:
        remedy = "This looks like linear power: convert it to dB, or read it with a sensor that does (sentinel1_grd)."
    else:
        remedy = "Check that the file is in dB, and that its no data is declared."
    severity = "error" if outside > 0.5 else "warning"
    text = f"{100 * outside:.0f} % of the values lie outside {low:g} to {high:g}, what {kind} can be; {shown}"
    yield Finding(severity, f"{source}.{band}", text, remedy)  # type: ignore[arg-type]


def _expected(band: str) -> tuple[str, tuple[float, float]]:
    """What a band measures, by its common name, and the range that it can have."""
    if band in RADAR:
        return "backscatter in dB", BACKSCATTER
    return ("reflectance", REFLECTANCE) if band.startswith(OPTICAL) else ("", (0, 0))


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST]) + (f" and {len(names) - MOST} more" if len(names) > MOST else "")
