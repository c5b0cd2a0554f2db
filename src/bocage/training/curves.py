"""Training curves: the metrics of every epoch."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

from bocage.textfile import write_csv


@dataclass(frozen=True)
class Epoch:
    """Metrics of one epoch: one line of ``curves.csv``."""

    epoch: int
    """Number of the epoch, from 1."""
    train_loss: float
    """Mean training loss."""
    validation_loss: float
    """Mean validation cross-entropy; NaN without validation."""
    validation_f1: float
    """Mean F-measure of the classes on validation samples, 0 to 1; NaN without validation."""
    waiting: float
    """Share of the time in which the network waited for samples, 0 to 1."""
    seconds: float
    """Time since the start of the training, in seconds; a resumed training adds the time of its checkpoint."""


def write_curves(curves: Sequence[Epoch], kept: int, path: Path) -> None:
    """Write one line per epoch; the column ``kept`` is 1 at the epoch `kept`, whose weights the model has, and 0 elsewhere."""
    *names, last = [f.name for f in fields(Epoch)]
    rows: list[list[Any]] = [[*names, "kept", last]]
    for epoch in curves:
        *values, seconds = (round(v, 6) for v in astuple(epoch))
        rows.append([*values, int(epoch.epoch == kept), seconds])
    write_csv(path, rows)
