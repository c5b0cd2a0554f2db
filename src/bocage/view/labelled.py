"""The labelled pixels of a run, or of one of its sites, with their part in the draw of the map."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bocage.legend import Legend
from bocage.recipe import Recipe
from bocage.samples import Samples, Survey
from bocage.samples.join import reopened_sites
from bocage.samples.make import reopened
from bocage.scene import Scene


@dataclass(frozen=True)
class LabelledPixels:
    """Labelled pixels, as arrays (N,)."""

    row: NDArray[np.int32]
    column: NDArray[np.int32]
    label: NDArray[np.int16]
    """Position of the class in `legend`."""
    polygon: NDArray[np.int32]
    """Number of the polygon in the file of the run or of the site."""
    legend: Legend
    parts: Mapping[str, NDArray[np.int64]]
    """Part (train, validation, test) → positions of its pixels, in the draw of the map."""
    first: int = 0
    """Number that the predictions of the run add to those of the polygons."""


def pixels_of(scene: Scene, recipe: Recipe, path: Path) -> LabelledPixels:
    """Return the labelled pixels of a run of one site.

    Raises
    ------
    SamplesError
        The polygons cannot be read, or are no longer those of the samples.
    """
    samples = reopened(scene, recipe.survey, path)
    return _taken(samples, np.arange(len(samples.row)), recipe.map.draw, 0)


def pixels_at(site: str, scenes: Mapping[str, Scene], recipe: Recipe, path: Path) -> LabelledPixels:
    """Return the labelled pixels at a site of a recipe with several, from the scenes of all sites with polygons.

    Raises
    ------
    SamplesError
        The polygons of a site cannot be read, or are no longer those of the samples.
    """
    surveys = {
        one.name: (scenes[one.name], Survey(one.reference, recipe.legend, recipe.split))
        for one in recipe.sites
        if one.reference
    }
    samples, firsts = reopened_sites(surveys, path)
    return _taken(samples, np.flatnonzero(samples.at(site)), recipe.map.draw, firsts[site])


def _taken(samples: Samples, members: NDArray[np.int64], draw: int, first: int) -> LabelledPixels:
    """Return the samples `members`; parts are positions among them."""
    position = np.full(len(samples.row), -1, np.int64)
    position[members] = np.arange(len(members))
    parts = {name: position[rows][position[rows] >= 0] for name, rows in samples.draw(draw).parts.items()}
    pixels = samples.pixels(members)
    polygon = (pixels.polygon - first).astype(np.int32)
    return LabelledPixels(pixels.row, pixels.column, pixels.label, polygon, samples.legend, parts, first)
