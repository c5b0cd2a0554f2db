"""Zones and change: sums against brute force, and intervals that cover the truth as often as they say."""

import csv
import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pyproj
import pytest
import rasterio
import shapely
from affine import Affine

from bocage.cli import main
from bocage.cli.tables import print_change
from bocage.disk import read_checksums
from bocage.errors import FinishError, MappingError
from bocage.evaluation import corrected
from bocage.finish.estimates import Calibration, Checked, adjusted
from bocage.finish.ground import ground_areas
from bocage.finish.likeness import Likeness, alike
from bocage.finish.zones import read_zones, zone_statistics
from bocage.grid import Grid, pixel_sides
from bocage.jobs import change as change_job
from bocage.jobs import reference_pixels
from bocage.jobs import zones as zones_job
from bocage.jobs.change import Year, change
from bocage.jobs.finish import finish
from bocage.jobs.fuse import Fusing, fuse
from bocage.jobs.mosaic import make_mosaic
from bocage.jobs.run import run
from bocage.layout import MapLayout, RunLayout
from bocage.legend import LandClass, Legend
from bocage.mapping import EARLY, WRITERS, AreaCount, Areas, LandCoverMap, MapBand, open_delivered, share_beyond
from bocage.mapping.delivery import Delivery
from bocage.progress import QUIET
from bocage.provenance import Provenance
from bocage.recipe import read_recipe
from bocage.run import EDITED, NOT_EVALUATED, NOT_TESTED, OTHER_MODEL
from bocage.run import test_pixels_of as pixels_at
from bocage.run.folder import FINISHING
from bocage.view import open_viewed
from bocage.view.places import vector_file
from conftest import GRU, Told, not_finite

LEGEND = Legend((LandClass(4, "maize"), LandClass(2, "meadow"), LandClass(9, "water")))
SHAPE = (60, 70)
PLACES = {
    "metres": ("EPSG:32740", Affine(10, 0, 300000, 0, -10, 7650000)),
    "degrees": ("EPSG:4326", Affine(0.01, 0, 2, 0, -0.01, 60)),
    "feet": ("EPSG:2263", Affine(30, 0, 980000, 0, -30, 200000)),
}


def delivered(folder, codes, place="metres", legend=LEGEND, confidence=None):
    """Write a complete map as a mosaic is delivered."""
    crs, transform = PLACES[place] if isinstance(place, str) else place
    grid, layout = Grid.of(crs, transform, codes.shape), MapLayout(folder)
    folder.mkdir(parents=True, exist_ok=True)
    bands = {
        "classes": (MapBand("class", "uint8", 0, categorical=True),),
        "confidence": (MapBand("confidence", "uint8", 255),),
    }
    values = {"classes": codes, "confidence": np.full(codes.shape, 80) if confidence is None else confidence}
    areas, files = AreaCount(grid, legend), {}
    for layer, band in bands.items():
        files[layer] = layout.layer(layer, ".tif")
        output = WRITERS.get("cog").open(files[layer], grid, band, legend)
        output.put(grid.window, values[layer][None].astype(np.uint8))
        output.close()
    areas.count(grid.window, codes)
    Delivery(layout, grid, legend, bands, files, {}, None, 0.0).write(areas.areas())
    return open_delivered(folder)


def random_codes(seed=0, shape=SHAPE):
    rng = np.random.default_rng(seed)
    codes = np.array([4, 2, 9, 0])[rng.choice(4, shape, p=[0.4, 0.3, 0.2, 0.1])]
    return codes, rng.integers(20, 101, shape)


def stars(count, bounds, seed=0):
    """Random polygons, some of them partly outside the bounds and some with a hole."""
    rng, (west, south, east, north), shapes = np.random.default_rng(seed), bounds, []
    size = east - west
    while len(shapes) < count:
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
        radius = rng.uniform(0.002, 0.25, len(angle)) * size
        center = rng.uniform(west, east), rng.uniform(south, north)
        shape = shapely.Polygon(np.c_[center[0] + radius * np.cos(angle), center[1] + radius * np.sin(angle)])
        if shape.is_valid and len(shapes) % 3 == 0:
            shape = shape.difference(shapely.Point(center).buffer(0.02 * size))
        if shape.is_valid and not shape.is_empty:
            shapes.append(shape)
    return gpd.GeoDataFrame({"name": [f"z{k}" for k in range(count)]}, geometry=shapes)


@pytest.mark.slow
@pytest.mark.parametrize(("place", "count"), [("metres", 200), ("degrees", 12), ("feet", 12)])
def test_zones_as_by_brute_force(tmp_path, place, count, monkeypatch):
    codes, sure = random_codes()
    land = delivered(tmp_path / "map", codes, place, confidence=sure)
    table = stars(count, land.grid.bounds).set_crs(PLACES[place][0])
    table.to_file(tmp_path / "zones.gpkg", engine="pyogrio")
    monkeypatch.setattr("bocage.finish.zones.PART", 16)  # zones are read in several parts
    zones = read_zones(tmp_path / "zones.gpkg", "name", land.grid, QUIET)
    assert zones.names == tuple(table.name)
    found = zone_statistics(land, zones, None, QUIET)
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    a = land.grid.transform
    pixels = shapely.box(a.c + a.a * column, a.f + a.e * (row + 1), a.c + a.a * (column + 1), a.f + a.e * row)
    high, wide = (side[:, None] / a.a for side in pixel_sides(land.grid))
    metre = float(high.mean())
    assert metre == pytest.approx({"metres": 1.0, "degrees": 111_195, "feet": 0.3048006096}[place], rel=2e-3)
    for k, shape in enumerate(table.geometry):
        area = shapely.area(shapely.intersection(pixels, shape)) * high * wide
        expected = [area[codes == code].sum() for code in LEGEND.codes]
        assert found.area[k] == pytest.approx(expected, rel=1e-6, abs=1e-4 * metre**2 * a.a**2)
        known = area * (codes > 0)
        if known.sum() > 0:
            assert found.confidence[k] == pytest.approx((known * sure).sum() / known.sum(), rel=1e-6)
        if place != "degrees":
            assert found.size[k] == pytest.approx(shape.area * metre**2, rel=1e-6)
        assert found.covered[k] == pytest.approx(sum(expected) / found.size[k], rel=1e-6)


