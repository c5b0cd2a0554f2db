"""Hierarchical nomenclatures: levels of one model, polygons of coarser classes, the layer of the certain class."""

import csv
import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import torch
from torch.nn import functional

from bocage.cli import main
from bocage.errors import LegendError, RecipeError
from bocage.evaluation import ConfusionMatrix, Evaluation, Score
from bocage.jobs.check import check
from bocage.legend import COARSER, LandClass, Legend, nomenclature
from bocage.recipe import read_recipe
from bocage.samples.split import Split, Units, draw
from bocage.testing import tiny_landscape
from bocage.training import Training
from bocage.training.losses import coarse_loss, criterion_of
from bocage.view import open_viewed
from bocage.view.pixel import Pixel
from bocage.view.places import polygons_of
from conftest import FOREST, GRU, once, written

REUNION = [
    LandClass(1, "crops"),
    LandClass(11, "cereals", parent="crops"),
    LandClass(111, "wheat", parent="cereals"),
    LandClass(112, "maize", parent="cereals"),
    LandClass(12, "vines", parent="crops"),
    LandClass(2, "trees"),
    LandClass(21, "forest", parent="trees"),
    LandClass(22, "orchard", parent="trees"),
    LandClass(3, "water", parent="water"),
]
TREE = """
  {{ code = 1, name = "maize", color = "#f2c14e", parent = "vegetation" }},
  {{ code = 2, name = "meadow", parent = "vegetation" }},
  {{ code = 3, name = "water", color = "#2e86ab" }},
  {{ code = 10, name = "vegetation", color = "#30a030" }},
""".replace("{{", "{").replace("}}", "}")
FLAT = """
  { code = 1, name = "maize", color = "#f2c14e" },
  { code = 2, name = "meadow" },
  { code = 3, name = "water", color = "#2e86ab" },
"""
CERTAIN = {FLAT: TREE, "tile = 32": 'tile = 32\nlayers = ["classes", "probabilities"]\ncertain = 0.8'}


def coarsened(land: Path, every: int = 5) -> Path:
    """Label some polygons of maize and of meadow as vegetation."""
    table = gpd.read_file(land / "reference.gpkg")
    some = (table.code < 3) & (np.arange(len(table)) % every == 0)
    table.loc[some, "code"] = 10
    table.to_file(land / "reference.gpkg", engine="pyogrio")
    return land


@pytest.fixture(scope="module")
def done(shared: Path) -> Path:
    """Folder of a landscape whose polygons have two levels, and of a run of a network on it."""

    def make(folder: Path) -> None:
        path = written(coarsened(tiny_landscape(folder / "land", polygons=6)), GRU, **CERTAIN)
        assert main(["run", str(path), "--out", str(folder / "out")]) == 0

    return once(shared / "nomenclature", make)


def test_a_nomenclature_has_levels():
    legend = nomenclature(REUNION)
    assert legend.names == ("wheat", "maize", "vines", "forest", "orchard", "water")
    assert [c.name for c in legend.coarser] == ["crops", "cereals", "trees"]
    assert [level.names for level in legend.levels] == [
        ("crops", "trees", "water"),
        ("cereals", "vines", "forest", "orchard", "water"),
        legend.names,
    ]
    assert legend.level(1).codes == (1, 2, 3)
    assert legend.level(2).group.tolist() == [0, 0, 1, 2, 3, 4]
    assert [legend.labelled(legend.index_of(code) or 0).name for code in (11, 2, 112)] == ["cereals", "trees", "maize"]
    assert legend.groups.astype(int).tolist() == [[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0]]
    assert nomenclature([LandClass(1, "a"), LandClass(2, "b")]).depth == 1


def test_probabilities_of_children_add_up_to_those_of_their_parent():
    legend, generator = nomenclature(REUNION), np.random.default_rng(1)
    p = generator.dirichlet(np.ones(6), (40, 30)).transpose(2, 0, 1)
    first, second = legend.level(1).sums(p), legend.level(2).sums(p)
    assert np.abs(first[0] - (second[0] + second[1])).max() < 1e-6
    assert np.abs(second[0] - (p[0] + p[1])).max() < 1e-6
    assert np.abs(first.sum(0) - 1).max() < 1e-6


