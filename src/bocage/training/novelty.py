"""Compute the training domain of a model and its reference distance."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.models import Footprint
from bocage.samples import Chips, Draw
from bocage.training.batches import make_batch
from bocage.training.domain import Domain, features_of
from bocage.training.trained import Trained

MOST, CHECKED = 1500, 1000
"""Maximum number of training samples stored, and of validation samples used for the reference distance."""
COMPONENTS = 24
"""Maximum number of principal components."""


def domain_of(trained: Trained, chips: Chips, draw: Draw, seed: int) -> Domain:
    """Return the training domain, with the reference distance of the validation samples to the training samples.

    Without validation samples, the reference is the distance of training samples to training samples of other polygons. For
    a network that accepts other dates than those of its training, series are monthly means, as in :func:`features_of`.
    """
    generator = np.random.default_rng(seed)

    def features(members: NDArray[np.int64], most: int) -> tuple[Tensor, NDArray[np.int32]]:
        chosen = np.sort(generator.choice(members, most, replace=False)) if len(members) > most else members
        batch = make_batch(chips, chosen, trained.normalisation)
        values = features_of(batch, trained.inputs, _cut_with(trained, chips), (1, 1), trained.any_source)
        return values, chips.unit[chosen]

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


def novelty_of(trained: Trained, chips: Chips, members: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """Return the novelty of samples (N,), above 1 outside the training domain; None if the model has no domain."""
    if trained.domain is None:
        return None
    parts = [members[:0].astype(np.float32)]
    for start in range(0, len(members), CHECKED):
        batch = make_batch(chips, members[start : start + CHECKED], trained.normalisation)
        features = features_of(batch, trained.inputs, _cut_with(trained, chips), (1, 1), trained.any_source)
        parts.append(trained.domain.novelty(features).numpy())
    return np.concatenate(parts)


def _cut_with(trained: Trained, chips: Chips) -> Mapping[str, Footprint]:
    """Return the footprints of the samples: those of the network or, of a training on windows, the map pixels alone."""
    if chips.windows is None:
        return trained.footprints
    return {name: Footprint(trained.inputs[name].ratio.finer) for name in trained.footprints}


def _far(nearest: Tensor) -> Tensor:
    """Return the upper whisker of the distances, as in the paper: the largest within 1.5 interquartile ranges of the box."""
    if not len(nearest):
        return torch.tensor(1.0)
    low, high = torch.quantile(nearest, torch.tensor([0.25, 0.75]))
    whisker = nearest[nearest <= high + 1.5 * (high - low)].max()
    return whisker.clamp_min(1e-6)
