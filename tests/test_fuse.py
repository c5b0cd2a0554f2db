"""Fusion of maps: each rule as by brute force, in tiles as in one piece; and no pixel is tested that a map was trained on."""

import itertools
import json
import shutil
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from shapely import box

from bocage.cli import main
from bocage.errors import FinishError, MappingError, RunFolderError
from bocage.evaluation import ConfusionMatrix, Predictions
from bocage.evaluation.metrics import f1_macro
from bocage.finish.fusion import Fusion, believed, masses_of
from bocage.finish.untrained import Member, Untrained
from bocage.jobs import fuse as fuse_job
from bocage.jobs.fuse import Fusing, fuse
from bocage.layout import MapLayout
from bocage.legend import LandClass, Legend
from bocage.mapping import WRITERS, MapBand, open_delivered
from bocage.mapping.delivery import Item
from bocage.run import test_pixels_of as pixels_at
from conftest import FOREST, Told
from test_zones_and_change import LEGEND, SHAPE, delivered, random_codes

CODES = np.array(LEGEND.codes)
VOTE = Fusing()
FEWER = 'name = "random_forest"\ntrees = 3'


def many(folder, count, **more):
    """Write maps with random classes and confidence."""
    return [
        delivered(folder / str(k), *random_codes(k)[:1], confidence=random_codes(k)[1], **more) for k in range(count)
    ]


def fused(folders, out, how=VOTE, told=None):
    fuse([one.folder for one in folders], out, how, told or Told())
    land = open_delivered(out)
    return [land.read(name, land.grid, land.grid.window, 255) for name in ("classes", "confidence", "members")]


def with_probabilities(land, values, dtype="uint8"):
    """Add the layer of probabilities (K, height, width) to a map."""
    scale, nodata = {"uint8": (0.01, 255), "uint16": (0.0001, 65535)}[dtype]
    bands = tuple(MapBand(name, dtype, nodata, scale=scale) for name in LEGEND.names)
    output = WRITERS.get("cog").open(land.path("probabilities"), land.grid, bands, LEGEND)
    output.put(land.grid.window, values.astype(dtype))
    output.close()
    return values * scale


@pytest.mark.parametrize("weights", [(), (1.0, 1.0, 2.5, 1.0)])
def test_a_vote_as_by_brute_force_with_ties_by_confidence_then_legend(tmp_path, monkeypatch, weights):
    monkeypatch.setattr("bocage.finish.fusion.TILE", 32)
    maps = many(tmp_path, 4)
    classes, confidence, members = fused(maps, tmp_path / "out", Fusing(weights=weights))
    codes = [random_codes(k)[0] for k in range(4)]
    sure = [random_codes(k)[1] for k in range(4)]
    weight, ties = weights or (1.0,) * 4, 0
    for y, x in itertools.product(*map(range, SHAPE)):
        votes = dict.fromkeys(LEGEND.codes, (0.0, 0))
        for k in range(4):
            if codes[k][y, x]:
                count, total = votes[codes[k][y, x]]
                votes[codes[k][y, x]] = (count + weight[k], total + int(sure[k][y, x]))
        there = sum(count for count, _ in votes.values())
        if not there:
            assert (classes[y, x], confidence[y, x], members[y, x]) == (0, 255, 0)
            continue
        best = max(votes, key=lambda code: votes[code])  # of equal ones, the first in the legend
        ties += sum(one[0] == votes[best][0] for one in votes.values()) > 1
        assert classes[y, x] == best
        assert confidence[y, x] == round(100 * votes[best][0] / there)
        assert members[y, x] == sum(one[y, x] > 0 for one in codes)
    assert ties > 100


def test_votes_and_confidence_alike_are_resolved_by_the_order_of_the_legend(tmp_path):
    first, second = (delivered(tmp_path / str(code), np.full(SHAPE, code)) for code in (2, 4))
    assert (fused([first, second], tmp_path / "out")[0] == 4).all()
    first.path("confidence").unlink()
    told = Told()
    assert (fused([second, first], tmp_path / "again", told=told)[0] == 4).all()
    assert "ties of the vote are resolved by the order of the legend alone" in told.words[0]


