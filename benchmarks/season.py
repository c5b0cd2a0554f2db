"""Accuracy before the end of the season: one training with cut-offs, a model retrained for each cut-off, a model of whole seasons.

    BOCAGE_DATA=/path/to/data python -m benchmarks season

Patchwork with its defaults on four sets: three folds, repeated with three seeds on the two sets with the widest spread, or two
draws. "Once" is trained with ``[training] cutoff`` and measured at all cut-offs that
``bocage season`` proposes. "Whole season" is trained without cut-offs, and "retrained" is trained for each of ``FEW`` cut-offs.
The value of ``cutoff`` is chosen on ordered pairs of folds, of which one trains and another tests; the report trains on two folds.

"Difference" is the accuracy of "once" minus that of "retrained" on the same test samples, mean over the folds or draws of all seeds. The
calibration error is that of the test samples of all folds or draws of the first seed together; "by chance" is that of a calibrated model on
as many independent samples.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

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
from bocage.training import Trainer, at_cutoff, proposed

WORK, RESULTS = BUILD / "season", Results("season")
CHOOSING, VALUES, CHOSEN = ("rondonia", "bavaria", "canada", "matogrosso"), (0.3, 0.5, 0.7), 0.7
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


def inner(name: str, cutoff: float, seed: int) -> dict[str, float]:
    """Return the accuracy at `FEW` cut-offs, mean over the ordered pairs of folds: one trains, another tests."""
    site = SETS[name]()
    training = {"cutoff": cutoff, "calibrate": False}
    recipe = parse(site.recipe({"model": MODEL, "training": training}, False), site.folder, name)
    scene, folder = open_scene(recipe), WORK / f"inner-{name}"
    samples = samples_of(recipe, scene, folder / "samples")
    draws = pairs_of(samples, seed, inner=True)
    fixed = with_draws(samples, draws, seed)
    series = series_of(scene, samples.cuts).values()
    days = few(proposed(np.unique(np.concatenate([cube.source.days for cube in series]))))
    found: dict[str, list[float]] = {str(day): [] for day in days}
    for number, draw in enumerate(draws):
        trained = Trainer(recipe.choice, scene, fixed).train(number, folder / f"{cutoff}-{seed}-{number}")
        for day in days:
            at = at_cutoff(trained, samples.chips, draw.test, (day - EPOCH).days, "cpu")
            classes = np.where(at.seen, at.probabilities.argmax(1), -1)
            found[str(day)].append(float((classes == samples.label[draw.test]).mean()))
    return {day: float(np.mean(values)) for day, values in found.items()}


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


WORDS = ("choose", *REPORTING)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the tables."""
    for name in CHOOSING if not wanted or "choose" in wanted else ():
        for value in VALUES:
            for seed in range(TRIED):
                RESULTS.measure(("choose", name, str(value), seed), partial(inner, name, value, seed))
    for name in RESULTS.free(wanted or REPORTING):
        if name != "choose":
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
