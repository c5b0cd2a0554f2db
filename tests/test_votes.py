"""Votes of objects and parcels: as by brute force, for any tiles, with files as users have them."""

import csv
import json

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from bocage.cli import main
from bocage.errors import FinishError, SourceError
from bocage.evaluation import Predictions
from bocage.finish import Finishing
from bocage.finish.regularise import regularise
from bocage.finish.votes import count_votes, voted, write_votes
from bocage.finish.within import Place, open_within
from bocage.grid import Grid
from bocage.jobs.finish import finish
from bocage.layout import MapLayout, RunLayout
from bocage.legend import LandClass, Legend
from bocage.mapping import WRITERS, AreaCount, MapBand, open_delivered
from bocage.mapping.delivery import Delivery
from bocage.objects.connected import Codes
from bocage.objects.scratch import scratch
from bocage.progress import QUIET
from bocage.recipe import read_recipe
from bocage.testing.fakes import Place as Laid
from bocage.testing.fakes import write_raster
from conftest import Told

LEGEND = Legend((LandClass(7, "maize"), LandClass(2, "meadow"), LandClass(9, "water")))
SHAPE, CORNER = (37, 52), (300_000.0, 7_650_000.0)
GRID = Grid.of("EPSG:32740", Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), SHAPE)


def written(path, ids, resolution=10.0, corner=CORNER):
    return write_raster(path, ids[None], Laid(resolution, corner, "EPSG:32740"))


def delivered(folder, codes, probabilities=None):
    """Write a complete map; `probabilities` are hundredths (K, y, x)."""
    layout, areas, files = MapLayout(folder), AreaCount(GRID, LEGEND), {}
    folder.mkdir(parents=True)
    layers = {"classes": (codes[None].astype(np.uint8), (MapBand("class", "uint8", 0, categorical=True),))}
    if probabilities is not None:
        bands = tuple(MapBand(name, "uint8", 255, scale=0.01) for name in LEGEND.names)
        layers["probabilities"] = (probabilities.astype(np.uint8), bands)
    for name, (values, bands) in layers.items():
        files[name] = layout.layer(name, ".tif")
        output = WRITERS.get("cog").open(files[name], GRID, bands, LEGEND)
        output.put(GRID.window, values)
        output.close()
    areas.count(GRID.window, codes)
    Delivery(layout, GRID, LEGEND, {k: bands for k, (_, bands) in layers.items()}, files, {}, None, 0.0).write(
        areas.areas()
    )
    return open_delivered(folder)


