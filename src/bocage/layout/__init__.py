"""Paths in the folders that commands write. No other module contains these names."""

from bocage.layout.advice import DoctorLayout, ScoutLayout, SeasonLayout
from bocage.layout.parts import FinishLayout, ObjectsLayout, QgisLayout
from bocage.layout.run import MapLayout, MapOnlyLayout, ModelLayout, RunLayout, SiteLayout, SplitLayout
from bocage.layout.several import (
    ChangeLayout,
    DerivedLayout,
    FusionLayout,
    MosaicLayout,
    ReconciledLayout,
    TrendsLayout,
)

__all__ = [
    "ChangeLayout", "DerivedLayout", "DoctorLayout", "FinishLayout", "FusionLayout", "MapLayout", "MapOnlyLayout",
    "ModelLayout", "MosaicLayout", "ObjectsLayout", "QgisLayout", "ReconciledLayout", "RunLayout", "ScoutLayout",
    "SeasonLayout", "SiteLayout", "SplitLayout", "TrendsLayout",
]  # fmt: skip
