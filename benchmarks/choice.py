"""Choice of the defaults of patchwork on real data: inner folds choose, outer folds report.

    BOCAGE_DATA=/path/to/data python -m benchmarks.choice [choose] [report] [rare] [canada ...]

The units of each set are dealt into three folds (`canada`: its field of regions). "choose": trains every variant on one fold and
tests it on another, for all six ordered pairs of folds. For outer fold k, only the two pairs without k count. "report": trains
the defaults before and after the choice, and the tree models, on two folds and tests them on the third, for each seed. `flanders`
is a transfer between two tiles in both directions; each direction is chosen by the other one. "rare": as "report", with the mean
F-measure of the rare classes also, which have fewer samples than a class has on average (`canada` and `bavaria`).

A variant has, in every set, the rank of its accuracy and the rank of its mean F-measure. The mean rank over sets decides; its
interval is a bootstrap over sets. An interrupted benchmark resumes, and several processes share the lines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from benchmarks.accuracy import samples_of
from benchmarks.choice_sets import SETS, Site
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.parts import CODE, replaced
from benchmarks.recipes import Table
from bocage.evaluation import METRICS, ConfusionMatrix
from bocage.evaluation.metrics import f1, mean_of
from bocage.recipe import parse
from bocage.run import open_scene
from bocage.samples import Draw, Samples, Split
from bocage.samples.split import deal
from bocage.training import Trained, Trainer, classify

WORK, RESULTS = BUILD / "choice", Results("choice")
FOLDS, SEEDS = 3, (0, 1, 2)
METRICS_KEPT = ("overall_accuracy", "f1_macro")
RARE_METRICS = (*METRICS_KEPT, "rare_f1")
RARE_SETS = ("canada", "bavaria")
"""Sets with several rare classes."""
BEFORE: Table = {
    "model": {"name": "patchwork"},
    "training": {
        "steps": [0, 0],
        "keep": "validation",
        "class_weights": "none",
        "label_smoothing": 0.0,
        "calibrate": False,
    },
}
"""The defaults before the choice: a fifth of the polygons validates, 40 epochs of any length."""
ALL = {"keep": "last", "class_weights": "none", "label_smoothing": 0.0, "calibrate": False}


def _changed(steps: int, training: Table | None = None, **model: Any) -> Table:
    """Return the tables of a variant in which all polygons train, for at least `steps` optimiser steps."""
    return {"model": {"name": "patchwork", **model}, "training": ALL | {"steps": [steps, 0]} | (training or {})}


def _rooted(training: Table | None = None, **model: Any) -> Table:
    return _changed(1000, {"class_weights": "root"} | (training or {}), **model)


SAME = "1000 steps"
ROOT = f"{SAME}, root of class weights"
"""The defaults of the first round, with which the variants of the second round are compared."""
MODELS: Mapping[str, Table] = {
    "before": BEFORE,
    "all polygons train": _changed(0),
    "400 steps": _changed(400),
    SAME: _changed(1000),
    "2000 steps": _changed(2000),
    f"{SAME}, shares of the bands": _changed(1000, shares=True),
    f"{SAME}, small": _changed(1000, preset="small"),
    f"{SAME}, large": _changed(1000, preset="large"),
    f"{SAME}, class weights": _changed(1000, {"class_weights": "balanced"}),
    ROOT: _rooted(),
    f"{SAME}, logit adjustment": _changed(1000, {"loss": "logit-adjusted"}),
    f"{SAME}, focal loss": _changed(1000, {"loss": "focal"}),
    f"{SAME}, label smoothing": _changed(1000, {"label_smoothing": 0.1}),
    f"{SAME}, two layers a date": _changed(1000),
    f"{ROOT}, label smoothing": _rooted({"label_smoothing": 0.1}),
    f"{ROOT}, more dates hidden": _rooted(date_dropout=0.7),
    f"{ROOT}, label smoothing, more dates hidden": _rooted({"label_smoothing": 0.1}, date_dropout=0.7),
    f"{ROOT}, weight decay 0.2": _rooted({"weight_decay": 0.2}),
    f"{ROOT}, mean of 3": _rooted(members=3),
    f"{ROOT}, label smoothing, mean of 3": _rooted({"label_smoothing": 0.1}, members=3),
    f"{ROOT}, label smoothing, mean of 5": _rooted({"label_smoothing": 0.1}, members=5),
    f"{ROOT}, label smoothing, shifts of 10 days": _rooted({"label_smoothing": 0.1, "jitter": 10}),
    f"{ROOT}, label smoothing, shifts of 20 days": _rooted({"label_smoothing": 0.1, "jitter": 20}),
}
"""Variant → tables of the recipe."""
PARTS: Mapping[str, str] = {f"{SAME}, two layers a date": "two layers a date"}
"""Variant → changed methods of the encoder (:data:`benchmarks.parts.CODE`)."""
SHARP = {"label_smoothing": 0.0, "calibrate": False}
"""Training without label smoothing, the default of the first round."""
REPORTED: Mapping[str, Table] = {
    "patchwork, before": BEFORE,
    "patchwork, no label smoothing": {"model": {"name": "patchwork"}, "training": SHARP},
    "patchwork, shares of the bands, no label smoothing": {
        "model": {"name": "patchwork", "shares": True},
        "training": SHARP,
    },
    "patchwork, mean of 3, no label smoothing": {"model": {"name": "patchwork", "members": 3}, "training": SHARP},
    "patchwork, more dates hidden, no label smoothing": {
        "model": {"name": "patchwork", "date_dropout": 0.7},
        "training": SHARP,
    },
    "patchwork": {"model": {"name": "patchwork"}, "training": {"calibrate": False}},
    "patchwork, mean of 3": {"model": {"name": "patchwork", "members": 3}, "training": {"calibrate": False}},
    "LightGBM": {"model": {"name": "lightgbm"}, "training": {"calibrate": False}},
    "random forest": {"model": {"name": "random_forest"}, "training": {"calibrate": False}},
}
TREES = ("LightGBM", "random forest")
RARE: Mapping[str, Table] = {
    **{label: REPORTED[label] for label in ("patchwork, before", "patchwork", "patchwork, mean of 3", *TREES)},
    "patchwork, balanced class weights": {
        "model": {"name": "patchwork"},
        "training": {"class_weights": "balanced", "calibrate": False},
    },
    "patchwork, logit adjustment": {
        "model": {"name": "patchwork"},
        "training": {"class_weights": "none", "loss": "logit-adjusted", "calibrate": False},
    },
}
"""Variants whose F-measure of rare classes is reported."""


@dataclass(frozen=True)
class Stage:
    """A part of the benchmark: variants, seeds, ordered pairs of folds or two folds against the third, and scores."""

    models: Mapping[str, Table]
    seeds: tuple[int, ...]
    inner: bool
    metrics: tuple[str, ...] = METRICS_KEPT
    sets: tuple[str, ...] = tuple(SETS)


STAGES: Mapping[str, Stage] = {
    "choose": Stage(MODELS, (0,), inner=True),
    "report": Stage(REPORTED, SEEDS, inner=False),
    "rare": Stage(RARE, SEEDS, inner=False, metrics=RARE_METRICS, sets=RARE_SETS),
}


@dataclass(frozen=True)
class Fixed(Samples):
    """Samples whose draws are given: pairs of training and test samples."""

    parts: tuple[Draw, ...] = ()

    @property
    def draws(self) -> int:
        """Number of pairs."""
        return len(self.parts)

    def draw(self, number: int) -> Draw:
        """Return pair `number`. A share of the training polygons of each class validates where the training stops early."""
        return self.parts[number]


def _deal(samples: Samples) -> NDArray[np.int32]:
    """Return the fold of every sample: that of its field, or polygons of each class dealt at random."""
    if samples.split.fold and samples.fold is not None:
        return samples.fold
    return deal(samples.label, samples.group, Split(folds=FOLDS, seed=7))


def _part(samples: Samples, train: NDArray[np.int64], test: NDArray[np.int64], seed: int) -> Draw:
    """Return a draw whose validation samples are a fifth of the training polygons of each class, at least one."""
    generator, held = np.random.default_rng((seed, 1)), []
    for one_class in np.unique(samples.label[train]):
        polygons = np.unique(samples.polygon[train][samples.label[train] == one_class])
        if len(polygons) > 1:
            held.append(generator.permutation(polygons)[: max(1, round(0.2 * len(polygons)))])
    aside = np.isin(samples.polygon[train], np.concatenate(held)) if held else np.zeros(len(train), bool)
    return Draw(train[~aside], train[aside], test)


def pairs_of(samples: Samples, seed: int, inner: bool) -> list[Draw]:
    """Return the draws of a set: ordered pairs of folds, or two folds against the third."""
    fold = _deal(samples)
    every = [np.flatnonzero(fold == k) for k in range(FOLDS)]
    if inner:
        chosen = [(every[j], every[k]) for j, k in permutations(range(FOLDS), 2)]
    else:
        chosen = [(np.flatnonzero(fold != k), every[k]) for k in range(FOLDS)]
    return [_part(samples, train, test, seed) for train, test in chosen]


def measured(site: Site, label: str, stage: Stage, seed: int) -> dict[str, list[float]]:
    """Return the scores of a variant on every pair of a set, or in both directions of a transfer."""
    tables = stage.models[label]
    recipe = parse(site.recipe(tables, label in TREES), site.folder)
    scene, folder = open_scene(recipe), WORK / slug(f"{site.name} {label} {seed} {stage.inner}")
    samples = samples_of(recipe, scene, WORK / slug(f"samples {site.name} {label in TREES}"))
    found: dict[str, list[float]] = {key: [] for key in stage.metrics}
    with replaced(CODE.get(PARTS.get(label, ""), {})):
        if site.other:
            every = np.arange(len(samples.label))
            fixed = with_draws(samples, [_part(samples, every, every, seed)], seed)
            trained = Trainer(recipe.choice, scene, fixed).train(0, folder / "0")
            _score(found, trained, *_elsewhere(site.other, tables, label), recipe.choice.training.device)
            return found
        draws = pairs_of(samples, seed, stage.inner)
        fixed = with_draws(samples, draws, seed)
        for number, draw in enumerate(draws):
            trained = Trainer(recipe.choice, scene, fixed).train(number, folder / str(number))
            _score(found, trained, samples, draw.test, recipe.choice.training.device)
    return found


def with_draws(samples: Samples, draws: Sequence[Draw], seed: int) -> Fixed:
    """Return samples whose draws are given."""
    own = {key: getattr(samples, key) for key in samples.__dataclass_fields__}
    return Fixed(**own | {"split": replace(samples.split, seed=seed)}, parts=tuple(draws))


def _elsewhere(name: str, tables: Table, label: str) -> tuple[Samples, NDArray[np.int64]]:
    site = SETS[name]()
    target = parse(site.recipe(tables, label in TREES), site.folder)
    samples = samples_of(target, open_scene(target), WORK / slug(f"samples {name} {label in TREES}"))
    return samples, np.arange(len(samples.label))


def _score(
    found: dict[str, list[float]], trained: Trained, samples: Samples, test: NDArray[np.int64], device: str
) -> None:
    classes = classify(trained, samples.chips, test, device).argmax(1)
    matrix = ConfusionMatrix.of(samples.label[test], classes, samples.legend.names)
    rare = rare_classes(samples)
    for key, values in found.items():
        values.append(mean_of(f1(matrix)[rare]) if key == "rare_f1" else float(METRICS.get(key)(matrix)))


def rare_classes(samples: Samples) -> NDArray[np.bool_]:
    """Return which classes of the legend are rare: they have samples, but fewer than a class has on average."""
    counts = np.bincount(samples.label, minlength=len(samples.legend.names))
    return (counts > 0) & (counts < counts[counts > 0].mean())


WORDS = (*STAGES, *SETS)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results, of all stages and sets or of those named, and return the tables."""
    WORK.mkdir(parents=True, exist_ok=True)
    names = [name for name in wanted if name in SETS] or list(SETS)
    for word in [word for word in wanted if word in STAGES] or STAGES:
        _measure(word, [name for name in names if name in STAGES[word].sets])
    return "\n" + markdown(RESULTS.content())


