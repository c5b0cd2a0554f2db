"""Growing degree days as the time input of networks, and invalid temperatures."""

import datetime
import shutil

import numpy as np
import pytest

from bocage.days import EPOCH
from bocage.errors import RecipeError, SceneError, TrainedError
from bocage.jobs.map import map_with
from bocage.jobs.run import run
from bocage.recipe import read_recipe
from bocage.run import open_run, open_scene
from bocage.scene.thermal import Thermal
from bocage.training import Trained
from conftest import S2, Told

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\ncontext = 0'


def table(path, first, temperatures, holes=()):
    lines = ["date,temperature"]
    for k, value in enumerate(temperatures):
        if k not in holes:
            lines.append(f"{first + datetime.timedelta(k)},{value}")
    path.write_text("\n".join(lines) + "\n")
    return path


def since(year, month, day):
    return (datetime.date(year, month, day) - EPOCH).days


def test_ten_degrees_give_calendar_days(tmp_path):
    path = table(tmp_path / "t.csv", datetime.date(2021, 1, 1), [10.0] * 365)
    days = np.array([since(2021, 1, 1), since(2021, 3, 2), since(2021, 12, 31)], np.int32)
    assert Thermal(path).days(days).tolist() == days.tolist(), "at 10 °C a thermal day is a calendar day"


def test_base_cap_and_degrees_set_the_thermal_day(tmp_path):
    path = table(tmp_path / "t.csv", datetime.date(2021, 1, 1), [20.0] * 100)
    thirtieth = np.array([since(2021, 1, 31)], np.int32)
    start = since(2021, 1, 1)
    assert Thermal(path).days(thirtieth).tolist() == [start + 60]
    assert Thermal(path, base=10.0).days(thirtieth).tolist() == [start + 30]
    assert Thermal(path, cap=15.0).days(thirtieth).tolist() == [start + 45]
    assert Thermal(path, degrees=20.0).days(thirtieth).tolist() == [start + 30]
    hot = table(tmp_path / "hot.csv", datetime.date(2021, 1, 1), [30.0] * 365)
    assert Thermal(hot).days(np.array([since(2021, 12, 31)], np.int32)).tolist() == [start + 364], (
        "and not a day of the next year"
    )


def test_a_season_that_starts_in_autumn(tmp_path):
    path = table(tmp_path / "t.csv", datetime.date(2020, 10, 1), [10.0] * 300)
    found = Thermal(path, start="10-01").days(np.array([since(2020, 10, 11), since(2021, 1, 9)], np.int32))
    assert found.tolist() == [since(2020, 1, 11), since(2020, 1, 1) + 100]


def test_short_gaps_are_interpolated_and_long_gaps_refused(tmp_path):
    first, days = datetime.date(2021, 1, 1), np.array([since(2021, 2, 20)], np.int32)
    short = table(tmp_path / "short.csv", first, [10.0] * 60, holes=range(20, 25))
    assert Thermal(short).days(days).tolist() == days.tolist()
    long = table(tmp_path / "long.csv", first, [10.0] * 60, holes=range(20, 30))
    with pytest.raises(SceneError, match="lacks the temperature of some days from 2021-01-01 to 2021-02-20"):
        Thermal(long).days(days)


def test_invalid_tables_are_refused(tmp_path):
    days = np.array([since(2021, 2, 20)], np.int32)
    with pytest.raises(SceneError, match="does not exist"):
        Thermal(tmp_path / "none.csv").days(days)
    (tmp_path / "odd.csv").write_text("day,degrees\n2021-01-01,3\n")
    with pytest.raises(SceneError, match="It needs the columns date"):
        Thermal(tmp_path / "odd.csv").days(days)
    late = table(tmp_path / "late.csv", datetime.date(2021, 2, 1), [10.0] * 60)
    with pytest.raises(SceneError, match="from 2021-01-01"):
        Thermal(late).days(days)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (283.15, "in kelvin need minus 273.15"),
        (-9999, "-9999 on 2021-01-03 is no temperature in °C"),
        ("inf", "inf on 2021"),
    ],
)
def test_values_that_are_no_temperatures_in_celsius_are_refused(tmp_path, value, message):
    values = [10.0] * 60
    values[2] = value
    if value == 283.15:
        values = [283.15] * 60
    path = table(tmp_path / "t.csv", datetime.date(2021, 1, 1), values)
    with pytest.raises(SceneError, match=message):
        Thermal(path).days(np.array([since(2021, 2, 20)], np.int32))


