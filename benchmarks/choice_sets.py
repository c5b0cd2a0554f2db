"""The real sets, and one simulated set, on which the defaults are chosen: recipes as tables.

Two sets have no geometry that a recipe reads as it is: fields of Bavaria (a table and a list of crop codes), and the cube of Mato
Grosso, whose labels hold for one season. Their rows are written once as a table of series and a file of points.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import geopandas
import numpy as np
import pandas
import rasterio
from filelock import FileLock
from pyproj import Transformer

from benchmarks import transfer
from benchmarks.frame import BUILD
from benchmarks.recipes import Table, example, landscape, read, without_fill
from bocage.disk import replacing
from bocage.simulate import Simulation

MADE, FEWEST = BUILD / "choice/sets", 6
"""Folder of the derived tables; fewest fields of a class of Bavaria, so that each of three folds has two."""
BAVARIA = dict(
    zip(
        ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22"),
        ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"),
        strict=True,
    )
)
MATO_GROSSO = {"red": "red", "nir": "nir", "blue": "blue", "swir22": "mir", "ndvi": "ndvi", "evi": "evi"}
SEASON = 23
"""Dates of 16 days in a season."""


@dataclass(frozen=True)
class Site:
    """A set: a recipe for networks (acquisition dates) and one for trees (as its example)."""

    name: str
    network: Table
    trees: Table
    other: str = ""
    """Set on which the models are tested; empty: other folds of this set."""
    folder: Path = MADE
    """Folder of relative paths."""

    def recipe(self, tables: Table, trees: bool) -> Table:
        """Return the recipe with other tables [model] and [training]."""
        base = {k: v for k, v in (self.trees if trees else self.network).items() if k not in ("training", "evaluation")}
        return {**base, **tables}


def _canada() -> Site:
    return Site("canada", without_fill(example("canada")), example("canada"))


def _rondonia() -> Site:
    return Site("rondonia", example("rondonia"), example("rondonia"))


def _flanders(here: str, there: str) -> Site:
    tables = (transfer.recipe_of(here, name, 0) for name in ("patchwork", "LightGBM"))
    return Site(f"flanders {here} to {there}", *tables, other=f"flanders {there} to {here}")


def _simulated() -> Site:
    land = landscape(BUILD / "choice/land", Simulation())
    own = read(land / "patchwork.toml")
    series = {name: own["sources"][name] for name in ("s2", "s1")}
    return Site("simulated", {**own, "sources": series}, read(land / "random_forest.toml"), folder=land)


def _bavaria() -> Site:
    def make(folder: Path) -> None:
        data = Path(os.environ["BOCAGE_DATA"]) / "bavaria"
        fields = pandas.read_csv(data / "fields.csv")
        fields = fields[fields.groupby("crop_code").id.transform("size") >= FEWEST]
        _write(folder, fields.id, fields.crop_code.astype(str), pandas.read_parquet(data / "series.parquet"))

    return _points("bavaria", make, {"date": "Date", "bands": BAVARIA, "scale": 0.0001})


def _matogrosso() -> Site:
    def make(folder: Path) -> None:
        data = Path(os.environ["BOCAGE_DATA"]) / "matogrosso"
        samples = pandas.read_csv(data / "samples.csv")
        series, place = _seasons(data, samples)
        ids = series.id.drop_duplicates()
        _write(folder, ids.set_axis(ids), samples.label, series, place)

    recipe = _points("matogrosso", make, {"date": "Date", "bands": MATO_GROSSO})
    for table in (recipe.network, recipe.trees):  # one place has labels of several seasons
        table["reference"]["polygon_id"] = "place"
    return recipe


def _seasons(data: Path, samples: pandas.DataFrame) -> tuple[pandas.DataFrame, "np.ndarray"]:
    """Return the series of every sample in its season, on the dates of one season, and the pixel of every sample."""
    dates = pandas.to_datetime(
        [text.strip().strip('"') for text in (data / "timeline").read_text(encoding="utf-8").split()]
    )
    with rasterio.open(data / "ndvi.tif") as grid:
        to_grid = Transformer.from_crs("EPSG:4326", grid.crs, always_xy=True)
        rows, columns = rasterio.transform.rowcol(
            grid.transform, *to_grid.transform(samples.longitude, samples.latitude)
        )
    rows, columns = np.asarray(rows, int), np.asarray(columns, int)
    cube = {name: rasterio.open(data / f"{name}.tif").read() for name in set(MATO_GROSSO.values())}
    parts = []
    for i, start in enumerate(np.searchsorted(dates, pandas.to_datetime(samples["from"]))):
        if start + SEASON > len(dates):
            continue
        part = {name: values[start : start + SEASON, rows[i], columns[i]] for name, values in cube.items()}
        season = pandas.Timestamp("2010-09-01") + 16 * pandas.to_timedelta(np.arange(SEASON), "D")
        parts.append(pandas.DataFrame({"id": i, "Date": season, **part}))
    return pandas.concat(parts), rows * 1000 + columns


def _write(
    folder: Path, ids: pandas.Series, labels: pandas.Series, series: pandas.DataFrame, place: "np.ndarray | None" = None
) -> None:
    """Write the series and, last, one point per sample; `ids` has the index of `labels`."""
    with replacing(folder / "series.parquet") as partial_file:
        series[series.id.isin(ids)].to_parquet(partial_file)
    points = geopandas.points_from_xy(np.arange(len(ids)) * 1e-3, np.zeros(len(ids)))
    table = {"id": ids.to_numpy(), "label": labels.loc[ids.index].to_numpy()}
    if place is not None:
        table["place"] = place[ids.to_numpy()]
    geopandas.GeoDataFrame(table, geometry=points, crs="EPSG:4326").to_file(folder / "points.gpkg")


def _points(name: str, make: Callable[[Path], None], source: Table) -> Site:
    """Return a set of samples in a table, written by `make` if it does not exist."""
    folder = MADE / name
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "points.gpkg").exists():
            make(folder)
    labels = sorted(geopandas.read_file(folder / "points.gpkg").label.unique())
    recipe = {
        "grid": {"like": "s2"},
        "sources": {"s2": {"sensor": "table", "path": str(folder / "series.parquet"), "id": "id"} | source},
        "reference": {"path": str(folder / "points.gpkg"), "label": "label", "sample_id": "id"},
        "legend": {"classes": [{"code": k, "name": f"{n}", "values": [n]} for k, n in enumerate(labels, 1)]},
        "split": {"folds": 3, "rare": "drop"},
    }
    return Site(name, recipe, {**recipe, "reference": {**recipe["reference"]}})


SETS: Mapping[str, Callable[[], Site]] = {
    "canada": _canada,
    "rondonia": _rondonia,
    "bavaria": _bavaria,
    "matogrosso": _matogrosso,
    "flanders A to C": partial(_flanders, "A", "C"),
    "flanders C to A": partial(_flanders, "C", "A"),
    "simulated": _simulated,
}
