"""Semi-supervised training: the class of a weak view of an unlabelled pixel is the target of a strong view of it.

FixMatch (Sohn et al. 2020, arXiv 2001.07685): the network classifies the weak view (all dates and sources, no gradient). A class
with a confidence above a threshold becomes the label of the strong view: shifted days, hidden dates, hidden sources. With adaptive
thresholds (FreeMatch, Wang et al. 2023, arXiv 2205.07246), the threshold of a class is the mean confidence so far, reduced for
classes that the network predicts with a lower mean probability.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bocage.models import Batch, Network, SourceTensor
from bocage.models.base import Criterion
from bocage.samples import Chips
from bocage.training.augmentation import Augmentation, augmented
from bocage.training.batches import Minibatch, make_batch
from bocage.training.scaling import Normalisation


@dataclass(frozen=True)
class Consistency:
    """Settings of the loss of unlabelled pixels."""

    weight: float = 1.0
    """Weight of the loss of the unlabelled pixels, against that of the labelled samples."""
    ratio: int = 1
    """Number of unlabelled pixels for each labelled sample of a batch."""
    threshold: float = 0.0
    """Minimum confidence of a pseudo-label; 0: adaptive thresholds."""
    decay: float = 0.99
    """Decay of the moving averages of the adaptive thresholds."""
    jitter: int = 10
    """Maximum temporal shift of a strong view, in days."""
    date_dropout: float = 0.4
    """Maximum share of the dates hidden from a strong view, besides those that the network hides by itself."""
    aligned: bool = False
    """Whether the probabilities are aligned with the class frequencies of the training samples."""


Pair = tuple[Batch, Batch]


def views(
    chips: Chips, normalisation: Normalisation, size: int, steps: int, generator: np.random.Generator, how: Augmentation
) -> Iterator[Pair]:
    """Yield `steps` pairs of a weak and a strong view of `size` unlabelled pixels, drawn at random."""
    weak = replace(how, jitter=0, date_dropout=0.0, cutoff=0.0)
    for _ in range(steps):
        chosen = generator.choice(len(chips), size, replace=len(chips) < size)
        batch = make_batch(chips, np.sort(chosen), normalisation)
        yield augmented(batch, weak, generator), augmented(batch, how, generator)


class Thresholds:
    """Moving averages of the confidence and of the class probabilities of the unlabelled pixels."""

    def __init__(self, settings: Consistency, prior: Tensor, kept: dict[str, Tensor]) -> None:
        self.settings, self.kept, self.prior = settings, kept, prior
        if not kept:
            k = len(prior)
            kept["confidence"] = torch.tensor(1.0 / k)
            kept["classes"] = torch.full((k,), 1.0 / k)

    def select(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Return which pixels have a pseudo-label (B,), and their classes, from probabilities (B, K) of the weak views."""
        decay, kept = self.settings.decay, self.kept
        probabilities = probabilities.cpu()
        sure, found = probabilities.max(1)
        kept["confidence"].lerp_(sure.mean(), 1 - decay)
        kept["classes"].lerp_(probabilities.mean(0), 1 - decay)
        if self.settings.aligned:
            aligned = probabilities * self.prior / kept["classes"]
            sure, found = (aligned / aligned.sum(1, keepdim=True)).max(1)
        least: Tensor = torch.full_like(kept["classes"], self.settings.threshold)
        if not self.settings.threshold:
            least = kept["confidence"] * kept["classes"] / kept["classes"].max()
        taken = sure >= least[found]
        return taken, found[taken]


def with_unlabelled(
    batch: Minibatch, pair: Pair, network: Network, thresholds: Thresholds, n_classes: int
) -> Minibatch:
    """Return the batch with the strong views that have a pseudo-label; their labels are those of the classes, plus K."""
    weak, strong = pair
    training = network.training
    network.eval()
    with torch.no_grad():
        probabilities = torch.softmax(network(weak)[:, :, 0, 0].float(), 1)
    network.train(training)
    taken, found = thresholds.select(probabilities)
    inputs = {name: _both(tensor, strong[name].take(taken)) for name, tensor in batch.inputs.items()}
    return Minibatch(inputs, torch.cat([batch.labels, n_classes + found]), batch.members)


def _both(first: SourceTensor, second: SourceTensor) -> SourceTensor:
    parts = ((getattr(first, name), getattr(second, name)) for name in ("values", "valid", "days"))
    return SourceTensor(*(torch.cat(pair) for pair in parts))


def with_pseudo_labels(criterion: Criterion, n_classes: int, size: int, weight: float) -> Criterion:
    """Return the loss of labelled samples, plus that of the pseudo-labels of `size` unlabelled pixels."""

    def both(logits: Tensor, target: Tensor) -> Tensor:
        free = target >= n_classes
        total = logits.sum() * 0.0
        if not free.all():
            total = total + criterion(logits[~free], target[~free])
        if free.any():
            own = functional.cross_entropy(logits[free].float(), target[free] - n_classes, reduction="sum")
            total = total + weight * own / size
        return total

    return both


def prior_of(label: NDArray[np.integer], n_classes: int) -> Tensor:
    """Return the class frequencies of the training samples, (K,)."""
    counts = np.maximum(np.bincount(label[label >= 0], minlength=n_classes), 0.5)
    return torch.from_numpy(counts / counts.sum()).float()
