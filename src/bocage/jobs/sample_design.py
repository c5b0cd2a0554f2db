"""``bocage sample-design``: draw a stratified random sample of a map, to be labelled by photo-interpretation."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bocage.errors import EvaluationError, RunFolderError
from bocage.evaluation.design import SampleDesign, allocate
from bocage.evaluation.sample import Drawn, check_free, write_sample
from bocage.grid import Grid
from bocage.layout import RunLayout
from bocage.mapping import LandCoverMap, count_codes, locate, open_map
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import open_scene
from bocage.sources.raster import fingerprint


def map_of(recipe: Recipe, grid: Grid, out: Path) -> LandCoverMap:
    """Return the map of a run's folder.

    Raises
    ------
    RunFolderError
        The folder has no map.
    """
    land = open_map(recipe.legend, grid, recipe.map, RunLayout(out).map.path)
    if not land.files["classes"].exists():
        raise RunFolderError(f"{out} has no map. Run 'bocage run' or 'bocage map' first.")
    return land


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
        Class name → expected user's accuracy, between 0 and 1, for classes that differ from `design.accuracy`.

    Raises
    ------
    EvaluationError
        A class is not in the legend, or the file exists.
    """
    check_free(path)  # before the pixels of the map are counted, which takes time
    unknown = [name for name in expected if name not in recipe.legend.names]
    if unknown:
        raise EvaluationError(
            f"The legend has no class '{unknown[0]}'. The classes are {', '.join(recipe.legend.names)}."
        )
    grid, codes = open_scene(recipe, progress, out).grid, recipe.legend.codes
    classes = map_of(recipe, grid, out).files["classes"]
    sizes = dict(zip(codes, count_codes(classes, recipe.legend, grid).tolist(), strict=True))
    wanted = {codes[recipe.legend.names.index(name)]: value for name, value in expected.items()}
    plan = allocate(sizes, design, wanted)
    _report(plan, design, progress)
    drawn = locate(classes, grid, plan, design.seed)
    # Random order, so that the numbers of the pixels do not reveal their mapped class to the interpreter.
    order = np.random.default_rng((design.seed, 1)).permutation(len(drawn))
    row, column, stratum = drawn[order].T
    sample = Drawn(
        row,
        column,
        stratum,
        {c: n for c, n in sizes.items() if n},
        fingerprint(classes),
        grid.crs.to_wkt(),
        tuple(grid.transform)[:6],
    )
    write_sample(sample, grid, path)
    return sample


def _report(plan: Mapping[int, int], design: SampleDesign, progress: Progress) -> None:
    """Report where the number of pixels, by class code, differs from the size of the design."""
    number = sum(plan.values())
    if design.size and number > design.size:
        progress.say(
            f"{number} pixels are drawn, not {design.size}: each of the {len(plan)} classes gets at least {design.least}. Reduce "
            "--least for a smaller sample."
        )
    elif number < design.size:
        progress.say(f"{number} pixels are drawn, not {design.size}: some classes have fewer pixels than their share.")
