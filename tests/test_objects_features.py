"""Features of objects: as by brute force, on every grid, for any tiles; and the source of their images."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from affine import Affine

from bocage.errors import SceneError, SourceError
from bocage.grid import Grid, Ratio, Window
from bocage.layout import ObjectsLayout
from bocage.models.texture import TAILS
from bocage.objects.features import write_features
from bocage.objects.settings import Features, Segmenting
from bocage.objects.shape import Shapes
from bocage.objects.sums import in_time
from bocage.progress import QUIET
from bocage.scene import Cube, Preparation
from bocage.sources import SENSORS, image, objects, open_source, series
from bocage.sources.objects import GROUP
from bocage.testing.fakes import Place, write_raster

CORNER, CRS, SHAPE = (338_000.0, 7_668_000.0), "EPSG:32740", (36, 44)
MAP = Grid.of(CRS, Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), SHAPE)
DAYS = ("2021-02-11", "2021-03-11", "2021-06-11")


def land(folder, seed=0):
    """Objects at 10 m, an image at 10 m, one at 2.5 m, a series of 20 m with masked dates, and terrain at 40 m."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ids = ((y + x // 7) // 9 * 6 + (x + y // 4) // 8 + 1).astype(np.uint32)
    ids[30:, :6] = 0
    ids[0, 0] = 1000
    order = dict.fromkeys(ids.ravel().tolist())
    ids = np.vectorize(({0: 0} | {old: k for k, old in enumerate((o for o in order if o), start=1)}).get)(ids)
    layout = ObjectsLayout(folder / "objects")
    write_raster(layout.ids, ids[None].astype(np.uint32), nodata=0)
    ms = (rng.normal(0.3, 0.05, (2, *SHAPE)) + ids * 0.003).astype(np.float32)
    ms[:, 20:24, 10:20] = np.nan
    write_raster(folder / "ms.tif", ms)
    pan = (rng.normal(800, 60, (1, 144, 176)) + np.kron(ids, np.ones((4, 4)))[None]).astype(np.uint16)
    write_raster(folder / "pan.tif", pan, Place(2.5))
    red = rng.integers(500, 900, (3, 18, 22)).astype(np.uint16)
    quality = np.where(rng.random(red.shape) < 0.3, 9, 4).astype(np.uint8)
    quality[1, :9] = 9
    quality[:, 12:, 14:] = 9
    write_raster(folder / "s2/red.tif", red, Place(20.0), descriptions=DAYS)
    write_raster(folder / "s2/quality.tif", quality, Place(20.0), descriptions=DAYS)
    dem = rng.normal(100, 20, (1, 9, 11)).astype(np.float32)
    write_raster(folder / "dem.tif", dem, Place(40.0))
    made = SimpleNamespace(ids=ids, ms=ms, pan=pan, red=red * 0.0001, clear=quality == 4, dem=dem, layout=layout)
    made.cubes = {
        "pan": cube("pan", image, Ratio(finer=4), image.Settings(folder / "pan.tif", ("pan",))),
        "ms": cube("ms", image, Ratio(), image.Settings(folder / "ms.tif", ("red", "nir")), ("ndvi",)),
        "s2": cube(
            "s2", series, Ratio(coarser=2),
            series.Settings(
                variables={"red": folder / "s2/red.tif"}, quality=folder / "s2/quality.tif", clear=(4,), scale=0.0001
            ),
        ),
        "dem": cube("dem", image, Ratio(coarser=4), image.Settings(folder / "dem.tif", ("height",))),
    }  # fmt: skip
    return made


def cube(name, sensor, ratio, settings, indices=()):
    return Cube(open_source(name, sensor, settings), ratio.grid(MAP), ratio, Preparation(indices=indices))


def features_of(made, **settings) -> pd.DataFrame:
    write_features(made.layout, made.cubes, Features(**settings), QUIET)
    return pd.read_parquet(made.layout.table).set_index("id")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return land(tmp_path_factory.mktemp("land"))


@pytest.fixture(scope="module")
def table(made):
    return features_of(made, tile=256)


