"""DuPLO-like network: two views of one series, a CNN on the stacked dates, and a CNN per date followed by a GRU.

Interdonato, Ienco, Gaetano & Ose 2019, "DuPLO: A DUal view Point deep Learning architecture for time series
classificatiOn", doi:10.1016/j.isprsjprs.2019.01.011. The authors' code is not public, and the layer sizes are quoted from
memory: this is **a reconstruction**. All convolutions are unpadded, so the dense form is exact.

Masks: the GRU skips the dates that are masked at the pixel. The CNNs replace masked values by 0, the training mean.

::

    patches (N, T, C, 5, 5) → stack → 3×3, 256 → 3×3, 512 ─────────────────────────────────→ head, 0.3 ─┐
                            → each date: 3×3, 32 → 3×3, 64 → GRU 1024 → attention over dates → head, 0.3 ─┴→ linear → K
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from bocage.models.base import Batch, Card, InputSpec, Published, centred, choose, repeat_to
from bocage.models.gru import S2
from bocage.models.heads import SourceEncoder, single_source
from bocage.models.layers import Attention, Conv, Norm, clear_dates_first, in_pixels
from bocage.ranges import SHARE, Range, check_ranges

PATCH = 5
"""Side of a patch in pixels: the receptive field of two unpadded 3 x 3 convolutions."""
CARD = Card(
    paper="Interdonato, Ienco, Gaetano & Ose 2019, doi:10.1016/j.isprsjprs.2019.01.011",
    takes="one series, preferably gap-filled",
    masks="GRU: skips dates masked at the pixel; CNN: replaces masked values by 0, the training mean",
    same_dates=True,
    reconstruction=True,
    published=Published(epochs=300, batch_size=64, learning_rate=2e-4),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    filters: Annotated[tuple[int, int], Range(1, 16_384)] = (256, 512)
    """Filters of the CNN on the stacked dates."""
    date_filters: Annotated[tuple[int, int], Range(1, 16_384)] = (32, 64)
    """Filters of the CNN of each date."""
    units: Annotated[int, Range(1, 16_384)] = 1024
    """Hidden units of the GRU, at least 1."""
    auxiliary: Annotated[float, Range(0, 100)] = 0.3
    """Weight of the losses of the auxiliary heads, at least 0; 0: no auxiliary heads."""
    dropout: Annotated[float, SHARE] = 0.4
    """Dropout rate of the features of each view, from 0 to below 1."""
    norm: Norm = "batch"
    """Normalisation after each ReLU: "batch", "affine", "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)


class Encoder(SourceEncoder):
    """Series → features of two views per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__()
        self.spec = choose(inputs, config.source, "series", "duplo", "source")
        self.footprint = centred(PATCH, self.spec)
        self.auxiliary, self.views = config.auxiliary, {"cnn": config.filters[1], "recurrent": config.units}
        self.width = sum(self.views.values())
        bands = len(self.spec.bands)
        self.stacked1 = Conv(bands * self.spec.dates, config.filters[0], 3, config.norm)
        self.stacked2 = Conv(*config.filters, 3, config.norm)
        self.date1 = Conv(bands, config.date_filters[0], 3, config.norm)
        self.date2 = Conv(*config.date_filters, 3, config.norm)
        self.gru = nn.GRU(config.date_filters[1], config.units, batch_first=True)
        self.attention = Attention(config.units)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> dict[str, Tensor]:
        """Return the features of both views: name of the view → (B, F, Y, X)."""
        tensor = batch[self.spec.name]
        values, step = tensor.masked(), self.spec.ratio.finer
        stacked = self.stacked2(self.stacked1(values.flatten(1, 2)))[..., ::step, ::step]
        dates = self.date2(self.date1(values.flatten(0, 1))).unflatten(0, values.shape[:2])[..., ::step, ::step]
        centre = slice(PATCH // 2, values.shape[-2] - PATCH // 2, step), slice(2, values.shape[-1] - PATCH // 2, step)
        recurrent = in_pixels(self._pixels, dates, tensor.valid[(..., *centre)], tensor.days, self.gru.hidden_size)
        views = {"cnn": self.dropout(stacked), "recurrent": recurrent}
        return {name: repeat_to(view, self.spec.ratio, shape) for name, view in views.items()}

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        series, clear = clear_dates_first(series, clear)
        features: Tensor = self.dropout(self.attention(self.gru(series)[0], clear))
        return features


Model = single_source(Encoder)
