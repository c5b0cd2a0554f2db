"""The noun of this room: confusion matrices of several draws, and what is computed from them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import write_json
from bocage.evaluation.matrix import ConfusionMatrix
from bocage.evaluation.metrics import (
    METRICS,
    Metric,
    f1,
    intersection_over_union,
    producers_accuracy,
    users_accuracy,
)
from bocage.evaluation.trust import Trust

PER_CLASS = {
    "f1": f1,
    "producers_accuracy": producers_accuracy,
    "users_accuracy": users_accuracy,
    "intersection_over_union": intersection_over_union,
}


@dataclass(frozen=True)
class Evaluation:
    """What the recipe may say of the evaluation."""

    metrics: tuple[str, ...] = ("overall_accuracy", "f1_weighted", "kappa", "f1_macro")
    """Metrics by name, or ``"its.module:name"``; the first three are always given."""
    importance: int = 400
    """Test samples on which the importance of sources and dates is measured, for the draw that makes the map; 0: not at all."""
    truth: Path | None = None
    """A raster of codes that covers the map (simulated landscapes have one), compared with the whole map."""

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics to compute, each once."""
        return tuple(dict.fromkeys(("overall_accuracy", "f1_weighted", "kappa", *self.metrics)))


@dataclass(frozen=True)
class Score:
    """One confusion matrix per draw, and what is computed from them."""

    matrices: tuple[ConfusionMatrix, ...]
    metrics: tuple[str, ...]
    design: Mapping[str, Any] = field(default_factory=dict)
    """How the test pixels were chosen."""
    trust: tuple[Trust, ...] = ()
    """What else is told of every draw; empty where there are no test pixels of draws."""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names."""
        return self.matrices[0].names

    @property
    def matrix(self) -> ConfusionMatrix:
        """The sum over the draws."""
        return sum(self.matrices[1:], self.matrices[0])

    def values(self, metric: str) -> NDArray[np.float64]:
        """One value per draw."""
        function: Metric = METRICS.get(metric)
        return np.array([function(matrix) for matrix in self.matrices])

    def per_class(self, measure: str) -> NDArray[np.float64]:
        """(draws, K)."""
        return np.array([PER_CLASS[measure](matrix) for matrix in self.matrices])

    def as_dict(self) -> dict[str, Any]:
        """What ``score.json`` holds."""
        said: dict[str, Any] = {name: _summary(self.values(name)) for name in self.metrics}
        tables = {measure: self.per_class(measure) for measure in PER_CLASS}
        said["per_class"] = {
            name: {m: _summary(table[:, k]) for m, table in tables.items()}
            | {"reference_pixels": int(self.matrix.of_reference[k])}
            for k, name in enumerate(self.names)
        }
        said["confusion"] = {
            "classes": list(self.names),
            "rows": "reference",
            "columns": "map",
            "per_draw": [matrix.counts.tolist() for matrix in self.matrices],
        }
        said["design"] = dict(self.design)
        if self.trust:
            said["trust"] = [one.as_dict() for one in self.trust]
        return said

    def save(self, path: Path, **more: Any) -> None:
        """Write as JSON, with any further entries; the file is complete or absent."""
        write_json(path, self.as_dict() | more)


def spread_of(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation (n − 1) over the draws that have a value; None where there is none."""
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if known.size else None
    return mean, float(known.std(ddof=1)) if known.size > 1 else None


def _summary(values: NDArray[np.float64]) -> dict[str, Any]:
    """Mean and spread, and over how many draws they run where that is not all of them; null where there is no value."""
    mean, std = spread_of(values)
    known = int((~np.isnan(values)).sum())
    partial = {"draws": known} if known < len(values) else {}
    return {"mean": mean, "std": std, "per_draw": [None if np.isnan(v) else float(v) for v in values], **partial}


def load_score(path: Path) -> Score:
    """Read the draws of a ``score.json`` again."""
    said = json.loads(path.read_text())
    names = tuple(said["confusion"]["classes"])
    matrices = tuple(ConfusionMatrix(np.array(counts, np.int64), names) for counts in said["confusion"]["per_draw"])
    metrics = tuple(key for key, value in said.items() if isinstance(value, dict) and "mean" in value)
    return Score(matrices, metrics, said["design"], tuple(Trust.from_dict(one) for one in said.get("trust", ())))
