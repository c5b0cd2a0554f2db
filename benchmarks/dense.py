"""MultiResoLCC: dense logits against the same logits patch by patch, at the published size."""

import statistics
import time

import torch

from bocage.grid import Ratio
from bocage.models import InputSpec, SourceTensor, build
from bocage.models.multiresolcc import Config

HEIGHT, WIDTH = 125, 138  # PAN pixels, neither a multiple of 4
BATCH = 128
ROUNDS = 5
PATCHES = 1024
"""Patches timed in a round: the rest would take the same time each."""


def tensor(values: torch.Tensor) -> SourceTensor:
    valid = torch.ones(values.shape[0], 1, *values.shape[3:], dtype=torch.bool)
    return SourceTensor(values, valid, torch.zeros(values.shape[0], 1, dtype=torch.int32))


@torch.inference_mode()
def run() -> str:
    torch.manual_seed(0)
    inputs = {
        "pan": InputSpec("pan", ("pan",), 1, Ratio()),
        "ms": InputSpec("ms", ("blue", "green", "red", "nir"), 1, Ratio(coarser=4)),
    }
    model = build("multiresolcc", inputs, 8, Config()).eval()
    pan = torch.randn(1, 1, 1, HEIGHT + 31, WIDTH + 31)
    ms = torch.randn(1, 1, 4, -(-HEIGHT // 4) + 7, -(-WIDTH // 4) + 7)
    places = [(i, j) for i in range(HEIGHT) for j in range(WIDTH)]
    pans = torch.cat([pan[..., i : i + 32, j : j + 32] for i, j in places])
    mss = torch.cat([ms[..., i // 4 : i // 4 + 8, j // 4 : j // 4 + 8] for i, j in places])

    def patches(n: int) -> torch.Tensor:
        parts = zip(pans[:n].split(BATCH), mss[:n].split(BATCH), strict=True)
        return torch.cat([model({"pan": tensor(p), "ms": tensor(m)})[:, :, 0, 0] for p, m in parts])

    def dense() -> torch.Tensor:
        return model({"pan": tensor(pan), "ms": tensor(ms)})[0, :, :HEIGHT, :WIDTH]

    worst = float((patches(len(places)).T.reshape(8, HEIGHT, WIDTH) - dense()).abs().max())
    ratios = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        dense()
        middle = time.perf_counter()
        patches(PATCHES)
        end = time.perf_counter()
        ratios.append(((end - middle) / PATCHES) / ((middle - start) / len(places)))
    return (
        f"multiresolcc, {HEIGHT} x {WIDTH} positions, float32, {torch.get_num_threads()} threads: largest difference of "
        f"logits {worst:.1e}; dense is {statistics.median(ratios):.0f} times as fast as patches "
        f"(median of {ROUNDS}, {min(ratios):.0f} to {max(ratios):.0f})"
    )
