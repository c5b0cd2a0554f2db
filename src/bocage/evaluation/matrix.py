"""The confusion matrix: reference in rows, map in columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ConfusionMatrix:
    """Counts of (reference, map) pairs.

    >>> matrix = ConfusionMatrix.of(np.array([0, 0, 1]), np.array([0, 1, 1]), ("crops", "forest"))
    >>> matrix.counts.tolist()
    [[1, 1], [0, 1]]
    """

    counts: NDArray[np.int64]
    """(K, K): row = reference, column = map."""
    names: tuple[str, ...]
    untested: tuple[str, ...] = ()
    """Names of the classes that are mapped but not tested: they have no metrics of their own, and no part in means over the
    classes. A tested pixel that is mapped as such a class is an error of its reference class."""

    def __post_init__(self) -> None:
        # A metric that is not ours must not change what the others are computed from.
        counts = self.counts.view()
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    @classmethod
    def of(
        cls, reference: NDArray[Any], predicted: NDArray[Any], names: tuple[str, ...], untested: tuple[str, ...] = ()
    ) -> "ConfusionMatrix":
        """Count pairs of class indices (0 to K − 1)."""
        k = len(names)
        pairs = reference.astype(np.int64).ravel() * k + predicted.astype(np.int64).ravel()
        return cls(np.bincount(pairs, minlength=k * k).reshape(k, k), names, untested)

    def __add__(self, other: "ConfusionMatrix") -> "ConfusionMatrix":
        """Return the sum; a class is untested in it if it is in both."""
        untested = tuple(name for name in self.untested if name in other.untested)
        return ConfusionMatrix(self.counts + other.counts, self.names, untested)

    @property
    def without_absent(self) -> "ConfusionMatrix":
        """The matrix of test pixels in which the classes without one are untested; the same without any test pixel.

        The user's accuracy and the F-measure of such a class would be 0 as soon as a pixel is mapped as it, and empty otherwise.
        """
        absent = set(np.array(self.names)[self.of_reference == 0].tolist()) if self.total else set()
        untested = tuple(name for name in self.names if name in absent or name in self.untested)
        return ConfusionMatrix(self.counts, self.names, untested)

    def grouped(self, group: NDArray[np.int64], names: tuple[str, ...]) -> "ConfusionMatrix":
        """Return the matrix of coarser classes: `group` (K,) is the position in `names` of the one that each class is in.

        A coarser class is untested if all its classes are.
        """
        member = np.zeros((len(group), len(names)), np.int64)
        member[np.arange(len(group)), group] = 1
        tested = set(group[self.tested].tolist())
        without = tuple(name for g, name in enumerate(names) if g not in tested)
        return ConfusionMatrix(member.T @ self.counts @ member, names, without)

    @property
    def tested(self) -> NDArray[np.bool_]:
        """Whether each class is tested, (K,)."""
        return ~np.isin(self.names, self.untested)

    @property
    def total(self) -> int:
        """Number of pairs."""
        return int(self.counts.sum())

    @property
    def right(self) -> NDArray[np.int64]:
        """Number of pairs that agree, for each class (K,)."""
        return self.counts.diagonal()

    @property
    def of_reference(self) -> NDArray[np.int64]:
        """Number of reference pixels of each class (K,): the row sums."""
        return np.asarray(self.counts.sum(1))

    @property
    def of_map(self) -> NDArray[np.int64]:
        """Number of mapped pixels of each class (K,): the column sums."""
        return np.asarray(self.counts.sum(0))


def compare(
    pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]], codes: Sequence[int], names: Sequence[str]
) -> ConfusionMatrix:
    """Confusion matrix of two maps of codes, window by window; pixels whose code is 0 or unknown in either are left out."""
    table = np.full(65536, -1, np.int64)
    table[list(codes)] = np.arange(len(codes))
    total = ConfusionMatrix(np.zeros((len(codes), len(codes)), np.int64), tuple(names))
    for truth, predicted in pairs:
        a, b = (table[np.where((x >= 0) & (x < len(table)), x, 0).astype(np.int64)] for x in (truth, predicted))
        known = (a >= 0) & (b >= 0)
        total = total + ConfusionMatrix.of(a[known], b[known], tuple(names))
    return total
