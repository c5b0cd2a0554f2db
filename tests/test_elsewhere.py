"""A model at another site: its score on the polygons there, the classes that it lacks, and novelty."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio

from bocage.cli import main
from bocage.errors import LegendError, RunFolderError
from bocage.evaluation import Legends, predictions_of, transfer_of
from bocage.jobs.evaluate import evaluate_model
from bocage.jobs.map import map_with
from bocage.layout import ModelLayout, RunLayout
from bocage.legend import LandClass, Legend
from bocage.recipe import read_recipe
from bocage.training import Trained, classify
from conftest import FOREST, PAN_MS, S2, Told

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'


def predicted(label, classes):
    probabilities = np.eye(3, dtype=np.float32)[classes]
    place = np.arange(len(label))
    return predictions_of(place, place, place, np.array(label), probabilities, 1.0)


def test_pixels_of_a_class_that_the_model_lacks_are_errors_and_are_left_out_of_the_shared_classes():
    recipe = Legend((LandClass(1, "maize"), LandClass(2, "rape"), LandClass(3, "water")))
    model = Legend((LandClass(3, "water"), LandClass(1, "maize"), LandClass(9, "town")))
    legends = Legends(recipe, model)
    assert legends.union.names == ("maize", "rape", "water", "town")
    assert legends.in_union(np.array([0, 1, 2])).tolist() == [2, 0, 3]
    found = predicted([0, 0, 1, 1, 2, 2], [0] * 6)
    found = type(found)(**{**vars(found), "predicted": np.array([0, 3, 0, 2, 2, 2], np.int16)})
    score = transfer_of(found, legends, ("overall_accuracy",), 5, 0.25)
    assert (score.lacking, score.more) == (("rape",), ("town",))
    assert score.every.values("overall_accuracy").tolist() == [3 / 6]
    assert score.shared.values("overall_accuracy").tolist() == [3 / 4], "maize mapped as town is an error in both"
    document = json.loads(json.dumps(score.as_dict()))
    assert document["shared_classes"]["confusion"]["classes"] == ["maize", "water", "town"]
    assert (document["masked_pixels"], document["outside_training_domain"]) == (5, 0.25)


def test_one_pixel_of_a_class_that_the_recipe_lacks_is_one_error():
    """An F-measure of 0 of this class in the mean would be that of a model which is wrong everywhere in it."""
    ours = (LandClass(1, "maize"), LandClass(2, "rape"), LandClass(3, "water"))
    legends = Legends(Legend(ours), Legend((*ours[:2], LandClass(9, "town"), LandClass(3, "water"))))
    label = np.repeat([0, 1], 500)
    found = predicted(label, label)
    found.predicted[0], found.predicted[-1] = 3, 2  # town, and water, of which the site has no polygon
    score = transfer_of(found, legends, ("overall_accuracy", "f1_macro"), 0, None)
    for one in (score.every, score.shared):
        assert one.matrix.untested == ("water", "town")
        assert one.values("overall_accuracy") == pytest.approx([0.998])
        assert one.values("f1_macro") == pytest.approx([2 * 499 / 999])
        assert list(one.as_dict()["per_class"]) == ["maize", "rape"]
    lacking = transfer_of(found, Legends(Legend(ours), Legend(ours[1:])), ("f1_macro",), 0, None)
    assert lacking.shared.matrix.names == ("rape", "water")
    assert lacking.shared.matrix.untested == ("water",)


def test_codes_that_do_not_mean_the_same_are_refused_or_told():
    ours = Legend((LandClass(1, "maize"), LandClass(2, "meadow")))
    assert ours.renamed_in(Legend((LandClass(1, "corn"), LandClass(3, "water")))) == [(1, "maize", "corn")]
    with pytest.raises(LegendError, match="'meadow' has the code 2 in one legend and 1 in the other"):
        ours.renamed_in(Legend((LandClass(1, "meadow"),)))


def test_a_model_is_scored_on_all_polygons(recipe, brief, tmp_path):
    """Also those that it was trained on: the recipe is of another site, whose polygons it has not seen."""
    model, told = brief(FOREST), Told()
    score = evaluate_model(read_recipe(recipe(FOREST)), model.folder, tmp_path / "out", told)
    polygons = gpd.read_file(recipe(FOREST).parent / "reference.gpkg")
    tested = pd.read_parquet(tmp_path / "out/test.parquet")
    assert tested.polygon.nunique() == len(polygons)
    assert score.every.matrix.total == len(tested)
    assert score.every.values("overall_accuracy")[0] > 0.9
    written = json.loads((tmp_path / "out/score.json").read_text())
    assert written["fingerprint"] == model.trained.fingerprint
    assert written["overall_accuracy"]["mean"] == score.every.values("overall_accuracy")[0]
    lines = (tmp_path / "out/confusion.csv").read_text().splitlines()
    assert lines[0] == "reference,maize,meadow,water"
    assert sum(int(n) for line in lines[1:] for n in line.split(",")[1:]) == len(tested)
    assert not [text for text in told.words if "lacks" in text]


def test_masked_polygons_are_left_out_and_counted(recipe, landscape, brief, tmp_path):
    path = recipe(FOREST)
    with rasterio.open(landscape / "s2/quality.tif", "r+") as dataset:
        quality = dataset.read()
        quality[:, :10] = 9
        dataset.write(quality)
    score = evaluate_model(read_recipe(path), brief(FOREST).folder, tmp_path / "out")
    assert score.masked > 0
    assert score.masked + score.every.matrix.total == 3 * 5 * 16


def test_classes_that_the_model_lacks_are_named(recipe, brief, tmp_path):
    more = '{ code = 3, name = "water", color = "#2e86ab" }'
    split = '{ code = 7, name = "river", values = ["3"] }'
    path, told = recipe(FOREST, **{more: split}), Told()
    score = evaluate_model(read_recipe(path), brief(FOREST).folder, tmp_path / "out", told)
    assert any("lacks classes of the recipe's legend: river." in text for text in told.words)
    assert any("recipe's legend lacks: water." in text for text in told.words)
    assert score.lacking == ("river",)
    every, shared = (one.values("overall_accuracy")[0] for one in (score.every, score.shared))
    assert every < 0.7 < shared
    told = Told()
    map_with(read_recipe(path), brief(FOREST).folder, tmp_path / "mapped", told)
    assert any("lacks classes of the recipe's legend: river." in text for text in told.words)


@pytest.mark.slow
def test_a_network_that_tolerates_it_is_scored_without_a_source(recipe, brief, tmp_path):
    model = brief(PATCHWORK, NATIVE + PAN_MS, "pan")
    told = Told()
    score = evaluate_model(
        read_recipe(recipe(PATCHWORK, PAN_MS, "pan")), model.folder, tmp_path / "out", told
    )  # fmt: skip
    assert score.every.matrix.total == 3 * 5 * 16
    assert any("no source 's2'" in text for text in told.words)


def test_the_score_is_that_of_the_samples_of_a_run(recipe, brief, tmp_path):
    """The dense windows around polygons give the classes that the cut samples give."""
    from bocage.run import open_run

    model = brief(PATCHWORK, NATIVE + PAN_MS, "pan")
    path = recipe(PATCHWORK, NATIVE + PAN_MS, "pan")
    score = evaluate_model(read_recipe(path), model.folder, tmp_path / "out")
    samples = open_run(read_recipe(path), tmp_path / "run").samples
    classes = classify(model.trained, samples.chips, np.arange(len(samples.label)), "cpu").argmax(1)
    assert score.every.values("overall_accuracy")[0] == (classes == samples.label).mean()


def brighter(landscape):
    """Reflectance of nowhere: far from the training samples, near enough to be taken for reflectance."""
    for name in ("red", "nir"):
        with rasterio.open(landscape / f"s2/{name}.tif", "r+") as dataset:
            dataset.write((dataset.read() * 1.0 + 4000).astype(np.uint16))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "advice"), [('name = "gru"\nunits = 8', "bocage adapt"), (FOREST, "random_forest cannot be adapted")]
)
def test_an_adaptation_is_proposed_where_the_novelty_is_high(
    recipe, landscape, brief, tmp_path, monkeypatch, model, advice
):
    path, folder, told = recipe(model), brief(model).folder, Told()
    evaluate_model(read_recipe(path), folder, tmp_path / "same", told)
    map_with(read_recipe(path), folder, tmp_path / "same-map", told)
    assert not [text for text in told.words if "outside the training domain" in text]
    brighter(landscape)
    for work, out in ((evaluate_model, "there"), (map_with, "there-map")):
        told = Told()
        work(read_recipe(path), folder, tmp_path / out, told)
        said = [text for text in told.words if "outside the training domain" in text]
        assert len(said) == 1
        assert advice in said[0]
    assert json.loads((tmp_path / "there/score.json").read_text())["outside_training_domain"] > 0.5
    monkeypatch.setattr("bocage.jobs.map.make_map", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        map_with(read_recipe(path), folder, tmp_path / "same-map", told, overwrite=True)
    assert not RunLayout(tmp_path / "same-map").map.is_complete, "the record is that of the new scene already"


@pytest.mark.slow
def test_the_command_takes_the_folder_of_a_run(finished, tmp_path, capsys):
    done, out = finished(FOREST), tmp_path / "out"
    arguments = ["evaluate", str(done.recipe), "--model", str(done.out), "--out", str(out)]
    assert main(arguments) == 0, capsys.readouterr().err
    assert "All reference polygons" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0
    assert main(["evaluate", str(done.recipe), "--model", str(done.out), "--sample", "x.gpkg"]) == 2
    assert ModelLayout.of(done.out).path == done.out / "splits/0/model"
    assert Trained.load(ModelLayout.of(done.out).path).name == "random_forest"


def test_a_run_is_not_written_over(finished):
    done = finished(FOREST)
    with pytest.raises(RunFolderError, match="has a run"):
        evaluate_model(read_recipe(done.recipe), done.out, done.out, overwrite=True)