def test_a_legend_at_a_level_takes_the_values_of_its_finer_classes():
    second = nomenclature(REUNION).at_level(2)
    assert second.names == ("cereals", "vines", "forest", "orchard", "water")
    assert [second.index_of(code) for code in (11, 111, 112, 12, 3)] == [0, 0, 0, 1, 4]
    assert [c.name for c in second.coarser] == ["crops", "trees"]
    assert second.index_of(1) == COARSER
    assert nomenclature(REUNION).at_level(1).names == ("crops", "trees", "water")
    with pytest.raises(LegendError, match=r"has 3 level\(s\); found level 4"):
        nomenclature(REUNION).at_level(4)
    with pytest.raises(LegendError, match="'crops' of level 1 is a parent without a code"):
        nomenclature([LandClass(1, "wheat", parent="crops"), LandClass(2, "water")]).at_level(1)


def test_a_cycle_is_refused_in_one_line(recipe):
    wheat, crops = LandClass(1, "wheat", parent="crops"), LandClass(2, "crops", parent="plants")
    with pytest.raises(LegendError, match="cycle: wheat → crops → plants → wheat"):
        nomenclature([wheat, crops, LandClass(3, "plants", parent="wheat")])
    loop = TREE.replace('name = "vegetation", color', 'name = "vegetation", parent = "maize", color')
    with pytest.raises(RecipeError, match="legend: The nomenclature has a cycle"):
        read_recipe(recipe(FOREST, **{FLAT: loop}))


def test_a_level_without_a_parent_or_a_code_is_refused(recipe):
    def said(**replaced: str) -> str:
        with pytest.raises(RecipeError) as caught:
            read_recipe(recipe(FOREST, **replaced))
        return str(caught.value)

    assert "'water' has no parent at level 2: it is at level 1" in said(
        **{FLAT: TREE, "[map]": "[evaluation]\nlevels = [1, 2]\n[map]"}
    )
    assert "has 1 level(s); found level 2" in said(**{"[map]": "[evaluation]\nlevels = [2]\n[map]"})
    bare = TREE[: TREE.index("  { code = 10")]
    assert "'vegetation' of level 1 is a parent without a code" in said(
        **{FLAT: bare, "tile = 32": "tile = 32\ncertain = 0.8"}
    )
    assert "no parents" in said(**{"tile = 32": "tile = 32\ncertain = 0.8"})
    assert "must be above 0.5" in said(**{FLAT: TREE, "tile = 32": "tile = 32\ncertain = 0.4"})
    assert Evaluation(levels=(1,)).levels_of(nomenclature(REUNION))[0].number == 1
    assert not Evaluation().levels_of(nomenclature(REUNION[-1:]))


@pytest.mark.parametrize("focus", [0.0, 2.0])
def test_the_loss_of_a_coarser_class_is_that_of_the_sum(focus):
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = torch.softmax(logits, 1)
    members = torch.tensor([[True, True, False, False]]).expand(5, 4)
    total = p[:, 0] + p[:, 1]
    torch.testing.assert_close(coarse_loss(logits, members, focus), -((1 - total) ** focus) * total.log())
    alone = torch.tensor([[False, False, True, False]]).expand(5, 4)
    torch.testing.assert_close(
        coarse_loss(logits, alone), functional.cross_entropy(logits, torch.full((5,), 2), reduction="none")
    )


