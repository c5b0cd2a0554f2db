"""Sphinx settings. Generated before each build: ``docs/shelves`` from the registries, ``docs/tables`` from the data classes."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bocage import __version__
from bocage.evaluation import METRICS
from bocage.mapping import WRITERS
from bocage.models import MODELS
from bocage.scene import INDICES
from bocage.sources import SENSORS
from setting_tables import nested, recipe_tables, table

project, author, release = "Bocage", "The Bocage authors", __version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "force"  # the page of Python shows what this version computes
nb_execution_in_temp = True  # its run folders are not part of the documentation
nb_execution_raise_on_error = True
nb_execution_timeout = 600
exclude_patterns = ["_build", "tables"]
html_theme = "alabaster"
smartquotes = False  # values in quotation marks are copied into recipes
html_theme_options = {
    "page_width": "1160px",
    "body_max_width": "auto",
    "description": "Land-cover maps from satellite imagery and a few reference polygons",
}
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
suppress_warnings = ["ref.python"]


def _settings(thing: object, place: str) -> list[str]:
    """Return the table of the settings of a sensor or a model, and of its nested tables."""
    kind = getattr(thing, "Settings", None) or getattr(thing, "Config", None)
    if kind is None:
        return []
    lines = [f"Settings in `{place}`:", "", table(kind)]
    for name, inner in nested(kind):
        lines += [f"Each table of `{name}` has these settings:", "", table(inner)]
    return lines


def _page(plural: str, shelf: object, place: str) -> None:
    folder = Path(__file__).parent / "shelves"
    folder.mkdir(exist_ok=True)
    lines = [
        f"# {plural.capitalize()}",
        "",
        f'`bocage {plural}` lists them. Write `"its.module:name"` in a recipe to use your own.',
        "",
    ]
    for name in shelf:
        thing = shelf.get(name)
        lines += [f"## {name}", ""]
        if hasattr(thing, "__file__"):
            lines += ["```{eval-rst}", f".. automodule:: {thing.__name__}", "   :no-members:", "```", ""]
            lines += _settings(thing, place)
        else:
            lines += [
                f"`{name}({', '.join(thing.__annotations__)})`".replace(", return", ""),
                "",
                thing.__doc__ or "",
                "",
            ]
    (folder / f"{plural}.md").write_text("\n".join(lines), encoding="utf-8")


_page("sensors", SENSORS, "[sources.<name>]")
_page("models", MODELS, "[model]")
for _plural, _shelf in (("indices", INDICES), ("metrics", METRICS), ("writers", WRITERS)):
    _page(_plural, _shelf, "")

_folder = Path(__file__).parent / "tables"
_folder.mkdir(exist_ok=True)
for _name, _table in recipe_tables().items():
    (_folder / f"{_name}.md").write_text(_table, encoding="utf-8")
