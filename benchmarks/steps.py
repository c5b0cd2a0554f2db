"""Training step of patchwork, M3Fusion and TWINNS on one core: CPU time, and share of the matrix rate.

    python -m benchmarks steps

A step is the loss of a batch of 64 samples, its gradients and the update of AdamW, on random arrays in memory. Patchwork has
Sentinel-2 (34 dates, 10 bands), Sentinel-1 (24 dates) and VHR (6 x 6 pixels); the others have the sources of their papers. The
share is the multiplications per second, forward and backward, divided by those of a matrix product in the same rounds.
"""

import time
from typing import Any

import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.frame import Results, command_line
from benchmarks.measuring import medians, product
from benchmarks.sources import CLASSES, INPUTS
from bocage.models import MODELS, InputSpec, SourceTensor, build, card_of

BATCH, ROUNDS, EACH = 64, 5, {"patchwork": 10, "m3fusion": 1, "twinns": 1}
"""Samples of a step, rounds, steps of each network in a round."""


def run() -> str:
    """Measure all networks, and return the table."""
    torch.set_num_threads(1)
    found = {name: _measured(name) for name in EACH}
    Results("steps").save(found)
    return "\n" + "\n".join(
        f"{name:10} {f['milliseconds']:7.1f} ms a step, {f['gflop']:6.2f} G multiply-adds, share of the matrix rate {f['share']:.2f}"
        for name, f in found.items()
    )


def _measured(name: str) -> dict[str, float]:
    torch.manual_seed(0)
    inputs = INPUTS if name == "patchwork" else card_of(MODELS.get(name)).example
    network = build(MODELS.get(name), inputs, CLASSES, MODELS.get(name).Config()).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4)
    batch = {key: _random(spec, network.footprints[key].size) for key, spec in inputs.items()}
    labels = torch.randint(0, CLASSES, (BATCH,))

    def step() -> None:
        optimiser.zero_grad()
        network.loss(batch, labels, functional.cross_entropy).backward()
        optimiser.step()

    with (
        torch.backends.mkldnn.flags(enabled=False),
        FlopCounterMode(display=False) as counter,
    ):  # fused kernels are not counted
        step()
    matrix, adds = product()
    works = {"step": lambda: _cpu(step, EACH[name]), "product": lambda: _cpu(matrix, 4)}
    medians(works, 1)
    spent, multiplications = medians(works, ROUNDS), counter.get_total_flops() / 2
    share = multiplications / spent["step"] / (adds / spent["product"])
    found = {"milliseconds": 1e3 * spent["step"], "gflop": multiplications / 1e9, "share": share}
    return {key: round(value, 3) for key, value in found.items()}


def _random(spec: InputSpec, side: int) -> SourceTensor:
    values = torch.randn(BATCH, spec.dates, len(spec.bands), side, side)
    valid = torch.rand(BATCH, spec.dates, side, side) > 0.2
    days = (torch.arange(spec.dates, dtype=torch.int32) * 10).repeat(BATCH, 1)
    return SourceTensor(values * valid[:, :, None], valid, days)


def _cpu(work: Any, times: int) -> float:
    """Return the CPU time of a call, in seconds: the mean of several."""
    started = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - started) / times


if __name__ == "__main__":
    command_line(__name__)
