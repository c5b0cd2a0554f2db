"""Tensors → logits. One architecture per file of this folder; ``MODELS`` is their shelf.

The settings of a network and its card are in a file of the same name in ``settings``, which does not import PyTorch. A network
goes on the shelf ``MEMBERS`` in ``members.py``, where ``mixture`` and ``regional`` find it too; a network of one source on the
shelf ``SINGLE`` in ``single.py``, where also ``fusion`` finds it.
"""

from typing import TYPE_CHECKING

from bocage.later import later

if TYPE_CHECKING:
    from bocage.models.base import (
        Batch,
        Criterion,
        Network,
        Positions,
        SourceTensor,
        build,
        moved,
        step_of,
        window_positions,
    )
    from bocage.models.card import (
        Abilities,
        Architecture,
        Card,
        Footprint,
        InputSpec,
        Published,
        card_for,
        card_of,
        no_architecture,
    )
    from bocage.models.ensemble import Ensemble
    from bocage.models.member import ENSEMBLES, Member
    from bocage.models.members import MEMBERS, MODELS
    from bocage.models.parcels import OUTPUTS, Delineating
    from bocage.models.single import SINGLE

__all__ = [
    "ENSEMBLES", "MEMBERS", "MODELS", "OUTPUTS", "SINGLE", "Abilities", "Architecture", "Batch", "Card", "Criterion",
    "Delineating", "Ensemble", "Footprint", "InputSpec", "Member", "Network", "Positions", "Published", "SourceTensor", "build",
    "card_for", "card_of", "moved", "no_architecture", "step_of", "window_positions",
]  # fmt: skip

later(__name__)
