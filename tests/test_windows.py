"""Training on windows: samples in windows, networks that segment them, exact maps, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import rasterio
import torch

from bocage.errors import ModelError, RecipeError, SamplesError, TrainingError
from bocage.grid import Ratio, Window
from bocage.jobs.check import check
from bocage.jobs.plan import plan
from bocage.jobs.run import run
from bocage.jobs.scout import Asked, scout
from bocage.jobs.season import season
from bocage.layout import RunLayout
from bocage.mapping import Computing, Mapping, Workers, make_map
from bocage.models import MODELS, InputSpec, Positions, build, card_for
from bocage.models.base import step_of
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.run.doctor import examine
from bocage.samples import check_side
from bocage.testing import random_batch, tiny_landscape
from bocage.training import Trained, check_adaptable, classify
from bocage.training.augmentation import Augmentation
from bocage.training.batches import batches
from bocage.training.loop import _diverged, answering, logits_of
from bocage.training.scaling import Normalisation
from conftest import PAN_MS, S2, written
from test_contracts import MODEL_CASES

UNET = 'name = "unet"\nwidth = 4\ndepth = 2'
UTAE = 'name = "utae"\nencoder = [8, 16]\ndecoder = [8, 16]\nheads = 2\nkeys = 4\nwidth = 16\noutput = 8'
PATCHWORK = 'name = "patchwork"\npreset = "small"'
NATIVE = S2.split("fill")[0]
SOURCES = {UNET: S2, UTAE: NATIVE, PATCHWORK: NATIVE}
SER = InputSpec("s2", ("red", "nir"), 4, Ratio(), regular=False)


def windowed(
    land: Path, model: str = UTAE, sources: str | None = None, like: str = "s2", window: int = 16, **more: str
) -> Path:
    """A recipe that trains on windows."""
    keep = "" if model == PATCHWORK else 'keep = "last"'
    said = {"batch_size = 16": "batch_size = 2"} | more
    return written(
        land, model, sources or SOURCES[model], like, **{"[training]": f"[training]\nwindow = {window}\n{keep}"}, **said
    )


@pytest.fixture(scope="module", params=["s2", "ms"])
def opened(request, tmp_path_factory):
    """Samples in windows of three sources: one is coarser than the map, or two are finer."""
    folder = tmp_path_factory.mktemp("windows")
    land = tiny_landscape(folder / "land", size=96, polygons=12)
    path = windowed(land, PATCHWORK, NATIVE + PAN_MS, request.param, window=8)
    return open_run(read_recipe(path), folder / "run")


@pytest.mark.parametrize("name", ["unet", "utae"])
def test_a_pixel_has_the_same_logits_in_every_window(name):
    """The halo covers the receptive field, and every window starts at a multiple of the stride."""
    config = {
        "unet": {"width": 3, "depth": 2},
        "utae": {"encoder": (4, 4, 6), "decoder": (3, 4, 6), "heads": 2, "keys": 2, "width": 8},
    }
    architecture = MODELS.get(name)
    torch.manual_seed(1)
    model = build(architecture, {"s2": SER}, 3, architecture.Config(**config[name])).eval()
    side = 7 * model.step
    batch = random_batch({"s2": SER}, model.footprints, torch.Generator().manual_seed(2), size=1, positions=side)
    size = model.footprints["s2"].size
    with torch.no_grad():
        whole = model(batch)
        for y, x, rows, columns in (
            (0, model.step, 5, 9),
            (model.step, 0, side - model.step, 3),
            (2 * model.step, model.step, 1, 1),
        ):
            part = (..., slice(y, y + size + rows - 1), slice(x, x + size + columns - 1))
            tensor = batch["s2"]
            inside = model({"s2": replace(tensor, values=tensor.values[part], valid=tensor.valid[part])})
            assert torch.allclose(
                inside[0, :, :rows, :columns], whole[0, :, y : y + rows, x : x + columns], atol=1e-5
            ), (y, x)


def test_utae_date_by_date_gives_the_same_logits(monkeypatch):
    """Large windows of a map are computed twice, date by date, with little memory."""
    architecture = MODELS.get("utae")
    torch.manual_seed(1)
    model = build(
        architecture, {"s2": SER}, 3, architecture.Config(encoder=(4, 6), decoder=(4, 6), heads=2, width=8)
    ).eval()
    batch = random_batch({"s2": SER}, model.footprints, torch.Generator().manual_seed(2), size=2)
    with torch.no_grad():
        at_once = model(batch)
        monkeypatch.setattr("bocage.models.utae.KEPT", 0)
        assert torch.allclose(model(batch), at_once, atol=1e-6)


def test_windows_hold_the_pixels_of_the_scene(opened):
    """Values, labels and positions are those of the map, for a source of the map's grid, a finer and a coarser one."""
    samples, scene = opened.samples, opened.scene
    windows, members = samples.windows, np.arange(0, len(samples.label), 2)
    assert {cube.ratio for cube in scene.cubes.values()} in ({Ratio(), Ratio(coarser=4)}, {Ratio(), Ratio(finer=4)})
    for name, cube in scene.cubes.items():
        values, valid = samples.cuts[name].read(members)
        for k, i in enumerate(members):
            block = cube.read(cube.ratio.window(Window(int(samples.row[i]), int(samples.column[i]), 1, 1)))
            assert np.array_equal(values[k], block.values * block.valid[:, None]), name
            assert np.array_equal(valid[k], block.valid)
    assert (windows.row < 8).all()
    assert np.array_equal(samples.row % 8, windows.row)
    assert np.array_equal(samples.column % 8, windows.column)


