"""Temperatures of two places: days here as days of the training at equal thermal time, and invalid tables."""

import datetime

import numpy as np
import pytest

from bocage.errors import RecipeError, SceneError
from bocage.jobs.check import check
from bocage.jobs.run import run
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.scene.temperatures import Temperatures
from bocage.training import Trained, remarks
from conftest import S2

PATCHWORK = 'name = "patchwork"\npreset = "small"\ncontext = 0'
FILL = "fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n"
NATIVE = S2.replace(FILL, "")
SETTING = 'temperatures = { here = "here.csv", like = "like.csv" }\n'


def write(path, celsius, first=datetime.date(2021, 1, 1)):
    rows = [f"{first + datetime.timedelta(k)},{value}" for k, value in enumerate(celsius)]
    path.write_text("\n".join(["date,temperature", *rows]) + "\n")
    return path


def since(month, day, year=2021):
    return (datetime.date(year, month, day) - datetime.date(1970, 1, 1)).days


YEAR = np.arange(since(1, 1), since(12, 31) + 1, dtype=np.int32)


def season(warmth):
    """Return the temperatures of a year: 11 °C on average, ±10 °C."""
    return (11 + warmth - 10 * np.cos(2 * np.pi * (np.arange(365) - 15) / 365)).round(2)


def test_twice_the_degree_days_are_twice_the_days(tmp_path):
    """19 °C and 9 °C, with 1 degree day a day at both places: 20 against 10."""
    here, like = write(tmp_path / "here.csv", [19.0] * 100), write(tmp_path / "like.csv", [9.0] * 365)
    days = np.array([since(1, 1), since(1, 11), since(2, 20)], np.int32)
    found = Temperatures(here, like).days(days)
    assert found.tolist() == [since(1, 1), since(1, 21), since(1, 1) + 100]
    assert found.dtype == np.int32


def test_from_the_end_of_the_season_the_difference_goes_back_to_none(tmp_path):
    """After 70 % of the thermal time of the training, on day 128 here (day 255 there), until the last day of the year."""
    here, like = write(tmp_path / "here.csv", [19.0] * 365), write(tmp_path / "like.csv", [9.0] * 365)
    found = Temperatures(here, like).days(YEAR) - YEAR[0]
    ripe = 128
    assert found[:ripe].tolist() == (2 * np.arange(ripe)).tolist()
    later = np.interp(np.arange(ripe, 365), (ripe, 364), (2 * ripe, 364))
    assert np.abs(found[ripe:] - later).max() <= 0.5
    assert found[-1] == 364


def test_days_of_the_season_have_equal_degree_days(tmp_path):
    """In spring and summer, the sum of degree days at the day of the training is that here, within a day."""
    here, like = write(tmp_path / "here.csv", season(3)), write(tmp_path / "like.csv", season(0))
    found = Temperatures(here, like, base=8.0).days(YEAR) - YEAR[0]
    own, other = (np.concatenate([[0], np.cumsum(np.clip(season(w) - 8, 0, 22) + 1)]) for w in (3, 0))
    summer = np.arange(100, 185)
    assert np.abs(other[found[summer]] - own[summer]).max() <= 0.5 * 14
    assert (found[summer] - summer).min() > 10, "the season here is earlier"


def test_days_never_go_backwards_and_stay_in_the_season(tmp_path):
    for warmth in (-6, -3, 3, 6):
        here, like = write(tmp_path / "here.csv", season(warmth)), write(tmp_path / "like.csv", season(0))
        found = Temperatures(here, like, base=8.0).days(YEAR)
        assert (np.diff(found) >= 0).all()
        assert (found[0], found.max() <= YEAR[-1]) == (YEAR[0], True)


def test_in_winter_days_go_on_in_parallel(tmp_path):
    """Below the base temperature, sums do not grow: a day of January is that day of January."""
    here, like = write(tmp_path / "here.csv", season(-3)), write(tmp_path / "like.csv", season(0))
    january = YEAR[:31]
    assert Temperatures(here, like, base=15.0).days(january).tolist() == january.tolist()


def test_equal_temperatures_change_nothing(tmp_path):
    one = write(tmp_path / "one.csv", season(0))
    assert np.array_equal(Temperatures(one, one, base=8.0).days(YEAR), YEAR)


def test_the_table_of_the_training_is_of_another_year(tmp_path):
    like = write(tmp_path / "like.csv", season(0), datetime.date(2018, 1, 1))
    here = write(tmp_path / "here.csv", season(0))
    assert np.array_equal(Temperatures(here, like).days(YEAR), YEAR), "days of the season here"


def test_several_seasons_of_the_training_are_averaged(tmp_path):
    both = np.concatenate([np.full(365, 4.0), np.full(365, 14.0)])
    like = write(tmp_path / "like.csv", both, datetime.date(2018, 1, 1))
    here = write(tmp_path / "here.csv", [9.0] * 365)
    assert np.array_equal(Temperatures(here, like).days(YEAR), YEAR)


def test_a_season_from_autumn(tmp_path):
    like = write(tmp_path / "like.csv", [9.0] * 365, datetime.date(2018, 10, 1))
    here = write(tmp_path / "here.csv", [19.0] * 300, datetime.date(2020, 10, 1))
    days = np.array([since(10, 11, 2020), since(1, 9)], np.int32)
    found = Temperatures(here, like, start="10-01").days(days)
    assert found.tolist() == [since(10, 21, 2020), since(10, 1, 2020) + 200]