def test_a_row_for_each_object_and_a_column_for_each_feature(made, table):
    assert table.index.tolist() == list(range(1, int(made.ids.max()) + 1))
    assert {"area_ha", "perimeter_m", "compactness", "elongation", "extent", "neighbours"} <= set(table)
    assert {"pan_pan_mean", "ms_ndvi_std", "ms_red_contrast", "s2_red_20210311_mean", "dem_height_std"} <= set(table)
    assert {"pan_pan_texture_entropy", "ms_nir_texture_second_moment"} <= set(table)
    assert not [name for name in table if name.startswith(("s2", "dem")) and name.endswith("entropy")]
    assert (table.dtypes == np.float32).all()
    assert not made.layout.scratch.exists()


@pytest.mark.parametrize("one", [1, 2, 9, 17])
def test_mean_and_spread_as_by_brute_force_on_every_grid(made, table, one):
    row, mine = table.loc[one], made.ids == one
    for k, band in enumerate(("red", "nir")):
        pixels = made.ms[k][mine & np.isfinite(made.ms[k])].astype(float)
        assert row[f"ms_{band}_mean"] == pytest.approx(pixels.mean())
        assert row[f"ms_{band}_std"] == pytest.approx(pixels.std(), abs=1e-7)
    ndvi = (made.ms[1] - made.ms[0]) / (made.ms[1] + made.ms[0])
    assert row.ms_ndvi_mean == pytest.approx(np.nanmean(ndvi[mine]), rel=1e-5)
    fine = np.kron(mine, np.ones((4, 4), bool))
    assert row.pan_pan_mean == pytest.approx(made.pan[0][fine].mean())
    assert row.pan_pan_std == pytest.approx(made.pan[0][fine].std(), abs=1e-4)
    coarse = np.kron(made.dem[0], np.ones((4, 4)))[mine]  # each terrain pixel as often as it is under the object
    assert row.dem_height_mean == pytest.approx(coarse.mean())
    assert row.dem_height_std == pytest.approx(coarse.std(), abs=1e-4)


def brute_series(made, one):
    """Mean and spread (T, 2) of the valid pixels of an object on each date, interpolated in time; the dates with pixels."""
    mine, found = made.ids == one, np.full((3, 2), np.nan)
    for t in range(3):
        clear = np.kron(made.clear[t], np.ones((2, 2), bool))
        pixels = np.kron(made.red[t], np.ones((2, 2)))[mine & clear]
        if len(pixels):
            found[t] = pixels.mean(), pixels.std()
    there = ~np.isnan(found[:, 0])
    days = np.array(DAYS, "datetime64[D]").astype(float)
    if there.any():
        found = np.stack([np.interp(days, days[there], found[there, k]) for k in range(2)], 1)
    return found, there


def test_masked_dates_take_no_part_and_missing_ones_are_interpolated_in_time(made, table):
    filled = lost = 0
    for one in table.index:
        expected, there = brute_series(made, one)
        filled += there.any() and not there.all()
        lost += not there.any()
        for t, day in enumerate(DAYS):
            column = f"s2_red_{day.replace('-', '')}"
            assert table.loc[one, f"{column}_mean"] == pytest.approx(expected[t, 0], nan_ok=True, rel=1e-5)
            assert table.loc[one, f"{column}_std"] == pytest.approx(expected[t, 1], nan_ok=True, abs=1e-7)
    assert filled >= 3
    assert lost >= 1
    assert table.s2_red_contrast.isna().sum() == lost


def test_interpolation_in_time_carries_the_ends():
    values = np.array([[[9.0], [1.0], [9.0], [4.0], [9.0]]])
    there = np.array([[False, True, False, True, False]])
    assert in_time(values, there, np.array([0, 10, 20, 40, 90]))[0, :, 0].tolist() == [1, 1, 2, 4, 4]


