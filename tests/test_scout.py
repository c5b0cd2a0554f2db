"""The next fields to survey: which candidates, their gains, their tours, and the files that are written."""

import csv
import itertools
import json
import math
import re
import shutil
import warnings
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import shapely
from defusedxml import ElementTree
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod
from shapely import box

from bocage.advice.candidates import is_surveyed, of_polygons, squares, to_degrees
from bocage.advice.gpx import NAMESPACE, Route, Waypoint, as_gpx
from bocage.advice.proposal import _free
from bocage.advice.selection import Findings, Gains, Known, doubt_of, gains_of, rarity_of, standardised
from bocage.advice.tours import Budget, Tour, distances, length_of, plan_survey, shorten
from bocage.cli import main
from bocage.errors import AdviceError, FinishError, RunFolderError
from bocage.jobs.run import run
from bocage.jobs.scout import Asked, scout
from bocage.layout import RunLayout
from bocage.recipe import read_recipe
from bocage.samples.candidates import unsurveyed_points
from bocage.testing.fakes import CORNER, CRS
from conftest import Told
from test_report import foreign, page_of

START = (55.2, -20.9)


# --- gains
def findings(n=30, seed=0, classes=3):
    generator = np.random.default_rng(seed)
    probability = generator.dirichlet(np.ones(classes), n)
    return Findings(probability, doubt_of(probability), generator.uniform(0, 3, n), generator.normal(size=(n, 4)))


def known(m=5, seed=1, classes=3):
    return Known(np.random.default_rng(seed).normal(size=(m, 4)), np.arange(classes) + 1)


def picked(gains, n):
    free, chosen = np.ones(len(gains.value), bool), []
    for _ in range(n):
        best = int(np.where(free, gains.now, -1).argmax())
        free[best] = False
        gains.choose(best)
        chosen.append(best)
    return chosen


def test_uncertainty_takes_the_largest_doubts_and_random_depends_on_the_seed():
    found = findings()
    assert picked(gains_of(found, known(), "uncertainty", 0), 5) == np.argsort(-found.doubt)[:5].tolist()
    first, second = (picked(gains_of(found, known(), "random", seed), 5) for seed in (0, 1))
    assert first != second
    assert first == picked(gains_of(found, known(), "random", 0), 5)


def test_the_second_of_two_equal_fields_is_not_chosen():
    found, surveyed = standardised(findings(8), known())
    best = picked(gains_of(found, surveyed, "balanced", 0), 1)[0]
    twice = found.take(np.array([best, best, *range(8)]))
    chosen = picked(gains_of(twice, surveyed, "balanced", 0), 3)
    assert chosen[0] == 0
    assert not {1, best + 2} & set(chosen)


def test_a_copy_of_a_surveyed_field_has_no_gain():
    found = findings(6)
    surveyed = Known(found.features[2:3], np.ones(3, int))
    assert gains_of(found, surveyed, "balanced", 0).now[2] == pytest.approx(0, abs=1e-6)


def test_the_class_with_fewer_fields_is_worth_more():
    probability = np.array([[0.6, 0.4, 0], [0.4, 0.6, 0]])
    found = Findings(probability, np.ones(2), np.ones(2), np.array([[1.0], [-1.0]]))
    value = gains_of(found, Known(np.zeros((1, 1)), np.array([30, 3, 10])), "balanced", 0).now
    assert value[1] > value[0]
    assert rarity_of(np.eye(3), np.array([4, 4, 4])) == pytest.approx([1, 1, 1])


def test_features_without_spread_have_no_effect():
    found, surveyed = findings(), known()
    wider = Findings(
        found.probability, found.doubt, found.novelty, np.pad(found.features, ((0, 0), (0, 1)), constant_values=7)
    )
    other = Known(np.pad(surveyed.features, ((0, 0), (0, 1)), constant_values=7), surveyed.fields)
    plain, padded = standardised(found, surveyed), standardised(wider, other)
    assert np.isfinite(padded[0].features).all()
    assert picked(gains_of(*plain, "balanced", 0), 6) == picked(gains_of(*padded, "balanced", 0), 6)


