"""Paths in the folders of objects, of what follows the classification, and of the QGIS project."""

from dataclasses import dataclass
from pathlib import Path

TABLES = ("csv", "parquet")
"""Formats of tables of objects, parcels and zones."""


@dataclass(frozen=True)
class ObjectsLayout:
    """The folder of the objects of a segmentation."""

    path: Path

    @property
    def ids(self) -> Path:
        """Number of the object of each pixel, from 1; 0: no object."""
        return self.path / "objects.tif"

    @property
    def table(self) -> Path:
        """Features of every object."""
        return self.path / "objects.parquet"

    @property
    def scratch(self) -> Path:
        """Temporary rasters and tables of an unfinished segmentation."""
        return self.path / ".scratch"


@dataclass(frozen=True)
class FinishLayout:
    """The folder of what follows the classification."""

    path: Path

    def polygons(self, suffix: str) -> Path:
        """The vector map in one format."""
        return self.path / f"polygons.{suffix}"

    @property
    def areas(self) -> Path:
        """Pixels and hectares of every class of the regularised map."""
        return self.path / "areas.csv"

    def votes(self, suffix: str) -> Path:
        """Class of every object or parcel in one format (parquet, csv)."""
        return self.path / f"votes.{suffix}"

    @property
    def voted_areas(self) -> Path:
        """Pixels and hectares of every class of the map after the votes."""
        return self.path / "voted_areas.csv"

    @property
    def score(self) -> Path:
        """Accuracy of the map before and after each step, on the test polygons."""
        return self.path / "score.json"

    def zones(self, suffix: str) -> Path:
        """Area of every class in every zone in one format (csv, parquet)."""
        return self.path / f"zones.{suffix}"

    @property
    def files(self) -> list[Path]:
        """Every file that ``bocage finish`` may write here; any other file is the user's."""
        return [*self.all_polygons, *self.all_votes, *self.all_zones, self.areas, self.voted_areas, self.score]

    @property
    def all_polygons(self) -> list[Path]:
        """The vector map in every format."""
        return [self.polygons(suffix) for suffix in ("fgb", "gpkg", "parquet")]

    @property
    def all_votes(self) -> list[Path]:
        """Class of every object or parcel in every format."""
        return [self.votes(suffix) for suffix in TABLES]

    @property
    def all_zones(self) -> list[Path]:
        """Area of every class in every zone in every format."""
        return [self.zones(suffix) for suffix in TABLES]

    @property
    def scratch(self) -> Path:
        """Temporary rasters."""
        return self.path / ".scratch"


@dataclass(frozen=True)
class QgisLayout:
    """The folder of the QGIS project, and of the files that it needs besides those of the run."""

    path: Path

    @property
    def project(self) -> Path:
        """The project."""
        return self.path / "project.qgz"

    @property
    def reference(self) -> Path:
        """Reference polygons with their class, their part and their errors."""
        return self.path / "reference.gpkg"
