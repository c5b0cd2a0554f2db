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
from recipe_tables import tables

project, author, release = "Bocage", "The Bocage authors", __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "tables"]
html_theme = "alabaster"
html_theme_options = {
    "page_width": "1160px",
    "description": "Land-cover maps from satellite imagery and a few reference polygons",
}
autodoc_typehints = "description"
autodoc_member_order = "bysource"
napoleon_numpy_docstring = True
suppress_warnings = ["ref.python"]


def _page(kind: str, plural: str, shelf: object) -> None:
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
            for member in (m for m in ("Settings", "Config") if hasattr(thing, m)):
                lines += [
                    "```{eval-rst}",
                    f".. autoclass:: {thing.__name__}.{member}",
                    "   :members:",
                    "   :inherited-members:",
                    "```",
                    "",
                ]
        else:
            lines += [
                f"`{name}({', '.join(thing.__annotations__)})`".replace(", return", ""),
                "",
                thing.__doc__ or "",
                "",
            ]
    (folder / f"{plural}.md").write_text("\n".join(lines), encoding="utf-8")


for _kind, _plural, _shelf in (
    ("sensor", "sensors", SENSORS),
    ("model", "models", MODELS),
    ("index", "indices", INDICES),
    ("metric", "metrics", METRICS),
    ("writer", "writers", WRITERS),
):
    _page(_kind, _plural, _shelf)

_folder = Path(__file__).parent / "tables"
_folder.mkdir(exist_ok=True)
for _name, _table in tables().items():
    (_folder / f"{_name}.md").write_text(_table, encoding="utf-8")
