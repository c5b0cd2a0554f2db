"""Conformal prediction sets: thresholds, layers of the map, the report, and what a folder of a model says of them."""

import datetime
import json
import zipfile
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
import torch

from bocage.conformal import Conformal, Held, enough_for, members, reached
from bocage.errors import RecipeError, TrainedError
from bocage.evaluation import predictions_of
from bocage.evaluation.sets import Covered, Promised
from bocage.layout import ModelLayout
from bocage.legend import LandClass, nomenclature
from bocage.mapping import Mapping, make_map, open_delivered, predict
from bocage.mapping.layers import LAYERS, Frame
from bocage.mapping.predict import Prediction
from bocage.recipe import read_recipe
from bocage.report.sections.sets import sets
from bocage.samples import Chips
from bocage.training import Trained, Training, read_conformal
from bocage.training.held_out import HeldOut
from bocage.words import words_of
from conftest import FOREST, Told, written

SETS = "sets = 0.7"


def polygons(rng, count, pixels=(1, 40), spread=0.15):
    """Return the probability of the true class at pixels of polygons that differ more than their pixels, and the polygons."""
    middle, n = rng.normal(0.6, spread, count), rng.integers(*pixels, count)
    unit = np.repeat(np.arange(count), n)
    return np.clip(middle[unit] + rng.normal(0, 0.05, len(unit)), 0, 1), unit


def by_polygon(values, unit):
    return np.bincount(unit, values) / np.bincount(unit)


def test_the_threshold_of_one_pixel_a_polygon_is_the_split_conformal_quantile():
    p = np.array([0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    held = Held.of(p, np.arange(10))
    # ceil(0.8 × 11) = 9 of the 10 polygons reach it: the second lowest
    assert held.least(0.8) == pytest.approx(0.1, rel=3e-4)
    assert held.least(10 / 11) == pytest.approx(0.05, rel=3e-4), "all ten of eleven"
    assert held.least(0.95) == 0, "10 polygons cannot promise 95 %: the class is in every set"
    assert [enough_for(c) for c in (0.9, 0.95, 0.8)] == [9, 19, 4]
    assert Held.of(p[:0], np.zeros(0, int)).least(0.5) == 0


def test_each_polygon_has_the_same_weight():
    """One polygon of 1000 poor pixels among nine good ones of one pixel is one of ten."""
    p, unit = np.r_[np.full(1000, 0.1), np.full(9, 0.9)], np.r_[np.zeros(1000, int), np.arange(1, 10)]
    assert Held.of(p, unit).least(0.8) > 0.89, "9 of 11 have 0.9"
    assert Held.of(p, np.arange(1009)).least(0.8) < 0.11, "by pixels, the large polygon decides"
    half = Held.of(np.array([0.9, 0.1] * 10), np.repeat(np.arange(10), 2))
    assert half.least(0.45) > 0.89, "half of each polygon reaches 0.9: 10 × 0.5 / 11"
    assert half.least(0.46) < 0.11


def test_coverage_by_polygon_is_the_promised_one_and_by_pixel_calibration_is_not():
    """400 draws of 60 calibration polygons and 200 new ones; large polygons are classified worse."""
    rng, found, naive = np.random.default_rng(4), [], []
    for _ in range(400):
        p, unit = polygons(rng, 260, (1, 2))
        sizes = np.where(p < 0.6, 60, 3)  # pixels of each polygon
        p, unit = np.repeat(p, sizes), np.repeat(unit, sizes)
        p = np.clip(p + rng.normal(0, 0.02, len(p)), 0, 1)
        new = unit >= 60
        for out, groups in ((found, unit), (naive, np.arange(len(unit)))):
            least = Held.of(p[~new], groups[~new]).least(0.9)
            out.append(by_polygon(p[new] >= least, unit[new] - 60).mean())
    assert 0.89 <= np.mean(found) <= 0.915, np.mean(found)
    assert abs(np.mean(naive) - 0.9) > 0.02, np.mean(naive)


def test_probabilities_are_stored_in_steps_and_rounded_down():
    held = Held.of(np.array([3.00001e-7, 3.00002e-7, 0.5, 1.0, 0.0]), np.array([0, 0, 1, 2, 3]))
    assert held.probability[:2] == (1.0, 0.5)
    assert held.probability[3] == 0
    assert 2.998e-7 < held.probability[2] <= 3.00001e-7, "small probabilities keep their significant digits"
    assert held.weight == (1.0, 1.0, 1.0, 1.0)
    found = Conformal((held,), held)
    assert Conformal.from_dict(json.loads(json.dumps(found.as_dict())), 1) == found


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"probability": [0.5, 0.9]}, "decreasing"),
        ({"probability": [1.5, 0.5]}, "decreasing"),
        ({"probability": [float("nan"), 0.5]}, "decreasing"),
        ({"probability": [0.9]}, "decreasing"),
        ({"weight": [1.0, -1.0]}, "weights"),
        ({"weight": [1.0, float("nan")]}, "weights"),
        ({"polygons": 7}, "weights"),
    ],
)
def test_damaged_numbers_are_refused(change, why):
    held = {"polygons": 2, "probability": [0.9, 0.5], "weight": [1.0, 1.0]}
    Conformal.from_dict({"classes": [held], "together": held}, 1)
    with pytest.raises(ValueError, match=why):
        Conformal.from_dict({"classes": [held | change], "together": held}, 1)
    with pytest.raises(ValueError, match=why):
        Conformal.from_dict({"classes": [held], "together": held | change}, 1)
    with pytest.raises(ValueError, match="2 classes"):
        Conformal.from_dict({"classes": [held, held], "together": held}, 1)


