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
from bocage.sources.source import Readable, Source

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


def clearness(source: Readable, grid: Grid) -> Clearness:
    """Return the share of clear pixels of each date, on the pixels of `grid`."""
    shares = []
    for window in _spots(grid):
        _, valid = source.read(grid, window)
        shares.append(valid.reshape(len(valid), -1).mean(1))
    times = tuple(time for time in source.times if time is not None)
    return Clearness(times, np.mean(shares, axis=0))


def _spots(grid: Grid) -> list[Window]:
    height, width = (min(SIDE, n) for n in grid.shape)
    starts = [
        (np.linspace(0, n - side, SPOTS if n > SPOTS * side else 1))
        for n, side in zip(grid.shape, (height, width), strict=True)
    ]
    return [Window(round(y), round(x), height, width) for y in starts[0] for x in starts[1]]


def check_dates(source: Readable, clear: Clearness, fill: Fill | None) -> Iterator[Finding]:
    """Return findings on gaps, duplicates, the period of gap filling, and clear pixels per month."""
    usable = [time for time, share in zip(clear.times, clear.share, strict=True) if share >= CLEAR_ENOUGH]
    if not usable:
        yield Finding(
            "error", source.name, f"none of the {len(clear.times)} dates has clear pixels on {100 * CLEAR_ENOUGH:.0f} % of the map",
            "Check the quality band and the values listed in clear.",
        )  # fmt: skip
        return
    for first, second in pairwise(usable):
        days = (second - first).days
        if days > LONGEST:
            yield Finding(
                "warning", source.name, f"{days} days without a clear date, from {first:%Y-%m-%d} to {second:%Y-%m-%d}",
                "Add acquisitions or another sensor: values interpolated over such a gap are unreliable.",
            )  # fmt: skip
    if fill:
        yield from _ends(source.name, usable, fill)
    if isinstance(source, Source):
        several = [members for members in source.dates if len(members) > 1]
        if several:
            yield Finding(
                "note", source.name, f"{len(several)} dates have several acquisitions (tiles or duplicates)",
                "Nothing to do. Each pixel uses the first clear acquisition, the newest processing first.",
            )  # fmt: skip
    yield Finding(
        "note", source.name, _by_month(clear), "Nothing to do. Gap filling interpolates months with few clear pixels."
    )


def _ends(name: str, usable: list[datetime], fill: Fill) -> Iterator[Finding]:
    for end, days in (("starts", (usable[0].date() - fill.start).days), ("ends", (fill.end - usable[-1].date()).days)):
        if days > LONGEST:
            edge = usable[0] if end == "starts" else usable[-1]
            yield Finding(
                "warning", name, f"'fill' {end} {days} days {'before' if end == 'starts' else 'after'} the "
                f"{'first' if end == 'starts' else 'last'} clear date ({edge:%Y-%m-%d}); the value of that date is repeated",
                "Set 'fill' dates closer to the acquisition dates.",
            )  # fmt: skip


def _by_month(clear: Clearness) -> str:
    months: dict[str, list[float]] = defaultdict(list)
    for time, share in zip(clear.times, clear.share, strict=True):
        months[f"{time:%Y-%m}"].append(float(share))
    shown = ", ".join(
        f"{month} {100 * np.mean(shares):.0f} % ({len(shares)} dates)" for month, shares in sorted(months.items())
    )
    return f"mean share of clear pixels by month: {shown}"
