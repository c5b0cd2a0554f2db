"""The water balance of FAO-56 and the clocks of the benchmark `water`, against worked examples of paper 56 and by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import onsets, water
from benchmarks.climate import Place
from benchmarks.fao56 import balance, extraterrestrial, hargreaves

from bocage.scene.calendar import Calendar
from bocage.scene.thermal import Thermal
from bocage.simulate.landscape import World
from bocage.simulate.rain import onset, rain


def test_radiation_and_evapotranspiration_are_those_of_paper_56():
    assert extraterrestrial(-20.0, np.array([246])) == pytest.approx([32.2], abs=0.05), (
        "example 8: 3 September, 20° south"
    )
    lyon = extraterrestrial(45.72, np.array([196]))
    assert lyon == pytest.approx([40.6], abs=0.1), "example 20: July in Lyon"
    assert hargreaves(np.array([14.8]), np.array([26.6]), lyon) == pytest.approx([5.0], abs=0.05)
    assert extraterrestrial(80.0, np.array([355])) == 0, "polar night"


def test_soil_water_is_that_of_paper_56():
    dry = balance(np.zeros(6), np.full(6, 6.0), capacity=160.0, depletion=55.0, easy=0.4)  # example 36
    assert dry.stress.round(2).tolist() == [1.0, 1.0, 0.97, 0.91, 0.85, 0.8]
    assert dry.depletion.round(1).tolist() == [61.0, 67.0, 72.8, 78.3, 83.4, 88.2]
    wet = balance(np.array([0.0, 30.0, 200.0]), np.full(3, 5.0), capacity=100.0, depletion=80.0)
    assert wet.stress == pytest.approx([0.4, 0.36, 0.924])  # (100 - 80) / 50, (100 - 82) / 50, (100 - 53.8) / 50
    assert wet.depletion == pytest.approx([82.0, 53.8, 0.0]), "water above field capacity percolates"
    empty = balance(np.zeros(2), np.full(2, 5.0), capacity=100.0, depletion=100.0)
    assert (empty.actual.tolist(), empty.depletion.tolist()) == ([0.0, 0.0], [100.0, 100.0])


def test_onsets_of_rain_and_of_the_growing_period():
    fallen = np.zeros(365)
    fallen[90:100] = 2.6  # 26 mm in ten days, then dry
    fallen[150:200:4] = 11.0
    assert onsets.fews(fallen) == 158, "33 mm in ten days, then 55 mm in twenty; 11 mm on days 150, 154, 158"
    assert onsets.fews(fallen[:140]) is None
    assert onsets.sivakumar(fallen) is None, "never 20 mm in three days"
    stress = np.zeros(200)
    stress[50:60] = stress[100:160] = 1.0
    stress[110:117] = 0.3
    assert onsets.growing(stress) == 100, "seven days below 0.5 of thirty"
    stress[120] = 0.3
    assert onsets.growing(stress) == 117
    assert onsets.growing(stress[:120]) is None


def test_a_long_dry_spell_is_no_onset():
    fallen = np.zeros(365)
    fallen[[60, 62]] = 10.0
    assert onsets.sivakumar(fallen) == 62, "a whole season without a better day"
    assert onsets.sivakumar(fallen[:200]) is None
    fallen[[*range(100, 200, 8)]] = 10.0  # seven dry days
    fallen[132] = 20.0
    assert onsets.sivakumar(fallen) == 132
    fallen[140] = 0.9
    assert onsets.sivakumar(fallen) == 62, "fifteen dry days; 0.9 mm is no rain"
    assert onsets.sivakumar(fallen[:160]) is None, "a part of a season"


@pytest.fixture
def sites(tmp_path):
    """Sites of the training and of late rains, with a table of weather only."""
    found = []
    for name, begin in (("normal", 150), ("late", 180)):
        folder = tmp_path / name
        folder.mkdir()
        dates = pd.date_range("2021-09-01", "2022-12-31")
        rain = np.where((np.arange(len(dates)) % 365 >= begin) & (np.arange(len(dates)) % 365 < 260), 9.0, 0.0)
        rows = {"date": dates.strftime("%Y-%m-%d"), "temperature": 23.0, "tmin": 18.0, "tmax": 28.0, "rain": rain}
        pd.DataFrame(rows).to_csv(folder / "weather.csv", index=False)
        found.append(water.Site(Place(folder, 0, 0.0, 2022), name))
    return found


@pytest.mark.parametrize("name", [*water.ONSETS.values(), *water.WARM_ONSETS.values(), *water.FAO])
def test_a_clock_of_rain_begins_with_the_rain(sites, name):
    days = (np.datetime64("2021-09-01") + np.arange(300) - np.datetime64("1970-01-01")).astype(np.int32)
    for site, begin in zip(sites, (150, 180), strict=True):
        settings = site.settings(name)["thermal"]
        passed = Thermal(**(settings | {"temperature": Path(settings["temperature"])})).days(days) - (days[0] - 243)
        assert passed[begin - 40] == passed[begin - 1], "nothing counts in the dry season"
        assert passed[begin + 12] < 25
        assert 40 < passed[begin + 60] - passed[begin + 12] < 60, "about a day each day"


def test_crop_calendars_of_two_climates_of_rain_agree_with_their_onsets(sites):
    usual, late = sites
    both = late.corrections(usual, ())["days through the crop calendar"]["calendar"]
    like, here = (pd.read_csv(both[key])["start"].tolist() for key in ("like", "here"))
    assert (like, here) == (["03-01", "04-20"], ["03-31", "05-20"]), "30 days later"
    late_march = np.array([19082], np.int32)  # 31 March 2022
    assert Calendar(Path(both["here"]), Path(both["like"])).days(late_march) == late_march - 30


def test_usual_onsets_and_rain_are_those_of_the_simulation():
    """The values of decision 0042: mean onset as a day of the year, and mean rain of a season in mm."""
    known = {"early": (2, 980), "normal": (32, 800), "late": (61, 610), "dry": (46, 400), "wet": (28, 1270)}
    days = (np.datetime64("2022-09-01") + np.arange(365) - np.datetime64("1970-01-01")).astype(np.int64)
    for name, (rains, wetness) in water.CLIMATES.items():
        seasons = [rain(World(seed, 2023, rains=rains, wetness=wetness), days) for seed in range(50, 150)]
        found = np.mean([onset(season) for season in seasons]) - 121  # 1 January is day 1
        assert found == pytest.approx(known[name][0], abs=1), name
        assert found == pytest.approx(water.USUAL_ONSET[name], abs=5), name
        assert np.sum(seasons) / 100 == pytest.approx(known[name][1], rel=0.01), name


def test_rough_rain_lacks_a_fifth_of_the_wet_days(sites):
    site = sites[0]
    rough = water.replace(site, rough=True).weather.rain.to_numpy()
    exact = site.weather.rain.to_numpy()
    assert (rough[exact > 0] > 0).mean() == pytest.approx(0.8, abs=0.08)
    assert rough.sum() == pytest.approx(0.8 * exact.sum(), rel=0.15)
