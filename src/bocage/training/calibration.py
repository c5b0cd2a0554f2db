"""Confidences that mean what they say: one temperature for all logits, fitted on validation polygons.

Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks", ICML (arXiv 1706.04599). Dividing logits by
a temperature changes no class; above 1 it lowers every confidence. The error is measured on the polygons that the one
number was fitted on: it is a little too small.
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
    """A temperature, and what it did."""

    temperature: float = 1.0
    samples: int = 0
    """Validation samples it was fitted on; 0 where there were none."""
    before: Reliability | None = None
    after: Reliability | None = None
    partial: Mapping[str, float] = field(default_factory=dict)
    """Temperatures where only some of the sources are seen (their names, in order, joined by "+"), of a network that does
    without the others; fitted on the same samples, the other sources hidden."""

    def temperatures(self, seen: Mapping[str, Tensor]) -> Tensor:
        """Temperature of every pixel, given what it is seen by (source → bool, any shape).

        What was not fitted (of many sources, only some mixtures are) gets the highest temperature that was.
        """
        names, first = list(seen), next(iter(seen.values()))
        table = torch.full((1 << len(names),), max(self.temperature, *self.partial.values()))
        for mixture, temperature in self.partial.items():
            parts = mixture.split("+")
            if set(parts) <= set(names):
                table[sum(1 << names.index(part) for part in parts)] = temperature
        table[-1] = self.partial.get("+".join(names), self.temperature)
        code = torch.zeros(first.shape, dtype=torch.long)
        for i, there in enumerate(seen.values()):
            code += there.long().cpu() << i
        return table[code]


def calibrate(logits: Tensor, labels: Tensor, polygons: int) -> Calibration:
    """Find the temperature of the lowest cross-entropy of logits (N, K) for labels (N,) of so many polygons.

    As if one polygon more had been seen, and had been wrong (Platt 1999): a few polygons that are all right do not make
    every confidence 100 %. A temperature that does not lower the expected calibration error is not kept.
    """
    from scipy.optimize import minimize_scalar

    if not len(labels):
        return Calibration()
    logits, k = logits.double(), logits.shape[1]
    wrong = k / (k - 1) / (polygons + 2)  # label smoothing keeps 1/k of it on the right class

    def entropy(log_temperature: float) -> float:
        return float(functional.cross_entropy(logits / math.exp(log_temperature), labels, label_smoothing=wrong))

    found = minimize_scalar(entropy, bounds=(math.log(0.05), math.log(20)), method="bounded")
    temperature = float(math.exp(found.x))
    before, after = reliability_of(logits, labels), reliability_of(logits / temperature, labels)
    if (
        after.error >= before.error
    ):  # a few wild logits can drag the cross-entropy's temperature far from the others' good
        temperature, after = 1.0, before
    return Calibration(temperature, len(labels), before, after)


MOST_MIXED = 4
"""Sources of which all mixtures are fitted: fourteen of four; of more, each alone, and all but one."""


def mixtures(names: Sequence[str]) -> list[tuple[str, ...]]:
    """Parts of the sources that a pixel may be seen by, none and all left out."""
    sizes = range(1, len(names)) if len(names) <= MOST_MIXED else (1, len(names) - 1)
    return [some for size in sizes for some in combinations(names, size)]


def reliability_of(logits: Tensor, labels: Tensor) -> Reliability:
    """Group predictions by confidence."""
    confidence, found = torch.softmax(logits.double(), 1).max(1)
    return reliability(confidence.numpy(), (found == labels).numpy())


def calibration_of(said: Mapping[str, Any]) -> Calibration:
    """Read what ``dataclasses.asdict`` made of a calibration; a model of format 1 has none."""
    if not said:
        return Calibration()
    curves = {which: Reliability.from_dict(said[which]) if said[which] else None for which in ("before", "after")}
    return Calibration(said["temperature"], said["samples"], **curves, partial=said.get("partial", {}))
