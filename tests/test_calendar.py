"""Crop calendars: the days of a place as days of the training, and invalid calendars."""

import datetime

import numpy as np
import pytest

from bocage.errors import RecipeError, SceneError
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.scene.calendar import Calendar
from conftest import S2

PATCHWORK = 'name = "patchwork"\npreset = "small"\ncontext = 0'
FILL = "fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n"
NATIVE = S2.replace(FILL, "")
SETTING = 'calendar = { here = "here.csv", like = "like.csv" }\n'


def write(path, *lines):
    path.write_text("\n".join(["class,start,end", *lines]) + "\n")
    return path


def since(month, day, year=2021):
    return (datetime.date(year, month, day) - datetime.date(1970, 1, 1)).days


@pytest.fixture
def later(tmp_path):
    """The season starts 20 days later here, and ends 40 days later."""
    here = write(tmp_path / "here.csv", "maize,03-22,08-20")
    return Calendar(here, write(tmp_path / "like.csv", "maize,03-02,07-11"))


def test_starts_and_ends_are_those_of_the_training(later):
    days = np.array([since(3, 22), since(6, 5), since(8, 20)], np.int32)
    assert later.days(days).tolist() == [since(3, 2), since(6, 5) - 30, since(7, 11)], "and the mean shift between them"
    assert later.days(days).dtype == np.int32


def test_the_shift_goes_on_across_the_end_of_the_year(later):
    days = np.arange(since(9, 1, 2020), since(9, 1, 2021), dtype=np.int32)
    shift = later.days(days) - days
    assert np.abs(np.diff(shift)).max() <= 1
    assert (shift.min(), shift.max()) == (-40, -20)
    assert (np.diff(later.days(days)) >= 0).all()


def test_a_season_across_the_end_of_the_year_is_shifted_by_the_nearest_way(tmp_path):
    here = write(tmp_path / "here.csv", "wheat,12-27,07-01")
    like = write(tmp_path / "like.csv", "wheat,01-06,07-11")
    days = np.array([since(12, 27, 2020), since(4, 1)], np.int32)
    assert Calendar(here, like).days(days).tolist() == [since(1, 6), since(4, 11)]


def test_equal_calendars_change_nothing(tmp_path):
    one = write(tmp_path / "one.csv", "maize,03-02,07-11", "wheat,10-15,07-11")
    days = np.arange(since(1, 1), since(12, 31), dtype=np.int32)
    assert np.array_equal(Calendar(one, one).days(days), days)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("maize,03-22",), "line 2: '' is not a month and a day. Write 20 March as 03-20"),
        (("maize,22/03,08-20",), "line 2: '22/03' is not a month and a day"),
        (("maize,03-22,08-20", "maize,03-22,08-20"), "line 3: the class 'maize' is given twice"),
        (("wheat,03-22,08-20",), "has no line for the class"),
        ((), "has no class"),
        (("maize,08-01,07-01",), "has the end of 'maize' before the start of 'maize', and .* in the other order"),
    ],
)
def test_invalid_calendars_are_refused(tmp_path, lines, message):
    here, like = write(tmp_path / "here.csv", *lines), write(tmp_path / "like.csv", "maize,06-01,09-01")
    with pytest.raises(SceneError, match=message):
        Calendar(here, like).days(np.array([since(3, 22)], np.int32))


def test_missing_files_and_columns_are_named(tmp_path):
    good = write(tmp_path / "good.csv", "maize,03-22,08-20")
    with pytest.raises(
        SceneError, match="none.csv does not exist. A crop calendar needs the columns class, start and end"
    ):
        Calendar(good, tmp_path / "none.csv").days(np.array([0], np.int32))
    (tmp_path / "odd.csv").write_text("crop,begin\nmaize,03-22\n")
    with pytest.raises(SceneError, match="odd.csv has the columns crop, begin"):
        Calendar(good, tmp_path / "odd.csv").days(np.array([0], np.int32))


@pytest.fixture
def calendars(landscape):
    write(landscape / "here.csv", "maize,03-22,08-20")
    write(landscape / "like.csv", "maize,03-02,07-31")
    return landscape


def test_networks_get_the_days_of_the_training(calendars, recipe):
    cube = open_scene(read_recipe(recipe(PATCHWORK, NATIVE + SETTING, "s2"))).cubes["s2"]
    assert cube.clock.tolist() == (cube.days - 20).tolist()
    assert {str(calendars / name) for name in ("here.csv", "like.csv")} <= set(cube.paths), "inputs of the run"
    shared = cube.shared(())
    write(calendars / "like.csv", "maize,03-01,07-31")
    assert cube.shared(()) != shared, "a changed calendar changes the map"


def test_regular_dates_of_gap_filling_are_days_of_the_training(calendars, recipe):
    """Filling every date 20 days later in the season here is filling 20 days later without calendars."""
    moved = FILL.replace("2021-02-01", "2021-02-21").replace("2021-07-31", "2021-08-20")
    forest = 'name = "random_forest"'
    made = open_scene(read_recipe(recipe(forest, S2 + SETTING, "s2"))).cubes["s2"]
    plain = open_scene(read_recipe(recipe(forest, S2.replace(FILL, moved), "s2"))).cubes["s2"]
    assert (made.days + 20).tolist() == plain.days.tolist()
    assert made.clock.tolist() == made.days.tolist()
    window = made.grid.window
    assert np.array_equal(made.read(window).values, plain.read(window).values)


def test_a_missing_calendar_is_reported_before_reading(calendars, recipe):
    (calendars / "like.csv").unlink()
    for series in (NATIVE, S2):
        with pytest.raises(SceneError, match="like.csv does not exist"):
            open_scene(read_recipe(recipe(PATCHWORK, series + SETTING, "s2")))


def test_thermal_days_and_calendars_exclude_each_other(calendars, recipe):
    both = SETTING + 'thermal = { temperature = "t.csv" }\n'
    with pytest.raises(RecipeError, match="'thermal' and 'calendar' replace the days; keep one"):
        read_recipe(recipe(PATCHWORK, NATIVE + both, "s2"))
