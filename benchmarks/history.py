"""Land cover of earlier years as a source: accuracy with and without it, and with a year missing, on a simulated landscape.

    python -m benchmarks history

The landscape is that of 2022 with Sentinel-2 of April to July only. Arable parcels of the simulation draw a crop each year, and
sugar cane mostly stays; other classes stay. The history has the true classes of the parcels in 2020 and 2021, of which a tenth of
the pixels is replaced by another class, so that it has the errors of a map. Accuracy is that of the test polygons of five draws, a
third of the polygons for training. "Last year missing" masks 2021 for the test, for the network that tolerates missing dates.

"Times the prior of rotations" does not read the history in the training. It multiplies the probabilities of the random forest by the
probability of each class after the class of 2021, divided by its mean probability. These are the frequencies of the changes from 2020
to 2021 on the whole landscape, smoothed as if ``SMOOTHING`` further pixels of each class had changed to the classes of 2021 at
random (Dirichlet prior).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, landscape, read
from bocage.evaluation import Predictions
from bocage.jobs import run as jobs
from bocage.layout import RunLayout
from bocage.machine import device_of
from bocage.mapping import classify_at
from bocage.recipe import parse
from bocage.run import open_run
from bocage.simulate import LEGEND, Simulation
from bocage.training import Trained

WORK, RESULTS = BUILD / "history", Results("history")
LAND = Simulation(polygons=40, sensors=("s2",))
YEARS, DRAWS, ERRORS, SMOOTHING = (2020, 2021), 5, 0.1, 100
PRIOR = "random forest, times the prior of rotations"
FOREST = {"name": "random_forest", "trees": 100}
PATCHWORK = {"name": "patchwork", "preset": "small"}
STEPS = {"epochs": 1000, "steps": [300, 300], "keep": "last"}
WAYS: Mapping[str, tuple[Table, Table, bool]] = {
    "random forest": (FOREST, {}, False),
    "random forest with the history": (FOREST, {}, True),
    "patchwork": (PATCHWORK, STEPS, False),
    "patchwork with the history": (PATCHWORK, STEPS, True),
    "patchwork with the history, years dropped": (PATCHWORK, STEPS | {"date_dropout": 0.5}, True),
}
"""Name → tables [model] and [training], and whether the history is a source."""


def earlier(land: Path) -> None:
    """Write the classes of the parcels in earlier years, with errors, on the grid of Sentinel-2."""
    with rasterio.open(land / "s2/blue.tif") as like:
        profile, (rows, columns), transform = like.profile, np.mgrid[: like.height, : like.width], like.transform
    for year in YEARS:
        past = landscape(WORK / str(year), replace(LAND, year=year, sensors=()))
        with rasterio.open(past / "truth.tif") as truth:
            codes = truth.read(1)
            column, row = ~truth.transform @ (transform @ (columns + 0.5, rows + 0.5))
        row, column = (np.minimum(k.astype(int), n - 1) for k, n in zip((row, column), codes.shape, strict=True))
        found, rng = codes[row, column], np.random.default_rng(year)
        wrong = rng.random(found.shape) < ERRORS
        found[wrong] = rng.choice(np.array(LEGEND.codes, found.dtype), int(wrong.sum()))
        with rasterio.open(
            land / f"past_{year}.tif", "w", **(profile | {"count": 1, "dtype": "uint8", "nodata": 0})
        ) as out:
            out.write(found.astype(np.uint8), 1)


def recipe_of(land: Path, name: str, draw: int) -> Table:
    """Return the recipe of a way: one draw."""
    model, training, past = WAYS[name]
    start = read(land / "gru.toml")
    s2 = {**start["sources"]["s2"], "fill": {"every": 20, "start": "2022-04-01", "end": "2022-07-31"}}
    history = {
        "sensor": "history", "rasters": {str(year): f"past_{year}.tif" for year in YEARS},
        "classes": {c.name: [c.code] for c in LEGEND.classes},
    }  # fmt: skip
    return {
        "name": slug(name), "grid": {"like": "s2"}, "legend": start["legend"], "reference": start["reference"],
        "sources": {"s2": s2} | ({"past": history} if past else {}),
        "split": {"train": 0.33, "draws": 1, "seed": draw}, "model": model,
        "training": {"calibrate": False, **training}, "evaluation": {"importance": 0},
    }  # fmt: skip


def measured(land: Path, name: str, draw: int) -> dict[str, float]:
    """Train and score a way; return the accuracy on the test polygons, with the last year missing where that is possible."""
    out = WORK / f"{slug(name)}-{draw}"
    recipe = parse(recipe_of(land, name, draw), land)
    jobs.run(recipe, out, ("train", "evaluate"))
    test = Predictions.from_parquet(RunLayout(out).split(0).test)
    found = {"overall_accuracy": float(test.right.mean())}
    if WAYS[name][2] and recipe.choice.name == "patchwork":
        found["last_year_missing"] = without_last_year(land, name, draw, out)
    return found


def without_last_year(land: Path, name: str, draw: int, out: Path) -> float:
    """Return the accuracy of the trained network on a scene whose history ends a year earlier."""
    table_ = recipe_of(land, name, draw)
    table_["sources"]["past"] |= {"rasters": {"2020": "past_2020.tif"}, "season": 2022}
    opened = open_run(parse(table_, land), out.with_name(f"{out.name}-without"))
    pixels = opened.samples.pixels(opened.samples.draw(0).test)
    trained = Trained.load(RunLayout(out).split(0).model.path)
    classes = classify_at(trained, opened.scene, pixels, device_of("cpu")).argmax(1)
    return float((classes == pixels.label).mean())


def with_prior(land: Path, draw: int) -> dict[str, float]:
    """Return the accuracy of the random forest without the history, times the prior of rotations."""
    test = Predictions.from_parquet(RunLayout(WORK / f"{slug('random forest')}-{draw}").split(0).test)
    place = np.zeros(256, int)
    place[list(LEGEND.codes)] = np.arange(len(LEGEND.codes))
    first, last = (place[rasterio.open(land / f"past_{year}.tif").read(1)] for year in YEARS)
    k = len(LEGEND.codes)
    counts = np.bincount((first * k + last).ravel(), minlength=k * k).reshape(k, k)
    share = np.bincount(last.ravel(), minlength=k) / last.size
    after = (counts + SMOOTHING * share) / (counts.sum(1, keepdims=True) + SMOOTHING)
    p = test.probabilities * after[last[test.row, test.column]] / test.probabilities.mean(0)
    return {"overall_accuracy": float((p.argmax(1) == test.label).mean())}


WORDS = tuple(WAYS)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the table."""
    land = landscape(WORK / "land", LAND)
    if not (land / f"past_{YEARS[-1]}.tif").exists():
        earlier(land)
    for name in RESULTS.free(wanted or WAYS):
        for draw in range(DRAWS):
            RESULTS.measure(("ways", name, draw), partial(measured, land, name, draw))
    for draw in range(DRAWS):
        RESULTS.measure(("ways", PRIOR, draw), partial(with_prior, land, draw))
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table with a line for each way."""
    rows = []
    for name, draws in found["ways"].items():
        missing = [draw["last_year_missing"] for draw in draws if "last_year_missing" in draw]
        rows.append((name, spread([draw["overall_accuracy"] for draw in draws]), spread(missing) if missing else "–"))
    return table(("", "accuracy", "last year missing"), rows)


if __name__ == "__main__":
    command_line(__name__)
