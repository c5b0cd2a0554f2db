"""Score of a model: confusion matrices of several draws, with the metrics computed from them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import artefact, write_json
from bocage.errors import LegendError
from bocage.evaluation.matrix import ConfusionMatrix
from bocage.evaluation.metrics import (
    MAIN,
    f1,
    intersection_over_union,
    measured,
    producers_accuracy,
    users_accuracy,
)
from bocage.evaluation.trust import Trust
from bocage.legend import Legend, Level
from bocage.ranges import Range, check_ranges

PER_CLASS = {
    "f1": f1,
    "producers_accuracy": producers_accuracy,
    "users_accuracy": users_accuracy,
    "intersection_over_union": intersection_over_union,
}


@dataclass(frozen=True)
class Evaluation:
    """Settings of the evaluation."""

    metrics: tuple[str, ...] = (*MAIN, "f1_macro")
    """Metrics (``bocage metrics`` lists them), by name or ``"its.module:name"``; the first three of the default are always
    computed."""
    importance: Annotated[int, Range(0, 1_000_000)] = 400
    """Number of test samples for the importance of sources and dates, in the draw that makes the map; 0: not computed."""
    levels: Annotated[tuple[int, ...], Range(1, 100)] = ()
    """Levels of a hierarchical nomenclature to report, from 1 (the coarsest); empty: all. A class without a parent at a level
    that is named here is refused; if all levels are reported, such a class stands for itself."""
    truth: Path | None = None
    """Raster of class codes that covers the map (simulated landscapes have one); it is compared with the whole map."""

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the metrics to compute, without duplicates."""
        return tuple(dict.fromkeys((*MAIN, *self.metrics)))

    def levels_of(self, legend: Legend) -> tuple[Level, ...]:
        """Return the levels to report, the classes of the map last; none without a hierarchical nomenclature."""
        if legend.depth == 1:
            return ()
        return tuple(
            level for level in legend.levels if not self.levels or level.number in (*self.levels, legend.depth)
        )

    def check_levels(self, legend: Legend) -> None:
        """Check that every class has a class at every level that is named.

        Raises
        ------
        LegendError
            The legend has no such level, or a class ends above it.
        """
        for number in self.levels:
            if number > legend.depth:
                raise LegendError(f"The legend has {legend.depth} level(s); found level {number}.")
            for i, name in enumerate(legend.names):
                if len(legend.path(i)) < number:
                    raise LegendError(
                        f"The class '{name}' has no parent at level {number}: it is at level {len(legend.path(i))}. Give it "
                        "parents, or remove the level."
                    )


@dataclass(frozen=True)
class Score:
    """One confusion matrix per draw, with the metrics computed from them."""

    matrices: tuple[ConfusionMatrix, ...]
    metrics: tuple[str, ...]
    design: Mapping[str, Any] = field(default_factory=dict)
    """Sampling design of the test pixels."""
    trust: tuple[Trust, ...] = ()
    """Calibration and leakage of each draw; empty if the draws have no test pixels."""
    levels: tuple[Level, ...] = ()
    """Levels of a hierarchical nomenclature, from the coarsest to the classes of the map; empty without parents."""

    def at(self, level: Level) -> "Score":
        """Return the score at a level: the class of a pixel is the one of this level that its class in the map is in."""
        matrices = tuple(matrix.grouped(level.group, level.names) for matrix in self.matrices)
        return Score(matrices, self.metrics, self.design)

    @property
    def names(self) -> tuple[str, ...]:
        """Class names."""
        return self.matrices[0].names

    @property
    def tests(self) -> bool:
        """Whether anything was tested."""
        return self.matrix.total > 0

    @property
    def matrix(self) -> ConfusionMatrix:
        """Sum of the confusion matrices over the draws."""
        return sum(self.matrices[1:], self.matrices[0])

    def values(self, metric: str) -> NDArray[np.float64]:
        """Return a metric of each draw (draws,)."""
        return np.array([measured(metric, matrix) for matrix in self.matrices])

    def per_class(self, measure: str) -> NDArray[np.float64]:
        """Return a measure of each draw and class (draws, K)."""
        return np.array([PER_CLASS[measure](matrix) for matrix in self.matrices])

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``score.json``; every metric is None if nothing was tested."""
        document: dict[str, Any] = {name: _summary(self.values(name)) for name in self.metrics}
        tables = {measure: self.per_class(measure) for measure in PER_CLASS}
        document["per_class"] = {
            name: {m: _summary(table[:, k]) for m, table in tables.items()}
            | {"reference_pixels": int(self.matrix.of_reference[k])}
            for k, name in enumerate(self.names)
            if self.matrix.tested[k]
        }
        document["tested_pixels"] = self.matrix.total
        document["untested_classes"] = list(self.matrix.untested)
        document["confusion"] = {
            "classes": list(self.names),
            "rows": "reference",
            "columns": "map",
            "per_draw": [matrix.counts.tolist() for matrix in self.matrices],
        }
        document["design"] = dict(self.design)
        if self.trust:
            document["trust"] = [trust.as_dict() for trust in self.trust]
        if self.levels:
            document["levels"] = [self._level(level) for level in self.levels[:-1]]
        return document

    def _level(self, level: Level) -> dict[str, Any]:
        """Return the metrics, the accuracy of each class and the confusion at a level."""
        found = self.at(level).as_dict()
        return {"level": level.number} | {key: value for key, value in found.items() if key != "design"}

    def save(self, path: Path, **more: Any) -> None:
        """Write as JSON, with any further entries; the file is complete or absent."""
        write_json(path, self.as_dict() | more)

    def is_in(self, path: Path, **more: Any) -> bool:
        """Return whether a file that :meth:`save` wrote has this score and the entries `more`, perhaps with further entries."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return bool({**found, **json.loads(json.dumps(self.as_dict() | more))} == found)
        except (OSError, ValueError, TypeError):
            return False


def spread_of(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Return mean and sample standard deviation (n − 1) over the draws that have a value.

    The mean is None without a value, the standard deviation with fewer than two values.
    """
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if known.size else None
    return mean, float(known.std(ddof=1)) if known.size > 1 else None


def _summary(values: NDArray[np.float64]) -> dict[str, Any]:
    """Return mean, standard deviation and values of the draws; None for a missing value.

    ``draws`` is the number of draws with a value, if some draws have none.
    """
    mean, std = spread_of(values)
    known = int((~np.isnan(values)).sum())
    partial = {"draws": known} if known < len(values) else {}
    return {"mean": mean, "std": std, "per_draw": [None if np.isnan(v) else float(v) for v in values], **partial}


def load_score(path: Path) -> Score:
    """Read a ``score.json``; in each draw, the classes without a test pixel are untested."""
    with artefact(path):
        document = json.loads(path.read_text(encoding="utf-8"))
        names = tuple(document["confusion"]["classes"])
        per_draw = [np.array(counts, np.int64) for counts in document["confusion"]["per_draw"]]
        if not per_draw or any(counts.shape != (len(names), len(names)) for counts in per_draw):
            raise ValueError("the confusion matrices are not those of its classes")
        untested = tuple(document.get("untested_classes", ()))
        metrics = tuple(key for key, value in document.items() if isinstance(value, dict) and "mean" in value)
        trust = tuple(Trust.from_dict(entry) for entry in document.get("trust", ()))
        return Score(
            tuple(ConfusionMatrix(counts, names, untested).without_absent for counts in per_draw),
            metrics,
            document["design"],
            trust,
        )
