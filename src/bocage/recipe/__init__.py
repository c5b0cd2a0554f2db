"""Table → Recipe: the settings of a run, and their strict parser."""

import sys

from bocage.recipe.calling import CallablePackage
from bocage.recipe.nouns import Contender, GridChoice, LegendChoice, Recipe, Site, SourceChoice
from bocage.recipe.overrides import words_of
from bocage.recipe.parse import parse, read_recipe, read_table

__all__ = [
    "Contender", "GridChoice", "LegendChoice", "Recipe", "Site", "SourceChoice", "parse", "read_recipe", "read_table",
    "words_of",
]  # fmt: skip

sys.modules[__name__].__class__ = CallablePackage