@pytest.mark.parametrize("dtypes", [("uint8", "uint8", "uint8"), ("uint8", "uint16", "uint8")])
def test_mean_probabilities_as_by_brute_force(tmp_path, dtypes):
    rng, maps = np.random.default_rng(3), many(tmp_path, 3)
    parts = [rng.dirichlet(np.ones(3), SHAPE).transpose(2, 0, 1) for _ in maps]
    steps = {"uint8": 100, "uint16": 10_000}
    stored = [with_probabilities(m, np.rint(p * steps[d]), d) for m, p, d in zip(maps, parts, dtypes)]
    weights = (1.0, 2.0, 0.5)
    classes, confidence, _ = fused(maps, tmp_path / "out", Fusing("probability", weights=weights))
    there = np.stack([random_codes(k)[0] > 0 for k in range(3)])
    weight = np.array(weights)[:, None, None] * there
    expected = (np.stack(stored) * weight[:, None]).sum(0) / np.maximum(weight.sum(0), 1e-9)
    known = there.any(0)
    assert np.array_equal(classes, np.where(known, CODES[(expected > expected.max(0) - 1e-9).argmax(0)], 0))
    assert np.abs(confidence - 100 * expected.max(0))[known].max() <= 0.5 + 1e-6
    assert (confidence[~known] == 255).all()
    land = open_delivered(tmp_path / "out")
    again = np.stack([land.read("probabilities", land.grid, land.grid.window, 0, k) for k in (1, 2, 3)])
    step = 10_000 if "uint16" in dtypes else 100
    assert np.abs(again / step - expected)[:, known].max() <= 0.5 / step + 1e-9


def dempster(first, second, everything):
    """Combine two masses over sets of classes by Dempster's rule, as in a textbook."""
    found, conflict = {}, 0.0
    for (a, x), (b, y) in itertools.product(first.items(), second.items()):
        if a & b:
            found[a & b] = found.get(a & b, 0.0) + x * y
        else:
            conflict += x * y
    assert everything
    return {one: mass / (1 - conflict) for one, mass in found.items()}


def test_beliefs_are_those_of_dempsters_rule_over_sets():
    rng, everything = np.random.default_rng(4), frozenset(range(4))
    positions, masses = rng.integers(-1, 4, (5, 300)), rng.uniform(0, 0.999, (5, 300))
    positions[:, 0] = -1
    masses = np.where(positions < 0, 0, masses)
    winner, belief = believed(positions, masses, 4)
    assert (winner[0], belief[0]) == (-1, 0)
    for n in range(1, 300):
        held = {everything: 1.0}
        for p, m in zip(positions[:, n], masses[:, n]):
            if p >= 0:
                held = dempster(held, {frozenset({int(p)}): m, everything: 1 - m}, everything)
        beliefs = [held.get(frozenset({k}), 0.0) for k in range(4)]
        assert belief[n] == pytest.approx(max(beliefs))
        assert winner[n] == int(np.argmax(beliefs))


def test_maps_in_total_conflict_without_an_error_on_their_test_polygons_are_combined():
    masses = masses_of(np.diag([5.0, 5, 0]), "precision")
    assert masses.tolist() == [0.999, 0.999, 0]
    winner, belief = believed(np.array([[0], [1], [1]]), np.full((3, 1), 0.999), 3)
    assert winner[0] == 1
    assert 0.99 < belief[0] < 1
    winner, _ = believed(np.array([[2], [2]]), np.zeros((2, 1)), 3)  # no evidence at all: the class of the maps
    assert winner[0] == 2


def test_masses_are_precision_or_recall_of_each_class():
    counts = np.array([[8.0, 2], [1, 3]])
    assert masses_of(counts, "precision") == pytest.approx([8 / 9, 3 / 5])
    assert masses_of(counts, "recall") == pytest.approx([8 / 10, 3 / 4])


@pytest.fixture
def runs(finished):
    """Two runs with one split and different models."""
    return [finished(FOREST), finished(FEWER)]


def confused(out):
    tested = Predictions.from_parquet(out / "splits/0/test.parquet")
    counts = np.zeros((3, 3))
    np.add.at(counts, (tested.label, tested.predicted), 1)
    return counts


