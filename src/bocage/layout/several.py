"""Paths in the folders of commands that compare or combine runs."""

from dataclasses import dataclass
from pathlib import Path

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
class FusionLayout:
    """The folder of a fusion of maps."""

    path: Path

    @property
    def map(self) -> MapLayout:
        """The fused map."""
        return MapLayout(self.path / "map")

    @property
    def test(self) -> Path:
        """Prediction of every test pixel that no map of the fusion was trained on."""
        return self.path / "test.parquet"

    @property
    def summary(self) -> Path:
        """Maps, rule and accuracy of the fusion; written last."""
        return self.path / "fusion.json"


@dataclass(frozen=True)
class ReconciledLayout:
    """The folder of a map that was reconciled with statistics of districts."""

    path: Path

    @property
    def map(self) -> MapLayout:
        """The reconciled map."""
        return MapLayout(self.path / "map")

    @property
    def test(self) -> Path:
        """Class of the reconciled map at every test pixel of the map that it comes from."""
        return self.path / "test.parquet"

    @property
    def districts(self) -> Path:
        """Shares of each district and class: asked, before and after."""
        return self.path / "districts.csv"

    @property
    def summary(self) -> Path:
        """Map, districts, settings and accuracy; written last."""
        return self.path / "reconciled.json"


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
