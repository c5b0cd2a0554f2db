"""Accuracy before the end of the season: one training with cut-offs, a model retrained for each cut-off, a model of whole seasons.

    BOCAGE_DATA=/path/to/data python -m benchmarks season

Patchwork with its defaults on four sets: three folds, repeated with three seeds on the two sets with the widest spread, or two
draws. "Once" is trained with ``[training] cutoff`` and measured at all cut-offs that
``bocage season`` proposes. "Whole season" is trained without cut-offs, and "retrained" is trained for each of ``FEW`` cut-offs.
The value of ``cutoff``, and the lowest temperature of a cut-off, are chosen on ordered pairs of folds, of which one trains and another
tests; the report trains on two folds.

"Difference" is the accuracy of "once" minus that of "retrained" on the same test samples, mean over the folds or draws of all seeds. The
calibration error is that of the test samples of all folds or draws of the first seed together; "by chance" is that of a calibrated model on
as many independent samples.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import product
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.accuracy import samples_of
from benchmarks.choice import pairs_of, with_draws
from benchmarks.choice_sets import SETS
from benchmarks.frame import BUILD, Results, command_line, spread, table
from bocage.days import EPOCH
from bocage.evaluation import Curve, SeasonScore
from bocage.jobs.season import Asked, season
from bocage.recipe import parse
from bocage.reliability import reliability
from bocage.run import open_scene
from bocage.scene import series_of
from bocage.training import Trained, Trainer, at_cutoff, calibration, proposed

WORK, RESULTS = BUILD / "season", Results("season")
CHOOSING, VALUES, CHOSEN = ("rondonia", "bavaria", "canada", "matogrosso"), (0.3, 0.5, 0.7), 0.7
LOWEST = {"as fitted": 0.0, "at least 1": 1.0}
"""Lowest temperature of a cut-off."""
TRIED = 3
"""Number of seeds of the weights with which a value of `cutoff` is chosen."""
REPORTING = ("canada", "matogrosso", "bavaria", "simulated")
SPLITS = {"canada": {"fold": "fold"}, "simulated": {"train": 0.5, "draws": 2, "rare": "drop"}}
"""Splits that are not three random folds; the folds of canada are regions."""
SHORTER = {"simulated": {"steps": [600, 600]}}
"""Shorter trainings, of all models of a set with many samples."""
SEEDS = {"canada": 3, "bavaria": 3}
"""Number of seeds, of folds and weights, where it is not one; the first one is calibrated."""
MODEL = {"name": "patchwork"}
FEW = 5
"""Number of cut-offs for which a model is retrained, evenly spread, the last date included."""


def scored(name: str, cutoff: float, asked: Asked, seed: int, calibrate: bool = False) -> SeasonScore:
    """Return the curves of a set, in a folder that is kept between calls."""
    site = SETS[name]()
    split = SPLITS.get(name, {"folds": 3, "rare": "drop"}) | {"seed": seed}
    training = {"cutoff": cutoff, "calibrate": calibrate} | SHORTER.get(name, {})
    tables = {"model": MODEL, "training": training, "split": split}
    recipe = parse(site.recipe(tables, False), site.folder, name)
    return season(recipe, WORK / f"{name}-{cutoff}-{seed}", asked, overwrite=True)


def numbers(curve: Curve) -> dict[str, Any]:
    """Return accuracy, calibration error, confidence and share with data, of each draw, by cut-off."""
    return {
        str(day): {
            "overall_accuracy": [float(np.trace(one.counts) / one.counts.sum()) for one in draws],
            "calibration_error": [one.error for one in draws],
            "together": together.mean,
            "confidence": [one.confidence for one in draws],
            "test": [int(one.counts.sum()) for one in draws],
        }
        for (day, draws), together in zip(curve.by_day.items(), curve.error(), strict=True)
    }


def few(days: Sequence[date]) -> tuple[date, ...]:
    """Return `FEW` of the cut-offs."""
    return tuple(days[round(k)] for k in np.linspace(0, len(days) - 1, FEW + 1)[1:])


class Inner:
    """Trainings of a set on the ordered pairs of its folds: one trains, another tests."""

    def __init__(self, name: str, cutoff: float, seed: int, calibrate: bool = False) -> None:
        site = SETS[name]()
        training = {"cutoff": cutoff, "calibrate": calibrate}
        recipe = parse(site.recipe({"model": MODEL, "training": training}, False), site.folder, name)
        scene, self.folder = open_scene(recipe), WORK / f"inner-{name}" / f"{cutoff}-{seed}-{calibrate}"
        self.samples = samples_of(recipe, scene, WORK / f"inner-{name}" / "samples")
        self.draws = pairs_of(self.samples, seed, inner=True)
        self.trainer = Trainer(recipe.choice, scene, with_draws(self.samples, self.draws, seed))
        series = series_of(scene, self.samples.cuts).values()
        self.days = proposed(np.unique(np.concatenate([cube.source.days for cube in series])))

    def trained(self) -> Iterator[tuple[Trained, Any]]:
        """Yield the model of each pair, and its test samples."""
        for number, draw in enumerate(self.draws):
            yield self.trainer.train(number, self.folder / str(number)), draw.test


def inner(name: str, cutoff: float, seed: int) -> dict[str, float]:
    """Return the accuracy at `FEW` cut-offs, mean over the ordered pairs of folds."""
    bench = Inner(name, cutoff, seed)
    found: dict[str, list[float]] = {str(day): [] for day in few(bench.days)}
    for trained, test in bench.trained():
        for day, values in found.items():
            at = at_cutoff(trained, bench.samples.chips, test, (date.fromisoformat(day) - EPOCH).days, "cpu")
            classes = np.where(at.seen, at.probabilities.argmax(1), -1)
            values.append(float((classes == bench.samples.label[test]).mean()))
    return {day: float(np.mean(values)) for day, values in found.items()}


def raised(trained: Trained, lowest: float) -> Trained:
    """Return a model whose temperatures before the end of the season are not below a value."""
    season = tuple((day, max(lowest, value)) for day, value in trained.calibration.season)
    return replace(trained, calibration=replace(trained.calibration, season=season))


def calibrations(name: str) -> dict[str, dict[str, float]]:
    """Return calibration error, confidence minus accuracy and cross-entropy, mean over the cut-offs, by lowest temperature.

    The test samples of all pairs of folds are taken together at each cut-off.
    """
    bench = Inner(name, CHOSEN, 0, calibrate=True)
    found: dict[tuple[str, date], list[tuple[Any, Any, Any]]] = {}
    with mock.patch.object(calibration, "LOWEST", 0.0):
        models = list(bench.trained())
    for (model, test), (label, lowest), day in product(models, LOWEST.items(), bench.days):
        at = at_cutoff(raised(model, lowest), bench.samples.chips, test, (day - EPOCH).days, "cpu")
        each, labels = at.probabilities[at.seen], at.labels.numpy()[at.seen]
        own = np.maximum(each[np.arange(len(each)), labels], 1e-9)
        found.setdefault((label, day), []).append((each.max(1), each.argmax(1) == labels, -np.log(own)))
    result = {}
    for label in LOWEST:
        rows = [[np.concatenate(column) for column in zip(*found[label, day], strict=True)] for day in bench.days]
        result[label] = {
            "error": float(np.mean([reliability(sure, right).error for sure, right, _ in rows])),
            "gap": float(np.mean([sure.mean() - right.mean() for sure, right, _ in rows])),
            "loss": float(np.mean([loss.mean() for *_, loss in rows])),
        }
    return result


def once(name: str, cutoff: float, seed: int) -> dict[str, Any]:
    return numbers(scored(name, cutoff, Asked(), seed, calibrate=seed == 0).once)


def others(name: str, seed: int) -> dict[str, Any]:
    """Return the numbers of the retrained models and of the model of whole seasons, at `FEW` cut-offs."""
    days = tuple(map(date.fromisoformat, RESULTS.known("sets", name, "once", seed)))
    found = scored(name, 0.0, Asked(few(days), retrain=True), seed)
    assert found.retrained is not None
    return {"retrained": numbers(found.retrained), "whole season": numbers(found.once)}


def by_chance(confidence: float, test: int, times: int = 200) -> float:
    """Return the mean calibration error of a calibrated model on `test` samples with confidences around a mean."""
    rng, errors = np.random.default_rng(0), []
    for _ in range(times):
        sure = rng.beta(4 * confidence, 4 * (1 - confidence), test)
        errors.append(reliability(sure, rng.random(test) < sure).error)
    return float(np.mean(errors))


WORDS = ("choose", "calibration", *REPORTING)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the tables."""
    for name in CHOOSING if not wanted or "choose" in wanted else ():
        for value in VALUES:
            for seed in range(TRIED):
                RESULTS.measure(("choose", name, str(value), seed), partial(inner, name, value, seed))
    for name in CHOOSING if not wanted or "calibration" in wanted else ():
        RESULTS.measure(("calibration", name), partial(calibrations, name))
    for name in RESULTS.free(wanted or REPORTING):
        if name in REPORTING:
            for seed in range(SEEDS.get(name, 1)):
                RESULTS.measure(("sets", name, "once", seed), partial(once, name, CHOSEN, seed))
                RESULTS.measure(("sets", name, "others", seed), partial(others, name, seed))
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return the tables of the choice, and a table for each set."""
    parts = []
    for name, values in found.get("choose", {}).items():
        rows = []
        for value, seeds in values.items():
            at = np.array([list(seed.values()) for seed in seeds])
            rows.append((value, *map("{:.3f}".format, at.mean(0)), spread(list(at.mean(1)))))
        days = next(iter(values.values()))[0]
        parts.append(f"{name}\n{table(('cutoff', *days, 'mean of a seed'), rows)}")
    rows = [
        (name, label, *(f"{one[key]:.3f}" for key in ("error", "gap", "loss")))
        for name, ways in found.get("calibration", {}).items()
        for label, one in ways.items()
    ]
    if rows:
        heads = ("set", "temperature of a cut-off", "calibration error", "confidence minus accuracy", "cross-entropy")
        parts.append(table(heads, rows))
    return "\n\n".join([*parts, *(_of_set(name, one) for name, one in found.get("sets", {}).items())])


OTHERS = ("retrained", "whole season")


def _accuracies(seeds: Sequence[Mapping[str, Any]], day: str) -> list[float]:
    """Return the accuracy of every draw of every seed at a cut-off; empty if it was not measured there."""
    return [value for seed in seeds for value in seed.get(day, {}).get("overall_accuracy", ())]


def _of_set(name: str, one: Mapping[str, Any]) -> str:
    rows, chances = [], []
    for day, first in one["once"][0].items():
        once = _accuracies(one["once"], day)
        retrained, whole = (_accuracies([seed[way] for seed in one.get("others", ())], day) for way in OTHERS)
        difference = np.subtract(once[: len(retrained)], retrained) if retrained else []
        shown = (spread(once), *(spread(values) if values else "" for values in (retrained, whole)))
        chances.append(by_chance(float(np.mean(first["confidence"])), sum(first["test"])))
        cells = (f"{np.mean(first['confidence']):.3f}", f"{first['together']:.3f}", f"{chances[-1]:.3f}")
        rows.append((day, *shown, spread(difference, "+") if retrained else "", *cells))
    errors = [at["together"] for at in one["once"][0].values()]
    heads = (
        "until",
        "once",
        "retrained",
        "whole season",
        "difference",
        "mean confidence",
        "calibration error",
        "by chance",
    )
    few_errors = f"at most 0.05 at {sum(error <= 0.05 for error in errors)} of {len(errors)} cut-offs"
    mean = f"mean calibration error {np.mean(errors):.3f}, by chance {np.mean(chances):.3f}; {few_errors}"
    return f"{name}\n{table(heads, rows)}\n\n{mean}"


if __name__ == "__main__":
    command_line(__name__)
