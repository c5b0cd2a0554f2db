"""M3Fusion: a GRU with attention on a series, and a CNN on the very high resolution patch around the pixel.

Benedetti, Ienco, Gaetano, Ose, Pensa & Dupuy 2018, "M3Fusion: A Deep Learning Architecture for Multiscale Multimodal
Multitemporal Satellite Data Fusion", doi:10.1109/JSTARS.2018.2876357 (arXiv 1803.01945). Layers as in the authors' training
script (Orfeo ToolBox's TensorFlow module, 2018). Departures: batch normalisation learns its statistics (``norm =
"affine"`` gives the released behaviour); weights are initialised by PyTorch's defaults; the GRU skips masked dates;
PyTorch's GRU has a second, redundant bias (3 072 parameters).

::

    s2 (N, T, 16) → GRU 1024 → attention over dates → 1024 ──────────────────────┬→ head, 0.3
    vhr (N, C, 25, 25) → 7×7, 256 → pool 2 → 3×3, 512 ─┬→ 3×3 (padded), 512 ─┐   │
                                                       └─────────────────────┴→ 1×1, 512 → mean ─┬→ head, 0.3
                                                                                 └────────────────┴→ 1536 → linear → K
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.models import gru
from bocage.models.base import Batch, centred, choose, output_shape
from bocage.models.card import Footprint, InputSpec
from bocage.models.heads import Features, Headed, Heads
from bocage.models.layers import Conv, Part, by_patches
from bocage.models.settings.m3fusion import CARD, Config

__all__ = ["CARD", "Config", "Model"]


class ImageEncoder(nn.Module):
    """The image branch; its padded layer rules out an exact dense form."""

    def __init__(self, spec: InputSpec, config: Config) -> None:
        super().__init__()
        first, rest = config.filters
        self.spec, self.footprint, self.width = spec, centred(config.patch, spec), rest
        self.conv1 = Conv(len(spec.bands), first, 7, config.norm)
        self.conv2 = Conv(first, rest, 3, config.norm)
        self.conv3 = Conv(rest, rest, 3, config.norm, padding=1)
        self.conv4 = Conv(2 * rest, rest, 1, config.norm)
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = 2 * first * (config.patch - 6) ** 2

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        return by_patches(self._patches, [Part(batch[self.spec.name], self.footprint, self.spec)], shape, self.hidden)

    def _patches(self, values: Tensor, valid: Tensor) -> Tensor:
        x = self.conv2(functional.max_pool2d(self.conv1(values[:, 0]), 2))
        x = self.conv4(torch.cat([x, self.conv3(x)], 1))
        features: Tensor = self.dropout(x.mean((2, 3)))
        return features


class Model(Headed):
    """The network."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        encoders: dict[str, gru.Encoder | ImageEncoder] = {}
        if config.use != "vhr":
            spec = choose(inputs, config.series, "series", "m3fusion", "series")
            settings = gru.Config(spec.name, config.units, config.dropout, config.attention)
            encoders["series"] = gru.Encoder(inputs, settings)
        if config.use != "series":
            encoders["vhr"] = ImageEncoder(choose(inputs, config.vhr, "image", "m3fusion", "vhr"), config)
        self.encoders = nn.ModuleDict(encoders)
        self.inputs: dict[str, InputSpec] = {e.spec.name: e.spec for e in encoders.values()}
        self.footprints: dict[str, Footprint] = {e.spec.name: e.footprint for e in encoders.values()}
        self.heads = Heads({name: e.width for name, e in encoders.items()}, n_classes, config.auxiliary)

    @property
    def by_position(self) -> frozenset[str]:
        """The series, if the recurrent branch does not use the day of the year."""
        known = any(isinstance(encoder, gru.Encoder) and encoder.day_of_year for encoder in self.encoders.values())
        return frozenset() if known else super().by_position

    def features(self, batch: Batch) -> Features:
        """Return the features of each branch."""
        shape = output_shape(batch, self.footprints, self.inputs)
        return {name: encoder(batch, shape) for name, encoder in self.encoders.items()}
