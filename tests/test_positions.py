"""Models that compare dates by position, applied to series of other days."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from bocage.errors import TrainedError
from bocage.grid import Ratio
from bocage.jobs.adapt import adapt_to
from bocage.jobs.evaluate import evaluate_model
from bocage.jobs.map import map_with
from bocage.models import MODELS, InputSpec, build
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.training import Choice, Region, Trained, Training, remarks
from bocage.training.positions import moved
from bocage.training.records import SourceRecord, _common, record_of
from bocage.training.sites import _differences
from conftest import FOREST, GRU, S2

FILL = "fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n"
NATIVE = S2.replace(FILL, "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'
NORTH, SOUTH = (Region("EPSG:4326", (2.0, south, 3.0, south + 1)) for south in (45.0, -36.0))


def record(days, fill=None, clock="calendar", regular=False):
    spec = InputSpec("s2", ("red",), len(days), Ratio(1, 1), regular or fill is not None)
    numbers = tuple(int(day) for day in np.array(days, "datetime64[D]").astype(int))
    return SourceRecord(spec, numbers, 1.0, 0.0, None, fill, "nearest", 10.0, "linear", clock)


def filled(start, every=10, dates=5, clock="calendar"):
    days = np.datetime64(start) + every * np.arange(dates)
    return record(days, (every, start, str(days[-1])), clock)


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        (["2020-10-20", "2021-01-10"], ["2023-10-20", "2024-01-10"], [0, 0]),
        (["2020-12-30", "2021-02-01"], ["2022-01-04", "2022-02-01"], [5, 0]),
        (["2020-01-04", "2020-02-01"], ["2020-12-30", "2021-02-01"], [-5, 0]),
        (["2019-12-20", "2020-03-01"], ["2018-12-20", "2019-03-01"], [0, -1]),
        (["2021-01-01", "2021-03-01"], ["2022-05-01", "2022-07-01"], [120, 122]),
    ],
)
def test_days_of_the_year_by_position(then, now, expected):
    assert moved(record(then), record(now)) == pytest.approx(expected, abs=0.8)


def test_what_has_no_day_or_no_common_position_is_not_compared():
    two, three = record(["2021-01-01", "2021-03-01"]), record(["2021-06-01", "2021-07-01", "2021-08-01"])
    assert not len(moved(two, three))
    assert not len(moved(record(["2021-01-01"]), record(["2021-06-01"]))), "images of one date"
    of_sites = replace(two, days=(1, 2, 3, 4))
    assert not len(moved(of_sites, two)), "days of several sites"
    assert not len(moved(record(["2021-01-01", "2021-03-01"], regular=True), two)), "without days"


def test_days_of_several_sites_are_compared_with_those_of_the_first():
    """The record has the days of all sites, and a model by position has learnt two dates: January and March."""
    then = _common({"a": record(["2021-01-01", "2021-03-01"]), "b": record(["2021-01-11", "2021-03-13"])})
    assert len(then.days) == 4
    assert moved(then, record(["2022-06-01", "2022-08-01"])) == pytest.approx([151, 153], abs=0.8)
    assert record_of(json.loads(json.dumps(then.as_dict()))) == then
    assert "of_first" not in record(["2021-01-01"]).as_dict(), "models of one site keep their fingerprint"
    other = _common(
        {"a": record(["2021-01-01", "2021-03-01"]), "b": record(["2021-01-11", "2021-02-01", "2021-03-13"])}
    )
    assert not len(moved(other, record(["2022-06-01", "2022-08-01"]))), "without common positions"


def test_filled_series_are_compared_by_their_start():
    assert moved(filled("2020-03-01"), filled("2024-03-04")) == pytest.approx([3] * 5, abs=0.8)
    thermal = replace(filled("2021-03-01", clock="thermal"), days=(90, 91, 95, 100, 130))
    assert moved(thermal, filled("2020-03-01", clock="thermal")) == pytest.approx([0] * 5, abs=1), "a warm year"


def test_thermal_days_are_compared_as_such():
    then, now = (record([f"2021-01-{a}", f"2021-04-{b}"], clock="thermal") for a, b in ((10, 10), (15, 28)))
    assert moved(then, now).round().tolist() == [5, 18]


def test_seasons_of_the_other_hemisphere():
    then, now = filled("2020-03-01"), filled("2020-09-04")
    assert np.abs(moved(then, now)).max() > 170
    assert np.abs(moved(then, now, opposite=True)).max() < 6


@pytest.mark.parametrize(
    ("model", "regular", "expected"),
    [
        ("random_forest", False, True), ("lightgbm", True, True), ("tempcnn", False, True), ("ltae", False, True),
        ("gru", False, False), ("gru", True, True), ("lstm", False, False), ("patchwork", True, False), ("duplo", False, True),
    ],
)  # fmt: skip
def test_which_networks_use_the_day_of_the_year(model, regular, expected):
    inputs = {"s2": InputSpec("s2", ("red", "nir"), 6, Ratio(1, 1), regular)}
    network = build(MODELS.get(model), inputs, 3, MODELS.get(model).Config())
    assert bool(network.by_position) is expected


def from_day(start, end):
    return S2.replace("start = 2021-02-01, end = 2021-07-31", f"start = {start}, end = {end}")


def said(model, path, **changed):
    scene = open_scene(read_recipe(path))
    trained = replace(Trained.load(model), **changed).for_scene(scene)
    trained.check_scene(scene)
    return [text for text in remarks(trained, scene) if "by their position" in text]


EXPECTED = (
    r"(?s)source 's2': date 1 is 59 days later in the year than in the training \(2021-02-01, here 2022-04-01\), and .* compares "
    r"dates by their position. Trained with 10 dates from 2021-02-01 to 2021-07-31, found 10 dates from 2022-04-01 to "
    r"2022-09-28. Set 'start' of its 'fill' to 2022-02-01"
)


@pytest.mark.parametrize(("model", "apply"), [(FOREST, map_with), (FOREST, evaluate_model), (GRU, map_with)])
def test_a_filled_series_of_another_season_is_refused(recipe, brief, tmp_path, model, apply):
    april = read_recipe(recipe(model, from_day("2022-04-01", "2022-09-28")))
    with pytest.raises(TrainedError, match=EXPECTED):
        apply(april, brief(model).folder, tmp_path / "out")


def test_a_network_is_not_adapted_to_another_season_by_position(recipe, brief, tmp_path):
    april = read_recipe(recipe(GRU, from_day("2022-04-01", "2022-09-28")))
    with pytest.raises(TrainedError, match=EXPECTED):
        adapt_to(april, brief(GRU).folder, tmp_path / "out")


@pytest.mark.parametrize("start", ["2021-02-01", "2022-02-01", "2024-02-01", "2022-02-08", "2022-01-25"])
def test_the_same_season_of_any_year_is_mapped_in_silence(recipe, brief, start):
    end = str(np.datetime64(start) + 180)
    assert said(brief(FOREST).folder, recipe(FOREST, from_day(start, end))) == []


def test_half_an_interval_is_remarked(recipe, brief):
    (text,) = said(brief(FOREST).folder, recipe(FOREST, from_day("2022-02-12", "2022-08-11")))
    assert "date 1 is 11 days later in the year than in the training (2021-02-01, here 2022-02-12)" in text
    assert "Set 'start' of its 'fill' to 2022-02-01" in text


def test_the_seasons_of_the_other_hemisphere_are_at_their_place(recipe, brief):
    september = recipe(FOREST, from_day("2021-08-03", "2022-01-30"))
    folder, here = brief(FOREST).folder, Region.of(brief(FOREST).scene)
    with pytest.raises(TrainedError, match="182 days earlier"):
        said(folder, september)
    scene, there = open_scene(read_recipe(september)), NORTH if here.latitude < 0 else SOUTH
    assert here.opposite(there)
    trained = replace(Trained.load(folder), region=there).for_scene(scene)
    trained.check_scene(scene)
    assert not list(remarks(trained, scene))


def of_days(landscape, days):
    """Give the acquisitions of the landscape other days."""
    for path in (landscape / "s2").glob("*.tif"):
        with rasterio.open(path, "r+") as dataset:
            dataset.descriptions = days


def test_native_dates_are_compared_one_by_one(recipe, brief, landscape):
    folder, path = brief(FOREST, NATIVE).folder, recipe(FOREST, NATIVE)
    of_days(landscape, [f"2022-{month:02d}-11" for month in range(2, 8)])
    assert said(folder, path) == []
    of_days(landscape, [f"2022-{month:02d}-28" for month in range(2, 8)])
    assert len(said(folder, path)) == 1
    of_days(landscape, [f"2022-{month:02d}-11" for month in (2, 4, 5, 6, 7, 8)])
    with pytest.raises(TrainedError, match=r"date \d is 31 days later"):
        said(folder, path)


@pytest.mark.parametrize("sources", [S2, NATIVE])
def test_a_network_with_the_day_of_the_year_takes_other_days(recipe, brief, sources):
    april = recipe(
        PATCHWORK, sources.replace("start = 2021-02-01, end = 2021-07-31", "start = 2022-04-01, end = 2022-09-28")
    )
    assert said(brief(PATCHWORK, sources).folder, april) == []


def test_sites_have_their_native_dates_at_the_same_time_of_the_year():
    inputs = {"s2": InputSpec("s2", ("red",), 2, Ratio(1, 1), regular=False)}
    choice = Choice("random_forest", MODELS.get("random_forest").Config(), Training())
    network = build(MODELS.get("random_forest"), inputs, 3, choice.config)
    one, other = record(["2021-01-01", "2021-03-01"]), record(["2022-01-04", "2022-05-01"])
    found = list(_differences(one, other, choice, network))
    assert [item for item, *_ in found] == ["dates compared by their position:"]
    assert not list(_differences(one, record(["2022-01-04", "2022-03-09"]), choice, network))
