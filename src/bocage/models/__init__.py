"""Tensors → logits. One architecture per file of this folder; ``MODELS`` is their shelf."""

from collections.abc import Mapping
from typing import Any

from bocage.models import gru, multiresolcc, random_forest
from bocage.models.base import (
    Architecture,
    Batch,
    Fitted,
    Footprint,
    InputSpec,
    Network,
    SourceTensor,
    batch_of,
    window_positions,
)
from bocage.shelf import Shelf

MODELS: Shelf[Architecture] = Shelf(
    "model", "models", {"random_forest": random_forest, "gru": gru, "multiresolcc": multiresolcc}
)


def build(name: str, inputs: Mapping[str, InputSpec], n_classes: int, config: Any) -> Any:
    """Build the network called `name` for these sources.

    Raises
    ------
    UnknownNameError
        No network has that name.
    ModelError
        The network cannot work with these sources or settings.
    """
    return MODELS.get(name).Model(inputs, n_classes, config)


__all__ = [
    "MODELS", "Architecture", "Batch", "Fitted", "Footprint", "InputSpec", "Network", "SourceTensor", "batch_of", "build",
    "window_positions",
]  # fmt: skip
