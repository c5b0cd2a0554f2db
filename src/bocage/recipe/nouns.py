"""A recipe and its parts, parsed: the typed settings of every room."""

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bocage.evaluation import Evaluation
from bocage.grid import Grid
from bocage.legend import LandClass, Legend
from bocage.mapping import Mapping, Workers
from bocage.report import Reporting
from bocage.samples import Reference, Split, Survey
from bocage.scene import Preparation, Preparing
from bocage.training import Choice


@dataclass(frozen=True)
class GridChoice:
    """The map's grid: that of a source, or a CRS with a resolution and bounds."""

    like: str = ""
    """Name of the source whose grid the map takes."""
    crs: str = ""
    """Such as ``"EPSG:32740"``."""
    resolution: float | None = None
    """Pixel size in CRS units."""
    bounds: tuple[float, float, float, float] | None = None
    """West, south, east, north in CRS units."""

    def __post_init__(self) -> None:
        if bool(self.like) == bool(self.crs):
            raise ValueError("give either 'like' (a source) or 'crs', 'resolution' and 'bounds'")
        if self.crs and (self.resolution is None or self.bounds is None):
            raise ValueError("'crs' needs 'resolution' and 'bounds' beside it")

    def grid(self, sources: AnyMapping[str, Any]) -> Grid:
        """Return the grid."""
        if self.like:
            grid: Grid = sources[self.like].grid
            return grid
        assert self.resolution is not None
        assert self.bounds is not None
        return Grid.from_bounds(self.crs, self.resolution, self.bounds)


@dataclass(frozen=True)
class LegendChoice:
    """The nomenclature: a CSV file (code,name,color,parent,values) or classes written in the recipe."""

    csv: Path | None = None
    classes: tuple[LandClass, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.csv) == bool(self.classes):
            raise ValueError("give either 'csv' or 'classes'")


@dataclass(frozen=True)
class SourceChoice:
    """A source of the recipe: its sensor, what the sensor is told, and how the scene lays it out."""

    sensor: str
    settings: Any
    preparation: Preparation


@dataclass(frozen=True)
class Contender:
    """A model that ``bocage compare`` compares with the recipe's own: one table ``[[compare]]``."""

    label: str
    """Its name in tables."""
    choice: Choice


@dataclass(frozen=True)
class Recipe:
    """A whole run."""

    name: str
    grid: GridChoice
    legend: Legend
    sources: AnyMapping[str, SourceChoice]
    scene: Preparing
    reference: Reference
    split: Split
    choice: Choice
    """The model and its training."""
    map: Mapping
    evaluation: Evaluation
    report: Reporting
    workers: Workers
    path: Path
    """The file that it was read from; for a table, the path that it would have."""
    text: str = ""
    """Content of the file; empty for a table."""
    compare: tuple[Contender, ...] = ()
    """Models to compare with this one."""

    @property
    def survey(self) -> Survey:
        """The reference polygons, with legend and split."""
        return Survey(self.reference, self.legend, self.split)
