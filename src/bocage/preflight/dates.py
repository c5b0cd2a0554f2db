"""When sources saw the ground: gaps, duplicates, and how much of it was clear, month by month."""

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
"""Days between two usable dates from which on a gap is told."""
CLEAR_ENOUGH = 0.1
"""Share of the map that must be clear for a date to count."""
SIDE, SPOTS = 48, 3
"""Pixels a side of the windows looked at, and windows a side of the map."""


@dataclass(frozen=True)
class Clearness:
    """Share of clear pixels of every date, over windows spread on the map."""

    times: tuple[datetime, ...]
    share: NDArray[np.float64]


def clearness(source: Readable, grid: Grid) -> Clearness:
    """Measure it, on the source's own pixels."""
    shares = []
    for window in _spots(grid):
        _, valid = source.read(grid, window)
        shares.append(valid.reshape(len(valid), -1).mean(1))
    times = tuple(time for time in source.times if time is not None)
    return Clearness(times, np.mean(shares, axis=0))


def _spots(grid: Grid) -> list[Window]:
    height, width = (min(SIDE, n) for n in grid.shape)
    places = [
        (np.linspace(0, n - side, SPOTS if n > SPOTS * side else 1))
        for n, side in zip(grid.shape, (height, width), strict=True)
    ]
    return [Window(round(y), round(x), height, width) for y in places[0] for x in places[1]]


def check_dates(source: Readable, clear: Clearness, fill: Fill | None) -> Iterator[Finding]:
    """Tell gaps, duplicates and cloudy months."""
    usable = [time for time, share in zip(clear.times, clear.share, strict=True) if share >= CLEAR_ENOUGH]
    if not usable:
        yield Finding(
            "error", source.name, f"none of {len(clear.times)} dates is clear over {100 * CLEAR_ENOUGH:.0f} % of the map or more",
            "Check the quality layer and the values listed as clear.",
        )  # fmt: skip
        return
    for first, second in pairwise(usable):
        days = (second - first).days
        if days > LONGEST:
            yield Finding(
                "warning", source.name, f"{days} days without a clear date, from {first:%Y-%m-%d} to {second:%Y-%m-%d}",
                "Add acquisitions, or another sensor; what is interpolated over such a gap is a guess.",
            )  # fmt: skip
    if fill:
        yield from _ends(source.name, usable, fill)
    if isinstance(source, Source):
        several = [members for members in source.dates if len(members) > 1]
        if several:
            yield Finding(
                "note", source.name, f"{len(several)} dates are made of several acquisitions (tiles or duplicates)",
                "Nothing to do: at each pixel the first that is clear counts, the newest processing first.",
            )  # fmt: skip
    yield Finding(
        "note", source.name, _by_month(clear), "Nothing to do; months with little are carried by their neighbours."
    )


def _ends(name: str, usable: list[datetime], fill: Fill) -> Iterator[Finding]:
    for what, days in (("begins", (usable[0].date() - fill.start).days), ("ends", (fill.end - usable[-1].date()).days)):
        if days > LONGEST:
            edge = usable[0] if what == "begins" else usable[-1]
            yield Finding(
                "warning", name, f"'fill' {what} {days} days {'before' if what == 'begins' else 'after'} the "
                f"{'first' if what == 'begins' else 'last'} clear date ({edge:%Y-%m-%d}), whose value it repeats",
                "Bring the declared dates nearer to those of the acquisitions.",
            )  # fmt: skip


def _by_month(clear: Clearness) -> str:
    months: dict[str, list[float]] = defaultdict(list)
    for time, share in zip(clear.times, clear.share, strict=True):
        months[f"{time:%Y-%m}"].append(float(share))
    shown = ", ".join(
        f"{month} {100 * np.mean(shares):.0f} % of {len(shares)}" for month, shares in sorted(months.items())
    )
    return f"clear share of its dates by month: {shown}"