def test_labels_turn_with_their_windows(opened):
    """In every augmented batch, a sample is at the pixel with its own values."""
    chips, members = opened.samples.chips, np.arange(1, len(opened.samples.label), 2)
    scaling, seen = Normalisation.of(chips.cuts, members), []
    augmentation = Augmentation(turns=True)
    for batch in batches(chips, members, scaling, 3, np.random.default_rng(0), augmentation):
        tensor = batch.inputs["pan"]
        before, finer = chips.cuts["pan"].before, chips.cuts["pan"].ratio.finer
        own, _ = chips.cuts["pan"].read(batch.members)
        for k in range(len(batch.members)):
            y, x = before + finer * int(batch.at.row[k]), before + finer * int(batch.at.column[k])
            here = tensor.values[int(batch.at.window[k]), 0, 0, y : y + finer, x : x + finer]
            expected = (own[k, 0, 0] - scaling.offset["pan"][0]) / scaling.scale["pan"][0]
            assert np.allclose(np.sort(here.numpy().ravel()), np.sort(expected.ravel()), atol=1e-4)
        assert np.array_equal(batch.labels.numpy(), chips.label[batch.members])
        seen.append(batch.members)
    assert np.array_equal(np.sort(np.concatenate(seen)), members), "every sample once, no other pixel"


def test_logits_come_back_in_the_order_of_the_samples(opened):
    chips = opened.samples.chips
    members = np.random.default_rng(1).permutation(len(chips.label))
    network = opened.recipe.choice.build(opened.scene, opened.samples.legend).eval()
    scaling, device = Normalisation.of(chips.cuts, members), torch.device("cpu")
    logits, labels = logits_of(answering(network, chips), batches(chips, members, scaling, 2), device)
    assert np.array_equal(labels.numpy(), chips.label[members])
    again, _ = logits_of(answering(network, chips), batches(chips, np.sort(members), scaling, 5), device)
    assert torch.allclose(logits, again[torch.from_numpy(members)], atol=1e-5)


def test_the_parts_of_several_processes_are_the_batch(opened):
    chips = opened.samples.chips
    members = np.arange(len(chips.label))
    batch = next(iter(batches(chips, members, Normalisation.of(chips.cuts, members), 5)))
    maps = torch.arange(5)[:, None, None, None] * 100.0 + torch.arange(64).reshape(8, 8)
    found = [(part.members, part.at.of(maps[rank::2])) for rank in (0, 1) for part in [batch.part(rank, 2)]]
    assert np.array_equal(np.sort(np.concatenate([own for own, _ in found])), np.sort(batch.members))
    expected = dict(zip(batch.members.tolist(), batch.at.of(maps)[:, 0].tolist(), strict=True))
    assert {m: v for own, values in found for m, v in zip(own.tolist(), values[:, 0].tolist(), strict=True)} == expected


