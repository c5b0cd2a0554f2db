"""A model at another site: its score on the polygons there, the classes that it lacks, and novelty."""

import json
import shutil
from dataclasses import replace

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer

from bocage.cli import main
from bocage.errors import EvaluationError, LegendError, RunFolderError
from bocage.evaluation import Legends, Predictions, predictions_of, transfer_of
from bocage.grid import Grid
from bocage.jobs.adapt import adapt_to
from bocage.jobs.evaluate import evaluate_model
from bocage.jobs.map import map_with
from bocage.jobs.run import run
from bocage.layout import ModelLayout, RunLayout
from bocage.legend import LandClass, Legend
from bocage.recipe import read_recipe
from bocage.report.transfer import Adaptation, Polygons
from bocage.samples.coordinates import Coordinates, degrees_in
from bocage.testing import tiny_landscape
from bocage.training import Adapting, Trained, classify
from conftest import FOREST, PAN_MS, S2, Told
from test_sites import site, written

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'


def predicted(label, classes):
    probabilities = np.eye(max(3, np.max(classes) + 1), dtype=np.float32)[classes]
    place = np.arange(len(label))
    return predictions_of(place, place, place, np.array(label), probabilities, 1.0)


def test_pixels_of_a_class_that_the_model_lacks_are_errors_and_are_left_out_of_the_shared_classes():
    recipe = Legend((LandClass(1, "maize"), LandClass(2, "rape"), LandClass(3, "water")))
    model = Legend((LandClass(3, "water"), LandClass(1, "maize"), LandClass(9, "town")))
    legends = Legends(recipe, model)
    assert legends.union.names == ("maize", "rape", "water", "town")
    found = legends.in_union(predicted([0, 0, 1, 1, 2, 2], [1, 2, 1, 0, 0, 0]))
    assert found.predicted.tolist() == [0, 3, 0, 2, 2, 2]
    score = transfer_of(found, legends, ("overall_accuracy",), 5, 0.25)
    assert (score.lacking, score.more) == (("rape",), ("town",))
    assert score.every.values("overall_accuracy").tolist() == [3 / 6]
    assert score.shared.values("overall_accuracy").tolist() == [3 / 4], "maize mapped as town is an error in both"
    document = json.loads(json.dumps(score.as_dict()))
    assert document["shared_classes"]["confusion"]["classes"] == ["maize", "water", "town"]
    assert (document["masked_pixels"], document["outside_training_domain"]) == (5, 0.25)


def test_the_probabilities_of_a_model_move_to_the_union_of_the_legends_with_its_classes():
    recipe = Legend(tuple(LandClass(code, f"class {code}") for code in (40, 7, 3, 900)))
    model = Legend(tuple(LandClass(code, f"class {code}") for code in (900, 3, 5)))
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]], np.float32)
    place = np.arange(2)
    found = Legends(recipe, model).in_union(predictions_of(place, place, place, np.array([3, 1]), probabilities, 1.0))
    assert found.predicted.tolist() == [3, 4]
    assert found.probabilities.tolist() == np.float32([[0, 0, 0.3, 0.5, 0.2], [0, 0, 0.2, 0.1, 0.7]]).tolist()


def test_predictions_whose_probabilities_are_in_another_order_are_refused(tmp_path):
    found = predicted([0, 1, 2], [0, 1, 2])
    with pytest.raises(ValueError, match="predicted class of 2 of 3 pixels is not that of the highest probability"):
        replace(found, predicted=found.predicted[::-1])
    with pytest.raises(ValueError, match="3 classes, and 3 pixels with predicted classes up to number 3"):
        replace(found, predicted=found.predicted + np.int16(1))
    with pytest.raises(ValueError, match="probabilities of 3 classes, and a legend of 2"):
        found.matrix(("maize", "rape"))
    found.to_parquet(tmp_path / "test.parquet")
    table = pd.read_parquet(tmp_path / "test.parquet")
    table.assign(predicted=table.predicted.to_numpy()[::-1]).to_parquet(tmp_path / "test.parquet")
    with pytest.raises(EvaluationError, match="evaluate again"):
        Predictions.from_parquet(tmp_path / "test.parquet")


