"""Patchwork: Bocage's own network for any combination of sources, each on its own grid and dates, with any gaps.

Temporal attention as in L-TAE (Garnot & Landrieu 2020, arXiv 2007.00586), with learnt queries, masked dates and an encoding
of the day of the year of each acquisition. Auxiliary heads as in DualNet (Hou, Liu & Wang, ICCV 2017). Training hides dates
and whole sources at random, so that the network tolerates missing data.

Masks: masked dates get attention 0. A source without a valid date at a map pixel, or missing from the batch, is replaced
by a learnt vector.

::

    series (B, T, C, Y, X) → own and mean of 3 × 3, 2C → W, + day → W = h    a_k = softmax over valid dates of h · q_k
                                                   └→ p_k = Σ a_k h → V_k p_k (W / heads each) → W ─────┐
    image  (B, 1, C, Y, X) → 3×3, 3×3 (unpadded) → mean and max of a map pixel → W, own + 3 × 3 around ─┤
                                                                                  learnt W if missing ──┴→ Σ → W → K

All layers work on single map pixels or are unpadded convolutions, so the dense form is exact. The product of the key
projection with the constant queries is stored as one matrix, and values are projected after pooling over dates. Both give
exact results with half of the multiplications.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.models.base import Batch, Criterion, Network, Positions, SourceTensor, output_shape, pooled, repeat_to
from bocage.models.card import Abilities, Footprint, InputSpec
from bocage.models.heads import Linear
from bocage.models.layers import HARMONICS, any_inside, mean_around, waves
from bocage.models.settings.patchwork import CARD, Config
from bocage.models.shares import Shares

if TYPE_CHECKING:
    from bocage.models.joined import Term

__all__ = ["CARD", "Config", "Model"]

AT_A_TIME = 1 << 19
"""Hidden values computed at a time outside training: 2 MiB, which fit in the cache of a core."""
TILE = 256
"""Side, in pixels, of the image tiles that the CPU convolves at a time outside training."""
NEVER = -1e30
"""Energy of a masked date: its attention is 0."""
NEAR = 3
"""Largest neighbourhood, in pixels around a map pixel, of an image that is joined in one pass: PyTorch adds long rows faster."""
LEAST, WORTH_COMPILING = 16, 1 << 10
"""Columns, and pixels, of the smallest window that is computed in one pass."""
NO_LANES = (
    "The processor has no AVX2 and FMA instructions: patchwork uses the layers of PyTorch, in about twice the time."
)
"""Said at the start of a map."""
ROWS = 8
"""Rows of pixels whose series are rearranged at a time outside training."""
WIDTHS = {"small": (32, 4), "medium": (64, 8), "large": (128, 8)}
"""Channels and heads of the presets."""


class SeriesEncoder(nn.Module):
    """Series → one vector per pixel, by masked attention over dates."""

    def __init__(self, spec: InputSpec, config: Config) -> None:
        super().__init__()
        width, heads = WIDTHS[config.preset]
        around = 0 if spec.points else config.context
        self.spec, self.around, self.width = spec, around, width
        self.reach = around * spec.ratio.finer
        """Halo in pixels of the source."""
        shares = Shares(spec.bands) if config.shares else None
        self.shares = shares if shares and shares.count else None
        self.bands = nn.Linear((len(spec.bands) + (shares.count if shares else 0)) * (2 if around else 1), width)
        self.day = nn.Linear(2 * HARMONICS, width, bias=False)
        self.queries = nn.Linear(width, heads, bias=False)  # a bias would cancel in the softmax
        self.values = nn.Parameter(torch.randn(heads, width, width // heads) / math.sqrt(width))
        self.norm = nn.LayerNorm(width)

    def forward(self, tensor: SourceTensor, hide: float) -> tuple[Tensor, Tensor]:
        """Return the vectors (B, Y, X, W) and their validity (B, Y, X); hide a random share of the dates, up to `hide`."""
        days = self.encode_days(tensor)
        if hide or _in_one_piece():
            values, valid = pooled(tensor, self.spec)
            if hide:
                valid = _without_dates(valid, hide)
                values = values * valid[:, :, None]
            return self._rows(values, valid, days, whole=True), self._seen(valid)
        if self.shares is None and _in_lanes(tensor.values, self.spec.ratio.finer, self.reach):
            return self._fused(tensor, days)
        parts, finer = [], self.spec.ratio.finer
        for start in range(0, tensor.valid.shape[2] // finer - 2 * self.around, ROWS):  # blocks include their halo rows
            part = slice(start * finer, (start + ROWS + 2 * self.around) * finer)
            rows, codes = _with_data(tensor.values[..., part, :], tensor.valid[..., part, :], tensor.days, days)
            values, valid = pooled(rows, self.spec)
            parts.append((self._rows(values, valid, codes), self._seen(valid)))
        vectors, seen = zip(*parts, strict=True)
        return torch.cat(vectors, 1), torch.cat(seen, 1)

    def _fused(self, tensor: SourceTensor, days: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vectors and their validity, computed in one pass."""
        from bocage.models import fused  # numba takes half a second to import

        values, valid = pooled(tensor, self.spec) if self.spec.ratio.finer > 1 else (tensor.values, tensor.valid)
        weights = (self.bands.weight.t(), self.queries.weight.t(), self.values, self.norm.weight, self.norm.bias)
        inner = slice(self.around, -self.around or None)
        seen = torch.from_numpy(np.logical_or.reduce(valid.numpy(), axis=1))[:, inner, inner]  # whole rows of bytes
        return fused.series(values, valid, self.around, weights, days[:, 0] + self.bands.bias), seen

    def _seen(self, valid: Tensor) -> Tensor:
        """Return where at least one date is valid (B, Y, X), without the halo."""
        inner = slice(self.around, -self.around or None)
        return valid[:, :, inner, inner].any(1)

    def attention(self, tensor: SourceTensor) -> Tensor:
        """Return the attention of each date (B, T) at the first pixel: the mean over heads, 0 where masked, sum 1."""
        series, clear, _ = self._laid_out(*pooled(tensor, self.spec), whole=True)
        _, weight = self._attend(series[:, :1], clear[:, :1], self.encode_days(tensor))
        return weight[:, 0].mean(1) * clear[:, 0]

    def encode_days(self, tensor: SourceTensor) -> Tensor:
        """Return the encodings of the days of the year (B, 1, T, W)."""
        return self.day(waves(tensor.days).to(tensor.values.dtype))[:, None]  # type: ignore[no-any-return]

    def _laid_out(self, values: Tensor, valid: Tensor, whole: bool) -> tuple[Tensor, Tensor, tuple[int, int, int]]:
        """(B, T, C, Y, X) and (B, T, Y, X) → pixel series (B, P, T, C) with neighbourhood means, and valid (B, P, T)."""
        inner = slice(self.around, -self.around or None)
        own, clear = values[..., inner, inner], valid[..., inner, inner].permute(0, 2, 3, 1)
        b, y, x, t = clear.shape
        bands = torch.cat([own, mean_around(values, valid, self.around)], 2) if self.around else own
        if torch.is_autocast_enabled(own.device.type):  # half the memory to rearrange
            bands = bands.to(torch.get_autocast_dtype(own.device.type))
        flat = bands.flatten(3).flatten(1, 2)
        # PyTorch transposes a matrix, and only a matrix, in blocks that stay in cache.
        series = flat.transpose(1, 2) if whole or b > 1 else flat[0].t().contiguous()[None]
        return series.reshape(b, y * x, t, -1), clear.reshape(b, y * x, t), (b, y, x)

    def _rows(self, values: Tensor, valid: Tensor, days: Tensor, whole: bool = False) -> Tensor:
        """(B, T, C, Y, X), (B, T, Y, X) and the day encodings (B, 1, T, W) → (B, Y, X, W), without the halo."""
        series, clear, (b, y, x) = self._laid_out(values, valid, whole)
        step = y * x if whole else max(1, AT_A_TIME // (b * series.shape[2] * self.width))
        parts = zip(torch.split(series, step, 1), torch.split(clear, step, 1), strict=True)
        return torch.cat([self._pixels(part, seen, days) for part, seen in parts], 1).reshape(b, y, x, self.width)

    def _attend(self, series: Tensor, clear: Tensor, days: Tensor) -> tuple[Tensor, Tensor]:
        """(B, P, T, C), (B, P, T) and the day encodings (B, 1, T, W) → hidden (B, P, T, W), weights (B, P, heads, T).

        Where no date is valid, the weights are undefined.
        """
        hidden = self.hidden(series, days)
        return hidden, self.weights(hidden, clear)

    def hidden(self, series: Tensor, days: Tensor) -> Tensor:
        """(B, P, T, C) and the day encodings (B, 1, T, W) → (B, P, T, W)."""
        hidden = functional.linear(self._with_shares(series), self.bands.weight)
        return hidden.add_((days + self.bands.bias).to(hidden.dtype)).relu_()

    def _with_shares(self, series: Tensor) -> Tensor:
        """Append the shares of the bands to the bands of each pixel, and to the means of each neighbourhood."""
        if self.shares is None:
            return series
        parts = torch.split(series, len(self.spec.bands), -1)
        return torch.cat([series, *(self.shares(part) for part in parts)], -1)

    def weights(self, hidden: Tensor, clear: Tensor) -> Tensor:
        """(B, P, T, W) and (B, P, T) → weights (B, P, heads, T)."""
        # Heads come first: the product with few queries is several times faster, and dates are contiguous for the softmax.
        energy = torch.mm(self.queries.weight, hidden.flatten(0, 2).t()).reshape(-1, *clear.shape)
        # Within the range of the data type: in float16, NEVER is -inf, and a pixel without a clear date would give NaN.
        hide = torch.where(clear, 0.0, max(NEVER, torch.finfo(energy.dtype).min / 2)).to(energy.dtype)
        return torch.softmax(energy + hide, -1).permute(1, 2, 0, 3).to(hidden.dtype)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        """(B, P, T, C), (B, P, T) and the day encodings (B, 1, T, W) → (B, P, W)."""
        hidden, weight = self._attend(series, clear, days)
        pooled = torch.bmm(weight.flatten(0, 1), hidden.flatten(0, 1))  # (B P, heads, W)
        vectors = torch.bmm(self.values.transpose(1, 2), pooled.permute(1, 2, 0))  # heads come first, as above
        normed: Tensor = self.norm(vectors.flatten(0, 1).t().reshape(*clear.shape[:2], self.width))
        return normed


def _with_data(values: Tensor, valid: Tensor, days: Tensor, codes: Tensor) -> tuple[SourceTensor, Tensor]:
    """Return the series and its day encodings (B, 1, T, W) without the dates that have no valid pixel.

    Clouds and swath limits leave many such dates.
    """
    kept = valid.flatten(2).any(2).any(0)
    if kept.all():
        return SourceTensor(values, valid, days), codes
    kept[0] |= ~kept.any()  # at least one date must remain
    return SourceTensor(values[:, kept], valid[:, kept], days[:, kept]), codes[:, :, kept]


class ImageEncoder(nn.Module):
    """Image → one vector per map pixel: two unpadded convolutions, then mean and maximum over the map pixel."""

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
        """Return the vectors (B, Y, X, W) and their validity (B, Y, X); `hide` has no effect, an image has one date."""
        side, inner = self.spec.ratio.finer, slice(self.reach, -self.reach or None)
        apart = tensor.values.device.type == "cpu" and not (self.training or _in_one_piece())
        if apart and not self.spec.points and _in_lanes(tensor.values, side, self.reach):
            return self._fused(tensor), any_inside(tensor.valid[:, 0, inner, inner], side)
        valid = tensor.valid[:, :1].to(tensor.values.dtype)
        x = torch.cat([tensor.masked()[:, 0], valid], 1)
        vectors = self._by_tiles(x, side) if apart else self._vectors(x, side)
        seen = functional.max_pool2d(valid[..., inner, inner], side) > 0
        return vectors, seen[:, 0]

    def _fused(self, tensor: SourceTensor) -> Tensor:
        """Return the vectors, computed in one pass."""
        from bocage.models import fused

        convolutions = (*_folded(self.conv1, self.norm1), *_folded(self.conv2, self.norm2))
        weights = (*convolutions, self.project.weight, self.project.bias, self.norm.weight, self.norm.bias)
        return fused.image(tensor.values[:, 0], tensor.valid[:, 0], self.spec.ratio.finer, weights)

    def _by_tiles(self, x: Tensor, side: int) -> Tensor:
        """Return the vectors, computed tile by tile so that the outputs of the convolutions stay in cache."""
        step, height, width = max(1, TILE // side), *((n - 2 * self.reach) // side for n in x.shape[-2:])
        rows = []
        for y in range(0, height, step):
            part = x[:, :, y * side : (y + step) * side + 2 * self.reach]
            tiles = (part[..., c * side : (c + step) * side + 2 * self.reach] for c in range(0, width, step))
            rows.append(torch.cat([self._vectors(tile, side) for tile in tiles], 2))
        return torch.cat(rows, 1)

    def _vectors(self, x: Tensor, side: int) -> Tensor:
        """Bands and mask (B, C + 1, y, x) → one vector per map pixel (B, Y, X, W)."""
        x = x.contiguous(memory_format=torch.channels_last)
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            x = functional.relu(
                norm(conv(x)) if self.training else functional.conv2d(x, *_folded(conv, norm)), inplace=True
            )
        both = torch.cat([functional.avg_pool2d(x, side), functional.max_pool2d(x, side)], 1)
        vectors: Tensor = self.norm(self.project(both.permute(0, 2, 3, 1)))
        return vectors


def _in_one_piece() -> bool:
    """Return whether gradients or an export require the computation in one piece."""
    return torch.is_grad_enabled() or torch.compiler.is_exporting()


def _in_lanes(values: Tensor, finer: int, reach: int) -> bool:
    """Return whether a window is computed in one pass by functions that are compiled for vectors of pixels.

    It is in float32 on a CPU that has the instructions, and large enough to be worth the compilation.
    """
    return _worth_lanes(values, *((n - 2 * reach) // finer for n in values.shape[-2:]))


def _worth_lanes(values: Tensor, height: int, width: int) -> bool:
    """Return whether so many map pixels are computed in one pass, in the type and on the device of some values."""
    if width < LEAST or height * width < WORTH_COMPILING or values.device.type != "cpu":
        return False
    if values.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    from bocage.models.lanes import USABLE

    return USABLE


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return the weight and bias of a convolution that includes the normalisation's learnt statistics."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    assert conv.bias is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return conv.weight * scale[:, None, None, None], (conv.bias - norm.running_mean) * scale + norm.bias


class Context(nn.Module):
    """Vector of a pixel and mean vector of its neighbourhood → the fused width."""

    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.own = nn.Linear(width, width, bias=False)
        self.around = nn.Linear(width, width, bias=False) if reach else None

    def forward(self, vectors: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (B, Y, X, W) and their validity (B, Y, X) → both, without `reach` pixels on each side."""
        if self.around is None:
            return self.own(vectors), seen
        inner, valid = slice(self.reach, -self.reach), seen[:, None]
        channels = vectors.movedim(-1, 1) * valid
        mean = mean_around(channels[:, None], valid, self.reach)[:, 0].movedim(1, -1)
        return self.own(vectors[:, inner, inner]) + self.around(mean), seen[:, inner, inner]


class Model(Network):
    """The network under the contract of every network."""

    abilities = Abilities(any_source=True, attention=True, encoder=True)
    heads_of_labels = ("head", "parts")

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        if unknown := [name for name in config.sources if name not in inputs]:
            raise ModelError(f"patchwork: no source is called '{unknown[0]}'. Sources: {', '.join(inputs)}.")
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

    @property
    def by_position(self) -> frozenset[str]:
        """None: each date is encoded with its day of the year."""
        return frozenset()

    def _footprint(self, name: str) -> Footprint:
        """Return the footprint of a map pixel: its own pixels of the source, its neighbourhood and the convolutions' halo."""
        finer, encoder, context = self.inputs[name].ratio.finer, self.encoders[name], self.context[name]
        assert isinstance(encoder, SeriesEncoder | ImageEncoder)
        assert isinstance(context, Context)
        beyond = encoder.reach + context.reach * finer
        return Footprint(finer + 2 * beyond, beyond)

    def use_scaling(self, offset: Mapping[str, Sequence[float]], scale: Mapping[str, Sequence[float]]) -> None:
        """Store the scaling with which the shares of the bands are computed."""
        for name, encoder in self.encoders.items():
            if isinstance(encoder, SeriesEncoder) and encoder.shares is not None and name in offset:
                encoder.shares.use_scaling(offset[name], scale[name])

    def slow_because(self, device: torch.device) -> str:
        """Return that the processor has no instructions for windows in one pass, if this is so; empty on other devices."""
        from bocage.models.lanes import USABLE

        return "" if USABLE or device.type != "cpu" else NO_LANES

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        if self._in_one_pass(batch):
            return self._joined(batch, self.head.linear.weight, self.head.linear.bias)
        return self._classify(self._encode(batch))

    def fused(self, batch: Batch) -> Tensor:
        """Return the fused features (B, W, Y, X), the input of the class head."""
        return self._joined(batch) if self._in_one_pass(batch) else self._fused(self._encode(batch))

    def _in_one_pass(self, batch: Batch) -> bool:
        """Return whether fusion and head of a window are computed in one pass."""
        if self.training or _in_one_piece():
            return False
        given = self._given(batch)
        return _worth_lanes(batch[next(iter(given))].values, *output_shape(batch, given, self.inputs))

    def _joined(self, batch: Batch, *head: Tensor) -> Tensor:
        """Return the logits (B, K, Y, X), or without a head the fused features (B, W, Y, X), computed in one pass."""
        from bocage.models.joined import joined  # numba takes half a second to import

        given = self._given(batch)
        shape, absent = output_shape(batch, given, self.inputs), torch.zeros(self.width)
        terms = [self._term(name, batch[name], shape) for name in given]
        for name in self.inputs:  # in their order, so that the sum is the same in every process
            absent = absent if name in given else absent + self.missing[name]
        return joined(terms, absent, (*self.fuse[0].parameters(), *self.fuse[1].parameters(), *head), shape)

    def _term(self, name: str, tensor: SourceTensor, shape: tuple[int, int]) -> "Term":
        """Return the vectors of a source, and how they enter the sum over the sources."""
        from bocage.models.joined import Term

        context, ratio = self.context[name], self.inputs[name].ratio
        assert isinstance(context, Context)
        missing = self.missing[name] if len(self.missing) else torch.zeros(self.width)
        if ratio.coarser > 1 or context.reach > NEAR:
            vectors, seen = self._vectors(name, tensor, shape, 0.0)
            return Term(vectors, seen, 0, (), missing)
        weights = [layer.weight.t() for layer in (context.own, context.around) if layer is not None]
        vectors, seen = self.encoders[name](tensor, 0.0)
        return Term(vectors, seen, context.reach, weights, missing)

    def attention(self, batch: Batch) -> dict[str, Tensor]:
        """Return the attention of each date (B, T) in each series of the batch, at the first map pixel."""
        series = {name: encoder for name, encoder in self.encoders.items() if isinstance(encoder, SeriesEncoder)}
        return {name: encoder.attention(batch[name]) for name, encoder in series.items() if name in batch}

    def loss_at(self, batch: Batch, at: Positions, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss of the class head plus those of the auxiliary heads, each on the pixels that have its source."""
        encoded = self._encode(batch)
        total = criterion(at.of(self._classify(encoded)), labels)
        for name, (vectors, seen) in encoded.items():
            valid = at.of(seen[:, None])[:, 0]
            if name in self.parts and valid.any():
                logits = at.of(self.parts[name](vectors.movedim(-1, 1)))
                total = total + self.config.auxiliary * criterion(logits[valid], labels[valid])
        return total

    def _given(self, batch: Batch) -> dict[str, Footprint]:
        """Return the footprints of the sources of the batch.

        Raises
        ------
        ModelError
            The batch has none of the network's sources.
        """
        given = {name: footprint for name, footprint in self.footprints.items() if name in batch}
        if not given:
            raise ModelError(
                f"patchwork needs at least one of its sources ({', '.join(self.inputs)}); found {', '.join(batch) or 'none'}."
            )
        return given

    def _encode(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Return the vectors and their validity for each source of the batch."""
        given = self._given(batch)
        shape = output_shape(batch, given, self.inputs)
        hide = self.config.date_dropout if self.training else 0.0
        encoded = {name: self._vectors(name, batch[name], shape, hide) for name in given}
        if self.training and self.config.sensor_dropout:
            seen = _without_sources(torch.stack([seen for _, seen in encoded.values()]), self.config.sensor_dropout)
            encoded = {name: (vectors, seen[i]) for i, (name, (vectors, _)) in enumerate(encoded.items())}
        return encoded

    def _vectors(self, name: str, tensor: SourceTensor, shape: tuple[int, int], hide: float) -> tuple[Tensor, Tensor]:
        """Return the vectors of a source at the map pixels (B, Y, X, W), and their validity (B, Y, X)."""
        vectors, seen = self.context[name](*self.encoders[name](tensor, hide))
        ratio = self.inputs[name].ratio
        return (
            repeat_to(vectors.movedim(-1, 1), ratio, shape).movedim(1, -1),
            repeat_to(seen[:, None], ratio, shape)[:, 0],
        )

    def _classify(self, encoded: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        logits: Tensor = self.head(self._fused(encoded))
        return logits

    def _fused(self, encoded: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        fused: Tensor = self.fuse(sum(self._terms(encoded))).movedim(-1, 1)
        return fused

    def _terms(self, encoded: Mapping[str, tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """Yield the term of each source in the fused vector, (B, Y, X, W), or (W,) for a source missing from the batch."""
        for name in self.inputs:
            substitute = self.missing[name] if len(self.missing) else None
            if name not in encoded:
                assert substitute is not None
                yield substitute
                continue
            term, seen = encoded[name]
            yield torch.where(seen[..., None], term, torch.zeros_like(term) if substitute is None else substitute)


def _encoder(spec: InputSpec, config: Config) -> SeriesEncoder | ImageEncoder:
    if spec.dates > 1:
        return SeriesEncoder(spec, config)
    return ImageEncoder(spec, WIDTHS[config.preset][0], config.filters)


def _without_dates(valid: Tensor, most: float) -> Tensor:
    """Hide a share of the dates of each sample of `valid` (B, T, Y, X), drawn between 0 and `most`.

    A pixel that would lose all its valid dates keeps them.
    """
    b, t = valid.shape[:2]
    share = torch.rand(b, 1, 1, 1, device=valid.device) * most
    kept = valid & (torch.rand(b, t, 1, 1, device=valid.device) >= share)
    return torch.where(kept.any(1, keepdim=True), kept, valid)


def _without_sources(seen: Tensor, share: float) -> Tensor:
    """Hide each source of `seen` (S, B, Y, X) from a share of the samples.

    A pixel that would lose all its sources keeps them.
    """
    kept = seen & (torch.rand(*seen.shape[:2], 1, 1, device=seen.device) >= share)
    return torch.where(kept.any(0, keepdim=True), kept, seen)
