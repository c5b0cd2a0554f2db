"""Texture of an image in a square window: Haralick's measures, and mean and standard deviation of the pixels.

Haralick, Shanmugam & Dinstein 1973, doi:10.1109/TSMC.1973.4309314. The co-occurrence matrix counts the pairs of neighbours in
the four directions (0°, 45°, 90° and 135°, distance 1), in both orders, so that the measures do not depend on the orientation
of a field. Departure: the four matrices are added before the measures are computed; the paper computes the measures of each
matrix and their mean. Pixel values are sorted into grey levels of equal width between two limits for each band, from the
training pixels. Only valid pixels, and pairs of valid pixels, count.

::

    (B, T, C, Y, X) → grey levels → pairs of neighbours in each window (levels, levels) → 8 measures ┐
                  └→ mean and standard deviation of each window ───────────────────────────────────────┴→ (B, T·C·10, y, x)
"""

import itertools
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bocage.errors import ModelError
from bocage.machine import compiled
from bocage.models.card import InputSpec

MEASURES = (
    "mean", "variance", "homogeneity", "contrast", "dissimilarity", "entropy", "second moment", "correlation",
    "mean of the pixels", "standard deviation of the pixels",
)  # fmt: skip
"""The features of a window, in their order."""
MASKED = 255
"""Grey level of a masked pixel."""
TAILS = (2.0, 98.0)
"""Percentiles of the training pixels that are the limits of the grey levels: roofs would stretch the range."""
WORTH_SHARING = 1 << 12
"""Number of windows above which they are divided among threads."""


@dataclass(frozen=True)
class Windows:
    """Positions of the windows of a source: one per map pixel, or one per pixel of a coarser source."""

    size: int
    """Side of a window in pixels."""
    start: int
    """First row and column of the first window."""
    step: int
    """Step between windows in pixels."""
    shape: tuple[int, int]
    """Number of windows along the rows and the columns."""


