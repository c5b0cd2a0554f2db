"""Settings of the objects of a run."""

from dataclasses import dataclass, field
from pathlib import Path

from bocage.objects.features import Features


@dataclass(frozen=True)
class Segmenting:
    """Settings of ``bocage segment``: the objects, and their features."""

    source: str
    """Name of the source whose grid the objects have."""
    ids: Path
    """Raster of object numbers from another program: whole numbers, 0 and less for no object."""
    features: Features = field(default_factory=Features)
    """Features of the objects."""
