"""Data classes of a parsed recipe: the typed settings of every stage."""

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from bocage.disk import safe_name
from bocage.evaluation import Evaluation
from bocage.grid import Grid
from bocage.legend import LandClass, Legend
from bocage.mapping import Mapping, Workers
from bocage.models.mixture import MOST
from bocage.ranges import Range, check_ranges
from bocage.report import Reporting
from bocage.samples import Reference, Split, Survey
from bocage.scene import Preparation, Preparing
from bocage.training import Choice


@dataclass(frozen=True)
class GridChoice:
    """Grid of the map: the grid of a source, or a CRS with resolution and bounds."""

    like: str = ""
    """Name of the source whose grid the map uses."""
    crs: str = ""
    """Coordinate reference system, for example ``"EPSG:32740"``."""
    resolution: Annotated[float | None, Range(0, 1e6, above=True)] = None
    """Pixel size in CRS units; required with `crs`."""
    bounds: Annotated[tuple[float, float, float, float] | None, Range(-1e9, 1e9)] = None
    """West, south, east, north in CRS units; required with `crs`."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if bool(self.like) == bool(self.crs):
            raise ValueError("give either 'like' (a source) or 'crs', 'resolution' and 'bounds'")
        if self.crs and (self.resolution is None or self.bounds is None):
            raise ValueError("'crs' also needs 'resolution' and 'bounds'")

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
    """Legend (nomenclature) of the map: a CSV file, or classes in the recipe."""

    csv: Path | None = None
    """CSV file with the columns code, name, color, parent, values (separated by ``;``, numbers also by blanks)."""
    classes: tuple[LandClass, ...] = ()
    """Classes of the legend, each a table."""

    def __post_init__(self) -> None:
        if bool(self.csv) == bool(self.classes):
            raise ValueError("give either 'csv' or 'classes'")


@dataclass(frozen=True)
class SourceChoice:
    """A source of the recipe: sensor, settings of the sensor, and preparation in the scene."""

    sensor: str
    """Name of the sensor (``bocage sensors`` lists them), or ``"its.module:name"``."""
    settings: Any
    """Instance of the ``Settings`` of the sensor."""
    preparation: Preparation
    """Masking, gap filling, indices and resampling."""


@dataclass(frozen=True)
class Repetition:
    """Number of networks of a model."""

    members: Annotated[int, Range(1, MOST)] = 1
    """Number of networks of this model, from 1 to 100, whose probabilities are averaged (not for `fusion`, whose members are
    its own networks). Different models: ``name = "mixture"``, with a table ``[[model.members]]`` for each."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Contender:
    """A model that ``bocage compare`` compares with the model of the recipe: one table ``[[compare]]``."""

    label: str
    """Name of the model in tables."""
    choice: Choice
    """The model and its training."""


@dataclass(frozen=True)
class Plugins:
    """Code outside of Bocage."""

    allow: tuple[str, ...] = ()
    """Modules that model folders of other runs may name, for example ``["my_networks"]``. The modules that the recipe itself
    names are allowed."""


@dataclass(frozen=True)
class Recipe:
    """All settings of a run."""

    name: str
    """Name of the run; default: the file name of the recipe, without suffix."""
    grid: GridChoice
    """Grid of the map."""
    legend: Legend
    """Classes of the map."""
    sources: AnyMapping[str, SourceChoice]
    """Name of the source to its settings, in the order of the recipe."""
    scene: Preparing
    """The prepared scene."""
    reference: Reference
    """Reference polygons."""
    split: Split
    """Split into training, validation and test parts."""
    choice: Choice
    """The model and its training."""
    map: Mapping
    """Layers, formats and extent of the map."""
    evaluation: Evaluation
    """Metrics and importance."""
    report: Reporting
    """Language and content of the report."""
    workers: Workers
    """Workers that compute the map."""
    path: Path
    """File of the recipe; for a recipe given as a table, the path that the file would have."""
    text: str = ""
    """Content of the file; empty for a table."""
    compare: tuple[Contender, ...] = ()
    """Models to compare with the model of the recipe."""
    plugins: Plugins = Plugins()
    """Code outside of Bocage that model folders may name."""

    @property
    def out(self) -> Path:
        """Default folder of the run."""
        return Path("runs") / safe_name(self.name)

    @property
    def survey(self) -> Survey:
        """The reference polygons, with legend and split."""
        return Survey(self.reference, self.legend, self.split)