def test_the_columns_of_probabilities_of_a_score_elsewhere_are_those_of_its_classes(recipe, brief, tmp_path):
    """A recipe with the classes of the model in another order, of which the model lacks one."""
    path, model = recipe(FOREST), brief(FOREST).folder
    text = path.read_text()
    start, end = text.index("classes = [") + len("classes = ["), text.index("]\n", text.index("classes = ["))
    entries = [line.strip().rstrip(",") for line in text[start:end].splitlines() if line.strip()]
    entries[-1] = '{ code = 7, name = "river", values = ["3"] }'
    path.write_text(f"{text[:start]}{', '.join(reversed(entries))}{text[end:]}")
    evaluate_model(read_recipe(path), model, tmp_path / "out")
    tested = Predictions.from_parquet(tmp_path / "out/test.parquet")
    assert tested.probabilities.shape[1] == 4
    assert (tested.probabilities.argmax(1) == tested.predicted).all()
    assert (tested.probabilities[:, 0] == 0).all(), "the model has no class river"


def test_one_pixel_of_a_class_that_the_recipe_lacks_is_one_error():
    """An F-measure of 0 of this class in the mean would be that of a model which is wrong everywhere in it."""
    ours = (LandClass(1, "maize"), LandClass(2, "rape"), LandClass(3, "water"))
    legends = Legends(Legend(ours), Legend((*ours[:2], LandClass(9, "town"), LandClass(3, "water"))))
    label = np.repeat([0, 1], 500)
    classes = label.copy()
    classes[0], classes[-1] = 3, 2  # town, and water, of which the site has no polygon
    found = predicted(label, classes)
    score = transfer_of(found, legends, ("overall_accuracy", "f1_macro"), 0, None)
    for one in (score.every, score.shared):
        assert one.matrix.untested == ("water", "town")
        assert one.values("overall_accuracy") == pytest.approx([0.998])
        assert one.values("f1_macro") == pytest.approx([2 * 499 / 999])
        assert list(one.as_dict()["per_class"]) == ["maize", "rape"]
    found = replace(found, probabilities=found.probabilities[:, :3], predicted=found.predicted.clip(0, 2))
    lacking = transfer_of(found, Legends(Legend(ours), Legend(ours[1:])), ("f1_macro",), 0, None)
    assert lacking.shared.matrix.names == ("rape", "water")
    assert lacking.shared.matrix.untested == ("water",)


def test_codes_that_do_not_mean_the_same_are_refused_or_told():
    ours = Legend((LandClass(1, "maize"), LandClass(2, "meadow")))
    assert ours.renamed_in(Legend((LandClass(1, "corn"), LandClass(3, "water")))) == [(1, "maize", "corn")]
    with pytest.raises(LegendError, match="'meadow' has the code 2 in one legend and 1 in the other"):
        ours.renamed_in(Legend((LandClass(1, "meadow"),)))


@pytest.mark.parametrize("column", [{}, {"part": ["train", "other"]}])
def test_no_field_of_the_split_leaves_polygons_out_of_a_score(recipe, brief, tmp_path, column):
    """A recipe of another site may have the split of the training, whose field its polygons lack or whose values differ."""
    model, path = brief(FOREST), recipe(FOREST)
    polygons = gpd.read_file(path.parent / "reference.gpkg")
    for name, values in column.items():
        polygons[name] = [values[i % 2] for i in range(len(polygons))]
    polygons.to_file(path.parent / "reference.gpkg")
    lines = [
        line for line in path.read_text().splitlines() if not line.startswith(("train = ", "draws = ", "folds = "))
    ]
    split = lines.index("[split]") + 1
    fixed = ['field = "part"', 'train = ["train"]', 'test = ["test"]']
    path.write_text("\n".join(lines[:split] + fixed + lines[split:]))
    evaluate_model(read_recipe(path), model.folder, tmp_path / "out")
    assert pd.read_parquet(tmp_path / "out/test.parquet").polygon.nunique() == len(polygons)


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


def trained_on(recipe, model, out, **more):
    told = Told()
    score = evaluate_model(recipe, model, out, told, **more)
    written = json.loads((out / "score.json").read_text())["trained_on"]
    said = [text for text in told.words if "trained the model" in text or "was adapted with" in text]
    assert said == ([score.warning] if score.warning else [])
    assert (written or {"text": ""})["text"] == score.warning
    return written and written["how"]


