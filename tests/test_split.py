"""The split: rare classes that train only, no test part, a fixed test part, sites, blocks."""

import itertools

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bocage.errors import RecipeError, SamplesError
from bocage.evaluation import Evaluation, predictions_of
from bocage.jobs.check import check
from bocage.layout import RunLayout
from bocage.legend import LandClass, Legend
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.run.stages import score_of_draw, score_of_draws
from bocage.samples import Draw, Labelled, Reference, Samples, Split
from bocage.samples.blocks import choose_blocks
from bocage.samples.fixed import fixed_parts
from bocage.samples.make import assembled
from bocage.samples.rare import Counted, drop_rare, reserved_classes
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import column_of
from bocage.samples.split import Units, deal, draw
from conftest import Told

LEGEND = Legend((LandClass(1, "a"), LandClass(2, "b"), LandClass(3, "c")))
COUNTS = (12, 9, 2)
"""Polygons of each class; the last class is rare."""
LABEL = np.repeat([0, 1, 2], [4 * n for n in COUNTS])
POLYGON = np.arange(4 * sum(COUNTS)) // 4
PIXELS = Pixels(POLYGON, POLYGON, LABEL.astype(np.int16), POLYGON)


def units(split: Split, seed: int = 0, fold: np.ndarray | None = None, tested: np.ndarray | None = None) -> Units:
    place = np.random.default_rng(seed).uniform(0, 4000, (sum(COUNTS), 2))[POLYGON]
    block = np.unique(np.floor(place / split.block).astype(int), axis=0, return_inverse=True)[1].ravel()
    return Units(LABEL, POLYGON, block, place, fold, reserved_classes(Counted(PIXELS, tested), split))


def parts_of(found: Draw) -> list[set[int]]:
    return [set(POLYGON[members].tolist()) for members in found.parts.values()]


@given(
    st.sampled_from(["polygon", "block"]), st.sampled_from(["draws", "folds", "field"]), st.integers(0, 5), st.integers(0, 999)
)  # fmt: skip
def test_all_polygons_of_a_rare_class_train_in_every_draw(unit: str, how: str, number: int, seed: int) -> None:
    settings = {"folds": 3} if how == "folds" else {"fold": "year"} if how == "field" else {}
    split = Split(0.4, 6, 0.3, seed, unit=unit, block=500, rare="train", **settings)
    there = units(split, seed)
    fold = deal(LABEL, there.group(split), split) if how == "folds" else None
    fold = POLYGON % 3 if how == "field" else fold
    found = draw(units(split, seed, fold), split, number % 3 if settings else number)
    train, validation, test = parts_of(found)
    assert there.reserved == (2,)
    assert set(POLYGON[LABEL == 2]) <= train
    assert not (validation | test) & set(POLYGON[LABEL == 2])
    assert test
    assert sum(map(len, found.parts.values())) + found.left_out == len(LABEL)
    groups = [set(there.group(split)[members].tolist()) for members in found.parts.values()]
    assert not groups[2] & (groups[0] | groups[1]), "a block with a rare class trains as a whole"


def test_a_draw_without_rare_classes_is_the_same_with_every_action() -> None:
    common = LABEL < 2
    there = Units(LABEL[common], POLYGON[common], POLYGON[common], None)
    first, second = (draw(there, Split(rare=rare), 3) for rare in ("stop", "train"))
    assert all(np.array_equal(first.parts[name], second.parts[name]) for name in first.parts)


def test_rare_classes_stop_are_dropped_or_stay() -> None:
    with pytest.raises(SamplesError, match=r"each class needs 3\): 'c' \(2\).*rare = \"drop\", or \"train\" to map it"):
        drop_rare(Counted(PIXELS), LEGEND, Split())
    kept, legend, dropped = drop_rare(Counted(PIXELS), LEGEND, Split(rare="drop"))
    assert (legend.names, kept.sum(), dropped[0].polygons) == (("a", "b"), 84, 2)
    kept, legend, dropped = drop_rare(Counted(PIXELS), LEGEND, Split(rare="train"))
    assert (legend.names, kept.all(), dropped) == (("a", "b", "c"), True, [])
    with pytest.raises(SamplesError, match="No training polygon of: 'd'"):
        drop_rare(Counted(PIXELS), Legend((*LEGEND.classes, LandClass(4, "d"))), Split(rare="train"))
    only = PIXELS.take(np.flatnonzero(LABEL > 0))
    with pytest.raises(SamplesError, match=r"Fewer than two classes have 3 usable polygons.*train = 1 and draws = 1"):
        drop_rare(
            Counted(Pixels(only.row, only.column, only.label - 1, only.polygon)),
            LEGEND.without(["a"]),
            Split(rare="train"),
        )


