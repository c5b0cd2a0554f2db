"""The package ``bocage.recipe`` as a function: ``import bocage as bg; bg.recipe("recipe.toml")``.

Python binds an imported subpackage to its name in the parent package. A function of this name would be replaced by the first
import of the subpackage, so the package itself can be called.
"""

from importlib import import_module
from types import ModuleType
from typing import Any


class CallablePackage(ModuleType):
    """A module that opens a recipe when it is called."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        """Open a recipe, as :func:`bocage.api.recipe`."""
        return import_module("bocage.api").recipe(*arguments, **settings)