def test_shape_as_by_brute_force(made, table):
    padded = np.pad(made.ids, 1)
    for one in table.index:
        mine = padded == one
        edges = sum(int((mine & (np.roll(mine, s, a) == 0)).sum()) for s in (1, -1) for a in (0, 1))
        row, (y, x) = table.loc[one], np.nonzero(mine)
        assert row.area_ha == pytest.approx(len(y) / 100)
        assert row.perimeter_m == 10 * edges
        assert row.compactness == pytest.approx(4 * math.pi * len(y) / edges**2)
        assert row.extent == pytest.approx(len(y) / (np.ptp(y) + 1) / (np.ptp(x) + 1))
        moments = np.cov(np.stack([y, x]), bias=True) if len(y) > 1 else np.zeros((2, 2))
        minor, major = np.linalg.eigvalsh(moments + np.eye(2) / 12)
        assert row.elongation == pytest.approx(1 - math.sqrt(minor / major), abs=1e-5)
    assert table.loc[1, ["area_ha", "elongation", "extent"]].tolist() == pytest.approx([0.01, 0, 1])


@pytest.mark.parametrize(
    ("crs", "pixel", "corner", "sides"),
    [  # of a pixel on the ground, in metres
        ("EPSG:4326", 0.0001, (2.0, 60.0), (11.13195, 5.565975)),
        ("EPSG:3857", 10.0, (300_000, 8_399_738), (10 * 0.5, 10 * 0.5)),
        ("EPSG:32631", 10.0, (500_000, 6_651_000), (10.0, 10.0)),
    ],
)
def test_shape_and_size_are_those_on_the_ground(crs, pixel, corner, sides):
    grid = Grid.of(crs, Affine(pixel, 0, corner[0], 0, -pixel, corner[1]), (20, 20))
    shapes = Shapes(grid, np.zeros((2, 12), np.int64))
    shapes.sums[:, 7:9] = -20
    shapes.add(np.pad(np.ones((20, 20), np.int64), 1), Window(0, 0, 20, 20))
    found, (height, width) = {key: value[0] for key, value in shapes.features(slice(1, 2)).items()}, sides
    assert found["area_ha"] == pytest.approx(400 * height * width / 10_000, rel=0.005)
    assert found["perimeter_m"] == pytest.approx(40 * (height + width), rel=0.005)
    assert found["elongation"] == pytest.approx(1 - width / height, abs=0.002)
    assert Segmenting(mmu=0.1, minimum=1).pixels(grid) == pytest.approx(1000 / height / width, abs=1, rel=0.01)


def test_neighbours_and_contrast_as_by_brute_force(made, table):
    edges: dict = {}
    for a, b in ((made.ids[1:], made.ids[:-1]), (made.ids[:, 1:], made.ids[:, :-1])):
        for one, other in zip(a.ravel().tolist(), b.ravel().tolist()):
            if one != other and one and other:
                for pair in ((one, other), (other, one)):
                    edges[pair] = edges.get(pair, 0) + 1
    for one in table.index:
        near = {other: n for (own, other), n in edges.items() if own == one}
        assert table.loc[one, "neighbours"] == len(near) > 0
        mean = sum(table.loc[o, "dem_height_mean"] * n for o, n in near.items()) / sum(near.values())
        assert table.loc[one, "dem_height_contrast"] == pytest.approx(
            table.loc[one, "dem_height_mean"] - mean, abs=1e-3
        )


def test_texture_is_that_of_scikit_image_on_an_object_that_is_a_square(tmp_path):
    from skimage.feature import graycomatrix, graycoprops

    rng, layout = np.random.default_rng(4), ObjectsLayout(tmp_path / "objects")
    ids = np.zeros((1, *SHAPE), np.uint32)
    ids[0, 3:15, 6:18], ids[0, 20:31, 20:31] = 1, 2
    write_raster(layout.ids, ids)
    pixels = rng.integers(0, 256, (1, *SHAPE)).astype(np.uint8)
    write_raster(tmp_path / "one.tif", pixels)
    cubes = {"one": cube("one", image, Ratio(), image.Settings(tmp_path / "one.tif", ("b",)))}
    write_features(layout, cubes, Features(grey_levels=8, tile=16), QUIET)
    table = pd.read_parquet(layout.table).set_index("id")
    low, high = np.percentile(pixels, TAILS)
    grey = np.clip((pixels[0] - low) / ((high - low) / 8), 0, 7).astype(np.uint8)
    for one, part in ((1, grey[3:15, 6:18]), (2, grey[20:31, 20:31])):
        angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
        matrix = graycomatrix(part, [1], angles, 8, symmetric=True).sum(3, keepdims=True)
        normed = matrix / matrix.sum()
        for name, other in (("homogeneity",) * 2, ("contrast",) * 2, ("second_moment", "ASM"), ("dissimilarity",) * 2,
                            ("correlation",) * 2):  # fmt: skip
            expected = graycoprops(normed, other)[0, 0]
            assert table.loc[one, f"one_b_texture_{name}"] == pytest.approx(expected, rel=1e-5), name