@pytest.mark.parametrize("rows", ["", "2021-01-01,\n2021-01-02,\n"])
def test_a_table_without_temperatures_is_refused(tmp_path, rows):
    (tmp_path / "t.csv").write_text(f"date,temperature\n{rows}")
    with pytest.raises(SceneError, match="t.csv cannot be read as temperatures .it has no temperature"):
        Thermal(tmp_path / "t.csv").days(np.array([since(2021, 2, 20)], np.int32))


@pytest.fixture
def warm(recipe, landscape):
    table(landscape / "meteo.csv", datetime.date(2021, 1, 1), [15.0] * 365)
    return recipe(PATCHWORK, NATIVE + 'thermal = { temperature = "meteo.csv" }\n', "s2")


@pytest.mark.slow
def test_networks_get_thermal_days_and_the_report_calendar_dates(warm, tmp_path):
    opened = run(read_recipe(warm), tmp_path / "out", ("train", "evaluate", "map", "report"))
    cube, cut = opened.scene.cubes["s2"], opened.samples.cuts["s2"]
    start = since(2021, 1, 1)
    assert cube.clock.tolist() == [start + round(1.5 * (day - start)) for day in cube.days.tolist()]
    assert cut.days.tolist() == cube.clock.tolist()
    assert cut.dates.tolist() == cube.days.tolist()
    trained = Trained.load(tmp_path / "out/splits/0/model")
    assert trained.sources["s2"].clock.startswith("thermal, base 0 °C")
    assert str(warm.parent / "meteo.csv") in opened.folder.provenance.inputs, "the table is an input of the run"


def test_a_model_of_thermal_days_does_not_map_with_calendar_days(warm, recipe, tmp_path):
    run(read_recipe(warm), tmp_path / "out", ("train",))
    model = tmp_path / "out/splits/0/model"
    with pytest.raises(TrainedError, match="trained with days thermal.*found calendar"):
        map_with(read_recipe(recipe(PATCHWORK, NATIVE, "s2")), model, tmp_path / "map")


def test_missing_temperatures_are_reported_before_reading(warm, landscape):
    table(landscape / "meteo.csv", datetime.date(2021, 1, 1), [15.0] * 40)
    with pytest.raises(SceneError, match="meteo.csv lacks the temperature"):
        open_scene(read_recipe(warm))


def test_invalid_settings_are_refused(recipe, landscape):
    table(landscape / "meteo.csv", datetime.date(2021, 1, 1), [15.0] * 365)
    for setting, message in (
        ("degrees = 0", "above 0"),
        ("cap = -1", "above 'base'"),
        ('start = "13-01"', "a month and a day"),
    ):
        path = recipe(PATCHWORK, NATIVE + f'thermal = {{ temperature = "meteo.csv", {setting} }}\n', "s2")
        with pytest.raises(RecipeError, match=message):
            read_recipe(path)


def test_without_thermal_the_days_are_calendar_days(recipe, tmp_path):
    cube = open_run(read_recipe(recipe(PATCHWORK, NATIVE, "s2")), tmp_path / "out").scene.cubes["s2"]
    assert cube.clock.tolist() == cube.days.tolist()


def test_members_trained_on_calendar_days_are_trained_again_on_thermal_days(warm, recipe, tmp_path):
    pair = f"{PATCHWORK}\nmembers = 2"
    run(read_recipe(recipe(pair, NATIVE, "s2")), tmp_path / "out", ("train",))
    path, heard = recipe(pair, NATIVE + 'thermal = { temperature = "meteo.csv" }\n', "s2"), Told()
    run(read_recipe(path), tmp_path / "out", ("train",), heard, overwrite=True)
    assert not any(line.endswith(": complete") for line in heard.words)
    shutil.rmtree(tmp_path / "out/splits/0/model")
    run(read_recipe(path), tmp_path / "out", ("train",), heard)
    assert "member 1 of 2: complete" in heard.words
