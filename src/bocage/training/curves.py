"""What is told of every epoch."""

import csv
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Epoch:
    """One line of ``curves.csv``."""

    epoch: int
    train_loss: float
    validation_loss: float
    """nan where nothing is validated."""
    validation_f1: float
    """Mean of the classes' F-measures, 0 to 1; nan where nothing is validated."""
    waiting: float
    """Share of the time in which the network waited for samples, 0 to 1."""
    seconds: float
    """Since the training began; after a resumption it goes on from the checkpoint's."""


def write_curves(curves: Sequence[Epoch], path: Path) -> None:
    """Write one line per epoch."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([f.name for f in fields(Epoch)])
        writer.writerows([round(v, 6) for v in astuple(epoch)] for epoch in curves)
