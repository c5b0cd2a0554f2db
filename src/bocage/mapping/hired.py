"""Code that runs in the processes of Dask workers."""

import os
from dataclasses import replace
from typing import Any

import torch
from distributed.diagnostics.plugin import WorkerPlugin

from bocage.grid import Window
from bocage.machine import few_arenas
from bocage.mapping.work import Done, Task, Worker

TRIM, OF_DASK = "MALLOC_TRIM_THRESHOLD_", "65536"
"""Environment variable that Dask sets for its workers, and its value: the memory of each array then returns to the system."""
_HIRED: list[Worker] = []
"""The worker of this process."""


def do(window: Window) -> Done:
    """Compute a window of the map with the worker of this process."""
    return _HIRED[0].do(window)


class Hiring(WorkerPlugin):
    """Dask plugin that gives the task to each Dask worker, also to workers that connect later."""

    name = "bocage-map"

    def __init__(self, task: Task, networks: int) -> None:
        self.task, self.networks = task, networks

    def setup(self, worker: Any) -> None:
        """Create the worker of this process; on a machine with several GPUs, each worker uses its own GPU."""
        few_arenas()
        if os.environ.get(TRIM) == OF_DASK:
            del os.environ[TRIM]  # windows of one size reuse their memory, and release it between windows
        task = self.task
        if task.device.startswith("cuda"):
            task = replace(task, device=f"cuda:{_number(worker.name) % torch.cuda.device_count()}")
        _HIRED[:] = [Worker(task, self.networks)]

    def teardown(self, worker: Any) -> None:
        """Delete the worker of this process."""
        _HIRED.clear()


def _number(name: object) -> int:
    return int("".join(c for c in str(name) if c.isdigit()) or 0)