def _measure(word: str, names: Sequence[str]) -> None:
    stage = STAGES[word]
    lines = {f"{word}, {label}, {name}": (label, name) for label in stage.models for name in names}
    for line in RESULTS.free(lines):
        label, name = lines[line]
        for seed in stage.seeds:
            RESULTS.measure((word, label, name, seed), partial(measured, SETS[name](), label, stage, seed))


Lines = Mapping[str, Mapping[str, list[Mapping[str, list[float]]]]]
"""Variant → set → score of each seed: metric → value of each pair of folds."""


def ranks_of(found: Lines, without: int | None = None) -> NDArray[np.float64]:
    """Return the rank of each variant in each set, the mean of both metrics; (variants, sets that all variants have).

    With `without`, the pairs of folds that have this fold do not count. A transfer counts always.
    """
    kept = [i for i, pair in enumerate(permutations(range(FOLDS), 2)) if without not in pair]

    def value(scores: Mapping[str, list[float]], metric: str) -> float:
        pairs = scores[metric]
        return float(np.mean([pairs[i] for i in kept] if len(pairs) > 1 else pairs))

    sets = [name for name in SETS if all(name in lines for lines in found.values())]
    values = np.array([[[value(lines[s][0], m) for m in METRICS_KEPT] for s in sets] for lines in found.values()])
    ranks: NDArray[np.float64] = np.apply_along_axis(lambda column: rankdata(-np.round(column, 4)), 0, values).mean(2)
    return ranks


