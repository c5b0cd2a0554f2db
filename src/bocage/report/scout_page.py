"""Page of the fields to survey next: a map of the tours, and the imagery of each field."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from bocage.advice.candidates import REASONS
from bocage.advice.proposal import Field, Proposal
from bocage.errors import BocageError
from bocage.grid import WGS84, Grid, Window
from bocage.layout import ScoutLayout
from bocage.legend import Legend
from bocage.report import figures
from bocage.report.imagery import best_source, composite, reduced, refined, stretch_of
from bocage.report.render import render
from bocage.scene import Scene
from bocage.words import number, percent, whole, words_of

WIDTH = 900.0
"""Width of the map of the tours, in pixels of the drawing."""
LONGEST = 900
"""Longer side of the imagery below the tours, in pixels."""
AROUND = 1.0
"""Margin of the imagery of a field on each side, over the longer side of the field."""
LEAST = 8
"""Smallest margin, in pixels of the map."""
LARGEST = 96
"""Longest side of the window of a field, in pixels of the map."""
DAYS = ("#d0702f", "#2f6fd0", "#1b7f5c", "#8a4bd1", "#b3372a", "#6b7a00", "#00798c", "#a1307a")
"""Colours of the days; they repeat."""


@dataclass(frozen=True)
class ScoutMaterial:
    """Content of the page."""

    layout: ScoutLayout
    name: str
    """Name of the recipe."""
    proposal: Proposal
    scene: Scene
    legend: Legend
    left_out: Mapping[str, int]
    """Reason → number of candidates that were left out."""
    candidates: int
    """Number of candidates that were compared."""
    asked: int
    """Number of fields that was asked for."""


def write_scout_page(made: ScoutMaterial) -> None:
    """Write the page."""
    language = made.proposal.language
    w = words_of(language)
    view = _View.of(made)
    left_out = [
        f"{w[f'scout_left_{reason}']}: {whole(made.left_out[reason], language)}"
        for reason in REASONS
        if reason in made.left_out
    ]
    context = {
        "name": made.name,
        "headline": [
            (whole(len(made.proposal.fields), language), w["scout_h_fields"]),
            (whole(len(made.proposal.survey.tours), language), w["scout_h_days"]),
            (number(made.proposal.survey.kilometres, language, 1), w["scout_h_kilometres"]),
            (whole(made.candidates, language), w["scout_h_candidates"]),
        ],
        "fewer": w["scout_fewer"].format(asked=made.asked) if len(made.proposal.fields) < made.asked else "",
        "left_out": left_out,
        "tours": _tours(made, view),
        "days": [_day(made, day) for day in range(len(made.proposal.survey.tours))],
        "fields": [_field(made, one, view) for fields in made.proposal.tours for one in fields],
    }
    render("scout.html", language, made.layout.page, context)


@dataclass(frozen=True)
class _View:
    """How places are drawn: in the CRS of the map, or in degrees scaled at their latitude."""

    places: NDArray[np.float64]
    """Fields, by rank, in units of the drawing (N, 2)."""
    starts: NDArray[np.float64]
    image: str
    """Imagery of the map as a data URL; empty without one."""
    box: tuple[float, float, float, float]
    """Rectangle of the imagery: west, south, east, north."""
    stretch: dict[str, tuple[float, float]]
    """Display range of each band."""

    @classmethod
    def of(cls, made: ScoutMaterial) -> "_View":
        places = np.array([one.place for one in made.proposal.fields])
        starts = made.proposal.starts
        if made.scene.ids is not None:
            scale = np.array([math.cos(math.radians(float(places[:, 1].mean()))), 1.0])
            return cls(places * scale, starts * scale, "", (0, 0, 0, 0), {})
        grid = made.scene.grid
        change = Transformer.from_crs(WGS84, grid.crs.to_wkt(), always_xy=True)

        def moved(lonlat: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.stack(change.transform(lonlat[:, 0], lonlat[:, 1]), 1) if len(lonlat) else lonlat

        picture, stretch = "", {}
        try:
            source = made.scene.cubes[best_source(made.scene)].source
            stretch = stretch_of(source, reduced(grid, 256))
            picture = figures.image(composite(source, reduced(grid, LONGEST), stretch)[0])
        except BocageError:  # the imagery may have moved since the training; the tours do not need it
            pass
        return cls(moved(places), moved(starts), picture, grid.bounds, stretch)


def _tours(made: ScoutMaterial, view: _View) -> dict[str, Any]:
    """Return the coordinates of the drawing of the tours."""
    everything = np.concatenate([view.places, view.starts, *([np.array(view.box).reshape(2, 2)] if view.image else [])])
    low, high = everything.min(0), everything.max(0)
    span = float(max(high[0] - low[0], (high[1] - low[1]) / 2, 1e-9))
    scale, margin = (WIDTH - 60) / span, 30.0

    def at(place: NDArray[np.float64]) -> tuple[float, float]:
        return margin + (place[0] - low[0]) * scale, margin + (high[1] - place[1]) * scale

    lines, marks = [], []
    of_rank = {one.rank: view.places[k] for k, one in enumerate(made.proposal.fields)}
    for day, (tour, fields) in enumerate(zip(made.proposal.survey.tours, made.proposal.tours, strict=True)):
        stops = [at(of_rank[one.rank]) for one in fields]
        home = [] if tour.start is None else [at(view.starts[tour.start])]
        color = DAYS[day % len(DAYS)]
        lines.append((color, " ".join(f"{x:.1f},{y:.1f}" for x, y in [*home, *stops, *home])))
        marks += [
            (color, f"{x:.1f}", f"{y:.1f}", f"{one.day}.{one.stop}") for (x, y), one in zip(stops, fields, strict=True)
        ]
    west, south, east, north = view.box
    (x0, y0), (x1, y1) = at(np.array([west, north])), at(np.array([east, south]))
    return {
        "width": f"{WIDTH:.0f}",
        "height": f"{2 * margin + (high[1] - low[1]) * scale:.0f}",
        "image": view.image,
        "box": (f"{x0:.1f}", f"{y0:.1f}", f"{x1 - x0:.1f}", f"{y1 - y0:.1f}"),
        "lines": lines,
        "marks": marks,
        "starts": [tuple(f"{value:.1f}" for value in at(place)) for place in view.starts],
    }


def _day(made: ScoutMaterial, day: int) -> dict[str, Any]:
    language, tour = made.proposal.language, made.proposal.survey.tours[day]
    return {
        "color": DAYS[day % len(DAYS)],
        "name": words_of(language)["scout_day"].format(day=day + 1),
        "fields": whole(len(tour.stops), language),
        "kilometres": number(tour.kilometres, language, 1),
    }


def _field(made: ScoutMaterial, one: Field, view: _View) -> dict[str, Any]:
    """Return the picture and the numbers of a field."""
    language, legend = made.proposal.language, made.legend
    return {
        "name": one.name,
        "visit": f"{one.day}.{one.stop}",
        "day_color": DAYS[(one.day - 1) % len(DAYS)],
        "rank": one.rank,
        "predicted": legend.names[one.predicted],
        "color": legend.colors[one.predicted],
        "probability": percent(one.probability, language, 0),
        "doubt": number(one.doubt, language, 2),
        "novelty": number(one.novelty, language, 2),
        "reason": one.reason,
        "place": f"{number(one.place[1], language, 5)}; {number(one.place[0], language, 5)}",
        "chip": _chip(made, one, view) if view.stretch else None,
    }


def _chip(made: ScoutMaterial, one: Field, view: _View) -> dict[str, Any] | None:
    """Return the imagery around a field, and its outline in pixels of the picture."""
    window = _around(one.shape, made.scene.grid)
    cube = made.scene.cubes[best_source(made.scene)]
    fine = refined(made.scene.grid.crop(window), cube)
    try:
        seen = composite(cube.source, fine, view.stretch)[0]
    except BocageError:
        return None
    rings = [ring for part in shapely.get_parts(one.shape) for ring in shapely.get_rings(part)]
    to_pixel = ~fine.transform
    paths = [
        "M" + "L".join("{:.2f},{:.2f}".format(*(to_pixel @ (x, y))) for x, y in ring.coords) + "Z" for ring in rings
    ]
    return {"image": figures.image(seen), "width": fine.shape[1], "height": fine.shape[0], "path": " ".join(paths)}


def _around(shape: Any, grid: Grid) -> Window:
    """Return a square window around a field, inside the map."""
    west, south, east, north = shape.bounds
    (x0, y0), (x1, y1) = ~grid.transform @ (west, north), ~grid.transform @ (east, south)
    longer = max(x1 - x0, y1 - y0)
    side = min(LARGEST, math.ceil(longer + 2 * max(AROUND * longer, LEAST)))
    centre = (y0 + y1) / 2, (x0 + x1) / 2
    height, width = (min(side, n) for n in grid.shape)
    y, x = (
        min(max(round(at - own / 2), 0), n - own)
        for at, own, n in zip(centre, (height, width), grid.shape, strict=True)
    )
    return Window(y, x, height, width)
