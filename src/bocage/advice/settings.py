"""Settings of the search for doubtful polygons: the section ``[doctor]`` of a recipe."""

from dataclasses import dataclass
from typing import Annotated, Literal

from bocage.ranges import SEED, Range, check_ranges


@dataclass(frozen=True)
class Doubting:
    """Settings of ``bocage doctor``, and of the doubt that ``[reference] doubtful`` uses in training."""

    model: Literal["auto", "recipe", "random_forest", "lightgbm"] = "auto"
    """Model that judges the polygons: that of the recipe, or trees on the same sources. "auto": the model of the recipe if it is
    fitted at once (random forest, LightGBM), else a random forest, because a network would be trained `folds` × `repeats`
    times."""
    folds: Annotated[int, Range(2, 100)] = 5
    """Number of parts of the polygons, at least 2: the model that judges a part is trained on the others."""
    repeats: Annotated[int, Range(1, 100)] = 3
    """Number of divisions into parts, at least 1; the probabilities of a polygon are the means over them."""
    pixels: Annotated[int, Range(1, 10_000)] = 16
    """Maximum number of pixels of a polygon that are used, at least 1: inner pixels and pixels of its border alternate."""
    samples: Annotated[int, Range(100, 1e9)] = 200_000
    """Approximate maximum number of pixels of all polygons, at least 100; with many polygons, fewer pixels of each are used, and
    at least one."""
    threshold: Annotated[float, Range(0, 1, above=True, below=True)] = 0.5
    """Probability of a wrong label above which a polygon is doubtful, between 0 and 1."""
    shown: Annotated[int, Range(0, 10_000)] = 30
    """Number of polygons that the page shows, the most doubtful ones first, at least 0."""
    seed: Annotated[int, SEED] = 0
    """Seed of the pixels and of the divisions into parts."""

    def __post_init__(self) -> None:
        check_ranges(self)
