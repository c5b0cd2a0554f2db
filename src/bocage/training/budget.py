"""Number of epochs of a training, from the limits of its optimiser steps and its number of samples."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bocage.ranges import ranges_of
from bocage.training.settings import Training


def steps_of(settings: Training, label: NDArray[np.integer], items: int | None = None) -> int:
    """Return the number of optimiser steps of an epoch on training samples with classes `label` (N,), in `items` windows."""
    samples = len(label) if items is None else items
    if settings.samples_per_epoch:
        classes = len(np.unique(label))
        samples = classes * max(1, settings.samples_per_epoch // max(1, classes))
    steps = max(1, -(-samples // settings.batch_size))
    # A last batch of one sample is merged with the batch before.
    return steps - 1 if steps > 1 and samples % settings.batch_size == 1 else steps


def budgeted(settings: Training, label: NDArray[np.integer], items: int | None = None) -> Training:
    """Return the settings with the number of epochs, and the patience, that the limits of the optimiser steps give.

    `items` is the number of windows of a training on windows.
    """
    (least, most), each = settings.steps, steps_of(settings, label, items)
    epochs = max(settings.epochs, -(-least // each))
    if most:
        epochs = min(epochs, max(1, most // each))
    epochs = min(epochs, _highest("epochs"))
    if epochs == settings.epochs:
        return settings
    patience = min(max(1, round(settings.patience * epochs / settings.epochs)), _highest("patience"))
    return replace(settings, epochs=epochs, patience=patience)


def _highest(setting: str) -> int:
    return int(ranges_of(Training)[setting].high)