def test_three_labels_of_one_field_are_one_unit() -> None:
    counts, label = (4, 4, 3), np.repeat([0, 1, 2], [4, 4, 3]).astype(np.int16)
    polygon = np.arange(sum(counts), dtype=np.int32)
    ground = np.minimum(polygon, 8)  # the three of c are at one place
    counted = Counted(Pixels(polygon, polygon, label, polygon), ground=ground)
    with pytest.raises(SamplesError, match=r"each class needs 3\): 'c' \(3 at 1 place\).*at one place count once"):
        drop_rare(counted, LEGEND, Split())
    kept, legend, dropped = drop_rare(counted, LEGEND, Split(rare="drop"))
    assert (legend.names, kept.sum()) == (("a", "b"), 8)
    assert [(r.reason, r.polygons, "fewer than 3 places" in r.text()) for r in dropped] == [("one_place", 3, True)]
    assert reserved_classes(counted, Split(rare="train")) == (2,)
    assert drop_rare(counted, LEGEND, Split(train=1, draws=1))[0].all(), "without a test part, one place is enough"
    assert drop_rare(counted, LEGEND, Split(unit="pixel"))[0].all(), "single pixels are drawn at all places"
    apart = Counted(counted.pixels, ground=polygon)
    assert drop_rare(apart, LEGEND, Split())[0].all()
    with pytest.raises(SamplesError, match="Fewer than two classes have 3 usable polygons at different places"):
        drop_rare(counted.take(np.flatnonzero(label != 1)), LEGEND, Split(rare="drop"))


def test_a_place_with_a_test_polygon_does_not_train() -> None:
    label = np.repeat([0, 1, 2], [3, 3, 2]).astype(np.int16)
    polygon = np.arange(8, dtype=np.int32)
    tested = np.isin(polygon, [0, 3, 6])
    pixels = Pixels(polygon, polygon, label, polygon)
    assert drop_rare(Counted(pixels, tested), LEGEND, Split(**FIXED))[0].all()
    counted = Counted(pixels, tested, ground=np.minimum(polygon, 6))
    with pytest.raises(SamplesError, match=r"'c' \(0 and 1\).*at one place count once"):
        drop_rare(counted, LEGEND, Split(**FIXED))


@pytest.mark.parametrize("rare", ["stop", "train"])
def test_without_a_test_part_everything_trains_or_validates(rare: str) -> None:
    split = Split(train=1.0, draws=1, rare=rare)
    assert drop_rare(Counted(PIXELS), LEGEND, split)[0].all(), "one polygon of a class is enough"
    found = draw(units(split), split, 0)
    train, validation, test = parts_of(found)
    assert not test
    assert len(train) + len(validation) == sum(COUNTS)
    rare_ones = set(POLYGON[LABEL == 2])
    assert len(validation & rare_ones) == (1 if rare == "stop" else 0)
    assert 3 <= len(validation) <= 6
    with pytest.raises(SamplesError, match=r"Too few polygons for training \(each class needs 1\): 'd' \(0\)"):
        drop_rare(Counted(PIXELS), Legend((*LEGEND.classes, LandClass(4, "d"))), Split(train=1.0, draws=1))


TABLE = gpd.GeoDataFrame(
    {
        "label": [0, 0, 0, 1, 1, 1, 0],
        "polygon": np.arange(7),
        "polygon_name": list("pqrstuv"),
        column_of("part"): ["train", " train", "test", "train", "test", "train", "else"],
    }
)
FIXED = {"field": "part", "train": ("train",), "test": ("test",)}


def fixed(split: Split | None = None, **columns: object):
    return fixed_parts(TABLE.assign(**columns), Reference("r.gpkg", "code", "id"), split or Split(**FIXED), LEGEND)


def test_a_field_fixes_the_parts_and_the_rest_is_counted() -> None:
    found = fixed()
    assert found.tested.to_dict() == {0: False, 1: False, 2: True, 3: False, 4: True, 5: False}
    assert [(r.reason, r.label, r.polygons) for r in found.rejections] == [("other_part", "a", 1)]
    assert str(found.notes[0]).startswith("1 feature is not used: in the field 'part'")
    assert "(else)" in found.notes[0].text("fr")
    codes = fixed(Split(field="part", train=(1, 2), test=(3,)), **{column_of("part"): [1, 2, 3, 1.0, 3, 1, np.nan]})
    assert codes.tested.tolist() == [False, False, True, False, True, False], "codes of any type, as everywhere"
    assert str(codes.notes[0]).endswith("(–).")


