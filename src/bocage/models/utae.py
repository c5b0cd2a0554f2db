"""U-TAE: a U-Net whose encoder sees each date, with the temporal attention of the lowest resolution at all resolutions.

Garnot & Landrieu 2021, "Panoptic Segmentation of Satellite Image Time Series with Convolutional Temporal Attention Networks",
doi:10.1109/ICCV48922.2021.00483; layer sizes after the released code (github.com/VSainteuf/utae-paps). Departures: batch
normalisation replaces the group normalisation of the encoder, whose statistics are those of an image, so that a map does not
depend on its windows; the group normalisations of the attention are computed at each position and date; the keys have no bias,
which cancels in the softmax; days are counted from the first date of the series; the class scores have no normalisation and no
ReLU, which can suppress a class for ever; masks are those of the pixels, not of whole dates: a date gets attention 0 where all
pixels of a coarse cell are masked, and weight 0 at each masked pixel of the skip connections, whose other weights then sum to 1.

::

    dates (B · T, C, Y, X) → 2 × 3×3, 64 ────────────────→ Σ a_t x_t → 1×1 ─→ concatenate → 3×3, 32 (+ 3×3) → 3×3, 32 → 3×3, K
                               └ 4×4 / 2 → 3×3, 64 (+ 3×3) ────→ Σ a_t x_t → 1×1 → … ┘
                                    └ … 128 at 1/8 → L-TAE, 16 heads: features 128, attention a (heads, T, Y/8, X/8)
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.models.base import SourceTensor, choose
from bocage.models.card import InputSpec
from bocage.models.layers import DayPosition, PositionNorm, masked_softmax, norm_of
from bocage.models.segmenting import Segmenting, halves
from bocage.models.settings.utae import CARD, Config

__all__ = ["CARD", "Config", "Model"]

REACH = 11
"""Halo in strides: the convolutions of all resolutions reach 10 · 2^n − 6 pixels with n poolings, and a pixel may be 2^n − 1
pixels from the border of its cell."""
KEPT = 1 << 27
"""Values of the first features of all dates, up to which they are kept for the skip connections: 512 MiB in float32. Outside
training, the features of larger windows are computed again, date by date."""


class _Conv(nn.Sequential):
    """Convolution with reflected borders, normalisation, ReLU."""

    def __init__(
        self, inside: int, outside: int, norm: Callable[[int], nn.Module], kernel: int = 3, stride: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(inside, outside, kernel, stride, 1, padding_mode="reflect"), norm(outside), nn.ReLU()
        )


class _Residual(nn.Module):
    """A convolution, and a second one whose output is added."""

    def __init__(self, inside: int, outside: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.first, self.second = _Conv(inside, outside, norm), _Conv(outside, outside, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(B, Cin, Y, X) → (B, Cout, Y, X)."""
        x = self.first(x)
        total: Tensor = x + self.second(x)
        return total


class Up(nn.Module):
    """Doubles the resolution, and joins the features of the skip connection."""

    def __init__(self, inside: int, outside: int, skipped: int) -> None:
        super().__init__()
        self.skip = nn.Sequential(nn.Conv2d(skipped, skipped, 1), nn.BatchNorm2d(skipped), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose2d(inside, outside, 4, 2, 1), nn.BatchNorm2d(outside), nn.ReLU())
        self.joined = _Residual(outside + skipped, outside, nn.BatchNorm2d)

    def forward(self, x: Tensor, skipped: Tensor) -> Tensor:
        """(B, Cin, Y, X), (B, Cskip, 2 Y, 2 X) → (B, Cout, 2 Y, 2 X)."""
        joined: Tensor = self.joined(torch.cat([self.up(x), self.skip(skipped)], 1))
        return joined


class TemporalAttention(nn.Module):
    """L-TAE at each position of the lowest resolution."""

    def __init__(self, channels: int, config: Config) -> None:
        super().__init__()
        heads, width = config.heads, config.width
        self.norm = PositionNorm(channels, heads)
        self.embed = nn.Linear(channels, width)
        self.keys = nn.Linear(width, heads * config.keys, bias=False)
        self.query = nn.Parameter(torch.randn(heads, config.keys) * math.sqrt(2 / config.keys))
        self.dropped = nn.Dropout(config.dropout / 2)
        self.dense = nn.Sequential(
            nn.Linear(width, channels), nn.BatchNorm1d(channels), nn.ReLU(), nn.Dropout(config.dropout)
        )
        self.last = PositionNorm(channels, heads)
        self.position = DayPosition(width, heads)

    def forward(self, x: Tensor, valid: Tensor, days: Tensor) -> tuple[Tensor, Tensor]:
        """Attend to the dates.

        Parameters
        ----------
        x : (B, T, C, Y, X)
        valid : bool (B, T, Y, X)
        days : (B, T)

        Returns
        -------
        features : (B, C, Y, X)
        attention : (B, heads, T, Y, X)
        """
        b, t, c, rows, columns = x.shape
        n, (heads, size) = b * rows * columns, self.query.shape
        series = self.norm(x.permute(0, 3, 4, 1, 2).reshape(n * t, c)).reshape(n, t, c)
        series = self.embed(series) + self.position(days)[:, None].expand(-1, rows * columns, -1, -1).flatten(0, 1)
        energy = torch.einsum("nthk,hk->nht", self.keys(series).unflatten(2, (heads, size)), self.query) / math.sqrt(
            size
        )
        clear = valid.permute(0, 2, 3, 1).reshape(n, 1, t).expand(-1, heads, -1)
        weight = self.dropped(masked_softmax(energy, clear))
        pooled = torch.einsum("nht,nthd->nhd", weight, series.unflatten(2, (heads, -1)))
        features = self.last(self.dense(pooled.flatten(1)))
        place = (b, rows, columns)
        return features.unflatten(0, place).permute(0, 3, 1, 2), weight.unflatten(0, place).permute(0, 3, 4, 1, 2)


