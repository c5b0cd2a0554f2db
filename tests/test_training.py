import json
import pickle
import re
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from bocage.cli import main
from bocage.errors import RecipeError, TrainedError, TrainingError
from bocage.grid import Ratio, Window
from bocage.layout import SplitLayout
from bocage.mapping import classify_at
from bocage.mapping.predict import predict
from bocage.models import MODELS, Footprint, InputSpec
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.samples import Split
from bocage.samples.cut import Cut
from bocage.scene import limited
from bocage.training import (
    Normalisation,
    Trained,
    Trainer,
    Training,
    checkpoint,
    classify,
    input_specs,
    loop,
    remarks,
    twins,
)
from bocage.training import train as training_room
from bocage.training.batches import batches
from bocage.training.budget import budgeted, steps_of
from bocage.training.calibration import Calibration, calibrate, shrunk
from bocage.training.curves import Epoch
from bocage.training.held_out import HeldOut
from conftest import FOREST, GRU, MULTIRESOLCC, PAN_MS, S2, Told
from processes import ended, killed_training


@pytest.fixture
def opened(recipe, tmp_path):
    def open_(model=FOREST, sources=S2, like="s2"):
        return open_run(read_recipe(recipe(model, sources, like)), tmp_path / f"run{len(list(tmp_path.iterdir()))}")

    return open_


HEAD = "heads.full.linear.weight"
LONG = Training(epochs=40, learning_rate=0.02, batch_size=16)


def trained_on(opened, tmp_path, settings=LONG):
    r = opened.recipe
    return Trainer(replace(r.choice, training=settings), opened.scene, opened.samples).train(0, tmp_path / "trained")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "sources", "like"), [(FOREST, S2, "s2"), (GRU, S2, "s2"), (MULTIRESOLCC, PAN_MS, "pan")]
)
def test_what_is_easy_is_learnt_saved_and_loaded(opened, tmp_path, model, sources, like, monkeypatch):
    run = opened(model, sources, like)
    trained = trained_on(run, tmp_path)
    test = run.samples.draw(0).test
    found = classify(trained, run.samples.chips, test, "auto")
    assert found.sum(1) == pytest.approx(1, abs=1e-5)
    assert (found.argmax(1) == run.samples.label[test]).mean() > 0.9

    def refuse(*args, **kwargs):
        raise AssertionError("loading a model must not unpickle")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    monkeypatch.setattr(pickle, "Unpickler", refuse)
    again = Trained.load(tmp_path / "trained" / "model")
    assert np.array_equal(classify(again, run.samples.chips, test, "auto"), found)
    assert again.legend.names == ("maize", "meadow", "water")
    assert again.config == run.recipe.choice.config
    by_windows = classify_at(again, run.scene, run.samples.pixels(test), torch.device("cpu"))
    assert np.array_equal(by_windows.argmax(1), found.argmax(1)), "windows agree with patches"
    assert by_windows == pytest.approx(found, abs=1e-4)


def test_the_same_seed_trains_the_same_network(opened, tmp_path):
    run = opened(GRU)
    first, second = (trained_on(run, tmp_path / name, Training(epochs=2)).model.state_dict() for name in "ab")
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture
def scripted(monkeypatch):
    """Validate as is said beforehand; the weights after each epoch are kept."""
    weights, states = [], []

    def watch(optimiser, *_):
        weights[:] = optimiser.param_groups[0]["params"]

    def script(*scores):
        said = iter(scores)

        def epoch(number, loss, validation_loss, f1, *times):
            states.append([parameter.detach().clone() for parameter in weights])
            return Epoch(number, loss, *next(said), *times)

        monkeypatch.setattr(loop, "Epoch", epoch)
        return states

    handle = register_optimizer_step_post_hook(watch)
    yield script
    handle.remove()


def same(trained, state):
    return all(torch.equal(a, b) for a, b in zip(trained.model.parameters(), state, strict=True))


def test_early_stopping_keeps_the_best_epoch(opened, tmp_path, scripted):
    run = opened(GRU)
    states = scripted((1.0, 0.2), (0.9, 0.5), (0.8, 0.5), (0.9, 0.5), (0.7, 0.4), (0.9, 0.4), (0.0, 1.0))
    trained = trained_on(run, tmp_path, Training(epochs=80, patience=3))
    lines = (tmp_path / "trained" / "curves.csv").read_text().splitlines()
    assert lines[0].split(",")[:4] == ["epoch", "train_loss", "validation_loss", "validation_f1"]
    assert [text.split(",")[-2] for text in lines[1:]] == ["0", "0", "1", "0", "0", "0"]
    assert len(lines) == 1 + 6, "three epochs after the third, which had the lowest loss of the best F-measure"
    assert same(trained, states[2])
    assert not same(trained, states[5])


