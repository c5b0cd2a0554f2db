"""Adaptation with a guard: pairs of a source and a target scene, on some of which it is chosen, on the others reported.

The pairs of ``UNSEEN`` were added when the guard was finished: no choice has seen them.

    BOCAGE_DATA=/path/to/data python -m benchmarks adapt

The source model of each pair and seed is trained once and kept in ``build/adapt``; its adaptation to the target is computed once.
Accuracies are those of all labelled pixels of the target. An interrupted benchmark resumes.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas

from benchmarks import choice_sets, transfer
from benchmarks.accuracy import samples_of
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, landscape, read
from bocage.disk import replacing
from bocage.jobs import run as jobs
from bocage.jobs.adapt import adapt_to
from bocage.layout import RunLayout
from bocage.recipe import Recipe, parse
from bocage.reliability import reliability
from bocage.report.transfer import Adaptation
from bocage.run import open_scene
from bocage.simulate import Simulation
from bocage.training import Adapting, Certainties, Certainty, Trained, classify
from bocage.training.guard import FALL, OFFSETS, RATE, SURE, Fall

WORK, RESULTS = BUILD / "adapt", Results("adapt")
SEEDS, PIXELS = range(5), 4096
WOOD = {"code": 7, "name": "wood", "values": ["7", "8", "9"], "color": "#1e4d2b"}
"""Classes of the simulated landscape that only images of very high resolution distinguish, as one."""


@dataclass(frozen=True)
class Side:
    """A scene with its labels: the source or the target of a pair."""

    name: str
    table: Callable[[], tuple[Table, Path]]
    """Returns the recipe without split, model and training, and the folder of its relative paths."""

    def recipe(self, seed: int) -> Recipe:
        """Return the recipe of the source model of a seed."""
        table, folder = self.table()
        training = {"keep": "last", "steps": [1000, 1000]}
        common = {"model": {"name": "patchwork", "preset": "small"}, "training": training}
        split = {"train": 0.8, "draws": 1, "seed": seed, "rare": "drop"}
        return parse({**table, "split": split, **common}, folder)


@dataclass(frozen=True)
class Pair:
    """A source, a target, and whether the source model is expected to be right there already."""

    source: Side
    target: Side
    easy: bool


def _land(seed: int, **settings: int) -> tuple[Table, Path]:
    """Return the recipe of a simulated landscape with Sentinel-1 and Sentinel-2."""
    made = Simulation(seed=seed, sensors=("s2", "s1"), **settings)
    text = "-".join(f"{key}{value}" for key, value in settings.items())
    folder = landscape(WORK / f"land-{seed}-{text}", made)
    table = {key: part for key, part in read(folder / "patchwork.toml").items() if key not in ("evaluation", "name")}
    rows = pandas.read_csv(folder / "legend.csv")
    others = [{"code": int(c), "name": n, "values": [str(c)]} for c, n in zip(rows.code, rows.name, strict=True)]
    others = [one for one in others if one["code"] not in (7, 8, 9)]
    return {**table, "legend": {"classes": [*others, WOOD]}}, folder


def _points(name: str, part: str, days: int = 0) -> tuple[Table, Path]:
    """Return the recipe of a part of a table of series, whose dates are some days later."""
    site = choice_sets.SETS[name]()
    folder = WORK / slug(f"{name}-{part}-{days}")
    folder.mkdir(parents=True, exist_ok=True)
    table = {key: value for key, value in site.network.items() if key not in ("split", "name", "training", "model")}
    source, reference = table["sources"]["s2"], table["reference"]
    paths = {key: Path(text.replace("${BOCAGE_DATA}", os.environ["BOCAGE_DATA"])) for key, text in
             {"series": source["path"], "points": reference["path"]}.items()}  # fmt: skip
    if not (folder / "points.gpkg").exists():
        points, series = geopandas.read_file(paths["points"]), pandas.read_parquet(paths["series"])
        points = points[PARTS[part](points)]
        series = series[series[source["id"]].isin(points[reference["sample_id"]])]
        dates = pandas.to_datetime(series[source["date"]])
        series = series.assign(**{source["date"]: dates + pandas.Timedelta(days, "D")})
        with replacing(folder / "series.parquet") as partial_file:
            series.to_parquet(partial_file)
        points.to_file(folder / "points.gpkg")
    sources = {key: one | {"path": str(folder / "series.parquet")} for key, one in table["sources"].items()}
    return {**table, "sources": sources, "reference": reference | {"path": str(folder / "points.gpkg")}}, folder


def _half(which: int) -> Callable[[geopandas.GeoDataFrame], np.ndarray]:
    def rows(points: geopandas.GeoDataFrame) -> np.ndarray:
        key = next((name for name in ("place", "location_id") if name in points), None)
        groups = points[key] if key else pandas.Series(np.arange(len(points)))
        units = groups.unique()
        chosen = np.random.default_rng(7).permutation(len(units)) < len(units) / 2
        return np.asarray(groups.map(dict(zip(units, chosen, strict=True)))).astype(bool) == bool(which)

    return rows


PARTS: Mapping[str, Callable[[geopandas.GeoDataFrame], np.ndarray]] = {
    "first half": _half(1),
    "second half": _half(0),
    "regions 0 and 1": lambda points: np.asarray(points.fold.isin([0, 1])),
    "region 2": lambda points: np.asarray(points.fold == 2),
    "regions 0 and 2": lambda points: np.asarray(points.fold.isin([0, 2])),
    "region 1": lambda points: np.asarray(points.fold == 1),
    "regions 1 and 2": lambda points: np.asarray(points.fold.isin([1, 2])),
    "region 0": lambda points: np.asarray(points.fold == 0),
    "west": lambda points: np.asarray(points.geometry.x < points.geometry.x.median()),
    "east": lambda points: np.asarray(points.geometry.x >= points.geometry.x.median()),
}


def _side(name: str, work: Callable[..., tuple[Table, Path]], *args: object, **more: object) -> Side:
    return Side(name, cache(partial(work, *args, **more)))


def _flanders(tile: str) -> tuple[Table, Path]:
    table = transfer.recipe_of(tile, "patchwork", 0)
    return {key: value for key, value in table.items() if key not in ("split", "model", "training")}, WORK


def _pair(easy: bool, source: Side, target: Side) -> Pair:
    return Pair(source, target, easy)


def _halves(name: str, days: int = 0) -> Pair:
    """Return the pair of two random halves of a table; the dates of the second are some days later."""
    here = _side(f"{name}, first half", _points, name, "first half")
    there = _side(f"{name}, second half, {days} days later", _points, name, "second half", days)
    return Pair(here, there, not days)


def _parts(name: str, here: str, there: str) -> Pair:
    """Return the pair of two parts of a table that differ in place."""
    return _pair(False, *(_side(f"{name}, {part}", _points, name, part) for part in (here, there)))


def _lands(seed: int, easy: bool, **settings: int) -> Pair:
    here = _side(f"land {seed}", _land, seed, year=2022)
    there = f"land {seed} " + " ".join(f"{key} {value}" for key, value in settings.items())
    return Pair(here, _side(there, _land, seed, **settings), easy)


A, C = (_side(f"flanders {tile}", _flanders, tile) for tile in "AC")
CHOOSING: Mapping[str, Pair] = {
    "bavaria, halves": _halves("bavaria"),
    "bavaria, 30 days later": _halves("bavaria", 30),
    "bavaria, 15 days earlier": _halves("bavaria", -15),
    "rondonia, halves": _halves("rondonia"),
    "rondonia, 45 days later": _halves("rondonia", 45),
    "rondonia, 90 days later": _halves("rondonia", 90),
    "matogrosso, halves": _halves("matogrosso"),
    "matogrosso, 32 days later": _halves("matogrosso", 32),
    "matogrosso, 32 days earlier": _halves("matogrosso", -32),
    "matogrosso, 64 days later": _halves("matogrosso", 64),
    "land 11, same season": _lands(11, True, year=2023, region=1),
    "land 11, half 60 days later": _lands(11, False, year=2023, region=2, delay=60),
    "land 12, same season": _lands(12, True, year=2024, region=3),
    "land 12, half 30 days later": _lands(12, False, year=2023, region=4, delay=30),
}
REPORTING: Mapping[str, Pair] = {
    "Flanders A to C": _pair(False, A, C),
    "Flanders C to A": _pair(True, C, A),
    "Canada, two regions to the third": _parts("canada", "regions 0 and 1", "region 2"),
    "Canada, random halves": _halves("canada"),
    "simulated, season shifted": _lands(1, False, year=2023, region=5, delay=45),
    "simulated, same season": _lands(1, True, year=2023, region=6),
}
UNSEEN: Mapping[str, Pair] = {
    "Canada, two regions to the second": _parts("canada", "regions 0 and 2", "region 1"),
    "Canada, two regions to the first": _parts("canada", "regions 1 and 2", "region 0"),
    "Bavaria, west to east": _parts("bavaria", "west", "east"),
    "Rondônia, west to east": _parts("rondonia", "west", "east"),
    "simulated 31, same season": _lands(31, True, year=2023, region=7),
    "simulated 31, half 45 days later": _lands(31, False, year=2023, region=8, delay=45),
}


def source_model(pair: Pair, seed: int) -> Path:
    """Return the folder of the source model, trained if it is missing."""
    out = WORK / "models" / slug(f"{pair.source.name}-{seed}")
    if not RunLayout(out).split(0).model.description.exists():
        jobs.run(pair.source.recipe(seed), out, ("train",))
    return RunLayout(out).split(0).model.path


def adapted_model(name: str, pair: Pair, seed: int) -> RunLayout:
    """Return the folder of the adaptation to the target, without guard, computed if it is missing."""
    layout = RunLayout(WORK / "adapted" / slug(f"{name}-{seed}"))
    if not layout.adapted.exists():
        settings = Adapting(pixels=PIXELS, always=True)
        adapt_to(pair.target.recipe(seed), source_model(pair, seed), layout.path, settings, overwrite=True)
    return layout


def measured(name: str, pair: Pair, seed: int) -> dict[str, Any]:
    """Return what the guard sees, and the accuracies and calibration errors on the labels of the target."""
    layout, source = adapted_model(name, pair, seed), Trained.load(source_model(pair, seed))
    adapted, record = Trained.load(layout.own.model.path), Adaptation.load(layout.adapted)
    judgement = record.change.judgement if record else None
    assert source.certainties
    assert judgement
    assert judgement.here
    recipe = pair.target.recipe(seed)
    scene = open_scene(recipe)
    samples = samples_of(recipe, scene, WORK / "samples" / slug(pair.target.name))
    place = {code: k for k, code in enumerate(source.legend.codes)}  # a class that the source lacks is an error
    label = np.array([place.get(samples.legend.codes[k], -1) for k in samples.label])
    models = {"as it is": source, "adapted": adapted, "uncalibrated": replace(adapted, calibration=source.calibration)}
    found: dict[str, Any] = {}
    for way, model in models.items():
        made = classify(model.for_scene(scene), samples.chips, np.arange(len(label)), "cpu")
        right = made.argmax(1) == label
        found[way] = {"overall_accuracy": float(right.mean()), "error": reliability(made.max(1), right).error}
    held = source.calibration.before
    return found | {
        "known": asdict(source.certainties)["known"], "here": asdict(judgement.here),
        "held_out": float(np.dot(held.share, held.accuracy)) if held else None,
    }  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """A pair and a seed: what the guard sees, and what is true."""

    pair: str
    fall: Fall
    here: Certainty
    held_out: float
    source_confidence: float
    before: float
    after: float
    errors: tuple[float, float, float]
    """Calibration errors: as it is, adapted, adapted without a new temperature."""

    @classmethod
    def of(cls, pair: str, one: Mapping[str, Any]) -> "Outcome":
        """Return the outcome from its record."""
        known = Certainties.from_dict({"known": one["known"], "left_out": {}}).known
        here = Certainty(**one["here"] | {"errors": tuple(one["here"]["errors"])})
        errors = tuple(one[way]["error"] for way in ("as it is", "adapted", "uncalibrated"))
        accuracies = (one[way]["overall_accuracy"] for way in ("as it is", "adapted"))
        there = float(np.mean([site.confidence for site in known.values()]))
        return cls(pair, Fall.between(known, here), here, one["held_out"], there, *accuracies, errors)

    @property
    def gain(self) -> float:
        """Accuracy that the adaptation adds."""
        return self.after - self.before

    def adapts(self, fall: float = FALL, sure: float = SURE) -> bool:
        """Return whether the guard adapts, with these limits."""
        return self.fall.value >= fall and self.fall.value >= sure * self.fall.error

    def guarded(self, fall: float = FALL, sure: float = SURE) -> float:
        """Return the accuracy with the guard."""
        return self.after if self.adapts(fall, sure) else self.before

    def estimated(self, rate: float = RATE) -> float:
        """Return the accuracy of the model as it is, estimated from the confidence and the fall of the agreement."""
        return max(0.0, self.here.confidence - rate * max(0.0, self.fall.value))

    @property
    def doc(self) -> float:
        """Accuracy on held-out polygons minus the difference of confidences (Guillory et al. 2021)."""
        return min(1.0, max(0.0, self.held_out - (self.source_confidence - self.here.confidence)))


FALLS, SURES, RATES = (0.0, 0.025, 0.05, 0.075, 0.1), (0.0, 1.0, 2.0, 3.0, 4.0, 5.0), (0.0, 1.0, 2.0, 3.0)
LOSS, ROUNDING = 0.003, 1e-12
"""Loss of accuracy that the guard may cause on a pair; rounding error of a mean."""


def by_pair(outcomes: Sequence[Outcome], value: Callable[[Outcome], float]) -> dict[str, float]:
    """Return the mean of a value over the seeds of each pair."""
    pairs = dict.fromkeys(one.pair for one in outcomes)
    return {name: float(np.mean([value(one) for one in outcomes if one.pair == name])) for name in pairs}


def of_sets(outcomes: Sequence[Outcome], value: Callable[[Outcome], float]) -> np.ndarray:
    """Return the mean of a value over the pairs of each set: pairs of one set are not independent."""
    sets = dict.fromkeys(one.pair.split(",")[0] for one in outcomes)
    return np.array([np.mean([value(one) for one in outcomes if one.pair.split(",")[0] == name]) for name in sets])


def chosen_limits(outcomes: Sequence[Outcome]) -> tuple[float, float]:
    """Return the limits of the guard.

    No pair loses more than ``LOSS``, and the mean gain is within a standard error between sets of the best. Of these limits, they
    adapt most often, because strict limits cost the gains of other scenes; of equal limits, they have the largest fall, because
    with many pixels a fall of any size is beyond its error, and then the fewest errors.
    """

    def gain(one: Outcome, limits: tuple[float, float]) -> float:
        return one.guarded(*limits) - one.before

    every = list(product(FALLS, SURES))
    safe = [one for one in every if min(by_pair(outcomes, partial(gain, limits=one)).values()) >= -LOSS]
    gained = {limits: of_sets(outcomes, partial(gain, limits=limits)) for limits in safe}
    best = max(gained.values(), key=lambda found: found.mean())
    near = [
        limits
        for limits, found in gained.items()
        if (best - found).mean() <= (best - found).std(ddof=1) / np.sqrt(len(best)) + ROUNDING
    ]
    return max(near, key=lambda limits: (sum(one.adapts(*limits) for one in outcomes), limits[0], -limits[1]))


def chosen_rate(outcomes: Sequence[Outcome]) -> float:
    """Return the lowest rate whose error exceeds that of the best by at most a standard error between sets."""
    errors = {rate: of_sets(outcomes, lambda one, rate=rate: abs(one.estimated(rate) - one.before)) for rate in RATES}
    best = min(errors.values(), key=lambda error: error.mean())
    worse = {rate: error - best for rate, error in errors.items()}
    return next(rate for rate, more in worse.items() if more.mean() <= more.std(ddof=1) / np.sqrt(len(more)))


def outcomes_of(pairs: Mapping[str, Pair]) -> list[Outcome]:
    """Return the stored outcomes of some pairs."""
    found = RESULTS.content()
    return [Outcome.of(name, one) for name in pairs for one in found.get(name, ())]


def run() -> str:
    """Measure the missing results and return the tables."""
    WORK.mkdir(parents=True, exist_ok=True)
    everything = {**REPORTING, **UNSEEN, **CHOOSING}
    slow = [name for name in everything if name.startswith(("simulated", "land"))]  # minutes for each
    for names, seed in product(([name for name in everything if name not in slow], slow), SEEDS):
        for name in RESULTS.free(names):
            RESULTS.measure((name, seed), partial(measured, name, everything[name], seed))
    return "\n" + markdown()


def markdown() -> str:
    """Return the choice on some pairs, then the tables of the reported pairs, and those of the pairs that no choice has seen."""
    choosing, reporting, unseen = outcomes_of(CHOOSING), outcomes_of(REPORTING), outcomes_of(UNSEEN)
    return "\n\n".join(
        [
            choice(choosing),
            limits(choosing),
            gains(reporting),
            verdict(reporting),
            estimates(reporting),
            estimators(choosing, reporting),
            limits(reporting),
            *(part(unseen) for part in (gains, verdict, estimates, limits) if unseen),
        ]
    )


def choice(outcomes: Sequence[Outcome]) -> str:
    """Return what the pairs for the choice give: limits, rate and errors of the estimate, beside those that are used."""
    low, high = np.quantile([one.before - one.estimated() for one in outcomes], [0.05, 0.95])
    return (
        f"chosen limits {chosen_limits(outcomes)} (used {FALL}, {SURE}), rate {chosen_rate(outcomes)} (used {RATE}), offsets "
        f"{low:+.3f}, {high:+.3f} (used {OFFSETS}), {len(outcomes)} models and targets"
    )


def limits(outcomes: Sequence[Outcome]) -> str:
    """Return the effect of the guard by its limits."""
    rows: list[tuple[object, ...]] = []
    for fall, sure in [*product(FALLS, SURES), (-np.inf, -np.inf)]:
        found = by_pair(outcomes, lambda one, fall=fall, sure=sure: one.guarded(fall, sure) - one.before).values()
        share = np.mean([one.adapts(fall, sure) for one in outcomes])
        numbers = (
            f"{np.mean(list(found)):+.4f}",
            f"{min(found):+.4f}",
            f"{share:.0%}",
            f"{kept(outcomes, fall, sure):.0%}",
        )
        rows.append(("always", "", *numbers) if fall < 0 else (fall, sure, *numbers))
    return table(("least fall", "errors", "mean gain", "worst pair", "adapted", "gains kept"), rows)


def kept(outcomes: Sequence[Outcome], fall: float = FALL, sure: float = SURE) -> float:
    """Return the share of the gains that the guard keeps, over the models that gain."""
    gained = [one for one in outcomes if one.gain > 0]
    return sum(one.guarded(fall, sure) - one.before for one in gained) / sum(one.gain for one in gained)


def gains(outcomes: Sequence[Outcome]) -> str:
    """Return the accuracies of the four ways."""
    rows = []
    for name, pair in {**REPORTING, **UNSEEN}.items():
        own = [one for one in outcomes if one.pair == name]
        ways = ([one.before for one in own], [one.after for one in own], [one.guarded() for one in own],
                [max(one.before, one.after) for one in own])  # fmt: skip
        if own:
            adapted = f"{sum(one.adapts() for one in own)} of {len(own)}"
            rows.append((name, "yes" if pair.easy else "no", *map(spread, ways), adapted))
    return table(("pair", "easy", "as it is", "always adapted", "with the guard", "better of both", "adapted"), rows)


def kept_of_pairs(outcomes: Sequence[Outcome]) -> float:
    """Return the share of the mean gains of pairs that the guard keeps, over the pairs that gain."""
    always, guarded = (
        by_pair(outcomes, value) for value in (lambda one: one.gain, lambda one: one.guarded() - one.before)
    )
    gained = [name for name, gain in always.items() if gain > 0]
    return sum(guarded[name] for name in gained) / sum(always[name] for name in gained)


def spread_of_kept(outcomes: Sequence[Outcome], draws: int = 4000) -> tuple[float, float]:
    """Return the 5 % and 95 % quantiles of :func:`kept` if the models of each pair are drawn again with replacement."""
    g, pairs = np.random.default_rng(0), dict[str, list[Outcome]]()
    for one in outcomes:
        pairs.setdefault(one.pair, []).append(one)
    again = [kept([own[i] for own in pairs.values() for i in g.integers(0, len(own), len(own))]) for _ in range(draws)]
    low, high = np.quantile(again, [0.05, 0.95])
    return float(low), float(high)


def verdict(outcomes: Sequence[Outcome]) -> str:
    """Return the largest loss and the share of the gains that are kept."""
    guarded, always = (
        by_pair(outcomes, value) for value in (lambda one: one.guarded() - one.before, lambda one: one.gain)
    )
    low, high = spread_of_kept(outcomes)
    return (
        f"largest loss of a pair: {min(guarded.values()):+.4f} (always: {min(always.values()):+.4f}); of a model: "
        f"{min(one.guarded() - one.before for one in outcomes):+.4f} (always: {min(one.gain for one in outcomes):+.4f}); gains "
        f"kept: {kept(outcomes):.1%} of those of models ({low:.0%} to {high:.0%} with other models), "
        f"{kept_of_pairs(outcomes):.1%} of the means of pairs"
    )


def estimates(outcomes: Sequence[Outcome]) -> str:
    """Return estimated against measured accuracy, and the calibration errors."""
    rows = []
    for name in by_pair(outcomes, Outcome.estimated):
        own = [one for one in outcomes if one.pair == name]
        if not own:
            continue
        inside = sum(one.estimated() + OFFSETS[0] <= one.before <= one.estimated() + OFFSETS[1] for one in own)
        falls, columns = [one.fall.value for one in own], zip(*(one.errors for one in own), strict=True)
        rows.append((name, spread(falls, "+"), spread([one.here.confidence for one in own]), spread([one.estimated() for one in own]),
                     spread([one.before for one in own]), f"{inside} of {len(own)}", *map(spread, columns)))  # fmt: skip
    head = (
        "pair",
        "fall",
        "confidence",
        "estimated",
        "measured",
        "in the interval",
        "as it is",
        "adapted",
        "adapted, not calibrated",
    )
    return table(head, rows)


def estimators(choosing: Sequence[Outcome], reporting: Sequence[Outcome]) -> str:
    """Return the mean absolute errors of several estimates of the accuracy, over sets."""
    ways: dict[str, Callable[[Outcome], float]] = {
        "held-out accuracy": lambda one: one.held_out,
        "difference of confidences": lambda one: one.doc,
        **{f"confidence minus {rate:g} x fall": partial(Outcome.estimated, rate=rate) for rate in RATES},
    }
    rows = []
    for name, way in ways.items():
        errors = (of_sets(part, lambda one, way=way: abs(way(one) - one.before)) for part in (choosing, reporting))
        rows.append((name, *(f"{error.mean():.3f}" for error in errors)))
    return table(("estimate", "error, choosing", "error, reported"), rows)


if __name__ == "__main__":
    command_line(__name__)
