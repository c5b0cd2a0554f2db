"""Adaptation with a guard: pairs of a source and a target scene, on some of which it is chosen, on the others reported.

    BOCAGE_DATA=/path/to/data python -m benchmarks adapt

The source model of each pair and seed is trained once and kept in ``build/adapt``; its adaptation to the target is computed once.
Accuracies are those of all labelled pixels of the target. An interrupted benchmark resumes.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import geopandas
import numpy as np
import pandas

from benchmarks import choice_sets, transfer
from benchmarks.frame import BUILD, Results, slug
from benchmarks.recipes import Table, landscape, read
from bocage.disk import replacing
from bocage.jobs import run as jobs
from bocage.jobs.adapt import adapt_to
from bocage.layout import RunLayout
from bocage.recipe import Recipe, parse
from bocage.simulate import Simulation
from bocage.training import Adapting

WORK, RESULTS = BUILD / "adapt", Results("adapt")
SEEDS, PIXELS = range(3), 4096
SIMULATED = Simulation(sensors=("s2", "s1"))
WOOD = {"code": 7, "name": "wood", "values": ["7", "8", "9"], "color": "#1e4d2b"}
"""Classes of the simulated landscape that only images of very high resolution distinguish, as one."""


@dataclass(frozen=True)
class Side:
    """A scene with its labels: the source or the target of a pair."""

    name: str
    table: Callable[[], tuple[Table, Path]]
    """Returns the recipe without split, model and training, and the folder of its relative paths."""

    def recipe(self, seed: int) -> Recipe:
        """Return the recipe of the source model of a seed."""
        table, folder = self.table()
        training = {"keep": "last", "steps": [1000, 1000]}
        common = {"model": {"name": "patchwork", "preset": "small"}, "training": training}
        split = {"train": 0.8, "draws": 1, "seed": seed, "rare": "drop"}
        return parse({**table, "split": split, **common}, folder)


@dataclass(frozen=True)
class Pair:
    """A source, a target, and whether the source model is expected to be right there already."""

    source: Side
    target: Side
    easy: bool


def _land(seed: int, **settings: int) -> tuple[Table, Path]:
    """Return the recipe of a simulated landscape with Sentinel-1 and Sentinel-2."""
    made = Simulation(seed=seed, sensors=("s2", "s1"), **settings)
    text = "-".join(f"{key}{value}" for key, value in settings.items())
    folder = landscape(WORK / f"land-{seed}-{text}", made)
    table = {key: part for key, part in read(folder / "patchwork.toml").items() if key not in ("evaluation", "name")}
    rows = pandas.read_csv(folder / "legend.csv")
    others = [{"code": int(c), "name": n, "values": [str(c)]} for c, n in zip(rows.code, rows.name, strict=True)]
    others = [one for one in others if one["code"] not in (7, 8, 9)]
    return {**table, "legend": {"classes": [*others, WOOD]}}, folder


def _points(name: str, part: str, days: int = 0) -> tuple[Table, Path]:
    """Return the recipe of a part of a table of series, whose dates are some days later."""
    site = choice_sets.SETS[name]()
    folder = WORK / slug(f"{name}-{part}-{days}")
    folder.mkdir(parents=True, exist_ok=True)
    table = {key: value for key, value in site.network.items() if key not in ("split", "name", "training", "model")}
    source, reference = table["sources"]["s2"], table["reference"]
    paths = {key: Path(text.replace("${BOCAGE_DATA}", _data())) for key, text in
             {"series": source["path"], "points": reference["path"]}.items()}  # fmt: skip
    if not (folder / "points.gpkg").exists():
        points, series = geopandas.read_file(paths["points"]), pandas.read_parquet(paths["series"])
        points = points[PARTS[part](points)]
        series = series[series[source["id"]].isin(points[reference["sample_id"]])]
        dates = pandas.to_datetime(series[source["date"]])
        series = series.assign(**{source["date"]: dates + pandas.Timedelta(days, "D")})
        with replacing(folder / "series.parquet") as partial_file:
            series.to_parquet(partial_file)
        points.to_file(folder / "points.gpkg")
    sources = {key: one | {"path": str(folder / "series.parquet")} for key, one in table["sources"].items()}
    return {**table, "sources": sources, "reference": reference | {"path": str(folder / "points.gpkg")}}, folder


def _data() -> str:
    import os

    return os.environ["BOCAGE_DATA"]


def _half(which: int) -> Callable[[geopandas.GeoDataFrame], np.ndarray]:
    def rows(points: geopandas.GeoDataFrame) -> np.ndarray:
        key = next((name for name in ("place", "location_id") if name in points), None)
        groups = points[key] if key else pandas.Series(np.arange(len(points)))
        units = groups.unique()
        chosen = np.random.default_rng(7).permutation(len(units)) < len(units) / 2
        return np.asarray(groups.map(dict(zip(units, chosen, strict=True)))).astype(bool) == bool(which)

    return rows


PARTS: Mapping[str, Callable[[geopandas.GeoDataFrame], np.ndarray]] = {
    "first half": _half(1),
    "second half": _half(0),
    "regions 0 and 1": lambda points: np.asarray(points.fold.isin([0, 1])),
    "region 2": lambda points: np.asarray(points.fold == 2),
    "west": lambda points: np.asarray(points.geometry.x < points.geometry.x.median()),
    "east": lambda points: np.asarray(points.geometry.x >= points.geometry.x.median()),
}


def _side(name: str, work: Callable[..., tuple[Table, Path]], *args: object, **more: object) -> Side:
    return Side(name, cache(partial(work, *args, **more)))


def _flanders(tile: str) -> tuple[Table, Path]:
    table = transfer.recipe_of(tile, "patchwork", 0)
    return {key: value for key, value in table.items() if key not in ("split", "model", "training")}, WORK


def _pair(easy: bool, source: Side, target: Side) -> Pair:
    return Pair(source, target, easy)


def _halves(name: str, days: int = 0) -> Pair:
    """Return the pair of two random halves of a table; the dates of the second are some days later."""
    here = _side(f"{name}, first half", _points, name, "first half")
    there = _side(f"{name}, second half, {days} days later", _points, name, "second half", days)
    return Pair(here, there, not days)


def _lands(seed: int, easy: bool, **settings: int) -> Pair:
    here = _side(f"land {seed}", _land, seed, year=2022)
    there = f"land {seed} " + " ".join(f"{key} {value}" for key, value in settings.items())
    return Pair(here, _side(there, _land, seed, **settings), easy)


A, C = (_side(f"flanders {tile}", _flanders, tile) for tile in "AC")
CHOOSING: Mapping[str, Pair] = {
    "bavaria, halves": _halves("bavaria"),
    "bavaria, 30 days later": _halves("bavaria", 30),
    "bavaria, 15 days earlier": _halves("bavaria", -15),
    "rondonia, halves": _halves("rondonia"),
    "rondonia, 45 days later": _halves("rondonia", 45),
    "rondonia, 90 days later": _halves("rondonia", 90),
    "matogrosso, halves": _halves("matogrosso"),
    "matogrosso, 32 days later": _halves("matogrosso", 32),
    "matogrosso, 32 days earlier": _halves("matogrosso", -32),
    "matogrosso, 64 days later": _halves("matogrosso", 64),
    "land 11, same season": _lands(11, True, year=2023, region=1),
    "land 11, half 60 days later": _lands(11, False, year=2023, region=2, delay=60),
    "land 12, same season": _lands(12, True, year=2024, region=3),
    "land 12, half 30 days later": _lands(12, False, year=2023, region=4, delay=30),
}
REPORTING: Mapping[str, Pair] = {
    "Flanders A to C": _pair(False, A, C),
    "Flanders C to A": _pair(True, C, A),
    "Canada, two regions to the third": _pair(
        False,
        _side("canada, regions 0 and 1", _points, "canada", "regions 0 and 1"),
        _side("canada, region 2", _points, "canada", "region 2"),
    ),
    "Canada, random halves": _halves("canada"),
    "simulated, season shifted": _lands(1, False, year=2023, region=5, delay=45),
    "simulated, same season": _lands(1, True, year=2023, region=6),
}


def source_model(pair: Pair, seed: int) -> Path:
    """Return the folder of the run of the source model, trained if it is missing."""
    out = WORK / "models" / slug(f"{pair.source.name}-{seed}")
    if not RunLayout(out).split(0).model.description.exists():
        jobs.run(pair.source.recipe(seed), out, ("train",))
    return out


def adapted_model(name: str, pair: Pair, seed: int) -> Path:
    """Return the folder of the adaptation to the target, without guard, computed if it is missing."""
    out = WORK / "adapted" / slug(f"{name}-{seed}")
    if not RunLayout(out).own.model.description.exists():
        model = RunLayout(source_model(pair, seed)).split(0).model.path
        adapt_to(pair.target.recipe(seed), model, out, Adapting(pixels=PIXELS), overwrite=True)
    return out


if __name__ == "__main__":
    import time

    todo = {**CHOOSING, **REPORTING}
    ordered = sorted(todo, key=lambda name: ("land" in name or "simul" in name, name))
    for seed in SEEDS:
        for name, pair in ((name, todo[name]) for name in ordered):
            if sys.argv[1:] and not any(text in name for text in sys.argv[1:]):
                continue
            t, c = time.time(), time.process_time()
            try:
                source_model(pair, seed)
                t1, c1 = time.time(), time.process_time()
                adapted_model(name, pair, seed)
            except Exception as error:
                print(name, seed, type(error), error, flush=True)
                continue
            print(
                f"{name} {seed}: train {t1 - t:.0f} s ({c1 - c:.0f} cpu), adapt {time.time() - t1:.0f} s "
                f"({time.process_time() - c1:.0f} cpu)",
                flush=True,
            )
