"""Labels of several seasons or years of one place: their periods, the dates of each, and sampling units that share ground."""

import datetime
from dataclasses import replace

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine

from bocage.errors import RecipeError, SamplesError, SourceError
from bocage.grid import Grid
from bocage.jobs.check import check
from bocage.jobs.init import write_recipe
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.legend import LandClass, Legend
from bocage.recipe import read_recipe
from bocage.run import open_run, open_scene, open_sites
from bocage.run.judging import _in_folds
from bocage.samples import Pixels
from bocage.samples.ground import Ground, coinciding, origins, positions_in, shared_units
from bocage.samples.make import assembled, samples_of, taken
from bocage.samples.periods import periods_in
from bocage.samples.reference import Reference, read_features
from bocage.samples.samples import Labelled
from bocage.samples.split import Split, Units, draw
from bocage.sources.inventory import look
from bocage.sources.until import within
from bocage.testing import Place, write_raster
from bocage.testing.fakes import CORNER
from bocage.view import open_viewed
from bocage.view.places import polygons_of
from conftest import FOREST, S2
from conftest import written as recipe_of

DATES = [f"{year}-{month:02d}-11" for year in (2020, 2021) for month in (9, 10, 11, 12)]
SIZE = 40


def land(folder, dates=DATES, count=8):
    """Write stacks of unnamed bands, a file with their dates, and polygons whose label changes from one season to the next."""
    values = np.random.default_rng(2).uniform(0.02, 0.5, (count, SIZE, SIZE)).astype(np.float32)
    for name in ("red", "nir", "ndvi"):
        write_raster(folder / f"cube/{name}.tif", values)
    write_raster(folder / "cube/doy.tif", np.full(values.shape, 260, np.float32))
    (folder / "cube/timeline").write_text("".join(f'"{text}"\n' for text in dates))
    return folder / "cube", labels(folder)


