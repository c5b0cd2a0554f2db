"""Learning curves of the fields that ``bocage scout`` proposes, against random fields and against the uncertainty alone.

    BOCAGE_DATA=/path/to/data python -m benchmarks.scout [choose] [report] [canada] [simulated]

A survey of 60 random fields (one of each class at least) grows by 20 fields at a time, chosen from a pool. After each addition, a
model is trained on the surveyed fields and tested on other fields. The model is a random forest, without calibration, which trains in
a second; "patchwork" repeats the report on `canada` with the network (200 epochs at most 250 steps), whose features then measure
the diversity.

Kilometres: the tours of two days to the fields of an addition, a straight line times 1.3; mean over the additions.

"choose" compares variants of the choice on fields that "report" never tests: on fold 0 of `canada`, whose locations are dealt into pool
and test, and on a simulated landscape of its own. "report" measures random, uncertainty and the balanced choice on the folds 1 and 2 of `canada`
and on another landscape, with 10 seeds. Results: ``benchmarks/results/scout.json``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.accuracy import samples_of
from benchmarks.frame import BUILD, Results, command_line, table
from benchmarks.recipes import Table, example, landscape, read, without_fill
from bocage.advice.selection import (
    BALANCED,
    Findings,
    Known,
    Weights,
    doubt_of,
    gains_of,
    standardised,
)
from bocage.advice.tours import Budget, plan_survey
from bocage.evaluation import METRICS, ConfusionMatrix
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.samples import Draw, Samples, Split
from bocage.scene import Scene
from bocage.simulate import Simulation
from bocage.training import Trained, Trainer, classify
from bocage.training.embedding import embedding_of
from bocage.training.novelty import novelty_of

WORK, RESULTS = BUILD / "scout", Results("scout")
START, STEP, ROUNDS = 60, 20, 8
"""Fields of the first survey, fields of an addition, and number of additions."""
CHOOSING, REPORTING = 6, 10
"""Number of seeds of the choice and of the report."""
DAYS, DEGREE = 2, 111_000.0
"""Days of the tours of an addition; metres of a degree at the equator."""
PIXELS = 16
"""Maximum number of pixels of a field."""
LANDS = {
    "choose": Simulation(height=2406, width=2804, polygons=80, sensors=("s2",), seed=77),
    "report": Simulation(height=2406, width=2804, polygons=80, sensors=("s2",), seed=5),
}
WAYS: Mapping[str, Weights | str] = {
    "random": "random",
    "uncertainty": "uncertainty",
    "doubt × diversity": Weights(1, 0, 0, 1),
    "doubt × diversity²": Weights(1, 0, 0, 2),
    "doubt² × diversity": Weights(2, 0, 0, 1),
    "doubt × novelty × diversity": Weights(1, 1, 0, 1),
    "doubt × √novelty × diversity": Weights(1, 0.5, 0, 1),
    "doubt² × √rarity × diversity": Weights(2, 0, 0.5, 1),
    "doubt², others as roots": Weights(2, 0.5, 0.5, 1),
    "doubt × rarity × diversity": Weights(1, 0, 1, 1),
    "doubt × √rarity × diversity": Weights(1, 0, 0.5, 1),
    "all": Weights(1, 1, 1, 1),
    "all, roots": Weights(1, 0.5, 0.5, 1),
    "diversity": Weights(0, 0, 0, 1),
    "k-means": "k-means",
    "badge": "badge",
}
"""Variants of the choice. "k-means": clusters of the candidates weighted by their doubt (scikit-learn; Zhdanov 2019,
arXiv:1901.05954), of which the nearest candidates to the centres; "badge": k-means++ on gradients of the loss (Ash et al. 2020,
arXiv:1906.03671)."""
FEWER = (
    "random",
    "uncertainty",
    "doubt² × diversity",
    "doubt² × √rarity × diversity",
    "doubt², others as roots",
    "doubt × rarity × diversity",
    "all",
    "k-means",
    "badge",
)
"""Variants that are compared on the simulated landscape, where a curve takes minutes: the best ones of `canada`."""
REPORTED: Mapping[str, Weights | str] = {
    "random": "random",
    "uncertainty": "uncertainty",
    "balanced": BALANCED,
    **{way: WAYS[way] for way in ("doubt² × diversity", "doubt × diversity")},
}
"""Strategies of the command. Two variants with fewer parts were added to the report after its first results."""
FOREST: Table = {"name": "random_forest", "trees": 100}
NETWORK: Table = {"name": "patchwork", "preset": "small"}


@dataclass(frozen=True)
class Fixed(Samples):
    """Samples with one draw that is given."""

    given: Draw | None = None

    def draw(self, number: int) -> Draw:
        """Return the draw."""
        assert self.given is not None
        return self.given


@dataclass(frozen=True)
class Bench:
    """Samples of a data set, thinned to a few pixels a field, and the fields of the pool and of the test for a seed."""

    name: str
    recipe: Recipe
    scene: Scene
    samples: Samples
    part: Callable[[int], tuple[NDArray[Any], NDArray[Any]]]
    """Seed → fields of the pool, and fields of the test."""

    def members(self, fields: NDArray[Any]) -> NDArray[np.int64]:
        """Return at most `PIXELS` samples of each field, evenly among its pixels."""
        found = []
        for field in fields.tolist():
            own = np.flatnonzero(self.samples.polygon == field)
            found.append(own[np.unique(np.linspace(0, len(own) - 1, PIXELS).round().astype(int))])
        return np.concatenate(found)

    def classes(self, fields: NDArray[Any]) -> NDArray[np.int64]:
        """Return the class of each field."""
        first = pd.Series(self.samples.label, self.samples.polygon)
        return first[~first.index.duplicated()].loc[fields].to_numpy(np.int64)

    def curve(self, way: Weights | str, seed: int, rounds: int = ROUNDS) -> dict[str, list[float]]:
        """Return accuracy and mean F-measure after each addition, and the kilometres of each addition."""
        pool, test = self.part(seed)
        surveyed = self._first(pool, np.random.default_rng((seed, 7)))
        tested = self.members(test)
        found: dict[str, list[float]] = {"overall_accuracy": [], "f1_macro": []}
        driven: list[float] = []
        for number in range(rounds + 1):
            trained = self._trained(surveyed, seed)
            predicted = classify(trained, self.samples.chips, tested, "cpu").argmax(1)
            matrix = ConfusionMatrix.of(self.samples.label[tested], predicted, self.samples.legend.names)
            for key, values in found.items():
                values.append(float(METRICS.get(key)(matrix)))
            if number < rounds:
                rest = np.setdiff1d(pool, surveyed)
                added = rest[self._chosen(trained, way, surveyed, rest, seed + number)]
                driven.append(kilometres(self.places(added)))
                surveyed = np.concatenate([surveyed, added])
        return found | {"kilometres": driven}

    def places(self, fields: NDArray[Any]) -> NDArray[np.float64]:
        """Return the place of the first sample of each field, in metres north and east."""
        assert self.samples.place is not None
        first = [np.flatnonzero(self.samples.polygon == field)[0] for field in fields.tolist()]
        return self.samples.place[first]

    def _first(self, pool: NDArray[Any], generator: np.random.Generator) -> NDArray[Any]:
        """Return the fields of the first survey: one of each class, and others at random."""
        order = generator.permutation(pool)
        _, one = np.unique(self.classes(order), return_index=True)
        rest = np.delete(np.arange(len(order)), one)[: START - len(one)]
        return order[np.sort(np.concatenate([one, rest]))]

    def _trained(self, surveyed: NDArray[Any], seed: int) -> Trained:
        own, nothing = np.sort(self.members(surveyed)), np.zeros(0, np.int64)
        values = {name: getattr(self.samples, name) for name in Samples.__dataclass_fields__}
        fixed = Fixed(**values, given=Draw(own, nothing, nothing))
        fixed = replace(fixed, split=Split(train=1, draws=1, seed=seed))
        return Trainer(self.recipe.choice, self.scene, fixed).train(0, WORK / f"{self.name}-model")

    def _chosen(
        self, trained: Trained, way: Weights | str, surveyed: NDArray[Any], rest: NDArray[Any], seed: int
    ) -> NDArray[np.int64]:
        found = self._findings(trained, rest)
        known = Known(
            self._mean(trained, surveyed),
            np.bincount(self.classes(surveyed), minlength=len(self.samples.legend.classes)),
        )
        found, known = standardised(found, known)
        if way == "k-means":
            return clustered(found, seed)
        if way == "badge":
            return badge(found, seed)
        return chosen(found, known, way, seed)

    def _findings(self, trained: Trained, fields: NDArray[Any]) -> Findings:
        members = self.members(fields)
        probability = classify(trained, self.samples.chips, members, "cpu").astype(float)
        novelty = novelty_of(trained, self.samples.chips, members)
        assert novelty is not None
        average = self._averaging(members, fields)
        features = embedding_of(trained, self.samples.chips, members, "cpu")
        return Findings(
            average(probability), average(doubt_of(probability)), average(novelty.astype(float)), average(features)
        )

    def _mean(self, trained: Trained, fields: NDArray[Any]) -> NDArray[np.float64]:
        members = self.members(fields)
        return self._averaging(members, fields)(embedding_of(trained, self.samples.chips, members, "cpu"))

    def _averaging(self, members: NDArray[Any], fields: NDArray[Any]) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
        which = pd.Series(np.arange(len(fields)), fields).loc[self.samples.polygon[members]].to_numpy()
        count = np.bincount(which, minlength=len(fields))

        def average(values: NDArray[Any]) -> NDArray[np.float64]:
            columns = values.reshape(len(values), -1).T
            mean = np.stack([np.bincount(which, column, len(fields)) for column in columns], 1) / count[:, None]
            return mean.reshape(len(fields), *values.shape[1:])

        return average


def chosen(found: Findings, known: Known, way: Weights | str, seed: int) -> NDArray[np.int64]:
    """Return the candidates with the largest gains, one after the other; ties are broken by the seed."""
    order = np.random.default_rng((seed, 0)).permutation(len(found))
    found = found.take(order)
    strategy = "balanced" if isinstance(way, Weights) else way
    gains = gains_of(found, known, strategy, seed, way if isinstance(way, Weights) else BALANCED)  # type: ignore[arg-type]
    free, picked = np.ones(len(order), bool), []
    for _ in range(min(STEP, len(order))):
        best = int(np.where(free, gains.now, -1).argmax())
        free[best] = False
        gains.choose(best)
        picked.append(order[best])
    return np.array(picked)


def kilometres(place: NDArray[np.float64]) -> float:
    """Return the length of tours of `DAYS` days to fields at `place` (N, 2), in metres north and east.

    The places are laid around the origin of longitudes and latitudes, where 1 degree is `DEGREE` m.
    """
    north, east = (place - place.mean(0)).T / DEGREE
    nothing = np.zeros((len(place), 1))
    found = Findings(np.ones_like(nothing), nothing[:, 0], nothing[:, 0], nothing)
    gains = gains_of(found, Known(nothing[:0], np.zeros(1, np.int64)), "random", 0, BALANCED)
    return plan_survey([gains], np.stack([east, north], 1), np.zeros((0, 2)), Budget(len(place), DAYS)).kilometres


def clustered(found: Findings, seed: int) -> NDArray[np.int64]:
    """Return the candidate nearest to each centre of k-means, weighted by the doubt."""
    from sklearn.cluster import KMeans

    likely = np.argsort(-found.doubt, kind="stable")[: 10 * STEP]
    part = found.take(likely)
    kmeans = KMeans(STEP, n_init=1, random_state=seed).fit(part.features, sample_weight=part.doubt + 1e-9)
    distance = kmeans.transform(part.features)
    picked: list[int] = []
    for k in range(STEP):
        order = np.argsort(distance[:, k], kind="stable")
        picked.append(next(int(i) for i in order if int(i) not in picked))
    return likely[picked]


def badge(found: Findings, seed: int) -> NDArray[np.int64]:
    """Return the candidates that k-means++ takes among the gradients of the loss with the predicted classes as labels."""
    from sklearn.cluster import kmeans_plusplus

    error = found.probability - np.eye(found.probability.shape[1])[found.predicted]
    gradient = (error[:, :, None] * found.features[:, None]).reshape(len(found), -1)
    return np.asarray(kmeans_plusplus(gradient, STEP, random_state=seed)[1])


def canada(model: Table, part: str) -> Bench:
    """Return the bench of `canada`: points of fold 0 to choose, tests on folds 1 and 2 to report."""
    start = example("canada") if model is FOREST else without_fill(example("canada"))
    recipe = parse({**start, "model": model, "split": {"fold": "fold"}, "training": training_of(model)}, WORK, "canada")
    scene = open_scene(recipe)
    samples = samples_of(recipe, scene, WORK / f"canada-{model['name']}-samples")
    assert samples.fold is not None
    fields, first = np.unique(samples.polygon, return_index=True)
    fold = samples.fold[first]

    def parts(seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
        if part == "report":
            return fields[fold != 1 + seed % 2], fields[fold == 1 + seed % 2]
        own = np.random.default_rng((seed, 3)).permutation(fields[fold == 0])
        return np.sort(own[: 2 * len(own) // 3]), np.sort(own[2 * len(own) // 3 :])

    return Bench(f"canada-{model['name']}-{part}", recipe, scene, samples, parts)


def simulated(model: Table, part: str) -> Bench:
    """Return the bench of a simulated landscape, whose classes have fields in proportion to their areas."""
    land = landscape(WORK / f"land-{part}", LANDS[part])
    start = read(land / "gru.toml")
    s2 = start["sources"]["s2"]
    sources = {"s2": {**s2, "fill": {**s2["fill"], "every": 20}}}
    tables = {"model": model, "split": {"train": 1, "draws": 1}, "training": training_of(model), "sources": sources}
    kept = {key: value for key, value in start.items() if key != "evaluation"}
    recipe = parse({**kept, **tables}, land, "simulated")
    scene = open_scene(recipe)
    samples = samples_of(recipe, scene, WORK / f"simulated-{part}-samples")
    areas = shares(land, samples.legend.codes)

    def parts(seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
        generator, pool, test = np.random.default_rng((seed, 3)), [], []
        for label, share in enumerate(areas / areas.max()):
            own = generator.permutation(np.unique(samples.polygon[samples.label == label]))
            own = own[: max(6, round(share * len(own)))]
            pool.append(own[: 2 * len(own) // 3])
            test.append(own[2 * len(own) // 3 :])
        return np.sort(np.concatenate(pool)), np.sort(np.concatenate(test))

    return Bench(f"simulated-{model['name']}-{part}", recipe, scene, samples, parts)


def shares(land: Path, codes: Sequence[int]) -> NDArray[np.float64]:
    """Return the share of each class in a landscape."""
    import rasterio

    with rasterio.open(land / "truth.tif") as dataset:
        count = np.bincount(dataset.read(1).ravel(), minlength=max(codes) + 1)[list(codes)]
    return np.asarray(count / count.sum())


def training_of(model: Table) -> Table:
    """Return the table [training] of a model."""
    return {"calibrate": False} | ({"epochs": 200, "steps": 250, "keep": "last"} if model is NETWORK else {})


BENCHES: Mapping[str, Callable[[Table, str], Bench]] = {"canada": canada, "simulated": simulated}


WORDS = ("choose", "report", "patchwork", *BENCHES)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing curves and return the tables."""
    parts = [part for part in ("choose", "report", "patchwork") if part in wanted] or ["choose", "report"]
    names = [name for name in BENCHES if name in wanted] or list(BENCHES)
    for part in parts:
        for name in names:
            measure(part, name)
    return "\n" + markdown(RESULTS.content())