def test_the_fractions_of_exactextract_are_in_the_order_of_its_classes():
    """Bocage does not use them; if this fails in a later version, it is right not to."""
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    codes, _ = random_codes()
    raster = NumPyRasterSource(codes.astype(np.int32), 0, 0, SHAPE[1], SHAPE[0])
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    pixels = shapely.box(column, SHAPE[0] - row - 1, column + 1, SHAPE[0] - row)
    for shape in stars(40, (20, 20, 50, 40), 3).geometry:
        feature = {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(shape)}
        found = exact_extract(raster, [feature], ["unique", "frac"])[0]["properties"]
        area = shapely.area(shapely.intersection(pixels, shape))
        for code, share in zip(found["unique"], found["frac"]):
            assert share == pytest.approx(area[codes == code].sum() / area.sum(), abs=1e-6)


@pytest.fixture
def land(tmp_path):
    return delivered(tmp_path / "map", np.full(SHAPE, 4))


def square(x, y, size=50.0):
    return shapely.box(300_000 + x, 7_650_000 - y - size, 300_000 + x + size, 7_650_000 - y)


def test_layers_of_an_earlier_map_are_removed_and_what_was_made_of_its_classes(tmp_path):
    codes, _ = random_codes()
    land = delivered(tmp_path / "map", codes)
    old = [tmp_path / "map" / name for name in ("probabilities.tif", "margin.tif", "margin.tif.aux.xml", "certain.qml")]
    of_classes = [land.layout.voted, land.layout.regularised, land.layout.path / "regularised.tif.aux.xml"]
    made = [*of_classes, land.layout.path / "notes.txt"]
    for path in (*old, *made):
        path.write_text("earlier")
    before = read_checksums(land.layout.checksums)["classes.tif"]
    files = {name: land.path(name) for name in ("classes", "confidence")}
    bands = {name: (MapBand(name, "uint8", 255),) for name in files}
    areas = Areas.load(land.layout.areas, LEGEND)
    delivery = Delivery(land.layout, land.grid, LEGEND, bands, files, {}, None, 0.0, before)
    delivery.write(areas)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in made), "the classes are the same"
    replace(delivery, replaced="").write(areas)
    assert [path.exists() for path in made] == [False, False, False, True]
    assert all(path.exists() for path in files.values())


def test_finished_files_of_an_earlier_map_are_removed_and_no_file_of_the_user(finished, tmp_path):
    one = finished()
    out = one.copied(tmp_path / "run")
    write_zones(tmp_path / "zones.gpkg", [shapely.box(*open_delivered(out).grid.bounds)])
    recipe = one.recipe.with_name(f"finished-{tmp_path.name}.toml")
    settings = f'[finish]\nmajority = 3\nformats = ["gpkg", "parquet", "fgb"]\nzones = "{tmp_path / "zones.gpkg"}"\n'
    recipe.write_text(one.recipe.read_text() + settings)
    finish(read_recipe(recipe), out)
    made = set(RunLayout(out).finish.path.glob("*"))
    assert {path.suffix for path in made} == {".gpkg", ".parquet", ".fgb", ".csv", ".json"}
    own = [out / "finish/zones.gpkg", out / "finish/polygons.qml", out / "notes.csv"]
    for path in own:
        path.write_text("of the user")
    recipe.write_text(one.recipe.read_text().replace("tile = 32", "tile = 16"))
    assert main(["map", str(recipe), "--out", str(out), "--overwrite"]) == 0
    assert all(path.exists() for path in made), "the classes are the same"
    assert {"regularise", "accuracy", "vectors", "zones"} <= set(Provenance.load(RunLayout(out).provenance).stages)
    recipe.write_text(one.recipe.read_text().replace("trees = 20", "trees = 1"))
    assert all(main([stage, str(recipe), "--out", str(out), "--overwrite"]) == 0 for stage in ("train", "map"))
    assert not [path for path in made if path.exists()]
    assert not list((out / "map").glob("regularised*"))
    assert not set(Provenance.load(RunLayout(out).provenance).stages) & set(FINISHING)
    assert all(path.exists() for path in own)
    assert vector_file(open_viewed(out, recipe=recipe)) is None


def test_the_share_of_novel_pixels_is_that_of_all_pixels(tmp_path):
    """Overviews are means: single pixels above the limit disappear in them."""
    generator = np.random.default_rng(0)
    novelty = np.where(generator.random((1100, 1500)) < 0.1, 150, 50)
    novelty[:, :100] = 255
    land = delivered(tmp_path / "map", np.full(novelty.shape, 4), confidence=novelty)
    made = LandCoverMap({"novelty": land.path("confidence")}, land.grid, LEGEND, land.layout)
    assert share_beyond(made) == pytest.approx((novelty[:, 100:] > 100).mean())


def test_the_test_pixels_of_whole_series_say_nothing_of_a_map_until_a_day(tmp_path, monkeypatch):
    told = Told()
    land = delivered(tmp_path / "map", random_codes()[0])
    monkeypatch.setattr(reference_pixels, "test_pixels_of", lambda folder: tmp_path / "test.parquet")
    monkeypatch.setattr(reference_pixels, "test_predictions_of", lambda *_: pytest.fail("read"))
    item = json.loads(land.layout.item.read_text())
    item["properties"]["bocage:until"] = "2024-05-31"
    land.layout.item.write_text(json.dumps(item))
    assert zones_job.calibration_of(tmp_path, land, None, told) is None
    assert "the map ends before the series on which the model is tested" in told.words[-1]
    assert reference_pixels.pixels_of_test(tmp_path, land) == EARLY


def write_zones(path, shapes, crs="EPSG:32740", **fields):
    gpd.GeoDataFrame(fields or {"n": range(len(shapes))}, geometry=shapes, crs=crs).to_file(path, engine="pyogrio")
    return path


def test_zones_outside_partly_outside_or_empty_are_said(tmp_path, land):
    shapes = [square(0, 0), square(-25, 100), square(50_000, 0), None, shapely.Point(300_000, 7_650_000)]
    told = Told()
    path = write_zones(tmp_path / "z.gpkg", shapes, name=list("abcde"))
    found = zone_statistics(land, read_zones(path, "name", land.grid, told), None, told)
    assert found.zones.names == ("a", "b", "c")
    assert found.area[:, 0] == pytest.approx([2500, 1250, 0])
    assert found.covered == pytest.approx([1, 0.5, 0])
    assert told.words == [
        "z.gpkg: 2 of 5 features have no polygon and are left out.",
        "1 zone is outside the map, or where it has no data: c.",
        "1 zone is covered by the map in part (column 'covered'): b.",
    ]


