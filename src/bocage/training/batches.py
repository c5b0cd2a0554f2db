"""Samples → batches of tensors: scaled, shuffled in an order that limits disk reads, augmented, prefetched by a thread."""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.machine import cores, cores_given_back
from bocage.models import Batch, Positions, SourceTensor, moved
from bocage.samples import Chips, by_window
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
    at: Positions | None = None
    """Places of the B samples in the windows of `inputs`; None: `inputs` has one footprint for each sample."""
    order: NDArray[np.int64] | None = None
    """(B,) positions of the samples in the list from which batches of windows are made."""

    depth: Tensor | None = None
    """(B,) how far the samples are inside their parcels; None: no parcels are learnt."""

    def to(self, device: torch.device) -> "Minibatch":
        """Return the minibatch with its tensors on another device."""
        at, depth = self.at and self.at.to(device), None if self.depth is None else self.depth.to(device)
        return replace(self, inputs=moved(self.inputs, device), labels=self.labels.to(device), at=at, depth=depth)

    def pick(self, logits: Tensor) -> Tensor:
        """Return the logits (B, K) of the samples from those of the footprints or windows (…, K, Y, X)."""
        return logits[:, :, 0, 0] if self.at is None else self.at.of(logits)

    def without(self, sources: Collection[str]) -> "Minibatch":
        """Return the minibatch with every date of `sources` masked."""
        inputs = {name: tensor.hidden() if name in sources else tensor for name, tensor in self.inputs.items()}
        return replace(self, inputs=inputs)

    def part(self, rank: int, world: int) -> "Minibatch":
        """Return the part of process `rank` of `world`; the whole minibatch if there are fewer than two samples for each."""
        count = len(next(iter(self.inputs.values())).days)
        if world == 1 or count < 2 * world:
            return self
        own = slice(rank, None, world)
        inputs = {name: tensor.take(own) for name, tensor in self.inputs.items()}
        if self.at is None:
            return Minibatch(inputs, self.labels[own], self.members[own])
        mine = (self.at.window - rank) % world == 0
        at = Positions(self.at.window[mine] // world, self.at.row[mine], self.at.column[mine])
        depth = None if self.depth is None else self.depth[mine]
        return Minibatch(inputs, self.labels[mine], self.members[mine.numpy()], at, depth=depth)


def at_a_time(chips: Chips, samples: int) -> int:
    """Return how many items of `chips` are classified together where `samples` footprints are: the same number of map pixels."""
    return samples if chips.windows is None else max(1, samples // chips.windows.side**2)


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
    because batch normalisation needs two samples. Of a training on windows, `size` is the number of windows.
    """
    if chips.windows is not None:
        yield from _batches_of_windows(chips, members, normalisation, size, generator, augmentation)
        return
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


NOTHING = -1
"""Value of a pixel of a window that is none of the samples."""
OWN = "samples"
"""Key of the samples among the sources of a batch of windows, while it is augmented."""


def _batches_of_windows(
    chips: Chips,
    members: NDArray[np.int64],
    normalisation: Normalisation,
    size: int,
    generator: np.random.Generator | None,
    augmentation: Augmentation,
) -> Iterator[Minibatch]:
    """Yield batches of `size` windows, with the samples `members` that are in them."""
    windows = chips.windows
    assert windows is not None
    parts = list(by_window(windows.number[members]))
    turn = np.arange(len(parts)) if generator is None else generator.permutation(len(parts))
    for picked in np.split(turn, range(size, len(turn), size)):
        chosen = np.array([parts[k][0] for k in picked], np.int64)
        batch: Batch = {
            name: normalisation.tensor(name, *cut.read(chosen), cut.days_of(chosen))
            for name, cut in windows.cuts.items()
        }
        own = np.full((len(chosen), windows.side, windows.side), NOTHING, np.int64)
        for k, (_, inside) in enumerate(parts[i] for i in picked):
            own[k, windows.row[members[inside]], windows.column[members[inside]]] = inside
        if generator is not None:
            batch, own = _turned_together(batch, own, augmentation, generator)
        at = np.nonzero(own != NOTHING)
        order = own[at]
        labels = torch.from_numpy(chips.label[members[order]].astype(np.int64))
        depth = None if chips.depth is None else torch.from_numpy(chips.depth[members[order]])
        yield Minibatch(batch, labels, members[order], Positions(*map(torch.from_numpy, at)), order, depth)


def _turned_together(
    batch: Batch, own: NDArray[np.int64], augmentation: Augmentation, generator: np.random.Generator
) -> tuple[Batch, NDArray[np.int64]]:
    """Augment windows; the samples `own` (B, side, side) in them are rotated and reflected alike."""
    places = torch.from_numpy(own)[:, None]
    as_source = SourceTensor(places[:, :, None], torch.ones_like(places, dtype=torch.bool), torch.zeros(len(own), 1))
    done = dict(augmented({**batch, OWN: as_source}, augmentation, generator))
    return done, done.pop(OWN).values[:, 0, 0].numpy()


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


AT_ONCE = 4
"""Largest number of batches that :func:`side_by_side` keeps in memory."""


def side_by_side(work: Callable[[Any], Any], items: Iterable[Any], device: torch.device) -> Iterator[Any]:
    """Yield the result of `work` for each item, in order; on a CPU, some items at a time, which share the cores.

    Small batches have operations that are too short to be divided between cores.
    """
    many = min(AT_ONCE, cores())
    if device.type != "cpu" or many == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Any]] = deque()
    share = partial(torch.set_num_threads, cores() // many)
    with cores_given_back(), ThreadPoolExecutor(many, "bocage-batch", share) as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) == many:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


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
