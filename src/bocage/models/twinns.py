"""TWINNS: two identical streams, Sentinel-1 and Sentinel-2, each a ConvGRU with attention and a CNN on the stacked series.

Ienco, Interdonato, Gaetano & Ho Tong Minh 2019, "Combining Sentinel-1 and Sentinel-2 Satellite Image Time Series for Land
Cover Mapping via a Multi-Source Deep Learning Architecture", doi:10.1016/j.isprsjprs.2019.09.016. The streams, their two
branches and the auxiliary classifiers are published; **the sizes, the kernels, the form of the attention and the number of
auxiliary heads are not: this is a reconstruction** from other networks of the same team, and each of these is a setting.
Here the attention is that of M3Fusion, at each pixel of the patch, and each stream has an auxiliary head.

Masks: in the ConvGRU, masked dates leave the state of the pixel unchanged. The CNN replaces masked values by 0, the
training mean.

::

    s1 (N, T1, 2, 5, 5)  → ConvGRU 3×3, 64 → attention over dates → mean over the patch ─┐
                         → stack → 3×3, 256 → 3×3, 512 ─┬→ 1×1, 512 ─┐                    ├→ s1 features → head, 0.3
                                                        └────────────┴→ 1×1, 512 → mean ──┘       │
    s2 (N, T2, 16, 5, 5) → the same ────────────────────────────────────→ s2 features → head, 0.3 ┴→ linear → K
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bocage.errors import ModelError
from bocage.models.base import Batch, centred, output_shape, repeat_to
from bocage.models.card import Footprint, InputSpec
from bocage.models.heads import Features, Headed, Heads
from bocage.models.layers import Attention, Conv, Part, by_patches, last_clear
from bocage.models.recurrent import ConvGru, mean_over
from bocage.models.settings.twinns import CARD, Config

__all__ = ["CARD", "Config", "Model"]


class Recurrent(nn.Module):
    """ConvGRU on patches, with optional attention over dates; the features are the mean over the patch."""

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
    """Unpadded CNN on a series whose dates are stacked as bands; its dense form is exact."""

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
    """The branches of one source."""

    def __init__(self, spec: InputSpec, config: Config) -> None:
        super().__init__()
        self.spec, self.footprint = spec, centred(config.patch, spec)
        self.recurrent = Recurrent(spec, config) if config.branches != "cnn" else None
        self.stacked = Stacked(spec, config) if config.branches != "convgru" else None
        self.width = (config.units if self.recurrent else 0) + (config.filters[1] if self.stacked else 0)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        tensor, features = batch[self.spec.name], []
        if self.recurrent:
            part = Part(tensor, self.footprint, self.spec)
            features.append(by_patches(self.recurrent, [part], shape, self.recurrent.hidden))
        if self.stacked:
            step = self.spec.ratio.finer
            features.append(repeat_to(self.stacked(tensor.masked())[..., ::step, ::step], self.spec.ratio, shape))
        return torch.cat(features, 1)


class Model(Headed):
    """The network."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        used = {"both": (config.first, config.second), "first": (config.first,), "second": (config.second,)}
        self.inputs = {name: _series(inputs, name) for name in used[config.use]}
        streams = {name: Stream(spec, config) for name, spec in self.inputs.items()}
        self.streams = nn.ModuleDict(streams)
        self.footprints: dict[str, Footprint] = {name: s.footprint for name, s in streams.items()}
        widths = {name: stream.width for name, stream in streams.items()}
        self.heads = Heads(widths, n_classes, config.auxiliary, config.dropout)

    def features(self, batch: Batch) -> Features:
        """Return the features of each stream."""
        shape = output_shape(batch, self.footprints, self.inputs)
        return {name: stream(batch, shape) for name, stream in self.streams.items()}


def _series(inputs: Mapping[str, InputSpec], name: str) -> InputSpec:
    if name not in inputs:
        raise ModelError(
            f"twinns: no source is called '{name}'. Sources: {', '.join(inputs)}. Set model.first and model.second, or use one "
            "stream only with model.use."
        )
    if inputs[name].dates < 2:
        raise ModelError(f"twinns needs series of several dates; '{name}' has 1 date.")
    return inputs[name]
