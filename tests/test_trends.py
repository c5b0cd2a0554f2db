"""Trends and anomalies of an index in parcels, against brute force on a series with a known trend and a known drought."""

import csv
import datetime
import itertools
import json

import geopandas as gpd
import numpy as np
import pytest
import shapely

from bocage.cli import main
from bocage.errors import FinishError
from bocage.finish.trends import Observations, Season, Settings, Years, trends, yearly
from bocage.jobs.trends import trends_of
from bocage.recipe import read_recipe
from bocage.testing import write_raster
from conftest import FOREST, Told, written

SOURCE = """
[sources.s2]
sensor = "series"
variables = { red = "s2/red.tif", nir = "s2/nir.tif" }
quality = "s2/quality.tif"
clear = [4]
scale = 0.0001
"""
YEARS, MONTHS, SHAPE = range(2015, 2023), (3, 4, 6, 7, 9, 11), (48, 53)
SLOPE, DROUGHT = 0.02, 2019
"""Slope of the NDVI of the left half per year; year in which the right half has 0.2 less."""
SEASON = Season((4, 1), (9, 30))


def series(years=YEARS, seed=0):
    """Return days, NDVI (T, y, x) and clear (T, y, x)."""
    rng = np.random.default_rng(seed)
    days = [datetime.date(year, month, 4 + (year + month) % 20) for year in years for month in MONTHS]
    ndvi = np.zeros((len(days), *SHAPE))
    left = np.arange(SHAPE[1]) < 26
    for t, day in enumerate(days):
        curve = 0.2 + 0.3 * np.sin(np.pi * day.month / 12)
        ndvi[t] = curve + np.where(left, SLOPE * (day.year - 2015), -0.2 * (day.year == DROUGHT))
    ndvi += 0.002 * rng.standard_normal(ndvi.shape)
    clear = rng.random(ndvi.shape) < 0.9
    clear[rng.random(len(days)) < 0.15] = False
    return days, ndvi, clear


def stored(folder, days, ndvi, clear):
    """Write the series; masked pixels have absurd values."""
    red = np.full(ndvi.shape, 0.1)
    nir = np.where(clear, red * (1 + ndvi) / (1 - ndvi), 0.02)
    names = [f"{day:%Y-%m-%d}" for day in days]
    for band, values in (("red", red), ("nir", nir)):
        write_raster(folder / f"{band}.tif", np.rint(values * 10_000).astype(np.uint16), nodata=0, descriptions=names)
    write_raster(folder / "quality.tif", np.where(clear, 4, 9).astype(np.uint8), descriptions=names)
    red, nir = (np.rint(one * 10_000) for one in (red, nir))
    return (nir - red) / (nir + red)


@pytest.fixture
def world(landscape):
    """A landscape whose series has eight years, and its recipe."""
    days, ndvi, clear = series()
    return written(landscape, FOREST, SOURCE), days, stored(landscape / "s2", days, ndvi, clear), clear


def corner(path):
    from bocage.sources.raster import inspect

    return inspect(path / "s2/red.tif").grid


def parcels(path, grid, shapes, crs=None, **fields):
    a = grid.transform
    moved = [
        shapely.affinity.affine_transform(s, [a.a, 0, 0, a.e, a.c, a.f]) if s is not None else None for s in shapes
    ]
    table = gpd.GeoDataFrame(
        fields or {"id": [f"p{k}" for k in range(len(shapes))]}, geometry=moved, crs=grid.crs.to_wkt()
    )
    (table.to_crs(crs) if crs else table).to_file(path, engine="pyogrio")
    return path


SHAPES = [
    shapely.Polygon([(3.3, 2.2), (17.8, 4.1), (15.2, 20.7), (5.5, 16.4)]),
    shapely.box(30.4, 10.6, 44.9, 30.2).difference(shapely.box(35.1, 15.2, 39.7, 20.3)),
    shapely.MultiPolygon([shapely.box(1, 30, 4.5, 33), shapely.box(8, 40, 14.2, 46.9)]),
]


