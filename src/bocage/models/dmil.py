"""DMIL-like network: a CNN on PAN patches, a stacked autoencoder on MS patches, and dense layers on both.

After Liu et al. 2018, "Deep Multiple Instance Learning-Based Spatial–Spectral Classification for PAN and MS Imagery", IEEE
TGRS 56(1):461-473. Neither the code nor the layer sizes are public: this is **a reconstruction** of its idea, and each size
is a setting. Departure: the autoencoder is trained together with the classifier, not before it.

Masks: masked pixels are replaced by 0, the mean of the training pixels, and have no reconstruction loss.

::

    PAN (B, 1, 1, 32, 32) → 3×3, 64 → pool 2 → 3×3, 128 → pool 2 → 3×3, 256 → global max ──┐
    MS  (B, 1, C, 8, 8)   → flatten → 256 → 128 ─┬─────────────────────────────────────────┴→ 256 → 256 → linear → K
                                                 └→ 256 → flatten: reconstruction, its error is part of the loss

The dense form is exact: a dense layer on a patch is a convolution as large as the patch.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.models.base import Batch, Criterion, Network, output_shape, repeat_to
from bocage.models.card import Footprint, InputSpec
from bocage.models.layers import Conv
from bocage.models.multiresolcc import PanBranch, check_nested, find_pan_ms
from bocage.models.settings.dmil import CARD, Config

__all__ = ["CARD", "Config", "Model"]


class Autoencoder(nn.Module):
    """Two dense layers that encode a patch, and two that decode it."""

    def __init__(self, bands: int, side: int, codes: tuple[int, int], decodes: bool) -> None:
        super().__init__()
        self.encode1 = nn.Conv2d(bands, codes[0], side)
        self.encode2 = nn.Conv2d(codes[0], codes[1], 1)
        self.decode = (
            nn.Sequential(nn.Conv2d(codes[1], codes[0], 1), nn.Sigmoid(), nn.ConvTranspose2d(codes[0], bands, side))
            if decodes
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, Y, X) → codes of each position."""
        return torch.sigmoid(self.encode2(torch.sigmoid(self.encode1(x))))


class Model(Network):
    """The network under the contract of every network; the map is on the PAN grid."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        pan, ms = find_pan_ms(inputs, config.pan, config.ms, "both", "dmil")
        assert pan is not None
        assert ms is not None
        side = config.patch // check_nested(pan, ms, config.patch, "dmil")
        self.inputs = {pan.name: pan, ms.name: ms}
        self.pan, self.ms = pan.name, ms.name
        self.footprints: dict[str, Footprint] = {
            pan.name: Footprint(config.patch, config.patch // 2),
            ms.name: Footprint(side, side // 2),
        }
        self.branch = PanBranch(len(pan.bands), config.pan_filters, 3, config.patch, config.norm)
        self.autoencoder = Autoencoder(len(ms.bands), side, config.codes, config.reconstruction > 0)
        self.reconstruction = config.reconstruction
        self.dense1 = Conv(config.pan_filters[2] + config.codes[1], config.dense[0], 1, config.norm)
        self.dense2 = Conv(*config.dense, 1, config.norm)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Conv2d(config.dense[1], n_classes, 1)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        shape = output_shape(batch, self.footprints, self.inputs)
        return self._classify(batch, self.autoencoder(batch[self.ms].masked()[:, 0]), shape)

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the classification loss plus the weighted reconstruction error of the valid pixels."""
        pixels = batch[self.ms].masked()[:, 0]
        codes = self.autoencoder(pixels)
        total = criterion(self._classify(batch, codes, (1, 1))[:, :, 0, 0], labels)
        if self.autoencoder.decode is None:
            return total
        seen = batch[self.ms].valid[:, 0, None].expand_as(pixels)
        error = functional.mse_loss(self.autoencoder.decode(codes)[seen], pixels[seen])
        return total + self.reconstruction * torch.nan_to_num(error)

    def _classify(self, batch: Batch, codes: Tensor, shape: tuple[int, int]) -> Tensor:
        features = self.branch(batch[self.pan].masked()[:, 0], shape)
        both = torch.cat([features, repeat_to(codes, self.inputs[self.ms].ratio, shape)], 1)
        logits: Tensor = self.head(self.dropout(self.dense2(self.dense1(both))))
        return logits
