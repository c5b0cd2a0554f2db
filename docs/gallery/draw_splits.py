"""Draw the same fields three times: split by pixels, by polygons and by blocks."""

import numpy as np
from drawing import Ink, draw
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

FIELDS, SIDE, BLOCKS = 8, 6, 4
"""Fields along a side, pixels along a field, blocks along a side."""


def splits(figure: Figure, ink: Ink) -> None:
    """Draw a panel for each unit of a split."""
    random = np.random.default_rng(3)
    surveyed = np.kron(random.random((FIELDS, FIELDS)) < 0.45, np.ones((SIDE, SIDE), bool))
    parts = {
        "by pixels": random.random(surveyed.shape) < 0.5,
        "by polygons": np.kron(random.random((FIELDS, FIELDS)) < 0.5, np.ones((SIDE, SIDE), bool)),
        "by blocks": np.kron(random.random((BLOCKS, BLOCKS)) < 0.5, np.ones((surveyed.shape[0] // BLOCKS,) * 2, bool)),
    }
    for axes, (title, training) in zip(figure.subplots(1, 3), parts.items(), strict=True):
        shown = np.where(surveyed, np.where(training, 1, 2), 0)
        axes.imshow(
            shown, cmap=ListedColormap(["none", ink.first, ink.second]), vmin=0, vmax=2, interpolation="nearest"
        )
        for edge in range(0, FIELDS * SIDE + 1, SIDE):
            axes.axhline(edge - 0.5, color=ink.faint, lw=0.6)
            axes.axvline(edge - 0.5, color=ink.faint, lw=0.6)
        axes.set(title=title, xticks=[], yticks=[])
    handles = [axes.scatter([], [], marker="s", s=80, color=colour) for colour in (ink.first, ink.second)]
    figure.legend(handles, ["training", "test"], loc="outside lower center", ncols=2, frameon=False)


draw("splits", (9, 3.7), splits)
