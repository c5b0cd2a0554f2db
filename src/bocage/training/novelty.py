"""Describe what a model was trained on, and how far is far from it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.samples import Chips, Draw
from bocage.training.batches import make_batch
from bocage.training.domain import Domain, features_of
from bocage.training.trained import Trained

MOST, CHECKED = 1500, 1000
"""Training samples kept, and validation samples from which the largest usual distance is taken."""
COMPONENTS = 24


def domain_of(trained: Trained, chips: Chips, draw: Draw, seed: int) -> Domain:
    """Describe the training samples, and how far validation samples lie from them.

    Without validation samples: how far training samples lie from those of other polygons. For a network that maps other
    dates than those of its training, series count by month, as in :func:`features_of`.
    """
    generator = np.random.default_rng(seed)

    def features(members: NDArray[np.int64], most: int) -> tuple[Tensor, NDArray[np.int32]]:
        some = np.sort(generator.choice(members, most, replace=False)) if len(members) > most else members
        batch = make_batch(chips, some, trained.normalisation)
        found = features_of(batch, trained.inputs, trained.footprints, (1, 1), trained.any_source)
        return found, chips.polygon[some]

    points, polygon = features(draw.train, MOST)
    mean = points.mean(0)
    rank = min(COMPONENTS, *points.shape)
    components = torch.linalg.svd(points - mean, full_matrices=False)[2][:rank].T
    placed = (points - mean) @ components
    if len(draw.validation):
        checked = (features(draw.validation, CHECKED)[0] - mean) @ components
        nearest = torch.cdist(checked, placed).amin(1)
    else:
        same = torch.from_numpy(polygon[:, None] == polygon[None])
        nearest = torch.cdist(placed, placed).masked_fill(same, float("inf")).amin(1)
        nearest = nearest[torch.isfinite(nearest)]
    return Domain(mean, components.contiguous(), placed, _far(nearest))


def _far(nearest: Tensor) -> Tensor:
    """Upper whisker of a box plot, as in the paper: the largest distance within 1.5 interquartile ranges of the box."""
    if not len(nearest):
        return torch.tensor(1.0)
    low, high = torch.quantile(nearest, torch.tensor([0.25, 0.75]))
    whisker = nearest[nearest <= high + 1.5 * (high - low)].max()
    return whisker.clamp_min(1e-6)
