"""Paths in the folders of doubtful polygons, of proposed fields, and of the accuracy within the season."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ScoutLayout:
    """The folder of the fields to survey next."""

    path: Path

    def fields(self, suffix: str) -> Path:
        """The fields in one format (gpkg, csv)."""
        return self.path / f"fields.{suffix}"

    @property
    def gpx(self) -> Path:
        """Waypoints and routes."""
        return self.path / "tours.gpx"

    @property
    def page(self) -> Path:
        """The page with the imagery of each field."""
        return self.path / "scout.html"

    @property
    def summary(self) -> Path:
        """Settings, counts, and digests of the files; written last."""
        return self.path / "scout.json"

    @property
    def scratch(self) -> Path:
        """Pixels of candidates that are cut; removed at the end."""
        return self.path / ".scratch"


@dataclass(frozen=True)
class SeasonLayout:
    """The folder of the accuracy against the cut-off of the series."""

    path: Path

    @property
    def results(self) -> Path:
        """Results of the draws and cut-offs that are done."""
        return self.path / "results.json"

    @property
    def table(self) -> Path:
        """Curves."""
        return self.path / "season.csv"

    @property
    def summary(self) -> Path:
        """Curves and earliest sufficient dates; written last."""
        return self.path / "season.json"

    @property
    def scratch(self) -> Path:
        """Samples of gap-filled series, and models retrained for a cut-off; removed at the end."""
        return self.path / ".scratch"


@dataclass(frozen=True)
class DoctorLayout:
    """The folder of the doubtful polygons."""

    path: Path

    def polygons(self, suffix: str) -> Path:
        """All polygons, the most doubtful ones first, in one format (csv, gpkg)."""
        return self.path / f"polygons.{suffix}"

    @property
    def page(self) -> Path:
        """The most doubtful polygons with pictures."""
        return self.path / "doctor.html"

    @property
    def summary(self) -> Path:
        """Numbers of polygons by cause and class, and the frequencies with which labels are given."""
        return self.path / "doctor.json"

    def draw(self, number: int) -> Path:
        """Doubt about the training polygons of a draw, from 0, if the training uses it."""
        return self.path / "draws" / f"{number}.csv"

    def scratch_of_draw(self, key: str, number: int) -> Path:
        """Complete repeats of the unfinished doubt about a draw, in a training with the digest `key`."""
        return self.path / "draws" / ".scratch" / f"{key}-{number}"

    def scratch(self, key: str) -> Path:
        """Cut samples and complete repeats of an unfinished search with the digest `key`."""
        return self.path / ".scratch" / key