def measure(part: str, name: str) -> None:
    """Measure the missing curves of one data set, seed by seed, so that all ways have as many seeds when it is interrupted."""
    model, draws = (NETWORK, "report") if part == "patchwork" else (FOREST, part)
    if part == "patchwork" and name != "canada":
        return
    bench = BENCHES[name](model, draws)
    ways = {way: WAYS[way] for way in (FEWER if name == "simulated" else WAYS)} if part == "choose" else REPORTED
    seeds = range(100, 100 + CHOOSING) if part == "choose" else range(3 if part == "patchwork" else REPORTING)
    for position, seed in enumerate(seeds):
        for way, how in ways.items():
            work = lambda how=how, seed=seed: bench.curve(how, seed)  # noqa: E731
            RESULTS.measure((part, name, way, position), work)


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table with a line for each way: gains over random, mean of all additions, and fields saved."""
    rows = []
    for part in (part for part in ("choose", "report", "patchwork") if part in found):
        for name, ways in found[part].items():
            for way, curves in ways.items():
                n = min(len(curves), len(ways["random"]))
                own, base = ([one["overall_accuracy"] for one in some[:n]] for some in (curves, ways["random"]))
                f1, f1_base = ([one["f1_macro"] for one in some[:n]] for some in (curves, ways["random"]))
                shown = [gain(own, base), gain(f1, f1_base), saved(own, base)] if way != "random" else ["", "", ""]
                driven = [np.mean(one["kilometres"]) for one in curves if "kilometres" in one]
                shown.append(f"{np.mean(driven):.0f}" if driven else "")
                rows.append((f"{part}, {name}", way, n, f"{np.mean([one[-1] for one in own]):.3f}", *shown))
    header = ("", "", "seeds", "accuracy at the end", "accuracy gained", "mean F gained", "fields saved", "km")
    return table(header, rows)


def gain(own: Sequence[Sequence[float]], base: Sequence[Sequence[float]]) -> str:
    """Return the mean difference over all additions, and its standard error over the seeds."""
    difference = (np.array(own) - np.array(base))[:, 1:].mean(1)
    error = f" ± {difference.std(ddof=1) / np.sqrt(len(difference)):.3f}" if len(difference) > 1 else ""
    return f"{difference.mean():+.3f}{error}"


def saved(own: Sequence[Sequence[float]], base: Sequence[Sequence[float]]) -> str:
    """Return how many fields fewer reach the accuracy of all random fields, with a 95 % interval (bootstrap of the seeds)."""
    first, second = np.array(own), np.array(base)
    drawn = np.random.default_rng(0).integers(0, len(first), (2000, len(first)))
    numbers = [_fewer(first[some].mean(0), second[some].mean(0)) for some in drawn]
    low, high = np.percentile(numbers, (2.5, 97.5))
    return f"{_fewer(first.mean(0), second.mean(0)):.0f} ({low:.0f} to {high:.0f})"


def _fewer(own: NDArray[np.float64], base: NDArray[np.float64]) -> float:
    """Return the fields that a curve needs fewer than another for the best accuracy of the other, which never falls."""
    rising, fields = np.maximum.accumulate(own), START + STEP * np.arange(len(own))
    target = np.maximum.accumulate(base)[-1]
    needed = int(np.argmax(np.maximum.accumulate(base) >= target))
    if rising[-1] < target:
        return float(fields[needed] - fields[-1])
    reached = int(np.argmax(rising >= target))
    if reached == 0:
        return float(fields[needed] - fields[0])
    before, after = rising[reached - 1], rising[reached]
    return float(fields[needed] - (fields[reached - 1] + STEP * (target - before) / max(after - before, 1e-12)))


if __name__ == "__main__":
    command_line(__name__)
