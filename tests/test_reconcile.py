"""Reconciliation with statistics: known weights are recovered, shares are reached, and what cannot be used is refused."""

import json
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyogrio
import pytest
from benchmarks import shares
from scipy.optimize import minimize
from shapely import Polygon, box

from bocage.cli import main
from bocage.errors import FinishError, MappingError, RunFolderError
from bocage.evaluation import ConfusionMatrix, Predictions
from bocage.evaluation.metrics import f1_macro
from bocage.finish.raking import BOUND, Wanted, rake, reweighted, wanted_of
from bocage.jobs import reconcile as reconcile_job
from bocage.jobs.fuse import fuse
from bocage.jobs.reconcile import Reconciling, reconcile
from bocage.layout import MapLayout
from bocage.mapping import open_delivered
from bocage.mapping.delivery import Item
from bocage.run import test_pixels_of as pixels_at
from bocage.sources.raster import inspect
from conftest import FOREST, Told
from test_fuse import with_probabilities
from test_zones_and_change import LEGEND, SHAPE, delivered

CODES = np.array(LEGEND.codes)
FULL = Reconciling("name", trust=1.0)
FULL_NUMBERED = Reconciling(trust=1.0)
PROBABILITIES = 'layers = ["classes", "confidence", "probabilities"]\n'
EVERY = np.ones(3, bool)


def some(count, classes=3, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(classes, 0.4), count)


# --- weights
def test_known_weights_are_recovered():
    p, weights = some(4000, 4), np.array([0.2, 1.0, 3.0, 0.7])
    area = np.random.default_rng(1).uniform(1, 2, len(p))
    q = p * weights / (p @ weights)[:, None]
    found = rake(p, Wanted(np.average(q, axis=0, weights=area), np.ones(4, bool)), area)
    assert found / found[1] == pytest.approx(weights, rel=1e-4)
    assert reweighted(p, found) == pytest.approx(q, abs=1e-4)


def test_the_weights_are_the_optimum_of_the_convex_problem():
    """The wanted shares are reached where the gradient of sum(log(p . w)) - N shares . log(w) is 0."""
    p, goal = some(500, 4, 3), np.array([0.1, 0.2, 0.3, 0.4])

    def value(logs):
        w = np.exp(logs)
        return np.log(p @ w).mean() - goal @ logs, (p * w / (p @ w)[:, None]).mean(0) - goal

    best = minimize(value, np.zeros(4), jac=True, tol=1e-10).x
    found = np.log(rake(p, Wanted(goal, np.ones(4, bool))))
    assert found - found.mean() == pytest.approx(best - best.mean(), abs=1e-4)


def test_weights_have_a_bound():
    """A class whose probabilities are the rounding of stored ones does not cover an area."""
    p = np.column_stack([np.full(1000, 0.9999), np.full(1000, 0.0001)])
    weights = rake(p, Wanted(np.array([0.7, 0.3]), np.ones(2, bool)))
    assert weights.max() == pytest.approx(BOUND)
    assert reweighted(p, weights)[0, 1] < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_any_shares_are_reached(seed):
    p, goal = some(2000, 6, seed), np.random.default_rng(seed + 9).dirichlet(np.ones(6))
    found = rake(p, Wanted(goal, np.ones(6, bool)))
    assert np.abs(reweighted(p, found).mean(0) - goal).max() < 1e-3
    assert found.max() <= BOUND
    assert found.min() > 0


def test_classes_without_a_statistic_keep_their_proportions():
    p, statistic = some(3000, 4), np.array([0.5, np.nan, 0.1, np.nan])
    wanted = wanted_of(statistic, p.mean(0), 1.0)
    weights = rake(p, wanted)
    q = reweighted(p, weights)
    assert weights[1] == weights[3]
    assert q.mean(0)[[0, 2]] == pytest.approx([0.5, 0.1], abs=1e-3)
    assert q[:, [1, 3]].sum(1).mean() == pytest.approx(0.4, abs=1e-3)
    assert q[:, 1] * p[:, 3] == pytest.approx(q[:, 3] * p[:, 1])


