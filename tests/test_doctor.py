"""Doubtful polygons: the arithmetic of the doubt, its causes, the command, and its use in training."""

import json
from dataclasses import replace
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely import LineString, box

from bocage.advice.causes import Evidence, causes_of
from bocage.advice.doubt import doubt_of
from bocage.advice.findings import Findings
from bocage.advice.settings import Doubting
from bocage.advice.shift import Shift, shift_of
from bocage.api.project import Project
from bocage.cli import main
from bocage.errors import RecipeError, SamplesError
from bocage.jobs.doctor import doctor
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.legend import ClassSet, LandClass, Legend
from bocage.models.patchwork import Model as Patchwork
from bocage.progress import QUIET
from bocage.provenance import Provenance, Stage
from bocage.recipe import read_recipe
from bocage.run import has_results, judging, open_run
from bocage.run.doctor import left_of
from bocage.run.trusted import DoubtOfDraws
from bocage.samples import Chips, Labelled, Pixels, Split
from bocage.samples.doubtful import Outlines, overlaps_of, write_features
from bocage.samples.inner import inner_pixels, some_pixels
from bocage.samples.make import assembled
from bocage.samples.reference import Reference
from bocage.training import OutOfFold, Trainer
from conftest import FOREST, Told

BRIEF = "[doctor]\nfolds = 3\nrepeats = 2\n"