# --- tours
def places(n, seed=0, spread=0.3):
    return np.array(START) + np.random.default_rng(seed).uniform(0, spread, (n, 2))


def plan(value, place, budget, starts=()):
    def gains():
        return Gains(np.asarray(value, float), place, np.zeros((0, 2)), 0)

    return plan_survey([gains(), gains()], place, np.array(starts, float).reshape(-1, 2), budget)


def test_distances_are_those_of_the_ellipsoid_times_the_detour():
    a, b = np.array([[2.35, 48.86]]), np.array([[-0.13, 51.51], [2.35, 48.86]])
    expected = Geod(ellps="WGS84").inv(2.35, 48.86, -0.13, 51.51)[2] / 1000
    assert distances(a, b, 1.3) == pytest.approx(np.array([[1.3 * expected, 0]]))


@pytest.mark.slow
def test_columns_that_a_geopackage_has_are_renamed():
    columns = {"rank": [], "day": []}
    assert _free("sample_fid", "fid", columns) == "sample_fid"
    assert _free("sample_FID", "FID", columns) == "sample_FID"
    assert _free("surveyed_Rank", "Rank", columns) == "surveyed_Rank"
    assert _free("surveyed_crop", "crop", columns) == "crop"


@given(st.integers(2, 7), st.integers(0, 500))
def test_a_tour_is_near_the_shortest(n, seed):
    points = np.random.default_rng(seed).uniform(0, 1, (n, 2))
    matrix = np.sqrt(((points[:, None] - points) ** 2).sum(-1))
    orders = [list(range(n))]
    shorten(orders, matrix, Budget(n))
    best = min(length_of([0, *rest], matrix) for rest in itertools.permutations(range(1, n)))
    assert sorted(orders[0]) == list(range(n))
    assert orders[0][0] == 0
    assert length_of(orders[0], matrix) <= 1.12 * best + 1e-9


@pytest.mark.slow
@given(
    st.integers(0, 60), st.integers(1, 25), st.integers(1, 4), st.sampled_from([None, 40.0, 90.0]), st.integers(0, 2)
)
def test_the_budget_is_respected(seed, fields, days, kilometres, starts):
    place = places(40, seed)
    budget = Budget(fields, days, kilometres)
    own = place[:starts] + 0.01
    survey = plan(np.random.default_rng(seed).random(40), place, budget, own)
    budget = replace(budget, fields=min(fields, len(place)))
    stops = [stop for tour in survey.tours for stop in tour.stops]
    assert sorted(stops) == sorted(survey.chosen)
    assert len(set(stops)) == len(stops) <= fields
    assert len(survey.tours) <= days
    for tour in survey.tours:
        assert len(tour.stops) <= budget.per_day
        assert tour.kilometres <= budget.limit + 1e-6
        path = place[list(tour.stops)]
        if tour.start is not None:
            path = np.concatenate([own[[tour.start]], path, own[[tour.start]]])
        driven = sum(distances(path[[k]], path[[k + 1]], 1.3)[0, 0] for k in range(len(path) - 1))
        assert tour.kilometres == pytest.approx(driven)
    if kilometres is None:
        assert len(stops) == min(fields, 40)


def test_fewer_candidates_than_fields_are_divided_equally():
    survey = plan(np.ones(49), places(49), Budget(90, 7))
    assert [len(tour.stops) for tour in survey.tours] == [7] * 7


def test_without_a_limit_the_fields_are_those_with_the_largest_gains():
    value = np.random.default_rng(3).random(25)
    survey = plan(value, places(25), Budget(6, 2))
    assert list(survey.chosen) == np.argsort(-value)[:6].tolist()


