"""Settings of the finished map: votes, regularisation, polygons, zones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from bocage.ranges import Range, check_ranges

Format = Literal["gpkg", "parquet", "fgb"]
Vote = Literal["majority", "probability", "none"]


@dataclass(frozen=True)
class Finishing:
    """Settings of ``bocage finish``: what follows the classification."""

    within: Literal["objects"] | Path | None = None
    """Objects or parcels that get one class each: "objects" (those of ``bocage segment``), a vector file of parcels, or a
    raster of object numbers. Default: none."""
    vote: Vote = "majority"
    """Class of an object or parcel of `within`: "majority" (the most frequent class of its pixels), "probability" (the class
    with the highest mean probability; the map needs the layer ``probabilities``), or "none" (the pixels keep their classes, and
    `within` limits the majority filter only). Of equal classes, the first of the legend."""
    majority: Annotated[int, Range(0, 51)] = 0
    """Side of the majority filter in pixels, odd; 0: no filter. Each pixel takes the most frequent class of the window around
    it, and keeps its own class if this is among the most frequent. With `within`, only pixels of the same object or parcel
    count."""
    mmu: Annotated[float, Range(0, 1_000_000)] = 0.0
    """Minimum mapping unit in hectares, at least 0. A smaller object (connected pixels of one class) takes the class with which
    it shares the longest border."""
    mmu_of: Annotated[Mapping[str, float], Range(0, 1_000_000)] = field(default_factory=dict)
    """Minimum mapping unit of single classes in hectares, by class name; other classes have `mmu`."""
    sieve: Annotated[int, Range(0, 1_000_000_000)] = 0
    """Minimum number of pixels of an object, for all classes and in addition to the minimum mapping unit; 0: none."""
    simplify: Annotated[float, Range(0, 100)] = 1.0
    """Tolerance of the simplification of polygon borders in pixels, at least 0: a vertex is removed if the triangle with its
    neighbours is smaller than the square of the tolerance. 0: borders follow the pixels."""
    formats: tuple[Format, ...] = ("gpkg",)
    """Formats of the vector map: "gpkg" (GeoPackage), "parquet" (GeoParquet), "fgb" (FlatGeobuf); empty: no vector map."""
    zones: Path | None = None
    """Vector file of zones; the area of each class in each zone is computed. Default: no zones."""
    zone: str = ""
    """Field of `zones` that names a zone; empty: zones are numbered from 1. A zone without a name has the
    number of its feature."""
    tile: Annotated[int, Range(64, 8192)] = 1024
    """Side, in pixels, of the tiles that are read and computed at a time. Memory grows with its square. The result does not
    depend on it."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.majority and self.majority % 2 == 0:
            raise ValueError(f"'majority' must be odd or 0; found {self.majority}")
        if self.vote != "majority" and not self.within:
            raise ValueError("'vote' needs 'within': \"objects\", or the path of parcels")
        if self.within and self.vote == "none" and not self.majority:
            raise ValueError("'within' has no effect with vote = \"none\" and without 'majority'; set one of the two")
        if self.zone and not self.zones:
            raise ValueError("'zone' names a field of 'zones', which is not given")

    @property
    def votes(self) -> bool:
        """Whether objects or parcels get one class each."""
        return bool(self.within) and self.vote != "none"

    @property
    def regularises(self) -> bool:
        """Whether the map is regularised."""
        return bool(self.majority or self.sieve or self.mmu or any(self.mmu_of.values()))