@pytest.mark.slow
def test_evidence_of_two_runs_and_its_accuracy(runs, tmp_path, capsys):
    folders = [one.out for one in runs]
    out = tmp_path / "out"
    command = ["fuse", *map(str, folders), "--out", str(out), "--rule", "dempster-shafer", "--mass", "recall"]
    assert main([*command, "--weight", "1", "--weight", "0.5"]) == 0
    assert "that no map was trained on" in capsys.readouterr().out
    lands = [open_delivered(one) for one in folders]
    codes = [one.read("classes", one.grid, one.grid.window, 0) for one in lands]
    masses = [masses_of(confused(one), "recall") * weight for one, weight in zip(folders, (1, 0.5))]
    assert json.loads((out / "fusion.json").read_text())["masses"] == [pytest.approx(one) for one in masses]
    place = np.stack([np.searchsorted([1, 2, 3], one).ravel() for one in codes])
    winner, belief = believed(place, np.stack([m[p] for m, p in zip(masses, place)]), 3)
    land = open_delivered(out)
    assert np.array_equal(land.read("classes", land.grid, land.grid.window, 0).ravel(), winner + 1)
    assert np.abs(land.read("confidence", land.grid, land.grid.window, 255).ravel() - 100 * belief).max() <= 0.51
    said = json.loads((out / "fusion.json").read_text())["accuracy"]
    tested = [Predictions.from_parquet(one / "splits/0/test.parquet") for one in folders]
    assert said["pixels"] == len(tested[0])  # one split: all test pixels are shared
    for one, predictions in zip(folders, tested):
        assert said["maps"][str(one)]["overall_accuracy"] == pytest.approx(predictions.right.mean())
    assert pixels_at(out) == out / "test.parquet"


def without_water(run, to):
    """Copy a run; return the copy and its test pixels, in which those of water, a class that then has none, are of maize."""
    path = run.copied(to) / "splits/0/test.parquet"
    tested = Predictions.from_parquet(path)
    tested = replace(tested, label=np.where(tested.label == 2, 0, tested.label))
    tested.to_parquet(path)
    return to, Predictions.from_parquet(path)


@pytest.mark.slow
def test_a_class_without_test_pixels_is_in_no_mean(runs, tmp_path):
    folders, tested = zip(*(without_water(one, tmp_path / str(k)) for k, one in enumerate(runs)))
    said = fuse(folders, tmp_path / "out")["accuracy"]
    assert said["untested"] == ["water"]
    names = open_delivered(folders[0]).legend.names
    for folder, one in zip(folders, tested):
        assert (one.predicted == 2).any()
        assert said["maps"][str(folder)]["f1_macro"] == pytest.approx(f1_macro(one.matrix(names, ("water",))))
        counted = ConfusionMatrix.of(one.label, one.predicted, names)
        assert said["maps"][str(folder)]["f1_macro"] > f1_macro(counted) + 0.1
    fused = Predictions.from_parquet(tmp_path / "out/test.parquet").matrix(names, ("water",))
    assert said["fused"]["f1_macro"] == pytest.approx(f1_macro(fused))


@pytest.mark.slow
def test_the_fused_map_is_used_as_any_other_map(runs, tmp_path):
    out = tmp_path / "out"
    fuse([one.out for one in runs], out)
    assert main(["change", str(out), str(runs[0].out), "--out", str(tmp_path / "change")]) == 0
    assert "estimated_changed_share" in json.loads((tmp_path / "change/change.json").read_text())
    again = fuse([out, runs[0].out], tmp_path / "again", Fusing("dempster-shafer"))
    assert again["accuracy"] is None  # the training polygons of a fusion are those of several runs
    assert Item.load(MapLayout.of(out).item).rule == "vote"
    names = {path.name for path in (out / "map").iterdir()}
    assert names >= {"classes.tif", "confidence.tif", "members.tif", "classes.qml", "areas.csv", "item.json"}


