"""Inference of patchwork beside the forests of scikit-learn and LightGBM on the same pixels, on arrays in memory, one core.

    python -m benchmarks trees

The sources are those of ``sources`` (Sentinel-2 with 34 dates of 10 bands, Sentinel-1 with 24 dates of 2 bands, VHR), without
clouds. Hard classes differ by a quarter of the noise of a pixel and value, so that trees become deep; easy classes by four
times the noise. The forest has 100 trees of depth 25, LightGBM the defaults of Bocage. CPU time per map pixel, medians of
alternating rounds. Reading is not included; `operational` has it.
"""

import time
from typing import Any

import torch

from benchmarks.frame import Results, command_line
from benchmarks.measuring import medians
from benchmarks.sources import CLASSES, INPUTS
from bocage.models import MODELS, Batch, Network, SourceTensor, build

SAMPLES, SIDE, ROUNDS = 3000, 64, 3
"""Training samples, side of the window in map pixels, rounds."""
NOISE = {"hard": 4.0, "easy": 0.25}
"""Classes → standard deviation of the noise; that of the class means is 1."""
CONFIGS: dict[str, dict[str, Any]] = {"random_forest": {"trees": 100, "max_depth": 25}, "lightgbm": {}}


def run() -> str:
    """Measure hard and easy classes, and return the table."""
    torch.set_num_threads(1)
    found = {kind: _measured(noise) for kind, noise in NOISE.items()}
    Results("trees").save({"samples": SAMPLES, "microseconds_per_pixel": found})
    return "\n" + "\n".join(
        f"{kind} classes, µs per pixel: {', '.join(f'{name} {value:.1f}' for name, value in one.items())}"
        for kind, one in found.items()
    )


def _measured(noise: float) -> dict[str, float]:
    g = torch.Generator().manual_seed(0)
    means = {n: torch.randn(CLASSES, s.dates, len(s.bands), generator=g) for n, s in INPUTS.items()}
    networks = {"patchwork": build(MODELS.get("patchwork"), INPUTS, CLASSES, MODELS.get("patchwork").Config()).eval()}
    for name, settings in CONFIGS.items():
        model = build(MODELS.get(name), INPUTS, CLASSES, MODELS.get(name).Config(**settings))
        labels = torch.randint(0, CLASSES, (SAMPLES,), generator=g)
        model.fit(_pixels(model, means, labels, noise, g), labels, 0)
        networks[name] = model.eval()
    works = {}
    for name, network in networks.items():
        window = _window(network, means, noise, g)
        works[name] = lambda network=network, window=window: _cpu(network, window)
    medians(works, 1)
    return {name: 1e6 * spent / SIDE**2 for name, spent in medians(works, ROUNDS).items()}


def _pixels(network: Network, means: Any, labels: torch.Tensor, noise: float, g: torch.Generator) -> Batch:
    """Return one footprint of each source for each label."""
    found = {}
    for name, footprint in network.footprints.items():
        spec, side = INPUTS[name], footprint.size
        values = means[name][labels][..., None, None].expand(-1, -1, -1, side, side)
        found[name] = _tensor(values + noise * torch.randn(values.shape, generator=g), spec.dates)
    return found


def _window(network: Network, means: Any, noise: float, g: torch.Generator) -> Batch:
    """Return a window whose columns are of the classes in turn."""
    found = {}
    for name, footprint in network.footprints.items():
        spec = INPUTS[name]
        side = (SIDE - 1) * spec.ratio.finer + footprint.size
        column = torch.arange(side) // spec.ratio.finer % CLASSES
        values = means[name].permute(1, 2, 0)[..., column][:, :, None].expand(-1, -1, side, -1)[None]
        found[name] = _tensor(values + noise * torch.randn(values.shape, generator=g), spec.dates)
    return found


def _tensor(values: torch.Tensor, dates: int) -> SourceTensor:
    valid = torch.ones(values.shape[0], dates, *values.shape[-2:], dtype=torch.bool)
    return SourceTensor(values, valid, (torch.arange(dates, dtype=torch.int32) * 10).repeat(len(values), 1))


@torch.inference_mode()
def _cpu(network: Network, window: Batch) -> float:
    started = time.process_time()
    network(window)
    return time.process_time() - started


if __name__ == "__main__":
    command_line(__name__)
