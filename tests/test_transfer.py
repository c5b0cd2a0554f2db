"""A map by a model of another run, and an adaptation: a page without accuracy, which says what it estimates and how."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from bocage.cli import main
from bocage.errors import RunFolderError
from bocage.jobs.adapt import adapt_to
from bocage.jobs.map import map_with
from bocage.jobs.report import report_of
from bocage.mapping import Sureness, open_map_folder, sureness
from bocage.recipe import read_recipe
from bocage.training import Adapting, Answers, Trained
from conftest import FOREST, PAN_MS, S2
from test_report import foreign, page_of

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'
FRENCH = '[report]\nlanguage = "fr"'
FOURTH = '{ code = 3, name = "water", color = "#2e86ab" },\n  { code = 9, name = "vineyard" },'


@pytest.fixture
def forest(recipe, brief):
    """A recipe of the scene with a class that the model does not have, and the model."""
    path = recipe(FOREST, **{'{ code = 3, name = "water", color = "#2e86ab" },': FOURTH})
    return path, brief(FOREST).folder


def layer(out, name):
    with rasterio.open(out / f"map/{name}.tif") as dataset:
        return dataset.read(1)


def test_the_page_of_a_map_estimates_and_measures_nothing(forest, tmp_path):
    path, model = forest
    out = tmp_path / "out"
    map_with(read_recipe(path), model, out)
    text, page = page_of(out / "report.html")
    said = json.loads((out / "report.json").read_text())
    codes, sure, novel = (layer(out, name) for name in ("classes", "confidence", "novelty"))
    inside = codes > 0
    found = said["estimate"]
    assert found["estimated_accuracy"] == pytest.approx(sure[inside].mean() / 100)
    assert found["estimated_accuracy_per_class"] == pytest.approx(
        [sure[codes == code].mean() / 100 for code in (1, 2, 3)]
    )
    assert found["novel_share"] == pytest.approx((novel[inside] > 100).mean())
    assert said["mapped_pixels"]["water"] == (codes == 3).sum()
    assert f"Estimated accuracy without polygons: {100 * found['estimated_accuracy']:.1f} %" in text
    assert "No accuracy was measured" in text
    assert "kappa" not in text
    assert "The estimate is biased." in text
    assert "Classes of the recipe that the model does not have: vineyard." in text
    assert any("Distance of each pixel from the training samples" in shown for shown in page.shown)
    assert said["distance_km"] == pytest.approx(0)


def test_the_report_of_a_folder_is_written_again(forest, tmp_path, capsys):
    path, model = forest
    out = tmp_path / "out"
    assert main(["map", str(path), "--model", str(model), "--out", str(out)]) == 0
    first = (out / "report.html").read_bytes()
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    assert (out / "report.html").read_bytes() == first
    assert str(out / "report.html") in capsys.readouterr().out
    path.unlink()
    assert main(["report", str(out)]) == 0
    assert "written without imagery" in capsys.readouterr().err
    text, _ = page_of(out / "report.html")
    assert "Mapped areas, unadjusted" in text
    assert 'id="swipe"' not in text
    assert main(["report", str(out), "--out", "elsewhere"]) == 2


def test_a_map_that_another_model_replaced_has_no_report(forest, tmp_path):
    path, model = forest
    out = tmp_path / "out"
    map_with(read_recipe(path), model, out)
    item = out / "map/item.json"
    item.write_text(item.read_text().replace(Trained.load(model).fingerprint, "0" * 32))
    with pytest.raises(RunFolderError, match="no complete map by a model of another run"):
        report_of(out)
    with pytest.raises(RunFolderError, match="does not exist"):
        report_of(tmp_path / "none")
    (out / "mapped.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"mapped\.json is damaged"):
        report_of(out)


def test_a_run_keeps_its_map_and_its_report(finished, brief, tmp_path, capsys):
    run = finished()
    out = run.copied(tmp_path / "out")
    before = {path: path.read_bytes() for path in (out / "report.html", out / "score.json", out / "map/classes.tif")}
    assert main(["map", str(run.recipe), "--model", str(brief(FOREST).folder), "--out", str(out)]) == 1
    assert "has a run, with a map and a report of its own" in capsys.readouterr().err
    assert all(path.read_bytes() == content for path, content in before.items())
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    assert "Confusion matrix" in (out / "report.html").read_text()


@pytest.mark.slow
def test_the_page_of_an_adaptation_and_of_its_map_in_french(recipe, brief, tmp_path):
    model = brief(PATCHWORK, NATIVE + PAN_MS, "pan").folder
    path = recipe(PATCHWORK, PAN_MS, "pan", more=FRENCH)
    out, settings = tmp_path / "out", Adapting(256, 2, 1, least=0.0, always=True)
    adapt_to(read_recipe(path), model, out, settings=settings)
    text, page = page_of(out / "report.html")
    said = json.loads((out / "report.json").read_text())
    change = said["adaptation"]["change"]
    assert page.language == "fr"
    assert not foreign(page)
    assert "Sources de l&#39;apprentissage absentes de cette scène\u00a0: s2." in text
    assert len(change["rounds"]) == 2
    assert all(sum(one["predicted"]) >= change["pixels"] / 2 for one in change["rounds"]), "half of each class"
    assert sum(change["before"]["share"]) == pytest.approx(1)
    assert 0 <= change["changed"] <= 1
    assert said["adaptation"]["fingerprint"] == Trained.load(out / "model").fingerprint
    assert said["estimate"] is None, "there is no map"
    map_with(read_recipe(path), out / "model", out)
    text, page = page_of(out / "report.html")
    assert not foreign(page)
    assert "Surfaces cartographiées, non ajustées" in text
    assert "La confiance moyenne a été ramenée à celle d&#39;avant l&#39;adaptation" in text
    assert "tour 2, prédits" in text
    again = (out / "report.html").read_bytes()
    report_of(out)
    assert (out / "report.html").read_bytes() == again


def test_the_answers_of_a_model_by_class():
    found = Answers.of(np.array([[0.9, 0.1, 0], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.5, 0.3, 0.2]], np.float32))
    assert found.share == (0.75, 0, 0.25)
    assert found.confidence == (pytest.approx(0.7), None, pytest.approx(0.7))
    assert found.mean == pytest.approx(0.7)
    assert Answers.of(np.zeros((0, 2), np.float32)) == Answers((0.0, 0.0), (None, None))


def test_pixels_of_unequal_size_weigh_by_their_area():
    found = Sureness(np.array([2.0, 2.0]), np.array([1.8, 1.0]), np.array([1.0, 0.0]), np.array([0.8, 0.0]))
    assert found.means == [pytest.approx(0.9), pytest.approx(0.5)]
    weight = np.array([3.0, 1.0])
    assert found.mean(weight) == pytest.approx((3 * 1.8 + 1.0) / 8)
    assert found.share_beyond(weight) == pytest.approx(3 / 8)
    assert found.mean_beyond(weight) == pytest.approx(0.8)
    assert found.mean_inside(weight) == pytest.approx((3 * 1.0 + 1.0) / 5)
    nothing = replace(found, beyond=np.full(2, np.nan), confidence_beyond=np.full(2, np.nan))
    assert nothing.share_beyond(weight) is None
    assert nothing.mean(weight) is not None


def test_a_map_without_novelty_has_an_estimate(finished):
    found = sureness(open_map_folder(finished().out / "map"))
    assert all(mean is not None for mean in found.means)
    assert found.unlike == [None] * 3


def test_the_command_of_the_report_has_the_path_as_the_shell_reads_it(finished, tmp_path, capsys):
    """A folder with a map by a model of another run, whose name has a space."""
    run, out = finished(), tmp_path / "other map"
    assert main(["map", str(run.recipe), "--model", str(run.out), "--out", str(out)]) == 0
    for command in (["map", "--model", str(run.out)], ["run"]):
        capsys.readouterr()
        assert main([command[0], str(run.recipe), *command[1:], "--out", str(out)]) == 1
        said = " ".join(capsys.readouterr().err.split())
        assert shlex.split(said.rpartition("bocage ")[2]) == ["report", str(out)]
