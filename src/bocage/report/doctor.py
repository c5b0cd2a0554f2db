"""Page of the doubtful polygons: numbers by class, and each of the most doubtful ones on the imagery and with its series."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bocage.advice.findings import Findings
from bocage.advice.settings import Doubting
from bocage.days import date_of
from bocage.errors import BocageError
from bocage.grid import Window
from bocage.report.figures import INK, STYLE, as_data, as_svg
from bocage.report.imagery import best_source, composite, reduced, refined, stretch_of
from bocage.report.render import render
from bocage.samples import Pixels, Samples
from bocage.scene import Scene
from bocage.words import number, percent, sentence, whole, words_of

PREFERRED = ("ndvi", "evi", "nir", "vh", "vv", "red")
"""Bands whose series is shown, by preference."""
SPREAD = (10, 50, 90)
"""Percentiles of the series of a class."""
MARGIN, LONGEST = 8, 160
"""Pixels around a polygon, and longest side, in map pixels, of the part of the scene that is shown."""
OFTEN = 0.08
"""Share of the polygons of a class with another label from which the page names this label."""
ROWS = 4096
"""Number of samples read at a time."""
COLORS = {"label": "#2f6f4f", "suggested": "#c0532b"}


@dataclass(frozen=True)
class Asked:
    """The recipe of a search, as the page shows it."""

    name: str
    language: str
    model: str
    """Title of the model that judged."""
    settings: Doubting


@dataclass(frozen=True)
class Series:
    """One band of one source at the polygons."""

    title: str
    """Source and band."""
    times: tuple[date, ...]
    polygon: NDArray[np.float64]
    """(P, T) mean over the samples of each polygon; NaN without a clear one."""
    classes: NDArray[np.float64]
    """(K, 3, T) percentiles of the samples of the polygons that are not doubtful."""


def write_doctor(findings: Findings, scene: Scene, samples: Samples, pixels: Pixels, asked: Asked, path: Path) -> Path:
    """Write the page to `path` atomically, and return it; `pixels` are all pixels of the polygons."""
    language, w = asked.language, words_of(asked.language)
    shown = [int(i) for i in findings.doubt.order[: asked.settings.shown] if findings.doubtful[i]]
    series = series_of(findings, scene, samples) if shown else None
    imagery = _Imagery.of(scene, pixels) if shown and scene.ids is None else None
    cards = []
    for rank, i in enumerate(shown, start=1):
        card = _card(findings, i, rank, language)
        card["picture"] = imagery.picture(int(findings.polygon[i])) if imagery else ""
        card["series"] = _series_picture(findings, series, i, w) if series else ""
        cards.append(card)
    context = {
        "name": asked.name, "about": sentence("doctor_about", language, **_numbers(findings, asked)),
        "headline": _headline(findings, w, language), "notes": _notes(findings, series, language),
        "given": _given(findings, language), "classes": _rows(findings.by_class(), language),
        "regions": _rows(findings.by_region(), language), "cards": cards, "causes": _causes(findings, language),
    }  # fmt: skip
    return render("doctor.html", language, path, context)


def _numbers(findings: Findings, asked: Asked) -> dict[str, Any]:
    settings = asked.settings
    return {
        "n": len(findings.polygon), "model": asked.model, "folds": settings.folds, "repeats": settings.repeats,
        "threshold": settings.threshold,
    }  # fmt: skip


def _headline(findings: Findings, w: Mapping[str, str], language: str) -> list[tuple[str, str]]:
    judged = int(np.isfinite(findings.doubt.wrong).sum())
    share = findings.expected / judged if judged else None
    return [
        (whole(judged, language), w["doctor_judged"]),
        (whole(int(findings.doubtful.sum()), language), w["doctor_doubtful"]),
        (f"{whole(round(findings.expected), language)} ({percent(share, language)})", w["doctor_expected"]),
    ]


def _notes(findings: Findings, series: Series | None, language: str) -> list[str]:
    w, notes = words_of(language), [words_of(language)["doctor_limit"]]
    if findings.not_judged:
        notes.append(sentence("doctor_not_judged", language, classes=tuple(findings.not_judged)))
    if findings.lost:
        notes.append(sentence("doctor_lost", language, n=findings.lost))
    if findings.coarser:
        notes.append(sentence("doctor_coarser", language, n=findings.coarser))
    if not findings.doubtful.any():
        notes.append(w["doctor_none"])
    elif series is None:
        notes.append(w["doctor_no_series"])
    return notes


def _given(findings: Findings, language: str) -> list[str]:
    """Return a sentence for each class to which another label is often given, the most frequent first."""
    given, names = findings.doubt.given, findings.classes
    pairs = [(float(given[i, j]), i, j) for i, j in np.argwhere(given >= OFTEN).tolist() if i != j]
    return [
        sentence("doctor_given", language, true=names[i], label=names[j], share=round(100 * share))
        for share, i, j in sorted(pairs, reverse=True)
    ]


def _rows(counts: Mapping[str, tuple[int, int, float | None]], language: str) -> list[tuple[str, ...]]:
    return [
        (name, whole(n, language), whole(doubtful, language), number(expected, language, 1))
        for name, (n, doubtful, expected) in counts.items()
    ]


def _causes(findings: Findings, language: str) -> list[tuple[str, str, str]]:
    w = words_of(language)
    listed = sorted(findings.causes.items(), key=lambda pair: -pair[1])
    return [
        (w[f"doctor_cause_{cause}"], whole(n, language), w[f"doctor_do_{cause}"])
        for cause, n in listed
        if cause != "none"
    ]


def _card(findings: Findings, i: int, rank: int, language: str) -> dict[str, Any]:
    """Return the texts on polygon `i`."""
    w, doubt, seen = words_of(language), findings.doubt, findings.evidence
    label, other, cause = int(findings.label[i]), int(doubt.suggested[i]), str(findings.cause[i])
    north, east = seen.shift[i]
    shares = {
        "own": doubt.predicted[i, label], "suggested": doubt.predicted[i, other], "neighbours": findings.neighbours[i, label],
        "inner": seen.inner[i], "border": seen.border[i], "share": seen.covered_other[i],
    }  # fmt: skip
    values = {key: percent(float(share), language, 0) for key, share in shares.items()}
    named = {"label": findings.classes[label], "other": findings.classes[other]}
    facts = [sentence("doctor_probabilities", language, **named, **values)]
    if cause == "shifted":
        facts.append(sentence("doctor_shift", language, north=f"{north:+.0f}", east=f"{east:+.0f}"))
    if cause == "mixed" and np.isfinite(seen.inner[i]) and np.isfinite(seen.border[i]):
        facts.append(sentence("doctor_inner", language, **values))
    if cause == "overlap":
        facts.append(sentence("doctor_overlap", language, **values, other=findings.overlap[i]))
    facts.append(sentence("doctor_pixels", language, n=int(seen.pixels[i])))
    if findings.region[i]:
        facts.append(sentence("doctor_card_region", language, region=findings.region[i]))
    title = sentence(
        "doctor_card", language, rank=rank, name=findings.name[i], label=findings.classes[label],
        suggested=findings.classes[other], wrong=percent(float(doubt.wrong[i]), language, 0),
    )  # fmt: skip
    return {"title": title, "cause": w[f"doctor_cause_{cause}"], "do": w[f"doctor_do_{cause}"], "facts": facts}


# --- series
def series_of(findings: Findings, scene: Scene, samples: Samples) -> Series | None:
    """Return the series to show: of the source with most dates; None if every source has one date."""
    long = {name: len(cut.days) for name, cut in samples.cuts.items() if len(cut.days) > 1}
    if not long:
        return None
    name = max(long, key=lambda one: ("ndvi" in scene.cubes[one].bands, long[one]))
    bands = scene.cubes[name].bands
    band = next((one for one in PREFERRED if one in bands), bands[0])
    values = _values(samples, name, bands.index(band))
    unit = np.unique(samples.polygon, return_inverse=True)[1]
    usual = ~findings.doubtful[unit]
    classes = np.full((len(findings.classes), 3, values.shape[1]), np.nan)
    for k in range(len(classes)):
        own = values[usual & (samples.label == k)]
        known = np.isfinite(own).any(0) if len(own) else np.zeros(values.shape[1], bool)
        classes[k][:, known] = np.nanpercentile(own[:, known], SPREAD, axis=0) if known.any() else np.nan
    clear = np.isfinite(values)
    total = np.stack([np.bincount(unit, column) for column in np.where(clear, values, 0).T], 1)
    count = np.stack([np.bincount(unit, column) for column in clear.T], 1)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    times = tuple(date_of(day) for day in samples.cuts[name].dates)
    return Series(f"{name}, {band}", times, mean, classes)


def _values(samples: Samples, name: str, band: int) -> NDArray[np.float64]:
    """Return a band of a source at the pixel of each sample (N, T); NaN where it is not clear."""
    cut, parts = samples.cuts[name], []
    for start in range(0, len(samples.label), ROWS):
        values, valid = cut.read(np.arange(start, min(start + ROWS, len(samples.label))))
        y, x = valid.shape[2] // 2, valid.shape[3] // 2
        parts.append(np.where(valid[:, :, y, x], values[:, :, band, y, x], np.nan))
    return np.concatenate(parts)


def _series_picture(findings: Findings, series: Series, i: int, w: Mapping[str, str]) -> str:
    """Draw the series of a polygon against the spread of its class and of the suggested class."""
    label, other = int(findings.label[i]), int(findings.doubt.suggested[i])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.7), layout="constrained")
        axes, times = figure.add_subplot(), np.array(series.times, "datetime64[D]")
        for which, k in (("label", label), ("suggested", other)):
            low, middle, high = series.classes[k]
            axes.fill_between(times, low, high, color=COLORS[which], alpha=0.22, lw=0)
            style = "-" if which == "label" else "--"
            axes.plot(times, middle, style, color=COLORS[which], lw=1.2, label=findings.classes[k])
        axes.plot(times, series.polygon[i], "o-", color=INK, ms=3, lw=1.4, label=w["doctor_polygon"])
        axes.set_ylabel(series.title)
        axes.legend(fontsize=8, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
        figure.autofmt_xdate()
    alt = w["doctor_alt_series"].format(label=findings.classes[label], other=findings.classes[other])
    return as_svg(figure, f"series-{i}", w, alt)


# --- imagery
@dataclass(frozen=True)
class _Imagery:
    """The scene around polygons, with their outlines."""

    scene: Scene
    source: str
    stretch: Mapping[str, tuple[float, float]] | None
    rows: Mapping[int, NDArray[Any]]
    """Number of a polygon → positions of its pixels."""
    pixels: Pixels

    @classmethod
    def of(cls, scene: Scene, pixels: Pixels) -> "_Imagery":
        """Prepare the pictures; without contrast limits if the imagery cannot be read."""
        name = best_source(scene)
        try:
            stretch = stretch_of(scene.cubes[name].source, reduced(scene.grid, 256))
        except BocageError:
            stretch = None
        order = np.argsort(pixels.polygon, kind="stable")
        numbers, first = np.unique(pixels.polygon[order], return_index=True)
        return cls(scene, name, stretch, dict(zip(numbers.tolist(), np.split(order, first[1:]), strict=True)), pixels)

    def picture(self, polygon: int) -> str:
        """Return the polygon on the imagery as a picture; empty if the imagery cannot be read."""
        members = self.rows[polygon]
        row, column = self.pixels.row[members], self.pixels.column[members]
        window = _around(row, column, self.scene.grid.shape)
        cube = self.scene.cubes[self.source]
        try:
            shown = composite(cube.source, refined(self.scene.grid.crop(window), cube), self.stretch)[0]
        except BocageError:
            return ""
        figure = Figure(figsize=(3, 3 * shown.shape[0] / shown.shape[1]))
        axes = figure.add_axes((0, 0, 1, 1))
        extent = (-0.5, window.width - 0.5, window.height - 0.5, -0.5)
        axes.imshow(shown, interpolation="nearest", extent=extent)
        _outline(axes, row - window.y, column - window.x)
        axes.set(xlim=extent[:2], ylim=extent[2:])
        axes.set_axis_off()
        return as_data(figure)


def _around(row: NDArray[Any], column: NDArray[Any], shape: tuple[int, int]) -> Window:
    """Return a window around pixels, inside the map; of the middle of a large polygon only."""
    spans = []
    for at, size in ((row, shape[0]), (column, shape[1])):
        low, high = max(0, int(at.min()) - MARGIN), min(size, int(at.max()) + MARGIN + 1)
        if high - low > LONGEST:
            low = (low + high - LONGEST) // 2
            high = low + LONGEST
        spans.append((low, high - low))
    return Window(spans[0][0], spans[1][0], spans[0][1], spans[1][1])


def _outline(axes: Any, row: NDArray[Any], column: NDArray[Any]) -> None:
    """Draw the edges between pixels of the polygon and others."""
    inside = set(zip(row.tolist(), column.tolist(), strict=True))
    segments = []
    for y, x in inside:
        sides = {
            (y - 1, x): ((x - 0.5, y - 0.5), (x + 0.5, y - 0.5)), (y + 1, x): ((x - 0.5, y + 0.5), (x + 0.5, y + 0.5)),
            (y, x - 1): ((x - 0.5, y - 0.5), (x - 0.5, y + 0.5)), (y, x + 1): ((x + 0.5, y - 0.5), (x + 0.5, y + 0.5)),
        }  # fmt: skip
        segments += [line for beside, line in sides.items() if beside not in inside]
    axes.add_collection(matplotlib.collections.LineCollection(segments, colors="#ffe600", linewidths=1.6))
