"""Maps of which nothing, or not every class, was tested: no invented figures, and pages that say so in both languages."""

import json
import re
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from bocage.cli import main
from bocage.errors import RecipeError
from bocage.evaluation import METRICS, ConfusionMatrix, Score, load_score
from bocage.jobs.compare import compare_models
from bocage.recipe import read_recipe
from bocage.report.sections import summary
from bocage.testing import tiny_landscape
from bocage.words import words_of
from conftest import FOREST, once, written
from test_report import foreign, page_of

ALL = {"train = 0.5\ndraws = 2": "train = 1.0\ndraws = 1"}
NO_IMPORTANCE = "[evaluation]\nimportance = 0"
FRENCH = '[report]\nlanguage = "fr"'


@pytest.fixture(scope="module")
def untested(shared: Path) -> Path:
    """Folder of a landscape with the recipe of a run without a test part, and of its run."""

    def make(folder: Path) -> None:
        path = written(tiny_landscape(folder / "land"), **ALL)
        assert main(["run", str(path), "--out", str(folder / "out")]) == 0

    return once(shared / "untested", make)


@pytest.fixture(scope="module")
def rare(shared: Path) -> Path:
    """Folder of a landscape whose third class has two polygons, which train only, and of its run in French."""

    def make(folder: Path) -> None:
        land = tiny_landscape(folder / "land")
        gpd.read_file(land / "reference.gpkg").iloc[:12].to_file(land / "reference.gpkg", engine="pyogrio")
        path = written(land, more=f"{NO_IMPORTANCE}\n{FRENCH}", **{"draws = 2": 'draws = 2\nrare = "train"'})
        assert main(["run", str(path), "--out", str(folder / "out")]) == 0

    return once(shared / "rare", make)


@pytest.mark.slow
def test_a_score_without_a_test_has_no_figure(untested):
    said = json.loads((untested / "out/score.json").read_text())
    assert said["tested_pixels"] == 0
    assert {said[name]["mean"] for name in ("overall_accuracy", "f1_weighted", "kappa", "f1_macro")} == {None}
    assert "trust" not in said
    assert not load_score(untested / "out/score.json").tests
    assert (untested / "out/map/classes.tif").exists()
    assert not (untested / "out/splits/0/importance.json").exists()


def test_evaluate_says_in_one_line_that_nothing_was_tested(untested, capsys):
    assert main(["evaluate", str(untested / "land/recipe.toml"), "--out", str(untested / "out")]) == 0
    shown = capsys.readouterr()
    lines = [line for line in (shown.out + shown.err).splitlines() if "accuracy" in line]
    assert len(lines) == 1
    assert lines[0].startswith("Nothing was tested: [split] train = 1 uses all polygons for training.")


def test_the_report_says_first_that_the_accuracy_is_not_known(untested):
    text, page = page_of(untested / "out/report.html")
    first = text.index('class="alarm">The accuracy of this map is not known')
    assert first < text.index("<nav")
    assert "bocage sample-design" in text[first : text.index("<nav")]
    for absent in ('id="accuracy"', 'id="confusion"', "Leakage probe", "kappa</small>"):
        assert absent not in text
    assert "These areas are not adjusted" in text
    assert "mapped area, not adjusted, ha" in page.shown
    said = json.loads((untested / "out/report.json").read_text())
    assert (said["area"], said["area_model"], said["areas_are_adjusted"]) == (None, None, False)
    assert said["untested"].startswith("The accuracy of this map is not known")
    assert said["split"]["test_pixels"] == 0


def test_the_report_says_so_in_french(untested):
    path = written(untested / "land", more=FRENCH, name="french.toml", **ALL)
    assert main(["report", str(path), "--out", str(untested / "out")]) == 0
    text, page = page_of(untested / "out/report.html")
    assert main(["report", str(untested / "land/recipe.toml"), "--out", str(untested / "out")]) == 0
    assert not foreign(page)
    assert "L&#39;exactitude de cette carte n&#39;est pas connue" in text
    assert "Ces surfaces ne sont pas ajustées" in text


