"""Tensors → logits. One architecture per file of this folder; ``MODELS`` is their shelf.

A network goes on the shelf ``MEMBERS`` in ``members.py``, where ``mixture`` and ``regional`` find it too; a network of one source
on the shelf ``SINGLE`` in ``single.py``, where also ``fusion`` finds it.
"""

from bocage.models import mixture, regional
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
from bocage.models.ensemble import ENSEMBLES, Ensemble, Member
from bocage.models.members import MEMBERS
from bocage.models.single import SINGLE
from bocage.shelf import Shelf

MODELS: Shelf[Architecture] = Shelf(
    "model", "models", {**MEMBERS.things, "mixture": mixture, "regional": regional}, no_architecture
)

__all__ = [
    "ENSEMBLES", "MODELS", "SINGLE", "Abilities", "Architecture", "Batch", "Card", "Ensemble", "Footprint", "InputSpec",
    "Member", "Network", "Published", "SourceTensor", "build", "card_for", "card_of", "moved", "window_positions",
]  # fmt: skip