@pytest.mark.slow
def test_the_polygons_that_trained_a_model_do_not_measure_its_accuracy(recipe, landscape, tmp_path, capsys):
    path, out = recipe(FOREST), tmp_path / "run"
    parsed = read_recipe(path)
    run(parsed, out, ("train",))
    assert trained_on(parsed, out, tmp_path / "same") == "run"
    assert main(["evaluate", str(path), "--model", str(out), "--out", str(tmp_path / "printed")]) == 0
    assert "warning: 6 of 15 reference polygons trained the model" in " ".join(capsys.readouterr().out.split())
    shutil.copytree(out / "splits/0/model", tmp_path / "copied")
    assert trained_on(parsed, tmp_path / "copied", tmp_path / "unknown") is None
    for where, how in (("code = 1", "run"), ("", "run")):
        selected = replace(parsed, reference=replace(parsed.reference, where=where))
        assert trained_on(selected, out, tmp_path / "selected", overwrite=True) == how
    brighter(landscape)
    assert trained_on(read_recipe(path), out, tmp_path / "later") == "other imagery"


def test_the_polygons_that_trained_are_known_before_the_test_of_the_run(recipe, tmp_path):
    parsed, out = read_recipe(recipe(FOREST)), tmp_path / "run"
    run(parsed, out, ("train",))
    assert trained_on(parsed, out, tmp_path / "before") == "run"
    run(parsed, out, ("evaluate",))
    assert trained_on(parsed, out, tmp_path / "after") == "run"
    before, after = (json.loads((tmp_path / name / "score.json").read_text()) for name in ("before", "after"))
    assert before == after
    tested = pd.read_parquet(out / "splits/0/test.parquet")
    assert before["trained_on"]["polygons"] == 15 - tested.polygon.nunique()
    assert before["other_polygons"]["tested_pixels"] == len(tested)
    for name in ("training.parquet", "test.parquet"):  # the folder of an earlier version
        (out / "splits/0" / name).unlink()
    assert trained_on(parsed, out, tmp_path / "earlier") == "run"
    earlier = json.loads((tmp_path / "earlier/score.json").read_text())
    assert (earlier["trained_on"]["polygons"], earlier["other_polygons"]) == (None, None)


@pytest.mark.slow
def test_training_polygons_are_recognised_by_their_places_in_other_files(recipe, landscape, tmp_path):
    """The file has lost a polygon, is in degrees, and has polygons of fields that did not train."""
    path, out, file = recipe(FOREST), tmp_path / "run", landscape / "reference.gpkg"
    run(read_recipe(path), out, ("train", "evaluate"))
    table, samples = gpd.read_file(file), pd.read_parquet(out / "samples.parquet")
    tested = pd.read_parquet(out / "splits/0/test.parquet").polygon.unique()
    assert np.isfinite(samples[["longitude", "latitude"]]).all(axis=None)
    for changed in (table.iloc[1:], table.to_crs(4326), table.iloc[::-1]):
        changed.to_file(file, engine="pyogrio")
        assert trained_on(read_recipe(path), out, tmp_path / "again", overwrite=True) == "run"
        written = json.loads((tmp_path / "again/score.json").read_text())
        assert written["trained_on"]["of_polygons"] == len(changed)
        assert written["trained_on"]["polygons"] == len(changed) - np.isin(changed.index, tested).sum()
        assert written["other_polygons"]["tested_pixels"] == 16 * np.isin(changed.index, tested).sum()
    table.iloc[tested].to_file(file, engine="pyogrio")
    assert trained_on(read_recipe(path), out, tmp_path / "tested") is None
    assert json.loads((tmp_path / "tested/score.json").read_text())["other_polygons"] is None


def test_samples_of_tables_are_compared_by_place_or_else_by_id():
    degrees, polygon = np.array([[55.5, -21.0], [55.5001, -21.0], [55.6, -21.1], [55.7, -21.2]]), np.array([0, 0, 1, 2])
    own = Coordinates(polygon, degrees, np.array(["a", "b", "c", "d"]))
    grid = Grid.of("EPSG:32740", Affine(1, 0, 0, 0, -1, 0), (4, 1))
    there = Coordinates(np.array([0]), degrees[1:2] + 5e-6, np.array(["d"]))
    assert own.among(there, grid).tolist() == [True, True, False, False], "0.8 m away, and the id of another sample"
    assert not own.among(replace(there, degrees=degrees[1:2] + 3e-5), grid).any()
    assert own.among(replace(there, degrees=None), grid).tolist() == [False, False, False, True]
    assert own.among(replace(there, degrees=None, ids=None), grid) is None
    table = pd.DataFrame({"polygon": polygon} | own.columns())
    assert Coordinates.of_table(table).among(own, grid).all()
    assert Coordinates.of_table(table[["polygon"]]).among(own, grid) is None


