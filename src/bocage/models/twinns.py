"""TWINNS: two identical streams, Sentinel-1 and Sentinel-2, each an attentive ConvGRU and a CNN on the stacked series.

Ienco, Interdonato, Gaetano & Ho Tong Minh 2019, "Combining Sentinel-1 and Sentinel-2 Satellite Image Time Series for Land
Cover Mapping via a Multi-Source Deep Learning Architecture", doi:10.1016/j.isprsjprs.2019.09.016. The streams, their two
branches and the auxiliary classifiers are published; **sizes, kernels, the form of the attention and the number of
auxiliary heads are not: this is a reconstruction** from the team's sibling networks, and each is a setting. Here the
attention is M3Fusion's, at each pixel of the patch, and each stream has an auxiliary head.

Masks: the ConvGRU carries the state of a pixel over its masked dates; the CNN reads them as 0, the mean.

::

    s1 (N, T1, 2, 5, 5)  → ConvGRU 3×3, 64 → attention over dates → mean over the patch ─┐
                         → stack → 3×3, 256 → 3×3, 512 ─┬→ 1×1, 512 ─┐                    ├→ s1 features → head, 0.3
                                                        └────────────┴→ 1×1, 512 → mean ──┘       │
    s2 (N, T2, 16, 5, 5) → the same ────────────────────────────────────→ s2 features → head, 0.3 ┴→ linear → K
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bocage.errors import ModelError
from bocage.grid import Ratio
from bocage.models.base import Batch, Card, Footprint, InputSpec, Published, centred, output_shape, repeat_to
from bocage.models.gru import S2
from bocage.models.heads import Features, Headed, Heads
from bocage.models.layers import Attention, Conv, Norm, Part, by_patches, last_clear
from bocage.models.ranges import at_least, odd, shares
from bocage.models.recurrent import ConvGru, mean_over

S1 = InputSpec("s1", ("vv", "vh"), 24, Ratio())
CARD = Card(
    paper="Ienco, Interdonato, Gaetano & Ho Tong Minh 2019, doi:10.1016/j.isprsjprs.2019.09.016",
    takes="two series (Sentinel-1 and Sentinel-2), best gap-filled",
    masks="ConvGRU: the state of a pixel is carried over its masked dates; CNN: they are read as 0, the mean",
    dense="patches",
    same_dates=True,
    reconstruction=True,
    published=Published(epochs=300, batch_size=64, learning_rate=2e-4),
    example={"s1": S1, "s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; the ablations are `use`, `branches`, `auxiliary` = 0 and `attention` = false."""

    first: str = "s1"
    """The first stream's series."""
    second: str = "s2"
    """The second stream's series."""
    use: Literal["both", "first", "second"] = "both"
    """Streams used."""
    branches: Literal["both", "convgru", "cnn"] = "both"
    """Branches of each stream."""
    attention: bool = True
    """Weigh the ConvGRU's states of all dates; false takes the last state."""
    auxiliary: float = 0.3
    """Weight of the auxiliary heads' losses (unpublished; the siblings' value); 0 for none."""
    patch: int = 5
    """Pixels a side, odd, at least 5 (unpublished)."""
    units: int = 64
    """Channels of the ConvGRU's state, at least 1 (unpublished)."""
    filters: tuple[int, int] = (256, 512)
    """Filters of the CNN's first layer, and of the others (unpublished)."""
    dropout: float = 0.4
    """Share of the features dropped before the heads while training, 0 to 1 (unpublished)."""
    norm: Norm = "batch"
    """After each ReLU: "batch", "affine" (the released code of the team's other papers), "group" or "layer"."""

    def __post_init__(self) -> None:
        at_least(self, patch=5, units=1, filters=1, auxiliary=0)
        odd(self, "patch")
        shares(self, "dropout")