def test_one_cycle_keeps_weights_of_its_last_fifth(opened, tmp_path, scripted):
    run = opened(GRU)
    states = scripted((0.5, 0.9), *[(1.0, 0.2)] * 7, (0.8, 0.6), (0.8, 0.5))
    told = Told()
    choice = replace(run.recipe.choice, training=Training(epochs=10, patience=2, schedule="one-cycle"))
    trained = Trainer(choice, run.scene, run.samples).train(0, tmp_path / "trained", told)
    assert len(states) == 10, "nor does a lucky epoch at a high rate end it"
    why = next(line for line in told.words if "are kept" in line)
    assert "the weights of epoch 9 are kept (validation F 0.600), the best of the last fifth" in why
    assert "Epoch 1 had 0.900" in why
    rows = [line.split(",")[::5] for line in (tmp_path / "trained/curves.csv").read_text().splitlines()[1:]]
    assert [epoch for epoch, kept in rows if kept == "1"] == ["9"]
    assert same(trained, states[8]), "the best of the last two, not the first of all"


def test_balanced_epochs_weights_and_limits(opened, tmp_path):
    run = opened(GRU)
    settings = Training(
        epochs=2, samples_per_epoch=30, class_weights="balanced", validation_samples=10, weight_decay=1e-4
    )
    trained_on(run, tmp_path, settings)
    assert len((tmp_path / "trained" / "curves.csv").read_text().splitlines()) == 3


@pytest.mark.slow
def test_every_setting_of_the_loop_trains(opened, tmp_path):
    run = opened(MULTIRESOLCC, PAN_MS, "pan")
    settings = Training(
        epochs=4, batch_size=16, learning_rate=2e-3, optimiser="adamw", weight_decay=0.01, schedule="cosine", clip=1.0,
        label_smoothing=0.1, ema=0.5, scaling="percentile", keep="last", jitter=5, date_dropout=0.3,
    )  # fmt: skip
    trained = trained_on(run, tmp_path, settings)
    lines = (tmp_path / "trained" / "curves.csv").read_text().splitlines()
    assert len(lines) == 5
    assert lines[1].split(",")[2:4] == ["nan", "nan"], "nothing is validated"
    assert lines[0].split(",")[4:] == ["waiting", "kept", "seconds"]
    assert trained.normalisation.kind == "percentile"
    draw = run.samples.draw(0)
    assert trained.calibration.polygons == len(np.unique(run.samples.polygon[draw.validation])), "by a twin"
    everyone = np.sort(np.concatenate([draw.train, draw.validation]))
    assert trained.normalisation == Normalisation.of(run.samples.cuts, everyone, "percentile")


@pytest.mark.parametrize(
    "model",
    [
        GRU,
        'name = "ltae"\nheads = 2\nwidth = 8',
        'name = "convlstm"\nunits = 3',
        'name = "duplo"\nfilters = [3, 4]\ndate_filters = [2, 3]\nunits = 4',
    ],
)
def test_networks_train_in_mixed_precision(opened, tmp_path, model):
    trained = trained_on(opened(model), tmp_path, Training(epochs=2, precision="bf16-mixed", device="cpu", clip=1.0))
    assert all(p.dtype == torch.float32 for p in trained.model.parameters()), "weights stay in full precision"
    assert all(bool(torch.isfinite(p).all()) for p in trained.model.parameters())


def test_moving_average_and_rate(opened, tmp_path, request):
    """The average of a decay near 1 hardly moves; the cosine ends near 0."""
    run, rates = opened(GRU), []
    handle = register_optimizer_step_pre_hook(lambda optimiser, *_: rates.append(optimiser.param_groups[0]["lr"]))
    request.addfinalizer(handle.remove)
    some = {"epochs": 3, "batch_size": 8, "learning_rate": 0.01, "keep": "last", "calibrate": False}
    plain = trained_on(run, tmp_path / "a", Training(**some)).model.state_dict()[HEAD]
    assert set(rates) == {0.01}
    rates.clear()
    averaged = trained_on(run, tmp_path / "b", Training(**some, ema=0.9999)).model.state_dict()[HEAD]
    torch.manual_seed(int(np.random.SeedSequence((run.recipe.split.seed, 0)).generate_state(1)[0]))
    first = MODELS.get("gru").Model(input_specs(run.scene), 3, run.recipe.choice.config).state_dict()[HEAD]
    assert (averaged - first).abs().max() < 0.01 * (plain - first).abs().max()
    rates.clear()
    trained_on(run, tmp_path / "c", Training(**some, schedule="cosine"))
    assert rates[0] == pytest.approx(0.01)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.001


