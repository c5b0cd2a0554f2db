"""Seasons that are shifted by temperature: days of the year, thermal time, and days through a crop calendar.

    python -m benchmarks.climate [choose] [report]

Each draw has a simulated landscape of its own for the training (2022, normal climate), and another landscape of 2023, with
other parcels, in five climates: 3 and 1.5 °C colder, normal, 1.5 and 3 °C warmer. Crops of the simulation follow growing degree days
above the base temperature of each crop. A further shift of the season (9 days, one standard deviation) and the sowing dates of the
parcels do not depend on temperature. Sentinel-2 only; classes that it cannot distinguish are one class.

Patchwork (small) and a random forest are trained on the polygons of the first landscape, and classify the pixels of all polygons of the
second. The random forest reads a date by its position in the gap-filled series. "Days at equal thermal time" expresses the days of the
target as those of the training with the temperatures of both places (the setting `temperatures`); the model stays as it is.

The crop calendar has the start and the end of the season of maize and gardens, in the climate of the place, without the weather of the
year, rounded to ten days. "Days through the crop calendar" shifts a day of the target by the difference between both calendars, which
is interpolated linearly between the starts and ends (the setting `calendar`). "Prior of the crop calendar" divides the probability of both maizes anew between
them: each is multiplied by the ratio of two normal densities of the day of maximum NDVI, around the middle of the season of the target,
and of the training.

Five further draws choose between the ways; the five draws that report were measured after the choice. Draws share no polygons, so
the paired t-test has no correction for resampling (`ratio` 0).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from numpy.typing import NDArray

from benchmarks.accuracy import samples_of
from benchmarks.frame import BUILD, Results, command_line, spread, table
from benchmarks.recipes import Table, landscape, read
from bocage.days import EPOCH
from bocage.disk import write_text
from bocage.evaluation import METRICS, ConfusionMatrix
from bocage.evaluation.paired import resampled_t
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.scene.calendar import COLUMNS
from bocage.scene.gaps import Fill
from bocage.simulate import Simulation
from bocage.simulate.climate import BASE, OTHERS, gathered, normal_climate
from bocage.simulate.signatures import SEASONS
from bocage.training import Trained, Trainer, classify

WORK, RESULTS = BUILD / "climate", Results("climate")
STAGES, CLIMATES = {"choose": range(5, 10), "report": range(5)}, (-3.0, -1.5, 0.0, 1.5, 3.0)
LAND = Simulation(height=803, width=902, polygons=16, sensors=("s2",), year=2022, warmth=0.0)
MODELS = ("patchwork", "random forest")
METRICS_SHOWN = {"overall_accuracy": "overall accuracy", "maize": "mean F-measure of early and late maize"}
MERGED = {(4, 5): "gardens", (7, 8, 9): "wood"}
MAIZE, CALENDAR = ("early maize", "late maize"), (2, 3, 4)
"""Names of the two maizes, and class codes in the crop calendar: 4 stands for both gardens."""
PATCHWORK = {"name": "patchwork", "preset": "small"}
STEPS = {"epochs": 1000, "steps": [300, 300], "keep": "last", "calibrate": False}
FOREST = {"name": "random_forest", "trees": 200}
THERMAL: Mapping[str, Mapping[str, float]] = {
    "thermal time, base 8 °C": {"base": 8.0, "degrees": 17.0},
    "thermal time, base 0 °C": {"base": 0.0, "degrees": 25.0},
}
"""Parameters of growing degree days; the warmest year has less than 364 thermal days."""
MAIN = next(iter(THERMAL))
NDVI = 10
"""Position of NDVI in the cube: after the ten bands of Sentinel-2."""
BIAS, PEAK_SPREAD = 1.0, 15.0
"""Error of the temperatures of the target in one way, °C; standard deviation of the day of maximum NDVI in a class, days."""


@dataclass(frozen=True)
class Place:
    """A landscape, and the recipes on it."""

    land: Path
    draw: int
    warmth: float
    year: int

    @classmethod
    def of(cls, draw: int, warmth: float | None = None) -> "Place":
        """Return the landscape of the training of a draw, or that of the test in a climate."""
        own = {"seed": draw} if warmth is None else {"seed": 50 + draw, "year": 2023, "warmth": warmth}
        settings = replace(LAND, **own)
        name = f"{settings.seed}-{settings.year}-{settings.warmth}"
        return cls(landscape(WORK / name, settings), draw, settings.warmth or 0.0, settings.year)

    def recipe(self, model: Table, days: Table | None = None) -> Recipe:
        """Return the recipe of a model: the random forest on a filled series, patchwork on acquisition dates.

        `days` are settings of the series that replace its days.
        """
        filled = model["name"] == "random_forest"
        made = read(self.land / ("gru.toml" if filled else "patchwork.toml"))
        s2 = made["sources"]["s2"] | (days or {})
        rows = pandas.read_csv(self.land / "legend.csv")
        names = dict(zip(rows.code, rows.name, strict=True)) | {codes[0]: name for codes, name in MERGED.items()}
        values = {code: [str(code)] for code in names} | {c[0]: list(map(str, c)) for c in MERGED}
        later = {code for codes in MERGED for code in codes[1:]}
        classes = [{"code": int(c), "name": n, "values": values[c]} for c, n in names.items() if c not in later]
        return parse({
            "name": "climate", "grid": {"like": "s2"}, "legend": {"classes": classes}, "reference": made["reference"],
            "sources": {"s2": s2}, "split": {"train": 0.99, "draws": 1, "seed": self.draw, "rare": "drop"},
            "model": model, "training": {"calibrate": False} if filled else STEPS,
        }, self.land)  # fmt: skip

    def temperature(self, bias: float = 0.0) -> Path:
        """Return the table of temperatures, with an error of `bias` °C."""
        path = self.land / "temperature.csv"
        if not bias:
            return path
        rows = pandas.read_csv(path)
        wrong = self.land / f"temperature-{bias}.csv"
        rows.assign(temperature=rows.temperature + bias).to_csv(wrong, index=False)
        return wrong

    def corrections(self, like: "Place") -> dict[str, Table]:
        """Return way → settings of the series that express the days of this place as those of the training."""
        both = {"here": str(self.calendar()), "like": str(like.calendar())}
        found: dict[str, Table] = {"days through the crop calendar": {"calendar": both}}
        for base, bias in ((8.0, 0.0), (0.0, 0.0), (8.0, BIAS)):
            tables = {"here": str(self.temperature(bias)), "like": str(like.temperature()), "base": base}
            error = f", table {bias:g} °C too warm" if bias else ""
            found[f"days at equal thermal time, base {base:g} °C{error}"] = {"temperatures": tables}
        return found

    def samples(self, recipe: Recipe, scene: Scene, key: str) -> Samples:
        """Return the samples of a recipe, cut to a folder of this name."""
        return samples_of(recipe, scene, self.land / f"samples-{key.replace(' ', '-')}")

    def season(self, code: int) -> tuple[float, float]:
        """Return start and end of the season of a class in the crop calendar: days of the year, rounded to ten days."""
        day = np.arange(1, 367)
        usual, here = normal_climate(day), normal_climate(day) + self.warmth
        base, (peak, half) = BASE.get(code, OTHERS), SEASONS[code][2:]
        ends = np.interp((peak - half, peak + half), day, gathered(usual, base))
        start, end = np.round(np.interp(ends, gathered(here, base), day) / 10) * 10
        return float(start), float(end)

    def calendar(self) -> Path:
        """Write the crop calendar of this place, and return its table."""
        path, new_year = self.land / "calendar.csv", date(2023, 1, 1)  # of a year without 29 February
        lines = [",".join(COLUMNS)]
        for code in CALENDAR:
            dates = (new_year + timedelta(day - 1) for day in self.season(code))
            lines.append(",".join([str(code), *(f"{one:%m-%d}" for one in dates)]))
        write_text(path, "\n".join(lines) + "\n")
        return path


def scores(trained: Trained, samples: Samples, probabilities: NDArray[Any]) -> dict[str, float]:
    """Return overall accuracy, mean F-measure, and the mean F-measure of both maizes, for the classes that the model has."""
    place = {code: k for k, code in enumerate(trained.legend.codes)}
    label = np.array([place.get(code, -1) for code in samples.legend.codes])[samples.label]
    known, names = label >= 0, trained.legend.names
    matrix = ConfusionMatrix.of(label[known], probabilities[known].argmax(1), names)
    found = {key: float(METRICS.get(key)(matrix)) for key in ("overall_accuracy", "f1_macro")}
    counts = matrix.counts
    each = 2 * np.diag(counts) / np.maximum(1, counts.sum(0) + counts.sum(1))
    return found | {"maize": float(np.mean([each[names.index(name)] for name in MAIZE]))}


def every(samples: Samples) -> NDArray[np.int64]:
    """Return the positions of all samples."""
    return np.arange(len(samples.label))


def with_days(samples: Samples, days: NDArray[np.int32]) -> Samples:
    """Return samples whose Sentinel-2 dates have other days as input of the network."""
    return replace(samples, cuts={"s2": replace(samples.cuts["s2"], days=days)})


def trained_on(here: Place, recipe: Recipe, key: str) -> tuple[Trained, float]:
    """Return a model trained on the polygons of a landscape, and the CPU seconds of the training."""
    scene = open_scene(recipe)
    samples = here.samples(recipe, scene, key)
    started = time.process_time()
    trained = Trainer(recipe.choice, scene, samples).train(0, WORK / f"model-{here.draw}-{key.replace(' ', '-')}")
    return trained, time.process_time() - started


def thermal_of(way: str, table: Path = Path("temperature.csv")) -> Table:
    """Return the setting `thermal` of a way of patchwork; empty for days of the year."""
    return {"thermal": {"temperature": str(table), **THERMAL[way]}} if way in THERMAL else {}


def of_patchwork(here: Place, way: str) -> dict[str, Any]:
    """Train patchwork on days of the year or thermal time, and return the scores of its ways in each climate."""
    trained, seconds = trained_on(here, here.recipe(PATCHWORK, thermal_of(way)), way)
    found: dict[str, Any] = {way: {"seconds": seconds}}
    for warmth in CLIMATES:
        there = Place.of(here.draw, warmth)
        recipe = there.recipe(PATCHWORK, thermal_of(way))
        samples = there.samples(recipe, open_scene(recipe), way)
        ways = {way: thermal_of(way)}
        if way == MAIN:
            ways[f"{MAIN}, table {BIAS:g} °C too warm"] = thermal_of(way, there.temperature(BIAS))
        if way not in THERMAL:
            ways |= there.corrections(here)
        for name, days in ways.items():
            clock = open_scene(there.recipe(PATCHWORK, days)).cubes["s2"].clock
            made = classify(trained, with_days(samples, clock).chips, every(samples), "cpu")
            found.setdefault(name, {})[str(warmth)] = scores(trained, samples, made)
            if name == "days of the year":
                better = with_prior(made, trained, samples, (here, there))
                found.setdefault("prior of the crop calendar", {})[str(warmth)] = scores(trained, samples, better)
    return found


def with_prior(
    probabilities: NDArray[Any], trained: Trained, samples: Samples, places: tuple[Place, Place]
) -> NDArray[Any]:
    """Return the probabilities (N, K) with that of both maizes divided anew by the day of maximum NDVI."""
    cut, (here, there) = samples.cuts["s2"], places
    fill, first = Fill(10, date(there.year, 1, 1), date(there.year, 12, 31)), (date(there.year, 1, 1) - EPOCH).days
    values, valid = cut.within(cut.size // 2, 1).read(every(samples))
    series, seen = (np.ascontiguousarray(np.moveaxis(part[..., 0], 0, -2)) for part in (values, valid))
    filled, _ = fill.apply(series, seen, cut.dates)
    peak = fill.days[filled[:, NDVI, :, 0].argmax(0)] - first + 1
    columns = [trained.legend.names.index(name) for name in MAIZE]
    middles = [[np.mean(place.season(code)) for code in (2, 3)] for place in (there, here)]
    there_, here_ = (((peak[:, None] - middle) / PEAK_SPREAD) ** 2 / 2 for middle in middles)
    own = probabilities[:, columns]
    divided = own * np.exp(np.clip(here_ - there_, -6, 6))
    made = probabilities.copy()
    made[:, columns] = divided * own.sum(1, keepdims=True) / np.maximum(1e-12, divided.sum(1, keepdims=True))
    return made


def of_forest(here: Place) -> dict[str, Any]:
    """Train a random forest on the filled series, and return the scores of its ways in each climate."""
    trained, seconds = trained_on(here, here.recipe(FOREST), "forest")
    found: dict[str, Any] = {"days of the year": {"seconds": seconds}}
    for warmth in CLIMATES:
        there = Place.of(here.draw, warmth)
        for name, days in {"days of the year": {}, **there.corrections(here)}.items():
            recipe = there.recipe(FOREST, days)
            samples = there.samples(recipe, open_scene(recipe), f"forest {name}")
            made = classify(trained, samples.chips, every(samples), "cpu")
            found.setdefault(name, {})[str(warmth)] = scores(trained, samples, made)
    return found


def measured(draw: int, model: str) -> dict[str, Any]:
    """Return the scores of all ways of a model in a draw."""
    here = Place.of(draw)
    if model == "random forest":
        return of_forest(here)
    return {name: one for way in ("days of the year", *THERMAL) for name, one in of_patchwork(here, way).items()}


WORDS = tuple(STAGES)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results, of all stages or of those named, and return the tables."""
    lines = {f"{model}, {stage}": (stage, model) for stage in wanted or STAGES for model in MODELS}
    for line in RESULTS.free(lines):
        stage, model = lines[line]
        for number, draw in enumerate(STAGES[stage]):
            RESULTS.measure((stage, model, number), lambda draw=draw, model=model: measured(draw, model))
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table for each stage and metric: the ways of each model in each climate, tested against days of the year."""
    parts = []
    for stage, (key, title) in product(STAGES, METRICS_SHOWN.items()):
        rows = []
        for model in MODELS:
            draws = found.get(stage, {}).get(model, [])
            rows += [(model, way, *_cells(draws, way, key)) for way in (draws[0] if draws else ())]
        parts.append(f"{stage}: {title}\n{table(('', '', *(f'{w:+g} °C' for w in CLIMATES)), rows)}")
    return "\n\n".join(
        [*parts, *(f"{stage}: mean of two climates\n{_together(found.get(stage, {}))}" for stage in STAGES)]
    )


def _together(found: Mapping[str, Any]) -> str:
    """Return the gain of overall accuracy over days of the year, mean of a colder and a warmer climate of each draw."""
    rows = []
    for model, draws in found.items():
        for way in draws[0]:
            cells = []
            for step in (3.0, 1.5):
                own, usual = (
                    [np.mean([one[name][str(w)]["overall_accuracy"] for w in (-step, step)]) for one in draws]
                    for name in (way, "days of the year")
                )
                gain, test = np.subtract(own, usual), resampled_t(own, usual, 0)
                cells += [spread(gain, "+"), f"{test.p:.3f}", f"{(gain > 0).sum()} of {len(gain)}"]
            rows += [(model, way, *cells)] if way != "days of the year" else []
    heads = ("", "", "±3 °C", "p", "draws that gain", "±1.5 °C", "p", "draws that gain")
    return table(heads, rows)


def _cells(draws: Sequence[Mapping[str, Any]], way: str, key: str) -> list[str]:
    """Return mean ± deviation in each climate; for another way than days of the year, the difference and its p-value."""
    cells = []
    for warmth in map(str, CLIMATES):
        own, usual = ([one[name][warmth][key] for one in draws] for name in (way, "days of the year"))
        cell = spread(own)
        if way != "days of the year" and len(draws) > 1:
            test = resampled_t(own, usual, 0)
            cell += f" ({test.difference:+.3f}, p {test.p:.3f})"
        cells.append(cell)
    return cells


if __name__ == "__main__":
    command_line(__name__)
