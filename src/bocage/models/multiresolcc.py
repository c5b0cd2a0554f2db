"""MultiResoLCC: PAN and MS at their native resolutions, two branches of unpadded convolutions.

Gaetano, Ienco, Ose & Cresson 2018, "A Two-Branch CNN Architecture for Land Cover Classification of PAN and MS
Imagery", doi:10.3390/rs10111746 (preprint arXiv 1806.11452). The layers are those of the authors' released code.
Departures: batch normalisation learns its statistics (``norm = "affine"`` gives the released behaviour, in which it
only scaled and shifted); for ratios other than 4, the PAN patch is kept and the MS patch is its side divided by the ratio;
one branch alone (``use``) has its own head.

Masks: masked pixels are replaced by 0, the mean of the training pixels if the scaling centres the values on it.

::

    PAN (B, 1, 1, 32, 32) → 3×3, 128 → pool 2 → 3×3, 256 → pool 2 → 3×3, 512 → global max ─┐
    MS  (B, 1, C, 8, 8)   → 3×3, 256 → 3×3, 512 → 3×3, 1024 → global max ──────────────────┴→ 1536 → linear → K

The dense form is exact: pooling has stride 1, later layers work on every second and fourth pixel, and the MS features are
computed once per MS pixel. The logits of a window equal those of its patches, for about 1/58 of the multiplications.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.grid import Ratio
from bocage.models.base import Batch, Network, output_shape, repeat_to
from bocage.models.card import Footprint, InputSpec, Norm
from bocage.models.layers import Conv, after_pooling, sliding_max
from bocage.models.settings.multiresolcc import CARD, Config

__all__ = ["CARD", "Config", "Model"]


PHASES = 4
"""Smallest side of a window in positions: two poolings split its pixels into every fourth row and column."""


# A smaller patch has no pixel left after the convolutions.


class PanBranch(nn.Module):
    """Three unpadded convolutions with pooling between them, then the maximum over the pixels left of a patch."""

    def __init__(self, bands: int, filters: tuple[int, int, int], kernel: int, patch: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = Conv(bands, filters[0], kernel, norm)
        self.conv2 = Conv(filters[0], filters[1], 3, norm)
        self.conv3 = Conv(filters[1], filters[2], 3, norm)
        self.last = ((patch - kernel + 1) // 2 - 2) // 2 - 2
        self.width = filters[2]

    def forward(self, x: Tensor, shape: tuple[int, int], head: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(B, C, Y, X) → the features (B, F, height, width) of `shape` positions, or the output of `head` on them.

        Give a `head` that works on single positions (for example a linear layer) here: the features of the whole window
        are then never in memory at once.
        """
        head = head or nn.Identity()
        if shape == (1, 1):
            x = functional.max_pool2d(self.conv1(x), 2)
            x = functional.max_pool2d(self.conv2(x), 2)
            return head(functional.max_pool2d(self.conv3(x), self.last))

        def third(x: Tensor) -> Tensor:
            return head(sliding_max(self.conv3(x), self.last))

        def second(x: Tensor) -> Tensor:
            return after_pooling(third, self.conv2(x))

        lacking = [max(0, PHASES - n) for n in shape]
        x = functional.pad(x, (0, lacking[1], 0, lacking[0])).contiguous(memory_format=torch.channels_last)
        return after_pooling(second, self.conv1(x))[..., : shape[0], : shape[1]]


