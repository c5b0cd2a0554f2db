"""Coverage of prediction sets: calibrated by polygons, and by pixels, on random halves of polygons that no model was trained on.

    BOCAGE_DATA=/path/to/data python -m benchmarks conformal

The probabilities are those of a random forest on its test folds, each fold classified by a forest of the other folds. In each
repetition, a random half of the polygons calibrates and the other half is covered. Coverage is by polygon: the mean over the
polygons of the share of their pixels whose set has the true class. "As computed" is the set of all classes that reach their
threshold, which may be empty. "In the map" has the most probable class too. Only classes with enough polygons for the promise
count in the coverage by class; that of the classes with many polygons is measured too. In Bavaria and Rondônia, a polygon is one
series. With the package crepes installed, its sets of one pixel a polygon, from probabilities rounded as Bocage stores them, are
compared with those of Bocage.

"Runs" are runs as users make them: the model is trained, its temperature and its sets are calibrated on the held-out polygons, and
the test polygons are covered. In ten random draws, the test polygons are like the others; "other regions"
tests each region of Canada once.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.choice_sets import SETS
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, landscape, read
from bocage.conformal import By, Conformal, enough_for, members, reached, rounded_down
from bocage.evaluation import Predictions
from bocage.jobs import run as jobs
from bocage.layout import RunLayout
from bocage.mapping import Mapping as Mapped
from bocage.recipe import parse
from bocage.run.sets import promised_by
from bocage.simulate import Simulation

WORK, RESULTS = BUILD / "conformal", Results("conformal")
NAMES = ("simulated", "canada", "bavaria", "rondonia")
LAND = Simulation(polygons=60, sensors=("s2",))
REPETITIONS, PROMISES, FOLDS, MANY = 200, (0.8, 0.9, 0.95), 3, 100
"""``MANY``: number of polygons of a class; a half of them calibrates, and its coverage exceeds the promise by at most 2 points."""
WAYS = ("as computed", "in the map", "pixels")
BY: tuple[By, By] = ("class", "all")
RUNS: Mapping[str, tuple[str, Table]] = {
    "Rondônia, random forest": ("rondonia", {"model": {"name": "random_forest", "trees": 100}}),
    "Canada, random forest, draws": ("canada", {"model": {"name": "random_forest", "trees": 100}}),
    "Canada, random forest, other regions": ("canada regions", {"model": {"name": "random_forest", "trees": 100}}),
}
"""Name → set, and tables of the recipe."""
TABLES = {
    "model": {"name": "random_forest", "trees": 100},
    "training": {"calibrate": False},
    "evaluation": {"importance": 0},
}


def recipe_of(name: str) -> tuple[dict[str, Any], Path]:
    """Return the recipe of a random forest on folds, and the folder of its relative paths."""
    if name == "simulated":
        land = landscape(WORK / "land", LAND)
        own = read(land / "gru.toml")
        return {**own, **TABLES, "sources": {"s2": own["sources"]["s2"]}, "split": {"folds": FOLDS}}, land
    site = SETS[name]()
    return {**site.recipe(TABLES, True), "evaluation": TABLES["evaluation"], "name": name}, site.folder


def untrained(name: str) -> Predictions:
    """Return the predictions of all folds, with numbers of polygons that are unique."""
    recipe, folder = recipe_of(name)
    out = RunLayout(WORK / slug(name))
    jobs.run(parse(recipe, folder), out.path, ("train", "evaluate"))
    folds = [Predictions.from_parquet(path) for path in sorted(out.path.glob("splits/*/test.parquet"))]
    offsets = np.cumsum([0, *(int(fold.polygon.max()) + 1 for fold in folds[:-1])])
    arrays = {
        key: np.concatenate([getattr(fold, key) for fold in folds]) for key in ("row", "column", "label", "predicted")
    }
    return Predictions(
        **arrays, polygon=np.concatenate([f.polygon + k for f, k in zip(folds, offsets, strict=True)]).astype(np.int32),
        confidence=np.concatenate([f.confidence for f in folds]),
        uncalibrated=np.concatenate([f.uncalibrated for f in folds]),
        probabilities=np.concatenate([f.probabilities for f in folds]),
    )  # fmt: skip


def by_polygon(values: NDArray[Any], polygon: NDArray[Any]) -> float:
    """Return the mean over polygons of the mean of their pixels."""
    unit = np.unique(polygon, return_inverse=True)[1]
    return float((np.bincount(unit, values) / np.bincount(unit)).mean()) if len(values) else float("nan")


def polygons_of(found: Predictions) -> NDArray[np.int64]:
    """Return the number of polygons of each class (K,)."""
    return np.array([len(np.unique(found.polygon[found.label == k])) for k in range(found.probabilities.shape[1])])


def half(found: Predictions, seed: int) -> NDArray[np.bool_]:
    """Return the pixels of a random half of the polygons (N,)."""
    units, unit = np.unique(found.polygon, return_inverse=True)
    chosen = np.random.default_rng(seed).permutation(len(units)) < len(units) // 2
    return np.asarray(chosen[unit])


def repetition(found: Predictions, promise: float, by: By, seed: int) -> dict[str, Any]:
    """Return the coverage and the mean size of the sets of the other half of the polygons."""
    calibrating = half(found, seed)
    label, polygon, p = found.label[~calibrating], found.polygon[~calibrating], found.probabilities[~calibrating].T
    arrays = found.probabilities[calibrating], found.label[calibrating]
    conformal = Conformal.of(*arrays, found.polygon[calibrating])
    pixels = Conformal.of(*arrays, np.arange(int(calibrating.sum())))
    enough = np.array([one.polygons for one in conformal.classes]) >= enough_for(promise)
    units = polygons_of(found)
    ways = {
        "as computed": reached(p, conformal.least(promise, by)),
        "in the map": members(p, conformal.least(promise, by)),
        "pixels": reached(p, pixels.least(promise, by)),
    }
    result: dict[str, Any] = {"classes": int(enough.sum())}
    for way, sets in ways.items():
        true = sets[label, np.arange(len(label))]
        own = [by_polygon(true[label == k], polygon[label == k]) for k in np.flatnonzero(enough)]
        many = [by_polygon(true[label == k], polygon[label == k]) for k in np.flatnonzero(units >= MANY)]
        overall = by_polygon(true, polygon) if by == "all" else float(np.nanmean(own)) if own else float("nan")
        measures = {"coverage": overall, "of_many": float(np.nanmean(many)) if many else float("nan")}
        result[way] = {**measures, "size": by_polygon(sets.sum(0), polygon)}
    return result


def measured(name: str, promise: float, by: By) -> dict[str, Any]:
    """Return the means over the repetitions, and the standard deviation of the coverage between them."""
    found = untrained(name)
    each = [repetition(found, promise, by, seed) for seed in range(REPETITIONS)]
    ways: dict[str, Any] = {}
    for way in WAYS:
        coverage = np.array([one[way]["coverage"] for one in each])
        ways[way] = {
            "coverage": float(np.nanmean(coverage)), "std": float(np.nanstd(coverage)),
            "of_many": _mean([one[way]["of_many"] for one in each]),
            "size": float(np.mean([one[way]["size"] for one in each])),
        }  # fmt: skip
    about = {"pixels": len(found), "polygons": len(np.unique(found.polygon)), "legend": found.probabilities.shape[1]}
    accuracy = by_polygon(found.right, found.polygon)
    return {
        **about,
        "accuracy": accuracy,
        "polygons_of_class": polygons_of(found).tolist(),
        "classes": float(np.mean([one["classes"] for one in each])),
        **ways,
    }


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else None


def same_as_crepes(name: str, promise: float) -> dict[str, float]:
    """Return the share of the memberships that crepes gives too, with one random pixel of each polygon, for both promises."""
    from crepes import ConformalClassifier

    found = untrained(name)
    order = np.random.default_rng(0).permutation(len(found))
    first = np.sort(order[np.unique(found.polygon[order], return_index=True)[1]])
    one = found.take(np.isin(np.arange(len(found)), first))
    one = replace(one, probabilities=rounded_down(one.probabilities))
    calibrating = half(one, 0)
    conformal = Conformal.of(one.probabilities[calibrating], one.label[calibrating], one.polygon[calibrating])
    scores, labels = 1 - one.probabilities, one.label
    true = scores[np.arange(len(one)), labels][calibrating]
    result = {}
    for by in BY:
        bins = labels[calibrating] if by == "class" else None
        other = ConformalClassifier().fit(true, bins=bins)
        columns = []
        for k in range(scores.shape[1]):
            own = np.full((~calibrating).sum(), k) if by == "class" else None
            p = other.predict_p(scores[~calibrating][:, [k]], bins=own, smoothing=False)
            columns.append(p[:, 0] > 1 - promise + 1e-9)
        sets = reached(one.probabilities[~calibrating].T, conformal.least(promise, by))
        result[by] = float((sets == np.stack(columns)).mean())
    return result


def run_measured(name: str) -> dict[str, Any]:
    """Make a run, and return coverage and size of its sets for a promise of 0.9, of each draw."""
    chosen, tables = RUNS[name]
    site, out = SETS[chosen.split()[0]](), RunLayout(WORK / slug(name))
    split = {} if "regions" in chosen else {"split": {"train": 0.5, "draws": 10}}
    recipe = {**site.recipe(tables, True), "evaluation": {"importance": 0}, "name": slug(name), **split}
    parsed = parse(recipe, site.folder)
    jobs.run(parsed, out.path, ("train", "evaluate"))
    draws = len(list(out.path.glob("splits/*/test.parquet")))
    found: dict[str, Any] = {}
    for by in BY:
        promised = promised_by(out, draws, Mapped(sets=0.9, sets_by=by))
        assert promised is not None
        each = [float(d.coverage) if by == "all" else float(np.nanmean(d.per_class)) for d in promised.draws]
        found[by] = {"coverage": each, "size": [d.size for d in promised.draws], "held_out": promised.draws[0].held_out}
    return found


def run() -> str:
    """Measure the missing results, and return the tables."""
    WORK.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        for by in BY:
            for promise in PROMISES:
                RESULTS.measure(("sets", name, by, str(promise)), partial(measured, name, promise, by))
        if importlib.util.find_spec("crepes"):
            RESULTS.measure(("crepes", name), partial(same_as_crepes, name, 0.9))
    for name in RUNS:
        RESULTS.measure(("runs", name), partial(run_measured, name))
    return markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table with a line for each set and promise, and one of the comparison with crepes."""
    rows = []
    for name, promises in found["sets"].items():
        for by, lines in promises.items():
            for promise, one in lines.items():
                ways = [one[way] for way in WAYS]
                pairs = [
                    (f"{100 * way['coverage']:.1f} ± {100 * way['std']:.1f}", f"{way['size']:.2f}") for way in ways
                ]
                cells = [cell for pair in pairs for cell in pair]
                most = one["as computed"]["of_many"]
                many = "–" if by == "all" or most is None else f"{100 * most:.1f}"
                classes = f"{one['classes']:.0f} of {one['legend']}" if by == "class" else "–"
                rows.append((name, by, f"{100 * float(promise):g}", classes, many, *cells))
    head = (
        "set",
        "by",
        "promise",
        "enough polygons",
        f"classes of {MANY} polygons or more",
        *(cell for way in WAYS for cell in (way, "size")),
    )
    runs = [
        (name, *(cell for by in BY for cell in (spread(one[by]["coverage"]), f"{np.mean(one[by]['size']):.2f}")))
        for name, one in found["runs"].items()
    ]
    lines = table(("run, promise 0.9", "by class", "size", "all", "size"), runs)
    shares = [(name, *(f"{100 * one[by]:.2f} %" for by in BY)) for name, one in found.get("crepes", {}).items()]
    return f"\n{table(head, rows)}\n\nruns\n{lines}\n\nmemberships as in crepes\n{table(('set', *BY), shares)}"


if __name__ == "__main__":
    command_line(__name__)
