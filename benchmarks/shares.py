"""Maps reconciled with the shares of the classes in districts: accuracy by trust in the statistics, and by their error.

    BOCAGE_DATA=/path/to/data python -m benchmarks shares [simulated] [canada] [flanders]

`simulated`: models of one or two simulated sites on a site without training polygons (`python -m benchmarks sites` trains them), on
some 6000 pixels with their true class. A district is the whole site, or a quarter of it. Statistics are the true shares of the
pixels times log-normal errors (standard deviation 0, 0.1 or 0.3, five draws each), divided by their sum. The trust is chosen on the
sites A and B (:func:`chosen`); the site C, which chose nothing, reports. `canada`: three folds, each the district of the models of the other two
(`python -m benchmarks members` trains them). `flanders`: from one tile to the other (`python -m benchmarks choice report`), a
district is the tile. "EM" needs no statistics: the shares of the classes are estimated from the probabilities (Saerens et al. 2002).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
import torch
from numpy.typing import NDArray

from benchmarks import choice, sites
from benchmarks.choice_sets import SETS
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.members import Bench
from bocage.disk import replacing
from bocage.evaluation import METRICS, ConfusionMatrix
from bocage.finish.raking import rake, reweighted, wanted_of
from bocage.layout import RunLayout
from bocage.mapping.predict import Forward, predict_at
from bocage.progress import QUIET
from bocage.recipe import parse
from bocage.run.opened import scene_of
from bocage.samples.unlabelled import scatter
from bocage.training import Trained, classify

WORK, RESULTS = BUILD / "shares", Results("shares")
TRUSTS, ERRORS, SEEDS, PIXELS = (0.25, 0.5, 0.75, 1.0), (0.0, 0.1, 0.3), 5, 6000
REPORTING = "C, 2023"
"""Site that reports; the others choose."""
CANADA = ("patchwork", "patchwork and LightGBM")
FLANDERS = {"A to C": "patchwork, mean of 3", "C to A": "patchwork, shares of the bands"}
"""Direction → model of the benchmark `choice`."""


@dataclass(frozen=True)
class Case:
    """Predicted probabilities of pixels, and the truth."""

    probabilities: NDArray[np.float64]
    """(N, K)."""
    label: NDArray[np.int64]
    """(N,)."""
    districts: Mapping[str, NDArray[np.int64]]
    """Kind of districts → district of each pixel (N,)."""
    train: NDArray[np.float64]
    """Shares of the classes in the training of the model (K,)."""

    def scores(self, probabilities: NDArray[np.float64]) -> dict[str, float]:
        """Return overall accuracy and mean F-measure."""
        names = tuple(map(str, range(self.probabilities.shape[1])))
        matrix = ConfusionMatrix.of(self.label, probabilities.argmax(1), names)
        return {name: round(float(METRICS.get(name)(matrix)), 5) for name in ("overall_accuracy", "f1_macro")}

    def reconciled(self, district: NDArray[np.int64], trust: float, error: float, seed: int) -> NDArray[np.float64]:
        """Return the probabilities with the shares of the districts, which have an error."""
        found, generator = self.probabilities.copy(), np.random.default_rng(seed)
        for one in np.unique(district):
            own = district == one
            shares = np.bincount(self.label[own], minlength=found.shape[1]) / own.sum()
            shares = shares * np.exp(generator.normal(0, error, len(shares)))
            wanted = wanted_of(shares / shares.sum(), found[own].mean(0), trust)
            found[own] = reweighted(found[own], rake(found[own], wanted))
        return found

    def without_statistics(self) -> NDArray[np.float64]:
        """Return the probabilities with shares that are estimated from them (EM)."""
        prior, found = np.maximum(self.train, 1e-6), self.probabilities
        for _ in range(100):
            found = reweighted(self.probabilities, found.mean(0) / prior)
        return found

    def measured(self) -> dict[str, Any]:
        """Return the scores: as it is, by EM, then for kind of districts, error and trust (mean of the seeds)."""
        found: dict[str, Any] = {"pixels": len(self.label), "as it is": self.scores(self.probabilities)}
        found["EM"] = self.scores(self.without_statistics())
        for kind, district in self.districts.items():
            for error in ERRORS:
                seeds = range(SEEDS if error else 1)
                found.setdefault(kind, {})[str(error)] = {
                    str(trust): _mean([self.scores(self.reconciled(district, trust, error, s)) for s in seeds])
                    for trust in TRUSTS
                }
        return found


def _mean(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {key: round(float(np.mean([one[key] for one in scores])), 5) for key in scores[0]}


def _simulated() -> Iterator[tuple[str, int, Any]]:
    """Yield name, draw and function that returns the case, of each model and each site that it was not trained on."""
    for draw in range(sites.DRAWS):
        for way, trained in sites.WAYS.items():
            for target in (name for name in sites.LANDS if name not in trained):
                yield f"{way}, to {target[0]}", draw, lambda w=way, t=target, d=draw: _transferred(w, t, d)


def _transferred(way: str, target: str, draw: int) -> Case:
    """Return pixels of a site, classified by a model of other sites."""
    recipe = parse(sites.recipe_of(sites.WAYS[way], draw), sites.WORK)
    trained = Trained.load(RunLayout(sites.WORK / f"{slug(way)}-{draw}").split(0).model.path)
    site = next(one for one in recipe.sites if one.name == target)
    scene = scene_of(site.grid, site.sources, QUIET)
    pixels = scatter(scene, PIXELS, draw)
    kept = WORK / f"{slug(f'{way} {draw} {target}')}.npz"
    if not kept.exists():
        found = predict_at(trained.for_scene(scene), scene, pixels, Forward(torch.device("cpu")))
        kept.parent.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as partial, partial.open("wb") as file:
            np.savez(file, probabilities=found.probabilities, valid=found.valid)
    stored, codes = np.load(kept), np.array(trained.legend.codes)
    with rasterio.open(sites.WORK / slug(target) / "truth.tif") as truth:
        column, row = ~truth.transform @ (scene.grid.transform @ (pixels.column + 0.5, pixels.row + 0.5))
        values = truth.read(1)
    true = values[np.minimum(row.astype(int), values.shape[0] - 1), np.minimum(column.astype(int), values.shape[1] - 1)]
    used, (height, width) = stored["valid"] & np.isin(true, codes), scene.grid.shape
    quarter = 2 * (pixels.row >= height // 2) + (pixels.column >= width // 2)
    label, count = np.searchsorted(codes, true[used]), len(codes)
    districts = {"site": np.zeros(int(used.sum()), np.int64), "quarters": quarter[used].astype(np.int64)}
    return Case(stored["probabilities"][used].astype(float), label, districts, np.full(count, 1 / count))


def _canada() -> Iterator[tuple[str, int, Any]]:
    """Yield name, fold and function that returns the case, of each model and fold."""
    for name in CANADA:
        for draw in range(3):
            yield name, draw, lambda n=name, d=draw: _fold(n, d)


def _fold(name: str, draw: int) -> Case:
    """Return the test pixels of a fold of `canada`."""
    bench = Bench("canada", name)
    recipe, _, samples = bench.opened
    parts = samples.draw(draw)
    found = classify(bench.trained(draw)[0], samples.chips, parts.test, recipe.choice.training.device)
    seen = samples.label[np.concatenate([parts.train, parts.validation])]
    return _of_one(found, samples.label[parts.test], seen)


def _of_one(probabilities: NDArray[Any], label: NDArray[Any], seen: NDArray[Any]) -> Case:
    """Return pixels of one district; `seen` are the labels of the training."""
    count = probabilities.shape[1]
    train = np.bincount(seen, minlength=count) / max(1, len(seen))
    return Case(probabilities.astype(float), label.astype(np.int64), {"site": np.zeros(len(label), np.int64)}, train)


def _flanders() -> Iterator[tuple[str, int, Any]]:
    """Yield direction, seed and function that returns the case, of the models that the benchmark `choice` has trained."""
    for way, label in FLANDERS.items():
        for seed in choice.SEEDS:
            if _model_of(way, label, seed).exists():
                yield way, seed, lambda w=way, n=label, s=seed: _tile(w, n, s)


def _model_of(way: str, label: str, seed: int) -> Any:
    return choice.WORK / slug(f"flanders {way} {label} {seed} False") / "0/model"


def _tile(way: str, label: str, seed: int) -> Case:
    """Return all labelled pixels of a tile, classified by a model of the other one."""
    here, tables = SETS[f"flanders {way}"](), choice.REPORTED[label]
    samples, every = choice._elsewhere(here.other, tables, label)
    own = choice._elsewhere(here.name, tables, label)[0]
    found = classify(Trained.load(_model_of(way, label, seed)), samples.chips, every, "cpu")
    return _of_one(found, samples.label, own.label)


DATA = {"simulated": _simulated, "canada": _canada, "flanders": _flanders}
WORDS = tuple(DATA)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the tables."""
    torch.set_num_threads(1)
    for data in wanted or DATA:
        for name, draw, case in DATA[data]():
            RESULTS.measure((data, name, draw), lambda case=case: case().measured())
    return "\n" + markdown(RESULTS.content())


