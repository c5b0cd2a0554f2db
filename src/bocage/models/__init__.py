"""Tensors → logits. One architecture per file of this folder; ``MODELS`` is their shelf.

A network of one source goes on the shelf ``SINGLE`` in ``single.py``, where ``fusion`` finds it too.
"""

from bocage.models import (
    dmil,
    fusion,
    lightgbm,
    m3fusion,
    mixture,
    multiresolcc,
    patchwork,
    random_forest,
    s1s2vhsr,
    twinns,
)
from bocage.models.base import (
    Abilities,
    Architecture,
    Batch,
    Card,
    Footprint,
    InputSpec,
    Network,
    Published,
    SourceTensor,
    build,
    card_for,
    card_of,
    moved,
    no_architecture,
    window_positions,
)  # fmt: skip
from bocage.models.single import SINGLE
from bocage.shelf import Shelf

MODELS: Shelf[Architecture] = Shelf(
    "model",
    "models",
    {
        **SINGLE.things,
        "dmil": dmil,
        "fusion": fusion,
        "lightgbm": lightgbm,
        "m3fusion": m3fusion,
        "mixture": mixture,
        "multiresolcc": multiresolcc,
        "patchwork": patchwork,
        "random_forest": random_forest,
        "s1s2vhsr": s1s2vhsr,
        "twinns": twinns,
    },
    no_architecture,
)

__all__ = [
    "MODELS", "SINGLE", "Abilities", "Architecture", "Batch", "Card", "Footprint", "InputSpec", "Network", "Published",
    "SourceTensor", "build", "card_for", "card_of", "moved", "window_positions",
]  # fmt: skip
