import json
import math
import pickle
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import torch
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio import features
from shapely.geometry import LineString, Point, Polygon, box

from bocage.errors import SamplesError
from bocage.grid import Grid, Ratio, Window
from bocage.legend import LandClass, Legend
from bocage.machine import cores as machine_cores
from bocage.models import Footprint, InputSpec, SourceTensor
from bocage.preflight.polygons import check_polygons
from bocage.samples import Reference, Split, Survey, make_samples
from bocage.samples.doubtful import features_to_judge, overlaps_of
from bocage.samples.ground import Ground
from bocage.samples.make import _places
from bocage.samples.points import _places as table_places
from bocage.samples.points import folds_of
from bocage.samples.rare import Counted, drop_rare
from bocage.samples.rasterise import Pixels, pixels_inside, rasterise
from bocage.samples.reference import column_of, read_polygons
from bocage.samples.split import Units, deal, draw
from bocage.scene import make_scene
from bocage.sources import image, open_source, series
from bocage.testing import Place, fake_pixels, write_raster
from bocage.testing.fakes import CORNER
from bocage.training import batches as training_batches
from bocage.training.augmentation import Augmentation, augmented, gridded, shifted, thinned, turned
from bocage.training.batches import AT_ONCE, Ahead, batches, make_batch, shuffled, side_by_side
from bocage.training.scaling import Normalisation
from conftest import not_finite

GRID = Grid.of("EPSG:32740", Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), (40, 60))
LEGEND = Legend((LandClass(1, "crops", values=(1, 3)), LandClass(2, "forest")))


def square(row, column, side=3, height=None):
    west, north = CORNER[0] + 10 * column, CORNER[1] - 10 * row
    return box(west, north - 10 * (height or side), west + 10 * side, north)


def written(folder: Path, rows, crs="EPSG:32740"):
    frame = gpd.GeoDataFrame([{"code": c, "geometry": g} for c, g in rows], crs=crs)
    frame.to_file(folder / "ref.gpkg", engine="pyogrio")
    return folder / "ref.gpkg"


@given(st.integers(0, 10_000))
def test_pixels_are_those_whose_centre_lies_inside(seed):
    generator = np.random.default_rng(seed)
    angles = np.sort(generator.uniform(0, 2 * np.pi, 9))
    radius = generator.uniform(20, 180, 9)
    x, y = CORNER[0] + generator.uniform(-50, 650), CORNER[1] - generator.uniform(-50, 450)
    polygon = Polygon(np.c_[x + radius * np.cos(angles), y + radius * np.sin(angles)]).buffer(0)
    rows, columns = pixels_inside(polygon, GRID)
    ours = np.zeros(GRID.shape, np.uint8)
    ours[rows, columns] = 1
    gdal = (
        features.rasterize([(polygon, 1)], GRID.shape, transform=GRID.transform) if not polygon.is_empty else 0 * ours
    )
    assert np.array_equal(ours, gdal)


def test_conflicts_and_slivers_are_counted(tmp_path):
    path = written(
        tmp_path,
        [
            (1, square(2, 2, 4)),
            (2, square(4, 4, 4)),
            (3, square(2, 2, 2)),
            (1, square(20, 20, 1).buffer(-4.9).buffer(0.1)),
        ],
    )
    table, rejections, _ = read_polygons(Reference(path, "code"), GRID, LEGEND)
    sliver = table.iloc[[3]].assign(
        geometry=[square(20, 20, 1).buffer(-2).intersection(square(20, 20, 1).buffer(-2).exterior.buffer(0.4))]
    )
    table.loc[3, "geometry"] = sliver.geometry.iloc[0]
    pixels, more = rasterise(table, GRID, LEGEND)
    said = {(r.reason, r.label): (r.polygons, r.pixels) for r in rejections + more}
    assert said["overlap", "crops"] == (1, 4)
    assert said["overlap", "forest"] == (1, 4)
    assert said["too_small", "crops"] == (1, 0)
    assert (pixels.label == 0).sum() == 12  # the same class twice on a pixel counts it once
    assert (pixels.label == 1).sum() == 12


def test_what_is_rejected_before_rasterising(tmp_path):
    rows = [
        (1, square(2, 2)),
        (2, square(500, 2)),
        (9, square(8, 8)),
        (2, Point(CORNER)),
        (1, Polygon()),
        (1, Point(math.inf, 0)),
        (2, LineString([CORNER, (338_100, 7_667_900)])),
    ]
    path = written(tmp_path, rows)
    with pytest.raises(SamplesError, match="labels missing from the legend: '9'"):
        read_polygons(Reference(path, "code"), GRID, LEGEND)
    table, rejections, _ = read_polygons(Reference(path, "code", unknown="reject"), GRID, LEGEND)
    said = {(r.reason, r.label): r.polygons for r in rejections}
    assert said == {
        ("unknown_label", "9"): 1,
        ("empty", "crops"): 2,
        ("no_polygon", "forest"): 1,
        ("outside", "forest"): 1,
    }
    assert table.label.tolist() == [0, 1]  # the point is the square of its pixel
    table, rejections, _ = read_polygons(Reference(path, "code", ignore=(9,)), GRID, LEGEND)
    assert ("ignored", "9") in {(r.reason, r.label) for r in rejections}


