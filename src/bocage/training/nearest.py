"""Novelty of windows on a CPU: monthly means of a series, and the distance to the nearest of many samples.

A vector holds the same value of neighbouring map pixels (:mod:`bocage.models.lanes`). The result of a pixel differs from that of
PyTorch by rounding only, and does not depend on the other pixels.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.models import lanes
from bocage.models.fused import warm as warm_encoders
from bocage.models.joined import warm as warm_fusion
from bocage.models.lanes import (
    COUNT,
    add_product,
    add_scaled,
    any_of,
    compiled,
    constant,
    everywhere,
    flags,
    in_eights,
    largest,
    load,
    over,
    plus,
    room,
    smallest,
    store,
    where,
)
from bocage.training.domain import MONTHS

FAR = np.float32(1e30)
"""Squared distance to a sample that is not there."""
WORTH_COMPILING = 1 << 10
"""Fewest pixels for which the functions are compiled."""


def usable(shape: Sequence[int]) -> bool:
    """Return whether the functions are used for pixels of a shape: there are enough, and the processor has the instructions."""
    return lanes.USABLE and prod(shape) >= WORTH_COMPILING and shape[-1] >= COUNT


def monthly(values: Tensor, valid: Tensor, month: Tensor) -> Tensor:
    """Return the means (12 · C, Y · X) over the valid dates of each month; 0 for a month without one.

    Parameters
    ----------
    values
        float32 (T, C, Y, X); any value where not valid. The last two dimensions may be a part of larger ones.
    valid
        bool (T, Y, X), a part of the same larger dimensions.
    month
        int64 (T,), 0 to 11.
    """
    _, channels, height, width = values.shape
    values, valid = (part if part.stride(-1) == 1 else part.contiguous() for part in (values, valid))
    out = torch.empty(MONTHS * channels, height * width, dtype=torch.float32)
    cube, mask = (_flat(values), values.stride()), (_flat(valid.view(torch.uint8)), valid.stride())
    _monthly(cube, mask, month.numpy(), channels, out.view(-1, height, width).numpy())
    return out


def _flat(tensor: Tensor) -> NDArray[Any]:
    """Return the memory from the first to the last element, whose distances are the strides."""
    length = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((length,), (1,)).numpy()


def nearest(points: Tensor, samples: Tensor) -> Tensor:
    """Return the squared distance (N,) of points (P, N) to the nearest of the samples (M, P), 0 at least."""
    squares = np.full(-(-len(samples) // 8) * 8, FAR, np.float32)
    squares[: len(samples)] = samples.square().sum(1).numpy()
    crossed = in_eights((-2 * samples.t()).contiguous().numpy())
    out = torch.empty(points.shape[1], dtype=torch.float32)
    _nearest(points.contiguous().numpy(), crossed, squares, out.numpy())
    return out


def warm() -> None:
    """Compile the functions of a map with patchwork, or load them from the cache on disk, so that the first map does not wait.

    It takes half a minute once. ``make env`` does it. On a processor without the instructions, it does nothing.
    """
    warm_encoders()
    warm_fusion()
    if lanes.USABLE:
        monthly(
            torch.zeros(1, 1, 3, COUNT), torch.ones(1, 3, COUNT, dtype=torch.bool), torch.zeros(1, dtype=torch.int64)
        )
        nearest(torch.zeros(2, COUNT), torch.zeros(3, 2))


@compiled
def _monthly(cube: Any, mask: Any, month: Any, channels: int, out: Any) -> None:
    """Write the monthly means (12 · C, Y, X) of values (T, C, Y, X); `cube` and `mask` are memory and strides."""
    (values, steps), (valid, strides) = cube, mask
    dates, (layers, height, width) = len(month), out.shape
    flat = out.reshape(-1)
    sums, counts = room(layers), room(layers // channels)
    zero, one = constant(np.float32(0)), constant(np.float32(1))
    for row in range(height):
        for group in range(0, width, COUNT):
            column = min(group, width - COUNT)
            first, place = row * steps[2] + column, row * width + column
            for k in range(0, len(sums), COUNT):
                store(sums, k, zero)
            for k in range(0, len(counts), COUNT):
                store(counts, k, zero)
            for t in range(dates):
                here = t * strides[0] + row * strides[1] + column
                if not any_of(valid, here):
                    continue
                seen, m = flags(valid, here), month[t]
                store(counts, m * COUNT, plus(load(counts, m * COUNT), seen))
                for c in range(channels):
                    at = (m * channels + c) * COUNT
                    value = load(values, first + t * steps[0] + c * steps[1])
                    store(sums, at, plus(load(sums, at), where(seen, value, zero)))
            for m in range(layers // channels):
                count = largest(load(counts, m * COUNT), one)
                for k in range(m * channels, (m + 1) * channels):
                    store(flat, k * height * width + place, over(load(sums, k * COUNT), count))


@compiled
def _nearest(points: Any, crossed: Any, squares: Any, out: Any) -> None:
    """Write the least |p|² + |q|² - 2 p·q, 0 at least, of each point; `crossed` holds -2 q of eight samples each."""
    rank, pixels = points.shape
    flat, weights, zero = points.reshape(-1), crossed.reshape(-1), constant(np.float32(0))
    own, farthest = room(rank), constant(FAR)
    for first in range(0, pixels, COUNT):
        at, square, k = min(first, pixels - COUNT), zero, 0
        for p in range(rank):
            x = load(flat, p * pixels + at)
            store(own, p * COUNT, x)
            square = add_product(square, x, x)
        least = farthest
        for o in range(0, len(squares), 8):
            a0, a1 = everywhere(squares, o), everywhere(squares, o + 1)
            a2, a3 = everywhere(squares, o + 2), everywhere(squares, o + 3)
            a4, a5 = everywhere(squares, o + 4), everywhere(squares, o + 5)
            a6, a7 = everywhere(squares, o + 6), everywhere(squares, o + 7)
            for p in range(0, rank * COUNT, COUNT):
                x = load(own, p)
                a0, a1 = add_scaled(a0, x, weights, k), add_scaled(a1, x, weights, k + 1)
                a2, a3 = add_scaled(a2, x, weights, k + 2), add_scaled(a3, x, weights, k + 3)
                a4, a5 = add_scaled(a4, x, weights, k + 4), add_scaled(a5, x, weights, k + 5)
                a6, a7 = add_scaled(a6, x, weights, k + 6), add_scaled(a7, x, weights, k + 7)
                k += 8
            least = smallest(smallest(smallest(a0, a1), smallest(a2, a3)), least)
            least = smallest(smallest(smallest(a4, a5), smallest(a6, a7)), least)
        store(out, at, largest(plus(least, square), zero))
