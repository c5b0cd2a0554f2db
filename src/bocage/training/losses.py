"""Loss functions of the class logits: cross-entropy, focal loss, logit-adjusted cross-entropy, at any level of a nomenclature.

Targets are labels (B,), negative for coarser classes, or probabilities (B, K). Class weights and label smoothing work with
every loss. As in PyTorch's cross-entropy, the mean with labels as targets is weighted by the weights of the classes. The share
of a label that smoothing distributes has the weight of the sample, and is distributed in proportion to the weights of the classes
with training samples. In PyTorch it has the weight of the class that gets it: a class without samples, or one that is very rare,
would win everywhere.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bocage.legend import COARSER
from bocage.models.base import Batch, Criterion, Network
from bocage.training.settings import Training

FOCUS = 2.0
"""Exponent gamma of the focal loss; the value of the paper."""
NONE = np.zeros((0, 0), bool)
"""No coarser class."""


def criterion_of(
    label: NDArray[np.integer],
    n_classes: int,
    settings: Training,
    device: torch.device,
    coarser: NDArray[np.bool_] = NONE,
) -> Criterion:
    """Return the loss of the settings, in float32.

    Parameters
    ----------
    label : (N,)
        Labels of the training samples, for class weights and class frequencies. The label of coarser class j is
        ``COARSER - j``.
    coarser : (J, K)
        Whether each class is below each coarser class. The loss of a sample of a coarser class is that of the sum of the
        probabilities of these classes. Its weight is the mean of theirs; it is reduced if a coarser class has more samples than
        the classes below it, so that their weights are equal in sum. Many coarse samples would else favour this class.
    """
    weights = class_weights(label, n_classes, settings)
    counts = _counts(label, n_classes)
    weight = torch.from_numpy(weights).float().to(device)
    of_taught = weight * torch.from_numpy(_taught(label, n_classes)).to(device)
    smoothing = Smoothing(settings.label_smoothing, of_taught)
    focus = FOCUS if settings.loss == "focal" else 0.0
    shift = torch.zeros(n_classes, device=device)
    if settings.loss == "logit-adjusted":
        shift = torch.from_numpy(np.log(counts / counts.sum())).float().to(device)

    def finest(logits: Tensor, target: Tensor) -> Tensor:
        if focus or smoothing.share:
            return focal_loss(logits, target, weight, smoothing, focus)
        return functional.cross_entropy(logits, target, weight=weight)

    groups = torch.from_numpy(coarser.reshape(-1, n_classes)).to(device)
    means = _mean_weights(groups, of_taught)
    means = means * torch.from_numpy(_share_of_coarser(label, counts, coarser)).float().to(device)

    def both(logits: Tensor, target: Tensor) -> Tensor:
        logits = logits.float() + shift
        coarse = target < 0 if not target.is_floating_point() else None
        if coarse is None or not coarse.any():
            return finest(logits, target)
        index = COARSER - target[coarse]
        total = (means[index] * coarse_loss(logits[coarse], groups[index], focus)).sum()
        mass = means[index].sum()
        if not coarse.all():
            own = weight[target[~coarse]].sum()
            total, mass = total + own * finest(logits[~coarse], target[~coarse]), mass + own
        return total / mass

    return both


def _taught(label: NDArray[np.integer], n_classes: int) -> NDArray[np.bool_]:
    """Return whether each class has a training sample of its own, (K,)."""
    return np.asarray(np.bincount(label[label >= 0], minlength=n_classes) > 0)


def _mean_weights(groups: Tensor, weight: Tensor) -> Tensor:
    """Return the mean weight of the classes of each group that have training samples, 1 if none has; (J, K), (K,) → (J,)."""
    taught = groups & (weight > 0)
    return torch.where(taught.any(1), (taught * weight).sum(1) / taught.sum(1).clamp_min(1), 1.0)


def _counts(label: NDArray[np.integer], n_classes: int) -> NDArray[np.integer]:
    """Return the number of samples of each class (K,), at least 1."""
    counts: NDArray[np.integer] = np.maximum(np.bincount(label[label >= 0], minlength=n_classes), 1)
    return counts


def class_weights(label: NDArray[np.integer], n_classes: int, settings: Training) -> NDArray[np.float64]:
    """Return the weight of each class (K,) in the loss, or in the fit of trees, from the labels (N,) of the training samples."""
    power = {"none": 0.0, "root": 0.5, "balanced": 1.0}[settings.class_weights]
    weights: NDArray[np.float64] = ((label >= 0).sum() / (n_classes * _counts(label, n_classes))) ** power
    return weights


def fit_at_once(model: Network, batch: Batch, label: NDArray[np.integer], settings: Training, seed: int) -> None:
    """Fit a model without epochs to all samples, with the labels (B,) and, if the settings give them, class weights.

    The mean of the weights of the samples is 1, so that limits of trees that depend on their sum keep their meaning.
    """
    labels, weights = torch.from_numpy(label.astype(np.int64)), None
    if settings.class_weights != "none":
        of_samples = class_weights(label, int(label.max()) + 1, settings)[label]
        weights = torch.from_numpy(of_samples / of_samples.mean())
    model.fit_part(batch, labels, seed, weights)


def _share_of_coarser(
    label: NDArray[np.integer], counts: NDArray[np.integer], coarser: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the number of samples below each coarser class over its own number, at most 1, (J,)."""
    if not len(coarser):
        return np.zeros(0)
    number = np.bincount(COARSER - label[label < 0].astype(np.int64), minlength=len(coarser))
    return np.minimum(1.0, coarser @ counts / np.maximum(number, 1))


