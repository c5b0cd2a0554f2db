"""Measurements: durations and medians of interleaved rounds, peak memory of a command, upper limits of the machine."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional


@contextmanager
def scratch() -> Iterator[Path]:
    """Yield a temporary folder, in the folder BOCAGE_BENCH if this environment variable is set."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BOCAGE_BENCH")) as name:
        yield Path(name)


def bocage(*arguments: object) -> float:
    """Run a bocage command in its own process and return its peak resident memory in MB."""
    code = (
        "import sys; from bocage.cli import main; from bocage.machine import peak_memory;"
        "code = main(sys.argv[1:]); print(peak_memory() / 2**20); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def seconds(work: Callable[[], Any]) -> float:
    """Return the duration of a call in seconds."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def medians(works: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the median of the values that each function returns; each round calls all functions."""
    values = [{name: work() for name, work in works.items()} for _ in range(rounds)]
    return {name: statistics.median(one[name] for one in values) for name in works}


def interleaved(works: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Return the median duration of each call in seconds, after one round that does not count."""
    for work in works.values():
        work()
    return medians({name: lambda work=work: seconds(work) for name, work in works.items()}, rounds)


def convolution(dtype: torch.dtype = torch.float32) -> tuple[Callable[[], Any], float]:
    """Return a convolution typical of the networks, and its multiply-adds; its rate is the upper limit of the machine."""
    x = torch.randn(4, 256, 64, 64).to(dtype).contiguous(memory_format=torch.channels_last)
    weight = (torch.randn(512, 256, 3, 3) * 0.02).to(dtype).contiguous(memory_format=torch.channels_last)
    return lambda: functional.conv2d(x, weight), 4 * 62 * 62 * 9 * 256 * 512.0


def product(dtype: torch.dtype = torch.float32) -> tuple[Callable[[], Any], float]:
    """Return a matrix product and its multiply-adds."""
    a, b = (torch.randn(1024, 1024).to(dtype) for _ in range(2))
    return lambda: a @ b, 1024.0**3