def test_auxiliary_heads_learn_and_do_not_predict(opened, tmp_path):
    """The loop minimises a network's own loss."""
    model = 'name = "fusion"\nauxiliary = 0.5\nmembers = [{ network = "gru", source = "s2", settings = { units = 6 } }, { network = "tempcnn", source = "s2", settings = { filters = 4, dense = 6 } }]\n'
    trained = trained_on(opened(model), tmp_path, Training(epochs=2, keep="last", calibrate=False))
    torch.manual_seed(int(np.random.SeedSequence((0, 0)).generate_state(1)[0]))
    fresh = MODELS.get("fusion").Model(trained.inputs, 3, trained.config)
    for name, parameter in fresh.named_parameters():
        if "parts" in name:
            assert not torch.equal(parameter, trained.model.get_parameter(name)), f"{name} learns"


@pytest.mark.parametrize("what", ["value", "weights"])
def test_a_loss_that_is_no_number_names_batch_source_and_polygons(opened, tmp_path, what):
    run = opened(GRU)
    if what == "weights":
        settings = Training(epochs=9)
        object.__setattr__(settings, "learning_rate", 1e20)  # out of its range: weights overflow at once
        with pytest.raises(TrainingError, match=r"learning_rate.*clip"):
            trained_on(run, tmp_path, settings)
        return
    cut, draw = run.samples.cuts["s2"], run.samples.draw(0)
    culprit = draw.train[7]
    values = cut.values.copy()
    chip = cut.place[cut.index[culprit], 0]
    first, height, width = cut.chips[chip]
    values[first * len(cut.days) * cut.bands] = np.nan
    object.__setattr__(cut, "values", values)
    polygon = run.samples.polygon[culprit]
    with pytest.raises(
        TrainingError,
        match=rf"loss is nan at epoch 1, batch \d+.*Source 's2' has NaN or infinite values in polygons {polygon}\.",
    ):
        trained_on(run, tmp_path, Training(epochs=2, batch_size=16))


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(recipe, tmp_path, capsys):
    """SIGKILL in the middle, then the same command: not one bit differs from a training that ran through."""
    path = recipe(GRU, S2)
    text = path.read_text().partition("[training]")[0]
    path.write_text(text + "[training]\nepochs = 9\npatience = 9\nbatch_size = 8\nema = 0.9\ncheckpoint = 0\n")
    through, killed = ["train", str(path), "--out", str(tmp_path / "through")], tmp_path / "killed"

    def weights(out):
        return (out / "splits/0/model/weights.safetensors").read_bytes()

    assert main(through) == 0
    checkpoint, command = killed / "splits/0/checkpoint.safetensors", [*through[:-1], str(killed)]
    assert ended(killed_training, command, 50) == -signal.SIGKILL
    assert checkpoint.exists()
    assert not (killed / "splits/0/model").exists(), "it was killed in the middle"
    capsys.readouterr()
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "Training resumes after epoch" in shown.out + shown.err
    assert weights(killed) == weights(tmp_path / "through")
    assert not checkpoint.exists(), "a complete training leaves none"


def test_a_checkpoint_is_of_the_settings_of_the_network(opened, tmp_path):
    """Also of those that change no shape of its weights."""
    run = opened(GRU)

    def identity(**settings):
        choice = replace(run.recipe.choice, config=replace(run.recipe.choice.config, **settings))
        trainer = Trainer(choice, run.scene, run.samples)
        model, draw = choice.build(run.scene, run.samples.legend), run.samples.draw(0)
        normalisation = Normalisation.of(run.samples.cuts, draw.train)
        return trainer._task(model, draw, normalisation, 0, SplitLayout(tmp_path)).identity

    assert identity() == identity()
    assert identity(dropout=0.1) != identity(dropout=0.8)


def test_the_temperature_of_some_sources_is_that_of_samples_that_have_them(opened, tmp_path, monkeypatch):
    run = opened('name = "patchwork"\npreset = "small"', S2 + PAN_MS, "pan")
    trained = trained_on(run, tmp_path, Training(epochs=1, keep="last", calibrate=False))
    original = Cut.read

    def read(cut, members):
        values, valid = original(cut, members)
        seen = members % 2 == 0 if cut.name == "s2" else np.ones(len(members), bool)
        return values, valid & seen[:, None, None, None]

    monkeypatch.setattr(Cut, "read", read)
    members = np.arange(40)
    held = HeldOut.of(
        trained, run.samples.chips, [(trained.model, members)], Training(validation_samples=0, device="cpu")
    )
    others = {"pan", "ms"}
    assert [len(held.outputs(hidden)[1]) for hidden in ((), others, {"s2"})] == [40, 40, 40]
    assert [len(held.outputs(hidden, complete=True)[1]) for hidden in ((), others, {"s2"})] == [20, 20, 40]


@pytest.mark.parametrize(("windows", "size", "turns"), [(object(), 32, False), (object(), 33, True), (None, 32, True)])
def test_windows_with_a_larger_halo_on_one_side_do_not_turn(windows, size, turns):
    """They would turn around their own middle, and the labels around theirs."""
    inputs, footprints = {"pan": InputSpec("pan", ("pan",), 1, Ratio())}, {"pan": Footprint(size, 16)}
    model = SimpleNamespace(inputs=inputs, footprints=footprints, any_source=False)
    task = SimpleNamespace(
        settings=Training(augment=True), model=model, chips=SimpleNamespace(windows=windows, cuts={})
    )
    assert loop._augmentation(task).turns == turns


