"""Calibration of confidences by temperature scaling: one temperature for all logits, fitted on validation polygons.

Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks", ICML (arXiv 1706.04599). Dividing logits by
a temperature does not change the predicted class. A temperature above 1 lowers every confidence. The calibration error is
measured on the same polygons as the fit, so it is slightly too small.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bocage.reliability import Reliability, reliability


@dataclass(frozen=True)
class Calibration:
    """Temperature, and reliability before and after scaling."""

    temperature: float = 1.0
    """Divisor of the logits, above 0."""
    samples: int = 0
    """Number of validation samples used for the fit; 0 without a fit."""
    before: Reliability | None = None
    """Reliability on validation samples before scaling."""
    after: Reliability | None = None
    """Reliability on validation samples after scaling."""
    partial: Mapping[str, float] = field(default_factory=dict)
    """Temperatures for pixels with a part of the sources only, for networks that tolerate missing sources. The key is the
    names of the valid sources, in order, joined by "+". Fitted on the same samples with the other sources masked."""

    def __post_init__(self) -> None:
        for temperature in (self.temperature, *self.partial.values()):
            if not 0 < temperature < math.inf:
                raise ValueError(f"a temperature must be above 0 and finite; found {temperature}")

    def temperatures(self, seen: Mapping[str, Tensor]) -> Tensor:
        """Return the temperature of every pixel, given the sources that are valid there (source → bool, any shape).

        With many sources, not every combination is fitted. Other combinations get the highest fitted temperature.
        """
        names, first = list(seen), next(iter(seen.values()))
        table = torch.full((1 << len(names),), max(self.temperature, *self.partial.values()))
        for mixture, temperature in self.partial.items():
            parts = mixture.split("+")
            if set(parts) <= set(names):
                table[sum(1 << names.index(part) for part in parts)] = temperature
        table[-1] = self.partial.get("+".join(names), self.temperature)
        code = torch.zeros(first.shape, dtype=torch.long)
        for i, present in enumerate(seen.values()):
            code += present.long().cpu() << i
        return table[code]


def calibrate(logits: Tensor, labels: Tensor, polygons: int) -> Calibration:
    """Fit the temperature that minimises the cross-entropy of logits (N, K) and labels (N,).

    Labels are smoothed as if one more polygon had been observed and misclassified (Platt 1999). Otherwise, a small number of
    `polygons`, all classified correctly, would give confidences of 100 %. If the temperature does not lower the expected
    calibration error, the temperature is 1.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return Calibration()
    logits, k = logits.double(), logits.shape[1]
    smoothing = k / (k - 1) / (polygons + 2)  # label smoothing leaves 1/k of this share on the true class

    def entropy(log_temperature: float) -> float:
        return float(functional.cross_entropy(logits / math.exp(log_temperature), labels, label_smoothing=smoothing))

    minimum = minimize_scalar(entropy, bounds=(math.log(0.05), math.log(20)), method="bounded")
    temperature = float(math.exp(minimum.x))
    before, after = reliability_of(logits, labels), reliability_of(logits / temperature, labels)
    if after.error >= before.error:
        # A few extreme logits can dominate the cross-entropy and give a temperature that is wrong for the other samples.
        temperature, after = 1.0, before
    return Calibration(temperature, len(labels), before, after)


MOST_MIXED = 4
"""Maximum number of sources for which all combinations are fitted (14 for 4 sources). With more sources, a temperature is
fitted for each source alone and for all sources but one."""


def mixtures(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the combinations of sources to fit, without the empty and the full combination."""
    sizes = range(1, len(names)) if len(names) <= MOST_MIXED else (1, len(names) - 1)
    return [mixture for size in sizes for mixture in combinations(names, size)]


def reliability_of(logits: Tensor, labels: Tensor) -> Reliability:
    """Return the reliability of logits (N, K) for labels (N,): accuracy by confidence."""
    confidence, predicted = torch.softmax(logits.double(), 1).max(1)
    return reliability(confidence.numpy(), (predicted == labels).numpy())


def calibration_of(said: Mapping[str, Any]) -> Calibration:
    """Return the calibration from its ``dataclasses.asdict``; models of format 1 have none, and get the default."""
    if not said:
        return Calibration()
    curves = {which: Reliability.from_dict(said[which]) if said[which] else None for which in ("before", "after")}
    return Calibration(said["temperature"], said["samples"], **curves, partial=said.get("partial", {}))
