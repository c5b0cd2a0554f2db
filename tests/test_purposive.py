"""Purposive polygons: they train in every draw and are in no test, no validation part and no estimate of areas."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocage.errors import SamplesError
from bocage.jobs.check import check
from bocage.legend import LandClass, Legend
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.samples import Pixels, Reference, Split, drop_rare, labelled, without_purposive
from bocage.samples.purposive import purposive_of
from bocage.samples.rare import Counted
from bocage.samples.reference import column_of
from bocage.samples.split import Units, draw

LEGEND = Legend((LandClass(1, "a"), LandClass(2, "b")))
POLYGON = np.arange(80) // 4
LABEL = (POLYGON % 2).astype(np.int16)
PURPOSIVE = POLYGON >= 14
"""Six of twenty polygons."""
MORE = {'label = "code"': 'label = "code"\npurposive = "scouted"'}


def units(split, seed, fold=None):
    place = np.random.default_rng(seed).uniform(0, 3000, (20, 2))[POLYGON]
    block = np.unique(np.floor(place / split.block).astype(int), axis=0, return_inverse=True)[1].ravel()
    return Units(LABEL, POLYGON, block, place, fold, purposive=PURPOSIVE)


@given(st.sampled_from(["polygon", "block", "pixel"]), st.sampled_from(["draws", "fold", "none"]), st.integers(0, 999))
def test_purposive_polygons_are_in_no_test_and_no_validation_part(unit, how, seed):
    if unit == "pixel" and how == "fold":
        return
    settings = {"fold": "year"} if how == "fold" else {"train": 1, "draws": 1} if how == "none" else {}
    split = Split(**{"train": 0.5, "draws": 3, "seed": seed, "unit": unit, "block": 700, **settings})
    fold = POLYGON % 3 if how == "fold" else None
    there = units(split, seed, fold)
    found = draw(there, split, 0)
    assert not PURPOSIVE[np.concatenate([found.test, found.validation])].any()
    assert PURPOSIVE[found.train].any() or unit == "block"
    assert sum(map(len, found.parts.values())) + found.left_out == len(LABEL), "every pixel is in a part, or counted"
    group = there.group(split)
    assert not set(group[found.train]) & set(group[np.concatenate([found.test, found.validation])])
    if unit == "polygon" and how != "fold":
        assert set(np.flatnonzero(PURPOSIVE)) <= set(found.train), "they train in every draw"
    if fold is not None:
        assert not set(found.train) & set(np.flatnonzero(fold == 0)), "a tested region trains nothing"


@given(st.sampled_from(["draws", "fold", "none"]), st.booleans(), st.integers(0, 999))
def test_with_blocks_those_beside_the_validation_part_train_if_it_trains(how, coarser, seed):
    settings = {"fold": "year"} if how == "fold" else {"train": 1, "draws": 1} if how == "none" else {}
    split = Split(**{"train": 0.5, "draws": 3, "seed": seed, "unit": "block", "block": 700, **settings})
    there = units(split, seed, POLYGON % 3 if how == "fold" else None)
    if coarser:
        there = replace(there, label=np.where(PURPOSIVE, -1, LABEL), purposive=None)
    found, group = draw(there, split, 0), there.group(split)
    held = PURPOSIVE & np.isin(group, group[found.validation]) & ~np.isin(group, group[found.test])
    held &= POLYGON % 3 != 0 if how == "fold" else True
    assert set(found.beside) == set(np.flatnonzero(held))
    whole = found.whole
    assert set(whole.train) == {*found.train, *found.validation, *found.beside}
    assert not len(whole.validation)
    assert len(whole.train) + len(whole.test) + whole.left_out == len(LABEL)
    assert not set(group[whole.train]) & set(group[whole.test])


def test_the_other_polygons_are_drawn_as_without_purposive_ones():
    split, rest = Split(train=0.5, draws=2), np.flatnonzero(~PURPOSIVE)
    everything = draw(units(split, 1), split, 1)
    alone = draw(units(split, 1).take(rest), split, 1)
    assert set(everything.test) == set(rest[alone.test])
    assert set(everything.validation) == set(rest[alone.validation])


def test_purposive_polygons_do_not_count_for_the_test_of_a_class():
    pixels = Pixels(POLYGON, POLYGON, LABEL, POLYGON)
    alone = (POLYGON % 2 == 1) & (POLYGON > 4)  # two polygons of b can be tested
    with pytest.raises(SamplesError, match=r"'b' \(2\).*Purposive polygons do not count"):
        drop_rare(Counted(pixels, purposive=alone), LEGEND, Split())
    with pytest.raises(SamplesError, match="Fewer than two classes"):
        drop_rare(Counted(pixels, purposive=alone), LEGEND, Split(rare="train"))
    assert drop_rare(Counted(pixels, purposive=alone), LEGEND, Split(train=1, draws=1))[0].all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([True, False, None], [True, False, False]),
        ([1, 0, 1], [True, False, True]),
        (["true", "No", ""], [True, False, False]),
        ([1.0, float("nan"), 0.0], [True, False, False]),
    ],
)
def test_values_of_the_field(values, expected):
    table = pd.DataFrame({"polygon": [0, 1, 2], column_of("scouted"): values})
    assert purposive_of(table, Reference("x.gpkg", "code", purposive="scouted")).tolist() == expected


def test_another_value_is_refused_and_a_polygon_is_purposive_as_a_whole():
    reference = Reference("x.gpkg", "code", purposive="scouted")
    table = pd.DataFrame({"polygon": [0, 0, 1], column_of("scouted"): [False, True, "maize"]})
    with pytest.raises(SamplesError, match="x.gpkg: the field 'scouted' has 1 value neither true nor false"):
        purposive_of(table, reference)
    assert purposive_of(table[:2], reference).tolist() == [True]


def scouted(landscape, more=None):
    """Mark one polygon of each class as purposive."""
    table = gpd.read_file(landscape / "reference.gpkg")
    first = ~table.code.duplicated()
    table.assign(scouted=first, **(more or {})).to_file(landscape / "reference.gpkg")
    return np.flatnonzero(first)


@pytest.mark.slow
def test_the_recipe_names_the_field(recipe, landscape, tmp_path):
    purposive = scouted(landscape)
    path = recipe(**MORE)
    opened = open_run(read_recipe(path), tmp_path / "out", stages=())
    samples = opened.samples
    assert set(samples.polygon[samples.purposive]) == set(purposive)
    for number in range(samples.draws):
        parts = {name: set(samples.polygon[members]) for name, members in samples.draw(number).parts.items()}
        assert set(purposive) <= parts["train"]
        assert not set(purposive) & (parts["test"] | parts["validation"])
    said = "3 polygons (field 'scouted') are a purposive sample"
    assert any(said in str(note) for note in samples.notes)
    assert any(said in str(finding.what) for finding in check(path, tmp_path / "checked").findings)
    assert pd.read_parquet(opened.layout.samples).purposive.sum() == samples.purposive.sum()


def test_a_model_of_elsewhere_is_not_tested_on_them(recipe, landscape, tmp_path):
    scouted(landscape)
    parsed = read_recipe(recipe(**MORE))
    opened = open_run(parsed, tmp_path / "out", stages=())
    found = without_purposive(labelled(opened.scene, parsed.survey), parsed.legend)
    assert found.trains_only is None or not found.trains_only.any()
    assert [(r.reason, r.polygons) for r in found.rejections] == [("purposive", 1)] * 3
    assert not set(found.pixels.polygon) & set(np.unique(opened.samples.polygon[opened.samples.purposive]))


def test_folds_leave_them_in_training(recipe, landscape, tmp_path):
    purposive = scouted(landscape)
    path = recipe(**MORE, **{"train = 0.5\ndraws = 2": "folds = 2"})
    samples = open_run(read_recipe(path), tmp_path / "out", stages=()).samples
    tested = set()
    for number in range(2):
        parts = samples.draw(number)
        assert set(purposive) <= set(samples.polygon[parts.train])
        tested |= set(samples.polygon[parts.test])
    assert tested == set(range(15)) - set(purposive)


def test_a_purposive_polygon_in_the_fixed_test_part_is_refused(recipe, landscape, tmp_path):
    scouted(landscape, {"part": ["test" if k % 5 < 2 else "train" for k in range(15)]})
    path = recipe(**MORE, **{"train = 0.5\ndraws = 2": 'field = "part"\ntrain = ["train"]\ntest = ["test"]'})
    with pytest.raises(SamplesError, match="3 purposive polygons .*never tested"):
        open_run(read_recipe(path), tmp_path / "out", stages=())


def test_they_need_no_inclusion_weight_and_do_not_change_those_of_others(recipe, landscape, tmp_path):
    purposive = scouted(landscape, {"w": [np.nan if k % 5 == 0 else 2.0 for k in range(15)]})
    path = recipe(**{'label = "code"': 'label = "code"\npurposive = "scouted"\nweight = "w"'})
    samples = open_run(read_recipe(path), tmp_path / "out", stages=()).samples
    test = samples.draw(0).test
    weight = samples.test_weight(test)
    assert not np.isin(samples.polygon[test], purposive).any()
    assert weight == pytest.approx(np.full(len(test), 2.0 * 4 / 2)), (
        "two of the four other polygons of a class are tested"
    )
