"""Patchwork compared with its competitors on a simulated landscape: complete data, and data with missing sources or dates.

    python -m benchmarks.rivals [complete] [degraded] [speeds]

The landscape and the competitors' recipes are those of :mod:`benchmarks.networks` (Sentinel-1, Sentinel-2 with clouds, PAN and
MS; reduced widths, the same number of samples per epoch for all), here with 40 epochs for each network. Dates are removed
everywhere, the same dates for all models; competitors get the remaining dates after gap-filling. An interrupted benchmark
resumes. Several processes share the lines.

Not all models of these tables use the same sources, and none was searched for better settings. The comparison on equal terms,
on several data sets, is :mod:`benchmarks.contest`.

Two tests compare each model with patchwork. One is the corrected resampled t-test: with 70 % of the polygons in the test, its
variance is at least twice that between draws, for any number of draws. The other is McNemar's test with polygons as clusters,
over the test pixels of all draws; it tests the average of these draws.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import networks
from benchmarks.accuracy import METRICS_SHOWN, classes_of, samples_of, scores_of
from benchmarks.frame import Results, command_line, slug, spread, table
from benchmarks.measuring import medians
from benchmarks.networks import TWINNS, VHR_SOURCES, WITH_VHR, WORK
from benchmarks.recipes import Table, landscape
from bocage.disk import digest
from bocage.evaluation.paired import clustered_mcnemar, resampled_t
from bocage.layout import SplitLayout
from bocage.mapping import pixels_per_second
from bocage.recipe import parse
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.training import Trained, Trainer

DRAWS, FEWER = 5, 3
"""Number of draws on complete data, and on incomplete data."""
RESULTS, MODELS_FOLDER = Results("rivals"), WORK / "rivals"
OWN = {"optimiser": "adamw", "learning_rate": 0.002, "weight_decay": 0.02, "schedule": "one-cycle"}
"""Patchwork's own training settings, given explicitly because `TRAINING` would override them."""
MODELS = {
    "patchwork": WITH_VHR["patchwork"],
    "M3Fusion": WITH_VHR["M3Fusion"],
    "TWINNS": TWINNS,
    "S1S2VHSR, as released": WITH_VHR["S1S2VHSR, normalisation as released"],
    "random forest": WITH_VHR["random forest, S1 + S2 + PAN + MS"],
    "LightGBM": {"name": "lightgbm", "sources": networks.ALL_SOURCES},
}
STATES: Mapping[str, Mapping[str, float]] = {
    "all data": {},
    "no S1": {"s1": 1.0},
    "no S2": {"s2": 1.0},
    "no VHR": dict.fromkeys(VHR_SOURCES, 1.0),
    "30 % of the dates missing": {"s1": 0.3, "s2": 0.3},
    "60 % of the dates missing": {"s1": 0.6, "s2": 0.6},
}
AGAIN = {
    "no S1": ("random forest", "LightGBM"),  # M3Fusion does not use S1
    "no S2": ("random forest", "LightGBM", "TWINNS, S1 only"),
    "no VHR": ("random forest", "LightGBM"),  # TWINNS does not use VHR
    "30 % of the dates missing": ("random forest", "LightGBM", "M3Fusion"),
    "60 % of the dates missing": ("random forest", "LightGBM", "M3Fusion"),
}
"""Competitors trained again on the remaining data."""