@pytest.mark.slow
def test_a_fused_map_is_finished_with_the_settings_of_a_recipe(runs, tmp_path, capsys):
    out, one = tmp_path / "out", runs[0]
    fuse([run.out for run in runs], out)
    west, south, east, north = open_delivered(out).grid.bounds
    gpd.GeoDataFrame(geometry=[box(west, south, east, north)], crs="EPSG:32740").to_file(tmp_path / "z.gpkg")
    recipe = one.recipe.with_name(f"fused-{tmp_path.name}.toml")
    zones = f'[finish]\nsieve = 5\nformats = ["gpkg"]\nzones = "{tmp_path / "z.gpkg"}"\n'
    recipe.write_text(one.recipe.read_text() + zones)
    for current in (0, 4):
        assert main(["finish", str(recipe), "--out", str(out)]) == 0
        assert capsys.readouterr().err.count("up to date") == current
    table = pd.read_csv(out / "finish/zones.csv")
    assert (table.estimated_ha > 0).all()
    assert table.low_ha.isna().all(), "no test pixel is wrong, so the error is not known"
    land = open_delivered(one.out)
    codes = np.random.default_rng(0).integers(1, 4, land.grid.shape)
    other = delivered(tmp_path / "other", codes, (land.grid.crs.to_wkt(), land.grid.transform), land.legend)
    fuse([one.out, other.folder], out, Fusing(weights=(1.0, 9.0)))
    assert main(["finish", str(recipe), "--out", str(out)]) == 0
    assert "up to date" not in capsys.readouterr().err
    assert {path.name for path in (out / "finish").glob("[!.]*")} == {
        "areas.csv", "polygons.gpkg", "zones.csv", "zones.parquet",
    }  # fmt: skip
    assert main(["finish", str(out)]) == 1
    assert "Give a recipe with the settings in [finish], with --out" in capsys.readouterr().err


@pytest.mark.slow
def test_the_map_of_another_draw_keeps_its_test_polygons(finished, tmp_path):
    one = finished()
    other = tmp_path / "draw-1"
    assert main(["map", str(one.recipe), "--model", str(one.out / "splits/1/model"), "--out", str(other)]) == 0
    assert pixels_at(other) == one.out / "splits/1/test.parquet"
    found = fuse([one.out, other], tmp_path / "out", Fusing("dempster-shafer"))
    tested = [Predictions.from_parquet(one.out / f"splits/{k}/test.parquet") for k in (0, 1)]
    both = set(zip(tested[0].row, tested[0].column)) & set(zip(tested[1].row, tested[1].column))
    assert both
    assert found["accuracy"]["pixels"] == len(both)
    item = json.loads((other / "map/item.json").read_text())
    item["properties"]["bocage:inputs"] = "of another year"
    (other / "map/item.json").write_text(json.dumps(item))
    assert isinstance(pixels_at(other), str)


def predictions(row, column, polygon, label):
    zero = np.zeros(len(row), np.float32)
    arrays = (np.array(one, np.int32) for one in (row, column, polygon))
    return Predictions(*arrays, np.array(label, np.int16), np.zeros(len(row), np.int16), zero, zero)


def test_polygons_with_a_training_pixel_of_any_run_are_not_tested(tmp_path):
    crs, a = "EPSG:32740", Affine(10, 0, 300_000, 0, -10, 7_650_000)
    moved = Affine(10, 0, 300_020, 0, -10, 7_650_010)  # 2 columns east, 1 row north
    first, second = (delivered(tmp_path / str(k), np.full(SHAPE, 4), (crs, t)) for k, t in enumerate((a, moved)))
    fusion = Fusion.of([first, second])
    assert fusion.grid.transform == Affine(10, 0, 300_020, 0, -10, 7_650_000)
    # Polygon 5: two pixels; 6: the second run trained on its other pixel; 7: other classes; 8: outside the second map.
    row, column, polygon = [3, 3, 8, 8, 9, 5], [10, 11, 20, 21, 30, 1], [5, 5, 6, 6, 7, 8]
    ours = Member(predictions(row, column, polygon, [0, 0, 1, 1, 2, 0]), np.array([*row, 40]), np.array([*column, 40]))
    theirs = [np.array([3, 3, 8, 9]) + 1, np.array([10, 11, 20, 30]) - 2]
    tested = predictions(*theirs, [1, 1, 2, 3], [0, 0, 1, 1])
    trained = Member(tested, np.append(theirs[0], 9), np.append(theirs[1], 19))  # row 8, column 21 of the first map
    found = Untrained.of(fusion, [ours, trained])
    assert (found.row.tolist(), found.column.tolist(), found.contrary) == ([3, 3], [8, 9], 1)
    assert found.units.tolist() == [[0, 0], [0, 0]]
    assert found.label.tolist() == [0, 0]
    everywhere = Member(tested, np.append(theirs[0], 4), np.append(theirs[1], 7))
    assert len(Untrained.of(fusion, [ours, everywhere])) == 3
    alone = Member(predictions([50], [50], [1], [0]), np.array([50]), np.array([50]))
    assert len(Untrained.of(fusion, [ours, alone])) == 0


