"""``bocage adapt``: adapt a trained model to another year or region."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from bocage.errors import RunFolderError, SamplesError
from bocage.jobs.report import asked_of, write_transfer_of
from bocage.layout import ModelLayout, RunLayout
from bocage.legend import Legend
from bocage.mapping import region_of
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.report.transfer import Adaptation, Polygons, Transfer
from bocage.run import has_results, held, missed_at_sites, open_scene
from bocage.samples import Chips, Pixels, finest, labelled
from bocage.samples.reference import fingerprint_reference
from bocage.samples.unlabelled import NONE, Drawing, cut_pixels, joined
from bocage.scene import Scene
from bocage.training import (
    Adapting,
    Judgement,
    Region,
    Trained,
    adapt,
    certainty_of,
    check_adaptable,
    check_device,
    kept,
    remarks,
)


def adapt_to(
    recipe: Recipe,
    model: Path,
    out: Path,
    settings: Adapting = Adapting(),  # noqa: B008 - frozen
    progress: Progress = QUIET,
    overwrite: bool = False,
) -> Trained:
    """Adapt a trained model to the scene of the recipe if a gain is expected; write ``<out>/model`` and a report.

    Otherwise, ``<out>/model`` is a copy of the model, and the report says why. With polygons, or the setting `always`, the model
    is always adapted. Device and seed are those of the recipe.

    Raises
    ------
    RunFolderError
        ``<out>/model`` or a run exists, and `overwrite` is False; or `out` has the model itself.
    TrainedError
        The scene lacks sources with which the network was trained, or they differ.
    SamplesError
        The reference polygons have a class that is not in the model's legend.
    """
    check_device(recipe.choice.training)
    layout = RunLayout(out)
    _check_free(layout, model, overwrite)
    settings = replace(settings, device=recipe.choice.training.device, seed=recipe.split.seed)
    with held(out):
        trained, scene = _opened(recipe, model, out, progress)
        found = finest(labelled(scene, recipe.survey), recipe.legend) if settings.polygons else None
        known = _known(recipe, trained.legend, found.pixels) if found else None
        pixels = _with_unlabelled(known, recipe, scene, settings, progress)
        transfer = Transfer.of(trained, scene, model, asked_of(recipe))
        missed = missed_at_sites(ModelLayout.of(model))
        with cut_pixels(scene, pixels, trained, layout.scratch, progress) as chips:
            judgement = _judged(trained, chips, settings, missed, progress)
            if judgement.adapts or settings.always or settings.polygons:
                adapted, change = adapt(trained, chips, Region.of(scene), settings, layout.own, progress)
            else:
                adapted, change = trained, kept(trained, chips, settings.device)
        change = replace(change, judgement=judgement)
        # The digest is that of the model folder, which knows nothing of the sources that this scene lacks.
        fingerprint, reference = replace(adapted, absent=frozenset()).fingerprint, recipe.reference
        used = Polygons(fingerprint_reference(reference), reference.where) if settings.polygons else None
        record = Adaptation(transfer, fingerprint, adapted.legend, change, used)
        record.save(layout.adapted)
        if found:
            found.coordinates(scene.ids).to_parquet(layout.adapted_pixels)
        adapted.save(layout.own.model.path)
        progress.say(f"report: {write_transfer_of(layout, None, record, (None, recipe.report.language))}")
        return adapted


def _check_free(layout: RunLayout, model: Path, overwrite: bool) -> None:
    """Check that the adaptation replaces neither the model itself, nor other results without `overwrite`."""
    own = layout.own.model.path
    if ModelLayout.of(model).path.resolve() == own.resolve():
        raise RunFolderError(
            f"{layout.path} has the model to adapt, and the record of the polygons that trained it. Choose another --out."
        )
    if own.exists() and not overwrite:
        raise RunFolderError(f"{own} exists. Choose another --out, or give --overwrite.")
    if has_results(layout) and not overwrite:
        raise RunFolderError(
            f"{layout.path} has a run, with a report of its own. Choose another --out, or give --overwrite."
        )


def _opened(recipe: Recipe, model: Path, out: Path, progress: Progress) -> tuple[Trained, Scene]:
    """Return the model and the scene of the recipe, checked for each other; report how they differ."""
    scene = open_scene(recipe, progress, out)
    trained = Trained.load(ModelLayout.of(model).path)
    scene = trained.limited(scene)
    trained = trained.for_scene(scene)
    check_adaptable(trained)
    trained.check_scene(scene)
    for remark in remarks(trained, scene):
        progress.say(remark)
    return trained, scene


def _with_unlabelled(
    known: Pixels | None, recipe: Recipe, scene: Scene, settings: Adapting, progress: Progress
) -> Pixels:
    """Return labelled pixels, followed by unlabelled ones that are drawn inside the region of the map."""
    region = region_of(recipe.map, scene)
    for remark in region.remarks if region else ():
        progress.say(remark)
    first = 0 if known is None else int(known.polygon.max(initial=-1)) + 1
    free = Drawing(settings.seed, region).pixels(scene, settings.pixels, first)
    return free if known is None else joined(known, free)


def _judged(
    trained: Trained, chips: Chips, settings: Adapting, missed: tuple[float, ...], progress: Progress
) -> Judgement:
    """Estimate the accuracy of a model on the unlabelled pixels of a scene, and report whether it is adapted."""
    free = np.flatnonzero(chips.label == NONE)
    judgement = Judgement.of(trained, certainty_of(trained, chips, free, settings.device), missed)
    if judgement.adapts:
        action = "An adaptation is expected to help: the model is adapted."
    elif settings.polygons:
        action = "The model is adapted with the polygons of the scene."
    elif settings.always:
        action = "A gain is not expected, but the model is adapted (--always)."
    else:
        action = "A gain is not expected: the model is kept as it is. To adapt it anyway, give --always."
    progress.say(f"{judgement.text()} {action}")
    return judgement


def _known(recipe: Recipe, legend: Legend, pixels: Pixels) -> Pixels:
    """Return reference pixels whose label is the position of the class in the model's legend."""
    codes = np.array(recipe.legend.codes)[pixels.label]
    place = {code: i for i, code in enumerate(legend.codes)}
    if unknown := sorted(set(codes.tolist()) - set(place)):
        names = ", ".join(str(code) for code in unknown)
        raise SamplesError(
            f"{recipe.reference.shown}: polygons with classes that are not in the model's legend (code "
            f"{names}). The model has {', '.join(legend.names)}. Remove the classes from [legend], or train a model with them."
        )
    return replace(pixels, label=np.array([place[code] for code in codes.tolist()], np.int16))
