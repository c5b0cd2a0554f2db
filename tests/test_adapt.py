"""A model for another scene: adapted with polygons of it or without, and what is said of scenes that differ."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from shapely import box

from bocage.cli import main
from bocage.errors import RunFolderError, SamplesError, TrainingError
from bocage.jobs.adapt import adapt_to
from bocage.jobs.map import map_with
from bocage.jobs.pretrain import pretrain_on
from bocage.recipe import read_recipe
from bocage.run import open_run, open_scene
from bocage.training import Adapting, Pretraining, Region, Trained, classify, remarks
from bocage.training.adapt import surest
from conftest import FOREST, PAN_MS, S2, Told

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'
QUICK = Adapting(pixels=256, rounds=1, epochs=2, always=True)


@pytest.fixture
def trained(recipe, brief):
    return recipe(PATCHWORK, NATIVE + PAN_MS, "pan"), brief(PATCHWORK, NATIVE + PAN_MS, "pan").folder


def test_of_every_class_the_same_share_of_its_surest_answers():
    first = np.array([0.9, 0.8, 0.7, 0.6, 0.4, 0.3], np.float32)
    probabilities = np.stack([first, 1 - first], 1)
    assert surest(probabilities, 0.5, 0.0).tolist() == [0, 1, 5], "two of four, and one of two"
    assert surest(probabilities, 0.5, 0.85).tolist() == [0], "class 2 is nowhere so sure"
    assert surest(probabilities[:0], 0.5, 0.0).tolist() == []


def accuracy(model, path, folder):
    run = open_run(read_recipe(path), folder)
    everything = np.arange(len(run.samples.label))
    found = classify(Trained.load(model), run.samples.chips, everything, "auto").argmax(1)
    return (found == run.samples.label).mean()


def turned_over(landscape):
    """Another sensor's idea of bright and dark: a model of before is lost."""
    for name in ("pan", "ms", "s2/red", "s2/nir"):
        with rasterio.open(landscape / f"{name}.tif", "r+") as dataset:
            values = dataset.read()
            dataset.write((values.max() + values.min() - values).astype(values.dtype))


class Drawn(Exception):  # noqa: N818 - ends a command once its pixels are drawn
    pass


@pytest.mark.parametrize("job", ["adapt", "map", "pretrain"])
def test_unlabelled_pixels_are_drawn_inside_the_region_of_the_map(trained, landscape, tmp_path, monkeypatch, job):
    path, model = trained
    with rasterio.open(landscape / "pan.tif") as dataset:
        west, south, east, north = dataset.bounds
        crs, step = dataset.crs, dataset.res[0]
    halves = [box(west, south, west + 40 * step, north), box(west + 40 * step, south, east, north)]
    gpd.GeoDataFrame({"part": ["west", "east"]}, geometry=halves, crs=crs).to_file(landscape / "area.gpkg")
    parsed = read_recipe(path, ["map.region=area.gpkg", "map.where=part = 'west'"])

    def cut(scene, pixels, *_):
        raise Drawn(pixels)

    monkeypatch.setattr("bocage.samples.unlabelled.cut", cut)
    work = {
        "adapt": lambda: adapt_to(parsed, model, tmp_path / "out", settings=QUICK),
        "map": lambda: map_with(parsed, model, tmp_path / "out"),
        "pretrain": lambda: pretrain_on(parsed, tmp_path / "out", Pretraining(pixels=256)),
    }[job]
    with pytest.raises(Drawn) as error:
        work()
    pixels = error.value.args[0]
    assert pixels.column.max() < 40
    assert len(pixels) >= 256


@pytest.mark.slow
def test_polygons_of_the_scene_teach_a_model_that_is_lost_there(trained, landscape, tmp_path):
    path, model = trained
    turned_over(landscape)
    before = accuracy(model, path, tmp_path / "before")
    adapt_to(read_recipe(path), model, tmp_path / "out", settings=Adapting(256, 1, 30, 5e-3, polygons=True))
    after = accuracy(tmp_path / "out/model", path, tmp_path / "after")
    assert after > before + 0.2, (before, after)


