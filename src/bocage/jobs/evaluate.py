"""``bocage evaluate``: accuracies and areas of a map from a labelled sample; accuracy of a model on other polygons."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer

from bocage.disk import write_json
from bocage.errors import EvaluationError, RunFolderError
from bocage.evaluation import Adjusted, Elsewhere, Legends, Predictions, Strata, predictions_of, stratified, transfer_of
from bocage.evaluation.sample import Drawn, Labelled, read_sample
from bocage.grid import Grid
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
    pixel_areas,
    predict_at,
    proposal,
)
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.report.sampled import Sampled, fingerprint_of
from bocage.run import Evaluated, TrainedOn, held, open_scene
from bocage.samples import Labelled as LabelledPixels
from bocage.samples import Pixels, Split, finest, labelled, without_purposive
from bocage.samples.make import check_any
from bocage.samples.masked import notes_on_masked
from bocage.scene import Scene
from bocage.sources.raster import fingerprint
from bocage.training import Trained, remarks
from bocage.words import Note

UNSAMPLED, NEGLIGIBLE = 0.05, 0.002
"""Share of the map outside the sampled area above which nothing is estimated, and above which it is mentioned."""


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
    labels = read_sample(path, drawn, recipe.legend, field)
    land = map_of(recipe, open_scene(recipe, progress, out).grid, out)
    found = sampled_on(land, path, drawn, labels, progress)
    stratum, sizes = _named_strata(drawn, recipe.legend)
    outside = {stratum[drawn.stratum == code][0]: n for code, n in found.outside.items()}
    pixel, areas = pixel_areas_of(drawn), None
    if pixel is not None and fingerprint(land.files["classes"]) == drawn.fingerprint:
        by_code = dict(zip(land.legend.codes, _shares(land), strict=True))
        areas = {name: by_code[code] for name, code in zip(sizes, drawn.sizes, strict=True)}
    strata = Strata(sizes, outside, None if pixel is None else pixel[found.number], areas)
    estimates = stratified(stratum[found.number], found.mapped, found.label, strata, recipe.legend.names, _shares(land))
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


def pixel_areas_of(drawn: Drawn) -> NDArray[np.float64] | None:
    """Return the area on the ground of each pixel of a design in m², (N,); None if all have the same: not in degrees."""
    area = _ground_areas(drawn)
    return area if len(area) and np.ptp(area) > 0 else None


def _ground_areas(drawn: Drawn) -> NDArray[np.float64]:
    """Return the area on the ground of each pixel of a design in m², (N,)."""
    shape = int(drawn.row.max(initial=0)) + 1, int(drawn.column.max(initial=0)) + 1
    return pixel_areas(Grid.of(drawn.crs, Affine(*drawn.transform[:6]), shape))[drawn.row]


def _named_strata(drawn: Drawn, legend: Legend) -> tuple[NDArray[np.str_], dict[str, int]]:
    """Return the stratum of each sampled pixel and the sizes of the strata, by the names of their classes, for messages."""
    names = dict(zip(legend.codes, legend.names, strict=True))
    named = {code: f"{names[code]} (code {code})" if code in names else f"code {code}" for code in drawn.sizes}
    return np.array([named[code] for code in drawn.stratum.tolist()]), {named[c]: n for c, n in drawn.sizes.items()}


@dataclass(frozen=True)
class OnMap:
    """Labelled pixels of a sample that have a class on a map (N,)."""

    number: NDArray[np.int64]
    """Index of each pixel in the design."""
    mapped: NDArray[np.int64]
    """Position of its class on the map in the legend of the map."""
    label: NDArray[np.int64]
    """Position of its label in the same legend."""
    outside: Mapping[int, float]
    """Stratum → number of its sampled pixels without a class on the map. Where only a part of the pixels on the map has a label,
    it is reduced to the same part: the pixels with a label stand for all."""

    def weights(self, drawn: Drawn) -> NDArray[np.float64]:
        """Return the number of pixels of the sampled area, or in degrees its area, for which each pixel stands, (N,)."""
        count = Strata(drawn.sizes, self.outside).drawn(drawn.stratum[self.number])
        found = np.array([drawn.sizes[code] / count[code] for code in drawn.stratum[self.number].tolist()])
        pixel = pixel_areas_of(drawn)
        return found if pixel is None else found * pixel[self.number]


def sampled_on(land: LandCoverMap, path: Path, drawn: Drawn, labels: Labelled, progress: Progress) -> OnMap:
    """Return the labelled pixels of a sample that have a class on a map; report the others, and a map of another version.

    Raises
    ------
    EvaluationError
        None of the labelled pixels is on the map.
    """
    for note in labels.notes:
        progress.say(note)
    if fingerprint(land.files["classes"]) != drawn.fingerprint:
        progress.say(
            f"{path.name} was drawn from another version of the map. The strata are those of that version (Stehman 2014), and "
            "the labels evaluate the current map."
        )
    position = mapped_at(drawn, land)
    mapped = position[labels.number]
    seen = mapped >= 0
    if not seen.any():
        raise EvaluationError(
            f"{path}: none of its labelled pixels is on the map {land.folder.path}. Check that it is the sample of this map."
        )
    _report_missing(position, path, progress)
    _check_sampled(drawn, position >= 0, land, path, progress)
    number = labels.number[seen]
    return OnMap(number, mapped[seen], labels.label[seen], outside_of(drawn, position >= 0, number))


def outside_of(drawn: Drawn, on_map: NDArray[np.bool_], labelled: NDArray[np.int64]) -> dict[int, float]:
    """Return stratum → number of sampled pixels outside the map, for a sample of which the pixels `labelled` are used.

    `on_map` (N,) is for all pixels of the design, `labelled` are indices of those on the map that have a label.
    """
    found = {}
    for code in np.unique(drawn.stratum[~on_map]).tolist():
        own = drawn.stratum == code
        inside, used = int((own & on_map).sum()), int((drawn.stratum[labelled] == code).sum())
        found[code] = int((own & ~on_map).sum()) * (used / inside if inside else 1.0)
    return found


def _check_sampled(drawn: Drawn, on_map: NDArray[np.bool_], land: LandCoverMap, path: Path, progress: Progress) -> None:
    """Check that the map lies in the area from which the sample was drawn, by the estimated size of their common part.

    Raises
    ------
    EvaluationError
        More than ``UNSAMPLED`` of the map is not in the sampled area.
    """
    common, variance = 0.0, 0.0
    for code, size in drawn.sizes.items():
        own = on_map[drawn.stratum == code]
        if len(own):
            common += size * own.mean()
            variance += size**2 * own.mean() * (1 - own.mean()) / max(1, len(own) - 1)
    pixels = float(open_map_folder(land.folder.path).areas.pixels.sum()) / _ratio_of_pixels(drawn, land.grid)
    unsampled = 1 - (common + 3 * math.sqrt(variance)) / pixels if pixels else 0.0
    if unsampled > UNSAMPLED:
        raise EvaluationError(
            f"{path}: at least {unsampled:.0%} of the map {land.folder.path} is not in the area of the map from which the sample "
            "was drawn, so the sample does not represent it. Draw a sample of this map (bocage sample-design)."
        )
    if unsampled > NEGLIGIBLE:
        progress.say(
            f"{path.name}: at least {unsampled:.1%} of the map is not in the area of the map from which the sample was drawn. "
            "The accuracies and area shares are those of the other part."
        )


def _ratio_of_pixels(drawn: Drawn, grid: Grid) -> float:
    """Return the area of a pixel of a design over that of a pixel of a grid."""
    if _same_crs(drawn, grid):
        then, now = (abs(Affine(*transform[:6]).determinant) for transform in (drawn.transform, grid.transform))
        return then / now
    return float(_ground_areas(drawn).mean() / pixel_areas(grid).mean())


def _same_crs(drawn: Drawn, grid: Grid) -> bool:
    return bool(CRS.from_user_input(drawn.crs) == grid.crs.proj)


OUTSIDE, NODATA = -2, -1
"""Class positions of sampled pixels that are outside the map, or have no class on the map."""


def mapped_at(drawn: Drawn, land: LandCoverMap) -> NDArray[np.int64]:
    """Return the position of the current map class at each sampled pixel, (N,); negative without a class.

    The map may have another CRS than the one from which the sample was drawn.
    """
    a, b, grid = Affine(*drawn.transform), ~land.grid.transform, land.grid
    x, y = a.c + (drawn.column + 0.5) * a.a, a.f + (drawn.row + 0.5) * a.e
    if not _same_crs(drawn, grid):
        x, y = Transformer.from_crs(drawn.crs, grid.crs.proj, always_xy=True).transform(x, y)
        x, y = (np.where(np.isfinite(one), one, -1e12) for one in (x, y))  # without a place in the CRS of the map
    column, row = np.floor(b.c + x * b.a).astype(int), np.floor(b.f + y * b.e).astype(int)
    inside = (row >= 0) & (column >= 0) & (row < grid.shape[0]) & (column < grid.shape[1])
    table = land.legend.positions()  # −1, as NODATA, of codes that are no class
    mapped = np.full(len(drawn), OUTSIDE)
    mapped[inside] = table[codes_at(land.files["classes"], grid, row[inside], column[inside])]
    return mapped


def _report_missing(position: NDArray[np.int64], path: Path, progress: Progress) -> None:
    for value, where in ((OUTSIDE, "outside the map"), (NODATA, "where the map has no data")):
        if n := int((position == value).sum()):
            are = "are" if n > 1 else "is"
            progress.say(
                f"{path.name}: {n} of {len(position)} sampled pixels {are} {where}. The map is estimated as a domain of the "
                "sampled area."
            )


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
        trained = Trained.load(folder.path)
        scene = trained.limited(scene)
        trained = trained.for_scene(scene)
        trained.check_scene(scene)
        for said in (*remarks(trained, scene), *compare_legends(recipe.legend, trained)):
            progress.say(said)
        found = _reference_pixels(recipe, scene, progress)
        if learnt := TrainedOn.of(folder, Evaluated(recipe.reference, scene, found, set(trained.sources))):
            progress.say(str(learnt))
        tested, score = _scored(recipe, trained, _classified(recipe, trained, scene, found.pixels, progress), learnt)
        layout.score.unlink(missing_ok=True)  # an earlier one is not that of the files that follow
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
    every = replace(recipe.survey, split=Split())  # nothing is split: no field says which polygons count
    found = without_purposive(finest(labelled(scene, every), recipe.legend), recipe.legend)
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
