"""Models for others: ONNX, STAC items, the list of the shelf."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnxruntime
import pystac
import pytest
import torch
from pystac.extensions.mlm import MLMExtension

from bocage.cli import main
from bocage.errors import ModelError, TrainedError
from bocage.jobs.models import counted_facts, stored_facts
from bocage.legend import LandClass, Legend
from bocage.models import MODELS, build, card_of
from bocage.testing import random_batch
from bocage.training import Normalisation, Region, Trained
from bocage.training.calibration import Calibration
from bocage.training.export import export
from bocage.training.records import SourceRecord
from conftest import once
from test_contracts import MODEL_CASES

LEGEND = Legend((LandClass(1, "maize"), LandClass(4, "wet meadow"), LandClass(9, "water")))


def made(name, case=0, **more):
    """A network of the shelf as if it had been trained."""
    inputs, settings = MODEL_CASES[name][case]
    settings = settings | more
    torch.manual_seed(2)
    config = MODELS.get(name).Config(**settings)
    model = build(MODELS.get(name), inputs, 3, config).eval()
    if model.abilities.fitted:
        model.fit(random_batch(inputs, model.footprints, torch.Generator().manual_seed(0), 30), torch.arange(30) % 3, 0)
    used = {n: inputs[n] for n in model.footprints}
    records = {
        n: SourceRecord(s, tuple(range(19000, 19000 + 10 * s.dates, 10)), 1.0, 0.0, None, None, "nearest", 10.0)
        for n, s in used.items()
    }
    zeros, ones = ({n: tuple(float(v) for _ in s.bands) for n, s in used.items()} for v in (0, 2))
    norm = Normalisation("mean-std", zeros, ones)
    region = Region("EPSG:32740", (338000.0, 7667000.0, 339000.0, 7668000.0))
    return Trained(name, config, LEGEND, records, norm, model, region, {"bocage": "0"}, Calibration(1.7, 10))


@pytest.fixture(scope="session")
def exported(shared):
    """Folders of networks that were exported, by name."""
    return lambda name: once(shared / f"exported-{name}", lambda folder: export(made(name), folder))


ALONE = ("random_forest", "lightgbm", "patchwork")
"""Decision trees do not export, and patchwork has the test below, with several temperatures."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name not in ALONE])
def test_onnx_gives_the_same_logits(name, exported):
    """On other inputs and another number of samples than the graph was made with."""
    trained = made(name)
    session = onnxruntime.InferenceSession(str(exported(name) / "model.onnx"), providers=["CPUExecutionProvider"])
    batch = random_batch(trained.inputs, trained.footprints, torch.Generator().manual_seed(5), size=11)
    known = {one.name for one in session.get_inputs()}
    fed = {f"{n}_{part}": getattr(t, part).numpy() for n, t in batch.items() for part in ("values", "valid", "days")}
    found = session.run(None, {key: value for key, value in fed.items() if key in known})[0]
    with torch.no_grad():
        expected = trained.model(batch)[:, :, 0, 0].numpy() / 1.7
    assert np.abs(found - expected).max() < 1e-4
    assert np.abs(expected).max() > 1e-3


@pytest.mark.slow
def test_onnx_has_the_temperatures_of_sources_and_of_the_season(tmp_path):
    alone = made("patchwork")
    series = list(alone.series)
    partial = {name: 1.0 + k for k, name in enumerate(alone.footprints, 1)}
    calibration = Calibration(1.7, 10, partial=partial, season=((19000.0, 3.0), (19030.0, 1.7)))
    trained = replace(alone, calibration=calibration)
    export(trained, tmp_path / "out")
    session = onnxruntime.InferenceSession(str(tmp_path / "out/model.onnx"), providers=["CPUExecutionProvider"])
    batch = random_batch(trained.inputs, trained.footprints, torch.Generator().manual_seed(5), size=12)
    for k, name in enumerate(batch):  # a sample with this source alone, the others with all
        for other in batch:
            if other != name:
                batch[other].valid[k] = False
    batch[series[0]].valid[6:9, 2:] = False
    fed = {f"{n}_{part}": getattr(t, part).numpy() for n, t in batch.items() for part in ("values", "valid", "days")}
    found = session.run(None, {one.name: fed[one.name] for one in session.get_inputs()})[0]
    with torch.no_grad():
        logits = trained.model(batch)
        expected = trained.scaled(logits, batch)[:, :, 0, 0].numpy()
    assert np.abs(found - expected).max() < 1e-4
    assert np.abs(expected - logits[:, :, 0, 0].numpy() / 1.7).max() > 1e-2


