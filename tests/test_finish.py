"""The finished map: regularised and vectorised in tiles as in one piece, nothing lost, nothing overlapping."""

import json
import resource
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from scipy.ndimage import gaussian_filter, label

from bocage.cli import main
from bocage.disk import part_of, sha256_of
from bocage.errors import FinishError, RunFolderError
from bocage.finish import Finishing
from bocage.finish.corners import Corners
from bocage.finish.ground import ground_areas
from bocage.finish.polygons import polygons_of
from bocage.finish.regularise import regularise
from bocage.finish.vectors import copy, geo_metadata
from bocage.grid import Grid
from bocage.jobs import finish as finishing
from bocage.jobs.finish import finish, recipe_of
from bocage.layout import RunLayout
from bocage.legend import LandClass, Legend
from bocage.mapping import open_delivered, pixel_areas
from bocage.objects.connected import Codes
from bocage.objects.scratch import scratch
from bocage.progress import QUIET
from bocage.recipe import read_recipe
from conftest import Told

LEGEND = Legend(tuple(LandClass(code, f"c{code}") for code in (7, 300, 2, 9)))
METRES = Grid.of("EPSG:32740", Affine(10, 0, 300000, 0, -10, 7650000), (1, 1))
DEGREES = Grid.of("EPSG:4326", Affine(0.001, 0, 2, 0, -0.001, 48), (1, 1))
FEET = Grid.of("EPSG:2263", Affine(30, 0, 980000, 0, -30, 200000), (1, 1))
TILES = (23, 64)


def patchy(seed: int, smooth: float, shape=(70, 90)) -> np.ndarray:
    """Patches of the classes of the legend, with a gap without data."""
    rng = np.random.default_rng(seed)
    fields = [gaussian_filter(rng.normal(size=shape), smooth) for _ in LEGEND.codes]
    codes = np.array(LEGEND.codes, np.uint16)[np.argmax(fields, 0)]
    codes[gaussian_filter(rng.normal(size=shape), 4) > 0.1] = 0
    return codes


def codes_of(array: np.ndarray, tile: int, like: Grid = METRES) -> Codes:
    return Codes(Grid.of(like.crs, like.transform, array.shape), lambda window: array[window.slices], tile)


def regularised(array, tile, folder, like=METRES, **settings):
    found = np.zeros_like(array)
    with scratch(folder / "s") as temporary:
        result = regularise(codes_of(array, tile, like), LEGEND, Finishing(**settings), temporary, QUIET)
        for window, codes in result.tiles:
            found[window.slices] = codes
    return found, result.left


def brute(array, area, smallest, sieve):
    """Merge small objects pixel by pixel, as the module describes it; `smallest` is code → m²."""
    ids, count = np.zeros(array.shape, int), 0
    for code in LEGEND.codes:
        found, n = label(array == code)
        ids[found > 0] = found[found > 0] + count
        count += n
    sizes, areas = np.bincount(ids.ravel()), np.bincount(ids.ravel(), np.broadcast_to(area[:, None], ids.shape).ravel())
    code_of = dict(zip(ids.ravel().tolist(), array.ravel().tolist()))
    waiting = {
        i for i in range(1, count + 1) if areas[i] < smallest.get(code_of[i], 0) * (1 - 1e-9) or sizes[i] < sieve
    }
    now = array.copy()
    pairs = [(ids[1:], ids[:-1], np.s_[:-1]), (ids[:, 1:], ids[:, :-1], np.s_[:, :-1])]
    pairs += [(ids[:-1], ids[1:], np.s_[1:]), (ids[:, :-1], ids[:, 1:], np.s_[:, 1:])]
    while True:
        votes: dict = {}
        for own, near, place in pairs:
            for i, j, code in zip(own.ravel().tolist(), near.ravel().tolist(), now[place].ravel().tolist()):
                if i in waiting and j and j not in waiting:
                    votes.setdefault(i, dict.fromkeys(LEGEND.codes, 0))[code] += 1
        if not votes:
            return now, sum(sizes[i] for i in waiting)
        for i, edges in votes.items():
            now[ids == i] = max(edges, key=lambda code: (edges[code], -LEGEND.codes.index(code)))
        waiting -= set(votes)


