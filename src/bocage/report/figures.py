"""Pictures of the report, as data that lives inside the page."""

import base64
import csv
import io
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bocage.evaluation import ConfusionMatrix
from bocage.legend import Legend
from bocage.mapping.writers.cog import read_reduced

LONGEST = 1400
"""Pixels of the longer side of a map's picture."""


def as_data(figure: Figure) -> str:
    """Return a figure as the address of a PNG that lies in the page itself."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _image(rgba: NDArray[np.uint8]) -> str:
    """Return an image of few pixels enlarged by whole steps, so that a browser does not blur it."""
    step = max(1, 700 // max(rgba.shape[:2]))
    rgba = rgba.repeat(step, 0).repeat(step, 1)
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, rgba, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def map_picture(path: Path, legend: Legend) -> tuple[str, dict[str, float]]:
    """Draw the map in the legend's colours; return it with each class's share of the mapped pixels (of the picture)."""
    codes = read_reduced(path, LONGEST)
    palette = np.zeros((65536, 4), np.uint8)
    for i, code in enumerate(legend.codes):
        palette[code] = (*legend.rgb(i), 255)
    mapped = max(int((codes > 0).sum()), 1)
    shares = {n: float((codes == c).sum() / mapped) for c, n in zip(legend.codes, legend.names, strict=True)}
    return _image(palette[codes]), shares


def confidence_picture(path: Path) -> str:
    """Draw the confidence, 0 to 100, from dark to light; transparent where there is no data."""
    values = read_reduced(path, LONGEST)
    rgba = (matplotlib.colormaps["viridis"](np.minimum(values, 100) / 100) * 255).astype(np.uint8)
    rgba[values == 255] = 0
    return _image(rgba)


def confusion_picture(matrix: ConfusionMatrix) -> str:
    """Draw the matrix: rows are the reference, shades and figures are percent of each row."""
    k = len(matrix.names)
    percent = 100 * matrix.counts / np.maximum(matrix.of_reference, 1)[:, None]
    figure = Figure(figsize=(1.6 + 0.62 * k, 1.2 + 0.52 * k))
    axes = figure.subplots()
    axes.imshow(percent, cmap="Blues", vmin=0, vmax=100)
    axes.set_xticks(range(k), matrix.names, rotation=45, ha="right")
    axes.set_yticks(range(k), matrix.names)
    axes.set_xlabel("map")
    axes.set_ylabel("reference")
    for i in range(k):
        for j in range(k):
            if percent[i, j] >= 0.5:
                color = "white" if percent[i, j] > 55 else "#222"
                axes.text(j, i, f"{percent[i, j]:.0f}", ha="center", va="center", fontsize=8, color=color)
    return as_data(figure)


def curves_picture(files: list[Path]) -> str | None:
    """Draw loss and validation F-measure by epoch, a line per draw; None where the model has no epochs."""
    tables = [_read(path) for path in files if path.exists()]
    if not tables:
        return None
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, table in enumerate(tables):
        color = matplotlib.colormaps["viridis"](i / max(len(tables), 2))
        left.plot(table["epoch"], table["train_loss"], color=color, label="training" if i == 0 else None)
        left.plot(table["epoch"], table["validation_loss"], "--", color=color, label="validation" if i == 0 else None)
        right.plot(table["epoch"], table["validation_f1"], color=color)
        if np.isfinite(table["validation_f1"]).any():  # a training without validation polygons has no such curve
            best = int(np.nanargmax(table["validation_f1"]))
            right.plot(table["epoch"][best], table["validation_f1"][best], "o", color=color, ms=4)
    left.set(xlabel="epoch", ylabel="loss", yscale="log")
    left.legend()
    right.set(xlabel="epoch", ylabel="validation F-measure", ylim=(0, 1))
    return as_data(figure)


def waiting_share(files: list[Path]) -> float | None:
    """Share of the training time spent waiting for samples: the median of all epochs; None where there are none."""
    shares = [share for path in files if path.exists() for share in _read(path)["waiting"]]
    return float(np.median(shares)) if shares else None


def reliability_picture(calibrations: list[dict[str, Any]]) -> str:
    """Draw accuracy against confidence before and after calibration, a line per draw."""
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, which in zip(figure.subplots(1, 2, sharey=True), ("before", "after"), strict=True):
        axes.plot([0, 1], [0, 1], ":", color="#888")
        for i, one in enumerate(calibrations):
            color, curve = matplotlib.colormaps["viridis"](i / max(len(calibrations), 2)), one[which]
            axes.plot(curve["confidence"], curve["accuracy"], color=color, lw=1)
            sizes = 3 + 120 * np.array(curve["share"])
            axes.scatter(curve["confidence"], curve["accuracy"], sizes, color=color, alpha=0.7)
        axes.set(xlabel=f"confidence {which} calibration", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.set_aspect("equal")
    figure.axes[0].set_ylabel("share that is right")
    return as_data(figure)


def _read(path: Path) -> dict[str, list[float]]:
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    table: dict[str, Any] = {key: [float(row[key]) for row in rows] for key in rows[0]}
    return table
