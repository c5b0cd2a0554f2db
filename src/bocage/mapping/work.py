"""Computation of one window of the map, from the input files to the store."""

import threading
import time
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import torch

from bocage.errors import BocageError
from bocage.grid import Window
from bocage.machine import one_core, release_memory, reuse_memory
from bocage.mapping.lattice import Lattice
from bocage.mapping.layers import LAYERS, OUTSIDE, Frame
from bocage.mapping.predict import Forward, Inputs, Prediction, infer, read_inputs
from bocage.mapping.region import Region
from bocage.mapping.settings import Precision
from bocage.mapping.store import Store, cannot_write
from bocage.mapping.unclassified import Unclassified
from bocage.scene import Scene, keep_blocks
from bocage.training import Trained

BETWEEN = 8
"""Windows per network after which a worker returns its free memory to the system. The pages that it needs again are zeroed by the
system, which takes a few percent of the CPU time of a window."""


@dataclass(frozen=True)
class Task:
    """Input of a worker; it can be sent to another process."""

    trained: Trained
    scene: Scene
    store: Store
    frame: Frame
    lattice: Lattice
    precision: Precision
    region: Region | None
    device: str


@dataclass(frozen=True)
class Done:
    """Result of a window."""

    window: Window
    sums: dict[str, int]
    """Checksum of each layer."""
    pixels: int = 0
    """Number of map pixels with data inside the region."""
    computing: float = 0.0
    """Time in the network, in seconds."""
    unclassified: Unclassified = field(default_factory=Unclassified)
    """Its pixels without a class."""
    problem: str = ""
    """Reason why the window could not be read; nothing is written in this case."""


class Stopped(Exception):  # noqa: N818 - not an error: it stops this thread after an error in another thread
    """The computation of a window was stopped early."""


class Worker:
    """Computes windows in the threads of one process: some threads read and write while others run the network.

    Parameters
    ----------
    networks
        Maximum number of networks that compute at a time, each on one core.
    """

    def __init__(self, task: Task, networks: int) -> None:
        self.task, self.networks = task, networks
        self.permits, self.stop = threading.Semaphore(networks), threading.Event()
        self.device = torch.device(task.device)
        self.local, self.started = threading.local(), count(1)
        task.trained.model.to(self.device).eval()
        torch.backends.cudnn.deterministic = True
        reuse_memory()
        keep_blocks([task.scene.cubes[name] for name in task.trained.footprints], task.lattice.alignment)

    @staticmethod
    def threads_for(networks: int) -> int:
        """Return the number of threads that keep `networks` networks busy."""
        return networks + max(1, networks // 2)

    def do(self, window: Window) -> Done:
        """Compute a window of the map and write it to the store.

        Raises
        ------
        MappingError
            The store cannot be written.
        Stopped
            The worker was stopped.
        """
        self._check()
        if next(self.started) % (BETWEEN * self.networks) == 0:
            release_memory()
        task = self.task
        wanted = task.region.inside(task.scene.grid, window) if task.region else None
        if wanted is not None and not wanted.any():
            return self._write(window, _nothing(task, window), 0.0)
        try:
            inputs = read_inputs(task.trained, task.scene, window)
        except (BocageError, OSError) as error:
            return Done(window, {}, problem=str(error))
        inner = window.within(inputs.window)
        without = Unclassified.of(inputs.seen, inputs.valid, inner, wanted)
        if wanted is not None:
            valid = np.zeros_like(inputs.valid)
            valid[inner] = inputs.valid[inner] & wanted
            inputs = replace(inputs, valid=valid)
        prediction, seconds = self._infer(inputs, window)
        if wanted is not None:
            clear = {name: np.where(wanted, counts, OUTSIDE) for name, counts in prediction.clear.items()}
            prediction = replace(prediction, clear=clear)
        return replace(self._write(window, prediction, seconds), unclassified=without)

    def _infer(self, inputs: Inputs, window: Window) -> tuple[Prediction, float]:
        task = self.task
        how = Forward(self.device, task.lattice, "novelty" in task.store.layers, task.precision, self._check)
        with self.permits:
            started = time.perf_counter()
            one_core()
            prediction = infer(task.trained, inputs, window, how)
            return prediction, time.perf_counter() - started

    def _write(self, window: Window, prediction: Prediction, seconds: float) -> Done:
        task = self.task
        layers = {name: LAYERS[name].compute(prediction, task.frame) for name in task.store.layers}
        if not hasattr(self.local, "group"):
            self.local.group = task.store.open()
        try:
            sums = task.store.put(self.local.group, window, layers)
        except OSError as error:
            raise cannot_write(task.store.folder, error) from error
        return Done(window, sums, int(prediction.valid.sum()), seconds)

    def _check(self) -> None:
        if self.stop.is_set():
            raise Stopped


def _nothing(task: Task, window: Window) -> Prediction:
    shape = (window.height, window.width)
    empty = np.zeros(shape, np.float32)
    clear = {name: np.full(shape, OUTSIDE) for name in task.frame.sources}
    return Prediction(
        np.zeros((len(task.frame.legend.classes), *shape), np.float32), np.zeros(shape, bool), empty, clear
    )
