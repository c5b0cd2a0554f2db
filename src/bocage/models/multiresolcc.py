"""MultiResoLCC: PAN and MS at their native resolutions, two branches of unpadded convolutions.

Gaetano, Ienco, Ose & Cresson 2018, "A Two-Branch CNN Architecture for Land Cover Classification of PAN and MS
Imagery", doi:10.3390/rs10111746 (preprint arXiv 1806.11452). The layers are those of the authors' released code.
Departures: batch normalisation learns its statistics (``norm = "affine"`` gives the released behaviour, in which it
only scaled and shifted); other ratios than 4 keep the PAN patch and divide it for MS; one branch alone (``use``) has a
head of its own.

Masked pixels are read as 0: the mean of the training pixels, where they are scaled by it.

::

    PAN (B, 1, 1, 32, 32) → 3×3, 128 → pool 2 → 3×3, 256 → pool 2 → 3×3, 512 → global max ─┐
    MS  (B, 1, C, 8, 8)   → 3×3, 256 → 3×3, 512 → 3×3, 1024 → global max ──────────────────┴→ 1536 → linear → K

Dense form, exact: pooling by steps of one, later layers on every second and fourth pixel, and the MS vector computed once
per MS pixel. The logits of a window are those of its patches, for about 1/58 of the multiplications.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.grid import Ratio
from bocage.models.base import Batch, Card, Footprint, InputSpec, Network, Published, output_shape, repeat_to
from bocage.models.layers import Conv, Norm, after_pooling, sliding_max
from bocage.models.ranges import at_least, odd, shares

PAN = InputSpec("pan", ("pan",), 1, Ratio())
MS = InputSpec("ms", ("blue", "green", "red", "nir"), 1, Ratio(coarser=4))
PUBLISHED = Published(epochs=250, batch_size=64, learning_rate=2e-4)
CARD = Card(
    paper="Gaetano, Ienco, Ose & Cresson 2018, doi:10.3390/rs10111746",
    takes="one PAN and one coarser MS image; the map is on the PAN grid",
    masks="masked pixels are read as 0, the mean of the training pixels",
    published=PUBLISHED,
    example={"pan": PAN, "ms": MS},
)


PHASES = 4
"""Positions a side of the least window: two poolings deal its pixels into every fourth row and column."""


@dataclass(frozen=True)
class Config:
    """Settings of the network; the defaults are those of the authors' released code, but for `norm`."""

    pan: str = "pan"
    """The panchromatic source (one band)."""
    ms: str = "ms"
    """The multispectral source, coarser than `pan` by a whole ratio."""
    use: Literal["both", "pan", "ms"] = "both"
    """Branches used: an ablation needs one of them only."""
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
    norm: Norm = "batch"
    """After each ReLU: "batch", "affine" (the authors' released code), "group" or "layer"."""

    def __post_init__(self) -> None:
        at_least(self, patch=22, pan_filters=1, ms_filters=1, pan_kernel=1)  # less leaves the convolutions nothing
        odd(self, "pan_kernel")
        shares(self, "dropout")


class PanBranch(nn.Module):
    """Three unpadded convolutions with pooling between, and the maximum over what is left of a patch of `patch` pixels."""

    def __init__(self, bands: int, filters: tuple[int, int, int], kernel: int, patch: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = Conv(bands, filters[0], kernel, norm)
        self.conv2 = Conv(filters[0], filters[1], 3, norm)
        self.conv3 = Conv(filters[1], filters[2], 3, norm)
        self.last = ((patch - kernel + 1) // 2 - 2) // 2 - 2
        self.width = filters[2]

    def forward(self, x: Tensor, shape: tuple[int, int], head: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(B, C, Y, X) → the features (B, F, height, width) of `shape` positions, or what `head` makes of them.

        A `head` of single positions (linear, say) is best given here: a window's features need not be held at once.
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
    """Three unpadded convolutions, and the maximum over what is left of a patch of `patch` pixels; dense as it is."""

    def __init__(self, bands: int, filters: tuple[int, int, int], patch: int, norm: Norm) -> None:
        super().__init__()
        self.conv1 = Conv(bands, filters[0], 3, norm)
        self.conv2 = Conv(filters[0], filters[1], 3, norm)
        self.conv3 = Conv(filters[1], filters[2], 3, norm)
        self.last = patch - 6
        self.width = filters[2]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, Y, X) → features of every position of the MS grid."""
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
        # The head is linear: applied to each branch at its own resolution, then summed, it is the head on both.
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
    """Return the PAN and MS sources that are used.

    Raises
    ------
    ModelError
        One is missing, or is a series.
    """
    found: list[InputSpec | None] = []
    for key, name in (("pan", pan), ("ms", ms)):
        if use not in ("both", key):
            found.append(None)
            continue
        if name not in inputs:
            raise ModelError(
                f"{who}: no source is called '{name}'; there are {', '.join(inputs)}. Say which with model.pan and model.ms."
            )
        if inputs[name].dates != 1:
            raise ModelError(f"{who} works on one PAN and one MS image, not on series: '{name}' has several dates.")
        found.append(inputs[name])
    return found[0], found[1]


def check_nested(pan: InputSpec | None, ms: InputSpec | None, patch: int, who: str) -> int:
    """Return how many PAN pixels a side an MS pixel holds (4 where there is one source only, and it is on the map grid).

    Raises
    ------
    ModelError
        The map is not on the PAN grid, MS is not coarser, or the patch is no whole number of MS pixels.
    """
    ratio = ms.ratio.coarser if ms else 1
    if pan and pan.ratio != Ratio():
        raise ModelError(
            f"{who} maps on the grid of its PAN source; found '{pan.name}' at {pan.ratio}. Set [grid] like = \"{pan.name}\"."
        )
    if ms and (ms.ratio.finer > 1 or (pan and ratio < 2)):
        raise ModelError(
            f"{who} maps on the grid of its PAN source, with an MS source that is coarser: found '{ms.name}' at {ms.ratio}. "
            "Set [grid] like to the PAN source."
        )
    if ms and not pan and ratio == 1:
        ratio = 4  # the map is on the MS grid itself: the patch is that of the published ratio
    if ms and (patch % ratio or patch // ratio < 7):
        raise ModelError(f"{who}: model.patch must be a multiple of the ratio {ratio}, and at least {7 * ratio}.")
    return ratio
