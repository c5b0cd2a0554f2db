"""Class weights of models that are fitted at once, and settings of the training that they do not use."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier

from bocage.errors import RecipeError
from bocage.grid import Ratio
from bocage.jobs.check import check
from bocage.jobs.run import run
from bocage.models import MODELS, InputSpec, Network, SourceTensor, build, card_of
from bocage.models.member import Member
from bocage.models.settings import mixture
from bocage.recipe import read_recipe
from bocage.training import Choice, Training
from bocage.training.idle import idle_settings
from bocage.training.losses import fit_at_once
from conftest import FOREST, GRU, Told, written

COMMON, RARE = 180, 20
LABEL = np.repeat([0, 1], [COMMON, RARE])
TREES = ("random_forest", "lightgbm")


def batch() -> dict[str, SourceTensor]:
    """Return samples of two classes that overlap, the second of them rare: one band of one image."""
    rng = np.random.default_rng(3)
    values = torch.from_numpy((rng.normal(size=len(LABEL)) + LABEL)[:, None, None, None, None]).float()
    valid = torch.ones(len(LABEL), 1, 1, 1, dtype=torch.bool)
    return {"s2": SourceTensor(values, valid, torch.zeros(len(LABEL), 1))}


def model(name: str) -> Network:
    config = MODELS.get(name).Config(**({"trees": 20} if name == "random_forest" else {"rounds": 10}), min_leaf=10)
    return build(MODELS.get(name), {"s2": InputSpec("s2", ("red",), 1, Ratio())}, 2, config)


def probabilities(name: str, **training: str) -> np.ndarray:
    made = model(name)
    fit_at_once(made, batch(), LABEL, Training(**training), seed=5)
    return made(batch()).exp()[:, :, 0, 0].numpy()


@pytest.mark.parametrize("name", TREES)
def test_class_weights_raise_the_probability_of_a_rare_class(name):
    none, root, balanced = (
        probabilities(name, class_weights=kind)[:, 1].mean() for kind in ("none", "root", "balanced")
    )
    assert none == pytest.approx(RARE / len(LABEL), abs=0.03)
    assert none + 0.05 < root < balanced - 0.05
    assert balanced == pytest.approx(0.4, abs=0.15)


@pytest.mark.parametrize("name", TREES)
def test_trees_have_no_class_weights_unless_the_recipe_sets_them(name):
    made = model(name)
    made.fit(batch(), torch.from_numpy(LABEL), 5)
    assert np.array_equal(made(batch()).exp()[:, :, 0, 0].numpy(), probabilities(name))
    assert "class_weights" not in card_of(MODELS.get(name)).training


def test_the_weights_of_a_forest_are_those_of_scikit_learn():
    rows = batch()["s2"].values.numpy().reshape(-1, 1)
    weights = np.where(LABEL == 1, len(LABEL) / (2 * RARE), len(LABEL) / (2 * COMMON))
    expected = RandomForestClassifier(20, max_depth=25, min_samples_leaf=10, random_state=5).fit(rows, LABEL, weights)
    assert np.allclose(
        probabilities("random_forest", class_weights="balanced"), expected.predict_proba(rows), atol=1e-6
    )


class Unweighted(torch.nn.Module):
    """A model from outside the package that is fitted at once, without weights."""

    def __init__(self):
        super().__init__()
        self.footprints = {}

    def fit(self, batch, labels, seed):
        self.labels = labels


def test_a_model_without_weights_is_fitted_without_them():
    from bocage.models.base import Adapted

    outside = Adapted(Unweighted(), {}, 2)
    fit_at_once(outside, {}, LABEL, Training(class_weights="balanced"), 0)
    assert len(outside.module.labels) == len(LABEL)


# --- settings that have no effect
def idle(choice: Choice) -> list[tuple[str, tuple[str, ...]]]:
    return [(note.value("model"), note.value("settings")) for note in idle_settings(choice)]


def choice(name: str, *members: Member, trainings: tuple[Training, ...] = (), **training) -> Choice:
    config = mixture.Config(members) if members else MODELS.get(name).Config()
    return Choice(name, config, Training(**training), trainings)


def test_settings_of_epochs_have_no_effect_on_trees():
    given = {"loss": "focal", "label_smoothing": 0.1, "epochs": 7, "class_weights": "balanced", "cutoff": 0.2}
    assert idle(choice("lightgbm", **given)) == [("lightgbm", ("epochs", "loss", "label_smoothing"))]
    assert idle(choice("gru", **given)) == idle(choice("random_forest")) == []


def test_settings_that_a_mixture_shares_are_those_of_its_networks():
    both, shared = (Member("gru"), Member("lightgbm")), Training(epochs=7)
    assert idle(choice("mixture", *both, epochs=7, trainings=(shared, shared))) == []
    own = Training(epochs=7, loss="focal")
    assert idle(choice("mixture", *both, epochs=7, trainings=(shared, own))) == [("lightgbm", ("loss",))]
    assert idle(choice("mixture", Member("lightgbm", count=2), epochs=7)) == [("lightgbm", ("epochs",))]


def test_check_and_run_report_settings_without_effect_once(recipe, tmp_path):
    path, focal = recipe(FOREST), ("training.loss=focal",)
    found = [f for f in check(path, overrides=focal).findings if f.what.code == "idle_settings"]
    assert [(f.severity, f.where) for f in found] == [("note", "training")]
    idle = "does not use these settings of [training]: epochs, batch_size, learning_rate, loss"
    assert idle in found[0].what.text()
    told = Told()
    for _ in range(2):  # the second training is up to date
        run(read_recipe(path, focal), tmp_path / "out", ("train",), told)
    assert sum(idle in line for line in told.words) == 1


def test_a_forest_beside_a_network_takes_the_settings_that_it_uses(landscape):
    compared = '[[compare]]\nmodel = { name = "random_forest" }\n'
    shared = ("training.loss=focal", "training.class_weights=root")
    read = read_recipe(written(landscape, GRU, more=compared), shared)
    forest = read.compare[0].choice
    assert read.choice.training.loss == "focal"
    assert (forest.training.loss, forest.training.class_weights) == ("cross-entropy", "root")
    assert idle(forest) == []
    path = written(landscape, GRU, more=compared + "training = { epochs = 9 }\n")
    assert idle(read_recipe(path, shared).compare[0].choice) == [("random_forest", ("epochs",))]
    with pytest.raises(RecipeError, match=r"training\.epochs"):
        read_recipe(path, ("training.epochs=0",))
