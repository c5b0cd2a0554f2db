"""Settings of the network ``patchwork``, and its card."""

from dataclasses import dataclass
from typing import Annotated, Literal

from bocage.models.card import Card
from bocage.models.settings.gru import S2
from bocage.models.settings.multiresolcc import PAN
from bocage.models.settings.twinns import S1
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="Bocage's own; attention after Garnot & Landrieu 2020, arXiv 2007.00586",
    takes="any series and images, each on its own grid and dates; any of them may be missing",
    masks="masked dates get attention 0; a source missing at a pixel is replaced by a learnt vector",
    training={
        "epochs": 40,
        "patience": 40,
        "steps": (1000, 10_000),
        "keep": "last",
        "class_weights": "root",
        "label_smoothing": 0.1,
        "optimiser": "adamw",
        "learning_rate": 2e-3,
        "weight_decay": 2e-2,
        "schedule": "one-cycle",
    },
    example={"s1": S1, "s2": S2, "pan": PAN},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    sources: tuple[str, ...] = ()
    """Names of the sources; empty: all."""
    preset: Literal["small", "medium", "large"] = "medium"
    """Size: 32 channels and 4 heads, 64 and 8, or 128 and 8."""
    filters: Annotated[tuple[int, int], Range(1, 16_384)] = (16, 32)
    """Filters of the two convolutions of an image."""
    context: Annotated[int, Range(0, 100)] = 1
    """Radius of the neighbourhood, in map pixels or in pixels of the source if it is coarser; 0: no neighbourhood. A series
    appends the neighbourhood mean to the bands of each date (for radar, a multilook). An image adds the mean of the
    neighbours' vectors to the vector of a pixel."""
    auxiliary: Annotated[float, Range(0, 100)] = 0.3
    """Weight of the losses of the auxiliary heads, one per source, at least 0; 0: no auxiliary heads."""
    date_dropout: Annotated[float, SHARE] = 0.4
    """Maximum share of the dates hidden during training, from 0 to below 1; each sample draws a share between 0 and this."""
    shares: bool = False
    """Whether the share of each reflectance band in the mean of these bands is also an input, for every date of a series. The
    bands need common names (blue, green, red, rededge1, ..., swir22). It helps within a scene and harms the transfer to
    another place and year (decision 0021)."""
    sensor_dropout: Annotated[float, SHARE] = 0.3
    """Probability that a source of a sample is hidden during training, from 0 to below 1; one source always remains."""

    def __post_init__(self) -> None:
        check_ranges(self)
