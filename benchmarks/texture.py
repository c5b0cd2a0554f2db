"""Windows of Haralick's texture measures per second on one core: the kernel of the trees, and scikit-image on the same windows.

python -m benchmarks.texture
"""

import numpy as np
import torch
from skimage.feature import graycomatrix, graycoprops

from benchmarks.frame import command_line, table
from benchmarks.measuring import interleaved
from bocage.grid import Ratio
from bocage.models import InputSpec
from bocage.models.texture import Texture, Windows

SIDE, FEW, ROUNDS = 256, 200, 3
"""Side of the image in windows, number of windows that scikit-image measures, number of rounds."""
CASES = ((5, 8), (7, 8), (7, 16), (11, 8), (31, 8))
"""Side of the window and number of grey levels."""
NAMES = ("mean", "variance", "homogeneity", "contrast", "dissimilarity", "entropy", "ASM", "correlation")
ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
PAN = InputSpec("pan", ("pan",), 1, Ratio())


def windows_per_second(size: int, levels: int) -> tuple[float, float]:
    """Return the windows per second of the kernel and of scikit-image."""
    side = SIDE + size - 1
    image = np.random.default_rng(0).integers(0, levels, (side, side)).astype(np.uint8)
    texture = Texture({"pan": PAN}, {"pan": size}, levels)
    texture.limits[:] = torch.tensor([0.0, levels])[:, None]
    values, seen = (
        torch.from_numpy(image.astype(np.float32))[None, None, None],
        torch.ones(1, 1, side, side, dtype=torch.bool),
    )

    def theirs() -> None:
        for x in range(FEW):
            matrix = graycomatrix(image[:size, x : x + size], [1], ANGLES, levels=levels, symmetric=True)
            for name in NAMES:
                graycoprops(matrix.sum(3, keepdims=True), name)

    works = {
        "bocage": lambda: texture.columns("pan", values, seen, Windows(size, 0, 1, (SIDE, SIDE))),
        "scikit-image": theirs,
    }
    found = interleaved(works, ROUNDS)
    return SIDE**2 / found["bocage"], FEW / found["scikit-image"]


def run() -> str:
    """Measure all cases and return the table."""
    torch.set_num_threads(1)
    rows = []
    for size, levels in CASES:
        ours, theirs = windows_per_second(size, levels)
        rows.append((f"{size} × {size}", levels, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:,.0f}"))
    return "\n" + table(("window", "grey levels", "bocage, windows/s", "scikit-image, windows/s", "ratio"), rows)


if __name__ == "__main__":
    command_line(__name__)
