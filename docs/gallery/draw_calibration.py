"""Draw the reliability of simulated, overconfident logits before and after the temperature that Bocage fits."""

import numpy as np
import torch
from drawing import Ink, draw
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bocage.training.calibration import calibrate

OVERCONFIDENT = 3.0
"""Factor of the logits."""


def _reliability(axes: Axes, logits: torch.Tensor, labels: torch.Tensor, colour: str) -> None:
    confidence, classes = torch.softmax(logits, 1).max(1)
    right, group = (classes == labels).numpy(), np.minimum((confidence.numpy() * 10).astype(int), 9)
    places = [
        (confidence.numpy()[group == g].mean(), right[group == g].mean()) for g in range(10) if (group == g).sum() > 50
    ]
    axes.plot(*zip(*places, strict=True), marker="o", color=colour)


def calibration(figure: Figure, ink: Ink) -> None:
    """Draw accuracy against confidence."""
    axes = figure.subplots()
    random = torch.Generator().manual_seed(5)
    true = 2 * torch.randn(12_000, 6, generator=random)
    labels = _drawn(true, random)
    polygons = np.arange(len(labels)) // 40
    logits = OVERCONFIDENT * true
    temperature = calibrate(logits, labels, polygons).temperature
    axes.plot([0, 1], [0, 1], color=ink.faint, ls="--")
    _reliability(axes, logits, labels, ink.second)
    _reliability(axes, logits / temperature, labels, ink.first)
    axes.legend(["confidence = accuracy", "before calibration", "after calibration"], frameon=False)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0.15, 1.02), ylim=(0.15, 1.02), aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)


def _drawn(logits: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Draw a class of each row with its probabilities."""
    return torch.multinomial(torch.softmax(logits, 1), 1, generator=random)[:, 0]


draw("calibration", (4.6, 4.6), calibration)
