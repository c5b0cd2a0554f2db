"""Windows of patchwork in one pass (models/fused.py, models/joined.py) compared with the layers of PyTorch."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from bocage.grid import Ratio
from bocage.mapping.lattice import Lattice, lattice
from bocage.mapping.predict import Forward, infer, read_inputs
from bocage.models import InputSpec, SourceTensor, build, fused, joined, patchwork
from bocage.models.lanes import USABLE
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.testing import tiny_landscape
from bocage.training import Trained
from conftest import S2, trained_briefly, written

pytestmark = [
    pytest.mark.slow,  # the functions are compiled on first use
    pytest.mark.skipif(not USABLE, reason="the processor lacks the instructions"),
]
BANDS = ("blue", "green", "red", "nir")
INPUTS = {
    "s2": InputSpec("s2", BANDS, 9, Ratio(), False),
    "s1": InputSpec("s1", ("vv", "vh"), 5, Ratio(coarser=2), False),
    "fine": InputSpec("fine", ("red", "nir"), 4, Ratio(2), False),
    "vhr": InputSpec("vhr", ("pan",), 1, Ratio(3), False),
}
SIDE = 38
"""Not a multiple of the pixels of a vector."""


def _network(**settings):
    torch.manual_seed(0)
    network = build(patchwork, INPUTS, 5, patchwork.Config(**settings)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network


def _batch(network, seed=1):
    """Return random sources with clouds of whole areas, single masked pixels, and NaN behind the mask."""
    g, batch = torch.Generator().manual_seed(seed), {}
    for name, spec in INPUTS.items():
        side = -(-SIDE // spec.ratio.coarser) * spec.ratio.finer - spec.ratio.finer + network.footprints[name].size
        values = torch.randn(2, spec.dates, len(spec.bands), side, side, generator=g)
        valid = torch.rand(2, spec.dates, side, side, generator=g) > 0.05
        if spec.dates > 1:
            valid[:, ::2, : side // 2] = False
            valid[:, :, :6, :6] = False  # no valid date
        values = torch.where(valid[:, :, None], values, torch.nan)
        days = torch.arange(0, 30 * spec.dates, 30, dtype=torch.int32).repeat(2, 1)
        batch[name] = SourceTensor(values, valid, days)
    return batch


@pytest.mark.parametrize("settings", [{}, {"preset": "small", "context": 2}, {"preset": "large", "filters": (12, 20)}])
def test_windows_agree_with_the_layers_of_pytorch(settings, monkeypatch):
    network = _network(**settings)
    batch = _batch(network)
    with torch.inference_mode():
        found = network(batch)
        monkeypatch.setattr(patchwork, "_worth_lanes", lambda *_: False)
        expected = network(batch)
    reference = network(batch)  # the form of the training
    assert found.shape == (2, 5, SIDE, SIDE)
    assert not torch.equal(found, expected), "the window was not computed in one pass"
    assert (found - expected).abs().max() < 1e-5
    assert (found - reference).abs().max() < 1e-5


@pytest.mark.parametrize("given", [INPUTS, ["s2", "vhr"], ["vhr"], ["s1"]])
def test_fusion_and_head_agree_with_the_layers_of_pytorch(given, monkeypatch):
    network = _network()
    for name in INPUTS:
        torch.nn.init.normal_(network.missing[name])
    batch = {name: tensor for name, tensor in _batch(network).items() if name in given}
    with torch.inference_mode():
        logits, features = network(batch), network.fused(batch)
        calls = _Counted(joined.joined)
        monkeypatch.setattr(joined, "joined", calls)
        assert torch.equal(network(batch), logits)
        assert calls.calls == 1
        monkeypatch.setattr(patchwork, "_worth_lanes", lambda *_: False)
        expected = network(batch), network.fused(batch)
    assert calls.calls == 1
    for found, other in zip((logits, features), expected, strict=True):
        assert found.shape == other.shape
        assert (found - other).abs().max() < 1e-5


def test_fusion_and_head_of_a_pixel_do_not_depend_on_the_window():
    g, width = torch.Generator().manual_seed(0), 16

    def random(*shape):
        return torch.randn(*shape, generator=g)

    vectors, seen = random(1, 40, 51, width), torch.rand(1, 40, 51, generator=g) > 0.3
    weights, missing = (random(width, width), random(width, width)), random(width)
    layers = (random(width), random(width), random(width, width), random(width), random(5, width), random(5))

    def logits(y, x, height, across):
        part = (slice(None), slice(y, y + height + 2), slice(x, x + across + 2))
        return joined.joined(
            [joined.Term(vectors[part], seen[part], 1, weights, missing)], missing, layers, (height, across)
        )

    whole = logits(0, 0, 38, 49)
    for y, x, height, across in ((0, 3, 38, 40), (5, 0, 20, 49), (7, 9, 31, 33)):
        assert torch.equal(whole[..., y : y + height, x : x + across], logits(y, x, height, across))


@pytest.mark.parametrize("context", [0, 2, 4])
def test_neighbourhoods_of_any_size_agree_with_the_layers_of_pytorch(context, monkeypatch):
    network = build(patchwork, {"vhr": INPUTS["vhr"]}, 9, patchwork.Config(context=context)).eval()
    side = (64 - 1) * 3 + network.footprints["vhr"].size, (16 - 1) * 3 + network.footprints["vhr"].size
    valid = torch.rand(1, 1, *side) > 0.2
    valid[..., :40, :] = False
    values = torch.where(valid, torch.randn(1, 1, *side), torch.nan)[:, :, None]
    batch = {"vhr": SourceTensor(values, valid, torch.zeros(1, 1))}
    with torch.inference_mode():
        found = network(batch)
        monkeypatch.setattr(patchwork, "_worth_lanes", lambda *_: False)
        expected = network(batch)
    assert found.shape == (1, 9, 64, 16)
    assert not torch.equal(found, expected), "the window was not computed in one pass"
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("broken", ["encoders.s2.norm.bias", "encoders.vhr.conv2.bias", "missing.s1", "fuse.1.bias"])
def test_nan_weights_give_nan(broken):
    """Training and maps stop at NaN: it must not become a class."""
    network = _network()
    batch = _batch(network)
    batch["s1"].valid[:] = False
    network.get_parameter(broken).data[0] = torch.nan
    with torch.inference_mode():
        assert network(batch).isnan().any(1).float().mean() > 0.8


@pytest.mark.parametrize("ratio", [1, 2, 4, 5, 6])
def test_images_of_all_pixel_sizes_agree_with_the_layers_of_pytorch(ratio, monkeypatch):
    torch.manual_seed(0)
    encoder = patchwork.ImageEncoder(InputSpec("vhr", ("red", "nir"), 1, Ratio(ratio), False), 16, (12, 20)).eval()
    shape = (1, 1, 40 * ratio + 4, 40 * ratio + 4)
    valid = torch.rand(*shape) > 0.1
    tensor = SourceTensor(
        torch.where(valid, torch.randn(*shape), torch.nan)[:, :, None].repeat(1, 1, 2, 1, 1), valid, torch.zeros(1, 1)
    )
    with torch.inference_mode():
        found = encoder(tensor, 0.0)[0]
        monkeypatch.setattr(patchwork, "_in_lanes", lambda *_: False)
        expected = encoder(tensor, 0.0)[0]
    assert not torch.equal(found, expected), "the window was not computed in one pass"
    assert (found - expected).abs().max() < 1e-5


def test_a_pixel_does_not_depend_on_the_window():
    network = _network()
    encoder, vhr = network.encoders["s2"], network.encoders["vhr"]
    batch = _batch(network)
    with torch.inference_mode():
        whole, part = (encoder(_cropped(batch["s2"], first), 0.0) for first in (0, 3))
        assert torch.equal(whole[0][:, 3:, 3:], part[0])
        assert torch.equal(whole[1][:, 3:, 3:], part[1])
        whole, part = (vhr(_cropped(batch["vhr"], first), 0.0)[0] for first in (0, 6))
        assert torch.equal(whole[:, 2:, 2:], part)


def _cropped(tensor, first):
    return SourceTensor(tensor.values[..., first:, first:], tensor.valid[..., first:, first:], tensor.days)


def test_a_pixel_does_not_depend_on_the_clouds_of_its_neighbours():
    network = _network()
    batch = _batch(network)["s2"]
    valid = batch.valid.clone()
    valid[..., 5::3] = False  # dates of a vector are then computed for fewer pixels, or not at all
    reach = network.encoders["s2"].reach
    pixels = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    pixels[:, [0, 1]] = True  # their neighbourhoods have no changed pixel
    with torch.inference_mode():
        encoder = network.encoders["s2"]
        before, after = (encoder(SourceTensor(batch.values, mask, batch.days), 0.0) for mask in (batch.valid, valid))
    assert reach == 1
    assert not torch.equal(before[0], after[0])
    for seen, again in zip(before, after, strict=True):
        assert torch.equal(seen[:, pixels], again[:, pixels])


def test_masked_dates_have_exactly_no_weight():
    from bocage.machine import compiled
    from bocage.models.lanes import COUNT, exponential, load, store

    @compiled
    def work(values):
        store(values, 0, exponential(load(values, 0)))

    values = np.full(COUNT, -1e30, np.float32)
    values[:3] = 0, -1, -80
    work(values)
    assert (values[3:] == 0).all()
    np.testing.assert_allclose(values[:3], np.exp(np.float32([0, -1, -80])), rtol=3e-7)


class _Counted:
    """Counts the windows that are computed in one pass, and passes them on."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *arguments):
        self.calls += 1
        return self.function(*arguments)


