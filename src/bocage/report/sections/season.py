"""Accuracy before the end of the season: curves against the cut-off, and the first cut-offs that suffice."""

import datetime
from typing import Any

from bocage.evaluation.season import Interval, Reached
from bocage.report import season_figures
from bocage.report.material import Material
from bocage.report.sections.summary import model_name
from bocage.words import number, percent, sentence, words_of


def season(made: Material) -> dict[str, Any] | None:
    """Return the curves, their description and their tables; None if they were not measured."""
    found, language = made.season, made.language
    if found is None:
        return None
    w, legend = words_of(language), made.samples.legend
    colors = dict(zip(legend.names, legend.colors, strict=True))
    first = [(w["metric_overall_accuracy"], "", found.overall)]
    first += [(name, colors[name], reached) for name, reached in found.by_class.items()]
    return {
        "words": " ".join(_words(made)),
        "pictures": season_figures.pictures(found, colors, w),
        "first_about": w["season_first_about"].format(wanted=number(found.wanted, language, 2)),
        "first": [{"name": name, "color": color, **_shown(reached, language)} for name, color, reached in first],
        "retrained": found.retrained is not None,
        "rows": _rows(made),
    }


def _words(made: Material) -> list[str]:
    found, language = made.season, made.language
    assert found is not None
    w, last, draws = words_of(language), found.once.accuracy()[-1], len(next(iter(found.once.by_day.values())))
    parts = [sentence("season_about", language, last=percent(last.mean, language))]
    parts.append(w["season_interval"].format(draws=draws) if draws > 1 else w["season_one_draw"])
    parts.append(w["season_trained"] if found.cutoff else w["season_whole"])
    if found.fixed:
        names = tuple(f"'{name}'" for name in found.fixed)
        parts.append(sentence("note_fixed_dates", language, model=model_name(made), n=len(names), sources=names))
    reached = found.overall.mean
    key = "season_reached" if reached else "season_not_reached"
    parts.append(sentence(key, language, wanted=percent(found.wanted, language, 0), day=str(reached)))
    return parts


def _shown(reached: Reached, language: str) -> dict[str, str]:
    w = words_of(language)
    return {name: _day(day, w["season_never"]) for name, day in (("mean", reached.mean), ("low", reached.sure))}


def _day(day: datetime.date | None, otherwise: str) -> str:
    return str(day) if day else otherwise


def _rows(made: Material) -> list[dict[str, str]]:
    """Return the rows of the table of the cut-offs."""
    found, language = made.season, made.language
    assert found is not None
    once = found.once
    retrained = found.retrained.accuracy() if found.retrained else once.accuracy()
    columns = zip(once.days, once.accuracy(), retrained, once.error(), once.data(), strict=True)
    return [
        {
            "day": str(day),
            "accuracy": _between(accuracy, language),
            "retrained": _between(other, language),
            "error": number(error.mean, language),
            "data": percent(data.mean, language),
        }
        for day, accuracy, other, error, data in columns
    ]


def _between(value: Interval, language: str) -> str:
    mean = number(value.mean, language)
    if value.low != value.low:
        return mean
    return f"{mean} ({number(value.low, language)} – {number(value.high, language)})"
