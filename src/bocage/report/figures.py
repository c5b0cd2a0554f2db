"""Pictures of the report, embedded in the page: PNG for images, SVG in the text colour of the page for charts."""

import base64
import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, ScalarFormatter
from numpy.typing import NDArray

from bocage.days import date_of
from bocage.evaluation.trust import COVERAGES, Trust
from bocage.legend import Legend
from bocage.mapping.writers.cog import read_reduced

LONGEST = 1400
"""Longer side of a picture of the map, in pixels."""
INK = "#010203"
"""Placeholder colour; :func:`as_svg` replaces it with the text colour of the page."""
STYLE: Any = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10.0, "text.color": INK, "axes.labelcolor": INK,
    "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False,
    "legend.frameon": False, "text.parse_math": False,
}  # fmt: skip
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Markers, so that lines can be distinguished without colour."""


def _without_math(figure: Figure) -> None:
    """Show the texts of a figure as they are: dollar signs in the name of a class or source are no formula."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)


def as_data(figure: Figure) -> str:
    """Return a figure as a PNG in a ``data:`` URL."""
    buffer = io.BytesIO()
    _without_math(figure)
    with matplotlib.rc_context({"text.parse_math": False}):  # for texts that are made when the figure is drawn
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


class _Ticks(ScalarFormatter):
    """Labels of ticks with the decimal mark of a language."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self.mark = mark

    def __call__(self, x: float, pos: int | None = None) -> str:
        return super().__call__(x, pos).replace(".", self.mark)


class _LogTicks(LogFormatter):
    """Plain numbers as labels of a logarithmic axis, with the decimal mark of a language; few minor ones."""

    def __init__(self, mark: str) -> None:
        super().__init__()
        self.mark = mark

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}".replace(".", self.mark) if super().__call__(x, pos) else ""


def as_svg(figure: Figure, name: str, w: Mapping[str, str], alt: str) -> str:
    """Return a figure as an SVG element with the text colour of the page and no background.

    Parameters
    ----------
    name
        Prefix that makes the ids of the element unique in the page.
    w
        Texts of the language, which has its decimal mark.
    alt
        Text alternative.
    """
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        if type(axis.get_major_formatter()) is ScalarFormatter:
            axis.set_major_formatter(_Ticks(w["decimal_mark"]))
    buffer = io.StringIO()
    _without_math(figure)
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(
        r'id="(figure|axes|patch|text|line2d|xtick|ytick|matplotlib|legend|PathCollection)', rf'id="{name}-\1', text
    )
    label = alt.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def image(rgb: NDArray[Any]) -> str:
    """Return an image as a PNG in a ``data:`` URL, enlarged by an integer factor so that the browser does not blur it."""
    step = max(1, 700 // max(rgb.shape[:2]))
    buffer = io.BytesIO()
    matplotlib.image.imsave(buffer, rgb.repeat(step, 0).repeat(step, 1), format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def colored(codes: NDArray[Any], legend: Legend) -> NDArray[np.uint8]:
    """Return an RGBA image (y, x, 4) of class codes (y, x) in the colours of the legend; transparent for other codes."""
    painted: NDArray[np.uint8] = legend.palette()[codes]
    return painted


def map_picture(path: Path, legend: Legend) -> str:
    """Draw the map in the colours of the legend."""
    return image(colored(read_reduced(path, LONGEST), legend))


def confidence_picture(path: Path) -> str:
    """Draw the confidence (0 to 100) from dark to light; nodata (255) is transparent."""
    values = read_reduced(path, LONGEST)
    rgba = _colored(values, "viridis", 100)
    rgba[values == 255] = 0
    return image(rgba)


def novelty_picture(path: Path) -> str:
    """Draw the novelty from dark (0) to light (150 and more); nodata (255) is transparent."""
    values = read_reduced(path, LONGEST)
    rgba = _colored(values, "cividis", 150)
    rgba[values == 255] = 0
    return image(rgba)


def _colored(values: NDArray[np.uint8], colors: str, high: int) -> NDArray[np.uint8]:
    """Return RGBA (y, x, 4) of values 0 to 255 in a colour map whose end is `high`."""
    table = matplotlib.colormaps[colors](np.minimum(np.arange(256), high) / high, bytes=True)
    painted: NDArray[np.uint8] = table[values]
    return painted


def axes_of(size: tuple[float, float], columns: int = 1) -> tuple[Figure, list[Any]]:
    """Return a figure in the style of the page, and its axes, beside each other."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = [figure.add_subplot(1, columns, k + 1) for k in range(columns)]
    return figure, axes


def _line(i: int, n: int) -> dict[str, Any]:
    """Return colour and marker of line `i` of `n`, so that lines can be distinguished by either."""
    return {"color": matplotlib.colormaps["viridis"](0.15 + 0.7 * i / max(n - 1, 1)), "marker": MARKS[i % len(MARKS)]}


