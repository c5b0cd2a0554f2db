"""The scenes of several sites on which one model is trained."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from bocage.errors import SceneError
from bocage.scene.cube import Cube
from bocage.scene.scene import Scene
from bocage.words import Note


@dataclass(frozen=True)
class Scenes:
    """Name of the site to its scene; a source has the same name, and the same bands, in all scenes that have it."""

    by_site: Mapping[str, Scene]

    @cached_property
    def cubes(self) -> dict[str, dict[str, Cube]]:
        """Source to its cubes by site, in the order of the sites."""
        found: dict[str, dict[str, Cube]] = {}
        for site, scene in self.by_site.items():
            for name, cube in scene.cubes.items():
                found.setdefault(name, {})[site] = cube
        return found

    def meeting(self) -> dict[str, tuple[str, ...]]:
        """Return source to the bands that all sites with this source have, in the order of the first of them.

        Raises
        ------
        SceneError
            The sites have no band of a source in common.
        """
        bands = {}
        for name, cubes in self.cubes.items():
            first = next(iter(cubes.values()))
            bands[name] = tuple(band for band in first.bands if all(band in cube.bands for cube in cubes.values()))
            if not bands[name]:
                listed = "; ".join(f"{site}: {', '.join(cube.bands)}" for site, cube in cubes.items())
                raise SceneError(
                    f"Source '{name}': the sites have no band in common ({listed}). Give common bands the same names, or declare "
                    "two sources with different names."
                )
        return bands

    def unused(self, bands: Mapping[str, tuple[str, ...]]) -> Iterator[Note]:
        """Yield a note for each source with bands that are not used, because some of its sites lack them.

        `bands` are those that all sites have (:meth:`meeting`).
        """
        for name, cubes in self.cubes.items():
            every = dict.fromkeys(band for cube in cubes.values() for band in cube.bands)
            if odd := tuple(band for band in every if band not in bands[name]):
                lacking = tuple(site for site, cube in cubes.items() if set(odd) - set(cube.bands))
                yield Note.of("bands_unused", name, bands=odd, sites=lacking)


def limited(scene: Scene, bands: Mapping[str, tuple[str, ...]]) -> Scene:
    """Return a scene whose sources have the bands given for them; other sources keep theirs.

    Raises
    ------
    SceneError
        A source lacks a band.
    """
    cubes = dict(scene.cubes)
    for name in cubes.keys() & bands.keys():
        if missing := [band for band in bands[name] if band not in cubes[name].bands]:
            raise SceneError(f"Source '{name}' lacks the band '{missing[0]}'. It has {', '.join(cubes[name].bands)}.")
        cubes[name] = cubes[name].only(bands[name])
    return replace(scene, cubes=cubes)
