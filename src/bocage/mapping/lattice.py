"""Lattice of cells in which a network computes a map; windows consist of whole cells."""

from bocage.models import MODELS, card_for, step_of
from bocage.training import Trained

DENSE, SMALL = 256, 128
"""Side of a cell in map pixels. DENSE: for a network that computes a window in one piece and reads far around a pixel; the larger
the cell, the smaller the share of its halo. SMALL: for all others; the smaller the cell, the less memory its arrays need."""
HALO = 0.1
"""Share of the halo, relative to the pixels of the cell, that a small cell may have."""


def lattice(trained: Trained, shape: tuple[int, int], tile: int) -> tuple[tuple[int, int], int]:
    """Return the shape of the cells of a map of `shape` pixels, and the side of its windows: whole cells, `tile` at least."""
    far = _halo(trained, SMALL) > HALO
    side = DENSE if far and card_for(MODELS.get(trained.name), trained.config).dense == "exact" else SMALL
    step = step_of(trained.inputs, trained.model.step)
    cell = max(min(-(-side // step), -(-n // step)) * step for n in shape)
    return (cell, cell), -(-tile // cell) * cell


def _halo(trained: Trained, side: int) -> float:
    """Return the number of source pixels around a cell of `side` map pixels, relative to those in it: the largest of a source."""
    shares = []
    for name, footprint in trained.footprints.items():
        ratio = trained.inputs[name].ratio
        own = side * ratio.finer / ratio.coarser
        shares.append((1 + (footprint.size - ratio.finer) / own) ** 2 - 1)
    return max(shares, default=0.0)
