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

from torch import Tensor, nn

from bocage.models.base import Batch, centred, choose, repeat_to
from bocage.models.card import InputSpec
from bocage.models.heads import SourceEncoder, single_source
from bocage.models.layers import Attention, Conv, clear_dates_first, in_pixels
from bocage.models.settings.duplo import CARD, Config

__all__ = ["CARD", "Config", "Model"]

PATCH = 5
"""Side of a patch in pixels: the receptive field of two unpadded 3 x 3 convolutions."""


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
