"""Random changes of training samples: turns, shifts of the season, hidden dates."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.models import Batch, SourceTensor


@dataclass(frozen=True)
class Augmentation:
    """What is done to training samples at random, each sample on its own."""

    turns: bool = False
    """One of the eight symmetries of the square, the same for all sources."""
    jitter: int = 0
    """Most days by which a season is moved, earlier or later."""
    date_dropout: float = 0.0
    """Each sample loses a share of its dates, drawn between 0 and this; one date stays."""
    gridded: frozenset[str] = frozenset()
    """Sources on a grid of dates: a moved season moves their values to neighbouring dates. Others move their days."""


NONE = Augmentation()


def augmented(batch: Batch, how: Augmentation, generator: np.random.Generator) -> Batch:
    """Augment every sample of a batch."""
    n = len(next(iter(batch.values())).values)
    symmetry = generator.integers(8, size=n) if how.turns else np.zeros(n, np.int64)
    shift = generator.integers(-how.jitter, how.jitter + 1, size=n) if how.jitter else np.zeros(n, np.int64)
    found = {}
    for name, tensor in batch.items():
        done = turned(tensor, symmetry) if symmetry.any() else tensor
        if done.days.shape[1] > 1:
            done = shifted(done, shift, name in how.gridded) if shift.any() else done
            done = thinned(done, how.date_dropout, generator) if how.date_dropout else done
        found[name] = done
    return found


def turned(tensor: SourceTensor, symmetry: NDArray[np.int64]) -> SourceTensor:
    """Turn each sample by ``symmetry % 4`` quarters, and mirror it left to right from 4 on."""
    if tensor.values.shape[-1] == 1:
        return tensor
    values, valid = tensor.values.numpy().copy(), tensor.valid.numpy().copy()
    for k in range(1, 8):
        rows = np.flatnonzero(symmetry == k)
        for array in (values, valid):
            part = np.rot90(array[rows], k % 4, (-2, -1))
            array[rows] = part[..., ::-1] if k > 3 else part
    return SourceTensor(torch.from_numpy(values), torch.from_numpy(valid), tensor.days)


def shifted(tensor: SourceTensor, shift: NDArray[np.int64], gridded: bool) -> SourceTensor:
    """Let each sample's season come ``shift`` days later; the ends of a grid of dates repeat."""
    days = tensor.days.numpy()
    if not gridded:
        later = (days + shift[:, None]).astype(np.int32)
        return SourceTensor(tensor.values, tensor.valid, torch.from_numpy(later))
    dates = days.shape[1]
    steps = np.rint(shift / max(1, int(days[0, 1] - days[0, 0]))).astype(np.int64)
    source = np.clip(np.arange(dates) - steps[:, None], 0, dates - 1)
    rows = np.arange(len(days))[:, None]
    return SourceTensor(tensor.values[rows, source], tensor.valid[rows, source], tensor.days)


def thinned(tensor: SourceTensor, most: float, generator: np.random.Generator) -> SourceTensor:
    """Hide a share of each sample's dates, drawn between 0 and `most`; one valid date stays."""
    valid, (n, dates) = tensor.valid.numpy(), tensor.days.shape
    luck = generator.random((n, dates)) + ~valid.any((2, 3))  # 1 or more where there is nothing to hide
    hidden = luck < generator.random((n, 1)) * most
    hidden[np.arange(n), np.where(luck < 1, luck, -1).argmax(1)] = False
    kept = torch.from_numpy(valid & ~hidden[:, :, None, None])
    return SourceTensor(tensor.values * kept[:, :, None], kept, tensor.days)
