"""Models side by side on the same draws: a line each, and which differences are more than luck."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from bocage.errors import EvaluationError
from bocage.evaluation.paired import Paired, all_pairs, best_of, clustered_mcnemar, told_together
from bocage.evaluation.predictions import Predictions
from bocage.evaluation.score import Score
from bocage.words import Note

LEVEL = 0.05
"""Differences are called significant below this, after Holm's correction."""


@dataclass(frozen=True)
class Line:
    """One model."""

    label: str
    score: Score
    training_seconds: float
    """Of one draw, median."""
    pixels_per_second: float | None
    """Map pixels a second on this machine, reading included; None where there is no map."""
    parameters: int


@dataclass(frozen=True)
class Comparison:
    """Models on the same draws."""

    lines: tuple[Line, ...]
    metric: str
    """The one that tests are about."""
    pairs: tuple[Paired, ...]
    """Every two models over all draws, by the corrected resampled t-test; empty where that is refused."""
    by_polygons: tuple[Paired, ...]
    """Every two models on one draw, by McNemar's test with polygons as clusters."""
    best: str
    """Label of the highest mean."""
    level_with_best: tuple[str, ...]
    """Models that cannot be told from it."""
    refused: Note | None = None
    """Why no paired test is made; None where one is."""
    failed: Mapping[str, str] | None = None
    """Label to what went wrong, of models that have no line."""

    @property
    def marked(self) -> str:
        """The model to mark as best: none, unless it is significantly better than every other."""
        return self.best if self.pairs and not self.level_with_best else ""

    def as_dict(self) -> dict[str, Any]:
        """What ``comparison.json`` holds."""
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
            "failed": dict(self.failed or {}),
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
    failed: Mapping[str, str],
) -> Comparison:
    """Compare models whose draws are the same.

    Parameters
    ----------
    tested
        Label → predictions of every draw.
    draw
        The draw on which McNemar's test is made.

    Raises
    ------
    EvaluationError
        No model has a score.
    """
    if not lines:
        told = "; ".join(f"{label}: {why}" for label, why in failed.items())
        raise EvaluationError(f"No model could be evaluated: {told}.")
    scores = {line.label: line.score.values(metric) for line in lines}
    refused = why_not(tested, len(lines[0].score.matrices))
    pairs: list[Paired] = []
    by_polygons: list[Paired] = []
    if not refused:
        units = [(t.test_units, t.train_units) for t in lines[0].score.trust]
        pairs = all_pairs(scores, float(np.mean([test / train for test, train in units])))
        by_polygons = told_together([_mcnemar(tested, a, b, draw) for a, b in combinations(scores, 2)])
    means = {label: float(np.nanmean(values)) for label, values in scores.items()}
    best, level = best_of(scores, pairs, LEVEL) if pairs else (max(means, key=lambda label: means[label]), [])
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


def _mcnemar(tested: Mapping[str, Sequence[Predictions]], a: str, b: str, draw: int) -> Paired:
    one, two = tested[a][draw], tested[b][draw]
    return clustered_mcnemar(one.right, two.right, one.polygon, (a, b))
