"""Teachers: targets of known values; the calibration does not see through them; an interruption loses no teacher."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook

from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.training import Trainer, Training
from bocage.training import train as training_room
from bocage.training.batches import Minibatch
from bocage.training.teachers import mean_of, taught
from conftest import FOREST, GRU, S2, Told

TAUGHT = Training(epochs=3, learning_rate=0.02, batch_size=16, keep="last", schedule="one-cycle", teachers=2)
STEPS = 18
"""Optimiser steps of one training on all polygons."""


@pytest.fixture
def run(recipe, tmp_path):
    return open_run(read_recipe(recipe(GRU, S2, "s2")), tmp_path / "run")


def trained_on(run, folder, settings=TAUGHT, progress=None):
    trainer = Trainer(replace(run.recipe.choice, training=settings), run.scene, run.samples)
    return trainer.train(0, folder, progress or Told())


def same(first, second):
    pairs = zip(first.model.parameters(), second.model.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def saying(*probabilities):
    """Return a network that gives these class probabilities (B, K) for any batch."""
    return lambda _: torch.log(torch.tensor(probabilities))[:, :, None, None]


def test_the_loss_is_a_tenth_that_of_the_labels_and_the_rest_the_divergence_from_the_mean():
    batch = Minibatch({}, torch.tensor([0, 2]), np.arange(2))
    teachers = [saying([0.8, 0.1, 0.1], [0.5, 0.25, 0.25]), saying([0.4, 0.5, 0.1], [0.3, 0.2, 0.5])]
    mean = mean_of(teachers, batch, torch.zeros(0, 3, dtype=torch.bool))
    assert mean.numpy() == pytest.approx(np.array([[0.6, 0.3, 0.1], [0.4, 0.225, 0.375]]), abs=1e-6)
    loss, position = taught(functional.cross_entropy, batch.labels, mean), torch.tensor([1, 0])
    assert float(loss(torch.log(mean[position]), position)) == pytest.approx(-0.05 * np.log(0.375 * 0.6), abs=1e-6)
    even, p = torch.zeros(1, 3), mean[1].numpy()
    expected = 0.1 * np.log(3) + 0.9 * (p * np.log(3 * p)).sum()
    assert float(loss(even, position[:1])) == pytest.approx(expected, abs=1e-6)


def test_the_mean_for_a_coarser_class_lies_within_it():
    batch = Minibatch({}, torch.tensor([-2, -3, 1]), np.arange(3))
    groups = torch.tensor([[True, True, False], [False, False, True]])
    teacher = saying([0.3, 0.1, 0.6], [1.0, 0.0, 0.0], [0.2, 0.3, 0.5])
    found = mean_of([teacher], batch, groups).numpy()
    assert found[0] == pytest.approx([0.75, 0.25, 0]), "the labels of coarser classes are negative"
    assert found[1] == pytest.approx([0, 0, 1]), "also where the teachers exclude all its classes"
    assert found[2] == pytest.approx([0.2, 0.3, 0.5])


def test_teachers_are_trained_as_the_network_and_do_not_teach_its_twin(run, tmp_path, monkeypatch):
    tasks, fit = [], training_room.fit
    monkeypatch.setattr(training_room, "fit", lambda task, progress: tasks.append(task) or fit(task, progress))
    told = Told()
    taught = trained_on(run, tmp_path / "taught", progress=told)
    *teachers, twin, last = tasks
    assert [len(task.teachers) for task in tasks] == [0, 0, 0, 2]
    assert all(np.array_equal(task.draw.train, last.draw.train) for task in teachers)
    assert all(task.normalisation == last.normalisation for task in teachers)
    assert len({task.seed for task in tasks}) == 3, "the twin has the seed of the network"
    assert twin.seed == last.seed
    assert sorted(path.name for path in (tmp_path / "taught").iterdir()) == ["curves.csv", "model"]
    assert taught.calibration.polygons > 0
    alone = trained_on(run, tmp_path / "alone", replace(TAUGHT, teachers=0))
    assert not same(taught, alone)
    assert len(tasks) == 6, "no teacher without the setting"


@pytest.mark.slow
def test_an_interruption_keeps_complete_teachers(run, tmp_path):
    settings, left = replace(TAUGHT, calibrate=False, checkpoint=0), [STEPS + STEPS // 2]
    through = trained_on(run, tmp_path / "through", settings)

    def end(*_):
        left[0] -= 1
        if left[0] <= 0:
            raise KeyboardInterrupt

    handle = register_optimizer_step_post_hook(end)
    with pytest.raises(KeyboardInterrupt):
        trained_on(run, tmp_path / "ended", settings)
    handle.remove()
    told = Told()
    again = trained_on(run, tmp_path / "ended", settings, told)
    assert [line for line in told.words if "teacher 1 of 2" in line] == ["teacher 1 of 2: complete"]
    assert any(line.startswith("teacher 2 of 2: Training resumes after epoch 1") for line in told.words)
    assert same(again, through)


def test_models_without_epochs_have_no_teachers(recipe, tmp_path):
    run = open_run(read_recipe(recipe(FOREST, S2, "s2")), tmp_path / "run")
    told = Told()
    trained_on(run, tmp_path / "forest", replace(TAUGHT, calibrate=False), told)
    assert not any("teacher" in line for line in told.words)


def test_windows_have_no_teachers():
    with pytest.raises(ValueError, match="'window' trains on whole windows, for which 'teachers' is not available"):
        Training(window=64, teachers=3)
