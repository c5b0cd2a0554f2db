"""LSTM on one series.

Ienco, Gaetano, Dupaquier & Maurel 2017, "Land Cover Classification via Multitemporal Spatial Data by Deep Recurrent
Neural Networks", doi:10.1109/LGRS.2017.2728698 (arXiv 1704.04055); 512 units and the last output, as in the team's later
scripts. Departures: masked dates are skipped exactly, with native dates two inputs tell the day of the year.

::

    s2 (B, T, C, Y, X) → pixels (N, T, C) → LSTM → state after the last clear date (N, U) → linear → (B, K, Y, X)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from bocage.models.base import Batch, Card, InputSpec, Published, choose, pixel_footprint
from bocage.models.gru import S2
from bocage.models.heads import single_source
from bocage.models.layers import clear_dates_first, last_clear, over_pixels

CARD = Card(
    paper="Ienco et al. 2017, doi:10.1109/LGRS.2017.2728698",
    takes="one series",
    masks="masked dates are skipped",
    published=Published(epochs=200, batch_size=32, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    source: str = ""
    """The series used; empty takes the only one there is."""
    units: int = 512
    """Hidden units, at least 1."""
    dropout: float = 0.0
    """Share of the features dropped before the classifier while training, 0 to 1."""
    day_of_year: Literal["auto", "yes", "no"] = "auto"
    """Append its sine and cosine to every date; "auto" does so for native (irregular) dates."""

    def __post_init__(self) -> None:
        if self.units < 1:
            raise ValueError(f"'units' is at least 1; found {self.units}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"'dropout' lies between 0 and 1; found {self.dropout}")


class Encoder(nn.Module):
    """Series → features of `units` per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__()
        self.spec = choose(inputs, config.source, "series", "lstm", "source")
        self.footprint, self.width = pixel_footprint(self.spec), config.units
        self.day_of_year = config.day_of_year == "yes" or (config.day_of_year == "auto" and not self.spec.regular)
        self.lstm = nn.LSTM(len(self.spec.bands) + 2 * self.day_of_year, config.units, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, U, Y, X)."""
        tensor = batch[self.spec.name]
        return over_pixels(self._pixels, tensor, self.spec, shape, self.width, self.day_of_year)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        series, clear = clear_dates_first(series, clear)
        hidden, _ = self.lstm(series)
        features: Tensor = self.dropout(last_clear(hidden, clear))
        return features


Model = single_source(Encoder)