def test_probabilities_are_the_same_bits_for_any_tiling_and_number_of_threads(tmp_path, monkeypatch):
    """The windows of a map consist of cells of one shape, so that every product has the same shape."""
    for side in ("SMALL", "DENSE"):
        monkeypatch.setattr(f"bocage.mapping.lattice.{side}", 32)
    trained, scene = _trained(tmp_path)
    passes = _Counted(fused.series)
    monkeypatch.setattr(fused, "series", passes)
    shape = scene.grid.shape
    maps = {}
    for tile in (32, 64, 96):
        cell, side = lattice(trained, shape, tile)
        for threads in (1, 2, 3):
            maps[tile, threads] = _mapped(trained, scene, (cell, side), threads)
    first, *others = maps.values()
    assert cell == (32, 32)
    assert passes.calls == 9 * 9, "cells were not computed in one pass"
    assert len({lattice(trained, shape, tile)[1] for tile in (32, 64, 96)}) == 3
    assert first.std() > 0
    assert all(np.array_equal(first.view(np.uint32), other.view(np.uint32)) for other in others)


def test_the_functions_are_compiled_before_the_first_map():
    fused.warm()
    joined.warm()
    network = _network()
    with torch.inference_mode():
        network(_batch(network))
        network.fused(_batch(network))
    functions = (fused._series, fused._image, joined._add, joined._classify)
    assert [len(function.signatures) for function in functions] == [1, 1, 1, 1]


