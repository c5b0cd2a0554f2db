"""Accuracy, confusion and areas at the coarser levels of a hierarchical nomenclature."""

from typing import Any

import numpy as np

from bocage.evaluation import Adjusted, Corrected
from bocage.legend import Level
from bocage.report.material import Material
from bocage.report.sections.accuracy import matrix, over_draws
from bocage.report.sections.summary import headline
from bocage.words import number, words_of


def levels(made: Material) -> list[dict[str, Any]]:
    """Return title, headline, classes and confusion of each coarser level; empty without a hierarchical nomenclature."""
    return [_level(made, level) for level in made.score.levels[:-1]]


def _level(made: Material, level: Level) -> dict[str, Any]:
    score, w = made.score.at(level), words_of(made.language)
    return {
        "title": w["level_title"].format(number=level.number, n=len(level.names)),
        "headline": headline(score, made.language),
        "classes": _classes(made, level),
        "matrix": matrix(score.matrix, made.language),
    }


def _classes(made: Material, level: Level) -> list[dict[str, str]]:
    language, score = made.language, made.score.at(level)
    tables = {m: score.per_class(m) for m in ("f1", "producers_accuracy", "users_accuracy")}
    mapped = level.sums(made.areas.hectares) if made.areas else None
    estimated = _estimated(made, level)
    return [
        {
            "name": name,
            "color": level.colors[g],
            **{measure: over_draws(table[:, g], language) for measure, table in tables.items()},
            "mapped": "" if mapped is None else number(float(mapped[g]), language, 1),
            "estimated": "" if estimated is None else number(float(estimated[g]), language, 1),
        }
        for g, name in enumerate(level.names)
    ]


def _estimated(made: Material, level: Level) -> Any:
    """Return the estimated hectares of the classes of a level, the sums of those of their classes; None without an estimate."""
    found = made.estimates.sample or made.estimates.area
    if found is None or made.areas is None or tuple(found.names) != made.samples.legend.names:
        return None
    shares = [e.value for e in found.area] if isinstance(found, Adjusted) else found.area
    assert isinstance(found, Adjusted | Corrected)
    return level.sums(np.array(shares, np.float64)) * made.areas.total
