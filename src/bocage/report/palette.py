"""Colours of a legend that are hard to distinguish with normal vision, a colour vision deficiency, or in greyscale.

Deficiencies are simulated in linear RGB with the matrices of Machado, Oliveira & Fernandes 2009
(doi:10.1109/TVCG.2009.113) at full severity. Colour differences are Euclidean distances in CIE L*a*b* (D65).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

VISION = {
    "normal": np.eye(3),
    "protan": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deutan": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritan": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
    "grey": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),
}
"""Kind of vision → matrix (3, 3) from linear RGB to linear RGB."""
NEAREST = {"normal": 12.0, "protan": 9.0, "deutan": 9.0, "tritan": 9.0, "grey": 3.0}
"""Kind of vision → smallest accepted colour difference; lower in greyscale, where a dozen classes share one axis."""
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])


@dataclass(frozen=True)
class Alike:
    """Two classes whose colours are hard to distinguish."""

    vision: str
    first: str
    second: str


def alike(names: Sequence[str], colors: Sequence[str]) -> list[Alike]:
    """Return the pairs of classes whose ``#rrggbb`` colours are too similar.

    Each pair is listed once, for the first kind of vision that confuses it: normal, then deficiencies, then greyscale.

    >>> alike(["meadow", "forest"], ["#808000", "#818101"])
    [Alike(vision='normal', first='meadow', second='forest')]
    """
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colors]).reshape(-1, 3) / 255
    found, listed = [], set()
    for vision, matrix in VISION.items():
        seen = _lab(np.clip(_linear(rgb) @ matrix.T, 0, 1))
        for a, b in combinations(range(len(names)), 2):
            if (a, b) not in listed and float(np.linalg.norm(seen[a] - seen[b])) < NEAREST[vision]:
                listed.add((a, b))
                found.append(Alike(vision, names[a], names[b]))
    return found


def _linear(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled = linear @ TO_XYZ.T / WHITE
    f = np.where(scaled > 216 / 24389, np.cbrt(scaled), (24389 / 27 * scaled + 16) / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