def brute(shape, days, ndvi, clear, settings):
    """Return year → (dates, mean, max, integral) of a parcel in pixel coordinates."""
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = shapely.area(shapely.intersection(shapely.box(column, row, column + 1, row + 1), shape))
    found = {}
    for year in YEARS:
        at, values = [], []
        for t, day in enumerate(days):
            weight = inside * clear[t]
            if settings.season.year_of(day) == year and weight.sum() >= settings.clear * shape.area:
                at.append((day - datetime.date(1970, 1, 1)).days)
                values.append((weight * ndvi[t]).sum() / weight.sum())
        if len(at) < settings.dates:
            found[year] = (len(at),)
            continue
        first, last = settings.season.bounds(year)
        at, values = [first, *at, last], [values[0], *values, values[-1]]
        integral = sum(
            (b - a) * (x + y) / 2 for (a, b), (x, y) in zip(itertools.pairwise(at), itertools.pairwise(values))
        )
        found[year] = (len(at) - 2, integral / (last - first), max(values), integral)
    return found


@pytest.mark.parametrize("tile", [256, 16])
def test_statistics_of_parcels_as_by_brute_force(world, tmp_path, monkeypatch, tile):
    monkeypatch.setattr("bocage.finish.trends.TILE", tile)
    monkeypatch.setattr("bocage.finish.trends.DATES", 7 if tile == 16 else 32)
    recipe, days, ndvi, clear = world
    path = parcels(tmp_path / "p.gpkg", corner(recipe.parent), SHAPES)
    settings = Settings(season=SEASON, dates=4, gap=200)
    found = trends_of([read_recipe(recipe)], (path, "id"), tmp_path / "out", settings)
    assert found.years.years == tuple(YEARS)
    missing = 0
    for p, shape in enumerate(SHAPES):
        for y, (dates, *numbers) in enumerate(brute(shape, days, ndvi, clear, settings).values()):
            assert found.years.dates[p, y] == dates
            missing += not numbers
            for name, value in zip(("mean", "max", "integral"), numbers or [np.nan] * 3):
                assert found.years.values[name][p, y] == pytest.approx(value, rel=1e-5, nan_ok=True)
    assert missing > 0


def test_a_known_trend_and_a_known_drought_are_found(world, tmp_path, capsys):
    recipe, *_ = world
    path = parcels(tmp_path / "p.gpkg", corner(recipe.parent), SHAPES, crs="EPSG:4326")
    out = tmp_path / "out"
    options = ["--field", "id", "--start", "04-01", "--end", "09-30", "--dates", "2", "--gap", "200"]
    assert main(["trends", str(recipe), str(path), "--out", str(out), *options]) == 0
    assert "Strongest trends of ndvi" in capsys.readouterr().out
    table = gpd.read_parquet(out / "trends.parquet")
    first, second, _ = (table.iloc[k] for k in range(3))
    assert first.slope == pytest.approx(SLOPE, abs=0.005)
    assert first.low <= SLOPE <= first.high
    assert first.p < 0.01
    assert second.low <= 0 <= second.high
    assert second.p > 0.05
    assert second[f"anomaly_{DROUGHT}"] < -5
    with (out / "years.csv").open() as stream:
        rows = {(row["parcel"], int(row["year"])): row for row in csv.DictReader(stream)}
    lowest = min((float(row["anomaly"]), year) for (name, year), row in rows.items() if name == "p1" and row["anomaly"])
    assert lowest[1] == DROUGHT
    copied = gpd.read_file(out / "trends.gpkg")
    assert copied.geom_type.tolist() == ["MultiPolygon"] * 3
    assert copied.slope.tolist() == pytest.approx(table.slope.tolist())
    with (out / "trends.csv").open() as stream:
        assert [row["statistic"] for row in csv.DictReader(stream)] == ["ndvi mean"] * 3
    assert json.loads((out / "trends.json").read_text())["years"] == list(YEARS)


