"""A model per region, and models that know the region: from the recipe to the map."""

import json
from dataclasses import replace

import geopandas
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import torch

from bocage.cli import main
from bocage.errors import ModelError, RecipeError, TrainingError
from bocage.grid import Ratio
from bocage.jobs.check import check
from bocage.jobs.compare import compare_models
from bocage.jobs.plan import plan
from bocage.jobs.run import run
from bocage.layout import SplitLayout
from bocage.models import MODELS, InputSpec, Member, build, card_for, regional
from bocage.models.regional import Config
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.run.sites import open_sites
from bocage.scene import Scenes
from bocage.testing import random_batch, tiny_landscape
from bocage.testing.fakes import CORNER, CRS
from bocage.training import Trained, Trainer, classify
from conftest import FOREST, GRU, S2, Told

SERIES = InputSpec("s2", ("red", "nir"), 5, Ratio())
ZONES = InputSpec("zones", ("north", "south"), 1, Ratio())
SOURCES = S2 + '\n[sources.zones]\nsensor = "regions"\npath = "zones.gpkg"\nfield = "region"\n'
REGIONAL = 'name = "regional"\nsource = "zones"\nminimum = 1\n'
FORESTS = REGIONAL + 'member = { name = "random_forest", trees = 20 }'
NETWORKS = REGIONAL + 'member = { name = "gru", units = 8 }'


def write_zones(landscape, border=-240, **more):
    """Regions north and south of a border, in metres north of the corner of the map."""
    parts = {"north": (border, 0), "south": (-480, border), **more}
    shapes = [
        shapely.box(CORNER[0], CORNER[1] + low, CORNER[0] + 530, CORNER[1] + high) for low, high in parts.values()
    ]
    geopandas.GeoDataFrame({"region": list(parts)}, geometry=shapes, crs=CRS).to_file(landscape / "zones.gpkg")


@pytest.fixture
def opened(recipe, landscape, tmp_path):
    def open_(model, more="", border=-240, **replaced):
        write_zones(landscape, border)
        return open_run(read_recipe(recipe(model, SOURCES + more, **replaced)), tmp_path / "run")

    return open_


def trainer_of(opened, **settings):
    choice = opened.recipe.choice
    return Trainer(choice.with_training(**settings) if settings else choice, opened.scene, opened.samples)


def built(config, n_classes=3):
    torch.manual_seed(0)
    return build(regional, {"s2": SERIES, "zones": ZONES}, n_classes, config).eval()


@torch.no_grad()
def test_probabilities_are_those_of_the_members_weighted_by_region():
    model = built(Config(Member("gru", {"units": 4}), "zones"))
    for number, temperature in enumerate((2.0, 0.5)):
        model.calibrate(number, torch.tensor([temperature]))
    model.use_weights((0.25, 0.5), (0.5, 2.0))
    batch = random_batch(model.inputs, model.footprints, torch.Generator().manual_seed(1), size=3)
    weights = torch.tensor([[1.0, 0.0], [0.3, 0.7], [0.0, 1.0]])
    values = (weights - torch.tensor([0.25, 0.5])) / torch.tensor([0.5, 2.0])
    batch["zones"].values[:] = values[:, None, :, None, None]
    batch["zones"].valid[:] = True
    each = [(m({"s2": batch["s2"]}) / t).softmax(1) for m, t in zip(model.members, (2.0, 0.5), strict=True)]
    expected = sum(w[:, None, None, None] * p for w, p in zip(weights.T, each, strict=True))
    assert torch.allclose(model(batch).exp(), expected, atol=1e-6)
    batch["zones"].valid[:] = False
    assert torch.allclose(model(batch).exp(), (each[0] + each[1]) / 2, atol=1e-6), "without a region: the mean"


def test_the_loss_is_that_of_the_member_of_the_region_of_each_sample():
    model, entropy = built(Config(Member("gru", {"units": 4}), "zones")), torch.nn.functional.cross_entropy
    batch = random_batch(model.inputs, model.footprints, torch.Generator().manual_seed(1), size=5)
    north = torch.tensor([True, False, False, True, False])
    batch["zones"].values[:] = torch.stack([north, ~north], 1).float()[:, None, :, None, None]
    batch["zones"].valid[:] = True
    labels = torch.tensor([0, 1, 2, 1, 0])
    logits = [member({"s2": batch["s2"]})[:, :, 0, 0] for member in model.members]
    own = torch.where(north[:, None], *logits)
    assert model.loss(batch, labels, entropy).item() == pytest.approx(entropy(own, labels).item(), abs=1e-6)
    one = {name: tensor.take(slice(0, 1)) for name, tensor in batch.items()}
    assert model.loss(one, labels[:1], entropy).item() == 0


