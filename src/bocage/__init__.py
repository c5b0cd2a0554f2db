"""Bocage: land-cover maps of agricultural landscapes from the imagery and the few polygons that people have.

Importing the package does no work. ``bocage.recipe("recipe.toml")`` opens a recipe in Python (:mod:`bocage.api`).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bocage.api import recipe

__version__ = "0.1.0"
__all__ = ["__version__", "recipe"]


def __getattr__(name: str) -> object:
    """Import ``bocage.recipe`` when it is used; the package of this name can be called."""
    if name != "recipe":
        raise AttributeError(f"module 'bocage' has no attribute '{name}'")
    from importlib import import_module

    return import_module("bocage.recipe")
