import json
import pickle

import numpy as np
import pytest
import torch

from bocage.errors import TrainedError, TrainingError
from bocage.mapping import classify_at
from bocage.models import MODELS
from bocage.pipeline import open_run, read_recipe
from bocage.samples import Split
from bocage.training import Trained, Training, classify, loop, train
from conftest import FOREST, GRU, MULTIRESOLCC, PAN_MS, S2


@pytest.fixture
def opened(recipe, tmp_path):
    def open_(model=FOREST, sources=S2, like="s2"):
        return open_run(read_recipe(recipe(model, sources, like)), tmp_path / f"run{len(list(tmp_path.iterdir()))}")

    return open_


HEAD = "heads.full.linear.weight"
LONG = Training(epochs=40, learning_rate=0.02, batch_size=16)


def trained_on(opened, tmp_path, settings=LONG):
    r = opened.recipe
    return train(opened.scene, opened.samples, r.split, 0, r.model, r.config, settings, tmp_path / "trained")


@pytest.mark.parametrize(
    ("model", "sources", "like"), [(FOREST, S2, "s2"), (GRU, S2, "s2"), (MULTIRESOLCC, PAN_MS, "pan")]
)
def test_what_is_easy_is_learnt_saved_and_loaded(opened, tmp_path, model, sources, like, monkeypatch):
    run = opened(model, sources, like)
    trained = trained_on(run, tmp_path)
    test = run.samples.draw(run.recipe.split, 0).test
    found = classify(trained, run.samples, test, Training())
    assert (found == run.samples.label[test]).mean() > 0.9

    def refuse(*args, **kwargs):
        raise AssertionError("loading a model must not unpickle")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    again = Trained.load(tmp_path / "trained" / "model")
    assert np.array_equal(classify(again, run.samples, test, Training()), found)
    assert again.legend.names == ("maize", "meadow", "water")
    assert again.config == run.recipe.config
    place = run.samples.row[test], run.samples.column[test], run.samples.polygon[test]
    assert np.array_equal(classify_at(again, run.scene, *place, torch.device("cpu")), found), (
        "windows agree with patches"
    )


def test_the_same_seed_trains_the_same_network(opened, tmp_path):
    run = opened(GRU)
    first, second = (trained_on(run, tmp_path / name, Training(epochs=2)).model.state_dict() for name in "ab")
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_early_stopping_keeps_the_best_epoch(opened, tmp_path, monkeypatch):
    run, states = opened(GRU), []
    scores = iter([(1.0, 0.2), (0.9, 0.5), (0.8, 0.5), (0.9, 0.5), (0.7, 0.4), (0.9, 0.4), (0.0, 1.0)])

    def validate(work):
        states.append(work.task.model.state_dict()[HEAD].clone())
        return next(scores)

    monkeypatch.setattr(loop._Work, "validate", validate)
    trained = trained_on(run, tmp_path, Training(epochs=80, patience=3))
    lines = (tmp_path / "trained" / "curves.csv").read_text().splitlines()
    assert lines[0].split(",")[:4] == ["epoch", "train_loss", "validation_loss", "validation_f1"]
    assert len(lines) == 1 + 6, "three epochs after the third, which had the lowest loss of the best F-measure"
    assert torch.equal(trained.model.state_dict()[HEAD], states[2])
    assert not torch.equal(states[2], states[5])


def test_balanced_epochs_weights_and_limits(opened, tmp_path):
    run = opened(GRU)
    settings = Training(
        epochs=2, samples_per_epoch=30, class_weights="balanced", validation_samples=10, weight_decay=1e-4
    )
    trained_on(run, tmp_path, settings)
    assert len((tmp_path / "trained" / "curves.csv").read_text().splitlines()) == 3


def test_a_loss_that_is_no_number_stops(opened, tmp_path):
    with pytest.raises(TrainingError, match="learning_rate"):
        trained_on(opened(GRU), tmp_path, Training(epochs=9, learning_rate=1e20))


def test_damaged_model_folders_are_refused(opened, tmp_path):
    run = opened(GRU)
    trained_on(run, tmp_path, Training(epochs=1))
    folder = tmp_path / "trained" / "model"
    with pytest.raises(TrainedError, match="not a complete model folder"):
        Trained.load(tmp_path / "nowhere")
    weights = folder / "weights.safetensors"
    complete = weights.read_bytes()
    weights.write_bytes(complete[: len(complete) // 2])
    with pytest.raises(TrainedError, match="cannot be read"):
        Trained.load(folder)
    weights.write_bytes(complete)
    said = json.loads((folder / "trained.json").read_text())
    (folder / "trained.json").write_text(json.dumps(said | {"format": 99}))
    with pytest.raises(TrainedError, match="format 99"):
        Trained.load(folder)


def test_a_model_refuses_another_scene(opened, tmp_path, recipe):
    trained = trained_on(opened(GRU), tmp_path, Training(epochs=1))
    other = open_run(read_recipe(recipe(GRU, S2.replace("every = 20", "every = 30"))), tmp_path / "other")
    with pytest.raises(TrainedError, match="filled every 20 days, found filled every 30 days") as all_at_once:
        trained.check_scene(other.scene)
    assert "trained on 10 dates, found 7" in str(all_at_once.value), "every mismatch is named"
    other = open_run(read_recipe(recipe(GRU, S2.replace('indices = ["ndvi"]', ""))), tmp_path / "another")
    with pytest.raises(TrainedError, match="trained with bands red, nir, ndvi, found red, nir"):
        trained.check_scene(other.scene)
    other = open_run(read_recipe(recipe(GRU, S2.replace("scale = 0.0001", "scale = 1.0"))), tmp_path / "third")
    with pytest.raises(TrainedError, match="band red: values around .* other units"):
        trained.check_scene(other.scene)


def test_native_dates_train_too(opened, tmp_path):
    run = opened(GRU, S2.replace("fill =", "# fill ="))
    trained = trained_on(run, tmp_path)
    assert trained.model.encoder.day_of_year
    assert len(trained.sources["s2"].days) == 6


def test_settings_have_ranges():
    for bad in ({"epochs": 0}, {"learning_rate": 0.0}, {"samples_per_epoch": -1}):
        with pytest.raises(ValueError, match="at least|above"):
            Training(**bad)
    with pytest.raises(ValueError, match="share between 0 and 1"):
        Split(train=1.5)
    for name, bad in {"random_forest": {"trees": 0}, "gru": {"units": 0}, "multiresolcc": {"patch": 8}}.items():
        with pytest.raises(ValueError, match="at least"):
            MODELS.get(name).Config(**bad)