def labels(folder, seasons=(("2020-09-01", "2021-09-01"), ("2021-09-01", "2022-09-01"))):
    rows = []
    for first, last in seasons:
        for i in range(8):
            x, y = CORNER[0] + 10 * (1 + 5 * (i % 4)), CORNER[1] - 10 * (1 + 6 * (i // 4))
            crop = ("maize", "cotton")[(i % 2 + (first == "2021-09-01") * (i < 4)) % 2]
            rows.append({"crop": crop, "from": first, "to": last, "geometry": shapely.box(x, y - 30, x + 30, y)})
    path = folder / "labels.gpkg"
    geopandas.GeoDataFrame(rows, crs="EPSG:32740").to_file(path)
    return path


def test_a_stack_has_the_dates_of_the_text_file_beside_it(tmp_path):
    cube, _ = land(tmp_path)
    found = look(cube)
    (series,) = found.series.values()
    assert (set(series.variables), len(series.places)) == ({"red", "nir", "ndvi"}, len(DATES))
    assert series.dates == str(cube / "timeline")
    assert not found.images
    assert ["doy.tif" in line and "day of the year" in line for line in found.skipped] == [True]
    (cube / "timeline").write_text("\n".join(DATES[1:]))
    assert set(look(cube).images) == {"red", "nir", "ndvi"}, "dates of another number of bands are not used"
    for name, first in (("a.txt", "2020-09-12"), ("b.txt", "2020-09-13")):
        (cube / name).write_text("\n".join([first, *DATES[1:]]))
    found = look(cube)
    assert set(found.images) == {"red", "nir", "ndvi"}
    assert any("a.txt, b.txt give different dates" in line for line in found.remarks)


def test_labels_of_two_seasons_become_two_sites_whose_fields_share_their_part_of_the_split(tmp_path):
    cube, reference = land(tmp_path)
    lines = write_recipe(cube, reference, "crop", tmp_path / "mine.toml")
    recipe = read_recipe(tmp_path / "mine.toml")
    assert [site.name for site in recipe.sites] == ["2020-2021", "2021-2022"]
    assert [site.sources["cube"].preparation.period[1].isoformat() for site in recipe.sites] == [
        "2021-08-31",
        "2022-08-31",
    ]
    assert recipe.sites[0].sources["cube"].preparation.indices == (), "the band ndvi is there"
    assert any("each of the 2 periods is a site" in line for line in lines)
    assert not recipe.compare
    assert not any("bocage compare" in line for line in lines)
    for name in ("mine.toml", "mine-forest.toml"):
        assert [f for f in check(tmp_path / name).findings if f.severity == "error"] == []
    recipe = read_recipe(tmp_path / "mine-forest.toml", ["split.draws=3"])
    samples = open_sites(recipe, tmp_path / "run").joined
    assert samples.cuts["cube"].parts[0].read(np.arange(1))[0].shape[1] == len(
        recipe.sites[0].sources["cube"].preparation.fill.days
    )
    place = samples.row * SIZE + samples.column
    for k in range(samples.draws):
        parts = samples.draw(k).parts
        assert not set(place[parts["test"]]) & {*place[parts["train"]], *place[parts["validation"]]}
    assert len(np.unique(samples.polygon)) == 16
    assert len(np.unique(samples.group)) == 8
    assert any(note.code == "shared_ground" and note.value("n") == 16 for note in samples.notes)
    assert np.array_equal(samples.chips.unit, samples.ground)


def test_three_labels_of_one_field_are_one_unit_for_init_check_and_run(tmp_path):
    years = (2020, 2021, 2022)
    cube, reference = land(tmp_path, [f"{year}-{month:02d}-11" for year in years for month in (9, 10, 11, 12)], 12)
    frame = geopandas.read_file(labels(tmp_path, [(f"{year}-09-01", f"{year + 1}-09-01") for year in years]))
    frame.loc[[7, 15, 23], "crop"] = "rice"
    frame.to_file(reference)
    lines = write_recipe(cube, reference, "crop", tmp_path / "mine.toml")
    assert any(
        "too few polygons at different places (fewer than 3)" in line and "'rice' (3 at 1 place)" in line
        for line in lines
    )
    path = tmp_path / "mine-forest.toml"
    text = path.read_text()
    assert "excludes classes with fewer than 3 polygons at different places" in text
    assert open_sites(read_recipe(path), tmp_path / "run").joined.legend.names == ("cotton", "maize")
    path.write_text(text.replace('rare = "drop"', 'rare = "stop"'))
    (found,) = (f for f in check(path).findings if f.severity == "error")
    assert (found.what.code, found.what.value("n"), found.what.value("polygons")) == ("too_few_places", 1, 3)
    assert str(found.where) == "class rice"
    with pytest.raises(SamplesError, match=r"'rice' \(3 at 1 place\)"):
        open_sites(read_recipe(path), tmp_path / "other")
    path.write_text(text.replace("train = 0.8\ndraws = 10", 'site = "leave-one-out"'))
    assert "rice" in open_sites(read_recipe(path), tmp_path / "left").joined.legend.names, (
        "other years of a field train"
    )


@pytest.mark.slow
def test_the_viewer_shows_the_polygons_of_a_season(tmp_path):
    cube, reference = land(tmp_path)
    write_recipe(cube, reference, "crop", tmp_path / "mine.toml")
    run(read_recipe(tmp_path / "mine-forest.toml", ["split.draws=1", "model.trees=5"]), tmp_path / "run")
    viewed = open_viewed(tmp_path / "run", "2021-2022")
    shown = polygons_of(viewed)["features"]
    assert len(shown) == 8
    assert {one["properties"]["part"] for one in shown} > {"test"}
    assert RunLayout(tmp_path / "run").site("2021-2022").map.is_complete


def test_another_year_may_train_on_the_same_fields_if_it_is_left_out(tmp_path):
    cube, reference = land(tmp_path)
    write_recipe(cube, reference, "crop", tmp_path / "mine.toml")
    text = (tmp_path / "mine-forest.toml").read_text().replace("train = 0.8\ndraws = 10", 'site = "leave-one-out"')
    (tmp_path / "mine-forest.toml").write_text(text)
    samples = open_sites(read_recipe(tmp_path / "mine-forest.toml"), tmp_path / "run").joined
    first = samples.draw(0)
    assert set(samples.row[first.train]) == set(samples.row[first.test])


def test_labels_of_one_period_choose_the_dates_of_the_images(tmp_path):
    cube, _ = land(tmp_path)
    path = labels(tmp_path, (("2020-09-01", "2021-09-01"),))
    frame = geopandas.read_file(path)
    frame.loc[0, ["from", "to"]] = ""
    frame.to_file(path)
    lines = write_recipe(cube, path, "crop", tmp_path / "mine.toml")
    recipe = read_recipe(tmp_path / "mine.toml")
    assert not recipe.sites
    assert [str(day) for day in recipe.sources["cube"].preparation.period] == ["2020-09-01", "2021-08-31"]
    assert recipe.reference.where
    assert any("the labels hold from 2020-09-01 to 2021-08-31" in line for line in lines)
    assert any("1 label has no period" in line for line in lines)
    assert len(read_features(recipe.reference)) == 7
    other = labels(tmp_path, (("2001-09-01", "2002-09-01"),))
    write_recipe(cube, other, "crop", tmp_path / "other.toml")
    assert read_recipe(tmp_path / "other.toml").sources["cube"].preparation.period is None, (
        "a remark, as for labels of another year"
    )


def test_periods_are_found_with_other_names_dates_and_blanks(tmp_path):
    cube, path = land(tmp_path)
    frame = geopandas.read_file(path)
    frame.loc[[0, 9], ["from", "to"]] = ["", ""]
    french = frame.assign(
        **{name: frame[name].str.replace(r"(\d+)-(\d+)-(\d+)", r"\3/\2/\1", regex=True) for name in ("from", "to")}
    )
    french.loc[5, "to"], french.loc[6, "to"] = "31/08/2021", "20/10/2021"
    french.rename(columns={"from": "date_debut", "to": "date_fin"}).to_file(tmp_path / "french.gpkg")
    lines = write_recipe(cube, tmp_path / "french.gpkg", "crop", tmp_path / "mine.toml")
    sites = read_recipe(tmp_path / "mine.toml").sites
    assert [len(read_features(site.reference)) for site in sites] == [6, 1, 7], "31 August and 1 September are one end"
    assert any(
        "2 labels have no period (fields 'date_debut' and 'date_fin') and are not used" in line for line in lines
    )
    assert any("periods overlap" in line for line in lines)


def test_a_stack_without_its_dates_is_said(tmp_path):
    cube, path = land(tmp_path, DATES[1:])
    with pytest.raises(
        SamplesError, match="has 8 bands without dates. .*: no file has 8 dates for its bands; found timeline .7."
    ):
        write_recipe(cube, path, "crop", tmp_path / "mine.toml")
    (cube / "timeline").unlink()
    with pytest.raises(SamplesError, match="If each band is a date, write a text file with a date per band beside it"):
        write_recipe(cube, path, "crop", tmp_path / "mine.toml")


def test_labels_that_contradict_each_other_at_one_place_are_a_remark(tmp_path):
    cube, path = land(tmp_path)
    frame = geopandas.read_file(path).rename(columns={"from": "begin", "to": "finish"})
    frame.to_file(tmp_path / "odd.gpkg")
    lines = write_recipe(cube, tmp_path / "odd.gpkg", "crop", tmp_path / "mine.toml")
    assert any("of 16 features on the map label no pixel: they contradict others" in line for line in lines)


def test_labels_of_a_period_without_images_are_not_used(tmp_path):
    cube, _ = land(tmp_path)
    seasons = (("2020-09-01", "2021-08-31"), ("2015-09-01", "2016-08-31"))
    lines = write_recipe(cube, labels(tmp_path, seasons), "crop", tmp_path / "mine.toml")
    recipe = read_recipe(tmp_path / "mine.toml")
    assert (len(recipe.sites), len(read_features(recipe.reference))) == (0, 8)
    assert any("8 labels hold from 2015-09-01 to 2016-08-31, and no series has a date then" in line for line in lines)
    with pytest.raises(SamplesError, match="no series has a date in a period of the labels"):
        write_recipe(cube, labels(tmp_path, (seasons[1], ("2014", "2014"))), "crop", tmp_path / "other.toml")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((("2020", "2020"), ("2021", "2021")), [("2020", "2020-01-01", "2020-12-31"), ("2021", "2021-01-01", "2021-12-31")]),
        ((("2020-03-01", "2020-10-31"), ("2020-11-01", "2021-02-20")), [
            ("2020", "2020-03-01", "2020-10-31"), ("2020-2021", "2020-11-01", "2021-02-20"),
        ]),
        ((("2020-01-01", "2020-07-01"), ("2020-07-01", "2020-12-31")), [
            ("2020-01-01 to 2020-06-30", "2020-01-01", "2020-06-30"), ("2020-07-01 to 2020-12-31", "2020-07-01", "2020-12-31"),
        ]),
        ((("2022-03-01", "2022-06-30"), ("2022-06-30", "2022-06-30")), [  # a survey of one day
            ("2022-03-01 to 2022-06-30", "2022-03-01", "2022-06-30"), ("2022-06-30 to 2022-06-30", "2022-06-30", "2022-06-30"),
        ]),
    ],
)  # fmt: skip
def test_periods_have_names_and_last_days_of_their_own(texts, expected):
    frame = pd.DataFrame(texts, columns=["from", "to"])
    found = periods_in(pd.concat([frame, frame]), ("from", "to"))
    assert [(p.name, str(p.first), str(p.last)) for p in found] == expected
    assert {p.count for p in found} == {2}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            [("2021-05-01", "2020-05-01")],
            "1 of the labels hold from 2021-05-01 to 2020-05-01 .fields .from. and .to..: the period ends before it begins",
        ),
        ([("2021-05-01", "autumn")], "fields 'from' and 'to'. cannot be read: 'autumn' is not a date"),
        ([(f"{1990 + k}", f"{1990 + k}") for k in range(21)], "21 different periods"),
    ],
)
def test_periods_that_cannot_be_used_are_said(texts, message):
    with pytest.raises(SamplesError, match=message):
        periods_in(pd.DataFrame(texts, columns=["from", "to"]), ("from", "to"))


