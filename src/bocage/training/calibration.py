"""Calibration of confidences by temperature scaling: one temperature for all logits, fitted on held-out polygons.

Guo, Pleiss, Sun & Weinberger 2017, "On Calibration of Modern Neural Networks", ICML (arXiv 1706.04599). Dividing logits by
a temperature does not change the predicted class. A temperature above 1 lowers every confidence. A temperature from a few
polygons can be worse than none: it is shrunk towards 1, and kept only if cross-validation by polygons confirms it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.reliability import Reliability, reliability


@dataclass(frozen=True)
class Calibration:
    """Temperature, and reliability before and after scaling."""

    temperature: float = 1.0
    """Divisor of the logits, above 0."""
    samples: int = 0
    """Number of held-out samples used for the fit; 0 without a fit."""
    before: Reliability | None = None
    """Reliability on held-out samples before scaling."""
    after: Reliability | None = None
    """Reliability on held-out samples after scaling, cross-validated by polygon; `before` if the temperature is 1."""
    partial: Mapping[str, float] = field(default_factory=dict)
    """Temperatures for pixels with a part of the sources only, for networks that tolerate missing sources. The key is the
    names of the valid sources, in order, joined by "+". Fitted on the same samples with the other sources masked."""
    polygons: int = 0
    """Number of polygons of the held-out samples."""
    season: tuple[tuple[float, float], ...] = ()
    """Day of the last valid date of a pixel, in days since 1970-01-01 of the training series, ascending, and the temperature of
    pixels whose series end on this day; empty for a model trained without cut-offs."""

    def __post_init__(self) -> None:
        for temperature in (self.temperature, *self.partial.values(), *(value for _, value in self.season)):
            if not 0 < temperature < math.inf:
                raise ValueError(f"a temperature must be above 0 and finite; found {temperature}")

    def temperatures(self, seen: Mapping[str, Tensor]) -> Tensor:
        """Return the temperature of every pixel, given the sources that are valid there (source → bool, any shape).

        With many sources, not every combination is fitted. Other combinations get the highest fitted temperature.
        """
        first = next(iter(seen.values()))
        code = torch.zeros(first.shape, dtype=torch.long)
        for i, present in enumerate(seen.values()):
            code = code + present.long().cpu() * (1 << i)
        return self.table(list(seen))[code]

    def change(self, last: Tensor) -> Tensor:
        """Return the temperature of pixels over that of the whole season, given the day of their last valid date (any shape).

        Between two days of `season`, the logarithm of the temperature is interpolated.
        """
        days, temperatures = torch.tensor(self.season, dtype=torch.float64, device=last.device).unbind(1)
        logs, apart = (temperatures / self.temperature).log(), days.diff()
        passed = (last.double()[..., None] - days[:-1]).clamp(torch.zeros_like(apart), apart)  # days of each interval
        return (logs[0] + (passed * (logs.diff() / apart)).sum(-1)).exp().float()

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of ``trained.json``; without `season` if it is empty, as earlier versions wrote it."""
        record = asdict(self)
        return record if self.season else {key: value for key, value in record.items() if key != "season"}

    def table(self, names: Sequence[str]) -> Tensor:
        """Return the temperature for each combination of the sources `names`, (2 ** sources,).

        Bit ``i`` of the position is set where source ``i`` is valid.
        """
        table = torch.full((1 << len(names),), max(self.temperature, *self.partial.values(), 0.0))
        for mixture, temperature in self.partial.items():
            parts = mixture.split("+")
            if set(parts) <= set(names):
                table[sum(1 << names.index(part) for part in parts)] = temperature
        table[-1] = self.partial.get("+".join(names), self.temperature)
        return table


GRID = np.exp(np.linspace(-math.log(5), math.log(5), 121))
"""Temperatures that are tried: 1/5 to 5, with 1 in the middle."""
WIDTH = 0.3
"""Width of the prior of the logarithm of the temperature, a Cauchy distribution around 0: without evidence from many polygons,
the temperature stays near 1; a large deviation is possible if they show it."""
FOLDS = 5
"""Number of folds of the cross-validation, by polygon."""


LOWEST = 1.0
"""Lowest temperature that needs no confirmation."""


