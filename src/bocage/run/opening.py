"""Steps before the stages: open the scene, claim the run's folder, prepare the scene on disk, cut the samples."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from bocage.disk import digest, remove_folder
from bocage.errors import Problem, RecipeError
from bocage.layout import RunLayout
from bocage.mapping import check_truth
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run.folder import Inputs, RunFolder
from bocage.run.opened import open_scene, read_for
from bocage.run.stages import STAGES, Keys, Run, map_key
from bocage.run.start import settled_start
from bocage.samples import Needs, Samples, WindowNeeds, make_samples
from bocage.samples.cut import STORE
from bocage.scene import Prepared, Scene, prepare_scene
from bocage.training import check_device, needs_for


@dataclass(frozen=True)
class Claimed:
    """An opened scene, the folder of its run, and the input files."""

    scene: Scene
    folder: RunFolder
    inputs: Inputs


def claim(recipe: Recipe, layout: RunLayout, progress: Progress, overwrite: bool) -> Claimed:
    """Open the scene and claim the folder."""
    scene = open_scene(recipe, progress, layout.path)
    truth = recipe.evaluation.truth
    if truth and (said := check_truth(truth, scene.grid, recipe.legend)):  # before hours of training
        progress.say(said)
    inputs = Inputs.of(recipe, scene)
    return Claimed(scene, RunFolder.claim(layout, recipe, inputs, overwrite), inputs)


def prepared(
    recipe: Recipe, scene: Scene, folder: RunFolder, progress: Progress, where: Path | None = None
) -> tuple[Scene, dict[str, Prepared]]:
    """Write prepared cubes to the run's folder or to `where`, as the recipe's section ``[scene]`` selects.

    If cubes were prepared, the duration is recorded.

    Returns
    -------
    The scene that reads the prepared cubes, and source → result of its preparation.
    """
    started = time.monotonic()
    ready, results = prepare_scene(scene, where or folder.layout.scene, recipe.scene, progress)
    if any(result.done for result in results.values()):
        folder.note("prepare", digest(recipe.sources, recipe.grid), time.monotonic() - started)
    for note in ready.notes[len(scene.notes) :]:
        progress.say(note)
    return ready, results


def open_run(
    recipe: Recipe,
    out: Path,
    progress: Progress = QUIET,
    overwrite: bool = False,
    stages: Sequence[str] = STAGES,
    scene_at: Path | None = None,
) -> Run:
    """Claim the run's folder, and open the scene and the samples of a recipe for the stages `stages`.

    The prepared scene is stored in the folder, or in `scene_at` if several runs share it.

    Raises
    ------
    RecipeError
        ``[map] draw`` is not the number of a fold.
    """
    check_device(recipe.choice.training)  # reports a missing device before files are read
    claimed = claim(recipe, RunLayout(out), progress, overwrite)
    scene, folder = claimed.scene, claimed.folder
    needs = needs_for(recipe.choice, recipe.choice.build(scene, recipe.legend), scene)
    start, fingerprint = settled_start(recipe, folder, claimed.inputs, progress, overwrite)
    keys = _keys(recipe, needs, claimed.inputs, fingerprint)
    current = folder.is_current("samples", keys.samples)
    if not current:
        scene, _ = prepared(recipe, scene, folder, progress, scene_at)
    samples = _samples(recipe, scene, needs, folder, keys.samples, progress)
    _check_draw(recipe, samples)
    if current and _reads_scene(folder, keys, stages, samples.draws):
        scene, _ = prepared(recipe, scene, folder, progress, scene_at)
    return Run(recipe, scene, folder, samples, keys, progress, start)


def _samples(recipe: Recipe, scene: Scene, needs: Needs, folder: RunFolder, key: str, progress: Progress) -> Samples:
    """Cut the samples, or open the samples cut before with the same key."""
    current = folder.is_current("samples", key)
    if not current:
        folder.say_damage("samples", key, progress)
        folder.forget("samples")
        remove_folder(folder.layout.cut)
    with nullcontext() if current else folder.timed("samples", key):
        samples = make_samples(scene, recipe.survey, needs, folder.layout.cut, progress)
        samples.to_parquet(folder.layout.samples, scene.ids)
    for note in samples.notes if not current else ():  # said when they were cut; the report keeps them
        progress.say(note)
    return samples


def _keys(recipe: Recipe, needs: Needs, inputs: Inputs, start: str) -> Keys:
    """Return, for every stage, the digest of its inputs and settings."""
    choice = recipe.choice
    used = read_for(recipe.sources, needs.footprints)
    side = (needs.side,) if isinstance(needs, WindowNeeds) else ()
    read = (needs.footprints, needs.any_source, *side)
    # Weights change the estimates of areas in the report, and doubt the training: no sample.
    reference = replace(recipe.reference, weight="", doubtful="keep")
    parts = (recipe.split.field, *recipe.split.fixed) if recipe.split.field else ()  # other polygons are not cut
    cut = digest(STORE, inputs.contents, recipe.grid, recipe.legend, used, reference, *read, *parts)
    plain = choice.with_training(pretrained=None)  # `start` is the digest of the pretrained weights; the path is not
    doubt = (doubtful, recipe.doctor) if (doubtful := recipe.reference.doubtful) != "keep" else ()
    train = digest(cut, recipe.split, choice.name, choice.config, plain.training, start, *plain.trainings, *doubt)
    return Keys(
        samples=cut,
        train=train,
        evaluate=digest(train, recipe.evaluation.metrics),
        map=map_key(train, recipe.map),
    )


def _check_draw(recipe: Recipe, samples: Samples) -> None:
    if recipe.map.draw >= samples.draws:
        message = f"folds are numbered 0 to {samples.draws - 1} ({', '.join(samples.folds)}); found {recipe.map.draw}"
        raise RecipeError(recipe.path, [Problem("map.draw", message)])


def _reads_scene(folder: RunFolder, keys: Keys, stages: Sequence[str], draws: int) -> bool:
    """Return whether one of the stages is not current and reads the scene."""
    to_do = [("map", keys.map)] if "map" in stages else []
    if "evaluate" in stages:
        to_do += [(f"evaluate/{k}", keys.evaluate) for k in range(draws)]
    return not all(folder.is_current(stage, key) for stage, key in to_do)
