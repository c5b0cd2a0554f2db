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
from bocage.training.batches import Minibatch

TAUGHT = 0.9
"""Weight of the teachers in the targets; the label has the rest. The labels alone already taught the teachers."""


@torch.no_grad()
def targets_of(teachers: Sequence[Network], batch: Minibatch, groups: Tensor) -> Tensor:
    """Return the targets of the samples of a minibatch (B, K), probabilities with the sum 1.

    Parameters
    ----------
    teachers
        The networks, in evaluation mode, on the device of the minibatch.
    groups : (J, K)
        Whether each class is below each coarser class. The target of a sample of a coarser class is the mean of the teachers
        within this class.
    """
    mean = torch.stack([torch.softmax(batch.pick(one(batch.inputs)).float(), 1) for one in teachers]).mean(0)
    label = batch.labels
    coarse = label < 0
    own = functional.one_hot(label.clamp_min(0), mean.shape[1]).to(mean.dtype)
    targets = TAUGHT * mean + (1 - TAUGHT) * own
    if coarse.any():
        # At least the smallest probability: a mean of 0 in the whole class would leave nothing to divide by.
        inside = groups[COARSER - label[coarse]].to(mean.dtype) * mean[coarse].clamp_min(torch.finfo(mean.dtype).tiny)
        targets[coarse] = inside / inside.sum(1, keepdim=True)
    return targets