def mean_ranks(found: Lines) -> dict[str, tuple[float, float]]:
    """Return the mean rank of every variant over the sets, and half its 95 % interval (bootstrap over sets)."""
    ranks = ranks_of(found)
    generator, count = np.random.default_rng(0), ranks.shape[1]
    drawn = ranks[:, generator.integers(0, count, (2000, count))].mean(2)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=1)
    return {la: (float(ranks[i].mean()), float(high[i] - low[i]) / 2) for i, la in enumerate(found)}


def _chosen(found: Lines) -> str:
    """Return which variant the pairs without each fold choose: the fold can report on this variant."""
    best = [list(found)[int(ranks_of(found, k).mean(1).argmin())] for k in range(FOLDS)]
    return "Best mean rank: " + "; ".join(f"without fold {k}: {label}" for k, label in enumerate(best)) + "."


def markdown(found: Mapping[str, Any]) -> str:
    """Return the tables: accuracy / mean F of each variant in each set (and its mean rank), the report, and the rare classes."""
    parts = []
    for word, stage in STAGES.items():
        lines = found.get(word, {})
        ranked = word == "choose" and len(lines) > 1 and any(all(s in sets for sets in lines.values()) for s in SETS)
        ranks = mean_ranks(lines) if ranked else {}
        header = ["", *stage.sets, *(["mean rank"] if ranks else [])]
        rows = []
        for label, sets in lines.items():
            cells = [_cell(sets.get(name, ()), stage.metrics) for name in stage.sets]
            rank = [f"{ranks[label][0]:.1f} ± {ranks[label][1]:.1f}"] if label in ranks else [""] * bool(ranks)
            rows.append([label, *cells, *rank])
        parts.append(table(header, rows))
        if ranked:
            parts.append(_chosen(lines))
    return "\n\n".join(parts)


def _cell(seeds: Sequence[Mapping[str, list[float]]], metrics: Sequence[str]) -> str:
    return " / ".join(spread([float(np.mean(one[key])) for one in seeds]) for key in metrics) if seeds else ""


if __name__ == "__main__":
    command_line(__name__)
