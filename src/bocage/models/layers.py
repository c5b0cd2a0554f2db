"""Layers shared by several networks: normalisations, unpadded convolutions, attention over dates.

Every layer computes from one position or from its neighbourhood, never from statistics of the whole window. With such
statistics, the dense form of a network would differ from its patches.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.days import YEAR
from bocage.grid import Ratio
from bocage.models.base import SourceTensor, at_map_pixels, repeat_to
from bocage.models.card import Footprint, InputSpec, Norm

PERIOD = 1000.0
"""Base of the encoding of the days by L-TAE, in days: its longest period is at most 2π times this."""
HARMONICS = 4
"""Number of harmonics that encode the day of the year: periods of a year, a half, a third and a quarter of a year."""
ELEMENTS = 1 << 24
"""Hidden values in memory at a time outside training: 64 MiB in float32."""


class ScaleShift(nn.Module):
    """Scale and shift of each channel: batch normalisation frozen at mean 0 and variance 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) → same shape."""
        view = (-1, *[1] * (x.ndim - 2))
        return x * self.weight.view(view) + self.bias.view(view)


class PositionNorm(nn.Module):
    """Group normalisation of the channels of each position (Wu & He 2018, arXiv 1803.08494).

    Departure: mean and variance are computed at each position, not over the image, so that patches and windows give the
    same values.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.scale = ScaleShift(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) → same shape."""
        # The gradient at equal channels, as of a missing source, exceeds the range of float16.
        wide = x.float() if x.dtype == torch.float16 else x
        parts = wide.reshape(x.shape[0], self.groups, -1, *x.shape[2:])
        mean = parts.mean(2, keepdim=True)
        variance = (parts - mean).square().mean(2, keepdim=True)
        normed: Tensor = self.scale(((parts - mean) * torch.rsqrt(variance + 1e-5)).flatten(1, 2))
        return normed


def norm_of(kind: Norm, channels: int, dims: Literal[1, 2]) -> nn.Module:
    """Return the normalisation layer for tensors (N, C) and (N, C, T) (`dims` = 1) or (N, C, Y, X) (`dims` = 2)."""
    if kind == "batch":
        return nn.BatchNorm1d(channels) if dims == 1 else nn.BatchNorm2d(channels)
    if kind == "affine":
        return ScaleShift(channels)
    return PositionNorm(channels, math.gcd(channels, max(1, channels // 16)) if kind == "group" else 1)


class Conv(nn.Module):
    """Spatial convolution, ReLU, then normalisation; unpadded by default."""

    def __init__(self, inside: int, outside: int, kernel: int, norm: Norm, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, kernel)
        self.norm = norm_of(norm, outside, 2)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, Y, X) → (B, Cout, Y − k + 1, X − k + 1), plus twice the padding."""
        y = functional.conv2d(x, self.conv.weight, self.conv.bias, padding=self.padding)
        normed: Tensor = self.norm(functional.relu(y, inplace=not torch.is_grad_enabled()))
        return normed


def sliding_max(x: Tensor, size: int) -> Tensor:
    """Maximum over `size` × `size` positions of (B, C, Y, X) with stride 1: the values of ``max_pool2d(x, size, 1)``.

    The width of the maximum doubles at each step along an axis. In channels-last layout this runs at memory bandwidth.
    """
    for axis in (-1, -2):
        reach = 1
        while reach < size:
            step = min(reach, size - reach)
            left = x.shape[axis] - step
            x = torch.maximum(x.narrow(axis, 0, left), x.narrow(axis, step, left))
            reach += step
    return x