@pytest.mark.parametrize("calibrate", [False, True])
def test_one_sample_in_a_batch_is_refused_with_batch_normalisation(opened, tmp_path, calibrate):
    """Also in the network that calibrates, which is trained first."""
    settings = Training(epochs=1, batch_size=1, keep="last", calibrate=calibrate)
    with pytest.raises(TrainingError, match="batch_size to 2 or more"):
        trained_on(opened('name = "tempcnn"'), tmp_path, settings)


def test_checkpoints_of_others_are_set_aside(opened, tmp_path, monkeypatch):
    run = opened(GRU)
    settings = Training(epochs=4, keep="last", checkpoint=0, calibrate=False)
    expected = trained_on(run, tmp_path / "plain", settings).model.state_dict()[HEAD]

    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(training_room, "write_curves", die)
    r, folder = run.recipe, tmp_path / "x"
    for other in (Training(epochs=3, keep="last", checkpoint=0, learning_rate=0.1, calibrate=False), settings):
        with pytest.raises(KeyboardInterrupt):
            Trainer(replace(r.choice, training=other), run.scene, run.samples).train(0, folder)
    monkeypatch.undo()
    assert (folder / "other-checkpoint.safetensors").exists(), "nothing is lost"
    (folder / "checkpoint.safetensors").write_bytes(b"torn")
    heard = Told()
    trained = Trainer(replace(r.choice, training=settings), run.scene, run.samples).train(0, folder, heard)
    assert any("is damaged" in line and "starts from epoch 1" in line for line in heard.words)
    assert torch.equal(trained.model.state_dict()[HEAD], expected)


def test_two_processes_set_one_foreign_checkpoint_aside(tmp_path):
    """Both find it, and one has renamed it when the other does."""
    path, heard = tmp_path / "checkpoint.safetensors", Told()
    path.write_bytes(b"of another training")
    for _ in range(2):
        checkpoint._set_aside(path, heard, "belongs to another network")
    assert [p.name for p in tmp_path.iterdir()] == ["other-checkpoint.safetensors"]


def test_a_full_disk_leaves_the_checkpoint_before(opened, tmp_path, monkeypatch):
    run, save, done = opened(GRU), safetensors.torch.save_file, []

    def full(tensors, path, metadata=None):
        if len(done) == 2:
            Path(path).write_bytes(b"half a file")
            raise OSError(28, "No space left on device")
        done.append(path)
        save(tensors, path, metadata)

    monkeypatch.setattr(checkpoint.safetensors.torch, "save_file", full)
    with pytest.raises(
        TrainingError, match=r"epoch 3 cannot be written.*No space left.*The previous checkpoint is kept"
    ):
        trained_on(run, tmp_path, Training(epochs=6, checkpoint=0, keep="last", calibrate=False))
    assert [p.name for p in (tmp_path / "trained").iterdir()] == ["checkpoint.safetensors"]
    monkeypatch.undo()
    resumed = trained_on(
        run, tmp_path, Training(epochs=6, checkpoint=0, keep="last", calibrate=False)
    ).model.state_dict()[HEAD]
    through = trained_on(
        run, tmp_path / "through", Training(epochs=6, checkpoint=0, keep="last", calibrate=False)
    ).model.state_dict()[HEAD]
    assert torch.equal(resumed, through)


@pytest.mark.slow
def test_two_processes_train_one_network(opened, tmp_path):
    """Gradients are averaged over the processes: near enough the weights that one process finds."""
    run = opened(GRU + "\ndropout = 0.0")
    some = {
        "epochs": 2,
        "batch_size": 16,
        "device": "cpu",
        "learning_rate": 1e-3,
        "keep": "last",
        "checkpoint": 0,
        "calibrate": False,
    }
    alone = trained_on(run, tmp_path / "a", Training(**some)).model.state_dict()
    both = trained_on(run, tmp_path / "b", Training(**some, devices=2)).model.state_dict()
    torch.manual_seed(int(np.random.SeedSequence((run.recipe.split.seed, 0)).generate_state(1)[0]))
    first = MODELS.get("gru").Model(input_specs(run.scene), 3, run.recipe.choice.config).state_dict()
    way = sum(float((alone[key] - first[key]).square().sum()) for key in alone)
    apart = sum(float((alone[key] - both[key]).square().sum()) for key in alone)
    assert apart < 0.01 * way, apart / way
    assert len((tmp_path / "b/trained/curves.csv").read_text().splitlines()) == 3


