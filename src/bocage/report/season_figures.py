"""Pictures of the accuracy against the cut-off."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import matplotlib
import numpy as np
from matplotlib.dates import AutoDateLocator

from bocage.evaluation import SeasonScore
from bocage.evaluation.season import Interval
from bocage.report.figures import INK, MARKS, STYLE, as_svg, axes_of

WIDE = 130
"""Number of characters that are as wide as the picture."""
ALONE = timedelta(days=15)
"""Time that the axis shows before and after a single cut-off."""


def pictures(found: SeasonScore, colors: Mapping[str, str], w: Mapping[str, str]) -> list[str]:
    """Draw overall accuracy and confidence, then the F-measure of each class, against the cut-off.

    Parameters
    ----------
    colors
        Class → colour.
    """
    tested = [(k, name) for k, name in enumerate(found.once.names) if name not in found.once.untested]
    columns = int(np.clip(WIDE / (max((len(name) for _, name in tested), default=1) + 6), 1, 6))
    figure, (left, right) = axes_of((9, 3.6 + 0.22 * math.ceil(len(tested) / columns)), 2)
    _accuracy(left, found, w)
    for i, (k, name) in enumerate(tested):
        means = [value.mean for value in found.once.f1(k)]
        right.plot(found.once.days, means, color=colors[name], marker=MARKS[i % len(MARKS)], ms=4, lw=1.4, label=name)
    right.set(ylabel=w["f_measure"], ylim=(0, 1.02))
    with matplotlib.rc_context(STYLE):
        left.legend(loc="lower right")
        figure.legend(
            handles=right.lines, loc="outside lower center", ncols=columns
        )  # a column would be taller than the axes
    for axes in (left, right):
        axes.axhline(found.wanted, color=INK, lw=0.8, ls=":")
        axes.set_xlabel(w["season_until"])
        if len(found.once.days) == 1:  # else the axis of one day spans four years
            axes.set_xlim(found.once.days[0] - ALONE, found.once.days[0] + ALONE)
        axes.xaxis.set_major_locator(AutoDateLocator(maxticks=6))  # type: ignore[no-untyped-call]
    figure.autofmt_xdate()
    return [as_svg(figure, "season", w, w["alt_season"])]


def _accuracy(axes: Any, found: SeasonScore, w: Mapping[str, str]) -> None:
    """Draw the overall accuracy with its interval, that of the retrained models, and the mean confidence."""
    once, days = found.once.accuracy(), list(found.once.days)
    color = matplotlib.colormaps["viridis"](0.3)
    low, high = (_column(once, which) for which in ("low", "high"))
    if np.isfinite(low).any():
        axes.fill_between(days, low, high, where=np.isfinite(low), color=color, alpha=0.18, lw=0)
    axes.plot(days, _column(once, "mean"), "o-", color=color, ms=4, label=w["season_accuracy"])
    axes.plot(days, _column(found.once.confidence(), "mean"), "--", color=INK, lw=1, label=w["season_confidence"])
    if found.retrained:
        means = _column(found.retrained.accuracy(), "mean")
        axes.plot(
            list(found.retrained.days),
            means,
            "s",
            color=matplotlib.colormaps["viridis"](0.75),
            label=w["season_retrained"],
        )
    axes.set(ylabel=w["season_accuracy"], ylim=(0, 1.02))


def _column(values: list[Interval], which: str) -> Any:
    return np.array([getattr(value, which) for value in values])
