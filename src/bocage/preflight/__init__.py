"""Checks of sources, scene and reference data before a run; they return findings."""

from bocage.preflight.finding import Finding, ordered
from bocage.preflight.preflight import Preflight

__all__ = ["Finding", "Preflight", "ordered"]