# --- dates of a source, features of a reference
def test_a_period_keeps_its_first_and_last_day(landscape):
    text = S2.replace(
        "fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "period = [2021-03-11, 2021-05-11]\n"
    )
    source = open_scene(read_recipe(recipe_of(landscape, FOREST, text))).cubes["s2"].source
    assert [f"{time:%m-%d}" for time in source.times] == ["03-11", "04-11", "05-11"]
    with pytest.raises(
        SourceError, match="no date in its 'period' from 2019-01-01 to 2019-02-01: its dates are from 2021-03-11"
    ):
        within(source, (datetime.date(2019, 1, 1), datetime.date(2019, 2, 1)))
    with pytest.raises(SourceError, match="takes no 'period'"):
        within(
            replace(source, acquisitions=tuple(replace(a, time=None) for a in source.acquisitions)),
            (datetime.date.min,) * 2,
        )
    with pytest.raises(RecipeError, match="ends .2021-02-01. before it begins"):
        read_recipe(recipe_of(landscape, FOREST, text.replace("2021-05-11", "2021-02-01")))


def test_check_and_run_have_the_dates_of_the_period_and_their_grid(landscape):
    values = np.random.default_rng(3).integers(100, 3000, (2, 60, 80)).astype(np.uint16)
    for day, width in (("2021-03-11", 60), ("2021-04-11", 60), ("2022-04-11", 80)):
        write_raster(landscape / f"dated/{day}.tif", values[..., :width])
    text = '[sources.s2]\nsensor = "series"\npath = "dated/{date}.tif"\nbands = ["red", "nir"]\nscale = 0.0001\n'
    assert open_scene(read_recipe(recipe_of(landscape, FOREST, text))).grid.shape == (60, 80)
    path = recipe_of(landscape, FOREST, text + "period = [2021-01-01, 2021-12-31]\n")
    scene, seen = open_scene(read_recipe(path)), check(path)
    assert scene.grid.shape == (60, 60), "the image of another year does not extend the map"
    assert seen.grid == scene.grid
    assert seen.sources["s2"].times == scene.cubes["s2"].source.times


