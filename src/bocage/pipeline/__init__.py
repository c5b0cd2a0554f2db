"""A recipe → a run: the whole flow, one call per room (``flow``); it parses the recipe and keeps the run's folder."""

from bocage.pipeline.contest import compare_models
from bocage.pipeline.flow import map_with, open_run, prepare, run
from bocage.pipeline.opening import open_scene
from bocage.pipeline.recipe import Recipe, read_recipe
from bocage.pipeline.stages import STAGES, Run
from bocage.pipeline.transfer import adapt_to, pretrain_on
from bocage.pipeline.validation import design_sample, evaluate_sample

__all__ = [
    "STAGES",
    "Recipe",
    "Run",
    "adapt_to",
    "compare_models",
    "design_sample",
    "evaluate_sample",
    "map_with",
    "open_run",
    "open_scene",
    "prepare",
    "pretrain_on",
    "read_recipe",
    "run",
]
