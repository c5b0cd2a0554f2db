"""The novelty of windows, computed for vectors of pixels: the same as that of PyTorch, pixel by pixel."""

import numpy as np
import pytest
import torch

from bocage.grid import Ratio
from bocage.models import InputSpec, SourceTensor, lanes
from bocage.training import domain, nearest
from bocage.training.domain import Domain

pytestmark = pytest.mark.skipif(not lanes.USABLE, reason="the processor has no AVX2")
SERIES = InputSpec("s2", ("red", "nir"), 9, Ratio(), regular=False)


def _random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def _cloudy(height, width, values=np.nan):
    """Return a series in a larger array, as the halo of a window leaves it; masked pixels have any value."""
    cube, valid = _random(1, 9, 2, height + 2, width + 2), _random(1, 9, height + 2, width + 2) > 0
    valid[:, 2:4] = False  # no pixel of two dates
    cube = torch.where(valid[:, :, None], cube, torch.tensor(values))
    days = 18_000 + 60 * torch.arange(9)[None]  # two dates in some months, none in others
    return SourceTensor(cube[..., 1:-1, 1:-1], valid[..., 1:-1, 1:-1], days)


def _without(monkeypatch, work):
    with monkeypatch.context() as patch:
        patch.setattr(lanes, "USABLE", False)
        return work()


@pytest.mark.parametrize("width", [lanes.COUNT, lanes.COUNT + 1, 3 * lanes.COUNT - 1])
def test_monthly_means_are_those_of_pytorch(width, monkeypatch):
    series = _cloudy(1024 // lanes.COUNT, width)

    def layers():
        return domain._layers(series, SERIES, series.valid.shape[-2:], declared=False)

    found, expected = layers(), _without(monkeypatch, layers)
    assert found.shape == (24, series.valid[0, 0].numel())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert (found == 0).any()
    assert found.isfinite().all()


@pytest.mark.parametrize("samples", [1, 8, 1499])
def test_the_nearest_sample_is_that_of_pytorch(samples, monkeypatch):
    space = Domain(_random(50), _random(50, 24) / 7, _random(samples, 24), torch.tensor(2.0))
    features = _random(50, 1024 + 5).t()
    found, expected = space.novelty(features), _without(monkeypatch, lambda: space.novelty(features))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    # A sample itself has no distance, up to the rounding of the squares.
    at_sample = space.points[:1].expand(1024, -1).t()
    assert nearest.nearest(at_sample, space.points).max() < 1e-4


def test_a_pixel_has_the_same_novelty_wherever_it_is_in_a_window():
    space = Domain(torch.zeros(24), torch.eye(24), _random(100, 24), torch.tensor(1.0))
    features = _random(24, 2048).t()
    whole = space.novelty(features)
    for first in (1, lanes.COUNT - 1, 1000):
        part = space.novelty(features[first : first + 1024])
        assert torch.equal(part, whole[first : first + 1024])


@pytest.mark.parametrize("shape", [(1023,), (512, lanes.COUNT - 1)])
def test_few_pixels_are_not_worth_the_compilation(shape):
    assert not nearest.usable(shape)
    assert nearest.usable((1024,))


def test_the_functions_are_compiled_before_the_first_map():
    nearest.warm()
    network = (nearest._monthly, nearest._nearest)
    series = _cloudy(64, 2 * lanes.COUNT)
    domain._layers(series, SERIES, series.valid.shape[-2:], declared=False)
    Domain(torch.zeros(24), torch.eye(24), _random(9, 24), torch.tensor(1.0)).novelty(_random(24, 1024).t())
    assert [len(function.signatures) for function in network] == [1, 1]
