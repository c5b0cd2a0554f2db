"""Patchwork by source: microseconds of one core per map pixel in one pass and with the layers of PyTorch, and share of the matrix rate.

    python -m benchmarks sources

Sentinel-2 (34 dates, clouds in squares of 64 pixels over 40 % of the dates), Sentinel-1 (24 dates) and VHR (6 x 6 pixels), on
arrays in memory. CPU time of the thread, medians of interleaved rounds. The share counts all multiplications of the network,
also those of dates that are skipped; `computed` counts those of valid dates only. The whole network has fusion and head besides
its sources. The novelty compares the same pixels with 1500 samples.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from benchmarks.frame import Results, command_line
from benchmarks.measuring import medians, product
from bocage.grid import Ratio
from bocage.models import InputSpec, SourceTensor, build, lanes, patchwork
from bocage.training.domain import Domain, features_of

SIDE, CLASSES, CLOUDS, ROUNDS = 256, 10, 0.4, 7
S2 = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
INPUTS = {
    "s2": InputSpec("s2", S2, 34, Ratio(), False),
    "s1": InputSpec("s1", ("vv", "vh"), 24, Ratio(), False),
    "vhr": InputSpec("vhr", ("pan",), 1, Ratio(6), False),
}


def run() -> str:
    """Measure, and return a line for each source."""
    found = measure()
    Results("sources").save(found)
    lines = [
        f"  {name}: {f['one_pass']:.2f} us/px, PyTorch {f['pytorch']:.2f}, share of the matrix rate {f['share']:.2f} "
        f"({f['computed']:.2f} without skipped dates)"
        for name, f in found["sources"].items()
    ]
    lines.append("  novelty: {one_pass:.2f} us/px, PyTorch {pytorch:.2f}".format_map(found["novelty"]))
    return (
        f"\n  matrix rate {found['gflops']:.0f} GFLOPS, largest difference {found['largest_difference']:.1e}\n"
        + "\n".join(lines)
    )


@torch.inference_mode()
def measure() -> dict[str, Any]:
    """Return the figures of each source and of the whole network."""
    torch.manual_seed(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured()
    finally:
        torch.set_num_threads(threads)


def _measured() -> dict[str, Any]:
    network = build(patchwork, INPUTS, CLASSES, patchwork.Config()).eval()
    batch = {name: _tensor(spec, network.footprints[name].size) for name, spec in INPUTS.items()}
    whole: dict[str, Callable[[], Any]] = {
        name: lambda name=name: network.encoders[name](batch[name], 0.0) for name in INPUTS
    }
    whole["all"] = lambda: network(batch)
    whole["novelty"] = _novelty(network, batch)
    one_pass = network(batch)
    with _layers():
        difference = float((network(batch) - one_pass).abs().max())
    matrix, adds = product()
    works: dict[str, Callable[[], float]] = {"matrix": lambda: _spent(matrix)}
    for name, work in whole.items():
        works[f"{name} one pass"] = lambda work=work: _spent(work)
        works[f"{name} pytorch"] = lambda work=work: _spent(lambda: _by_layers(work))
    spent, costs, found = medians(works, ROUNDS), _multiply_adds(batch), {}
    for name in costs:
        seconds = spent[f"{name} one pass"] / SIDE**2
        found[name] = {
            "one_pass": 1e6 * seconds,
            "pytorch": 1e6 * spent[f"{name} pytorch"] / SIDE**2,
            "share": costs[name][0] / seconds / (adds / spent["matrix"]),
            "computed": costs[name][1] / seconds / (adds / spent["matrix"]),
        }
    novelty = {way: 1e6 * spent[f"novelty {way.replace('_', ' ')}"] / SIDE**2 for way in ("one_pass", "pytorch")}
    return {
        "gflops": 2e-9 * adds / spent["matrix"], "largest_difference": difference, "sources": found, "novelty": novelty
    }  # fmt: skip


def _novelty(network: patchwork.Model, batch: Mapping[str, SourceTensor]) -> Callable[[], Any]:
    """Return a function that computes the novelty of all pixels: the distance to the nearest of 1500 random samples."""
    shape, rank, generator = (SIDE, SIDE), 24, torch.Generator().manual_seed(0)
    size = features_of(batch, INPUTS, network.footprints, shape).shape[1]
    components = torch.linalg.qr(torch.randn(size, rank, generator=generator))[0].contiguous()
    samples = torch.randn(1500, rank, generator=generator)
    domain = Domain(torch.zeros(size), components, samples, torch.tensor(1.0))
    return lambda: domain.novelty(features_of(batch, INPUTS, network.footprints, shape))


@contextmanager
def _layers() -> Iterator[None]:
    """Compute with the layers of PyTorch until the context ends."""
    kept, lanes.USABLE = lanes.USABLE, False
    try:
        yield
    finally:
        lanes.USABLE = kept


def _by_layers(work: Callable[[], Any]) -> None:
    with _layers():
        work()


def _spent(work: Callable[[], Any]) -> float:
    """Return the CPU time of the thread, which other processes change less than the duration."""
    started = time.thread_time()
    work()
    return time.thread_time() - started


def _tensor(spec: InputSpec, size: int) -> SourceTensor:
    side = (SIDE - 1) * spec.ratio.finer + size
    values = torch.randn(1, spec.dates, len(spec.bands), side, side)
    valid = torch.ones(1, spec.dates, side, side, dtype=torch.bool)
    if spec.name == "s2":
        squares = torch.rand(1, spec.dates, -(-side // 64), -(-side // 64)) >= CLOUDS
        valid = squares.repeat_interleave(64, 2).repeat_interleave(64, 3)[..., :side, :side]
    days = torch.arange(0, 10 * spec.dates, 10, dtype=torch.int32)[None]
    return SourceTensor(values * valid[:, :, None], valid, days)


def _multiply_adds(batch: Mapping[str, SourceTensor]) -> dict[str, tuple[float, float]]:
    """Return the multiply-adds per map pixel of each source and of the whole network: of all dates, and of the valid ones."""
    width, heads, found = 64, 8, {}
    for name in ("s2", "s1"):
        spec, share = INPUTS[name], float(batch[name].valid.float().mean())
        date = 2 * len(spec.bands) * width + 2 * width * heads
        found[name] = (spec.dates * date + width**2, share * spec.dates * date + width**2)
    image = 36 * (9 * 2 * 16 + 9 * 16 * 32) + 2 * 32 * width
    found["vhr"] = (image, image)
    fuse = (len(INPUTS) + 2) * width**2 + width * CLASSES  # own vectors, mean around the image's, fusion, head
    found["all"] = tuple(sum(found[name][k] for name in INPUTS) + fuse for k in (0, 1))  # type: ignore[assignment]
    return found


if __name__ == "__main__":
    command_line(__name__)
