"""``bocage scout``: the next fields to survey, and the tours to visit them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.advice.candidates import (
    PIXELS,
    REASONS,
    Candidates,
    check_any,
    counted,
    of_polygons,
    read_starts,
    squares,
    to_degrees,
)
from bocage.advice.proposal import PURPOSIVE, Proposal, proposal_of, write_tables
from bocage.advice.selection import Findings, Floats, Known, Strategy, doubt_of, gains_of, standardised
from bocage.advice.tours import Budget, distances, plan_survey
from bocage.disk import artefact, checksums_of, damaged, write_json
from bocage.errors import RunFolderError
from bocage.finish.zones import read_zones
from bocage.layout import RunLayout, ScoutLayout
from bocage.mapping import read_region
from bocage.progress import QUIET, Progress
from bocage.ranges import SEED, Range, check_ranges
from bocage.recipe import Recipe
from bocage.report.scout_page import ScoutMaterial, write_scout_page
from bocage.run import Run, held, open_run, prepared, segment_first
from bocage.samples import Pixels
from bocage.samples.candidates import surveyed_polygons, unsurveyed_points
from bocage.samples.unlabelled import NONE, cut_valid
from bocage.training import Trained, check_single
from bocage.training.embedding import Views, views_of

MODELS = 3
"""Maximum number of draws whose models are used."""
PART = 200
"""Number of candidates whose pixels are cut at a time, which limits the disk space."""
KNOWN = 5000
"""Maximum number of surveyed fields that candidates are compared with."""
FAR = 100.0
"""Kilometres in a straight line from a start point to the nearest candidate from which on the start point is reported."""


@dataclass(frozen=True)
class Asked:
    """What a survey is asked for."""

    candidates: Path | None = None
    """Vector file of parcels, or of points of a table; None: squares of a regular grid, or the points of the reference without
    a label."""
    field: str = ""
    """Field that names a candidate; empty: candidates are numbered."""
    starts: tuple[tuple[float, float], ...] = ()
    """Longitude and latitude of the start points, in degrees."""
    start_file: Path | None = None
    """Vector file with start points."""
    budget: Budget = Budget()  # noqa: RUF009 - frozen
    strategy: Strategy = "uncertainty"
    """How fields are chosen: by "uncertainty" alone, "balanced" with other parts, or at "random"."""
    side: Annotated[float, Range(0, 1e6, above=True)] = 100.0
    """Side of the squares, in metres."""
    most: Annotated[int, Range(1, 1_000_000)] = 2000
    """Maximum number of candidates that are compared; of more, this number is drawn at random."""
    seed: Annotated[int, SEED] = 0
    """Seed of the draws; it also breaks ties."""

    def __post_init__(self) -> None:
        check_ranges(self)


def scout(recipe: Recipe, out: Path, asked: Asked, progress: Progress = QUIET, overwrite: bool = False) -> Proposal:
    """Propose fields to survey, and write them to ``scout/`` in the folder of a trained run.

    Raises
    ------
    AdviceError
        There is no candidate, or none can be reached.
    RunFolderError
        The model is not trained, or the fields of an earlier survey were edited and `overwrite` is False.
    """
    check_single(recipe.choice, "scout")
    layout = RunLayout(out).scout
    with held(out):
        segment_first(recipe, out, progress, overwrite)
        run = open_run(recipe, out, progress, overwrite, ())
        models = _models(run, progress)
        _check_free(layout, overwrite)
        starts = _starts(asked)
        candidates = _candidates(run, asked, progress)
        scene, _ = prepared(recipe, run.scene, run.folder, progress)
        candidates, found = _findings(replace(run, scene=scene), models, candidates, layout.scratch)
        check_any(candidates, str(asked.candidates or recipe.path))
        _report_left_out(candidates, progress)
        _report_starts(starts, candidates, progress)
        known = _known(run, models, asked.seed)
        made = _proposed(candidates, found, known, starts, (asked, run))
        _write(run, layout, made, candidates, asked)
    if len(made.fields) < asked.budget.fields:
        progress.say(
            f"{len(made.fields)} fields are proposed, not {asked.budget.fields}: there are {len(candidates)} candidates"
            + (f", and {asked.budget.kilometres:g} km a day." if asked.budget.kilometres else ".")
        )
    return made


def _models(run: Run, progress: Progress) -> list[Trained]:
    """Return the models of the draw of the map and of other trained draws.

    Raises
    ------
    RunFolderError
        The draw of the map is not trained.
    """
    first = run.recipe.map.draw
    run.folder.need(f"train/{first}", run.keys.train, "train")
    others = [k for k in range(run.samples.draws) if k != first and run.folder.is_current(f"train/{k}", run.keys.train)]
    models = [Trained.load(run.layout.split(k).model.path) for k in [first, *others][:MODELS]]
    if all(model.domain is None for model in models):
        progress.say("The models have no training domain, so the novelty has no effect.")
    return models


def _check_free(layout: ScoutLayout, overwrite: bool) -> None:
    """Check that the fields of an earlier survey were not edited since: a surveyor may have filled in labels.

    Raises
    ------
    RunFolderError
        They were, and `overwrite` is False.
    """
    sums: dict[str, str] = {}
    if layout.summary.exists():
        with artefact(layout.summary):
            sums = dict(json.loads(layout.summary.read_text(encoding="utf-8"))["files"])
    for path in map(layout.fields, ("gpkg", "csv")):
        if overwrite or not path.exists():
            continue
        known = {path.name: sums[path.name]} if path.name in sums else {}
        if not known or damaged(layout.path, known):
            why = "was edited since it was written" if known else "has no record of what was written"
            raise RunFolderError(
                f"{path} {why}; it may have surveyed labels. Move it, or give --overwrite to replace it."
            )


def _starts(asked: Asked) -> Floats:
    given = np.array(asked.starts, float).reshape(-1, 2)
    return np.concatenate([given, read_starts(asked.start_file)]) if asked.start_file else given


def _candidates(run: Run, asked: Asked, progress: Progress) -> Candidates:
    """Return the candidates that are not surveyed, at most as many as asked.

    Raises
    ------
    AdviceError
        There is none.
    """
    found = _points(run, asked) if run.scene.ids is not None else _polygons(run, asked, progress)
    check_any(found, str(asked.candidates or run.recipe.path))
    return found.at_most(asked.most, asked.seed)


def _polygons(run: Run, asked: Asked, progress: Progress) -> Candidates:
    grid, recipe = run.scene.grid, run.recipe
    surveyed = surveyed_polygons(recipe.reference, grid, recipe.legend)
    if asked.candidates:
        zones = read_zones(asked.candidates, asked.field, grid, progress)
        return of_polygons(zones.names, zones.shapes, grid, surveyed)
    settings = recipe.map
    region = None
    if settings.region:
        region = read_region(settings.region, settings.region_layer, settings.where, grid).shape
    # Some squares are surveyed: more are drawn than are compared.
    return of_polygons(*squares(grid, asked.side, region, 2 * asked.most, asked.seed), grid, surveyed)


def _points(run: Run, asked: Asked) -> Candidates:
    assert run.scene.ids is not None
    points = unsurveyed_points(asked.candidates, run.recipe.reference, run.scene.ids)
    n = len(points.ids)
    left_out: dict[str, int] = {}
    for reason in ("surveyed", "no_series", "no_place"):
        left_out = counted(left_out, reason, getattr(points, reason))
    few = pd.Series(points.candidate).groupby(points.candidate).cumcount().to_numpy() < PIXELS
    rows, candidate = points.rows[few], points.candidate[few]
    pixels = Pixels(rows, np.zeros(len(rows), np.int32), np.full(len(rows), NONE, np.int16), candidate)
    inner = np.array([shape.representative_point().coords[0] for shape in points.shapes], float).reshape(n, -1)[:, :2]
    place = to_degrees(inner, points.crs) if n else np.zeros((0, 2))
    return Candidates(points.ids, points.shapes, points.crs, place, pixels, left_out, points.polygons)


def _findings(run: Run, models: list[Trained], candidates: Candidates, scratch: Path) -> tuple[Candidates, Findings]:
    """Return the candidates with valid data, and what the models find at them; pixels are cut in parts."""
    parts, seen = [], np.zeros(len(candidates), bool)
    device = run.recipe.choice.training.device
    for start in range(0, len(candidates), PART):
        own = candidates.pixels.polygon
        pixels = candidates.pixels.take(np.flatnonzero((own >= start) & (own < start + PART)))
        with cut_valid(run.scene, pixels, models[0], scratch, QUIET) as chips:
            if len(chips.polygon):
                views = views_of(models, chips, np.arange(len(chips.polygon)), device)
                numbers, which = np.unique(chips.polygon, return_inverse=True)
                parts.append(_averaged(views, which, len(numbers)))
                seen[numbers] = True
        run.progress.step("classifying candidates", min(start + PART, len(candidates)), len(candidates))
    kept = np.flatnonzero(seen)
    columns = (
        {name: np.concatenate([getattr(part, name) for part in parts]) for name in Findings.__dataclass_fields__}
        if parts
        else {}
    )
    nothing = np.zeros((0, 1))
    return candidates.take(kept, "masked"), Findings(**columns) if columns else Findings(
        nothing, nothing, nothing, nothing
    )


def _averaged(views: Views, which: NDArray[Any], fields: int) -> Findings:
    """Return the means over the pixels of each field; `which` (N,) is the field of each pixel."""
    mean = _averaging(which, fields)
    return Findings(
        mean(views.probability), mean(doubt_of(views.probability)), mean(views.novelty), mean(views.features)
    )


def _averaging(which: NDArray[Any], fields: int) -> Callable[[NDArray[Any]], Floats]:
    count = np.maximum(np.bincount(which, minlength=fields), 1)

    def mean(values: NDArray[Any]) -> Floats:
        columns = values.reshape(len(values), -1).T
        summed = np.stack([np.bincount(which, column, fields) for column in columns], 1)
        return np.asarray((summed / count[:, None]).reshape(fields, *values.shape[1:]))

    return mean


def _known(run: Run, models: list[Trained], seed: int) -> Known:
    """Return the features of the surveyed fields, of at most ``KNOWN`` drawn at random, and their number in each class."""
    samples = run.samples
    polygons = np.unique(samples.polygon)
    fields = np.array([samples.count_polygons(k) for k in range(len(samples.legend.classes))])
    if len(polygons) > KNOWN:
        polygons = np.random.default_rng((seed, 4)).permutation(polygons)[:KNOWN]
    members = np.concatenate(list(_spread(samples.polygon, polygons)))
    views = views_of(models[:1], samples.chips, members, run.recipe.choice.training.device)
    which = np.unique(samples.polygon[members], return_inverse=True)[1]
    return Known(_averaging(which, len(polygons))(views.features), fields)


def _spread(polygon: NDArray[Any], wanted: NDArray[Any]) -> Iterator[NDArray[np.int64]]:
    """Yield at most ``PIXELS`` samples of each wanted polygon, evenly among its samples."""
    order = np.argsort(polygon, kind="stable")
    first, last = (np.searchsorted(polygon[order], wanted, side=side) for side in ("left", "right"))
    for a, b in zip(first.tolist(), last.tolist(), strict=True):
        yield order[np.unique(np.linspace(a, b - 1, min(PIXELS, b - a)).round().astype(int))]


def _proposed(
    candidates: Candidates, found: Findings, known: Known, starts: Floats, about: tuple[Asked, Run]
) -> Proposal:
    """Return the fields with the largest gains; candidates are in random order, so that the seed breaks ties."""
    asked, run = about
    order = np.random.default_rng((asked.seed, 0)).permutation(len(candidates))
    shuffled, compared = standardised(found.take(order), known)
    gains = [gains_of(shuffled, compared, asked.strategy, asked.seed) for _ in range(2)]
    survey = plan_survey(gains, candidates.place[order], starts, asked.budget)
    survey = replace(
        survey,
        chosen=tuple(int(order[k]) for k in survey.chosen),
        tours=tuple(replace(tour, stops=tuple(int(order[k]) for k in tour.stops)) for tour in survey.tours),
    )
    what = (asked.strategy, tuple(run.samples.legend.names), run.recipe.report.language)
    return replace(proposal_of(candidates, found, known, survey, what), starts=starts)


def _report_left_out(candidates: Candidates, progress: Progress) -> None:
    for reason, n in candidates.left_out.items():
        progress.say(f"{n} candidates are left out: {REASONS[reason]}.")


def _report_starts(starts: Floats, candidates: Candidates, progress: Progress) -> None:
    for place, row in zip(starts, distances(starts, candidates.place, 1.0), strict=True):
        if row.min() > FAR:
            progress.say(
                f"The start point {place[0]:g},{place[1]:g} is {row.min():.0f} km from the nearest candidate in a straight "
                "line. Check it: longitude comes first."
            )


def _identifiers(run: Run, made: Proposal) -> dict[str, list[str]]:
    """Return the name of a field → the identifier of each proposed field."""
    reference, is_table = run.recipe.reference, run.scene.ids is not None
    found = {reference.sample_id if is_table else "candidate": [one.name for one in made.fields]}
    if is_table and reference.polygon_id:
        found.setdefault(reference.polygon_id, [one.polygon for one in made.fields])
    return found


def _write(run: Run, layout: ScoutLayout, made: Proposal, candidates: Candidates, asked: Asked) -> None:
    """Write the files, and last their record; an incomplete folder has no record."""
    recipe = run.recipe
    layout.path.mkdir(parents=True, exist_ok=True)
    layout.summary.unlink(missing_ok=True)
    write_tables(made, layout, recipe.reference.label, _identifiers(run, made))
    material = ScoutMaterial(
        layout,
        recipe.name,
        made,
        run.scene,
        run.samples.legend,
        candidates.left_out,
        len(candidates),
        asked.budget.fields,
    )
    write_scout_page(material)
    files = [layout.fields("gpkg"), layout.fields("csv"), layout.gpx, layout.page]
    record = {
        "recipe": recipe.name,
        "asked": {key: str(value) if isinstance(value, Path) else value for key, value in asdict(asked).items()},
        "candidates": len(candidates),
        "left_out": dict(candidates.left_out),
        "fields": len(made.fields),
        "days": [{"fields": len(tour.stops), "kilometres": round(tour.kilometres, 3)} for tour in made.survey.tours],
        "kilometres": round(made.survey.kilometres, 3),
        "purposive": PURPOSIVE,
        "files": checksums_of(files, layout.path),
    }
    write_json(layout.summary, record)