@dataclass(frozen=True)
class Incomplete:
    """A source without a share of its dates."""

    source: Any
    share: float

    def __getattr__(self, name: str) -> Any:
        """Return the attribute of the original source."""
        return getattr(self.source, name)

    def read(self, *where: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read the source; the removed dates are not valid."""
        values, valid = self.source.read(*where)
        gone = np.random.default_rng(0).permutation(len(valid)) < round(self.share * len(valid))
        valid[gone], values[gone] = False, 0
        return values, valid


def incomplete(scene: Scene, state: str) -> Scene:
    """Return the scene with the missing data of a state."""
    shares = STATES[state]
    cubes = {
        n: replace(c, source=Incomplete(c.source, shares[n])) if n in shares else c for n, c in scene.cubes.items()
    }
    return replace(scene, cubes=cubes)


def recipe_of(model: Table) -> Table:
    """Return the recipe of a model, with the sources of :mod:`benchmarks.networks` for its type."""
    training = networks.TRAINING | {"samples_per_epoch": networks.SAMPLES["simulated"], "epochs": 40, "patience": 40}
    own = OWN if model["name"] == "patchwork" else {}
    return {
        **networks.on_landscape(model, "s2", networks.SERIES_SOURCES | VHR_SOURCES, DRAWS),
        "training": training | own,
    }


class Bench:
    """A model on the landscape."""

    def __init__(self, label: str, recipe: Table) -> None:
        self.label, self.recipe = label, parse(recipe, landscape(networks.LANDSCAPE, networks.SETTINGS), label)
        self.scene = open_scene(self.recipe)
        self.network = self.recipe.choice.build(self.scene, self.recipe.legend)

    def samples(self, state: str) -> tuple[Scene, Samples]:
        """Return the scene in a state and its samples, including pixels with missing sources."""
        scene, r = incomplete(self.scene, state), self.recipe
        name = slug(f"rivals {digest(self.network.footprints, r.sources)[:12]} {state}")
        with RESULTS.lock(name):
            return scene, samples_of(r, scene, WORK / name)

    def trained(self, draw: int, state: str = "all data") -> tuple[Trained, float]:
        """Return the model trained on a draw of the data in a state, and its training time in seconds; train it once."""
        folder = MODELS_FOLDER / slug(f"{self.label} {state} {draw}")
        seconds = folder / "seconds"
        with RESULTS.lock(folder.name):
            if not seconds.exists():
                scene, samples = self.samples(state)
                started = time.monotonic()
                Trainer(self.recipe.choice, scene, samples).train(draw, folder)
                seconds.write_text(str(time.monotonic() - started))
        return Trained.load(SplitLayout(folder).model.path), float(seconds.read_text(encoding="utf-8"))

    def scores(self, draws: int, at: str, learnt: str = "all data") -> dict[str, Any]:
        """Return the scores of each draw on the test polygons, with data in the state `at` and training data `learnt`."""
        found: dict[str, Any] = {key: [] for key in (*METRICS_SHOWN, "seconds")}
        tested: list[np.ndarray] = []
        _, samples = self.samples(at)
        for draw in range(draws):
            trained, seconds = self.trained(draw, learnt)
            test = samples.draw(draw).test
            classes = classes_of(trained, samples, test, self.recipe)
            for key, value in (scores_of(samples, test, classes) | {"seconds": seconds}).items():
                found[key].append(value)
            place = ((draw * 10**5) + samples.row[test].astype(np.int64)) * 10**5 + samples.column[test]
            tested.append(np.stack([place, samples.polygon[test], classes == samples.label[test]]))
        np.save(_pixels(self.label, at, learnt, draws), np.concatenate(tested, 1))
        return found


def _pixels(label: str, at: str, learnt: str, draws: int) -> Path:
    """Return the file of the test pixels of all draws: unique number of each pixel, its polygon, whether it is correct."""
    return MODELS_FOLDER / f"{slug(f'{label} {at} {learnt} {draws}')}.npy"


@dataclass(frozen=True)
class Line:
    """A line of a table."""

    table: str
    label: str
    """Name of the model, with its variant."""
    name: str
    """Name of the model."""
    model: Table
    draws: int
    at: str = "all data"
    learnt: str = "all data"

    def __str__(self) -> str:
        return f"{self.table} {self.key}"

    @property
    def key(self) -> str:
        """Key of the line in its table."""
        return self.label if self.table == "complete" else f"{self.at}: {self.label}"

    def measured(self) -> dict[str, Any]:
        """Return the scores of all draws."""
        return Bench(self.name, recipe_of(self.model)).scores(self.draws, self.at, self.learnt)

    def tested(self) -> dict[str, float] | None:
        """Return McNemar's test against patchwork in the same state; None for patchwork, or if the pixels are missing."""
        names = (("patchwork", self.at, "all data"), (self.name, self.at, self.learnt))
        files = [_pixels(*of, self.draws) for of in names]
        if self.name == "patchwork" or not all(file.exists() for file in files):
            return None
        ours, theirs = (np.load(file) for file in files)
        _, first, second = np.intersect1d(ours[0], theirs[0], return_indices=True)
        test = clustered_mcnemar(ours[2, first] > 0, theirs[2, second] > 0, ours[1, first])
        return {"p": test.p, "pixels": len(first), "polygons": test.n}


def lines(wanted: Sequence[str]) -> Iterator[Line]:
    """Yield the lines of the requested tables."""
    if "complete" in wanted:
        for name, model in MODELS.items():
            yield Line("complete", name, name, model, DRAWS)
    for state in STATES if "degraded" in wanted else ():
        for name, model in MODELS.items():
            yield Line("degraded", name, name, model, FEWER, state)
        for name in AGAIN.get(state, ()):
            model = MODELS.get(name, TWINNS | {"use": "first"})
            yield Line("degraded", f"{name}, trained again", name, model, FEWER, state, state)


def _speeds() -> dict[str, dict[str, float]]:
    """Return the median mapping speed of each model and the training time of draw 0.

    The speed is in pixels per second for one window, reading included; each round measures all models. The training time is
    the one recorded in this folder, in seconds; other processes may have run at the same time.
    """
    benches = {name: Bench(name, recipe_of(model)) for name, model in MODELS.items()}
    models = {name: bench.trained(0) for name, bench in benches.items()}
    timed = {name: (bench, models[name][0]) for name, bench in benches.items()}
    m3fusion, trained = timed["M3Fusion"]
    config = type(trained.config)(series=trained.config.series, vhr=trained.config.vhr)
    choice = replace(m3fusion.recipe.choice, config=config)  # speed does not depend on weights
    whole = choice.network(trained.inputs, len(trained.legend.classes))
    timed["M3Fusion, published size"] = m3fusion, replace(trained, config=config, model=whole.eval())

    def speed(bench: Bench, model: Trained) -> float:
        measured = pixels_per_second(model, bench.scene, torch.device("cpu"), at_least=0.1)
        assert measured
        return measured

    speeds = medians({name: lambda one=one: speed(*one) for name, one in timed.items()}, 3)
    return {"speeds": speeds, "trained_in": {name: seconds for name, (_, seconds) in models.items()}}


WORDS = ("complete", "degraded", "speeds")
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the tables."""
    MODELS_FOLDER.mkdir(parents=True, exist_ok=True)
    chosen = list(lines(wanted or ["complete", "degraded"]))
    for line in RESULTS.free(chosen):
        RESULTS.measure((line.table, line.key), line.measured)
    for line in chosen:  # against the current test pixels of patchwork
        test = line.tested()
        if test and RESULTS.known(line.table, line.key) and test != RESULTS.known(line.table, line.key, "polygons"):
            RESULTS.keep(test, line.table, line.key, "polygons")
    if "speeds" in (wanted or ["speeds"]):
        for key, figures in _speeds().items():
            RESULTS.keep(figures, key)
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return the tables, with the tests against patchwork in the same state of the data."""
    header = ("", "accuracy", "weighted F", "kappa", "training, s", "patchwork less it", "p, draws", "p, polygons")
    texts = []
    for part in ("complete", "degraded"):
        known = found.get(part, {})
        texts += [f"\n{part}\n", table(header, [(label, *_cells(label, known)) for label in known])]
    trained = found.get("trained_in", {})
    speeds = ((name, one, trained.get(name)) for name, one in found.get("speeds", {}).items())
    texts += ["\nmap pixels a second, and seconds of training of draw 0\n"]
    texts += [f"- {name}: {one:,.0f}{f', {spent:.0f} s' if spent else ''}" for name, one, spent in speeds]
    return "\n".join(texts)


def _cells(label: str, known: Mapping[str, Any]) -> tuple[str, ...]:
    state, theirs = label.partition(": ")[0] + ": " if ": " in label else "", known[label]
    ours = known.get(f"{state}patchwork")
    seconds = f"{np.median(theirs['seconds']):.0f}" if theirs["seconds"] else ""
    scores = (spread(theirs[metric]) for metric in METRICS_SHOWN)
    if ours is None or "polygons" not in theirs:
        return *scores, seconds, "", "", ""
    pair = resampled_t(ours["overall_accuracy"], theirs["overall_accuracy"], 70 / 30)
    return *scores, seconds, f"{pair.difference:+.3f}", f"{pair.p:.3f}", f"{theirs['polygons']['p']:.1g}"


if __name__ == "__main__":
    command_line(__name__)
