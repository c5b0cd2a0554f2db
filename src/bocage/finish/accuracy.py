"""Accuracy of a map before and after each step of its finishing, at the test pixels of the draw that made the map."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation import Clusters, Predictions, Score
from bocage.evaluation.matrix import ConfusionMatrix
from bocage.evaluation.paired import Paired, clustered_mcnemar
from bocage.grid import Grid
from bocage.legend import Legend
from bocage.mapping.codes import codes_at

PIXELS = "classes"
"""Name of the map as it was classified."""
TITLES = {PIXELS: "pixel map", "voted": "voted map", "regularised": "regularised map"}
"""Layer → its name in messages."""


@dataclass(frozen=True)
class Steps:
    """The same test pixels on the maps of all steps."""

    draw: int | None
    """Number of the draw that made the map, from 0; None for a map of several, such as a fusion."""
    polygons: int
    """Number of test polygons."""
    unmapped: int
    """Number of test pixels without a class on the map, which are not used."""
    scores: Mapping[str, Score]
    """Layer → its score."""
    tests: Mapping[str, Paired]
    """Layer → its comparison with the map as it was classified."""

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``finish/score.json``."""
        reference = "the test polygons of one draw" if self.draw is not None else "the test polygons of the map"
        design = {"reference": reference, "draw": self.draw, "polygons": self.polygons}
        compared = {
            name: {"difference": test.difference, "p": test.p, "test": test.test} for name, test in self.tests.items()
        }
        return {
            "design": design,
            "unmapped_pixels": self.unmapped,
            "maps": {name: score.as_dict() for name, score in self.scores.items()},
            "compared_with_the_pixel_map": compared,
        }

    def __str__(self) -> str:
        values = [(name, float(score.values("overall_accuracy")[0])) for name, score in self.scores.items()]
        shown = ", ".join(f"{TITLES[name]} {value:.3f}{self._p(name)}" for name, value in values)
        draw = f" of draw {self.draw + 1} (one draw, {self.polygons} polygons)" if self.draw is not None else ""
        return f"Overall accuracy on the test polygons{draw}: {shown}."

    def _p(self, name: str) -> str:
        return f" (p = {self.tests[name].p:.2g})" if name in self.tests else ""


def accuracy_of_steps(
    tested: Predictions,
    draw: int | None,
    files: Mapping[str, Path],
    place: tuple[Grid, Legend],
    metrics: tuple[str, ...],
    units: Clusters | None = None,
) -> Steps | None:
    """Score maps at the test pixels; return None if none of these has a class on the map.

    Parameters
    ----------
    files
        Layer → file of its classes; the first is the map as it was classified.
    place
        Grid and legend of the map.
    units
        Sampling units of the test pixels; None: their polygons.
    """
    grid, legend = place
    table = legend.positions()
    row, column = (np.asarray(place, np.int64) for place in (tested.row, tested.column))
    found: dict[str, NDArray[Any]] = {name: table[codes_at(path, grid, row, column)] for name, path in files.items()}
    seen = np.all([positions >= 0 for positions in found.values()], axis=0)
    if not seen.any():
        return None
    label, polygon, clusters = tested.label[seen], tested.polygon[seen], units or Clusters(tested.polygon)
    scores = {
        name: Score((ConfusionMatrix.of(label, positions[seen], legend.names).without_absent,), metrics)
        for name, positions in found.items()
    }
    right = {name: positions[seen] == label for name, positions in found.items()}
    tests = {
        name: clustered_mcnemar(right[name], right[PIXELS], clusters.number[seen], (name, PIXELS), clusters.unit)
        for name in files
        if name != PIXELS
    }
    return Steps(draw, len(np.unique(polygon)), int((~seen).sum()), scores, tests)