class Recurrent(nn.Module):
    """Attentive ConvGRU on patches: features of the patch's mean."""

    def __init__(self, spec: InputSpec, config: Config) -> None:
        super().__init__()
        self.cell = ConvGru(len(spec.bands), config.units, 3)
        self.attention = Attention(config.units) if config.attention else None
        self.hidden = config.patch**2 * 4 * config.units * spec.dates

    def forward(self, values: Tensor, valid: Tensor) -> Tensor:
        """(N, T, C, S, S), (N, T, S, S) → (N, U)."""
        states = self.cell(values, valid)
        n, t, u, y, x = states.shape
        pixels = states.permute(0, 3, 4, 1, 2).reshape(-1, t, u)
        clear = valid.permute(0, 2, 3, 1).reshape(-1, t)
        features = self.attention(pixels, clear) if self.attention else last_clear(pixels, clear.new_ones(clear.shape))
        return features.reshape(n, y * x, u).mean(1)


class Stacked(nn.Module):
    """Unpadded CNN on a series whose dates are stacked as bands; dense."""

    def __init__(self, spec: InputSpec, config: Config) -> None:
        super().__init__()
        first, rest = config.filters
        self.conv1 = Conv(len(spec.bands) * spec.dates, first, 3, config.norm)
        self.conv2 = Conv(first, rest, 3, config.norm)
        self.conv3 = Conv(rest, rest, 1, config.norm)
        self.conv4 = Conv(2 * rest, rest, 1, config.norm)
        self.last = config.patch - 4

    def forward(self, values: Tensor) -> Tensor:
        """(B, T, C, Y, X) → (B, F, Y − patch + 1, X − patch + 1)."""
        x = self.conv2(self.conv1(values.flatten(1, 2)))
        return mean_over(self.conv4(torch.cat([x, self.conv3(x)], 1)), self.last)


class Stream(nn.Module):
    """One source's branches."""

    def __init__(self, spec: InputSpec, config: Config) -> None:
        super().__init__()
        self.spec, self.footprint = spec, centred(config.patch, spec)
        self.recurrent = Recurrent(spec, config) if config.branches != "cnn" else None
        self.stacked = Stacked(spec, config) if config.branches != "convgru" else None
        self.width = (config.units if self.recurrent else 0) + (config.filters[1] if self.stacked else 0)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        tensor, found = batch[self.spec.name], []
        if self.recurrent:
            part = Part(tensor, self.footprint, self.spec)
            found.append(by_patches(self.recurrent, [part], shape, self.recurrent.hidden))
        if self.stacked:
            step = self.spec.ratio.finer
            found.append(repeat_to(self.stacked(tensor.masked())[..., ::step, ::step], self.spec.ratio, shape))
        return torch.cat(found, 1)


class Model(Headed):
    """The network under the contract of every network."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        wanted = {"both": (config.first, config.second), "first": (config.first,), "second": (config.second,)}
        self.inputs = {name: _series(inputs, name) for name in wanted[config.use]}
        streams = {name: Stream(spec, config) for name, spec in self.inputs.items()}
        self.streams = nn.ModuleDict(streams)
        self.footprints: dict[str, Footprint] = {name: s.footprint for name, s in streams.items()}
        widths = {name: stream.width for name, stream in streams.items()}
        self.heads = Heads(widths, n_classes, config.auxiliary, config.dropout)

    def features(self, batch: Batch) -> Features:
        """Return the features of every part."""
        shape = output_shape(batch, self.footprints, self.inputs)
        return {name: stream(batch, shape) for name, stream in self.streams.items()}


def _series(inputs: Mapping[str, InputSpec], name: str) -> InputSpec:
    if name not in inputs:
        raise ModelError(
            f"twinns: no source is called '{name}'; there are {', '.join(inputs)}. Say which series are meant with "
            "model.first and model.second, or use one with model.use."
        )
    if inputs[name].dates < 2:
        raise ModelError(f"twinns works on series of several dates; '{name}' has one.")
    return inputs[name]