def curves_picture(files: Sequence[Path], w: Mapping[str, str]) -> str | None:
    """Draw loss and validation F-measure by epoch, one line per draw; None if the model has no epochs.

    Only the loss is drawn if no training had validation polygons.
    """
    tables = [_read(path) for path in files if path.exists()]
    if not tables:
        return None
    validated = any(np.isfinite(table["validation_f1"]).any() for table in tables)
    figure, axes = axes_of((9, 3.4) if validated else (4.5, 3.4), 1 + validated)
    for i, table in enumerate(tables):
        color = _line(i, len(tables))["color"]
        axes[0].plot(table["epoch"], table["train_loss"], color=color, label=w["axis_training"] if i == 0 else None)
        if validated:
            label = w["axis_validation"] if i == 0 else None
            axes[0].plot(table["epoch"], table["validation_loss"], "--", color=color, label=label)
            _draw_validation(axes[1], table, color)
    axes[0].set(xlabel=w["axis_epoch"], ylabel=w["axis_loss"], yscale="log")
    axes[0].yaxis.set_major_formatter(_LogTicks(w["decimal_mark"]))
    axes[0].yaxis.set_minor_formatter(_LogTicks(w["decimal_mark"]))
    for one in axes:  # a single epoch has no line, and an axis of whole epochs
        _mark_single(one)
    with matplotlib.rc_context(STYLE):
        axes[0].legend()
    if validated:
        axes[1].set(xlabel=w["axis_epoch"], ylabel=w["axis_validation_f"], ylim=(0, 1))
    return as_svg(figure, "curves", w, w["alt_curves"])


def _mark_single(axes: Any) -> None:
    """Have whole numbers of epochs on the axis, and a marker for a line of a single epoch."""
    axes.xaxis.get_major_locator().set_params(integer=True)
    for line in axes.lines:
        if len(line.get_xdata()) == 1:
            line.set_marker("o")
            axes.set_xlim(line.get_xdata()[0] - 1, line.get_xdata()[0] + 1)


def _draw_validation(axes: Any, table: Mapping[str, Sequence[float]], color: Any) -> None:
    """Draw the validation F-measure by epoch, with a dot at the epoch whose weights are kept."""
    f1 = table["validation_f1"]
    axes.plot(table["epoch"], f1, color=color)
    if np.isfinite(f1).any():  # all NaN if the training had no validation polygons
        kept = int(np.nanargmax(table.get("kept", f1)))
        axes.plot(table["epoch"][kept], f1[kept], "o", color=color, ms=4)


def waiting_share(files: Sequence[Path]) -> float | None:
    """Return the share of the training time spent waiting for samples (median of all epochs); None without epochs."""
    shares = [share for path in files if path.exists() for share in _read(path)["waiting"]]
    return float(np.median(shares)) if shares else None


def reliability_picture(trust: Sequence[Trust], w: Mapping[str, str]) -> str:
    """Draw accuracy against confidence on test pixels, before and after calibration, one line per draw."""
    figure, both = axes_of((8, 3.7), 2)
    for axes, which in zip(both, ("before", "after"), strict=True):
        axes.plot([0, 1], [0, 1], ":", color=INK)
        for i, of_draw in enumerate(trust):
            curve, style = getattr(of_draw, which), _line(i, len(trust))
            axes.plot(curve.confidence, curve.accuracy, color=style["color"], lw=1)
            sizes = 4 + 120 * np.array(curve.share)
            axes.scatter(
                curve.confidence, curve.accuracy, sizes, color=style["color"], marker=style["marker"], alpha=0.8
            )
        axes.set(xlabel=w[f"axis_{which}"], xlim=(0, 1.02), ylim=(0, 1.02))
        axes.set_aspect("equal")
    both[0].set_ylabel(w["axis_right"])
    return as_svg(figure, "reliability", w, w["alt_reliability"])


def coverage_picture(trust: Sequence[Trust], w: Mapping[str, str]) -> str:
    """Draw accuracy against the share of pixels kept (most confident first), one line per draw."""
    figure, (axes,) = axes_of((5.2, 3.3))
    for i, of_draw in enumerate(trust):
        axes.plot(COVERAGES, of_draw.accuracy_at, ms=3.5, lw=1.2, **_line(i, len(trust)))
    axes.set(xlabel=w["axis_coverage"], ylabel=w["axis_right"], xlim=(0, 1.02), ylim=(None, 1.01))
    return as_svg(figure, "coverage", w, w["alt_coverage"])


