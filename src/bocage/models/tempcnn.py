"""TempCNN: three convolutions over the dates of one series, then a dense layer on all dates.

Pelletier, Webb & Petitjean 2019, "Temporal Convolutional Neural Network for the Classification of Satellite Image Time
Series", doi:10.3390/rs11050523. As in the paper, the final linear layer follows the dense layer directly. Departure: masked
dates are replaced by 0.

::

    pixels (N, C, T) → 3 × [5 (padded), 64 → norm → ReLU → dropout] → flatten T·64 → 256 → norm → ReLU → dropout → K
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn
from torch.nn import functional

from bocage.models.base import Batch, Card, InputSpec, Published, choose, pixel_footprint
from bocage.models.gru import S2
from bocage.models.heads import SourceEncoder, single_source
from bocage.models.layers import Norm, norm_of, over_pixels
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="Pelletier, Webb & Petitjean 2019, doi:10.3390/rs11050523",
    takes="one series, preferably gap-filled",
    masks="replaces masked dates by 0, the training mean",
    same_dates=True,
    published=Published(
        epochs=20, batch_size=32, learning_rate=1e-3, weight_decay=1e-6, keep="validation", scaling="percentile"
    ),
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; the defaults are the paper's."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    filters: Annotated[int, Range(1, 16_384)] = 64
    """Filters of each convolution, at least 1."""
    dense: Annotated[int, Range(1, 16_384)] = 256
    """Units of the dense layer, at least 1."""
    kernel: Annotated[int, Range(1, 99, odd=True)] = 5
    """Number of dates that each convolution reads, odd."""
    dropout: Annotated[float, SHARE] = 0.5
    """Dropout rate after each layer, from 0 to below 1."""
    dense_dropout: Annotated[float | None, SHARE] = None
    """Dropout rate after the dense layer, from 0 to below 1; default: that of the other layers."""
    norm: Norm = "batch"
    """Normalisation before each ReLU: "batch" (the paper), "affine", "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)


class Encoder(SourceEncoder):
    """Series → features per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__()
        self.spec = choose(inputs, config.source, "series", "tempcnn", "source")
        self.footprint, self.width = pixel_footprint(self.spec), config.dense
        self.hidden = config.filters
        sizes = [len(self.spec.bands), config.filters, config.filters]
        self.convs = nn.ModuleList(
            nn.Conv1d(inside, config.filters, config.kernel, padding=config.kernel // 2) for inside in sizes
        )
        self.norms = nn.ModuleList(norm_of(config.norm, config.filters, 1) for _ in sizes)
        self.dense = nn.Linear(config.filters * self.spec.dates, config.dense)
        self.dense_norm = norm_of(config.norm, config.dense, 1)
        self.dropout = nn.Dropout(config.dropout)
        self.dense_dropout = nn.Dropout(config.dropout if config.dense_dropout is None else config.dense_dropout)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        return over_pixels(self._pixels, batch[self.spec.name], self.spec, shape, self.hidden, False)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        x = series.transpose(1, 2)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = self.dropout(functional.relu(norm(conv(x))))
        features: Tensor = self.dense_dropout(functional.relu(self.dense_norm(self.dense(x.flatten(1)))))
        return features


Model = single_source(Encoder)