def test_wanted_shares_are_between_the_statistic_and_the_map():
    mean = np.array([0.2, 0.5, 0.3])
    assert wanted_of(np.array([0.6, 0.2, 0.2]), mean, 0.5).shares == pytest.approx([0.4, 0.35, 0.25])
    one = wanted_of(np.array([0.6, np.nan, np.nan]), mean, 0.25)
    assert one.shares == pytest.approx([0.3, 0.7 * 5 / 8, 0.7 * 3 / 8])
    assert one.given.tolist() == [True, False, False]
    rounded = wanted_of(np.array([0.605, 0.4, np.nan]), mean, 1.0)  # a sum of 1.005
    assert rounded.shares == pytest.approx([0.605 / 1.005, 0.4 / 1.005, 0])


def test_shares_that_no_weight_gives_are_approached():
    p = some(1000)
    p[:, 2] = 0
    p /= p.sum(1, keepdims=True)
    q = reweighted(p, rake(p, Wanted(np.array([0.3, 0.3, 0.4]), EVERY)))
    assert q.mean(0) == pytest.approx([0.5, 0.5, 0], abs=1e-3)  # the others in proportion
    sure = np.array([[1.0, 0, 0]] * 6 + [[0, 1.0, 0]] * 4)
    weights = rake(sure, Wanted(np.array([0.1, 0.9, 0]), EVERY))
    assert np.isfinite(weights).all()
    assert reweighted(sure, weights) == pytest.approx(sure)
    gone = rake(sure, Wanted(np.array([0, 1.0, 0]), EVERY))
    assert gone[0] == 0
    assert reweighted(sure, gone) == pytest.approx(sure)  # pixels without another class keep it


def test_the_default_trust_is_that_which_the_benchmark_chooses():
    assert shares.chosen(shares.parts_of(shares.RESULTS.content())["simulated, chooses"])[0] == Reconciling().trust


# --- maps
def a_map(folder, dtype="uint16", place="metres", seed=0):
    """A map with its probabilities; a tenth of it has no data."""
    steps, rng = {"uint8": 100, "uint16": 10_000}[dtype], np.random.default_rng(seed)
    p = some(SHAPE[0] * SHAPE[1], 3, seed).T.reshape(3, *SHAPE)
    stored, hole = np.rint(p * steps), rng.random(SHAPE) < 0.1
    codes = np.where(hole, 0, CODES[stored.argmax(0)])
    sure = np.where(hole, 255, np.rint(100 * stored.max(0) / steps))
    land = delivered(folder, codes, place, confidence=sure)
    with_probabilities(land, np.where(hole, {"uint8": 255, "uint16": 65535}[dtype], stored), dtype)
    return land, codes, stored / stored.sum(0)


def boxes(path, land, table, corners=((0, 0, 30, 40), (30, 0, 60, 40)), crs=None):
    """Write districts: rows and columns of pixels (top, left, bottom, right)."""
    a = land.grid.transform
    shapes = [box(a.c + a.a * w, a.f + a.e * s, a.c + a.a * e, a.f + a.e * n) for n, w, s, e in corners]
    frame = gpd.GeoDataFrame(table, geometry=shapes[: len(next(iter(table.values())))], crs=land.grid.crs.to_wkt())
    (frame.to_crs(crs) if crs else frame).to_file(path)
    return path


def layers(out):
    land = open_delivered(out)
    codes, sure = (land.read(name, land.grid, land.grid.window, 255) for name in ("classes", "confidence"))
    nodata = 65535 if inspect(land.path("probabilities")).dtype == "uint16" else 255
    p = np.stack([land.read("probabilities", land.grid, land.grid.window, nodata, k) for k in (1, 2, 3)])
    return codes, sure, p


TWO = {"name": ["north", "south"], "maize": [0.7, 0.1], "2": [0.1, None], "people": [12, 30]}


