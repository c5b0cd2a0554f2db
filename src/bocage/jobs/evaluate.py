"""``bocage evaluate --sample``: estimate accuracies and areas of a map from a labelled validation sample."""

from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from bocage.disk import write_json
from bocage.errors import EvaluationError
from bocage.evaluation import Adjusted, stratified
from bocage.evaluation.sample import Drawn, Labelled, read_sample
from bocage.jobs.sample_design import map_of
from bocage.layout import RunLayout
from bocage.mapping import LandCoverMap, codes_at
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import open_scene
from bocage.sources.raster import fingerprint


def evaluate_sample(
    recipe: Recipe, out: Path, path: Path, field: str = "label", progress: Progress = QUIET
) -> Adjusted:
    """Estimate accuracies and areas of the run's map from a labelled sample, and store the estimates for the report.

    Raises
    ------
    EvaluationError
        The sample does not match its design, has unknown labels, or none of its labelled pixels is on the map.
    """
    drawn = Drawn.load(path)
    labelled = read_sample(path, drawn, recipe.legend, field)
    land = map_of(recipe, open_scene(recipe, progress).grid, out)
    if labelled.unlabelled:
        progress.say(f"{path.name}: {labelled.unlabelled} of {len(drawn)} pixels have no label and are not used.")
    if fingerprint(land.files["classes"]) != drawn.fingerprint:
        progress.say(
            f"{path.name} was drawn from another version of the map. The strata are those of that version (Stehman 2014), and "
            "the labels evaluate the current map."
        )
    mapped = mapped_at(drawn, labelled, land)
    _report_missing(mapped, path, progress)
    seen = mapped >= 0
    if not seen.any():
        raise EvaluationError(
            f"{path}: none of its labelled pixels is on the map. Check that it is the sample of this map."
        )
    stratum, shares = drawn.stratum[labelled.number][seen], land.areas.shares
    estimates = stratified(stratum, mapped[seen], labelled.label[seen], drawn.sizes, recipe.legend.names, shares)
    write_json(RunLayout(out).sample, {"file": path.name, **estimates.as_dict()})
    return estimates


OUTSIDE, NODATA = -2, -1
"""Class positions of labelled pixels that are outside the map, or have no class on the map."""


def mapped_at(drawn: Drawn, labelled: Labelled, land: LandCoverMap) -> NDArray[np.int64]:
    """Return the position of the current map class at each labelled pixel, (N,); negative without a class."""
    a, b, grid, number = Affine(*drawn.transform), ~land.grid.transform, land.grid, labelled.number
    x, y = a.c + (drawn.column[number] + 0.5) * a.a, a.f + (drawn.row[number] + 0.5) * a.e
    column, row = np.floor(b.c + x * b.a).astype(int), np.floor(b.f + y * b.e).astype(int)
    inside = (row >= 0) & (column >= 0) & (row < grid.shape[0]) & (column < grid.shape[1])
    table = np.full(65536, NODATA)
    table[list(land.legend.codes)] = np.arange(len(land.legend.codes))
    mapped = np.full(len(number), OUTSIDE)
    mapped[inside] = table[codes_at(land.files["classes"], grid, row[inside], column[inside])]
    return mapped


def _report_missing(mapped: NDArray[np.int64], path: Path, progress: Progress) -> None:
    for value, where in ((OUTSIDE, "outside the map"), (NODATA, "where the map has no data")):
        if n := int((mapped == value).sum()):
            progress.say(f"{path.name}: {n} labelled pixels are {where} and are not used.")