def test_an_image_of_a_period_can_be_pansharpened(landscape):
    dates = [f"2021-{month:02d}-11" for month in (3, 4)]
    values = np.random.default_rng(3).integers(100, 3000, (2, 60, 60)).astype(np.uint16)
    write_raster(landscape / "sharp.tif", np.repeat(np.repeat(values[:1], 4, 1), 4, 2), Place(resolution=2.5))
    for day, image in zip(dates, values, strict=True):
        write_raster(landscape / f"dated/{day}.tif", np.stack([image, image + 50]))
    text = """
[sources.pan]
sensor = "image"
path = "sharp.tif"
bands = ["pan"]
scale = 0.0001
[sources.ms]
sensor = "series"
path = "dated/{date}.tif"
bands = ["red", "nir"]
scale = 0.0001
period = [2021-03-01, 2021-03-31]
[sources.both]
sensor = "pansharpened"
pan = "pan"
ms = "ms"
"""
    path = recipe_of(landscape, FOREST, text, like="ms")
    assert [f.what for f in check(path).findings if f.severity == "error"] == []
    assert open_scene(read_recipe(path)).cubes["both"].source.bands == ("red", "nir")


def test_a_condition_selects_features(tmp_path):
    reference = Reference(labels(tmp_path), "crop", where="crop = 'maize' AND \"from\" LIKE '2021%'")
    found = read_features(reference)
    assert set(zip(found.crop, found["from"], strict=True)) == {("maize", "2021-09-01")}
    assert list(found.index) == list(range(len(found)))
    assert len(read_features(replace(reference, where=""))) == 16
    with pytest.raises(
        SamplesError, match="where = .kind = 1. cannot be used: no such column: kind. Its fields are: crop, from, to"
    ):
        read_features(replace(reference, where="kind = 1"))
    with pytest.raises(
        SamplesError, match="is met by no feature. The first feature has crop = .maize., from = .2020-09-01."
    ):
        read_features(replace(reference, where="crop = 'rice'"))
    table = geopandas.read_file(reference.path)
    table.assign(code=range(len(table))).to_file(tmp_path / "codes.gpkg")
    with pytest.raises(SamplesError, match=r", code = 0\."):
        read_features(Reference(tmp_path / "codes.gpkg", "crop", where="code = 99"))
    with pytest.raises(
        SamplesError, match='the name "corp" in double quotes, and no field is called so. Did you mean .crop.'
    ):
        read_features(replace(reference, where="\"corp\" != 'maize' AND crop = '\"odd\"'"))
    with pytest.raises(SamplesError, match="cannot be used"):
        read_features(replace(reference, where="1); DROP TABLE features; --"))


