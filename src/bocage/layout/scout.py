"""Paths in the folder of proposed fields."""

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
