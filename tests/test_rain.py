"""Daily rain of simulated landscapes, and crops whose season begins and ends with it."""

import datetime

import numpy as np
import pandas as pd
import pytest

from bocage.cli import main
from bocage.errors import BocageError
from bocage.scene.thermal import Thermal
from bocage.simulate import Simulation, signatures
from bocage.simulate.landscape import World, ground_at
from bocage.simulate.rain import end, onset, rain, water
from bocage.simulate.signatures import cover

X, Y = np.meshgrid(np.arange(0, 3000, 12.0), np.arange(0, 1500, 12.0))


def days_from(year, month, day, number):
    first = (datetime.date(year, month, day) - datetime.date(1970, 1, 1)).days
    return np.arange(first, first + number)


def test_without_rains_the_landscape_stays_as_it_is(monkeypatch):
    monkeypatch.setattr(signatures, "water", lambda *_: pytest.fail("no vegetation depends on rain"))
    ground = ground_at(World(), X[::50, ::50], Y[::50, ::50])
    found = [float(cover(world, ground, 98).sum()) for world in (World(), World(year=2023), World(warmth=2.0))]
    assert found == pytest.approx([9.522773340863449, 9.609890506271471, 8.56686179438693], rel=1e-12), (
        "values of the simulation before it had rain"
    )


def test_the_onset_is_twenty_millimetres_in_three_days_without_a_long_dry_spell():
    fallen = np.zeros(120)
    fallen[10:13] = 7.0  # 21 mm, then eight days without rain
    fallen[21:90:7] = 12.0
    fallen[35] = 20.0  # then six days without rain
    assert onset(fallen) == 35
    fallen[42:90] = 0.0
    fallen[44:90:9] = 12.0
    assert onset(fallen) == 12, "a long dry spell after each day: the first with 20 mm"
    fallen[11] = fallen[35] = 0.0
    assert onset(fallen) == 53, "never 20 mm: half of the 110 mm of the season"


def test_the_end_is_followed_by_twenty_days_without_rain():
    fallen = np.zeros(200)
    fallen[10:120:5] = 9.0
    assert end(fallen, 12) == 115
    fallen[134] = 0.9  # not a rainy day
    assert end(fallen, 12) == 115
    fallen[130] = 1.0
    assert end(fallen, 12) == 130


def test_rain_has_a_season_and_years_agree():
    usual, season, winter = World(rains=0), [], []
    for year in range(1980, 2020):
        season.append(rain(usual, days_from(year, 2, 1, 90)))
        winter.append(rain(usual, days_from(year, 7, 15, 60)))
    wet = np.mean(season) / np.mean(np.array(season) > 0)
    assert np.mean(np.array(season) > 0) == pytest.approx(0.5, abs=0.03)
    assert wet == pytest.approx(12, abs=0.6)
    assert np.mean(winter) < 0.3
    days = days_from(2022, 1, 1, 400)
    assert np.array_equal(rain(usual, days), rain(World(rains=0, year=2023), days))
    assert rain(World(rains=0, wetness=0.5), days).sum() == pytest.approx(rain(usual, days).sum() / 2, rel=0.02)


def test_late_rains_make_a_late_and_short_season_of_maize_only():
    early, late = (World(rains=rains) for rains in (-30, 30))
    ground = ground_at(early, X, Y)
    maize, gardens = ground.code == 2, np.isin(ground.code, (4, 5))
    seasons = [
        np.array([cover(world, ground, day)[maize].mean() for day in range(1, 366, 5)]) for world in (early, late)
    ]
    peaks = [1 + 5 * season.argmax() for season in seasons]
    assert peaks[0] + 30 < peaks[1] < peaks[0] + 90
    assert np.array_equal(cover(early, ground, 60)[gardens], cover(late, ground, 60)[gardens]), "gardens are irrigated"
    assert np.array_equal(cover(early, ground, 160)[gardens], cover(World(), ground, 160)[gardens])
    meadow = ground.code == 6
    assert cover(early, ground, 30)[meadow].mean() > cover(early, ground, 330)[meadow].mean() + 0.1


def test_crops_dry_out_after_the_end_of_the_rains():
    world = World(rains=0)
    after = next(day for day in range(1, 367) if water(world, day).since_end == 0)
    assert [water(world, after + k).since_end for k in (-1, 10)] == [-1, 10]
    assert water(world, after).moisture > water(world, after + 60).moisture + 0.2
    begin = next(day for day in range(1, 367) if water(world, day).stage >= 5)
    assert water(world, begin + 60).stage == pytest.approx(65, abs=8), "about a stage a day"


def test_rains_add_the_table_of_the_weather(tmp_path):
    options = ["--height", "100", "--width", "100", "--polygons", "2", "--sensor", "s1", "--no-recipes"]
    assert main(["simulate", str(tmp_path / "land"), *options, "--rains", "10", "--wetness", "0.7"]) == 0
    assert not (tmp_path / "land/temperature.csv").exists()
    table = pd.read_csv(tmp_path / "land/weather.csv")
    assert list(table) == ["date", "temperature", "tmin", "tmax", "rain"]
    assert (table.date.iloc[0], table.date.iloc[-1], len(table)) == ("2021-01-01", "2022-12-31", 730)
    assert (table.tmin < table.temperature).all()
    assert (table.temperature < table.tmax).all()
    assert table.rain.to_numpy() == pytest.approx(rain(World(rains=10, wetness=0.7), days_from(2021, 1, 1, 730)))
    wet = table.rain >= 1
    assert (table.tmax - table.tmin)[wet].mean() == pytest.approx((table.tmax - table.tmin)[~wet].mean() - 5, abs=0.5)
    assert Thermal(tmp_path / "land/weather.csv", degrees=25).days(days_from(2022, 3, 1, 1)) > days_from(2022, 1, 1, 1)


def test_settings_of_the_rain_that_contradict_are_refused():
    with pytest.raises(BocageError, match="'wetness' needs 'rains'"):
        Simulation(wetness=0.5)
    with pytest.raises(BocageError, match="one weather; remove 'delay'"):
        Simulation(rains=0, delay=20)
    with pytest.raises(BocageError, match="'rains' must be at least -60 and at most 60; found 90"):
        Simulation(rains=90)
