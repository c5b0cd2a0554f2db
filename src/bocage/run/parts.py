"""Accuracy in parts of the samples: at each site, in each region."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation import Predictions, Score
from bocage.layout import RunLayout
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.sources import RegionsSource


def score_by_part(
    layout: RunLayout, samples: Samples, parts: Mapping[str, NDArray[Any]], metrics: tuple[str, ...]
) -> dict[str, Score]:
    """Return the score of the test pixels of each part, over the draws in which it has some.

    A class without a test pixel in a part, in any draw, has no part in the means over the classes there.

    Parameters
    ----------
    parts
        Name → numbers of the polygons of the part.
    """
    tests, found = [Predictions.from_parquet(layout.split(k).test) for k in range(samples.draws)], {}
    for name, polygons in parts.items():
        own = [test.take(np.isin(test.polygon, polygons)) for test in tests]
        if own := [part for part in own if len(part)]:
            absent = set.intersection(*(set(part.without(samples.legend.names)) for part in own))
            untested = tuple(n for n in samples.legend.names if n in absent or n in samples.untested)
            matrices = tuple(part.matrix(samples.legend.names, untested) for part in own)
            pixels = int(np.isin(samples.polygon, polygons).sum())
            design = {"draws": len(matrices), "polygons": len(polygons), "pixels": pixels}
            found[name] = Score(matrices, metrics, design)
    return found


def polygons_by_site(samples: Samples) -> dict[str, NDArray[Any]]:
    """Return site → numbers of its polygons."""
    return {name: np.unique(samples.polygon[samples.at(name)]) for name in samples.sites}


def polygons_by_region(scene: Scene, samples: Samples) -> dict[str, NDArray[Any]]:
    """Return region → numbers of its polygons, for the first source of regions; empty without one.

    A polygon on a border belongs to the region with most of its pixels; a polygon in no region is left out.
    """
    source = next((cube.source for cube in scene.cubes.values() if isinstance(cube.source, RegionsSource)), None)
    if source is None:
        return {}
    region = source.region_of(samples.row, samples.column)
    polygons, which = np.unique(samples.polygon, return_inverse=True)
    counts = np.zeros((len(polygons), len(source.names) + 1), np.int64)
    np.add.at(counts, (which, region), 1)  # column -1: in no region
    most = counts.argmax(1)
    return {name: polygons[most == k] for k, name in enumerate(source.names)}