def test_zones_with_one_name_and_overlapping_zones_are_reported(tmp_path, land):
    told = Told()
    shapes = [square(0, 0), square(100, 0), square(125, 0), square(50, 0), square(0, 100)]
    path = write_zones(tmp_path / "z.gpkg", shapes, name=list("abcba"))
    zones_job.zones_of(land.folder, path, "name", tmp_path / "t.csv", None, told)
    assert told.words[:2] == [
        "z.gpkg: 4 of 5 polygons have the name of another one: a, b. Each stays a polygon of its own; make one multipolygon of "
        "the parts of a polygon, or choose another field.",
        "1 pair of zones overlaps: b and c. Their common area counts in each of them.",
    ]


def test_names_of_zones_are_whole_numbers_and_days_and_missing_ones_have_the_number_of_the_feature(tmp_path, land):
    fields = {
        "insee": pd.array([97410, None, 97411], dtype="Int64"),
        "name": [" Saint-Denis", None, "Le  Port"],
        "day": pd.to_datetime(["2022-01-01", None, "2022-01-02"]),
    }
    path = write_zones(tmp_path / "z.gpkg", [square(0, 0), square(60, 0), square(120, 0)], **fields)
    found = {field: read_zones(path, field, land.grid, QUIET).names for field in fields}
    assert found == {
        "insee": ("97410", "unnamed 2", "97411"),
        "name": ("Saint-Denis", "unnamed 2", "Le Port"),
        "day": ("2022-01-01", "unnamed 2", "2022-01-02"),
    }


def test_the_name_of_a_zone_without_one_is_not_that_of_another_and_is_reported(tmp_path, land):
    told = Told()
    shapes = [square(60 * k, 0) for k in range(5)]
    path = write_zones(tmp_path / "z.gpkg", shapes, name=[None, "1", "unnamed 4", None, "2"])
    assert read_zones(path, "name", land.grid, told).names == ("(unnamed) 1", "1", "unnamed 4", "(unnamed) 4", "2")
    assert told.words == [
        "z.gpkg: 2 of 5 polygons have no name; they are called by the number of their feature: (unnamed) 1, (unnamed) 4."
    ]
    assert read_zones(path, "", land.grid, told).names == ("1", "2", "3", "4", "5")


def test_half_of_the_zones_invalid_are_repaired_and_said(tmp_path, land):
    bow = shapely.Polygon([(300_000, 7_650_000), (300_100, 7_649_900), (300_100, 7_650_000), (300_000, 7_649_900)])
    told = Told()
    zones = read_zones(write_zones(tmp_path / "z.gpkg", [bow, square(0, 0)]), "", land.grid, told)
    assert zones.names == ("1", "2")
    assert told.words[0].startswith(
        "z.gpkg: 1 of 2 polygons are invalid and were repaired; the first: Self-intersection"
    )
    assert zone_statistics(land, zones, None, told).area[:, 0] == pytest.approx([5000, 2500])


def test_zones_in_another_crs_are_reprojected_and_said(tmp_path, land):
    path = tmp_path / "z.gpkg"
    gpd.GeoDataFrame(geometry=[square(100, 100, 200)], crs="EPSG:32740").to_crs(4326).to_file(path, engine="pyogrio")
    told = Told()
    found = zone_statistics(land, read_zones(path, "", land.grid, told), None, told)
    assert told.words == ["z.gpkg: reprojected from EPSG:4326 to EPSG:32740."]
    assert found.area[0, 0] == pytest.approx(40_000, rel=1e-5)


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize(
    ("make", "field", "message"),
    [
        (lambda path: None, "", "does not exist"),
        (lambda path: path.write_text("x"), "", "cannot be read as a vector file"),
        (lambda path: write_zones(path, [square(0, 0)], None), "", "has no CRS"),
        (lambda path: write_zones(path, [square(0, 0)], nom=["a"]), "name", "no field 'name'.*Its fields: nom"),
        (
            lambda path: write_zones(path, [shapely.Point(300_000, 7_650_000)]),
            "",
            "has no polygon with an area and finite coordinates; found 1 features",
        ),
        (lambda path: write_zones(path, [square(90_000, 0)]), "", "The zone is outside the map"),
    ],
)
def test_zones_that_cannot_be_used_are_refused_with_one_line(tmp_path, land, capsys, make, field, message):
    path = tmp_path / "z.gpkg"
    make(path)
    with pytest.raises(FinishError, match=message):
        zone_statistics(land, read_zones(path, field, land.grid, QUIET), None, QUIET)
    out = tmp_path / "z.csv"
    assert main(["zones", str(land.folder), str(path), "--field", field, "--to", str(out)]) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("error: ")
    assert not out.exists()
    assert not out.with_suffix(".parquet").exists()


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_both_tables_of_the_zones_have_a_file_of_their_own(tmp_path, land, capsys, name):
    path = tmp_path / "z.gpkg"
    write_zones(path, [square(0, 0)])
    assert main(["zones", str(land.folder), str(path), "--to", str(tmp_path / name)]) == 0
    assert f"1 zone: {tmp_path / 'out.csv'}, {tmp_path / 'out.parquet'}" in capsys.readouterr().out
    with (tmp_path / "out.csv").open() as stream:
        assert {row["zone"] for row in csv.DictReader(stream)} == {"1"}
    assert len(gpd.read_parquet(tmp_path / "out.parquet")) == 1


@pytest.mark.parametrize(("polygons", "to"), [("z.gpkg", "z.gpkg"), ("z.parquet", "z.csv"), ("z.csv", "z.parquet")])
def test_the_tables_of_the_zones_replace_no_file_that_is_read(tmp_path, land, capsys, polygons, to):
    path = tmp_path / polygons
    path.write_text("polygons")
    assert main(["zones", str(land.folder), str(path), "--to", str(tmp_path / to)]) == 1
    assert f"{path} is read, and would be replaced" in capsys.readouterr().err
    assert path.read_text() == "polygons"


def test_zones_of_a_run_without_an_error_at_its_test_polygons_have_no_interval(finished, tmp_path, capsys):
    one, told = finished(), Told()
    write_zones(tmp_path / "z.gpkg", [shapely.box(*open_delivered(one.out).grid.bounds)])
    (found,) = zones_job.zones_of(one.out, tmp_path / "z.gpkg", "", tmp_path / "z.csv", None, told).estimates
    assert [estimate.value > 0 for estimate in found] == [True] * 3
    assert np.isnan([(estimate.error, estimate.low, estimate.high) for estimate in found]).all()
    print_change(change(Year(one.out), Year(one.out), tmp_path / "c", told))
    assert "changed as estimated: 0.00 %; by the errors" in " ".join(capsys.readouterr().out.split())