def test_years_in_several_recipes_are_those_of_one(world, tmp_path):
    recipe, days, ndvi, clear = world
    path = parcels(tmp_path / "p.gpkg", corner(recipe.parent), SHAPES)
    settings = Settings(season=SEASON, dates=2, gap=200, statistic="max")
    whole = trends_of([read_recipe(recipe)], (path, "id"), tmp_path / "whole", settings)
    parts = []
    for name, kept in (("early", lambda d: d.year < 2018), ("late", lambda d: d.year >= 2018)):
        use = [t for t, day in enumerate(days) if kept(day)]
        stored(recipe.parent / name, [days[t] for t in use], ndvi[use], clear[use])
        parts.append(written(recipe.parent, FOREST, SOURCE.replace("s2/", f"{name}/"), name=f"{name}.toml"))
    told = Told()
    found = trends_of([read_recipe(one) for one in parts], (path, "id"), tmp_path / "parts", settings, progress=told)
    assert found.years.years == whole.years.years
    assert np.array_equal(found.years.dates, whole.years.dates)
    assert found.trends.slope == pytest.approx(whole.trends.slope, abs=1e-4, nan_ok=True)


def test_the_clear_share_of_a_parcel_in_two_tiles_is_not_counted_twice():
    """Two tiles of a satellite overlap: 30 % of the parcel is clear in both. A parcel across their border has the sum."""

    def tile(clear, inside):
        return Observations(np.array([18000]), np.array([[clear]]), np.array([[0.5 * clear]]), np.array([inside]))

    for first, second, expected in (
        ((0.3, 1), (0.3, 1), 0.3),
        ((0.3, 0.5), (0.3, 0.5), 0.6),
        ((0.8, 1), (0.0, 1), 0.8),
    ):
        found = Observations.together([tile(*first), tile(*second)])
        assert found.clear == pytest.approx(expected)
        assert found.values() == pytest.approx(0.5)


def test_parcels_with_too_few_clear_dates_are_reported_and_kept(world, tmp_path):
    recipe, *_ = world
    shapes = [SHAPES[0], shapely.box(200, 200, 210, 210), shapely.box(50, 5, 60, 15)]  # outside, and mostly outside
    path = parcels(tmp_path / "p.gpkg", corner(recipe.parent), shapes)
    told = Told()
    found = trends_of(
        [read_recipe(recipe)], (path, "id"), tmp_path / "out", Settings(season=SEASON, dates=2, gap=200), progress=told
    )
    assert found.without == ["p1", "p2"]
    assert told.words[-1] == ("2 of 3 parcels have fewer than 3 years with a value, and no trend: p1, p2.")
    assert told.words[-2].endswith(
        "seasons have fewer than 2 clear dates or a gap of more than 200 days, and no value."
    )
    assert len(gpd.read_parquet(tmp_path / "out/trends.parquet")) == 3


def made(values, years=None):
    values = np.array([values], float)
    zero = np.zeros(values.shape, np.int64)
    return Years(tuple(years or range(2000, 2000 + values.shape[1])), zero, zero, {"mean": values})


def test_the_slope_is_the_median_of_all_slopes_and_an_anomaly_leaves_its_year_out():
    values = [0.5, 0.52, np.nan, 0.56, 0.1, 0.6, 0.63]
    found = trends(made(values), "mean")
    known = [(k, v) for k, v in enumerate(values) if not np.isnan(v)]
    slopes = [(w - v) / (b - a) for (a, v), (b, w) in itertools.combinations(known, 2)]
    assert found.slope[0] == pytest.approx(np.median(slopes))
    assert found.count[0] == 6
    others = np.array([0.5, 0.52, 0.56, 0.6, 0.63])
    spread = 1.4826 * np.median(np.abs(others - 0.56))
    assert found.anomaly[0, 4] == pytest.approx((0.1 - 0.56) / spread)
    assert np.isnan(found.anomaly[0, 2])


