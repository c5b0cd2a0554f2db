"""Proposed fields with what is known of them, as tables: CSV and GeoPackage."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyogrio
import shapely

from bocage.advice.candidates import Candidates
from bocage.advice.gpx import Route, Waypoint, as_gpx
from bocage.advice.selection import Findings, Floats, Known, Strategy
from bocage.advice.tours import Survey
from bocage.disk import replacing, write_text
from bocage.errors import AdviceError
from bocage.layout import ScoutLayout
from bocage.textfile import write_csv
from bocage.vectorfile import GDAL_ERRORS, multipolygons
from bocage.words import Note, sentence, words_of

PURPOSIVE = "purposive"
"""Field that ``[reference] purposive`` names."""
LAYER = "fields"
RESERVED = ("fid", "geometry", "geom")
"""Columns that a GeoPackage has besides."""


@dataclass(frozen=True)
class Field:
    """A proposed field."""

    name: str
    rank: int
    """1 for the most wanted."""
    day: int
    """Day of its tour, from 1."""
    stop: int
    """Position in the tour, from 1."""
    place: tuple[float, float]
    """Longitude and latitude in degrees."""
    doubt: float
    novelty: float
    predicted: int
    """Position of the most probable class in the legend."""
    probability: float
    second: int
    """Position of the next class."""
    second_probability: float
    reason: str
    """Why it was chosen, in the language of the report."""
    shape: Any
    """Polygon or point."""
    polygon: str = ""
    """Identifier of the polygon of a point; empty without one."""


@dataclass(frozen=True)
class Proposal:
    """The fields to survey next."""

    fields: tuple[Field, ...]
    """By rank."""
    survey: Survey
    starts: Floats
    """Longitude and latitude of the start points (S, 2)."""
    classes: tuple[str, ...]
    crs: str
    """Coordinate reference system of the shapes, as WKT."""
    language: str

    @property
    def tours(self) -> list[list[Field]]:
        """Fields of each tour, in the order of the visits."""
        by_day: list[list[Field]] = [[] for _ in self.survey.tours]
        for one in sorted(self.fields, key=lambda one: (one.day, one.stop)):
            by_day[one.day - 1].append(one)
        return by_day


def proposal_of(
    candidates: Candidates, found: Findings, known: Known, survey: Survey, about: tuple[Strategy, tuple[str, ...], str]
) -> Proposal:
    """Return the chosen candidates with the reason of the choice; `about` are strategy, names of the classes and language."""
    strategy, classes, language = about
    visit = {
        k: (day, stop) for day, tour in enumerate(survey.tours, 1) for stop, k in enumerate(tour.stops, 1)
    }  # fmt: skip
    order = np.argsort(-found.probability, axis=1, kind="stable")
    fields = []
    for rank, k in enumerate(survey.chosen, start=1):
        first, second = (int(c) for c in order[k, :2])
        one = Field(
            candidates.names[k], rank, *visit[k], (float(candidates.place[k, 0]), float(candidates.place[k, 1])),
            float(found.doubt[k]), float(found.novelty[k]), first, float(found.probability[k, first]),
            second, float(found.probability[k, second]), "", candidates.shapes[k],
            candidates.polygons[k] if candidates.polygons else "",
        )  # fmt: skip
        fields.append(_with_reason(one, known, strategy, classes, language))
    return Proposal(tuple(fields), survey, np.zeros((0, 2)), classes, candidates.crs, language)


def _with_reason(one: Field, known: Known, strategy: Strategy, classes: tuple[str, ...], language: str) -> Field:
    """Return a field with its reason: the two classes in question, the novelty, the rarity of the class."""
    if strategy == "random":
        return replace(one, reason=sentence("scout_random", language))
    pair = {"first": classes[one.predicted], "second": classes[one.second]}
    shares = {"p": f"{100 * one.probability:.0f}", "q": f"{100 * one.second_probability:.0f}"}
    parts = [Note.of("scout_pair", **pair, **shares)]
    if strategy == "balanced":
        if one.novelty > 1:
            parts.append(Note.of("scout_novel"))
        if known.fields[one.predicted] < np.median(known.fields):
            parts.append(Note.of("scout_rare", name=classes[one.predicted], n=int(known.fields[one.predicted])))
    return replace(one, reason="; ".join(part.text(language) for part in parts))


def write_tables(made: Proposal, layout: ScoutLayout, label: str, identifiers: Mapping[str, Sequence[str]]) -> None:
    """Write the fields as CSV and GeoPackage, and the tours as GPX; the folder must exist.

    Parameters
    ----------
    label
        Name of the empty field for the surveyed label.
    identifiers
        Name of a field → identifier of each proposed field: the name of the candidate, the polygon of a sample.

    Raises
    ------
    AdviceError
        A file cannot be written.
    """
    columns = _columns(made, label, identifiers)
    place = [f"{x:.7f}" for x in (one.place[0] for one in made.fields)], [f"{one.place[1]:.7f}" for one in made.fields]
    shown = {**columns, "longitude": place[0], "latitude": place[1]}
    rows = zip(*(_texts(values) for values in shown.values()), strict=True)
    write_csv(layout.fields("csv"), [list(shown), *rows])
    _write_gpkg(made, columns, layout.fields("gpkg"))
    write_text(layout.gpx, _gpx(made))


def _columns(made: Proposal, label: str, identifiers: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    fields, classes = made.fields, made.classes
    columns: dict[str, Any] = {
        "rank": [one.rank for one in fields],
        "day": [one.day for one in fields],
        "stop": [one.stop for one in fields],
        "doubt": [round(one.doubt, 4) for one in fields],
        "novelty": [round(one.novelty, 4) for one in fields],
        "predicted": [classes[one.predicted] for one in fields],
        "probability": [round(one.probability, 4) for one in fields],
        "second": [classes[one.second] for one in fields],
        "second_probability": [round(one.second_probability, 4) for one in fields],
        "reason": [one.reason for one in fields],
        PURPOSIVE: [True for _ in fields],
    }
    named: dict[str, Any] = {}
    for name, values in identifiers.items():
        named[_free(f"sample_{name}", name, [*columns, *named])] = list(values)
    columns = {**named, **columns}
    return columns | {_free(f"surveyed_{label}", label, columns): pa.nulls(len(fields), pa.string())}


def _free(other: str, name: str, columns: Iterable[str]) -> str:
    """Return a name of a column, or `other` if a GeoPackage has such a column: it does not tell upper from lower case."""
    return other if name.lower() in {*RESERVED, *(column.lower() for column in columns)} else name


def _texts(values: Any) -> list[Any]:
    return [
        "" if value is None else value for value in (values.to_pylist() if isinstance(values, pa.Array) else values)
    ]


def _write_gpkg(made: Proposal, columns: dict[str, Any], path: Path) -> None:
    shapes = np.array([one.shape for one in made.fields], object)
    kind = "Point" if (shapely.get_dimensions(shapes) == 0).all() else "MultiPolygon"
    if kind == "MultiPolygon":
        shapes = multipolygons(shapes)
    table = pa.table({**columns, "geometry": shapely.to_wkb(shapes)})
    with replacing(path, path.with_name(f".{path.stem}.part{path.suffix}")) as partial:
        partial.unlink(missing_ok=True)
        try:
            pyogrio.write_arrow(
                table, partial, layer=LAYER, driver="GPKG", geometry_name="geometry", geometry_type=kind, crs=made.crs
            )
            count = pyogrio.read_info(partial)["features"]
        except (*GDAL_ERRORS, pa.ArrowException, RuntimeError) as error:
            raise AdviceError(
                f"{path} cannot be written: {' '.join(str(error).split())[:200]}. Is the disk full?"
            ) from error
        if count != len(made.fields):
            raise AdviceError(
                f"{path} has {count} of {len(made.fields)} fields when it is read back. Is the disk full?"
            )


def _gpx(made: Proposal) -> str:
    w = words_of(made.language)

    def point(one: Field) -> Waypoint:
        return Waypoint(*one.place, f"{one.day}.{one.stop} {one.name}", f"{made.classes[one.predicted]}: {one.reason}")

    routes = []
    for day, (tour, fields) in enumerate(zip(made.survey.tours, made.tours, strict=True), start=1):
        around: Sequence[Waypoint] = ()
        if tour.start is not None:
            longitude, latitude = made.starts[tour.start].tolist()
            around = (Waypoint(longitude, latitude, w["scout_start"]),)
        routes.append(Route(w["scout_day"].format(day=day), [*around, *map(point, fields), *around]))
    visited = [one for fields in made.tours for one in fields]
    return as_gpx(w["scout_title"], [point(one) for one in visited], routes)