@torch.no_grad()
def test_members_of_other_regions_are_not_computed(monkeypatch):
    model = built(Config(Member("gru", {"units": 4}), "zones"))
    batch = random_batch(model.inputs, model.footprints, torch.Generator().manual_seed(1), size=3)
    batch["zones"].values[:] = torch.tensor([0.0, 1.0])[None, None, :, None, None]
    batch["zones"].valid[:] = True
    expected = model.members[1]({"s2": batch["s2"]}).log_softmax(1)
    monkeypatch.setattr(model.members[0], "forward", None)
    assert torch.equal(model(batch), expected)


@pytest.mark.parametrize(
    ("inputs", "settings", "problem"),
    [
        ({"s2": SERIES}, {}, "no source is called 'zones'. Sources: s2. Set model.source"),
        ({"zones": replace(ZONES, dates=5), "s2": SERIES}, {}, "'zones' has 5 dates"),
        ({"zones": ZONES}, {}, "'zones' is the only source"),
        ({"s2": SERIES, "zones": ZONES}, {"borrow": {"nord": "south"}}, "'nord' is no region. Regions: north, south"),
        ({"s2": SERIES, "zones": ZONES}, {"borrow": {"north": "sud"}}, "'sud' is no region"),
    ],
)
def test_sources_without_regions_are_refused(inputs, settings, problem):
    with pytest.raises(ModelError) as error:
        build(regional, inputs, 3, Config(Member("gru"), "zones", **settings))
    assert problem in str(error.value)


def test_the_card_is_that_of_the_member():
    cards = [card_for(regional, Config(Member(name))) for name in ("gru", "m3fusion", "tempcnn")]
    assert [card.dense for card in cards] == ["exact", "patches", "exact"]
    assert cards[2].same_dates == card_for(MODELS.get("tempcnn"), None).same_dates


def test_the_recipe_of_a_model_per_region(recipe, landscape):
    text = REGIONAL + 'share = 50\nborrow = { "north" = "south" }\n[model.member]\nname = "patchwork"\npreset = "small"'
    choice = read_recipe(recipe(text, SOURCES)).choice
    assert (choice.name, choice.title, choice.encoder) == ("regional", "patchwork per region", choice)
    (member,) = choice.members
    assert member.config.preset == "small"
    assert choice.training.optimiser == "adamw", "the defaults of the member, completed by [training]"
    assert choice.training.epochs == 4
    assert choice.config.neighbour_of("north") == "south"
    assert choice.config.neighbour_of("south") is None


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        ('name = "regional"', "model.member: a table [model.member] is expected, with name and settings"),
        (REGIONAL + 'member = { units = 3 }', "model.member.name: the model is missing"),
        (REGIONAL + 'member = { name = "gro" }', "model.member.name: Unknown model 'gro'. Did you mean 'gru'?"),
        (REGIONAL + 'member = { name = "gru", unit = 3 }', "model.member.unit: unknown key. Did you mean 'units'?"),
        (REGIONAL + 'member = { name = "mixture" }', "model: a mixture cannot be the model of each region"),
        (REGIONAL + 'member = { name = "regional" }', "model: a regional cannot be the model of each region"),
        (REGIONAL + 'member = { name = "gru", count = 3 }', "model.member.count: not available for the model of each region: each region has one"),
        (REGIONAL + 'member = { name = "gru", training = { epochs = 3 } }', "model.member.training: not available for the model of each region: write [training]"),
        (NETWORKS + "\nminimun = 3", "model.minimun: unknown key. Did you mean 'minimum'"),
        (NETWORKS + "\nshare = -1", "model: 'share' must be at least 0"),
        (NETWORKS.replace('"zones"', '"s2"'), "model.source: 's2' is not a source of the sensor 'regions'. Those of the recipe: zones"),
    ],
)  # fmt: skip
def test_recipes_that_are_no_model_per_region_are_refused(recipe, model, problem):
    with pytest.raises(RecipeError) as error:
        read_recipe(recipe(model, SOURCES))
    assert problem in str(error.value)


def test_a_recipe_without_regions_is_refused(recipe):
    with pytest.raises(RecipeError, match=r'Add \[sources.zones\] with sensor = "regions"'):
        read_recipe(recipe(NETWORKS))
    with pytest.raises(RecipeError, match="training.pretrained: not available for a model per region"):
        read_recipe(recipe(NETWORKS, SOURCES, **{"epochs = 4": 'epochs = 4\npretrained = "x"'}))


def halves(samples):
    return samples.row < 24, samples.row >= 24