def split_picture(parts: Mapping[str, NDArray[np.float64]], w: Mapping[str, str], alt: str) -> str:
    """Draw the training, validation and test polygons.

    Parameters
    ----------
    parts
        Name of the part → positions (n, 2): northing and easting in metres.
    """
    everything = np.concatenate(list(parts.values()))
    (height, width), (south, west) = np.maximum(np.ptp(everything, axis=0), 1), everything.min(0)
    figure, (axes,) = axes_of((6.4, float(np.clip(6.4 * height / width, 0.4, 7)) + 0.8))
    looks = {"train": ("o", "#1b7f5c", True), "validation": ("s", "#8a6bd1", True), "test": ("^", "#d0702f", False)}
    for part, places in parts.items():
        marker, color, full = looks[part]
        face = color if full else "none"
        label = f"{w[f'split_{part}']} ({len(places)})"
        axes.scatter(
            places[:, 1],
            places[:, 0],
            16,
            marker=marker,
            facecolors=face,
            edgecolors=color,
            linewidths=0.9,
            label=label,
            clip_on=False,  # markers of places at the edge are whole
        )
    axes.set_aspect("equal")
    low = south - 0.04 * max(height, width)
    _draw_scale(axes, (west, low), max(height, width), w)
    axes.set(xticks=[], yticks=[], ylim=(low, south + height))
    axes.spines[:].set_visible(False)
    with matplotlib.rc_context(STYLE):
        figure.legend(loc="outside upper left", ncols=3)
    return as_svg(figure, "split", w, alt)


def _draw_scale(axes: Any, place: tuple[float, float], longest: float, w: Mapping[str, str]) -> None:
    """Draw a bar of a power of ten metres from a place; `longest` is the longer side of the picture in metres."""
    span = 10 ** np.floor(np.log10(longest / 3)) if longest > 3 else 1.0
    west, low = place
    axes.plot([west, west + span], [low, low], color=INK, lw=2)
    unit, length = ("in_kilometres", span / 1000) if span >= 1000 else ("in_metres", span)
    axes.annotate(w[unit].format(value=f"{length:g}"), (west + span, low), (5, -3), textcoords="offset points")


def importance_picture(by_date: Mapping[str, tuple[Sequence[int], Sequence[float]]], w: Mapping[str, str]) -> str:
    """Draw the accuracy lost when a date is shuffled.

    Parameters
    ----------
    by_date
        Source → days since 1970-01-01, and accuracy lost (0 to 1) for each day.
    """
    figure, (axes,) = axes_of((9, 3.2))
    axes.axhline(0, color=INK, lw=0.8)
    for i, (source, (days, lost)) in enumerate(by_date.items()):
        times = [date_of(day) for day in days]
        axes.plot(times, 100 * np.array(lost), ms=4, lw=1.2, label=source, **_line(i, len(by_date)))
    axes.set(ylabel=w["axis_lost"])
    with matplotlib.rc_context(STYLE):
        figure.legend(loc="outside right upper")
    figure.autofmt_xdate()
    return as_svg(figure, "importance", w, w["alt_importance"])


def attention_picture(
    source: str, days: Sequence[int], weights: Sequence[Sequence[float]], classes: Sequence[str], w: Mapping[str, str]
) -> str:
    """Draw the attention weight of each date of a series for each class: weights (K, T), where each row sums to 1."""
    figure, (axes,) = axes_of((9, 0.8 + 0.26 * len(classes)))
    edges, date = _cells(np.asarray(days, np.float64))
    values = np.ma.masked_array(100 * np.array(weights)[:, date], np.broadcast_to(date < 0, (len(classes), len(date))))
    rows = np.arange(len(classes) + 1)
    drawn = axes.pcolormesh(edges, rows, values, cmap="viridis", vmin=0, rasterized=True)
    axes.xaxis_date()
    axes.set(yticks=np.arange(len(classes)) + 0.5, yticklabels=list(classes), title=source)
    axes.invert_yaxis()
    figure.colorbar(drawn, ax=axes, label=w["axis_attention"], pad=0.01)
    figure.autofmt_xdate()
    name = "".join(c if c.isalnum() else "-" for c in source)
    return as_svg(figure, f"attention-{name}", w, w["alt_attention"].format(source=source))


def _cells(days: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the edges (N + 1,) of cells around days in order, and the position of the day of each cell, -1 of a blank one (N,).

    A cell is as wide as the median of the intervals at most, so that a date before a long gap does not fill it.

    >>> _cells(np.array([0.0, 10.0, 20.0, 100.0]))
    (array([ -5.,   5.,  15.,  25.,  95., 105.]), array([ 0,  1,  2, -1,  3]))
    """
    half = float(np.median(np.diff(days))) / 2 if len(days) > 1 else 0.5
    middle = (days[:-1] + days[1:]) / 2
    first, last = np.maximum(days - half, [-np.inf, *middle]), np.minimum(days + half, [*middle, np.inf])
    edges, date = [float(first[0])], list[int]()
    for k in range(len(days)):
        if first[k] > edges[-1]:
            edges.append(float(first[k]))
            date.append(-1)
        edges.append(float(last[k]))
        date.append(k)
    return np.array(edges), np.array(date)


def _read(path: Path) -> dict[str, list[float]]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    table: dict[str, Any] = {key: [float(row[key]) for row in rows] for key in rows[0]}
    return table
