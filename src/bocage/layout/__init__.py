"""Paths in the folders that commands write. No other module contains these names."""

from bocage.layout.run import (
    FinishLayout,
    MapLayout,
    MapOnlyLayout,
    ModelLayout,
    ObjectsLayout,
    QgisLayout,
    RunLayout,
    SiteLayout,
    SplitLayout,
)
from bocage.layout.scout import ScoutLayout
from bocage.layout.several import ChangeLayout, FusionLayout, TrendsLayout

__all__ = [
    "ChangeLayout", "FinishLayout", "FusionLayout", "MapLayout", "MapOnlyLayout", "ModelLayout", "ObjectsLayout", "QgisLayout",
    "RunLayout", "ScoutLayout", "SiteLayout", "SplitLayout", "TrendsLayout",
]  # fmt: skip
