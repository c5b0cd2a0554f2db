"""What runs in the processes of Dask workers."""

from dataclasses import replace
from typing import Any

import torch
from distributed.diagnostics.plugin import WorkerPlugin

from bocage.grid import Window
from bocage.mapping.work import Done, Task, Worker

_HIRED: list[Worker] = []
"""The worker of this process."""


def do(window: Window) -> Done:
    """Make a window of the map that this process was hired for."""
    return _HIRED[0].do(window)


class Hiring(WorkerPlugin):
    """Gives the task to every Dask worker, those who come later included."""

    name = "bocage-map"

    def __init__(self, task: Task, networks: int) -> None:
        self.task, self.networks = task, networks

    def setup(self, worker: Any) -> None:
        """Take the task; on a machine with several GPUs, each worker takes its own."""
        task = self.task
        if task.device.startswith("cuda"):
            task = replace(task, device=f"cuda:{_number(worker.name) % torch.cuda.device_count()}")
        _HIRED[:] = [Worker(task, self.networks)]

    def teardown(self, worker: Any) -> None:
        """Drop the task."""
        _HIRED.clear()


def _number(name: object) -> int:
    return int("".join(c for c in str(name) if c.isdigit()) or 0)
