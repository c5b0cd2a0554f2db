"""Comparison of models on the same draws, with tests of the differences between them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import EvaluationError
from bocage.evaluation.area import Clusters
from bocage.evaluation.metrics import METRICS, lower_is_better
from bocage.evaluation.paired import Paired, all_pairs, best_of, clustered_mcnemar, told_together
from bocage.evaluation.predictions import Predictions
from bocage.evaluation.score import Score
from bocage.words import Note

LEVEL = 0.05
"""Significance level of p-values after Holm's correction."""


@dataclass(frozen=True)
class Line:
    """Results of one model."""

    label: str
    score: Score
    training_seconds: float
    """Training time of a draw, median."""
    pixels_per_second: float | None
    """Map pixels per second on this machine, reading included; None without a map."""
    parameters: int


@dataclass(frozen=True)
class Comparison:
    """Results of several models on the same draws."""

    lines: tuple[Line, ...]
    metric: str
    """Name of the metric that the t-tests compare."""
    pairs: tuple[Paired, ...]
    """Corrected resampled t-test of each pair of models over all draws; empty if `refused`."""
    by_polygons: tuple[Paired, ...]
    """McNemar's test of each pair of models on one draw, with polygons or drawn blocks as clusters; empty if `refused`."""
    best: str
    """Label of the model with the best mean: the highest, or the lowest if lower values of the metric are better."""
    level_with_best: tuple[str, ...]
    """Models that cannot be told from it."""
    refused: Note | None = None
    """Why no paired test is made; None where one is."""
    failed: Mapping[str, str | Note] | None = None
    """Label → error of each model that could not be evaluated."""

    @property
    def marked(self) -> str:
        """Label of the model that is significantly better than all others; empty if no model is."""
        return self.best if self.pairs and not self.level_with_best else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``comparison.json``."""
        return {
            "metric": self.metric,
            "level": LEVEL,
            "models": {
                line.label: {
                    "training_seconds": line.training_seconds,
                    "pixels_per_second": line.pixels_per_second,
                    "parameters": line.parameters,
                    **line.score.as_dict(),
                }
                for line in self.lines
            },
            "best": self.best,
            "significantly_best": self.marked or None,
            "not_told_from_best": list(self.level_with_best),
            "refused": str(self.refused) if self.refused else None,
            "failed": {label: str(why) for label, why in (self.failed or {}).items()},
            "corrected_resampled_t": [_plain(pair) for pair in self.pairs],
            "mcnemar_by_polygons": [_plain(pair) for pair in self.by_polygons],
        }


def _plain(pair: Paired) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(pair).items()}


def set_beside(
    lines: Sequence[Line],
    tested: Mapping[str, Sequence[Predictions]],
    metric: str,
    draw: int,
    failed: Mapping[str, str | Note],
    units: Clusters | None = None,
) -> Comparison:
    """Compare models that share their draws.

    Parameters
    ----------
    lines
        Results of the models that could be evaluated.
    tested
        Label → predictions of each draw.
    metric
        Metric for the t-tests.
    draw
        Draw for McNemar's test.
    failed
        Label → error of each model that could not be evaluated.
    units
        Sampling units of the test pixels of the draw for McNemar's test; None: their polygons.

    Raises
    ------
    EvaluationError
        No model has a score.
    """
    if not lines:
        listed = "; ".join(f"{label}: {why}" for label, why in failed.items())
        raise EvaluationError(f"No model could be evaluated: {listed}.")
    scores = {line.label: line.score.values(metric) for line in lines}
    refused = why_not(tested, len(lines[0].score.matrices)) or _too_few(scores, metric)
    pairs: list[Paired] = []
    by_polygons: list[Paired] = []
    if not refused:
        counts = [(t.test_units, t.train_units) for t in lines[0].score.trust]
        pairs = all_pairs(scores, float(np.mean([test / train for test, train in counts])))
        of_draw = {label: every[draw] for label, every in tested.items()}
        by_polygons = told_together([_mcnemar(of_draw, a, b, units) for a, b in combinations(scores, 2)])
    sign = -1 if lower_is_better(METRICS.get(metric)) else 1
    best, level = best_of({label: sign * values for label, values in scores.items()}, pairs, LEVEL)
    return Comparison(tuple(lines), metric, tuple(pairs), tuple(by_polygons), best, tuple(level), refused, dict(failed))


def why_not(tested: Mapping[str, Sequence[Predictions]], draws: int) -> Note | None:
    """Return why models cannot be compared in pairs; None where they can."""
    if len(tested) < 2:
        return Note.of("one_model")
    if draws < 2:
        return Note.of("one_draw")
    first, *others = tested
    for other in others:
        for k, (one, two) in enumerate(zip(tested[first], tested[other], strict=True)):
            if why := one.same_pixels(two):
                return Note.of("other_pixels", first=first, second=other, draw=k + 1, why=why)
    return None


def _too_few(scores: Mapping[str, NDArray[np.float64]], metric: str) -> Note | None:
    """Return why the scores (draws,) of two models cannot be tested: too few draws have one of both; None where they can."""
    for first, second in combinations(scores, 2):
        common = int((~np.isnan(scores[first] - scores[second])).sum())
        if common < 2:
            return Note.of("few_scores", first=first, second=second, metric=metric, common=common)
    return None


def _mcnemar(tested: Mapping[str, Predictions], a: str, b: str, units: Clusters | None) -> Paired:
    first, second = tested[a], tested[b]
    clusters = units or Clusters(first.polygon)
    return clustered_mcnemar(first.right, second.right, clusters.number, (a, b), clusters.unit)