def test_incomplete_tables_are_refused(tmp_path):
    whole = write(tmp_path / "whole.csv", [9.0] * 365)
    part = write(tmp_path / "part.csv", [9.0] * 300)
    june, december = np.array([since(6, 1)], np.int32), np.array([since(12, 1)], np.int32)
    assert Temperatures(part, whole).days(june).tolist() == june.tolist(), "until the last image is enough here"
    with pytest.raises(SceneError, match="part.csv lacks the temperature of some days from 2021-01-01 to 2021-12-01"):
        Temperatures(part, whole).days(december)
    with pytest.raises(SceneError, match="part.csv has no whole season: it needs .* each of 365 days from 01-01"):
        Temperatures(whole, part).days(june)
    with pytest.raises(SceneError, match="none.csv does not exist"):
        Temperatures(whole, tmp_path / "none.csv").days(june)


def of_training(day):
    """Return the day of the training, from 0, for a day of the year here: 20 against 10 degree days a day."""
    return 2 * day if day <= 128 else round(float(np.interp(day, (128, 364), (256, 364))))


@pytest.fixture
def tables(landscape):
    write(landscape / "here.csv", [19.0] * 365)
    write(landscape / "like.csv", [9.0] * 365)
    return landscape


def test_networks_get_the_days_of_the_training(tables, recipe):
    cube = open_scene(read_recipe(recipe(PATCHWORK, NATIVE + SETTING, "s2"))).cubes["s2"]
    start = since(1, 1)
    assert cube.clock.tolist() == [of_training(day - start) + start for day in cube.days.tolist()]
    assert {str(tables / name) for name in ("here.csv", "like.csv")} <= set(cube.paths), "inputs of the run"
    shared = cube.shared(())
    write(tables / "like.csv", [9.5] * 365)
    assert cube.shared(()) != shared, "a changed table changes the map"


def test_regular_dates_of_gap_filling_are_days_of_the_training(tables, recipe):
    """The model reads a date by its position: the values of a filled date are those of half its days here."""
    made = open_scene(read_recipe(recipe('name = "random_forest"', S2 + SETTING, "s2"))).cubes["s2"]
    plain = open_scene(read_recipe(recipe('name = "random_forest"', NATIVE, "s2"))).cubes["s2"]
    window, start = made.grid.window, since(1, 1)
    raw, filled = plain.read(window), made.read(window)
    y, x = (int(axis[0]) for axis in np.nonzero(raw.valid.all(0)))
    own = start + np.array([of_training(day) for day in plain.days - start])
    expected = np.interp(made.days, own, raw.values[:, 0, y, x])
    assert filled.values[:, 0, y, x] == pytest.approx(expected, abs=1e-5)


def test_only_one_setting_replaces_the_days(tables, recipe):
    both = SETTING + 'thermal = { temperature = "here.csv" }\n'
    with pytest.raises(RecipeError, match="'thermal' and 'temperatures' replace the days; keep one"):
        read_recipe(recipe(PATCHWORK, NATIVE + both, "s2"))
    for setting, message in (("cap = -1", "above 'base'"), ('start = "13-01"', "a month and a day")):
        wrong = SETTING.replace(" }", f", {setting} }}")
        with pytest.raises(RecipeError, match=message):
            read_recipe(recipe(PATCHWORK, NATIVE + wrong, "s2"))


def test_check_says_that_thermal_has_no_effect_on_models_of_positions(tables, recipe, tmp_path):
    thermal = 'thermal = { temperature = "here.csv" }\n'
    for model, series, said in (('name = "random_forest"', S2, True), (PATCHWORK, NATIVE, False)):
        found = check(recipe(model, series + thermal, "s2"), tmp_path / "out").findings
        assert any(one.what.code == "thermal_idle" for one in found) == said


def test_check_counts_the_dates_after_the_last_thermal_day(tables, recipe, tmp_path):
    """19 °C give 1.9 thermal days a day: dates after day 192 of the year get day 364."""
    for degrees, count in ((5, 4), (20, 0)):
        thermal = f'thermal = {{ temperature = "here.csv", degrees = {degrees} }}\n'
        path = recipe(PATCHWORK, NATIVE + thermal, "s2")
        days = open_scene(read_recipe(path)).cubes["s2"].days - since(1, 1)
        assert (days * 19 > 364.5 * degrees).sum() == count
        found = [one.what for one in check(path, tmp_path / "out").findings if one.what.code == "thermal_late"]
        assert [dict(one.values)["n"] for one in found] == [count] * bool(count)
        assert not found or dict(found[0].values)["degrees"] == np.ceil(days.max() * 19 / 364)


def test_months_of_a_corrected_series_are_those_of_the_training(tables, recipe, tmp_path):
    """A place that is twice as early has in June the days of autumn of the training."""
    run(read_recipe(recipe(PATCHWORK, NATIVE, "s2")), tmp_path / "out", ("train",))
    trained = Trained.load(tmp_path / "out/splits/0/model")
    early = NATIVE + "period = [2021-03-01, 2021-06-30]\n"
    for series, unseen in ((early, False), (early + SETTING, True)):
        scene = open_scene(read_recipe(recipe(PATCHWORK, series, "s2")))
        assert any("months without a training date" in line for line in remarks(trained, scene)) == unseen
