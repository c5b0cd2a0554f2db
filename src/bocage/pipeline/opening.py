"""Before the stages: the scene opened, the run's folder claimed, what pays prepared on disk."""

import time
from pathlib import Path

from bocage.pipeline.recipe import Recipe
from bocage.pipeline.runfolder import RunFolder, digest, input_fingerprints
from bocage.progress import QUIET, Progress
from bocage.scene import Prepared, Scene, make_scene, prepare_scene
from bocage.sources import SENSORS, Readable, derived_last, image, open_source


def open_scene(recipe: Recipe, progress: Progress = QUIET) -> Scene:
    """Open the recipe's sources and lay them on the map's grid."""
    opened: dict[str, Readable] = {}
    for name in derived_last({name: choice.sensor for name, choice in recipe.sources.items()}):
        choice = recipe.sources[name]
        opened[name] = open_source(name, SENSORS.get(choice.sensor), choice.settings, progress, opened)
    sources = {name: opened[name] for name in recipe.sources}
    scene = make_scene(
        recipe.grid.grid(sources), list(sources.values()), {n: c.preparation for n, c in recipe.sources.items()}
    )
    told = {note for source in sources.values() for note in source.notes}
    for note in scene.notes:
        if note not in told:
            progress.say(note)
    return scene


def claim(recipe: Recipe, out: Path, progress: Progress, overwrite: bool) -> tuple[Scene, RunFolder, dict[str, str]]:
    """Open the scene and take the folder; return what every input file holds, too."""
    scene = open_scene(recipe, progress)
    if recipe.evaluation.truth:
        open_source("truth", image, image.Settings(recipe.evaluation.truth))  # told now, not at the end
    inputs = input_fingerprints(recipe, scene)
    return scene, RunFolder.claim(out, recipe, inputs, overwrite), inputs


def prepared(
    recipe: Recipe, scene: Scene, folder: RunFolder, progress: Progress, where: Path | None = None
) -> tuple[Scene, dict[str, Prepared]]:
    """Prepare what pays, in the run's folder or `where`; the stage's time is noted when there was something to do."""
    started = time.monotonic()
    ready, made = prepare_scene(scene, where or folder.path / "scene", recipe.scene, progress)
    if any(one.done for one in made.values()):
        folder.note("prepare", digest(recipe.sources, recipe.grid), time.monotonic() - started)
    for note in ready.notes[len(scene.notes) :]:
        progress.say(note)
    return ready, made