def test_a_labelled_sample_gives_the_accuracy_of_a_map_without_a_test_part():
    class Made:
        score, scene, estimates, language = Score((MATRIX,), ()), None, None, "en"

    made = Made()
    made.score = Score((ConfusionMatrix(0 * MATRIX.counts, MATRIX.names),), ())
    made.scene = type("Scene", (), {"ids": None})
    for sample, key in ((None, "untested_map"), (object(), "untested_sampled")):
        made.estimates = type("Estimates", (), {"sample": sample})
        assert summary.untested(made) == words_of("en")[key]
    made.scene = type("Scene", (), {"ids": ("a",)})
    assert summary.untested(made) == words_of("en")["untested_table"]


def test_a_comparison_without_a_test_part_is_refused(landscape, tmp_path):
    more = f"[[compare]]\nlabel = 'other'\nmodel = {{ name = 'random_forest', trees = 5 }}\n{NO_IMPORTANCE}"
    path = written(landscape, more=more, **ALL)
    with pytest.raises(RecipeError, match=r"split.train: a comparison needs a test part"):
        compare_models(read_recipe(path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


MATRIX = ConfusionMatrix(np.array([[6, 1, 3], [2, 8, 0], [0, 0, 0]]), ("a", "b", "rare"), ("rare",))


def test_an_untested_class_is_in_no_mean_and_its_pixels_are_errors_of_others(tmp_path):
    tested = ConfusionMatrix(MATRIX.counts, MATRIX.names)
    f1 = [2 * 6 / (10 + 8), 2 * 8 / (10 + 9)]
    assert METRICS.get("f1_macro")(MATRIX) == pytest.approx(np.mean(f1))
    assert METRICS.get("f1_macro")(tested) == pytest.approx(np.mean([*f1, 0]))
    assert METRICS.get("iou_macro")(MATRIX) == pytest.approx(np.mean([6 / 12, 8 / 11]))
    for name in ("overall_accuracy", "kappa", "f1_weighted"):
        assert METRICS.get(name)(MATRIX) == METRICS.get(name)(tested)
    score = Score((MATRIX, MATRIX), ("f1_macro",))
    said = score.as_dict()
    assert list(said["per_class"]) == ["a", "b"]
    assert said["untested_classes"] == ["rare"]
    score.save(tmp_path / "score.json")
    again = load_score(tmp_path / "score.json")
    assert again.matrix.untested == ("rare",)
    assert again.values("f1_macro") == pytest.approx([np.mean(f1)] * 2)


@pytest.mark.slow
def test_a_rare_class_is_mapped_and_not_tested(rare):
    out = rare / "out"
    score, report = (json.loads((out / f"{name}.json").read_text()) for name in ("score", "report"))
    assert score["untested_classes"] == ["water"]
    assert list(score["per_class"]) == ["maize", "meadow"]
    assert report["mapped_pixels"]["water"] > 300, "a third of the map"
    text, page = page_of(out / "report.html")
    assert not foreign(page)
    note = "Classes cartographiées mais non testées, faute d&#39;un nombre suffisant de polygones\u00a0: water"
    assert note in text
    assert re.search(r"Ces surfaces ne sont pas ajustées.*non testées\u00a0: water", text)
    assert (report["area_model"], report["areas_are_adjusted"]) == (None, False)
    assert any("mapped but not tested" in line and "water" in line for line in report["notes"])


@pytest.mark.slow
def test_the_report_of_a_fixed_test_part_names_it(recipe, landscape, tmp_path):
    table = gpd.read_file(landscape / "reference.gpkg")
    table["part"] = ["test" if k % 5 == 2 else "field 2021" for k in range(len(table))]
    table.to_file(landscape / "reference.gpkg", engine="pyogrio")
    fixed = 'field = "part"\ntrain = ["field 2021"]\ntest = ["test"]'
    path = recipe(FOREST, more=NO_IMPORTANCE, **{"train = 0.5\ndraws = 2": fixed})
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    text, _ = page_of(tmp_path / "out/report.html")
    assert "that the field &#39;part&#39; fixes (test: test; training: field 2021)" in text
    design = json.loads((tmp_path / "out/score.json").read_text())["design"]
    assert design["fixed"] == {"field": "part", "train": ["field 2021"], "test": ["test"]}
    assert design["test_share"] == 0.2
