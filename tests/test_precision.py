"""Maps in bfloat16: only where that was seen to change next to nothing, and with a word where it is no faster."""

import numpy as np
import pytest
import rasterio
import torch

from bocage.errors import RunFolderError
from bocage.jobs.map import map_with
from bocage.jobs.run import run
from bocage.recipe import read_recipe
from bocage.training import Trained
from bocage.training.precision import Reduced, check_bfloat16
from conftest import GRU, Told

REDUCED = {"tile = 32": 'tile = 32\nprecision = "bfloat16"', "batch_size = 16": 'batch_size = 16\ndevice = "cpu"'}


@pytest.fixture
def reduced(recipe):
    return read_recipe(recipe(GRU, **REDUCED))


def mapped(reduced, out):
    """Words said while the map was made."""
    told = Told()
    run(reduced, out, ("train", "map"), told)
    return told.words


def test_validation_samples_are_looked_at_and_the_map_says_what_it_is_in(reduced, tmp_path):
    words = " ".join(mapped(reduced, tmp_path / "out"))
    found = Reduced.load(tmp_path / "out/splits/0/model")
    assert found is not None
    assert 0 < found.samples <= 2048
    assert ("computed in bfloat16" if found.is_harmless else "in float32, not in bfloat16") in words
    assert f"{found.same:.1%} of {found.samples} validation samples keep their class" in words


def test_it_counts_what_bfloat16_changes(reduced, tmp_path):
    opened = run(reduced, tmp_path / "out", ("train",))
    trained = Trained.load(tmp_path / "out/splits/0/model")
    whole = trained.model.forward

    def spoiled(batch):
        logits = whole(batch)
        return logits.flip(1) if torch.is_autocast_enabled("cpu") else logits

    trained.model.forward = spoiled
    members = opened.samples.draw(0).validation
    found = check_bfloat16(trained, opened.samples.chips, members, "cpu")
    assert found.same < 1
    assert not found.is_harmless
    assert not check_bfloat16(trained, opened.samples.chips, members[:0], "cpu").is_harmless, "nothing was looked at"


@pytest.mark.slow
def test_where_it_changes_classes_the_map_is_the_one_in_float32(recipe, reduced, tmp_path, monkeypatch):
    monkeypatch.setattr("bocage.run.stages.check_bfloat16", lambda *_: Reduced(100, 0.9, 0.8, 0.9))
    assert any("in float32, not in bfloat16" in text for text in mapped(reduced, tmp_path / "out"))
    run(read_recipe(recipe(GRU)), tmp_path / "plain", ("train", "map"))
    pair = []
    for name in ("out", "plain"):
        with rasterio.open(tmp_path / name / "map/classes.tif") as dataset:
            pair.append(dataset.read(1))
    assert np.array_equal(*pair)


@pytest.mark.slow
def test_a_model_never_looked_at_is_refused_elsewhere(recipe, reduced, tmp_path):
    run(read_recipe(recipe(GRU)), tmp_path / "out", ("train",))
    model = tmp_path / "out/splits/0/model"
    with pytest.raises(RunFolderError, match="no comparison of bfloat16"):
        map_with(reduced, model, tmp_path / "elsewhere")
    Reduced(9, 1.0, 1.0, 1.0).save(model)
    told = Told()
    map_with(reduced, model, tmp_path / "elsewhere", told)
    assert any("computed in bfloat16" in text for text in told.words)


@pytest.mark.parametrize(
    ("has", "said"),
    [
        ({"architecture": "x86_64", "avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, False),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_a_processor_that_imitates_bfloat16_is_told(reduced, tmp_path, monkeypatch, has, said):
    monkeypatch.setattr("bocage.run.stages.check_bfloat16", lambda *_: Reduced(100, 0.9, 0.9, 1.0))
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: has, raising=False)  # PyTorch before 2.11 has none
    assert any("no instructions for bfloat16" in text for text in mapped(reduced, tmp_path / "out")) is said
