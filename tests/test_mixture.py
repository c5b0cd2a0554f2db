"""Mixtures: the mean of the probabilities of several models, from the recipe to the map."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import rasterio
import safetensors.torch
import torch

from bocage.disk import checksums_of, write_checksums
from bocage.errors import ModelError, RecipeError, TrainedError, TrainingError
from bocage.evaluation import Predictions, predictions_of
from bocage.grid import Ratio
from bocage.layout import ModelLayout, SplitLayout
from bocage.mapping import make_map
from bocage.mapping.engine import Computing
from bocage.models import MODELS, Footprint, InputSpec, SourceTensor, build, card_for, ensemble, gru, lightgbm, mixture
from bocage.models.member import Member
from bocage.models.members import MEMBERS
from bocage.models.mixture import Config
from bocage.models.settings.fusion import Member as FusionMember
from bocage.models.tabular import interpolated
from bocage.recipe import read_recipe
from bocage.report.sections.summary import model_name
from bocage.run import open_run
from bocage.scene.gaps import interpolate
from bocage.testing import random_batch
from bocage.training import Adapting, Region, Trained, Trainer, adapt, classify
from bocage.training import train as training_room
from bocage.training.calibration import Calibration
from bocage.training.export import export
from conftest import FOREST, GRU, PAN_MS, S2, Told

SERIES = InputSpec("s2", ("red", "nir"), 5, Ratio())
NATIVE = InputSpec("s2", ("red", "nir"), 5, Ratio(), regular=False)
RADAR = InputSpec("s1", ("vv",), 4, Ratio(), regular=False)
SMALL = {"preset": "small", "filters": (3, 4)}
NATIVE_S2 = S2.partition("fill =")[0]
TWO = f"{GRU}\nmembers = 2"
MIXED = """name = "mixture"
[[model.members]]
name = "patchwork"
preset = "small"
context = 1
[[model.members]]
name = "lightgbm"
rounds = 5
min_leaf = 5
gaps = "linear"
"""


def built(inputs, *members, n_classes=3):
    torch.manual_seed(0)
    return build(mixture, inputs, n_classes, Config(members)).eval()


def batch_of(model, inputs, size=3, positions=1):
    return random_batch(inputs, model.footprints, torch.Generator().manual_seed(1), size=size, positions=positions)


@torch.no_grad()
def test_the_probabilities_are_the_mean_of_those_of_the_members_each_at_its_temperature():
    inputs = {"s2": SERIES}
    model = built(inputs, Member("gru", {"units": 4}, 2), Member("tempcnn", {"filters": 3, "dense": 4}))
    temperatures = (2.0, 0.5, 1.25)
    for number, temperature in enumerate(temperatures):
        model.calibrate(number, torch.tensor([temperature]))
    batch = batch_of(model, inputs)
    each = [(m(batch) / t).softmax(1) for m, t in zip(model.members, temperatures, strict=True)]
    assert not torch.allclose(each[0], each[1]), "networks of the same settings have other random weights"
    assert torch.allclose(model(batch).exp(), torch.stack(each).mean(0), atol=1e-6)
    assert torch.allclose(model(batch).exp().sum(1), torch.ones(3, 1, 1))


@torch.no_grad()
def test_the_temperature_of_a_member_depends_on_the_valid_sources():
    inputs = {"s2": NATIVE, "s1": RADAR}
    model = built(inputs, Member("patchwork", SMALL, 2))
    assert model.any_source
    calibration = Calibration(2.0, partial={"s2": 3.0, "s1": 4.0})
    for number in range(2):
        model.calibrate(number, calibration.table(list(model.members[number].footprints)))
    whole = {n: replace(t, valid=torch.ones_like(t.valid)) for n, t in batch_of(model, inputs).items()}
    for hidden, expected in ((None, 2.0), ("s1", 3.0), ("s2", 4.0)):
        batch = {name: tensor.hidden() if name == hidden else tensor for name, tensor in whole.items()}
        each = torch.stack([(member(batch) / expected).softmax(1) for member in model.members]).mean(0)
        assert torch.allclose(model(batch).exp(), each, atol=1e-6), hidden
        rest = {name: tensor for name, tensor in batch.items() if name != hidden}
        assert torch.allclose(model(rest).exp(), each, atol=1e-6), "a source that is not in the batch is not valid"


def test_the_loss_is_the_sum_of_the_losses_of_the_networks():
    inputs = {"s2": SERIES}
    model = built(inputs, Member("gru", {"units": 4}, 2), Member("lightgbm"))
    batch, labels, entropy = batch_of(model, inputs), torch.arange(3), torch.nn.functional.cross_entropy
    own = [member.loss(batch, labels, entropy) for member in list(model.members)[:2]]
    assert torch.allclose(model.loss(batch, labels, entropy), sum(own))


def test_abilities_are_those_that_the_mean_has():
    both = {"s2": NATIVE, "s1": RADAR}
    networks = built(both, Member("patchwork", SMALL, 2))
    assert (networks.any_source, networks.abilities.fitted, networks.abilities.attention) == (True, False, True)
    with_trees = built(both, Member("patchwork", SMALL), Member("lightgbm"))
    assert (with_trees.any_source, with_trees.abilities.fitted) == (False, True)
    apart = built(both, Member("patchwork", SMALL), Member("patchwork", {**SMALL, "sources": ("s1",)}))
    assert not apart.any_source, "a pixel without s1 would be no pixel for the second member"
    weights = networks.attention(batch_of(networks, both))
    assert set(weights) == {"s1", "s2"}
    each = torch.stack([member.attention(batch_of(networks, both))["s2"] for member in networks.members])
    assert torch.allclose(weights["s2"], each.mean(0))


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Footprint(3, 1), Footprint(1, 0), Footprint(3, 1)),
        (Footprint(1, 0), Footprint(8, 2), Footprint(8, 2)),
        (Footprint(4, 0), Footprint(3, 2), Footprint(6, 2)),
    ],
)
def test_the_footprint_contains_those_of_all_members(first, second, expected):
    members = [SimpleNamespace(footprints={"a": one}) for one in (first, second)]
    assert ensemble._widest(members) == {"a": expected}
    side = expected.size + 2  # three positions
    values = torch.arange(side**2, dtype=torch.float32).reshape(1, 1, 1, side, side)
    tensor = SourceTensor(values, torch.ones(1, 1, side, side, dtype=torch.bool), torch.zeros(1, 1))
    for one in (first, second):
        part = ensemble._cropped(tensor, expected, one)
        assert part.values.shape[-1] == one.size + 2
        anchor = (..., one.before, one.before)
        assert part.values[anchor] == values[..., expected.before, expected.before]


def test_the_card_is_that_of_the_members():
    def card(*names):
        return card_for(mixture, Config(tuple(Member(name) for name in names)))

    assert (card("gru", "tempcnn").dense, card("gru", "tempcnn").same_dates) == (
        "exact",
        card_for(MODELS.get("tempcnn"), None).same_dates,
    )
    assert (card("gru", "lightgbm").dense, card("gru", "lightgbm").same_dates) == ("exact", True)
    assert card("gru", "m3fusion").dense == "patches"


def test_a_fusion_needs_the_dates_of_its_members():
    architecture = MODELS.get("fusion")
    for network, same in (("tempcnn", True), ("ltae", False)):
        config = architecture.Config("early", (FusionMember(network),))
        assert card_for(architecture, config).same_dates == same
        both = Member("fusion", {"strategy": "early", "members": [{"network": network}]})
        assert card_for(MODELS.get("mixture"), Config((both, Member("gru")))).same_dates == same


def test_series_of_other_dates_are_not_stacked(opened):
    """As many dates, of another part of the year: the bands of March would be stacked on those of February."""
    later = (
        S2.replace("sources.s2", "sources.later")
        .replace("2021-02-01", "2021-03-01")
        .replace("2021-07-31", "2021-08-28")
    )
    model = (
        'name = "fusion"\nstrategy = "early"\n[[model.members]]\nnetwork = "gru"\n[model.members.settings]\nunits = 4\n'
    )
    opened(model, S2 + S2.replace("sources.s2", "sources.same"))
    with pytest.raises(ModelError, match=r"date 1 of 's2' is 2021-02-01, and that of 'later' 2021-03-01"):
        opened(model, S2 + later)


class Own(torch.nn.Module):
    """A network from outside the package, which is no ``Network``."""

    def __init__(self, inputs, n_classes, config):
        super().__init__()
        self.footprints = {"s2": Footprint(1)}
        self.linear = torch.nn.Linear(2, n_classes)

    def forward(self, batch):
        return self.linear(batch["s2"].masked().mean((1, 3, 4)))[:, :, None, None]


def test_networks_from_outside_are_members(monkeypatch):
    monkeypatch.setitem(MEMBERS.things, "own", SimpleNamespace(Config=gru.Config, Model=Own))
    inputs = {"s2": SERIES}
    first, again = (build(mixture, inputs, 3, Config((Member("own", {}, 2),))) for _ in range(2))
    weights = first.state_dict()
    assert "members.0.linear.weight" in weights, "the names are those of the module"
    again.load_state_dict(weights)
    batch = batch_of(first, inputs)
    assert torch.equal(first(batch), again(batch))


def test_gaps_are_interpolated_as_in_a_scene():
    generator = torch.Generator().manual_seed(2)
    values, valid = torch.randn(2, 6, 3, 4, 5, generator=generator), torch.rand(2, 6, 4, 5, generator=generator) > 0.6
    valid[0, :, 0, 0] = False
    days = torch.tensor([[3, 10, 12, 30, 41, 77]], dtype=torch.int32).expand(2, -1) + 18_000
    filled = interpolated(SourceTensor(values, valid, days))
    for b in range(2):
        expected, seen = interpolate(values[b].numpy(), valid[b].numpy(), days[b].numpy(), days[b].numpy())
        assert np.array_equal(filled.valid[b].numpy(), seen)
        assert filled.values[b].numpy() * seen[:, None] == pytest.approx(expected, abs=1e-5)


def test_the_trees_fill_series_of_native_dates_only():
    for spec, changes in ((NATIVE, True), (SERIES, False)):
        batch = batch_of(built({"s2": spec}, Member("gru", {"units": 2}, 2)), {"s2": spec})
        rows = [
            build(
                MODELS.get("random_forest"), {"s2": spec}, 3, MODELS.get("random_forest").Config(gaps=gaps)
            ).table.rows(batch)
            for gaps in ("missing", "linear")
        ]
        assert np.isnan(rows[0]).any()
        assert np.isnan(rows[1]).any() != changes


def test_trees_of_another_number_of_classes_are_refused():
    inputs = {"s2": SERIES}
    model, other = (build(lightgbm, inputs, n, lightgbm.Config(rounds=1, min_leaf=2)) for n in (3, 4))
    model.fit(batch_of(model, inputs, size=30), torch.arange(30) % 3, 0)
    with pytest.raises(ModelError, match="3 classes, the legend has 4"):
        other.set_extra_state(model.get_extra_state())


def test_recipes_of_mixtures(recipe):
    plain, one, three = (read_recipe(recipe(GRU + more)).choice for more in ("", "\nmembers = 1", "\nmembers = 3"))
    assert one == plain, "one network is the network"
    assert three.members == (plain,) * 3
    assert (three.name, three.title, three.encoder) == ("mixture", "3 × gru", plain)
    text = MIXED + 'count = 2\n[[model.members]]\nname = "gru"\ntraining = { epochs = 7 }'
    mixed = read_recipe(recipe(text)).choice
    assert mixed.title == "patchwork + 2 × lightgbm + gru"
    assert [member.name for member in mixed.members] == ["patchwork", "lightgbm", "lightgbm", "gru"]
    assert mixed.encoder == mixed
    assert mixed.members[1].config.rounds == 5
    assert mixed.members[0].training.optimiser == "adamw", "the defaults of the network, completed by [training]"
    assert [member.training.epochs for member in mixed.members] == [4, 4, 4, 7]
    changed = mixed.with_training(devices=2)
    assert {c.training.devices for c in (changed, *changed.members)} == {2}


def test_the_scaling_of_a_published_training_is_that_of_all_members(recipe):
    text = 'name = "mixture"\n[[model.members]]\nname = "tempcnn"\ncount = 2\n'
    published = dict.fromkeys(["epochs = 4\nlearning_rate = 0.01\nbatch_size = 16"], 'preset = "published"')
    choice = read_recipe(recipe(text, **published)).choice
    known = MODELS.get("tempcnn").CARD.published
    assert {c.training.scaling for c in (choice, *choice.members)} == {known.scaling}


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (GRU + "\nmembers = 0", "model: 'members' must be at least 1 and at most 100; found 0"),
        (GRU + "\nmembers = 2.5", "model.members: Input should be a valid integer"),
        (GRU + '\nmembers = ["gru"]', 'model.members: a number is expected; for different models, write name = "mixture"'),
        ('name = "fusion"\nmembers = 3', 'model.members: members of \'fusion\' are its own networks; to repeat it, write name = "mixture"'),
        ("name = [3]\nmembers = 3", "model.name: the model is missing"),
        ('name = "mixture"', "model.members: a mixture needs a table [[model.members]] for each model"),
        ('name = "mixture"\nmembers = []', "a mixture needs a table"),
        ('name = "mixture"\nmembers = 3', "a mixture needs a table"),
        ('name = "mixture"\nunits = 3\nmembers = [{ name = "gru", count = 2 }]', "model.units: unknown key"),
        ('name = "mixture"\nmembers = [{ name = "gru" }]', "model.members: a mixture has two networks or more; found 1"),
        ('name = "mixture"\nmembers = [{ name = "gru", count = 0 }]', "model.members.0: 'count' must be at least 1 and at most 100; found 0"),
        ('name = "mixture"\nmembers = [{ name = "gru" }, { name = "gro" }]', "model.members.1.name: Unknown model 'gro'"),
        ('name = "mixture"\nmembers = [{ name = "gru" }, { units = 3 }]', "model.members.1.name: the model is missing"),
        ('name = "mixture"\nmembers = [{ name = "gru", unit = 3 }, { name = "gru" }]', "model.members.0.unit: unknown key. Did you mean 'units'?"),
        ('name = "mixture"\nmembers = [{ name = "gru" }, { name = "mixture" }]', "a mixture cannot be a member of a mixture"),
        ('name = "mixture"\nmembers = [{ name = "gru", count = 2, training = 3 }]', "model.members.0.training: a table is expected; found 3"),
        ('name = "mixture"\nmembers = [{ name = "gru", count = 2, training = { epoch = 3 } }]', "model.members.0.training.epoch: unknown key"),
        (
            'name = "mixture"\nmembers = [{ name = "gru", count = 2, training = { device = "cpu" } }]',
            "model.members.0.training.device: all members have the same device; set it in [training]",
        ),
        (
            'name = "mixture"\nmembers = [{ name = "gru" }, { name = "tempcnn", training = { window = 16 } }]',
            "model.members.1.training.window: all members have the same window; set it in [training]",
        ),
    ],
)  # fmt: skip
def test_recipes_that_are_no_mixture_are_refused(recipe, model, problem):
    with pytest.raises(RecipeError) as error:
        read_recipe(recipe(model))
    assert problem in str(error.value)


def test_what_is_no_mixture_is_refused_from_a_folder_too():
    with pytest.raises(ValueError, match="two networks or more"):
        Config((Member("gru"),))
    with pytest.raises(ValueError, match="cannot be a member"):
        Config((Member("gru"), Member("mixture")))
    with pytest.raises(ModelError, match="Settings of the member gru"):
        build(mixture, {"s2": SERIES}, 3, Config((Member("gru", {"size": 3}, 2),)))


def test_models_of_a_comparison_can_be_mixtures(recipe):
    more = '[[compare]]\nmodel = { name = "gru", members = 2 }\n[[compare]]\nmodel = { name = "mixture", members = [{ name = "gru", count = 3 }] }\n'
    compared = read_recipe(recipe(GRU, more=more)).compare
    assert [(one.label, len(one.choice.members)) for one in compared] == [("gru (members = 2)", 2), ("3 × gru", 3)]


def trainer_of(opened, settings):
    return Trainer(opened.recipe.choice.with_training(**settings), opened.scene, opened.samples)


BRIEF = {"epochs": 2, "checkpoint": 0.0}


@pytest.fixture
def opened(recipe, tmp_path):
    def open_(model, sources=S2, like="s2"):
        return open_run(read_recipe(recipe(model, sources, like)), tmp_path / f"run{len(list(tmp_path.iterdir()))}")

    return open_


def same(first, second):
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.fixture
def pair(opened, tmp_path):
    """Two networks, trained as a mixture."""
    run = opened(TWO)
    return run, trainer_of(run, BRIEF).train(0, tmp_path / "pair")


def test_member_0_is_the_network_without_members(opened, tmp_path, pair):
    run, trained = pair
    alone = opened(GRU)
    single = trainer_of(alone, BRIEF).train(0, tmp_path / "single")
    first, second = trained.model.members
    assert same(single.model.state_dict(), first.state_dict())
    assert not same(first.state_dict(), second.state_dict())
    assert trained.model.get_buffer("temperatures_0").tolist() == pytest.approx([single.calibration.temperature])
    assert trained.normalisation == single.normalisation


def test_the_folder_of_a_mixture_is_a_model_like_any_other(tmp_path, pair):
    run, trained = pair
    where, test = SplitLayout(tmp_path / "pair"), run.samples.draw(0).test
    again = Trained.load(where.model.path)
    assert (again.name, again.title, again.config) == ("mixture", "2 × gru", trained.config)
    found = classify(again, run.samples.chips, test, "cpu")
    members = [Trained.load(where.member(k).model.path) for k in range(2)]
    mean = np.mean([classify(member, run.samples.chips, test, "cpu") for member in members], 0)
    raised = mean ** (1 / again.calibration.temperature)
    assert found == pytest.approx(raised / raised.sum(1, keepdims=True), abs=1e-5)
    assert [path.parent.name for path in where.all_curves] == ["0", "1"]
    assert not list(where.path.rglob("checkpoint*"))


@pytest.mark.slow
def test_an_interrupted_mixture_goes_on_with_the_member_at_work(opened, tmp_path, monkeypatch, pair):
    run, through = pair
    write, written, trained = training_room.write_curves, [], tmp_path / "killed"

    def die_in_the_second(*args):
        written.append(args)
        if len(written) == 2:
            raise KeyboardInterrupt
        write(*args)

    monkeypatch.setattr(training_room, "write_curves", die_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        trainer_of(run, BRIEF).train(0, trained)
    assert not (trained / "model").exists(), "what is not complete does not look complete"
    progress = Told()
    again = trainer_of(run, BRIEF).train(0, trained, progress)
    assert "member 1 of 2: complete" in progress.words
    assert any(line.startswith("member 2 of 2: Training resumes after epoch 2") for line in progress.words)
    assert same(through.model.state_dict(), again.model.state_dict())
    progress = Told()
    other = trainer_of(run, {**BRIEF, "learning_rate": 0.1}).train(0, trained, progress)
    assert not any("complete" in line for line in progress.words), "members with other settings are trained again"
    assert not same(through.model.state_dict(), other.model.state_dict())


@pytest.mark.parametrize("changed", ["days", "content"])
def test_members_trained_on_other_days_or_values_are_trained_again(tmp_path, pair, changed):
    """Growing degree days replace the days; a file that is processed again has other values at the same days."""
    run, _ = pair
    cut = run.samples.cuts["s2"]
    other = replace(cut, days=cut.days + 7) if changed == "days" else replace(cut, content="of another file")
    samples, progress = replace(run.samples, cuts={"s2": other}), Told()
    of_others = replace(trainer_of(run, BRIEF), samples=samples)
    of_others.train(0, tmp_path / "pair", progress)
    assert not any("complete" in line for line in progress.words)


def test_members_of_bands_of_other_names_are_trained_again(opened, tmp_path):
    """A band that is declared as red gets its share of the brightness: the files may have been named b1 and b2 before."""
    unnamed = S2.replace("red =", "b1 =").replace("nir =", "b2 =").replace('indices = ["ndvi"]\n', "")
    named = unnamed.replace("b1 =", "red =").replace("b2 =", "nir =")
    model = 'name = "patchwork"\npreset = "small"\nshares = true\nmembers = 2'
    for sources in (unnamed, named):
        run, progress = opened(model, sources.partition("fill =")[0]), Told()
        trainer_of(run, BRIEF | {"steps": (0, 2)}).train(0, tmp_path / "here", progress)
        assert not any("complete" in line or "resumes" in line for line in progress.words)


def test_a_damaged_member_is_trained_again(tmp_path, pair):
    run, trained = pair
    weights = SplitLayout(tmp_path / "pair").member(1).model.weights
    weights.write_bytes(weights.read_bytes()[:-1])
    of_a_larger_mixture = SplitLayout(tmp_path / "pair").member(5).path
    of_a_larger_mixture.mkdir()
    progress = Told()
    again = trainer_of(run, BRIEF).train(0, tmp_path / "pair", progress)
    assert any("The member is trained again" in line for line in progress.words)
    assert not of_a_larger_mixture.exists()
    assert same(trained.model.state_dict(), again.model.state_dict())


def test_a_network_trained_in_the_folder_of_a_mixture_leaves_no_member(opened, tmp_path, pair):
    alone = opened(FOREST)
    where = SplitLayout(tmp_path / "pair")
    where.curves.write_text("of a network\n")
    trainer_of(alone, {}).train(0, where.path)
    assert not where.members.exists()
    assert not where.curves.exists(), "a forest has none"
    assert where.all_curves == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: {n: t[:2] if n == f"members.1.{HEAD}" else t for n, t in w.items()}, "size mismatch"),
        (
            lambda w: {n: -t if n == "temperatures_1" else t for n, t in w.items()},
            "temperature of member 2 is not above 0",
        ),
        (lambda w: {n: t for n, t in w.items() if not n.startswith("members.1")}, "Missing key"),
    ],
    ids=["legend", "temperature", "member"],
)
def test_damaged_folders_of_mixtures_are_refused(tmp_path, pair, change, message):
    model = ModelLayout(tmp_path / "pair/model")
    safetensors.torch.save_file(change(safetensors.torch.load_file(model.weights)), model.weights)
    write_checksums(model.checksums, checksums_of(model.files, model.path))
    with pytest.raises(TrainedError, match=message):
        Trained.load(model.path)


HEAD = "heads.full.linear.weight"


@pytest.mark.slow
def test_a_network_on_native_dates_and_trees_train_score_and_map(opened, tmp_path):
    """The network has a footprint of 3 x 3 pixels, the trees have one of a pixel; both read the same masked series."""
    run = opened(MIXED, NATIVE_S2 + PAN_MS, "s2")
    run.train()
    score = run.evaluate()
    assert score.values("overall_accuracy").mean() > 0.9
    trained = Trained.load(run.layout.split(0).model.path)
    patchwork, trees = trained.model.members
    assert trained.footprints["pan"].size > patchwork.footprints["s2"].size >= 1
    assert all(footprint.size == 1 for footprint in trees.footprints.values())
    test = run.samples.draw(0).test
    predictions = Predictions.from_parquet(run.layout.split(0).test)
    by_patches = classify(trained, run.samples.chips, test, "cpu")
    assert predictions.probabilities == pytest.approx(by_patches, abs=1e-4), "windows agree with patches"
    maps = []
    for tile in (32, 64):
        settings = replace(run.recipe.map, tile=tile, layers=("classes", "confidence", "novelty"))
        land = make_map(trained, run.scene, settings, tmp_path / f"map{tile}", Computing("cpu"))
        maps.append([rasterio.open(land.files[name]).read() for name in ("classes", "confidence", "novelty")])
    for first, second in zip(*maps, strict=True):
        assert np.array_equal(first, second), "the map does not depend on its tiles"
    with pytest.raises(ModelError, match="does not export to ONNX"):
        export(trained, tmp_path / "onnx")
    region = Region.of(run.scene)
    with pytest.raises(TrainingError, match=r"patchwork \+ lightgbm cannot be adapted"):
        adapt(trained, run.samples.chips, region, Adapting(), SplitLayout(tmp_path / "adapted"))


def test_members_read_their_part_of_the_samples(opened):
    run = opened('name = "patchwork"\npreset = "small"', PAN_MS, "pan")
    cut = run.samples.cuts["pan"]
    assert cut.size > 3
    members = np.arange(10)
    values, valid = cut.read(members)
    part = cut.within(1, cut.size - 2)
    assert np.array_equal(part.read(members)[0], values[..., 1:-1, 1:-1])
    assert np.array_equal(part.read(members)[1], valid[..., 1:-1, 1:-1])


def test_predictions_keep_the_probabilities_of_all_classes(tmp_path):
    n, probabilities = np.arange(4), np.random.default_rng(0).dirichlet(np.ones(12), 4).astype(np.float32)
    predictions_of(n, n, n, n, probabilities, 1.0).to_parquet(tmp_path / "test.parquet")
    again = Predictions.from_parquet(tmp_path / "test.parquet")
    assert np.array_equal(again.probabilities, probabilities), "in the order of the legend, also after the tenth"
    assert np.array_equal(again.confidence, probabilities.max(1))
    table = pd.read_parquet(tmp_path / "test.parquet")
    table[[name for name in table if "probability" not in name]].to_parquet(tmp_path / "earlier.parquet")
    earlier = Predictions.from_parquet(tmp_path / "earlier.parquet")
    assert len(earlier) == 4
    assert earlier.probabilities.size == 0


def test_reports_name_the_members():
    made = SimpleNamespace(provenance=SimpleNamespace(model="3 × patchwork", networks=3), language="en")
    assert model_name(made) == "mean of 3 models (3 × patchwork)"
    made.language = "fr"
    assert model_name(made) == "moyenne de 3 modèles (3 × patchwork)"
    made.provenance = SimpleNamespace(model="gru", networks=1)
    assert model_name(made) == "gru"


def test_the_run_records_the_members(opened):
    provenance = opened(TWO).folder.provenance
    assert (provenance.model, provenance.networks) == ("2 × gru", 2)