def test_a_value_found_nowhere_and_a_shared_polygon_are_refused() -> None:
    with pytest.raises(
        SamplesError, match=r"has the value 'tset' in the field 'part'\. Did you mean 'test'.*else, test, train"
    ):
        fixed(Split(field="part", train=("train",), test=("tset",)))
    with pytest.raises(SamplesError, match=r"2 polygon\(s\) have features in both parts: x, y \(field 'id'\)"):
        fixed(polygon=[0, 1, 0, 3, 3, 5, 6], polygon_name=["x", "q", "x", "y", "y", "u", "v"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"train": 1.0}, "set 'draws' = 1"),
        ({"train": 0.0}, "'train' must be above 0 and at most 1"),
        ({"train": ("a",), "test": ("b",)}, "need 'field'"),
        ({"test": ("b",)}, "need 'field'"),
        ({"field": "part"}, "'train' must be a list"),
        ({"field": "part", "train": ("a",)}, "'test' must be a list"),
        ({"field": "part", "train": (), "test": ("b",)}, "'train' must be a list"),
        ({"field": "part", "train": ("a",), "test": (" ",)}, "'test' must be a list"),
        ({"field": "part", "train": ("a", 1), "test": ("1",)}, "'1' is in 'train' and in 'test'"),
        ({**FIXED, "fold": "year"}, "cannot be combined"),
        ({**FIXED, "folds": 3}, "cannot be combined"),
        ({**FIXED, "unit": "pixel"}, "cannot be combined"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Split(**settings)


def test_with_a_fixed_test_part_a_class_needs_a_polygon_in_each_part() -> None:
    tested = np.isin(POLYGON, [0, 1, 2, 12, 13])  # three of a, two of b, none of c
    with pytest.raises(SamplesError, match=r"a test polygon in the field 'part': 'c' \(2 and 0\)"):
        drop_rare(Counted(PIXELS, tested), LEGEND, Split(**FIXED))
    assert [r.reason for r in drop_rare(Counted(PIXELS, tested), LEGEND, Split(**FIXED, rare="drop"))[2]] == [
        "one_part"
    ]
    split = Split(**FIXED, rare="train")
    assert drop_rare(Counted(PIXELS, tested), LEGEND, split)[0].all()
    found = draw(units(split, fold=np.where(tested, 0, -1), tested=tested), split, 0)
    train, validation, test = parts_of(found)
    assert test == {0, 1, 2, 12, 13}
    assert set(POLYGON[LABEL == 2]) <= train
    assert train | validation == set(range(sum(COUNTS))) - test


def with_parts(landscape, values) -> None:
    table = gpd.read_file(landscape / "reference.gpkg")
    table["part"] = [values(k) for k in range(len(table))]
    table.to_file(landscape / "reference.gpkg", engine="pyogrio")


PARTS = 'field = "part"\ntrain = ["train"]\ntest = ["test"]'


def test_the_recipe_fixes_the_parts(recipe, landscape, tmp_path) -> None:
    with_parts(landscape, lambda k: ("train", "train", "test", "train", "spare")[k % 5])
    path = recipe(**{"train = 0.5\ndraws = 2": PARTS})
    assert read_recipe(path).split.known_draws == 1
    run = open_run(read_recipe(path), tmp_path / "run", told := Told())
    found = run.samples.draw(0)
    assert (run.samples.draws, run.samples.folds) == (1, ())
    assert set(run.samples.polygon[found.test]) == {2, 7, 12}
    assert {int(p) % 5 for p in run.samples.polygon} == {0, 1, 2, 3}
    assert len(found.validation)
    assert any("3 features are not used" in line for line in told.words)
    assert not [f for f in check(path, tmp_path / "run").findings if f.severity == "error"]
    other = read_recipe(recipe(**{"train = 0.5\ndraws = 2": PARTS.replace('["train"]', '["train", "spare"]')}))
    again = open_run(other, tmp_path / "run", overwrite=True)
    assert len(np.unique(again.samples.polygon)) == 15, "other polygons are cut again"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"part"', '"prat"', r"has no field 'prat'\. Did you mean 'part'"),
        ('["test"]', '["tests"]', "no usable feature has the value 'tests'"),
    ],
)
def test_check_finds_what_a_run_would_refuse(recipe, landscape, tmp_path, old, new, said) -> None:
    with_parts(landscape, lambda k: "test" if k % 5 == 2 else "train")
    path = recipe(**{"train = 0.5\ndraws = 2": PARTS.replace(old, new)})
    with pytest.raises(SamplesError, match=said):
        open_run(read_recipe(path), tmp_path / "run")
    found = [str(f.what) for f in check(path, tmp_path / "other").findings if f.severity == "error"]
    assert len(found) == 1
    assert new.strip('[]"') in found[0]


