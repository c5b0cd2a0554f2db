"""Encoders of patchwork for windows on a CPU: one pass over each source, whose intermediate values stay in the cache.

A vector holds the same value of neighbouring map pixels (:mod:`bocage.models.lanes`). A date is skipped where none of these
pixels is valid. The result differs from the layers of PyTorch by rounding only, and does not depend on the window.

::

    series: dates with a valid pixel → own and mean of the neighbourhood → W → energies ─┐
                                                        softmax over dates → Σ a_k h → V_k → norm
    image:  four rows of the first convolution → second convolution in tiles → mean, maximum → W → norm
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.models import lanes
from bocage.models.lanes import (
    COUNT,
    add_product,
    any_of,
    array,
    block,
    bytes_of,
    compiled,
    constant,
    everywhere,
    exponential,
    flags,
    in_eights,
    largest,
    linear,
    load,
    minus,
    normalise,
    over,
    padded,
    plus,
    rectified,
    room,
    store,
    times,
    where,
)

NEVER = np.float32(-1e30)
"""Energy of a masked date."""


def series(values: Tensor, valid: Tensor, reach: int, weights: Sequence[Tensor], days: Tensor) -> Tensor:
    """Return the vectors (B, Y, X, W) of a series (B, T, C, Y, X) and its mask, without the margin of `reach` pixels.

    In memory, the pixels of a row are neighbours, as :mod:`bocage.models.joined` reads them.

    Parameters
    ----------
    weights
        Bands (2 C or C, W), queries (W, heads), values (heads, W, W / heads), scale and shift of the normalisation.
    days
        Sum of the encoding of the day and of the bias of the bands (B, T, W).
    """
    bands, queries, heads, scale, shift = (array(weight) for weight in weights)
    prepared = (in_eights(bands), in_eights(queries), np.stack([in_eights(head) for head in heads]), scale, shift)
    b, height, width = values.shape[0], *(n - 2 * reach for n in values.shape[-2:])
    out = torch.empty(b, height, bands.shape[1], width, dtype=torch.float32)
    for i in range(b):
        _series(array(values[i]), bytes_of(valid[i]), reach, prepared, array(days[i]), out[i].numpy())
    return out.transpose(2, 3)


def image(bands: Tensor, valid: Tensor, ratio: int, weights: Sequence[Tensor]) -> Tensor:
    """Return the vectors (B, Y, X, W) of an image (B, C, y, x) and its mask, which have 2 pixels around the map pixels.

    Parameters
    ----------
    weights
        Weight and bias of the two convolutions of 3 × 3 and of the projection, scale and shift of the normalisation. The last
        input of the first convolution is the mask.
    """
    first, bias1, second, bias2, project, bias3, scale, shift = weights
    filters = -(-second.shape[0] // 8) * 8
    both = torch.zeros(2, filters, project.shape[0])
    both[:, : second.shape[0]] = project.t().reshape(2, second.shape[0], -1)
    prepared = (
        _taps(first), padded(bias1), _turned_taps(second), padded(bias2), in_eights(array(both.flatten(0, 1))),
        array(bias3), array(scale), array(shift),
    )  # fmt: skip
    b, height, width = bands.shape[0], *((n - 4) // ratio for n in bands.shape[-2:])
    out = torch.empty(b, height, len(bias3), width, dtype=torch.float32)
    for i in range(b):
        _image(array(bands[i]), bytes_of(valid[i]), ratio, prepared, out[i].numpy())
    return out.transpose(2, 3)


def warm() -> None:
    """Compile both encoders, or load them from the cache on disk, so that the first map does not wait for it.

    It takes ten seconds once. On a processor without the instructions, it does nothing.
    """
    if not lanes.USABLE:
        return

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape)

    width = 8
    norm = (zeros(width), zeros(width))
    weights = (zeros(2, width), zeros(width, 1), zeros(1, width, width), *norm)
    series(zeros(1, 1, 1, 3, COUNT + 2), zeros(1, 1, 3, COUNT + 2) > 0, 1, weights, zeros(1, 1, width))
    first, second = zeros(width, 2, 3, 3), zeros(width, width, 3, 3)
    project = zeros(width, 2 * width)
    image(
        zeros(1, 1, 5, COUNT + 4),
        zeros(1, 5, COUNT + 4) > 0,
        1,
        (first, norm[0], second, norm[0], project, norm[0], *norm),
    )


def _taps(weight: Tensor) -> NDArray[np.float32]:
    """(outputs, inputs, 3, 3) → in eights, the inputs in the order of rows, columns and channels."""
    return in_eights(array(weight.permute(2, 3, 1, 0).flatten(0, 2)))


def _turned_taps(weight: Tensor) -> NDArray[np.float32]:
    """(outputs, inputs, 3, 3) → (16, outputs / 8, inputs, 8), multiplied by G on both sides; see `_tiles`."""
    padded = torch.zeros(len(weight), -(-weight.shape[1] // 8) * 8, 3, 3, dtype=torch.float64)
    padded[:, : weight.shape[1]] = weight
    g = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]], dtype=torch.float64)
    turned = torch.einsum("ay,oiyx,bx->abio", g, padded, g).float().flatten(0, 1)
    return np.stack([in_eights(array(one)) for one in turned])


TOGETHER = 8 if COUNT == 16 else 4
"""Outputs of three places that are computed together: there are 32 registers for vectors of 16, and 16 for vectors of 8."""
_one, _three, _three_rectified = block(1, 8), block(3, TOGETHER), block(3, TOGETHER, rectified=True)


@compiled
def _three_layers(source: Any, starts: Any, inputs: int, beside: int, layer: Any, out: Any) -> None:
    """Write what `rectified` writes with a layer (weight, bias) for three places, whose inputs have the distance `beside`."""
    weight, bias = layer
    outputs = 8 * weight.shape[0]
    for o in range(0, outputs, TOGETHER):
        k = (o - o % 8) * inputs * len(starts) + o % 8
        _three_rectified(
            (source, starts, inputs, beside), (weight, k), (bias, o), (out, o * COUNT, outputs * COUNT)
        )  # fmt: skip


@compiled
def _pool(hidden: Any, attention: Any, dates: int, width: int, out: Any) -> None:
    """Hidden (dates, width), attention (dates, 8) → out (8, width): the sums over the dates."""
    zero = constant(np.float32(0))
    for w in range(0, width * COUNT, COUNT):
        a0, a1, a2, a3, a4, a5, a6, a7 = zero, zero, zero, zero, zero, zero, zero, zero
        for t in range(dates):
            h, k = load(hidden, t * width * COUNT + w), t * 8 * COUNT
            a0 = add_product(a0, h, load(attention, k))
            a1 = add_product(a1, h, load(attention, k + COUNT))
            a2 = add_product(a2, h, load(attention, k + 2 * COUNT))
            a3 = add_product(a3, h, load(attention, k + 3 * COUNT))
            a4 = add_product(a4, h, load(attention, k + 4 * COUNT))
            a5 = add_product(a5, h, load(attention, k + 5 * COUNT))
            a6 = add_product(a6, h, load(attention, k + 6 * COUNT))
            a7 = add_product(a7, h, load(attention, k + 7 * COUNT))
        step = width * COUNT
        store(out, w, a0)
        store(out, w + step, a1)
        store(out, w + 2 * step, a2)
        store(out, w + 3 * step, a3)
        store(out, w + 4 * step, a4)
        store(out, w + 5 * step, a5)
        store(out, w + 6 * step, a6)
        store(out, w + 7 * step, a7)


@compiled
def _soften(energy: Any, dates: int) -> None:
    """Replace energies (dates, 8) by their softmax over the dates."""
    for k in range(0, 8 * COUNT, COUNT):
        top, total = load(energy, k), constant(np.float32(0))
        for t in range(1, dates):
            top = largest(load(energy, k + t * 8 * COUNT), top)
        for t in range(dates):
            weight = exponential(minus(load(energy, k + t * 8 * COUNT), top))
            total = plus(total, weight)
            store(energy, k + t * 8 * COUNT, weight)
        for t in range(dates):
            store(energy, k + t * 8 * COUNT, over(load(energy, k + t * 8 * COUNT), total))


@compiled
def _date(values: Any, valid: Any, first: int, image: int, line: int, shape: Any, inputs: Any) -> None:
    """Write own values and neighbourhood means of one date, (2 · bands) vectors.

    `first` is the position of the upper left pixel of the neighbourhood in the values of the date's first band, `image` the
    position in the mask, `line` the length of a row, and `shape` (bands, pixels of a band, reach).
    """
    bands, pixels, reach = shape
    own, size, zero = reach * line + reach, 2 * reach + 1, constant(np.float32(0))
    count, whole = zero, True
    for dy in range(size):
        for dx in range(size + COUNT - 1):
            whole &= valid[image + dy * line + dx] != 0
    for dy in range(size):
        for dx in range(size):
            count = plus(count, flags(valid, image + dy * line + dx))
    count = largest(count, constant(np.float32(0.5)))
    seen = flags(valid, image + own)
    for c in range(bands):
        at, total = first + c * pixels, zero
        if whole:
            for dy in range(size):
                for dx in range(size):
                    total = plus(total, load(values, at + dy * line + dx))
            store(inputs, c * COUNT, load(values, at + own))
        else:
            for dy in range(size):
                for dx in range(size):
                    place = dy * line + dx
                    total = plus(total, where(flags(valid, image + place), load(values, at + place), zero))
            store(inputs, c * COUNT, where(seen, load(values, at + own), zero))
        if reach:
            store(inputs, (bands + c) * COUNT, over(total, count))


@compiled
def _series(values: Any, valid: Any, reach: int, weights: Any, days: Any, out: Any) -> None:
    """Write the vectors (Y, W, X) of a series (T, C, Y, X) and its mask, without the margin of `reach` pixels.

    `weights` are those of the bands, the queries, the values (heads), and the scale and shift of the normalisation; `days`
    (T, W) are the biases of the dates.
    """
    bands, queries, heads, scale, shift = weights
    dates, channels, height, line = values.shape
    pixels, width, inputs = height * line, out.shape[1], bands.shape[1]
    flat, mask, target = values.reshape(-1), valid.reshape(-1), out.reshape(-1)
    inner = (height - 2 * reach, line - 2 * reach)
    each = width // heads.shape[0]
    features, none = room(inputs), np.zeros(max(8, heads.shape[1] * 8), np.float32)
    hidden, energy = room(dates * width), room(dates * 8)
    mixed, vector = room(8 * width), room(8 * 8 * heads.shape[1])
    start, never, zero = np.zeros(1, np.int64), constant(NEVER), constant(np.float32(0))
    for row in range(inner[0]):
        for group in range(0, inner[1], COUNT):
            column = min(group, inner[1] - COUNT)
            corner, used = row * line + column, 0
            centre = corner + reach * line + reach
            for t in range(dates):
                if not any_of(mask, t * pixels + centre):
                    continue
                shape = (channels, pixels, reach)
                _date(flat, mask, t * channels * pixels + corner, t * pixels + corner, line, shape, features)
                here = hidden[used * width * COUNT :]
                rectified(features, start, inputs, bands, days[t], here)
                linear(here, start, width, queries, none, energy[used * 8 * COUNT :])
                seen = flags(mask, t * pixels + centre)
                for k in range(used * 8 * COUNT, (used + 1) * 8 * COUNT, COUNT):
                    store(energy, k, where(seen, load(energy, k), never))
                used += 1
            if used:
                _soften(energy, used)
                _pool(hidden, energy, used, width, mixed)
            else:
                for w in range(0, 8 * width * COUNT, COUNT):
                    store(mixed, w, zero)
            for k in range(heads.shape[0]):
                linear(mixed[k * width * COUNT :], start, width, heads[k], none, vector[k * each * COUNT :])
            normalise(vector, scale, shift, width)
            for w in range(width):
                store(target, (row * width + w) * inner[1] + column, load(vector, w * COUNT))


@compiled
def _gather(bands: Any, valid: Any, first: int, ratio: int, out: Any) -> None:
    """Write pixels around the map pixels from `first`: (rows, columns, bands and mask), 4 more a side than a map pixel has."""
    channels, side, across = bands.shape[0], ratio + 4, (bands.shape[2] - 4) // ratio
    for pixel in range(COUNT):
        y, x = (first + pixel) // across * ratio, (first + pixel) % across * ratio
        for dy in range(side):
            for dx in range(side):
                at = (dy * side + dx) * (channels + 1) * COUNT + pixel
                seen = valid[y + dy, x + dx]
                out[at + channels * COUNT] = seen
                for c in range(channels):
                    out[at + c * COUNT] = bands[c, y + dy, x + dx] if seen else np.float32(0)


@compiled
def _scatter(vector: Any, first: int, out: Any) -> None:
    """Write the vectors of map pixels from `first`, which may be in two rows, to (Y, W, X)."""
    _, width, across = out.shape
    flat, row, column = out.reshape(-1), first // across, first % across
    if column + COUNT <= across:
        for w in range(width):
            store(flat, (row * width + w) * across + column, load(vector, w * COUNT))
        return
    for pixel in range(COUNT):
        row, column = (first + pixel) // across, (first + pixel) % across
        for w in range(width):
            out[row, w, column] = vector[w * COUNT + pixel]


@compiled
def _before(a: Any, b: Any, c: Any, d: Any) -> Any:
    return minus(a, c), plus(b, c), minus(c, b), minus(b, d)


@compiled
def _after(a: Any, b: Any, c: Any, d: Any) -> Any:
    return plus(plus(a, b), c), minus(minus(b, c), d)


@compiled
def _turned(ring: Any, rows: Any, filters: int, out: Any) -> None:
    """Write the transform (16, filters) of 4 × 4 pixels that begin at `rows` of the ring."""
    step = filters * COUNT
    for c in range(0, step, COUNT):
        r0, r1, r2, r3 = rows[0] + c, rows[1] + c, rows[2] + c, rows[3] + c
        a0, a1, a2, a3 = _before(load(ring, r0), load(ring, r1), load(ring, r2), load(ring, r3))
        r0, r1, r2, r3 = r0 + step, r1 + step, r2 + step, r3 + step
        b0, b1, b2, b3 = _before(load(ring, r0), load(ring, r1), load(ring, r2), load(ring, r3))
        r0, r1, r2, r3 = r0 + step, r1 + step, r2 + step, r3 + step
        c0, c1, c2, c3 = _before(load(ring, r0), load(ring, r1), load(ring, r2), load(ring, r3))
        r0, r1, r2, r3 = r0 + step, r1 + step, r2 + step, r3 + step
        d0, d1, d2, d3 = _before(load(ring, r0), load(ring, r1), load(ring, r2), load(ring, r3))
        _stored(out, c, step, _before(a0, b0, c0, d0))
        _stored(out, c + 4 * step, step, _before(a1, b1, c1, d1))
        _stored(out, c + 8 * step, step, _before(a2, b2, c2, d2))
        _stored(out, c + 12 * step, step, _before(a3, b3, c3, d3))


@compiled
def _stored(out: Any, at: int, step: int, four: Any) -> None:
    store(out, at, four[0])
    store(out, at + step, four[1])
    store(out, at + 2 * step, four[2])
    store(out, at + 3 * step, four[3])


@compiled
def _products(turned: Any, tiles: int, weight: Any, group: int, out: Any) -> None:
    """Transforms (tiles, 16, inputs) → (tiles, 16, 8), with the weights of one group of 8 outputs."""
    inputs = weight.shape[2]
    start, none = np.empty(1, np.int64), np.zeros(8, np.float32)
    beside, away = 16 * inputs * COUNT, 16 * 8 * COUNT
    for e in range(16):
        k = 8 * inputs * (e * weight.shape[1] + group)
        for tile in range(0, tiles - 2, 3):
            start[0], at = tile * beside + e * inputs * COUNT, tile * away + e * 8 * COUNT
            for o in range(0, 8, TOGETHER):
                _three((turned, start, inputs, beside), (weight, k + o), (none, 0), (out, at + o * COUNT, away))
        for tile in range(tiles - tiles % 3, tiles):
            start[0], at = tile * beside + e * inputs * COUNT, tile * away + e * 8 * COUNT
            _one((turned, start, inputs, 0), (weight, k), (none, 0), (out, at, 0))


@compiled
def _four(product: Any, at: int) -> Any:
    step = 8 * COUNT
    return _after(
        load(product, at), load(product, at + step), load(product, at + 2 * step), load(product, at + 3 * step)
    )


@compiled
def _joined(sums: Any, pixel: Any, shift: Any) -> Any:
    """Return sum and maximum with a further pixel, whose bias is `shift`, and which is 0 at least."""
    value = largest(plus(pixel, shift), constant(np.float32(0)))
    return plus(sums[0], value), largest(sums[1], value)


@compiled
def _collected(product: Any, down: bool, right: bool, bias: Any, o: int, both: Any) -> None:
    """Add the pixels of a tile to the sums and maxima of 8 outputs from `o`; `down`, `right`: it has a second row, column."""
    last = len(bias)
    for f in range(8):
        at, shift = f * COUNT, everywhere(bias, o + f)
        a0, a1 = _four(product, at)
        b0, b1 = _four(product, at + 4 * 8 * COUNT)
        c0, c1 = _four(product, at + 8 * 8 * COUNT)
        d0, d1 = _four(product, at + 12 * 8 * COUNT)
        sums = load(both, (o + f) * COUNT), load(both, (last + o + f) * COUNT)
        upper, lower = _after(a0, b0, c0, d0)
        sums = _joined(sums, upper, shift)
        if down:
            sums = _joined(sums, lower, shift)
        if right:
            upper, lower = _after(a1, b1, c1, d1)
            sums = _joined(sums, upper, shift)
            if down:
                sums = _joined(sums, lower, shift)
        store(both, (o + f) * COUNT, sums[0])
        store(both, (last + o + f) * COUNT, sums[1])


@compiled
def _row(pixels: Any, y: int, ratio: int, layer: Any, out: Any) -> None:
    """Write a row of the first convolution with ReLU, (ratio + 2, filters)."""
    weight, inner, starts = layer[0], ratio + 2, np.empty(3, np.int64)
    inputs = weight.shape[1] // 9
    for group in range(0, inner, 3):
        x = min(group, inner - 3)
        for k in range(3):
            starts[k] = ((y + k) * (ratio + 4) + x) * inputs * COUNT
        _three_layers(pixels, starts, 3 * inputs, inputs * COUNT, layer, out[x * weight.shape[0] * 8 * COUNT :])


@compiled
def _tiles(pixels: Any, ratio: int, weights: Any, work: Any, both: Any) -> None:
    """Two convolutions of 3 × 3 with ReLU: pixels of a map pixel and around → sum and maximum (2, filters) of the pixels inside.

    The second one is in tiles of 2 × 2 pixels, with 4 instead of 9 products for each pixel, input and output: F(2 × 2, 3 × 3) of
    Lavin and Gray (2016, doi:10.1109/CVPR.2016.435). A last row or column that is not inside is not used. `work` holds four rows
    of the first convolution, the transforms of the tiles of a row, and their products.
    """
    first, bias1, second, bias2, _, _, _, _ = weights
    ring, turned, product = work
    tiles, filters, last = (ratio + 1) // 2, second.shape[2], 8 * second.shape[1]
    step, rows, zero = filters * COUNT, np.empty(4, np.int64), constant(np.float32(0))
    line = (2 * tiles + 2) * step
    for w in range(0, 2 * last * COUNT, COUNT):
        store(both, w, zero)
    for r in range(0, ratio, 2):
        for y in range(r + 2 if r else 0, min(r + 4, ratio + 2)):
            _row(pixels, y, ratio, (first, bias1), ring[(y % 4) * line :])
        for tile in range(tiles):
            for k in range(4):
                rows[k] = ((r + k) % 4) * line + 2 * tile * step
            _turned(ring, rows, filters, turned[tile * 16 * step :])
        for group in range(second.shape[1]):
            _products(turned, tiles, second, group, product)
            for tile in range(tiles):
                down, right = r + 1 < ratio, 2 * tile + 1 < ratio
                _collected(product[tile * 128 * COUNT :], down, right, bias2, 8 * group, both)


@compiled
def _image(bands: Any, valid: Any, ratio: int, weights: Any, out: Any) -> None:
    """Write the vectors (Y, W, X) of an image (C, y, x) and its mask, with 2 pixels around the map pixels.

    `weights` are weight and bias of the two convolutions and of the projection, and the scale and shift of the normalisation.
    """
    _, _, second, _, project, bias3, scale, shift = weights
    height, width, across = out.shape
    pixels = room((ratio + 4) ** 2 * (bands.shape[0] + 1))
    tiles, filters = (ratio + 1) // 2, second.shape[1] * 8
    ring, inputs = room(4 * (2 * tiles + 2) * second.shape[2]), tiles * 16 * second.shape[2]
    ring[:] = 0
    work = (ring, room(inputs), room(tiles * 16 * 8))
    both, vector = room(2 * filters), room(width)
    start, share = np.zeros(1, np.int64), constant(np.float32(1 / ratio**2))
    for group in range(0, height * across, COUNT):
        first = min(group, height * across - COUNT)
        _gather(bands, valid, first, ratio, pixels)
        _tiles(pixels, ratio, weights, work, both)
        for w in range(0, filters * COUNT, COUNT):
            store(both, w, times(load(both, w), share))
        linear(both, start, 2 * filters, project, bias3, vector)
        normalise(vector, scale, shift, width)
        _scatter(vector, first, out)
