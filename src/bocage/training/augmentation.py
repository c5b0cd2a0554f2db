"""Data augmentation of training samples: rotations and reflections, temporal shifts, masked dates, cut-offs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.models import Batch, InputSpec, SourceTensor
from bocage.samples import AnyCut

NEVER = np.iinfo(np.int64).max
"""Day of the first valid date of a series without one."""


@dataclass(frozen=True)
class Augmentation:
    """Settings of the augmentation; random values are drawn for each sample separately."""

    turns: bool = False
    """Apply one of the eight symmetries of the square, the same for all sources."""
    jitter: int = 0
    """Maximum temporal shift, earlier or later, in days."""
    date_dropout: float = 0.0
    """Maximum share of masked dates; the share of each sample is drawn between 0 and this value. One valid date remains."""
    cutoff: float = 0.0
    """Probability that the dates of a sample after a random day are masked, the same day for all its series."""
    each_series: bool = False
    """Whether every series keeps a valid date at a cut-off; otherwise one of them does."""
    gridded: Mapping[str, int] = field(default_factory=dict)
    """Source with regular dates → step between them in calendar days: a shift moves its values to neighbouring dates. For other
    sources, it changes the days."""


NONE = Augmentation()


def gridded(inputs: Mapping[str, InputSpec], cuts: Mapping[str, AnyCut]) -> dict[str, int]:
    """Return source with regular dates → step between its first two dates in calendar days, at least 1."""
    dates = {name: cuts[name].dates for name, spec in inputs.items() if spec.regular and name in cuts}
    return {name: max(1, int(own[1] - own[0])) if len(own) > 1 else 1 for name, own in dates.items()}


def augmented(batch: Batch, how: Augmentation, generator: np.random.Generator) -> Batch:
    """Return a batch in which every sample is augmented."""
    n = len(next(iter(batch.values())).values)
    symmetry = generator.integers(8, size=n) if how.turns else np.zeros(n, np.int64)
    shift = generator.integers(-how.jitter, how.jitter + 1, size=n) if how.jitter else np.zeros(n, np.int64)
    result = {}
    for name, tensor in batch.items():
        done = turned(tensor, symmetry) if symmetry.any() else tensor
        if done.days.shape[1] > 1:
            done = shifted(done, shift, how.gridded.get(name, 0)) if shift.any() else done
            done = thinned(done, how.date_dropout, generator) if how.date_dropout else done
        result[name] = done
    return result


def turned(tensor: SourceTensor, symmetry: NDArray[np.int64]) -> SourceTensor:
    """Rotate each sample by ``symmetry % 4`` quarter turns; if ``symmetry`` is 4 or more, also flip it left to right."""
    if tensor.values.shape[-1] == 1:
        return tensor
    values, valid = tensor.values.numpy().copy(), tensor.valid.numpy().copy()
    for k in range(1, 8):
        rows = np.flatnonzero(symmetry == k)
        for array in (values, valid):
            part = np.rot90(array[rows], k % 4, (-2, -1))
            array[rows] = part[..., ::-1] if k > 3 else part
    return SourceTensor(torch.from_numpy(values), torch.from_numpy(valid), tensor.days)


def shifted(tensor: SourceTensor, shift: NDArray[np.int64], step: int = 0) -> SourceTensor:
    """Shift the series of each sample by ``shift`` days; with regular dates, the first and the last date are repeated.

    `step` is the number of calendar days between two regular dates; 0: the dates are not regular. The days of the tensor may be
    thermal days, which are not as far apart.
    """
    days = tensor.days.numpy()
    if not step:
        later = (days + shift[:, None]).astype(np.int32)
        return SourceTensor(tensor.values, tensor.valid, torch.from_numpy(later))
    dates = days.shape[1]
    steps = np.rint(shift / step).astype(np.int64)
    source = np.clip(np.arange(dates) - steps[:, None], 0, dates - 1)
    rows = np.arange(len(days))[:, None]
    return SourceTensor(tensor.values[rows, source], tensor.valid[rows, source], tensor.days)


def thinned(tensor: SourceTensor, most: float, generator: np.random.Generator) -> SourceTensor:
    """Mask a share of the dates of each sample, drawn between 0 and `most`; one valid date remains."""
    valid, (n, dates) = tensor.valid.numpy(), tensor.days.shape
    rank = generator.random((n, dates)) + ~valid.any((2, 3))  # 1 or more for dates without valid pixels
    hidden = rank < generator.random((n, 1)) * most
    hidden[np.arange(n), np.where(rank < 1, rank, -1).argmax(1)] = False
    kept = torch.from_numpy(valid & ~hidden[:, :, None, None])
    return SourceTensor(tensor.values * kept[:, :, None], kept, tensor.days)


def cut_off(
    batch: Batch, dates: Mapping[str, NDArray[np.int32]], how: Augmentation, generator: np.random.Generator
) -> Batch:
    """Mask, in some samples, the acquisition dates of all series after a day between the first and the last date.

    The day is not before the first valid date of the sample: at least one valid date remains, or one of each series with
    ``each_series``. Images of one date and ``gridded`` sources (earlier years, for example) are not masked.

    Parameters
    ----------
    dates
        Source → calendar days since 1970-01-01 of each sample (B, T).
    """
    series = [name for name, tensor in batch.items() if tensor.days.shape[1] > 1 and name not in how.gridded]
    if not series:
        return batch
    every = np.concatenate([dates[name] for name in series], 1)
    first, last = every.min(1), every.max(1)
    chosen = generator.random(len(first)) < how.cutoff
    day = np.where(chosen, generator.integers(first, last + 1), last)
    begins = np.stack([_first_valid(batch[name], dates[name]) for name in series])
    # A series that is never valid cannot keep a date.
    needed = np.where(begins == NEVER, -1, begins).max(0) if how.each_series else begins.min(0)
    day = np.maximum(day, np.where(needed == NEVER, -1, needed))
    return {name: _until(tensor, dates[name], day) if name in series else tensor for name, tensor in batch.items()}


def _first_valid(tensor: SourceTensor, dates: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the day of the first date with a valid pixel of each sample (B,); ``NEVER`` without one."""
    return np.asarray(np.where(tensor.valid.numpy().any((2, 3)), dates, NEVER).min(1))


def _until(tensor: SourceTensor, dates: NDArray[np.int32], day: NDArray[np.int64]) -> SourceTensor:
    """Mask the dates of each sample after its day (B,)."""
    kept = tensor.valid & torch.from_numpy(dates <= day[:, None])[:, :, None, None]
    return SourceTensor(tensor.values * kept[:, :, None], kept, tensor.days)
