"""A recipe → a run: the whole flow, one call per room (``flow``); it parses the recipe and keeps the run's folder."""

from bocage.pipeline.flow import map_with, open_run, prepare, run
from bocage.pipeline.opening import open_scene
from bocage.pipeline.recipe import Recipe, read_recipe
from bocage.pipeline.stages import STAGES, Run

__all__ = ["STAGES", "Recipe", "Run", "map_with", "open_run", "open_scene", "prepare", "read_recipe", "run"]