# --- ground
def grid(east=0.0, north=0.0, size=20, step=10.0, crs="EPSG:32631"):
    return Grid.of(crs, Affine(step, 0, 500000 + east, 0, -step, 5500000 + north), (size, size))


def test_sites_share_ground_where_their_maps_overlap():
    assert origins([grid(), grid(east=5000), grid(east=50, step=20.0), grid(east=5100)]) == [0, 1, 0, 1]
    assert origins([grid(), grid(crs="EPSG:32740")]) == [0, 1]
    first, second, third = grid(), grid(east=150), grid(east=300)  # 200 m wide: the outer ones do not touch
    assert (
        origins([first, second, third]) == origins([first, third, second]) == origins([second, third, first]) == [0] * 3
    )
    assert origins([grid(east=5000), first, third, second]) == [0, 1, 1, 1]
    other = grid(step=20.0, east=40, north=-40)
    found = positions_in(grid(), other, np.array([0, 3], np.int32), np.array([0, 1], np.int32))
    assert np.allclose(found, [[5, 5], [11, 7]])
    neighbour = Grid.from_bounds("EPSG:32632", 10, (55000, 5510000, 56000, 5511000))
    row, column = np.array([7], np.int32), np.array([9], np.int32)
    x, y = neighbour.crs.proj, grid().crs.proj
    from pyproj import Transformer

    east, north = Transformer.from_crs(x, y, always_xy=True).transform(55095, 5510925)
    assert np.allclose(positions_in(grid(), neighbour, row, column), [[(5500000 - north) / 10, (east - 500000) / 10]])


def test_a_field_of_two_sites_is_one_unit_if_a_third_site_overlaps_one_of_them():
    """A strip of three maps: a field in the second and the third must not train one model and test another."""
    row, column = np.mgrid[5:9, 16:20].reshape(2, -1).astype(np.int32)
    elsewhere = Pixels(row, column - 16, np.zeros(16, np.int32), np.full(16, 7, np.int32))
    second = Pixels(row, column, np.zeros(16, np.int32), np.full(16, 8, np.int32))
    third = Pixels(row, column - 15, np.zeros(16, np.int32), np.full(16, 9, np.int32))
    for grids, parts in (
        ([grid(), grid(east=150), grid(east=300)], [elsewhere, second, third]),
        ([grid(), grid(east=300), grid(east=150)], [elsewhere, third, second]),
    ):
        units = Ground.of(parts, grids).units(np.concatenate([part.polygon for part in parts]))
        assert len(np.unique(units[16:])) == 1
        assert units[0] != units[16]


def squares(*corners, side=4):
    rows, columns = np.mgrid[:side, :side]
    return np.concatenate([np.stack([rows.ravel() + r, columns.ravel() + c], 1) + 0.5 for r, c in corners])


