"""Calibration of the confidence: reliability and coverage curves."""

import json

import numpy as np

from bocage.report import figures
from bocage.report.material import Material
from bocage.words import number, words_of


def confidence(made: Material) -> dict[str, str] | None:
    """Return the reliability and coverage curves and their description; None without test pixels."""
    trust, language = made.score.trust, made.language
    if not trust:
        return None
    w = words_of(language)
    before, after = (
        float(np.mean([getattr(of_draw, which).error for of_draw in trust])) for which in ("before", "after")
    )
    words = w["reliability_about"].format(before=number(before, language), after=number(after, language))
    temperatures = _temperatures(made)
    if temperatures:
        low, high = (number(v, language, 2) for v in (min(temperatures), max(temperatures)))
        words = w["temperature_about"].format(span=low if low == high else f"{low} – {high}") + " " + words
    return {
        "reliability": figures.reliability_picture(trust, w),
        "coverage": figures.coverage_picture(trust, w),
        "words": words,
    }


def _temperatures(made: Material) -> list[float]:
    """Return the temperatures of the calibrated draws."""
    models = (made.layout.split(k).model for k in range(made.draws))
    fitted = [json.loads(model.description.read_text())["calibration"] for model in models]
    return [calibration["temperature"] for calibration in fitted if calibration.get("samples")]
