"""Settings of the network ``gru``, and its card."""

from dataclasses import dataclass
from typing import Annotated, Literal

from bocage.grid import Ratio
from bocage.models.card import Card, InputSpec, Published
from bocage.ranges import SHARE, Range, check_ranges

S2 = InputSpec("s2", tuple(f"b{i}" for i in range(16)), 34, Ratio())

CARD = Card(
    paper="temporal branch of M3Fusion, Benedetti et al. 2018, doi:10.1109/JSTARS.2018.2876357",
    takes="one series",
    masks="skips masked dates",
    published=Published(epochs=400, batch_size=64, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; `units` is as published, `dropout` comes from a public port (the paper gives none)."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    units: Annotated[int, Range(1, 16_384)] = 1024
    """Hidden units of the GRU and of the attention, at least 1."""
    dropout: Annotated[float, SHARE] = 0.4
    """Dropout rate of the features before the classifier, from 0 to below 1."""
    attention: bool = True
    """Weight the states of all dates by attention; false: use the state after the last clear date."""
    day_of_year: Literal["auto", "yes", "no"] = "auto"
    """Append sine and cosine of the day of the year to each date; "auto": for native (irregular) dates only."""

    def __post_init__(self) -> None:
        check_ranges(self)
