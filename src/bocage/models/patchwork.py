"""Patchwork: Bocage's own network, for any mixture of sources, each on its own grid and dates, with any gaps.

Temporal attention in the manner of Garnot & Landrieu 2020 (L-TAE, arXiv 2007.00586), with learnt queries, masked dates and
a code of the acquisition's day of the year; auxiliary heads in that of DualNet (Hou, Liu & Wang, ICCV 2017). Dates and whole
sources are hidden at random while it learns, so that it knows how to do without.

Masks: dates that are not valid get no attention; a source without any valid date at a map pixel, or not given at all, is
replaced by a learnt vector.

::

    series (B, T, C, Y, X) → pixels → C → W, + day → W → W = h        a_k = softmax over valid dates of h · q_k
                                                       └→ p_k = Σ a_k h → V_k p_k (W / heads each) → W ─┐
    image  (B, 1, C, Y, X) → 3×3, 3×3 (unpadded) → mean and max of a map pixel → W ─────────────────────┤
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
    Batch,
    Card,
    Criterion,
    Footprint,
    InputSpec,
    SourceTensor,
    at_map_pixels,
    output_shape,
    pixel_footprint,
    repeat_to,
)
from bocage.models.gru import S2
from bocage.models.heads import Linear
from bocage.models.layers import Conv, masked_softmax, waves
from bocage.models.multiresolcc import PAN
from bocage.models.ranges import at_least, shares
from bocage.models.twinns import S1

HARMONICS = 4
"""Waves of the day code: a year, and its halves, thirds and quarters."""
REACH = 2
"""Pixels of an image that its two convolutions see around a map pixel."""
AT_A_TIME = 1 << 19
"""Hidden values computed at a time outside training: 2 MiB, which stay in a core's cache."""
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
    auxiliary: float = 0.3
    """Weight of the losses of the heads that see one source each; 0 for none."""
    date_dropout: float = 0.4
    """Most of a series' dates hidden while training: each sample loses a share between 0 and this; 0 to 1."""
    sensor_dropout: float = 0.3
    """Share of samples from which a source is hidden while training (never all of them), 0 to 1."""
    dropout: float = 0.1
    """Share of the fused features dropped while training, 0 to 1."""

    def __post_init__(self) -> None:
        at_least(self, filters=1, auxiliary=0)
        shares(self, "dropout", "date_dropout", "sensor_dropout")


