"""Settings of the network ``regional``, and its card."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from bocage.grid import Ratio
from bocage.models.card import Card, InputSpec, card_for
from bocage.models.member import ENSEMBLES, Member
from bocage.models.settings import gru
from bocage.ranges import Range, check_ranges
from bocage.textfile import identifier

CARD = Card(
    paper="a model per stratum, as in operational land-cover production",
    takes="a source of regions, and the sources of its member (computed patch by patch if the member is)",
    masks="as the member; a pixel in no region is not mapped",
    example={"s2": gru.S2, "regions": InputSpec("regions", ("north", "south"), 1, Ratio())},
)


@dataclass(frozen=True)
class Config:
    """The model of each region, and the samples on which it is trained."""

    member: Member = field(default_factory=lambda: Member("gru"))
    """The model that is trained in each region: a table with its `name` and settings."""
    source: str = "regions"
    """Name of the source of regions."""
    share: Annotated[float, Range(0, 1e6)] = 0.0
    """Distance from a region, in metres, up to which samples of the other regions train its member too."""
    minimum: Annotated[int, Range(1, 1_000_000)] = 10
    """Least number of training polygons of a region, at least 1. A region with fewer borrows those of a neighbour."""
    minimum_of_class: Annotated[int, Range(0, 1_000_000)] = 0
    """Least number of training polygons of each class in a region; 0: a region may lack classes, which its member cannot map."""
    borrow: Mapping[str, str] = field(default_factory=dict)
    """Region with too few polygons → region whose samples train its member too. Without an entry, the training stops."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if not isinstance(self.member, Member):  # a model folder stores it as a table
            object.__setattr__(self, "member", Member(**self.member))
        if self.member.name in ENSEMBLES:
            raise ValueError(f"a {self.member.name} cannot be the model of each region")

    def neighbour_of(self, band: str) -> str | None:
        """Return the band of the region from which the region of a band borrows; None without one."""
        return {identifier(region): identifier(neighbour) for region, neighbour in self.borrow.items()}.get(band)

    def __str__(self) -> str:
        return f"{self.member.name} per region"


def card_with(config: Config) -> Card:
    """Return the card of a model per region with this member."""
    card = card_for(config.member.architecture, config.member.config)
    return dataclasses.replace(CARD, dense=card.dense, same_dates=card.same_dates)