def test_masses_for_the_test_leave_out_the_polygon_of_the_pixel(runs, tmp_path):
    """A map whose only right pixels of a class are in one polygon is no evidence there."""
    out = runs[0].copied(tmp_path / "run")
    path = out / "splits/0/test.parquet"
    tested = pd.read_parquet(path)
    for copy, model in ((path, out), (None, runs[1].copied(tmp_path / "other"))):
        target = copy or model / "splits/0/test.parquet"
        table = tested.copy()
        maize = table.label == 0
        table.loc[maize & (table.polygon != table.polygon[maize].iloc[0]), "predicted"] = 1
        table.loc[:, ~table.columns.str.startswith("probability_")].to_parquet(target)
    found = fuse([out, tmp_path / "other"], tmp_path / "fused", Fusing("dempster-shafer", "precision"))
    shown = Predictions.from_parquet(tmp_path / "fused/test.parquet")
    own = shown.label == 0
    first = shown.polygon == shown.polygon[own][0]
    assert found["masses"][0][0] > 0
    assert (shown.confidence[own & first & (shown.predicted == 0)] == 0).all()


def test_areas_of_a_fusion_of_an_earlier_version_are_computed_again(tmp_path, monkeypatch):
    """Those in Web Mercator were not areas on the ground."""
    folders, told = [one.folder for one in many(tmp_path, 2)], Told()
    with monkeypatch.context() as earlier:
        earlier.setattr(fuse_job, "FORMAT", 1)
        fuse(folders, tmp_path / "fused")
    fuse(folders, tmp_path / "fused", progress=told)
    assert "fuse: up to date" not in told.words


def test_maps_that_cannot_be_fused_are_refused(tmp_path, finished):
    codes, _ = random_codes(1)
    first = delivered(tmp_path / "a", codes)
    out = tmp_path / "out"

    def refused(other, error, message, how=VOTE):
        with pytest.raises(error, match=message):
            fuse([first.folder, other.folder if hasattr(other, "folder") else other], out, how)
        assert not MapLayout.of(out).is_complete
        assert not (out / "fusion.json").exists()

    refused(first, FinishError, "is given twice")
    (tmp_path / "link").symlink_to(first.folder)
    refused(tmp_path / "link", FinishError, "is given twice")
    with pytest.raises(FinishError, match="2 to 254 maps; found 1"):
        fuse([first.folder], out)
    far = delivered(tmp_path / "far", codes, ("EPSG:32740", Affine(10, 0, 400_000, 0, -10, 7_650_000)))
    refused(far, FinishError, "have no common area. Their bounds")
    off = delivered(tmp_path / "off", codes, ("EPSG:32740", Affine(10, 0, 300_003, 0, -10, 7_650_000)))
    refused(off, MappingError, "is not aligned with the pixels of")
    lake = delivered(tmp_path / "lake", codes, legend=Legend((*LEGEND.classes[:2], LandClass(9, "lake"))))
    refused(lake, MappingError, "only .* has 9 lake")
    empty = delivered(tmp_path / "empty", np.where(codes > 0, 0, 4))
    refused(empty, FinishError, "have no pixel where two of them have a class")
    second = delivered(tmp_path / "b", codes)
    refused(second, FinishError, r"no layer of probabilities. Set \[map\] layers", Fusing("probability"))
    refused(second, FinishError, "has no confusion matrix", Fusing("dempster-shafer"))
    refused(second, FinishError, "--weight: found 1, -1 for 2 maps", Fusing(weights=(1.0, -1.0)))
    refused(second, FinishError, "--weight: found 1 for 2 maps", Fusing(weights=(1.0,)))
    refused(tmp_path / "nothing", MappingError, "holds no complete map")


def test_no_run_and_no_other_map_is_replaced(tmp_path, finished):
    first, second = many(tmp_path, 2)
    with pytest.raises(RunFolderError, match="holds one of the maps"):
        fuse([first.folder, second.folder], first.folder)
    with pytest.raises(RunFolderError, match="has a run, with a map of its own"):
        fuse([first.folder, second.folder], finished().out)
    delivered(tmp_path / "out/map", random_codes(5)[0])
    with pytest.raises(RunFolderError, match="holds a map that is not a fusion"):
        fuse([first.folder, second.folder], tmp_path / "out")


