"""Windows of patchwork in one pass (models/fused.py) compared with the layers of PyTorch."""

import pytest
import torch

from bocage.grid import Ratio
from bocage.models import InputSpec, SourceTensor, build, patchwork
from bocage.models.lanes import USABLE

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
        monkeypatch.setattr(patchwork, "_in_lanes", lambda *_: False)
        expected = network(batch)
    reference = network(batch)  # the form of the training
    assert found.shape == (2, 5, SIDE, SIDE)
    assert not torch.equal(found, expected), "the window was not computed in one pass"
    assert (found - expected).abs().max() < 1e-5
    assert (found - reference).abs().max() < 1e-5


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
