"""Requests of the page → answers: the page itself, JSON about the runs, tiles."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np

from bocage.grid import Grid, ground_metres
from bocage.view.imagery import clearest_or_first
from bocage.view.pixel import Pixel, footprints_of, patch_grid
from bocage.view.places import bookmarks_of, marked, polygons_of, vector_file, vectors_in
from bocage.view.pyramid import TILE
from bocage.view.raster import part, png, ramp
from bocage.view.viewed import RasterLayer, Viewed
from bocage.words import LANGUAGES, words_of

HIGH = {"novelty": 150.0, "probabilities": 100.0, "set_size": 0.0, "validity": 0.0}
"""Value of the lightest colour of a layer, in stored units (probabilities: in hundredths); 0: its maximum. Others: 100."""
COLORS = {"novelty": "cividis", "set_size": "cividis", "validity": "cividis"}
"""Colour map of a layer; others: viridis."""
CATEGORICAL = ("classes", "voted", "regularised")
SCALES = 9
"""Number of places from north to south at which the page knows the scale of the CRS."""
PREFIX = "view_"
"""Start of the keys of the page's texts."""


class RefusedError(Exception):
    """A request that is not one of the page's."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """Answer to a request."""

    body: bytes
    kind: str
    """Media type."""
    status: int = 200
    keeps: bool = False
    """Whether the browser may keep it."""


def as_json(value: Any, status: int = 200) -> Answer:
    """Return a value as JSON."""
    body = json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    return Answer(body, "application/json; charset=utf-8", status)


@dataclass(frozen=True)
class Request:
    """The parameters of a request."""

    run: Viewed
    rest: tuple[str, ...]
    query: Mapping[str, str]
    runs: tuple[Viewed, ...]
    """All runs of the page."""

    def number(self, text: str | None, what: str) -> int:
        """Return a whole number.

        Raises
        ------
        RefusedError
            It is none.
        """
        if text is None or not re.fullmatch(r"-?[0-9]{1,9}", text):
            raise RefusedError(400, f"{what} is not a whole number")
        return int(text)

    def numbers(self, count: int) -> list[int]:
        """Return the last `count` parts of the address as whole numbers."""
        found = self.rest[-count:]
        if len(self.rest) < count:
            raise RefusedError(404, "the address is incomplete")
        return [self.number(text.removesuffix(".png"), "a part of the address") for text in found]

    @property
    def band(self) -> tuple[RasterLayer, int]:
        """The layer that the address names first, and the band of the parameter ``band``, from 1."""
        if not self.rest or self.rest[0] not in self.run.layers:
            raise RefusedError(404, "the map has no such layer")
        layer = self.run.layers[self.rest[0]]
        band = self.number(self.query.get("band", "1"), "band")
        if not 1 <= band <= len(layer.bands):
            raise RefusedError(404, "the layer has no such band")
        return layer, band

    @property
    def pixel(self) -> Pixel:
        """The pixel of the parameters ``row`` and ``column``."""
        pixel = Pixel(self.run, *(self.number(self.query.get(key), key) for key in ("row", "column")))
        if not pixel.is_inside:
            raise RefusedError(404, "the pixel is outside the map")
        return pixel


@dataclass(frozen=True)
class Answers:
    """Answers about one or two runs."""

    runs: tuple[Viewed, ...]

    def to(self, parts: tuple[str, ...], query: Mapping[str, str]) -> Answer:
        """Return the answer to the address below the token.

        Raises
        ------
        RefusedError
            It is no address of the page.
        BocageError
            A file cannot be read.
        """
        if parts == ("",):
            return self._page(query)
        if parts and parts[0] == "runs":
            return as_json([described(run, self._language(query)) for run in self.runs])
        known: dict[str, Callable[[Request], Answer]] = {
            "scene": _scene, "polygons": _polygons, "bookmarks": _bookmarks, "vectors": _vectors, "pixel": _pixel,
            "series": _series, "model": _model, "layer": _layer, "scale": _scale, "image": _image, "patch": _patch,
        }  # fmt: skip
        numbers = {str(k): run for k, run in enumerate(self.runs)}
        if len(parts) < 2 or parts[0] not in known or parts[1] not in numbers:
            raise RefusedError(404, "the page has no such address")
        return known[parts[0]](Request(numbers[parts[1]], parts[2:], query, self.runs))

    def _language(self, query: Mapping[str, str]) -> str:
        wanted = query.get("lang", self.runs[0].language)
        return wanted if wanted in LANGUAGES else self.runs[0].language

    def _page(self, query: Mapping[str, str]) -> Answer:
        language = self._language(query)
        environment = jinja2.Environment(
            autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.PackageLoader("bocage.view", "."),
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        words = words_of(language)
        texts = {key.removeprefix(PREFIX): text for key, text in words.items() if key.startswith(PREFIX)}
        texts |= {"decimal_mark": words["decimal_mark"]}
        name = " · ".join(run.name for run in self.runs)
        others = [one for one in LANGUAGES if one != language]
        page = environment.get_template("page.html").render(
            w=words, texts=json.dumps(texts), language=language, name=name, others=others
        )
        return Answer(page.encode(), "text/html; charset=utf-8")


def described(run: Viewed, language: str) -> dict[str, Any]:
    """Return what the page needs to show the map; the scene is not opened for it."""
    grid = run.grid
    classes = zip(run.legend.codes, run.legend.names, run.legend.colors, strict=True)
    return {
        "name": run.name, "crs": grid.crs_name, "bounds": grid.bounds, "shape": grid.shape,
        "resolution": grid.resolution, "native": run.pyramid.native, "tile": TILE,
        "metres": _metres(grid),
        "classes": [{"code": code, "name": name, "color": color} for code, name, color in classes],
        "layers": [{"name": name, "bands": layer.bands} for name, layer in run.layers.items()],
        "tested": run.is_tested,
        "polygons": run.recipe is not None and run.recipe.reference is not None,
        "vectors": vector_file(run) is not None, "missing": run.notes(language),
    }  # fmt: skip


def _metres(grid: Grid) -> list[float]:
    """Return the metres on the ground per unit of the CRS, eastwards, at places of equal distance from north to south."""
    west, south, east, north = grid.bounds
    return [ground_metres(grid.crs.proj, (west + east) / 2, float(y))[1] for y in np.linspace(north, south, SCALES)]


def _scene(request: Request) -> Answer:
    """Return the sources with their dates, and notes on what is missing; the scene is opened."""
    run = request.run
    pictures = run.pictures.by_source if run.pictures else {}
    patches = footprints_of(run.model)
    sources = [
        {
            "name": name, "bands": picture.bands, "dated": picture.source.dated,
            "days": picture.source.days.tolist(), "date": clearest_or_first(picture),
            "patch": patches[name].size if name in patches else None,
        }
        for name, picture in pictures.items()
    ]  # fmt: skip
    language = request.query.get("lang", "")
    notes = run.notes(language if language in LANGUAGES else run.language)
    return as_json({"sources": sources, "resolutions": run.pyramid.resolutions, "missing": notes})


def _polygons(request: Request) -> Answer:
    return as_json(polygons_of(request.run))


def _bookmarks(request: Request) -> Answer:
    return as_json(bookmarks_of(request.run))


def _vectors(request: Request) -> Answer:
    try:
        west, south, east, north = (float(value) for value in request.query.get("bounds", "").split(","))
    except ValueError:
        raise RefusedError(400, "'bounds' is not four numbers") from None
    return as_json(vectors_in(request.run, (west, south, east, north)))


def _pixel(request: Request) -> Answer:
    return as_json(request.pixel.described())


def _series(request: Request) -> Answer:
    return as_json(request.pixel.series())


def _model(request: Request) -> Answer:
    return as_json(request.pixel.modelled())


def _layer(request: Request) -> Answer:
    """Return a tile of a layer of the map, or of the test pixels."""
    if len(request.rest) != 4:
        raise RefusedError(404, "the address is incomplete")
    run, name = request.run, request.rest[0]
    grid = run.pyramid.tile(*request.numbers(3))
    if grid is None:
        raise RefusedError(404, "the tile is outside the map")
    if name == "test":
        return Answer(png(marked(run, grid)), "image/png", keeps=True)
    layer, band = request.band
    stored, known = part(layer.path, (band,), grid, "nearest")
    values, valid = stored[0], known[0]
    if name in CATEGORICAL:
        only = request.query.get("only")
        chosen = (
            None if only is None else frozenset(request.number(code, "a class") for code in only.split(",") if code)
        )
        painted = run.legend.palette(chosen)[values]
        painted[~valid] = 0
    else:
        painted = ramp(values, valid, _lightest_of_all(request, name, band), COLORS.get(name, "viridis"))
    return Answer(png(painted), "image/png", keeps=True)


def _scale(request: Request) -> Answer:
    """Return the value of the lightest colour of a band of a layer, in physical units; the darkest is 0."""
    layer, band = request.band
    return as_json({"high": _lightest_of_all(request, request.rest[0], band) * layer.scales[band - 1]})


def _lightest_of_all(request: Request, name: str, band: int) -> float:
    """Return the value of the lightest colour of a band; a maximum is that of all runs, which then have the same colours."""
    if HIGH.get(name, 100.0):
        return lightest(request.run, name, band)
    title = request.run.layers[name].bands[band - 1]
    own = ((one, one.layers[name].bands) for one in request.runs if name in one.layers)
    return max(lightest(one, name, bands.index(title) + 1) for one, bands in own if title in bands)


def lightest(run: Viewed, name: str, band: int) -> float:
    """Return the value of the lightest colour of a band (from 1) of a layer, in the units that its file stores."""
    high = HIGH.get(name, 100.0)
    if name == "probabilities":  # stored in hundredths or in ten-thousandths
        high *= 0.01 / run.layers[name].scales[band - 1]
    return high or run.most(name, band)


def _image(request: Request) -> Answer:
    """Return a tile of the imagery: source, date, level, row, column."""
    run = request.run
    if len(request.rest) != 5 or run.pictures is None or request.rest[0] not in run.pictures.by_source:
        raise RefusedError(404, "the scene has no such source")
    picture = run.pictures.by_source[request.rest[0]]
    date, *place = request.numbers(4)
    grid = run.pyramid.tile(*place)
    if grid is None or not 0 <= date < len(picture.source.days):
        raise RefusedError(404, "the tile is outside the map, or the source has no such date")
    return Answer(png(picture.tile(grid, date)), "image/png", keeps=True)


def _patch(request: Request) -> Answer:
    """Return what the network sees of a source around a pixel: source, date."""
    run, pixel = request.run, request.pixel
    found = patch_grid(run, request.rest[0], pixel.row, pixel.column) if len(request.rest) == 2 else None
    if found is None or run.pictures is None:
        raise RefusedError(404, "the network reads no such source")
    picture, (date,) = run.pictures.by_source[request.rest[0]], request.numbers(1)
    if not 0 <= date < len(picture.source.days):
        raise RefusedError(404, "the source has no such date")
    return Answer(png(picture.tile(found[0], date)), "image/png")
