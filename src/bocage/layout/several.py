"""Paths in the folders of commands that compare or combine runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bocage.layout.run import MapLayout


@dataclass(frozen=True)
class ChangeLayout:
    """The folder of the comparison of two maps."""

    path: Path

    @property
    def classes(self) -> Path:
        """Class before and after of each pixel."""
        return self.path / "change.tif"

    @property
    def qml(self) -> Path:
        """Style for QGIS."""
        return self.path / "change.qml"

    @property
    def transitions(self) -> Path:
        """Area of every transition."""
        return self.path / "transitions.csv"

    @property
    def summary(self) -> Path:
        """Changed area, mapped and estimated; written last."""
        return self.path / "change.json"


@dataclass(frozen=True)
class DerivedLayout:
    """The folder of a map that is computed from other maps."""

    path: Path
    SUMMARY: ClassVar[str] = ""
    """Name of the summary."""

    @property
    def map(self) -> MapLayout:
        """The map."""
        return MapLayout(self.path / "map")

    @property
    def test(self) -> Path:
        """Class of the map at test pixels that no map behind it was trained on."""
        return self.path / "test.parquet"

    @property
    def summary(self) -> Path:
        """Maps, settings and accuracy; written last."""
        return self.path / self.SUMMARY

    @property
    def besides(self) -> tuple[Path, ...]:
        """Files beside the map, of those that may exist."""
        return (self.test,)


@dataclass(frozen=True)
class FusionLayout(DerivedLayout):
    """The folder of a fusion of maps."""

    SUMMARY = "fusion.json"


@dataclass(frozen=True)
class ReconciledLayout(DerivedLayout):
    """The folder of a map that was reconciled with statistics of districts."""

    SUMMARY = "reconciled.json"

    @property
    def districts(self) -> Path:
        """Shares of each district and class: asked, before and after."""
        return self.path / "districts.csv"

    @property
    def besides(self) -> tuple[Path, ...]:
        """Test pixels and shares of the districts, of those that may exist."""
        return (self.test, self.districts)


@dataclass(frozen=True)
class MosaicLayout(DerivedLayout):
    """The folder of a mosaic: that of its map."""

    @property
    def map(self) -> MapLayout:
        """The map."""
        return MapLayout(self.path)


@dataclass(frozen=True)
class TrendsLayout:
    """The folder of the trends of an index in parcels."""

    path: Path

    def table(self, suffix: str) -> Path:
        """Trend of each parcel in one format (csv, parquet, gpkg)."""
        return self.path / f"trends.{suffix}"

    @property
    def years(self) -> Path:
        """Statistics and anomaly of each parcel and year."""
        return self.path / "years.csv"

    @property
    def summary(self) -> Path:
        """Recipes, settings, and parcels without a trend; written last."""
        return self.path / "trends.json"
