"""Mean of the class probabilities of several models, each trained on its own: seeds of one network, or different models.

Lakshminarayanan, Pritzel & Blundell 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
NIPS 30 (arXiv 1612.01474). Departures: no adversarial training; the probabilities of each member are calibrated before the
mean, so that an overconfident member does not outweigh the others; members can be different models.

::

    s2, s1 → model 1 → / temperature → softmax ─┐
    s2, s1 → model 2 → / temperature → softmax ─┼→ mean → log → (B, K, Y, X)
    s2     → trees   → / temperature → softmax ─┘

The footprint in a source is the largest one of the members; each member reads its own part of it.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bocage.models import gru
from bocage.models.base import Batch, Card, InputSpec, build, card_of, output_shape
from bocage.models.ensemble import ENSEMBLES, Ensemble, Member

CARD = Card(
    paper="Lakshminarayanan et al. 2017, arXiv 1612.01474",
    takes="the sources of its members, set in the recipe (computed patch by patch if a member is)",
    masks="as the members",
    example={"s2": gru.S2},
)


@dataclass(frozen=True)
class Config:
    """Members of the mixture."""

    members: tuple[Member, ...] = (Member("gru"), Member("tempcnn"))
    """The models; two networks or more in total."""

    def __post_init__(self) -> None:
        # A model folder stores the members as tables.
        members = tuple(m if isinstance(m, Member) else Member(**m) for m in self.members)
        object.__setattr__(self, "members", members)
        if odd := [member.name for member in members if member.name in ENSEMBLES]:
            raise ValueError(f"a {odd[0]} cannot be a member of a mixture; list its members instead")
        if len(self.each) < 2:
            raise ValueError(f"a mixture has two networks or more; found {len(self.each)}")

    @property
    def each(self) -> tuple[Member, ...]:
        """The member of each network: a member with a count of 3 is repeated three times."""
        return tuple(member for member in self.members for _ in range(member.count))

    def __str__(self) -> str:
        return " + ".join(f"{m.count} × {m.name}" if m.count > 1 else m.name for m in self.members)


def card_with(config: Config) -> Card:
    """Return the card of a mixture with these members."""
    cards = [card_of(member.architecture) for member in config.members]
    in_patches, same_dates = any(card.dense == "patches" for card in cards), any(card.same_dates for card in cards)
    return dataclasses.replace(CARD, dense="patches" if in_patches else "exact", same_dates=same_dates)


class Model(Ensemble):
    """The members under the contract of every network."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__(inputs, [build(m.architecture, inputs, n_classes, m.config) for m in config.each], {})

    def forward(self, batch: Batch) -> Tensor:
        """Return the logarithm of the mean probabilities (B, K, Y, X), float32."""
        shape = output_shape(batch, self._present(batch, self), self.inputs)
        first, *others = (self._calibrated(i, batch, shape) for i in range(len(self.members)))
        for logarithm in others:
            first = torch.logaddexp(first, logarithm)
        return first - math.log(len(self.members))
