"""Features of a network as a raster: the same for all windows, and a source like any other."""

import json

import numpy as np
import pytest
import rasterio
import torch

from bocage.cli import main
from bocage.errors import ModelError, RunFolderError
from bocage.grid import Window
from bocage.jobs.embed import embed
from bocage.jobs.pretrain import pretrain_on
from bocage.jobs.run import run
from bocage.mapping.embedding import features_at
from bocage.mapping.lattice import Lattice
from bocage.mapping.predict import Forward
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.sources import SENSORS, image, open_source
from bocage.training import Pretrained, Pretraining, load_encoder
from conftest import FOREST, PAN_MS, S2, Told

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'
CPU = torch.device("cpu")


@pytest.fixture
def pretrained(recipe, tmp_path):
    """A recipe, and the folder of a pretraining on it."""
    path = recipe(PATCHWORK, NATIVE + PAN_MS, "s2")
    pretrain_on(read_recipe(path), tmp_path / "start", Pretraining(pixels=256, epochs=1))
    return path, tmp_path / "start"


@pytest.mark.slow
def test_features_do_not_depend_on_the_windows_and_read_back(pretrained, tmp_path, capsys):
    path, start = pretrained
    assert main(["embed", str(start), "--scene", str(path), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert 'sensor = "image", path = ' in said.out
    assert "The recipe has no source" not in said.err
    parsed = read_recipe(path)
    scene = open_scene(parsed, Told(), tmp_path)
    trained, with_labels = load_encoder(start, scene)
    assert not with_labels
    how = Forward(CPU, Lattice((16, 16), 16))
    whole = features_at(trained, scene, scene.grid.window, how)
    for part in (Window(16, 32, 16, 16), Window(0, 16, 48, 32), Window(32, 0, 16, 48)):  # of whole cells
        piece = features_at(trained, scene, part, how)
        assert np.array_equal(piece.values, whole.values[(slice(None), *part.within(scene.grid.window))])
    source = open_source("f", SENSORS.get("image"), image.Settings(tmp_path / "out/features.tif"))
    values, valid = source.read(source.grid, source.grid.window)
    one = features_at(trained, scene, scene.grid.window, Forward(CPU))
    steps = list(json.loads((tmp_path / "out/features.json").read_text())["bands"].values())
    assert source.grid == scene.grid
    assert np.array_equal(valid[0], one.valid)
    step = np.array(steps)[:, None, None]
    assert (np.abs(values[0] - one.values) <= 0.51 * step + 1e-4)[:, one.valid].all()
    assert (np.ptp(values[0][:, one.valid], axis=1) > 100 * step.ravel()).mean() > 0.5, (
        "they differ from pixel to pixel"
    )
    with rasterio.open(tmp_path / "out/features.tif") as dataset:
        assert (dataset.dtypes[0], dataset.nodata, dataset.count) == ("int16", -32768, trained.model.width)
        assert dataset.descriptions[0] == "f001"
    with pytest.raises(RunFolderError, match=r"features.tif exists. Choose another --out, or give --overwrite"):
        embed(parsed, start, tmp_path / "out")
    content = (tmp_path / "out/features.tif").read_bytes()
    (tmp_path / "out/features.json").unlink()  # as after a kill between the two files: the same command completes them
    embed(parsed, start, tmp_path / "out")
    assert (tmp_path / "out/features.tif").read_bytes() == content
    assert (tmp_path / "out/features.json").exists()


@pytest.mark.slow
def test_weights_of_the_pretraining_are_those_of_the_features(pretrained, tmp_path):
    path, start = pretrained
    scene = open_scene(read_recipe(path), Told(), tmp_path)
    trained, _ = load_encoder(start / "pretrained", scene)
    weights = Pretrained.load(start / "pretrained").weights
    state = trained.model.state_dict()
    assert weights
    assert all(torch.equal(state[key], value) for key, value in weights.items())
    assert trained.normalisation == Pretrained.load(start / "pretrained").normalisation


@pytest.mark.slow
def test_features_are_a_source_with_accuracy_and_map(pretrained, recipe, tmp_path):
    path, start = pretrained
    made = embed(read_recipe(path), start, tmp_path / "out")
    source = f'[sources.f]\nsensor = "image"\npath = "{made}"\n'
    out = tmp_path / "run"
    run(read_recipe(recipe(FOREST, source, "f")), out)
    assert (out / "map/classes.tif").exists()
    assert json.loads((out / "report.json").read_text())


@pytest.mark.slow
def test_sources_that_the_scene_lacks_are_told(pretrained, recipe, tmp_path):
    _, start = pretrained
    told = Told()
    embed(read_recipe(recipe(PATCHWORK, NATIVE, "s2")), start, tmp_path / "out", told)
    assert any("The recipe has no source 'ms', 'pan'" in line for line in told.words)


@pytest.mark.slow
def test_a_network_without_features_and_one_with_labels_are_said(recipe, tmp_path):
    parsed = read_recipe(recipe(FOREST, S2, "s2"))
    run(parsed, tmp_path / "run")
    with pytest.raises(ModelError, match="random_forest has no features to write"):
        embed(parsed, tmp_path / "run", tmp_path / "out")
    assert not (tmp_path / "out/features.tif").exists()