def test_check_counts_the_polygons_of_each_part(recipe, landscape, tmp_path) -> None:
    with_parts(landscape, lambda k: "test" if k < 10 and k % 5 == 2 else "train")
    for rare, severity in (("stop", "error"), ("train", "warning")):
        path = recipe(**{"train = 0.5\ndraws = 2": f'{PARTS}\nrare = "{rare}"'})
        found = {
            str(f.what): f.severity
            for f in check(path, tmp_path / "run").findings
            if "needs one of each" in str(f.what)
        }
        assert found == {
            "5 training polygons and 0 test polygons in the parts that the field fixes; a class needs one of each": severity
        }


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("train = 1.0\ndraws = 2", "split: 'train' = 1 uses all polygons for training"),
        ('train = ["train"]\ndraws = 1', "split: lists of values for 'train' and 'test' need 'field'"),
        ('train = "all"', "split.train: "),
        ('field = "part"\ntrain = ["a"]\ntest = "b"', "split.test: "),
    ],
)
def test_the_recipe_names_the_setting(recipe, split, said) -> None:
    with pytest.raises(RecipeError) as caught:
        read_recipe(recipe(**{"train = 0.5\ndraws = 2": split}))
    assert said in str(caught.value)


def test_check_says_that_nothing_will_be_tested(recipe, tmp_path) -> None:
    found = check(recipe(**{"train = 0.5\ndraws = 2": "train = 1.0\ndraws = 1"}), tmp_path / "run").findings
    said = [f for f in found if f.where == "split"]
    assert [(f.severity, f.what.code) for f in said] == [("warning", "no_test_part")]
    assert not [f for f in found if f.severity == "error"]


@pytest.mark.parametrize("name", ["label", "polygon", "found", "row"])
def test_a_field_of_the_reference_may_have_any_name(recipe, landscape, tmp_path, name) -> None:
    """Also the names of our own columns."""
    with_parts(landscape, lambda k: "test" if k % 5 == 2 else "train")
    table = gpd.read_file(landscape / "reference.gpkg")
    table.rename(columns={"part": name}).to_file(landscape / "reference.gpkg", engine="pyogrio")
    for split in (PARTS.replace('"part"', f'"{name}"'), f'fold = "{name}"'):
        run = open_run(read_recipe(recipe(**{"train = 0.5\ndraws = 2": split})), tmp_path / "run", overwrite=True)
        assert set(run.samples.polygon[run.samples.draw(0).test]) == {2, 7, 12}


def test_a_dropped_class_does_not_disturb_folds_of_a_field(recipe, landscape, tmp_path) -> None:
    with_parts(landscape, lambda k: str(k % 2))
    table = gpd.read_file(landscape / "reference.gpkg").iloc[:12]
    table.to_file(landscape / "reference.gpkg", engine="pyogrio")
    path = recipe(**{"train = 0.5\ndraws = 2": 'fold = "part"\nrare = "drop"'})
    assert not [str(f.what) for f in check(path, tmp_path / "run").findings if f.severity == "error"]


def assembled_of(label: np.ndarray, split: Split, folds: list[str] | None = None, purposive=()) -> Samples:
    """Polygons of one pixel, 100 m apart; `purposive` are numbers of some of them."""
    number = np.arange(len(label), dtype=np.int32)
    found = Labelled(
        Pixels(number, number, label.astype(np.int16), number), (), (), pd.Series(folds or [], dtype=str),
        np.stack([number, number], 1) * 100.0, purposive=pd.Series(np.isin(number, purposive)),
    )  # fmt: skip
    return assembled(LEGEND, split, found, {})