def test_two_clusters_are_two_days():
    place = np.concatenate([places(5, 1, 0.02), places(5, 2, 0.02) + 1.0])
    survey = plan(np.ones(10), place, Budget(10, 2), [START])
    assert sorted(sorted(tour.stops) for tour in survey.tours) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


def test_a_limit_of_kilometres_prefers_many_fields_nearby_to_a_better_one_far_away():
    place = np.concatenate([places(8, 1, 0.02) - 0.1, np.array([START]) + 0.4])
    survey = plan([1.0] * 8 + [1.5], place, Budget(8, 1, 170), [START])
    assert sorted(survey.chosen) == list(range(8))


def test_the_nearest_start_point_is_used():
    place = places(6, 1, 0.02)
    survey = plan(np.ones(6), place, Budget(6), [(0.0, 45.0), START])
    assert survey.tours == (Tour(1, survey.tours[0].stops, survey.tours[0].kilometres),)


def test_a_budget_too_small_for_a_field_says_how_far_the_nearest_is():
    place = np.array([[START[0], START[1] + 0.3], [START[0], START[1] + 0.5]])
    nearest = distances(place[:1], np.array([START]), 1.3)[0, 0]
    with pytest.raises(
        AdviceError,
        match=rf"within 20 km a day: .* {nearest:.1f} km away, {2 * nearest:.1f} km there and back \(1\.3 times",
    ):
        plan(np.ones(2), place, Budget(3, 1, 20), [START])


# --- candidates
@pytest.fixture
def grid(brief):
    return brief().scene.grid


def square(column, row, cells=4):
    west, north = CORNER[0] + 10 * column, CORNER[1] - 10 * row
    return box(west, north - 10 * cells, west + 10 * cells, north)


def test_candidates_outside_surveyed_or_too_small_are_counted(grid):
    shapes = np.array([square(0, 0), square(900, 0), square(10, 10), square(20.6, 20.6, 0.3), square(12, 30)], object)
    found = of_polygons(("a", "b", "c", "d", "e"), shapes, grid, np.array([square(11, 11)], object))
    assert found.names == ("a", "e")
    assert found.left_out == {"outside": 1, "surveyed": 1, "too_small": 1}
    assert set(found.pixels.polygon) == {0, 1}
    assert np.bincount(found.pixels.polygon).max() == 9
    assert (found.pixels.row[found.pixels.polygon == 1] >= 30).all()
    assert abs(found.place - found.place.mean(0)).max() < 0.01


def test_a_neighbour_that_shares_a_border_is_not_surveyed():
    reference = np.array([square(0, 0)], object)
    shapes = np.array([square(4, 0), square(3.8, 0), square(1, 1, 1), square(3, 0)], object)
    assert is_surveyed(shapes, reference).tolist() == [False, False, True, True]


