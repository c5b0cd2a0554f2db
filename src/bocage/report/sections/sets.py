"""Prediction sets: promised coverage, and coverage on the test polygons."""

import datetime
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bocage.evaluation import Promised, spread_of
from bocage.legend import Legend
from bocage.words import number, spread, words_of


def sets(made: Promised, legend: Legend, language: str, until: datetime.date | None = None) -> dict[str, Any]:
    """Return the description of the sets, and a row for each class and for all classes.

    Nothing is promised for a map of the series `until` a day, and the description says so.
    """
    w = words_of(language)
    mean = {name: _mean([getattr(draw, name) for draw in made.draws]) for name in ("coverage", "size", "single")}
    shown = {
        "promised": number(100 * made.coverage, language, 1).rstrip("0").rstrip(".,"),
        "coverage": number(100 * mean["coverage"], language, 1),
        "size": number(mean["size"], language, 2),
        "single": number(100 * mean["single"], language, 1),
    }
    always = [name for k, name in enumerate(legend.names) if any(draw.always[k] for draw in made.draws)]
    words = [w[f"sets_by_{made.by}"].format(**shown), w["sets_measured"].format(**shown)]
    words += [w["sets_always"].format(names=", ".join(always))] if always else []
    words += [w["sets_until"].format(day=until)] if until else []
    return {"words": " ".join(words), "rows": list(_rows(made, legend, language))}


def _rows(made: Promised, legend: Legend, language: str) -> Iterator[dict[str, str]]:
    """Yield the rows of the table; a promise for all classes together has no row of its own for a class."""
    w, promised = words_of(language), number(100 * made.coverage, language, 1)
    for k, name in enumerate(legend.names):
        yield {
            "name": name,
            "color": legend.colors[k],
            "promised": promised if made.by == "class" else "–",
            "coverage": _spread([100 * draw.per_class[k] for draw in made.draws], language, 1),
            "size": _spread([draw.size_per_class[k] for draw in made.draws], language, 2),
            "held_out": _span([draw.held_out[k] for draw in made.draws]),
            "test": _span([int(draw.test[k]) for draw in made.draws]),
        }
    yield {
        "name": w["sets_all"],
        "color": "",
        "promised": promised,
        "coverage": _spread([100 * draw.coverage for draw in made.draws], language, 1),
        "size": _spread([draw.size for draw in made.draws], language, 2),
        "held_out": _span([draw.calibrated for draw in made.draws]),
        "test": _span([draw.polygons for draw in made.draws]),
    }


def _mean(values: Sequence[float]) -> float:
    mean = spread_of(np.array(values))[0]
    return float("nan") if mean is None else mean


def _spread(values: Sequence[float], language: str, digits: int) -> str:
    return spread(*spread_of(np.array(values, np.float64)), language, digits)


def _span(counts: Sequence[int]) -> str:
    """Return the counts of the draws, from the smallest to the largest."""
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} – {high}"
