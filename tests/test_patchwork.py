"""Patchwork does without: dates, sources, both, per pixel; and says so."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import torch

from bocage.errors import ModelError, TrainedError
from bocage.grid import Ratio, Window
from bocage.jobs.run import run
from bocage.mapping import Forward, Mapping, make_map, predict, predict_at
from bocage.models import MODELS, InputSpec, SourceTensor, build
from bocage.models.patchwork import Config
from bocage.models.shares import Shares
from bocage.recipe import read_recipe
from bocage.run import open_run, open_scene
from bocage.samples import Pixels
from bocage.testing import random_batch
from bocage.training import Trained, Trainer, Training, classified
from bocage.training.calibration import Calibration
from conftest import PAN_MS, S2, trained_briefly

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'
INPUTS = {
    "s1": InputSpec("s1", ("vv", "vh"), 6, Ratio(), regular=False),
    "vhr": InputSpec("vhr", ("red", "nir"), 1, Ratio(finer=3)),
}
OPTICAL = InputSpec("s2", ("red", "nir", "ndvi", "swir16"), 5, Ratio(), regular=False, points=True)


@pytest.fixture
def network():
    torch.manual_seed(5)
    return build(MODELS.get("patchwork"), INPUTS, 4, Config(preset="small", filters=(3, 4))).eval()


@pytest.fixture
def batch(network):
    return dict(random_batch(INPUTS, network.footprints, torch.Generator().manual_seed(2), size=3))


def only(tensor, dates):
    return SourceTensor(tensor.values[:, dates], tensor.valid[:, dates], tensor.days[:, dates])


def empty(tensor):
    return SourceTensor(tensor.values, torch.zeros_like(tensor.valid), tensor.days)


@torch.no_grad()
def test_a_masked_date_is_one_that_was_not_taken_and_order_does_not_matter(network, batch):
    s1 = batch["s1"]
    valid = s1.valid.clone()
    valid[:, [1, 4]] = False
    masked = network(batch | {"s1": SourceTensor(s1.values, valid, s1.days)})
    s1 = SourceTensor(s1.values, valid, s1.days)
    for dates in ([0, 2, 3, 5], [5, 3, 0, 2]):
        assert torch.allclose(network(batch | {"s1": only(s1, dates)}), masked, atol=1e-5)


def test_a_map_leaves_out_dates_that_rows_do_not_have_and_says_the_same(network):
    """Row by row on a map, in one piece where there are gradients."""
    days, rows = torch.arange(0, 180, 30)[None].int(), 40
    valid = torch.rand(1, 6, rows + 2, 14, generator=torch.Generator().manual_seed(1)) > 0.5
    valid[:, :3, :18], valid[:, 4, 20:], valid[:, :, 28:] = False, False, False  # the last rows have no date at all
    values = torch.randn(1, 6, 2, rows + 2, 14, generator=torch.Generator().manual_seed(2)) * valid[:, :, None]
    encoder = network.encoders["s1"]
    whole, seen = encoder(SourceTensor(values, valid, days), 0.0)
    with torch.inference_mode():
        by_rows, again = encoder(SourceTensor(values, valid, days), 0.0)
    assert torch.equal(seen, again)
    assert 0 < seen.float().mean() < 1
    assert torch.allclose(by_rows[seen], whole[seen], atol=1e-5)


@torch.no_grad()
def test_a_source_that_is_not_given_is_one_that_is_masked(network, batch):
    for name in INPUTS:
        rest = {other: tensor for other, tensor in batch.items() if other != name}
        masked = network(batch | {name: empty(batch[name])})
        assert torch.allclose(network(rest), masked, atol=1e-5)
        assert not torch.allclose(network(rest), network(batch), atol=1e-3)
    with pytest.raises(ModelError, match="one of its sources"):
        network({})


def test_dropouts_hide_dates_and_sources_but_never_everything(network, batch):
    network.train()
    torch.manual_seed(0)
    seen = torch.stack([torch.stack([s for _, s in network._encode(batch).values()]) for _ in range(200)])
    hidden = 1 - seen.float().mean((0, 2, 3, 4))
    assert (hidden > 0.1).all()
    assert (hidden < 0.35).all()
    assert seen.any(1).all()


def test_the_day_of_the_year_counts_and_not_the_year(network, batch):
    s1 = batch["s1"]
    later = SourceTensor(s1.values, s1.valid, s1.days + 60)
    next_leap = SourceTensor(s1.values, s1.valid, s1.days + 1461)
    with torch.no_grad():
        assert not torch.allclose(network(batch | {"s1": later}), network(batch), atol=1e-3)
        assert torch.allclose(network(batch | {"s1": next_leap}), network(batch), atol=1e-5)


@pytest.fixture
def trained(brief):
    found = brief(PATCHWORK, NATIVE + PAN_MS, "pan")
    return found.trained, found.scene


def read(folder, layer):
    with rasterio.open(folder / f"{layer}.tif") as dataset:
        return dataset.read(), dataset.descriptions


def test_a_scene_without_a_source_is_mapped_and_that_is_said(trained, recipe, tmp_path):
    model, _ = trained
    said = []
    progress = type("Said", (), {"say": staticmethod(said.append), "step": staticmethod(lambda *a: None)})()
    settings = Mapping(layers=("classes", "validity", "novelty"))
    scene = open_scene(read_recipe(recipe(PATCHWORK, PAN_MS, "pan")))
    make_map(model, scene, settings, tmp_path / "map", progress=progress)
    assert any("'s2'" in text for text in said)
    classes, _ = read(tmp_path / "map", "classes")
    assert (classes > 0).all()
    assert read(tmp_path / "map", "validity")[1] == ("pan: clear dates", "ms: clear dates")


def test_other_dates_than_those_of_the_training_are_mapped(trained, recipe, tmp_path):
    model, _ = trained
    filled = open_scene(read_recipe(recipe(PATCHWORK, S2.replace("every = 20", "every = 30") + PAN_MS, "pan")))
    make_map(model, filled, Mapping(layers=("classes", "novelty")), tmp_path / "map")
    assert (read(tmp_path / "map", "classes")[0] > 0).all()


@pytest.mark.slow
def test_a_model_of_filled_dates_knows_how_far_other_dates_are(recipe, brief, tmp_path):
    model = brief(PATCHWORK, S2 + PAN_MS, "pan").trained
    native = open_scene(read_recipe(recipe(PATCHWORK, NATIVE + PAN_MS, "pan")))
    make_map(model, native, Mapping(layers=("classes", "novelty")), tmp_path / "map")
    assert (read(tmp_path / "map", "classes")[0] > 0).all()


@torch.no_grad()
def test_masked_neighbours_add_nothing_and_seen_ones_do(network, batch):
    """Radar of a pixel is read with that of the pixels around it, where there is some."""
    s1 = batch["s1"]
    valid = s1.valid.clone()
    valid[:, :, 0] = False
    masked = network(batch | {"s1": SourceTensor(s1.values, valid, s1.days)})
    other = torch.where(valid[:, :, None], s1.values, torch.tensor(float("nan")))
    assert torch.equal(network(batch | {"s1": SourceTensor(other, valid, s1.days)}), masked)
    other = s1.values.clone()
    other[:, :, :, 2] += 1
    assert not torch.allclose(network(batch | {"s1": SourceTensor(other, valid, s1.days)}), masked, atol=1e-3)


@torch.no_grad()
def test_attention_adds_up_to_one_over_the_valid_dates(network, batch):
    s1 = batch["s1"]
    valid = s1.valid.clone()
    valid[:, 2] = False
    found = network.attention(batch | {"s1": SourceTensor(s1.values, valid, s1.days)})
    assert set(found) == {"s1"}, "an image has no dates"
    assert torch.allclose(found["s1"].sum(1), torch.ones(3))
    assert torch.equal(found["s1"] > 0, valid[:, :, 1, 1]), "the pixel in the middle of its footprint"


@pytest.mark.slow
def test_the_report_tells_which_source_serves_which_class_and_where_it_looks(recipe, tmp_path):
    done = run(read_recipe(recipe(PATCHWORK, NATIVE + PAN_MS, "pan")), tmp_path / "run")
    said = json.loads((tmp_path / "run/report.json").read_text())["importance"]
    classes = len(done.samples.legend.classes)
    assert {name: len(lost) for name, lost in said["by_class"].items()} == {
        "s2": classes,
        "pan": classes,
        "ms": classes,
    }
    assert np.shape(said["attention"]["s2"]) == (classes, len(said["days"]["s2"]))
    page = (tmp_path / "run/report.html").read_text()
    assert "Attention weight of each date of s2" in page
    assert "Attention: mean weight of each date" in page


def test_points_of_a_table_have_nothing_around_them():
    points = {
        "s1": InputSpec("s1", ("vv", "vh"), 6, Ratio(), points=True),
        "relief": InputSpec("relief", ("altitude",), 1, Ratio(), points=True),
    }
    network = build(MODELS.get("patchwork"), points, 3, Config(preset="small")).eval()
    assert {footprint.size for footprint in network.footprints.values()} == {1}
    with torch.no_grad():
        logits = network(random_batch(points, network.footprints, torch.Generator().manual_seed(0), size=2))
    assert logits.shape == (2, 3, 1, 1)


def test_a_scene_with_none_of_the_sources_is_refused(trained, recipe):
    model, _ = trained
    scene = open_scene(
        read_recipe(
            recipe(PATCHWORK, PAN_MS.replace("sources.pan", "sources.a").replace("sources.ms", "sources.b"), "a")
        )
    )
    with pytest.raises(TrainedError, match="source 's2' is missing"):
        model.for_scene(scene).check_scene(scene)


def test_one_source_at_a_pixel_is_enough_and_none_is_no_data(recipe, landscape, tmp_path):
    with rasterio.open(landscape / "pan.tif", "r+") as dataset:
        pan = dataset.read()
        pan[:, :, 30:] = 0
        dataset.write(pan)
    with rasterio.open(landscape / "ms.tif", "r+") as dataset:
        ms = dataset.read()
        ms[:, -3:] = 0
        dataset.write(ms)
    path = recipe(
        PATCHWORK,
        PAN_MS.replace('bands = ["pan"]', 'bands = ["pan"]\nnodata = 0').replace(
            'bands = ["red", "nir"]', 'bands = ["red", "nir"]\nnodata = 0'
        ),
        "pan",
    )
    model, scene = trained_briefly(path, tmp_path)
    make_map(model, scene, Mapping(layers=("classes", "validity")), tmp_path / "map")
    classes, validity = read(tmp_path / "map", "classes")[0][0], read(tmp_path / "map", "validity")[0]
    assert np.array_equal(classes > 0, (validity > 0).any(0))
    assert (classes == 0).any()
    assert ((classes > 0) & (validity[0] == 0)).any()
    assert ((classes > 0) & (validity[1] == 0)).any()


def test_confidence_depends_on_what_a_pixel_is_seen_by(trained, tmp_path):
    model, scene = trained
    mixtures = ("s2", "pan", "ms", "s2+pan", "s2+ms", "pan+ms")
    assert tuple(model.calibration.partial) == mixtures
    partial = {mixture: 1.5 + i for i, mixture in enumerate(mixtures)}
    told = replace(model, calibration=replace(model.calibration, temperature=1.0, partial=partial))
    told.save(tmp_path / "model")
    again = Trained.load(tmp_path / "model")
    assert again.calibration == told.calibration
    window = Window(0, 0, 8, 8)
    whole = predict(replace(told, calibration=Calibration()), scene, window, torch.device("cpu")).probabilities
    assert np.allclose(predict(again, scene, window, torch.device("cpu")).probabilities, whole)
    less = replace(scene, cubes={name: cube for name, cube in scene.cubes.items() if name != "s2"})
    bare = predict(replace(told, calibration=Calibration()).for_scene(less), less, window, torch.device("cpu"))
    found = predict(again.for_scene(less), less, window, torch.device("cpu")).probabilities
    softened = bare.probabilities ** (1 / partial["pan+ms"])
    assert np.allclose(found, softened / softened.sum(0), atol=1e-5)


def test_the_confidence_before_calibration_is_that_of_the_logits(landscape, recipe, tmp_path):
    """Also of test pixels with a part of the sources, which have a temperature of their own."""
    with rasterio.open(landscape / "pan.tif", "r+") as dataset:
        pan = dataset.read()
        pan[:, :, pan.shape[2] // 2 :] = 0
        dataset.write(pan)
    path = recipe(PATCHWORK, PAN_MS.replace('bands = ["pan"]', 'bands = ["pan"]\nnodata = 0'), "pan")
    opened, device = open_run(read_recipe(path), tmp_path / "run"), torch.device("cpu")
    settings = Training(epochs=1, learning_rate=0.002, batch_size=16, calibrate=False)
    model = Trainer(replace(opened.recipe.choice, training=settings), opened.scene, opened.samples).train(
        0, tmp_path / "t"
    )
    told = replace(model, calibration=Calibration(1.5, partial={"pan": 2.5, "ms": 0.2}))
    chips, test = opened.samples.chips, opened.samples.draw(0).test
    plain, found = (opened._classified(one, test, 0) for one in (model, told))
    assert np.array_equal(found.predicted, plain.predicted)
    assert found.uncalibrated == pytest.approx(plain.confidence, abs=1e-5)
    assert plain.uncalibrated == pytest.approx(plain.confidence, abs=1e-6)
    made = predict_at(told, opened.scene, opened.samples.pixels(test), Forward(device))
    probabilities, temperature = classified(told, chips, test, "cpu")
    assert np.unique(temperature) == pytest.approx([0.2, 1.5])
    assert temperature == pytest.approx(made.temperature)
    assert probabilities == pytest.approx(found.probabilities, abs=1e-5)
    assert classified(model, chips, test, "cpu")[1] == 1
    away = abs(found.confidence - plain.confidence) > 1e-3
    assert away[temperature < 1].any()
    assert away[temperature > 1].any()


@pytest.mark.parametrize("polygons", [False, True])
def test_windows_are_classified_on_their_device_and_without_dropout(brief, monkeypatch, polygons):
    """A model that was loaded is on the processor, whatever the device of the windows."""
    made = brief(PATCHWORK, S2)
    trained, window, device = made.trained, Window(4, 6, 5, 7), torch.device("cpu")
    row, column = (part.ravel().astype(np.int32) for part in np.mgrid[4:9, 6:13])
    pixels = Pixels(row, column, np.zeros(35, np.int16), np.zeros(35, np.int32))

    def classified_here():
        if polygons:
            return predict_at(trained, made.scene, pixels, Forward(device)).probabilities
        return predict(trained, made.scene, window, device).probabilities

    expected, moved = classified_here(), []
    trained.model.train()
    monkeypatch.setattr(trained.model, "to", lambda where: moved.append(where) or trained.model)
    assert np.array_equal(classified_here(), expected)
    assert moved == [device]


def test_temperatures_follow_the_sources_pixel_by_pixel():
    calibration = Calibration(1.0, partial={"a": 2.0, "b": 3.0})
    seen = {"a": torch.tensor([[True, True], [False, False]]), "b": torch.tensor([[True, False], [True, False]])}
    assert calibration.temperatures(seen).tolist() == [[1.0, 2.0], [3.0, 3.0]]
    assert calibration.temperatures({"b": torch.tensor([True, False])}).tolist() == [3.0, 3.0]


def test_two_processes_train_though_a_source_is_hidden_from_a_whole_batch(recipe, tmp_path, forked):
    """The head of a source that none of a process's samples has does not serve that batch."""
    more = {
        "batch_size = 16": 'batch_size = 4\ndevices = 2\ndevice = "cpu"\ncalibrate = false',  # one training, not two
        "epochs = 4": "epochs = 1",
        "draws = 2": "draws = 1",
    }
    read = read_recipe(recipe(f"{PATCHWORK}\nsensor_dropout = 0.9", NATIVE + PAN_MS, "pan", **more))
    run(read, tmp_path / "out", ("train",))
    assert all(torch.isfinite(p).all() for p in Trained.load(tmp_path / "out/splits/0/model").model.parameters())


