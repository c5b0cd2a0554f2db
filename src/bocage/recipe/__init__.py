"""Table → Recipe: the settings of a run, and their strict parser."""

from bocage.recipe.nouns import Contender, GridChoice, LegendChoice, Recipe, Site, SourceChoice
from bocage.recipe.parse import parse, read_recipe

__all__ = ["Contender", "GridChoice", "LegendChoice", "Recipe", "Site", "SourceChoice", "parse", "read_recipe"]
