"""Labels of several years in a field: ``bocage init`` chooses those of the images, or a site for each year."""

from datetime import date, timedelta

import geopandas
import numpy as np
import pandas as pd
import pytest

from bocage.jobs.check import check
from bocage.jobs.init import write_recipe
from bocage.recipe import read_recipe
from bocage.samples.label_years import chosen, years_of
from test_init import parcels, series


def days(*texts):
    return [date.fromisoformat(text) for text in texts]


ONE_SEASON = [date(2017, 10, 1) + timedelta(30 * k) for k in range(12)]
TWO_SEASONS = [date(2016, 10, 1) + timedelta(30 * k) for k in range(24)]


@pytest.mark.parametrize(
    ("values", "images", "where", "periods"),
    [
        ([2017, 2018, 2018], days("2018-03-01", "2018-09-01"), "year = 2018", []),
        (["2017", "2018", None], days("2018-03-01", "2018-09-01"), "year = 2018", []),
        ([2017.0, 2018.0, 2019.0], ONE_SEASON, "year = 2018", []),
        (
            [2017, 2018, 2018],
            TWO_SEASONS,
            "",
            [("2017", "2016-10-01", "2017-09-30"), ("2018", "2017-10-01", "2018-09-30")],
        ),
        (
            [2017, 2018, 2018],
            days("2017-03-01", "2017-09-01", "2018-03-01", "2018-09-01"),
            "",
            [("2017", "2017-01-01", "2017-12-31"), ("2018", "2018-01-01", "2018-12-31")],
        ),
        ([2018, 2018, 2018], TWO_SEASONS, "", []),
        ([2014, 2015, 2015], ONE_SEASON, "", []),
        ([2017, 2018, 2018], [], "", []),
        (["2017-11-02", "2018-01-07", "2018-01-08"], ONE_SEASON, "", []),
        (["2014-11-02", "2018-01-07", "2018-01-08"], ONE_SEASON, "", []),
    ],
)
def test_labels_of_several_years_are_those_of_the_images(values, images, where, periods):
    years = years_of(pd.DataFrame({"label": "x", "year": values}), ["label", "year"])
    found = chosen(years, images)
    assert found.where == where
    assert [(p.name, str(p.first), str(p.last)) for p in found.periods] == periods
    assert all(p.where == f"year = {p.name}" for p in found.periods)
    silent = len(years.counts) == 1 or (years.dates and 2014 not in years.counts)
    assert bool(found.remarks) != silent
    if not (where or periods or silent):
        assert "all of them are used" in found.remarks[0]


@pytest.mark.parametrize("field", ["year", "Année"])
def test_init_chooses_the_labels_of_the_year_of_the_images(tmp_path, field):
    series(tmp_path)
    frame = geopandas.read_file(parcels(tmp_path))
    frame.crop = np.roll(frame.crop, 4)
    both = pd.concat([geopandas.read_file(parcels(tmp_path)).assign(**{field: 2022}), frame.assign(**{field: 2021})])
    both.to_file(tmp_path / "parcels.gpkg")
    out = tmp_path / "mine.toml"
    lines = write_recipe(tmp_path, tmp_path / "parcels.gpkg", "crop", out)
    assert any("of several years" in line and "12 labels are not used" in line for line in lines), lines
    assert not any("contradict" in line for line in lines)
    assert "12 polygons" in next(line for line in lines if "label field" in line)
    assert "2022" in read_recipe(out).reference.where
    assert not check(out).has_errors
