"""Contract checks: requirements for every sensor, network, index, metric and writer.

Each check raises ``AssertionError`` with the requirement that is not met.
"""

import inspect
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from affine import Affine

from bocage.errors import BocageError, ModelError
from bocage.evaluation import ConfusionMatrix
from bocage.grid import Grid, Window
from bocage.legend import LandClass, Legend
from bocage.mapping.writers import MapBand, Writer
from bocage.models import Architecture, InputSpec, Network, SourceTensor, build
from bocage.scene.indices import Index, bands_of
from bocage.sources import Sensor, Source, open_source
from bocage.testing.fakes import random_batch

TOLERANCE = 1e-4


def check_sensor(sensor: Sensor, settings: Any) -> None:
    """Check a sensor: its SPEC, the temporal order of its acquisitions, and reading of values by window."""
    assert sensor.SPEC.name, "SPEC must have a name"
    assert sensor.SPEC.title, "SPEC must have a title"
    source = open_source("checked", sensor, settings)
    assert isinstance(source, Source), "the sensor must find acquisitions"
    times = source.times
    dated = [t for t in times if t is not None]
    assert dated == sorted(dated), "acquisitions must be in temporal order"
    assert len(dated) in (0, len(times)), "all acquisitions must have a time, or none"
    for acquisition in source.acquisitions:
        assert tuple(acquisition.files) == source.bands, "all acquisitions must have the same bands"
    grid = source.grid
    window = Window(-1, -2, grid.shape[0] + 3, grid.shape[1] + 5)
    values, valid = source.read(grid, window)
    assert values.shape == (len(times), len(source.bands), window.height, window.width)
    assert valid.shape == (len(times), window.height, window.width)
    assert not valid[:, 0].any(), "pixels outside the file must not be valid"
    assert not valid[:, :, 0].any(), "pixels outside the file must not be valid"
    assert not values[~np.broadcast_to(valid[:, None], values.shape)].any(), "values must be 0 where not valid"
    part = Window(1, 0, max(1, grid.shape[0] - 2), grid.shape[1])
    again, _ = source.read(grid, part)
    assert np.array_equal(again, values[(..., *part.within(window))]), (
        "the values of a pixel must not depend on the window"
    )


def check_model(
    architecture: Architecture, inputs: Mapping[str, InputSpec], config: Any, n_classes: int = 3, positions: int = 9
) -> None:
    """Check a network; a model without gradient (random forest) is fitted first.

    The check covers output shapes, masks, independence of the items of a batch, a gradient for every parameter, equality of
    the dense form and the patches at every position, and identical logits after saving and loading.
    """
    generator = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    model = build(architecture, inputs, n_classes, config)
    _prepare(model, inputs, n_classes, generator)
    model.eval()
    batch = random_batch(inputs, model.footprints, generator, size=3)
    with torch.no_grad():
        logits = model(batch)
    assert tuple(logits.shape) == (3, n_classes, 1, 1), "a batch of one footprint must give 1 x 1 logits"
    assert bool(torch.isfinite(logits).all()), "logits must be finite"
    _check_mask(model, batch, logits)
    _check_independence(model, batch, logits)
    _check_gradient(architecture, inputs, config, n_classes, generator)
    _check_missing(model, batch)
    _check_dense(model, inputs, generator, positions)
    again = build(architecture, inputs, n_classes, config)
    _check_saved(model, again, batch, logits)


def _prepare(model: Network, inputs: Mapping[str, InputSpec], n_classes: int, generator: torch.Generator) -> None:
    """Fit a forest; give batch normalisation statistics that are not the neutral ones."""
    if model.abilities.fitted:
        samples = random_batch(inputs, model.footprints, generator, size=60)
        model.fit(samples, torch.arange(60) % n_classes, 0)
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.2, generator=generator)
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 2, generator=generator)