def coarse_loss(logits: Tensor, members: Tensor, focus: float = 0.0) -> Tensor:
    """Return, for each sample (B,), the loss of the summed probability of the classes in `members` (B, K), bool.

    With one class, it is the cross-entropy, or the focal loss with the exponent `focus`, of this class.
    """
    log = torch.log_softmax(logits, 1)
    inside = torch.logsumexp(log.masked_fill(~members, -torch.inf), 1).clamp_max(0)
    if not focus:
        return -inside
    return -torch.exp(focus * torch.log(-torch.expm1(inside.clamp_max(-1e-7)))) * inside


@dataclass(frozen=True)
class Smoothing:
    """Label smoothing (Szegedy et al. 2016, doi:10.1109/CVPR.2016.308), with weights of the classes."""

    share: float
    """Share of each label that is distributed over the classes, 0 to 1."""
    weight: Tensor
    """Weight of each class (K,) in the distribution; 0 for a class without training samples."""

    def of(self, shares: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted targets (B, K) of shares of the classes (B, K), with class weights (K,)."""
        own = shares * weight
        if not self.share:
            return own
        spread = self.weight / self.weight.sum().clamp_min(1e-12)
        return (1 - self.share) * own + self.share * own.sum(1, keepdim=True) * spread


def focal_loss(
    logits: Tensor, target: Tensor, weight: Tensor, smoothing: Smoothing | None = None, focus: float = FOCUS
) -> Tensor:
    """Return the focal loss (Lin et al. 2017, doi:10.1109/ICCV.2017.324) of logits (B, K).

    The cross-entropy of each class is multiplied by ``(1 - p) ** focus``, with the predicted probability p of this class:
    samples that are already classified with a high probability count less. With `focus` 0, it is the cross-entropy.
    """
    hard = not target.is_floating_point()
    shares = functional.one_hot(target, logits.shape[1]).float() if hard else target.float()
    wanted = smoothing.of(shares, weight) if smoothing else shares * weight
    log = torch.log_softmax(logits, 1)
    if focus:
        # 1 - p by the logarithm: its gradient is finite at p = 1, also for exponents below 1.
        log = torch.exp(focus * torch.log(-torch.expm1(log.clamp_max(-1e-7)))) * log
    return -(wanted * log).sum() / (weight[target].sum() if hard else len(target))
