"""U-Net: convolutions and poolings down to a coarse resolution, then upsampling with the features of each resolution.

Ronneberger, Fischer & Brox 2015, "U-Net: Convolutional Networks for Biomedical Image Segmentation",
doi:10.1007/978-3-319-24574-4_28. Departures: convolutions are padded, and the border is discarded in maps (:mod:`.segmenting`);
normalisation after each ReLU; the dates of a series are stacked as bands. The weighted loss for touching cells is left out.

::

    bands (B, T · C, Y, X) → 2 × 3×3, 64 ─────────────────────────→ concatenate → 2 × 3×3, 64 → 1×1 → K
                                 └ max 2 → 2 × 3×3, 128 ───→ concatenate → 2 × 3×3, 128 → up 2, 64 ┘
                                                └ … 1024, dropout → up 2 ┘
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.models.base import SourceTensor
from bocage.models.card import InputSpec
from bocage.models.layers import Conv
from bocage.models.segmenting import Segmenting
from bocage.models.settings.unet import CARD, Config

__all__ = ["CARD", "Config", "Model"]

REACH = 7
"""Halo in strides: two convolutions at each resolution, on the way down and up, reach 6 · 2^depth − 4 pixels, and a pixel may be
2^depth − 1 pixels from the border of its cell."""


class Model(Segmenting):
    """The network."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        stride = 2**config.depth
        super().__init__(_source(inputs, config.source), stride, REACH * stride)
        widths = [config.width * 2**level for level in range(config.depth + 1)]
        first = len(self.spec.bands) * self.spec.dates
        self.down = nn.ModuleList(
            _twice(inside, outside, config) for inside, outside in zip([first, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, 2) for width in widths[:-1])
        self.joined = nn.ModuleList(_twice(2 * width, width, config) for width in widths[:-1])
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Conv2d(config.width, n_classes, 1)

    def segment(self, tensor: SourceTensor) -> Tensor:
        """Return the logits (B, K, Y, X) of each pixel of the source."""
        x, features = tensor.values.flatten(1, 2), []
        for level, convolutions in enumerate(self.down):
            x = convolutions(functional.max_pool2d(x, 2) if level else x)
            features.append(x)
        x = self.dropout(features.pop())
        for up, convolutions in reversed(list(zip(self.up, self.joined, strict=True))):
            x = convolutions(torch.cat([features.pop(), up(x)], 1))
        logits: Tensor = self.head(x)
        return logits


def _twice(inside: int, outside: int, config: Config) -> nn.Sequential:
    """Return two padded convolutions."""
    return nn.Sequential(
        Conv(inside, outside, 3, config.norm, padding=1), Conv(outside, outside, 3, config.norm, padding=1)
    )


def _source(inputs: Mapping[str, InputSpec], wanted: str) -> InputSpec:
    """Return the source named `wanted`, or the only source.

    Raises
    ------
    ModelError
        No source has this name, or there are several.
    """
    if wanted and wanted not in inputs:
        raise ModelError(f"unet: no source is called '{wanted}'. Sources: {', '.join(inputs)}. Set model.source.")
    if not wanted and len(inputs) != 1:
        raise ModelError(f"unet needs exactly one source; found {len(inputs)} ({', '.join(inputs)}). Set model.source.")
    return inputs[wanted] if wanted else next(iter(inputs.values()))
