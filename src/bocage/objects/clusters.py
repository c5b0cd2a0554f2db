"""Spectral clusters: k-means of a sample of the pixels, and the nearest cluster of each pixel.

Features are scaled to whole numbers, so that sums over objects are exact, in any order.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SceneError
from bocage.machine import compiled
from bocage.objects.stack import Stack
from bocage.progress import Progress

CELL = 64
"""Side, in pixels, of the squares from which the sample is drawn. It does not depend on the tiles."""
CELLS = 256
"""Number of these squares that are read, or more until the sample is complete."""
PERCENTILES = (2, 98)
"""Percentiles of the sample between which a feature is scaled to 0 to `UNIT`."""
UNIT, LOWEST, HIGHEST = 1000, -1000, 3000
"""Scaled value of the higher percentile; scaled values are limited to this range, for bright roofs and shadows."""


@dataclass(frozen=True)
class Clusters:
    """Scaling of the features, and centres of the clusters."""

    low: NDArray[np.float64]
    """Value of each feature that is scaled to 0 (F,)."""
    span: NDArray[np.float64]
    """Difference of values that is scaled to `UNIT` (F,)."""
    centres: NDArray[np.float64]
    """Scaled features of each centre (K, F)."""

    def scaled(self, values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.int16]:
        """Return scaled features (F, y, x), 0 where not valid."""
        shown = np.where(valid, values, 0).astype(np.float64)
        found = (shown - self.low[:, None, None]) * (UNIT / self.span[:, None, None])
        return np.where(valid, np.rint(np.clip(found, LOWEST, HIGHEST)), 0).astype(np.int16)

    def codes(self, scaled: NDArray[np.int16], valid: NDArray[np.bool_]) -> NDArray[np.uint16]:
        """Return the number of the nearest cluster of each pixel, from 1; 0 where not valid."""
        found: NDArray[np.uint16] = _nearest(scaled, valid, self.centres)
        return found


@compiled
def _nearest(scaled: Any, valid: Any, centres: Any) -> Any:
    features, height, width = scaled.shape
    found = np.zeros((height, width), np.uint16)
    pixel = np.empty(features)
    for y in range(height):
        for x in range(width):
            if not valid[y, x]:
                continue
            for f in range(features):
                pixel[f] = scaled[f, y, x]
            least = np.inf
            for k in range(centres.shape[0]):
                distance = 0.0
                for f in range(features):
                    difference = pixel[f] - centres[k, f]
                    distance += difference * difference
                    if distance >= least:
                        break
                if distance < least:
                    least = distance
                    found[y, x] = k + 1
    return found


def find_clusters(stack: Stack, count: int, pixels: int, seed: int, progress: Progress) -> Clusters:
    """Return the clusters of a random sample of `pixels` valid pixels.

    The sample depends on the grid and the seed, and on no tile.

    Raises
    ------
    SceneError
        No pixel has values in all sources.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    sample = _sample(stack, pixels, seed, progress)
    low, high = np.percentile(sample, PERCENTILES, axis=0)
    span = np.where(high > low, high - low, 1.0)
    empty = np.zeros((0, sample.shape[1]))
    scaled = Clusters(low, span, empty).scaled(sample.T[:, None], np.ones((1, len(sample)), bool))[:, 0].T
    different = np.unique(scaled, axis=0)
    if len(different) <= count:
        return Clusters(low, span, different.astype(np.float64))
    with threadpool_limits(1):  # several threads add up in an order of their own
        means = KMeans(count, n_init=1, random_state=seed, max_iter=100).fit(scaled.astype(np.float64))
    return Clusters(low, span, np.asarray(means.cluster_centers_, np.float64))


def _sample(stack: Stack, pixels: int, seed: int, progress: Progress) -> NDArray[np.float32]:
    """Return the features of random valid pixels (N, F)."""
    rng = np.random.default_rng(seed)
    cells = list(stack.grid.tiles(CELL))
    parts: list[NDArray[np.float32]] = []
    found = 0
    for done, i in enumerate(rng.permutation(len(cells)), start=1):
        values, valid = stack.read(cells[i])
        parts.append(values[:, valid].T)
        found += len(parts[-1])
        enough = done >= CELLS and found >= pixels
        progress.step("sampling pixels", done, done if enough else max(CELLS, done + 1))
        if enough:
            break
    if not found:
        names = ", ".join(cube.name for cube in stack.cubes)
        raise SceneError(
            f"[segment] sources: no pixel has values in all of {names}. Check nodata, quality and the extent of these sources."
        )
    sample = np.concatenate(parts)
    return sample[rng.choice(len(sample), pixels, replace=False)] if len(sample) > pixels else sample