def calibrate(logits: Tensor, labels: Tensor, polygon: NDArray[Any]) -> Calibration:
    """Fit the temperature of logits (N, K) of held-out samples with labels (N,), from the polygons (N,).

    The temperature maximises the likelihood times a prior around 1. The pixels of a polygon are not independent: the
    likelihood counts as many observations as there are polygons. Temperatures below 1 that would give a mean confidence above
    (P + 1) / (P + 2) with P polygons are excluded, because a few polygons do not prove more (rule of succession).

    The temperature is kept only if cross-validation by polygons confirms it: temperatures fitted on the other polygons must
    lower the cross-entropy by more than its standard error between polygons, and lower the expected calibration error.
    Otherwise it is 1. ``after`` is measured with these cross-validated temperatures.
    """
    units, unit = np.unique(polygon, return_inverse=True)
    if len(units) < 2:
        return Calibration(samples=len(labels), polygons=len(units))
    losses, number = _Losses.of(logits, labels, unit), len(units)
    before = reliability_of(logits, labels)
    fold = np.random.default_rng(0).permutation(number) % min(FOLDS, number)
    fitted = np.zeros(number, np.int64)
    for k in range(fold.max() + 1):
        fitted[fold == k] = losses.best(fold != k)
    held_out = torch.from_numpy(GRID[fitted][unit])[:, None]
    after = reliability_of(logits.double() / held_out, labels)
    gain, error = losses.gain(fitted)
    accepted = gain > error and after.error < before.error
    temperature = float(GRID[losses.best(np.ones(number, bool))]) if accepted else 1.0
    return Calibration(temperature, len(labels), before, after if accepted else before, polygons=number)


def shrunk(logits: Tensor, labels: Tensor, polygon: NDArray[Any]) -> float:
    """Return the temperature of :func:`calibrate` without its cross-validation, at least 1; 1 with fewer than two polygons.

    For confidences that are too high rather than too low, such as those before the end of a season: a temperature below 1 would
    raise them without confirmation, and in regions without training polygons they are too high already (decision 0027).
    """
    units, unit = np.unique(polygon, return_inverse=True)
    losses = _Losses.of(logits, labels, unit)
    return max(LOWEST, float(GRID[losses.best(np.ones(len(units), bool))])) if len(units) > 1 else 1.0


@dataclass(frozen=True)
class _Losses:
    """Cross-entropy and confidence of each polygon at each temperature of ``GRID``."""

    entropy: NDArray[np.float64]
    """(P, T) sum over the pixels of a polygon."""
    confidence: NDArray[np.float64]
    """(P, T) sum over the pixels of a polygon."""
    pixels: NDArray[np.int64]
    """(P,)"""

    @classmethod
    def of(cls, logits: Tensor, labels: Tensor, unit: NDArray[Any]) -> "_Losses":
        """Return the sums for polygons numbered 0 to P − 1, (N,)."""
        logits = logits.double()
        columns = []
        for temperature in GRID:
            scores = torch.log_softmax(logits / temperature, 1)
            entropy, confidence = -scores.gather(1, labels[:, None])[:, 0], scores.amax(1).exp()
            columns.append([np.bincount(unit, values.numpy()) for values in (entropy, confidence)])
        entropies, confidences = (np.stack(column, 1) for column in zip(*columns, strict=True))
        return cls(entropies, confidences, np.bincount(unit))

    def best(self, some: NDArray[np.bool_]) -> int:
        """Return the position in ``GRID`` of the most probable temperature, given the polygons `some` (P,)."""
        pixels, number = self.pixels[some], int(some.sum())
        effective = pixels.sum() ** 2 / np.square(pixels).sum()
        cost = effective * self.entropy[some].sum(0) / pixels.sum() + np.log1p((np.log(GRID) / WIDTH) ** 2)
        confidence = self.confidence[some].sum(0) / pixels.sum()
        too_sure = (GRID < 1 - 1e-9) & (confidence > (number + 1) / (number + 2))
        return int(np.where(too_sure, np.inf, cost).argmin())

    def gain(self, fitted: NDArray[np.int64]) -> tuple[float, float]:
        """Return by how much temperatures (P,) lower the mean cross-entropy, and its standard error between polygons."""
        own, number = np.arange(len(fitted)), len(fitted)
        gains = self.entropy[:, len(GRID) // 2] - self.entropy[own, fitted]
        mean = float(gains.sum() / self.pixels.sum())
        spread = float(np.square(gains - mean * self.pixels).sum())
        return mean, math.sqrt(number / (number - 1) * spread) / float(self.pixels.sum())


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
    """Return the calibration from its ``as_dict``; models of format 1 have none, and get the default."""
    if not said:
        return Calibration()
    curves = {which: Reliability.from_dict(said[which]) if said[which] else None for which in ("before", "after")}
    return Calibration(
        said["temperature"],
        said["samples"],
        **curves,
        partial=said.get("partial", {}),
        polygons=said.get("polygons", 0),
        season=tuple((day, temperature) for day, temperature in said.get("season", ())),
    )
