"""Style of the drawings of the explanations: each is an SVG for light and an SVG for dark pages."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

FOLDER = Path(__file__).parents[1] / "drawings"


class Ink(NamedTuple):
    """Colours of a drawing."""

    line: str
    faint: str
    first: str
    second: str
    third: str


INKS = {
    "light": Ink("#24292f", "#c9ced6", "#2f6b3c", "#c77800", "#3565a8"),
    "dark": Ink("#e6edf3", "#4a525c", "#8fc99a", "#e0b457", "#8ab4f0"),
}


def draw(name: str, size: tuple[float, float], into: Callable[[Figure, Ink], None]) -> None:
    """Write the drawing `name` in both colour schemes; `into` draws it."""
    FOLDER.mkdir(exist_ok=True)
    for scheme, ink in INKS.items():
        style = {"text.color": ink.line, "axes.edgecolor": ink.line, "axes.labelcolor": ink.line, "font.size": 10}
        style |= {"xtick.color": ink.line, "ytick.color": ink.line, "svg.hashsalt": name, "svg.fonttype": "path"}
        with mpl.rc_context(style):
            figure = Figure(figsize=size, layout="constrained")
            into(figure, ink)
            figure.savefig(FOLDER / f"{name}-{scheme}.svg", transparent=True, metadata={"Date": None})
