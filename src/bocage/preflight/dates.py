"""Checks of acquisition dates: gaps, duplicates, and the share of clear pixels per month."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bocage.grid import Grid, Window
from bocage.preflight.finding import Finding
from bocage.scene import Fill
from bocage.sources import Readable, Source, TableSource
from bocage.words import Note

LONGEST = 45
"""Longest accepted gap between two usable dates, in days; longer gaps are reported."""
CLEAR_ENOUGH = 0.1
"""Smallest share of clear pixels of a usable date, 0 to 1."""
SIDE, SPOTS = 48, 3
"""Side of a sampled window in pixels, and number of windows along each axis of the map."""


@dataclass(frozen=True)
class Clearness:
    """Share of clear pixels of each date (0 to 1), over windows distributed regularly on the map."""

    times: tuple[datetime, ...]
    share: NDArray[np.float64]
    ever: float = 1.0
    """Share of the pixels, 0 to 1, that are clear on some date."""


def clearness(source: Readable, grid: Grid) -> Clearness:
    """Return the share of clear pixels of each date, on the pixels of `grid`; of a table, the share of samples with a value."""
    times = tuple(time for time in source.times if time is not None)
    if isinstance(source, TableSource):
        return Clearness(times, source.seen.mean(0), float(source.seen.any(1).mean()))
    shares, ever = [], []
    for window in _spots(grid):
        _, valid = source.read(grid, window)
        shares.append(valid.reshape(len(valid), -1).mean(1))
        ever.append(valid.any(0).mean())
    return Clearness(times, np.mean(shares, axis=0), float(np.mean(ever)))


def _spots(grid: Grid) -> list[Window]:
    height, width = (min(SIDE, n) for n in grid.shape)
    starts = [
        (np.linspace(0, n - side, SPOTS if n > SPOTS * side else 1))
        for n, side in zip(grid.shape, (height, width), strict=True)
    ]
    return [Window(round(y), round(x), height, width) for y in starts[0] for x in starts[1]]


def check_dates(source: Readable, clear: Clearness, fill: Fill | None) -> Iterator[Finding]:
    """Return findings on gaps, duplicates, the period of gap filling, and clear pixels, or samples, per month."""
    table = isinstance(source, TableSource)
    enough = 0 if table else CLEAR_ENOUGH
    usable = [time for time, share in zip(clear.times, clear.share, strict=True) if share and share >= enough]
    if not usable:
        note = Note.of("no_sample_date" if table else "no_clear_date", n=len(clear.times), share=100 * CLEAR_ENOUGH)
        yield Finding.of("error", source.name, note)
        return
    for first, second in pairwise(usable):
        days = (second - first).days
        if days > LONGEST and _spanned(source, first, second):
            note = Note.of("date_gap", n=days, first=f"{first:%Y-%m-%d}", last=f"{second:%Y-%m-%d}")
            yield Finding.of("warning", source.name, note, "date_gap_filled" if fill else "date_gap_remedy")
    if fill:
        yield from _ends(source.name, usable, fill)
    if isinstance(source, Source):
        several = [members for members in source.dates if len(members) > 1]
        if several:
            yield Finding.of("note", source.name, Note.of("several_acquisitions", n=len(several)))
    by_month = Note.of("samples_by_month" if table else "clear_by_month", months=_by_month(clear))
    yield Finding.of("note", source.name, by_month, "by_month_filled" if fill else "by_month_masked")


def _spanned(source: Readable, first: datetime, second: datetime) -> bool:
    """Return whether a gap between two dates lies in a series: in that of a sample, for a table."""
    if not isinstance(source, TableSource):
        return True
    starts, ends = source.own_ends
    before, after = (np.datetime64(time, "D").astype(int) for time in (first, second))
    return bool(((starts <= before) & (ends >= after)).any())


def _ends(name: str, usable: list[datetime], fill: Fill) -> Iterator[Finding]:
    first, last = usable[0].date(), usable[-1].date()
    if (days := (first - fill.start).days) > LONGEST:
        yield Finding.of("warning", name, Note.of("fill_starts_early", n=days, date=str(first)), "fill_closer")
    if (days := (fill.end - last).days) > LONGEST:
        yield Finding.of("warning", name, Note.of("fill_ends_late", n=days, date=str(last)), "fill_closer")


def _by_month(clear: Clearness) -> tuple[Note, ...]:
    """Return the mean share of clear pixels, and the number of dates, of each month."""
    months: dict[str, list[float]] = defaultdict(list)
    for time, share in zip(clear.times, clear.share, strict=True):
        months[f"{time:%Y-%m}"].append(float(share))
    return tuple(
        Note.of("month_clear", month=month, share=100 * float(np.mean(shares)), n=len(shares))
        for month, shares in sorted(months.items())
    )
