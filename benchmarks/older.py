"""The classes of an older map as labels of new imagery, beside few polygons of the year.

    BOCAGE_DATA=/path/to/data python -m benchmarks.older [matogrosso] [simulated]

Half of the polygons test, with their true classes of the year. A share of all polygons, one of each class at least, trains with its
true class. The other polygons of the training half have the class of an older map. On `matogrosso`, it is the label of the last
earlier season at the same place, without errors; places without one have no older label. On the simulated landscape, it is the class
of the pixel a year earlier, with a tenth of wrong pixels (as in ``python -m benchmarks history``); the classes of arable parcels
change every year.

"Few": the polygons with true classes alone. "Older map": older classes alone. "Both": together, as they are. "Older map, doubted" and
"both, doubted": the training labels have the weights of ``[reference] doubtful = "weight"``. "Both, as the few say": the weight of
an older label is the probability that the model of "few" gives it. "Few, with history": the older map is a source of the recipe
(``sensor = "history"``), on the simulated landscape only. Patchwork has 400 optimiser steps, no calibration and no validation.
"Older right": share of older labels of the training half that are right. An interrupted benchmark resumes.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import rasterio
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from benchmarks import history
from benchmarks.accuracy import samples_of
from benchmarks.choice import Fixed
from benchmarks.choice_sets import SETS as SITES
from benchmarks.frame import BUILD, Results, command_line, spread, table
from benchmarks.recipes import Table, landscape
from bocage.evaluation import METRICS, ConfusionMatrix
from bocage.layout import DoctorLayout
from bocage.progress import QUIET
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.run.trusted import DoubtOfDraws
from bocage.samples import Draw, Samples
from bocage.samples.make import taken
from bocage.scene import Scene
from bocage.training import Trained, Trainer, classify

WORK, RESULTS = BUILD / "older", Results("older")
SHARES, DRAWS, STEPS, NONE = (0.01, 0.02, 0.05, 0.1), 5, 400, -1
MEASURES = ("overall_accuracy", "f1_macro")
MODEL = {"name": "patchwork"}
TRAINING = {"keep": "last", "calibrate": False, "epochs": 1, "steps": [STEPS, STEPS], "patience": 1}
WAYS = ("few", "older map", "older map, doubted", "both", "both, doubted", "both, as the few say", "few, with history")


@dataclass(frozen=True)
class Bench:
    """A set, its samples, and the older label of each sample."""

    name: str
    recipe: Recipe
    scene: Scene
    samples: Samples
    older: NDArray[np.int64]
    """(N,) class of the older map; `NONE` where there is none."""

    def measured(self, share: float, way: str, number: int) -> dict[str, float]:
        """Return the scores of a way on the test half."""
        pool, few = self._parts(share, np.random.default_rng(number))
        test, old = np.flatnonzero(~pool), pool & (self.older != NONE)
        if way.startswith("both"):
            old &= ~few
        used = {"few": few, "olde": old, "both": few | old}[way[:4].rstrip(",")]
        label = np.where(old, self.older, self.samples.label) if way[:3] != "few" else self.samples.label
        given = replace(self.samples, label=label.astype(self.samples.label.dtype))
        if way.endswith("doubted"):
            given = replace(given, trust=self._doubted(given, used, test, number))
        if way.endswith("the few say"):
            given = replace(given, trust=self._as_the_few_say(given, few, old, number))
        trained = self._trained(given, used, number)
        classes = classify(trained, self.samples.chips, test, "cpu").argmax(1)
        matrix = ConfusionMatrix.of(self.samples.label[test], classes, self.samples.legend.names)
        found = {key: float(METRICS.get(key)(matrix)) for key in MEASURES}
        right = (self.older == self.samples.label)[pool & (self.older != NONE)]
        return found | {"polygons": len(np.unique(self.samples.polygon[few])), "older_right": float(right.mean())}

    def _parts(self, share: float, generator: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which samples are in the training half, and which are in the few polygons with a true class."""
        samples = self.samples
        units, first = np.unique(samples.group, return_index=True)
        pool, few = np.zeros(len(samples.label), bool), np.zeros(len(samples.label), bool)
        for label in np.unique(samples.label):
            of_class = generator.permutation(units[samples.label[first] == label])
            pool |= np.isin(samples.group, of_class[: (len(of_class) + 1) // 2])
        for label in np.unique(samples.label):
            own = pool & (samples.label == label)
            groups, everywhere = np.unique(samples.group[own]), np.unique(samples.group[samples.label == label])
            chosen = generator.permutation(groups)[: max(1, round(share * len(everywhere)))]
            few |= own & np.isin(samples.group, chosen)
        return pool, few

    def _trained(self, samples: Samples, used: NDArray[np.bool_], number: int) -> Trained:
        own = {key: getattr(samples, key) for key in samples.__dataclass_fields__}
        none = np.zeros(0, np.int64)
        fixed = Fixed(**own, parts=(Draw(np.flatnonzero(used), none, none),) * DRAWS)
        return Trainer(self.recipe.choice, self.scene, fixed).train(number, WORK / f"model-{self.name}-{os.getpid()}")

    def _doubted(
        self, samples: Samples, used: NDArray[np.bool_], test: NDArray[np.int64], number: int
    ) -> NDArray[np.float64]:
        """Return the trust in the labels that ``[reference] doubtful = "weight"`` gives."""
        recipe = replace(self.recipe, reference=replace(self.recipe.reference, doubtful="weight"))
        members = np.sort(np.concatenate([np.flatnonzero(used), test]))
        some, part = taken(samples, members), np.where(used[members], -1, 0).astype(np.int32)
        split = replace(
            some.split, fold="", folds=0, field="part", train=("train",), test=("test",), draws=1, seed=number
        )
        some = replace(some, split=split, fold=part, reserved=(), polygon=one_label(some), ground=None)
        layout = DoctorLayout(WORK / f"doubt-{self.name}-{os.getpid()}")
        doubt = DoubtOfDraws(recipe, some, layout, "older")
        doubt.write(self.scene, 0, QUIET)
        found, trust = doubt.trusted(0).trust, np.ones(len(samples.label))
        shutil.rmtree(layout.path)
        assert found is not None
        trust[members] = found
        return trust

    def _as_the_few_say(
        self, samples: Samples, few: NDArray[np.bool_], old: NDArray[np.bool_], number: int
    ) -> NDArray[np.float64]:
        """Return the trust in older labels: their probability in the model of the few polygons."""
        trust, members = np.ones(len(samples.label)), np.flatnonzero(old)
        probabilities = classify(self._trained(self.samples, few, number), samples.chips, members, "cpu")
        trust[members] = probabilities[np.arange(len(members)), samples.label[members]]
        return trust


def one_label(samples: Samples) -> NDArray[np.int32]:
    """Return numbers of polygons, so that each number has one label: a place has labels of several seasons."""
    pairs = np.stack([samples.polygon.astype(np.int64), samples.label.astype(np.int64)], 1)
    return np.unique(pairs, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int32)


def _opened(recipe: Recipe, name: str) -> tuple[Scene, Samples]:
    scene = open_scene(recipe)
    return scene, samples_of(recipe, scene, WORK / f"samples-{name}")


def matogrosso(_: str) -> Bench:
    """Return the points of Mato Grosso with the label of the last earlier season at their place."""
    site = SITES["matogrosso"]()
    recipe = parse(site.recipe({"model": MODEL, "training": TRAINING}, False), site.folder)
    scene, samples = _opened(recipe, "matogrosso")
    rows = pandas.read_csv(Path(os.environ["BOCAGE_DATA"]) / "matogrosso/samples.csv").sort_values("from")
    earlier = rows.groupby(["longitude", "latitude"]).label.shift()
    names, ids = list(samples.legend.names), np.array(scene.ids)[samples.row].astype(int)
    older = [names.index(label) if isinstance(label, str) else NONE for label in earlier.loc[ids]]
    return Bench("matogrosso", recipe, scene, samples, np.array(older))


def simulated(way: str) -> Bench:
    """Return the simulated landscape with the classes of a year earlier."""
    land = landscape(history.WORK / "land", history.LAND)
    if not (land / f"past_{history.YEARS[-1]}.tif").exists():
        history.earlier(land)
    name = "patchwork with the history" if way == WAYS[-1] else "patchwork"
    tables: Table = {"model": MODEL, "training": TRAINING, "split": {"draws": DRAWS}}
    recipe = parse(history.recipe_of(land, name, 0) | tables, land)
    scene, samples = _opened(recipe, f"simulated{'-history' if way == WAYS[-1] else ''}")
    with rasterio.open(land / f"past_{history.YEARS[-1]}.tif") as past:
        codes = past.read(1)[samples.row, samples.column]
    position = np.full(256, NONE)
    position[[c.code for c in samples.legend.classes]] = np.arange(len(samples.legend.classes))
    return Bench("simulated", recipe, scene, samples, position[codes])


SETS: Mapping[str, Callable[[str], Bench]] = {"matogrosso": matogrosso, "simulated": simulated}
WORDS = tuple(SETS)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing draws and return the table."""
    WORK.mkdir(parents=True, exist_ok=True)
    for name in RESULTS.free(wanted or WORDS):
        for way in WAYS if name == "simulated" else WAYS[:-1]:
            bench = SETS[name](way)
            for share in SHARES:
                for draw in range(DRAWS):
                    keys = ("sets", name, str(share), way, draw)
                    RESULTS.measure(keys, partial(bench.measured, share, way, draw))
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table with a line for each set, share and way; differences are those to "few", with a paired t-test."""
    rows = []
    for name, shares in found.get("sets", {}).items():
        for share, ways in shares.items():
            base = [draw["overall_accuracy"] for draw in ways["few"]]
            for way, draws in ways.items():
                own = [draw["overall_accuracy"] for draw in draws]
                gain = spread([a - b for a, b in zip(own, base, strict=True)], "+") if way != "few" else ""
                p = f"{float(ttest_rel(own, base).pvalue):.3f}" if way != "few" else ""
                cells = [spread([draw[key] for draw in draws]) for key in MEASURES]
                few, right = (np.mean([draw[key] for draw in draws]) for key in ("polygons", "older_right"))
                rows.append((name, f"{float(share):.0%}", f"{few:.0f}", f"{right:.2f}", way, *cells, gain, p))
    head = (
        "set",
        "share",
        "polygons",
        "older right",
        "training labels",
        "accuracy",
        "mean F",
        "difference to few",
        "p",
    )
    return table(head, rows)


if __name__ == "__main__":
    command_line(__name__)
