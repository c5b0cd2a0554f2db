"""Few polygons: supervised, pretrained, semi-supervised training, and both, on 1, 2, 5 and 10 % of the polygons.

    BOCAGE_DATA=/path/to/data python -m benchmarks.unlabelled [choose] [report] [canada ...]

In each of five draws, a share of the polygons of each class trains, one polygon at least, and all other polygons test. Shares that
give the same polygons as the share before are left out. The unlabelled pixels are those of the scene (of a table: all its rows),
without labels. "choose": variants of the semi-supervised training on Mato Grosso, in draws of another seed. "report": the chosen
variant on every set. CPU time is that of the process with one thread. An interrupted benchmark resumes.
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from benchmarks import choice_sets
from benchmarks.accuracy import samples_of
from benchmarks.choice import Fixed
from benchmarks.frame import BUILD, Results, slug, spread, table
from bocage.evaluation import METRICS, ConfusionMatrix
from bocage.jobs.pretrain import pretrain_on
from bocage.progress import QUIET
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.samples import Chips, Draw, Samples, Split
from bocage.samples.split import deal
from bocage.samples.unlabelled import cut_pixels, scatter
from bocage.scene import Scene
from bocage.training import Pretrained, Pretraining, Trainer, classify
from bocage.training.consistency import Consistency

WORK, RESULTS = BUILD / "unlabelled", Results("unlabelled")
SHARES, DRAWS, PIXELS = (0.01, 0.02, 0.05, 0.1), 5, 4096
"""Shares of the polygons that train, number of draws, maximum number of unlabelled pixels."""
STEPS, PRETRAINING = 400, 400
"""Optimiser steps of a training and of a pretraining, at least."""
TRAINING = {"keep": "last", "calibrate": False, "epochs": 1, "steps": [STEPS, STEPS], "patience": 1}
JUDGED = (0.1,)
"""Shares at which inner folds judge: with fewer polygons, many classes have one."""
STAGES = ("choose", "report", "guard")
METRICS_KEPT = ("overall_accuracy", "f1_macro")
CHOSEN_ON, CHOICE_SHARES, CHOICE_DRAWS = "matogrosso", (0.01, 0.02), 3
"""Set on which the variant is chosen, with the shares and the number of draws; with more polygons this set is at 98 %."""
VARIANTS: Mapping[str, Consistency | None] = {
    "supervised": None,
    "fixed 0.95": Consistency(threshold=0.95),
    "adaptive": Consistency(),
    "adaptive, 3 pixels a sample": Consistency(ratio=3),
    "adaptive, weight 0.3": Consistency(weight=0.3),
    "adaptive, aligned": Consistency(aligned=True),
}
CHOSEN, INNER = Consistency(), 2
"""Chosen variant; number of inner folds of the training polygons that judge it."""
SETS = ("rondonia", "canada", "bavaria", "matogrosso", "simulated", "flanders A to C", "flanders C to A")


@dataclass(frozen=True)
class Bench:
    """A set."""

    name: str

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of patchwork with a short training."""
        site = choice_sets.SETS[self.name]()
        return parse(site.recipe({"model": {"name": "patchwork"}, "training": TRAINING}, False), site.folder)

    @cached_property
    def scene(self) -> Scene:
        """The scene."""
        return open_scene(self.recipe)

    @cached_property
    def samples(self) -> Samples:
        """All samples."""
        return samples_of(self.recipe, self.scene, WORK / slug(f"samples {self.name}"))

    @cached_property
    def encoder(self) -> Pretrained:
        """The pretrained encoder."""
        pixels = int(np.clip(np.prod(self.scene.grid.shape), 256, PIXELS))
        settings = Pretraining(pixels=pixels, epochs=max(20, -(-PRETRAINING * 256 // pixels)))
        return pretrain_on(self.recipe, WORK / slug(f"encoder {self.name}"), settings)

    def draws(self, share: float, seed: int) -> list[Draw]:
        """Return the draws of a share of the polygons."""
        return [few(self.samples, share, np.random.default_rng((seed, k))) for k in range(DRAWS)]

    def shares(self, seed: int) -> list[float]:
        """Return the shares whose draws differ from those of the share before."""
        sizes = {share: self.draws(share, seed)[0].train for share in SHARES}
        return [s for i, s in enumerate(SHARES) if not i or len(sizes[s]) != len(sizes[SHARES[i - 1]])]

    @contextmanager
    def free(self) -> Iterator[Chips]:
        """Yield the unlabelled pixels."""
        network = self.recipe.choice.build(self.scene, self.recipe.legend)
        with cut_pixels(self.scene, scatter(self.scene, PIXELS, 0), network, WORK / slug(f"free {self.name}"), QUIET) as chips:
            yield chips

    def measured(
        self, share: float, seed: int, number: int, how: Consistency | None, start: bool, free: Chips
    ) -> dict[str, Any]:
        """Return the scores of a training on a draw, and its CPU time."""
        draw = self.draws(share, seed)[number]
        classes, spent = self._classes(draw, number, how, self.encoder if start else None, free)
        matrix = ConfusionMatrix.of(self.samples.label[draw.test], classes, self.samples.legend.names)
        found = {key: float(METRICS.get(key)(matrix)) for key in METRICS_KEPT}
        polygons = len(np.unique(self.samples.group[draw.train]))
        return {**found, "cpu_seconds": spent, "polygons": polygons, "samples": len(draw.train)}

    def held_out(self, share: float, seed: int, number: int, free: Chips) -> dict[str, Any]:
        """Return the numbers of samples of held-out training polygons that only one of the two trainings classifies right."""
        train, label = self.draws(share, seed)[number].train, self.samples.label
        fold = deal(label[train], self.samples.group[train], Split(folds=INNER, seed=number))
        found = {"held_out": 0, "only_supervised": 0, "only_semi_supervised": 0, "cpu_seconds": 0.0}
        for k in range(INNER):
            rest, out = train[fold != k], train[fold == k]
            single = np.isin(label[out], label[rest], invert=True)  # classes of one polygon train in every fold
            draw = Draw(np.concatenate([rest, out[single]]), train[:0], out[~single])
            if not len(draw.test):
                continue
            right = []
            for how in (None, CHOSEN):
                classes, spent = self._classes(draw, number, how, None, free)
                right.append(classes == label[draw.test])
                found["cpu_seconds"] += spent
            found["held_out"] += len(draw.test)
            found["only_supervised"] += int((right[0] & ~right[1]).sum())
            found["only_semi_supervised"] += int((right[1] & ~right[0]).sum())
        return found

    def _classes(
        self, draw: Draw, number: int, how: Consistency | None, start: Pretrained | None, free: Chips
    ) -> tuple[NDArray[np.int64], float]:
        """Return the classes of the test samples of a draw, and the CPU time of the training."""
        own = {key: getattr(self.samples, key) for key in self.samples.__dataclass_fields__}
        fixed = Fixed(**own, parts=(draw,) * (number + 1))
        settings = {"free": free if how else None, "consistency": how or Consistency()}
        started = time.process_time()
        trainer = Trainer(self.recipe.choice, self.scene, fixed, start, **settings)
        trained = trainer.train(number, WORK / slug(f"model {self.name}"))
        spent = time.process_time() - started
        return classify(trained, self.samples.chips, draw.test, "cpu").argmax(1), spent


def few(samples: Samples, share: float, generator: np.random.Generator) -> Draw:
    """Return a draw in which a share of the polygons of each class trains, at least one; the others test."""
    label, group, chosen = samples.label, samples.group, []
    for value in np.unique(label[label >= 0]):
        own = generator.permutation(np.unique(group[label == value]))
        chosen.append(own[: max(1, round(share * len(own)))])
    trains = np.isin(group, np.concatenate(chosen))
    nothing: NDArray[np.int64] = np.zeros(0, np.int64)
    return Draw(np.flatnonzero(trains), nothing, np.flatnonzero(~trains))


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results, of all stages and sets or of those named, and return the tables."""
    WORK.mkdir(parents=True, exist_ok=True)
    stages = [word for word in wanted if word in STAGES] or STAGES
    if "choose" in stages:
        variants = {label: (how, False) for label, how in VARIANTS.items()}
        _measure("choose", Bench(CHOSEN_ON), 1, variants, CHOICE_SHARES, CHOICE_DRAWS)
    names = [word for word in wanted if word in SETS] or SETS
    if "guard" in stages:
        for name in names:
            _judge(Bench(name), 0)
    without, start = {"supervised": (None, False), "semi-supervised": (CHOSEN, False)}, {"pretrained": (None, True), "both": (CHOSEN, True)}
    for ways in (without, start):
        for name in names:
            if "report" in stages:
                _measure("report", Bench(name), 0, ways)
    return "\n" + markdown(RESULTS.content())


def _measure(
    stage: str,
    bench: Bench,
    seed: int,
    ways: Mapping[str, tuple[Consistency | None, bool]],
    shares: Sequence[float] = SHARES,
    draws: int = DRAWS,
) -> None:
    """Measure the missing results of a set, draw by draw."""
    with bench.free() as free:
        for number in range(draws):
            for share in (share for share in bench.shares(seed) if share in shares):
                for way, (how, start) in ways.items():
                    work = partial(bench.measured, share, seed, number, how, start, free)
                    RESULTS.measure((stage, bench.name, str(share), way, number), work)


def _judge(bench: Bench, seed: int) -> None:
    with bench.free() as free:
        for number in range(DRAWS):
            for share in (share for share in bench.shares(seed) if share in JUDGED):
                work = partial(bench.held_out, share, seed, number, free)
                RESULTS.measure(("guard", bench.name, str(share), number), work)


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table of each stage: accuracy, mean F-measure, difference to supervised training with its p-value, CPU time."""
    parts = []
    for stage in ("choose", "report"):
        rows = []
        for name, shares in found.get(stage, {}).items():
            for share, ways in shares.items():
                rows += [_row(f"{name}, {float(share):.0%}", way, draws, ways["supervised"]) for way, draws in ways.items()]
        parts.append(table(("", "", "polygons", "accuracy", "mean F", "difference", "p", "CPU s"), rows))
    return "\n\n".join(parts)


def _row(line: str, way: str, draws: Sequence[Mapping[str, float]], base: Sequence[Mapping[str, float]]) -> list[str]:
    both = min(len(draws), len(base))
    pairs = np.array([[d["overall_accuracy"], b["overall_accuracy"]] for d, b in zip(draws, base, strict=False)])
    p = float(ttest_rel(*pairs.T).pvalue) if both > 1 and way != "supervised" else np.nan
    difference = "" if way == "supervised" else spread((pairs[:, 0] - pairs[:, 1]).tolist(), "+")
    scores = [spread([draw[key] for draw in draws]) for key in METRICS_KEPT]
    seconds = np.mean([draw["cpu_seconds"] for draw in draws])
    shown = "" if np.isnan(p) else f"{p:.3f}"
    return [line, way, f"{np.mean([draw['polygons'] for draw in draws]):.0f}", *scores, difference, shown, f"{seconds:.0f}"]


if __name__ == "__main__":
    print(run(sys.argv[1:]))