def after_pooling(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Max-pool (B, C, Y, X) by 2 with stride 1, then apply `function` at every position; return its output (B, F, Y', X').

    In the patch form, the layers after a pooling by 2 see every second pixel. Here the pooled pixels are split into four
    images of every second row and column, and `function`, which must be unpadded, is applied to each image. The result is
    that of dilated convolutions. Ordinary convolutions compute it faster, and one image at a time stays in the processor's
    cache.
    """
    across = torch.maximum(x[..., :-1], x[..., 1:])
    upper, lower = across[..., :-1, :], across[..., 1:, :]
    parts = [[function(torch.maximum(upper[..., y::2, x::2], lower[..., y::2, x::2])) for x in (0, 1)] for y in (0, 1)]
    (first, right), (below, _) = parts
    shape = (first.shape[-2] + below.shape[-2], first.shape[-1] + right.shape[-1])
    merged = first.new_empty((*first.shape[:2], *shape))
    for y, row in enumerate(parts):
        for x_start, part in enumerate(row):
            merged[..., y::2, x_start::2] = part
    return merged


def mean_around(values: Tensor, valid: Tensor, reach: int) -> Tensor:
    """Return the mean of the valid pixels within `reach` of each pixel, without the margin of `reach` pixels.

    `values` (B, T, C, Y, X) must be 0 where not valid.
    """
    count = _sum_around(valid.to(values.dtype), reach)[:, :, None]
    return _sum_around(values, reach) / count.clamp_min(0.5)


def _sum_around(x: Tensor, reach: int) -> Tensor:
    """Return the sum within `reach` along the last two axes, one axis after the other, at memory bandwidth."""
    for axis in (-2, -1):
        length = x.shape[axis] - 2 * reach
        total = x.narrow(axis, 0, length) + x.narrow(axis, 1, length)
        for step in range(2, 2 * reach + 1):
            total += x.narrow(axis, step, length)
        x = total
    return x


def any_inside(valid: Tensor, side: int) -> Tensor:
    """Return whether a map pixel has a valid pixel, (B, y, x) → (B, Y, X): first joined over rows of bytes, then over columns."""
    b, height, width = valid.shape[0], *(n // side for n in valid.shape[1:])
    inside = valid[:, : height * side, : width * side].numpy()
    rows = np.logical_or.reduce(inside.reshape(b, height, side, width * side), axis=2)
    return torch.from_numpy(np.logical_or.reduce([rows[..., x::side] for x in range(side)], axis=0))


class DateConv(nn.Module):
    """Convolution over the dates, ReLU, then normalisation."""

    def __init__(self, inside: int, outside: int, kernel: int, norm: Norm, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inside, outside, kernel, stride, padding)
        self.norm = norm_of(norm, outside, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, T) → (N, Cout, T')."""
        normed: Tensor = self.norm(functional.relu(self.conv(x)))
        return normed


class Dense(nn.Module):
    """Linear layer, ReLU, normalisation, dropout."""

    def __init__(self, inside: int, outside: int, norm: Norm, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(inside, outside)
        self.norm = norm_of(norm, outside, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin) → (N, Cout)."""
        dropped: Tensor = self.dropout(self.norm(functional.relu(self.linear(x))))
        return dropped


class Attention(nn.Module):
    """Attention over the dates: softmax of ``tanh(H W + b) · u``. Masked dates get weight 0."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.project = nn.Linear(units, units)
        self.score = nn.Parameter(torch.randn(units) * 0.1)
        nn.init.normal_(self.project.weight, std=0.1 if units >= 256 else 1 / math.sqrt(units))
        nn.init.zeros_(self.project.bias)

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """Hidden (N, T, U), valid (N, T) → features (N, U)."""
        hidden = hidden.contiguous()  # without it, bfloat16 multiplies date by date and copies the weights each time
        weight = masked_softmax(torch.tanh(self.project(hidden)) @ self.score, valid)
        return torch.einsum("nt,ntu->nu", weight, hidden)


def masked_softmax(energy: Tensor, valid: Tensor) -> Tensor:
    """Return the softmax over the last axis: 0 where not valid, and 0 everywhere if no entry is valid."""
    return torch.softmax(energy.masked_fill(~valid, torch.finfo(energy.dtype).min), -1) * valid


def clear_dates_first(series: Tensor, clear: Tensor) -> tuple[Tensor, Tensor]:
    """Move the clear dates of each pixel to the front, in order, so that a recurrent cell never reads a masked date.

    Parameters
    ----------
    series : (N, T, C)
    clear : bool (N, T)

    Returns
    -------
    series : (N, T, C), 0 after the last clear date
    clear : bool (N, T), in the same order
    """
    if not torch.compiler.is_exporting() and bool(clear.all()):
        return series, clear
    # The sort keys are unique: the order of equal keys would depend on the sorting algorithm.
    dates = torch.arange(clear.shape[1], device=clear.device)
    order = torch.where(clear, dates, dates + clear.shape[1]).argsort(dim=1)
    moved = series.gather(1, order[..., None].expand_as(series))
    clear = clear.gather(1, order)
    return moved * clear[..., None], clear


def last_clear(hidden: Tensor, clear: Tensor) -> Tensor:
    """Return the state (N, U) after the last clear date of `hidden` (N, T, U), whose clear dates come first.

    It is 0 for a pixel without a clear date.
    """
    last = (clear.sum(1) - 1).clamp_min(0)
    state = hidden.gather(1, last[:, None, None].expand(-1, 1, hidden.shape[2]))[:, 0]
    return state * clear.any(1)[:, None]


def season(days: Tensor, like: Tensor) -> Tensor:
    """Return sine and cosine of the day of the year: (B, T) → (B, T, 2, Y, X), with the last two axes of `like`."""
    cycle = waves(days, 1).to(like.dtype)
    return cycle[..., None, None].expand(*cycle.shape, *like.shape[-2:])


def waves(days: Tensor, harmonics: int = HARMONICS) -> Tensor:
    """Return the sines, then the cosines, of the harmonics of the day of the year: (B, T) → (B, T, 2 · harmonics)."""
    angle = (days % YEAR)[..., None] * (torch.arange(1, harmonics + 1, device=days.device) * (2 * math.pi / YEAR))
    return torch.cat([angle.sin(), angle.cos()], -1)


class DayPosition(nn.Module):
    """Sinusoidal encoding of the days since the first date, the same for each head, as in L-TAE: (B, T) → (B, T, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, share = heads, width // heads
        self.rates: Tensor
        self.register_buffer("rates", PERIOD ** (-2 * (torch.arange(share) // 2) / share), persistent=False)

    def forward(self, days: Tensor) -> Tensor:
        """Return the encoding."""
        angle = (days - days[:, :1]).to(self.rates.dtype)[..., None] * self.rates
        even = torch.arange(len(self.rates), device=days.device) % 2 == 0
        return torch.where(even, angle.sin(), angle.cos()).repeat(1, 1, self.heads)


PixelFunction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Series (N, T, C), clear (N, T) and days (N, T) → features (N, F)."""


def over_pixels(
    function: PixelFunction, tensor: SourceTensor, spec: InputSpec, shape: tuple[int, int], hidden: int, waves: bool
) -> Tensor:
    """Apply a network of single pixels to a window; return features (B, F, Y, X).

    Parameters
    ----------
    hidden
        Hidden values per date in `function`. It sets how many pixels are computed at a time outside training.
    waves
        Append sine and cosine of the day of the year to the bands of each date.
    """
    values, valid = at_map_pixels(tensor, spec, shape)
    if waves:
        values = torch.cat([values, season(tensor.days, values)], 2)
    return in_pixels(function, values, valid, tensor.days, hidden)


def in_pixels(function: PixelFunction, values: Tensor, valid: Tensor, days: Tensor, hidden: int) -> Tensor:
    """Apply a network of single pixels to (B, T, C, Y, X), its mask and its days; return features (B, F, Y, X)."""
    b, t, c, *shape = values.shape
    series = values.permute(0, 3, 4, 1, 2).reshape(-1, t, c)
    clear = valid.permute(0, 2, 3, 1).reshape(-1, t)
    repeated = days[:, None].expand(-1, shape[0] * shape[1], -1).reshape(-1, t)
    if torch.is_grad_enabled() or torch.compiler.is_exporting():
        features = function(series, clear, repeated)
    else:
        rows = max(1, ELEMENTS // (t * max(hidden, c)))
        parts = zip(*(torch.split(x, rows) for x in (series, clear, repeated)), strict=True)
        features = torch.cat([function(*part) for part in parts])
    return features.reshape(b, *shape, -1).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Part:
    """A source that the network reads as whole patches."""

    tensor: SourceTensor
    footprint: Footprint
    spec: InputSpec


def by_patches(function: Callable[..., Tensor], parts: Sequence[Part], shape: tuple[int, int], hidden: int) -> Tensor:
    """Apply a network of patches at every position of a window, a few rows of positions at a time.

    This is for networks that pad inside the patch and therefore have no exact dense form. `function` takes the values
    (N, T, C, S, S) and the validity (N, T, S, S) of each part in turn, and returns features (N, F).

    Parameters
    ----------
    hidden
        Largest number of hidden values per position in `function`.

    Returns
    -------
    features : (B, F, Y, X)
    """
    ratios = {part.spec.ratio.coarser for part in parts}
    coarser = ratios.pop() if len(ratios) == 1 else 1  # all positions of a coarse pixel have the same patches
    rows, columns = (-(-n // coarser) for n in shape)
    batch = parts[0].tensor.values.shape[0]
    whole = torch.is_grad_enabled() or torch.compiler.is_exporting()
    step = rows if whole else max(1, ELEMENTS // max(1, hidden * columns * batch))
    values = [part.tensor.masked() for part in parts]
    lines = []
    for y in range(0, rows, step):
        ys, xs = (torch.arange(a, b) * coarser for a, b in ((y, min(y + step, rows)), (0, columns)))
        taken = (_patches(part, whole, ys, xs) for part, whole in zip(parts, values, strict=True))
        features = function(*(tensor for pair in taken for tensor in pair))
        lines.append(features.reshape(batch, len(ys), columns, -1))
    return repeat_to(torch.cat(lines, 1).permute(0, 3, 1, 2), Ratio(coarser=coarser), shape)


def _patches(part: Part, values: Tensor, ys: Tensor, xs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the patches of the positions ys x xs: values (B·Y·X, T, C, S, S) and valid (B·Y·X, T, S, S)."""
    size, ratio, valid = part.footprint.size, part.spec.ratio, part.tensor.valid
    if values.shape[-2:] == (size, size) and len(ys) * len(xs) == 1:
        return values, valid
    rows, columns = ((at * ratio.finer // ratio.coarser) for at in (ys, xs))
    first, last = int(rows[0]), int(rows[-1]) + size
    place = (rows[:, None] - first, columns[None])
    taken = values[..., first:last, :].unfold(-2, size, 1).unfold(-2, size, 1)[(..., *place, slice(None), slice(None))]
    seen = valid[..., first:last, :].unfold(-2, size, 1).unfold(-2, size, 1)[(..., *place, slice(None), slice(None))]
    t, c = values.shape[1:3]
    return (
        taken.permute(0, 3, 4, 1, 2, 5, 6).reshape(-1, t, c, size, size),
        seen.permute(0, 2, 3, 1, 4, 5).reshape(-1, t, size, size),
    )