def test_zones_of_a_run_have_areas_with_intervals_in_both_files(finished, tmp_path):
    out, path = finished().copied(tmp_path / "run"), tmp_path / "z.gpkg"
    tested = pd.read_parquet(out / "splits/0/test.parquet")
    tested.loc[::7, "predicted"] = (tested.loc[::7, "predicted"] + 1) % 3
    tested.loc[:, ~tested.columns.str.startswith("probability_")].to_parquet(out / "splits/0/test.parquet")
    west, south, east, north = open_delivered(out).grid.bounds
    halves = [shapely.box(west, south, (west + east) / 2, north), shapely.box((west + east) / 2, south, east, north)]
    write_zones(path, halves, name=["left", "right"])
    assert main(["zones", str(out), str(path), "--field", "name", "--to", str(tmp_path / "out/z.csv")]) == 0
    with (tmp_path / "out/z.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["zone"], row["class"]) for row in rows[:3]] == [
        ("left", name) for name in ("maize", "meadow", "water")
    ]
    table = gpd.read_parquet(tmp_path / "out/z.parquet")
    assert table.crs.to_epsg() == 32740
    for k, zone in enumerate(("left", "right")):
        own = [row for row in rows if row["zone"] == zone]
        assert sum(float(row["share"]) for row in own) == pytest.approx(1, abs=1e-3)
        assert sum(float(row["estimated_ha"]) for row in own) == pytest.approx(table.zone_ha[k], rel=1e-3)
        for row, code in zip(own, (1, 2, 3)):
            assert float(row["mapped_ha"]) == pytest.approx(table[f"ha_{code}"][k], abs=1e-4)
            assert float(row["low_ha"]) <= float(row["estimated_ha"]) <= float(row["high_ha"])


def test_finish_writes_the_zones_of_the_recipe(finished, tmp_path):
    one = finished()
    out = one.copied(tmp_path / "run")
    west, south, east, north = open_delivered(out).grid.bounds
    write_zones(tmp_path / "z.gpkg", [shapely.box(west, south, east, north)])
    recipe = one.recipe.with_name(f"zones-{tmp_path.name}.toml")
    recipe.write_text(one.recipe.read_text() + f'[finish]\nformats = []\nzones = "{tmp_path / "z.gpkg"}"\n')
    assert main(["finish", str(recipe), "--out", str(out)]) == 0
    assert {path.name for path in (out / "finish").iterdir()} == {"zones.csv", "zones.parquet"}


CONFUSION = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])


def classified(truth, rng):
    """Return a map with the errors of CONFUSION."""
    found = np.zeros_like(truth)
    for k in range(3):
        own = truth == k
        found[own] = rng.choice(3, own.sum(), p=CONFUSION[k])
    return found


def sampled(mapped, truth, size, rng):
    chosen = rng.choice(len(truth), size, replace=False)
    return Checked.of(mapped[chosen], truth[chosen], np.arange(size), LEGEND.names, "a sample")


def test_intervals_of_zones_cover_the_truth():
    rng, covered, biased = np.random.default_rng(5), [], 0
    for _ in range(200):
        truth = rng.choice(3, 20_000, p=[0.5, 0.3, 0.2])
        mapped = classified(truth, rng)
        calibration = Calibration(sampled(mapped, truth, 600, rng))
        zone = np.bincount(mapped[:4000], minlength=3).astype(float)
        estimates, true = calibration.estimate(zone), np.bincount(truth[:4000], minlength=3)
        assert sum(one.value for one in estimates) == pytest.approx(4000)
        covered += [one.low <= value <= one.high for one, value in zip(estimates, true)]
        biased += bool(estimates[0].low <= zone[0] <= estimates[0].high)
    assert 0.92 <= np.mean(covered) <= 0.98
    assert biased < 150  # the mapped area of maize is too small


