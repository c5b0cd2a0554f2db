"""Patchwork compared with LightGBM with indices on the points of Canada, fold by fold: all data, then missing test data.

    BOCAGE_DATA=/path/to/data python -m benchmarks.patchwork [parts]

Both train on complete data. Then a sensor, or 60 % of the dates, is removed from the file of the test points. LightGBM gets the
remaining dates after gap-filling, patchwork gets the acquisition dates. With "parts", the ablations of patchwork are measured
too. An interrupted benchmark resumes.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from benchmarks.accuracy import classes_of, samples_of
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, example, without_fill
from bocage.disk import replacing
from bocage.jobs import run as jobs
from bocage.layout import RunLayout
from bocage.recipe import parse
from bocage.run import open_scene
from bocage.training import Trained

WORK, RESULTS = BUILD / "patchwork", Results("patchwork")
SEEDS, SHARE, NODATA = (0, 1, 2), 0.6, 65535
"""Seeds of draws and weights, share of removed dates, nodata value."""
UNCALIBRATED = {"calibrate": False}
"""The calibration does not change the classes, and trains a second network."""
MODELS: Mapping[str, Table] = {
    "LightGBM, gap-filled, indices": {"name": "lightgbm"},
    "patchwork": {"name": "patchwork"},
}
PARTS: Mapping[str, Table] = {
    f"patchwork, no {setting.replace('_', ' ')}": {"name": "patchwork", setting: 0.0}
    for setting in ("date_dropout", "sensor_dropout")
} | {"patchwork, no auxiliary heads": {"name": "patchwork", "auxiliary": 0.0}}


@dataclass(frozen=True)
class Case:
    """A model, a seed and the data."""

    model: str
    seed: int
    series: Path
    """Table of the series, complete or with missing data."""

    @property
    def recipe(self) -> Table:
        """The recipe."""
        base, model = example("canada"), {**MODELS, **PARTS}[self.model]
        if model["name"] == "patchwork":
            base = without_fill(base)
        sources = {name: {**source, "path": str(self.series)} for name, source in base["sources"].items()}
        return {
            **base,
            "sources": sources,
            "split": {**base["split"], "seed": self.seed},
            "model": model,
            "training": UNCALIBRATED,
        }


def run_canada(models: Sequence[str]) -> None:
    """Measure the accuracy of each model, state of the data and seed, over all folds."""
    WORK.mkdir(parents=True, exist_ok=True)
    states = _states()
    for model in RESULTS.free(models):
        for seed in SEEDS:
            for state, series in states.items():
                RESULTS.measure(
                    ("canada", model, state, seed),
                    lambda case=Case(model, seed, series), whole=Case(model, seed, states["all data"]): _accuracy(
                        case, whole
                    ),
                )


def _accuracy(case: Case, whole: Case) -> float:
    """Return the share of correctly classified test points, as the mean of the folds; `whole` is the training case."""
    name = slug(f"{case.model} {case.seed}")
    out, recipe = RunLayout(WORK / name), parse(case.recipe, WORK)
    jobs.run(parse(whole.recipe, WORK), out.path, ("train",))
    samples = samples_of(recipe, open_scene(recipe), WORK / f"samples-{name}-{case.series.stem}")
    found = []
    for number in range(len(samples.folds)):
        trained = Trained.load(out.split(number).model.path)
        test = samples.draw(number).test
        classes = classes_of(trained, samples, test, recipe)
        found.append(float((classes == samples.label[test]).mean()))
    return float(np.mean(found))


def _states() -> Mapping[str, Path]:
    """Return the tables of series: complete, and with missing data; state → path."""
    whole = Path(os.environ["BOCAGE_DATA"]) / "canada/series.parquet"
    series, generator = pandas.read_parquet(whole), np.random.default_rng(0)
    columns = {sensor: [c for c in series.columns if c.startswith(sensor)] for sensor in ("S1-", "S2-")}
    gone = {sensor: generator.random(len(series)) < SHARE for sensor in columns}
    states = {"all data": whole}
    for state, removed in {
        "no S1": {"S1-": np.ones(len(series), bool)},
        "no S2": {"S2-": np.ones(len(series), bool)},
        f"{SHARE:.0%} of the dates missing": gone,
    }.items():
        states[state] = WORK / f"{slug(state)}.parquet"
        if not states[state].exists():  # a rewritten file would count as changed
            incomplete = series.copy()
            for sensor, rows in removed.items():
                incomplete.loc[rows, columns[sensor]] = NODATA
            with replacing(states[state]) as partial:
                incomplete.to_parquet(partial)
    return states


WORDS = ("parts",)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the table."""
    run_canada([*MODELS, *(PARTS if "parts" in wanted else ())])
    return "\n" + markdown(RESULTS.known("canada"))


def markdown(found: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Return a table with a line for each state of the data: mean ± standard deviation over seeds."""
    models = list(found)
    return table(("", *models), [(state, *(spread(found[m][state]) for m in models)) for state in found[models[0]]])


if __name__ == "__main__":
    command_line(__name__)