def test_polygons_are_recognised_on_a_grid_of_another_crs_and_resolution():
    """A training on pixels of 3 m in another zone: a polygon at the same place, its neighbour, and one far away."""
    grid = Grid.of("EPSG:32740", Affine(10, 0, 300_000, 0, -10, 7_650_000), (50, 50))
    row, column = (one.ravel().astype(np.int32) for one in np.mgrid[10:20, 10:30])
    own = Coordinates((column >= 20).astype(np.int32), degrees_in(grid, row, column), None)
    x, y = grid.transform.c + 10 * 10, grid.transform.f - 10 * 10
    west, north = Transformer.from_crs(32740, 32739, always_xy=True).transform(x, y)
    fine = Grid.of("EPSG:32739", Affine(3, 0, west - 5, 0, -3, north + 5), (600, 600))
    row, column = (one.ravel().astype(np.int32) for one in np.mgrid[0:34, 0:34])
    trained = Coordinates(np.zeros(len(row), np.int32), degrees_in(fine, row, column), None)
    assert own.among(trained, grid).tolist() == (own.polygon == 0).tolist()
    away = replace(trained, degrees=trained.degrees + 10)
    assert not own.among(away, grid).any()
    assert degrees_in(Grid.of('LOCAL_CS["survey",UNIT["metre",1]]', grid.transform, (9, 9)), row, column) is None


def test_two_conditions_select_other_polygons_of_a_file():
    assert Polygons("a", "").meet(Polygons("a", "year = 2022"))
    assert Polygons("a", "year = 2022").meet(Polygons("a", "year = 2022"))
    assert not Polygons("a", "year = 2023").meet(Polygons("a", "year = 2022"))
    assert not Polygons("a", "").meet(Polygons("b", ""))
    assert not Polygons("", "").meet(Polygons("", ""))


@pytest.mark.slow
def test_the_polygons_of_a_site_that_was_left_out_measure_the_accuracy_there(tmp_path):
    folder = tmp_path / "lands"
    for name, size in (("north", 48), ("south", 40)):
        tiny_landscape(folder / name, size=size)
    path = written(folder, site("north"), site("south"), split='site = "leave-one-out"')
    parsed, out = read_recipe(path), tmp_path / "run"
    run(parsed, out, ("train",))
    found = {
        (k, name): trained_on(parsed.at(name), out / f"splits/{k}/model", tmp_path / f"{k}-{name}")
        for k in range(2)
        for name in ("north", "south")
    }
    assert found == {(0, "north"): None, (0, "south"): "run", (1, "north"): "run", (1, "south"): None}


@pytest.mark.slow
def test_the_polygons_of_an_adaptation_do_not_measure_its_accuracy(recipe, brief, tmp_path):
    path, model = recipe(PATCHWORK, NATIVE + PAN_MS, "pan"), brief(PATCHWORK, NATIVE + PAN_MS, "pan")
    parsed, quick = read_recipe(path), Adapting(rounds=1, epochs=1, pixels=200)
    adapt_to(parsed, model.folder, tmp_path / "with", replace(quick, polygons=True))
    adapt_to(parsed, model.folder, tmp_path / "without", replace(quick, always=True))
    assert trained_on(parsed, tmp_path / "with", tmp_path / "a") == "adaptation"
    assert trained_on(parsed, tmp_path / "without", tmp_path / "b") is None
    assert Adaptation.load(RunLayout(tmp_path / "with").adapted).polygons.where == ""
    table = gpd.read_file(path.parent / "reference.gpkg")
    table.iloc[1:].to_crs(4326).to_file(path.parent / "reference.gpkg", engine="pyogrio")
    assert trained_on(read_recipe(path), tmp_path / "with", tmp_path / "c") == "adaptation"
    assert json.loads((tmp_path / "c/score.json").read_text())["trained_on"]["polygons"] == len(table) - 1
