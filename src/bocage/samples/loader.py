"""Samples → batches of tensors: normalised, shuffled by a seed, turned and mirrored where asked."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.samples.cut import Cut

Parts = dict[str, tuple[Tensor, Tensor, Tensor]]
"""Source name → normalised values (B, T, C, Y, X), valid (B, T, Y, X) and days (B, T)."""


@dataclass(frozen=True)
class Normalisation:
    """Per source and band: ``(value - mean) / deviation``, over valid training pixels."""

    mean: Mapping[str, tuple[float, ...]]
    deviation: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, cuts: Mapping[str, Cut], members: NDArray[np.int64], rows: int = 4096) -> "Normalisation":
        """Measure it on the samples `members`, in double precision, `rows` samples at a time."""
        mean, deviation = {}, {}
        for name, one in cuts.items():
            total, squares, n = np.zeros(()), np.zeros(()), 0.0
            for start in range(0, len(members), rows):
                stored, valid = one.read(members[start : start + rows])
                values = stored.astype(np.float64) * valid[:, :, None]
                total = total + values.sum((0, 1, 3, 4))
                squares = squares + (values**2).sum((0, 1, 3, 4))
                n += float(valid.sum())
            average = total / max(n, 1)
            spread = np.sqrt(np.maximum(squares / max(n, 1) - average**2, 0))
            mean[name] = tuple(float(v) for v in average)
            deviation[name] = tuple(float(v) if v > 1e-8 else 1.0 for v in spread)
        return cls(mean, deviation)

    def tensor(
        self, name: str, values: NDArray[Any], valid: NDArray[np.bool_], days: NDArray[np.int32]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Values (B, T, C, Y, X) in physical units → normalised values, valid and days as tensors."""
        mean = np.array(self.mean[name], np.float32)[:, None, None]
        deviation = np.array(self.deviation[name], np.float32)[:, None, None]
        scaled = (values - mean) / deviation
        scaled *= valid[:, :, None]
        return (
            torch.from_numpy(np.ascontiguousarray(scaled, np.float32)),
            torch.from_numpy(np.ascontiguousarray(valid)),
            torch.from_numpy(np.tile(days, (len(values), 1))),
        )


def make_batch(cuts: Mapping[str, Cut], members: NDArray[np.int64], normalisation: Normalisation) -> Parts:
    """Return the footprints of the samples `members`, as one batch."""
    return {name: normalisation.tensor(name, *one.read(members), one.days) for name, one in cuts.items()}


def batches(
    cuts: Mapping[str, Cut],
    label: NDArray[Any],
    members: NDArray[np.int64],
    normalisation: Normalisation,
    size: int,
    generator: np.random.Generator | None = None,
    augment: bool = False,
) -> Iterator[tuple[Parts, Tensor]]:
    """Yield batches of `size` samples and their labels (B,); shuffled where a `generator` is given.

    With `augment`, each batch is turned by a random multiple of 90° and mirrored or not, all sources alike.
    """
    order = members if generator is None else generator.permutation(members)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        batch = make_batch(cuts, chosen, normalisation)
        if augment and generator is not None:
            batch = turned(batch, int(generator.integers(4)), bool(generator.integers(2)))
        yield batch, torch.from_numpy(label[chosen].astype(np.int64))


def turned(batch: Parts, quarters: int, mirrored: bool) -> Parts:
    """Turn every source by `quarters` of a circle, then mirror it left to right if asked."""

    def turn(tensor: Tensor) -> Tensor:
        tensor = torch.rot90(tensor, quarters, (-2, -1))
        return tensor.flip(-1) if mirrored else tensor

    return {name: (turn(values), turn(valid), days) for name, (values, valid, days) in batch.items()}
