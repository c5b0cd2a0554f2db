"""A validation sample of a map: drawn by its classes, and what it says when it comes back labelled."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from bocage.errors import EvaluationError, RunFolderError
from bocage.evaluation import Adjusted, stratified
from bocage.evaluation.design import SampleDesign, allocate
from bocage.evaluation.sample import Drawn, read_sample, write_sample
from bocage.grid import Grid, Window
from bocage.mapping import count_codes, locate, open_map, read_codes
from bocage.pipeline.opening import open_scene
from bocage.pipeline.recipe import Recipe
from bocage.pipeline.stages import SAMPLE
from bocage.progress import QUIET, Progress
from bocage.sources.raster import fingerprint


def map_of(recipe: Recipe, grid: Grid, out: Path) -> Path:
    """Return the class map of a run's folder.

    Raises
    ------
    RunFolderError
        There is none.
    """
    classes = open_map(recipe.legend, grid, recipe.map, out / "map").files["classes"]
    if not classes.exists():
        raise RunFolderError(f"{out} has no map; run 'bocage run' or 'bocage map' first.")
    return classes


def design_sample(
    recipe: Recipe,
    out: Path,
    design: SampleDesign,
    expected: Mapping[str, float],
    path: Path,
    progress: Progress = QUIET,
) -> Drawn:
    """Draw a stratified random sample of the map's pixels, and write it to `path` for photo-interpretation.

    Parameters
    ----------
    expected
        User's accuracies that are expected of some classes, by name.

    Raises
    ------
    EvaluationError
        A class is unknown, or the file exists.
    """
    unknown = [name for name in expected if name not in recipe.legend.names]
    if unknown:
        raise EvaluationError(f"The legend has no class '{unknown[0]}'; it has {', '.join(recipe.legend.names)}.")
    grid, codes = open_scene(recipe, progress).grid, recipe.legend.codes
    classes = map_of(recipe, grid, out)
    sizes = dict(zip(codes, count_codes(classes, recipe.legend, grid).tolist(), strict=True))
    wanted = {codes[recipe.legend.names.index(name)]: value for name, value in expected.items()}
    drawn = locate(classes, grid, allocate(sizes, design, wanted), design.seed)
    order = np.random.default_rng((design.seed, 1)).permutation(len(drawn))  # numbers tell nothing of the classes
    row, column, stratum = drawn[order].T
    found = Drawn(
        row,
        column,
        stratum,
        {c: n for c, n in sizes.items() if n},
        fingerprint(classes),
        grid.crs.to_wkt(),
        tuple(grid.transform)[:6],
    )
    write_sample(found, grid, path)
    return found


def evaluate_sample(
    recipe: Recipe, out: Path, path: Path, field: str = "label", progress: Progress = QUIET
) -> Adjusted:
    """Estimate accuracies and areas of the run's map from a labelled sample; keep them for the report.

    Raises
    ------
    EvaluationError
        The sample is not the one of its design, has unknown labels, or lies outside the map altogether.
    """
    drawn = Drawn.load(path)
    back = read_sample(path, drawn, recipe.legend, field)
    grid = open_scene(recipe, progress).grid
    classes = map_of(recipe, grid, out)
    if back.unlabelled:
        progress.say(f"{path.name}: {back.unlabelled} of {len(drawn)} pixels have no label; they are left out.")
    if fingerprint(classes) != drawn.fingerprint:
        progress.say(
            f"{path.name} was drawn from another version of the map: its strata stay those of that version (Stehman 2014), and "
            "the labels judge the map as it is now."
        )
    mapped = _mapped(drawn, back.number, classes, grid, recipe, progress, path)
    seen = mapped >= 0
    if not seen.any():
        raise EvaluationError(f"{path}: none of its labelled pixels lies on the map; is it the sample of another map?")
    stratum = drawn.stratum[back.number][seen]
    found = stratified(
        stratum, mapped[seen], back.label[seen], drawn.sizes, recipe.legend.names, _shares(classes, grid, recipe)
    )
    partial = out / f".{SAMPLE}.part"
    partial.write_text(json.dumps({"file": path.name, **found.as_dict()}, indent=1, ensure_ascii=False))
    os.replace(partial, out / SAMPLE)
    return found


def _shares(classes: Path, grid: Grid, recipe: Recipe) -> list[float]:
    counts = count_codes(classes, recipe.legend, grid)
    return [float(n / max(1, int(counts.sum()))) for n in counts]


def _mapped(
    drawn: Drawn, number: NDArray[np.int64], classes: Path, grid: Grid, recipe: Recipe, progress: Progress, path: Path
) -> NDArray[np.int64]:
    """Position of the class that the map has at each labelled pixel now; −1 outside it or where it has no data."""
    a, b = Affine(*drawn.transform), ~grid.transform
    x, y = a.c + (drawn.column[number] + 0.5) * a.a, a.f + (drawn.row[number] + 0.5) * a.e
    column, row = np.floor(b.c + x * b.a).astype(int), np.floor(b.f + y * b.e).astype(int)
    inside = (row >= 0) & (column >= 0) & (row < grid.shape[0]) & (column < grid.shape[1])
    position = {code: k for k, code in enumerate(recipe.legend.codes)}
    found = np.full(len(number), -1)
    for i in np.flatnonzero(inside):
        code = int(read_codes(classes, grid, Window(int(row[i]), int(column[i]), 1, 1))[0, 0])
        found[i] = position.get(code, -1)
    outside, nodata = int((~inside).sum()), int((inside & (found < 0)).sum())
    for n, where in ((outside, "outside the map"), (nodata, "where the map has no data")):
        if n:
            progress.say(f"{path.name}: {n} labelled pixels lie {where}; they are left out.")
    return found
