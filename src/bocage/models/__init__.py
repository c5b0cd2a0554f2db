"""Tensors → logits. One architecture per file of this folder; ``MODELS`` is their shelf."""

from collections.abc import Mapping
from typing import Any

from bocage.models import (
    cnn1d,
    convlstm,
    dmil,
    duplo,
    fusion,
    gru,
    lightgbm,
    lstm,
    ltae,
    m3fusion,
    multiresolcc,
    multiresolcc_pansharpened,
    patchwork,
    random_forest,
    s1s2vhsr,
    tempcnn,
    twinns,
)
from bocage.models.base import (
    Architecture,
    Batch,
    Card,
    Fitted,
    Footprint,
    InputSpec,
    Network,
    Objective,
    Published,
    SourceTensor,
    any_source,
    batch_of,
    window_positions,
)
from bocage.shelf import Shelf

MODELS: Shelf[Architecture] = Shelf(
    "model",
    "models",
    {
        "cnn1d": cnn1d,
        "convlstm": convlstm,
        "dmil": dmil,
        "duplo": duplo,
        "fusion": fusion,
        "gru": gru,
        "lightgbm": lightgbm,
        "lstm": lstm,
        "ltae": ltae,
        "m3fusion": m3fusion,
        "multiresolcc": multiresolcc,
        "multiresolcc_pansharpened": multiresolcc_pansharpened,
        "patchwork": patchwork,
        "random_forest": random_forest,
        "s1s2vhsr": s1s2vhsr,
        "tempcnn": tempcnn,
        "twinns": twinns,
    },
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
    "MODELS", "Architecture", "Batch", "Card", "Fitted", "Footprint", "InputSpec", "Network", "Objective", "Published",
    "SourceTensor", "any_source", "batch_of", "build", "window_positions",
]  # fmt: skip
