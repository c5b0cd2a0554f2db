"""Patchwork compared with LightGBM with indices on the points of Canada, fold by fold: all data, then missing test data.

    BOCAGE_DATA=/path/to/data python -m benchmarks.patchwork [parts]

Both train on complete data. Then a sensor, or 60 % of the dates, is removed from the file of the test points. LightGBM gets the
remaining dates after gap-filling, patchwork gets the acquisition dates. With "parts", the ablations of patchwork are measured
too. An interrupted benchmark resumes.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from benchmarks.accuracy import classes_of, samples_of
from benchmarks.record import save
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.recipe import Recipe, read_recipe
from bocage.run import open_scene
from bocage.training import Trained

WORK = Path("build/patchwork").resolve()
SEEDS, SHARE, NODATA = (0, 1, 2), 0.6, 65535
"""Seeds of draws and weights, share of removed dates, nodata value."""
TRAINING = """
[training]
epochs = 40
learning_rate = 0.002
weight_decay = 0.02
optimiser = "adamw"
schedule = "one-cycle"
keep = "last"
"""
MODELS = {"LightGBM, gap-filled, indices": 'name = "lightgbm"', "patchwork": f'name = "patchwork"\n{TRAINING}'}


PARTS = {
    f"patchwork, no {what}": f'name = "patchwork"\n{setting} = 0.0\n{TRAINING}'
    for what, setting in {
        "date dropout": "date_dropout",
        "sensor dropout": "sensor_dropout",
        "auxiliary heads": "auxiliary",
    }.items()
}


@dataclass(frozen=True)
class Case:
    """A model, a seed and a table of series."""

    model: str
    seed: int
    table: Path

    def recipe(self, folder: Path) -> Recipe:
        """Write and read the recipe."""
        text = (Path(__file__).parents[1] / "examples/canada.toml").read_text().partition("[model]")[0]
        if self.model.startswith("patchwork"):
            text = re.sub(r"fill = .*\n", "", text)  # no gap-filling
        text = text.replace("${BOCAGE_DATA}/canada/series.parquet", str(self.table))
        text = text.replace('fold = "fold"', f'fold = "fold"\nseed = {self.seed}')
        path = folder / f"{self.model.replace(', ', '-').replace(' ', '-')}-{self.seed}-{self.table.stem}.toml"
        path.write_text(f"{text}\n[model]\n{(MODELS | PARTS)[self.model]}\n")
        return read_recipe(path)


def run_canada(models: Iterable[str]) -> dict[str, Any]:
    """Return the accuracy of each model, state of the data and seed, over all folds."""
    WORK.mkdir(parents=True, exist_ok=True)
    states, found = _states(), dict[str, Any]()
    for model in models:
        for seed in SEEDS:
            whole = Case(model, seed, states["all data"]).recipe(WORK)
            out = WORK / whole.path.stem
            run(whole, out, ("train",))
            for state, table in states.items():
                accuracy = _accuracy(Case(model, seed, table).recipe(WORK), out)
                found.setdefault(model, {}).setdefault(state, []).append(accuracy)
                print(f"{model:32} seed {seed}  {state:28} {accuracy:.3f}", flush=True)
    return found


def _accuracy(recipe: Recipe, trained_in: Path) -> float:
    """Return the share of correctly classified test points, as the mean of the folds."""
    samples = samples_of(recipe, open_scene(recipe), WORK / f"samples-{recipe.path.stem}")
    found = []
    for number in range(len(samples.folds)):
        trained = Trained.load(RunLayout(trained_in).split(number).model.path)
        test = samples.draw(number).test
        classes = classes_of(trained, samples, test, recipe)
        found.append(float((classes == samples.label[test]).mean()))
    return float(np.mean(found))


def _states() -> Mapping[str, Path]:
    """Return the tables of series: complete, and with missing data; state → path."""
    whole = Path(os.environ["BOCAGE_DATA"]) / "canada/series.parquet"
    table, generator = pandas.read_parquet(whole), np.random.default_rng(0)
    radar, optical = ([c for c in table.columns if c.startswith(s)] for s in ("S1-", "S2-"))
    gone = {sensor: generator.random(len(table)) < SHARE for sensor in ("S1-", "S2-")}
    states = {"all data": whole}
    for state, change in {
        "no S1": {"S1-": np.ones(len(table), bool)},
        "no S2": {"S2-": np.ones(len(table), bool)},
        f"{SHARE:.0%} of the dates missing": gone,
    }.items():
        spoiled = table.copy()
        for sensor, rows in change.items():
            spoiled.loc[rows, radar if sensor == "S1-" else optical] = NODATA
        path = WORK / f"{''.join(c if c.isalnum() else '-' for c in state)}.parquet"
        spoiled.to_parquet(path)
        states[state] = path
    return states


def run_all(wanted: Sequence[str] = ()) -> str:
    """Measure, write the results, and return the table."""
    found = run_canada(MODELS | PARTS if "parts" in wanted else MODELS)
    save("patchwork", {"canada": found})
    return "\n" + markdown(found)


def markdown(found: Mapping[str, Mapping[str, list[float]]]) -> str:
    """Return a table with a line for each state of the data: mean ± standard deviation over seeds."""
    models = list(found)
    lines = [f"| | {' | '.join(models)} |", f"| --- |{' --- |' * len(models)}"]
    for state in found[models[0]]:
        cells = [f"{np.mean(found[m][state]):.3f} ± {np.std(found[m][state], ddof=1):.3f}" for m in models]
        lines.append(f"| {state} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(run_all(sys.argv[1:]))
