import datetime

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine

from bocage.cli import main
from bocage.errors import BocageError
from bocage.grid import Grid
from bocage.legend import read_csv
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.scene.thermal import Thermal
from bocage.simulate import LEGEND, Simulation, simulate
from bocage.simulate.climate import gathered, normal_climate, stages, temperature, write_temperatures
from bocage.simulate.landscape import World, ground_at
from bocage.simulate.noise import fractal, normal, uniform
from bocage.simulate.polygons import write_polygons
from bocage.simulate.recipes import write_recipes
from bocage.simulate.signatures import cover, texture

SMALL = Simulation(height=261, width=283, polygons=4)


@pytest.fixture(scope="module")
def land(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "land"
    assert main(["simulate", str(folder), "--height", "261", "--width", "283", "--polygons", "4"]) == 0
    return folder


def read(path, *bands):
    with rasterio.open(path) as dataset:
        return dataset.read(*bands)


@pytest.mark.slow
def test_properties_of_the_files(land):
    with rasterio.open(land / "vhr/pan.tif") as pan, rasterio.open(land / "vhr/ms.tif") as ms:
        assert pan.shape == (261, 283)
        assert ms.shape == (66, 71)
        assert pan.crs.to_epsg() == 32740
        assert pan.transform @ (0, 0) == ms.transform @ (0, 0)
        assert ms.res == (6, 6)
    with rasterio.open(land / "s2/red.tif") as red, rasterio.open(land / "s2/swir16.tif") as swir:
        assert red.count == swir.count == 37
        assert (red.res, swir.res) == ((10, 10), (20, 20))
        assert red.descriptions[0] == "2022-01-03"
    assert read(land / "s1/vv.tif").dtype == np.float32
    assert read_csv(land / "legend.csv").names == LEGEND.names
    truth = read(land / "truth.tif", 1)
    assert truth.min() > 0
    assert truth.shape == (261, 283)
    assert not [p for p in land.rglob("*") if p.name.endswith(".part")]


def test_reference_polygons_have_the_true_class(land):
    frame = gpd.read_file(land / "reference.gpkg")
    truth, transform = read(land / "truth.tif", 1), rasterio.open(land / "truth.tif").transform
    for code, geometry in zip(frame.code, frame.geometry, strict=True):
        column, row = ~transform @ (geometry.representative_point().x, geometry.representative_point().y)
        assert truth[int(row), int(column)] == code
    assert frame.groupby("code").size().max() <= 4


def test_a_parcel_has_one_reference_polygon(tmp_path):
    """Two polygons of one parcel would be nearly the same sample on both sides of a split."""
    grid = Grid.of("EPSG:32740", Affine(1.5, 0, 338_000, 0, -1.5, 7_668_000), (200, 200))
    assert write_polygons(World(), grid, tmp_path / "reference.gpkg", 6) > 10
    inside = gpd.read_file(tmp_path / "reference.gpkg").representative_point()
    parcels = ground_at(World(), inside.x.to_numpy(), inside.y.to_numpy()).parcel
    assert len(set(parcels.tolist())) == len(inside)


@pytest.mark.slow
def test_a_larger_landscape_contains_the_smaller_one(land, tmp_path):
    simulate(Simulation(height=300, width=320, polygons=4, sensors=("vhr",)), tmp_path / "larger")
    assert np.array_equal(read(tmp_path / "larger/truth.tif", 1)[:261, :283], read(land / "truth.tif", 1))
    assert np.array_equal(read(tmp_path / "larger/vhr/pan.tif", 1)[:261, :283], read(land / "vhr/pan.tif", 1))


def test_years_rotate_crops_and_regions_differ():
    x, y = np.meshgrid(np.arange(0, 3000, 12.0), np.arange(0, 3000, 12.0))
    first, again, later, elsewhere = (ground_at(w, x, y) for w in (World(), World(), World(year=2023), World(region=1)))
    assert np.array_equal(first.code, again.code)
    changed = first.code != later.code
    assert 0.1 < changed.mean() < 0.5
    assert np.isin(first.code[changed], (1, 2, 3, 4, 5)).all()
    assert np.array_equal(first.parcel, later.parcel)
    assert (first.code != elsewhere.code).mean() > 0.5
    shares = [np.bincount(g.code.ravel(), minlength=14) / g.code.size for g in (first, elsewhere)]
    assert np.abs(shares[0] - shares[1]).max() > 0.03
    assert (shares[0][1:] > 0.005).all(), "every class occurs"


@pytest.mark.slow
def test_classes_differ_in_what_they_should():
    """Tree crops in texture alone, maizes in calendar alone, gardens and trellises in backscatter alone."""
    x, y = np.meshgrid(np.arange(0, 4500, 6.0), np.arange(0, 4500, 6.0))
    world = World()
    ground = ground_at(world, x, y)
    pattern = texture(world, ground)
    trees = {c: pattern[ground.code == c] for c in (7, 8, 9)}
    means, spreads = [t.mean() for t in trees.values()], [t.std() for t in trees.values()]
    assert np.ptp(means) < 0.03
    assert np.ptp(spreads) < 0.02
    leaves = {day: cover(world, ground, day) for day in (60, 75, 98, 121, 160)}
    mean = lambda c, d: leaves[d][ground.code == c].mean()  # noqa: E731
    assert abs(mean(7, 98) - mean(9, 98)) < 0.02
    assert mean(2, 75) - mean(3, 75) > 0.2
    assert mean(3, 121) - mean(2, 121) > 0.2
    assert abs(mean(4, 160) - mean(5, 160)) < 0.05


def test_clouds_are_bright_and_masked(land):
    quality = read(land / "s2/quality.tif")
    assert set(np.unique(quality)) <= {3, 4, 9}
    blue = read(land / "s2/blue.tif")[:, ::2, ::2][:, : quality.shape[1], : quality.shape[2]] / 10000
    assert blue[quality == 9].mean() > 3 * blue[quality == 4].mean()
    share = (quality != 4).mean((1, 2))
    assert share.min() < 0.1
    assert share.max() > 0.5


def test_speckle_has_the_given_number_of_looks(land):
    vv = 10 ** (read(land / "s1/vv.tif", 1) / 10)
    water = ground_at(
        World(),
        *np.meshgrid(338_000 + 10 * (np.arange(vv.shape[1]) + 0.5), 7_668_000 - 10 * (np.arange(vv.shape[0]) + 0.5)),
    ).code
    sample = vv[water == np.bincount(water.ravel()).argmax()]
    assert 0.35 < sample.std() / sample.mean() < 0.75


def test_recipes_beside_the_landscape_can_be_read(land):
    for name in ("gru", "random_forest", "multiresolcc", "compare"):
        recipe = read_recipe(land / f"{name}.toml")
        assert open_scene(recipe).grid.resolution in (10, 1.5)
    chain = read_recipe(land / "moringa.toml")
    assert (chain.grid.like, chain.segment.sources, chain.choice.config.sources) == ("ms", ("ms",), ("objects",))


def test_noise_is_a_function_of_location():
    x, y = np.meshgrid(np.arange(0, 500, 5.0), np.arange(0, 400, 5.0))
    whole = fractal(x, y, 80, 3)
    assert np.array_equal(fractal(x[10:20, 30:50], y[10:20, 30:50], 80, 3), whole[10:20, 30:50])
    assert 0 <= whole.min() < 0.35
    assert 0.65 < whole.max() <= 1
    k = np.arange(20_000)
    assert uniform(k, 5).mean() == pytest.approx(0.5, abs=0.01)
    assert normal(k, 5).std() == pytest.approx(1, abs=0.02)


def test_invalid_simulations_are_refused(tmp_path, land):
    with pytest.raises(BocageError, match="at least 64"):
        Simulation(height=10)
    with pytest.raises(BocageError, match="'warmth' must be at least -10 and at most 10; found 30"):
        Simulation(warmth=30.0)
    with pytest.raises(BocageError, match="Unknown sensor"):
        Simulation(sensors=("radar",))
    with pytest.raises(BocageError, match="is not empty"):
        simulate(SMALL, land)


def test_the_season_is_later_east_of_the_border():
    x, y = np.meshgrid(np.arange(0, 3000, 12.0), np.arange(0, 1500, 12.0))
    one, two = World(), World(delay=46, border=1500)
    ground = ground_at(one, x, y)
    assert np.array_equal(ground.code, ground_at(two, x, y).code)
    east, crops = x > 1500, ground.code != 1  # cane is cut on the same days
    assert np.array_equal(cover(two, ground, 120)[~east], cover(one, ground, 120)[~east])
    assert cover(two, ground, 166)[east & crops] == pytest.approx(cover(one, ground, 120)[east & crops])
    assert np.abs(cover(two, ground, 120) - cover(one, ground, 120))[east].max() > 0.2


@pytest.mark.slow
def test_a_landscape_of_two_seasons_has_regions_and_a_recipe(tmp_path):
    simulation = Simulation(height=130, width=203, polygons=3, delay=46, sensors=("s2",))
    simulate(simulation, tmp_path / "land")
    assert "regional.toml" in [path.name for path in write_recipes(simulation, tmp_path / "land")]
    scene = open_scene(read_recipe(tmp_path / "land/regional.toml"))
    values, valid = scene.cubes["regions"].source.read(scene.grid, scene.grid.window)
    assert scene.cubes["regions"].bands == ("east", "west")
    assert valid.all()
    assert values[0, 0, 0, 15] == pytest.approx(0.5 + (155 - 203 * 0.75) / 200)


def since(year, month, day):
    return (datetime.date(year, month, day) - datetime.date(1970, 1, 1)).days


def test_without_a_warmth_crops_follow_the_day_of_the_year(land):
    assert stages(World(), 98).tolist() == [98.0] * 14
    assert not (land / "temperature.csv").exists()


def test_a_stage_has_the_degree_days_of_the_written_temperatures(tmp_path):
    """The simulation and thermal time count alike: base 8 °C is that of maize (2 and 3), and not that of the others."""
    world = World(warmth=3.0)
    write_temperatures(world, tmp_path / "temperature.csv")
    usual = gathered(normal_climate(np.arange(1, 367)), 8.0)
    for date in (datetime.date(2022, 2, 10), datetime.date(2022, 4, 20), datetime.date(2022, 7, 1)):
        day = since(date.year, date.month, date.day)
        thermal = Thermal(tmp_path / "temperature.csv", base=8.0, degrees=10.0).days(np.array([day], np.int32))
        found = stages(world, date.timetuple().tm_yday)
        assert thermal[0] - since(2022, 1, 1) == pytest.approx(
            np.interp(found[2], np.arange(1, 367), usual) / 10, abs=1
        )
        assert found[1] > found[2] == found[3] > found[6]


def test_a_warm_year_is_early_and_a_cold_year_late():
    x, y = np.meshgrid(np.arange(0, 3000, 12.0), np.arange(0, 1500, 12.0))
    cold, usual, warm = (World(warmth=warmth) for warmth in (-3.0, 0.0, 3.0))
    ground = ground_at(usual, x, y)
    late, cane = ground.code == 3, ground.code == 1
    before = [cover(world, ground, 95)[late].mean() for world in (cold, usual, warm)]
    after = [cover(world, ground, 160)[late].mean() for world in (cold, usual, warm)]
    assert before[0] + 0.1 < before[1] < before[2] - 0.1
    assert after[0] - 0.1 > after[1] > after[2] + 0.1
    assert np.abs(cover(World(), ground, 100) - cover(usual, ground, 100)).max() < 0.2, (
        "a normal year has its weather only"
    )
    cut = [
        np.corrcoef(cover(world, ground, 300)[cane], cover(World(), ground, 300)[cane])[0, 1] for world in (cold, warm)
    ]
    assert min(cut) > 0.95, "cane is cut on the same days"


def test_temperatures_have_the_climate_of_the_normal_year():
    days = np.arange(since(1980, 1, 1), since(2020, 1, 1))
    found = temperature(World(warmth=2.0), days)
    of_year = (days - days.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]").astype(int)) + 1
    residual = found - normal_climate(of_year) - 2.0
    assert residual.mean() == pytest.approx(0, abs=0.1)
    assert residual.std() == pytest.approx(1.5, abs=0.05)
    assert np.corrcoef(residual[1:], residual[:-1])[0, 1] == pytest.approx(0.7, abs=0.03)
    assert np.array_equal(temperature(World(), days[40:60]), temperature(World(year=2023), days)[40:60]), "years agree"


def test_a_warmth_adds_the_table_of_temperatures(tmp_path):
    options = ["--height", "100", "--width", "100", "--polygons", "2", "--sensor", "s1", "--no-recipes"]
    assert main(["simulate", str(tmp_path / "land"), *options, "--warmth", "-1.5"]) == 0
    table = pd.read_csv(tmp_path / "land/temperature.csv")
    assert (table.date.iloc[0], table.date.iloc[-1], len(table)) == ("2021-01-01", "2022-12-31", 730)
    days = np.arange(since(2021, 1, 1), since(2023, 1, 1))
    assert table.temperature.to_numpy() == pytest.approx(temperature(World(warmth=-1.5), days), abs=0.051)