def test_polygons_of_two_sites_are_one_unit_if_half_of_the_smaller_one_is_shared():
    position = squares((0, 0), (0, 4), (0, 1), (0, 7))
    polygon = np.repeat([3, 5, 8, 9], 16).astype(np.int32)
    site = np.repeat([0, 0, 1, 1], 16)
    unit = shared_units(position, np.zeros(64, int), site, polygon)
    a, b, c, d = unit[::16]
    assert a == c, "three quarters"
    assert len({a, b, d}) == 3, "a quarter of a neighbour"
    apart = shared_units(position, site, site, polygon)
    assert len(set(apart[::16])) == 4, "sites of other grids are elsewhere"


def test_a_split_keeps_the_polygons_of_a_unit_together():
    polygon = np.arange(40)
    units = Units(np.tile([0, 1], 20), polygon, polygon * 0, None, site=np.repeat([0, 1], 20), ground=polygon % 20)
    for split in (Split(train=0.5), Split(folds=4)):
        own = units if not split.folds else replace(units, fold=units.ground % 4)
        parts = draw(own, split, 1)
        held = set(units.ground[parts.test]) | set(units.ground[parts.validation])
        assert not set(units.ground[parts.train]) & set(units.ground[parts.test])
        assert len(held) < 20
    assert np.array_equal(units.take(np.array([3, 25])).ground, [3, 5])


def test_samples_of_one_place_are_one_unit():
    place = np.array([[0.0, 0.0], [0.2, 0.0], [500.0, 0.0], [900.0, 0.0], [900.0, 40.0]])
    unit = coinciding(place, np.array([7, 8, 9, 4, 4], np.int32))
    assert unit is not None
    assert (unit[0] == unit[1], unit[3] == unit[4], len(set(unit.tolist()))) == (True, True, 3)
    assert coinciding(place, np.array([7, 7, 9, 4, 4], np.int32)) is None, "polygons are units already"
    assert coinciding(None, np.arange(5, dtype=np.int32)) is None


def seasons_in_a_table(folder, late=0):
    """Write a table with the series of 24 samples at 12 places in two seasons, and the labels with their periods."""
    samples, rows = [], []
    for i in range(24):
        year, spot = 2020 + i // 12, i % 12
        lon, lat = 15 + 0.01 * spot, -12.0
        samples.append(
            {
                "sample": i,
                "longitude": lon,
                "latitude": lat,
                "start_date": f"{year}-09-01",
                "end_date": f"{year + 1}-09-01",
                "crop": "ab"[i % 2],
            }
        )
        days = pd.date_range(f"{year}-09-14", periods=20, freq="16D") + pd.Timedelta(late * (i == 3), "D")
        rows += [{"sample": i, "date": day, "ndvi": 0.2 + 0.4 * (i % 2), "evi": 0.1} for day in days]
    (folder / "tables").mkdir(exist_ok=True)
    pd.DataFrame(rows).to_csv(folder / "tables/series.csv", index=False)
    pd.DataFrame(samples).to_csv(folder / "samples.csv", index=False)
    return folder / "tables", folder / "samples.csv"


def test_a_table_with_the_series_of_each_sample_in_its_season(tmp_path):
    write_recipe(*seasons_in_a_table(tmp_path), "crop", tmp_path / "mine.toml")
    recipe = read_recipe(tmp_path / "mine.toml", ["split.draws=3"])
    assert not recipe.sites
    opened = open_run(recipe, tmp_path / "run")
    samples, place = opened.samples, np.array([int(name) % 12 for name in opened.scene.ids])
    assert any(note.code == "same_place" and note.value("n") == 24 for note in samples.notes)
    some = np.arange(5)
    assert np.array_equal(taken(samples, some).ground, samples.ground[some])
    for k in range(3):
        parts = samples.draw(k).parts
        assert not set(place[samples.row[parts["test"]]]) & set(place[samples.row[parts["train"]]])
    folds = _in_folds(samples, Split(folds=3, seed=1)).draw(0).parts
    assert not set(place[samples.row[folds["test"]]]) & set(place[samples.row[folds["train"]]]), (
        "the search for wrong labels"
    )


