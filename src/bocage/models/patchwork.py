"""Patchwork: Bocage's own network, for any mixture of sources, each on its own grid and dates, with any gaps.

Temporal attention in the manner of Garnot & Landrieu 2020 (L-TAE, arXiv 2007.00586), with learnt queries, masked dates and
a code of the acquisition's day of the year; auxiliary heads in that of DualNet (Hou, Liu & Wang, ICCV 2017). Dates and whole
sources are hidden at random while it learns, so that it knows how to do without.

Masks: dates that are not valid get no attention; a source without any valid date at a map pixel, or not given at all, is
replaced by a learnt vector.

::

    series (B, T, C, Y, X) → own and mean of 3 × 3, 2C → W, + day → W = h    a_k = softmax over valid dates of h · q_k
                                                   └→ p_k = Σ a_k h → V_k p_k (W / heads each) → W ─────┐
    image  (B, 1, C, Y, X) → 3×3, 3×3 (unpadded) → mean and max of a map pixel → W, own + 3 × 3 around ─┤
                                                                                  learnt W if missing ──┴→ Σ → W → K

Every part works at a map pixel or by unpadded convolutions: the dense form is exact. The keys' product with the constant
queries is one matrix, and values are projected after pooling: both exact, for half of the multiplications.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.models.base import (
    Abilities,
    Batch,
    Card,
    Criterion,
    Footprint,
    InputSpec,
    Network,
    SourceTensor,
    output_shape,
    pooled,
    repeat_to,
)
from bocage.models.gru import S2
from bocage.models.heads import Linear
from bocage.models.layers import HARMONICS, waves
from bocage.models.multiresolcc import PAN
from bocage.models.ranges import at_least, shares
from bocage.models.twinns import S1

AT_A_TIME = 1 << 19
"""Hidden values computed at a time outside training: 2 MiB, which stay in a core's cache."""
TILE = 256
"""Pixels a side of an image that a processor convolves at a time outside training."""
NEVER = -1e30
"""Energy of a date that gets no attention."""
ROWS = 8
"""Rows of pixels whose series are laid out at a time outside training."""
WIDTHS = {"small": (32, 4), "medium": (64, 8), "large": (128, 8)}
"""Channels and heads of the presets."""
CARD = Card(
    paper="Bocage's own; attention after Garnot & Landrieu 2020, arXiv 2007.00586",
    takes="any series and images, each on its own grid and dates; any of them may be missing",
    masks="masked dates get no attention; a source that is missing at a pixel is replaced by a learnt vector",
    training={
        "epochs": 40,
        "patience": 40,
        "optimiser": "adamw",
        "learning_rate": 2e-3,
        "weight_decay": 2e-2,
        "schedule": "one-cycle",
    },
    example={"s1": S1, "s2": S2, "pan": PAN},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    sources: tuple[str, ...] = ()
    """Sources used; empty takes all."""
    preset: Literal["small", "medium", "large"] = "medium"
    """Size: 32 channels and 4 heads, 64 and 8, or 128 and 8."""
    filters: tuple[int, int] = (16, 32)
    """Filters of an image's two convolutions."""
    context: int = 1
    """Pixels to each side that a source looks at, on the map's grid or, where that is coarser, its own; 0 for none. A series
    adds their mean to each date's bands (for radar, a multilook), an image the mean of their vectors to a pixel's own."""
    auxiliary: float = 0.3
    """Weight of the losses of the heads that see one source each; 0 for none."""
    date_dropout: float = 0.4
    """Most of a series' dates hidden while training: each sample loses a share between 0 and this; 0 to 1."""
    sensor_dropout: float = 0.3
    """Share of samples from which a source is hidden while training (never all of them), 0 to 1."""

    def __post_init__(self) -> None:
        at_least(self, filters=1, auxiliary=0, context=0)
        shares(self, "date_dropout", "sensor_dropout")


class SeriesEncoder(nn.Module):
    """Series → a vector per pixel, by masked attention over dates."""

    def __init__(self, spec: InputSpec, width: int, heads: int, around: int) -> None:
        super().__init__()
        self.spec, self.around, self.width = spec, around, width
        self.reach = around * spec.ratio.finer
        """Pixels of the source that it looks at beyond those of a vector."""
        self.bands = nn.Linear(len(spec.bands) * (2 if around else 1), width)
        self.day = nn.Linear(2 * HARMONICS, width, bias=False)
        self.queries = nn.Linear(width, heads, bias=False)  # a bias would cancel in the softmax
        self.values = nn.Parameter(torch.randn(heads, width, width // heads) / math.sqrt(width))
        self.norm = nn.LayerNorm(width)

    def forward(self, tensor: SourceTensor, hide: float) -> tuple[Tensor, Tensor]:
        """Return vectors (B, Y, X, W) and where there is one (B, Y, X); up to `hide` of the dates are hidden at random."""
        days = self._days(tensor)
        if hide or _in_one_piece():
            values, valid = pooled(tensor, self.spec)
            if hide:
                valid = _without_dates(valid, hide)
                values = values * valid[:, :, None]
            return self._rows(values, valid, days, whole=True), self._seen(valid)
        found, finer = [], self.spec.ratio.finer
        for start in range(0, tensor.valid.shape[2] // finer - 2 * self.around, ROWS):  # with the rows above and below
            part = slice(start * finer, (start + ROWS + 2 * self.around) * finer)
            rows, codes = _with_data(tensor.values[..., part, :], tensor.valid[..., part, :], tensor.days, days)
            values, valid = pooled(rows, self.spec)
            found.append((self._rows(values, valid, codes), self._seen(valid)))
        vectors, seen = zip(*found, strict=True)
        return torch.cat(vectors, 1), torch.cat(seen, 1)

    def _seen(self, valid: Tensor) -> Tensor:
        """Where a date is valid (B, Y, X), less what lies around."""
        inner = slice(self.around, -self.around or None)
        return valid[:, :, inner, inner].any(1)

    def attention(self, tensor: SourceTensor) -> Tensor:
        """Weight of every date (B, T) for the first pixel: the mean over heads, 0 where masked; they add up to 1."""
        series, clear, _ = self._laid_out(*pooled(tensor, self.spec), whole=True)
        _, weight = self._attend(series[:, :1], clear[:, :1], self._days(tensor))
        return weight[:, 0].mean(1) * clear[:, 0]

    def _days(self, tensor: SourceTensor) -> Tensor:
        """Codes of the dates (B, 1, T, W)."""
        return self.day(waves(tensor.days).to(tensor.values.dtype))[:, None]  # type: ignore[no-any-return]

    def _laid_out(self, values: Tensor, valid: Tensor, whole: bool) -> tuple[Tensor, Tensor, tuple[int, int, int]]:
        """(B, T, C, Y, X) and (B, T, Y, X) → series (B, P, T, C) of the pixels, with what lies around, and valid (B, P, T)."""
        inner = slice(self.around, -self.around or None)
        own, clear = values[..., inner, inner], valid[..., inner, inner].permute(0, 2, 3, 1)
        b, y, x, t = clear.shape
        bands = torch.cat([own, _mean_around(values, valid, self.around)], 2) if self.around else own
        if torch.is_autocast_enabled(own.device.type):  # half as much to lay out
            bands = bands.to(torch.get_autocast_dtype(own.device.type))
        flat = bands.flatten(3).flatten(1, 2)
        # Of a matrix, and of nothing else, PyTorch makes the transpose by blocks that stay in cache.
        series = flat.transpose(1, 2) if whole or b > 1 else flat[0].t().contiguous()[None]
        return series.reshape(b, y * x, t, -1), clear.reshape(b, y * x, t), (b, y, x)

    def _rows(self, values: Tensor, valid: Tensor, days: Tensor, whole: bool = False) -> Tensor:
        """(B, T, C, Y, X), (B, T, Y, X) and the dates' codes (B, 1, T, W) → (B, Y, X, W), less what lies around."""
        series, clear, (b, y, x) = self._laid_out(values, valid, whole)
        step = y * x if whole else max(1, AT_A_TIME // (b * series.shape[2] * self.width))
        parts = zip(torch.split(series, step, 1), torch.split(clear, step, 1), strict=True)
        return torch.cat([self._pixels(part, seen, days) for part, seen in parts], 1).reshape(b, y, x, self.width)

    def _attend(self, series: Tensor, clear: Tensor, days: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, T, C), (B, P, T) and the dates' codes (B, 1, T, W) → hidden (B, P, T, W), weights (B, P, heads, T).

        Where no date is valid, weights mean nothing.
        """
        hidden = self._hidden(series, days)
        return hidden, self._weights(hidden, clear)

    def _hidden(self, series: Tensor, days: Tensor) -> Tensor:
        """(B, P, T, C) and the dates' codes (B, 1, T, W) → (B, P, T, W)."""
        hidden = functional.linear(series, self.bands.weight)
        return hidden.add_((days + self.bands.bias).to(hidden.dtype)).relu_()

    def _weights(self, hidden: Tensor, clear: Tensor) -> Tensor:
        """(B, P, T, W) and (B, P, T) → weights (B, P, heads, T)."""
        # Heads first: the product with few queries is several times as fast, and dates lie side by side for the softmax.
        energy = torch.mm(self.queries.weight, hidden.flatten(0, 2).t()).reshape(-1, *clear.shape)
        hide = torch.where(clear, 0.0, NEVER).to(energy.dtype)
        return torch.softmax(energy + hide, -1).permute(1, 2, 0, 3).to(hidden.dtype)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        """(B, P, T, C), (B, P, T) and the dates' codes (B, 1, T, W) → (B, P, W)."""
        hidden, weight = self._attend(series, clear, days)
        pooled = torch.bmm(weight.flatten(0, 1), hidden.flatten(0, 1))  # (B P, heads, W)
        vectors = torch.bmm(self.values.transpose(1, 2), pooled.permute(1, 2, 0))  # heads first, as above
        normed: Tensor = self.norm(vectors.flatten(0, 1).t().reshape(*clear.shape[:2], self.width))
        return normed


def _with_data(values: Tensor, valid: Tensor, days: Tensor, codes: Tensor) -> tuple[SourceTensor, Tensor]:
    """The series and its dates' codes (B, 1, T, W), less dates without one valid pixel, as clouds and swaths leave many."""
    kept = valid.flatten(2).any(2).any(0)
    if kept.all():
        return SourceTensor(values, valid, days), codes
    kept[0] |= ~kept.any()  # one has to stay
    return SourceTensor(values[:, kept], valid[:, kept], days[:, kept]), codes[:, :, kept]


def _mean_around(values: Tensor, valid: Tensor, reach: int) -> Tensor:
    """Means of (B, T, C, Y, X), 0 where not valid, over the valid pixels within `reach`; the margin goes."""
    there = _sum_around(valid.to(values.dtype), reach)[:, :, None]
    return _sum_around(values, reach) / there.clamp_min(0.5)


def _sum_around(x: Tensor, reach: int) -> Tensor:
    """Sum over the last two axes, within `reach`; one after the other, at the speed of the memory."""
    for axis in (-2, -1):
        length = x.shape[axis] - 2 * reach
        total = x.narrow(axis, 0, length) + x.narrow(axis, 1, length)
        for step in range(2, 2 * reach + 1):
            total += x.narrow(axis, step, length)
        x = total
    return x


class ImageEncoder(nn.Module):
    """Image → a vector per map pixel: two unpadded convolutions, then mean and maximum over the map pixel."""

    def __init__(self, spec: InputSpec, width: int, filters: tuple[int, int]) -> None:
        super().__init__()
        kernel = 1 if spec.points else 3
        self.spec, self.reach = spec, kernel - 1
        self.conv1 = nn.Conv2d(len(spec.bands) + 1, filters[0], kernel)
        self.norm1 = nn.BatchNorm2d(filters[0])
        self.conv2 = nn.Conv2d(filters[0], filters[1], kernel)
        self.norm2 = nn.BatchNorm2d(filters[1])
        self.project = nn.Linear(2 * filters[1], width)
        self.norm = nn.LayerNorm(width)

    def forward(self, tensor: SourceTensor, hide: float) -> tuple[Tensor, Tensor]:
        """Return vectors (B, Y, X, W) and where there is one (B, Y, X); an image has no dates to hide."""
        side, valid = self.spec.ratio.finer, tensor.valid[:, :1].to(tensor.values.dtype)
        x = torch.cat([tensor.masked()[:, 0], valid], 1)
        apart = x.device.type == "cpu" and not (self.training or _in_one_piece())
        vectors = self._by_tiles(x, side) if apart else self._vectors(x, side)
        inner = slice(self.reach, -self.reach or None)
        seen = functional.max_pool2d(valid[..., inner, inner], side) > 0
        return vectors, seen[:, 0]

    def _by_tiles(self, x: Tensor, side: int) -> Tensor:
        """Vectors, tile by tile: what the convolutions give is used while it is in cache."""
        step, height, width = max(1, TILE // side), *((n - 2 * self.reach) // side for n in x.shape[-2:])
        rows = []
        for y in range(0, height, step):
            part = x[:, :, y * side : (y + step) * side + 2 * self.reach]
            tiles = (part[..., c * side : (c + step) * side + 2 * self.reach] for c in range(0, width, step))
            rows.append(torch.cat([self._vectors(tile, side) for tile in tiles], 2))
        return torch.cat(rows, 1)

    def _vectors(self, x: Tensor, side: int) -> Tensor:
        """Bands and mask (B, C + 1, y, x) → a vector per map pixel (B, Y, X, W)."""
        x = x.contiguous(memory_format=torch.channels_last)
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            x = functional.relu(norm(conv(x)) if self.training else _folded(conv, norm, x), inplace=True)
        both = torch.cat([functional.avg_pool2d(x, side), functional.max_pool2d(x, side)], 1)
        vectors: Tensor = self.norm(self.project(both.permute(0, 2, 3, 1)))
        return vectors


def _in_one_piece() -> bool:
    """Whether gradients or an export want everything computed at once."""
    return torch.is_grad_enabled() or torch.compiler.is_exporting()


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Convolve with the normalisation's learnt statistics in the weights: one pass less over the image."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    assert conv.bias is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    bias = (conv.bias - norm.running_mean) * scale + norm.bias
    return functional.conv2d(x, conv.weight * scale[:, None, None, None], bias)


class Context(nn.Module):
    """A pixel's vector and the mean of those around it → the fused width."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.own = nn.Linear(width, width, bias=False)
        self.around = nn.Linear(width, width, bias=False) if reach else None

    def forward(self, vectors: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(B, Y, X, W) and where there is one (B, Y, X) → both, less `reach` pixels at every side."""
        if self.around is None:
            return self.own(vectors), seen
        inner, there = slice(self.reach, -self.reach), seen[:, None]
        channels = vectors.movedim(-1, 1) * there
        mean = _mean_around(channels[:, None], there, self.reach)[:, 0].movedim(1, -1)
        return self.own(vectors[:, inner, inner]) + self.around(mean), seen[:, inner, inner]


class Model(Network):
    """The network under the contract of every network."""

    abilities = Abilities(any_source=True, attention=True, encoder=True)
    heads_of_labels = ("head", "parts")

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        if unknown := [name for name in config.sources if name not in inputs]:
            raise ModelError(f"patchwork: no source is called '{unknown[0]}'; there are {', '.join(inputs)}.")
        self.width = width = WIDTHS[config.preset][0]
        self.inputs = {name: inputs[name] for name in config.sources or inputs}
        self.encoders = nn.ModuleDict({name: _encoder(spec, config) for name, spec in self.inputs.items()})
        self.context = nn.ModuleDict(
            {
                name: Context(width, 0 if spec.points or spec.dates > 1 else config.context)
                for name, spec in self.inputs.items()
            }
        )
        self.footprints = {name: self._footprint(name) for name in self.inputs}
        self.config = config
        self.missing = nn.ParameterDict(
            {name: torch.zeros(width) for name in self.inputs} if len(self.inputs) > 1 else {}
        )
        self.fuse = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU())
        self.head = Linear(width, n_classes)
        several = len(self.inputs) > 1 and config.auxiliary > 0
        self.parts = nn.ModuleDict({name: Linear(width, n_classes) for name in self.inputs if several})

    def _footprint(self, name: str) -> Footprint:
        """Pixels of a source that a map pixel needs: its own, those around it, and those that convolutions look at."""
        finer, encoder, context = self.inputs[name].ratio.finer, self.encoders[name], self.context[name]
        assert isinstance(encoder, SeriesEncoder | ImageEncoder)
        assert isinstance(context, Context)
        beyond = encoder.reach + context.reach * finer
        return Footprint(finer + 2 * beyond, beyond)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        return self._classify(self._encode(batch))

    def fused(self, batch: Batch) -> Tensor:
        """Return what the class head sees (B, W, Y, X)."""
        return self._fused(self._encode(batch))

    def attention(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weight of every date (B, T) in each series of the batch, for the first map pixel."""
        series = {name: encoder for name, encoder in self.encoders.items() if isinstance(encoder, SeriesEncoder)}
        return {name: encoder.attention(batch[name]) for name, encoder in series.items() if name in batch}

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss, with those of the heads of single sources, on samples that have the source."""
        found = self._encode(batch)
        total = criterion(self._classify(found)[:, :, 0, 0], labels)
        for name, (vectors, seen) in found.items():
            there = seen[:, 0, 0]
            if name in self.parts and there.any():
                logits = self.parts[name](vectors.movedim(-1, 1))[:, :, 0, 0]
                total = total + self.config.auxiliary * criterion(logits[there], labels[there])
        return total

    def _encode(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Vectors and presence of every source of the batch."""
        given = {name: footprint for name, footprint in self.footprints.items() if name in batch}
        if not given:
            raise ModelError(
                f"patchwork needs one of its sources ({', '.join(self.inputs)}); the batch holds {', '.join(batch) or 'none'}."
            )
        shape = output_shape(batch, given, self.inputs)
        hide = self.config.date_dropout if self.training else 0.0
        found = {name: self._vectors(name, batch[name], shape, hide) for name in given}
        if self.training and self.config.sensor_dropout:
            seen = _without_sources(torch.stack([seen for _, seen in found.values()]), self.config.sensor_dropout)
            found = {name: (vectors, seen[i]) for i, (name, (vectors, _)) in enumerate(found.items())}
        return found

    def _vectors(self, name: str, tensor: SourceTensor, shape: tuple[int, int], hide: float) -> tuple[Tensor, Tensor]:
        """What one source says of every map pixel (B, Y, X, W), and where it says something (B, Y, X)."""
        vectors, seen = self.context[name](*self.encoders[name](tensor, hide))
        ratio = self.inputs[name].ratio
        return (
            repeat_to(vectors.movedim(-1, 1), ratio, shape).movedim(1, -1),
            repeat_to(seen[:, None], ratio, shape)[:, 0],
        )

    def _classify(self, found: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        logits: Tensor = self.head(self._fused(found))
        return logits

    def _fused(self, found: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        fused: Tensor = self.fuse(sum(self._terms(found))).movedim(-1, 1)
        return fused

    def _terms(self, found: Mapping[str, tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """What each source adds to the fused vector, (B, Y, X, W) or (W,)."""
        for name in self.inputs:
            instead = self.missing[name] if len(self.missing) else None
            if name not in found:
                assert instead is not None
                yield instead
                continue
            term, seen = found[name]
            yield torch.where(seen[..., None], term, torch.zeros_like(term) if instead is None else instead)


def _encoder(spec: InputSpec, config: Config) -> SeriesEncoder | ImageEncoder:
    width, heads = WIDTHS[config.preset]
    if spec.dates > 1:
        return SeriesEncoder(spec, width, heads, 0 if spec.points else config.context)
    return ImageEncoder(spec, width, config.filters)


def _without_dates(valid: Tensor, most: float) -> Tensor:
    """Hide a share of the dates (B, T, Y, X) of every sample, drawn between 0 and `most`; where that leaves none, hide none."""
    b, t = valid.shape[:2]
    share = torch.rand(b, 1, 1, 1, device=valid.device) * most
    kept = valid & (torch.rand(b, t, 1, 1, device=valid.device) >= share)
    return torch.where(kept.any(1, keepdim=True), kept, valid)


def _without_sources(seen: Tensor, share: float) -> Tensor:
    """Hide sources (S, B, Y, X) from a share of the samples; where that leaves none, hide none."""
    kept = seen & (torch.rand(*seen.shape[:2], 1, 1, device=seen.device) >= share)
    return torch.where(kept.any(0, keepdim=True), kept, seen)
