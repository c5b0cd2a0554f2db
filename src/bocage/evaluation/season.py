"""Accuracy against the day up to which series are known: curves, intervals over the draws, earliest sufficient day."""

import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation.matrix import ConfusionMatrix
from bocage.evaluation.metrics import f1, overall_accuracy
from bocage.intervals import half_width
from bocage.reliability import BINS, Reliability

NO_DATA = "no data"
"""Name of the column of test pixels that have no valid date yet, and are not mapped."""
DATA = "with_data"


@dataclass(frozen=True)
class AtDay:
    """Result of one draw at one cut-off."""

    counts: NDArray[np.int64]
    """(K, K + 1) test pixels by reference class (rows) and predicted class; last column: pixels without a valid date."""
    trust: Reliability
    """Reliability of the pixels with data."""

    @property
    def error(self) -> float:
        """Expected calibration error of the pixels with data, 0 to 1; NaN without any."""
        return self.trust.error if self.trust.share else math.nan

    @property
    def confidence(self) -> float:
        """Mean confidence of the pixels with data, 0 to 1; NaN without any."""
        weighted = zip(self.trust.confidence, self.trust.share, strict=True)
        return sum(value * share for value, share in weighted) if self.trust.share else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of a JSON file."""
        return {"counts": self.counts.tolist(), "reliability": asdict(self.trust)}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "AtDay":
        """Read the entry of a JSON file."""
        return cls(np.array(said["counts"], np.int64), Reliability.from_dict(said["reliability"]))


@dataclass(frozen=True)
class Interval:
    """Mean over the draws, with its 95 % interval."""

    mean: float
    """NaN if no draw has a value."""
    low: float
    """NaN with fewer than two draws, or if all have the same value."""
    high: float
    """NaN as `low`."""


@dataclass(frozen=True)
class Reached:
    """First cut-offs at which a wanted accuracy is reached; None: not reached."""

    mean: datetime.date | None
    """By the mean over the draws."""
    sure: datetime.date | None
    """By the lower bound of the interval."""


def interval(values: NDArray[np.float64], ratio: float) -> Interval:
    """Return mean and 95 % interval of the values of J draws, without those that are NaN.

    The draws share polygons: the interval is that of :func:`half_width`, with the test units over the training units as `ratio`.
    It is NaN if all draws have the same value.
    """
    known = values[~np.isnan(values)]
    mean, half = float(known.mean()) if len(known) else math.nan, half_width(known, ratio)
    if math.isnan(half):
        return Interval(mean, math.nan, math.nan)
    return Interval(mean, max(0.0, mean - half), min(1.0, mean + half))


@dataclass(frozen=True)
class Curve:
    """Results at each cut-off, of one model that is given series up to the cut-off, or of models retrained for each."""

    names: tuple[str, ...]
    """Class names."""
    untested: tuple[str, ...]
    """Names of the classes that are never tested."""
    by_day: Mapping[datetime.date, tuple[AtDay, ...]]
    """Cut-off, ascending → result of each draw."""
    ratio: float
    """Test units over training units."""

    @property
    def days(self) -> tuple[datetime.date, ...]:
        """The cut-offs."""
        return tuple(self.by_day)

    def _matrix(self, counts: NDArray[np.int64]) -> ConfusionMatrix:
        """Return the confusion matrix; pixels without data are errors of their reference class."""
        square = np.vstack([counts, np.zeros((1, counts.shape[1]), np.int64)])
        return ConfusionMatrix(square, (*self.names, NO_DATA), (*self.untested, NO_DATA)).without_absent

    def accuracy(self) -> list[Interval]:
        """Return the overall accuracy at each cut-off."""
        return [
            self._of([overall_accuracy(self._matrix(one.counts)) for one in draws]) for draws in self.by_day.values()
        ]

    def f1(self, position: int) -> list[Interval]:
        """Return the F-measure of a class at each cut-off."""
        return [
            self._of([float(f1(self._matrix(one.counts))[position]) for one in draws]) for draws in self.by_day.values()
        ]

    def error(self) -> list[Interval]:
        """Return the expected calibration error at each cut-off, of the test pixels of all draws together; without interval.

        The error of the few test pixels of one draw is above 0 even for a calibrated model.
        """
        return [Interval(_together(draws), math.nan, math.nan) for draws in self.by_day.values()]

    def confidence(self) -> list[Interval]:
        """Return the mean confidence at each cut-off, of the pixels with data."""
        return [self._of([one.confidence for one in draws]) for draws in self.by_day.values()]

    def data(self) -> list[Interval]:
        """Return the share of the test pixels that have data at each cut-off."""
        shares = ([1 - one.counts[:, -1].sum() / max(1, one.counts.sum()) for one in d] for d in self.by_day.values())
        return [self._of(values) for values in shares]

    def _of(self, values: Sequence[float]) -> Interval:
        return interval(np.array(values, float), self.ratio)

    def as_list(self) -> list[dict[str, Any]]:
        """Return the entries of ``season.json``, one for each cut-off."""
        entries: list[dict[str, Any]] = [
            {"date": str(day), "per_class": {}, "per_draw": [one.as_dict() for one in draws]}
            for day, draws in self.by_day.items()
        ]
        for measure, name, values in self.measures():
            for entry, value in zip(entries, values, strict=True):
                place = entry["per_class"].setdefault(name, {}) if name else entry
                place[measure] = {k: None if math.isnan(v) else v for k, v in asdict(value).items()}
        return entries

    def rows(self, model: str) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of ``season.csv``: model, cut-off, measure, class, mean, low, high; an empty cell has no value."""
        for measure, name, values in self.measures():
            for day, value in zip(self.days, values, strict=True):
                numbers = ("" if math.isnan(v) else round(v, 6) for v in (value.mean, value.low, value.high))
                yield (model, str(day), measure, name, *numbers)

    def measures(self) -> Iterator[tuple[str, str, list[Interval]]]:
        """Yield measure, class (empty: all) and values at each cut-off."""
        yield "overall_accuracy", "", self.accuracy()
        yield "calibration_error", "", self.error()
        yield "confidence", "", self.confidence()
        yield DATA, "", self.data()
        for k, name in enumerate(self.names):
            if name not in self.untested:
                yield "f1", name, self.f1(k)


