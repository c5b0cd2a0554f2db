"""Learning from a scene's pixels that have no label: a start for its networks, or a model of another scene adapted to it."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from bocage.errors import RunFolderError, SamplesError
from bocage.legend import Legend
from bocage.models import Footprint, any_source, build
from bocage.models.reconstruction import reconstruction
from bocage.pipeline.opening import claim, open_scene
from bocage.pipeline.recipe import Recipe
from bocage.pipeline.runfolder import RunFolder, digest, held
from bocage.progress import QUIET, Progress
from bocage.samples import labelled
from bocage.samples.cut import Cut, cut
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import without_password
from bocage.samples.unlabelled import joined, scatter
from bocage.scene import Scene
from bocage.training import (
    Adapting,
    Pretrained,
    Pretraining,
    Trained,
    adapt,
    check_device,
    input_specs,
    pretrain,
    remarks,
)
from bocage.training.pretrain import NAME

STAGE = "pretrain"
"""What the run's folder calls a pretraining."""


def adapt_to(
    recipe: Recipe,
    model: Path,
    out: Path,
    polygons: bool = False,
    settings: Adapting = Adapting(),  # noqa: B008 - frozen
    progress: Progress = QUIET,
    overwrite: bool = False,
) -> Trained:
    """Adapt a model folder to the recipe's scene, and write the new one to ``<out>/model``.

    Raises
    ------
    RunFolderError
        There is one already, and `overwrite` is False.
    TrainedError
        The scene does not offer what the network was trained on.
    SamplesError
        The recipe's polygons have a class that the model does not know.
    """
    check_device(recipe.training)
    if (out / "model").exists() and not overwrite:
        raise RunFolderError(f"{out / 'model'} is there already; choose another --out, or give --overwrite.")
    with held(out):
        scene = open_scene(recipe, progress)
        trained = Trained.load(model).for_scene(scene)
        trained.check_scene(scene)
        for remark in remarks(trained, scene):
            progress.say(remark)
        seed = recipe.split.seed
        known = _known(recipe, trained.legend, scene) if polygons else scatter(scene, 0, seed).take(np.zeros(0, int))
        free = scatter(scene, settings.pixels, seed, int(known.polygon.max(initial=-1)) + 1)
        with _cut(scene, joined(known, free), trained.footprints, out, progress, trained.any_source) as (pixels, cuts):
            region = (scene.grid.crs.to_wkt(), scene.grid.bounds)
            what = (cuts, pixels.label, pixels.polygon, region, settings, recipe.training.device, out, seed, progress)
            return adapt(trained, *what)


@contextmanager
def _cut(
    scene: Scene, pixels: Pixels, footprints: Mapping[str, Footprint], out: Path, progress: Progress, some: bool
) -> Iterator[tuple[Pixels, dict[str, Cut]]]:
    """Cut what networks need around the pixels, less those that nothing shows; the files go at the end, good or bad.

    Raises
    ------
    SamplesError
        Nothing is left.
    """
    folder = out / "pixels"
    try:
        cuts, usable = cut(scene, pixels, footprints, folder, progress, some)
        kept = np.flatnonzero(usable)
        if not len(kept):
            raise SamplesError(
                "Every pixel drawn from the scene is masked; check nodata and the values listed as clear."
            )
        yield pixels.take(kept), {name: replace(one, index=kept) for name, one in cuts.items()}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def pretrain_on(
    recipe: Recipe,
    out: Path,
    settings: Pretraining = Pretraining(),  # noqa: B008 - frozen
    progress: Progress = QUIET,
    overwrite: bool = False,
) -> Pretrained:
    """Teach the recipe's network on pixels of its scene without looking at a label, and write ``<out>/pretrained``.

    Raises
    ------
    RunFolderError
        The folder holds another run, and `overwrite` is False.
    ModelError
        The network has no encoder that could learn without labels.
    """
    check_device(recipe.training)
    with held(out):
        scene, folder, inputs = claim(recipe, out, progress, overwrite)
        network = build(recipe.model, input_specs(scene), len(recipe.legend.classes), recipe.config)
        reconstruction(network)  # refused now, not when everything is cut

        def work() -> None:
            seed = recipe.split.seed
            free = scatter(scene, settings.pixels, seed)
            with _cut(scene, free, network.footprints, out, progress, any_source(network)) as (pixels, cuts):
                what = (recipe.model, recipe.config, settings, recipe.training, out, seed, progress)
                pretrain(scene, cuts, pixels.polygon, *what)

        if not (out / NAME).exists():
            folder.forget(STAGE)
        folder.once(STAGE, _key(recipe, inputs) + digest(settings), work, progress)
    return Pretrained.load(out / NAME)


def start_of(recipe: Recipe, folder: RunFolder, inputs: Mapping[str, str], progress: Progress) -> Pretrained | None:
    """Return the weights that a run's networks start from: those that the recipe names, or those of its folder, if any."""
    if recipe.training.pretrained:
        return Pretrained.load(recipe.training.pretrained)
    if not (folder.path / NAME).exists():
        return None
    if not folder.said["stages"].get(STAGE, {}).get("key", "").startswith(_key(recipe, inputs)):
        progress.say(
            f"{folder.path / NAME} was made of other imagery or for another network, and is not used: 'bocage pretrain' again."
        )
        return None
    return Pretrained.load(folder.path / NAME)


def _key(recipe: Recipe, inputs: Mapping[str, str]) -> str:
    """Digest of what a pretraining depends on, its own settings apart; polygons are not looked at."""
    t = recipe.training
    read = {path: said for path, said in inputs.items() if path != without_password(str(recipe.reference.path))}
    return digest(read, recipe.grid, recipe.sources, recipe.model, recipe.config, t.scaling, t.augment)


def _known(recipe: Recipe, legend: Legend, scene: Scene) -> Pixels:
    """Pixels inside the recipe's polygons, by the position of their class in the model's legend."""
    found = labelled(scene, recipe.legend, recipe.reference, recipe.split)
    codes = np.array(recipe.legend.codes)[found.pixels.label]
    place = {code: i for i, code in enumerate(legend.codes)}
    if strange := sorted(set(codes.tolist()) - set(place)):
        names = ", ".join(str(code) for code in strange)
        raise SamplesError(
            f"The polygons of {recipe.reference.path} have classes that the model does not know (code {names}); it knows "
            f"{', '.join(legend.names)}. Leave them out of [legend], or train a model with them."
        )
    return replace(found.pixels, label=np.array([place[code] for code in codes.tolist()], np.int16))
