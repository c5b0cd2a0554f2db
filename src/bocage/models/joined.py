"""Fusion and class head of patchwork for windows on a CPU: one pass over the vectors of the sources.

::

    each source: own vector and mean of the neighbourhood → W, a learnt vector where it has no data ─┐
                                                              Σ over the sources → norm → W → ReLU → K

A vector of the processor holds the same value of neighbouring map pixels (:mod:`bocage.models.lanes`). A few rows of the sums
are computed at a time, so that they stay in the cache. The result differs from the layers of PyTorch by rounding only, and
does not depend on the window.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.models import lanes
from bocage.models.lanes import (
    COUNT,
    any_of,
    array,
    bytes_of,
    compiled,
    constant,
    everywhere,
    flags,
    in_eights,
    largest,
    linear,
    load,
    normalise,
    over,
    padded,
    plus,
    rectified,
    room,
    store,
    where,
)

ROWS = 8
"""Rows of map pixels whose sums over the sources are kept at a time."""


class Term(NamedTuple):
    """Vectors of a source, and how they enter the sum."""

    vectors: Tensor
    """(B, Y, X, W), with a margin of `reach` pixels."""
    seen: Tensor
    """Where the source has data, bool (B, Y, X), with the same margin."""
    reach: int
    """Pixels around a map pixel whose mean enters the sum; 0 if none does."""
    weights: Sequence[Tensor]
    """Weights (W, W), inputs first, of the own vector, and of the mean if `reach` is not 0; none: the vector enters as it is."""
    missing: Tensor
    """Vector (W,) of a map pixel without data."""


def joined(terms: Sequence[Term], absent: Tensor, layers: Sequence[Tensor], shape: tuple[int, int]) -> Tensor:
    """Return the logits (B, K, Y, X) of the map pixels, or the fused features (B, W, Y, X) without a head.

    Parameters
    ----------
    absent
        Sum (W,) of the vectors of the sources that are missing from the batch.
    layers
        Scale and shift of the normalisation (W,), weight (W, W) and bias (W,) of the fusion, and, for the logits, weight (K, W)
        and bias (K,) of the head; weights have outputs first.
    shape
        Map pixels (Y, X).
    """
    (height, across), width, b = shape, len(absent), len(terms[0].vectors)
    scale, shift, fuse, bias, *head = layers
    outputs = len(head[1]) if head else width
    prepared = (
        array(scale), array(shift), in_eights(array(fuse.t())), array(bias),
        in_eights(array(head[0].t())) if head else np.zeros((0, width, 8), np.float32),
        padded(head[1]) if head else np.zeros(0, np.float32),
    )  # fmt: skip
    weights = [_weights(term, width) for term in terms]
    start = np.repeat(array(absent), COUNT)
    out = torch.empty(b, outputs, height, across, dtype=torch.float32)
    for i in range(b):
        planes = [(array(term.vectors[i].transpose(1, 2)), bytes_of(term.seen[i])) for term in terms]
        for y in range(0, height, ROWS):
            rows = min(ROWS, height - y)
            groups = -(-across // COUNT)
            sums = room(rows * groups * width).reshape(rows, groups, width * COUNT)
            sums[:] = start
            for (vectors, seen), term, own in zip(planes, terms, weights, strict=True):
                part = slice(y, y + rows + 2 * term.reach)
                _add(vectors[part], seen[part], across, term.reach, (own, array(term.missing)), sums)
            _classify(sums, prepared, y, out[i].numpy())
    return out


def _weights(term: Term, width: int) -> NDArray[np.float32]:
    """Return the weights of a term in eights, those of the mean after those of the own vector."""
    return in_eights(array(torch.cat(list(term.weights)))) if term.weights else np.zeros((0, width, 8), np.float32)


def warm() -> None:
    """Compile the functions, or load them from the cache on disk. On a processor without the instructions, it does nothing."""
    if not lanes.USABLE:
        return
    width = 8
    square, line = torch.zeros(width, width), torch.zeros(width)
    seen = torch.ones(1, 1, COUNT, dtype=torch.bool)
    term = Term(torch.zeros(1, 1, width, COUNT).transpose(2, 3), seen, 0, (square,), line)
    joined([term], line, (line, line, square, line, square, line), (1, COUNT))


@compiled
def _surroundings(vectors: Any, seen: Any, places: Any, reach: int, out: Any) -> None:
    """Write own vectors and means of the neighbourhood, (2 · W) vectors.

    `places` are the positions of the upper left pixel of the neighbourhood in the vectors and in the mask.
    """
    _, width, line = vectors.shape
    first, corner = places
    flat, mask, size, zero = vectors.reshape(-1), seen.reshape(-1), 2 * reach + 1, constant(np.float32(0))
    count = zero
    for dy in range(size):
        for dx in range(size):
            count = plus(count, flags(mask, corner + dy * line + dx))
    count = largest(count, constant(np.float32(0.5)))
    for w in range(width):
        total = zero
        for dy in range(size):
            for dx in range(size):
                value = load(flat, first + (dy * width + w) * line + dx)
                total = plus(total, where(flags(mask, corner + dy * line + dx), value, zero))
        store(out, w * COUNT, load(flat, first + (reach * width + w) * line + reach))
        store(out, (width + w) * COUNT, over(total, count))


@compiled
def _add(vectors: Any, seen: Any, across: int, reach: int, term: Any, sums: Any) -> None:
    """Add the term (weights, vector of missing pixels) of a source to sums (rows, groups of pixels, W · pixels)."""
    weights, missing = term
    rows, groups, _ = sums.shape
    _, width, line = vectors.shape
    flat, mask, totals = vectors.reshape(-1), seen.reshape(-1), sums.reshape(-1)
    features, product = room(2 * width), room(width)
    start, none = np.zeros(1, np.int64), np.zeros(width, np.float32)
    for row in range(rows):
        for group in range(groups):
            column = min(group * COUNT, across - COUNT)
            first, corner = row * width * line + column, row * line + column
            centre, at = corner + reach * line + reach, (row * groups + group) * width * COUNT
            if not any_of(mask, centre):
                for w in range(width):
                    place = at + w * COUNT
                    store(totals, place, plus(load(totals, place), everywhere(missing, w)))
                continue
            if reach:
                _surroundings(vectors, seen, (first, corner), reach, features)
            else:
                for w in range(width):
                    store(features, w * COUNT, load(flat, first + w * line))
            if len(weights):
                linear(features, start, weights.shape[1], weights, none, product)
            else:
                for w in range(0, width * COUNT, COUNT):
                    store(product, w, load(features, w))
            here = flags(mask, centre)
            for w in range(width):
                place, value = at + w * COUNT, where(here, load(product, w * COUNT), everywhere(missing, w))
                store(totals, place, plus(load(totals, place), value))


@compiled
def _classify(sums: Any, layers: Any, y: int, out: Any) -> None:
    """Write the logits of sums to rows from `y` of (K, Y, X), or the fused features to (W, Y, X) if the head has no weights."""
    scale, shift, fuse, bias, head, last = layers
    rows, groups, _ = sums.shape
    outputs, height, across = out.shape
    width, totals, flat = len(scale), sums.reshape(-1), out.reshape(-1)
    fused, start = room(width), np.zeros(1, np.int64)
    logits = room(outputs + 7)
    for row in range(rows):
        for group in range(groups):
            column = min(group * COUNT, across - COUNT)
            vector = totals[(row * groups + group) * width * COUNT :]
            normalise(vector, scale, shift, width)
            rectified(vector, start, width, fuse, bias, fused)
            place = (y + row) * across + column
            if len(head):
                linear(fused, start, width, head, last, logits)
                for k in range(outputs):
                    store(flat, k * height * across + place, load(logits, k * COUNT))
            else:
                for k in range(outputs):
                    store(flat, k * height * across + place, load(fused, k * COUNT))