def test_one_promise_for_each_class_or_for_all():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 500)
    right = np.where(label == 0, rng.uniform(0.8, 1, 1000), rng.uniform(0.2, 0.6, 1000))
    probabilities = np.where(label[:, None] == [0, 1], right[:, None], 1 - right[:, None])
    found = Conformal.of(probabilities, label, np.arange(1000))
    first, second = found.least(0.9, "class")
    assert 0.8 <= first <= 0.83
    assert 0.22 <= second <= 0.27
    together = found.least(0.9, "all")
    assert together[0] == together[1]
    assert 0.26 <= together[0] <= 0.32
    assert found.too_few(0.9, "class", ("a", "b")) == ""
    few = Conformal.of(probabilities[:502], label[:502], np.arange(502))
    assert "b (2)" in few.too_few(0.9, "class", ("a", "b"))
    assert few.too_few(0.9, "all", ("a", "b")) == ""
    assert "3 calibration polygons" in Conformal.of(probabilities[:3], label[:3], np.arange(3)).too_few(
        0.9, "all", "ab"
    )


def test_a_polygon_of_two_classes_is_one_polygon_of_all_classes():
    """Locations of several points can have several classes."""
    probabilities, label = np.tile([[0.9, 0.1], [0.8, 0.2]], (5, 1)), np.tile([0, 1], 5)
    found = Conformal.of(probabilities, label, np.repeat(np.arange(5), 2))
    assert [held.polygons for held in (*found.classes, found.together)] == [5, 5, 5]
    assert found.together.weight == (2.5, 2.5)


def test_the_most_probable_class_is_always_a_member():
    probabilities = np.array([[0.5, 0.2], [0.3, 0.45], [0.2, 0.35]])
    assert reached(probabilities, (0.9, 0.4, 0.3)).tolist() == [[False, False], [False, True], [False, True]]
    assert members(probabilities, (0.9, 0.4, 0.3)).tolist() == [[True, False], [False, True], [False, True]]


TREE = nomenclature(
    [
        LandClass(10, "crops"),
        LandClass(1, "wheat", parent="crops"),
        LandClass(2, "maize", parent="crops"),
        LandClass(3, "reeds", parent="wetland"),
        LandClass(4, "water", parent="wetland"),
    ]
)
"""The wetland is the name of a parent only: it has no code."""


