"""Properties of the sources and the region of a training, and those of a scene; how sure a network is of its scenes."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo import CRS

from bocage.grid import Ratio, outline_in_degrees
from bocage.models import InputSpec
from bocage.scene import Cube, Scene, Scenes
from bocage.sources import HistorySource

CALENDAR = "calendar"
"""Clock of calendar days."""

SOME, RARELY = 0.05, 0.01
"""Share of the pixels that may lack other sources than those of a scene which is compared, and share that is not looked at."""

YEARS_BEFORE = "years before the season of the map"
"""Clock of a history."""

TROPICAL = 10
"""Latitude in degrees up to which two places on both sides of the equator may have the same seasons."""


@dataclass(frozen=True)
class SourceRecord:
    """Properties of one source in the training, required again for mapping."""

    spec: InputSpec
    """Input specification: bands, number of dates, ratio to the map grid."""
    days: tuple[int, ...]
    """Training days since 1970-01-01, on the `clock`."""
    scale: float
    """Factor from stored to physical values."""
    offset: float
    """Offset from stored to physical values."""
    nodata: float | None
    """Nodata value; None without one."""
    fill: tuple[int, str, str] | None
    """Regular dates of the gap filling (interval in days, start, end); None for native dates."""
    resampling: str
    """Resampling method."""
    resolution: float
    """Ground sampling distance on the nested grid, in CRS units."""
    units: str = ""
    """"dB", or "linear" for all other units; empty if not recorded (format 1)."""
    clock: str = CALENDAR
    """Clock of the days: the calendar, or thermal time with its settings."""
    of_first: tuple[int, ...] = ()
    """Days of the first site, where `days` are those of several sites with the same number of dates; empty: `days`."""

    @property
    def by_position(self) -> tuple[int, ...]:
        """The day of each date: of several sites with the same number of dates, those of the first one."""
        return self.of_first or self.days

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON stores it; without days of a first site if there are none, as earlier versions wrote it."""
        return {key: value for key, value in asdict(self).items() if key != "of_first" or value}


@dataclass(frozen=True)
class Region:
    """Region of the training scene."""

    crs: str
    """WKT."""
    bounds: tuple[float, float, float, float]
    """West, south, east, north in CRS units."""

    @classmethod
    def of(cls, scene: Scene | Scenes) -> "Region":
        """Return the region of a scene; of several, the rectangle in degrees that contains them."""
        if isinstance(scene, Scene):
            return cls(scene.grid.crs.to_wkt(), scene.grid.bounds)
        boxes = np.array(
            [outline_in_degrees(one.grid.crs.proj, one.grid.bounds).bounds for one in scene.by_site.values()]
        )
        centres = boxes[:, ::2].mean(1)  # sites on both sides of the 180th meridian are near to each other
        boxes[:, ::2] -= 360 * np.round((centres - centres[0]) / 360)[:, None]
        (west, south), (east, north) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        return cls(CRS("EPSG:4326").to_wkt(), (float(west), float(south), float(east), float(north)))

    @property
    def centre(self) -> tuple[float, float] | None:
        """Longitude and latitude of the centre in degrees; None if the CRS is local."""
        try:
            place = outline_in_degrees(CRS(self.crs).proj, self.bounds).centroid
        except (ValueError, RuntimeError):
            return None
        return float((place.x + 180) % 360 - 180), float(place.y)

    def opposite(self, other: "Region") -> bool:
        """Return whether two regions are on both sides of the tropics, so that their seasons are half a year apart."""
        here, there = self.latitude, other.latitude
        return here * there < 0 and min(abs(here), abs(there)) > TROPICAL

    @property
    def latitude(self) -> float:
        """Latitude of the centre in degrees; 0 if the CRS is local."""
        return self.centre[1] if self.centre else 0.0


