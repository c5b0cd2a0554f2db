"""A start without labels: what is hidden stays hidden, and a training takes it up or says why not."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import safetensors.torch
import torch

from bocage.cli import main
from bocage.errors import ModelError, RunFolderError, TrainedError
from bocage.grid import Ratio
from bocage.jobs.pretrain import pretrain_on
from bocage.jobs.run import run
from bocage.models import MODELS, InputSpec, SourceTensor, build, patchwork
from bocage.models.reconstruction import Reconstruction
from bocage.recipe import read_recipe
from bocage.run import open_run, open_scene
from bocage.run.start import pretraining_key
from bocage.training import Pretrained, Pretraining, Trained, input_specs
from conftest import FOREST, PAN_MS, S2, Told

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'
QUICK = Pretraining(pixels=256, epochs=2)
INPUTS = {
    "s2": InputSpec("s2", ("red", "nir"), 6, Ratio(), regular=False),
    "pan": InputSpec("pan", ("pan",), 1, Ratio(finer=2)),
}


@pytest.fixture
def path(recipe):
    return recipe(PATCHWORK, NATIVE + PAN_MS, "pan", **{"draws = 2": "draws = 1"})


@pytest.fixture
def batch():
    g = torch.Generator().manual_seed(0)
    network = build(MODELS.get("patchwork"), INPUTS, 3, patchwork.Config(preset="small"))
    found = {}
    for name, spec in INPUTS.items():
        size = network.footprints[name].size
        values = torch.randn(8, spec.dates, len(spec.bands), size, size, generator=g)
        days = torch.arange(spec.dates).repeat(8, 1) * 30 + 18_600
        found[name] = SourceTensor(values, torch.ones(8, spec.dates, size, size, dtype=torch.bool), days)
    return found


def nothing(logits, target):
    raise AssertionError("labels are not looked at")


@pytest.fixture
def taught(monkeypatch):
    """A network that guesses what is hidden from it, and what it was shown last."""
    made, seen = Reconstruction(build(MODELS.get("patchwork"), INPUTS, 3, patchwork.Config(preset="small"))).eval(), {}
    whole = made.network.fused

    def spied(shown):
        seen.update(shown)
        return whole(shown)

    monkeypatch.setattr(made.network, "fused", spied)
    return made, seen


def hidden_of(seen):
    """Dates (B, T) of which nothing was shown; everything was valid."""
    assert all(torch.equal(one.valid.any((2, 3)), one.valid.all((2, 3))) for one in seen.values()), "whole dates"
    return {name: ~one.valid.any((2, 3)) for name, one in seen.items()}


def test_what_is_hidden_is_not_seen_and_is_what_is_asked_for(batch, taught):
    network, seen = taught
    values = {name: one.values.clone().requires_grad_() for name, one in batch.items()}
    given = {name: SourceTensor(values[name], one.valid, one.days) for name, one in batch.items()}
    torch.manual_seed(0)
    network.loss(given, torch.zeros(8), nothing).backward()
    hidden = hidden_of(seen)["s2"]
    assert hidden.any()
    assert not hidden.all()
    moved = values["s2"].grad.abs().sum(2)
    middle = values["s2"].shape[-1] // 2
    assert (moved[hidden][:, middle, middle] > 0).all(), "the guess is compared with it"
    assert torch.equal(moved[hidden].sum((1, 2)), moved[hidden][:, middle, middle]), "and with nothing around it"
    assert (moved[~hidden].sum((1, 2)) > 0).all(), "dates that are shown tell something"


def test_some_of_every_sample_is_shown(batch, taught):
    network, seen = taught
    torch.manual_seed(0)
    for _ in range(20):
        with torch.no_grad():
            network.loss(batch, torch.zeros(8), nothing)
        hidden = hidden_of(seen)
        whole = torch.stack([hidden[name].all(1) for name in batch])
        assert not whole[1].all(), "an image is hidden now and then"
        assert hidden["s2"].any()
        images_gone = hidden["pan"][:, 0]
        assert (~hidden["s2"][images_gone]).any(1).all(), "where the image is gone, the series is there"


@pytest.mark.slow
def test_it_learns_to_guess(path, tmp_path):
    pretrain_on(read_recipe(path), tmp_path / "out", Pretraining(pixels=1024, epochs=8, batch_size=64))
    losses = [float(line.split(",")[1]) for line in (tmp_path / "out/pretrained.csv").read_text().splitlines()[1:]]
    assert len(losses) == 8
    assert losses[-1] < 0.8 * losses[0], losses
    assert not list((tmp_path / "out").glob("*checkpoint*"))
    assert not (tmp_path / "out/pixels").exists()


def test_two_processes_find_near_enough_the_weights_of_one(path, tmp_path, forked):
    read = read_recipe(path)
    quick = replace(QUICK, batch_size=64)
    alone = pretrain_on(read, tmp_path / "alone", quick).weights
    two = replace(read, choice=replace(read.choice, training=replace(read.choice.training, devices=2, device="cpu")))
    both = pretrain_on(two, tmp_path / "both", quick).weights
    torch.manual_seed(read.split.seed)
    first = build(MODELS.get("patchwork"), input_specs(open_scene(read)), 2, read.choice.config).state_dict()
    names = [name for name in alone if alone[name].dtype.is_floating_point]
    way = sum(float((alone[name] - first[name]).square().sum()) for name in names)
    apart = sum(float((alone[name] - both[name]).square().sum()) for name in names)
    assert apart < 0.5 * way, apart / way


@pytest.mark.slow
def test_a_training_starts_from_it_and_is_done_again_when_it_appears(path, tmp_path):
    read = read_recipe(path)
    run(read, tmp_path / "out", ("train",))
    before = Trained.load(tmp_path / "out/splits/0/model")
    pretrain_on(read, tmp_path / "out", QUICK)
    with pytest.raises(RunFolderError, match=r"it differs in: pretrained weights\)"):
        run(read, tmp_path / "out", ("train",))
    assert Trained.load(tmp_path / "out/splits/0/model").fingerprint == before.fingerprint
    opened = run(read, tmp_path / "out", ("train",), overwrite=True)
    after = Trained.load(tmp_path / "out/splits/0/model")
    assert opened.start is not None
    assert after.normalisation == opened.start.normalisation, "bands are scaled as in the pretraining"
    assert after.fingerprint != before.fingerprint
    written = (tmp_path / "out/splits/0/model/trained.json").stat().st_mtime_ns
    run(read, tmp_path / "out", ("train",))
    assert (tmp_path / "out/splits/0/model/trained.json").stat().st_mtime_ns == written, "and then it is current"
    shutil.move(tmp_path / "out/pretrained", tmp_path / "moved")
    with pytest.raises(RunFolderError, match=r"it differs in: pretrained weights\)"):
        run(read, tmp_path / "out", ("train",))
    shutil.move(tmp_path / "moved", tmp_path / "out/pretrained")
    run(read, tmp_path / "out", ("train",))
    assert (tmp_path / "out/splits/0/model/trained.json").stat().st_mtime_ns == written


def test_a_complete_pretraining_is_not_replaced_by_one_with_other_settings(path, tmp_path):
    read, out = read_recipe(path), tmp_path / "out"
    first = pretrain_on(read, out, QUICK).fingerprint
    written = (out / "pretrained/weights.safetensors").stat().st_mtime_ns
    pretrain_on(read, out, QUICK)
    with pytest.raises(RunFolderError, match=r"it differs in: pretraining epochs, pretraining pixels\)"):
        pretrain_on(read, out, replace(QUICK, pixels=300, epochs=1))
    open_run(read, out)
    pretrain_on(read, out, QUICK)
    assert (out / "pretrained/weights.safetensors").stat().st_mtime_ns == written, "it is current"
    assert pretrain_on(read, out, replace(QUICK, epochs=1), overwrite=True).fingerprint != first


@pytest.mark.slow
def test_all_members_of_a_mixture_start_from_it(path, tmp_path):
    path.write_text(path.read_text().replace(PATCHWORK, f"{PATCHWORK}\nmembers = 2"))
    read = read_recipe(path)
    made = pretrain_on(read, tmp_path / "out", QUICK)
    assert made.name == "patchwork", "the network of the members is pretrained"
    brief = read.choice.with_training(epochs=1, learning_rate=1e-9, weight_decay=0.0, scaling=made.normalisation.kind)
    opened = run(replace(read, choice=brief), tmp_path / "out", ("train",), overwrite=True)
    trained = Trained.load(opened.layout.split(0).model.path)
    assert trained.normalisation == made.normalisation, "bands are scaled as in the pretraining"
    for member in trained.model.members:
        weights = dict(member.named_parameters())
        for name, tensor in made.weights.items():
            if name in weights:
                assert torch.allclose(weights[name], tensor, atol=1e-6), name
    heads = [
        torch.cat([w.flatten() for n, w in m.state_dict().items() if n.startswith("head.")])
        for m in trained.model.members
    ]
    assert not torch.allclose(*heads), "the heads are random"


def test_weights_arrive_but_for_the_heads(path, tmp_path):
    read = read_recipe(path)
    made = pretrain_on(read, tmp_path / "out", QUICK)
    opened = open_run(read, tmp_path / "out")
    network = build(MODELS.get("patchwork"), made.inputs, 3, read.choice.config)
    head = network.head.linear.weight.clone() if hasattr(network.head, "linear") else None
    made.start(network, "patchwork", opened.scene, made.normalisation, Told())
    state = network.state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in made.weights.items())
    assert not any(name.startswith(("head.", "parts.")) for name in made.weights)
    assert head is None or torch.equal(network.head.linear.weight, head)
    assert opened.start.fingerprint == made.fingerprint


@pytest.mark.slow
def test_another_run_names_the_folder_and_a_new_source_starts_from_nothing(recipe, path, tmp_path):
    alone = recipe(PATCHWORK, NATIVE, "s2")
    pretrain_on(read_recipe(alone), tmp_path / "first", QUICK)
    both = recipe(PATCHWORK, NATIVE + PAN_MS, "pan")
    text = both.read_text().replace("[training]", f'[training]\npretrained = "{tmp_path / "first/pretrained"}"')
    both.write_text(text.replace("epochs = 4", "epochs = 1").replace("draws = 2", "draws = 1"))
    told = Told()
    run(read_recipe(both), tmp_path / "second", ("train",), told)
    assert any("Not pretrained" in text and "pan" in text for text in told.words)


def named(path, folder):
    """The recipe, which names a pretrained folder."""
    path.write_text(path.read_text().replace("[training]", f'[training]\npretrained = "{folder}"'))
    return read_recipe(path)


@pytest.mark.parametrize("change", ["jitter = 30", "date_dropout = 0.5", "cutoff = 0.9", "clip = 0.001"])
def test_settings_that_change_the_pretraining_are_in_its_key(recipe, change):
    """Weights with other settings were taken for current."""
    inputs = SimpleNamespace(images="images")
    path = recipe(PATCHWORK, NATIVE, "s2")
    key = pretraining_key(read_recipe(path), inputs)
    path.write_text(path.read_text().replace("[training]", f"[training]\n{change}"))
    assert pretraining_key(read_recipe(path), inputs) != key
    path.write_text(path.read_text().replace(f"[training]\n{change}", "[training]\nlabel_smoothing = 0.3"))
    assert pretraining_key(read_recipe(path), inputs) == key, "a pretraining has no labels"


def test_other_bands_are_refused(recipe, tmp_path):
    pretrain_on(read_recipe(recipe(PATCHWORK, NATIVE, "s2")), tmp_path / "out", QUICK)
    fewer = recipe(PATCHWORK, NATIVE.replace('indices = ["ndvi"]\n', ""), "s2")
    with pytest.raises(TrainedError, match="source 's2': pretrained with bands red, nir, ndvi, found red, nir"):
        run(named(fewer, tmp_path / "out/pretrained"), tmp_path / "next", ("train",))


def test_other_units_and_other_days_are_refused(recipe, tmp_path):
    pretrain_on(read_recipe(recipe(PATCHWORK, NATIVE, "s2")), tmp_path / "out", QUICK)
    digital = recipe(PATCHWORK, NATIVE.replace("scale = 0.0001\n", ""), "s2")
    with pytest.raises(TrainedError, match=r"band red: values around .*units may differ; check scale"):
        run(named(digital, tmp_path / "out/pretrained"), tmp_path / "digital", ("train",))
    lines = [f"{np.datetime64('2021-01-01') + k},10.0" for k in range(365)]
    (tmp_path / "warmth.csv").write_text("\n".join(["date,temperature", *lines]) + "\n")
    thermal = f'thermal = {{ temperature = "{tmp_path / "warmth.csv"}" }}\n'
    warm = recipe(PATCHWORK, NATIVE + thermal, "s2")
    with pytest.raises(TrainedError, match="source 's2': pretrained with days calendar, found"):
        run(named(warm, tmp_path / "out/pretrained"), tmp_path / "warm", ("train",))


def test_another_size_and_another_network_are_refused(recipe, path, tmp_path):
    pretrain_on(read_recipe(path), tmp_path / "out", QUICK)
    large = recipe(PATCHWORK.replace("small", "medium"), NATIVE + PAN_MS, "pan")
    with pytest.raises(TrainedError, match="settings differ"):
        run(named(large, tmp_path / "out/pretrained"), tmp_path / "next", ("train",))
    gru = recipe('name = "gru"\nunits = 8', NATIVE + PAN_MS, "s2")
    with pytest.raises(TrainedError, match="of the network 'patchwork', the recipe trains 'gru'"):
        run(named(gru, tmp_path / "out/pretrained"), tmp_path / "last", ("train",))


def test_a_folder_whose_imagery_is_another_does_not_use_it_and_says_so(recipe, path, tmp_path):
    pretrain_on(read_recipe(path), tmp_path / "out", QUICK)
    other, told = recipe(PATCHWORK, NATIVE.replace("0.0001", "0.001") + PAN_MS, "pan"), Told()
    opened = open_run(read_recipe(other), tmp_path / "out", told)
    assert opened.start is None
    assert any("computed from other imagery" in text for text in told.words)
    fewer_polygons = recipe(PATCHWORK, NATIVE + PAN_MS, "pan", **{"train = 0.5": "train = 0.4"})
    assert open_run(read_recipe(fewer_polygons), tmp_path / "out").start is not None


def test_a_model_without_an_encoder_is_refused_before_anything_is_cut(recipe, tmp_path):
    with pytest.raises(ModelError, match="learns from labels only"):
        pretrain_on(read_recipe(recipe(FOREST)), tmp_path / "out", QUICK)
    assert not (tmp_path / "out/pixels").exists()


def test_damaged_folders_are_told(path, tmp_path):
    folder = tmp_path / "out/pretrained"
    pretrain_on(read_recipe(path), tmp_path / "out", QUICK)
    (folder / "weights.safetensors").write_bytes(b"cut short")
    with pytest.raises(TrainedError, match="cannot be read as a pretrained encoder"):
        Pretrained.load(folder)
    (folder / "pretrained.json").unlink()
    with pytest.raises(TrainedError, match="was not written by 'bocage pretrain'"):
        run(read_recipe(path), tmp_path / "out", ("train",))


def test_weights_that_are_the_same_have_the_same_fingerprint(path, tmp_path):
    made = pretrain_on(read_recipe(path), tmp_path / "out", QUICK)
    read = Pretrained.load(tmp_path / "out/pretrained")
    assert read.fingerprint == made.fingerprint
    name = next(iter(made.weights))
    other = replace(made, weights={**made.weights, name: made.weights[name] + 1})
    assert other.fingerprint != made.fingerprint
    stored = safetensors.torch.load_file(tmp_path / "out/pretrained/weights.safetensors")
    assert set(stored) == set(made.weights)
    assert np.isfinite(sum(float(t.sum()) for t in stored.values()))


@pytest.mark.slow
def test_the_command(path, tmp_path, capsys):
    out = str(tmp_path / "out")
    arguments = ["pretrain", str(path), "--out", out, "--pixels", "256", "--epochs", "1"]
    assert main(arguments) == 0
    assert "out/pretrained" in capsys.readouterr().out
    assert main(["train", str(path), "--out", out]) == 0
    assert main(arguments) == 0
    assert "up to date" in capsys.readouterr().err