def test_few_years_have_no_interval_and_fewer_no_slope():
    few = trends(made([0.1, 0.2, 0.3, 0.4]), "mean")
    assert few.slope[0] == pytest.approx(0.1)
    assert np.isnan(few.low[0])
    assert few.p[0] == pytest.approx(2 / 24)
    assert np.isnan(trends(made([0.1, np.nan, 0.3]), "mean").slope[0])
    constant = trends(made([0.3] * 6), "mean")
    assert (constant.slope[0], constant.p[0]) == (0, 1)
    assert np.isnan(constant.anomaly).all()


def test_a_season_over_new_year_is_that_of_the_year_of_its_end():
    season = Season((10, 1), (3, 31))
    days = [
        datetime.date(2020, 11, 5),
        datetime.date(2021, 3, 31),
        datetime.date(2021, 6, 1),
        datetime.date(2021, 10, 1),
    ]
    assert [season.year_of(day) for day in days] == [2021, 2021, None, 2022]
    first, last = season.bounds(2021)
    assert last - first == 181
    kept = [(day - datetime.date(1970, 1, 1)).days for day in days if season.year_of(day)]
    seen = Observations(np.array(kept), np.ones((1, 3)), np.full((1, 3), 0.5))
    found = yearly(seen, Settings(season=season, dates=1, gap=200))
    assert found.dates.tolist() == [[2, 1]]
    assert found.values["integral"] == pytest.approx(np.array([[0.5 * 181, 0.5 * 181]]))
    assert found.gap.tolist() == [[146, 181]]


def test_a_year_with_a_long_gap_has_no_value():
    """A series that begins in July: its first year would have the mean of the autumn."""
    days = [datetime.date(2020, 7, 20), datetime.date(2020, 8, 10), datetime.date(2020, 9, 20)]
    days += [datetime.date(2021, month, 15) for month in (4, 5, 6, 7, 8, 9)]
    since = np.array([(day - datetime.date(1970, 1, 1)).days for day in days])
    seen = Observations(since, np.ones((1, 9)), np.full((1, 9), 0.5))
    found = yearly(seen, Settings(season=SEASON))
    assert found.gap.tolist() == [[110, 31]]
    assert found.dates.tolist() == [[3, 6]]
    assert np.isnan(found.values["mean"][0]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": Settings(index="ndmi")}, "no source is a series with dates and the bands nir, swir16"),
        ({"source": "s3"}, "has no source 's3'. Did you mean 's2'"),
        ({"settings": Settings(season=Season((1, 1), (1, 5)))}, "No date of the sources is in the season"),
        ({"field": "nom"}, "has no field 'nom'"),
        ({"shapes": [shapely.box(200, 200, 210, 210)]}, "no parcel has a clear pixel in the season"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_one_line(world, tmp_path, options, message):
    recipe, *_ = world
    path = parcels(tmp_path / "p.gpkg", corner(recipe.parent), options.get("shapes", SHAPES))
    settings = options.get("settings", Settings(season=SEASON))
    arguments = [read_recipe(recipe)], (path, options.get("field", "id")), tmp_path / "out", settings
    with pytest.raises(FinishError, match=message):
        trends_of(*arguments, source=options.get("source", ""))
    assert not (tmp_path / "out").exists()


def test_days_that_are_no_days_are_refused(tmp_path, capsys):
    for start, end, message in (("02-30", "09-30", "is not a day as MM-DD"), ("04-01", "04-01", "are the same day")):
        command = ["trends", "r.toml", "p.gpkg", "--out", str(tmp_path / "o"), "--start", start, "--end", end]
        assert main(command) == 2
        assert message in capsys.readouterr().err