def test_a_map_gets_the_shares_of_its_districts(tmp_path):
    land, codes, p = a_map(tmp_path / "map")
    told = Told()
    reconcile(land.folder, boxes(tmp_path / "d.gpkg", land, TWO), tmp_path / "out", FULL, told)
    new, sure, stored = layers(tmp_path / "out")
    known = codes > 0
    q = stored / 10_000
    for rows, asked in ((slice(0, 30), {0: 0.7, 1: 0.1, 2: 0.2}), (slice(30, 60), {0: 0.1})):
        here = np.zeros(SHAPE, bool)
        here[rows, :40] = known[rows, :40]
        for k, share in asked.items():
            assert q[k][here].mean() == pytest.approx(share, abs=1e-3)
        own = np.where(new[here] == CODES[:, None], q[:, here], 0).sum(0)
        assert (own >= q[:, here].max(0) - 1.5e-4).all()  # stored probabilities are rounded
        assert (new != codes)[here].mean() > 0.05
        assert np.abs(sure[here] - 100 * q[:, here].max(0)).max() <= 0.51
    south = np.zeros(SHAPE, bool)
    south[30:, :40] = known[30:, :40]  # two classes without a statistic there
    assert np.abs(q[1] * p[2] - q[2] * p[1])[south].max() < 2e-4
    outside = known.copy()
    outside[:, :40] = False
    assert np.array_equal(new[outside], codes[outside])
    assert np.abs(q - p)[:, outside].max() < 2e-4
    assert (new == 0).sum() == (codes == 0).sum()
    table = pd.read_csv(tmp_path / "out/districts.csv")
    assert table.district.tolist() == ["north"] * 3 + ["south"] * 3
    asked = table[table.asked_share.notna()]
    assert asked.asked_share.tolist() == [0.7, 0.1, 0.1]
    assert asked.probability_after.tolist() == pytest.approx([0.7, 0.1, 0.1], abs=1e-3)
    assert asked.reached.tolist() == ["yes"] * 3
    north = table[table.district == "north"]
    assert north.hectares.sum() == pytest.approx(known[:30, :40].sum() * 0.01)
    assert north.mapped_before.tolist() == pytest.approx(
        [(codes[:30, :40] == c).sum() / known[:30, :40].sum() for c in CODES], abs=1e-4
    )
    assert north.mapped_after.tolist() == pytest.approx(
        [(new[:30, :40] == c).sum() / known[:30, :40].sum() for c in CODES], abs=1e-4
    )
    assert any("are no estimate" in one for one in told.words)
    assert any("The accuracy is not measured" in one for one in told.words)


def test_trust_mixes_statistic_and_map(tmp_path):
    land, codes, p = a_map(tmp_path / "map")
    path = boxes(tmp_path / "d.gpkg", land, {"maize": [0.9]})
    reconcile(land.folder, path, tmp_path / "out", Reconciling(trust=0.5))
    here = codes[:30, :40] > 0
    before, after = p[0][:30, :40][here].mean(), layers(tmp_path / "out")[2][0][:30, :40][here].mean() / 10_000
    assert after == pytest.approx((0.9 + before) / 2, abs=1e-3)


def test_statistics_that_are_those_of_the_map_change_nothing(tmp_path):
    land, codes, p = a_map(tmp_path / "map", "uint8")
    known = codes > 0
    mean = [float(p[k][known].mean()) for k in range(3)]
    table = {name: [share] for name, share in zip(LEGEND.names, mean)}
    path = boxes(tmp_path / "d.gpkg", land, table, ((-5, -5, 99, 99),))
    reconcile(land.folder, path, tmp_path / "out", Reconciling(trust=1.0))
    assert np.array_equal(layers(tmp_path / "out")[0], codes)


@pytest.mark.parametrize("place", ["metres", "degrees"])
def test_the_result_does_not_depend_on_the_tiles(tmp_path, monkeypatch, place):
    land, *_ = a_map(tmp_path / "map", place=place)
    path = boxes(tmp_path / "d.gpkg", land, TWO)
    monkeypatch.setattr("bocage.finish.reconcile.MOST", 200)  # fewer pixels are drawn than there are
    found = []
    for tile in (17, 256):
        monkeypatch.setattr("bocage.finish.reconcile.TILE", tile)
        reconcile(land.folder, path, tmp_path / str(tile), FULL)
        found.append([*layers(tmp_path / str(tile)), (tmp_path / str(tile) / "districts.csv").read_text()])
    assert all(np.array_equal(one, other) for one, other in zip(found[0][:3], found[1][:3]))
    assert found[0][3] == found[1][3]
    shares = pd.read_csv(tmp_path / "17/districts.csv")
    assert np.abs(shares.probability_after - shares.asked_share).max() < 0.05  # of 1 in 6 pixels


