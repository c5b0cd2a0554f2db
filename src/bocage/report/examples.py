"""Main confusions, each with an image example."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import BocageError
from bocage.grid import Window
from bocage.mapping import read_codes
from bocage.report import figures
from bocage.report.imagery import best_source, composite, reduced, refined, stretch_of
from bocage.report.material import Material
from bocage.samples import Samples
from bocage.words import number, sentence, words_of

Stretch = dict[str, tuple[float, float]]
SIDE = 48
"""Side of a chip, in map pixels."""


def worst(made: Material) -> list[dict[str, Any]]:
    """Return the confusions with the most pixels over all draws: a sentence for each and, if the run has a map, chips."""
    matrix, language = made.score.matrix, made.language
    wrong = matrix.counts - np.diag(matrix.right)
    order = np.argsort(-wrong, axis=None, kind="stable")[: made.settings.examples]
    pairs = [divmod(int(k), len(matrix.names)) for k in order if wrong.flat[k]]
    stretch = _stretch(made) if pairs and made.land and made.land.is_readable else None
    found = []
    for reference, mapped in pairs:
        pixels = int(wrong[reference, mapped])
        share = number(100 * pixels / max(1, int(matrix.of_reference[reference])), language, 0)
        classes = {"reference": matrix.names[reference], "mapped": matrix.names[mapped]}
        words = sentence("pair_line", language, n=pixels, share=share, **classes)
        found.append({"words": words, "chips": _chips(made, reference, mapped, stretch)})
    return found


def _chips(made: Material, reference: int, mapped: int, stretch: Stretch | None) -> list[tuple[str, str]]:
    """Return the caption and picture of each chip of a confusion; empty without a map, or without such a pixel in its draw."""
    tested = made.tested
    members = np.flatnonzero((tested.label == reference) & (tested.predicted == mapped))
    if made.land is None or not made.land.is_readable or not len(members):
        return []
    # Example: the most confident pixel of the polygon with the most pixels of this confusion.
    polygons, counts = np.unique(tested.polygon[members], return_counts=True)
    candidates = members[tested.polygon[members] == polygons[counts.argmax()]]
    pixel = candidates[tested.confidence[candidates].argmax()]
    window = _around(int(tested.row[pixel]), int(tested.column[pixel]), made.scene.grid.shape)
    w, chips = words_of(made.language), []
    seen = _imagery(made, window, stretch) if stretch else None
    if seen is not None:
        chips.append((w["chip_image"], figures.image(seen)))
    codes = read_codes(made.land.files["classes"], made.scene.grid, window)
    chips.append((w["chip_map"], figures.image(figures.colored(codes, made.land.legend))))
    chips.append((w["chip_truth"], figures.image(reference_picture(made.samples, window))))
    return chips


def _around(row: int, column: int, shape: tuple[int, int]) -> Window:
    """Return a window of at most ``SIDE`` pixels a side around a pixel, inside the map."""
    height, width = (min(SIDE, n) for n in shape)
    y, x = (
        min(max(0, at - SIDE // 2), n - side) for at, n, side in ((row, shape[0], height), (column, shape[1], width))
    )
    return Window(y, x, height, width)


def _stretch(made: Material) -> Stretch | None:
    """Return the display range of each band over the scene, common to all chips; None if the imagery cannot be read."""
    try:
        return stretch_of(made.scene.cubes[best_source(made.scene)].source, reduced(made.scene.grid, 256))
    except BocageError:
        return None


def _imagery(made: Material, window: Window, stretch: Stretch) -> NDArray[np.float64] | None:
    cube = made.scene.cubes[best_source(made.scene)]
    try:
        return composite(cube.source, refined(made.scene.grid.crop(window), cube), stretch)[0]
    except BocageError:  # the imagery may have moved since the run; the other chips do not need it
        return None


def reference_picture(samples: Samples, window: Window) -> NDArray[np.uint8]:
    """Return an image (y, x, 4), RGBA, of the labelled pixels of a window, in the colours of all levels; sets are transparent."""
    row, column = samples.row - window.y, samples.column - window.x
    inside = (row >= 0) & (row < window.height) & (column >= 0) & (column < window.width)
    codes = np.zeros((window.height, window.width), np.int64)
    codes[row[inside], column[inside]] = samples.codes_and_names[0][inside]
    return figures.colored(codes, samples.legend.whole)
