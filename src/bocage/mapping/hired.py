"""Code that runs in the processes of Dask workers."""

import io
import os
import pickle
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import torch
from distributed.diagnostics.plugin import WorkerPlugin

from bocage.grid import Window
from bocage.machine import few_arenas
from bocage.mapping.work import Done, Task, Worker

TRIM, OF_DASK = "MALLOC_TRIM_THRESHOLD_", "65536"
"""Environment variable that Dask sets for its workers, and its value: the memory of each array then returns to the system."""
_HIRED: dict[str, Worker] = {}
"""Token of a command → its worker in this process: several commands may use one scheduler at a time."""


def do(token: str, window: Window) -> Done:
    """Compute a window of the map of a command, with its worker of this process."""
    return _HIRED[token].do(window)


class _Anywhere(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickler that makes paths absolute: a worker may run in another working directory."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how an object is pickled."""
        return (Path, (str(obj.absolute()),)) if isinstance(obj, Path) else super().reducer_override(obj)


class Hiring(WorkerPlugin):
    """Dask plugin that gives the task of a command to each Dask worker, also to workers that connect later."""

    def __init__(self, task: Task, networks: int) -> None:
        self.task, self.networks, self.token = task, networks, uuid.uuid4().hex
        self.name = f"bocage-map-{self.token}"

    def __getstate__(self) -> dict[str, Any]:
        stream = io.BytesIO()
        _Anywhere(stream).dump(self.task)
        return {**self.__dict__, "task": stream.getvalue()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, task=pickle.loads(state["task"]))

    def setup(self, worker: Any) -> None:
        """Create the worker of the command; on a machine with several GPUs, each worker uses its own GPU."""
        few_arenas()
        if os.environ.get(TRIM) == OF_DASK:
            del os.environ[TRIM]  # windows of one size reuse their memory, and release it between windows
        task = self.task
        if task.device.startswith("cuda"):
            task = replace(task, device=f"cuda:{_number(worker.name) % torch.cuda.device_count()}")
        _HIRED[self.token] = Worker(task, self.networks)

    def teardown(self, worker: Any) -> None:
        """Delete the worker of the command."""
        _HIRED.pop(self.token, None)


def _number(name: object) -> int:
    return int("".join(c for c in str(name) if c.isdigit()) or 0)
