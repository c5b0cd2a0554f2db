"""Lattice of cells in which a network computes a map; windows consist of whole cells."""

from bocage.models import MODELS, card_for, step_of
from bocage.training import Trained

DENSE, SMALL = 256, 128
"""Side of a cell in map pixels. DENSE: for a network that computes a window in one piece; the larger the cell, the smaller
the share of its halo. SMALL: for a network that computes a few pixels or patches at a time."""


def lattice(trained: Trained, shape: tuple[int, int], tile: int) -> tuple[tuple[int, int], int]:
    """Return the shape of the cells of a map of `shape` pixels, and the side of its windows: whole cells, `tile` at least."""
    exact = trained.has_context and card_for(MODELS.get(trained.name), trained.config).dense == "exact"
    side = DENSE if exact else SMALL
    step = step_of(trained.inputs, trained.model.step)
    cell = max(min(-(-side // step), -(-n // step)) * step for n in shape)
    return (cell, cell), -(-tile // cell) * cell