def _together(draws: Sequence[AtDay]) -> float:
    """Return the expected calibration error of the pixels of several draws; NaN without any."""
    pixels = [int(one.counts[:, :-1].sum()) for one in draws]
    difference = np.zeros(BINS)
    for one, count in zip(draws, pixels, strict=True):
        for confidence, accuracy, share in zip(one.trust.confidence, one.trust.accuracy, one.trust.share, strict=True):
            difference[min(int(confidence * BINS), BINS - 1)] += (confidence - accuracy) * share * count
    return float(np.abs(difference).sum() / sum(pixels)) if sum(pixels) else math.nan


def first_reached(days: Sequence[datetime.date], values: Sequence[Interval], wanted: float) -> Reached:
    """Return the first cut-offs at which mean and lower bound are at least `wanted`.

    >>> days = [datetime.date(2021, 5, 15), datetime.date(2021, 5, 31)]
    >>> found = first_reached(days, [Interval(0.81, 0.75, 0.87), Interval(0.85, 0.8, 0.9)], 0.8)
    >>> str(found.mean), str(found.sure)
    ('2021-05-15', '2021-05-31')
    """
    pairs = list(zip(days, values, strict=True))
    mean = next((day for day, value in pairs if value.mean >= wanted), None)
    return Reached(mean, next((day for day, value in pairs if value.low >= wanted), None))


@dataclass(frozen=True)
class SeasonScore:
    """Curves of a season, and the accuracy that is wanted."""

    once: Curve
    """The model of the run, given series up to each cut-off."""
    retrained: Curve | None
    """Models trained for each cut-off; None if they were not trained."""
    wanted: float
    """Wanted overall accuracy, and F-measure of each class, above 0 to 1."""
    cutoff: float
    """Setting ``[training] cutoff`` of the model: 0 if it was trained on whole seasons only."""
    key: str = ""
    """Digest of the training that the curves belong to."""
    fixed: tuple[str, ...] = ()
    """Series of which the model needs all dates of its training: it cannot map until a day."""

    @property
    def overall(self) -> Reached:
        """First cut-offs at which the overall accuracy is reached."""
        return first_reached(self.once.days, self.once.accuracy(), self.wanted)

    @property
    def by_class(self) -> dict[str, Reached]:
        """Class → first cut-offs at which its F-measure is reached, for the tested classes."""
        once = self.once
        return {
            name: first_reached(once.days, once.f1(k), self.wanted)
            for k, name in enumerate(once.names)
            if name not in once.untested
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``season.json``."""
        shown = {name: _dates(reached) for name, reached in self.by_class.items()}
        return {
            "key": self.key,
            "wanted": self.wanted,
            "cutoff": self.cutoff,
            "series_of_fixed_dates": list(self.fixed),
            "classes": list(self.once.names),
            "untested_classes": list(self.once.untested),
            "test_over_training_units": self.once.ratio,
            "earliest": {"overall": _dates(self.overall), "per_class": shown},
            "dates": self.once.as_list(),
            "retrained": self.retrained.as_list() if self.retrained else None,
        }

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "SeasonScore":
        """Read the content of ``season.json``."""
        shared = (tuple(said["classes"]), tuple(said["untested_classes"]))

        def curve(entries: Sequence[Mapping[str, Any]]) -> Curve:
            by_day = {
                datetime.date.fromisoformat(entry["date"]): tuple(map(AtDay.from_dict, entry["per_draw"]))
                for entry in entries
            }
            return Curve(*shared, by_day, said["test_over_training_units"])

        retrained = curve(said["retrained"]) if said["retrained"] else None
        fixed = tuple(said.get("series_of_fixed_dates", ()))
        return cls(curve(said["dates"]), retrained, said["wanted"], said["cutoff"], said["key"], fixed)

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of ``season.csv``, with a header."""
        yield ("model", "date", "measure", "class", "mean", "low", "high")
        yield from self.once.rows("trained once")
        if self.retrained:
            yield from self.retrained.rows("retrained")


def _dates(reached: Reached) -> dict[str, str | None]:
    return {"mean": str(reached.mean) if reached.mean else None, "low": str(reached.sure) if reached.sure else None}
