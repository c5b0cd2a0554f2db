"""Settings of the network ``mixture``, and its card."""

import dataclasses
from dataclasses import dataclass

from bocage.models.card import Card, card_for
from bocage.models.member import ENSEMBLES, Member
from bocage.models.settings import gru

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
    cards = [card_for(member.architecture, member.config) for member in config.members]
    in_patches, same_dates = any(card.dense == "patches" for card in cards), any(card.same_dates for card in cards)
    return dataclasses.replace(CARD, dense="patches" if in_patches else "exact", same_dates=same_dates)