@pytest.mark.parametrize(("coarse", "share"), [(2, 1.0), (4, 1.0), (16, 0.25)])
def test_a_batch_of_both_levels_has_the_weighted_mean_of_their_losses(coarse, share):
    """More samples of the coarser class than of the classes below it weigh as much as these."""
    label = np.array([0, 0, 0, 1, 2, 2, *[COARSER] * coarse])
    groups = np.array([[True, True, False]])
    loss = criterion_of(label, 3, Training(class_weights="balanced"), torch.device("cpu"), groups)
    logits = torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    target = torch.tensor([2, COARSER, 0])
    w = 6 / (3 * np.array([3, 1, 2]))
    p = torch.softmax(logits, 1).detach().numpy()
    mean = share * w[:2].mean()
    terms = (-w[2] * np.log(p[0, 2]) - mean * np.log(p[1, 0] + p[1, 1]) - w[0] * np.log(p[2, 0])) / (w[2] + mean + w[0])
    found = loss(logits, target)
    assert float(found.detach()) == pytest.approx(float(terms), rel=1e-5)
    found.backward()
    assert torch.isfinite(logits.grad).all()
    own = criterion_of(label[:6], 3, Training(class_weights="balanced"), torch.device("cpu"))
    torch.testing.assert_close(loss(logits, torch.tensor([2, 1, 0])), own(logits, torch.tensor([2, 1, 0])))


@pytest.mark.parametrize("unit", ["polygon", "block", "pixel"])
def test_coarser_polygons_train_and_are_never_tested(unit):
    generator = np.random.default_rng(2)
    polygon = np.repeat(np.arange(40), 5)
    label = np.where(polygon % 4 == 3, COARSER, polygon % 3)
    block = polygon // 4
    place = generator.random((200, 2)) * 1000
    units = Units(label, polygon, block, place)
    split = Split(train=0.5, unit=unit)
    for number in range(3):
        parts = draw(units, split, number)
        assert (label[parts.test] >= 0).all()
        assert (label[parts.validation] >= 0).all()
        assert (label[parts.train] < 0).any()
        group = units.group(split)
        assert not set(group[parts.train]) & set(group[parts.test]), "a coarser polygon in a test block does not train"
    if unit == "polygon":
        assert (label[parts.train] < 0).sum() == (label < 0).sum()
    folds = Units(label, polygon, block, place, fold=(block % 2).astype(np.int32))
    parts = draw(folds, Split(unit=unit) if unit != "pixel" else Split(), 1)
    assert not set(block[parts.train]) & set(block[block % 2 == 1])
    assert (label[parts.train] < 0).any()


def test_a_confusion_matrix_at_a_level_is_that_of_the_grouped_classes():
    legend, generator = nomenclature(REUNION), np.random.default_rng(3)
    reference, mapped = generator.integers(0, 6, (2, 500))
    score = Score((ConfusionMatrix.of(reference, mapped, legend.names),), ("overall_accuracy",), levels=legend.levels)
    level = legend.level(2)
    at = score.at(level)
    expected = ConfusionMatrix.of(level.group[reference], level.group[mapped], level.names)
    assert np.array_equal(at.matrix.counts, expected.counts)
    said = score.as_dict()["levels"]
    assert [one["level"] for one in said] == [1, 2]
    assert said[1]["overall_accuracy"]["mean"] == pytest.approx((level.group[reference] == level.group[mapped]).mean())
    untested = ConfusionMatrix.of(reference, mapped, legend.names, ("forest", "orchard")).grouped(
        legend.level(1).group, legend.level(1).names
    )
    assert untested.untested == ("trees",)


@pytest.mark.slow
def test_a_run_with_polygons_of_two_levels(done, capsys):
    score = json.loads((done / "out/score.json").read_text())
    assert score["confusion"]["classes"] == ["maize", "meadow", "water"]
    assert score["levels"][0]["confusion"]["classes"] == ["vegetation", "water"]
    assert score["levels"][0]["overall_accuracy"]["mean"] >= score["overall_accuracy"]["mean"]
    assert "Level 1: 2 classes" in (done / "out/report.html").read_text()
    samples = pd.read_parquet(done / "out/samples.parquet")
    assert (samples["class"][samples.code == 10] == "vegetation").all()
    assert (samples.code == 10).sum() > 0