def _trained(folder):
    """Return a model of a series and an image, and a scene of 80 x 85 pixels that is no multiple of the cells."""
    land = tiny_landscape(folder / "land", size=80)
    image = '[sources.pan]\nsensor = "image"\npath = "pan.tif"\nbands = ["pan"]\n'
    trained_briefly(written(land, 'name = "patchwork"\npreset = "small"', S2 + image), folder, epochs=1)
    return Trained.load(folder / "t/model"), open_run(read_recipe(land / "recipe.toml"), folder / "run").scene


def _mapped(trained, scene, lattice_of, threads):
    """Return the probabilities of the map, computed in windows by several threads."""
    cell, side = lattice_of
    how = Forward(torch.device("cpu"), Lattice(cell, side))
    found = np.zeros((len(trained.legend.classes), *scene.grid.shape), np.float32)

    def work(window):
        torch.set_num_threads(1)
        ys, xs = window.slices
        found[:, ys, xs] = infer(trained, read_inputs(trained, scene, window), window, how).probabilities

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, scene.grid.tiles(side)))
    return found


def test_the_vectors_are_those_of_the_instructions_that_numba_compiles_for(monkeypatch):
    from bocage.models.lanes import instructions

    monkeypatch.setenv("NUMBA_CPU_FEATURES", "+avx2, +fma,-avx512f")
    assert instructions() == {"avx2": True, "fma": True, "avx512f": False}
    monkeypatch.delenv("NUMBA_CPU_FEATURES")
    assert "avx512f" in instructions() or not instructions()