@pytest.mark.slow
@pytest.mark.parametrize("like", [METRES, DEGREES, FEET], ids=["metres", "degrees", "feet"])
@pytest.mark.parametrize("smooth", [0.5, 1.5])
def test_small_objects_merge_as_by_brute_force_for_any_tiles(tmp_path, like, smooth):
    array = patchy(1, smooth, (24, 31))
    area = pixel_areas(Grid.of(like.crs, like.transform, array.shape))
    pixel = float(area[12]) / 10_000
    for settings in ({"sieve": 6}, {"mmu": 9 * pixel}, {"mmu": 3 * pixel, "mmu_of": {"c300": 20 * pixel}, "sieve": 2}):
        minimum = {c: settings.get("mmu_of", {}).get(f"c{c}", settings.get("mmu", 0)) * 10_000 for c in LEGEND.codes}
        expected, left = brute(array, area, minimum, settings.get("sieve", 0))
        assert (expected != array).any()
        for tile in TILES:
            found = regularised(array, tile, tmp_path, like, **settings)
            assert np.array_equal(found[0], expected)
            assert found[1] == left


def test_no_object_is_below_its_minimum_except_those_alone(tmp_path):
    found, left = regularised(patchy(2, 1), 64, tmp_path, sieve=12)
    small = 0
    for code in LEGEND.codes:
        ids, count = label(found == code)
        sizes = np.bincount(ids.ravel())[1:]
        small += int(sizes[sizes < 12].sum())
    assert small == left


def test_the_area_of_a_pixel_is_in_square_metres_for_degrees_and_feet():
    feet = Grid.of(FEET.crs, FEET.transform, (3, 3))
    assert pixel_areas(feet) == pytest.approx((30 * 0.3048006096) ** 2)
    mercator = Grid.of("EPSG:3857", Affine(10, 0, 300_000, 0, -10, 5_700_000), (100, 100))
    assert pixel_areas(mercator).sum() * 100 / 1e4 == pytest.approx(49.144, rel=2e-4), "geodesic area of the square"
    square = np.array([shapely.box(*mercator.bounds)])
    assert ground_areas(square, mercator.crs.proj) / 1e4 == pytest.approx(49.144, rel=2e-4)


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:4314", "EPSG:4807"], ids=["WGS 84", "Bessel", "grads"])
@pytest.mark.parametrize("north", [0.1, -20.9, 47.0, 80.0])
def test_areas_in_degrees_are_those_on_the_ellipsoid(crs, north):
    """The geodesic areas of pyproj, of pixels and of polygons."""
    grid = Grid.of(crs, Affine(0.001, 0, 2, 0, -0.001, north), (200, 3))
    proj, factor = grid.crs.proj, np.degrees(grid.crs.proj.axis_info[0].unit_conversion_factor)
    geod, found = proj.get_geod(), pixel_areas(grid)

    def geodesic(shape):
        shape = shapely.segmentize(shapely.transform(shape, lambda xy: xy * factor), 1e-4)  # parallels are no geodesics
        return abs(geod.geometry_area_perimeter(shape)[0])

    for row in (0, 99, 199):
        south = north - 0.001 * (row + 1)
        assert found[row] == pytest.approx(geodesic(shapely.box(2, south, 2.001, south + 0.001)), rel=1e-6)
    box = shapely.box(*grid.bounds)
    assert 3 * found.sum() == pytest.approx(geodesic(box), rel=1e-7)
    star = shapely.difference(
        shapely.Point(2, north - 0.1).buffer(0.08), shapely.box(1.99, north - 0.12, 2.01, north - 0.1)
    )
    areas = ground_areas(np.array([box, star]), proj)
    assert areas == pytest.approx([geodesic(box), geodesic(star)], rel=1e-7)


@pytest.mark.parametrize("side", [3, 5])
def test_majority_filter_as_by_brute_force_for_any_tiles(tmp_path, side):
    array, half = patchy(3, 0.7, (30, 43)), side // 2
    padded, expected = np.pad(array, half), array.copy()
    for y, x in zip(*np.nonzero(array)):
        near = padded[y : y + side, x : x + side]
        counts = {code: int((near == code).sum()) for code in LEGEND.codes}
        if counts[int(array[y, x])] < max(counts.values()):
            expected[y, x] = next(code for code in LEGEND.codes if counts[code] == max(counts.values()))
    assert (expected != array).any()
    for tile in TILES:
        assert np.array_equal(regularised(array, tile, tmp_path, majority=side)[0], expected)