@pytest.mark.slow
def test_without_labels_it_learns_from_what_it_is_sure_of_and_keeps_it(trained, tmp_path):
    path, model = trained
    told = Told()
    adapted = adapt_to(read_recipe(path), model, tmp_path / "out", settings=QUICK, progress=told)
    assert any("with a confident prediction and 0 labelled pixels" in text for text in told.words)
    assert accuracy(tmp_path / "out/model", path, tmp_path / "a") >= accuracy(model, path, tmp_path / "b") - 0.05
    assert adapted.legend == Trained.load(model).legend
    assert Trained.load(model).conformal is not None
    assert adapted.conformal is None, "the promise of prediction sets is that of the network before"
    assert not list((tmp_path / "out").glob("*checkpoint*"))


@pytest.mark.slow
def test_a_model_that_is_sure_of_nothing_says_so(trained, tmp_path):
    path, model = trained
    with pytest.raises(TrainingError, match="self-training is not possible"):
        adapt_to(read_recipe(path), model, tmp_path / "out", settings=Adapting(256, 1, 1, least=0.9999999, always=True))


def test_polygons_of_a_class_that_the_model_does_not_know_are_refused(trained, recipe, tmp_path):
    _, model = trained
    other = recipe(PATCHWORK, NATIVE + PAN_MS, "pan", **{"code = 3,": 'code = 7, values = ["3"],'})
    with pytest.raises(SamplesError, match="code 7"):
        adapt_to(read_recipe(other), model, tmp_path / "out", settings=replace(QUICK, polygons=True))


def test_a_forest_is_trained_again_instead(recipe, brief, tmp_path):
    with pytest.raises(TrainingError, match="cannot be adapted"):
        adapt_to(read_recipe(recipe(FOREST)), brief(FOREST).folder, tmp_path / "out", settings=QUICK)


def test_a_scene_without_a_source_is_adapted_to(trained, recipe, tmp_path):
    _, model = trained
    told = Told()
    bare = recipe(PATCHWORK, PAN_MS, "pan")
    whatever = replace(QUICK, least=0.0)  # three epochs make no model sure of itself
    adapt_to(read_recipe(bare), model, tmp_path / "out", settings=whatever, progress=told)
    assert any("no source 's2'" in text for text in told.words)


@pytest.mark.slow
def test_the_command(trained, tmp_path, capsys):
    path, model = trained
    arguments = ["adapt", str(model), "--scene", str(path), "--out", str(tmp_path / "next")]
    assert main(arguments) == 0
    assert "next/model" in capsys.readouterr().out
    assert main(arguments) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert main(["map", str(path), "--model", str(tmp_path / "next/model"), "--out", str(tmp_path / "mapped")]) == 0
    with pytest.raises(RunFolderError):
        adapt_to(read_recipe(path), model, tmp_path / "next", settings=QUICK)
    for folder in ("next", "next/model"):  # the record of the first adaptation would be lost
        with pytest.raises(RunFolderError, match="next has the model to adapt"):
            adapt_to(read_recipe(path), tmp_path / folder, tmp_path / "next", settings=QUICK, overwrite=True)


def said_of(model, path):
    scene = open_scene(read_recipe(path))
    return list(remarks(Trained.load(model).for_scene(scene), scene))


def test_nothing_is_said_of_the_scene_of_the_training(trained):
    path, model = trained
    assert said_of(model, path) == []


def test_a_sensor_that_the_model_never_saw_is_not_used_and_that_is_said(trained, recipe):
    _, model = trained
    more = PAN_MS.replace("[sources.pan]", "[sources.relief]").partition("[sources.ms]")[0]
    found = said_of(model, recipe(PATCHWORK, NATIVE + PAN_MS + more, "pan"))
    assert len(found) == 1
    assert "'relief'" in found[0]


def test_months_that_the_training_did_not_see_are_told(trained, recipe):
    _, model = trained
    autumn = S2.replace("start = 2021-02-01, end = 2021-07-31", "start = 2021-02-01, end = 2021-10-15")
    found = said_of(model, recipe(PATCHWORK, autumn + PAN_MS, "pan"))
    assert len(found) == 1
    assert "August, September" in found[0]


def test_the_other_hemisphere_is_told(trained):
    path, model = trained
    scene = open_scene(read_recipe(path))
    moved = replace(Trained.load(model), region=Region("EPSG:32631", (500e3, 5.60e6, 510e3, 5.61e6)))
    found = [text for text in remarks(moved, scene) if "half a year apart" in text]
    assert len(found) == 1
    assert "latitude 51" in found[0]