def test_each_member_is_trained_on_the_samples_of_its_region(opened, tmp_path):
    trainer = trainer_of(opened(FORESTS))
    trained = trainer.train(0, tmp_path / "t")
    samples = trainer.samples
    parts = [member.part for member in trainer.of_members(trained.normalisation)]
    assert [part.region for part in parts] == ["north", "south"]
    for part, half in zip(parts, halves(samples), strict=True):
        assert np.array_equal(part.samples, half)
    again = Trained.load(tmp_path / "t/model")
    assert again.title == "random_forest per region"
    members = np.arange(len(samples.label))
    assert np.array_equal(
        classify(trained, samples.chips, members, "cpu"), classify(again, samples.chips, members, "cpu")
    )
    assert list(trained.model.members[0].footprints) == ["s2"], "members do not read the regions"


def test_samples_near_the_border_are_shared(opened, tmp_path):
    run = opened(FORESTS + "\nshare = 60")
    parts = list(trainer_of(run).of_members(None))
    north, south = (member.part.samples for member in parts)
    distance = (run.samples.row + 0.5) * 10 - 240
    assert np.array_equal(north, distance <= 60)
    assert np.array_equal(south, distance >= -60)
    assert (north & south).any()


def test_a_region_with_too_few_samples_borrows_from_its_neighbour(opened, tmp_path):
    told = Told()
    trainer = trainer_of(opened(FORESTS + '\nborrow = { "north" = "south" }', border=-40))
    parts = list(trainer.of_members(None, 0, told))
    assert parts[0].part.samples.all()
    assert not parts[1].part.samples.all()
    assert (
        "Region 'north': no training polygon, and minimum = 1. Its model is trained with the samples of 'south'"
        in told.words[0]
    )


@pytest.mark.parametrize(
    ("model", "border", "problem"),
    [
        (FORESTS, -10, "Draw 1: The region 'north' has no training polygon, and minimum = 1. To train its model with the samples of a neighbour too, write [model] borrow = { \"north\" = \"south\" }"),
        (FORESTS, -10, "If it is outside the map, leave it out with 'where'"),
        (FORESTS.replace("minimum = 1", "minimum = 90"), -240, "training polygons, and minimum = 90"),
        (FORESTS.replace("minimum = 1", 'minimum = 90\nborrow = { "north" = "south" }'), -240, "With the samples of 'south', it has"),
        (FORESTS + "\nminimum_of_class = 3", -240, "of maize, and minimum_of_class = 3"),
    ],
)  # fmt: skip
def test_a_region_with_too_few_samples_is_refused(opened, model, border, problem):
    with pytest.raises(TrainingError) as error:
        list(trainer_of(opened(model, border=border)).of_members(None))
    assert problem in str(error.value)


def test_check_finds_regions_with_too_few_samples(recipe, landscape):
    write_zones(landscape, -10)
    errors = [finding for finding in check(recipe(FORESTS, SOURCES)).findings if finding.severity == "error"]
    assert [finding.where for finding in errors] == ["model"]
    assert "Draw 1: The region 'north' has no training polygon" in errors[0].what.text()
    assert not check(recipe(FORESTS + '\nborrow = { "north" = "south" }', SOURCES)).has_errors


def test_a_network_that_stops_early_needs_validation_polygons_in_each_region(opened):
    run = opened(NETWORKS)
    draw = run.samples.draw(0)
    trainer = trainer_of(run)
    validated = draw.validation[run.samples.row[draw.validation] >= 24]
    trainer = replace(trainer, samples=Only(run.samples, replace(draw, validation=validated)))
    with pytest.raises(TrainingError, match="The region 'north' has no validation polygon"):
        list(trainer.of_members(None))


class Only:
    """Samples of one draw."""

    def __init__(self, samples, draw):
        self.samples, self.one = samples, draw

    def __getattr__(self, name):
        return getattr(self.samples, name)

    def draw(self, _):
        return self.one


def test_an_interrupted_training_keeps_complete_members(opened, tmp_path):
    run, told = opened(FORESTS), Told()
    trainer = trainer_of(run)
    first = trainer.train(0, tmp_path / "t")
    where = SplitLayout(tmp_path / "t")
    where.member(1).identity.unlink()
    second = trainer.train(0, tmp_path / "t", told)
    assert [word for word in told.words if "complete" in word] == ["north: complete"]
    chips, members = trainer.samples.chips, np.arange(len(trainer.samples.label))
    assert np.array_equal(*(classify(trained, chips, members, "cpu") for trained in (first, second)))