def test_another_crs_is_handled_and_said(tmp_path):
    frame = gpd.GeoDataFrame([{"code": 1, "geometry": square(5, 6, 8)}], crs="EPSG:32740")
    frame.to_crs(4326).to_file(tmp_path / "ref.gpkg", engine="pyogrio")
    table, _, notes = read_polygons(Reference(tmp_path / "ref.gpkg", "code"), GRID, LEGEND)
    assert "reprojected from EPSG:4326 to EPSG:32740" in str(notes[0])
    assert table.geometry.iloc[0].symmetric_difference(square(5, 6, 8)).area < 1
    rows, columns = pixels_inside(table.geometry.iloc[0], GRID)
    assert len(rows) == 64


def test_inward_buffer_and_polygon_id(tmp_path):
    frame = gpd.GeoDataFrame([{"code": 1, "field": "a", "geometry": square(2, 2, 6)}, {"code": 1, "field": "a", "geometry": square(20, 2, 6)}, {"code": 2, "field": "b", "geometry": square(2, 30, 1)}], crs="EPSG:32740")  # fmt: skip
    frame.to_file(tmp_path / "ref.gpkg", engine="pyogrio")
    table, rejections, _ = read_polygons(Reference(tmp_path / "ref.gpkg", "code", "field", buffer=10), GRID, LEGEND)
    pixels, _ = rasterise(table, GRID, LEGEND)
    assert len(pixels) == 32
    assert len(np.unique(pixels.polygon)) == 1
    assert rejections[0].text() == "nothing left inside the 10 m buffer"


def test_bad_references_say_what_is_wrong(tmp_path):
    path = written(tmp_path, [(1, square(2, 2)), (2, square(8, 8))])
    with pytest.raises(SamplesError, match=r"has no field 'cod'\. Did you mean 'code'"):
        read_polygons(Reference(path, "cod"), GRID, LEGEND)
    with pytest.raises(SamplesError, match="does not exist"):
        read_polygons(Reference(tmp_path / "none.gpkg", "code"), GRID, LEGEND)
    (tmp_path / "bad.gpkg").write_text("nothing")
    with pytest.raises(SamplesError, match="cannot be read"):
        read_polygons(Reference(tmp_path / "bad.gpkg", "code"), GRID, LEGEND)
    far = written(tmp_path, [(1, square(900, 900)), (2, square(950, 900))])
    with pytest.raises(SamplesError, match="all polygons are outside"):
        read_polygons(Reference(far, "code"), GRID, LEGEND)
    gpd.read_file(path).to_file(tmp_path / "nocrs.shp", engine="pyogrio")
    (tmp_path / "nocrs.prj").unlink()
    with pytest.raises(SamplesError, match="no coordinate reference system"):
        read_polygons(Reference(tmp_path / "nocrs.shp", "code"), GRID, LEGEND)


def units(label, polygon, place=None, side=1000.0):
    """Where samples are; their blocks are those of their polygons' middles."""
    if place is None:
        return Units(label, polygon, np.zeros(len(label), np.int32), None)
    number = np.unique(polygon, return_inverse=True)[1]
    middle = np.stack([np.bincount(number, axis) for axis in place.T], 1) / np.bincount(number)[:, None]
    square = np.unique(np.floor(middle / side).astype(int), axis=0, return_inverse=True)[1].ravel()
    return Units(label, polygon, square[number], place)


@given(st.integers(2, 5), st.integers(0, 200), st.floats(0.2, 0.8), st.sampled_from([0.0, 40.0, 150.0]))
def test_blocks_and_buffers_keep_train_and_test_apart(classes, seed, share, buffer):
    """No polygon and no block is on two sides, and nothing that trains lies within the buffer of what tests."""
    generator = np.random.default_rng(seed)
    corner = generator.uniform(0, 4000, (80, 2))
    polygon = np.repeat(np.arange(80), 4)
    label = np.concatenate([np.arange(classes), generator.integers(0, classes, 80 - classes)])[polygon]
    place = corner[polygon] + np.tile([[0, 0], [0, 10], [10, 0], [10, 10]], (80, 1))
    split = Split(share, 3, 0.25, seed, unit="block", block=500, buffer=buffer)
    there = units(label, polygon, place, 500)
    found = draw(there, split, 2)
    learnt = np.concatenate([found.train, found.validation])
    for number in (polygon, there.block):
        assert not set(number[found.train]) & set(number[found.validation])
        assert not set(number[learnt]) & set(number[found.test])
    distance = np.linalg.norm(place[learnt][:, None] - place[found.test][None], axis=2).min()
    assert distance >= buffer
    assert len(learnt) + len(found.test) + found.left_out == len(label)
    counts = np.array([len(set(polygon[found.test][label[found.test] == k])) for k in range(classes)])
    blocks = [len(set(there.block[label == k])) for k in range(classes)]
    assert all(n > 0 for n, b in zip(counts, blocks) if b > 1)
    if not buffer:
        assert abs(len(set(polygon[learnt])) / 80 - share) < 0.25