class Texture(nn.Module):
    """Texture of some sources; the limits of the grey levels are part of the state.

    Parameters
    ----------
    sizes
        Source → side of the window in pixels of the source.
    levels
        Number of grey levels.
    """

    limits: Tensor

    def __init__(self, inputs: Mapping[str, InputSpec], sizes: Mapping[str, int], levels: int) -> None:
        super().__init__()
        self.sizes, self.levels = dict(sizes), levels
        ends = list(itertools.accumulate((len(inputs[name].bands) for name in sizes), initial=0))
        self.bands = {name: slice(*pair) for name, pair in zip(sizes, itertools.pairwise(ends), strict=True)}
        self.register_buffer("limits", torch.zeros(2, ends[-1]))

    def fit(self, name: str, values: Tensor, valid: Tensor) -> None:
        """Set the limits of a source's grey levels from training pixels: values (B, T, C, Y, X) and valid (B, T, Y, X)."""
        pixels = values.movedim(2, 0)[:, valid].float().numpy()
        if pixels.shape[1]:
            found = np.percentile(pixels, TAILS, axis=1)
            self.limits[:, self.bands[name]] = torch.from_numpy(found.astype(np.float32))

    def columns(self, name: str, values: Tensor, valid: Tensor, windows: Windows) -> Tensor:
        """Return the features (B, T·C·10, y, x) of the windows of a source, float32; NaN for a window without valid pixels.

        Parameters
        ----------
        values : (B, T, C, Y, X), finite where valid
        valid : (B, T, Y, X)
        """
        pixels = torch.where(valid[:, :, None], values, 0.0).float().cpu().numpy()
        grey = self._grey(name, pixels, valid.cpu().numpy())
        b, t, c, *_ = pixels.shape
        found = np.empty((b, t * c * len(MEASURES), *windows.shape), np.float32)
        images = [one.reshape(b, t * c, *one.shape[3:]) for one in (pixels, grey)]
        logarithms = _logarithms(windows.size)
        rows = range(windows.shape[0])
        n = math.prod(windows.shape) * b * t * c
        threads = min(torch.get_num_threads(), len(rows)) if n > WORTH_SHARING else 1
        edges = [len(rows) * k // threads for k in range(threads + 1)]

        def measure(part: tuple[int, int]) -> None:
            _measure(*images, self.levels, windows.size, windows.start, windows.step, logarithms, found, *part)

        if threads == 1:
            measure((0, len(rows)))
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(measure, itertools.pairwise(edges)))
        return torch.from_numpy(found)

    def _grey(self, name: str, pixels: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return the grey levels of the pixels (B, T, C, Y, X); `MASKED` where not valid."""
        low, high = self.limits[:, self.bands[name]].cpu().numpy()[..., None, None]
        width = np.where(high > low, (high - low) / self.levels, 1)
        grey = np.clip((pixels - low) / width, 0, self.levels - 1).astype(np.uint8)
        return np.where(valid[:, :, None], grey, np.uint8(MASKED))

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *more: Any) -> None:
        """Load the limits.

        Raises
        ------
        ModelError
            The limits of a band are not in order.
        """
        limits = state_dict.get(f"{prefix}limits")
        if limits is not None and not bool((limits[0] <= limits[1]).all()):
            raise ModelError(
                "The stored limits of the grey levels are damaged: a lower limit is above its upper limit."
            )
        super()._load_from_state_dict(state_dict, prefix, *more)


def _logarithms(size: int) -> NDArray[np.float64]:
    """Return n · log n for all numbers of pairs that a window can have: entropy without a logarithm for each cell."""
    numbers = np.arange(8 * size * size + 1, dtype=np.float64)
    return numbers * np.log(np.maximum(numbers, 1))


@compiled
def _measure(
    images: Any,
    grey: Any,
    levels: int,
    size: int,
    start: int,
    step: int,
    logarithms: Any,
    found: Any,
    first: int,
    last: int,
) -> None:
    """Write the features of the rows of windows from `first` to `last` to `found` (B, images · 10, rows, columns)."""
    pairs = np.zeros((levels, levels), np.int64)
    for b in range(images.shape[0]):
        for c in range(images.shape[1]):
            for row in range(first, last):
                for column in range(found.shape[3]):
                    y, x = start + row * step, start + column * step
                    out = found[b, c * 10 : c * 10 + 10, row, column]
                    shades = grey[b, c, y : y + size, x : x + size]
                    _moments(images[b, c, y : y + size, x : x + size], shades, out)
                    _haralick(_count(shades, pairs), pairs, logarithms, out)


@compiled
def _moments(pixels: Any, grey: Any, out: Any) -> None:
    """Write mean and standard deviation of the valid pixels of a window to `out`; NaN if there are none."""
    n, total, squares = 0, 0.0, 0.0
    size = pixels.shape[0]
    for y in range(size):
        for x in range(size):
            if grey[y, x] != MASKED:
                n += 1
                total += pixels[y, x]
    mean = total / n if n else np.nan
    for y in range(size):
        for x in range(size):
            if grey[y, x] != MASKED:
                squares += (pixels[y, x] - mean) ** 2
    out[8] = mean
    out[9] = math.sqrt(squares / n) if n else np.nan


@compiled
def _count(grey: Any, pairs: Any) -> int:
    """Count the pairs of neighbouring valid pixels of a window in `pairs` (levels, levels); return their number."""
    pairs[:] = 0
    size, n = grey.shape[0], 0
    for y in range(size):
        for x in range(size):
            a = grey[y, x]
            if a == MASKED:
                continue
            for k in range(4):  # right, below left, below, below right
                down, across = min(k, 1), (1, -1, 0, 1)[k]
                if y + down < size and 0 <= x + across < size:
                    b = grey[y + down, x + across]
                    if b != MASKED:
                        pairs[a, b] += 1
                        pairs[b, a] += 1
                        n += 2
    return n


@compiled
def _haralick(n: int, pairs: Any, logarithms: Any, out: Any) -> None:
    """Write the eight measures of a symmetric co-occurrence matrix of `n` pairs to `out`; NaN if there are none."""
    levels = pairs.shape[0]
    if n == 0:
        out[:8] = np.nan
        return
    mean = 0.0
    for i in range(levels):
        for j in range(levels):
            mean += i * pairs[i, j]
    mean /= n
    variance, covariance, alike, contrast, apart, moment, entropy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(levels):
        for j in range(levels):
            count = pairs[i, j]
            if count:
                variance += count * (i - mean) ** 2
                covariance += count * (i - mean) * (j - mean)
                alike += count / (1 + (i - j) ** 2)
                contrast += count * (i - j) ** 2
                apart += count * abs(i - j)
                moment += count * count
                entropy += logarithms[count]
    out[0], out[1], out[2], out[3], out[4] = mean, variance / n, alike / n, contrast / n, apart / n
    out[5], out[6] = math.log(n) - entropy / n, moment / n / n
    out[7] = covariance / variance if variance > 1e-12 * n else 1.0  # one grey level, as in scikit-image
