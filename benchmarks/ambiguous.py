"""Polygons labelled with a set of classes: few polygons of one class, polygons of sets beside them, or all with their class.

    BOCAGE_DATA=/path/to/data python -m benchmarks.ambiguous [canada ...]

In each of five draws, half of the polygons of each class train and the others test. A tenth of the training polygons, one of each
class at least, keeps its class. The others are left out ("few"), have a set of two classes, their own and another one at random
("sets"), or their own class ("all"). The network is patchwork with 400 optimiser steps. An interrupted benchmark resumes.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import ttest_rel

from benchmarks import choice_sets
from benchmarks.accuracy import samples_of
from benchmarks.choice import Fixed
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from bocage.evaluation import METRICS, ConfusionMatrix
from bocage.legend import COARSER, ClassSet
from bocage.recipe import parse
from bocage.run import open_scene
from bocage.samples import Draw, Samples
from bocage.training import Trainer, classify

WORK, RESULTS = BUILD / "ambiguous", Results("ambiguous")
SETS, DRAWS, FINE, STEPS = ("canada", "bavaria"), 5, 0.1, 400
KINDS, METRICS_KEPT = ("few", "sets", "all"), ("overall_accuracy", "f1_macro")
TRAINING = {"keep": "last", "calibrate": False, "epochs": 1, "steps": [STEPS, STEPS], "patience": 1}


WORDS = SETS
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results, and return the table."""
    WORK.mkdir(parents=True, exist_ok=True)
    for name in wanted or SETS:
        for number in range(DRAWS):
            for kind in KINDS:
                RESULTS.measure((name, kind, number), partial(measured, name, kind, number))
    return markdown(RESULTS.content())


def measured(name: str, kind: str, number: int) -> dict[str, Any]:
    """Return the scores of a kind of labels in a draw, and the CPU time of the training."""
    site = choice_sets.SETS[name]()
    recipe = parse(site.recipe({"model": {"name": "patchwork"}, "training": TRAINING}, False), site.folder)
    scene = open_scene(recipe)
    samples = samples_of(recipe, scene, WORK / slug(f"samples {name}"))
    given, draw = labelled(samples, kind, np.random.default_rng(number))
    own = {key: getattr(given, key) for key in given.__dataclass_fields__}
    started = time.process_time()
    trained = Trainer(recipe.choice, scene, Fixed(**own, parts=(draw,) * DRAWS)).train(
        number, WORK / slug(f"model {name}")
    )
    spent = time.process_time() - started
    classes = classify(trained, samples.chips, draw.test, "cpu").argmax(1)
    matrix = ConfusionMatrix.of(samples.label[draw.test], classes, samples.legend.names)
    return {key: float(METRICS.get(key)(matrix)) for key in METRICS_KEPT} | {"cpu_seconds": spent}


def labelled(samples: Samples, kind: str, generator: np.random.Generator) -> tuple[Samples, Draw]:
    """Return samples whose training polygons have the labels of a kind, and their draw."""
    names = samples.legend.names
    pairs = list(combinations(range(len(names)), 2))
    legend = replace(samples.legend, sets=tuple(ClassSet((names[i], names[j])) for i, j in pairs))
    label, half, fine = samples.label.copy(), np.zeros(len(samples.label), bool), np.zeros(len(samples.label), bool)
    for value in range(len(names)):
        of_class = samples.label == value
        groups = generator.permutation(np.unique(samples.group[of_class]))
        groups = groups[: max(1, len(groups) // 2)]
        few = max(1, round(FINE * len(groups)))
        half |= np.isin(samples.group, groups)
        fine |= of_class & np.isin(samples.group, groups[:few])
        for group in groups[few:]:
            other = int(generator.choice(np.delete(np.arange(len(names)), value)))
            pair = pairs.index((min(value, other), max(value, other)))
            label[of_class & (samples.group == group)] = COARSER - len(legend.coarser) - pair
    train = np.flatnonzero(fine if kind == "few" else half)
    given = replace(samples, label=label if kind == "sets" else samples.label, legend=legend)
    return given, Draw(train, train[:0], np.flatnonzero(~half))


def markdown(found: Mapping[str, Any]) -> str:
    """Return the table: accuracy and mean F-measure of each kind, difference to "few" with its p-value."""
    rows = []
    for name in (name for name in SETS if name in found):
        base = [draw["overall_accuracy"] for draw in found[name]["few"]]
        for kind, draws in found[name].items():
            own = [draw["overall_accuracy"] for draw in draws]
            pairs = np.array(list(zip(own, base, strict=False))).T
            shown = kind != "few" and pairs.shape[1] > 1
            difference = spread((pairs[0] - pairs[1]).tolist(), "+") if kind != "few" else ""
            p = f"{float(ttest_rel(*pairs).pvalue):.3f}" if shown else ""
            seconds = f"{np.mean([draw['cpu_seconds'] for draw in draws]):.0f}"
            rows.append((name, kind, *(spread([d[m] for d in draws]) for m in METRICS_KEPT), difference, p, seconds))
    return "\n" + table(("set", "training polygons", "accuracy", "mean F", "difference to few", "p", "CPU s"), rows)


if __name__ == "__main__":
    command_line(__name__)
