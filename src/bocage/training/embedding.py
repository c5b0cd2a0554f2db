"""Features of samples in a trained model, to compare fields with each other; what several models find at samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.machine import device_of
from bocage.models import moved
from bocage.samples import Chips
from bocage.training.batches import batches
from bocage.training.domain import features_of
from bocage.training.novelty import novelty_of
from bocage.training.train import classify
from bocage.training.trained import Trained

SIZE = 256
"""Number of samples in a batch."""


@torch.inference_mode()
def embedding_of(trained: Trained, chips: Chips, members: NDArray[np.int64], device: str) -> NDArray[np.float64]:
    """Return the features of samples (N, F): the input of the class head of a network with an encoder.

    For other models, they are the principal components of the input values, as for the novelty; without a training domain, the
    input values.
    """
    where, encoder, domain = device_of(device), trained.model.abilities.encoder, trained.domain
    model = trained.model.to(where).eval()
    parts = []
    for batch in batches(chips, members, trained.normalisation, SIZE):
        if encoder:
            found = model.fused(moved(batch.inputs, where)).float()[:, :, 0, 0].cpu()
        else:
            found = features_of(batch.inputs, trained.inputs, trained.footprints, (1, 1), trained.any_source)
            found = (found - domain.mean) @ domain.components if domain else found
        parts.append(found.double().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, 1))


@dataclass(frozen=True)
class Views:
    """What models find at N samples."""

    probability: NDArray[np.float64]
    """Calibrated class probabilities, mean over the models (N, K)."""
    novelty: NDArray[np.float64]
    """Novelty, minimum over the models: near the training samples of one of them is near; 1 for models without a domain (N,)."""
    features: NDArray[np.float64]
    """Features of the first model (N, F)."""


def views_of(models: Sequence[Trained], chips: Chips, members: NDArray[np.int64], device: str) -> Views:
    """Return the probabilities, the novelty and the features of samples for models of one recipe (at least one)."""
    probability = np.stack([classify(model, chips, members, device) for model in models]).mean(0, dtype=np.float64)
    found = [novelty_of(model, chips, members) for model in models]
    novelty = [values for values in found if values is not None] or [np.ones(len(members), np.float32)]
    return Views(
        probability, np.min(novelty, axis=0).astype(np.float64), embedding_of(models[0], chips, members, device)
    )
