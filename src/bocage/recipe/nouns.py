"""Data classes of a parsed recipe: the typed settings of every stage."""

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from bocage.advice.settings import Doubting
from bocage.disk import safe_name
from bocage.errors import Problem, RecipeError
from bocage.evaluation import Evaluation
from bocage.finish import Finishing
from bocage.grid import Grid
from bocage.legend import ClassSet, LandClass, Legend
from bocage.mapping import Mapping, Workers
from bocage.models.member import MOST
from bocage.objects import Segmenting
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
    sets: tuple[ClassSet, ...] = ()
    """Sets of classes for polygons of which one knows only that their class is one of these, each a table."""
    level: Annotated[int, Range(0, 100)] = 0
    """Level of a hierarchical nomenclature whose classes are mapped, from 1 (the coarsest); 0: the finest classes."""

    def __post_init__(self) -> None:
        check_ranges(self)
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
class Site:
    """A site of a recipe with several, or a year of one place: one table ``[[site]]``."""

    name: str
    """Name of the site."""
    grid: GridChoice
    """Grid of the map of the site."""
    sources: AnyMapping[str, SourceChoice]
    """Sources of the site. A source has the same name at all sites."""
    reference: Reference | None = None
    """Reference polygons; without them, the site is mapped only."""
    region: Path | None = None
    """Vector file whose polygons are mapped; default: the whole grid."""
    region_layer: str = ""
    """Layer of `region`; empty: the only layer of the file that has geometries."""
    where: str = ""
    """SQL condition that selects polygons of `region`; empty: all."""

    def __post_init__(self) -> None:
        if not self.name or not self.name.isprintable():
            raise ValueError(f"a site needs a name of one line; found {self.name!r}")
        if (self.where or self.region_layer) and not self.region:
            raise ValueError("'where' and 'region_layer' select polygons of 'region', which is not given")

    @property
    def slug(self) -> str:
        """Name of its folders and stages in a run."""
        return safe_name(self.name)


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
    """Content of the recipe in TOML, with the settings that replace those of the file; empty for a table."""
    overrides: tuple[str, ...] = ()
    """Settings ``KEY=VALUE`` that replace those of the file (``--set``)."""
    compare: tuple[Contender, ...] = ()
    """Models to compare with the model of the recipe."""
    finish: Finishing = field(default_factory=Finishing)
    """Regularisation, vector map and zones."""
    segment: Segmenting | None = None
    """Objects of the scene, for ``bocage segment``; None: the recipe has none."""
    doctor: Doubting = field(default_factory=Doubting)
    """Search for doubtful polygons."""
    plugins: Plugins = Plugins()
    """Code outside of Bocage that model folders may name."""
    sites: tuple[Site, ...] = ()
    """Sites of a recipe with several. `grid`, `sources` and `reference` are then empty: :meth:`at` gives those of a site."""

    @property
    def order_of_sites(self) -> tuple[str, ...]:
        """Names of the sites with reference polygons, in the order in which their polygons are numbered."""
        return tuple(site.name for site in self.sites if site.reference)

    def find(self, name: str) -> Site:
        """Return the site of this name.

        Raises
        ------
        RecipeError
            No site has this name.
        """
        site = next((site for site in self.sites if site.name == name), None)
        if site is None:
            known = (
                f"The sites are: {', '.join(site.name for site in self.sites)}" if self.sites else "It has no [[site]]"
            )
            raise RecipeError(self.path, [Problem("site", f"no site is called '{name}'. {known}")])
        return site

    def at(self, name: str) -> "Recipe":
        """Return the recipe of one site, as if it were the only one.

        Raises
        ------
        RecipeError
            No site has this name, or the site has no reference polygons.
        """
        site = self.find(name)
        if site.reference is None:
            raise RecipeError(self.path, [Problem(f"site '{name}'", "the section [site.reference] is missing")])
        return self.part(site)

    def part(self, site: Site) -> "Recipe":
        """Return the recipe of one site; without reference polygons if the site is mapped only."""
        own: Any = site.reference
        return replace(
            self, name=f"{self.name}-{site.slug}", grid=site.grid, sources=site.sources, reference=own,
            map=replace(self.map, region=site.region, region_layer=site.region_layer, where=site.where, sites=()),
            sites=(), split=replace(self.split, site=""),
        )  # fmt: skip

    def check_single(self) -> None:
        """Check that the recipe has one site, for work that has no meaning for several.

        Raises
        ------
        RecipeError
            It has a table ``[[site]]``.
        """
        if self.sites:
            names = ", ".join(site.name for site in self.sites)
            message = f"the recipe has several sites ({names}), and the command takes one. Give --site NAME if it has this option"
            raise RecipeError(self.path, [Problem("site", message)])

    @property
    def out(self) -> Path:
        """Default folder of the run."""
        return Path("runs") / safe_name(self.name)

    @property
    def survey(self) -> Survey:
        """The reference polygons, with legend and split."""
        return Survey(self.reference, self.legend, self.split)
