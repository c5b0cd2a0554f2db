"""Settings of the objects of a run."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from bocage.grid import HECTARE, Grid
from bocage.ranges import SEED, SHARE, Range, check_ranges


@dataclass(frozen=True)
class Features:
    """Settings of the features of objects."""

    sources: tuple[str, ...] = ()
    """Sources whose bands and indices are features, each with mean, standard deviation and contrast to the neighbours; empty: all
    sources of the recipe."""
    texture: tuple[str, ...] | None = None
    """Sources whose bands have Haralick's measures as features, among the sources of one date whose pixels are not larger than
    those of the objects; default: all of these; empty: none."""
    grey_levels: Annotated[int, Range(2, 64)] = 8
    """Number of grey levels of the texture, 2 to 64, between the 2nd and the 98th percentile of a band."""
    tile: Annotated[int, Range(16, 4096)] = 256
    """Side, in pixels, of the tiles that are read at a time. Memory grows with its square. The result does not depend on it."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Segmenting:
    """Settings of ``bocage segment``: the objects of the scene."""

    sources: tuple[str, ...] = ()
    """Names of the sources to segment together, on the grid of the source with the smallest pixels; empty: all sources with the
    smallest pixels of the recipe."""
    bands: tuple[str, ...] = ()
    """Names of the bands and indices to use, of any of these sources; empty: all."""
    clusters: Annotated[int, Range(2, 1000)] = 20
    """Number of spectral clusters of the k-means, 2 to 1000. More clusters make more and smaller objects."""
    minimum: Annotated[int, Range(1, 1_000_000)] = 50
    """Minimum number of pixels of an object. A smaller object merges with the neighbour whose mean is nearest. 1: none merges."""
    mmu: Annotated[float, Range(0, 1_000_000)] = 0.0
    """Minimum mapping unit in hectares, at least 0; with `minimum`, the larger of the two counts."""
    sample: Annotated[int, Range(1000, 10_000_000)] = 100_000
    """Number of pixels of the k-means, 1000 to 10,000,000."""
    seed: Annotated[int, SEED] = 0
    """Seed of the sample and of the k-means."""
    ids: Path | None = None
    """Raster of object numbers from another program, whole numbers above 0, in place of a segmentation; it is read on the grid of
    the source with the smallest pixels."""
    parcels: bool = False
    """Delineate the parcels of the map's layer "parcels" (``[training] parcels``), in place of a segmentation of the imagery. The
    objects then have the grid of the map, and `minimum`, `mmu` and the settings of the clusters have no effect."""
    extent: Annotated[float, SHARE] = 0.5
    """Least probability that a pixel is in a parcel, for `parcels`, from 0 to below 1."""
    core: Annotated[float, SHARE] = 0.3
    """Least distance from the boundary, 0 to below 1 (1: the middle of a parcel), of the pixels from which a parcel grows, for
    `parcels`. A higher value separates more parcels and omits more small ones."""
    features: Features = field(default_factory=Features)
    """Features of the objects."""
    tile: Annotated[int, Range(16, 8192)] = 1024
    """Side, in pixels, of the tiles that are read and computed at a time. Memory grows with its square. The result does not
    depend on it."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.parcels and self.ids:
            raise ValueError("'parcels' are delineated on the map, 'ids' are read from a raster: give one of them")

    def pixels(self, grid: Grid) -> int:
        """Return the minimum number of pixels of an object on a grid."""
        height, width = grid.metres
        return max(self.minimum, math.ceil(self.mmu * HECTARE / (height * width) * (1 - 1e-9)))
