"""Scaling of input values, with statistics of the valid training pixels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.models import SourceTensor
from bocage.samples import AnyCut

Kind = Literal["mean-std", "min-max", "percentile"]
IN_CACHE = 1 << 18
"""Number of values scaled at a time, so that they stay in the CPU cache."""
ROUNDING = 1e-7
"""Scale of a band, relative to its offset, that is no more than the rounding of its sums."""
SMALLEST = 1e-30
"""Scale below which a band is constant, in its units."""
LOOKED_AT = 2_000_000
"""Approximate number of pixels from which percentiles are computed."""


@dataclass(frozen=True)
class Normalisation:
    """Linear scaling ``(value - offset) / scale`` of each band, from the valid training pixels."""

    kind: Kind
    """"mean-std": mean 0 and standard deviation 1; "min-max": 0 to 1; "percentile": 2nd percentile to 0, 98th to 1."""
    offset: Mapping[str, tuple[float, ...]]
    """Source → offset of each band, in physical units."""
    scale: Mapping[str, tuple[float, ...]]
    """Source → scale of each band, in physical units, above 0."""

    def __post_init__(self) -> None:
        for name in self.scale:
            offset, scale = np.array(self.offset[name], np.float64), np.array(self.scale[name], np.float64)
            if not (np.isfinite(offset).all() and np.isfinite(scale).all() and (scale > 0).all()):
                raise ValueError(f"source '{name}': offsets must be finite and scales above 0; found {offset}, {scale}")

    @classmethod
    def of(
        cls, cuts: Mapping[str, AnyCut], members: NDArray[np.int64], kind: Kind = "mean-std", rows: int = 4096
    ) -> "Normalisation":
        """Compute the scaling from the samples `members`, `rows` samples at a time; the scale of a constant band is 1."""
        measure = {"mean-std": _mean_and_deviation, "min-max": _range, "percentile": _percentiles}[kind]
        offset, scale = {}, {}
        for name, cut in cuts.items():
            low, width = measure(cut, members, rows)
            offset[name] = tuple(float(v) for v in low)
            varied = width > np.maximum(SMALLEST, ROUNDING * np.abs(low))
            scale[name] = tuple(np.where(varied, width, 1.0).tolist())
        return cls(kind, offset, scale)

    def tensor(
        self, name: str, values: NDArray[Any], valid: NDArray[np.bool_], days: NDArray[np.int32]
    ) -> SourceTensor:
        """Return the scaled tensor of one source.

        Parameters
        ----------
        values
            (B, T, C, Y, X) in physical units.
        valid
            (B, T, Y, X); scaled values are 0 where it is False.
        days
            (T,) days of all samples, or (B, T).
        """
        offset = np.array(self.offset[name], np.float32)[:, None, None]
        scale = np.array(self.scale[name], np.float32)[:, None, None]
        scaled = np.empty(values.shape, np.float32)
        layers, mask = values.reshape(-1, *values.shape[2:]), valid.reshape(-1, 1, *valid.shape[2:])
        flat, step = scaled.reshape(layers.shape), max(1, IN_CACHE // max(1, layers[:1].size))
        for start in range(0, len(layers), step):
            part = slice(start, start + step)
            out = flat[part]
            np.subtract(layers[part], offset, out=out)
            out /= scale
            out *= mask[part]
        dates = np.array(np.broadcast_to(days, values.shape[:2]))
        return SourceTensor(*map(torch.from_numpy, (scaled, np.ascontiguousarray(valid), dates)))


Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def _mean_and_deviation(cut: AnyCut, members: NDArray[np.int64], rows: int) -> Pair:
    """Return mean and standard deviation of each band, in double precision.

    The sums are of differences from the mean of the first part: squares of large values would lose a small deviation.
    """
    total, squares, n, middle = np.zeros(cut.bands), np.zeros(cut.bands), 0.0, None
    for values, valid in _read(cut, members, rows):
        seen = valid[:, :, None]
        if middle is None and seen.any():
            middle = (values.astype(np.float64) * seen).sum((0, 1, 3, 4)) / seen.sum()
        if middle is None:
            continue
        apart = (values.astype(np.float64) - middle[:, None, None]) * seen
        total = total + apart.sum((0, 1, 3, 4))
        squares = squares + (apart**2).sum((0, 1, 3, 4))
        n += float(valid.sum())
    mean = total / max(n, 1)
    return mean + (0.0 if middle is None else middle), np.sqrt(np.maximum(squares / max(n, 1) - mean**2, 0))


def _range(cut: AnyCut, members: NDArray[np.int64], rows: int) -> Pair:
    """Return minimum and range (maximum minus minimum) of each band."""
    low, high = np.full(cut.bands, np.inf), np.full(cut.bands, -np.inf)
    for values, valid in _read(cut, members, rows):
        seen = np.broadcast_to(valid[:, :, None], values.shape)
        low = np.minimum(low, values.min((0, 1, 3, 4), where=seen, initial=np.inf))
        high = np.maximum(high, values.max((0, 1, 3, 4), where=seen, initial=-np.inf))
    known = np.isfinite(low)
    return np.where(known, low, 0.0), np.where(known, high, 1.0) - np.where(known, low, 0.0)


def _percentiles(cut: AnyCut, members: NDArray[np.int64], rows: int) -> Pair:
    """Return the 2nd percentile, and the 98th minus the 2nd, of each band; of regularly chosen samples if there are many."""
    each = len(cut.days) * cut.size**2
    chosen = members[:: max(1, len(members) * each // LOOKED_AT)]
    parts: list[NDArray[np.float32]] = []
    for values, valid in _read(cut, chosen, rows):
        parts.append(values.swapaxes(1, 2).swapaxes(0, 1)[:, valid])
    if not sum(part.shape[1] for part in parts):
        return np.zeros(cut.bands), np.ones(cut.bands)
    low, high = np.percentile(np.concatenate(parts, 1), (2, 98), axis=1)
    return low, high - low


def _read(
    cut: AnyCut, members: NDArray[np.int64], rows: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    for start in range(0, len(members), rows):
        values, valid = cut.read(members[start : start + rows])
        finite = np.asarray(np.isfinite(values).all(2))
        yield np.where(finite[:, :, None], values, np.float32(0)), valid & finite
