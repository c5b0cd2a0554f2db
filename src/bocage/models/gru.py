"""GRU with softmax attention on one series: the temporal branch of M3Fusion.

Benedetti et al. 2018, "M3Fusion: A Deep Learning Architecture for Multiscale Multimodal Multitemporal Satellite Data
Fusion", doi:10.1109/JSTARS.2018.2876357 (arXiv 1803.01945). Departures: masked dates are skipped exactly (the state
is carried over them and they get no attention), and with native dates two inputs tell the day of the year. PyTorch's
cell has a second, redundant bias: 3 072 parameters more than the paper's at 1024 units.

::

    s2 (B, T, C, Y, X) → pixels (N, T, C) → GRU → H (N, T, U)
                                             │     e_t = tanh(H_t W + b) · u,  a = softmax over dates
                                             └──→ Σ a_t H_t (N, U) → dropout → linear → (B, K, Y, X)
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from bocage.errors import ModelError
from bocage.models.base import Batch, Footprint, InputSpec, at_map_pixels, output_shape, pixel_footprint

ELEMENTS = 1 << 24
"""Hidden values held at a time outside training: 64 MiB in float32."""


@dataclass(frozen=True)
class Config:
    """Settings of the network; `units` is the published number, `dropout` that of a public port (the paper's is not known)."""

    source: str = ""
    """The series used; empty takes the only one there is."""
    units: int = 1024
    """Hidden units of the GRU and of the attention, at least 1."""
    dropout: float = 0.4
    """Share of the features dropped before the classifier while training, 0 to 1."""
    day_of_year: Literal["auto", "yes", "no"] = "auto"
    """Append its sine and cosine to every date; "auto" does so for native (irregular) dates."""

    def __post_init__(self) -> None:
        if self.units < 1:
            raise ValueError(f"'units' is at least 1; found {self.units}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"'dropout' lies between 0 and 1; found {self.dropout}")


class Attention(nn.Module):
    """Softmax over the dates of ``tanh(H W + b) · u``; dates that are not valid weigh nothing."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.project = nn.Linear(units, units)
        self.score = nn.Parameter(torch.randn(units) * 0.1)
        nn.init.normal_(self.project.weight, std=0.1 if units >= 256 else 1 / math.sqrt(units))
        nn.init.zeros_(self.project.bias)

    def forward(self, hidden: Tensor, valid: Tensor) -> Tensor:
        """Hidden (N, T, U), valid (N, T) → features (N, U)."""
        energy = torch.tanh(self.project(hidden)) @ self.score
        energy = energy.masked_fill(~valid, torch.finfo(energy.dtype).min)
        weight = torch.softmax(energy, 1) * valid
        return torch.einsum("nt,ntu->nu", weight, hidden)


class Model(nn.Module):
    """The network under the contract of every network; its footprint is the pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        spec = _choose(inputs, config.source)
        self.inputs = {spec.name: spec}
        self.spec = spec
        self.footprints: dict[str, Footprint] = {spec.name: pixel_footprint(spec)}
        self.day_of_year = config.day_of_year == "yes" or (config.day_of_year == "auto" and not spec.regular)
        self.gru = nn.GRU(len(spec.bands) + 2 * self.day_of_year, config.units, batch_first=True)
        self.attention = Attention(config.units)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.units, n_classes)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        shape = output_shape(batch, self.footprints, self.inputs)
        tensor = batch[self.spec.name]
        values, valid = at_map_pixels(tensor, self.spec, shape)
        if self.day_of_year:
            values = torch.cat([values, _season(tensor.days, values)], 2)
        b, t, c = values.shape[:3]
        series = values.permute(0, 3, 4, 1, 2).reshape(-1, t, c)
        clear = valid.permute(0, 2, 3, 1).reshape(-1, t)
        logits = self._in_chunks(series, clear)
        return logits.reshape(b, *shape, -1).permute(0, 3, 1, 2)

    def _in_chunks(self, series: Tensor, clear: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return self._classify(series, clear)
        rows = max(1, ELEMENTS // (series.shape[1] * self.gru.hidden_size))
        parts = zip(torch.split(series, rows), torch.split(clear, rows), strict=True)
        return torch.cat([self._classify(s, c) for s, c in parts])

    def _classify(self, series: Tensor, clear: Tensor) -> Tensor:
        series, clear = _clear_dates_first(series, clear)
        hidden, _ = self.gru(series)
        features: Tensor = self.attention(hidden, clear)
        logits: Tensor = self.head(self.dropout(features))
        return logits


def _choose(inputs: Mapping[str, InputSpec], wanted: str) -> InputSpec:
    if wanted and wanted not in inputs:
        raise ModelError(f"gru: no source is called '{wanted}'; there are {', '.join(inputs)}.")
    series = [spec for spec in inputs.values() if spec.dates > 1]
    if not wanted and len(series) != 1:
        raise ModelError(f"gru works on one series; found {len(series)}: say which with model.source.")
    return inputs[wanted] if wanted else series[0]


def _season(days: Tensor, like: Tensor) -> Tensor:
    angle = (days % 365.25) * (2 * math.pi / 365.25)
    waves = torch.stack([angle.sin(), angle.cos()], 2).to(like.dtype)
    return waves[..., None, None].expand(*waves.shape, *like.shape[-2:])


def _clear_dates_first(series: Tensor, clear: Tensor) -> tuple[Tensor, Tensor]:
    """Move every pixel's clear dates to the front, in order, so that the recurrence never sees a masked one."""
    if bool(clear.all()):
        return series, clear
    order = (~clear).to(torch.uint8).argsort(dim=1, stable=True)
    moved = series.gather(1, order[..., None].expand_as(series))
    clear = clear.gather(1, order)
    return moved * clear[..., None], clear