def test_texture_of_a_finer_source_and_of_objects_without_pairs(made, table):
    from bocage.objects.texture import Greys

    greys = Greys.of(made.cubes["pan"], 8)
    fine = np.kron(made.ids, np.ones((4, 4), int))
    grey = greys.of_values(made.pan.astype(float))[0]
    for one in (1, 5, 11):
        counts = np.zeros((8, 8))
        for y, x in np.argwhere(fine == one):
            for v, u in ((y, x + 1), (y + 1, x - 1), (y + 1, x), (y + 1, x + 1)):
                if 0 <= u < fine.shape[1] and v < fine.shape[0] and fine[v, u] == one:
                    a, b = int(grey[y, x]), int(grey[v, u])
                    counts[a, b] += 1
                    counts[b, a] += 1
        p, (i, j) = counts / counts.sum(), np.indices((8, 8))
        assert table.loc[one, "pan_pan_texture_homogeneity"] == pytest.approx((p / (1 + (i - j) ** 2)).sum(), rel=1e-5)
        assert table.loc[one, "pan_pan_texture_entropy"] == pytest.approx(
            -(p[p > 0] * np.log(p[p > 0])).sum(), rel=1e-5
        )
    alone = table.loc[1]  # one pixel of ms: no pair
    names = ("variance", "homogeneity", "entropy", "second_moment", "correlation")
    assert [alone[f"ms_red_texture_{name}"] for name in names] == [0, 1, 0, 1, 1]


def test_the_table_is_the_same_for_any_tiles(made, table):
    for tile in (16, 23):
        pd.testing.assert_frame_equal(features_of(made, tile=tile), table, check_exact=True)


def test_sources_and_texture_can_be_chosen(made, table):
    chosen = features_of(made, sources=("s2", "pan"), texture=())
    assert not [name for name in chosen if name.startswith(("ms_", "dem_")) or name.endswith("entropy")]
    pd.testing.assert_frame_equal(chosen, table[chosen.columns])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sources": ("s1",)}, r"sources: no source is called 's1'.*The sources are: pan, ms, s2, dem"),
        ({"texture": ("s2",)}, "texture: 's2' has several dates"),
        ({"texture": ("dem",)}, "texture: 'dem' .*has larger pixels than the objects"),
    ],
)
def test_sources_that_cannot_be_used_are_named(made, settings, message):
    with pytest.raises(SceneError, match=message):
        features_of(made, **settings)


def test_a_raster_without_objects_is_refused(tmp_path):
    made = land(tmp_path)
    write_raster(made.layout.ids, np.zeros((1, *SHAPE), np.uint32))
    with pytest.raises(SceneError, match=r"objects.tif has no object"):
        features_of(made)


