"""``bocage evaluate --sample``: accuracy and areas of a map, from a labelled validation sample."""

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
    """Estimate accuracies and areas of the run's map from a labelled sample; keep them for the report.

    Raises
    ------
    EvaluationError
        The sample is not that of its design, has unknown labels, or lies outside the map altogether.
    """
    drawn = Drawn.load(path)
    labelled = read_sample(path, drawn, recipe.legend, field)
    land = map_of(recipe, open_scene(recipe, progress).grid, out)
    if labelled.unlabelled:
        progress.say(f"{path.name}: {labelled.unlabelled} of {len(drawn)} pixels have no label and are left out.")
    if fingerprint(land.files["classes"]) != drawn.fingerprint:
        progress.say(
            f"{path.name} was drawn from another version of the map: its strata stay those of that version (Stehman 2014), and "
            "the labels evaluate the map as it is now."
        )
    mapped = _mapped(drawn, labelled, land)
    _report_missing(mapped, path, progress)
    seen = mapped >= 0
    if not seen.any():
        raise EvaluationError(f"{path}: none of its labelled pixels lies on the map; is it the sample of another map?")
    stratum, shares = drawn.stratum[labelled.number][seen], land.areas.shares
    found = stratified(stratum, mapped[seen], labelled.label[seen], drawn.sizes, recipe.legend.names, shares)
    write_json(RunLayout(out).sample, {"file": path.name, **found.as_dict()})
    return found


OUTSIDE, NODATA = -2, -1
"""Positions of labelled pixels that have no class on the map."""


def _mapped(drawn: Drawn, labelled: Labelled, land: LandCoverMap) -> NDArray[np.int64]:
    """Position of the class that the map has at each labelled pixel now (N,); negative where it has none."""
    a, b, grid, number = Affine(*drawn.transform), ~land.grid.transform, land.grid, labelled.number
    x, y = a.c + (drawn.column[number] + 0.5) * a.a, a.f + (drawn.row[number] + 0.5) * a.e
    column, row = np.floor(b.c + x * b.a).astype(int), np.floor(b.f + y * b.e).astype(int)
    inside = (row >= 0) & (column >= 0) & (row < grid.shape[0]) & (column < grid.shape[1])
    table = np.full(65536, NODATA)
    table[list(land.legend.codes)] = np.arange(len(land.legend.codes))
    found = np.full(len(number), OUTSIDE)
    found[inside] = table[codes_at(land.files["classes"], grid, row[inside], column[inside])]
    return found


def _report_missing(mapped: NDArray[np.int64], path: Path, progress: Progress) -> None:
    for value, where in ((OUTSIDE, "outside the map"), (NODATA, "where the map has no data")):
        if n := int((mapped == value).sum()):
            progress.say(f"{path.name}: {n} labelled pixels lie {where} and are left out.")
