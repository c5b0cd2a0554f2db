"""What was found about the labels of all polygons, as a table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.advice.causes import Evidence
from bocage.advice.doubt import Doubt

DIGITS = 3
"""Number of decimals of probabilities in tables."""


@dataclass(frozen=True)
class Left:
    """A polygon without a pixel that can be judged."""

    polygon: int
    """Number of the polygon."""
    name: str
    """Identifier of the polygon or of the sample; else its number."""
    label: str
    """Name of the class, of the coarser class or of the set of classes."""
    cause: str
    """Code of the cause."""
    pixels: int
    """Number of its pixels, which all are masked or have a coarser class or a set of classes."""
    overlap: str
    """Identifier of the polygon that covers most of it, of another class if this is the cause; empty: none."""
    is_coarser: bool
    """Whether the label is a coarser class or a set of classes."""


@dataclass(frozen=True)
class Findings:
    """Doubt, evidence and cause of each polygon, arrays (P,)."""

    classes: Sequence[str]
    """Names of the classes, in the order of their positions."""
    polygon: NDArray[np.integer]
    """Number of the polygon."""
    name: Sequence[str]
    """Identifier of the polygon or of the sample; else its number."""
    label: NDArray[np.integer]
    """Position of the class."""
    doubt: Doubt
    evidence: Evidence
    cause: NDArray[np.str_]
    neighbours: NDArray[np.floating]
    """(P, K) shares of the classes among the nearest polygons."""
    spread: NDArray[np.floating]
    """Standard deviation over the repeats of the probability of the label."""
    overlap: Sequence[str]
    """Identifier of the polygon that covers most of it, of another class if this is the cause; empty: none."""
    region: Sequence[str]
    """Name of the region; empty: none."""
    threshold: float
    """Probability of a wrong label above which a polygon is doubtful."""
    left: Sequence[Left]
    """The polygons without a pixel that can be judged."""

    @property
    def doubtful(self) -> NDArray[np.bool_]:
        """Whether each polygon is doubtful, (P,)."""
        return np.asarray(np.nan_to_num(self.doubt.wrong) > self.threshold)

    @property
    def not_judged(self) -> list[str]:
        """Names of the classes with too few polygons."""
        return [self.classes[k] for k in np.unique(self.label[np.isnan(self.doubt.wrong)])]

    @property
    def expected(self) -> float:
        """Expected number of wrong labels: the sum of the probabilities."""
        return float(np.nansum(self.doubt.wrong))

    @property
    def lost(self) -> int:
        """Number of polygons without a usable pixel."""
        return sum(not one.is_coarser for one in self.left)

    @property
    def coarser(self) -> int:
        """Number of polygons whose label is a coarser class or a set of classes."""
        return sum(one.is_coarser for one in self.left)

    @property
    def causes(self) -> dict[str, int]:
        """Number of polygons with each cause, in the order of the codes."""
        return dict(sorted(Counter([*self.cause.tolist(), *(one.cause for one in self.left)]).items()))

    def columns(self) -> dict[str, list[Any]]:
        """Return the columns of the table of polygons; None where a value is unknown.

        The most doubtful polygons are first, those without a pixel that can be judged last.
        """
        found = self._judged()
        of_left: dict[str, list[Any]] = {
            "rank": [len(self.polygon) + k for k in range(1, len(self.left) + 1)], "class": [one.label for one in self.left],
            "doubtful": [0] * len(self.left),
            **{key: [getattr(one, key) for one in self.left] for key in ("polygon", "name", "cause", "pixels", "overlap")},
        }  # fmt: skip
        return {key: values + of_left.get(key, [None] * len(self.left)) for key, values in found.items()}

    def _judged(self) -> dict[str, list[Any]]:
        """Return the columns of the judged polygons, the most doubtful ones first."""
        doubt, seen, order = self.doubt, self.evidence, self.doubt.order
        index = np.arange(len(order))
        of_label = {"predicted": doubt.predicted, "neighbours": self.neighbours}
        own = {key: values[index, self.label] for key, values in of_label.items()}
        numbers: dict[str, NDArray[np.floating]] = {
            "wrong": doubt.wrong, "suggested_probability": doubt.likely[index, doubt.suggested],
            "label_probability": own["predicted"], "label_spread": self.spread, "neighbours_same": own["neighbours"],
            "inner_probability": seen.inner, "border_probability": seen.border, "clear_dates": seen.dates,
            "shift_north_m": seen.shift[:, 0], "shift_east_m": seen.shift[:, 1],
        }  # fmt: skip
        rounded = {key: [_number(v) for v in values[order].tolist()] for key, values in numbers.items()}
        texts = {"name": self.name, "overlap": self.overlap, "region": self.region}
        listed = {key: [values[i] for i in order] for key, values in texts.items()}
        return {
            "rank": [i + 1 for i in range(len(order))],
            "polygon": self.polygon[order].tolist(),
            "name": listed["name"],
            "class": [self.classes[k] for k in self.label[order]],
            "doubtful": self.doubtful[order].astype(int).tolist(),
            "wrong": rounded.pop("wrong"),
            "cause": self.cause[order].tolist(),
            "suggested": [self.classes[k] for k in doubt.suggested[order]],
            **rounded,
            "pixels": seen.pixels[order].tolist(),
            "overlap": listed["overlap"],
            "region": listed["region"],
        }

    def counts(self, group: Sequence[str]) -> dict[str, tuple[int, int, float | None]]:
        """Return, by value of `group` (P,), numbers of polygons and of doubtful ones, and the expected number of wrong labels.

        The expected number is None if none of the polygons was judged.
        """
        found, names = {}, np.array(group, object)
        for value in sorted(set(group)):
            own = np.asarray(names == value)
            wrong = self.doubt.wrong[own]
            expected = None if np.isnan(wrong).all() else float(np.nansum(wrong))
            found[value] = (int(own.sum()), int(self.doubtful[own].sum()), expected)
        return found

    def by_class(self) -> dict[str, tuple[int, int, float | None]]:
        """Return the counts of each class."""
        return self.counts([self.classes[k] for k in self.label])

    def by_region(self) -> dict[str, tuple[int, int, float | None]]:
        """Return the counts of each class in each region; empty without regions."""
        pairs = [f"{r}: {self.classes[k]}" for r, k in zip(self.region, self.label, strict=True) if r]
        return self.counts(pairs) if len(pairs) == len(self.label) else {}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), DIGITS)
