"""``bocage trends``: trend of a spectral index in parcels over several years, and anomaly of each year."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from bocage.disk import write_json
from bocage.errors import FinishError
from bocage.finish.trend_tables import ParcelTrends
from bocage.finish.trends import CERTAIN, FEWEST, Observations, Settings, cube_for, observe, trends, yearly
from bocage.finish.zones import listed, read_zones
from bocage.layout import TrendsLayout
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import held, open_scene
from bocage.scene import INDICES, Cube, Scene
from bocage.scene.indices import bands_of
from bocage.shelf import did_you_mean
from bocage.words import quantity


def trends_of(
    recipes: Sequence[Recipe],
    parcels: tuple[Path, str],
    out: Path,
    settings: Settings,
    source: str = "",
    progress: Progress = QUIET,
) -> ParcelTrends:
    """Compute trends and anomalies in parcels, and write them to a folder.

    Parameters
    ----------
    recipes
        Recipes with the imagery, of all their sites; years can be in one source or in several recipes.
    parcels
        Vector file, and the field that names a parcel (empty: they are numbered).
    source
        Name of the source in each recipe; empty: the only dated one with the bands of the index.

    Raises
    ------
    FinishError
        The parcels cannot be read or are outside the imagery, or no source of a recipe has dates and the bands of the index.
    """
    first, observed = None, []
    for recipe in recipes:
        for scene in _scenes(recipe, progress):
            cube = cube_for(_chosen(scene, settings, source, recipe.path), settings)
            zones = read_zones(*parcels, cube.grid, progress if first is None else QUIET)
            first = first or (zones, cube.grid)
            observed.append(observe(cube, zones, settings, progress))
    assert first is not None
    together = Observations.together(observed)
    seasons = yearly(together, settings)
    if not together.clear.any():
        raise FinishError(
            f"{parcels[0]}: no parcel has a clear pixel in the season. Check that the parcels are on the imagery."
        )
    found = ParcelTrends(*first, seasons, trends(seasons, settings.statistic, progress), settings)
    _report(found, progress)
    layout = TrendsLayout(out)
    with held(out):
        layout.summary.unlink(missing_ok=True)
        found.write(layout)
        about = {
            "recipes": [str(one.path) for one in recipes],
            "parcels": str(parcels[0]),
            "settings": asdict(settings),
        }
        write_json(layout.summary, about | {"years": list(seasons.years), "parcels_without_trend": found.without})
    return found


def _scenes(recipe: Recipe, progress: Progress) -> Iterator[Scene]:
    for part in [recipe.part(site) for site in recipe.sites] or [recipe]:
        yield open_scene(part, progress)


def _chosen(scene: Scene, settings: Settings, source: str, recipe: Path) -> Cube:
    """Return the source of a scene that has the index."""
    bands = bands_of(INDICES.get(settings.index))
    if source and source not in scene.cubes:
        raise FinishError(f"{recipe} has no source '{source}'.{did_you_mean(source, list(scene.cubes))}")
    able = [
        cube for name, cube in scene.cubes.items()
        if cube.source.dated and set(bands) <= set(cube.source.bands) and source in ("", name)
    ]  # fmt: skip
    if not able:
        raise FinishError(
            f"{recipe}: {f'the source {source!r} is not' if source else 'no source is'} a series with dates and the bands "
            f"{', '.join(bands)}, which the index {settings.index} needs. Name another --index or --source."
        )
    if len(able) > 1:
        names = ", ".join(cube.name for cube in able)
        raise FinishError(f"{recipe}: the sources {names} have the bands of {settings.index}. Name one with --source.")
    return able[0]


def _report(found: ParcelTrends, progress: Progress) -> None:
    """Report parcels without a trend, and years that are too few."""
    years, settings = found.years, found.settings
    progress.say(
        f"{quantity(len(found.parcels), 'parcel')}, {years.years[0]} to {years.years[-1]}: "
        f"{quantity(int(years.dates.sum()), 'clear observation')}."
    )
    missing = np.isnan(years.values[settings.statistic])
    if missing.any():
        progress.say(
            f"{int(missing.sum())} of {missing.size} seasons have fewer than {settings.dates} clear dates or a gap of more than "
            f"{settings.gap} days, and no value."
        )
    if FEWEST <= len(years.years) < CERTAIN:
        progress.say(f"{len(years.years)} years: slopes have no 95 % interval, which needs {CERTAIN} years or more.")
    if found.without:
        progress.say(
            f"{len(found.without)} of {len(found.parcels)} parcels have fewer than {FEWEST} years with a value, and no trend: "
            f"{listed(found.without)}."
        )