@torch.no_grad()
def _check_mask(model: Network, batch: Mapping[str, SourceTensor], logits: torch.Tensor) -> None:
    for garbage in (1e6, float("nan")):
        spoiled = {
            name: SourceTensor(torch.where(t.valid[:, :, None], t.values, garbage), t.valid, t.days)
            for name, t in batch.items()
        }
        assert torch.equal(model(spoiled), logits), "masked values must not change the logits"
    empty = {n: SourceTensor(t.values, torch.zeros_like(t.valid), t.days) for n, t in batch.items()}
    assert bool(torch.isfinite(model(empty)).all()), "logits must be finite if all dates are masked"


@torch.no_grad()
def _check_independence(model: Network, batch: Mapping[str, SourceTensor], logits: torch.Tensor) -> None:
    alone = {n: SourceTensor(t.values[1:2], t.valid[1:2], t.days[1:2]) for n, t in batch.items()}
    assert torch.allclose(model(alone), logits[1:2], atol=TOLERANCE), "in eval(), an item must not depend on the others"


def _check_gradient(
    architecture: Architecture, inputs: Mapping[str, InputSpec], config: Any, n: int, generator: torch.Generator
) -> None:
    model = build(architecture, inputs, n, config)
    if not list(model.parameters()):
        return
    model.train()
    batch, labels = random_batch(inputs, model.footprints, generator, size=16), torch.arange(16) % n
    cross_entropy = torch.nn.functional.cross_entropy
    loss = model.loss(batch, labels, cross_entropy)
    assert loss.ndim == 0, "a loss is one number"
    torch.autograd.backward(loss)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, f"{name} must have a gradient"
        assert bool(torch.isfinite(parameter.grad).all()), f"the gradient of {name} must be finite"
        assert float(parameter.grad.abs().sum()) > 0, f"the gradient of {name} must not be 0"


def _check_missing(model: Network, batch: Mapping[str, SourceTensor]) -> None:
    for name in batch:
        rest = {other: tensor for other, tensor in batch.items() if other != name}
        try:
            with torch.no_grad():
                model(rest)
        except ModelError as error:
            assert name in str(error), "the error must name the missing source"


@torch.no_grad()
def _check_dense(model: Network, inputs: Mapping[str, InputSpec], generator: torch.Generator, positions: int) -> None:
    batch = random_batch(inputs, model.footprints, generator, size=1, positions=positions)
    dense = model(batch)[..., :positions, :positions]
    assert tuple(dense.shape[-2:]) == (positions, positions), "a larger window must give the logits of all positions"
    for i in range(0, positions, model.step):
        for j in range(0, positions, model.step):
            patch = model(_patch_at(batch, model.footprints, inputs, i, j))[0, :, 0, 0]
            assert torch.allclose(dense[0, :, i, j], patch, atol=TOLERANCE), f"dense must equal patch at ({i}, {j})"


