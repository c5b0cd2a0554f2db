"""Samples → batches of tensors: scaled, shuffled in an order that limits disk reads, augmented, prefetched by a thread."""

import queue
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.models import Batch
from bocage.samples import Chips
from bocage.training.augmentation import NONE, Augmentation, augmented, cut_off
from bocage.training.scaling import Normalisation

BUFFER = 1 << 30
"""Bytes of samples that are shuffled together. Larger data sets are read in chunks, each chunk once per epoch."""
CHUNK = 64
"""Number of chunks in a buffer."""


@dataclass(frozen=True)
class Minibatch:
    """Inputs and labels of B samples."""

    inputs: Batch
    """Source → tensor."""
    labels: Tensor
    """(B,) positions of the classes."""
    members: NDArray[np.int64]
    """(B,) positions of the samples."""

    def without(self, sources: Collection[str]) -> "Minibatch":
        """Return the minibatch with every date of `sources` masked."""
        inputs = {name: tensor.hidden() if name in sources else tensor for name, tensor in self.inputs.items()}
        return replace(self, inputs=inputs)

    def part(self, rank: int, world: int) -> "Minibatch":
        """Return the part of process `rank` of `world`; the whole minibatch if there are fewer than two samples for each."""
        if world == 1 or len(self.labels) < 2 * world:
            return self
        own = slice(rank, None, world)
        inputs = {name: tensor.take(own) for name, tensor in self.inputs.items()}
        return Minibatch(inputs, self.labels[own], self.members[own])


def make_batch(chips: Chips, members: NDArray[np.int64], normalisation: Normalisation) -> Batch:
    """Return the scaled footprints of the samples `members` as one batch."""
    return {
        name: normalisation.tensor(name, *cut.read(members), cut.days_of(members)) for name, cut in chips.cuts.items()
    }


def dates_of(chips: Chips, members: NDArray[np.int64]) -> dict[str, NDArray[np.int32]]:
    """Return source → calendar days since 1970-01-01 of the samples `members`, (B, T)."""
    return {name: cut.dates_of(members) for name, cut in chips.cuts.items()}


def batches(
    chips: Chips,
    members: NDArray[np.int64],
    normalisation: Normalisation,
    size: int,
    generator: np.random.Generator | None = None,
    augmentation: Augmentation = NONE,
) -> Iterator[Minibatch]:
    """Yield batches of `size` samples from the samples `members`.

    With a `generator`, samples are shuffled and augmented. A last batch of one sample is then merged with the previous batch,
    because batch normalisation needs two samples.
    """
    order = members if generator is None else shuffled(members, chips, generator)
    ends = list(range(size, len(order), size))
    if ends and generator is not None and len(order) - ends[-1] == 1:
        ends.pop()
    for chosen in np.split(order, ends):
        batch = make_batch(chips, chosen, normalisation)
        if generator is not None:
            if augmentation.cutoff:
                batch = cut_off(batch, dates_of(chips, chosen), augmentation, generator)
            batch = augmented(batch, augmentation, generator)
        yield Minibatch(batch, torch.from_numpy(chips.label[chosen].astype(np.int64)), chosen)


def shuffled(
    members: NDArray[np.int64], chips: Chips, generator: np.random.Generator, buffer: int = BUFFER
) -> NDArray[np.int64]:
    """Shuffle samples: all together if they fit into `buffer` bytes, else the order of chunks, then the samples in a buffer.

    A chunk contains samples that are stored next to each other. Each buffer therefore reads a few contiguous parts of the
    files, and each part is read once.
    """
    held = max(1, buffer // max(1, chips.sample_bytes))
    if len(members) <= held:
        return generator.permutation(members)
    widest = max(chips.cuts.values(), key=lambda cut: cut.sample_bytes)
    stored = members[np.argsort(widest.stored(members), kind="stable")]
    chunks = np.array_split(stored, -(-len(stored) // max(1, held // CHUNK)))
    order = np.concatenate([chunks[k] for k in generator.permutation(len(chunks))])
    return np.concatenate([generator.permutation(part) for part in np.split(order, range(held, len(order), held))])


class Ahead:
    """Prefetch the items of an iterator in a thread, up to `depth` items; `waited` is the waiting time in seconds."""

    def __init__(self, items: Iterator[Any], depth: int = 4) -> None:
        self.waited = 0.0
        self._items, self._ready, self._stopped = items, queue.Queue[Any](depth), threading.Event()
        self._thread = threading.Thread(target=self._make, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Any]:
        """Yield the items; an exception raised in the thread is raised again here."""
        try:
            while True:
                since = time.monotonic()
                kind, item = self._ready.get()
                self.waited += time.monotonic() - since
                if kind == "error":
                    raise item
                if kind == "end":
                    return
                yield item
        finally:
            self._stopped.set()

    def _make(self) -> None:
        try:
            for item in self._items:
                if not self._put(("item", item)):
                    return
            self._put(("end", None))
        except BaseException as error:
            self._put(("error", error))

    def _put(self, entry: tuple[str, Any]) -> bool:
        while not self._stopped.is_set():
            try:
                self._ready.put(entry, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False
