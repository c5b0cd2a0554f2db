"""Recipe → objects for notebooks: ``import bocage as bg; bg.recipe("recipe.toml").map()``."""

from bocage.api.land import LandCover, Vectors
from bocage.api.project import Project, recipe
from bocage.api.scenes import Imagery
from bocage.api.season import Season
from bocage.api.tables import Accuracy, Labels, Page, Report, Training

__all__ = [
    "Accuracy",
    "Imagery",
    "Labels",
    "LandCover",
    "Page",
    "Project",
    "Report",
    "Season",
    "Training",
    "Vectors",
    "recipe",
]
