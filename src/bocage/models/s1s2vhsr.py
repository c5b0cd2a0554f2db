"""S1S2VHSR: three encoders (Sentinel-1, Sentinel-2, SPOT) with summed features and self-distillation to each encoder.

Gbodjo, Montet, Ienco, Gaetano & Dupuy 2021, "Multisensor Land Cover Classification With Sparsely Annotated Data Based on
Convolutional Neural Networks and Self-Distillation", doi:10.1109/JSTARS.2021.3119191. Layers as in the authors' released
code (2-D CNN for Sentinel-1, 1-D CNN for Sentinel-2, PAN and MS at native resolution). The side of the Sentinel-1 patch is
not published: it is a setting. Departures: batch normalisation learns its statistics (``norm = "affine"`` is the released
behaviour); the PAN and MS grids nest in the map's grid, PAN 4 times finer than MS.

Masks: masked dates and pixels are replaced by 0, the mean of the training pixels.

::

    s2 centre pixel (N, C, T) → 5, 128 → 3 by 2, 128 → 3, 256 → 1, 256 → mean over dates ───────────┐
    s1 patch (N, T·C, 9, 9)   → 3×3, 128 → 3×3, 128 → 3×3, 256 → 1×1, 256 → mean ───────────────────┼→ sum 256
    PAN (N, 1, 32, 32) → 7×7, 128 → pool 3 by 2 → 5×5, 256 ─┐                                       │   │
    MS (N, C, 8, 8) ────────────────────────────────────────┴→ 3×3 (padded), 256 → pool 3 by 2      │   │
                                          → 3×3, 256 → 1×1, 256 → mean ─────────────────────────────┘   │
    each encoder → linear → K: learns the fused probabilities, weight 0.3       512 → 512 → linear → K ←┘
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.models.base import Batch, Criterion, Network, centred, output_shape, pixel_footprint, repeat_to
from bocage.models.card import Footprint, InputSpec
from bocage.models.heads import Linear
from bocage.models.layers import Conv, DateConv, Part, by_patches, norm_of, over_pixels
from bocage.models.recurrent import mean_over
from bocage.models.settings.s1s2vhsr import CARD, Config

__all__ = ["CARD", "Config", "Model"]

FEWEST = 11
"""Minimum number of Sentinel-2 dates for the unpadded convolutions."""
PAN_PATCH, MS_PATCH = 32, 8


class S2Encoder(nn.Module):
    """1-D CNN over the dates of a pixel."""

    def __init__(self, spec: InputSpec, config: Config) -> None:
        super().__init__()
        if spec.dates < FEWEST:
            raise ModelError(
                f"s1s2vhsr needs {FEWEST} dates; '{spec.name}' has {spec.dates}. Fill the series at shorter intervals."
            )
        n, norm = config.filters, config.norm
        self.spec, self.footprints = spec, {spec.name: pixel_footprint(spec)}
        self.convs = nn.ModuleList(
            [
                DateConv(len(spec.bands), n, 5, norm),
                DateConv(n, n, 3, norm, stride=2),
                DateConv(n, 2 * n, 3, norm),
                DateConv(2 * n, 2 * n, 1, norm),
            ]
        )
        self.dropout, self.hidden = nn.Dropout(config.dropout), 2 * n

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        return over_pixels(self._pixels, batch[self.spec.name], self.spec, shape, self.hidden, False)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        x = series.transpose(1, 2)
        for conv in self.convs:
            x = self.dropout(conv(x))
        return x.mean(2)


class S1Encoder(nn.Module):
    """Unpadded 2-D CNN on a patch whose dates are stacked as bands."""

    def __init__(self, spec: InputSpec, config: Config) -> None:
        super().__init__()
        n, norm = config.filters, config.norm
        self.spec, self.footprints = spec, {spec.name: centred(config.s1_patch, spec)}
        self.convs = nn.ModuleList(
            [
                Conv(spec.dates * len(spec.bands), n, 3, norm),
                Conv(n, n, 3, norm),
                Conv(n, 2 * n, 3, norm),
                Conv(2 * n, 2 * n, 1, norm),
            ]
        )
        self.dropout, self.last = nn.Dropout(config.dropout), config.s1_patch - 6

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        x, step = batch[self.spec.name].masked().flatten(1, 2), self.spec.ratio.finer
        for conv in self.convs:
            x = self.dropout(conv(x))
        return repeat_to(mean_over(x, self.last)[..., ::step, ::step], self.spec.ratio, shape)


class SpotEncoder(nn.Module):
    """2-D CNN on PAN, with MS concatenated at the layer of its resolution; its padded layer rules out an exact dense form."""

    def __init__(self, pan: InputSpec, ms: InputSpec, config: Config) -> None:
        super().__init__()
        fine, coarse = (spec.ratio.finer / spec.ratio.coarser for spec in (pan, ms))
        if fine != 4 * coarse:
            raise ModelError(
                f"s1s2vhsr: PAN must be 4 times finer than MS; found '{pan.name}' at {pan.ratio} and '{ms.name}' at "
                f"{ms.ratio}. Set [sources.{pan.name}] ratio = {{ finer = 8 }} and [sources.{ms.name}] ratio = {{ finer = 2 }}."
            )
        if max(pan.dates, ms.dates) > 1:
            raise ModelError(f"s1s2vhsr: '{pan.name}' and '{ms.name}' must be images of one date, not series.")
        n, norm = config.filters, config.norm
        self.pan, self.ms = pan, ms
        self.footprints = {pan.name: centred(PAN_PATCH, pan), ms.name: centred(MS_PATCH, ms)}
        self.conv1 = Conv(len(pan.bands), n, 7, norm)
        self.conv2 = Conv(n, 2 * n, 5, norm)
        self.conv3 = Conv(2 * n + len(ms.bands), 2 * n, 3, norm, padding=1)
        self.conv4 = Conv(2 * n, 2 * n, 3, norm)
        self.conv5 = Conv(2 * n, 2 * n, 1, norm)
        self.dropout, self.hidden = nn.Dropout(config.dropout), 2 * n * 26 * 26

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        parts = [Part(batch[s.name], self.footprints[s.name], s) for s in (self.pan, self.ms)]
        return by_patches(self._patches, parts, shape, self.hidden)

    def _patches(self, pan: Tensor, pan_valid: Tensor, ms: Tensor, ms_valid: Tensor) -> Tensor:
        x = functional.max_pool2d(self.dropout(self.conv1(pan[:, 0])), 3, 2)
        x = torch.cat([self.dropout(self.conv2(x)), ms[:, 0]], 1)
        x = functional.max_pool2d(self.dropout(self.conv3(x)), 3, 2)
        features: Tensor = self.dropout(self.conv5(self.dropout(self.conv4(x)))).mean((2, 3))
        return features


class Model(Network):
    """The network under the contract of every network."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        used = [name for name in (config.s1, config.s2, *((config.pan, config.ms) if config.pan else ())) if name]
        missing = [name for name in used if name not in inputs]
        if missing:
            raise ModelError(
                f"s1s2vhsr: no source is called '{missing[0]}'. Sources: {', '.join(inputs)}. Set model.s1, model.s2, "
                'model.pan and model.ms; use "" for an encoder that you do not want.'
            )
        self.inputs = {name: inputs[name] for name in used}
        encoders: dict[str, S1Encoder | S2Encoder | SpotEncoder] = {}
        if config.s1:
            encoders["s1"] = S1Encoder(inputs[config.s1], config)
        if config.s2:
            encoders["s2"] = S2Encoder(inputs[config.s2], config)
        if config.pan:
            encoders["spot"] = SpotEncoder(inputs[config.pan], inputs[config.ms], config)
        self.encoders = nn.ModuleDict(encoders)
        self.footprints: dict[str, Footprint] = {}
        for encoder in encoders.values():
            self.footprints |= encoder.footprints
        width = 2 * config.filters
        self.dense1, self.dense2 = nn.Linear(width, config.dense), nn.Linear(config.dense, config.dense)
        self.norm1, self.norm2 = (norm_of(config.norm, config.dense, 1) for _ in range(2))
        self.head = nn.Linear(config.dense, n_classes)
        self.auxiliary = config.auxiliary if len(self.encoders) > 1 else 0.0
        self.targets = config.targets
        self.classifiers = nn.ModuleDict({name: Linear(width, n_classes) for name in self.encoders if self.auxiliary})

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        return self._fused(self._features(batch))

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the fused loss plus the weighted losses of the encoders' classifiers, whose targets are `targets`."""
        features = self._features(batch)
        logits = self._fused(features)[:, :, 0, 0]
        total = criterion(logits, labels)
        target = torch.softmax(logits, 1) if self.targets == "fused" else labels
        for name, classifier in self.classifiers.items():
            total = total + self.auxiliary * criterion(classifier(features[name])[:, :, 0, 0], target)
        return total

    def _features(self, batch: Batch) -> dict[str, Tensor]:
        shape = output_shape(batch, self.footprints, self.inputs)
        return {name: encoder(batch, shape) for name, encoder in self.encoders.items()}

    def _fused(self, features: Mapping[str, Tensor]) -> Tensor:
        x = torch.stack(list(features.values())).sum(0)
        b, _, y, x_ = x.shape
        pixels = x.movedim(1, -1).flatten(0, 2)
        pixels = self.norm1(functional.relu(self.dense1(pixels)))
        pixels = self.norm2(functional.relu(self.dense2(pixels)))
        logits: Tensor = self.head(pixels).reshape(b, y, x_, -1).movedim(-1, 1)
        return logits