def test_minimum_units_that_do_not_fit_the_map_are_refused(tmp_path):
    with pytest.raises(FinishError, match=r"minimum mapping unit 5000 ha is larger than the map \(\d+.*ha\)"):
        regularised(patchy(1, 2), 64, tmp_path, mmu=5000)
    with pytest.raises(FinishError, match="sieve of 100000 pixels is larger than the map"):
        regularised(patchy(1, 2), 64, tmp_path, sieve=100_000)
    with pytest.raises(FinishError, match="no class 'c30'. Did you mean 'c300'"):
        regularised(patchy(1, 2), 64, tmp_path, mmu_of={"c30": 1})
    with pytest.raises(ValueError, match="must be odd"):
        Finishing(majority=4)
    assert not (tmp_path / "s").exists()


def drawn(array, tile, tolerance, folder, like=METRES):
    """Return numbers, polygons and pixels of the objects, by number."""
    parts = []
    with scratch(folder / "s") as temporary:
        codes = codes_of(array, tile, like)
        for batch in polygons_of(codes, temporary, tolerance, QUIET, lambda w, v: {"pixels": np.ones(v.shape)}):
            parts.append((batch.number, batch.polygons, batch.sums["pixels"]))
    number, polygons, pixels = (np.concatenate(part) for part in zip(*parts))
    order = np.argsort(number)
    return number[order], polygons[order], pixels[order]


@pytest.mark.slow
@pytest.mark.parametrize("smooth", [0.4, 1, 3])
@pytest.mark.parametrize("tolerance", [0, 1, 3])
def test_polygons_do_not_depend_on_tiles_and_are_a_coverage(tmp_path, smooth, tolerance):
    array = patchy(4, smooth)
    number, polygons, pixels = drawn(array, 1000, tolerance, tmp_path)
    assert shapely.is_valid(polygons).all()
    assert shapely.coverage_is_valid(polygons)
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    assert shapely.area(polygons).sum() == pytest.approx(100 * np.count_nonzero(array), rel=1e-9)
    assert pixels.sum() == np.count_nonzero(array)
    assert len(set(number.tolist())) == sum(label(array == code)[1] for code in LEGEND.codes)
    for tile in (37, 64):
        again = drawn(array, tile, tolerance, tmp_path)
        assert np.array_equal(again[0], number)
        assert np.array_equal(again[2], pixels)
        assert shapely.equals_exact(shapely.normalize(again[1]), shapely.normalize(polygons)).all()


@pytest.mark.slow
def test_polygons_that_are_not_simplified_have_the_pixels_of_their_objects(tmp_path):
    array = patchy(5, 1)
    number, polygons, pixels = drawn(array, 37, 0, tmp_path)
    assert shapely.area(polygons) == pytest.approx(100 * pixels)
    row, column = np.divmod(number - 1, array.shape[1])
    inside = shapely.points(300_000 + 10 * column + 5, 7_650_000 - 10 * row - 5)
    assert shapely.contains(polygons, inside).all()


def test_simplification_removes_steps_but_no_seam_and_no_border_with_no_data(tmp_path):
    y, x = np.mgrid[:200, :200]
    array = np.where(y * 2 < x + 120, 7, 2).astype(np.uint16)  # one straight border through all tiles
    _, polygons, _ = drawn(array, 64, 2, tmp_path)
    assert shapely.get_num_coordinates(polygons).sum() < 20
    border = shapely.intersection(*polygons)
    assert border.length == pytest.approx(np.hypot(2000, 1000), rel=0.01)
    gap = np.where(y * 2 < x + 120, 7, 0).astype(np.uint16)
    _, (alone,), (pixels,) = drawn(gap, 64, 2, tmp_path)
    assert alone.area == pytest.approx(100 * pixels)