@pytest.fixture
def noisy(tmp_path):
    """A map of random classes with gaps, its probabilities, and objects that are no rectangles, with a gap."""
    rng = np.random.default_rng(3)
    likely = rng.dirichlet([1, 1, 1], SHAPE).transpose(2, 0, 1)
    codes = np.array(LEGEND.codes)[likely.argmax(0)]
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ids = ((y + x // 5) // 7 * 9 + (x + y // 3) // 8 + 1).astype(np.uint32)
    ids[rng.random(SHAPE) < 0.05] = 0
    gap = rng.random(SHAPE) < 0.1
    gap[ids == 13] = True  # an object without a pixel with a class
    stored = np.where(gap, 255, np.rint(likely * 100))
    return delivered(tmp_path / "map", np.where(gap, 0, codes), stored), np.where(gap, 0, codes), stored, ids


def vote_of(land, path, folder, vote, tile=64, progress=QUIET):
    with scratch(folder / "s") as temporary:
        within = open_within(path, Place(land.grid, tile, temporary), progress)
        votes = count_votes(land, within, vote, progress)
        found = np.zeros(land.grid.shape, int)
        for window, codes in voted(land, within, votes):
            found[window.slices] = codes
        write_votes(votes, within.parcels, land.grid, folder / "votes.parquet", folder / "votes.csv")
    return found, votes


def brute(codes, stored, ids, vote):
    """The class of each object, pixel by pixel: number → (code, share, probability, margin, pixels)."""
    found = {}
    for one in np.unique(ids[ids > 0]).tolist():
        mine = (ids == one) & (codes > 0)
        n = int(mine.sum())
        if not n:
            found[one] = None
            continue
        shares = [float((codes[mine] == code).mean()) for code in LEGEND.codes]
        means = [float(stored[k][mine].mean() / 100) for k in range(3)]
        measure = means if vote == "probability" else shares
        k = int(np.argmax(measure))
        first, second = sorted(measure)[:-3:-1]
        found[one] = (LEGEND.codes[k], shares[k], means[k], first - second, n)
    return found


@pytest.mark.parametrize("vote", ["majority", "probability"])
def test_votes_are_those_of_brute_force_for_any_tiles(noisy, tmp_path, vote):
    import pandas as pd

    land, codes, stored, ids = noisy
    path = written(tmp_path / "ids.tif", ids)
    expected = brute(codes, stored, ids, vote)
    picture = codes.copy()
    for one, found in expected.items():
        if found:
            picture[(ids == one) & (codes > 0)] = found[0]
    assert (picture != codes).mean() > 0.3
    for tile in (11, 64):
        result, _ = vote_of(land, path, tmp_path, vote, tile)
        assert np.array_equal(result, picture)
        table = pd.read_parquet(tmp_path / "votes.parquet").set_index("id")
        assert list(table.index) == sorted(expected)
        for one, found in expected.items():
            row = table.loc[one]
            if found is None:
                assert row.pixels == 0
                assert row[["code", "class", "share", "margin"]].isna().all()
                continue
            assert (row.code, row.pixels) == (found[0], found[4])
            assert row["class"] == LEGEND.names[LEGEND.codes.index(found[0])]
            assert row.share == pytest.approx(found[1])
            assert row.margin == pytest.approx(found[3])
            assert ("probability" in table) == (vote == "probability")
            assert vote == "majority" or row.probability == pytest.approx(found[2])


def test_equal_votes_go_to_the_first_class_of_the_legend(tmp_path):
    codes = np.full(SHAPE, 2)
    codes[:, ::2] = 9
    codes[:, 1::4] = 7  # 9 in half of the pixels of a row, 7 and 2 in a quarter each
    ids = np.zeros(SHAPE, np.uint8)
    ids[0, 1:3], ids[2, 1:5] = 1, 2
    land = delivered(tmp_path / "map", codes)
    found, _ = vote_of(land, written(tmp_path / "ids.tif", ids), tmp_path, "majority")
    assert found[0, 1:3].tolist() == [7, 7]  # 7 and 9 are equal
    assert found[2, 1:5].tolist() == [9] * 4
    assert (found != codes).sum() == 3


def test_a_map_without_probabilities_says_what_to_set(tmp_path):
    land = delivered(tmp_path / "map", np.full(SHAPE, 7))
    with pytest.raises(FinishError, match=r"no layer 'probabilities'.*Add it to \[map\] layers.*vote = \"majority\""):
        vote_of(land, written(tmp_path / "ids.tif", np.ones(SHAPE, np.uint8)), tmp_path, "probability")


def test_large_numbers_and_nodata_of_a_raster_of_objects(tmp_path):
    rng = np.random.default_rng(0)
    codes = np.array(LEGEND.codes)[rng.integers(0, 3, SHAPE)]
    ids = np.full(SHAPE, -9999, np.int32)
    ids[:20, :30], ids[20:, :30] = 2_000_000_011, 2_000_000_010  # equal as float32
    found, votes = vote_of(delivered(tmp_path / "map", codes), written(tmp_path / "ids.tif", ids), tmp_path, "majority")
    assert votes.ids.tolist() == [2_000_000_010, 2_000_000_011]
    assert len(np.unique(found[:20, :30])) == len(np.unique(found[20:, :30])) == 1
    assert np.array_equal(found[:, 30:], codes[:, 30:])


def test_objects_on_another_grid_count_at_the_centres_of_the_map_pixels(tmp_path):
    rng = np.random.default_rng(1)
    codes = np.array(LEGEND.codes)[rng.integers(0, 3, SHAPE)]
    y, x = np.mgrid[:140, :190]
    fine = (y // 31 * 20 + x // 27 + 4_000_000_000).astype(np.uint32)
    path, told = written(tmp_path / "ids.tif", fine, 2.5, (CORNER[0] - 7, CORNER[1] + 3)), Told()
    land = delivered(tmp_path / "map", codes)
    found, votes = vote_of(land, path, tmp_path, "majority", 16, told)
    assert any("its grid (140 x 190 pixels of 2.5" in word and "at its centre" in word for word in told.words)
    rows = np.floor((3 + 10 * np.arange(SHAPE[0]) + 5) / 2.5).astype(int)
    columns = np.floor((7 + 10 * np.arange(SHAPE[1]) + 5) / 2.5).astype(int)
    ids = np.zeros(SHAPE, np.int64)
    inside = np.ix_(rows < 140, columns < 190)
    ids[inside] = fine[np.ix_(rows[rows < 140], columns[columns < 190])]
    assert 0 < (ids == 0).sum() < ids.size
    assert votes.ids.tolist() == np.unique(ids[ids > 0]).tolist()
    for one in votes.ids.tolist():
        counts = [int((codes[ids == one] == code).sum()) for code in LEGEND.codes]
        assert set(found[ids == one].tolist()) == {LEGEND.codes[int(np.argmax(counts))]}
    assert np.array_equal(found[ids == 0], codes[ids == 0])


@pytest.mark.parametrize(
    ("ids", "corner", "message"),
    [
        (np.ones(SHAPE, np.float32), CORNER, "1 band.* of float32. Give a raster of one band of whole numbers"),
        (np.ones(SHAPE, np.uint8), (900_000.0, 7_650_000.0), "does not overlap the map"),
        (np.zeros(SHAPE, np.uint8), CORNER, "no pixel of the map is in an object"),
    ],
    ids=["float", "elsewhere", "empty"],
)
def test_a_raster_that_holds_no_objects_of_the_map_is_refused(tmp_path, ids, corner, message):
    land = delivered(tmp_path / "map", np.full(SHAPE, 7))
    with pytest.raises(FinishError, match=message):
        vote_of(land, written(tmp_path / "ids.tif", ids, corner=corner), tmp_path, "majority")


@pytest.mark.parametrize("shift", [0.0, 3.0], ids=["same grid", "other grid"])
def test_object_numbers_of_64_bits_stay_different(tmp_path, shift):
    """As those of H3 cells: float64 would make one number of many."""
    land = delivered(tmp_path / "map", np.full(SHAPE, 7))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ids = (2**53 + 1 + (y // 10) * 6 + x // 10).astype(np.int64)
    corner = (CORNER[0] + shift, CORNER[1] - shift)
    _, votes = vote_of(land, written(tmp_path / "ids.tif", ids, corner=corner), tmp_path, "majority")
    assert votes.ids.tolist() == np.unique(ids).tolist()
    assert votes.pixels.tolist() == np.unique(ids, return_counts=True)[1].tolist()
    hashes = written(tmp_path / "hashes.tif", ids.astype(np.uint64) + np.uint64(2**63))
    with pytest.raises(SourceError, match=r"object number 92\d+, which is above 9223372036854775807\. Renumber"):
        vote_of(land, hashes, tmp_path, "majority")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize(
    ("crs", "transform", "message"),
    [
        (None, GRID.transform, r"\[finish\] within: .*ids\.tif has no coordinate reference system"),
        ("EPSG:32740", GRID.transform @ Affine.rotation(5), r"\[finish\] within: .*axis-aligned with north up"),
    ],
    ids=["no CRS", "rotated"],
)
def test_a_raster_of_objects_without_a_place_is_no_broken_vector_file(tmp_path, crs, transform, message):
    land, path = delivered(tmp_path / "map", np.full(SHAPE, 7)), tmp_path / "ids.tif"
    how = {"driver": "GTiff", "height": SHAPE[0], "width": SHAPE[1], "count": 1, "dtype": "uint32"}
    with rasterio.open(path, "w", crs=crs, transform=transform, **how) as file:
        file.write(np.ones(SHAPE, np.uint32), 1)
    with pytest.raises(FinishError, match=message):
        vote_of(land, path, tmp_path, "majority")


def test_a_missing_file_of_parcels_is_named(tmp_path):
    land = delivered(tmp_path / "map", np.full(SHAPE, 7))
    with pytest.raises(FinishError, match=r"none.gpkg does not exist. Give the path of parcels"):
        vote_of(land, tmp_path / "none.gpkg", tmp_path, "majority")


# --- parcels
def square(row, column, height, width, shift=0.0):
    """A parcel of whole pixels, moved by a part of a pixel."""
    west, north = CORNER[0] + 10 * column + shift, CORNER[1] - 10 * row + shift
    return shapely.box(west, north - 10 * height, west + 10 * width, north)


def parcels(path, shapes, crs="EPSG:32740", **fields):
    """Write a vector file; geometries may be invalid, empty or missing."""
    table = gpd.GeoDataFrame(fields, geometry=shapes, crs=crs)
    table.to_file(path, engine="pyogrio")
    return path


def test_parcels_take_the_class_of_the_pixels_with_their_centre_inside(tmp_path):
    rng = np.random.default_rng(5)
    codes = np.array(LEGEND.codes)[rng.integers(0, 3, SHAPE)]
    land = delivered(tmp_path / "map", codes)
    shapes = [square(2, 3, 8, 9, 3.0), square(20, 30, 9, 11, -4.0)]
    path = parcels(tmp_path / "p.gpkg", shapes, owner=["Ann", "=B"], code=[77, 78], since=[1990.5, None])
    for tile in (7, 64):
        found, _ = vote_of(land, path, tmp_path, "majority", tile)
        expected = codes.copy()
        for rows, columns in ((slice(2, 10), slice(3, 12)), (slice(20, 29), slice(30, 41))):
            counts = [(codes[rows, columns] == code).sum() for code in LEGEND.codes]
            expected[rows, columns] = LEGEND.codes[int(np.argmax(counts))]
        assert np.array_equal(found, expected)
    table = gpd.read_parquet(tmp_path / "votes.parquet")
    assert table.crs.to_epsg() == 32740
    assert table.geometry.geom_equals(gpd.GeoSeries(shapes, crs=table.crs)).all()
    assert (table.parcel.tolist(), table.owner.tolist(), table.parcel_code.tolist()) == (
        [1, 2],
        ["Ann", "=B"],
        [77, 78],
    )
    assert table.pixels.tolist() == [72, 99]
    assert table.code.tolist() == [expected[2, 3], expected[20, 30]]
    with (tmp_path / "votes.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["owner"] for row in rows] == ["Ann", "'=B"]
    assert [row["since"] for row in rows] == ["1990.5", ""]
    assert float(rows[0]["share"]) == pytest.approx(table.share[0], abs=1e-4)


def test_no_field_of_the_parcels_is_lost_where_votes_were_voted_on_before(tmp_path):
    """The table of earlier votes has the fields of the votes, and those that were renamed then."""
    land = delivered(tmp_path / "map", np.full(SHAPE, 7))
    path = parcels(
        tmp_path / "p.gpkg", [square(2, 3, 8, 9)], **{"parcel_class": ["oats"], "class": ["rye"], "code": [5]}
    )
    vote_of(land, path, tmp_path, "majority")
    table = gpd.read_parquet(tmp_path / "votes.parquet")
    known = table[["class", "parcel_class", "parcel_parcel_class", "parcel_code"]].to_numpy().tolist()
    assert known == [["maize", "oats", "rye", 5]]


def test_parcels_in_another_crs_are_reprojected(tmp_path):
    codes = np.full(SHAPE, 7)
    codes[4:14, 5:15] = 2
    codes[8, 8] = 9
    land, told = delivered(tmp_path / "map", codes), Told()
    shape = gpd.GeoSeries([square(4, 5, 10, 10)], crs="EPSG:32740").to_crs("EPSG:4326")
    path = parcels(tmp_path / "p.geojson", shape, "EPSG:4326", name=["a"])
    found, votes = vote_of(land, path, tmp_path, "majority", progress=told)
    assert any("reprojected from EPSG:4326 to EPSG:32740" in word for word in told.words)
    assert found[8, 8] == 2
    assert votes.pixels.tolist() == [100]


def test_invalid_parcels_are_repaired_and_counted_and_empty_ones_left_out(tmp_path):
    codes = np.full(SHAPE, 7)
    codes[0:4, 0:40] = 2
    land, told, shapes = delivered(tmp_path / "map", codes), Told(), []
    for k in range(6):
        west, north = CORNER[0] + 60 * k, CORNER[1]
        bow = [(west, north), (west + 50, north - 80), (west + 50, north), (west, north - 80)]
        shapes.append(shapely.Polygon(bow) if k % 2 else square(0, 6 * k, 8, 5))
    path = parcels(tmp_path / "p.gpkg", [*shapes, None, shapely.Polygon()], name=list("abcdefgh"))
    found, votes = vote_of(land, path, tmp_path, "majority", progress=told)
    assert any("3 of 8 polygons are invalid and were repaired" in word for word in told.words)
    assert any("2 of 8 features have no polygon and are left out" in word for word in told.words)
    assert (votes.pixels[::2] == 40).all()
    assert ((votes.pixels[1::2] > 15) & (votes.pixels[1::2] < 25)).all()
    assert gpd.read_parquet(tmp_path / "votes.parquet").name.tolist() == list("abcdef")


def test_overlapping_parcels_small_ones_and_those_outside_are_counted(tmp_path):
    codes = np.full(SHAPE, 7)
    codes[:, 10:] = 2
    land, told = delivered(tmp_path / "map", codes), Told()
    shapes = [square(0, 0, 10, 18), square(5, 8, 10, 20), square(30, 30, 0.2, 0.2), square(500, 0, 5, 5)]
    path = parcels(tmp_path / "p.gpkg", shapes, name=list("abcd"))
    results = [vote_of(land, path, tmp_path, "majority", tile, told) for tile in (9, 64)]
    assert np.array_equal(results[0][0], results[1][0])
    found, votes = results[0]
    assert (found[:10, :18] == 7).all()  # the first parcel of the file keeps the pixels of both
    assert (found[10:15, 8:28] == 2).all()
    assert votes.pixels.tolist() == [180, 150]
    assert told.words.count("p.gpkg: 50 pixels are in several parcels; they belong to the first one in the file.") == 2
    assert any("2 of 4 parcels have no pixel" in word for word in told.words)
    table = gpd.read_parquet(tmp_path / "votes.parquet")
    assert table.pixels.tolist() == [180, 150, 0, 0]
    assert table.code.isna().tolist() == [False, False, True, True]


def test_parcels_that_are_all_outside_are_refused(tmp_path):
    land = delivered(tmp_path / "map", np.full(SHAPE, 7))
    path = parcels(tmp_path / "p.gpkg", [square(500, 0, 5, 5)], name=["a"])
    with pytest.raises(FinishError, match=r"no parcel of .*p.gpkg contains the centre of a pixel"):
        vote_of(land, path, tmp_path, "majority")


def test_a_file_of_several_layers_is_refused(tmp_path):
    land, path = delivered(tmp_path / "map", np.full(SHAPE, 7)), tmp_path / "p.gpkg"
    for layer in ("one", "two"):
        gpd.GeoDataFrame(geometry=[square(0, 0, 5, 5)], crs="EPSG:32740").to_file(path, layer=layer)
    with pytest.raises(FinishError, match="has 2 layers: one, two"):
        vote_of(land, path, tmp_path, "majority")


# --- smoothing
def test_the_majority_filter_counts_pixels_of_the_same_object_only(noisy, tmp_path):
    land, codes, _, ids = noisy
    path = written(tmp_path / "ids.tif", ids)
    side, half = 5, 2
    expected = codes.copy()
    for y, x in np.argwhere(codes > 0):
        window = np.s_[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1]
        mine = codes[window][ids[window] == ids[y, x]]
        counts = [(mine == code).sum() for code in LEGEND.codes]
        if max(counts) > (mine == codes[y, x]).sum():
            expected[y, x] = LEGEND.codes[int(np.argmax(counts))]
    settings = Finishing(within=path, vote="none", majority=side)
    for tile in (13, 64):
        with scratch(tmp_path / "s") as temporary:
            within = open_within(path, Place(GRID, tile, temporary), QUIET)
            source = Codes(GRID, lambda window: codes[window.slices], tile)
            found = np.zeros(SHAPE, int)
            for window, part in regularise(source, LEGEND, settings, temporary, QUIET, within.ids).tiles:
                found[window.slices] = part
        assert np.array_equal(found, expected)
        plain = Finishing(majority=side)
        with scratch(tmp_path / "s") as temporary:
            tiles = list(regularise(source, LEGEND, plain, temporary, QUIET).tiles)
        assert any((found[window.slices] != part).any() for window, part in tiles)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vote": "probability"}, "'vote' needs 'within'"),
        ({"within": "objects", "vote": "none"}, "'within' has no effect"),
    ],
)
def test_settings_without_effect_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Finishing(**settings)


# --- the command
@pytest.fixture
def run(finished, tmp_path):
    """A run of the tiny landscape, and its recipe with [finish] and parcels that cut across its classes."""

    def prepare(settings):
        one = finished()
        out = one.copied(tmp_path / "run")
        recipe = one.recipe.with_name(f"votes-{tmp_path.name}.toml")
        recipe.write_text(f"{one.recipe.read_text()}\n[finish]\ntile = 64\n{settings}\n")
        with rasterio.open(out / "map/classes.tif") as dataset:
            west, north, codes = dataset.transform.c, dataset.transform.f, dataset.read(1)
        boxes = [shapely.box(west + 70 * k, north - 480, west + 70 * k + 70, north) for k in range(8)]
        gpd.GeoDataFrame({"field": range(8)}, geometry=boxes, crs="EPSG:32740").to_file(tmp_path / "parcels.gpkg")
        return recipe, out, codes

    return prepare


def test_finish_votes_by_parcel_and_scores_every_step(run, tmp_path, capsys):
    recipe, out, codes = run(f'within = "{tmp_path}/parcels.gpkg"\nsieve = 3\nformats = ["parquet"]')
    assert main(["finish", str(recipe), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "finished: " in said.out
    assert "map/voted.tif" in said.out
    assert "Overall accuracy on the test polygons of draw 1 (one draw, " in said.err
    with rasterio.open(out / "map/classes.tif") as classes, rasterio.open(out / "map/voted.tif") as tidy:
        assert (tidy.colormap(1), tidy.tags(1), tidy.transform) == (
            classes.colormap(1),
            classes.tags(1),
            classes.transform,
        )
        found = tidy.read(1)
    for k in range(8):
        assert len(np.unique(found[:, 7 * k : 7 * k + 7])) == 1
    assert (found != codes).any()
    tested = Predictions.from_parquet(out / "splits/0/test.parquet")
    score = json.loads((out / "finish/score.json").read_text())
    assert (score["design"]["reference"], score["design"]["draw"]) == ("the test polygons of one draw", 0)
    for name, array in (("classes", codes), ("voted", found)):
        right = array[tested.row, tested.column] == tested.label + 1
        assert score["maps"][name]["overall_accuracy"]["mean"] == pytest.approx(right.mean())
    assert set(score["maps"]) == {"classes", "voted", "regularised"}
    assert set(score["compared_with_the_pixel_map"]) == {"voted", "regularised"}
    polygons = gpd.read_parquet(out / "finish/polygons.parquet")
    assert polygons.pixels.sum() == (found > 0).sum()
    assert len(polygons) < 9
    with (out / "finish/voted_areas.csv").open() as stream:
        areas = {int(row["code"]): int(row["pixels"]) for row in csv.DictReader(stream)}
    assert areas == {code: int((found == code).sum()) for code in (1, 2, 3)}


@pytest.mark.slow
def test_changed_parcels_are_voted_again_and_votes_not_asked_for_are_removed(run, tmp_path):
    recipe, out, _ = run(f'within = "{tmp_path}/parcels.gpkg"\nformats = ["parquet"]')
    stages = ["vote: up to date", "accuracy: up to date", "vectors: up to date"]
    finish(read_recipe(recipe), out)
    told = Told()
    finish(read_recipe(recipe), out, told)
    assert [word for word in told.words if "up to date" in word] == stages
    table = gpd.read_file(tmp_path / "parcels.gpkg")
    table.iloc[:4].to_file(tmp_path / "parcels.gpkg")
    told = Told()
    finish(read_recipe(recipe), out, told)
    assert not [word for word in told.words if "up to date" in word]
    assert len(gpd.read_parquet(out / "finish/votes.parquet")) == 4
    recipe.write_text(recipe.read_text().replace(f'within = "{tmp_path}/parcels.gpkg"', ""))
    finish(read_recipe(recipe), out)
    layout = RunLayout(out)
    for path in (layout.map.voted, layout.finish.voted_areas, layout.finish.score, layout.finish.votes("csv")):
        assert not path.exists()
    assert not list(layout.finish.path.glob("votes.*"))


def test_an_interrupted_vote_leaves_no_map(run, tmp_path, monkeypatch):
    recipe, out, _ = run(f'within = "{tmp_path}/parcels.gpkg"\nformats = []')

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bocage.jobs.finish.write_votes", killed)
    with pytest.raises(KeyboardInterrupt):
        finish(read_recipe(recipe), out)
    monkeypatch.undo()
    assert "vote" not in json.loads((out / "provenance.json").read_text())["stages"]
    told = Told()
    finish(read_recipe(recipe), out, told)
    assert "vote: up to date" not in told.words
    assert (out / "map/voted.tif").exists()
    assert not (out / "finish/.scratch").exists()


def test_votes_by_objects_that_are_not_segmented_say_so(run):
    recipe, out, _ = run('within = "objects"')
    with pytest.raises(FinishError, match=r"objects.tif does not exist. Run 'bocage segment' first"):
        finish(read_recipe(recipe), out)
    assert not (out / "map/voted.tif").exists()


def test_votes_by_the_objects_of_the_run(run):
    recipe, out, codes = run('within = "objects"\nvote = "majority"')
    layout = RunLayout(out)
    layout.objects.path.mkdir()
    with rasterio.open(layout.map.path / "classes.tif") as dataset:
        corner = (dataset.transform.c, dataset.transform.f)
    ids = (np.indices(codes.shape)[1] // 7 + 1).astype(np.uint32)
    written(layout.objects.ids, ids, corner=corner)
    finish(read_recipe(recipe), out)
    with rasterio.open(layout.map.voted) as dataset:
        found = dataset.read(1)
    for k in range(1, 8):
        counts = np.bincount(codes[ids == k], minlength=4)
        assert (found[ids == k] == counts.argmax()).all()
