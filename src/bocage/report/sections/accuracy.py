"""Accuracy of each class, and the confusion matrix."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation import ConfusionMatrix, spread_of
from bocage.report.material import Material
from bocage.words import percent, spread, whole, words_of


def classes(made: Material) -> list[dict[str, Any]]:
    """Return a row for each class: share of the map, number of samples, and accuracy measures."""
    language, samples = made.language, made.samples
    tables = {
        m: made.score.per_class(m) for m in ("f1", "producers_accuracy", "users_accuracy", "intersection_over_union")
    }
    shares = (
        [percent(share, language) for share in made.areas.shares] if made.areas else [""] * len(samples.legend.codes)
    )
    return [
        {
            "code": samples.legend.codes[k],
            "name": name,
            "color": samples.legend.colors[k],
            "share": shares[k],
            "polygons": whole(samples.count_polygons(k), language),
            "pixels": whole(int((samples.label == k).sum()), language),
            **{measure: over_draws(table[:, k], language) for measure, table in tables.items()},
        }
        for k, name in enumerate(made.score.names)
    ]


def over_draws(values: NDArray[np.float64], language: str) -> str:
    """Write mean and standard deviation over the draws (draws,), with the number of those that have a value if some lack one."""
    shown, known = spread(*spread_of(values), language), int((~np.isnan(values)).sum())
    if known in (0, len(values)):
        return shown
    return words_of(language)["mean_of_some"].format(shown=shown, n=known, draws=len(values))


def matrix(table: ConfusionMatrix, language: str) -> dict[str, Any]:
    """Return the confusion matrix with its margins."""
    share = table.counts / np.maximum(table.of_reference, 1)[:, None]
    right = table.right

    def ratio(k: int, of: NDArray[np.int64]) -> str:
        return percent(right[k] / of[k] if of[k] else None, language)

    def counted(counts: NDArray[np.int64]) -> list[str]:
        return [whole(n, language) if n else "·" for n in counts]

    hit = np.eye(len(table.names), dtype=bool)
    rows = [
        {
            "name": name,
            "cells": list(zip(counted(table.counts[i]), share[i].tolist(), hit[i].tolist(), strict=True)),
            "total": whole(table.of_reference[i], language),
            "producers": ratio(i, table.of_reference),
        }
        for i, name in enumerate(table.names)
    ]
    k = range(len(table.names))
    return {
        "rows": rows,
        "names": table.names,
        "totals": [whole(n, language) for n in table.of_map],
        "users": [ratio(i, table.of_map) if table.tested[i] else "–" for i in k],
        "total": whole(table.total, language),
        "right": percent(float(right.sum() / max(1, table.total)), language),
    }