@pytest.mark.slow
def test_the_item_says_what_the_model_is(exported):
    out = exported("m3fusion")
    item = pystac.Item.from_file(str(out / "item.json"))
    assert "(int32: batch, time; days since 1970-01-01)" in str(item.to_dict())
    before = made("m3fusion").footprints["vhr"].before
    assert f"the map pixel begins at row and column {before}, counted from 0; beside it vhr_valid" in str(
        item.to_dict()
    )
    said = MLMExtension.ext(item)
    assert said.architecture == "m3fusion"
    assert [one.name for one in said.input] == ["s2_values", "vhr_values"]
    assert said.input[0].properties["value_scaling"] == [{"type": "z-score", "mean": 0.0, "stddev": 2.0}] * 3
    assert said.input[1].input.shape == [-1, 1, 2, 12, 12]
    assert [c.value for c in said.output[0].classes] == [1, 4, 9]
    assert said.total_parameters == sum(p.numel() for p in made("m3fusion").model.parameters())
    assert said.hyperparameters.to_dict()["patch"] == 12
    west, south, east, north = item.bbox
    assert 55 < west < east < 56
    assert -22 < south < north < -21
    data = (out / "model.onnx").read_bytes()
    assert item.assets["model"].extra_fields["file:size"] == len(data)


@pytest.mark.slow
def test_days_of_several_sites_are_exported_and_the_item_says_that_they_are_thermal(tmp_path):
    """The record of a source has the days of all sites, and the network reads the dates of one."""
    alone, clock = made("tempcnn"), "thermal, base 8 °C, cap 30 °C, since 01-01, 17 °C days"
    longer = {
        name: replace(one, days=(*one.days, *(day + 365 for day in one.days)), clock=clock)
        for name, one in alone.sources.items()
    }
    export(replace(alone, sources=longer), tmp_path / "out")
    assert (tmp_path / "out/model.onnx").exists()
    said = json.loads((tmp_path / "out/item.json").read_text(encoding="utf-8"))
    assert f"stand for growing degree days: {clock}" in str(said)


@pytest.mark.parametrize("name", ["random_forest", "lightgbm"])
def test_trees_do_not_export_and_say_so(name, tmp_path):
    with pytest.raises(ModelError, match=f"{name} does not export to ONNX"):
        export(made(name), tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_export_overwrites_nothing_and_keeps_nothing_wrong(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    with pytest.raises(TrainedError, match="exists; choose another"):
        export(made("gru"), tmp_path / "out")
    monkeypatch.setattr("bocage.training.export.TOLERANCE", -1.0)
    with pytest.raises(TrainedError, match="logits of ONNX and PyTorch differ"):
        export(made("gru"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_export_says_nothing_of_packages_that_it_does_not_use(tmp_path):
    line = "from test_export import *; from pathlib import Path; export(made('tempcnn'), Path('exported'))"
    path = os.pathsep.join(sys.path)
    done = subprocess.run(  # in a process of its own: PyTorch says it once
        [sys.executable, "-W", "ignore", "-c", line],
        check=True, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert "torchvision" not in done.stderr + done.stdout


@pytest.mark.slow
def test_the_command_exports(recipe, tmp_path, capsys):
    assert main(["train", str(recipe('name = "tempcnn"\nfilters = 4\ndense = 6')), "--out", str(tmp_path / "run")]) == 0
    assert main(["export", str(tmp_path / "run"), str(tmp_path / "onnx")]) == 0
    assert "same logits as PyTorch" in capsys.readouterr().out
    assert (tmp_path / "onnx/model.onnx").exists()


@pytest.mark.slow
def test_the_stored_facts_are_those_of_the_networks():
    """Parameters and cost are counted again; after a change: python -m bocage.jobs.models."""
    assert stored_facts() == counted_facts()


def test_the_shelf_is_listed_with_what_it_costs(capsys):
    assert main(["models", "--json"]) == 0
    found = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert set(found) == set(MODELS)
    dates, units, bands = 34, 1024, 16
    each = 3 * units * (bands + units) + units * units + 2 * units  # gates, attention, its score and its sum
    assert found["gru"]["multiply_adds"] == pytest.approx(dates * each + 10 * units, rel=1e-3)
    # Dense: every layer once a PAN pixel, the MS branch once in 16.
    pan = 9 * 128 + 9 * 128 * 256 + 9 * 256 * 512 + 512 * 10
    ms = 9 * 4 * 256 + 9 * 256 * 512 + 9 * 512 * 1024 + 1024 * 10
    assert found["multiresolcc"]["multiply_adds"] == pytest.approx(pan + ms / 16, rel=1e-3)
    assert found["multiresolcc"]["footprint"] == "pan 32 × 32, ms 8 × 8"
    assert found["m3fusion"]["dense"] == "patches"
    assert found["random_forest"]["parameters"] is None
    assert main(["models"]) == 0
    shown = capsys.readouterr().out
    assert "8 401 182" in shown
    assert "multiresolcc" in shown


def test_a_network_of_ones_own_needs_no_card():
    class Own:
        """A file of models/ without a CARD."""

    assert card_of(Own).published is None
    assert card_of(Own).dense == "exact"
