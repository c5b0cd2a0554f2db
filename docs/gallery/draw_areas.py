"""Draw the example of the page on areas: mapped area, correct and wrong parts, estimated area."""

from drawing import Ink, draw
from matplotlib.figure import Figure


def areas(figure: Figure, ink: Ink) -> None:
    """Draw mapped and estimated areas of two classes as bars of 1 000 ha."""
    axes = figure.subplots()
    vines, others = ink.first, ink.second
    rows = {
        "map": [(100, vines, "vines 100 ha"), (900, others, "other land 900 ha")],
        "sample within\neach mapped class": [
            (90, vines, "90"),
            (10, others, "10"),
            (45, vines, "45"),
            (855, others, "855"),
        ],
        "estimated area": [(135, vines, "vines 135 ha"), (865, others, "other land 865 ha")],
    }
    for place, parts in enumerate(rows.values()):
        left = 0
        for width, colour, text in parts:
            axes.barh(place, width, left=left, color=colour, edgecolor=ink.line, lw=0.8, height=0.45)
            axes.annotate(text, (left + width / 2, place - 0.34), ha="center", fontsize=8)
            left += width
    axes.set_yticks(range(len(rows)), rows)
    axes.set(ylim=(2.5, -0.7), xlabel="hectares")
    axes.spines[["top", "right", "left"]].set_visible(False)


draw("areas", (11, 3.2), areas)
