"""Settings of the network ``lstm``, and its card."""

from dataclasses import dataclass
from typing import Annotated, Literal

from bocage.models.card import Card, Published
from bocage.models.settings.gru import S2
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="Ienco et al. 2017, doi:10.1109/LGRS.2017.2728698",
    takes="one series",
    masks="skips masked dates",
    published=Published(epochs=200, batch_size=32, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    units: Annotated[int, Range(1, 16_384)] = 512
    """Hidden units, at least 1."""
    dropout: Annotated[float, SHARE] = 0.0
    """Dropout rate of the features before the classifier, from 0 to below 1."""
    day_of_year: Literal["auto", "yes", "no"] = "auto"
    """Append sine and cosine of the day of the year to each date; "auto": for native (irregular) dates only."""

    def __post_init__(self) -> None:
        check_ranges(self)