class MsBranch(nn.Module):
    """Three unpadded convolutions, then the maximum over the pixels left of a patch; the dense form needs no change."""

    def __init__(self, bands: int, filters: tuple[int, int, int], patch: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = Conv(bands, filters[0], 3, norm)
        self.conv2 = Conv(filters[0], filters[1], 3, norm)
        self.conv3 = Conv(filters[1], filters[2], 3, norm)
        self.last = patch - 6
        self.width = filters[2]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, Y, X) → features of each position of the MS grid."""
        return sliding_max(self.conv3(self.conv2(self.conv1(x))), self.last)


class Model(Network):
    """The network under the contract of every network; the map is on the PAN grid."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        pan, ms = find_pan_ms(inputs, config.pan, config.ms, config.use, "multiresolcc")
        ratio = check_nested(pan, ms, config.patch, "multiresolcc")
        self.ratio = ms.ratio if ms else Ratio()
        self.inputs = {spec.name: spec for spec in (pan, ms) if spec}
        self.pan, self.ms = pan.name if pan else "", ms.name if ms else ""
        self.footprints: dict[str, Footprint] = {}
        self.pan_branch: PanBranch | None = None
        self.ms_branch: MsBranch | None = None
        if pan:
            self.footprints[pan.name] = Footprint(config.patch, config.patch // 2)
            self.pan_branch = PanBranch(
                len(pan.bands), config.pan_filters, config.pan_kernel, config.patch, config.norm
            )
        if ms:
            side = config.patch // ratio
            self.footprints[ms.name] = Footprint(side, side // 2)
            self.ms_branch = MsBranch(len(ms.bands), config.ms_filters, side, config.norm)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(sum(b.width for b in (self.pan_branch, self.ms_branch) if b), n_classes)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        shape = output_shape(batch, self.footprints, self.inputs)
        # The head is linear: the sum of its outputs on each branch, at the branch's resolution, is its output on both.
        logits, start = self.head.bias[:, None, None], 0
        if self.pan_branch:
            pixels, start = batch[self.pan].masked()[:, 0], self.pan_branch.width
            logits = logits + self.pan_branch(pixels, shape, self._head)
        if self.ms_branch:
            pixels = batch[self.ms].masked()[:, 0].contiguous(memory_format=torch.channels_last)
            logits = logits + repeat_to(self._head(self.ms_branch(pixels), start), self.ratio, shape)
        return logits

    def _head(self, features: Tensor, start: int = 0) -> Tensor:
        features = self.dropout(features)
        weight = self.head.weight[:, start : start + features.shape[1]]
        return functional.conv2d(features, weight[:, :, None, None])


def find_pan_ms(
    inputs: Mapping[str, InputSpec], pan: str, ms: str, use: str, who: str
) -> tuple[InputSpec | None, InputSpec | None]:
    """Return the PAN and MS sources; None for a source that `use` excludes.

    Raises
    ------
    ModelError
        A source is missing, or is a series.
    """
    specs: list[InputSpec | None] = []
    for key, name in (("pan", pan), ("ms", ms)):
        if use not in ("both", key):
            specs.append(None)
            continue
        if name not in inputs:
            raise ModelError(
                f"{who}: no source is called '{name}'. Sources: {', '.join(inputs)}. Set model.pan and model.ms."
            )
        if inputs[name].dates != 1:
            raise ModelError(f"{who}: PAN and MS must be images of one date; '{name}' has several dates.")
        specs.append(inputs[name])
    return specs[0], specs[1]


def check_nested(pan: InputSpec | None, ms: InputSpec | None, patch: int, who: str) -> int:
    """Return the ratio of the MS pixel size to the PAN pixel size (4 if MS is the only source and on the map's grid).

    Raises
    ------
    ModelError
        The map is not on the PAN grid, MS is not coarser than PAN, or the patch is not a whole number of MS pixels.
    """
    ratio = ms.ratio.coarser if ms else 1
    if pan and pan.ratio != Ratio():
        raise ModelError(
            f"{who}: the map must be on the grid of '{pan.name}', which is at {pan.ratio}. Set [grid] like = \"{pan.name}\"."
        )
    if ms and (ms.ratio.finer > 1 or (pan and ratio < 2)):
        raise ModelError(
            f"{who}: the map must be on the PAN grid, and MS coarser than PAN; found '{ms.name}' at {ms.ratio}. Set [grid] "
            "like to the PAN source."
        )
    if ms and not pan and ratio == 1:
        ratio = 4  # the map is on the MS grid: the patch has the side of the published ratio
    if ms and (patch % ratio or patch // ratio < 7):
        raise ModelError(
            f"{who}: model.patch must be a multiple of the ratio {ratio}, and at least {7 * ratio}; found {patch}."
        )
    return ratio
