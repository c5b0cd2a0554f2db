"""What surrounds the map of a report: scale bar, locator."""

import re

import pytest

from bocage.grid import Grid
from bocage.report.marginalia import LONG, SHORT, locator, scale_bar


@pytest.mark.parametrize(
    ("resolution", "width", "language", "label", "percent"),
    [
        (10.0, 1000, "en", "2 km", 20.0),
        (1.5, 400, "en", "100 m", 100 / 6),
        (0.5, 9, "en", "1 m", 100 / 4.5),
        (0.02, 40, "fr", "0,2 m", 25.0),
        (30.0, 400_000, "fr", "2 000 km", 100 * 2000 / 12_000),
    ],
)
def test_a_scale_bar_is_a_round_length_of_at_most_a_quarter_of_the_map(resolution, width, language, label, percent):
    grid = Grid.from_bounds("EPSG:6933", resolution, (0, 0, resolution * width, resolution * 10))
    bar = scale_bar(grid, language)
    assert re.sub(r"\s", " ", bar.label) == label
    assert bar.percent == pytest.approx(percent)


def test_a_scale_bar_in_degrees_is_that_of_the_central_latitude():
    grid = Grid.from_bounds("EPSG:4326", 0.01, (5, 59, 7, 61))
    bar = scale_bar(grid, "en")
    assert bar.label == "20 km"
    assert bar.percent == pytest.approx(100 * 20_000 / grid.metres[1] / 200)


def test_a_scale_bar_in_web_mercator_is_that_of_the_ground():
    """A map of 44 km in units of the projection is 22 km wide at 60 degrees of latitude."""
    bar = scale_bar(Grid.from_bounds("EPSG:3857", 100, (300_000, 8_380_000, 344_000, 8_420_000)), "en")
    assert bar.label == "5 km"
    assert bar.percent == pytest.approx(100 * 5 / 22, rel=0.02)


def test_a_locator_shows_the_land_around_the_map():
    found = locator(Grid.from_bounds("EPSG:32631", 10, (400_000, 5_400_000, 500_000, 5_500_000)), "en")
    assert found.place == "49.20° N, 2.31° E"
    assert found.x + found.width / 2 == pytest.approx(LONG / 2)
    assert found.y + found.height / 2 == pytest.approx(SHORT / 2)
    assert found.width == pytest.approx(found.height, rel=0.25), "a square on the ground is a square"
    assert found.land.startswith("M")
    assert locator(Grid.from_bounds("EPSG:32740", 10, (320_000, 7_640_000, 330_000, 7_650_000)), "fr").place.endswith(
        "E"
    )
    ocean = locator(Grid.from_bounds("EPSG:4326", 0.1, (-179.5, -18, -178.5, -17)), "fr")
    assert ocean.place == "17,50° S, 179,00° O"
    assert ocean.land, "land on the other side of the 180th meridian"


def test_the_locator_of_a_map_across_the_antimeridian_is_centred_on_the_map():
    grid = Grid.from_bounds("EPSG:32760", 1000, (750_000, 7_800_000, 950_000, 8_000_000))
    found = locator(grid, "en")
    assert found.width < LONG / 4
    assert found.place == "18.96° S, 179.67° W"