@dataclass(frozen=True)
class Certainty:
    """How sure a network is of the pixels of a scene, without labels."""

    pixels: int
    """Number of pixels."""
    confidence: float
    """Mean calibrated confidence, 0 to 1."""
    agreement: float
    """Mean share of the views, with a part of the input hidden, that give the class of the whole input, 0 to 1."""
    errors: tuple[float, float]
    """Standard errors of confidence and agreement; pixels of one square or polygon are not independent."""
    absent: tuple[str, ...] = ()
    """Sources of the network, in alphabetical order, that the scene lacks, or that are left out as if it lacked them."""
    lacking: Mapping[str, float] = field(default_factory=dict)
    """Share of the pixels that lack each set of sources, by their names in alphabetical order ("s1,s2"; "": none)."""

    @property
    def shares(self) -> Mapping[str, float]:
        """``lacking``; of a record of an earlier version, all pixels lack the sources that the scene lacks."""
        return self.lacking or {",".join(self.absent): 1.0}

    @classmethod
    def of(
        cls, confidence: NDArray[Any], agrees: NDArray[Any], unit: NDArray[Any], least: int = 2
    ) -> "Certainty | None":
        """Return the means of confidence and agreement of pixels (N,), 0 to 1; None for fewer than `least` pixels.

        The errors are those of a sample of squares or polygons, whose number is `unit` (N,). The error of the agreement is at
        least that of pixels drawn one by one, with one more that agrees and one more that differs (as in Laplace's rule): a few
        pixels that all agree prove little.
        """
        number, n = np.unique(unit, return_inverse=True)[1], len(unit)
        if n < least or (units := int(number.max()) + 1) < 2:
            return None
        means, squares = [], []
        for values in (np.asarray(confidence, np.float64), np.asarray(agrees, np.float64)):
            away = np.bincount(number, values - values.mean()) / n
            means.append(float(values.mean()))
            squares.append(float(np.square(away).sum()) * units / (units - 1))
        more = np.append(np.asarray(agrees, np.float64), [0.0, 1.0]) - means[1]
        squares[1] = max(squares[1], float(np.square(more).sum()) / (n + 1) / n)
        return cls(n, means[0], means[1], (math.sqrt(squares[0]), math.sqrt(squares[1])))

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Certainty":
        """Return the object of which ``dataclasses.asdict`` gave `said`, or its JSON form."""
        return cls(**{**said, "errors": tuple(said["errors"]), "absent": tuple(said.get("absent", ()))})

    @classmethod
    def mixed(cls, parts: Mapping[str, "Certainty"], here: "Certainty") -> "Certainty | None":
        """Return the certainty of pixels that lack the sets of sources that those of `here` lack; None without one of the sets.

        `parts` has the certainty of pixels that all lack one set of sources. The errors are added, because they are of the same
        pixels.
        """
        shares = {key: share for key, share in here.shares.items() if share >= RARELY}
        if shares.keys() - parts.keys():
            return None
        total, chosen = sum(shares.values()), [parts[key] for key in shares]
        means = (
            np.array(list(shares.values())) / total @ [(one.confidence, one.agreement, *one.errors) for one in chosen]
        )
        confidence, agreement, *errors = map(float, means)
        return cls(
            min(one.pixels for one in chosen), confidence, agreement, (errors[0], errors[1]), here.absent, shares
        )

    def alike(self, other: "Certainty") -> bool:
        """Return whether the pixels of both lack the same sources, but for a few."""
        keys = self.shares.keys() | other.shares.keys()
        return sum(abs(self.shares.get(key, 0.0) - other.shares.get(key, 0.0)) for key in keys) / 2 <= SOME


@dataclass(frozen=True)
class Certainties:
    """How sure a network is of the sites of its training, by name ("" for a recipe without sites)."""

    known: Mapping[str, Certainty] = field(default_factory=dict)
    """Sites with training samples: pixels that did not train."""
    left_out: Mapping[str, Certainty] = field(default_factory=dict)
    """Sites of the recipe without training samples in this draw (leave-one-out)."""
    partial: tuple[Mapping[str, Certainty], ...] = ()
    """The sites with training samples, where all pixels lack the same sources: one mapping for each set of sources."""

    def like(self, here: Certainty) -> Mapping[str, Certainty]:
        """Return the sites with training samples as seen with the sources that the pixels of `here` have; empty if not seen so.

        The agreement of a network depends on the number of its sources, so that pixels with others are not compared.
        """
        found = {
            name: one if one.alike(here) else Certainty.mixed(self._parts(name), here)
            for name, one in self.known.items()
        }
        return {name: one for name, one in found.items() if one}

    def _parts(self, site: str) -> dict[str, Certainty]:
        """Return the sources that all pixels lack → how sure the network is of a site."""
        seen = [self.known[site], *(part[site] for part in self.partial if site in part)]
        return {key: one for one in seen for key, share in one.shares.items() if share >= 1 - SOME}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Certainties":
        """Return the object of which ``dataclasses.asdict`` gave `said`.

        Raises
        ------
        ValueError
            A mean is not between 0 and 1, or an error is negative.
        """
        known, left_out, *partial = (
            {name: Certainty.from_dict(one) for name, one in part.items()}
            for part in (said["known"], said["left_out"], *said.get("partial", ()))
        )
        for one in (one for part in (known, left_out, *partial) for one in part.values()):
            if not (0 <= one.confidence <= 1 and 0 <= one.agreement <= 1 and min(one.errors) >= 0):
                raise ValueError("the certainty of a scene is not between 0 and 1")
        return cls(known, left_out, tuple(partial))


