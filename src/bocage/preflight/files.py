"""Checks of files: header, a block of pixels, nodata, and the range of values."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.grid import Window
from bocage.preflight.finding import Finding, Severity
from bocage.progress import Progress
from bocage.sources.base import BandFile
from bocage.sources.declared import RADAR
from bocage.sources.raster import inspect, read
from bocage.sources.source import Source
from bocage.words import Note

BLOCK = 256
"""Side of the block read from each file, in pixels."""
OPTICAL = ("blue", "green", "red", "nir", "pan", "swir", "rededge", "coastal")
REFLECTANCE, BACKSCATTER = (-0.2, 1.5), (-40.0, 15.0)
"""Plausible ranges: reflectance, and backscatter in dB."""
ODD = 0.01
"""Share of values outside the plausible range from which it is reported."""
CONSTANT = 0.02
"""Share of pixels with the same extreme value from which it is reported as undeclared nodata."""
MOST = 6
"""Maximum number of files named in a finding."""


@dataclass
class Seen:
    """Statistics of the blocks of one band, over all dates."""

    values: list[NDArray[Any]]
    """Valid physical values."""
    zero: list[str]
    """Files whose block has only zeros."""
    extreme: dict[float, list[tuple[str, float]]]
    """Stored value that may be undeclared nodata → file names, with the share of pixels in each."""


def check_files(source: Source, progress: Progress) -> Iterator[Finding]:
    """Read a block of each band of each acquisition; return findings on damaged files, nodata and value ranges."""
    seen = {name: Seen([], [], {}) for name in source.bands}
    total = len(source.acquisitions)
    for done, acquisition in enumerate(source.acquisitions, start=1):
        for name, file in acquisition.files.items():
            try:
                _look(file, seen[name], done)
            except SourceError as error:
                yield Finding.quoting(source.name, error, "copy_again")
        for file in acquisition.quality.values():
            try:
                _block(file, done)
            except SourceError as error:
                yield Finding.quoting(source.name, error, "copy_again")
        progress.step(f"reading a block of every file of {source.name}", done, total)
    for name, band in seen.items():
        yield from _findings(source.name, name, band, total)


def _block(file: BandFile, turn: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return stored values and validity (y, x) of a block of a file with a valid value that is not 0, if one of five has any.

    Which one is looked at first depends on `turn`. Corners of a scene are often empty.
    """
    grid = inspect(file.path).grid
    height, width = (min(BLOCK, n) for n in grid.shape)
    spots = ((0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, 0.0))
    for k in range(len(spots)):
        down, across = spots[(turn + k) % len(spots)]
        window = Window(round(down * (grid.shape[0] - height)), round(across * (grid.shape[1] - width)), height, width)
        stored, valid = read(file.path, [file.index], grid, window, "nearest", file.decoding)
        if (stored[valid] != 0).any():
            break
    return stored[0], valid[0]


def _look(file: BandFile, seen: Seen, turn: int) -> None:
    stored, valid = _block(file, turn)
    label = f"{file.path.name}[{file.index}]" if inspect(file.path).count > 1 else file.path.name
    if not np.any(stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored):
        seen.zero.append(label)
    elif file.decoding.nodata is None and inspect(file.path).nodata is None and valid.all():
        _look_for_nodata(stored, label, seen)
    if valid.any():
        sampled = stored[valid][:: max(1, int(valid.sum()) // 4000)]
        seen.values.append(file.decoding.physical(sampled))


def _look_for_nodata(stored: NDArray[Any], label: str, seen: Seen) -> None:
    """Record the smallest or largest value of the block as possible nodata if it fills at least 90 % of one edge."""
    edges = (stored[0], stored[-1], stored[:, 0], stored[:, -1])
    for value in (stored.min(), stored.max()):
        share = float((stored == value).mean())
        if share >= CONSTANT and share < 1 and any((edge == value).mean() > 0.9 for edge in edges):
            seen.extreme.setdefault(float(value), []).append((label, share))


def _findings(source: str, band: str, seen: Seen, total: int) -> Iterator[Finding]:
    where = f"{source}.{band}"
    if seen.zero:
        severity: Severity = "error" if len(seen.zero) == total else "warning"
        yield Finding.of(severity, where, Note.of("only_zeros", n=len(seen.zero), total=total, files=_some(seen.zero)))
    for value, files in seen.extreme.items():
        share = float(np.mean([s for _, s in files]))
        # The value is text: the remedy shows it as the recipe writes it, with a decimal point in every language.
        values: dict[str, Any] = {"value": f"{value:g}", "name": source, "files": _some([file for file, _ in files])}
        yield Finding.of("warning", where, Note.of("nodata_undeclared", share=100 * share, **values))
    if seen.values:
        yield from _range(source, band, np.concatenate(seen.values))
    else:
        yield Finding.of("error", where, Note.of("no_valid_value"))


def _range(source: str, band: str, values: NDArray[Any]) -> Iterator[Finding]:
    kind, (low, high) = _expected(band)
    if not kind:
        return
    outside = float(((values < low) | (values > high)).mean())
    if outside < ODD:
        return
    p1, p99 = (float(p) for p in np.percentile(values, (1, 99)))
    note = Note.of(
        "out_of_range", share=100 * outside, low=low, high=high, quantity=Note.of(f"quantity_{kind}"), p1=p1, p99=p99
    )
    remedy = "linear_power_remedy" if kind == "backscatter" and values.min() >= 0 else f"{kind}_remedy"
    yield Finding.of("error" if outside > 0.5 else "warning", f"{source}.{band}", note, remedy)


def _expected(band: str) -> tuple[str, tuple[float, float]]:
    """Return quantity and plausible range of a band, from its common name; an empty text if unknown."""
    if band in RADAR:
        return "backscatter", BACKSCATTER
    return ("reflectance", REFLECTANCE) if band.startswith(OPTICAL) else ("", (0, 0))


def _some(names: list[str]) -> tuple[str, ...] | Note:
    shown, more = tuple(names[:MOST]), len(names) - MOST
    return Note.of("and_more", names=shown, n=more) if more > 0 else shown
