"""What an adaptation changes: predictions of two models for the same pixels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # it imports PyTorch
    from bocage.training.guard import Judgement


@dataclass(frozen=True)
class Round:
    """Number of training pixels of each class in one round of self-training."""

    predicted: tuple[int, ...]
    """Pixels with a pseudo-label."""
    labelled: tuple[int, ...]
    """Pixels of the reference polygons."""


@dataclass(frozen=True)
class Answers:
    """Predictions of a model for random pixels of the scene."""

    share: tuple[float, ...]
    """Share of the pixels predicted as each class, 0 to 1."""
    confidence: tuple[float | None, ...]
    """Mean confidence of the pixels predicted as each class, 0 to 1; None without pixels."""

    @property
    def mean(self) -> float | None:
        """Mean confidence of all pixels, 0 to 1; None without pixels."""
        terms = [share * sure for share, sure in zip(self.share, self.confidence, strict=True) if sure is not None]
        return sum(terms) if terms else None

    @classmethod
    def of(cls, probabilities: NDArray[np.float32]) -> "Answers":
        """Return the summary of probabilities (N, K)."""
        classes, sure = probabilities.argmax(1), probabilities.max(1, initial=0)
        counts = np.bincount(classes, minlength=probabilities.shape[1])
        sums = np.bincount(classes, weights=sure, minlength=len(counts))
        means = tuple(float(total / n) if n else None for total, n in zip(sums, counts, strict=True))
        return cls(tuple((counts / max(1, len(classes))).tolist()), means)


@dataclass(frozen=True)
class Change:
    """Effect of an adaptation on the unlabelled pixels that were drawn from the scene."""

    pixels: int
    """Number of these pixels."""
    changed: float
    """Share of these pixels whose class differs between the two models, 0 to 1."""
    before: Answers
    """Predictions of the original model."""
    after: Answers
    """Predictions of the adapted model."""
    beyond: float | None
    """Share of these pixels that are unlike the training data (novelty above 1); None if the model has no domain."""
    rounds: tuple[Round, ...]
    """Training pixels of each round; empty if the model was kept as it is."""
    judgement: "Judgement | None" = None
    """What was known of the original model on the scene; None in files of earlier versions."""
    temperature: float = 1.0
    """Factor of the temperatures after the adaptation."""

    @property
    def kept(self) -> bool:
        """Whether the model was kept as it is, because no gain was expected."""
        return not self.rounds


@dataclass(frozen=True)
class Importance:
    """Loss of accuracy for each source and date, as a share, at most 1; small negative values are random."""

    samples: int
    """Number of samples, balanced over the classes."""
    accuracy: float
    """Accuracy without permutation on these samples, 0 to 1."""
    by_source: Mapping[str, float]
    """Source → loss of accuracy."""
    by_date: Mapping[str, tuple[float, ...]]
    """Source → loss of accuracy for each of its dates; series only."""
    days: Mapping[str, tuple[int, ...]]
    """Source → days since 1970-01-01 of these dates."""
    by_class: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """Source → loss of accuracy for each class, in the order of the legend; None for a class without samples."""
    attention: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    """Series → class → mean attention weight of each date, for networks with temporal attention. The weights of a class add
    up to 1, or to 0 for a class without samples."""
