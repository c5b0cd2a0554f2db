"""Loss of a network that delineates parcels: the Tanimoto similarity with complement, the mean of extent, boundary and distance.

Waldner & Diakogiannis 2020 (doi:10.1016/j.rse.2020.111741) average the loss of Diakogiannis et al. 2020
(doi:10.1016/j.isprsjprs.2020.01.013) over their tasks. Here, :data:`WEIGHT` times the mean is added to the loss of the
classes, and pixels without a label do not count.
"""

import torch
from torch import Tensor

from bocage.models import Criterion

SMOOTH = 1e-5
"""Added to both sides of the ratio, so that it is 1 where target and output are 0."""

WEIGHT = 4.0
"""Weight of the outlines in the loss. The similarity is at most 1, and the cross-entropy of the classes is larger at first."""


def targets(depth: Tensor) -> Tensor:
    """Return extent, boundary and distance (N, 3) of pixels whose depth (N,) is known."""
    return torch.stack([(depth >= 0).float(), (depth == 0).float(), depth.clamp_min(0)], 1)


def similarity(output: Tensor, target: Tensor) -> Tensor:
    """Return the Tanimoto similarity of each column (3,) of outputs and targets (N, 3), from 0 to 1."""
    both = (output * target).sum(0)
    return (both + SMOOTH) / ((output**2 + target**2).sum(0) - both + SMOOTH)


def outline_loss(logits: Tensor, depth: Tensor) -> Tensor:
    """Return 1 minus the mean similarity, with that of the complements, of logits (N, 3) for pixels of a depth (N,).

    Pixels whose depth is NaN do not count; without others, the loss is 0.
    """
    known = ~torch.isnan(depth)
    if not known.any():
        return logits.sum() * 0
    output, target = torch.sigmoid(logits[known].float()), targets(depth[known])
    return 1 - 0.5 * (similarity(output, target) + similarity(1 - output, 1 - target)).mean()


def with_outlines(criterion: Criterion, n_classes: int, labels: Tensor, depth: Tensor) -> Criterion:
    """Return the loss of logits (N, K + 3) for positions (N,) among pixels with `labels` and `depth` (M,).

    Positions take the place of labels, because a network may pass a part of its pixels to the criterion (auxiliary heads).
    """

    def both(logits: Tensor, positions: Tensor) -> Tensor:
        classes = criterion(logits[:, :n_classes], labels[positions])
        return classes + WEIGHT * outline_loss(logits[:, n_classes:], depth[positions])

    return both
