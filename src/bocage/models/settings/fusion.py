"""Settings of the network ``fusion``, and its card."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from bocage.models.card import Card, card_of
from bocage.models.settings import gru
from bocage.models.settings.twinns import S1
from bocage.models.single import SINGLE
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="strategies of Mena et al. 2023, arXiv 2308.05407",
    takes="any sources, each with a single-source network set in the recipe (computed patch by patch if that network is)",
    masks="as the member networks; early: a date is valid where all stacked sources are valid",
    example={"s1": S1, "s2": gru.S2},
)


@dataclass(frozen=True)
class Member:
    """A network and its source."""

    network: str
    """Name of a single-source network."""
    source: str = ""
    """Name of the source; left out with the strategy "early"."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The network's own settings."""


@dataclass(frozen=True)
class Config:
    """Settings of the fusion."""

    strategy: Literal["early", "late", "decision"] = "late"
    """Level at which the sources are fused."""
    members: tuple[Member, ...] = (Member("gru", "s1"), Member("gru", "s2"))
    """The networks: exactly one with "early", two or more otherwise."""
    sources: tuple[str, ...] = ()
    """Series stacked by "early"; empty: all."""
    auxiliary: Annotated[float, Range(0, 100)] = 0.0
    """Weight of the auxiliary head on each member's features ("late"), at least 0; 0: no auxiliary heads."""
    dropout: Annotated[float, SHARE] = 0.0
    """Dropout rate of the features before the head ("late"), from 0 to below 1."""

    def __post_init__(self) -> None:
        check_ranges(self)
        # A model folder stores the members as tables.
        members = tuple(m if isinstance(m, Member) else Member(**m) for m in self.members)
        object.__setattr__(self, "members", members)
        if not self.members or (self.strategy == "early") != (len(self.members) == 1):
            raise ValueError(f'"early" takes one member, "late" and "decision" two or more; found {len(self.members)}')


def card_with(config: Config) -> Card:
    """Return the card of a fusion of these networks."""
    cards = [card_of(SINGLE.get(member.network)) for member in config.members]
    return dataclasses.replace(CARD, same_dates=any(card.same_dates for card in cards))