def test_a_fold_of_purposive_polygons_only_is_no_fold() -> None:
    folds = ["2022"] * 6 + ["2023"] * 6 + ["2024"] * 2
    samples = assembled_of(np.arange(14) % 2, Split(fold="year"), folds, [0, 12, 13])
    assert samples.folds == ("2022", "2023")
    assert [str(note) for note in samples.notes] == [
        "Values of the field 'year' without a polygon that can be tested: 2024. They are no folds, and their polygons train in "
        "every draw."
    ]
    samples.check_draws()
    for k in range(samples.draws):
        train = set(samples.draw(k).train)
        assert {12, 13} <= train
        assert (0 in train) == (k == 1), "the polygons of a fold do not train while it is tested"
    with pytest.raises(SamplesError, match="All samples that can be tested are in the fold '2022'"):
        assembled_of(np.arange(8) % 2, Split(fold="year"), ["2022"] * 6 + ["2023"] * 2, [6, 7])


@pytest.mark.parametrize(
    ("split", "share"),
    [(Split(draws=2), 0.6), (Split(folds=5), 0.2), (Split(fold="year"), 1 / 3), (Split(train=1, draws=1), 0.0)],
)
def test_the_stated_test_share_is_the_drawn_one(split: Split, share: float, tmp_path) -> None:
    """Of five polygons of a class, two train and three test, whatever the share says."""
    folds = ["a"] * 4 + ["b"] * 2 + ["c"] * 4
    samples = assembled_of(np.arange(10) % 2, split, folds if split.fold else None)
    layout = RunLayout(tmp_path)
    for k in range(samples.draws):
        test = samples.draw(k).test
        pixels, right = samples.pixels(test), np.eye(len(samples.legend.names), dtype=np.float32)[samples.label[test]]
        made = predictions_of(pixels.row, pixels.column, pixels.polygon, pixels.label, right, 1.0)
        layout.split(k).path.mkdir(parents=True)
        score = score_of_draw(samples, k, made, ("overall_accuracy",))
        assert score.design["test_share"] == len(test) / 10
        score.save(layout.split(k).score)
    pooled = score_of_draws(layout, samples, Evaluation(metrics=("overall_accuracy",))).design
    assert pooled["test_share"] == pytest.approx(share, abs=1e-4)
    assert "fold" not in pooled
    assert pooled["folds"] == (list(samples.folds) or None)


def test_a_fold_of_a_rare_class_only_is_no_fold() -> None:
    label = np.array([0, 1] * 6 + [2, 2])
    samples = assembled_of(label, Split(fold="year", rare="train"), ["2022"] * 6 + ["2023"] * 6 + ["2024"] * 2)
    assert samples.folds == ("2022", "2023")


@pytest.mark.parametrize("seed", range(30))
def test_no_fold_is_empty_if_there_are_enough_polygons(seed: int) -> None:
    purposive, rare = [0, 1, 2], [13, 14]
    label = np.array([0, 1] * 6 + [0, 2, 2])
    samples = assembled_of(label, Split(folds=10, seed=seed, rare="train"), purposive=purposive)
    samples.check_draws()
    sizes = [len(samples.draw(k).test) for k in range(10)]
    assert set(purposive) <= set(samples.draw(seed % 10).train)
    assert (min(sizes), sum(sizes)) == (1, len(label) - len(purposive) - len(rare))
    with pytest.raises(SamplesError, match="fewer polygons that can be tested than folds. Reduce .split. folds"):
        assembled_of(label, Split(folds=11, seed=seed, rare="train"), purposive=purposive).check_draws()


def test_folds_that_are_not_empty_are_dealt_as_before() -> None:
    label = np.arange(40) % 2
    samples = assembled_of(label, Split(folds=4, seed=3))
    assert np.array_equal(samples.fold, deal(label, np.arange(40), Split(folds=4, seed=3)))


def test_every_draw_is_checked_before_a_training(recipe, landscape, tmp_path, monkeypatch) -> None:
    path = recipe(**{"train = 0.5\ndraws = 2": "folds = 3"})
    opened, drawn = open_run(read_recipe(path), tmp_path / "run"), Samples.draw

    def fails(samples: Samples, number: int) -> Draw:
        if number == 2:
            raise SamplesError("Draw 3 has no test pixel")
        return drawn(samples, number)

    monkeypatch.setattr(Samples, "draw", fails)
    with pytest.raises(SamplesError, match="Draw 3"):
        opened.train()
    assert not (tmp_path / "run/splits").exists()
    assert "Draw 3 has no test pixel" in {str(f.what) for f in check(path, tmp_path / "other").findings}