def fields_of_a_map(rng):
    """Return 1000 fields of 4 × 5 pixels, 20 side by side: truth, map, field, and place of each pixel."""
    field = np.repeat(np.arange(1000), 20)
    truth = rng.choice(3, 1000, p=[0.5, 0.3, 0.2])[field]
    inside = np.tile(np.arange(20), 1000)
    place = np.stack([field // 20 * 4 + inside // 5, field % 20 * 5 + inside % 5], 1)
    return truth, classified(truth, rng), field, place


def test_intervals_of_small_zones_contain_the_differences_between_zones():
    """A zone of 50 fields has other shares than the map by chance; more so than its 1000 pixels would have alone."""
    rng = np.random.default_rng(8)
    covered = {"likeness": [], "none": []}
    for _ in range(100):
        truth, mapped, field, place = fields_of_a_map(rng)
        chosen = np.isin(field, rng.choice(1000, 90, replace=False))
        checked = Checked.of(mapped[chosen], truth[chosen], field[chosen], LEGEND.names, "fields")
        pixels = alike(mapped[chosen], truth[chosen], checked.shares, field[chosen], place[chosen])
        zone, true = (np.bincount(v[:1000], minlength=3) for v in (mapped, truth))
        for name, likeness in (("likeness", Likeness(pixels, 20_000, 1)), ("none", None)):
            estimates = Calibration(checked, likeness=likeness).estimate(zone.astype(float))
            covered[name] += [one.low <= value <= one.high for one, value in zip(estimates, true)]
    assert 0.92 <= np.mean(covered["likeness"]) <= 0.98
    assert np.mean(covered["none"]) < 0.88


@pytest.mark.slow
def test_errors_around_single_pixels_are_alike_within_fields():
    rng, found, independent = np.random.default_rng(9), [], []
    for _ in range(5):
        truth, mapped, _, place = fields_of_a_map(rng)
        chosen = rng.choice(20_000, 1000, replace=False)
        share = Checked.of(mapped[chosen], truth[chosen], np.arange(1000), LEGEND.names, "pixels").shares
        found.append(alike(mapped[chosen], truth[chosen], share, np.arange(1000), place[chosen]))
        shuffled = rng.permutation(place[chosen])
        independent.append(alike(mapped[chosen], truth[chosen], share, np.arange(1000), shuffled))
    field = np.arange(20_000) // 20
    every = alike(mapped, truth, Checked.of(mapped, truth, field, LEGEND.names, "all").shares, field, place)
    assert 0.5 * every < np.median(found) < 2 * every
    assert np.median(independent) == 1


def test_the_whole_map_has_no_differences_between_zones():
    share = np.array([[0.9, 0.2], [0.1, 0.8]])
    likeness = Likeness(16.0, 100_000.0, 100.0)
    assert not likeness.error(np.array([60_000.0, 40_000]), share).any()
    half = likeness.error(np.array([30_000.0, 20_000]), share)
    assert half == pytest.approx(np.sqrt((0.09 * 30_000 + 0.16 * 20_000) * 1600 * 0.5))
    single = likeness.error(np.array([100.0, 0]), share)  # one pixel: errors are alike in all of it
    assert single == pytest.approx(np.sqrt(0.09 * 100 * 100 * 0.999))


def test_correct_maps_have_no_errors_that_are_alike():
    place = np.stack([np.arange(9), np.zeros(9)], 1)
    for unit in (np.arange(9), np.arange(9) // 3):
        assert alike(np.arange(9) % 3, np.arange(9) % 3, np.eye(3), unit, place) == 1


@pytest.mark.slow
def test_intervals_from_test_polygons_of_each_class_cover_the_truth():
    """The proportions of the classes are corrected by the confusions on the same polygons: their error counts, too."""
    rng, covered = np.random.default_rng(6), []
    for _ in range(100):
        field = rng.choice(3, 1000, p=[0.5, 0.3, 0.2])
        whole = classified(field, rng)
        truth = np.repeat(field, 20)
        mapped = np.where(np.repeat(rng.random(1000) < 0.5, 20), np.repeat(whole, 20), classified(truth, rng))
        chosen = np.concatenate([rng.choice(np.flatnonzero(field == k), 30, replace=False) for k in range(3)])
        pixels = (chosen[:, None] * 20 + np.arange(20)).ravel()
        tested = mapped[pixels], truth[pixels], pixels // 20
        areas = np.bincount(mapped, minlength=3).astype(float)
        prior = corrected(*tested, (areas / areas.sum()).tolist(), LEGEND.names).area
        checked = Checked.of(*tested, LEGEND.names, "test polygons").at_shares(prior)
        true = np.bincount(truth, minlength=3)
        for fitted in (False, True):
            estimates = Calibration(checked, fitted).estimate(areas)
            covered.append([one.low <= value <= one.high for one, value in zip(estimates, true)])
    assert np.mean(covered[::2]) < 0.9
    assert 0.92 <= np.mean(covered[1::2]) <= 0.98


def test_a_class_with_one_test_polygon_has_no_interval_and_the_others_have_one():
    reference, mapped = np.array([0, 0, 0, 0, 1, 1, 2, 2]), np.array([0, 1, 0, 0, 1, 0, 2, 2])
    checked = Checked.of(mapped, reference, np.array([0, 0, 1, 1, 2, 3, 4, 4]), LEGEND.names, "test polygons")
    first, second, third = Calibration(checked, fitted=True).estimate(np.array([10.0, 8, 4]))
    assert first.low < first.value < first.high
    assert second.low < second.value < second.high
    assert np.isnan(third.low)
    same = Checked.of(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]), np.arange(4), LEGEND.names[:2], "")
    assert all(np.isnan(one.low) for one in Calibration(same, fitted=True).estimate(np.array([5.0, 5])))


def test_a_class_that_is_not_on_the_map_leaves_the_intervals_of_the_others():
    reference, mapped = np.array([0, 0, 0, 1, 1, 1, 2, 2]), np.array([0, 1, 0, 1, 1, 0, 2, 2])
    checked = Checked.of(mapped, reference, np.arange(8), LEGEND.names, "test polygons").at_shares([0.6, 0.4, 0.0])
    first, second, third = Calibration(checked, fitted=True).estimate(np.array([6.0, 4, 0]))
    assert first.low < first.value < first.high
    assert second.low < second.value < second.high
    assert third.value == pytest.approx(0, abs=1e-6)


def test_units_of_many_pixels_make_wider_intervals():
    rng = np.random.default_rng(1)
    truth = np.repeat(rng.choice(3, 60), 50)
    mapped = np.repeat(classified(truth[::50], rng), 50)
    zone = np.array([100.0, 100, 100])
    errors = [
        Calibration(Checked.of(mapped, truth, unit, LEGEND.names, "")).estimate(zone)[0].error
        for unit in (np.arange(3000), np.arange(3000) // 50)
    ]
    assert errors[1] > 5 * errors[0]


def test_shares_of_reference_classes_that_were_chosen_do_not_matter():
    rng, exact = np.random.default_rng(2), np.array([0.6, 0.3, 0.1])
    estimates = []
    for sizes in ((400, 400, 400), (1200, 100, 40)):
        truth = np.repeat(np.arange(3), sizes)
        mapped = np.concatenate(
            [np.repeat(np.arange(3), np.rint(row * n).astype(int)) for row, n in zip(CONFUSION, sizes)]
        )
        checked = Checked.of(mapped, truth, rng.permutation(len(truth)), LEGEND.names, "").at_shares(exact)
        estimates.append([one.value for one in Calibration(checked).estimate(exact @ CONFUSION)])
    assert estimates[0] == pytest.approx(exact)
    assert estimates[1] == pytest.approx(exact, abs=0.01)


def test_a_map_class_without_reference_pixels_is_taken_as_it_is_and_one_unit_gives_no_interval():
    checked = Checked.of(np.array([0, 0, 1]), np.array([0, 1, 1]), np.arange(3), LEGEND.names, "")
    first, second, third = Calibration(checked).estimate(np.array([10.0, 0, 5]))
    assert (first.value, second.value, third.value) == (5, 5, 5)
    assert first.low < 5 < first.high
    assert np.isnan(Calibration(checked).estimate(np.array([0.0, 8, 0]))[1].low)


def two_years(rng, changed=0.05, count=40_000):
    """Return (truth, map) before and after, with a known share of change."""
    before = rng.choice(3, count, p=[0.5, 0.3, 0.2])
    after = np.where(rng.random(count) < changed, (before + rng.integers(1, 3, count)) % 3, before)
    return (before, classified(before, rng)), (after, classified(after, rng))


@pytest.mark.slow
def test_intervals_of_change_cover_the_truth_and_the_naive_count_does_not():
    rng, covered, naive, alone = np.random.default_rng(7), [], [], []
    for _ in range(40):
        years = two_years(rng)
        checked = [sampled(mapped, truth, 1500, rng) for truth, mapped in years]
        (first, one), (second, two) = years
        found = adjusted(np.bincount(3 * one + two, minlength=9).reshape(3, 3).astype(float), *checked)
        true = float((first != second).mean())
        covered.append(found.changed.low <= true <= found.changed.high)
        naive.append(found.changed.low <= float((one != two).mean()) <= found.changed.high)
        alone.append(found.by_error)
    assert np.mean(covered) >= 0.9
    assert not any(naive)
    share = np.array([0.5, 0.3, 0.2])
    assert np.mean(alone) == pytest.approx(1 - float(share @ (CONFUSION**2).sum(1)), abs=0.02)


def test_true_transitions_are_found_exactly_without_sampling():
    truth = np.diag([0.45, 0.3, 0.15]) + np.array([[0, 0.04, 0], [0, 0, 0.02], [0.04, 0, 0]])
    checked = Checked.of(np.tile(np.arange(3), 3), np.repeat(np.arange(3), 3), np.arange(9), LEGEND.names, "")
    checked = checked.weighted(CONFUSION)
    found = adjusted(CONFUSION.T @ truth @ CONFUSION * 1e6, checked, checked)
    assert [[one.value for one in row] for row in found.shares] == [pytest.approx(row, abs=1e-5) for row in truth]
    assert found.changed.value == pytest.approx(0.1, abs=1e-5)


def of_polygons(rates, rng, polygons=30, pixels=15):
    """Return test polygons of each class, whose pixels are mapped with the rates (K, K), alike in a polygon."""
    classes = len(rates)
    reference = np.repeat(np.arange(classes), polygons * pixels)
    unit = np.repeat(np.arange(classes * polygons), pixels)
    own = np.array([rng.dirichlet(8 * rates[k]) for k in np.repeat(np.arange(classes), polygons)])
    mapped = (rng.random((len(unit), 1)) > np.cumsum(own, 1)[unit]).sum(1).clip(0, classes - 1)
    return Checked.of(mapped, reference, unit, [str(k) for k in range(classes)], "polygons")


def test_the_changed_share_of_many_classes_is_in_its_interval():
    """It was in a third of the intervals: the sum of 90 rare transitions, none of them negative, is too high."""
    rng, classes, changed = np.random.default_rng(0), 10, 0.05
    rates = np.full((classes, classes), 0.2 / 9) + (0.8 - 0.2 / 9) * np.eye(classes)
    truth = np.full((classes, classes), changed / 90)
    np.fill_diagonal(truth, (1 - changed) / classes)
    found = [adjusted(rates.T @ truth @ rates, of_polygons(rates, rng), of_polygons(rates, rng)) for _ in range(20)]
    assert np.mean([one.changed.low <= changed <= one.changed.high for one in found]) >= 0.8
    assert np.mean([one.changed.value for one in found]) == pytest.approx(changed, abs=0.01)
    kept = [one.shares[0][0].low <= truth[0, 0] <= one.shares[0][0].high for one in found]
    assert np.mean(kept) >= 0.8


def test_change_is_not_adjusted_by_rates_that_do_not_explain_a_map():
    """0.02 of change were estimated, by transitions that do not give the mapped ones."""
    rates = np.array([[0.55, 0.40, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    checked = of_polygons(rates, np.random.default_rng(0))
    mapped = np.diag([0.7, 0.02, 0.2]) + 0.08 / 9
    with pytest.raises(
        FinishError, match=r"polygons: the rates of confusion do not explain .* difference 2\d\.\d points"
    ):
        adjusted(mapped / mapped.sum(), checked, checked)


def test_maps_that_repeat_errors_have_no_estimated_change():
    """The estimate was 0, with an interval from 0."""
    rates, share = np.array([[0.7, 0.3], [0.3, 0.7]]), np.array([0.5, 0.5])
    checked = of_polygons(rates, np.random.default_rng(0), 60)
    with pytest.raises(FinishError, match=r"differ in 0\.0 % of their area, less than their errors alone"):
        adjusted(np.diag(share @ rates), checked, checked)


def test_change_cannot_be_adjusted_without_the_confusions_of_every_class():
    checked = Checked.of(np.array([0, 1]), np.array([0, 1]), np.arange(2), LEGEND.names, "test polygons of runs/a")
    with pytest.raises(FinishError, match="test polygons of runs/a: no reference pixel of water"):
        adjusted(np.ones((3, 3)), checked, checked)


def test_transitions_of_two_maps_and_their_map(tmp_path, capsys):
    (before, _), (after, _) = random_codes(1), random_codes(2)
    first = delivered(tmp_path / "a", before)
    moved = ("EPSG:32740", Affine(10, 0, 300_050, 0, -10, 7_650_030))  # 5 columns east, 3 rows north
    second = delivered(tmp_path / "b", after, moved)
    assert main(["change", str(first.folder), str(second.folder), "--out", str(tmp_path / "c")]) == 0
    assert "changed as mapped" in capsys.readouterr().out
    old, new = before[:57, 5:], after[3:, :65]
    with rasterio.open(tmp_path / "c/change.tif") as dataset:
        codes, names = dataset.read(1), dataset.tags(1)
        assert dataset.transform == Affine(10, 0, 300_050, 0, -10, 7_650_000)
    position = {code: k for k, code in enumerate(LEGEND.codes)}
    both = (old > 0) & (new > 0)
    expected = np.vectorize(lambda a, b: 3 * position[a] + position[b] + 1)(
        np.where(both, old, 4), np.where(both, new, 4)
    )
    assert np.array_equal(codes, np.where(both, expected, 0))
    assert (names["CLASS_2"], names["CLASS_5"]) == ("maize → meadow", "meadow, no change")
    with (tmp_path / "c/transitions.csv").open() as stream:
        for row in csv.DictReader(stream):
            pair = [LEGEND.codes[LEGEND.names.index(row[key])] for key in ("before", "after")]
            assert float(row["mapped_ha"]) == pytest.approx(((old == pair[0]) & (new == pair[1])).sum() / 100)
            assert row["estimated_ha"] == ""
    summary = json.loads((tmp_path / "c/change.json").read_text())
    assert summary["mapped_changed_share"] == pytest.approx((old != new)[both].mean())


@pytest.fixture
def retrained(finished, tmp_path):
    """A run that was trained and evaluated again after its map, with its recipe."""
    one = finished()
    out, recipe = one.copied(tmp_path / "run"), one.recipe.with_name(f"again-{tmp_path.name}.toml")
    recipe.write_text(one.recipe.read_text().replace("trees = 20", "trees = 1") + "[finish]\nmajority = 3\n")
    for stage in ("train", "evaluate"):
        assert main([stage, str(recipe), "--out", str(out), "--overwrite"]) == 0
    return recipe, out


def test_the_test_pixels_of_another_model_correct_no_map(retrained, finished, tmp_path, capsys):
    (recipe, out), one, told = retrained, finished(), Told()
    assert pixels_at(one.out) == one.out / "splits/0/test.parquet"
    assert pixels_at(out) == pixels_at(out / "map") == OTHER_MODEL
    why = OTHER_MODEL
    write_zones(tmp_path / "z.gpkg", [shapely.box(*open_delivered(out).grid.bounds)])
    found = zones_job.zones_of(out, tmp_path / "z.gpkg", "", tmp_path / "z.csv", None, told)
    assert found.estimates is None
    assert told.words[-1] == f"No areas are estimated: {why}, and no labelled sample is given."
    assert change(Year(one.out), Year(out), tmp_path / "c", told).estimated is None
    assert f"{out}: {why}." in told.words
    assert fuse([one.out, out], tmp_path / "fused", Fusing(), told)["accuracy"] is None
    assert any(f"{out}: {why}." in word for word in told.words)
    with pytest.raises(FinishError, match="has no confusion matrix: the map is not by the model that its run has now"):
        fuse([one.out, out], tmp_path / "believed", Fusing("dempster-shafer"))
    assert main(["map", str(recipe), "--out", str(out)]) == 0
    assert pixels_at(out) == out / "splits/0/test.parquet"


@pytest.fixture
def edited(finished, tmp_path):
    """A run whose map was edited by hand."""
    out = finished().copied(tmp_path / "run")
    with rasterio.open(out / "map/classes.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        codes = dataset.read(1)
        codes[:10] = 1
        dataset.write(codes, 1)
    return out


def test_the_test_pixels_of_a_map_before_it_was_edited_correct_no_map(edited, finished, tmp_path):
    one, out, told = finished(), edited, Told()
    assert pixels_at(out) == pixels_at(out / "map") == EDITED
    write_zones(tmp_path / "z.gpkg", [shapely.box(*open_delivered(out).grid.bounds)])
    assert zones_job.zones_of(out, tmp_path / "z.gpkg", "", tmp_path / "z.csv", None, told).estimates is None
    assert told.words[-1] == f"No areas are estimated: {EDITED}, and no labelled sample is given."
    assert change(Year(one.out), Year(out), tmp_path / "c", told).estimated is None
    assert f"{out}: {EDITED}." in told.words
    assert fuse([one.out, out], tmp_path / "fused", Fusing(), told)["accuracy"] is None
    with pytest.raises(FinishError, match="has no confusion matrix: its classes.tif was changed since it was written"):
        fuse([one.out, out], tmp_path / "believed", Fusing("dempster-shafer"))
    assert open_viewed(out).tested is None


def test_an_edited_map_is_used_as_it_is_and_reported(edited, finished, tmp_path):
    used = "/map/classes.tif was changed since the map was written. It is used as it is now"
    for work in (lambda to, told: fuse([finished().out, edited], to, Fusing(), told),
                 lambda to, told: make_mosaic([finished().out, edited], to, progress=told)):  # fmt: skip
        told = Told()
        work(tmp_path / f"{id(work)}", told)
        assert [text.startswith(f"{edited}{used}") for text in told.words if used in text] == [True]


def test_a_fused_map_that_was_edited_has_no_test_pixels(finished, tmp_path):
    one = finished()
    fuse([one.out, one.copied(tmp_path / "other")], tmp_path / "fused", Fusing())
    assert pixels_at(tmp_path / "fused") == tmp_path / "fused/test.parquet"
    with rasterio.open(tmp_path / "fused/map/classes.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.write(np.ones_like(dataset.read(1)), 1)
    assert pixels_at(tmp_path / "fused") == EDITED


def test_the_test_pixels_of_an_earlier_model_say_nothing_about_the_map_of_its_successor(finished, tmp_path):
    """They may have trained the successor: the draw is another."""
    one, told = finished(), Told()
    out = one.copied(tmp_path / "run")
    before = {name: (out / "splits/0" / name).read_bytes() for name in ("test.parquet", "score.json")}
    recipe = read_recipe(one.recipe, ["split.seed=7"])
    run(recipe, out, ("train", "map"), overwrite=True)
    assert not [name for name in before if (out / "splits/0" / name).exists()]
    for name, content in before.items():  # as an earlier version of Bocage left them
        (out / "splits/0" / name).write_bytes(content)
    assert pixels_at(out) == NOT_EVALUATED
    assert fuse([one.out, out], tmp_path / "fused", Fusing(), told)["accuracy"] is None
    assert any(f"{out}: {NOT_EVALUATED}." in word for word in told.words)
    run(recipe, out, ("evaluate",))
    assert pixels_at(out) == out / "splits/0/test.parquet"
    records = json.loads((out / "provenance.json").read_text())
    records["stages"]["train/0"]["finished"] = "2999-01-01T00:00:00+00:00"
    (out / "provenance.json").write_text(json.dumps(records))
    assert pixels_at(out) == NOT_EVALUATED


@pytest.mark.slow
def test_a_map_whose_model_was_trained_on_all_polygons_has_no_test_pixels(finished, tmp_path):
    whole = read_recipe(finished().recipe, ["split.train=1.0", "split.draws=1"])
    run(whole, tmp_path / "run", ("train", "evaluate", "map"))
    assert pixels_at(tmp_path / "run") == NOT_TESTED


def test_the_viewer_shows_no_test_of_another_model_over_a_map(retrained, finished):
    one, out = finished(), retrained[1]
    viewed = open_viewed(out)
    assert open_viewed(one.out).tested is not None
    assert viewed.tested is None
    assert [note for note in viewed.notes("en") if OTHER_MODEL in note]


def test_finish_does_not_measure_a_map_of_another_model(retrained):
    (recipe, out), told = retrained, Told()
    finish(read_recipe(recipe), out, told)
    assert f"The accuracy of the finished map is not measured: {OTHER_MODEL}." in told.words


def test_the_map_of_another_model_in_the_folder_of_a_run_has_no_test_pixels(finished, tmp_path):
    one, other = finished(), finished(GRU)
    out = one.copied(tmp_path / "run")
    assert main(["map", str(one.recipe), "--model", str(other.out), "--out", str(out), "--overwrite"]) == 0
    assert pixels_at(out) == OTHER_MODEL
    elsewhere = tmp_path / "elsewhere"
    assert main(["map", str(one.recipe), "--model", str(one.out), "--out", str(elsewhere)]) == 0
    assert pixels_at(elsewhere) == one.out / "splits/0/test.parquet"


def test_a_map_of_another_version_has_the_test_pixels_that_its_records_give(finished, tmp_path):
    """The fingerprint of a model depends on the version of Bocage."""
    out = finished().copied(tmp_path / "run")
    item = out / "map/item.json"
    record = json.loads(item.read_text())
    record["properties"]["bocage:model_fingerprint"] = "of another version"
    item.write_text(json.dumps(record))
    assert pixels_at(out) == OTHER_MODEL
    record["properties"]["bocage:versions"]["bocage"] = "0.0.1"
    item.write_text(json.dumps(record))
    assert pixels_at(out) == out / "splits/0/test.parquet"
    stages = json.loads((out / "provenance.json").read_text())
    stages["stages"]["train/0"]["finished"] = "2999-01-01T00:00:00+00:00"
    (out / "provenance.json").write_text(json.dumps(stages))
    assert pixels_at(out) == OTHER_MODEL


def test_change_between_two_runs_is_adjusted(finished, tmp_path):
    one = finished()
    found = change(Year(one.out), Year(one.out), tmp_path / "c")
    assert found.changed == 0
    assert found.estimated.changed.value == pytest.approx(0, abs=0.02)
    assert json.loads((tmp_path / "c/change.json").read_text())["changed_share_by_error_alone"] >= 0


def test_a_comparison_is_kept_until_a_map_or_a_file_changes(tmp_path, finished):
    one, told = finished(), Told()
    first = change(Year(one.out), Year(one.out), tmp_path / "c", told)
    before = (tmp_path / "c/change.tif").stat().st_mtime_ns
    again = change(Year(one.out), Year(one.out), tmp_path / "c", told)
    assert told.words == ["change: up to date"]
    assert np.array_equal(again.mapped, first.mapped)
    assert again.estimated == first.estimated
    (tmp_path / "c/change.tif").write_bytes(b"x")
    change(Year(one.out), Year(one.out), tmp_path / "c", told)
    assert (tmp_path / "c/change.tif").stat().st_mtime_ns > before
    out = one.copied(tmp_path / "run")
    tested = pd.read_parquet(out / "splits/0/test.parquet")
    tested.loc[0, "predicted"] = (tested.loc[0, "predicted"] + 1) % 3
    tested.loc[:, ~tested.columns.str.startswith("probability_")].to_parquet(out / "splits/0/test.parquet")
    change(Year(out), Year(one.out), tmp_path / "c", told)
    assert told.words == ["change: up to date"]


def test_changed_areas_of_an_earlier_version_are_computed_again(finished, tmp_path, monkeypatch):
    """Those in Web Mercator were not areas on the ground."""
    one, told = finished(), Told()
    with monkeypatch.context() as earlier:
        earlier.setattr(change_job, "FORMAT", 1)
        change(Year(one.out), Year(one.out), tmp_path / "c")
    change(Year(one.out), Year(one.out), tmp_path / "c", told)
    assert "change: up to date" not in told.words


def test_maps_that_cannot_be_compared_are_refused(tmp_path):
    codes, _ = random_codes(1)
    first = delivered(tmp_path / "a", codes)
    far = delivered(tmp_path / "far", codes, ("EPSG:32740", Affine(10, 0, 400_000, 0, -10, 7_650_000)))
    with pytest.raises(FinishError, match="have no common area"):
        change(Year(first.folder), Year(far.folder), tmp_path / "c")
    off = delivered(tmp_path / "off", codes, ("EPSG:32740", Affine(10, 0, 300_003, 0, -10, 7_650_000)))
    with pytest.raises(MappingError, match="is not aligned with the pixels of"):
        change(Year(first.folder), Year(off.folder), tmp_path / "c")
    other = Legend((*LEGEND.classes[:2], LandClass(9, "lake")))
    lake, gone = delivered(tmp_path / "lake", codes, legend=other), LEGEND.names[2]
    with pytest.raises(MappingError, match=f"only .*lake has 9 lake; only .*a has .*{gone}.*rare = .train"):
        change(Year(first.folder), Year(lake.folder), tmp_path / "c")
    empty = delivered(tmp_path / "empty", np.where(codes > 0, 0, 4))
    with pytest.raises(FinishError, match="no pixel where both have a class"):
        change(Year(first.folder), Year(empty.folder), tmp_path / "c")
    assert not (tmp_path / "c/change.tif").exists()
    assert not (tmp_path / "c/change.json").exists()


@pytest.mark.parametrize("crs", ["EPSG:32740", "EPSG:4326"])
def test_zones_without_finite_coordinates_or_an_area_are_left_out(tmp_path, crs):
    """A sliver of 1e-9 m has an area in its own CRS, and may have none in that of the map."""
    land, told = delivered(tmp_path, random_codes(1)[0]), Told()
    good = gpd.GeoSeries([square(0, 0)], crs="EPSG:32740").to_crs(crs)[0]
    odd = not_finite(np.nan, np.inf)
    nowhere = shapely.transform(square(0, 0), lambda xy: np.full_like(xy, np.inf))
    x, y = good.exterior.coords[0]
    line = shapely.Polygon([(1, 1), (2, 2), (4, 4)])
    sliver = shapely.Polygon([(x, y), (x + 0.0003, y - 0.0003), (x + 0.0007, np.nextafter(y - 0.0007, 90))])
    path = write_zones(tmp_path / "z.gpkg", [good, *odd, nowhere, line, sliver], crs=crs)
    zones = read_zones(path, "", land.grid, told)
    assert zones.names[0] == "1"
    assert not {"2", "3", "4", "5"} & set(zones.names)
    assert any("of 6 features have no polygon" in line for line in told.words)
    found = zone_statistics(land, zones, None, told)
    assert found.size[0] == pytest.approx(good.area if crs == "EPSG:32740" else found.size[0])
    with pytest.raises(FinishError, match="no polygon with an area and finite coordinates; found 2 features"):
        read_zones(write_zones(tmp_path / "odd.gpkg", odd, crs=crs), "", land.grid, told)


def test_the_area_of_no_polygon_is_empty():
    assert ground_areas(np.zeros(0, object), pyproj.CRS(32740)).shape == (0,)
