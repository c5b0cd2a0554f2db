"""The scene of a recipe."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from bocage.layout import RunLayout
from bocage.progress import QUIET, Progress
from bocage.recipe import GridChoice, Recipe, SourceChoice
from bocage.scene import Scene, make_scene
from bocage.sources import SENSORS, Deriver, Readable, objects, open_source, opening_order, same_rows
from bocage.sources.until import within


def placed(recipe: Recipe, out: Path) -> Recipe:
    """Return the recipe with the objects of the run's folder `out` as those of its sources of objects that name no folder."""
    sources = {
        name: replace(choice, settings=replace(choice.settings, path=RunLayout(out).objects.path))
        if objects.of_the_run(choice.settings)
        else choice
        for name, choice in recipe.sources.items()
    }
    return recipe if recipe.sites else replace(recipe, sources=sources)


def open_scene(recipe: Recipe, progress: Progress = QUIET, out: Path | None = None) -> Scene:
    """Open the sources of the recipe, and return the scene on the grid of the map.

    Parameters
    ----------
    out
        Folder of the run, for sources of objects; default: that of the recipe.

    Raises
    ------
    RecipeError
        The recipe has several sites.
    """
    recipe.check_single()
    recipe = placed(recipe, out or recipe.out)
    return scene_of(recipe.grid, recipe.sources, progress)


def read_for(choices: Mapping[str, SourceChoice], names: Iterable[str]) -> dict[str, SourceChoice]:
    """Return the sources of some names, and those that they are derived from: the settings of a derived source name them."""
    found: dict[str, SourceChoice] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name not in found:
            choice = found[name] = choices[name]
            named = vars(choice.settings).values() if isinstance(SENSORS.get(choice.sensor), Deriver) else ()
            waiting += [value for value in named if isinstance(value, str) and value in choices]
    return found


def open_chosen(name: str, choice: SourceChoice, progress: Progress, others: Mapping[str, Readable]) -> Readable:
    """Open a source of a recipe, with the dates of its `period` only; `others` are the sources that it may be derived from.

    Raises
    ------
    SourceError
        The source cannot be opened, or has no date in the period.
    """
    source = open_source(name, SENSORS.get(choice.sensor), choice.settings, progress, others)
    return within(source, choice.preparation.period) if choice.preparation.period else source


def scene_of(grid: GridChoice, choices: Mapping[str, SourceChoice], progress: Progress) -> Scene:
    """Open sources, and return the scene on the grid of the map."""
    opened: dict[str, Readable] = {}
    for name in opening_order({name: SENSORS.get(choice.sensor) for name, choice in choices.items()}):
        opened[name] = open_chosen(name, choices[name], progress, opened)
    sources = {name: opened[name] for name in choices}
    shown = {note for source in sources.values() for note in source.notes}
    sources = same_rows(sources)
    scene = make_scene(grid.grid(sources), list(sources.values()), {n: c.preparation for n, c in choices.items()})
    for note in scene.notes:
        if note not in shown:
            progress.say(note)
    return scene
