"""MultiResoLCC: PAN and MS at their native resolutions, two branches of unpadded convolutions.

Gaetano, Ienco, Ose & Cresson 2018, "A Two-Branch CNN Architecture for Land Cover Classification of PAN and MS
Imagery", doi:10.3390/rs10111746 (preprint arXiv 1806.11452). The layers are those of the authors' released code.
Departures: batch normalisation learns its statistics (``norm = "affine"`` gives the released behaviour, in which it
only scaled and shifted); other ratios than 4 keep the PAN patch and divide it for MS.

::

    PAN (B, 1, 1, 32, 32) → 3×3, 128 → pool 2 → 3×3, 256 → pool 2 → 3×3, 512 → global max ─┐
    MS  (B, 1, C, 8, 8)   → 3×3, 256 → 3×3, 512 → 3×3, 1024 → global max ──────────────────┴→ 1536 → linear → K

Dense form, exact: pooling by steps of one, later layers dilated by 2 and 4, and the MS vector computed once per MS
pixel. The logits of a window are those of its patches, for about 1/58 of the multiplications.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.models.base import Batch, Footprint, InputSpec, output_shape, repeat_to


@dataclass(frozen=True)
class Config:
    """Settings of the network; the defaults are those of the authors' released code, but for `norm`."""

    pan: str = "pan"
    """The panchromatic source (one band)."""
    ms: str = "ms"
    """The multispectral source, coarser than `pan` by a whole ratio."""
    patch: int = 32
    """PAN pixels a side of a patch; at least 22 and a multiple of the ratio."""
    pan_filters: tuple[int, int, int] = (128, 256, 512)
    """Filters of the PAN branch's convolutions."""
    ms_filters: tuple[int, int, int] = (256, 512, 1024)
    """Filters of the MS branch's convolutions."""
    pan_kernel: int = 3
    """Side of the first PAN kernel, odd."""
    dropout: float = 0.4
    """Share of each branch's features dropped while training, 0 to 1."""
    norm: Literal["batch", "affine"] = "batch"
    """After each ReLU: batch normalisation, or only its scale and shift (the authors' released code)."""

    def __post_init__(self) -> None:
        if not 0 <= self.dropout < 1:
            raise ValueError(f"'dropout' lies between 0 and 1; found {self.dropout}")
        if self.patch < 22:
            raise ValueError(f"'patch' is at least 22, or the convolutions leave nothing; found {self.patch}")
        if self.pan_kernel % 2 == 0 or self.pan_kernel < 1:
            raise ValueError(f"'pan_kernel' is odd; found {self.pan_kernel}")


class ScaleShift(nn.Module):
    """A scale and a shift per channel: batch normalisation frozen at mean 0 and variance 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, Y, X) → same shape."""
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class Layer(nn.Module):
    """Unpadded convolution, ReLU, then normalisation, at any dilation."""

    def __init__(self, inside: int, outside: int, kernel: int, norm: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel)
        self.norm = nn.BatchNorm2d(outside) if norm == "batch" else ScaleShift(outside)

    def forward(self, x: Tensor, dilation: int = 1) -> Tensor:
        """(B, Cin, Y, X) → (B, Cout, Y − d(k−1), X − d(k−1))."""
        y = functional.conv2d(x, self.conv.weight, self.conv.bias, dilation=dilation)
        normed: Tensor = self.norm(functional.relu(y))
        return normed


class Model(nn.Module):
    """The network under the contract of every network; the map is on the PAN grid."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        pan, ms = (_find(inputs, name) for name in (config.pan, config.ms))
        self.ratio = _check(pan, ms, config.patch)
        self.inputs = {pan.name: pan, ms.name: ms}
        self.pan, self.ms = pan.name, ms.name
        ms_patch = config.patch // self.ratio
        self.footprints: dict[str, Footprint] = {
            pan.name: Footprint(config.patch, config.patch // 2),
            ms.name: Footprint(ms_patch, ms_patch // 2),
        }
        p1, p2, p3 = config.pan_filters
        m1, m2, m3 = config.ms_filters
        self.pan1 = Layer(len(pan.bands), p1, config.pan_kernel, config.norm)
        self.pan2 = Layer(p1, p2, 3, config.norm)
        self.pan3 = Layer(p2, p3, 3, config.norm)
        self.ms1 = Layer(len(ms.bands), m1, 3, config.norm)
        self.ms2 = Layer(m1, m2, 3, config.norm)
        self.ms3 = Layer(m2, m3, 3, config.norm)
        self.pan_last = ((config.patch - config.pan_kernel + 1) // 2 - 2) // 2 - 2
        self.ms_last = ms_patch - 6
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(p3 + m3, n_classes)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        shape = output_shape(batch, self.footprints, self.inputs)
        pan, ms = batch[self.pan].masked()[:, 0], batch[self.ms].masked()[:, 0]
        pan_features = self._pan_patch(pan) if shape == (1, 1) else self._pan_dense(pan)
        pan_features = self.dropout(pan_features[..., : shape[0], : shape[1]])
        ms_features = self.dropout(self._ms(ms))
        # The head is linear: applied to each branch at its own resolution, then summed, it is the head on both.
        split = pan_features.shape[1]
        pan_logits = self._head(pan_features, self.head.weight[:, :split]) + self.head.bias[:, None, None]
        ms_logits = self._head(ms_features, self.head.weight[:, split:])
        return pan_logits + repeat_to(ms_logits, self.inputs[self.ms].ratio, shape)

    def _pan_patch(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.pan1(x), 2)
        x = functional.max_pool2d(self.pan2(x), 2)
        return functional.max_pool2d(self.pan3(x), self.pan_last)

    def _pan_dense(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.pan1(x), 2, stride=1)
        x = functional.max_pool2d(self.pan2(x, dilation=2), 2, stride=1, dilation=2)
        return functional.max_pool2d(self.pan3(x, dilation=4), self.pan_last, stride=1, dilation=4)

    def _ms(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(self.ms3(self.ms2(self.ms1(x))), self.ms_last, stride=1)

    @staticmethod
    def _head(features: Tensor, weight: Tensor) -> Tensor:
        return functional.conv2d(features, weight[:, :, None, None])


def _find(inputs: Mapping[str, InputSpec], name: str) -> InputSpec:
    if name not in inputs:
        raise ModelError(
            f"multiresolcc: no source is called '{name}'; there are {', '.join(inputs)}. Say which with model.pan and model.ms."
        )
    return inputs[name]


def _check(pan: InputSpec, ms: InputSpec, patch: int) -> int:
    ratio = ms.ratio.coarser
    if (pan.ratio.finer, pan.ratio.coarser, ms.ratio.finer) != (1, 1, 1) or ratio < 2:
        raise ModelError(
            f"multiresolcc maps on the grid of its PAN source, with an MS source that is coarser: found '{pan.name}' at "
            f"{pan.ratio} and '{ms.name}' at {ms.ratio}. Set [grid] like = \"{pan.name}\"."
        )
    if patch % ratio or patch // ratio < 7:
        raise ModelError(
            f"multiresolcc: model.patch must be a multiple of the ratio {ratio}, and at least {7 * ratio}."
        )
    if pan.dates != 1 or ms.dates != 1:
        raise ModelError("multiresolcc works on one PAN and one MS image, not on series.")
    return ratio
