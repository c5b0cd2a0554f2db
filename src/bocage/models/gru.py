"""GRU with softmax attention on one series: the temporal branch of M3Fusion.

Benedetti et al. 2018, "M3Fusion: A Deep Learning Architecture for Multiscale Multimodal Multitemporal Satellite Data
Fusion", doi:10.1109/JSTARS.2018.2876357 (arXiv 1803.01945). Departures: masked dates are skipped exactly (the state
is carried over them and they get no attention), and with native dates two inputs tell the day of the year. PyTorch's
cell has a second, redundant bias: 3 072 parameters more than the paper's at 1024 units.

::

    s2 (B, T, C, Y, X) → pixels (N, T, C) → GRU → H (N, T, U)
                                             │     e_t = tanh(H_t W + b) · u,  a = softmax over dates
                                             └──→ Σ a_t H_t (N, U) → dropout → linear → (B, K, Y, X)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from bocage.grid import Ratio
from bocage.models.base import Batch, Card, InputSpec, Published, choose, pixel_footprint
from bocage.models.heads import single_source
from bocage.models.layers import Attention, clear_dates_first, last_clear, over_pixels

S2 = InputSpec("s2", tuple(f"b{i}" for i in range(16)), 34, Ratio())
CARD = Card(
    paper="temporal branch of M3Fusion, Benedetti et al. 2018, doi:10.1109/JSTARS.2018.2876357",
    takes="one series",
    masks="masked dates are skipped",
    published=Published(epochs=400, batch_size=64, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; `units` is the published number, `dropout` that of a public port (the paper's is not known)."""

    source: str = ""
    """The series used; empty takes the only one there is."""
    units: int = 1024
    """Hidden units of the GRU and of the attention, at least 1."""
    dropout: float = 0.4
    """Share of the features dropped before the classifier while training, 0 to 1."""
    attention: bool = True
    """Weigh the states of all dates; false takes the state after the last clear date."""
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
        self.spec = choose(inputs, config.source, "series", "gru", "source")
        self.footprint, self.width = pixel_footprint(self.spec), config.units
        self.day_of_year = config.day_of_year == "yes" or (config.day_of_year == "auto" and not self.spec.regular)
        self.gru = nn.GRU(len(self.spec.bands) + 2 * self.day_of_year, config.units, batch_first=True)
        self.attention = Attention(config.units) if config.attention else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, U, Y, X)."""
        tensor = batch[self.spec.name]
        return over_pixels(self._pixels, tensor, self.spec, shape, self.width, self.day_of_year)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        series, clear = clear_dates_first(series, clear)
        hidden, _ = self.gru(series)
        features = self.attention(hidden, clear) if self.attention else last_clear(hidden, clear)
        dropped: Tensor = self.dropout(features)
        return dropped


Model = single_source(Encoder)