def policy(record: SourceRecord) -> str:
    """Describe the choice of dates, without the days, which may be of another year."""
    if record.fill is None:
        return "as acquired" if not record.spec.regular else "as stored"
    return f"filled every {record.fill[0]} days"


def record_of(said: dict[str, Any]) -> SourceRecord:
    """Return the record from its JSON form."""
    spec = {**said["spec"], "bands": tuple(said["spec"]["bands"]), "ratio": Ratio(**said["spec"]["ratio"])}
    fill = tuple(said["fill"]) if said["fill"] else None
    days: dict[str, Any] = {key: tuple(said[key]) for key in ("days", "of_first") if key in said}
    return SourceRecord(**{**said, "spec": InputSpec(**spec), "fill": fill, **days})


def input_spec(scene: Scene, name: str) -> InputSpec:
    """Return the input specification of one cube of the scene."""
    cube = scene.cubes[name]
    regular = cube.preparation.fill is not None or not cube.source.dated or len(cube.days) == 1
    return InputSpec(name, cube.bands, len(cube.days), cube.ratio, regular, scene.ids is not None)


def _clock(cube: Cube) -> str:
    """Return the clock of the days of a cube."""
    if isinstance(cube.source, HistorySource):
        return YEARS_BEFORE
    return thermal.told() if (thermal := cube.preparation.thermal) and cube.source.dated else CALENDAR


def input_specs(scene: Scene | Scenes) -> dict[str, InputSpec]:
    """Return source → input specification, for every source of the scene, or of several scenes."""
    if isinstance(scene, Scene):
        return {name: input_spec(scene, name) for name in scene.cubes}
    return {name: _common(one_by_site(scene, name)).spec for name in scene.cubes}


def one_by_site(scenes: Scenes, name: str) -> dict[str, SourceRecord]:
    """Return site → properties of the source `name`, for the sites that have it."""
    return {site: source_records(scenes.by_site[site], [name])[name] for site in scenes.cubes[name]}


def _common(by_site: Mapping[str, SourceRecord]) -> SourceRecord:
    """Return the properties of a source on which a network for all sites is built: those of its longest series.

    The dates are regular if they are so, and of the same number, at all sites; else the days are those of all sites.
    """
    records = list(by_site.values())
    longest = max(records, key=lambda record: record.spec.dates)
    if all(record.spec.regular and record.spec.dates == longest.spec.dates for record in records):
        return longest
    days = tuple(sorted({day for record in records for day in record.days}))
    regular = longest.spec.dates == 1
    alike = len({record.spec.dates for record in records}) == 1 and len(days) > longest.spec.dates
    own = longest.days if alike else ()
    return replace(longest, spec=replace(longest.spec, regular=regular), days=days, fill=None, of_first=own)


def source_records(scene: Scene | Scenes, names: Iterable[str]) -> dict[str, SourceRecord]:
    """Return source → its properties in the scene, or in several scenes, for the sources `names`."""
    if isinstance(scene, Scenes):
        return {name: _common(one_by_site(scene, name)) for name in names}
    records = {}
    for name in names:
        cube = scene.cubes[name]
        fill, decoding = cube.preparation.fill, cube.source.decoding
        records[name] = SourceRecord(
            input_spec(scene, name),
            tuple(int(day) for day in cube.clock),
            decoding.scale,
            decoding.offset,
            decoding.nodata,
            None if fill is None else (fill.every, fill.start.isoformat(), fill.end.isoformat()),
            cube.preparation.resampling,
            cube.grid.resolution,
            decoding.units,
            _clock(cube),
        )
    return records