@pytest.mark.parametrize("smooth", [0.7, 2])
def test_no_vertex_is_on_a_straight_border_of_two_objects(tmp_path, smooth):
    """Neither at the border of a tile nor elsewhere; where three objects meet, a vertex may be on a straight line."""
    array = patchy(8, smooth, (60, 60))
    array[array == 0] = 9
    _, polygons, _ = drawn(array, 20, 2, tmp_path)
    tree, seams = shapely.STRtree(polygons), 0
    for ring in shapely.get_rings(polygons):
        xy = shapely.get_coordinates(ring)[:-1]
        before, after = xy - np.roll(xy, 1, 0), np.roll(xy, -1, 0) - xy
        straight = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) < 1e-6
        edge = (xy == shapely.total_bounds(polygons)[[0, 1]]).any(1) | (
            xy == shapely.total_bounds(polygons)[[2, 3]]
        ).any(1)
        for point in shapely.points(xy[straight & ~edge]):
            seams += len(tree.query(point, predicate="intersects")) < 3
    assert seams == 0


def test_borders_too_long_for_one_piece_are_simplified_in_parts(tmp_path, monkeypatch):
    array = patchy(6, 3)
    array[array == 9] = 7
    whole = drawn(array, 37, 2, tmp_path)[1]
    monkeypatch.setattr("bocage.finish.polygons.LARGEST", 400)
    read, sizes = Corners.read, []
    monkeypatch.setattr(
        Corners, "read", lambda self, window: sizes.append(window.height * window.width) or read(self, window)
    )
    results = [drawn(array, tile, 2, tmp_path)[1] for tile in (37, 64)]
    assert max(sizes) <= 400, "memory does not grow with a border that is as long as the map"
    assert shapely.coverage_is_valid(results[0])
    assert shapely.equals_exact(*(shapely.normalize(one) for one in results)).all()
    counts = [shapely.get_num_coordinates(one).sum() for one in (drawn(array, 37, 0, tmp_path)[1], results[0], whole)]
    assert counts[0] > counts[1] >= counts[2]


@pytest.mark.parametrize("like", [METRES, DEGREES, FEET], ids=["metres", "degrees", "feet"])
def test_areas_of_polygons_add_up_to_those_of_the_pixels(tmp_path, like):
    array = patchy(7, 2)
    grid = Grid.of(like.crs, like.transform, array.shape)
    expected = float((pixel_areas(grid) * (array > 0).sum(1)).sum())
    for tolerance in (0, 2):
        polygons = drawn(array, 64, tolerance, tmp_path, like)[1]
        assert ground_areas(polygons, grid.crs.proj).sum() == pytest.approx(expected, rel=1e-6)


SETTINGS = '[finish]\nmmu = 0.05\nmajority = 3\nformats = ["gpkg", "parquet", "fgb"]\ntile = 64\n'


@pytest.fixture
def run(finished, tmp_path):
    """A run with a speckled map, and its recipe with [finish]."""

    def prepare(settings: str = SETTINGS, more: str = "") -> tuple[Path, Path]:
        one = finished(more=more)
        out = one.copied(tmp_path / "run")
        recipe = one.recipe.with_name(f"finish-{tmp_path.name}.toml")
        recipe.write_text(one.recipe.read_text() + settings)
        return recipe, out

    return prepare


