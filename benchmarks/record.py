"""Functions shared by the benchmarks: description of the machine, medians of interleaved rounds, results on disk."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Return processor, cores, instruction set, memory and versions."""
    import psutil

    name = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return {
        "processor": name,
        "cores": len(os.sched_getaffinity(0)),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def save(name: str, found: Mapping[str, Any]) -> None:
    """Write the results of a benchmark to ``benchmarks/results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")


def seconds(work: Callable[[], Any]) -> float:
    """Return the duration of a call in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(works: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median duration of each call in seconds; each round measures all calls, and the first round is discarded."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            one = seconds(work)
            if number:
                spent[name].append(one)
    return {name: statistics.median(found) for name, found in spent.items()}


def convolution(dtype: torch.dtype = torch.float32) -> tuple[Callable[[], Any], float]:
    """Return a convolution typical of the networks, and its multiply-adds; its rate is the upper limit of the machine."""
    x = torch.randn(4, 256, 64, 64).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = (torch.randn(512, 256, 3, 3) * 0.02).to(dtype).contiguous(memory_format=torch.channels_last)
    return lambda: functional.conv2d(x, weight), 4 * 62 * 62 * 9 * 256 * 512.0


def product(dtype: torch.dtype = torch.float32) -> tuple[Callable[[], Any], float]:
    """Return a matrix product and its multiply-adds."""
    a, b = (torch.randn(1024, 1024).to(dtype) for _ in range(2))
    return lambda: a @ b, 1024.0**3
