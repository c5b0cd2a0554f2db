"""Importance of sources and dates."""

from collections.abc import Sequence
from typing import Any

from bocage.report import figures
from bocage.report.material import Material
from bocage.training import Importance
from bocage.words import number, whole, words_of


def importance(made: Material) -> dict[str, Any] | None:
    """Return the accuracy lost by source, date and class; None if it was not measured."""
    found, language = made.importance, made.language
    if found is None:
        return None
    w = words_of(language)
    rows = sorted(found.by_source.items(), key=lambda pair: -pair[1])
    by_date = {name: (found.days[name], lost) for name, lost in found.by_date.items()}
    return {
        "about": w["importance_about"].format(n=whole(found.samples, language)),
        "rows": [(name, number(100 * lost, language, 1)) for name, lost in rows],
        "picture": figures.importance_picture(by_date, w) if by_date else None,
        "sources": list(found.by_class),
        "classes": _lost_by_class(found, made.samples.legend.names, language),
        "attention": [
            figures.attention_picture(name, found.days[name], weights, made.samples.legend.names, w)
            for name, weights in found.attention.items()
        ],
    }


def _lost_by_class(found: Importance, names: Sequence[str], language: str) -> list[tuple[str, list[str]]]:
    """Return each class with the accuracy lost, in points, when each source is shuffled."""
    return [
        (name, ["–" if (lost := by[k]) is None else number(100 * lost, language, 1) for by in found.by_class.values()])
        for k, name in enumerate(names if found.by_class else ())
    ]
