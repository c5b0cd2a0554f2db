"""Choose spatial blocks that contain about a share of the polygons of every class."""

import numpy as np
from numpy.typing import NDArray

ORDERS = 20
"""Number of further random orders of the blocks that are tried if a class is absent from a side and need not be."""


def choose_blocks(
    polygons: NDArray[np.float64], share: float, generator: np.random.Generator, validation: bool = False
) -> NDArray[np.bool_]:
    """Choose blocks that contain about `share` of the polygons of every class; return (B,) bool.

    A class with two blocks or more is among the chosen and among the other blocks, where the blocks permit it.

    Parameters
    ----------
    polygons : (B, K)
        Number of polygons of each class in each block.
    validation
        Whether the chosen blocks validate and the others train: then the last block of a class is never chosen, and this has
        priority.
    """
    best = _mended(polygons, _near(polygons, share, generator), validation)
    # Orders that are tried in addition have numbers of their own: those that `generator` gives next do not depend on them.
    (others,) = generator.spawn(1)
    for _ in range(ORDERS):
        if not _lost(polygons, best[None], validation)[0] or (validation and best.any()):
            break
        other = _mended(polygons, _near(polygons, share, others), validation)
        best = min(best, other, key=lambda chosen: _lost(polygons, chosen[None], validation)[0])
    return best


def _near(polygons: NDArray[np.float64], share: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Visit blocks in random order, and choose a block if it brings the classes closer to their shares; return (B,).

    Then, if a class is absent from the chosen or from the other blocks and has two blocks or more, one of its blocks is moved to
    that side.
    """
    wanted = np.maximum(share * polygons.sum(0), 1e-9)
    taken, chosen = np.zeros(polygons.shape[1]), np.zeros(len(polygons), bool)
    for block in generator.permutation(len(polygons)):
        gain = np.abs(wanted - taken) - np.abs(wanted - taken - polygons[block])
        if float((gain / wanted).sum()) > 0:
            chosen[block] = True
            taken += polygons[block]
    for one_class in np.argsort(polygons.sum(0)):
        holds = polygons[:, one_class] > 0
        for side in (True, False):
            if holds.sum() > 1 and not (holds & (chosen == side)).any():
                # Move the block with the fewest polygons, to change the shares of the other classes least.
                candidates = np.flatnonzero(holds)
                chosen[candidates[polygons[candidates].sum(1).argmin()]] = side
    return chosen


def _mended(polygons: NDArray[np.float64], chosen: NDArray[np.bool_], validation: bool) -> NDArray[np.bool_]:
    """Move single blocks, small ones first, to the other side while fewer classes are absent from a side; return (B,)."""
    while lost := _lost(polygons, chosen[None], validation)[0]:
        moved = chosen ^ np.eye(len(chosen), dtype=bool)
        after = _lost(polygons, moved, validation)
        best = np.lexsort((polygons.sum(1), after))[0]
        if after[best] >= lost:
            break
        chosen = moved[best]
    return chosen


def _lost(polygons: NDArray[np.float64], chosen: NDArray[np.bool_], validation: bool) -> NDArray[np.int64]:
    """Return the number of classes that are absent from a side and need not be, for each of some choices (M, B), (M,).

    For a validation part, a class that is absent from the other blocks counts more than all classes absent from the chosen ones.
    """
    holds = (polygons > 0).astype(np.int64)
    several, any_block = holds.sum(0) > 1, holds.sum(0) > 0
    inside = chosen.astype(np.int64) @ holds
    outside = holds.sum(0) - inside
    weight, needed = (len(several) + 1, any_block) if validation else (1, several)
    return np.asarray(((inside == 0) & several).sum(1) + weight * ((outside == 0) & needed).sum(1), np.int64)