@torch.no_grad()
def test_shares_are_those_of_the_physical_values_whatever_their_scaling():
    shares = Shares(OPTICAL.bands)
    physical = torch.tensor([[0.05, 0.45, 0.8, 0.25], [-0.01, 0.001, 0.2, 0.002]])
    offset, scale = torch.tensor([0.1, 0.3, 0.5, 0.2]), torch.tensor([0.02, 0.1, 0.3, 0.05])
    shares.use_scaling(offset.tolist(), scale.tolist())
    found = shares((physical - offset) / scale)
    # Mean of red, nir and swir16 (an index is no reflectance): 0.25, then a mean of 0.001, for which 0.02 stands.
    expected = 3 * torch.tensor([[0.2 - 1, 1.8 - 1, 0.0], [0 - 1, 0.05 - 1, 0.1 - 1]])
    assert torch.allclose(found, expected, atol=1e-4)
    shares.use_scaling((offset * 7).tolist(), (scale * 7).tolist())  # brighter by any factor, the same shares
    assert torch.allclose(shares((physical - offset) / scale)[0], expected[0], atol=1e-4)


@pytest.mark.parametrize("bands", [("vv", "vh"), ("nir", "ndvi"), ("B1", "B2")])
def test_bands_that_are_no_reflectances_have_no_shares(bands):
    assert Shares(bands).count == 0
    model = build(MODELS.get("patchwork"), {"s": replace(OPTICAL, bands=bands)}, 3, Config(preset="small", shares=True))
    assert model.encoders["s"].bands.in_features == 2


def test_shares_reach_the_network():
    torch.manual_seed(1)
    model = build(MODELS.get("patchwork"), {"s2": OPTICAL}, 3, Config(preset="small", shares=True))
    batch = random_batch({"s2": OPTICAL}, model.footprints, torch.Generator().manual_seed(3), size=2)
    model.eval()
    with torch.no_grad():
        before = model(batch)
        model.use_scaling({"s2": (0.1, 0.3, 0.5, 0.2)}, {"s2": (0.02, 0.1, 0.3, 0.05)})
        assert not torch.allclose(model(batch), before)