def test_maps_that_barely_overlap_or_are_the_same_are_reported(tmp_path):
    codes, _ = random_codes(1)
    first = delivered(tmp_path / "a", codes)
    corner = delivered(tmp_path / "b", codes, ("EPSG:32740", Affine(10, 0, 300_600, 0, -10, 7_649_500)))
    told = Told()
    classes, _, _ = fused([first, corner], tmp_path / "out", told=told)
    assert classes.shape == (10, 10)
    assert told.words[0] == "The common area of the maps is 2.4 % of the smallest one."
    assert "is not measured" in told.words[1]
    again = open_delivered(shutil.copytree(first.folder, tmp_path / "copy"))
    fused([first, again], tmp_path / "same", told=told)
    assert told.words[2] == f"{first.folder} and {again.folder} have the same classes."


def test_a_fusion_is_kept_until_a_map_a_setting_or_a_file_changes(tmp_path):
    maps, told, out = many(tmp_path, 3), Told(), tmp_path / "out"
    fused(maps, out, told=told)
    fused(maps, out, told=told)
    assert told.words.count("fuse: up to date") == 1
    fused(maps, out, Fusing(weights=(1.0, 1.0, 5.0)), told)
    (out / "map/classes.tif").write_bytes(b"x")
    classes, _, _ = fused(maps, out, Fusing(weights=(1.0, 1.0, 5.0)), told)
    delivered(maps[2].folder, random_codes(8)[0])
    changed, _, _ = fused(maps, out, Fusing(weights=(1.0, 1.0, 5.0)), told)
    assert told.words.count("fuse: up to date") == 1
    assert (classes != changed).any()


def test_an_interrupted_fusion_does_not_look_finished(tmp_path):
    class Interrupting(Told):
        def step(self, *_):
            raise KeyboardInterrupt

    maps, out = many(tmp_path, 2), tmp_path / "out"
    fused(maps, out)
    with pytest.raises(KeyboardInterrupt):
        fused(maps, out, Fusing(weights=(2.0, 1.0)), Interrupting())
    assert not MapLayout.of(out).is_complete
    assert [path.name for path in out.rglob("*") if path.suffix in (".tif", ".part", ".json")] == []
    fused(maps, out, Fusing(weights=(2.0, 1.0)))
    assert MapLayout.of(out).is_complete


def test_a_fusion_that_stops_after_its_layers_does_not_look_finished(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "areas.csv")

    maps, out = many(tmp_path, 2), tmp_path / "out"
    monkeypatch.setattr("bocage.jobs.fuse.Delivery.write", full)
    with pytest.raises(OSError, match="No space left"):
        fused(maps, out)
    assert not (out / "fusion.json").exists()
    with pytest.raises(MappingError, match="holds no complete map"):
        open_delivered(out)
    monkeypatch.undo()
    told = Told()
    fused(maps, out, told=told)
    assert "fuse: up to date" not in told.words
    assert (out / "fusion.json").exists()


def test_a_geographic_map_keeps_its_places(tmp_path):
    maps = many(tmp_path, 2, place="degrees")
    fused(maps, tmp_path / "out")
    with rasterio.open(tmp_path / "out/map/classes.tif") as dataset:
        assert dataset.transform == maps[0].grid.transform
        assert dataset.colormap(1)[4] == (*LEGEND.rgb(0), 255)


def test_a_map_with_holes_is_compared_with_the_fused_one_where_it_has_a_class():
    """Its accuracy was that of its pixels, but the test took the others for errors: p was below 0.001 here."""
    label = np.tile(np.array([0, 1], np.int16), 50)
    own = np.where(np.arange(100) < 60, label, -1).astype(np.int64)
    number, sure = np.arange(100, dtype=np.int32), np.ones(100, np.float32)
    fused = Predictions(number, number, number // 2, label, label, sure, sure)
    found = fuse_job.figures_of_map(fused, own, ("a", "b"))
    assert (found["pixels"], found["overall_accuracy"], found["p"]) == (60, 1.0, 1.0)
    own[:20] = 1 - own[:20]
    found = fuse_job.figures_of_map(fused, own, ("a", "b"))
    assert found["overall_accuracy"] == pytest.approx(40 / 60)
    assert found["p"] == pytest.approx(0.00157, abs=1e-4)  # 10 of 30 polygons, 2 pixels each