def test_units_and_other_crs(tmp_path):
    land, codes, _ = a_map(tmp_path / "map")
    hectares, told = 30 * 40 * 0.01, Told()  # of the district: a tenth of it has no data
    outs = []
    for unit, value in (("share", 0.5), ("percent", 50.0), ("ha", 0.5 * hectares)):
        path = boxes(tmp_path / f"{unit}.gpkg", land, {"maize": [value]}, crs="EPSG:4326" if unit == "ha" else None)
        reconcile(land.folder, path, tmp_path / unit, Reconciling(unit=unit, trust=1.0), told)
        outs.append(layers(tmp_path / unit))
    assert "reprojected from EPSG:4326 to EPSG:32740" in " ".join(told.words)
    for other in outs[1:]:
        assert np.array_equal(outs[0][0], other[0])


def test_hectares_of_a_district_that_the_map_cuts_are_those_of_the_whole_district(tmp_path):
    land, codes, _ = a_map(tmp_path / "map")
    rows, told, found = len(codes), Told(), []
    place = ((rows - 10, 0, rows + 10, 40),)  # half of it is off the map
    for unit, value in (("share", 0.25), ("ha", 0.25 * 20 * 40 * 0.01)):
        path = boxes(tmp_path / f"{unit}.gpkg", land, {"maize": [value]}, place)
        reconcile(land.folder, path, tmp_path / unit, Reconciling(unit=unit, trust=1.0), told)
        found.append(layers(tmp_path / unit))
    assert pd.read_csv(tmp_path / "ha/districts.csv").asked_share[0] == pytest.approx(0.25, abs=1e-4)
    assert np.array_equal(found[0][0], found[1][0])
    assert any(
        word.endswith(": 1. Hectares are taken as shares of the area of the whole district.") for word in told.words
    )


def test_a_share_without_probability_is_reported(tmp_path):
    land, codes, p = a_map(tmp_path / "map")
    stored = np.rint(p * 10_000)
    stored[0], stored[1] = 0, stored[0] + stored[1]
    with_probabilities(land, np.where(codes > 0, stored, 65535), "uint16")
    told = Told()
    found = reconcile(
        land.folder, boxes(tmp_path / "d.gpkg", land, {"maize": [0.6]}), tmp_path / "out", FULL_NUMBERED, told
    )
    assert found["unreached"] == ["1, maize: wanted 0.600, reached 0.000"]
    assert any(one.startswith("1 shares are not reached") for one in told.words)
    assert pd.read_csv(tmp_path / "out/districts.csv").reached.tolist()[0] == "no"


def test_districts_outside_of_the_map_and_without_statistics_are_counted(tmp_path):
    land, codes, _ = a_map(tmp_path / "map")
    table = {"name": ["a", "b", "c"], "maize": [0.5, None, 0.4]}
    path = boxes(tmp_path / "d.gpkg", land, table, ((0, 0, 30, 40), (30, 0, 60, 40), (900, 900, 950, 950)))
    told = Told()
    reconcile(land.folder, path, tmp_path / "out", FULL, told)
    assert "1 of 3 districts is outside the map, or where it has no data, and left out: c." in told.words
    assert "1 district has no statistic and keeps its classes: b." in told.words
    assert np.array_equal(layers(tmp_path / "out")[0][30:], codes[30:])
    partly = "2 districts are covered by the map in part; the statistics are applied to this part: a, b."
    assert partly in told.words  # a tenth of them has no data