def test_calibration_lowers_the_error(opened, tmp_path):
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(4000, 5, generator=generator)
    labels = truth.softmax(1).multinomial(1, generator=generator)[:, 0]
    found = calibrate(truth * 3, labels, np.arange(4000))
    assert found.temperature == pytest.approx(3, rel=0.1), "logits three times too sure"
    assert found.after.error < 0.3 * found.before.error
    wild = torch.cat([truth, torch.full((40, 5), -1e5)])
    wild[4000:, 0] = 1e5
    kept = calibrate(wild, torch.cat([labels, torch.full((40,), 1)]), np.arange(4040))
    assert kept.temperature == 1, "1 % of wild logits do not flatten all the others"
    sure = calibrate(torch.eye(3).repeat(20, 1), torch.arange(60) % 3, np.arange(60) // 2)
    assert sure.temperature < 1
    confidence = torch.softmax(torch.eye(3)[0] / sure.temperature, 0)[0]
    assert 0.9 < confidence <= 31 / 32, "30 polygons that are all right are not certainty"
    few = calibrate(torch.eye(3).repeat(4, 1), torch.arange(12) % 3, np.arange(12) // 2)
    assert 0.8 < few.temperature <= 1, "six polygons that are all right prove little"
    assert (few.samples, few.polygons) == (12, 6)
    alone = calibrate(truth * 3, labels, np.zeros(4000))
    assert (alone.temperature, alone.before) == (1, None), "one polygon cannot be cross-validated"
    assert sum(found.after.share) == pytest.approx(1, abs=1e-4)
    run = opened(GRU)
    trained = trained_on(run, tmp_path, Training(epochs=3))
    validation = run.samples.draw(0).validation
    assert trained.calibration.samples == len(validation)
    assert trained.calibration.polygons == len(np.unique(run.samples.polygon[validation]))
    assert Trained.load(tmp_path / "trained/model").calibration == trained.calibration
    window = Window(0, 0, 8, 8)
    sure = predict(trained, run.scene, window, torch.device("cpu")).probabilities
    plain = predict(replace(trained, calibration=Calibration()), run.scene, window, torch.device("cpu")).probabilities
    assert np.array_equal(sure.argmax(0), plain.argmax(0))
    softened = torch.softmax(torch.from_numpy(np.log(plain)) / trained.calibration.temperature, 0)
    assert np.allclose(sure, softened, atol=1e-4)


def test_a_forest_is_calibrated_on_all_training_polygons(opened, tmp_path):
    """On the validation polygons, and on each training polygon by trees that were fitted without it."""
    run = opened(FOREST)
    samples = replace(run.samples, split=replace(run.samples.split, train=0.7))
    draw = samples.draw(0)
    for calibrate_, used in ((True, np.concatenate([draw.train, draw.validation])), (False, draw.train[:0])):
        choice = replace(run.recipe.choice, training=Training(calibrate=calibrate_))
        trained = Trainer(choice, run.scene, samples).train(0, tmp_path / str(calibrate_))
        assert trained.calibration.polygons == len(np.unique(samples.polygon[used]))
        assert trained.calibration.samples == len(used)


TWICE = Training(epochs=3, learning_rate=0.02, batch_size=16, keep="last", schedule="one-cycle", checkpoint=0)


def test_a_fixed_schedule_trains_on_all_and_is_calibrated_by_a_twin(opened, tmp_path, monkeypatch):
    run, tasks, fit = opened(GRU), [], training_room.fit

    def watched(task, progress):
        tasks.append((task, {k: v.clone() for k, v in task.model.state_dict().items()}))
        return fit(task, progress)

    for room in (training_room, twins):
        monkeypatch.setattr(room, "fit", watched)
    told, draw = Told(), run.samples.draw(0)
    trainer = Trainer(replace(run.recipe.choice, training=TWICE), run.scene, run.samples)
    trained = trainer.train(0, tmp_path / "both", told)
    (twin, first), (last, second) = tasks
    assert np.array_equal(twin.draw.train, draw.train)
    assert np.array_equal(twin.draw.validation, draw.validation)
    assert np.array_equal(last.draw.train, np.sort(np.concatenate([draw.train, draw.validation])))
    assert (twin.settings, twin.seed, twin.normalisation) == (last.settings, last.seed, last.normalisation)
    assert all(torch.equal(first[key], second[key]) for key in first), "the same initial weights"
    chosen = replace(trained, model=twin.model, calibration=Calibration())
    found = torch.from_numpy(np.log(classify(chosen, run.samples.chips, draw.validation, "cpu")))
    label, polygon = (values[draw.validation] for values in (run.samples.label, run.samples.polygon))
    expected = calibrate(found, torch.from_numpy(label.astype(np.int64)), polygon)
    assert trained.calibration.temperature == expected.temperature
    assert trained.calibration.before.error == pytest.approx(expected.before.error, abs=1e-5)
    right = (found.argmax(1).numpy() == label).mean()
    said = next(line for line in told.words if "without the validation polygons: F1 on these polygons" in line)
    assert 0 <= float(re.search(r"these polygons (\d\.\d+)", said)[1]) <= 1
    assert ("1.000" in said) == (right == 1)
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == ["curves.csv", "model"]
    alone = trained_on(run, tmp_path / "alone", replace(TWICE, calibrate=False))
    assert same(trained, list(alone.model.parameters())), "the twin changes no weight of the network"
    assert len(tasks) == 3
    assert alone.calibration == Calibration()


@pytest.mark.slow
@pytest.mark.parametrize("steps", [5, 9, 10, 20, 0])
def test_a_training_with_a_twin_resumes_wherever_it_was_ended(opened, tmp_path, monkeypatch, steps):
    """After 9 steps the twin is trained, and the network on all polygons has 18 steps; 0: between the two."""
    run, left = opened(GRU), [steps]
    through = trained_on(run, tmp_path / "through", TWICE)

    def end(*_):
        left[0] -= 1
        if left[0] <= 0:
            raise KeyboardInterrupt

    with monkeypatch.context() as during:
        handle = register_optimizer_step_post_hook(end) if steps else None
        if not steps:
            during.setattr(twins, "mean_f1", end)
        with pytest.raises(KeyboardInterrupt):
            trained_on(run, tmp_path / "ended", TWICE)
        if handle:
            handle.remove()
    assert not (tmp_path / "ended/trained/model").exists()
    told = Told()
    trainer = Trainer(replace(run.recipe.choice, training=TWICE), run.scene, run.samples)
    again = trainer.train(0, tmp_path / "ended/trained", told)
    resumed = [line for line in told.words if "Training resumes after epoch" in line]
    assert [line.split(",")[0] for line in resumed] == {
        5: ["Training resumes after epoch 1"],
        9: ["Training resumes after epoch 2"],
        10: ["Training resumes after epoch 3"],
        20: ["Training resumes after epoch 3", "Training resumes after epoch 1"],
        0: ["Training resumes after epoch 3"],
    }[steps]
    assert same(again, list(through.model.parameters()))
    assert again.calibration == through.calibration
    assert not (tmp_path / "ended/trained/twins").exists()


def test_a_network_is_calibrated_on_every_polygon_that_may_judge(opened, tmp_path, monkeypatch):
    run, tasks, fit = opened(GRU), [], training_room.fit

    def watched(task, progress):
        tasks.append(task)
        return fit(task, progress)

    for room in (training_room, twins):
        monkeypatch.setattr(room, "fit", watched)
    draw, samples = run.samples.draw(0), run.samples
    everything = np.sort(np.concatenate([draw.train, draw.validation]))
    alone = samples.polygon[everything[0]]  # a field that was proposed by scout trains, and does not judge
    samples = replace(samples, purposive=samples.polygon == alone)
    draw = samples.draw(0)
    everything = np.sort(np.concatenate([draw.train, draw.validation]))
    settings = replace(TWICE, calibration_folds=3)
    trained = Trainer(replace(run.recipe.choice, training=settings), run.scene, samples).train(
        0, tmp_path / "x", Told()
    )
    *without, last = tasks
    assert len(without) == 3
    assert np.array_equal(last.draw.train, everything)
    judged = np.concatenate([twin.draw.validation for twin in without])
    assert np.array_equal(np.sort(judged), everything[samples.polygon[everything] != alone])
    for twin in without:
        assert not np.intersect1d(samples.polygon[twin.draw.train], samples.polygon[twin.draw.validation]).size
        assert (samples.polygon[twin.draw.train] == alone).any()
    assert trained.calibration.polygons == len(np.unique(samples.polygon[judged]))
    assert trained.calibration.samples == len(judged)


def test_early_stopping_needs_validation_polygons(opened, tmp_path):
    """One polygon a class, all of them for training: a fixed schedule trains, without a calibration."""
    run = opened(GRU)
    split = replace(run.samples.split, train=1.0, draws=1, rare="train")
    samples = replace(run.samples, split=split, reserved=(0, 1, 2))
    assert not len(samples.draw(0).validation)
    for keep in ("validation", "last"):
        settings, told = Training(epochs=1, keep=keep), Told()
        trainer = Trainer(replace(run.recipe.choice, training=settings), run.scene, samples)
        if keep == "last":
            assert trainer.train(0, tmp_path / keep, told).calibration == Calibration()
            assert any("no validation polygon, so the confidence is not calibrated" in line for line in told.words)
            return
        with pytest.raises(TrainingError, match=r"Draw 1 has no validation polygon.*keep = \"last\""):
            trainer.train(0, tmp_path / keep, told)


def test_the_limits_of_the_steps_give_the_number_of_epochs():
    few, many = np.zeros(60, np.int64), np.zeros(500_000, np.int64)
    settings = Training(epochs=40, patience=10, steps=(400, 100_000))
    assert (budgeted(settings, few).epochs, budgeted(settings, few).patience) == (400, 100)
    assert (budgeted(settings, many).epochs, budgeted(settings, many).patience) == (12, 3), "7813 steps an epoch"
    assert budgeted(settings, np.zeros(3200, np.int64)) == settings, "2000 steps are within the limits"
    assert budgeted(Training(epochs=40), few).epochs == 40
    assert budgeted(replace(settings, steps=(0, 10)), many).epochs == 1
    assert budgeted(replace(settings, steps=(10**9, 0)), few).epochs == 100_000, "no more than [training] epochs may be"
    balanced = replace(settings, samples_per_epoch=6400)
    assert budgeted(balanced, np.arange(500_000) % 5) == balanced, "100 steps an epoch"
    with pytest.raises(ValueError, match="a minimum and a maximum; found 20 and 10"):
        Training(steps=(20, 10))


@pytest.mark.parametrize("size", [1, 2, 15, 16, 17, 18, 33, 48])
def test_the_steps_of_an_epoch_are_counted_as_the_loop_makes_them(opened, size):
    run = opened(GRU)
    members = run.samples.draw(0).train[:size]
    normalisation = Normalisation.of(run.samples.cuts, members, "mean-std")
    made = list(batches(run.samples.chips, members, normalisation, 16, np.random.default_rng(0)))
    assert steps_of(Training(batch_size=16), run.samples.label[members]) == len(made)


def test_a_schedule_uses_the_number_of_epochs_that_the_steps_give(opened, tmp_path, request):
    run, rates, told = opened(GRU), [], Told()
    handle = register_optimizer_step_pre_hook(lambda optimiser, *_: rates.append(optimiser.param_groups[0]["lr"]))
    request.addfinalizer(handle.remove)
    settings = replace(TWICE, epochs=2, steps=(30, 0), calibrate=False)
    Trainer(replace(run.recipe.choice, training=settings), run.scene, run.samples).train(0, tmp_path / "t", told)
    assert len(rates) == 30
    assert int(np.argmax(rates)) == 9, "one-cycle: the highest rate after 30 % of the steps"
    assert rates[-1] < 0.02 * max(rates)
    assert len((tmp_path / "t/curves.csv").read_text().splitlines()) == 1 + 5
    assert any(
        "5 epochs of 6 optimiser steps, instead of 2 epochs ([training] steps = [30, 0])" in x for x in told.words
    )


@pytest.mark.parametrize("loss", ["focal", "logit-adjusted"])
def test_other_losses_train(opened, tmp_path, loss):
    settings = Training(epochs=30, learning_rate=0.02, batch_size=16, loss=loss, label_smoothing=0.05)
    run = opened(GRU)
    trained, test = trained_on(run, tmp_path, settings), run.samples.draw(0).test
    found = classify(trained, run.samples.chips, test, "cpu").argmax(1)
    assert (found == run.samples.label[test]).mean() > 0.9


def test_folders_of_format_1_load(opened, tmp_path):
    run = opened(MULTIRESOLCC, PAN_MS, "pan")
    trained = trained_on(run, tmp_path, Training(epochs=1, calibrate=False))
    folder = tmp_path / "trained/model"
    said = json.loads((folder / "trained.json").read_text())
    scaling = said["normalisation"]
    said |= {
        "format": 1,
        "normalisation": {"mean": scaling["offset"], "deviation": scaling["scale"]},
        "calibration": {},
    }
    for record in said["sources"].values():
        del record["units"]
    (folder / "trained.json").write_text(json.dumps(said))
    weights = safetensors.torch.load_file(folder / "weights.safetensors")
    old = {re.sub(r"^(pan|ms)_branch\.conv(\d)\.", r"\1\2.", key): value for key, value in weights.items()}
    assert set(old) != set(weights)
    safetensors.torch.save_file(old, folder / "weights.safetensors")
    test = run.samples.draw(0).test
    again = Trained.load(folder)
    assert np.array_equal(
        classify(again, run.samples.chips, test, "auto"), classify(trained, run.samples.chips, test, "auto")
    )
    again.check_scene(run.scene)


def test_a_network_may_have_settings_that_suit_it(recipe):
    path = recipe('name = "patchwork"')
    text = path.read_text()
    path.write_text(text[: text.index("[training]")])
    assert read_recipe(path).choice.training.schedule == "one-cycle"
    path.write_text(path.read_text() + "[training]\nschedule = 'cosine'\n")
    found = read_recipe(path).choice.training
    assert (found.schedule, found.epochs, found.steps, found.optimiser) == ("cosine", 40, (1000, 10_000), "adamw")


def test_a_number_of_epochs_in_the_recipe_is_not_changed_by_the_limits_of_the_network(recipe):
    path = recipe('name = "patchwork"')
    text = path.read_text()
    path.write_text(text[: text.index("[training]")] + "[training]\nepochs = 3\n")
    assert (read_recipe(path).choice.training.epochs, read_recipe(path).choice.training.steps) == (3, (0, 0))
    path.write_text(path.read_text() + "steps = [50, 0]\n")
    assert read_recipe(path).choice.training.steps == (50, 0)


def test_the_published_preset_is_completed_by_the_recipe(recipe):
    path = recipe(MULTIRESOLCC, PAN_MS, "pan")
    before, _, after = path.read_text().partition("[training]")
    text = before + after[after.index("[map]") :]
    path.write_text(text + '[training]\npreset = "published"\nepochs = 7\n')
    training = read_recipe(path).choice.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (7, 64, 2e-4)
    assert (training.keep, training.scaling, training.augment) == ("training", "min-max", False)
    path.write_text(recipe(FOREST, S2).read_text().replace("[training]", "[training]\npreset = 'published'"))
    with pytest.raises(RecipeError, match="no published training is known for 'random_forest'"):
        read_recipe(path)


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
    with pytest.raises(TrainedError, match="bands differ: trained with red, nir, ndvi, found red, nir"):
        trained.check_scene(other.scene)
    other = open_run(read_recipe(recipe(GRU, S2.replace("scale = 0.0001", "scale = 1.0"))), tmp_path / "third")
    with pytest.raises(TrainedError, match="band red: values around .* units may differ"):
        trained.check_scene(other.scene)


def test_a_model_reads_its_bands_by_name_from_a_scene_with_more(opened, tmp_path, recipe):
    """Of a source with more bands, or in another order, the model reads those of its training."""
    indices = 'indices = ["ndvi"]'
    trained = trained_on(opened(GRU, S2.replace(indices, "")), tmp_path, Training(epochs=1))
    more = open_run(read_recipe(recipe(GRU, S2)), tmp_path / "more").scene
    plain = open_run(read_recipe(recipe(GRU, S2.replace(indices, ""))), tmp_path / "plain").scene
    with pytest.raises(TrainedError, match="bands differ"):
        trained.check_scene(more)
    fitted = trained.limited(more)
    trained.check_scene(fitted)
    assert fitted.cubes["s2"].bands == plain.cubes["s2"].bands == ("red", "nir")
    window = plain.grid.window
    assert np.array_equal(fitted.cubes["s2"].read(window).values, plain.cubes["s2"].read(window).values)
    assert "Source 's2': the model does not use 'ndvi', because it was trained without." in list(
        remarks(trained, fitted)
    )
    turned = limited(plain, {"s2": ("nir", "red")})
    assert trained.limited(turned).cubes["s2"].bands == ("red", "nir")


def test_native_dates_train_too(opened, tmp_path):
    run = opened(GRU, S2.replace("fill =", "# fill ="))
    trained = trained_on(run, tmp_path)
    assert trained.model.encoder.day_of_year
    assert len(trained.sources["s2"].days) == 6


def test_settings_have_ranges():
    for bad in ({"epochs": 0}, {"learning_rate": 0.0}, {"samples_per_epoch": -1}):
        with pytest.raises(ValueError, match="at least|above"):
            Training(**bad)
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        Split(train=1.5)
    for name, bad in {"random_forest": {"trees": 0}, "gru": {"units": 0}, "multiresolcc": {"patch": 8}}.items():
        with pytest.raises(ValueError, match="at least"):
            MODELS.get(name).Config(**bad)


def test_a_training_with_cutoffs_and_few_polygons_is_calibrated_on_all_of_them():
    assert Training().parts_to_calibrate(10) == 1
    assert Training(cutoff=0.7).parts_to_calibrate(999) == 5
    assert Training(cutoff=0.7).parts_to_calibrate(1000) == 1
    assert Training(cutoff=0.7, calibration_folds=1).parts_to_calibrate(10) == 1
    assert Training(calibration_folds=4).parts_to_calibrate(5000) == 4


def test_the_temperature_of_a_cutoff_needs_no_confirmation():
    generator = np.random.default_rng(0)
    label = generator.integers(3, size=60)
    shown = np.where(generator.random(60) < 0.6, label, generator.integers(3, size=60))
    logits, labels = torch.from_numpy(np.eye(3)[shown] * 2.5), torch.from_numpy(label)
    found = shrunk(logits, labels, np.arange(60))
    assert 1 < found < 5
    assert shrunk(logits[:10], labels[:10], np.arange(10)) < found, "few polygons leave it near 1"
    assert shrunk(logits / 20, labels, np.arange(60)) == 1, "it does not raise confidences"
    assert shrunk(logits[:9], labels[:9], np.zeros(9)) == 1
    assert calibrate(logits, labels, np.arange(60)).temperature == 1, "60 polygons do not confirm it"