def test_samples_of_one_place_count_once(tmp_path):
    folder, reference = seasons_in_a_table(tmp_path)
    frame = pd.read_csv(reference)
    frame.loc[frame["sample"].isin([0, 12, 1, 13]), "crop"] = "c"  # four samples at two places
    frame.to_csv(reference, index=False)
    lines = write_recipe(folder, reference, "crop", tmp_path / "mine.toml")
    assert any("too few samples at different places" in line and "'c' (4 at 2 places)" in line for line in lines)
    path = tmp_path / "mine-forest.toml"
    recipe = read_recipe(path, ["split.draws=3"])
    samples = open_run(recipe, tmp_path / "run").samples
    assert samples.legend.names == ("a", "b")
    planned = samples_of(
        open_scene(recipe), replace(recipe.survey, legend=samples.legend), samples.pixels(np.arange(20)), {}
    )
    for name, members in samples.draw(2).parts.items():
        assert np.array_equal(planned.draw(2).parts[name], members), "plan and check draw as the run"
    path.write_text(path.read_text().replace('rare = "drop"', 'rare = "stop"'))
    (found,) = (f for f in check(path).findings if f.severity == "error")
    assert (found.what.code, found.what.value("n"), found.what.value("polygons")) == ("too_few_places", 2, 4)


def test_series_outside_of_the_period_of_their_label_are_said(tmp_path):
    with pytest.raises(SamplesError, match="Samples whose series has dates outside of it: 1"):
        write_recipe(*seasons_in_a_table(tmp_path, late=150), "crop", tmp_path / "mine.toml")


def test_numbers_of_a_table_are_compared_as_numbers_and_days_as_days(tmp_path):
    frame = pd.DataFrame(
        {"area": [4, 20, 100, 7], "code": ["0110", "0120", "0110", "0130"], "lon": 0.0, "lat": 0.0, "crop": "a"}
    )
    frame.to_csv(tmp_path / "s.csv", index=False)
    own = Reference(tmp_path / "s.csv", "crop")
    assert len(read_features(replace(own, where="area > 5"))) == 3
    assert len(read_features(replace(own, where="code LIKE '01%' AND code = '0110'"))) == 2
    assert len(read_features(replace(own, where="  "))) == 4
    dated = frame.assign(day=pd.to_datetime(["2010-09-01", "2011-09-01", "2010-09-01", None]))
    geopandas.GeoDataFrame(dated, geometry=geopandas.points_from_xy(dated.lon, dated.lat), crs=4326).to_file(
        tmp_path / "s.gpkg"
    )
    assert len(read_features(Reference(tmp_path / "s.gpkg", "crop", where="day = '2010-09-01'"))) == 2
    frame.assign(Area=1).to_csv(tmp_path / "twice.csv", index=False)
    with pytest.raises(SamplesError, match="duplicate column name: Area"):
        read_features(Reference(tmp_path / "twice.csv", "crop", where="code = '0110'"))


def test_identifiers_that_sqlite_cannot_hold_are_texts(tmp_path):
    cells = np.array([2**63 + 5, 3, 2**64 - 1], np.uint64)
    geometry = geopandas.points_from_xy([0.0, 1, 2], [0.0, 1, 2])
    frame = geopandas.GeoDataFrame(
        {"cell": cells, "year": [2021, 2022, 2022], "crop": "a"}, geometry=geometry, crs=4326
    )
    frame.to_parquet(tmp_path / "s.parquet")
    own = Reference(tmp_path / "s.parquet", "crop")
    assert len(read_features(replace(own, where="year = 2022"))) == 2
    assert len(read_features(replace(own, where=f"cell = '{2**63 + 5}'"))) == 1


def test_a_field_of_two_years_is_in_one_block():
    """Clouds mask another part of it in each year, and the border of a block lies between the middles of the parts."""
    place = np.array([[-5.0, 960.0], [-5.0, 970.0], [-5.0, 1020.0], [-5.0, 1030.0], [-5.0, 1200.0]])
    polygon, number = np.array([1, 1, 5, 5, 7], np.int32), np.arange(5, dtype=np.int32)
    found = Labelled(Pixels(number, number, np.array([0, 0, 0, 0, 1], np.int16), polygon), (), (), pd.Series(), place)
    legend, split = Legend((LandClass(1, "a"), LandClass(2, "b"))), Split(unit="block", block=1000)
    own = assembled(legend, split, found, {})
    assert len(set(own.block[:4])) == 2, "two polygons at two places"
    together = assembled(legend, split, replace(found, ground=np.array([0, 0, 0, 0, 1], np.int32)), {})
    assert len(set(together.block[:4])) == 1
    assert np.array_equal(together.group, together.block)