def predictions(seed=0, count=400, classes=4, swapped=0.1, pair=None):
    """Held-out probabilities of a model that is right for 98 % of the polygons, and labels of which a share is swapped."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, classes, count)
    seen = np.where(rng.random(count) < 0.98, true, rng.integers(0, classes, count))
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), seen] += 5
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    wrong = rng.random(count) < swapped
    other = (true + rng.integers(1, classes, count)) % classes
    if pair:
        wrong &= true == pair[0]
        other = np.where(true == pair[0], pair[1], other)
    return probabilities, np.where(wrong, other, true), wrong


def test_swapped_labels_are_the_most_doubtful_and_their_number_is_estimated():
    probabilities, label, wrong = predictions()
    doubt = doubt_of(probabilities, np.full_like(probabilities, 0.25), label)
    found = doubt.order[: wrong.sum()]
    assert wrong[found].mean() > 0.8
    assert doubt.wrong.sum() == pytest.approx(wrong.sum(), rel=0.35)
    flagged = doubt.wrong > 0.5
    assert doubt.wrong[flagged].mean() == pytest.approx(wrong[flagged].mean(), abs=0.2)


def test_a_class_at_one_place_is_not_judged():
    probabilities, label, _ = predictions()
    near, place = np.full_like(probabilities, 0.25), np.arange(len(label))
    place[label == 2] = 0  # labels of several years of one field: no model of another fold knows the class
    whole, doubt = doubt_of(probabilities, near, label), doubt_of(probabilities, near, label, place=place)
    assert np.array_equal(np.isnan(doubt.wrong), label == 2)
    assert not np.isnan(whole.wrong).any()


def test_the_frequency_of_a_systematic_confusion_is_estimated():
    probabilities, label, _ = predictions(swapped=0.3, pair=(2, 1))
    doubt = doubt_of(probabilities, np.full_like(probabilities, 0.25), label)
    assert doubt.given[2, 1] == pytest.approx(0.3, abs=0.1)
    assert doubt.given[0].argmax() == 0
    assert doubt.given[0, 0] > 0.9


def test_a_class_of_few_polygons_is_not_judged_and_comes_last():
    probabilities, label, _ = predictions()
    label[label == 3] = 0
    label[:2] = 3
    doubt = doubt_of(probabilities, np.full_like(probabilities, 0.25), label)
    assert np.isnan(doubt.wrong[:2]).all()
    assert np.isfinite(doubt.wrong[2:]).all()
    assert set(doubt.order[-2:]) == {0, 1}


def test_a_class_with_wrong_labels_only_is_not_found():
    probabilities, label, _ = predictions(swapped=0)
    renamed = np.array([1, 0, 2, 3])[label]
    same = doubt_of(probabilities[:, [1, 0, 2, 3]], np.full_like(probabilities, 0.25), renamed)
    assert (same.wrong > 0.5).mean() < 0.08  # the models learn the exchanged names


def test_regions_have_labels_of_their_own():
    parts = [predictions(1, 400, swapped=0.0), predictions(2, 400, swapped=0.3, pair=(0, 1))]
    probabilities, label, wrong = (np.concatenate(column) for column in zip(*parts))
    near, region = np.full_like(probabilities, 0.25), np.repeat([0, 1], 400)
    one, own = doubt_of(probabilities, near, label), doubt_of(probabilities, near, label, region)
    as_one = (label == 1) & (region == 0)
    assert own.wrong[as_one].mean() < one.wrong[as_one].mean()
    assert own.wrong[wrong].mean() > 0.6


def test_a_shift_is_measured_in_pixels():
    rows, columns = np.mgrid[10:20, 30:42]
    inside = np.stack([rows.ravel(), columns.ravel()], 1)
    field = (inside[:, 0] < 18) & (inside[:, 1] >= 33)  # the field is 2 pixels further up and 3 further right
    probability = np.where(field, 0.9, 0.1)
    found = shift_of(inside, inside, probability)
    assert (found.down, found.right) == (-2, 3)
    some = np.arange(len(inside))[::3]
    assert isinstance(shift_of(inside, inside[some], probability[some]), Shift)
    assert shift_of(inside, inside, np.full(len(inside), 0.9)) is None
    assert shift_of(inside, inside, np.full(len(inside), 0.1)) is None  # another class, no shift


def square(polygon, row, column, side=4):
    rows, columns = np.mgrid[row : row + side, column : column + side].astype(np.int32)
    number = np.full(side * side, polygon, np.int32)
    return rows.ravel(), columns.ravel(), number.astype(np.int16) % 2, number


def test_inner_pixels_and_border_pixels_alternate():
    parts = [square(5, 0, 0), square(6, 0, 4), square(9, 20, 20, side=1)]
    pixels = Pixels(*(np.concatenate(column) for column in zip(*parts)))
    inner = inner_pixels(pixels)
    assert inner.reshape(-1)[:16].reshape(4, 4)[1:3, 1:3].all()
    assert inner.sum() == 8  # pixels beside another polygon are border pixels
    some = some_pixels(pixels, inner, 4, seed=0)
    assert np.bincount(pixels.polygon[some])[[5, 6, 9]].tolist() == [4, 4, 1]
    assert inner[some].sum() == 4
    assert some_pixels(pixels, inner, 100, seed=0).tolist() == list(range(len(pixels)))


def test_duplicates_and_overlaps_are_found():
    shapes = [box(0, 0, 10, 10), box(0, 0, 10, 10), box(5, 0, 25, 10), box(30, 0, 40, 10), None]
    table = gpd.GeoDataFrame({"polygon": range(5), "label": [0, 0, 1, 1, 1]}, geometry=shapes, crs="EPSG:32740")
    found = overlaps_of(table)
    assert found.loc[0, "same"] == found.loc[1, "same"] == 1
    assert found.loc[0, "same_as"] == 1
    assert found.loc[0, "other"] == 0.5
    assert found.loc[2, "other"] == 0.25
    assert 3 not in found.index
    points = gpd.GeoDataFrame(
        {"polygon": [7, 8, 9], "label": [0, 1, 0]}, geometry=gpd.points_from_xy([0, 0, 1], [0, 0, 1])
    )
    assert overlaps_of(points).other.to_dict() == {7: 1, 8: 1}
    assert not len(overlaps_of(points.assign(geometry=[None] * 3)))


def test_the_features_of_a_polygon_overlap_together():
    squares = {
        98: [box(0, 0, 10, 10), box(100, 0, 102, 2)],  # its second feature is inside of 57
        57: [box(90, -10, 110, 10)],
        58: [box(200, 0, 210, 10), box(220, 0, 230, 10)],
        59: [box(200, 0, 202, 10), box(201, 0, 203, 10)],  # features that overlap each other
        60: [box(300, 0, 305, 10), box(305, 0, 310, 10)],
        61: [box(300, 0, 304, 10), box(306, 0, 310, 10)],
    }
    rows = [(polygon, shape) for polygon, shapes in squares.items() for shape in shapes]
    table = gpd.GeoDataFrame({"polygon": [p for p, _ in rows]}, geometry=[shape for _, shape in rows])
    found = overlaps_of(table.assign(label=table.polygon.eq(57).astype(int)))
    assert found.loc[98, ["other", "other_as"]].tolist() == pytest.approx([4 / 104, 57])
    assert found.loc[57, "other"] == pytest.approx(4 / 400)
    assert found.same.drop([57, 98]).to_dict() == pytest.approx({58: 30 / 200, 59: 1, 60: 0.8, 61: 1})
    points = gpd.GeoDataFrame(
        {"polygon": [1, 1, 1, 2, 3], "label": 0}, geometry=gpd.points_from_xy([0, 1, 2, 2, 2], [0, 1, 2, 2, 2])
    )
    assert overlaps_of(points).same.to_dict() == pytest.approx({1: 1 / 3, 2: 1, 3: 1})
    lines = gpd.GeoDataFrame({"polygon": [1, 2], "label": 0}, geometry=[LineString([(0, 0), (1, 1)])] * 2)
    assert not len(overlaps_of(lines))


def test_causes_are_told_apart():
    probabilities, label, _ = predictions(count=60, swapped=0)
    label[:8] = (probabilities[:8].argmax(1) + 1) % 4
    doubt = doubt_of(probabilities, np.full_like(probabilities, 0.25), label)
    assert (doubt.wrong[:8] > 0.5).all()
    count = len(label)
    usual = {
        "pixels": 20.0, "dates": 10.0, "covered_same": 0.0, "covered_other": 0.0, "inner": 0.1, "border": 0.1, "split": 0.0,
        "distance": 1.0,
    }  # fmt: skip
    values = {key: np.full(count, value) for key, value in usual.items()}
    shift = np.full((count, 2), np.nan)
    values["pixels"][0], values["dates"][1], values["split"][2] = 2, 1, 0.5
    values["inner"][3], values["border"][3] = 0.9, 0.2
    shift[4], values["covered_other"][5], values["covered_same"][8] = (20, -10), 0.9, 1
    evidence = Evidence(**values, has_series=True, has_extent=True, shift=shift)
    causes = causes_of(doubt, evidence, 0.5)
    assert causes[:9].tolist() == [
        "small",
        "dates",
        "mixed",
        "mixed",
        "shifted",
        "overlap",
        "class",
        "class",
        "duplicate",
    ]
    assert set(causes[9:]) <= {"none", "class"}


def test_a_class_keeps_a_sample_whatever_the_trust():
    label = np.array([0] * 50 + [1] * 50)
    trust = np.concatenate([np.full(50, 0.5), np.full(50, 1e-9)])
    trust[70] = 1e-8
    chips = Chips({}, label, label, trust=trust)
    part = chips.trusted(np.arange(100), np.random.default_rng(0))
    assert 10 < (part < 50).sum() < 40
    assert part[part >= 50].tolist() == [70]
    assert len(Chips({}, label, label).trusted(np.arange(100), np.random.default_rng(0))) == 100


def test_polygons_that_are_not_judged_have_a_cause(tmp_path):
    legend = Legend(
        (LandClass(1, "maize", parent="crops"), LandClass(2, "meadow")), (LandClass(3, "crops"),),
        (ClassSet(("maize", "meadow")),),
    )  # fmt: skip
    set_of_classes = legend.index_of("maize or meadow")
    shapes = [box(10 * k, 0, 10 * k + 10, 10) for k in range(4)]
    shapes = [*shapes, shapes[0], box(1, 1, 9, 9), shapes[2], box(0, 90, 1, 91), None]
    features = gpd.GeoDataFrame(
        {"polygon": range(9), "label": [0, 1, legend.index_of(3), set_of_classes, 0, 1, legend.index_of(3), 1, 1]},
        geometry=shapes, crs="EPSG:32740",
    )  # fmt: skip
    outlines = Outlines(features.assign(name=[*"abcdefghi"]), overlaps_of(features))
    pixels = Pixels(*(np.zeros(4, int) for _ in range(3)), np.array([0, 1, 2, 3]))
    found = left_of(outlines, np.array([0, 1]), pixels, legend)
    assert [(one.name, one.label, one.cause, one.pixels, one.overlap, one.is_coarser) for one in found] == [
        ("c", "crops", "duplicate", 1, "g", True),
        ("d", "maize or meadow", "coarser", 1, "", True),
        ("e", "maize", "overlap", 0, "f", False),  # a covers more of it, but has its class
        ("f", "meadow", "overlap", 0, "a", False),
        ("g", "crops", "duplicate", 0, "c", True),
        ("h", "meadow", "no_pixel", 0, "", False),
        ("i", "meadow", "no_pixel", 0, "", False),
    ]
    write_features(tmp_path / "f.gpkg", features, {"polygon": list(range(9)), "rank": list(range(9, 0, -1))})
    table = gpd.read_file(tmp_path / "f.gpkg")
    assert (len(table), table.polygon[0], table.geometry[0]) == (9, 8, None)


def test_a_polygon_without_an_identifier_does_not_have_the_name_of_another(tmp_path):
    legend, shapes = Legend((LandClass(1, "maize"),)), [box(10 * k, 0, 10 * k + 9, 9) for k in range(4)]
    table = gpd.GeoDataFrame({"code": 1, "id": ["2", None, "3", None]}, geometry=shapes, crs="EPSG:32740")
    table.to_file(tmp_path / "r.gpkg")
    features = Outlines.of(Reference(tmp_path / "r.gpkg", "code", polygon_id="id"), legend).features
    assert dict(zip(features.polygon, features["name"])) == {0: "2", 2: "unnamed 2", 1: "3", 3: "unnamed 3"}


# --- the command
def with_errors(landscape):
    """Swap one label, shift one polygon half out of its stripe, repeat one, and add one that is smaller than a pixel."""
    path = landscape / "reference.gpkg"
    table = gpd.read_file(path)
    table.loc[7, "code"] = 3  # meadow as water
    tiny = box(*np.add(table.geometry[0].centroid.coords[0] * 2, [-44, 1, -43, 2]))
    more = gpd.GeoDataFrame(
        {"code": [2, 1], "name": ["meadow", "maize"]}, geometry=[table.geometry[6], tiny], crs=table.crs
    )
    pd.concat([table, more], ignore_index=True).to_file(path, driver="GPKG")


@pytest.fixture
def examined(recipe, landscape, tmp_path):
    with_errors(landscape)
    path = recipe(more=BRIEF)
    assert main(["doctor", str(path), "--out", str(tmp_path / "out")]) == 0
    return path, RunLayout(tmp_path / "out")


@pytest.mark.slow
def test_the_command_ranks_a_swapped_label_first(examined, capsys):
    path, layout = examined
    table = pd.read_csv(layout.doctor.polygons("csv"))
    first = table.iloc[0]
    assert (first.polygon, first["class"], first.suggested, first.cause) == (7, "water", "meadow", "class")
    assert first.wrong > 0.8
    assert table.doubtful.sum() == 1
    assert set(table.name[table.cause == "duplicate"].astype(str)) == {"6", "15"}  # 15 has no pixel of its own
    assert table.cause.iloc[-1] == "no_pixel"
    assert table["rank"].tolist() == list(range(1, 18))
    assert table.iloc[-2][["polygon", "name", "overlap", "pixels", "doubtful"]].tolist() == [15, 15, 6, 0, 0]
    features = gpd.read_file(layout.doctor.polygons("gpkg"))
    assert features.polygon[0] == 7
    assert features.crs.to_epsg() == 32740
    assert features["rank"].tolist() == table["rank"].tolist()
    assert features.cause.tolist() == table.cause.tolist()
    page = layout.doctor.page.read_text()
    assert "label water, suggested class meadow" in page
    assert "2 polygons have no usable pixel" in page
    assert page.count("<svg") == 1
    summary = json.loads(layout.doctor.summary.read_text())
    assert summary["doubtful"] == 1
    assert summary["classes"]["water"][:2] == [6, 1]
    assert summary["causes"] == table.cause.value_counts().to_dict()
    assert sum(summary["causes"].values()) == summary["polygons"] + summary["without_pixel"] == len(features)
    assert not (layout.doctor.path / ".scratch").exists()
    capsys.readouterr()
    assert main(["doctor", str(path), "--out", str(layout.path)]) == 0
    assert "doctor: up to date" in capsys.readouterr().err
    layout.doctor.page.unlink()
    assert main(["doctor", str(path), "--out", str(layout.path)]) == 0
    assert layout.doctor.page.exists()


@pytest.mark.slow
def test_an_interrupted_search_resumes_after_the_last_repeat(recipe, tmp_path, monkeypatch):
    parsed, usual, done = read_recipe(recipe(more=BRIEF)), judging.out_of_fold, []

    def killed(choice, scene, samples, *more):
        done.append(samples.split.seed)
        if len(done) == 2:
            raise KeyboardInterrupt
        return usual(choice, scene, samples, *more)

    monkeypatch.setattr(judging, "out_of_fold", killed)
    with pytest.raises(KeyboardInterrupt):
        doctor(parsed, tmp_path / "out")
    assert not (tmp_path / "out/doctor/polygons.csv").exists()
    doctor(parsed, tmp_path / "out")
    assert done == [0, 1, 1]
    whole = doctor(parsed, tmp_path / "other")
    assert (tmp_path / "out/doctor/polygons.csv").read_bytes() == whole.polygons("csv").read_bytes()


@pytest.mark.slow
def test_a_network_judges_with_its_own_features(recipe, tmp_path, monkeypatch):
    small = 'name = "patchwork"\npreset = "small"'
    parsed = read_recipe(recipe(small, more='[doctor]\nmodel = "recipe"\nfolds = 2\nrepeats = 1\n'))
    read, usual = [], Patchwork.fused
    monkeypatch.setattr(Patchwork, "fused", lambda self, batch: read.append(1) or usual(self, batch))
    layout = doctor(parsed, tmp_path / "out")
    assert len(pd.read_csv(layout.polygons("csv"))) == 15
    assert read


CROPS = ("maize", "maize", "maize", "maize", "meadow", "meadow", "meadow", "meadow", "meadow")


def table_recipe(folder, series=6, labels=CROPS):
    """Write a table of series without geometry, and a table of labels."""
    rng, rows = np.random.default_rng(0), []
    for i, name in enumerate(labels):
        for t in range(series):
            rows.append(
                {
                    "id": f"f{i}",
                    "day": f"2021-0{t + 3}-01",
                    "ndvi": (0.2 + 0.1 * t * (name == "maize")) + 0.01 * rng.normal(),
                }
            )
    pd.DataFrame(rows).to_csv(folder / "series.csv", index=False)
    pd.DataFrame({"id": [f"f{i}" for i in range(len(labels))], "crop": labels}).to_csv(
        folder / "labels.csv", index=False
    )
    classes = ", ".join(
        f'{{ code = {k}, name = "{name}", values = ["{name}"] }}' for k, name in enumerate(dict.fromkeys(labels), 1)
    )
    path = folder / "table.toml"
    path.write_text(
        f"""[grid]\nlike = "s2"\n[sources.s2]\nsensor = "table"\npath = "series.csv"\nid = "id"\ndate = "day"\nbands = {{ ndvi = "ndvi" }}