def layer(name, probabilities, least, legend=TREE, valid=None):
    prediction = Prediction(np.array(probabilities, np.float32), np.ones(2, bool) if valid is None else valid)
    return LAYERS[name].compute(prediction, Frame(legend, (), sets=least))


def test_the_class_of_a_set_is_the_finest_one_that_contains_it():
    #                 wheat and maize, one class, wheat and water, reeds and water
    p = np.array([[0.5, 0.9, 0.4, 0.1], [0.4, 0.1, 0.1, 0.1], [0.05, 0.0, 0.1, 0.4], [0.05, 0.0, 0.4, 0.4]])[:, None]
    valid = np.ones((1, 4), bool)
    least = (0.35, 0.35, 0.35, 0.35)
    assert layer("set_class", p, least, valid=valid).tolist() == [[[10, 1, 0, 0]]]
    assert layer("set_size", p, least, valid=valid).tolist() == [[[2, 1, 2, 2]]]
    assert layer("sets", p, least, valid=valid).tolist() == [[[0b0011, 0b0001, 0b1001, 0b1100]]]
    valid[0, 1] = False
    assert [layer(name, p, least, valid=valid)[0, 0, 1] for name in ("set_class", "set_size", "sets")] == [0, 0, 0]


@pytest.mark.parametrize(("classes", "dtype"), [(8, "uint8"), (9, "uint16"), (17, "uint32"), (32, "uint32"), (33, "")])
def test_members_are_bits_of_up_to_32_classes_and_then_bands(classes, dtype):
    legend = nomenclature([LandClass(k + 1, f"c{k}") for k in range(classes)])
    p = np.zeros((classes, 1, 2))
    p[-1, 0, 0] = p[0, 0, 1] = 0.9
    p[1, 0, 0] = 0.1
    bands, least = LAYERS["sets"].bands(Frame(legend, ())), (0.1,) * classes
    found = layer("sets", p, least, legend, np.array([[True, True]]))
    if dtype:
        assert [(b.dtype, b.nodata, b.bits) for b in bands] == [(dtype, 0, legend.names)]
        assert found.dtype == dtype
        assert found.tolist() == [[[2 ** (classes - 1) + 2, 1]]]
    else:
        assert [(b.name, b.dtype, b.nodata) for b in bands] == [(name, "uint8", 255) for name in legend.names]
        assert found[:, 0, 0].tolist() == [0, 1, *[0] * (classes - 3), 1]
        assert layer("sets", p, least, legend, np.array([[False, True]]))[:, 0, 0].tolist() == [255] * classes


def test_coverage_is_measured_by_polygon():
    """Class 0 has a polygon of one covered pixel, and one of four pixels of which one is covered."""
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.2, 0.8], [0.2, 0.8]])
    tested = predictions_of(np.arange(5), np.arange(5), [7, 3, 3, 3, 3], [0] * 5, p.astype(np.float32), 1.0)
    held_out = Conformal.of(np.full((23, 2), 0.5), np.r_[np.zeros(20, int), np.ones(3, int)], np.r_[:20, 18:21])
    found = Covered.of(tested, (0.5, 0.15), held_out)
    assert (found.held_out, found.calibrated, found.polygons) == ((20, 3), 21, 2)
    assert found.coverage == found.per_class[0] == (1 + 1 / 4) / 2
    assert found.size == (1 + 5 / 4) / 2
    assert found.single == (1 + 3 / 4) / 2
    assert (found.test.tolist(), found.always, np.isnan(found.per_class[1])) == ([2, 0], (False, False), True)
    assert found.as_dict(("a", "b"))["per_class"]["b"]["coverage"] is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("sets = 0", "an empty set"),
        ("sets = 0.0", "an empty set"),
        ("sets = 1.0", "all classes"),
        ("sets = 1.2", "below 1"),
        ("sets = nan", "sets"),
        ('layers = ["classes", "sets"]', "needs the setting 'sets'"),
        ('sets = 0.9\nsets_by = "polygon"', "sets_by"),
        ("sets = 0.9\n[training]\ncalibrate = false", "calibrate"),
    ],
)
def test_settings_that_promise_nothing_are_refused(landscape, said, why):
    change = {"tile = 32": f"tile = 32\n{said}"}
    if "[training]" in said:
        change = {"tile = 32": "tile = 32\nsets = 0.9", "epochs = 4": "epochs = 4\ncalibrate = false"}
    path = written(landscape, **change)
    with pytest.raises(RecipeError, match=why):
        read_recipe(path)


