"""Held-out samples of the calibration: their classes, their units (polygons, places, blocks), and what they promise."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from bocage.conformal import Conformal
from bocage.errors import RecipeError
from bocage.legend import LandClass, Legend
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.samples import Chips, Draw, Labelled, Pixels, Split
from bocage.samples.make import assembled
from bocage.training import Trainer, Training, train, twins
from bocage.training.held_out import HeldOut, calibrated
from bocage.training.novelty import domain_of
from bocage.training.twins import dealt, judged
from conftest import GRU, S2

LEGEND = Legend((LandClass(1, "a"), LandClass(2, "b")))


def blocked(purposive=None, **split):
    """Sixty polygons of one pixel, six in each of ten blocks."""
    number, label = np.arange(60, dtype=np.int32), np.array([0, 1] * 30, np.int16)
    place = np.stack([np.repeat(np.arange(10), 6) * 1000.0 + 1, np.tile(np.arange(6), 10) * 100.0 + 1], 1)
    there = Labelled(Pixels(number, number, label, number), (), (), pd.Series(dtype=str), place)
    if purposive is not None:
        there = replace(there, purposive=pd.Series(np.isin(number, purposive), number))
    return assembled(LEGEND, Split(train=0.6, draws=2, **split), there, {})


# --- classes


def test_validation_samples_of_a_class_that_was_not_trained_do_not_calibrate():
    samples = blocked()
    held = Draw(np.arange(0, 20, 2), np.arange(20, 40), np.arange(40, 60))
    assert samples.label[judged(held, samples.label).validation].tolist() == [0] * 10
    whole = replace(held, train=np.arange(20))
    assert np.array_equal(judged(whole, samples.label).validation, held.validation)
    task = SimpleNamespace(settings=Training(calibration_folds=1), draw=held)
    [(draw, what)] = twins._parts(task, held, samples, 0)
    assert (len(draw.validation), what) == (10, "the validation polygons")


@pytest.mark.parametrize("keep", ["last", "validation"])
def test_a_network_is_calibrated_on_the_classes_of_its_training(recipe, tmp_path, monkeypatch, keep):
    """All training polygons of a class are distrusted, its validation polygon is not."""
    opened, judges = open_run(read_recipe(recipe(GRU)), tmp_path / "run"), []
    samples, draw = opened.samples, opened.samples.draw(0)
    lost = draw.train[samples.label[draw.train] == 1]
    assert (samples.label[draw.validation] == 1).any()
    trust = np.ones(len(samples.label))
    trust[lost] = 0

    def seen(trained, chips, parts, settings):
        judges.extend(parts)
        return calibrated(trained, chips, parts, settings)

    monkeypatch.setattr(train, "calibrated", seen)
    settings = Training(epochs=1, batch_size=16, keep=keep)
    choice = replace(opened.recipe.choice, training=settings)
    Trainer(choice, opened.scene, replace(samples, trust=trust)).train(0, tmp_path / "t")
    assert [sorted(set(samples.label[members].tolist())) for _, members in judges] == [[0, 2]]


# --- blocks


@pytest.mark.parametrize("folds", [4, 5])
def test_blocks_are_held_out_whole(folds):
    """No model judges a block in which it was trained; a split by polygons deals polygons."""
    samples = blocked(unit="block")
    draw = samples.draw(0)
    used, found = np.sort(np.concatenate([draw.train, draw.validation])), []
    for _, rest, out in dealt(samples, used, folds, 0):
        assert not np.intersect1d(samples.block[rest], samples.block[out]).size
        found.extend(out.tolist())
    assert sorted(found) == used.tolist(), "every polygon judges once"
    parts = [out for _, _, out in dealt(blocked(), used, folds, 0)]
    shared = [np.intersect1d(samples.block[out], samples.block[np.setdiff1d(used, out)]).size for out in parts]
    assert all(shared), "polygons of one block are in several parts"


def test_purposive_polygons_of_a_block_do_not_train_without_it():
    samples = blocked(purposive=[0, 7, 14, 21, 28, 35], unit="block")
    for _, rest, out in dealt(samples, np.arange(60), 4, 0):
        assert not np.intersect1d(samples.block[rest], samples.block[out]).size
        assert not samples.trains_only[out].any()


# --- places


def seasons(places, each, rng):
    """Logits (N, 2) of a network at places with several samples, alike; all are of class 0."""
    p = np.repeat(rng.beta(4, 2, places), each)
    return torch.tensor(np.log(np.stack([p, 1 - p], 1))), np.repeat(np.arange(places), each)


def test_samples_of_several_years_at_one_place_calibrate_as_one_unit():
    """Five places of ten years each are five units: they cannot promise 90 %, and sets of this promise have all classes."""
    logits, place = seasons(5, 10, np.random.default_rng(0))
    chips = Chips({}, np.zeros(50, int), np.arange(50), ground=place)
    held = HeldOut.of(
        None, chips, [(torch.nn.Identity(), np.arange(50))], Training(validation_samples=20, device="cpu")
    )
    (_, members), *_ = held.parts
    assert len(members) <= 20 + 5, "one sample of each place without any"
    assert np.array_equal(np.unique(place[members]), np.arange(5))
    units = chips.unit
    found = Conformal.of(torch.softmax(logits, 1).numpy(), chips.label, units)
    assert found.together.polygons == 5
    assert found.least(0.9, "all") == (0, 0)
    assert Conformal.of(torch.softmax(logits, 1).numpy(), chips.label, chips.polygon).least(0.9, "all")[0] > 0


@pytest.mark.parametrize("ground", [None, "places"])
def test_the_trained_model_counts_places(recipe, tmp_path, ground):
    """Two polygons of a place are one unit of the temperature, of the sets and of the training domain."""
    opened = open_run(read_recipe(recipe(GRU)), tmp_path / "run")
    samples = opened.samples
    if ground:  # the polygons of a class, two by two, whatever their place
        pairs = {}
        for label in range(3):
            own = np.unique(samples.polygon[samples.label == label])
            pairs |= {int(polygon): int(own[i // 2 * 2]) for i, polygon in enumerate(own)}
        samples = replace(samples, ground=np.array([pairs[int(p)] for p in samples.polygon], np.int32))

    def counted(number):
        validation = samples.draw(number).validation
        return len(np.unique(samples.polygon[validation])), len(np.unique(samples.chips.unit[validation]))

    number = next(k for k in range(50) if (counted(k)[0] > counted(k)[1]) == bool(ground))
    choice = replace(opened.recipe.choice, training=Training(epochs=1, batch_size=16))
    trained = Trainer(choice, opened.scene, samples).train(number, tmp_path / "t")
    units = counted(number)[1]
    assert (trained.conformal.together.polygons, trained.calibration.polygons) == (units, units)


def test_the_training_domain_is_the_distance_to_other_places(recipe, tmp_path):
    """Without validation samples, the distance of a sample to another year of its own place says nothing of new ones."""
    opened = open_run(read_recipe(recipe(GRU)), tmp_path / "run")
    samples = opened.samples
    choice = replace(opened.recipe.choice, training=Training(epochs=1, batch_size=16, calibrate=False))
    trained = Trainer(choice, opened.scene, samples).train(0, tmp_path / "t")
    everything = Draw(np.arange(len(samples.label)), np.zeros(0, np.int64), np.zeros(0, np.int64))
    alone = replace(samples, polygon=np.arange(len(samples.label), dtype=np.int32))
    whole = replace(alone, ground=samples.polygon)
    near, far, polygons = (domain_of(trained, s.chips, everything, 0).far for s in (alone, whole, samples))
    assert float(far) == float(polygons) != float(near)


# --- members of a mixture


def mixture_of(recipe, tmp_path, **settings):
    """A run of two networks that are trained on all polygons, and its trainer."""
    opened = open_run(read_recipe(recipe(f"{GRU}\nmembers = 2", S2.partition("fill =")[0])), tmp_path / "run")
    return opened, Trainer(
        opened.recipe.choice.with_training(epochs=2, keep="last", **settings), opened.scene, opened.samples
    )


@pytest.mark.parametrize("settings", [{}, {"cutoff": 0.7, "calibration_folds": 3}])
def test_a_mixture_is_calibrated_by_the_mixture_of_twins(recipe, tmp_path, monkeypatch, settings):
    """The twins of the members lack the same polygons, and are not trained a second time for it."""
    opened, trainer = mixture_of(recipe, tmp_path, **settings)
    judges, trainings = [], []
    fit, calibrate = twins.fit, train.calibrated

    def fitted(task, progress):
        restored = task.where.checkpoint.exists()
        trainings.append(restored)
        return fit(task, progress)

    def seen(trained, chips, parts, settings):
        judges.append((trained.name, parts))
        return calibrate(trained, chips, parts, settings)

    monkeypatch.setattr(twins, "fit", fitted)
    monkeypatch.setattr(train, "calibrated", seen)
    trained = trainer.train(0, tmp_path / "t")
    parts = settings.get("calibration_folds", 1)
    assert trainings == [False] * 2 * parts + [True] * 2 * parts
    (_, first), (_, second), (name, mixed) = judges
    assert (name, len(mixed)) == ("mixture", parts)
    for (one, out), (other, out_of_other), (both, out_of_both) in zip(first, second, mixed, strict=True):
        assert out.tolist() == out_of_other.tolist() == out_of_both.tolist()
        for member, twin in zip(both.members, (one, other), strict=True):
            assert all(torch.equal(twin.state_dict()[key], values) for key, values in member.state_dict().items())
    assert trained.conformal is not None
    assert bool(trained.calibration.season) == bool(settings)
    assert trained.calibration.samples
    assert not list((tmp_path / "t").rglob("checkpoint*"))


def test_a_mixture_with_trees_shares_no_polygons_that_calibrate(recipe, tmp_path):
    mixed = f'name = "mixture"\n[[model.members]]\n{GRU}\n[[model.members]]\nname = "random_forest"\ntrees = 3'
    opened = open_run(read_recipe(recipe(mixed)), tmp_path / "run")
    choice = opened.recipe.choice.with_training(epochs=1, keep="last")
    trained = Trainer(choice, opened.scene, opened.samples).train(0, tmp_path / "t")
    assert (trained.calibration.temperature, trained.conformal) == (1.0, None)


@pytest.mark.parametrize(
    ("model", "keep", "refused"),
    [
        (f"{GRU}\nmembers = 2", "last", False),
        (f"{GRU}\nmembers = 2", "validation", False),
        (f'name = "mixture"\n[[model.members]]\n{GRU}\n[[model.members]]\nname = "tempcnn"', "last", False),
        (f'name = "mixture"\n[[model.members]]\n{GRU}\n[[model.members]]\nname = "random_forest"', "last", True),
        (f'name = "mixture"\n[[model.members]]\n{GRU}\n[[model.members]]\nname = "random_forest"', "validation", False),
    ],
)
def test_prediction_sets_of_a_mixture_need_polygons_without_which_all_members_are_trained(recipe, model, keep, refused):
    path = recipe(model, **{"[map]": "[map]\nsets = 0.9", "epochs = 4": f'epochs = 4\nkeep = "{keep}"'})
    if not refused:
        assert read_recipe(path).map.sets == 0.9
        return
    with pytest.raises(
        RecipeError, match="map.sets: .*networks and trees, that train on all polygons hold none out together"
    ):
        read_recipe(path)