[reference]\npath = "labels.csv"\nlabel = "crop"\nsample_id = "id"\n[legend]\nclasses = [{classes}]
[model]\nname = "random_forest"\ntrees = 10\n{BRIEF}"""
    )
    return path


@pytest.mark.slow
@pytest.mark.parametrize("series", [1, 6])
def test_a_table_without_geometry_has_no_geopackage(tmp_path, series):
    layout = doctor(read_recipe(table_recipe(tmp_path, series)), tmp_path / "out")
    table = pd.read_csv(layout.polygons("csv"))
    assert set(table.name) == {f"f{i}" for i in range(9)}
    assert not layout.polygons("gpkg").exists()
    assert table.shift_north_m.isna().all()


@pytest.mark.slow
def test_labels_of_coarser_classes_are_reported(tmp_path):
    path = table_recipe(tmp_path, labels=[*CROPS, "crops", "either"])
    text = path.read_text().replace('values = ["maize"] }', 'values = ["maize"], parent = "crops" }')
    path.write_text(
        text.replace(', { code = 4, name = "either", values = ["either"] }]', "]\n")
        .replace("[model]", 'sets = [{ classes = ["maize", "meadow"], values = ["either"] }]\n[model]')
    )  # fmt: skip
    told = Told()
    layout = doctor(read_recipe(path), tmp_path / "out", told)
    table = pd.read_csv(layout.polygons("csv"))
    assert table[["name", "class", "cause"]].iloc[-2:].to_numpy().tolist() == [
        ["f9", "crops", "coarser"],
        ["f10", "maize or meadow", "coarser"],
    ]
    said = [word for word in told.words if word.startswith("2 polygons have a coarser class or a set of classes")]
    assert said
    assert said[0] in layout.page.read_text()
    summary = json.loads(layout.summary.read_text())
    assert (summary["polygons"], summary["without_pixel"], summary["coarser"]) == (9, 0, 2)
    assert summary["causes"]["coarser"] == 2


@pytest.mark.slow
def test_labels_that_cannot_be_judged_are_reported(tmp_path):
    labels = ["maize"] * 5 + ["meadow"] * 5 + ["vine"]
    layout = doctor(read_recipe(table_recipe(tmp_path, labels=labels)), tmp_path / "out")
    table = pd.read_csv(layout.polygons("csv"))
    assert table.iloc[-1][["class", "cause"]].tolist() == ["vine", "not_judged"]
    assert np.isnan(table.wrong.iloc[-1])
    assert "polygons or blocks knew the class: vine." in layout.page.read_text()
    french = Project(
        read_recipe(tmp_path / "table.toml", ['report.language="fr"']), tmp_path / "fr", quiet=True
    ).doctor()
    assert "la connaissait\N{NO-BREAK SPACE}: vine." in french.path.read_text()


def test_polygons_of_several_classes_are_not_judged_by_one_of_them():
    """Fields of a farm with one identifier were all judged as the class of the last."""
    samples = SimpleNamespace(polygon=np.array([3, 3, 5, 5, 5, 9]), label=np.array([0, 0, 1, 0, 1, 2]))
    with pytest.raises(
        SamplesError, match=r"1 polygon with features of several classes, for example number 5 .*polygon_id"
    ):
        judging._check_one_class(samples)
    judging._check_one_class(SimpleNamespace(polygon=samples.polygon, label=np.array([0, 0, 1, 1, 1, 2])))


@pytest.mark.parametrize(("unit", "judged"), [("block", False), ("polygon", True)])
def test_a_class_in_one_block_is_judged_by_models_that_know_it_only(unit, judged):
    """Its polygons were all doubtful with a probability of 1: the models without this block had no sample of the class."""
    label = np.repeat(np.array([0, 1, 0, 1, 2], np.int16), 6)
    polygon, row = np.arange(30, dtype=np.int32), 1000 * np.repeat(np.arange(5), 6)  # a class in each block of 1 km
    pixels = Pixels(row.astype(np.int32), np.arange(30, dtype=np.int32), label, polygon)
    place = np.stack([row, np.arange(30)], 1).astype(float)
    legend = Legend(tuple(LandClass(k + 1, name) for k, name in enumerate("abc")))
    split = judging.split_of(Split(draws=1, unit=unit, block=1000), Doubting(folds=5), 0, 5)
    samples = assembled(legend, split, Labelled(pixels, (), (), pd.Series(dtype=str), place), {})
    known = judging._known(samples, np.arange(30), label.astype(np.int64))
    assert known[label == 2].all() == judged
    assert known[label < 2].all()

    sure = np.where(np.eye(3)[label] > 0, 0.9, 0.05).astype(np.float32)
    ignorant = np.where((label == 2)[:, None], np.array([0.5, 0.5, 0], np.float32), sure)
    repeats = [OutOfFold(one, one, np.ones(30, np.float32)) for one in (ignorant, sure)]
    for second in (False, True):  # whether the second repeat knew the class
        found = judging._judged(
            polygon, label.astype(int), polygon, np.arange(30), repeats, np.stack([label < 2, (label < 2) | second])
        )
        wrong = found.doubt().wrong
        assert np.isnan(wrong[label == 2]).all() != second
        assert np.nanmax(wrong) < 0.5


def test_no_wrong_label_is_expected_or_excluded_in_a_class_that_is_not_judged():
    found = SimpleNamespace(
        doubt=SimpleNamespace(wrong=np.array([0.9, 0.2, np.nan, np.nan])),
        doubtful=np.array([True, False, False, False]),
    )
    counted = Findings.counts(found, ["a", "a", "b", "b"])
    assert counted == {"a": (2, 1, pytest.approx(1.1)), "b": (2, 0, None)}


def test_one_class_and_several_sites_stop(tmp_path, recipe):
    with pytest.raises(SamplesError, match=r"have 1 class\. A label can be doubted only if there is another"):
        doctor(read_recipe(table_recipe(tmp_path, labels=["maize"] * 5)), tmp_path / "out")
    text = recipe().read_text()
    sites = text.replace("[grid]", '[[site]]\nname = "a"\n[site.grid]').replace("[sources", "[site.sources")
    (tmp_path / "land/sites.toml").write_text(sites.replace("[reference]", '[site.reference]\ndoubtful = "drop"'))
    with pytest.raises(RecipeError, match="doubtful polygons are for a recipe of one site"):
        read_recipe(tmp_path / "land/sites.toml")


# --- the doubt in training
def opened(recipe, out, use, **more):
    return open_run(
        read_recipe(recipe(more=BRIEF, **{'label = "code"': f'label = "code"\ndoubtful = "{use}"', **more})), out
    )


@pytest.mark.slow
def test_test_polygons_have_no_influence_on_the_doubt_and_are_never_left_out(recipe, landscape, tmp_path):
    with_errors(landscape)
    run = opened(recipe, tmp_path / "out", "drop")
    tested = np.isin(run.samples.polygon, [3, 9, 12])
    split = Split(field="part", train=("a",), test=("b",))
    fixed = replace(run.samples, split=split, fold=np.where(tested, 0, -1))
    doubt = DoubtOfDraws(run.recipe, fixed, run.layout.doctor, "key")
    doubt.write(run.scene, 0, QUIET)
    before, trust = doubt.layout.draw(0).read_bytes(), doubt.trusted(0).trust
    assert (trust[tested] == 1).all()
    assert set(fixed.polygon[trust == 0]) == {7}
    label = np.where(tested, (fixed.label + 1) % 3, fixed.label)
    replace(doubt, samples=replace(fixed, label=label)).write(run.scene, 0, QUIET)
    assert doubt.layout.draw(0).read_bytes() == before
    everything = replace(run.samples, split=Split(train=1, draws=1))
    replace(doubt, samples=replace(everything, label=label)).write(run.scene, 0, QUIET)
    assert doubt.layout.draw(0).read_bytes() != before


def test_the_polygons_that_the_table_calls_doubtful_are_left_out(monkeypatch, recipe, tmp_path):
    run = opened(recipe, tmp_path / "out", "drop")
    threshold = run.recipe.doctor.threshold
    first, other = np.unique(run.samples.polygon[run.samples.label == run.samples.label[0]])[:2].tolist()
    rounded = {first: (threshold, True), other: (0.1, False)}  # the first was above the threshold before it was rounded
    monkeypatch.setattr(DoubtOfDraws, "read", lambda *_: rounded)
    trust = DoubtOfDraws(run.recipe, run.samples, run.layout.doctor, "key").trusted(0).trust
    assert set(run.samples.polygon[trust == 0]) == {first}


def doubted(monkeypatch, run, doubts):
    """Return the training polygons of a class, which are doubtful, its samples, and the draw of the training."""
    samples, draw = run.samples, run.samples.draw(0)
    own = draw.train[samples.label[draw.train] == samples.label[draw.train[0]]]
    wrong = np.unique(samples.polygon[own]).tolist()
    sure = {int(p): (0.1, False) for p in samples.polygon[np.r_[draw.train, draw.validation]]}
    table = sure | {p: (doubt, True) for p, doubt in zip(wrong, doubts, strict=False)}
    assert len(table) == len(sure)
    monkeypatch.setattr(DoubtOfDraws, "read", lambda *_: table)
    trusted = DoubtOfDraws(run.recipe, samples, run.layout.doctor, "key").trusted(0)
    return wrong, samples, Trainer(run.recipe.choice, run.scene, trusted).whole_draw(0)


def test_a_class_with_doubtful_training_polygons_only_is_not_lost(monkeypatch, recipe, tmp_path):
    """Its validation polygon is beyond doubt, but it does not train a network that stops early."""
    run = opened(recipe, tmp_path / "out", "drop", **{"train = 0.5": "train = 0.8"})
    wrong, samples, used = doubted(monkeypatch, run, (0.9, 0.8, 0.95))
    assert set(samples.polygon[used.train]) & set(wrong) == {wrong[1]}, "the least doubtful one"
    assert not samples.without(used.train)
    assert not samples.without(used.validation)


def test_a_class_is_not_lost_where_its_labels_are_certainly_wrong(monkeypatch, recipe, tmp_path):
    run = opened(recipe, tmp_path / "out", "weight", **{"train = 0.5": "train = 0.8"})
    wrong, samples, used = doubted(monkeypatch, run, (1.0, 1.0, 1.0))
    assert set(wrong) <= set(samples.polygon[used.train])


def test_the_doubt_about_a_draw_is_no_result(tmp_path):
    layout = RunLayout(tmp_path)
    stage = Stage("key", 0.0, 0.0, "", {})
    before = Provenance(
        "n", "m", {}, "recipe.toml", {}, {}, "", {"samples": stage, "doubt/0": stage, "samples/north": stage}
    )
    before.save(layout.provenance)
    assert not has_results(layout)
    replace(before, stages={**before.stages, "train/0": stage}).save(layout.provenance)
    assert has_results(layout)


@pytest.mark.slow
@pytest.mark.parametrize("use", ["drop", "weight"])
def test_a_run_uses_the_doubt_and_reports_it(recipe, landscape, tmp_path, use):
    with_errors(landscape)
    run = opened(recipe, tmp_path / "out", use, **{"train = 0.5": "train = 0.8"})
    for work in (run.train, run.evaluate, run.map, run.report):
        work()
    draws = [pd.read_csv(run.layout.doctor.draw(k)) for k in range(2)]
    assert all(set(draw.columns) >= {"polygon", "wrong", "doubtful"} for draw in draws)
    assert (
        f"Doubtful labels: {draws[0].doubtful.sum()} of the {len(draws[0])} training" in run.layout.report.read_text()
    )
    told = Told()
    again = opened(recipe, tmp_path / "out", use, **{"train = 0.5": "train = 0.8"})
    again.progress = told
    again.train()
    assert told.words == ["doubt/0: up to date", "train/0: up to date", "doubt/1: up to date", "train/1: up to date"]


@pytest.mark.slow
def test_a_fold_may_be_empty(recipe, tmp_path):
    """Four training polygons of each class are dealt into five folds."""
    use = {'label = "code"': 'label = "code"\ndoubtful = "weight"', "draws = 2": "draws = 1"}
    parsed = read_recipe(recipe(FOREST, more="[doctor]\nrepeats = 2\n", **use))
    run(parsed, tmp_path / "run", ("train",))
    assert RunLayout(tmp_path / "run").doctor.draw(0).exists()