def gains(draws: Sequence[Mapping[str, Any]], kind: str, error: float, trust: float) -> list[float]:
    """Return the gain in accuracy of each draw."""
    key = "overall_accuracy"
    return [one[kind][str(error)][str(trust)][key] - one["as it is"][key] for one in draws if kind in one]


def parts_of(found: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the draws that choose the trust, and those that report on it."""
    parts: dict[str, list[Mapping[str, Any]]] = {"simulated, chooses": [], "simulated, reports": []}
    for name, draws in found.get("simulated", {}).items():
        parts["simulated, reports" if name.endswith(REPORTING[0]) else "simulated, chooses"] += draws
    for data in ("canada", "flanders"):
        parts |= {f"{data}, {name}": list(draws) for name, draws in found.get(data, {}).items()}
    return {name: draws for name, draws in parts.items() if draws}


def mean_gains(draws: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return the mean gain over kinds of districts and errors (draws, trusts)."""
    kinds = ("site", "quarters")
    return np.array(
        [[np.mean([gains([one], kind, e, t) for kind in kinds for e in ERRORS]) for t in TRUSTS] for one in draws]
    )


def chosen(draws: Sequence[Mapping[str, Any]]) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Return the trust that the draws choose, the mean gain of each trust, and how far it is below the best in standard errors.

    The smallest trust is chosen whose mean gain is within one standard error of the best; the error is that of the difference in
    the same draws. A smaller trust changes less where statistics are wrong.
    """
    found = mean_gains(draws)
    mean = found.mean(0)
    behind = found[:, [int(mean.argmax())]] - found
    error = np.maximum(behind.std(0, ddof=1) / np.sqrt(len(draws)), 1e-12)
    below = behind.mean(0) / error
    return next(t for t, z in zip(TRUSTS, below, strict=True) if z <= 1), mean, below


def markdown(found: Mapping[str, Any]) -> str:
    """Return the gains by error and trust, and the mean gains that choose."""
    rows, parts = [], parts_of(found)
    for name, draws in parts.items():
        before = spread([one["as it is"]["overall_accuracy"] for one in draws])
        em = [one["EM"]["overall_accuracy"] - one["as it is"]["overall_accuracy"] for one in draws]
        rows.append((name, "", len(draws), before, "EM", spread(em, "+"), "", "", ""))
        for kind in (kind for kind in ("site", "quarters") if kind in draws[0]):
            for error in ERRORS:
                cells = [_cell(gains(draws, kind, error, trust)) for trust in TRUSTS]
                rows.append((name, kind, len(draws), before, f"{error:.0%}", *cells))
    heads = ("", "districts", "draws", "accuracy", "error", *(f"trust {trust:g}" for trust in TRUSTS))
    text = table(heads, rows)
    if choosing := parts.get("simulated, chooses"):
        trust, means, below = chosen(choosing)
        rows = [(f"{t:g}", f"{m:+.4f}", f"{z:.1f}") for t, m, z in zip(TRUSTS, means, below, strict=True)]
        text += "\n\n" + table(("trust", "mean gain over errors and districts", "standard errors below the best"), rows)
        text += f"\n\nChosen: {trust:g}."
    return text


def _cell(values: Sequence[float]) -> str:
    return f"{spread(values, '+')} ({min(values):+.3f})"


if __name__ == "__main__":
    command_line(__name__)