def _patch_at(
    batch: Mapping[str, SourceTensor], footprints: Mapping[str, Any], inputs: Mapping[str, InputSpec], i: int, j: int
) -> dict[str, SourceTensor]:
    patch = {}
    for name, footprint in footprints.items():
        ratio = inputs[name].ratio
        y, x = (k * ratio.finer // ratio.coarser for k in (i, j))
        part = (..., slice(y, y + footprint.size), slice(x, x + footprint.size))
        patch[name] = SourceTensor(batch[name].values[part], batch[name].valid[part], batch[name].days)
    return patch


def _check_saved(model: Network, again: Network, batch: Mapping[str, SourceTensor], logits: torch.Tensor) -> None:
    """Load the model's saved weights into `again`, which is built alike."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "saved.safetensors"
        safetensors.torch.save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
        again.load_state_dict(safetensors.torch.load_file(path))
    again.eval()
    with torch.no_grad():
        assert torch.equal(again(batch), logits), "logits must be identical after saving and loading"


RANGE = re.compile(r"([−-]?\d+(?:\.\d+)?) to ([−-]?\d+(?:\.\d+)?)")
"""Range of an index in its docstring: two numbers, for example "−1 to 1"."""


def check_index(index: Index) -> None:
    """Check an index: its bands, its DOI, the shape of its result, and that all reflectances give a value in its stated range."""
    assert bands_of(index), "the arguments of an index must be bands"
    text = inspect.getdoc(index) or ""
    assert "doi" in text.lower(), "the docstring must give a DOI"
    stated = RANGE.search(text)
    assert stated, "the docstring must state the range of the index, as in '−1 to 1'"
    low, high = (float(number.replace("−", "-")) for number in stated.groups())
    generator = np.random.default_rng(0)
    bands = {name: generator.uniform(0, 1, (2, 5, 7)).astype(np.float32) for name in bands_of(index)}
    assert index(**bands).shape == (2, 5, 7), "the result must have the shape of the bands"
    zeros = {name: np.zeros((2, 3), np.float32) for name in bands}
    # Atmospheric correction leaves reflectance slightly below 0; clouds and snow are above 1.
    dark = {name: generator.uniform(-0.02, 0.02, 10_000).astype(np.float32) for name in bands}
    wide = {name: generator.uniform(-0.2, 1.6, 10_000).astype(np.float32) for name in bands}
    for case in (bands, zeros, {name: 1 - band for name, band in bands.items()}, dark, wide):
        values = index(**case)
        assert np.isfinite(values).all(), "the index must be finite"
        inside = (values >= low) & (values <= high)
        assert inside.all(), "the index must stay in the range that its docstring states"


def check_metric(metric: Any) -> None:
    """Check a metric: a finite number, a better value for better agreement, and a direction in its docstring."""
    text = (inspect.getdoc(metric) or "").lower()
    assert "better" in text, "the docstring must state which direction is better"
    names = ("a", "b", "c")
    good = ConfusionMatrix(np.diag([5, 7, 3]).astype(np.int64), names)
    bad = ConfusionMatrix(np.array([[1, 3, 1], [2, 2, 3], [1, 1, 1]], np.int64), names)
    values = [float(metric(matrix)) for matrix in (good, bad, ConfusionMatrix(np.zeros((3, 3), np.int64), names))]
    assert np.isfinite(values[:2]).all(), "the value must be finite if the matrix has pixels"
    assert np.isfinite(values[2]) or np.isnan(values[2]), "an empty matrix must give NaN or a finite value"
    higher = "higher is better" in text
    assert (values[0] > values[1]) == higher, "better agreement must change the value in the direction of the docstring"


def check_writer(writer: Writer, folder: Path) -> Path:
    """Check a writer: it accepts windows in any order, the file appears at ``close``, and ``discard`` removes all files.

    Returns
    -------
    Path of the written file.
    """
    grid = Grid.of("EPSG:32740", Affine(10, 0, 338_000, 0, -10, 7_668_000), (37, 53))
    legend = Legend((LandClass(1, "crops"), LandClass(12, "forest")))
    bands = (MapBand("class", "uint8", 0, categorical=True),)
    pixels = np.random.default_rng(1).choice([0, 1, 12], (1, 37, 53)).astype(np.uint8)
    path = folder / f"checked{writer.SUFFIX}"
    opened = writer.open(path, grid, bands, legend)
    for window in reversed(list(grid.tiles(16))):
        opened.put(window, np.ascontiguousarray(pixels[(slice(None), *window.within(grid.window))]))
        assert not path.exists(), "no file may have the final name before it is complete"
    opened.close()
    assert path.exists(), "close must create the file under its final name"
    before = sorted(folder.iterdir())
    other = writer.open(folder / f"discarded{writer.SUFFIX}", grid, bands, legend)
    other.put(Window(0, 0, 16, 16), pixels[:, :16, :16])
    other.discard()
    assert sorted(folder.iterdir()) == before, "discard must remove all files"
    try:
        writer.open(folder / "missing" / f"folder{writer.SUFFIX}", grid, bands, legend)
    except (BocageError, OSError):
        return path
    raise AssertionError("a folder that does not exist must raise an error")