class SeriesEncoder(nn.Module):
    """Series → a vector per map pixel, by masked attention over dates."""

    def __init__(self, spec: InputSpec, width: int, heads: int) -> None:
        super().__init__()
        self.spec, self.footprint, self.width = spec, pixel_footprint(spec), width
        self.bands = nn.Linear(len(spec.bands), width)
        self.day = nn.Linear(2 * HARMONICS, width, bias=False)
        self.mix = nn.Linear(width, width)
        self.queries = nn.Linear(width, heads, bias=False)  # a bias would cancel in the softmax
        self.values = nn.Parameter(torch.randn(heads, width, width // heads) / math.sqrt(width))
        self.norm = nn.LayerNorm(width)

    def forward(self, tensor: SourceTensor, shape: tuple[int, int], hide: float) -> tuple[Tensor, Tensor]:
        """Return vectors (B, Y, X, W) and where there is one (B, Y, X); up to `hide` of the dates are hidden at random."""
        values, valid = at_map_pixels(tensor, self.spec, shape)
        b, t, c, y, x = values.shape
        series = values.permute(0, 3, 4, 1, 2).reshape(b, y * x, t, c)
        clear = valid.permute(0, 2, 3, 1).reshape(b, y * x, t)
        if hide:
            clear = _without_dates(clear, hide)
        days = self.day(waves(tensor.days, HARMONICS).to(values.dtype))[:, None]
        if torch.is_grad_enabled() or torch.compiler.is_exporting():
            found = self._pixels(series, clear, days)
        else:
            step = max(1, AT_A_TIME // (b * t * self.width))
            parts = zip(torch.split(series, step, 1), torch.split(clear, step, 1), strict=True)
            found = torch.cat([self._pixels(part, seen, days) for part, seen in parts], 1)
        return found.reshape(b, y, x, self.width), clear.any(2).reshape(b, y, x)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        """(B, P, T, C), (B, P, T) and the dates' codes (B, 1, T, W) → (B, P, W)."""
        hidden = functional.relu(self.bands(series).add_(days), inplace=True)
        hidden = functional.relu(self.mix(hidden), inplace=True)
        weight = masked_softmax(self.queries(hidden).transpose(2, 3), clear[:, :, None])
        pooled = torch.einsum("bpht,bptw->bphw", weight, hidden)
        normed: Tensor = self.norm(torch.einsum("bphw,hwv->bphv", pooled, self.values).flatten(2))
        return normed


class ImageEncoder(nn.Module):
    """Image → a vector per map pixel: two unpadded convolutions, then mean and maximum over the map pixel."""

    def __init__(self, spec: InputSpec, width: int, filters: tuple[int, int]) -> None:
        super().__init__()
        self.spec, self.width = spec, width
        self.footprint = Footprint(spec.ratio.finer + 2 * REACH, REACH)
        self.conv1 = Conv(len(spec.bands) + 1, filters[0], 3, "batch")
        self.conv2 = Conv(filters[0], filters[1], 3, "batch")
        self.project = nn.Linear(2 * filters[1], width)
        self.norm = nn.LayerNorm(width)

    def forward(self, tensor: SourceTensor, shape: tuple[int, int], hide: float) -> tuple[Tensor, Tensor]:
        """Return vectors (B, Y, X, W) and where there is one (B, Y, X); an image has no dates to hide."""
        side, valid = self.spec.ratio.finer, tensor.valid[:, :1].to(tensor.values.dtype)
        pixels = torch.cat([tensor.masked()[:, 0], valid], 1).contiguous(memory_format=torch.channels_last)
        x = self.conv2(self.conv1(pixels))
        both = torch.cat([functional.avg_pool2d(x, side), functional.max_pool2d(x, side)], 1)
        vectors = self.norm(self.project(both.permute(0, 2, 3, 1)))
        seen = functional.max_pool2d(valid[..., REACH:-REACH, REACH:-REACH], side) > 0
        ratio = self.spec.ratio
        return (
            repeat_to(vectors.permute(0, 3, 1, 2), ratio, shape).permute(0, 2, 3, 1),
            repeat_to(seen, ratio, shape)[:, 0],
        )


class Model(nn.Module):
    """The network under the contract of every network."""

    any_source = True
    """One source at a pixel is enough to classify it."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        if unknown := [name for name in config.sources if name not in inputs]:
            raise ModelError(f"patchwork: no source is called '{unknown[0]}'; there are {', '.join(inputs)}.")
        width, heads = WIDTHS[config.preset]
        self.inputs = {name: inputs[name] for name in config.sources or inputs}
        self.encoders = nn.ModuleDict(
            {
                name: SeriesEncoder(spec, width, heads) if spec.dates > 1 else ImageEncoder(spec, width, config.filters)
                for name, spec in self.inputs.items()
            }
        )
        self.footprints: dict[str, Footprint] = {name: e.footprint for name, e in self.encoders.items()}  # type: ignore[misc]
        self.config = config
        self.missing = nn.ParameterDict(
            {name: torch.zeros(width) for name in self.inputs} if len(self.inputs) > 1 else {}
        )
        self.project = nn.ModuleDict({name: nn.Linear(width, width, bias=False) for name in self.inputs})
        self.fuse = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU(), nn.Dropout(config.dropout))
        self.head = Linear(width, n_classes)
        several = len(self.inputs) > 1 and config.auxiliary > 0
        self.parts = nn.ModuleDict({name: Linear(width, n_classes) for name in self.inputs if several})

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        return self._classify(self._encode(batch))

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss, with those of the heads of single sources, on samples that have the source."""
        found = self._encode(batch)
        total = criterion(self._classify(found)[:, :, 0, 0], labels)
        for name, head in self.parts.items():
            vectors, seen = found[name]
            there = seen[:, 0, 0]
            if there.any():
                logits = head(vectors.movedim(-1, 1))[:, :, 0, 0]
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
        found = {name: self.encoders[name](batch[name], shape, hide) for name in given}
        if self.training and self.config.sensor_dropout:
            seen = _without_sources(torch.stack([seen for _, seen in found.values()]), self.config.sensor_dropout)
            found = {name: (vectors, seen[i]) for i, (name, (vectors, _)) in enumerate(found.items())}
        return found

    def _classify(self, found: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        logits: Tensor = self.head(self.fuse(sum(self._terms(found))).movedim(-1, 1))
        return logits

    def _terms(self, found: Mapping[str, tuple[Tensor, Tensor]]) -> Iterator[Tensor]:
        """What each source adds to the fused vector, (B, Y, X, W) or (W,)."""
        for name in self.inputs:
            instead = self.missing[name] if len(self.missing) else None
            if name not in found:
                assert instead is not None
                yield instead
                continue
            vectors, seen = found[name]
            term = self.project[name](vectors)
            yield torch.where(seen[..., None], term, torch.zeros_like(term) if instead is None else instead)


def _without_dates(clear: Tensor, most: float) -> Tensor:
    """Hide a share of the dates (B, P, T) of every sample, drawn between 0 and `most`; where that leaves none, hide none."""
    b, _, t = clear.shape
    share = torch.rand(b, 1, 1, device=clear.device) * most
    kept = clear & (torch.rand(b, 1, t, device=clear.device) >= share)
    return torch.where(kept.any(2, keepdim=True), kept, clear)


def _without_sources(seen: Tensor, share: float) -> Tensor:
    """Hide sources (S, B, Y, X) from a share of the samples; where that leaves none, hide none."""
    kept = seen & (torch.rand(*seen.shape[:2], 1, 1, device=seen.device) >= share)
    return torch.where(kept.any(0, keepdim=True), kept, seen)
