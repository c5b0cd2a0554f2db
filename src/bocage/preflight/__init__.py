"""Sources, scene and reference → findings: everything that can be known before a run begins."""

from bocage.preflight.finding import Finding, ordered
from bocage.preflight.preflight import Preflight

__all__ = ["Finding", "Preflight", "ordered"]