def test_squares_are_whole_pixels_of_the_map(grid):
    names, shapes = squares(grid, 100, None, 1000, 0)
    assert len(names) == (grid.shape[0] // 10) * (grid.shape[1] // 10) == len(set(names))
    assert shapely.area(shapes) == pytest.approx(np.full(len(shapes), 10_000))
    half = box(*grid.bounds[:2], (grid.bounds[0] + grid.bounds[2]) / 2, grid.bounds[3])
    assert len(squares(grid, 100, half, 1000, 0)[0]) < len(names)
    assert squares(grid, 100, None, 5, 0)[0] == names[:5]
    with pytest.raises(AdviceError, match="smaller than a square of 10000 m"):
        squares(grid, 10_000, None, 5, 0)


# --- GPX
def test_gpx_has_the_order_of_the_schema_and_no_forbidden_character():
    home = Waypoint(2, 48, "start")
    text = as_gpx(
        "a & b", [Waypoint(2.5, 48.5, "1\x0b <x>", "maize")], [Route("Day 1", [home, Waypoint(2.5, 48.5, "x"), home])]
    )
    root = ElementTree.fromstring(text)
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<gpx')
    assert [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in root] == ["metadata", "wpt", "rte"]
    assert root.attrib == {"version": "1.1", "creator": "Bocage"}
    waypoint, route = root[1], root[2]
    assert [child.tag.split("}")[1] for child in waypoint] == ["name", "desc"]
    assert [child.tag.split("}")[1] for child in route] == ["name", "number", "rtept", "rtept", "rtept"]
    assert (waypoint.get("lat"), waypoint.get("lon"), waypoint[0].text) == ("48.5000000", "2.5000000", "1 <x>")


# --- the command
def parcels(folder, crs=CRS, name="parcels.gpkg"):
    """Write parcels that cover the tiny landscape: some of them are surveyed."""
    shapes = [square(column, row, 5) for row in range(0, 45, 6) for column in range(0, 50, 6)]
    table = gpd.GeoDataFrame({"id": [f"p{k}" for k in range(len(shapes))]}, geometry=shapes, crs=CRS)
    table.to_crs(crs).to_file(folder / name)
    return folder / name


@pytest.fixture(scope="session")
def surveyed(finished, tmp_path_factory):
    """Return the folder of a run with a survey of parcels, and what was reported."""
    made = finished()
    folder = tmp_path_factory.mktemp("scout")
    told = Told()
    asked = Asked(parcels(folder), "id", (START,), budget=Budget(6, 2), seed=3)
    out = made.copied(folder / "out")
    return scout(read_recipe(made.recipe), out, asked, told), RunLayout(out), told.words


@pytest.mark.slow
def test_the_files_agree(surveyed):
    made, layout, said = surveyed
    folder = layout.scout
    table = gpd.read_file(folder.fields("gpkg"))
    with folder.fields("csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert table.candidate.tolist() == [row["candidate"] for row in rows] == [one.name for one in made.fields]
    assert table["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table.purposive.all()
    assert table.purposive.dtype == bool
    assert "code" in table.columns, "the empty field has the name of the label in the reference"
    assert table.code.isna().all()
    assert table.crs == CRS
    assert sorted(zip(table.day, table.stop, strict=True)) == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3)]
    assert table.doubt.between(0, 1).all()
    assert set(table.predicted) <= {"maize", "meadow", "water"}
    waypoints = pyogrio.read_dataframe(folder.gpx, layer="waypoints")
    routes = pyogrio.read_dataframe(folder.gpx, layer="routes")
    assert len(waypoints) == 6
    assert [len(line.coords) for line in routes.geometry] == [5, 5], "from the start and back"
    assert waypoints.geometry.iloc[0].distance(table.to_crs("EPSG:4326").geometry.iloc[0].centroid) < 0.01
    record = json.loads(folder.summary.read_text())
    assert record["kilometres"] == pytest.approx(sum(day["kilometres"] for day in record["days"]), abs=0.01)
    assert record["left_out"]["surveyed"] > 0
    assert any("surveyed already" in text for text in said)
    assert not folder.scratch.exists()


@pytest.mark.slow
def test_the_proposed_fields_are_not_surveyed(finished, surveyed):
    shapes = np.array([one.shape for one in surveyed[0].fields], object)
    reference = gpd.read_file(finished().recipe.parent / "reference.gpkg")
    assert len({one.name for one in surveyed[0].fields}) == 6
    assert not is_surveyed(shapes, reference.geometry.to_numpy()).any()


@pytest.mark.slow
def test_the_page_shows_every_field(surveyed):
    made, layout, _ = surveyed
    page = layout.scout.page.read_text(encoding="utf-8")
    assert page.count("<polyline") == 4
    assert page.count("image-rendering:pixelated") == 6
    assert all(one.name in page and one.reason in page for one in made.fields)
    assert "purposive sample" in page


@pytest.mark.slow
def test_the_same_seed_gives_the_same_fields_and_the_page_is_french_on_request(finished, surveyed, tmp_path):
    made = finished()
    recipe = read_recipe(made.recipe, ('report.language="fr"',))
    asked = Asked(parcels(tmp_path, "EPSG:4326"), "id", (START,), budget=Budget(6, 2), seed=3)
    out = made.copied(tmp_path / "out")
    again = scout(recipe, out, asked)
    assert [one.name for one in again.fields] == [one.name for one in surveyed[0].fields]
    page = RunLayout(out).scout.page.read_text(encoding="utf-8")
    assert "échantillon dirigé" in page
    assert "Jour 1" in page
    assert not foreign(page_of(RunLayout(out).scout.page)[1])


@pytest.mark.slow
def test_labels_that_were_filled_in_are_not_replaced(finished, surveyed, tmp_path):
    made, out = finished(), tmp_path / "out"
    shutil.copytree(surveyed[1].path, out)
    path = RunLayout(out).scout.fields("gpkg")
    table = gpd.read_file(path)
    table.assign(code="1").to_file(path)
    asked = Asked(parcels(tmp_path), budget=Budget(2))
    with pytest.raises(RunFolderError, match="may have surveyed labels"):
        scout(read_recipe(made.recipe), out, asked)
    assert (gpd.read_file(path).code == "1").all()
    scout(read_recipe(made.recipe), out, asked, overwrite=True)
    assert len(gpd.read_file(path)) == 2


@pytest.mark.slow
def test_labels_that_were_filled_into_the_table_are_not_replaced(finished, surveyed, tmp_path):
    made, out = finished(), tmp_path / "out"
    shutil.copytree(surveyed[1].path, out)
    path, asked = RunLayout(out).scout.fields("csv"), Asked(parcels(tmp_path), budget=Budget(2))
    filled = pd.read_csv(path).assign(code="1").to_csv(index=False)
    path.write_text(filled, encoding="utf-8")
    for _ in range(2):  # the GeoPackage may have been moved
        with pytest.raises(RunFolderError, match=r"fields\.csv was edited since it was written; it may have surveyed"):
            scout(read_recipe(made.recipe), out, asked)
        RunLayout(out).scout.fields("gpkg").unlink(missing_ok=True)
    assert path.read_text(encoding="utf-8") == filled
    scout(read_recipe(made.recipe), out, asked, overwrite=True)
    assert len(pd.read_csv(path)) == 2


@pytest.mark.slow
def test_what_comes_back_trains_and_is_never_tested(finished, surveyed, recipe, landscape, tmp_path):
    table = gpd.read_file(surveyed[1].scout.fields("gpkg"))
    codes = {"maize": 1, "meadow": 2, "water": 3}
    table["code"] = [codes[name] for name in table.predicted]
    reference = gpd.read_file(landscape / "reference.gpkg")
    together = pd.concat([reference, table[["code", "purposive", "geometry"]]], ignore_index=True)
    gpd.GeoDataFrame(together, crs=reference.crs).to_file(landscape / "reference.gpkg")
    path = recipe(**{'label = "code"': 'label = "code"\npurposive = "purposive"'})
    done = run(read_recipe(path), tmp_path / "run")
    purposive = set(done.samples.polygon[done.samples.purposive])
    assert purposive == set(range(15, 21))
    for number in range(done.samples.draws):
        tested = set(pd.read_parquet(done.layout.split(number).test).polygon)
        assert tested
        assert not tested & purposive
        assert purposive <= set(done.samples.polygon[done.samples.draw(number).train])
    assert "6 polygons (field &#39;purposive&#39;) are a purposive sample" in done.layout.report.read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_candidates_with_one_name_or_none_are_reported(finished, tmp_path):
    made, told = finished(), Told()
    path = parcels(tmp_path)
    table = gpd.read_file(path)
    table.assign(id=[None, *range(1, len(table) - 1), 1]).to_file(path)
    found = scout(read_recipe(made.recipe), made.copied(tmp_path / "out"), Asked(path, "id", budget=Budget(99)), told)
    n = len(table)
    assert told.words[0] == (
        f"parcels.gpkg: 1 of {n} polygons have no name; they are called by the number of their feature: unnamed 1."
    )
    assert told.words[1].startswith(f"parcels.gpkg: 2 of {n} polygons have the name of another one: 1. Each stays")
    assert "unnamed 1" in [field.name for field in found.fields]


@pytest.mark.slow
def test_squares_are_the_candidates_without_a_file(finished, tmp_path):
    made, told = finished(), Told()
    found = scout(read_recipe(made.recipe), made.copied(tmp_path / "out"), Asked(side=90, budget=Budget(500)), told)
    assert 5 < len(found.fields) < 25
    assert any("fields are proposed, not 500" in text for text in told.words)
    assert found.survey.tours[0].start is None


@pytest.mark.slow
def test_what_cannot_be_done_is_said(finished, tmp_path):
    made = finished()
    recipe, out = read_recipe(made.recipe), made.copied(tmp_path / "out")

    def refused(error, said, **asked):
        with pytest.raises(error, match=said):
            scout(recipe, out, Asked(**asked))
        assert not RunLayout(out).scout.summary.exists()

    path = parcels(tmp_path)
    far = gpd.read_file(path).translate(1e6)
    gpd.GeoDataFrame(geometry=far, crs=CRS).to_file(tmp_path / "far.gpkg")
    refused(
        AdviceError, "far.gpkg: no candidate to survey, of 72: 72 outside the map", candidates=tmp_path / "far.gpkg"
    )
    reference = made.recipe.parent / "reference.gpkg"
    refused(AdviceError, "of 15: 15 surveyed already", candidates=reference)
    refused(FinishError, "does not exist", candidates=tmp_path / "none.gpkg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no CRS
        gpd.GeoDataFrame(geometry=gpd.read_file(path).geometry.to_numpy()).to_file(tmp_path / "bare.gpkg")
    refused(FinishError, "has no CRS", candidates=tmp_path / "bare.gpkg")
    refused(
        AdviceError,
        "No field can be visited within 1 km a day",
        candidates=path,
        starts=(START,),
        budget=Budget(3, 1, 1),
    )


def test_an_untrained_run_is_refused(recipe, tmp_path):
    with pytest.raises(RunFolderError, match="'train/0' is not complete"):
        scout(read_recipe(recipe()), tmp_path / "out", Asked())


@pytest.mark.slow
def test_a_start_point_far_away_is_reported(finished, tmp_path):
    made, told = finished(), Told()
    asked = Asked(parcels(tmp_path), starts=(START[::-1],), budget=Budget(2))
    scout(read_recipe(made.recipe), made.copied(tmp_path / "out"), asked, told)
    (said,) = [text for text in told.words if "longitude comes first" in text]
    straight = distances(np.array([START[::-1]]), to_degrees(np.array([CORNER]), CRS), 1)[0, 0]
    told_km = re.search(r"(\d+) km from the nearest candidate in a straight line", said)
    assert told_km
    assert float(told_km[1]) == pytest.approx(straight, abs=3)


@pytest.mark.slow
def test_the_command_line(finished, tmp_path, capsys):
    made = finished()
    out = made.copied(tmp_path / "out")
    points = tmp_path / "starts.gpkg"
    gpd.GeoDataFrame(geometry=gpd.points_from_xy([START[0]], [START[1]]), crs="EPSG:4326").to_file(points)
    arguments = ["scout", str(made.recipe), "--out", str(out), "--candidates", str(parcels(tmp_path)), "--fields", "3"]
    assert main([*arguments, "--start", str(points), "--strategy", "random"]) == 0
    shown = capsys.readouterr().out
    assert "3 fields to survey" in shown
    assert str(RunLayout(out).scout.gpx) in shown.replace("\n", "")
    assert main([*arguments, "--start", "-21.05,155.32"]) == 2
    assert main([*arguments, "--start", "nowhere.gpkg"]) == 2
    assert "neither longitude,latitude nor a vector file" in capsys.readouterr().err


# --- tables of series
def a_table(folder, more="", points=40, labelled=24, per_field=1):
    """Write a table of series, points of which the last has no series and only the first have a label, and a recipe."""
    from test_tables import FOREST, RECIPE

    generator, days = np.random.default_rng(4), pd.to_datetime([f"2021-{m:02d}-11" for m in range(1, 7)])
    rows = [
        {"sample": f"p{i:02d}", "when": day, "B04": 500 + generator.integers(0, 90),
         "B08": (3000 if i // per_field % 2 else 900) + generator.integers(0, 90), "ok": True}
        for i in range(points) for day in days
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "series.parquet")
    crop = [str(i // per_field % 2 + 1) if i < labelled else None for i in range(points)]
    place = gpd.points_from_xy(2 + 0.01 * np.arange(points), 48 + 0.001 * np.arange(points))
    ids = [f"p{i:02d}" for i in range(points - 1)] + ["absent"]
    table = {"sample": ids, "crop": crop, "field": [f"F{i // per_field}" for i in range(points)]}
    gpd.GeoDataFrame(table, geometry=place, crs="EPSG:4326").to_file(folder / "points.gpkg")
    text = RECIPE.format(split="train = 0.5\ndraws = 1", model=FOREST)
    (folder / "recipe.toml").write_text(text.replace("[reference]\n", f"[reference]\n{more}"))
    return read_recipe(folder / "recipe.toml")


@pytest.mark.slow
def test_points_of_a_table_without_a_label_are_the_candidates(tmp_path):
    recipe = a_table(tmp_path)
    run(recipe, tmp_path / "out", ("train",))
    found = scout(recipe, tmp_path / "out", Asked(budget=Budget(5, 2)))
    layout = RunLayout(tmp_path / "out").scout
    table = gpd.read_file(layout.fields("gpkg"))
    assert len(found.fields) == 5
    assert set(table["sample"]) <= {f"p{i:02d}" for i in range(24, 39)}
    assert (table.geometry.geom_type == "Point").all()
    record = json.loads(layout.summary.read_text())
    assert record["left_out"] == {"surveyed": 24, "no_series": 1}
    assert record["candidates"] == 15
    assert math.isfinite(record["kilometres"])
    assert "<svg" in layout.page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_samples_of_one_polygon_are_one_candidate(tmp_path):
    recipe = a_table(
        tmp_path, 'polygon_id = "field"\n', 50, 25, 2
    )  # the field F12 has a sample with a label, and one without
    run(recipe, tmp_path / "out", ("train",))
    scout(recipe, tmp_path / "out", Asked(budget=Budget(20, 2)))
    layout = RunLayout(tmp_path / "out").scout
    table = gpd.read_file(layout.fields("gpkg"))
    assert sorted(table["field"]) == [f"F{k}" for k in range(13, 25)]
    assert sorted(table["sample"]) == [f"p{2 * k}" for k in range(13, 25)]
    assert list(pd.read_csv(layout.fields("csv")))[:3] == ["sample", "field", "rank"]
    assert json.loads(layout.summary.read_text())["left_out"] == {"surveyed": 26, "no_series": 1}


def test_candidates_of_a_file_have_the_polygons_of_the_reference(tmp_path):
    recipe = a_table(tmp_path, 'polygon_id = "field"\n', 50, 25, 2)
    points = gpd.read_file(tmp_path / "points.gpkg")
    points[["sample", "geometry"]].iloc[20:31].to_file(tmp_path / "some.gpkg")
    found = unsurveyed_points(tmp_path / "some.gpkg", recipe.reference, tuple(f"p{k}" for k in range(10, 50)))
    assert (found.ids, found.polygons) == (("p26", "p28", "p30"), ("F13", "F14", "F15"))
    assert (found.candidate.tolist(), found.rows.tolist()) == ([0, 0, 1, 1, 2], [16, 17, 18, 19, 20])
    assert found.surveyed == 6