def test_small_polygons_calibrate_too():
    """A part of the pixels is held out: 40 of 1000 in one polygon, and every one of 30 polygons of one pixel."""
    polygon = np.r_[np.zeros(1000, int), np.arange(1, 31)]
    chips = Chips({}, np.zeros(1030, int), polygon)
    parts = [(torch.nn.Identity(), np.arange(1030))]
    held = HeldOut.of(None, chips, parts, Training(validation_samples=40, device="cpu"))
    (_, members), *_ = held.parts
    assert np.array_equal(np.unique(polygon[members]), np.arange(31))
    assert len(members) <= 40 + 30
    assert len(np.unique(members)) == len(members)
    (_, whole), *_ = HeldOut.of(None, chips, parts, Training(validation_samples=0, device="cpu")).parts
    assert np.array_equal(whole, np.arange(1030))


@pytest.mark.slow
def test_any_tiling_gives_the_same_sets_and_they_are_those_of_the_probabilities(brief, tmp_path, small_cells):
    model, scene = brief(FOREST).trained, brief(FOREST).scene
    assert model.conformal is not None
    settings, told = Mapping(tile=64, sets=0.7), Told()
    land = make_map(model, scene, settings, tmp_path / "whole", progress=told)
    assert settings.layers == ("classes", "confidence", "set_size", "sets", "set_class")
    make_map(model, scene, replace(settings, tile=23), tmp_path / "tiles")
    for name in ("set_size.tif", "sets.tif", "set_class.tif", "set_size.qml", "set_class.qml", "checksums.sha256"):
        assert (tmp_path / "tiles" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    probabilities = predict(model, scene, scene.grid.window, torch.device("cpu")).probabilities
    expected = members(probabilities, model.conformal.least(0.7, "class"))
    with rasterio.open(land.files["sets"]) as dataset, rasterio.open(land.files["set_size"]) as sizes:
        bits, seen = dataset.read(1), sizes.read(1) > 0
        assert dataset.tags(1)["BIT_2"] == "water"
        assert np.array_equal(sizes.read(1)[seen], expected.sum(0)[seen])
    for k in range(3):
        assert np.array_equal((bits >> k & 1)[seen], expected[k][seen])
    listed = (tmp_path / "whole/checksums.sha256").read_text()
    assert all(name in listed for name in ("sets.tif", "set_size.qml", "set_class.qml"))
    item = json.loads((tmp_path / "whole/item.json").read_text())
    assert [f["offset"] for f in item["assets"]["sets"]["classification:bitfields"]] == [0, 1, 2]
    assert item["properties"]["bocage:sets"]["coverage"] == 0.7
    assert open_delivered(tmp_path / "whole", ("sets",)).path("sets").exists()


def test_a_model_without_calibration_polygons_is_refused(brief, tmp_path):
    model, scene = brief(FOREST).trained, brief(FOREST).scene
    with pytest.raises(TrainedError, match=r"no calibration polygons.*Train again.*--set map\.sets="):
        make_map(replace(model, conformal=None), scene, Mapping(sets=0.9), tmp_path / "map")
    told = Told()
    make_map(model, scene, Mapping(sets=0.99), tmp_path / "map", progress=told)
    assert any("need" in line and "calibration polygons" in line for line in told.words)
    with rasterio.open(tmp_path / "map/set_size.tif") as sizes:
        assert set(np.unique(sizes.read(1))) <= {0, 3}


def test_a_damaged_calibration_is_found_when_the_model_is_read(brief, tmp_path):
    model = brief(FOREST).trained
    held = model.conformal.classes[0]
    object.__setattr__(held, "polygons", held.polygons + 5)  # as if another program had written it
    model.save(tmp_path / "model")
    with pytest.raises(TrainedError, match="weights of held-out pixels"):
        Trained.load(tmp_path / "model")


def test_calibration_polygons_are_stored_and_read_without_the_network(brief):
    model = brief(FOREST)
    assert read_conformal(ModelLayout(model.folder)) == model.trained.conformal
    assert sum(held.polygons for held in model.trained.conformal.classes) > 0


def test_a_polygon_with_several_classes_is_one_polygon_of_all_classes():
    """Ten polygons of two pixels, one of each class, calibrate; six of them, of another draw, are tested."""
    p, label, polygon = np.tile([0.6, 0.4], (20, 1)), np.tile([0, 1], 10), np.repeat(np.arange(10), 2)
    place = np.arange(12)
    tested = predictions_of(place, place, polygon[:12], label[:12], p[:12].astype(np.float32), 1.0)
    covered = Covered.of(tested, (0.5, 0.5), Conformal.of(p, label, polygon))
    legend = nomenclature((LandClass(1, "maize"), LandClass(2, "water")))
    rows = sets(Promised(0.9, "all", (covered,)), legend, "en")["rows"]
    assert [(row["held_out"], row["test"]) for row in rows] == [("10", "6")] * 3
    said = covered.as_dict(legend.names)
    assert (said["calibration_polygons"], said["test_polygons"]) == (10, 6)


@pytest.mark.slow
def test_the_report_has_promised_and_measured_coverage(finished):
    done = finished(FOREST, SETS)
    numbers = json.loads((done.out / "report.json").read_text())["sets"]
    assert (numbers["promised"], numbers["by"], len(numbers["per_draw"])) == (0.7, "class", 2)
    for draw in numbers["per_draw"]:
        assert 0 <= draw["coverage"] <= 1 <= draw["size"] <= 3
        assert all(one["calibration_polygons"] >= 1 for one in draw["per_class"].values())
    assert "Prediction sets: is the promised coverage kept?" in (done.out / "report.html").read_text()


@pytest.mark.slow
def test_the_qgis_project_has_the_layers_of_the_sets(finished):
    with zipfile.ZipFile(finished(FOREST, SETS).out / "qgis/project.qgz") as archive:
        project = ElementTree.fromstring(archive.read("project.qgs"))
    entries = {
        layer.findtext("layername"): [one.get("label") for one in layer.iter("paletteEntry")]
        for layer in project.iter("maplayer")
    }
    assert entries["classes in the set"] == ["1 class", "2 classes", "3 classes"]
    assert entries["land cover, class that contains the prediction set"] == ["maize", "meadow", "water"]


def test_a_mean_of_zero_is_a_number_and_a_map_until_a_day_has_no_promise():
    none = np.zeros(2)
    covered = Covered(0.0, 2.0, 0.0, none, none + 2, np.array([3, 3]), (3, 3), (False, False), 6, 6)
    made, legend = Promised(0.9, "class", (covered,)), nomenclature((LandClass(1, "maize"), LandClass(2, "water")))
    for language, zero in (("en", "0.0"), ("fr", "0,0")):
        words = sets(made, legend, language)["words"]
        assert f"{zero}" in words
        assert "–" not in words
        early = sets(made, legend, language, datetime.date(2021, 4, 30))["words"]
        assert early.startswith(words)
        assert early.endswith(words_of(language)["sets_until"].format(day="2021-04-30"))