def alone(network, batch, at, k):
    """The footprint of the k-th pixel of windows."""
    found, w = {}, int(at.window[k])
    for name, footprint in network.footprints.items():
        ratio, tensor = network.inputs[name].ratio, batch[name]
        y, x = (int(n[k]) * ratio.finer // ratio.coarser for n in (at.row, at.column))
        part = (slice(w, w + 1), ..., slice(y, y + footprint.size), slice(x, x + footprint.size))
        found[name] = replace(tensor, values=tensor.values[part], valid=tensor.valid[part], days=tensor.days[w : w + 1])
    return found


def test_a_dense_loss_is_that_of_the_single_footprints(opened):
    """For a network without pooling, windows are another order of the same computation."""
    chips, network = opened.samples.chips, opened.recipe.choice.build(opened.scene, opened.samples.legend).eval()
    members = np.arange(min(40, len(chips.label)))
    batch = next(iter(batches(chips, members, Normalisation.of(chips.cuts, members), 9)))
    loss = network.loss_at(batch.inputs, batch.at, batch.labels, torch.nn.functional.cross_entropy)
    total = []
    for k in range(len(batch.labels)):
        one = alone(network, batch.inputs, batch.at, k)
        total.append(network.loss(one, batch.labels[k : k + 1], torch.nn.functional.cross_entropy))
    assert float(loss.detach()) == pytest.approx(float(torch.stack(total).mean().detach()), rel=1e-3)


NO_WINDOWS = ("mixture", "regional", "dmil")
"""Models of several models, and one whose loss has the reconstruction of single patches."""


def windowed_cases():
    """Every network of single footprints that can be trained on windows, with its settings."""
    for name, cases in MODEL_CASES.items():
        for k, (inputs, settings) in enumerate(cases):
            architecture = MODELS.get(name)
            card = card_for(architecture, architecture.Config(**settings))
            if not (card.fitted or card.windows) and card.dense == "exact" and name not in NO_WINDOWS:
                yield pytest.param(architecture, inputs, settings, id=f"{name}-{k}")


@pytest.mark.parametrize(("architecture", "inputs", "settings"), list(windowed_cases()))
def test_a_network_has_its_own_loss_on_windows(architecture, inputs, settings):
    """Auxiliary heads, and the losses of the members of a fusion, are those of single footprints; else windows are refused."""
    torch.manual_seed(0)
    network = build(architecture, inputs, 3, architecture.Config(**settings)).eval()
    assert network.dense_loss
    side, entropy = 2 * step_of(network.inputs, network.step), torch.nn.functional.cross_entropy
    generator = torch.Generator().manual_seed(1)
    batch = random_batch(inputs, network.footprints, generator, size=2, positions=side, masked=0.0)
    at = Positions(torch.tensor([1, 0, 1]), torch.tensor([side - 1, 0, 0]), torch.tensor([1, side - 1, 0]))
    labels = torch.tensor([0, 2, 1])
    with torch.no_grad():
        single = [float(network.loss(alone(network, batch, at, k), labels[k : k + 1], entropy)) for k in range(3)]
        assert float(network.loss_at(batch, at, labels, entropy)) == pytest.approx(np.mean(single), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("model", [UNET, UTAE, PATCHWORK])
def test_a_run_on_windows(tmp_path, model, small_cells):
    """Train, test, map: the tested pixels have the classes of the map, which is the same for any tiling and any worker."""
    land = tiny_landscape(tmp_path / "land")
    path = windowed(land, model, **{"epochs = 4": "epochs = 40\nsteps = [0, 120]", "draws = 2": "draws = 1"})
    assert not [f for f in check(path, tmp_path / "out").findings if f.severity == "error"]
    run(read_recipe(path), tmp_path / "out", ("train", "evaluate", "map"))
    layout = RunLayout(tmp_path / "out")
    assert json.loads(layout.score.read_text())["overall_accuracy"]["mean"] > 0.9
    with rasterio.open(layout.map.path / "classes.tif") as file:
        codes = file.read(1)
    table = pd.read_parquet(layout.split(0).test)
    assert np.mean(codes[table.row, table.column] == table.predicted + 1) > 0.99
    trained, scene = Trained.load(layout.split(0).model.path), open_run(read_recipe(path), tmp_path / "out").scene
    assert trained.domain is not None
    assert (trained.certainties is None) == (model != PATCHWORK)
    for tile, threads in ((16, 1), (23, 3)):
        folder = tmp_path / str(tile)
        make_map(trained, scene, Mapping(tile=tile), folder, computing=Computing(workers=Workers(threads=threads)))
        with rasterio.open(folder / "classes.tif") as file:
            assert np.array_equal(file.read(1), codes), tile


@pytest.mark.slow
def test_a_raster_of_labels_that_is_whole_in_places(tmp_path):
    """Pixels without a code are masked; the report counts those that are used."""
    land = tiny_landscape(tmp_path / "land")
    with rasterio.open(land / "truth.tif", "r+") as file:
        codes = file.read(1)
        codes[:9], codes[14:16], codes[20:30] = 0, 0, 0
        file.write(codes, 1)
    path = windowed(
        land, UTAE, **{'path = "reference.gpkg"': 'path = "truth.tif"', "train = 0.5": 'train = 0.5\nunit = "block"\nblock = 80'}
    )  # fmt: skip
    samples = open_run(read_recipe(path), tmp_path / "out").samples
    assert not ((samples.row >= 20) & (samples.row < 30)).any()
    assert len(samples.label) == int((codes > 0).sum())


@pytest.mark.slow
def test_early_stopping_validates_windows(tmp_path):
    path = windowed(
        tiny_landscape(tmp_path / "land"), UNET, **{'keep = "last"': 'keep = "validation"', "epochs = 4": "epochs = 2"}
    )
    run(read_recipe(path), tmp_path / "out", ("train",))
    curves = pd.read_csv(RunLayout(tmp_path / "out").split(0).curves)
    assert curves["validation_f1"].between(0, 1).all()


@pytest.mark.parametrize(
    ("model", "window", "more", "said"),
    [
        (UTAE, 0, {}, "'utae' is trained on windows: set for example 64"),
        ('name = "convlstm"\nunits = 3', 16, {}, "'convlstm' is computed patch by patch, not in windows"),
        ('name = "gru"\nunits = 4\nmembers = 2', 16, {}, "a model with members is trained on single pixels"),
        (
            'name = "mixture"\nmembers = [{ name = "unet" }, { name = "gru" }]',
            0,
            {},
            r"model.members: Unknown model 'unet'",
        ),
        (
            'name = "random_forest"',
            16,
            {},
            "'random_forest' is fitted to all samples at once, not on windows; remove it",
        ),
        (UTAE, 16, {"epochs = 4": "epochs = 4\nsamples_per_epoch = 9"}, "'samples_per_epoch' is not available"),
        (PATCHWORK, 16, {"epochs = 4": "epochs = 4\ncutoff = 0.5"}, "'cutoff' is not available"),
    ],
)
def test_recipes_that_cannot_have_windows(landscape, model, window, more, said):
    with pytest.raises(RecipeError, match=said):
        read_recipe(windowed(landscape, model, S2, window=window, **more))


def test_windows_of_a_wrong_side(landscape, tmp_path):
    path = windowed(landscape, UNET, window=18)
    with pytest.raises(
        SamplesError, match=r"window is 18, but .* multiple of 4 map pixels, at least 8. Set for example window = 20"
    ):
        run(read_recipe(path), tmp_path / "out")
    assert [f for f in check(path, tmp_path / "out").findings if f.severity == "error" and f.where == "training.window"]
    path = windowed(landscape, 'name = "unet"\ndepth = 4\nwidth = 2', S2, window=16)
    with pytest.raises(SamplesError, match="multiple of 16 map pixels, at least 32"):
        run(read_recipe(path), tmp_path / "out", overwrite=True)
    path = windowed(landscape, UNET, window=64)
    with pytest.raises(SamplesError, match="window is 64, but the map has 48 x 53 pixels. Set window = 56 or less"):
        run(read_recipe(path), tmp_path / "out", overwrite=True)


def test_a_loss_of_single_footprints_has_no_windows(landscape, tmp_path):
    path = windowed(landscape, 'name = "dmil"', PAN_MS, "pan")
    with pytest.raises(
        ModelError, match=r"'dmil' has a loss of its own for single footprints .* Remove \[training\] window"
    ):
        run(read_recipe(path), tmp_path / "out")
    assert [f for f in check(path, tmp_path / "out").findings if f.severity == "error" and f.where == "training.window"]


@pytest.mark.parametrize("what", ["value", "weights"])
def test_a_loss_that_is_no_number_names_the_polygons_of_windows(opened, what):
    chips = opened.samples.chips
    members = np.arange(len(chips.label))
    batch = next(iter(batches(chips, members, Normalisation.of(chips.cuts, members), 3)))
    if what == "value":
        batch.inputs["s2"].values[1, 0, 0, 0, 0] = torch.nan
    else:
        batch.inputs["s2"].values[1] *= 1e6
    polygons = ", ".join(str(p) for p in np.unique(chips.polygon[batch.members[batch.at.window.numpy() == 1]]))
    said = f"NaN or infinite values in the windows of polygons {polygons}."
    said = said if what == "value" else f"of source 's2' in the window of polygons {polygons}."
    task = SimpleNamespace(chips=chips, settings=opened.recipe.choice.training)
    assert said in str(_diverged(task, batch, "The training loss is nan"))


def test_commands_for_single_pixels_refuse_windows(landscape, tmp_path):
    recipe = read_recipe(windowed(landscape, UNET))
    judging = read_recipe(windowed(landscape, UNET, more='[doctor]\nmodel = "recipe"\n'))
    for command, work in {
        "season": lambda: season(recipe, tmp_path / "out"),
        "doctor": lambda: examine(judging, tmp_path / "out"),
        "plan": lambda: plan(recipe, tmp_path / "out"),
        "scout": lambda: scout(recipe, tmp_path / "out", Asked()),
    }.items():
        with pytest.raises(
            ModelError, match=f"'bocage {command}' is for models of single pixels and patches, and 'unet'"
        ):
            work()


def test_networks_of_windows_are_not_adapted():
    segmenting = SimpleNamespace(name="unet", config=MODELS.get("unet").Config(), title="unet")
    with pytest.raises(TrainingError, match="cannot be adapted: it is trained on windows with labels"):
        check_adaptable(segmenting)


def test_positions_pick_pixels():
    maps = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    at = Positions(torch.tensor([1, 0]), torch.tensor([2, 3]), torch.tensor([4, 0]))
    assert torch.equal(at.of(maps), torch.stack([maps[1, :, 2, 4], maps[0, :, 3, 0]]))


def test_windows_classify_what_they_trained(opened, tmp_path):
    """The probabilities of samples, as the evaluation of a network of single pixels asks for them."""
    network = opened.recipe.choice.build(opened.scene, opened.samples.legend)
    chips, members = opened.samples.chips, np.arange(20)
    from bocage.machine import versions
    from bocage.training import Region, source_records

    trained = Trained(
        "patchwork", opened.recipe.choice.config, opened.samples.legend, source_records(opened.scene, network.footprints),
        Normalisation.of(chips.cuts, members), network.eval(), Region.of(opened.scene), versions(),
    )  # fmt: skip
    found = classify(trained, chips, members, "cpu")
    assert found.shape == (20, 3)
    assert np.allclose(found.sum(1), 1, atol=1e-5)


def test_models_to_compare_are_checked(landscape):
    compared = (
        '[[compare]]\nmodel = { name = "random_forest" }\n[[compare]]\nmodel = { name = "convlstm", units = 3 }\n'
    )
    assert len(read_recipe(written(landscape, 'name = "gru"', more=compared)).compare) == 2
    with pytest.raises(RecipeError, match=r"compare\.1\.training\.window: 'convlstm' is computed patch by patch"):
        read_recipe(written(landscape, 'name = "gru"', more=compared + "training = { window = 16 }\n"))


def test_a_forest_is_compared_without_the_windows(landscape):
    """The window of the recipe is that of its network; a model without epochs has none."""
    compared = '[[compare]]\nmodel = { name = "random_forest" }\n[[compare]]\nmodel = { name = "gru" }\n'
    recipe = read_recipe(windowed(landscape, UTAE, more=compared))
    assert [one.choice.training.window for one in recipe.compare] == [0, 16]
    with pytest.raises(
        RecipeError, match=r"compare\.0\.training\.window: 'random_forest' is fitted to all samples at once"
    ):
        read_recipe(windowed(landscape, UTAE, more=compared.replace("}\n[[", "}\ntraining = { window = 16 }\n[[")))


def test_processes_share_windows(opened):
    chips, members = opened.samples.chips, np.arange(3, len(opened.samples.label))
    parts = [chips.share(members, rank, 3) for rank in range(3)]
    assert np.array_equal(np.sort(np.concatenate(parts)), members)
    numbers = [set(chips.windows.number[part].tolist()) for part in parts]
    assert sum(len(own) for own in numbers) == chips.items(members), "no window is computed twice"


@pytest.mark.parametrize(("model", "window"), [(PATCHWORK, 0), (UTAE + '\nsource = "s2"', 16)])
def test_trees_judge_the_map_pixels_of_the_network(landscape, tmp_path, monkeypatch, model, window):
    """[reference] doubtful: the judge reads the map pixel of each sample, whatever the network reads around it."""
    seen = {}
    monkeypatch.setattr("bocage.run.trusted.judge", lambda *given: seen.update(given=given) or 1 / 0)
    doubtful = {'label = "code"': 'label = "code"\ndoubtful = "drop"'}
    recipe = read_recipe(windowed(landscape, model, NATIVE + PAN_MS, window=window, **doubtful))
    with pytest.raises(ZeroDivisionError):
        run(recipe, tmp_path / "out", ("train",))
    choice, scene, samples, *_ = seen["given"]
    assert choice.config.sources == tuple(samples.cuts)
    for name, cut in samples.cuts.items():
        cube, members = scene.cubes[name], np.arange(0, len(samples.label), 9)
        for i, values in zip(members, cut.read(members)[0], strict=True):
            block = cube.read(cube.ratio.window(Window(int(samples.row[i]), int(samples.column[i]), 1, 1)))
            assert np.array_equal(values, block.values * block.valid[:, None]), name


def test_a_judge_of_windows_is_refused(landscape):
    more = '[doctor]\nmodel = "recipe"\n'
    with pytest.raises(RecipeError, match=r"doctor\.model: a network of windows cannot judge single polygons"):
        read_recipe(windowed(landscape, UTAE, more=more, **{'label = "code"': 'label = "code"\ndoubtful = "drop"'}))


def test_windows_of_a_table_or_of_one_pixel():
    with pytest.raises(SamplesError, match="tables of single pixels: there are no windows"):
        check_side(SimpleNamespace(ids=np.arange(3)), 16, 1)
    image = SimpleNamespace(ids=None, grid=SimpleNamespace(shape=(9, 30)))
    with pytest.raises(SamplesError, match=r"must have two map pixels or more a side. Set for example window = 2\."):
        check_side(image, 1, 1)
    check_side(image, 32, 8)  # the smallest that covers the map
    with pytest.raises(SamplesError, match=r"the map has 9 x 30 pixels. Set window = 32 or less"):
        check_side(image, 40, 8)
