"""``bocage evaluate``: accuracies and areas of a map from a labelled sample; accuracy of a model on other polygons."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from bocage.disk import write_json
from bocage.errors import EvaluationError, RunFolderError
from bocage.evaluation import Adjusted, Elsewhere, Legends, Predictions, predictions_of, stratified, transfer_of
from bocage.evaluation.sample import Drawn, Labelled, read_sample
from bocage.jobs.map import adapting
from bocage.jobs.sample_design import map_of
from bocage.layout import ModelLayout, RunLayout
from bocage.legend import Legend
from bocage.machine import device_of
from bocage.mapping import (
    Classified,
    Forward,
    LandCoverMap,
    codes_at,
    compare_legends,
    is_edited,
    open_delivered,
    open_map_folder,
    predict_at,
    proposal,
)
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.report.sampled import Sampled, fingerprint_of
from bocage.run import Evaluated, TrainedOn, held, open_scene
from bocage.samples import Labelled as LabelledPixels
from bocage.samples import Pixels, finest, labelled, without_purposive
from bocage.samples.make import check_any
from bocage.samples.masked import notes_on_masked
from bocage.scene import Scene
from bocage.sources.raster import fingerprint
from bocage.training import Trained, remarks
from bocage.words import Note


def evaluate_sample(
    recipe: Recipe, out: Path, path: Path, field: str = "label", progress: Progress = QUIET
) -> Adjusted:
    """Estimate accuracies and areas of the run's map from a labelled sample, and store the estimates for the report.

    Raises
    ------
    EvaluationError
        The sample does not match its design, has unknown labels, or none of its labelled pixels is on the map.
    """
    drawn = Drawn.load(path)
    labelled = read_sample(path, drawn, recipe.legend, field)
    land = map_of(recipe, open_scene(recipe, progress, out).grid, out)
    if labelled.unlabelled:
        have, are = ("have", "are") if labelled.unlabelled > 1 else ("has", "is")
        progress.say(f"{path.name}: {labelled.unlabelled} of {len(drawn)} pixels {have} no label and {are} not used.")
    if fingerprint(land.files["classes"]) != drawn.fingerprint:
        progress.say(
            f"{path.name} was drawn from another version of the map. The strata are those of that version (Stehman 2014), and "
            "the labels evaluate the current map."
        )
    mapped = mapped_at(drawn, labelled, land)
    _report_missing(mapped, path, progress)
    seen = mapped >= 0
    if not seen.any():
        raise EvaluationError(
            f"{path}: none of its labelled pixels is on the map. Check that it is the sample of this map."
        )
    stratum, sizes = _named_strata(drawn, recipe.legend)
    stratum, shares = stratum[labelled.number][seen], _shares(land)
    estimates = stratified(stratum, mapped[seen], labelled.label[seen], sizes, recipe.legend.names, shares)
    layout = RunLayout(out)
    Sampled(estimates, path.name, fingerprint_of(layout.map) or "").save(layout.sample)
    return estimates


def _shares(land: LandCoverMap) -> list[float]:
    """Return the share of each class of the recipe in the area of the map; 0 for a class that the model of the map lacks."""
    own = (
        open_delivered(land.folder.path).areas() if is_edited(land.folder) else open_map_folder(land.folder.path).areas
    )
    by_code = dict(zip(own.legend.codes, own.shares, strict=True))
    return [by_code.get(code, 0.0) for code in land.legend.codes]


def _named_strata(drawn: Drawn, legend: Legend) -> tuple[NDArray[np.str_], dict[str, int]]:
    """Return the stratum of each sampled pixel and the sizes of the strata, by the names of their classes, for messages."""
    names = dict(zip(legend.codes, legend.names, strict=True))
    named = {code: f"{names[code]} (code {code})" if code in names else f"code {code}" for code in drawn.sizes}
    return np.array([named[code] for code in drawn.stratum.tolist()]), {named[c]: n for c, n in drawn.sizes.items()}


OUTSIDE, NODATA = -2, -1
"""Class positions of labelled pixels that are outside the map, or have no class on the map."""


def mapped_at(drawn: Drawn, labelled: Labelled, land: LandCoverMap) -> NDArray[np.int64]:
    """Return the position of the current map class at each labelled pixel, (N,); negative without a class."""
    a, b, grid, number = Affine(*drawn.transform), ~land.grid.transform, land.grid, labelled.number
    x, y = a.c + (drawn.column[number] + 0.5) * a.a, a.f + (drawn.row[number] + 0.5) * a.e
    column, row = np.floor(b.c + x * b.a).astype(int), np.floor(b.f + y * b.e).astype(int)
    inside = (row >= 0) & (column >= 0) & (row < grid.shape[0]) & (column < grid.shape[1])
    table = np.full(65536, NODATA)
    table[list(land.legend.codes)] = np.arange(len(land.legend.codes))
    mapped = np.full(len(number), OUTSIDE)
    mapped[inside] = table[codes_at(land.files["classes"], grid, row[inside], column[inside])]
    return mapped


def _report_missing(mapped: NDArray[np.int64], path: Path, progress: Progress) -> None:
    for value, where in ((OUTSIDE, "outside the map"), (NODATA, "where the map has no data")):
        if n := int((mapped == value).sum()):
            progress.say(f"{path.name}: {n} labelled pixels are {where} and are not used.")


def evaluate_model(
    recipe: Recipe, model: Path, out: Path, progress: Progress = QUIET, overwrite: bool = False
) -> Elsewhere:
    """Score a trained model on all reference polygons of the recipe; nothing is trained.

    `model` is the folder of a model or of a run. Writes ``score.json``, ``confusion.csv`` and ``test.parquet`` to `out`. If the
    polygons are known to have trained the model, the progress, the score and its file say so.

    Raises
    ------
    RunFolderError
        `out` is the folder of a run, or has a score and `overwrite` is False.
    TrainedError
        The scene lacks sources that the network needs, or they differ.
    LegendError
        A class has the same name and another code in the recipe and in the model.
    """
    layout, folder = RunLayout(out), ModelLayout.of(model)
    _check_free(layout, overwrite)
    with held(out):
        scene = open_scene(recipe, progress, out)
        trained = Trained.load(folder.path).for_scene(scene)
        trained.check_scene(scene)
        for said in (*remarks(trained, scene), *compare_legends(recipe.legend, trained)):
            progress.say(said)
        found = _reference_pixels(recipe, scene, progress)
        if learnt := TrainedOn.of(folder, Evaluated(recipe.reference, scene, found, set(trained.sources))):
            progress.say(str(learnt))
        tested, score = _scored(recipe, trained, _classified(recipe, trained, scene, found.pixels, progress), learnt)
        tested.to_parquet(layout.own.test, scene.ids)
        score.save_confusion(layout.own.confusion)
        origin = {"model": str(folder.path), "fingerprint": trained.fingerprint}
        write_json(layout.score, origin | {"trained_on": learnt.as_dict() if learnt else None} | score.as_dict())
        if advice := proposal(trained, score.outside, adapting(recipe, model)):
            progress.say(advice)
    return score


def _scored(
    recipe: Recipe, trained: Trained, classified: tuple[Pixels, Classified], learnt: TrainedOn | None
) -> tuple[Predictions, Elsewhere]:
    """Return the predictions of a model at the reference pixels, in the union of the legends, and their score."""
    pixels, made = classified
    tested = predictions_of(
        pixels.row, pixels.column, pixels.polygon, pixels.label, made.probabilities, made.temperature
    )
    legends, names = Legends(recipe.legend, trained.legend), recipe.evaluation.names
    every = legends.in_union(tested)
    tested = every.take(made.valid)
    score = transfer_of(tested, legends, names, int((~made.valid).sum()), made.outside)
    if learnt is None or learnt.pixels is None:
        return tested, replace(score, warning=str(learnt or ""))
    rest = every.take(made.valid & ~learnt.pixels)
    others = transfer_of(rest, legends, names, 0, None).every if len(rest) else None
    return tested, replace(score, warning=str(learnt), others=others)


def _reference_pixels(recipe: Recipe, scene: Scene, progress: Progress) -> LabelledPixels:
    """Return the pixels of all reference polygons that can be tested, and report what is left out.

    Raises
    ------
    SamplesError
        The polygons cannot be used.
    """
    found = without_purposive(finest(labelled(scene, recipe.survey), recipe.legend), recipe.legend)
    for note in found.notes:
        progress.say(note)
    for one in found.rejections:
        progress.say(f"{one.label}: {Note.of('polygons', n=one.polygons)} left out: {one.text()}")
    check_any(found.pixels, recipe.reference, scene.grid)
    return found


def _classified(
    recipe: Recipe, trained: Trained, scene: Scene, pixels: Pixels, progress: Progress
) -> tuple[Pixels, Classified]:
    """Return pixels, and what the model makes of them.

    Raises
    ------
    EvaluationError
        No pixel has valid data.
    """
    how = Forward(device_of(recipe.choice.training.device), novelty=trained.domain is not None)
    made = predict_at(trained, scene, pixels, how, progress, "classifying reference polygons")
    if not made.valid.any():
        raise EvaluationError(f"All {len(pixels)} reference pixels are masked. Check nodata and the clear values.")
    for note in notes_on_masked(scene, trained, pixels, made.valid, recipe.legend):
        progress.say(f"{note}.")
    return pixels, made


def _check_free(layout: RunLayout, overwrite: bool) -> None:
    """Check that the results of an evaluation can be written to a folder.

    Raises
    ------
    RunFolderError
        It is the folder of a run, or has a score and `overwrite` is False.
    """
    if layout.provenance.exists():
        raise RunFolderError(f"{layout.path} has a run, with a score of its own. Choose another --out.")
    if layout.score.exists() and not overwrite:
        raise RunFolderError(f"{layout.score} exists. Choose another --out, or give --overwrite.")