@given(
    st.sampled_from(["polygon", "block", "pixel"]),
    st.sampled_from(["draws", "folds", "field"]),
    st.sampled_from([0.0, 60.0]),
    st.booleans(),
    st.integers(0, 10_000),
)
def test_a_sampling_unit_is_in_one_part_only(unit, how, buffer, mixed, seed):
    """For every combination of unit, folds and buffer, and where one polygon has pixels of several classes."""
    how = "draws" if unit == "pixel" else how
    generator = np.random.default_rng(seed)
    polygon = np.repeat(np.arange(40), 4)
    place = generator.uniform(0, 2000, (40, 2))[polygon] + np.tile([[0, 0], [0, 10], [10, 0], [10, 10]], (40, 1))
    label = generator.integers(0, 3, 160) if mixed else generator.integers(0, 3, 40)[polygon]
    settings = {"folds": 4} if how == "folds" else {"fold": "year"} if how == "field" else {}
    split = Split(0.4, 2, 0.3, seed, unit=unit, block=500, buffer=buffer, **settings)
    there = units(label, polygon, place, 500)
    fold = deal(label, there.group(split), split) if how == "folds" else None
    fold = generator.integers(0, 3, 40)[polygon] if how == "field" else fold
    try:
        found = draw(replace(there, fold=fold), split, 1)
    except SamplesError:
        assert how == "field" or buffer, "only a field of folds or a buffer may leave nothing to train on"
        return
    groups = [set(there.group(split)[part].tolist()) for part in found.parts.values()]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    assert groups[0]
    assert sum(map(len, found.parts.values())) + found.left_out == len(label)
    if fold is not None:
        assert np.array_equal(found.test, np.flatnonzero(fold == 1))


def test_a_field_of_folds_that_divides_every_block_is_refused():
    label, polygon = np.repeat([0, 1], 60), np.arange(120) // 20
    there = units(label, polygon, np.random.default_rng(0).uniform(0, 900, (120, 2)))
    with pytest.raises(SamplesError, match='unit = "polygon"'):
        draw(replace(there, fold=polygon % 2), Split(fold="year", unit="block"), 0)


def test_pixels_can_be_drawn_for_comparison_only():
    label, polygon = np.repeat([0, 1], 60), np.arange(120) // 20
    found = draw(units(label, polygon), Split(unit="pixel"), 0)
    assert set(polygon[found.train]) & set(polygon[found.test])
    assert len(found.train) + len(found.validation) == 36


def test_blocks_need_coordinates_and_room():
    label, polygon = np.repeat([0, 1], 60), np.arange(120) // 20
    with pytest.raises(SamplesError, match="need coordinates"):
        draw(units(label, polygon), Split(unit="block"), 0)
    near = np.random.default_rng(0).uniform(0, 900, (120, 2))
    with pytest.raises(SamplesError, match="too few for training"):
        draw(units(label, polygon, near), Split(unit="block"), 0)
    with pytest.raises(SamplesError, match=r"Reduce \[split\] buffer"):
        draw(units(label, polygon, near), Split(buffer=2000), 0)
    for wrong in ({"block": 0}, {"buffer": -1}, {"unit": "pixel", "folds": 3}):
        with pytest.raises(ValueError, match="found|by pixels"):
            Split(**wrong)


