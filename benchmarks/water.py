"""Seasons that rain begins and ends: days of the year, thermal time, days since the onset of the rains, and a water balance.

    python -m benchmarks.water [choose] [report]

Each draw has a simulated landscape of its own for the training (2022, normal rainy season), and another landscape of 2023, with
other parcels and other weather, in five climates: rains 30 days early, normal, 30 days late, half the rain, and 1.6 times the
rain. Maize is rain-fed (``bocage simulate --rains``); Sentinel-2 only; classes, models and training are those of the benchmark
`climate`.

A clock counts something each day, and replaces the days: degree days (thermal time); days or degree days since the onset of the
rains; with the water balance of FAO-56, degree days times the water stress coefficient Ks, actual evapotranspiration, days with
Ks above 0.5, or days since Ks stays above 0.5 (on 23 of 30 days: the growing period). Clocks are tables of "temperatures" above a
base of 0 °C, which the settings `thermal` and `temperatures` read; the season starts on 1 September.

Patchwork is trained on each clock. For the model trained on days of the year, and for the random forest, which reads a date by
its position, "days at equal ..." expresses the days of the target as those of the training at the same count. The relative
depletion of the soil on each date, as a further band, is measured with patchwork; it has one value in a landscape, so that no
tree of a random forest can split on it.

The simulation sows by the onset of Sivakumar 1988. Therefore a second rule is a competitor, that of FEWS NET (25 mm in ten days,
then 20 mm in twenty days). "Rough rain" is a table of the target of which one wet day in five is missing, and whose other
amounts have a log-normal error of 50 %.

The draws that choose measure all variants of the water balance; the draws that report, those that they chose.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import rasterio
from numpy.typing import NDArray

from benchmarks import climate
from benchmarks.climate import FOREST, METRICS_SHOWN, MODELS, PATCHWORK, STAGES, Place, every, scores, with_days
from benchmarks.fao56 import balance, extraterrestrial, hargreaves
from benchmarks.frame import BUILD, Results, command_line, spread, table
from benchmarks.onsets import fews, growing, sivakumar
from benchmarks.recipes import Table, landscape, read
from bocage.disk import write_text
from bocage.evaluation.paired import resampled_t
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.scene.calendar import COLUMNS
from bocage.simulate.rain import END, FIRST_STAGE
from bocage.simulate.signatures import SEASONS
from bocage.training import Trained, Trainer, classify

WORK, RESULTS = BUILD / "water", Results("water")
CLIMATES = {"early": (-30, 1.0), "normal": (0, 1.0), "late": (30, 1.0), "dry": (0, 0.5), "wet": (0, 1.6)}
"""Climate → days by which the rains begin later, and rain divided by the normal rain."""
LAND = replace(climate.LAND, warmth=None, rains=0)
LATITUDE = -21.1
"""Latitude of the landscapes, degrees."""
START = "09-01"
"""Start of the season."""
USUAL_ONSET = {"early": 0, "normal": 30, "late": 60, "dry": 50, "wet": 30}
"""Climate → day of the year of the onset of the rains, mean of a hundred simulated seasons, rounded to ten days."""
CAPACITIES = (50, 100)
"""Total available water of the soil, mm: a sandy and a loamy soil with roots of half a metre to one metre."""
DAYS, THERMAL, BAND = "days of the year", "thermal time, base 8 °C", "depletion as a band"
ONSETS = {"Sivakumar": "days since the onset, Sivakumar", "FEWS NET": "days since the onset, FEWS NET"}
WARM_ONSETS = {rule: f"thermal time since the onset, {rule}" for rule in ONSETS}
KINDS = ("degree days times Ks", "evapotranspiration", "days with Ks above 0.5", "growing period")
FAO = {f"FAO-56, {kind}, {capacity} mm": (kind, capacity) for kind, capacity in product(KINDS, CAPACITIES)}
CLOCKS = dict.fromkeys((THERMAL, *WARM_ONSETS.values()), 17.0) | dict.fromkeys(ONSETS.values(), 10.0)
CLOCKS |= {name: 10.0 if kind in KINDS[2:] else 17.0 for name, (kind, _) in FAO.items()}
"""Clock → count of one day as input of patchwork, about that of a day with enough water in summer."""
CHOSEN, CHOSEN_BAND = ("FAO-56, growing period, 50 mm", "FAO-56, days with Ks above 0.5, 50 mm"), (50,)
"""Variants of the water balance that the draws chose, for the draws that report: clocks, and capacities of the band."""


@dataclass(frozen=True)
class Site:
    """A landscape in a climate of rain."""

    place: Place
    climate: str
    rough: bool = False
    """The table of rain has errors."""

    @classmethod
    def of(cls, draw: int, name: str | None = None) -> "Site":
        """Return the landscape of the training of a draw, or that of the test in a climate."""
        rains, wetness = CLIMATES[name or "normal"]
        seed, year = (draw, 2022) if name is None else (50 + draw, 2023)
        settings = replace(LAND, seed=seed, year=year, rains=rains, wetness=wetness)
        return cls(Place(landscape(WORK / f"{seed}-{year}-{name}", settings), draw, 0.0, year), name or "normal")

    @cached_property
    def weather(self) -> pandas.DataFrame:
        """Daily weather."""
        rows = pandas.read_csv(self.place.land / "weather.csv", parse_dates=["date"])
        if not self.rough:
            return rows
        random = np.random.default_rng([self.place.draw, self.place.year])
        error = np.exp(0.5 * random.normal(size=len(rows)) - 0.125) * (random.random(len(rows)) > 0.2)
        return rows.assign(rain=(rows.rain * error).round(1))

    def balance(self, capacity: float) -> Any:
        """Return the water balance of each day of the weather; the soil is half full on the first."""
        rows = self.weather
        radiation = extraterrestrial(LATITUDE, rows.date.dt.day_of_year.to_numpy())
        demand = hargreaves(rows.tmin.to_numpy(), rows.tmax.to_numpy(), radiation)
        return balance(rows.rain.to_numpy(), demand, capacity, capacity / 2)

    def clock(self, name: str) -> Path:
        """Write the table of a clock, and return it."""
        path = self.place.land / f"{'rough-' * self.rough}{name.replace(' ', '-')}.csv"
        rows = self.weather
        if name != THERMAL:
            rows = rows[["date"]].assign(temperature=self._counted(name).clip(0, 30))
        rows.to_csv(path, index=False)
        return path

    def _counted(self, name: str) -> NDArray[np.float64]:
        """Return the count of a clock on each day of the weather."""
        warm = np.clip(self.weather.temperature.to_numpy() - 8, 0, 22)
        fallen = self.weather.rain.to_numpy()
        if name not in FAO:
            days = self._since(fallen, fews if name.endswith("FEWS NET") else sivakumar)
            return days * (10.0 if name in ONSETS.values() else warm)
        kind, capacity = FAO[name]
        found = self.balance(capacity)
        if kind == "growing period":
            return 10.0 * self._since(found.stress, growing)
        if kind == "days with Ks above 0.5":
            return 10.0 * (found.stress > 0.5)
        return warm * found.stress if kind.startswith("degree") else 4 * found.actual

    def _since(
        self, values: NDArray[np.float64], rule: Callable[[NDArray[np.float64]], int | None]
    ) -> NDArray[np.bool_]:
        """Return True for each day of a season from the day that a rule finds in daily values."""
        dates, found = self.weather.date, np.zeros(len(values), bool)
        season = (dates.dt.year - (dates.dt.month < 9)).to_numpy()
        for year in np.unique(season):
            days = np.flatnonzero(season == year)
            begin = rule(values[days])
            if begin is not None:
                found[days[begin:]] = True
        return found

    def settings(self, name: str) -> Table:
        """Return the settings of the series of a clock as input of patchwork; empty for days of the year."""
        if name not in CLOCKS:
            return {}
        return {"thermal": {"temperature": str(self.clock(name)), "degrees": CLOCKS[name], **counting(name)}}

    def corrections(self, like: "Site", clocks: Sequence[str]) -> dict[str, Table]:
        """Return way → settings of the series that express the days of this site as those of the training."""
        both = {"here": str(self.calendar()), "like": str(like.calendar())}
        found: dict[str, Table] = {DAYS: {}, "days through the crop calendar": {"calendar": both}}
        for name in clocks:
            tables = {"here": str(self.clock(name)), "like": str(like.clock(name))}
            found[f"days at equal {name}"] = {"temperatures": tables | counting(name)}
        return found

    def calendar(self) -> Path:
        """Write the crop calendar of maize in the usual climate of this site, rounded to ten days, and return its table.

        Gardens are irrigated: with their dates, days of an early climate would go backwards.
        """
        path = self.place.land / "calendar.csv"
        latest = END - 122 + 30  # END counts from 1 September, the calendar from 1 January
        later = USUAL_ONSET[self.climate] - FIRST_STAGE
        lines = [",".join(COLUMNS)]
        for code in (2, 3):
            peak, half = SEASONS[code][2:]
            ends = np.round(np.array([peak - half + later, min(peak + half + later, latest)]) / 10)
            dates = np.datetime64("2023-01-01") + ends.astype(int) * 10 - 1
            lines.append(",".join([str(code), *(str(day)[5:] for day in dates)]))
        write_text(path, "\n".join(lines) + "\n")
        return path

    def with_band(self, capacity: float) -> Table:
        """Write the relative depletion of each date as a band of the series, and return the variables with it."""
        made = read(self.place.land / "gru.toml")["sources"]["s2"]["variables"]
        name = f"s2/depletion-{capacity}.tif"
        with rasterio.open(self.place.land / "s2/red.tif") as red:
            profile, names = red.profile, red.descriptions
            days = [(pandas.Timestamp(one) - self.weather.date[0]).days for one in names]
            values = np.rint(10000 * self.balance(capacity).depletion[days] / capacity)
            with rasterio.open(self.place.land / name, "w", **profile) as out:
                for k, (value, label) in enumerate(zip(values, names, strict=True), start=1):
                    out.write(np.full(red.shape, max(1, value), np.uint16), k)
                    out.set_band_description(k, label)
        return {"variables": {**made, "depletion": name}}

    def samples(self, model: Table, settings: Table, key: str) -> Samples:
        """Return the samples of a recipe."""
        recipe = self.place.recipe(model, settings)
        return self.place.samples(recipe, open_scene(recipe), key)


def counting(name: str) -> Table:
    """Return the settings with which a clock counts its table."""
    return {"start": START, "base": 8.0 if name == THERMAL else 0.0}


def trained_on(here: Site, model: Table, settings: Table, samples: Samples, key: str) -> tuple[Trained, float]:
    """Return a model trained on the samples of a landscape with settings of its series, and the CPU seconds of the training."""
    recipe = here.place.recipe(model, settings)
    started = time.process_time()
    folder = WORK / f"model-{here.place.draw}-{key.replace(' ', '-')}"
    trained = Trainer(recipe.choice, open_scene(recipe), samples).train(0, folder)
    return trained, time.process_time() - started


def of_patchwork(draw: int, stage: str) -> dict[str, Any]:
    """Return the scores of all ways of patchwork in each climate."""
    here, tests = Site.of(draw), {name: Site.of(draw, name) for name in CLIMATES}
    own = here.samples(PATCHWORK, {}, DAYS)
    theirs = {name: there.samples(PATCHWORK, {}, DAYS) for name, there in tests.items()}
    found: dict[str, Any] = {}
    for way in (DAYS, *clocks_of(stage)):
        settings = here.settings(way)
        trained, seconds = trained_on(here, PATCHWORK, settings, with_days(own, _clock(here, settings)), way)
        found[way] = {"seconds": seconds}
        for name, there in tests.items():
            ways = corrections(there, here, stage) if way == DAYS else {way: there.settings(way)}
            if way in roughly(stage):
                ways[f"{way}, rough rain"] = replace(there, rough=True).settings(way)
            for each, days in ways.items():
                moved = with_days(theirs[name], _clock(there, days))
                made = classify(trained, moved.chips, every(moved), "cpu")
                found.setdefault(each, {})[name] = scores(trained, moved, made)
    for capacity in CAPACITIES if stage == "choose" else CHOSEN_BAND:
        found[f"{DAYS}, {BAND}, {capacity} mm"] = _with_band(here, tests, capacity)
    return found


def clocks_of(stage: str) -> tuple[str, ...]:
    """Return the clocks that a stage measures."""
    return tuple(name for name in CLOCKS if stage == "choose" or name not in FAO or name in CHOSEN)


def roughly(stage: str) -> tuple[str, ...]:
    """Return the clocks that a stage measures with rough rain too: those of rain, where the water balance is chosen."""
    return tuple(name for name in clocks_of(stage) if name != THERMAL) if stage == "report" else ()


def corrections(there: Site, here: Site, stage: str) -> dict[str, Table]:
    """Return way → settings that express the days of a test site as those of the training, also with rough rain."""
    found = there.corrections(here, clocks_of(stage))
    rough = replace(there, rough=True).corrections(here, roughly(stage))
    return found | {f"{way}, rough rain": days for way, days in rough.items() if way.startswith("days at equal")}


def _clock(site: Site, settings: Table) -> NDArray[np.int32]:
    """Return the days that patchwork reads with settings of the series."""
    return open_scene(site.place.recipe(PATCHWORK, settings)).cubes["s2"].clock


def _with_band(here: Site, tests: Mapping[str, Site], capacity: float) -> dict[str, Any]:
    """Return the scores of patchwork on days of the year, with the relative depletion as a band."""
    settings, key = here.with_band(capacity), f"{BAND} {capacity}"
    trained, seconds = trained_on(here, PATCHWORK, settings, here.samples(PATCHWORK, settings, key), key)
    found: dict[str, Any] = {"seconds": seconds}
    for name, there in tests.items():
        samples = there.samples(PATCHWORK, there.with_band(capacity), key)
        found[name] = scores(trained, samples, classify(trained, samples.chips, every(samples), "cpu"))
    return found


def of_forest(draw: int, stage: str) -> dict[str, Any]:
    """Return the scores of all ways of the random forest in each climate."""
    here = Site.of(draw)
    trained, seconds = trained_on(here, FOREST, {}, here.samples(FOREST, {}, "forest"), "forest")
    found: dict[str, Any] = {DAYS: {"seconds": seconds}}
    for name in CLIMATES:
        there = Site.of(draw, name)
        for way, settings in corrections(there, here, stage).items():
            samples = there.samples(FOREST, settings, f"forest {way}")
            made = classify(trained, samples.chips, every(samples), "cpu")
            found.setdefault(way, {})[name] = scores(trained, samples, made)
    return found


WORDS = tuple(STAGES)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results, of all stages or of those named, and return the tables."""
    measured = dict(zip(MODELS, (of_patchwork, of_forest), strict=True))
    lines = {f"{model}, {stage}": (stage, model) for stage in wanted or STAGES for model in MODELS}
    for line in RESULTS.free(lines):
        stage, model = lines[line]
        for number, draw in enumerate(STAGES[stage]):
            RESULTS.measure(
                (stage, model, number), lambda draw=draw, stage=stage, model=model: measured[model](draw, stage)
            )
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return the tables of each stage: each metric in each climate, and the mean gain against the competitors."""
    parts = []
    for stage, (key, title) in product(STAGES, METRICS_SHOWN.items()):
        rows = [
            (model, way, *(spread([one[way][name][key] for one in draws]) for name in CLIMATES))
            for model, draws in found.get(stage, {}).items()
            for way in draws[0]
        ]
        parts.append(f"{stage}: {title}\n{table(('', '', *CLIMATES), rows)}")
    return "\n\n".join([*parts, *(f"{stage}: mean of climates\n{_gains(found.get(stage, {}))}" for stage in STAGES)])


SHIFTED, AMOUNTS = ("early", "late"), ("dry", "wet")


RIVALS = (DAYS, THERMAL, *ONSETS.values())
"""Competitors of the water balance."""


def _gains(found: Mapping[str, Any]) -> str:
    """Return overall accuracy, mean of some climates of each draw, and for early and late rains the gain over competitors."""
    rows = []
    for model, draws in found.items():
        for way in draws[0]:
            cells = [spread(_means(draws, way, names)) for names in (SHIFTED, AMOUNTS, tuple(CLIMATES))]
            for rival in RIVALS:
                like = rival if rival == DAYS or _trained(way) else f"days at equal {rival}"
                own, other = (_means(draws, one, SHIFTED) for one in (way, like))
                test = resampled_t(own, other, 0) if way != like and len(draws) > 1 else None
                cells.append(f"{test.difference:+.3f}, p {test.p:.3f}" if test else "")
            rows.append((model, way, *cells))
    return table(("", "", "early and late", "dry and wet", "all", *(f"against {rival}" for rival in RIVALS)), rows)


def _trained(way: str) -> bool:
    """Return whether a way has a model of its own, on a clock or with a band, and is no correction of days."""
    return way.removesuffix(", rough rain") in CLOCKS or way.startswith(f"{DAYS}, ")


def _means(draws: Sequence[Mapping[str, Any]], way: str, names: Sequence[str]) -> list[float]:
    return [float(np.mean([one[way][name]["overall_accuracy"] for name in names])) for one in draws]


if __name__ == "__main__":
    command_line(__name__)
