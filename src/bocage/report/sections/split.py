"""Split of the reference data, and its spatial leakage."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bocage.evaluation.trust import NEAR
from bocage.report import figures
from bocage.report.material import Material
from bocage.words import whole, words_of


def split(made: Material) -> dict[str, Any] | None:
    """Return a map and a summary of the split whose model made the map; None without coordinates."""
    samples, w = made.samples, words_of(made.language)
    if samples.place is None:
        return None
    parts = {}
    for part, members in made.draw.parts.items():
        _, which = np.unique(samples.polygon[members], return_inverse=True)
        count = np.maximum(np.bincount(which), 1)
        middle = np.stack([np.bincount(which, samples.place[members, k]) / count for k in (0, 1)], 1)
        if len(members):
            parts[part] = middle
    picture = figures.split_picture(parts, w, w["alt_split"].format(draw=made.mapped + 1))
    return {"picture": picture, "words": _about(made, w)}


def _about(made: Material, w: Mapping[str, str]) -> str:
    """Return the sentence with the numbers of units of each part."""
    drawn, part = made.score.design["drawn"], made.draw
    if not made.score.tests:
        everything = np.unique(made.samples.group[np.concatenate([part.train, part.validation])])
        unit = w["pixels"] if drawn == "pixel" else w[f"units_{drawn}"]
        return w["split_untested"].format(train=whole(len(everything), made.language), unit=unit)
    trust = made.score.trust[made.mapped]
    unit = w["pixels"] if drawn == "pixel" else w[f"units_{drawn}"]
    units = {
        "train": whole(trust.train_units, made.language),
        "test": whole(trust.test_units, made.language),
        "unit": unit,
    }
    return w["split_about"].format(draw=made.mapped + 1, **units)


def probe_of(made: Material) -> tuple[float, float] | None:
    """Return the mean accuracy, over the draws, of the nearest neighbour and of the model; None without coordinates."""
    known = [(draw.neighbour, draw.accuracy_at[-1]) for draw in made.score.trust if draw.neighbour is not None]
    if not known:
        return None
    return float(np.mean([a for a, _ in known])), float(np.mean([b for _, b in known]))


def leak(made: Material) -> tuple[str, bool]:
    """Return the sentence of the leakage probe, and whether it is a warning; no sentence if nothing was tested."""
    language, probe = made.language, probe_of(made)
    w = words_of(language)
    if not made.score.tests:
        return "", False
    if probe is None:
        return w["leak_unknown"], False
    fires = probe[0] >= probe[1] - NEAR
    values = {"probe": made.percent(probe[0]), "model": made.percent(probe[1]), "near": round(100 * NEAR)}
    return w["leak_alarm" if fires else "leak_silent"].format(**values), fires
