"""Accuracy in parts of the samples: at each site, in each region."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bocage.evaluation import Score, spread_of
from bocage.evaluation.metrics import MAIN
from bocage.report.sections.accuracy import over_draws
from bocage.samples import Samples
from bocage.words import spread, whole, words_of


def parts(kind: str, by_part: Mapping[str, Score], total: Score, samples: Samples, language: str) -> dict[str, Any]:
    """Return the tables of the accuracy of each part, then of all: the measures, and the F-measure of each class.

    Parameters
    ----------
    kind
        "site" or "region".
    """
    w = words_of(language)
    everything = [*by_part.items(), (w[f"all_{kind}s"], total)]
    counts = {"polygons": len(np.unique(samples.polygon)), "pixels": len(samples.label)}
    return {
        "about": w[f"by_{kind}_about"],
        "name": w[f"{kind}_name"],
        "metrics": [w[f"metric_{name}"] for name in MAIN],
        "rows": [
            {
                "name": name,
                "scores": [spread(*spread_of(score.values(measure)), language) for measure in MAIN],
                **{what: whole(n if score is total else score.design[what], language) for what, n in counts.items()},
            }
            for name, score in everything
        ],
        "about_classes": w[f"class_by_{kind}"],
        "classes": [
            {
                "name": name,
                "color": samples.legend.colors[k],
                "scores": [over_draws(score.per_class("f1")[:, k], language) for _, score in everything],
            }
            for k, name in enumerate(samples.legend.names)
        ],
    }
