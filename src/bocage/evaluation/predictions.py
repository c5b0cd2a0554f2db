"""Predictions of a model at the test pixels of one draw; all accuracy figures are computed from them."""

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.disk import replacing
from bocage.errors import EvaluationError
from bocage.evaluation.matrix import ConfusionMatrix
from bocage.words import Note

PROBABILITY = "probability_"
"""Start of the names of the columns with the probability of each class, followed by the position of the class in the legend."""


@dataclass(frozen=True)
class Predictions:
    """One entry for each test pixel."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    polygon: NDArray[np.int32]
    label: NDArray[np.int16]
    """Index of the reference class in the legend."""
    predicted: NDArray[np.int16]
    """Index of the predicted class in the legend."""
    confidence: NDArray[np.float32]
    """Calibrated probability of the predicted class, 0 to 1."""
    uncalibrated: NDArray[np.float32]
    """Probability of the predicted class before calibration, 0 to 1."""
    probabilities: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """(N, K) calibrated probabilities of all classes, in the order of the legend; empty for files of earlier versions."""

    def __post_init__(self) -> None:
        """Check that the probabilities are those of the predicted classes, in the same legend.

        Raises
        ------
        ValueError
            There is not one row for each pixel, or another class than the predicted one has the highest probability.
        """
        if not self.probabilities.size:
            return
        rows, classes = self.probabilities.shape
        if rows != len(self) or int(self.predicted.max()) >= classes:
            last = int(self.predicted.max())
            raise ValueError(
                f"probabilities of {rows} pixels and {classes} classes, and {len(self)} pixels with predicted classes up to "
                f"number {last} (from 0)"
            )
        own = self.probabilities[np.arange(rows), self.predicted]
        if odd := int((own < self.probabilities.max(1)).sum()):
            raise ValueError(f"the predicted class of {odd} of {rows} pixels is not that of the highest probability")

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the predicted class is the reference class (N,)."""
        return np.asarray(self.label == self.predicted)

    def __len__(self) -> int:
        return len(self.label)

    def take(self, kept: NDArray[np.bool_]) -> "Predictions":
        """Return the test pixels that are True in `kept` (N,)."""
        return Predictions(**{field.name: getattr(self, field.name)[kept] for field in fields(self)})

    def matrix(self, names: tuple[str, ...], untested: tuple[str, ...] = ()) -> ConfusionMatrix:
        """Return the confusion matrix; the classes `untested`, and those without a test pixel, are not tested.

        Raises
        ------
        ValueError
            The probabilities are of another number of classes than `names`.
        """
        if self.probabilities.size and self.probabilities.shape[1] != len(names):
            raise ValueError(f"probabilities of {self.probabilities.shape[1]} classes, and a legend of {len(names)}")
        return ConfusionMatrix.of(self.label, self.predicted, names, untested).without_absent

    def without(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of the classes `names` of the legend that have no test pixel, and so no accuracy of their own."""
        tested = set(self.label.tolist())
        return tuple(name for k, name in enumerate(names) if k not in tested)

    def same_pixels(self, other: "Predictions") -> Note | None:
        """Return why two models were not tested on the same pixels; None where they were."""
        if len(self) != len(other):
            return Note.of("other_counts", one=len(self), other=len(other))
        for name in ("row", "column", "polygon", "label"):
            if not np.array_equal(getattr(self, name), getattr(other, name)):
                return Note.of("other_values", column=name)
        return None

    def to_parquet(self, path: Path, ids: tuple[str, ...] | None = None) -> None:
        """Write one row for each test pixel, with a column for the probability of each class; the file is complete or absent.

        `ids` are the sample ids by row, if the pixels are the samples of a table: they are written to the column ``sample``.
        """
        columns = {name: getattr(self, name) for name in COLUMNS}
        columns |= {} if ids is None else {"sample": np.array(ids, str)[self.row]}
        columns |= {f"{PROBABILITY}{k}": column for k, column in enumerate(self.probabilities.T)}
        with replacing(path) as partial:
            pd.DataFrame(columns).to_parquet(partial)

    @classmethod
    def from_parquet(cls, path: Path) -> "Predictions":
        """Read a file of :meth:`to_parquet`.

        Raises
        ------
        EvaluationError
            The file is missing or damaged.
        """
        try:
            table = pd.read_parquet(path)
            classes = sum(str(name).startswith(PROBABILITY) for name in table)
            probabilities = table[[f"{PROBABILITY}{k}" for k in range(classes)]].to_numpy(np.float32)
            return cls(**{name: table[name].to_numpy() for name in COLUMNS}, probabilities=probabilities)
        except Exception as error:  # damaged Parquet files raise errors of many types
            raise EvaluationError(f"{path} cannot be read ({error}): remove it and evaluate again.") from error


COLUMNS = tuple(column.name for column in fields(Predictions) if column.name != "probabilities")
"""Columns of the file, except the probabilities."""


def predictions_of(
    row: NDArray[Any],
    column: NDArray[Any],
    polygon: NDArray[Any],
    label: NDArray[Any],
    probabilities: NDArray[np.float32],
    temperature: float | NDArray[np.float64],
) -> Predictions:
    """Return the predictions of calibrated `probabilities` (N, K).

    Calibration divides the logits by `temperature`, of all pixels or of each (N,), which raises probabilities to the power
    1 / `temperature` before they are normalised. The inverse of this gives the uncalibrated confidence.
    """
    power = temperature[:, None] if isinstance(temperature, np.ndarray) else temperature
    raised = np.maximum(probabilities.astype(np.float64), 1e-30) ** power
    return Predictions(
        row=np.asarray(row, np.int32),
        column=np.asarray(column, np.int32),
        polygon=np.asarray(polygon, np.int32),
        label=np.asarray(label, np.int16),
        predicted=probabilities.argmax(1).astype(np.int16),
        confidence=probabilities.max(1).astype(np.float32),
        uncalibrated=(raised.max(1) / raised.sum(1)).astype(np.float32),
        probabilities=np.asarray(probabilities, np.float32),
    )
