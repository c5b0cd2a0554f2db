"""Trees fitted to few samples, and models that predict one class."""

from dataclasses import replace

import pytest
import torch

from bocage.grid import Ratio
from bocage.models import InputSpec, SourceTensor, lightgbm
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.training import Trainer, Training
from bocage.training import train as training_room
from conftest import FOREST, GRU, Told

INPUTS = {"s2": InputSpec("s2", ("red", "nir"), 3, Ratio(1, 1))}
CLASSES = 4


def samples(count):
    """Samples of equal classes that any tree separates, as a batch of single pixels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % CLASSES
    values = labels[:, None, None, None, None] + 0.8 * torch.rand((count, 3, 2, 1, 1), generator=generator)
    valid, days = torch.ones((count, 3, 1, 1), dtype=torch.bool), torch.arange(3).repeat(count, 1)
    return {"s2": SourceTensor(values, valid, days)}, labels


def fitted(count, **settings):
    batch, labels = samples(count)
    model = lightgbm.Model(INPUTS, CLASSES, lightgbm.Config(rounds=20, **settings))
    model.fit(batch, labels, 0)
    return model(batch)[:, :, 0, 0], labels, model.trees.model_to_string().partition("parameters:")[0]


@pytest.mark.parametrize("count", [8, 16, 30, 39, 80])
def test_boosted_trees_learn_from_few_samples(count):
    logits, labels, _ = fitted(count)
    assert (logits.argmax(1) == labels).float().mean() > 0.9


@pytest.mark.parametrize(("count", "same"), [(199, False), (200, True), (250, True)])
def test_from_200_samples_on_the_trees_are_those_of_the_setting(count, same, monkeypatch):
    _, _, limited = fitted(count)
    monkeypatch.setattr(lightgbm, "LEAVES", 1)
    _, _, free = fitted(count)
    assert (limited == free) is same


def said_after(recipe, tmp_path, model):
    run, told = open_run(read_recipe(recipe(model)), tmp_path / "run"), Told()
    choice = replace(run.recipe.choice, training=Training(epochs=1, batch_size=16))
    Trainer(choice, run.scene, run.samples).train(0, tmp_path / "t", told)
    return [text for text in told.words if "separates none" in text]


def without_weights(task, progress, fit=training_room.fit):
    state = fit(task, progress)
    for weight in task.model.parameters():
        weight.data.zero_()
    return state


@pytest.mark.parametrize("model", [FOREST + "\nmin_leaf = 100000", GRU])
def test_a_model_of_one_class_says_so(recipe, tmp_path, model, monkeypatch):
    monkeypatch.setattr(training_room, "fit", without_weights)
    (text,) = said_after(recipe, tmp_path, model)
    assert text.startswith("Draw 1: '")
    assert "classifies all its training samples as" in text
    assert "although they have 3 classes" in text


def test_a_model_of_several_classes_is_not_remarked(recipe, tmp_path):
    assert said_after(recipe, tmp_path, FOREST) == []