class Model(Segmenting):
    """The network."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        stride = 2 ** (len(config.encoder) - 1)
        super().__init__(choose(inputs, config.source, "series", "utae", "source"), stride, REACH * stride)
        encoder, decoder, bands = config.encoder, config.decoder, len(self.spec.bands)

        def norm(channels: int) -> nn.Module:
            return norm_of(config.norm, channels, 2)

        self.width = encoder[0]
        first = nn.Sequential(_Conv(bands, encoder[0], norm), _Conv(encoder[0], encoder[0], norm))
        self.down = nn.ModuleList([first])
        for inside, outside in pairwise(encoder):
            self.down.append(nn.Sequential(_Conv(inside, inside, norm, 4, 2), _Residual(inside, outside, norm)))
        self.attention_of = TemporalAttention(encoder[-1], config)
        widths = zip(decoder[1:], decoder[:-1], encoder[:-1], strict=True)
        self.up = nn.ModuleList(Up(inside, outside, skipped) for inside, outside, skipped in widths)
        last = nn.Conv2d(config.output, n_classes, 3, padding=1, padding_mode="reflect")
        self.head = nn.Sequential(_Conv(decoder[0], config.output, nn.BatchNorm2d), last)

    def segment(self, tensor: SourceTensor) -> Tensor:
        """Return the logits (B, K, Y, X) of each pixel of the source."""
        values, seen = tensor.values, halves(tensor.valid, len(self.down))
        b, dates = values.shape[:2]
        at_once = torch.is_grad_enabled() or torch.compiler.is_exporting()
        if at_once or values[:, :, 0].numel() * self.width <= KEPT:
            kept = [maps.reshape(b, dates, *maps.shape[1:]) for maps in self._encode(values.flatten(0, 1))]
            x, attention = self.attention_of(kept.pop(), seen[-1], tensor.days)
            skipped = [_pooled(maps, attention, mask) for maps, mask in zip(kept, seen, strict=False)]
        else:
            lowest = torch.stack([self._encode(values[:, t])[-1] for t in range(dates)], 1)
            x, attention = self.attention_of(lowest, seen[-1], tensor.days)
            skipped = _pooled_by_date(lambda t: self._encode(values[:, t])[:-1], attention, seen)
        for up in reversed(self.up):
            x = up(x, skipped.pop())
        logits: Tensor = self.head(x)
        return logits

    def _encode(self, x: Tensor) -> list[Tensor]:
        """Return the features of images (N, C, Y, X) at each resolution, from the highest."""
        found = []
        for convolutions in self.down:
            x = convolutions(x)
            found.append(x)
        return found


def _pooled(maps: Tensor, attention: Tensor, seen: Tensor) -> Tensor:
    """Return the features of all dates, weighted by the attention: (B, C, Y, X).

    Parameters
    ----------
    maps : (B, T, C, Y, X)
    attention : (B, heads, T, y, x), at the lowest resolution
    seen
        bool (B, T, Y, X); a masked pixel has the weight 0.
    """
    b, heads, t = attention.shape[:3]
    wide = _widened(attention.flatten(1, 2), maps).reshape(b, heads, t, *maps.shape[3:])
    weight = wide * seen[:, None]
    total = torch.einsum("bhtyx,bthcyx->bhcyx", weight, maps.reshape(b, t, heads, -1, *maps.shape[3:]))
    return _mean(total, weight.sum(2)[:, :, None])


def _pooled_by_date(date: Callable[[int], list[Tensor]], attention: Tensor, seen: Sequence[Tensor]) -> list[Tensor]:
    """Return :func:`_pooled` at each resolution but the lowest, from the features (B, C, Y, X) of one date at a time."""
    heads, dates = attention.shape[1:3]
    totals: list[Tensor] = []
    weights: list[Tensor] = []
    for t in range(dates):
        for level, maps in enumerate(date(t)):
            weight = (_widened(attention[:, :, t], maps) * seen[level][:, t, None])[:, :, None]
            term = maps.reshape(maps.shape[0], heads, -1, *maps.shape[2:]) * weight
            if t:
                totals[level], weights[level] = totals[level] + term, weights[level] + weight
            else:
                totals.append(term)
                weights.append(weight)
    return [_mean(total, weight) for total, weight in zip(totals, weights, strict=True)]


def _widened(attention: Tensor, maps: Tensor) -> Tensor:
    """Return maps of attention (B, N, y, x) at the resolution of `maps`."""
    return functional.interpolate(attention, maps.shape[-2:], mode="bilinear", align_corners=False)


def _mean(total: Tensor, weight: Tensor) -> Tensor:
    """Return weighted means (B, C, Y, X) from sums (B, heads, C / heads, Y, X) and weights; 0 without a weight."""
    return (total / weight.clamp_min(1e-6)).flatten(1, 2)
