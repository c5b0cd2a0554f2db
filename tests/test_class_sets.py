"""Polygons labelled with a set of classes: labels, errors, loss, and a run."""

from dataclasses import replace
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import torch

from bocage.cli import main
from bocage.errors import LegendError, RecipeError
from bocage.legend import COARSER, ClassSet, LandClass, nomenclature
from bocage.recipe import read_recipe
from bocage.testing import tiny_landscape
from bocage.training import Training
from bocage.training.losses import criterion_of
from bocage.view import open_viewed
from bocage.view.places import UNKNOWN, polygons_of
from conftest import GRU, written

CLASSES = [
    LandClass(1, "crops"),
    LandClass(11, "maize", parent="crops"),
    LandClass(12, "sorghum", parent="crops"),
    LandClass(2, "meadow"),
    LandClass(3, "water"),
]
BEFORE = 'classes = [\n  { code = 1, name = "maize"'


def test_a_set_has_a_label_below_those_of_the_coarser_classes():
    sets = (ClassSet(("maize", "meadow")), ClassSet(("crops", "water"), values=("unclear", 99)))
    legend = nomenclature(CLASSES).with_sets(sets)
    assert legend.names == ("maize", "sorghum", "meadow", "water")
    assert [legend.index_of(value) for value in (1, "maize or meadow", "unclear", 99.0)] == [-2, -3, -4, -4]
    assert [legend.labelled(label).name for label in (0, -2, -3, -4)] == [
        "maize", "crops", "maize or meadow", "crops or water",
    ]  # fmt: skip
    assert legend.groups.astype(int).tolist() == [[1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 0, 1]]
    less = legend.without(["meadow"])
    assert less.below(-3).tolist() == [True, False, False], "a dropped class leaves the set"
    assert less.index_of("unclear") == -4


def test_a_level_has_the_sets_of_its_classes():
    classes = [
        LandClass(5, "land"),
        LandClass(1, "crops", parent="land"),
        *(replace(c, parent=c.parent or "land") for c in CLASSES[1:4]),
        CLASSES[4],
    ]
    sets = (
        ClassSet(("maize", "sorghum")),
        ClassSet((" sorghum", "meadow"), values=("mixed",)),
        ClassSet(("maize", "meadow")),
        ClassSet(("crops", "water"), values=("unclear", 99)),
    )
    whole = nomenclature(classes).with_sets(sets)
    second = whole.at_level(2)
    assert second.names == ("crops", "meadow", "water")
    assert [second.index_of(value) for value in ("maize or sorghum", 11, "mixed", "maize or meadow", "unclear", 99)] == [
        0, 0, -3, -3, -4, -4,
    ]  # fmt: skip
    assert second.groups.astype(int).tolist() == [[1, 1, 0], [1, 1, 0], [1, 0, 1]]
    first = whole.at_level(1)
    assert first.names == ("land", "water")
    assert [first.index_of(v) for v in ("maize or sorghum", "mixed", "maize or meadow", "unclear")] == [0, 0, 0, -2]
    assert first.groups.tolist() == [[True, True]]
    third = whole.at_level(3)
    assert [one.classes for one in third.sets] == [
        ("maize", "sorghum"), ("sorghum", "meadow"), ("maize", "meadow"), ("crops", "water"),
    ]  # fmt: skip
    values = (1, 11, "maize or sorghum", "mixed", "maize or meadow", 99)
    assert [third.index_of(value) for value in values] == [whole.index_of(value) for value in values]


@pytest.mark.parametrize("classes", [(), ("maize",), ("maize", " maize ")])
def test_a_set_needs_two_classes(classes):
    with pytest.raises(ValueError, match="needs two or more different classes"):
        ClassSet(classes)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (
            ClassSet(("maize", "rye")),
            "the class 'rye', which is not in the legend. Classes: maize, sorghum, meadow, water, crops",
        ),
        (ClassSet(("maize", "meadow"), values=(3,)), "assigns the reference value 3 to more than one class or set"),
    ],
)
def test_a_set_of_the_legend_is_checked(one, message):
    with pytest.raises(LegendError, match=message):
        nomenclature(CLASSES).with_sets([one])


def test_a_set_with_one_class_of_the_map_is_refused():
    classes = [LandClass(1, "crops"), LandClass(11, "maize", parent="crops"), LandClass(2, "water")]
    with pytest.raises(LegendError, match="'crops or maize' has only one class of the map"):
        nomenclature(classes).with_sets([ClassSet(("crops", "maize"))])


def test_the_loss_of_a_set_is_that_of_the_sum_of_its_probabilities():
    legend = nomenclature(CLASSES).with_sets([ClassSet(("maize", "meadow")), ClassSet(("meadow", "water"))])
    label = np.array([0, 1, 2, 3, COARSER - 1, COARSER - 2])
    loss = criterion_of(label, 4, Training(), torch.device("cpu"), legend.groups)
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    p = torch.softmax(logits, 1).detach().numpy()
    found = loss(logits, torch.tensor([COARSER - 1, COARSER - 2]))
    expected = -0.5 * (np.log(p[0, 0] + p[0, 2]) + np.log(p[1, 2] + p[1, 3]))
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert (logits.grad[0, [0, 2]] < 0).all(), "the probabilities of both classes of the set rise"
    assert (logits.grad[0, [1, 3]] > 0).all()


def ambiguous(folder: Path) -> Path:
    """Return the recipe of a landscape in which every second polygon of maize and meadow has the value 50."""
    land = tiny_landscape(folder / "land", polygons=6)
    polygons = gpd.read_file(land / "reference.gpkg")
    polygons.loc[(polygons.code < 3) & (np.arange(len(polygons)) % 2 == 0), "code"] = 50
    polygons.to_file(land / "reference.gpkg", engine="pyogrio")
    sets = 'sets = [{ classes = ["maize", "meadow"], values = [50] }]\n'
    return written(land, GRU, **{BEFORE: sets + BEFORE})


def test_an_unknown_class_in_a_recipe_is_one_line(tmp_path):
    path = ambiguous(tmp_path)
    path.write_text(path.read_text().replace('["maize", "meadow"]', '["maize", "rye"]'))
    with pytest.raises(RecipeError, match="legend: The set 'maize or rye' has the class 'rye'"):
        read_recipe(path)


def test_a_recipe_has_sets_of_classes_below_its_level(tmp_path):
    path = ambiguous(tmp_path)
    text = path.read_text().replace('name = "meadow"', 'name = "meadow", parent = "grass"')
    text = text.replace('name = "maize"', 'name = "maize", parent = "grass"')
    path.write_text(text.replace("\nclasses = [", '\nlevel = 1\nclasses = [\n  { code = 9, name = "grass" },'))
    legend = read_recipe(path).legend
    assert legend.names == ("grass", "water")
    assert not legend.sets
    assert legend.index_of(50) == 0, "the value of the set"


@pytest.mark.slow
def test_polygons_of_a_set_train_and_are_never_tested(tmp_path):
    path = ambiguous(tmp_path)
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    samples = pd.read_parquet(tmp_path / "out/samples.parquet")
    sets = samples["class"] == "maize or meadow"
    assert sets.any()
    assert (samples.code[sets] == 0).all()
    viewed = open_viewed(tmp_path / "out")
    features = [one["properties"] for one in polygons_of(viewed)["features"]]
    of_set = [one for one in features if one["class"] == "maize or meadow"]
    assert of_set
    assert {one["part"] for one in of_set} == {"train"}
    assert {one["tested"] for one in of_set} == {0}
    assert {one["color"] for one in of_set} == {UNKNOWN}