@pytest.mark.parametrize(
    ("table", "how", "message"),
    [
        ({"maize": [35.0]}, {}, "district '1': 35 in all, but the whole is 1. The statistics are too large"),
        ({"maize": [0.7], "meadow": [0.4]}, {}, "1.1 in all"),
        (
            {"maize": [0.2], "meadow": [0.2], "water": [0.1]},
            {},
            "0.5 in all.*All classes have a statistic, and it is too small",
        ),
        ({"maize": [80.0], "4": [3]}, {}, "fields 'maize' and '4' are both of the class maize"),
        ({"maize": [-0.1]}, {}, "district '1': maize is -0.1. Give 0 or more"),
        ({"maize": [float("inf")]}, {}, "maize is inf"),
        ({"maize": ["much"]}, {}, "field 'maize' has the value 'much', and must be a numeric field"),
        ({"maiz": [0.1], "x": [1]}, {}, "has no field of a class. Did you mean 'maize'.*maize \\(4\\), meadow \\(2\\)"),
        ({"maize": [None]}, {}, "must be a numeric field|no district on the map has a statistic"),
        ({"maize": [0.1], "place": ["a"]}, {"name": "plac"}, "no field 'plac' \\(--name\\). Did you mean 'place'"),
        ({"maize": [0.1, 0.2], "n": ["a", "a"]}, {"name": "n"}, "2 districts are called 'a'"),
        ({"maize": [0.1, 0.2], "n": ["a", None]}, {"name": "n"}, "1 district has no name in the field 'n'"),
        ({"maize": [500.0]}, {"unit": "ha"}, "500 ha in all, but the district has 12 ha"),
        ({"maize": [120.0]}, {"unit": "percent"}, "1.2 in all"),
    ],
)
def test_statistics_that_cannot_be_used_are_refused(tmp_path, table, how, message):
    land, *_ = a_map(tmp_path / "map")
    with pytest.raises(FinishError, match=message):
        reconcile(land.folder, boxes(tmp_path / "d.gpkg", land, table), tmp_path / "out", Reconciling(**how))
    assert not MapLayout.of(tmp_path / "out").is_complete


def test_a_number_that_is_none_is_refused_and_a_missing_one_is_no_statistic(tmp_path):
    land, *_ = a_map(tmp_path / "map")
    path = tmp_path / "d.fgb"
    shapes = gpd.read_file(boxes(tmp_path / "d.gpkg", land, TWO)).geometry.to_wkb()
    for value in (float("nan"), None):
        table = pa.table({"name": ["a", "b"], "maize": pa.array([0.5, value], pa.float64()), "geometry": list(shapes)})
        pyogrio.write_arrow(table, path, geometry_name="geometry", geometry_type="Polygon", crs="EPSG:32740")
        if value is None:
            assert reconcile(land.folder, path, tmp_path / "out", FULL)["unreached"] == []
            continue
        with pytest.raises(FinishError, match="district 'b': maize is nan"):
            reconcile(land.folder, path, tmp_path / "out", FULL)


def test_districts_that_cannot_be_used_are_refused(tmp_path):
    land, *_ = a_map(tmp_path / "map")

    def refused(path, message, error=FinishError):
        with pytest.raises(error, match=message):
            reconcile(land.folder, path, tmp_path / "out", FULL)

    over = boxes(tmp_path / "o.gpkg", land, TWO, ((0, 0, 30, 40), (20, 0, 60, 40)))
    refused(over, r"districts 'north' and 'south' overlap: 33.3 % of the smaller one \(1 such pairs\)")
    far = boxes(tmp_path / "far.gpkg", land, TWO, ((900, 0, 930, 40), (930, 0, 960, 40)))
    refused(far, "far.gpkg: All 2 districts are outside the map")
    refused(tmp_path / "none.gpkg", "does not exist")
    empty = gpd.GeoDataFrame({"name": ["a"], "maize": [0.5]}, geometry=[Polygon()], crs="EPSG:32740")
    empty.to_file(tmp_path / "e.gpkg")
    refused(tmp_path / "e.gpkg", "has no polygon")
    land.path("probabilities").unlink()
    refused(boxes(tmp_path / "d.gpkg", land, TWO), r"no layer of probabilities. Set \[map\] layers")
    with pytest.raises(MappingError, match="holds no complete map"):
        reconcile(tmp_path / "nothing", tmp_path / "d.gpkg", tmp_path / "out")
    with pytest.raises(ValueError, match="trust"):
        Reconciling(trust=0.0)


