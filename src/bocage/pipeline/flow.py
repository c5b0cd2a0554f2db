"""The whole flow: one call per room."""

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from bocage.errors import RunFolderError
from bocage.mapping import LandCoverMap, Mapping, is_complete, make_map
from bocage.models import any_source, build
from bocage.pipeline.opening import claim, open_scene, prepared
from bocage.pipeline.recipe import Recipe
from bocage.pipeline.runfolder import RunFolder, digest, held
from bocage.pipeline.stages import STAGES, Run, settled
from bocage.pipeline.transfer import start_of
from bocage.progress import QUIET, Progress
from bocage.samples import make_samples
from bocage.samples.cut import STORE
from bocage.scene import Prepared
from bocage.training import Reduced, Trained, check_device, input_specs


def open_run(
    recipe: Recipe,
    out: Path,
    progress: Progress = QUIET,
    overwrite: bool = False,
    stages: Sequence[str] = STAGES,
    scene_at: Path | None = None,
) -> Run:
    """Open the scene and the samples of a recipe for some stages, and claim the run's folder.

    The prepared scene lies in the folder too, or in `scene_at` where several runs share it.
    """
    check_device(recipe.training)  # told before anything is read
    scene, folder, inputs = claim(recipe, out, progress, overwrite)
    network = build(recipe.model, input_specs(scene), len(recipe.legend.classes), recipe.config)
    used = {name: recipe.sources[name] for name in network.footprints}
    some = any_source(network)
    cut = digest(STORE, inputs, recipe.grid, recipe.legend, used, recipe.reference, network.footprints, some)
    samples_key = digest(cut, recipe.split)
    start = start_of(recipe, folder, inputs, progress)
    known = (start.fingerprint,) if start else ()
    training = replace(recipe.training, pretrained=None)  # its content counts, not its place
    keys = {"train": digest(samples_key, recipe.model, recipe.config, training, *known)}
    keys |= {"evaluate": digest(keys["train"], recipe.evaluation.metrics), "map": digest(keys["train"], recipe.map)}
    where = out / "scene" / "samples"
    current = folder.is_current("samples", cut)
    if not current:
        folder.forget("samples")
        shutil.rmtree(where, ignore_errors=True)
    if not current or _reads_scene(recipe, folder, keys, stages):
        scene, _ = prepared(recipe, scene, folder, progress, scene_at)
    with nullcontext() if current else folder.timed("samples", cut):
        samples = make_samples(
            scene, recipe.legend, recipe.reference, recipe.split, network.footprints, where, progress, some
        )
        samples.to_parquet(out / "samples.parquet")
    for note in samples.notes:
        progress.say(note)
    if samples.folds:
        recipe = replace(recipe, split=replace(recipe.split, draws=len(samples.folds)))
    return Run(recipe, scene, folder, samples, keys, progress, start)


def _reads_scene(recipe: Recipe, folder: RunFolder, keys: dict[str, str], stages: Sequence[str]) -> bool:
    """Whether one of the stages has something to do that reads the scene."""
    open_ends = [("map", keys["map"])] if "map" in stages else []
    if "evaluate" in stages:
        open_ends += [(f"evaluate/{k}", keys["evaluate"]) for k in range(recipe.split.draws)]
    return not all(folder.is_current(stage, key) for stage, key in open_ends)


def prepare(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> dict[str, Prepared]:
    """Prepare the scene in the run's folder, every cube that it pays for; no reference polygon is read.

    Raises
    ------
    SceneError
        The disk is full; what is complete is kept.
    """
    with held(out):
        scene, folder, _ = claim(recipe, out, progress, overwrite)
        return prepared(recipe, scene, folder, progress)[1]


def run(
    recipe: Recipe,
    out: Path,
    stages: Sequence[str] = STAGES,
    progress: Progress = QUIET,
    overwrite: bool = False,
    scene_at: Path | None = None,
) -> Run:
    """Follow a recipe through some or all of its stages."""
    with held(out):
        opened = open_run(recipe, out, progress, overwrite, stages, scene_at)
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
    if is_complete(folder) and not overwrite:
        raise RunFolderError(f"{folder} holds a map already; choose another --out, or give --overwrite.")
    with held(out):
        trained, scene = Trained.load(model), open_scene(recipe, progress)
        settings = _precise(recipe, model, progress)
        return make_map(trained, scene, settings, folder, recipe.training.device, progress, recipe.workers)


def _precise(recipe: Recipe, model: Path, progress: Progress) -> Mapping:
    """Return the map's settings; bfloat16 needs a model that was looked at in it.

    Raises
    ------
    RunFolderError
        It was not.
    """
    if recipe.map.precision == "float32":
        return recipe.map
    found = Reduced.load(model)
    if found is None:
        raise RunFolderError(
            f"{model} was never looked at in bfloat16: only its own run has the validation polygons. Map there once with "
            '[map] precision = "bfloat16", or use float32 here.'
        )
    return settled(recipe.map, found, recipe.training.device, progress)