def at_sites(*counts: tuple[int, ...]) -> Units:
    """Polygons of one pixel: their number of each class (columns) at each site (rows)."""
    site, label = np.nonzero(np.ones_like(counts))
    repeats = np.ravel(counts)
    site, label = np.repeat(site, repeats), np.repeat(label, repeats)
    return Units(label, np.arange(len(label)), np.zeros(len(label), int), None, site=site)


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_a_site_with_few_polygons_of_a_class_is_drawn_with_the_others(share: float) -> None:
    there = at_sites((10, 10), (1, 10))
    (single,) = np.flatnonzero((there.site == 1) & (there.label == 0))
    draws = [draw(there, Split(train=share, draws=200), k) for k in range(200)]
    tested = np.mean([single in found.test for found in draws])
    assert tested == pytest.approx(1 - share, abs=0.1), "not in every draw"


def test_strata_of_sites() -> None:
    split = Split()
    strata = at_sites((10, 2, 4), (1, 9, 5), (3, 8, 1), (0, 1, 1)).strata(split)
    there = at_sites((10, 2, 4), (1, 9, 5), (3, 8, 1), (0, 1, 1))
    of = {(k, s): set(strata[(there.label == k) & (there.site == s)]) for k in range(3) for s in range(4)}
    assert of[0, 1] == of[0, 0] != of[0, 2], "one polygon: with the largest site"
    assert of[1, 0] == of[1, 3], "three polygons at two sites: a stratum"
    assert not of[1, 0] & (of[1, 1] | of[1, 2])
    assert of[2, 2] == of[2, 3] == of[2, 1], "two polygons at two sites: with the largest site"
    assert len(set(strata)) == 2 + 3 + 2


@st.composite
def classes_in_blocks(draw: st.DrawFn) -> np.ndarray:
    """Number of polygons of each class in each block."""
    blocks, k = draw(st.integers(3, 7)), draw(st.integers(2, 5))
    values = draw(st.lists(st.sampled_from([0, 0, 1, 3]), min_size=blocks * k, max_size=blocks * k))
    return np.reshape(values, (blocks, k)).astype(float)


def lost(polygons: np.ndarray, chosen: np.ndarray) -> int:
    """Number of classes of two blocks or more that are on one side only."""
    holds = polygons > 0
    return int(((holds.sum(0) > 1) & ~(holds[chosen].any(0) & holds[~chosen].any(0))).sum())


@given(classes_in_blocks(), st.floats(0.1, 0.9), st.integers(0, 99))
def test_no_class_is_absent_from_a_side_that_need_not_be(polygons: np.ndarray, share: float, seed: int) -> None:
    sides = itertools.product([False, True], repeat=len(polygons))
    possible = min(lost(polygons, np.array(chosen)) for chosen in sides)
    chosen = choose_blocks(polygons, share, np.random.default_rng(seed))
    assert (lost(polygons, chosen) == 0) == (possible == 0)
    validating = choose_blocks(polygons, share, np.random.default_rng(seed), validation=True)
    there = (polygons > 0).any(0)
    assert (polygons[~validating] > 0).any(0)[there].all(), "the last block of a class never validates"
    last = ((polygons > 0) & ((polygons > 0).sum(0) == 1)).any(1)
    assert validating.any() or not ((polygons > 0).any(1) & ~last).any()


def test_blocks_that_give_every_class_both_sides_draw_as_before() -> None:
    """The draws of earlier versions stay, where no class was lost."""
    polygons = np.random.default_rng(5).integers(1, 6, (12, 3)).astype(float)
    generator = np.random.default_rng(3)
    assert np.flatnonzero(choose_blocks(polygons, 0.4, generator)).tolist() == [2, 7, 10, 11]
    assert generator.integers(1000) == 264


def test_a_unit_of_two_classes_does_not_take_the_last_training_samples_of_one() -> None:
    """Samples of several years at one place are one unit, with the classes of all years."""
    label = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1])
    ground = np.array([0, 1, 2, 3, 4, 5, 0, 1, 6])
    there = Units(label, np.arange(9), np.zeros(9, int), None, ground=ground)
    for seed in range(60):
        found = draw(there, Split(train=0.6, draws=1, validation=0.5, seed=seed), 0)
        assert set(label[found.validation]) <= set(label[found.train])
        parts = [set(ground[members]) for members in found.parts.values()]
        assert sum(map(len, parts)) == len(set.union(*parts))
