"""A model of one scene for another: adapted to what it shows, with some polygons of it or without any."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bocage.errors import RunFolderError, SamplesError
from bocage.legend import Legend
from bocage.pipeline.opening import open_scene
from bocage.pipeline.recipe import Recipe
from bocage.pipeline.runfolder import held
from bocage.progress import QUIET, Progress
from bocage.samples import labelled
from bocage.samples.cut import cut
from bocage.samples.rasterise import Pixels
from bocage.samples.unlabelled import joined, scatter
from bocage.scene import Scene
from bocage.training import Adapting, Trained, adapt, check_device, remarks


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
        pixels = joined(known, free)
        cuts, usable = cut(scene, pixels, trained.footprints, out / "pixels", progress, trained.any_source)
        kept = np.flatnonzero(usable)
        if not len(kept):
            raise SamplesError(
                "Every pixel drawn from the scene is masked; check nodata and the values listed as clear."
            )
        pixels, cuts = pixels.take(kept), {name: replace(one, index=kept) for name, one in cuts.items()}
        region = (scene.grid.crs.to_wkt(), scene.grid.bounds)
        what = (cuts, pixels.label, pixels.polygon, region, settings, recipe.training.device, out, seed, progress)
        return adapt(trained, *what)


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
