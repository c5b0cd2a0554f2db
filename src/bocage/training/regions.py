"""Samples of each region, for a model per region: its own, those near its border, and those of a neighbour if too few."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import TrainingError
from bocage.models import regional
from bocage.progress import Progress
from bocage.samples import Draw, Samples
from bocage.scene import Cube, Scene, Scenes
from bocage.sources import RegionsSource
from bocage.words import quantity


@dataclass(frozen=True)
class Part:
    """Samples on which the member of a region is trained."""

    region: str
    """Name of the region."""
    samples: NDArray[np.bool_]
    """(N,)"""


def parts_of(
    scene: Scene | Scenes, samples: Samples, draw: Draw, config: regional.Config, validated: bool, progress: Progress
) -> list[Part]:
    """Return the samples of each region, in the order of the bands of the source.

    Parameters
    ----------
    validated
        Whether the members need validation polygons.

    Raises
    ------
    TrainingError
        The source is not one of regions, or a region has too few polygons and does not borrow enough.
    """
    near = near_regions(scene, samples, config.source, config.share)
    counts = _Counts(samples, draw, config, validated)
    own = {band: Part(name, near[:, k]) for k, (band, name) in enumerate(_names(scene, config.source).items())}
    return [_enough(band, own, counts, progress) for band in own]


def near_regions(scene: Scene | Scenes, samples: Samples, source: str, distance: float) -> NDArray[np.bool_]:
    """Return whether samples are in each region of a source, or at most `distance` metres from it, (N, R)."""
    if isinstance(scene, Scene):
        return _near(scene.cubes[source], samples.row, samples.column, distance)
    found = np.zeros((len(samples.label), len(_names(scene, source))), bool)
    for site, cube in scene.cubes[source].items():
        here = samples.at(site)
        found[here] = _near(cube, samples.row[here], samples.column[here], distance)
    return found


def without_source(scene: Scene | Scenes, source: str) -> Scene | Scenes:
    """Return a scene, or several, without one source."""
    if isinstance(scene, Scenes):
        return Scenes({site: _without(one, source) for site, one in scene.by_site.items()})
    return _without(scene, source)


def _without(scene: Scene, source: str) -> Scene:
    return replace(scene, cubes={name: cube for name, cube in scene.cubes.items() if name != source})


def _near(cube: Cube, row: NDArray[Any], column: NDArray[Any], distance: float) -> NDArray[np.bool_]:
    source = _source_of(cube)
    found: NDArray[np.bool_] = source.near(row, column, distance)[:, [source.bands.index(band) for band in cube.bands]]
    return found


def _names(scene: Scene | Scenes, source: str) -> dict[str, str]:
    """Return band → name of the region."""
    cube = scene.cubes[source] if isinstance(scene, Scene) else next(iter(scene.cubes[source].values()))
    known = dict(zip(_source_of(cube).bands, _source_of(cube).names, strict=True))
    return {band: known[band] for band in cube.bands}


def _source_of(cube: Cube) -> RegionsSource:
    if not isinstance(cube.source, RegionsSource):
        raise TrainingError(f"model.source: '{cube.name}' is not a source of the sensor 'regions'. Name one.")
    return cube.source


@dataclass(frozen=True)
class _Counts:
    """What a draw has to train the member of a region on, and what the settings ask for."""

    samples: Samples
    draw: Draw
    config: regional.Config
    validated: bool

    def polygons(self, part: Part) -> int:
        """Return the number of training polygons."""
        return len(np.unique(self.samples.polygon[self._training(part)]))

    def lacks(self, part: Part) -> str:
        """Return what a region lacks; empty if it has enough."""
        samples, config, found = self.samples, self.config, self.polygons(part)
        if found < config.minimum:
            return f"{_counted(found)}, and minimum = {config.minimum}"
        if self.validated and not part.samples[self.draw.validation].any():
            return "no validation polygon"
        members = self._training(part)
        for k, name in enumerate(samples.legend.names if config.minimum_of_class else ()):
            of_class = len(np.unique(samples.polygon[members[samples.label[members] == k]]))
            if of_class < config.minimum_of_class:
                return f"{_counted(of_class)} of {name}, and minimum_of_class = {config.minimum_of_class}"
        return ""

    def _training(self, part: Part) -> NDArray[np.int64]:
        return self.draw.train[part.samples[self.draw.train]]


def _enough(band: str, own: Mapping[str, Part], counts: _Counts, progress: Progress) -> Part:
    """Return the samples of a region, with those of its neighbour if its own are too few."""
    part, config = own[band], counts.config
    lacks = counts.lacks(part)
    if not lacks:
        return part
    chosen = config.neighbour_of(band)
    if chosen is None:
        richest = max((other for other in own.values() if other is not part), key=counts.polygons, default=part)
        table = ", ".join(f'"{a}" = "{b}"' for a, b in {**config.borrow, part.region: richest.region}.items())
        absent = ". If it is outside the map, leave it out with 'where' in the section of the source"
        raise TrainingError(
            f"The region '{part.region}' has {lacks}. To train its model with the samples of a neighbour too, write "
            f"[model] borrow = {{ {table} }}; or lower the minimum{'' if counts.polygons(part) else absent}."
        )
    both = Part(part.region, part.samples | own[chosen].samples)
    if still := counts.lacks(both):
        raise TrainingError(
            f"The region '{part.region}' has {lacks}. With the samples of '{own[chosen].region}', it has {still}. Name a "
            "neighbour with more samples in [model] borrow, or lower the minimum."
        )
    progress.say(
        f"Region '{part.region}': {lacks}. Its model is trained with the samples of '{own[chosen].region}' too "
        f"({_counted(counts.polygons(both))} together)."
    )
    return both


def _counted(n: int) -> str:
    return quantity(n, "training polygon") if n else "no training polygon"