def test_an_interrupted_table_leaves_nothing(tmp_path, monkeypatch):
    made = land(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bocage.objects.features._Table.part", killed)
    with pytest.raises(KeyboardInterrupt):
        features_of(made)
    assert list(made.layout.path.iterdir()) == [made.layout.ids]


# --- the source
@pytest.fixture
def written(tmp_path):
    made = land(tmp_path)
    made.table = features_of(made)
    made.open = lambda **settings: open_source("objects", objects, objects.Settings(made.layout.path, **settings))
    return made


def test_the_image_has_the_features_of_the_object_at_each_pixel(written):
    source = written.open()
    assert source.bands == tuple(written.table.columns)
    assert (source.grid, source.times, source.nests_in(MAP)) == (MAP, (None,), True)
    lost = [int(one) for one in written.table.index if written.table.loc[one].isna().any()]
    assert lost
    assert (
        str(source.notes[0]).endswith("objects lack a value of a feature (no valid pixel of a source) and stay nodata.")
        or len(lost) == 1
    )
    for window in (MAP.window, Window(5, 9, 20, 21), Window(-3, -2, 12, 60)):
        values, valid = source.read(MAP, window)
        inside = window.clip(SHAPE)
        ids = np.zeros((window.height, window.width), int)
        ids[inside.within(window)] = written.ids[inside.slices]
        expected = (ids > 0) & ~np.isin(ids, lost)
        assert np.array_equal(valid[0], expected)
        rows = written.table.to_numpy()[ids[expected] - 1]
        assert np.array_equal(values[0][:, expected].T, rows)
        assert not values[0][:, ~expected].any()


def test_features_are_chosen_by_name(written):
    source = written.open(features=("s2_*_mean", "area_ha"))
    assert source.bands == ("area_ha", *(f"s2_red_{day.replace('-', '')}_mean" for day in DAYS))
    values, valid = source.read(MAP, Window(4, 4, 3, 3))
    assert np.array_equal(values[0, 0], written.table.area_ha.to_numpy()[written.ids[4:7, 4:7] - 1])
    with pytest.raises(SourceError, match="no feature is called 'area'.*area_ha"):
        written.open(features=("area",))


def test_the_source_is_known_by_the_content_of_both_files(written):
    before = written.open().fingerprints()
    assert {path.rsplit("/", 1)[1] for path in before} == {"objects.tif", "objects.parquet"}
    features_of(written, grey_levels=4)
    after = written.open().fingerprints()
    assert [before[path] != after[path] for path in sorted(before)] == [True, False]


def test_a_table_of_other_objects_is_refused(written):
    ids = written.ids.copy()
    ids[ids == 3] = 2
    write_raster(written.layout.ids, ids[None].astype(np.uint32), nodata=0)
    with pytest.raises(SourceError, match="Source 'objects': .*has the features of other objects than objects.tif"):
        written.open()


@pytest.mark.parametrize("content", [b"", b"PAR1 but not", None])
def test_a_damaged_table_is_named(written, content):
    table = written.layout.table
    table.write_bytes(table.read_bytes()[:-100] if content is None else content)
    with pytest.raises(SourceError, match="objects.parquet is not a table of 'bocage segment'"):
        written.open()


def test_missing_files_and_a_missing_folder_say_what_to_run(tmp_path):
    with pytest.raises(SourceError, match="objects.tif does not exist. Run 'bocage segment' first"):
        open_source("o", objects, objects.Settings(tmp_path))
    with pytest.raises(
        SourceError, match="the objects have no folder. Run the recipe with 'bocage run', or set 'path'"
    ):
        open_source("o", objects, objects.Settings())
    assert SENSORS.get("objects") is objects


def test_more_objects_than_a_row_group(tmp_path):
    side = 66
    ids = np.arange(1, side * side + 1, dtype=np.uint32).reshape(1, side, side)
    assert ids.max() > GROUP
    layout, grid = ObjectsLayout(tmp_path / "objects"), Grid.of(CRS, MAP.transform, (side, side))
    write_raster(layout.ids, ids)
    write_raster(tmp_path / "one.tif", ids.astype(np.float32) * 2)
    source = open_source("one", image, image.Settings(tmp_path / "one.tif", ("b",)))
    cubes = {"one": Cube(source, grid, Ratio(), Preparation())}
    write_features(layout, cubes, Features(texture=()), QUIET)
    assert pq.ParquetFile(layout.table).num_row_groups == -(-side * side // GROUP)
    found = open_source("o", objects, objects.Settings(layout.path, ("one_b_mean",)))
    values, valid = found.read(grid, grid.window)
    assert valid.all()
    assert np.array_equal(values[0, 0], ids[0] * 2)