@pytest.mark.slow
def test_a_run_with_a_model_per_region(recipe, landscape, tmp_path):
    write_zones(landscape)
    blended = SOURCES + "blend = 60\n"
    maps = {}
    for name, sources in (("sharp", SOURCES), ("blended", blended)):
        out = tmp_path / name
        run(
            read_recipe(
                recipe(
                    FORESTS + '\nborrow = { "north" = "south" }', sources, more='layers = ["classes", "probabilities"]'
                )
            ),
            out,
        )
        with rasterio.open(out / "map/probabilities.tif") as dataset:
            maps[name] = dataset.read()
    far = np.abs((np.arange(48) + 0.5) * 10 - 240) > 60
    assert np.array_equal(maps["sharp"][:, far], maps["blended"][:, far])
    assert not np.array_equal(maps["sharp"][:, ~far], maps["blended"][:, ~far])


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "fr"])
def test_accuracy_by_region(recipe, landscape, tmp_path, language, capsys):
    """Of a model that does not read the regions, too."""
    write_zones(landscape)
    path, out = recipe(GRU, SOURCES, more=f'[report]\nlanguage = "{language}"'), tmp_path / "out"
    assert main(["run", str(path), "--out", str(out)]) == 0
    assert main(["evaluate", str(path), "--out", str(out)]) == 0
    assert "Test polygons of each region" in capsys.readouterr().out
    score = json.loads((out / "score.json").read_text())
    assert list(score["regions"]) == ["north", "south"]
    tests = [pd.read_parquet(out / f"splits/{k}/test.parquet") for k in range(2)]
    north = [test[test.groupby("polygon").row.transform("mean") < 23.5] for test in tests]
    expected = [float((test.label == test.predicted).mean()) for test in north if len(test)]
    assert score["regions"]["north"]["overall_accuracy"]["mean"] == pytest.approx(np.mean(expected))
    samples = pd.read_parquet(out / "samples.parquet")
    polygons = [score["regions"][name]["design"]["polygons"] for name in ("north", "south")]
    assert sum(polygons) == samples.polygon.nunique()
    assert sum(score["regions"][name]["tested_pixels"] for name in ("north", "south")) == score["tested_pixels"]
    page = (out / "report.html").read_text()
    assert {"en": "Accuracy by region", "fr": "Exactitude par région"}[language] in page
    assert {"en": "whole map", "fr": "toute la carte"}[language] in page
    assert json.loads((out / "report.json").read_text())["regions"] == score["regions"]


@pytest.mark.parametrize("model", [FOREST, 'name = "patchwork"\npreset = "small"'])
def test_a_model_that_knows_the_region(opened, model, tmp_path):
    """The regions decide what the imagery does not show: classes are the opposite in the south."""
    run = opened(model)
    trained = trainer_of(run, epochs=1).train(0, tmp_path / "t")
    assert "zones" in trained.footprints
    assert trained.sources["zones"].spec.bands == ("north", "south")
    assert classify(trained, run.samples.chips, run.samples.draw(0).test, "cpu").shape[1] == 3


TWO_SITES = """
name = "two"
[legend]
classes = [{ code = 1, name = "maize" }, { code = 2, name = "meadow" }, { code = 3, name = "water" }]
[split]
train = 0.8
draws = 1
[model]
"""
A_SITE = """
[[site]]
name = "{site}"
[site.grid]
like = "s2"
{sources}
[site.reference]
path = "{site}/reference.gpkg"
label = "code"
"""


def test_a_model_per_region_of_two_sites(tmp_path):
    parts = []
    for site, border in (("first", -240), ("second", -200)):
        write_zones(tiny_landscape(tmp_path / site), border)
        sources = SOURCES.replace("[sources.", "[site.sources.").replace('"s2/', f'"{site}/s2/')
        parts.append(A_SITE.format(site=site, sources=sources.replace('"zones.gpkg"', f'"{site}/zones.gpkg"')))
    path = tmp_path / "two.toml"
    path.write_text(TWO_SITES + FORESTS + "".join(parts))
    opened = open_sites(read_recipe(path), tmp_path / "out")
    samples = opened.joined
    trainer = Trainer(opened.recipe.choice, Scenes(opened.scenes), samples)
    north, south = (member.part.samples for member in trainer.of_members(None))
    border = np.where(samples.at("first"), 24, 20)
    assert np.array_equal(north, samples.row < border)
    assert np.array_equal(south, ~north)


@pytest.mark.slow
def test_the_plan_and_the_comparison_of_a_model_per_region(recipe, landscape, tmp_path):
    write_zones(landscape)
    more = f'layers = ["classes"]\n[[compare]]\nlabel = "one for all"\nmodel = {{ {FOREST.replace(chr(10), ", ")} }}'
    text = FORESTS + '\nborrow = { "north" = "south", "south" = "north" }'
    path = recipe(text, SOURCES, more=more)
    assert "train" in [stage.stage for stage in plan(read_recipe(path), tmp_path / "out").stages]
    found = compare_models(read_recipe(path), tmp_path / "compared")
    assert [line.label for line in found.lines] == ["random_forest per region", "one for all"]


def test_gru_ignores_regions(opened, tmp_path):
    assert list(opened(GRU).samples.cuts) == ["s2"]
