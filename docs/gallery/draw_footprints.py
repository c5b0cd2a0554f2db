"""Draw the footprints of one map pixel in two sources, and a window of the map with its halo."""

from drawing import Ink, draw
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle


def _grid(axes: Axes, cells: int, side: float, ink: Ink) -> None:
    for i in range(cells + 1):
        axes.plot([0, side], [i * side / cells] * 2, color=ink.faint, lw=0.6)
        axes.plot([i * side / cells] * 2, [0, side], color=ink.faint, lw=0.6)
    axes.set(xlim=(-0.1, side + 0.1), ylim=(side + 0.1, -0.1), aspect="equal")
    axes.axis("off")


def _square(axes: Axes, corner: float, side: float, colour: str, **style: object) -> None:
    axes.add_patch(
        Rectangle((corner, corner), side, side, edgecolor=colour, **({"facecolor": "none", "lw": 2} | style))
    )


def footprints(figure: Figure, ink: Ink) -> None:
    """Draw three panels: series, fine image, window."""
    series, image, window = figure.subplots(1, 3)
    for axes, cells, name in ((series, 7, "series, 10 m"), (image, 49, "image, 1.43 m (7 per map pixel)")):
        _grid(axes, cells, 7, ink)
        _square(axes, 3, 1, ink.second, facecolor=ink.second, lw=0)
        axes.set_title(name)
    _square(series, 2, 3, ink.first)
    _square(image, 13 / 7, 23 / 7, ink.third)
    _grid(window, 7, 7, ink)
    _square(window, 0, 7, ink.first, ls="--")
    _square(window, 1, 5, ink.second, facecolor=ink.second, alpha=0.85, lw=0)
    window.set_title("window of the map and its halo")
    legend = [(ink.second, "map pixels"), (ink.first, "footprint in the series"), (ink.third, "footprint in the image")]
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour, _ in legend]
    figure.legend(handles, [text for _, text in legend], loc="outside lower center", ncols=3, frameon=False)


draw("footprints", (9, 3.7), footprints)