@given(
    st.lists(st.integers(3, 40), min_size=2, max_size=6), st.floats(0.1, 0.8), st.floats(0.1, 0.6), st.integers(0, 99)
)
def test_a_draw_shares_out_whole_polygons_of_every_class(counts, share, validation, seed):
    label = np.concatenate([np.full(3 * n, k) for k, n in enumerate(counts)])
    polygon = np.concatenate([np.repeat(np.arange(n), 3) + 100 * k for k, n in enumerate(counts)])
    parts = draw(units(label, polygon), Split(share, 3, validation, seed), 1)
    groups = [set(polygon[p]) for p in (parts.train, parts.validation, parts.test)]
    assert sum(len(g) for g in groups) == sum(counts)
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    for k, n in enumerate(counts):
        used = len({p for p in groups[0] | groups[1] if p // 100 == k})
        assert used == min(max(2, round(share * n)), n - 1)
        assert all(any(p // 100 == k for p in g) for g in groups)


def test_draws_repeat_and_differ():
    label, polygon = np.repeat([0, 1], 60), np.arange(120) // 3
    first, again, other = (draw(units(label, polygon), Split(seed=5), k) for k in (0, 0, 1))
    assert np.array_equal(first.train, again.train)
    assert not np.array_equal(first.train, other.train)


def test_rare_classes_stop_the_run_or_are_dropped():
    pixels = Pixels(*(np.arange(8),) * 2, np.array([0] * 6 + [1] * 2), np.array([0, 0, 1, 1, 2, 3, 4, 4]))
    legend = Legend((LandClass(1, "a"), LandClass(2, "b"), LandClass(3, "c")))
    with pytest.raises(SamplesError, match=r"'b' \(1\), 'c' \(0\).*Merge.*rare = \"drop\""):
        drop_rare(Counted(pixels), legend, Split())
    with pytest.raises(SamplesError, match="a classification needs two"):
        drop_rare(Counted(pixels), legend, Split(rare="drop"))


@dataclass(frozen=True)
class Needed:
    """Footprints without a network."""

    footprints: dict
    any_source: bool = False


def made_samples(scene, path, footprints, folder):
    return make_samples(scene, Survey(Reference(path, "code"), LEGEND, Split()), Needed(footprints), folder)


def _fine_and_coarse(tmp_path):
    fine = open_source(
        "fine", image, image.Settings(write_raster(tmp_path / "f.tif", fake_pixels(1, 1, 2, 160, 240)[0], Place(2.5)))
    )
    days = ["2021-01-01", "2021-02-01"]
    paths = {
        b: write_raster(tmp_path / f"{b}.tif", fake_pixels(i, 2, 1, 40, 60)[:, 0], descriptions=days)
        for i, b in enumerate(("red", "nir"))
    }
    s2 = open_source("s2", series, series.Settings(paths))
    s1 = open_source(
        "s1",
        series,
        series.Settings(
            {"vv": write_raster(tmp_path / "vv.tif", fake_pixels(5, 2, 1, 20, 30)[:, 0], Place(20), descriptions=days)}
        ),
    )
    return make_scene(GRID, [fine, s2, s1], {})


def test_inclusion_weights_follow_the_polygons_into_the_test_part(tmp_path):
    scene, needs = _fine_and_coarse(tmp_path), Needed({"s2": Footprint(1)})
    shapes = [square(1 + 6 * (k % 6), 2 + 9 * (k // 6), 2) for k in range(24)]

    def made(weights, split, cut):
        frame = gpd.GeoDataFrame(
            {"code": [1 + k % 2 for k in range(24)], "w": weights}, geometry=shapes, crs="EPSG:32740"
        )
        frame.to_file(tmp_path / "ref.gpkg", engine="pyogrio")
        reference = Reference(tmp_path / "ref.gpkg", "code", weight="w")
        return make_samples(scene, Survey(reference, LEGEND, split), needs, tmp_path / cut)

    samples = made(1.0 + np.arange(24), Split(train=0.5), "cut")
    assert np.array_equal(samples.weight, samples.polygon + 1.0)
    test = samples.draw(0).test
    assert samples.test_weight(test) == pytest.approx((samples.polygon[test] + 1) * 12 / 6), "6 of 12 polygons a class"
    by_field = made(1.0 + np.arange(24) // 4, Split(fold="w"), "folds")
    assert by_field.test_weight(by_field.draw(0).test) is None, "the fold of a field is no random part"
    for k, wrong in enumerate((np.nan, 0.0, -1.0)):
        with pytest.raises(SamplesError, match="1 features have no inclusion weight above 0 in the field 'w'"):
            made(np.where(np.arange(24) == 3, wrong, 2.0), Split(), f"wrong{k}")
        reference = Reference(tmp_path / "ref.gpkg", "code", weight="w")
        (found, *_), _ = check_polygons(reference, scene.grid, LEGEND, Split())
        assert "1 features have no inclusion weight above 0" in str(found.what)


def test_a_feature_without_text_in_the_fold_field_has_no_fold():
    table = pd.DataFrame({"polygon": [0, 1, 2], column_of("part"): ["north", "", None]})
    with pytest.raises(SamplesError, match="2 features have no value in the fold field 'part'"):
        folds_of(table, "part")


def test_cut_footprints_are_the_pixels_around(tmp_path):
    scene = _fine_and_coarse(tmp_path)
    path = written(tmp_path, [(1 + i % 2, square(1 + 6 * (i % 6), 2 + 9 * (i // 6), 2)) for i in range(30)])
    footprints = {"fine": Footprint(12, 4), "s2": Footprint(1), "s1": Footprint(3, 1)}
    samples = made_samples(scene, path, footprints, tmp_path / "cut")
    assert len(samples.row) == 120
    padded = {
        name: np.pad(p, [(0, 0), (0, 0), (20, 20), (20, 20)])
        for name, p in (("fine", fake_pixels(1, 1, 2, 160, 240)), ("s1", fake_pixels(5, 2, 1, 20, 30)))
    }
    for k in (0, 17, 63, 119):
        y, x = int(samples.row[k]), int(samples.column[k])
        values, valid = samples.cuts["fine"].read(np.array([k]))
        assert np.array_equal(values[0], padded["fine"][:, :, 4 * y + 16 : 4 * y + 28, 4 * x + 16 : 4 * x + 28])
        values, valid = samples.cuts["s1"].read(np.array([k]))
        assert np.array_equal(values[0], padded["s1"][:, :, y // 2 + 19 : y // 2 + 22, x // 2 + 19 : x // 2 + 22])
        values, _ = samples.cuts["s2"].read(np.array([k]))
        assert values[0, 1, 0, 0, 0] == fake_pixels(0, 2, 1, 40, 60)[1, 0, y, x]
    assert valid.shape == (1, 2, 3, 3)


def test_nodata_pixels_are_rejected_and_all_masked_stops(tmp_path):
    pixels = fake_pixels(1, 1, 1, 40, 60)[0]
    pixels[:, :10, :10] = 0
    source = open_source("s", image, image.Settings(write_raster(tmp_path / "r.tif", pixels), nodata=0))
    scene = make_scene(source.grid, [source], {})
    rows = [(1 + i % 2, square(5 * (i % 6), 8 * (i // 6), 3)) for i in range(30)]
    samples = made_samples(scene, written(tmp_path, rows), {"s": Footprint(1)}, tmp_path / "cut")
    said = [r for r in samples.rejections if r.reason == "masked"]
    assert sum(r.pixels for r in said) == sum(
        1 for _, g in rows for r, c in zip(*pixels_inside(g, GRID)) if r < 10 and c < 10
    )
    samples.to_parquet(tmp_path / "s.parquet")
    pixels[:] = 0
    source = open_source("s", image, image.Settings(write_raster(tmp_path / "z.tif", pixels), nodata=0))
    with pytest.raises(SamplesError, match="reference pixels are masked"):
        made_samples(
            make_scene(source.grid, [source], {}), written(tmp_path, rows), {"s": Footprint(1)}, tmp_path / "cut2"
        )


def test_batches_are_normalised_shuffled_and_turned_alike(tmp_path):
    scene = _fine_and_coarse(tmp_path)
    path = written(tmp_path, [(1 + i % 2, square(1 + 6 * (i % 6), 2 + 9 * (i // 6), 2)) for i in range(30)])
    samples = made_samples(scene, path, {"fine": Footprint(8, 2), "s2": Footprint(1)}, tmp_path / "cut")
    everyone = np.arange(120)
    norm = Normalisation.of(samples.cuts, everyone, rows=7)
    tensor = make_batch(samples.chips, everyone, norm)["s2"]
    values, days = tensor.values, tensor.days
    assert np.allclose(values.mean((0, 1, 3, 4)), 0, atol=1e-4)
    assert np.allclose(values.std((0, 1, 3, 4), correction=0), 1, atol=1e-4)
    assert days.shape == (120, 2)
    seen = [batch.labels for batch in batches(samples.chips, everyone, norm, 32, np.random.default_rng(1))]
    assert [len(s) for s in seen] == [32, 32, 32, 24]
    tensor = make_batch(samples.chips, np.arange(8), norm)["fine"]
    fine, spun = tensor.values.numpy(), turned(tensor, np.arange(8)).values.numpy()
    for k in range(8):
        expected = np.rot90(fine[k], k % 4, (-2, -1))
        assert np.array_equal(spun[k], expected[..., ::-1] if k > 3 else expected), "each sample by its own symmetry"
    assert not np.array_equal(spun[3], fine[3])


def test_chips_hold_the_footprints_that_the_scene_holds(tmp_path):
    """Dense polygons share chips, a lone pixel keeps its own footprint, and every one is what the scene gives there."""
    scene = _fine_and_coarse(tmp_path)
    rows = [(1 + i % 2, square(1 + 6 * (i % 6), 2 + 9 * (i // 6), 4 if i % 3 else 1)) for i in range(30)]
    footprints = {"fine": Footprint(8, 2), "s2": Footprint(1)}
    made = made_samples(scene, written(tmp_path, rows), footprints, tmp_path / "cut")
    for name, footprint in footprints.items():
        cut, cube = made.cuts[name], scene.cubes[name]
        everyone = np.random.default_rng(0).permutation(len(made.label))
        values, valid = cut.read(everyone)
        for k, sample in enumerate(everyone):
            at = Window(int(made.row[sample]), int(made.column[sample]), 1, 1)
            block = cube.read(footprint.window(at, cube.ratio))
            assert np.array_equal(values[k], block.values)
            assert np.array_equal(valid[k], block.valid)
    each, stored = made.cuts["fine"].sample_bytes, made.cuts["fine"].values.nbytes + made.cuts["fine"].valid.nbytes
    assert stored < 0.5 * each * len(made.label), "neighbours share their pixels"
    assert made.cuts["s2"].values.size == len(made.label) * 2 * made.cuts["s2"].bands, "single pixels do not"
    again = pickle.loads(pickle.dumps(made.cuts["fine"]))
    assert len(pickle.dumps(again)) < stored, "pixels do not travel between processes"
    assert np.array_equal(again.read(everyone)[0], made.cuts["fine"].read(everyone)[0])


def test_the_identity_of_samples_is_that_of_their_values_days_and_labels(tmp_path):
    """A training goes on with samples that were cut again from the same scene, but not with other values or days."""
    pixels, path = (
        fake_pixels(1, 1, 2, 40, 60),
        written(tmp_path, [(1 + i % 2, square(1 + 5 * i, 2)) for i in range(6)]),
    )

    def cut_from(changed, folder):
        write_raster(tmp_path / f"{folder}.tif", changed[0])
        source = open_source("s", image, image.Settings(tmp_path / f"{folder}.tif"))
        return made_samples(make_scene(source.grid, [source], {}), path, {"s": Footprint(1)}, tmp_path / folder)

    first = cut_from(pixels, "first")
    assert cut_from(pixels, "again").chips.identity == first.chips.identity
    pixels[0, 0, 2, 3] += 1
    assert cut_from(pixels, "other").chips.identity != first.chips.identity, "one pixel in one band"
    cut = first.cuts["s"]
    for later in (replace(cut, days=cut.days + 1), replace(cut, dates=cut.dates + 1), replace(cut, last=3)):
        assert replace(first, cuts={"s": later}).chips.identity != first.chips.identity
    assert replace(first, label=1 - first.label).chips.identity != first.chips.identity


def test_a_store_that_exceeds_memory_is_read_by_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(training_batches, "CHUNK", 4)
    scene = _fine_and_coarse(tmp_path)
    rows = [(1 + i % 2, square(1 + 6 * (i % 6), 2 + 9 * (i // 6), 4)) for i in range(30)]
    made = made_samples(scene, written(tmp_path, rows), {"fine": Footprint(8, 2)}, tmp_path / "cut")
    cut, members = made.cuts["fine"], np.arange(len(made.label))
    held = 96
    order = shuffled(members, made.chips, np.random.default_rng(3), buffer=held * cut.sample_bytes)
    assert sorted(order) == members.tolist()
    assert not np.array_equal(order, members)
    touched = [set(cut.place[cut.index[part], 0].tolist()) for part in np.split(order, range(held, len(order), held))]
    several = sum(len(part) for part in touched) - len(set().union(*touched))
    apart = [
        set(cut.place[cut.index[part], 0].tolist())
        for part in np.split(np.random.default_rng(3).permutation(members), range(held, len(order), held))
    ]
    assert several < 0.5 * (sum(len(part) for part in apart) - len(set().union(*apart))), "few chips are read twice"
    assert np.array_equal(
        shuffled(members, made.chips, np.random.default_rng(3)), np.random.default_rng(3).permutation(members)
    )


@pytest.mark.parametrize("kind", ["mean-std", "min-max", "percentile"])
def test_scalings_are_those_of_the_valid_values(tmp_path, kind):
    scene = _fine_and_coarse(tmp_path)
    rows = [(1 + i % 2, square(1 + 6 * (i % 6), 2 + 9 * (i // 6), 2)) for i in range(30)]
    made = made_samples(scene, written(tmp_path, rows), {"s2": Footprint(1)}, tmp_path / "cut")
    members = np.arange(0, 100, 3)
    norm = Normalisation.of(made.cuts, members, kind, rows=7)
    values, valid = made.cuts["s2"].read(members)
    for band in range(values.shape[2]):
        seen = values[:, :, band][valid]
        low, high = {
            "mean-std": (seen.mean(dtype=np.float64), seen.mean(dtype=np.float64) + seen.std(dtype=np.float64)),
            "min-max": (seen.min(), seen.max()),
            "percentile": np.percentile(seen, (2, 98)),
        }[kind]
        assert norm.offset["s2"][band] == pytest.approx(low, rel=1e-5)
        assert norm.offset["s2"][band] + norm.scale["s2"][band] == pytest.approx(high, rel=1e-5)


def test_constant_bands_and_bands_in_small_units_are_scaled():
    """Rounding gave a constant band a scale of 1e-5, and a band with a deviation of 5e-9 was not scaled."""
    constants = np.random.default_rng(0).uniform(200, 1100, 40).astype(np.float32)
    values = np.broadcast_to(constants[:, None, None], (3000, 1, 40, 1, 1)).copy()
    values[:, :, -1] = 5e-9 * np.random.default_rng(1).standard_normal((3000, 1, 1, 1))
    cut = SimpleNamespace(
        bands=40, days=[0], size=1, read=lambda members: (values[members], np.ones((len(members), 1, 1, 1), bool))
    )
    for kind in ("mean-std", "min-max", "percentile"):
        norm = Normalisation.of({"flux": cut}, np.arange(3000), kind)
        assert set(norm.scale["flux"][:-1]) == {1.0}
        assert 1e-9 < norm.scale["flux"][-1] < 1e-7


def test_regular_dates_move_by_days_of_the_calendar():
    """In winter, ten days of the calendar are one or two thermal days, which are the days of the tensor."""
    spec = InputSpec("s2", ("red",), 4, Ratio())
    cut = SimpleNamespace(dates=np.arange(4, dtype=np.int32) * 10 + 18993)
    step = gridded({"s2": spec, "s1": replace(spec, regular=False)}, {"s2": cut, "s1": cut})
    assert step == {"s2": 10}
    thermal = torch.tensor([[0, 1, 3, 8]], dtype=torch.int32)
    series = SourceTensor(torch.arange(4.0).reshape(1, 4, 1, 1, 1), torch.ones((1, 4, 1, 1), dtype=torch.bool), thermal)
    moved = augmented({"s2": series}, Augmentation(jitter=12, gridded=step), np.random.default_rng(0))["s2"]
    assert moved.values.ravel().tolist() in ([0, 0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 3]), (
        "one date earlier or later at most"
    )


def test_seasons_move_and_dates_go_missing():
    generator = np.random.default_rng(0)
    values = np.arange(1, 61, dtype=np.float32).reshape(4, 5, 1, 1, 3).repeat(3, 3)
    valid, days = np.ones((4, 5, 3, 3), bool), np.tile(np.arange(5, dtype=np.int32) * 10, (4, 1))
    shift = np.array([0, 10, -20, 4])
    series = SourceTensor(*map(torch.from_numpy, (values, valid, days)))
    moved = shifted(series, shift, 10)
    later = moved.values.numpy()
    assert np.array_equal(moved.days, days)
    assert np.array_equal(later[0], values[0])
    assert np.array_equal(later[1, 1:], values[1, :-1]), "ten days later: every date shows the one before"
    assert np.array_equal(later[2, :3], values[2, 2:])
    assert np.array_equal(later[3], values[3]), "less than half a step moves nothing"
    native = shifted(series, shift)
    assert np.array_equal(native.values, values)
    assert np.array_equal(native.days.numpy() - days, np.tile(shift[:, None], (1, 5)))
    valid[2, 1:] = False
    left = [thinned(series, 0.9, generator) for _ in range(200)]
    shares = np.array([one.valid.numpy().any((2, 3)).sum(1) for one in left])
    assert shares.min() >= 1, "one valid date stays"
    assert (shares[:, 2] == 1).all()
    assert set(shares[:, 0]) >= {1, 2, 3, 4, 5}
    assert all(torch.equal(one.values, one.masked()) for one in left)


def test_batches_made_ahead_tell_their_errors_and_stop():
    def numbers():
        yield from range(3)
        raise ValueError("of the maker")

    seen = []
    with pytest.raises(ValueError, match="of the maker"):
        for number in Ahead(numbers()):
            seen.append(number)
    assert seen == [0, 1, 2]
    before = set(threading.enumerate())
    endless = Ahead(iter(int, 1))
    (maker,) = set(threading.enumerate()) - before
    assert next(iter(endless)) == 0
    maker.join(5)
    assert not maker.is_alive(), "a reader who stops stops the maker"


def test_batches_side_by_side_keep_their_order_and_share_the_cores():
    cores, used = torch.get_num_threads(), []

    def work(number):
        used.append(torch.get_num_threads())
        if number == 7:
            raise ValueError("seven")
        time.sleep(0.01 * (number % 2 == 0))
        return number

    assert list(side_by_side(work, range(6), torch.device("cpu"))) == list(range(6))
    with pytest.raises(ValueError, match="seven"):
        list(side_by_side(work, range(9), torch.device("cpu")))
    assert set(used) == {max(1, machine_cores() // AT_ONCE)}
    assert torch.get_num_threads() == cores


def test_one_sample_left_over_goes_with_the_batch_before(tmp_path):
    scene = _fine_and_coarse(tmp_path)
    rows = [(1 + i % 2, square(1 + 6 * (i % 6), 2 + 9 * (i // 6), 2)) for i in range(30)]
    made = made_samples(scene, written(tmp_path, rows), {"s2": Footprint(1)}, tmp_path / "cut")
    norm = Normalisation.of(made.cuts, np.arange(33))
    made_of = batches(made.chips, np.arange(33), norm, 16, np.random.default_rng(0))
    sizes = [len(batch.members) for batch in made_of]
    assert sizes == [16, 17]


def test_curves_z_m_and_labels_of_mixed_types_are_read(tmp_path):
    ring = "338050 7667950, 338075 7667975, 338100 7667950, 338075 7667925, 338050 7667950"
    square = "338150 7667950 5 1,338200 7667950 5 1,338200 7667900 5 1,338150 7667900 5 1,338150 7667950 5 1"
    (tmp_path / "x.csv").write_text(
        f'WKT,crop\n"CURVEPOLYGON(CIRCULARSTRING({ring}))",1\n"POLYGON ZM(({square}))",2\n'
        f'"MULTISURFACE(CURVEPOLYGON(CIRCULARSTRING({ring.replace("3380", "3382").replace("3381", "3383")})))",two\n'
    )
    (tmp_path / "x.vrt").write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource relativeToVRT="1">x.csv</SrcDataSource>'
        '<GeometryField encoding="WKT" field="WKT"/><LayerSRS>EPSG:32740</LayerSRS></OGRVRTLayer></OGRVRTDataSource>'
    )
    grid = Grid.of("EPSG:32740", Affine(10, 0, 338000, 0, -10, 7668000), (40, 40))
    legend = Legend((LandClass(1, "one"), LandClass(2, "two", values=("2", "two"))))
    table, rejections, _ = read_polygons(Reference(tmp_path / "x.vrt", "crop"), grid, legend)
    assert not rejections
    assert table.label.tolist() == [0, 1, 1]
    assert table.geometry.area.tolist() == pytest.approx([np.pi * 625, 2500, np.pi * 625], rel=0.002)
    geometry = {
        "type": "Polygon",
        "coordinates": [[[338150, 7667950], [338200, 7667950], [338200, 7667900], [338150, 7667950]]],
    }
    features = [{"type": "Feature", "properties": {"crop": crop}, "geometry": geometry} for crop in (1, "two")]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32740"}}
    (tmp_path / "m.geojson").write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": features}))
    table, *_ = read_polygons(Reference(tmp_path / "m.geojson", "crop"), grid, legend)
    assert table.label.tolist() == [0, 1]


def test_blocks_and_buffers_in_web_mercator_are_metres_on_the_ground():
    """At 60 degrees of latitude, 10 units of the projection are 5 m."""
    grid = Grid.of("EPSG:3857", Affine(10, 0, 300_000, 0, -10, 8_400_000), (40, 60))
    pixels = Pixels(*(np.array(v, np.int32) for v in ([0, 0], [0, 1], [0, 0], [0, 1])))
    for place in (_places(pixels, SimpleNamespace(grid=grid)), Ground.of([pixels], [grid]).place):
        assert np.diff(place[:, 1]) == pytest.approx([5], rel=0.01)
    exact = _places(pixels, SimpleNamespace(grid=GRID))
    assert exact.tolist() == [[-5, 5], [-5, 15]], "UTM"
    table = gpd.GeoDataFrame(geometry=[Point(300_000, 8_400_000), Point(300_010, 8_400_010)], crs="EPSG:3857")
    assert np.diff(table_places(table)[0], axis=0)[0] == pytest.approx([5, 5], rel=0.01)


@pytest.mark.parametrize("crs", ["EPSG:32740", "EPSG:4326"])
def test_polygons_without_finite_coordinates_are_counted_and_the_others_used(tmp_path, crs):
    (west, north), odd = CORNER, not_finite(math.nan, math.inf, -math.inf)
    huge = Polygon([(0, 0), (1e308, 0), (-1e308, 1e308), (1e308, 1e308), (0, -1e308)])
    line = Polygon([(west, north), (west + 20, north - 20), (west + 50, north - 50)])
    good = gpd.GeoSeries([square(2, 2), square(8, 8)], crs="EPSG:32740").to_crs(crs)
    rows = [(1, good[0]), (2, good[1]), *((1, shape) for shape in odd), *([(1, huge)] if crs == "EPSG:32740" else [])]
    path = written(tmp_path, [*rows, (2, gpd.GeoSeries([line], crs="EPSG:32740").to_crs(crs)[0])], crs)
    table, rejections, _ = read_polygons(Reference(path, "code"), GRID, LEGEND)
    said = {(r.reason, r.label): r.polygons for r in rejections}
    assert said.pop(("empty", "crops")) == len(rows) - 2
    assert said == ({("empty", "forest"): 1} if crs == "EPSG:32740" else {}), "exactly on a line in its own CRS"
    assert np.unique(rasterise(table, GRID, LEGEND)[0].polygon).tolist() == [0, 1]
    assert set(overlaps_of(features_to_judge(Reference(path, "code"), LEGEND)).index) <= {0, len(rows)}