@pytest.mark.slow
def test_the_certain_class_is_the_finest_one_that_is_probable_enough(done):
    with rasterio.open(done / "out/map/certain.tif") as certain, rasterio.open(done / "out/map/probabilities.tif") as p:
        found, probabilities = certain.read(1), p.read().astype(int)
        names = certain.tags(1)
        assert certain.colormap(1)[10][:3] == (0x30, 0xA0, 0x30)
    assert names["CLASS_10"] == "vegetation"
    sure = probabilities.max(0) > 81
    assert np.array_equal(found[sure], (probabilities.argmax(0) + 1)[sure])
    both = (probabilities.max(0) < 79) & (probabilities[0] + probabilities[1] > 82)
    assert (found[both] == 10).all()
    neither = (probabilities.max(0) < 79) & (probabilities[0] + probabilities[1] < 78)
    assert (found[neither & (probabilities[0] < 255)] == 0).all()
    assert (done / "out/map/certain.qml").exists()
    item = json.loads((done / "out/map/item.json").read_text())
    assert [c["value"] for c in item["assets"]["certain"]["classification:classes"]] == [1, 2, 3, 10]
    assert [c["value"] for c in item["assets"]["classes"]["classification:classes"]] == [1, 2, 3]


@pytest.mark.slow
def test_a_forest_says_that_it_cannot_use_coarser_polygons(tmp_path, capsys):
    path = written(coarsened(tiny_landscape(tmp_path / "land", polygons=6)), FOREST, **{FLAT: TREE})
    assert main(["train", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "pixels of coarser classes or sets of classes do not train 'random_forest'" in capsys.readouterr().err
    findings = check(path, tmp_path / "other").findings
    assert not [f for f in findings if f.severity == "error"]


@pytest.mark.slow
def test_coarser_polygons_are_no_test_of_a_model(done, tmp_path, capsys):
    recipe, model = done / "land/recipe.toml", done / "out/splits/0/model"
    assert main(["evaluate", "--model", str(model), str(recipe), "--out", str(tmp_path / "e")]) == 0
    assert "vegetation" in capsys.readouterr().err
    assert main(["plan", str(recipe), "--out", str(tmp_path / "p")]) == 0


@pytest.mark.slow
def test_a_model_of_a_coarser_level(tmp_path):
    land = coarsened(tiny_landscape(tmp_path / "land", polygons=6))
    path = written(land, FOREST, **{FLAT: TREE, "classes = [": "level = 1\nclasses = ["})
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    with rasterio.open(tmp_path / "out/map/classes.tif") as source:
        assert set(np.unique(source.read())) <= {0, 3, 10}
    rows = list(csv.DictReader((tmp_path / "out/map/areas.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["vegetation", "water"]
    assert Legend(read_recipe(path).legend.classes).names == ("vegetation", "water")


def test_polygons_of_a_coarser_class_are_shown_as_such(done):
    viewed = open_viewed(done / "out")
    found = [one["properties"] for one in polygons_of(viewed)["features"]]
    coarse = [one for one in found if one["class"] == "vegetation"]
    assert len(coarse) == (gpd.read_file(done / "land/reference.gpkg").code == 10).sum() > 0
    assert {one["color"] for one in coarse} == {"#30a030"}
    k = int(np.flatnonzero(viewed.samples.label == COARSER)[0])
    pixel = Pixel(viewed, int(viewed.samples.row[k]), int(viewed.samples.column[k]))
    assert pixel.described()["reference"]["name"] == "vegetation"


def test_the_qgis_project_has_the_classes_of_all_levels(done):
    with zipfile.ZipFile(done / "out/qgis/project.qgz") as archive:
        project = ElementTree.fromstring(archive.read("project.qgs"))
    entries = {
        layer.findtext("layername"): {one.get("value"): one.get("label") for one in layer.iter("paletteEntry")}
        for layer in project.iter("maplayer")
    }
    assert entries["land cover"]["2"] == "vegetation > meadow"
    assert entries["land cover, most detailed certain class"]["10"] == "vegetation"
    values = {one.get("value") for one in project.iter("category")}
    assert "vegetation" in values