def test_rough_borders_are_no_overlap_and_names_near_a_class_are_reported(tmp_path):
    land, *_ = a_map(tmp_path / "map")
    table = {"name": ["a", "b"], "maize": [0.5, 0.2], "waterr": [0.1, 0.1]}
    path, told = boxes(tmp_path / "d.gpkg", land, table, ((0, 0, 30.1, 40), (30, 0, 60, 40))), Told()
    reconcile(land.folder, path, tmp_path / "out", FULL, told)
    assert "d.gpkg: field 'waterr' is no class. Did you mean 'water'? It is not used." in told.words


def test_shares_of_districts_of_an_earlier_version_are_computed_again(tmp_path, monkeypatch):
    """Areas in Web Mercator were not areas on the ground."""
    land, *_ = a_map(tmp_path / "map")
    path, out, told = boxes(tmp_path / "d.gpkg", land, TWO), tmp_path / "out", Told()
    with monkeypatch.context() as earlier:
        earlier.setattr(reconcile_job, "FORMAT", 1)
        reconcile(land.folder, path, out, FULL)
    reconcile(land.folder, path, out, FULL, told)
    assert "reconcile: up to date" not in told.words


def test_a_reconciled_map_is_kept_until_an_input_changes(tmp_path):
    land, *_ = a_map(tmp_path / "map")
    path, out, told = boxes(tmp_path / "d.gpkg", land, TWO), tmp_path / "out", Told()
    for _ in range(2):
        reconcile(land.folder, path, out, FULL, told)
    assert told.words.count("reconcile: up to date") == 1
    first = layers(out)[0]
    (out / "map/classes.tif").write_bytes(b"x")
    reconcile(land.folder, path, out, FULL, told)
    assert np.array_equal(layers(out)[0], first)
    boxes(path, land, TWO | {"maize": [0.2, 0.2]})
    reconcile(land.folder, path, out, FULL, told)
    reconcile(land.folder, path, out, Reconciling("name", trust=0.7), told)
    assert told.words.count("reconcile: up to date") == 1
    assert (layers(out)[0] != first).any()


def test_an_interrupted_reconciliation_does_not_look_finished(tmp_path):
    class Interrupting(Told):
        def step(self, name, *_):
            if name == "reconciling the map":
                raise KeyboardInterrupt

    land, *_ = a_map(tmp_path / "map")
    path, out = boxes(tmp_path / "d.gpkg", land, TWO), tmp_path / "out"
    reconcile(land.folder, path, out, FULL)
    with pytest.raises(KeyboardInterrupt):
        reconcile(land.folder, path, out, Reconciling("name"), Interrupting())
    assert not MapLayout.of(out).is_complete
    assert [one.name for one in out.rglob("*") if one.suffix in (".tif", ".part", ".json")] == []
    assert not (out / "districts.csv").exists()


def test_no_other_map_is_replaced(tmp_path):
    land, codes, _ = a_map(tmp_path / "map")
    path = boxes(tmp_path / "d.gpkg", land, TWO)
    with pytest.raises(RunFolderError, match="holds the map. Choose"):
        reconcile(land.folder, path, land.folder)
    delivered(tmp_path / "out/map", codes)
    with pytest.raises(RunFolderError, match="holds a map that is not a reconciled one"):
        reconcile(land.folder, path, tmp_path / "out")


# --- a run
@pytest.fixture
def evaluated(finished):
    return finished(FOREST, PROBABILITIES)


def whole(path, land, table):
    west, south, east, north = land.grid.bounds
    gpd.GeoDataFrame(table, geometry=[box(west, south, east, north)], crs=land.grid.crs.to_wkt()).to_file(path)
    return path


