"""The whole flow: one call per room."""

import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from bocage.errors import RunFolderError
from bocage.mapping import LandCoverMap, make_map
from bocage.models import build
from bocage.pipeline.recipe import Recipe
from bocage.pipeline.runfolder import RunFolder, digest, input_fingerprints
from bocage.pipeline.stages import STAGES, Run
from bocage.progress import QUIET, Progress
from bocage.samples import make_samples
from bocage.scene import Prepared, Scene, make_scene, prepare_scene
from bocage.sources import SENSORS, image, open_source
from bocage.training import Trained, input_specs


def open_scene(recipe: Recipe, progress: Progress = QUIET) -> Scene:
    """Open the recipe's sources and lay them on the map's grid."""
    sources = {
        name: open_source(name, SENSORS.get(c.sensor), c.settings, progress) for name, c in recipe.sources.items()
    }
    scene = make_scene(
        recipe.grid.grid(sources), list(sources.values()), {n: c.preparation for n, c in recipe.sources.items()}
    )
    told = {note for source in sources.values() for note in source.notes}
    for note in scene.notes:
        if note not in told:
            progress.say(note)
    return scene


def open_run(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> Run:
    """Open the scene and the samples of a recipe, and claim the run's folder."""
    scene, folder, inputs = _claim(recipe, out, progress, overwrite)
    network = build(recipe.model, input_specs(scene), len(recipe.legend.classes), recipe.config)
    used = {name: recipe.sources[name] for name in network.footprints}
    cut = digest(inputs, recipe.grid, recipe.legend, used, recipe.reference, network.footprints)
    samples_key = digest(cut, recipe.split)
    keys = {"train": digest(samples_key, recipe.model, recipe.config, recipe.training)}
    keys |= {"evaluate": digest(keys["train"], recipe.evaluation.metrics), "map": digest(keys["train"], recipe.map)}
    where = out / "scene" / "samples"
    current = folder.is_current("samples", cut)
    if not current:
        folder.forget("samples")
        shutil.rmtree(where, ignore_errors=True)
    scene = _prepared(recipe, scene, folder, progress)
    with nullcontext() if current else folder.timed("samples", cut):
        samples = make_samples(
            scene, recipe.legend, recipe.reference, recipe.split, network.footprints, where, progress
        )
        samples.to_parquet(out / "samples.parquet")
    for note in samples.notes:
        progress.say(note)
    if samples.folds:
        recipe = replace(recipe, split=replace(recipe.split, draws=len(samples.folds)))
    return Run(recipe, scene, folder, samples, keys, progress)


def _claim(recipe: Recipe, out: Path, progress: Progress, overwrite: bool) -> tuple[Scene, RunFolder, dict[str, str]]:
    scene = open_scene(recipe, progress)
    if recipe.evaluation.truth:
        open_source("truth", SENSORS.get("image"), image.Settings(recipe.evaluation.truth))  # told now, not at the end
    inputs = input_fingerprints(recipe, scene)
    return scene, RunFolder.claim(out, recipe, inputs, overwrite), inputs


def _prepared(recipe: Recipe, scene: Scene, folder: RunFolder, progress: Progress) -> Scene:
    """Prepare what pays in the run's folder; the stage's time is noted when there was something to do."""
    started = time.monotonic()
    prepared, made = prepare_scene(scene, folder.path / "scene", recipe.scene, progress)
    if any(one.done for one in made.values()):
        folder.note("prepare", digest(recipe.sources, recipe.grid), time.monotonic() - started)
    for note in prepared.notes[len(scene.notes) :]:
        progress.say(note)
    return prepared


def prepare(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> dict[str, Prepared]:
    """Prepare the scene in the run's folder, every cube that it pays for; no reference polygon is read.

    Raises
    ------
    SceneError
        The disk is full; what is complete is kept.
    """
    scene, folder, _ = _claim(recipe, out, progress, overwrite)
    _prepared(recipe, scene, folder, progress)
    return prepare_scene(scene, folder.path / "scene", recipe.scene)[1]


def run(
    recipe: Recipe, out: Path, stages: Sequence[str] = STAGES, progress: Progress = QUIET, overwrite: bool = False
) -> Run:
    """Follow a recipe through some or all of its stages."""
    opened = open_run(recipe, out, progress, overwrite)
    for stage in STAGES:
        if stage in stages:
            getattr(opened, stage)()
    return opened


def map_with(
    recipe: Recipe, model: Path, out: Path, progress: Progress = QUIET, overwrite: bool = False
) -> LandCoverMap:
    """Map the recipe's scene with a network trained elsewhere; no reference polygon is needed.

    Raises
    ------
    RunFolderError
        `out` holds a map already, and `overwrite` is False.
    """
    folder = out / "map"
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        raise RunFolderError(f"{folder} holds a map already; choose another --out, or give --overwrite.")
    return make_map(
        Trained.load(model), open_scene(recipe, progress), recipe.map, folder, recipe.training.device, progress
    )
