"""Recurrent layers over dates: an encoder of single pixels with PyTorch's cells, and convolutional cells.

ConvGRU and ConvLSTM use padding, so that the states keep the size of the patch.

A date that is masked at a pixel leaves the state of that pixel unchanged.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.models.base import Batch, choose, pixel_footprint
from bocage.models.card import InputSpec
from bocage.models.heads import SourceEncoder
from bocage.models.layers import Attention, clear_dates_first, last_clear, over_pixels


class PixelEncoder(SourceEncoder):
    """Series → features of `units` per map pixel: the states of all dates weighed by attention, or the last one.

    Parameters
    ----------
    config
        Settings with the fields `source`, `units`, `dropout` and `day_of_year`.
    cell
        ``nn.GRU`` or ``nn.LSTM``.
    """

    def __init__(
        self, inputs: Mapping[str, InputSpec], config: Any, who: str, cell: type[nn.GRU | nn.LSTM], attention: bool
    ) -> None:
        super().__init__()
        self.spec = choose(inputs, config.source, "series", who, "source")
        self.footprint, self.width = pixel_footprint(self.spec), config.units
        self.day_of_year = config.day_of_year == "yes" or (config.day_of_year == "auto" and not self.spec.regular)
        self.cell = cell(len(self.spec.bands) + 2 * self.day_of_year, config.units, batch_first=True)
        self.attention = Attention(config.units) if attention else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, U, Y, X)."""
        tensor = batch[self.spec.name]
        return over_pixels(self._pixels, tensor, self.spec, shape, self.width, self.day_of_year)

    def _pixels(self, series: Tensor, clear: Tensor, days: Tensor) -> Tensor:
        series, clear = clear_dates_first(series, clear)
        hidden, _ = self.cell(series)
        features: Tensor = self.dropout(self.attention(hidden, clear) if self.attention else last_clear(hidden, clear))
        return features


class ConvGru(nn.Module):
    """Convolutional GRU (Ballas et al. 2016, arXiv 1511.06432) with one bias per gate."""

    def __init__(self, inside: int, units: int, kernel: int) -> None:
        super().__init__()
        pad = kernel // 2
        self.units = units
        self.inputs = nn.Conv2d(inside, 3 * units, kernel, padding=pad)
        self.gates = nn.Conv2d(units, 2 * units, kernel, padding=pad, bias=False)
        self.candidate = nn.Conv2d(units, units, kernel, padding=pad, bias=False)

    def forward(self, series: Tensor, valid: Tensor) -> Tensor:
        """Series (N, T, C, Y, X), 0 where not valid (N, T, Y, X) → states (N, T, U, Y, X)."""
        driven = self.inputs(series.flatten(0, 1)).unflatten(0, series.shape[:2])
        state = driven.new_zeros(series.shape[0], self.units, *series.shape[3:])
        states = []
        for drive, seen in zip(driven.unbind(1), valid.unbind(1), strict=True):
            to_gates, to_candidate = drive.split((2 * self.units, self.units), 1)
            reset, update = torch.sigmoid(to_gates + self.gates(state)).chunk(2, 1)
            new = torch.tanh(to_candidate + self.candidate(reset * state))
            state = torch.where(seen[:, None], update * state + (1 - update) * new, state)
            states.append(state)
        return torch.stack(states, 1)


class ConvLstm(nn.Module):
    """Convolutional LSTM (Shi et al. 2015, arXiv 1506.04214), without peepholes."""

    def __init__(self, inside: int, units: int, kernel: int) -> None:
        super().__init__()
        pad = kernel // 2
        self.units = units
        self.inputs = nn.Conv2d(inside, 4 * units, kernel, padding=pad)
        self.states = nn.Conv2d(units, 4 * units, kernel, padding=pad, bias=False)

    def forward(self, series: Tensor, valid: Tensor) -> Tensor:
        """Series (N, T, C, Y, X), 0 where not valid (N, T, Y, X) → last state (N, U, Y, X)."""
        driven = self.inputs(series.flatten(0, 1)).unflatten(0, series.shape[:2])
        state: Tensor = driven.new_zeros(series.shape[0], self.units, *series.shape[3:])
        memory = state
        for drive, valid_now in zip(driven.unbind(1), valid.unbind(1), strict=True):
            into, keep, out, new = (drive + self.states(state)).chunk(4, 1)
            written = torch.sigmoid(keep) * memory + torch.sigmoid(into) * torch.tanh(new)
            seen = valid_now[:, None]
            memory = torch.where(seen, written, memory)
            state = torch.where(seen, torch.sigmoid(out) * torch.tanh(memory), state)
        return state


def mean_over(features: Tensor, side: int) -> Tensor:
    """Return the mean of (B, F, Y, X) over `side` x `side` pixels, with stride 1."""
    return features if side == 1 else functional.avg_pool2d(features, side, stride=1)
