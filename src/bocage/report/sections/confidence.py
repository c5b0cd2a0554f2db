"""Calibration of the confidence: reliability and coverage curves."""

import json
from typing import Any

import numpy as np

from bocage.evaluation import Score, Trust
from bocage.layout import RunLayout
from bocage.report import figures
from bocage.words import number, words_of

BELIEVED, ROUGHLY = 0.05, 0.10
"""Expected calibration error on test pixels up to which the confidence can be believed, or roughly."""
SURE = 0.8
"""Confidence of the pixels whose accuracy is stated."""


def confidence(score: Score, layout: RunLayout, language: str) -> dict[str, str] | None:
    """Return the reliability and coverage curves and their description; None without test pixels."""
    trust = score.trust
    if not trust:
        return None
    w = words_of(language)
    before, after = (
        float(np.mean([getattr(of_draw, which).error for of_draw in trust])) for which in ("before", "after")
    )
    about = w["reliability_about"].format(before=number(before, language), after=number(after, language))
    return {
        "reliability": figures.reliability_picture(trust, w),
        "coverage": figures.coverage_picture(trust, w),
        "words": " ".join(
            filter(None, [in_words(trust, language), _temperature(layout, len(score.matrices), language), about])
        ),
    }


def answer(trust: tuple[Trust, ...]) -> dict[str, Any]:
    """Return whether confidence can be believed on test pixels: the key of the answer, and its numbers (0 to 1).

    Means over the draws; ``low`` and ``high`` are the smallest and the largest error of a draw.
    """
    errors = [draw.after.error for draw in trust]
    error = float(np.mean(errors))
    key = "believe_yes" if error <= BELIEVED else "believe_partly" if error <= ROUGHLY else "believe_no"
    claimed, share, sure = [], [], []
    for draw in trust:
        values, weight, right = (np.array(getattr(draw.after, name)) for name in ("confidence", "share", "accuracy"))
        inside = values >= SURE
        claimed.append(float(values @ weight))
        share.append(float(weight[inside].sum()))
        sure.append(float(weight[inside] @ right[inside]))
    accuracy = float(np.mean([draw.accuracy_at[-1] for draw in trust]))
    return {
        "key": key, "error": error, "low": min(errors), "high": max(errors), "claimed": float(np.mean(claimed)),
        "right": accuracy, "share": float(np.mean(share)), "sure": sum(sure) / sum(share) if sum(share) else None,
    }  # fmt: skip


def in_words(trust: tuple[Trust, ...], language: str) -> str:
    """Return the answer with its numbers as sentences."""
    found, w = answer(trust), words_of(language)
    shown = {
        name: "–" if value is None else number(100 * value, language, 1)
        for name, value in found.items()
        if name != "key"
    }
    draws = ("believe_draws",) if len(trust) > 1 else ()
    keys = (found["key"], *draws, "believe_numbers", "believe_unsure" if found["sure"] is None else "believe_sure")
    return " ".join(w[key].format(**shown) for key in keys)


def _temperature(layout: RunLayout, draws: int, language: str) -> str:
    """Describe the temperatures that the calibrated draws apply; empty if no draw is calibrated."""
    w = words_of(language)
    models = (layout.split(k).model for k in range(draws))
    every = [json.loads(model.description.read_text(encoding="utf-8"))["calibration"] for model in models]
    fitted = [calibration for calibration in every if calibration.get("samples")]
    if not fitted:
        return ""
    counts = sorted({calibration.get("polygons", 0) for calibration in fitted})
    shown = {"polygons": f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} – {counts[-1]}", "draws": draws}
    values = [calibration["temperature"] for calibration in fitted]
    seasons = [[value for _, value in season] for one in fitted if (season := one.get("season"))]
    # With cut-offs, the temperature of the last valid date replaces that of the whole series.
    if seasons:
        span = _span([value for season in seasons for value in season], language)
        last = _span([season[-1] for season in seasons], language)
        said = w["temperature_season"].format(span=span, last=last, **shown)
    else:
        kept = sum(value != 1 for value in values)
        said = w["temperature_about"].format(span=_span(values, language), kept=kept, **shown)
    partial = [value for one in fitted for value in one.get("partial", {}).values()]
    others = not seasons and set(partial) - set(values)
    return f"{said} {w['temperature_partial'].format(span=_span(partial, language))}" if others else said


def _span(values: list[float], language: str) -> str:
    low, high = (number(value, language, 2) for value in (min(values), max(values)))
    return low if low == high else f"{low} – {high}"
