"""``bocage map --region`` and ``--model``: map a region of a run, or a scene with a model of another run."""

import shlex
from dataclasses import replace
from pathlib import Path

from bocage.errors import RunFolderError
from bocage.jobs.qgis import try_project
from bocage.jobs.report import asked_of, write_transfer_of
from bocage.layout import ModelLayout, RunLayout
from bocage.mapping import (
    Computing,
    LandCoverMap,
    Mapping,
    Sight,
    compare_legends,
    make_map,
    proposal,
    region_of,
    sight_of,
)
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe, words_of
from bocage.report.transfer import Adaptation, Mapped, Transfer
from bocage.run import (
    RegionChoice,
    has_results,
    held,
    map_region,
    missed_at_sites,
    open_run,
    open_scene,
    segment_first,
    settled,
)
from bocage.samples.unlabelled import PLACES, Drawing
from bocage.scene import Scene
from bocage.training import Certainty, Judgement, Reduced, Trained


def map_region_of(
    recipe: Recipe, out: Path, region: RegionChoice, progress: Progress = QUIET, overwrite: bool = False
) -> LandCoverMap | None:
    """Map a region with the model of the run in `out` into ``maps/<name>``; return None for a table of samples."""
    with held(out):
        segment_first(recipe, out, progress, overwrite)
        opened = open_run(recipe, out, progress, overwrite, ())
        return map_region(opened, region, overwrite)


def map_with(
    recipe: Recipe, model: Path, out: Path, progress: Progress = QUIET, overwrite: bool = False
) -> LandCoverMap:
    """Map the scene of the recipe with a trained model, and write a report; reference polygons are not used.

    The layers "confidence" and "novelty", which the report needs, are always written.

    `model` is the folder of a model or of a run. The differences between the legends of recipe and model are reported, and an
    adaptation is proposed if many pixels of the scene are outside the training domain.

    Raises
    ------
    RunFolderError
        `out` contains a map or a run, and `overwrite` is False.
    """
    layout = RunLayout(out)
    _check_free(layout, overwrite)
    with held(out):
        folder, scene = ModelLayout.of(model).path, open_scene(recipe, progress, out)
        trained = Trained.load(folder)
        settings = _with_layers(_precise(recipe, folder, progress), trained)
        computing = Computing(recipe.choice.training.device, recipe.workers)
        scene = trained.limited(scene)
        used = trained.for_scene(scene)
        used.check_scene(scene)
        seen = _report_fit(recipe, used, scene, model, layout, progress)
        adapted = _adaptation_of(trained, folder)
        kept = adapted is None or adapted.change.kept
        judgement = _judged(used, seen.certainty, ModelLayout(folder), progress) if kept else None
        # The record comes before the map: a run that is killed after its map has a report to write.
        mapped = Mapped(Transfer.of(used, scene, folder, asked_of(recipe)), adapted, judgement)
        _forget_other_map(layout, mapped)
        mapped.save(layout.mapped)
        land = make_map(trained, scene, settings, layout.map.path, computing, progress)
        progress.say(f"report: {write_transfer_of(layout, mapped, None, (scene, recipe.report.language), progress)}")
        try_project(layout, progress, {"": scene})
        return land


def _forget_other_map(layout: RunLayout, mapped: Mapped) -> None:
    """Make an earlier map in the folder incomplete, unless it has the same record: the new one would describe it."""
    try:
        same = Mapped.load(layout.mapped) == mapped
    except RunFolderError:  # damaged
        same = False
    if not same:
        for last in (layout.map.item, layout.map.checksums):
            last.unlink(missing_ok=True)


def _report_fit(
    recipe: Recipe, trained: Trained, scene: Scene, model: Path, layout: RunLayout, progress: Progress
) -> Sight:
    """Report the differences of the legends, and propose an adaptation if many pixels are outside the training domain."""
    for said in compare_legends(recipe.legend, trained):
        progress.say(said)
    drawing = Drawing(recipe.split.seed, region_of(recipe.map, scene), PLACES)
    seen = sight_of(trained, scene, drawing, layout.scratch, recipe.choice.training.device, progress)
    if advice := proposal(trained, seen.outside, adapting(recipe, model)):
        progress.say(advice)
    return seen


def _judged(trained: Trained, here: Certainty | None, model: ModelLayout, progress: Progress) -> Judgement | None:
    """Estimate the accuracy of a model on a scene, and report it; None if too few pixels drawn from the scene are valid."""
    if trained.certainties is None:
        return Judgement.of(trained, None)
    if here is None:
        return None  # the map says so
    judgement = Judgement.of(trained, here, missed_at_sites(model))
    progress.say(judgement.text())
    return judgement


def adapting(recipe: Recipe, model: Path) -> str:
    """Return the command that adapts a model to the scene of a recipe."""
    words = ["bocage", "adapt", str(ModelLayout.of(model).path), "--scene", str(recipe.path)]
    return shlex.join([*words, *words_of(recipe.overrides)])


def _adaptation_of(trained: Trained, model: Path) -> Adaptation | None:
    """Return the adaptation that made the model; None for the model of a run."""
    beside = Adaptation.load(RunLayout(model.parent).adapted)
    return beside if beside and beside.fingerprint == trained.fingerprint else None


def _check_free(layout: RunLayout, overwrite: bool) -> None:
    if overwrite:
        return
    if has_results(layout):
        raise RunFolderError(
            f"{layout.path} has a run, with a map and a report of its own. Choose another --out, or give --overwrite."
        )
    if layout.map.is_complete:
        raise RunFolderError(
            f"{layout.map.path} holds a map already. Choose another --out, or give --overwrite. To write its report again, run: "
            f"bocage report {shlex.quote(str(layout.path))}"
        )


def _with_layers(settings: Mapping, trained: Trained) -> Mapping:
    """Return the settings of the map with the layers of the report, and with parcels if the model delineates them.

    A model of an early version has no novelty.
    """
    needed = ("confidence", *(("novelty",) if trained.domain else ()), *(("parcels",) if trained.delineates else ()))
    return replace(settings, layers=tuple(dict.fromkeys([*settings.layers, *needed])))


def _precise(recipe: Recipe, model: Path, progress: Progress) -> Mapping:
    """Return the map's settings; bfloat16 requires that the model folder contains a comparison with float32.

    Raises
    ------
    RunFolderError
        The precision is bfloat16, and the model folder has no comparison.
    """
    if recipe.map.precision == "float32":
        return recipe.map
    comparison = Reduced.load(model)
    if comparison is None:
        raise RunFolderError(
            f"{model}: no comparison of bfloat16 with float32, which needs the validation polygons of the model's own run. "
            'Run that map once with [map] precision = "bfloat16", or set precision = "float32" here.'
        )
    return settled(recipe.map, comparison, recipe.choice.training.device, progress)