def test_finish_writes_the_same_polygons_in_three_formats(run, capsys):
    recipe, out = run()
    assert main(["finish", str(recipe), "--out", str(out)]) == 0
    assert "finish/polygons.gpkg" in capsys.readouterr().out
    with rasterio.open(out / "map/classes.tif") as classes, rasterio.open(out / "map/regularised.tif") as tidy:
        assert (tidy.colormap(1), tidy.tags(1), tidy.crs, tidy.transform) == (
            classes.colormap(1), classes.tags(1), classes.crs, classes.transform,
        )  # fmt: skip
        codes = tidy.read(1)
    tables = [gpd.read_parquet(out / "finish/polygons.parquet")]
    tables += [gpd.read_file(out / f"finish/polygons.{suffix}") for suffix in ("gpkg", "fgb")]
    for table in (one.sort_values("id").reset_index(drop=True) for one in tables):
        assert table.crs.to_epsg() == 32740
        assert list(table["class"]) == ["maize", "meadow", "water"]
        assert table.area_ha.sum() == pytest.approx(np.count_nonzero(codes) / 100)
        assert table.area_m2.to_numpy() == pytest.approx(table.area.to_numpy())
        assert ((table.confidence > 30) & (table.confidence <= 100)).all()
        assert (table.share == 1).all()
    assert pq.read_schema(out / "finish/polygons.parquet").metadata[b"geo"]
    assert not [path for path in (out / "finish").iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_a_polygon_has_the_mean_confidence_probability_and_share_of_its_pixels(run):
    recipe, out = run('[finish]\nsieve = 20\nformats = ["parquet"]\n', MORE)
    speckle(out)
    finish(read_recipe(recipe), out)
    table = gpd.read_parquet(out / "finish/polygons.parquet").set_index("id")
    with rasterio.open(out / "map/regularised.tif") as tidy, rasterio.open(out / "map/classes.tif") as classes:
        codes, before = tidy.read(1), classes.read(1)
    with rasterio.open(out / "map/confidence.tif") as one, rasterio.open(out / "map/probabilities.tif") as many:
        confidence, probabilities = one.read(1), many.read() * 0.01
    assert (codes != before).sum() == 9
    objects = [(code, *label(codes == code)) for code in (1, 2, 3)]
    assert len(table) == sum(count for _, _, count in objects) > 2
    for code, ids, count in objects:
        for k in range(1, count + 1):
            row = table.loc[int(np.flatnonzero(ids.ravel() == k)[0]) + 1]
            assert row.code == code
            assert row.pixels == (ids == k).sum()
            assert row.confidence == pytest.approx(confidence[ids == k].mean())
            assert row.probability == pytest.approx(probabilities[code - 1][ids == k].mean())
            assert row.share == pytest.approx((before[ids == k] == code).mean())


MORE = 'layers = ["classes", "confidence", "probabilities"]'


def speckle(out: Path) -> None:
    """Put an object of nine pixels into the map, as its record says."""
    path = out / "map/classes.tif"
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        codes = dataset.read(1)
        codes[10:13, 5:8] = 3
        dataset.write(codes, 1)
    record = json.loads((out / "provenance.json").read_text())
    record["stages"]["map"]["files"]["map/classes.tif"] = sha256_of(path)
    (out / "provenance.json").write_text(json.dumps(record))


def test_complete_stages_are_kept_and_changed_ones_repeated(run):
    recipe, out = run()
    told = Told()
    finish(read_recipe(recipe), out, told)
    assert not [word for word in told.words if "up to date" in word]
    finish(read_recipe(recipe), out, told)
    assert [word for word in told.words if "up to date" in word] == [
        "regularise: up to date",
        "accuracy: up to date",
        "vectors: up to date",
    ]
    (out / "finish/polygons.fgb").unlink()
    recipe.write_text(recipe.read_text().replace("tile = 64", "tile = 70"))
    told = Told()
    finish(read_recipe(recipe), out, told)
    assert "regularise: up to date" in told.words
    assert any("polygons.fgb is missing or was changed" in word for word in told.words)
    assert (out / "finish/polygons.fgb").exists()
    recipe.write_text(recipe.read_text().replace("majority = 3", "").replace("mmu = 0.05", ""))
    finish(read_recipe(recipe), out)
    assert not list((out / "map").glob("regularised*"))
    assert set(RunLayout(out).map.layers) == {out / "map/classes.tif", out / "map/confidence.tif"}


def test_areas_of_an_earlier_version_are_computed_again(run, monkeypatch):
    """Those in Web Mercator were not areas on the ground."""
    recipe, out = run()
    zones = gpd.GeoDataFrame(geometry=[shapely.box(*open_delivered(out).grid.bounds)], crs="EPSG:32740")
    zones.to_file(out / "districts.gpkg")
    recipe.write_text(recipe.read_text() + f'zones = "{out / "districts.gpkg"}"\n')
    with monkeypatch.context() as earlier:
        earlier.setattr(finishing, "FORMAT", 1)
        earlier.setattr(finishing, "ZONES", 2)
        finish(read_recipe(recipe), out)
    told = Told()
    finish(read_recipe(recipe), out, told)
    assert not [word for word in told.words if "up to date" in word]


def test_the_stages_of_the_run_stay_current_after_finish(run, finished, capsys):
    recipe, out = run()
    finish(read_recipe(recipe), out)
    assert main(["map", str(recipe), "--out", str(out)]) == 0
    assert "map: up to date" in capsys.readouterr().err


def test_a_map_that_was_changed_or_is_missing_is_refused(run, tmp_path, capsys):
    recipe, out = run()
    with pytest.raises(RunFolderError, match="holds no run"):
        finish(read_recipe(recipe), tmp_path / "none")
    (out / "map/classes.tif").write_bytes(b"x")
    assert main(["finish", str(recipe), "--out", str(out)]) == 1
    assert "classes.tif is missing or was changed" in capsys.readouterr().err
    assert not (out / "finish/polygons.gpkg").exists()


def test_missing_zones_are_said_before_anything_is_written(run):
    recipe, out = run('[finish]\nsieve = 4\nzones = "none.gpkg"\n')
    with pytest.raises(FinishError, match="none.gpkg does not exist"):
        finish(read_recipe(recipe), out)
    assert not (out / "map/regularised.tif").exists()


def test_a_folder_names_its_recipe(finished, tmp_path):
    one = finished()
    assert recipe_of(one.out) == (one.recipe, one.out, [])
    assert recipe_of(one.recipe, one.out) == (one.recipe, one.out, ())
    with pytest.raises(RunFolderError, match="holds no run"):
        recipe_of(tmp_path)


def test_out_is_refused_beside_a_folder(tmp_path, capsys):
    assert main(["finish", str(tmp_path), "--out", str(tmp_path / "other")]) == 2
    assert "--out is the folder of a recipe" in capsys.readouterr().err


@pytest.fixture
def spool(tmp_path) -> tuple[Path, Grid, int]:
    """A GeoParquet file of polygons, their grid and their number."""
    count, grid = 1500, Grid.of(METRES.crs, METRES.transform, (200, 200))
    x, y = 300_000 + np.arange(count) % 60 * 20.0, 7_650_000 - np.arange(count) // 60 * 20.0
    schema = pa.schema({"id": pa.int64(), "geometry": pa.binary()}, geo_metadata(grid, ["Polygon"]))
    boxes = shapely.to_wkb(shapely.box(x, y - 10, x + 10, y))
    pq.write_table(pa.table({"id": np.arange(count), "geometry": boxes}, schema=schema), tmp_path / "spool.parquet")
    return tmp_path / "spool.parquet", grid, count


@pytest.mark.parametrize(("suffix", "driver"), [("gpkg", "GPKG"), ("fgb", "FlatGeobuf")])
def test_a_map_without_a_class_has_a_vector_file_without_a_polygon(spool, tmp_path, suffix, driver):
    """A file without polygons has no spatial index: the disk is not full."""
    empty, path = tmp_path / "empty.parquet", tmp_path / f"polygons.{suffix}"
    pq.write_table(pq.read_table(spool[0]).slice(0, 0), empty)
    copy(empty, path, driver, spool[1], 0)
    assert pyogrio.read_info(path, force_feature_count=True)["features"] == 0


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(("suffix", "driver"), [("gpkg", "GPKG"), ("fgb", "FlatGeobuf")])
def test_a_disk_that_fills_up_leaves_no_file_that_looks_finished(spool, tmp_path, suffix, driver, share):
    path, (source, grid, count) = tmp_path / f"polygons.{suffix}", spool
    copy(source, path, driver, grid, count)
    size, before = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    path.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(size * share), before[1]))
    try:
        with pytest.raises(FinishError, match=f"polygons.{suffix} .*Is the disk full") as error:
            copy(source, path, driver, grid, count)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == [source]


def test_a_disk_that_fills_up_with_polygons_is_reported_with_the_file(run, capsys):
    recipe, out = run('[finish]\nformats = ["parquet"]\n')
    (out / "finish").mkdir()
    part_of(out / "finish/polygons.parquet").symlink_to("/dev/full")
    assert main(["finish", str(recipe), "--out", str(out)]) == 1
    assert f"the disk is full ({out / 'finish/polygons.parquet'})" in capsys.readouterr().err
    assert list((out / "finish").iterdir()) == []