@pytest.mark.slow
def test_the_accuracy_of_a_run_is_measured_before_and_after(evaluated, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("bocage.jobs.reconcile.LEVEL", 0.2)  # it has few test polygons
    land, out = open_delivered(evaluated.out), tmp_path / "out"
    path = whole(tmp_path / "d.gpkg", land, {"maize": [0.97]})
    assert main(["reconcile", str(evaluated.out), str(path), "--out", str(out), "--trust", "1"]) == 0
    shown = capsys.readouterr()
    tested = Predictions.from_parquet(evaluated.out / "splits/0/test.parquet")
    new, said = Predictions.from_parquet(out / "test.parquet"), json.loads((out / "reconciled.json").read_text())
    assert f"{len(tested)} test pixels of" in shown.out
    assert said["accuracy"]["before"]["overall_accuracy"] == pytest.approx(tested.right.mean())
    assert said["accuracy"]["after"]["overall_accuracy"] == pytest.approx(new.right.mean())
    assert said["accuracy"]["difference"] == pytest.approx(new.right.mean() - tested.right.mean())
    assert said["accuracy"]["difference"] < 0
    assert said["accuracy"]["p"] < 0.2
    assert "The accuracy at the test polygons falls by" in " ".join(shown.err.split())
    codes = open_delivered(out).read("classes", land.grid, land.grid.window, 0)
    assert np.array_equal(codes[new.row, new.column], np.array(land.legend.codes)[new.predicted])
    assert pixels_at(out) == out / "test.parquet"


@pytest.mark.slow
def test_a_class_without_test_pixels_is_in_no_mean(evaluated, tmp_path):
    """The test pixels of water become some of maize."""
    path = evaluated.copied(tmp_path / "run") / "splits/0/test.parquet"
    tested = Predictions.from_parquet(path)
    tested = replace(tested, label=np.where(tested.label == 2, 0, tested.label))
    tested.to_parquet(path)
    land, out = open_delivered(tmp_path / "run"), tmp_path / "out"
    districts = whole(tmp_path / "d.gpkg", land, {"maize": [0.5]})
    said, names = reconcile(tmp_path / "run", districts, out)["accuracy"], land.legend.names
    after = Predictions.from_parquet(out / "test.parquet")
    for kind, one in (("before", tested), ("after", after)):
        assert said[kind]["f1_macro"] == pytest.approx(f1_macro(one.matrix(names, ("water",))))
        assert said[kind]["f1_macro"] > f1_macro(ConfusionMatrix.of(one.label, one.predicted, names)) + 0.1
    recipe = evaluated.recipe.with_name(f"finished-{tmp_path.name}.toml")
    recipe.write_text(evaluated.recipe.read_text() + "[finish]\nsieve = 5\n")
    assert main(["finish", str(recipe), "--out", str(out)]) == 0
    steps = json.loads((out / "finish/score.json").read_text())["maps"]
    assert steps["classes"]["f1_macro"]["mean"] == pytest.approx(said["after"]["f1_macro"])


@pytest.mark.slow
def test_a_reconciled_map_is_used_as_any_other_map(evaluated, tmp_path):
    land, out = open_delivered(evaluated.out), tmp_path / "out"
    path = whole(tmp_path / "d.gpkg", land, {"maize": [0.5]})
    reconcile(evaluated.out, path, out)
    assert Item.load(MapLayout.of(out).item).rule == "shares"
    names = {one.name for one in (out / "map").iterdir()}
    assert names >= {"classes.tif", "confidence.tif", "probabilities.tif", "classes.qml", "areas.csv", "item.json"}
    assert main(["zones", str(out), str(path), "--to", str(tmp_path / "z.csv")]) == 0
    assert "estimated_ha" in pd.read_csv(tmp_path / "z.csv")
    assert main(["change", str(evaluated.out), str(out), "--out", str(tmp_path / "change")]) == 0
    fuse([evaluated.out, out], tmp_path / "fused")
    reconcile(out, path, tmp_path / "again")  # a reconciled map has probabilities, too
    recipe = evaluated.recipe.with_name(f"reconciled-{tmp_path.name}.toml")
    recipe.write_text(evaluated.recipe.read_text() + "[finish]\nsieve = 5\n")
    assert main(["finish", str(recipe), "--out", str(out)]) == 0
    assert main(["qgis", str(out)]) == 0
