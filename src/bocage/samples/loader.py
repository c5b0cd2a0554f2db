"""Samples → batches of tensors: scaled, in an order fit for the disk, augmented where asked, made ahead of time."""

import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.samples.cut import Cut

Parts = dict[str, tuple[Tensor, Tensor, Tensor]]
"""Source name → scaled values (B, T, C, Y, X), valid (B, T, Y, X) and days (B, T)."""
Batched = tuple[Parts, Tensor, NDArray[np.int64]]
"""A batch, its labels (B,), and which samples these are."""
Arrays = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int32]]
"""The same of one source before they become tensors."""
Kind = Literal["mean-std", "min-max", "percentile"]
BUFFER = 1 << 30
"""Bytes of samples that are shuffled together; a store that is larger is read by chunks, each once an epoch."""
CHUNK = 64
"""Chunks in a buffer."""
IN_CACHE = 1 << 18
"""Values scaled at a time."""
LOOKED_AT = 2_000_000
"""Pixels, about, of which percentiles are taken."""


@dataclass(frozen=True)
class Normalisation:
    """Per source and band: ``(value - offset) / scale``, measured on valid training pixels."""

    kind: Kind
    """"mean-std": mean 0 and deviation 1; "min-max": 0 to 1; "percentile": 2nd percentile at 0, 98th at 1."""
    offset: Mapping[str, tuple[float, ...]]
    scale: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(
        cls, cuts: Mapping[str, Cut], members: NDArray[np.int64], kind: Kind = "mean-std", rows: int = 4096
    ) -> "Normalisation":
        """Measure it on the samples `members`, `rows` samples at a time; a band of one value only is not scaled."""
        measure = {"mean-std": _mean_and_deviation, "min-max": _range, "percentile": _percentiles}[kind]
        offset, scale = {}, {}
        for name, one in cuts.items():
            low, width = measure(one, members, rows)
            offset[name] = tuple(float(v) for v in low)
            scale[name] = tuple(float(v) if v > 1e-8 else 1.0 for v in width)
        return cls(kind, offset, scale)

    def arrays(self, name: str, values: NDArray[Any], valid: NDArray[np.bool_], days: NDArray[np.int32]) -> Arrays:
        """Values (B, T, C, Y, X) in physical units → scaled ones, 0 where not valid; valid; days (B, T)."""
        offset = np.array(self.offset[name], np.float32)[:, None, None]
        scale = np.array(self.scale[name], np.float32)[:, None, None]
        scaled = np.empty(values.shape, np.float32)
        layers, there = values.reshape(-1, *values.shape[2:]), valid.reshape(-1, 1, *valid.shape[2:])
        flat, step = scaled.reshape(layers.shape), max(1, IN_CACHE // max(1, layers[:1].size))
        for start in range(0, len(layers), step):
            part = slice(start, start + step)
            out = flat[part]
            np.subtract(layers[part], offset, out=out)
            out /= scale
            out *= there[part]
        return scaled, np.ascontiguousarray(valid), np.tile(days, (len(values), 1))

    def tensor(
        self, name: str, values: NDArray[Any], valid: NDArray[np.bool_], days: NDArray[np.int32]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return :meth:`arrays` as tensors."""
        return _tensors(self.arrays(name, values, valid, days))


Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def _mean_and_deviation(cut: Cut, members: NDArray[np.int64], rows: int) -> Pair:
    """Mean and standard deviation, in double precision."""
    total, squares, n = np.zeros(cut.bands), np.zeros(cut.bands), 0.0
    for values, valid in _read(cut, members, rows):
        clear = values.astype(np.float64) * valid[:, :, None]
        total = total + clear.sum((0, 1, 3, 4))
        squares = squares + (clear**2).sum((0, 1, 3, 4))
        n += float(valid.sum())
    mean = total / max(n, 1)
    return mean, np.sqrt(np.maximum(squares / max(n, 1) - mean**2, 0))


def _range(cut: Cut, members: NDArray[np.int64], rows: int) -> Pair:
    """Least value, and the greatest less the least."""
    low, high = np.full(cut.bands, np.inf), np.full(cut.bands, -np.inf)
    for values, valid in _read(cut, members, rows):
        seen = np.broadcast_to(valid[:, :, None], values.shape)
        low = np.minimum(low, values.min((0, 1, 3, 4), where=seen, initial=np.inf))
        high = np.maximum(high, values.max((0, 1, 3, 4), where=seen, initial=-np.inf))
    known = np.isfinite(low)
    return np.where(known, low, 0.0), np.where(known, high, 1.0) - np.where(known, low, 0.0)


def _percentiles(cut: Cut, members: NDArray[np.int64], rows: int) -> Pair:
    """2nd percentile, and the 98th less the 2nd, of evenly spaced samples where there are many."""
    each = len(cut.days) * cut.size**2
    some = members[:: max(1, len(members) * each // LOOKED_AT)]
    found: list[NDArray[np.float32]] = []
    for values, valid in _read(cut, some, rows):
        found.append(values.swapaxes(1, 2).swapaxes(0, 1)[:, valid])
    if not sum(part.shape[1] for part in found):
        return np.zeros(cut.bands), np.ones(cut.bands)
    low, high = np.percentile(np.concatenate(found, 1), (2, 98), axis=1)
    return low, high - low


def _read(cut: Cut, members: NDArray[np.int64], rows: int) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    for start in range(0, len(members), rows):
        values, valid = cut.read(members[start : start + rows])
        finite = np.asarray(np.isfinite(values).all(2))
        yield np.where(finite[:, :, None], values, np.float32(0)), valid & finite


@dataclass(frozen=True)
class Augmentation:
    """What is done to training samples at random, each sample on its own."""

    turns: bool = False
    """One of the eight symmetries of the square, the same for all sources."""
    jitter: int = 0
    """Most days by which a season is moved, earlier or later."""
    date_dropout: float = 0.0
    """Each sample loses a share of its dates, drawn between 0 and this; one date stays."""
    gridded: frozenset[str] = frozenset()
    """Sources on a grid of dates: a moved season moves their values to neighbouring dates. Others move their days."""


NONE = Augmentation()


def make_batch(cuts: Mapping[str, Cut], members: NDArray[np.int64], normalisation: Normalisation) -> Parts:
    """Return the footprints of the samples `members`, as one batch."""
    return {name: normalisation.tensor(name, *one.read(members), one.days) for name, one in cuts.items()}


def batches(
    cuts: Mapping[str, Cut],
    label: NDArray[Any],
    members: NDArray[np.int64],
    normalisation: Normalisation,
    size: int,
    generator: np.random.Generator | None = None,
    augmentation: Augmentation = NONE,
) -> Iterator[Batched]:
    """Yield batches of `size` samples, their labels (B,) and which samples they are (B,).

    With a `generator` they are shuffled and augmented, and one sample left over goes with the batch before: batch
    normalisation needs two.
    """
    order = members if generator is None else shuffled(members, cuts, generator)
    ends = list(range(size, len(order), size))
    if ends and generator is not None and len(order) - ends[-1] == 1:
        ends.pop()
    for chosen in np.split(order, ends):
        arrays = {name: normalisation.arrays(name, *one.read(chosen), one.days) for name, one in cuts.items()}
        if generator is not None:
            arrays = augmented(arrays, augmentation, generator)
        yield {n: _tensors(a) for n, a in arrays.items()}, torch.from_numpy(label[chosen].astype(np.int64)), chosen


def shuffled(
    members: NDArray[np.int64], cuts: Mapping[str, Cut], generator: np.random.Generator, buffer: int = BUFFER
) -> NDArray[np.int64]:
    """Shuffle samples: all together if they fit `buffer` bytes, else chunks of the store, then within a buffer.

    Samples are numbered in the order of the store, nearly, so a buffer reads a few stretches of it and no other does.
    """
    held = max(1, buffer // max(1, sum(cut.sample_bytes for cut in cuts.values())))
    if len(members) <= held:
        return generator.permutation(members)
    widest = max(cuts.values(), key=lambda cut: cut.sample_bytes)
    stored = members[np.argsort(widest.place[widest.index[members], 0], kind="stable")]
    chunks = np.array_split(stored, -(-len(stored) // max(1, held // CHUNK)))
    order = np.concatenate([chunks[k] for k in generator.permutation(len(chunks))])
    return np.concatenate([generator.permutation(part) for part in np.split(order, range(held, len(order), held))])


def augmented(arrays: Mapping[str, Arrays], how: Augmentation, generator: np.random.Generator) -> dict[str, Arrays]:
    """Augment every sample of a batch."""
    n = len(next(iter(arrays.values()))[0])
    symmetry = generator.integers(8, size=n) if how.turns else np.zeros(n, np.int64)
    shift = generator.integers(-how.jitter, how.jitter + 1, size=n) if how.jitter else np.zeros(n, np.int64)
    found = {}
    for name, one in arrays.items():
        done = turned(one, symmetry) if symmetry.any() else one
        if done[2].shape[1] > 1:
            done = moved(done, shift, name in how.gridded) if shift.any() else done
            done = thinned(done, how.date_dropout, generator) if how.date_dropout else done
        found[name] = done
    return found


def turned(arrays: Arrays, symmetry: NDArray[np.int64]) -> Arrays:
    """Turn each sample by ``symmetry % 4`` quarters, and mirror it left to right from 4 on."""
    values, valid, days = arrays
    if values.shape[-1] == 1:
        return arrays
    values, valid = values.copy(), valid.copy()
    for k in range(1, 8):
        rows = np.flatnonzero(symmetry == k)
        for array in (values, valid):
            part = np.rot90(array[rows], k % 4, (-2, -1))
            array[rows] = part[..., ::-1] if k > 3 else part
    return values, valid, days


def moved(arrays: Arrays, shift: NDArray[np.int64], gridded: bool) -> Arrays:
    """Let each sample's season come ``shift`` days later; the ends of a grid repeat."""
    values, valid, days = arrays
    if not gridded:
        return values, valid, (days + shift[:, None]).astype(np.int32)
    dates = days.shape[1]
    steps = np.rint(shift / max(1, int(days[0, 1] - days[0, 0]))).astype(np.int64)
    source = np.clip(np.arange(dates) - steps[:, None], 0, dates - 1)
    rows = np.arange(len(values))[:, None]
    return values[rows, source], valid[rows, source], days


def thinned(arrays: Arrays, most: float, generator: np.random.Generator) -> Arrays:
    """Hide a share of each sample's dates, drawn between 0 and `most`; one valid date stays."""
    values, valid, days = arrays
    n, dates = days.shape
    luck = generator.random((n, dates)) + ~valid.any((2, 3))  # 1 or more where there is nothing to hide
    hidden = luck < generator.random((n, 1)) * most
    hidden[np.arange(n), np.where(luck < 1, luck, -1).argmax(1)] = False
    valid = valid & ~hidden[:, :, None, None]
    return values * valid[:, :, None], valid, days


def _tensors(arrays: Arrays) -> tuple[Tensor, Tensor, Tensor]:
    values, valid, days = (torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
    return values, valid, days


class Ahead:
    """Makes the items of an iterator in a thread, a few ahead; `waited` is how long the reader stood still."""

    def __init__(self, items: Iterator[Any], depth: int = 4) -> None:
        self.waited = 0.0
        self._items, self._ready, self._stopped = items, queue.Queue[Any](depth), threading.Event()
        self._thread = threading.Thread(target=self._make, daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Any]:
        """Yield the items; an exception of their making is raised here."""
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

    def _put(self, what: tuple[str, Any]) -> bool:
        while not self._stopped.is_set():
            try:
                self._ready.put(what, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False
