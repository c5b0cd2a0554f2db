"""Loss functions of the class logits: cross-entropy, focal loss, logit-adjusted cross-entropy.

Targets are classes (B,) or probabilities (B, K). Class weights and label smoothing work with every loss, with the
definitions of PyTorch's cross-entropy: with classes as targets, the mean is weighted by the weights of the classes.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bocage.models.base import Criterion
from bocage.training.settings import Training

FOCUS = 2.0
"""Exponent gamma of the focal loss; the value of the paper."""


def criterion_of(label: NDArray[np.integer], n_classes: int, settings: Training, device: torch.device) -> Criterion:
    """Return the loss of the settings, in float32.

    Parameters
    ----------
    label : (N,)
        Classes of the training samples, for class weights and class frequencies.
    """
    counts = np.maximum(np.bincount(label, minlength=n_classes), 1)
    power = {"none": 0.0, "root": 0.5, "balanced": 1.0}[settings.class_weights]
    weights = (len(label) / (n_classes * counts)) ** power
    weight, smoothing = torch.from_numpy(weights).float().to(device), settings.label_smoothing
    if settings.loss == "focal":
        return lambda logits, target: focal_loss(logits.float(), target, weight, smoothing)
    shift = torch.zeros(n_classes, device=device)
    if settings.loss == "logit-adjusted":
        shift = torch.from_numpy(np.log(counts / counts.sum())).float().to(device)
    return lambda logits, target: functional.cross_entropy(
        logits.float() + shift, target, weight=weight, label_smoothing=smoothing
    )


def focal_loss(logits: Tensor, target: Tensor, weight: Tensor, smoothing: float = 0.0, focus: float = FOCUS) -> Tensor:
    """Return the focal loss (Lin et al. 2017, doi:10.1109/ICCV.2017.324) of logits (B, K).

    The cross-entropy of each class is multiplied by ``(1 - p) ** focus``, with the predicted probability p of this class:
    samples that are already classified with a high probability count less. With `focus` 0, it is the cross-entropy.
    """
    k = logits.shape[1]
    hard = not target.is_floating_point()
    shares = functional.one_hot(target, k).float() if hard else target.float()
    shares = (1 - smoothing) * shares + smoothing / k
    log = torch.log_softmax(logits, 1)
    # 1 - p by the logarithm: its gradient is finite at p = 1, also for exponents below 1.
    damped = torch.exp(focus * torch.log(-torch.expm1(log.clamp_max(-1e-7))))
    total = -(shares * weight * damped * log).sum()
    return total / (weight[target].sum() if hard else len(target))
