"""Distillation: a network learns the mean class probabilities of several networks of its kind, beside the labels.

Hinton et al. 2015, arXiv 1503.02531; teachers of the same architecture as the student: Furlanello et al. 2018, arXiv
1805.04770. The network of the map is one network, so mapping takes no longer.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bocage.legend import COARSER
from bocage.models import Network
from bocage.models.base import Criterion
from bocage.training.batches import Minibatch

TAUGHT = 0.9
"""Weight of the teachers in the loss; the labels, which already taught the teachers, have the rest."""


@torch.no_grad()
def mean_of(teachers: Sequence[Network], batch: Minibatch, groups: Tensor) -> Tensor:
    """Return the mean class probabilities of the teachers for the samples of a minibatch (B, K).

    Parameters
    ----------
    teachers
        The networks, in evaluation mode, on the device of the minibatch.
    groups : (J, K)
        Whether each class is below each coarser class. The mean for a sample of a coarser class lies within it.
    """
    mean = torch.stack([torch.softmax(batch.pick(one(batch.inputs)).float(), 1) for one in teachers]).mean(0)
    coarse = batch.labels < 0
    if coarse.any():
        # At least the smallest probability: a mean of 0 in the whole class would leave nothing to divide by.
        least = torch.finfo(mean.dtype).tiny
        inside = groups[COARSER - batch.labels[coarse]].to(mean.dtype) * mean[coarse].clamp_min(least)
        mean[coarse] = inside / inside.sum(1, keepdim=True)
    return mean


def taught(criterion: Criterion, labels: Tensor, mean: Tensor) -> Criterion:
    """Return the loss of logits (N, K) and of the positions of their samples (N,) in a minibatch.

    It is the weighted sum of the loss of the labels and the divergence (Kullback-Leibler) from the mean of the teachers. The
    latter has no class weights: they are in the probabilities of the teachers already.
    """

    def both(logits: Tensor, position: Tensor) -> Tensor:
        found = torch.log_softmax(logits.float(), 1)
        divergence = functional.kl_div(found, mean[position], reduction="batchmean")
        return (1 - TAUGHT) * criterion(logits, labels[position]) + TAUGHT * divergence

    return both
