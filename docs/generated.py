"""Pages that come from the code: shelves, commands, packages, tables of settings, and the glossary in two languages."""

import importlib
import inspect
import pkgutil
import runpy
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

import bocage
from bocage.cli.main import COMMANDS, cli
from bocage.evaluation import METRICS
from bocage.mapping import WRITERS
from bocage.models import MODELS
from bocage.scene import INDICES
from bocage.shelf import Shelf
from bocage.sources import SENSORS
from setting_tables import nested, recipe_tables, table

DOCS = Path(__file__).parent
FOLDERS = ("shelves", "commands", "api", "tables", "terms", "drawings", "example_pages")
"""Folders that hold only generated files."""
SHELVES: dict[str, tuple[Shelf[Any], str]] = {
    "sensors": (SENSORS, "[sources.<name>]"),
    "models": (MODELS, "[model]"),
    "indices": (INDICES, ""),
    "metrics": (METRICS, ""),
    "writers": (WRITERS, ""),
}
"""Shelf → its entries, and the table of the recipe that has their settings."""


def write_pages() -> None:
    """Write every generated page, and the drawings of the explanations."""
    for folder in FOLDERS:
        (DOCS / folder).mkdir(exist_ok=True)
    for plural, (shelf, place) in SHELVES.items():
        _write(f"shelves/{plural}", shelf_page(plural, shelf, place))
    _write("commands/index", index_page("Commands", COMMANDS))
    for name in COMMANDS:
        _write(f"commands/{name}", command_page(name))
    _write("api/index", index_page("Python packages", packages()))
    for package in packages():
        _write(f"api/{package}", package_page(package))
    for name, text in recipe_tables().items():
        _write(f"tables/{name}", text)
    for language, page in (("en", "glossary"), ("fr", "glossaire")):
        _write(f"terms/{page}", glossary_page(language))
    for script in sorted((DOCS / "gallery").glob("draw_*.py")):
        runpy.run_path(str(script), run_name="__main__")


def _write(name: str, text: str) -> None:
    """Write a page if its text changed, so that Sphinx does not read it again."""
    path = DOCS / f"{name}.md"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def shelf_page(plural: str, shelf: Shelf[Any], place: str) -> str:
    """Return the page of a shelf: each entry with its documentation and its settings in the recipe table `place`."""
    lines = [
        f"# {plural.capitalize()}",
        "",
        f'`bocage {plural}` lists them. Write `"its.module:name"` in a recipe to use your own.',
        "",
    ]
    for name in shelf:
        found = shelf.get(name)
        thing = getattr(found, "module", found)  # the module of a network
        lines += [f"## {name}", ""]
        if hasattr(thing, "__file__"):
            lines += ["```{eval-rst}", f".. automodule:: {thing.__name__}", "   :no-members:", "```", ""]
            lines += _settings(thing, place)
        else:
            signature = f"`{name}({', '.join(thing.__annotations__)})`".replace(", return", "")
            lines += [signature, "", thing.__doc__ or "", ""]
    return "\n".join(lines)


def _settings(thing: object, place: str) -> list[str]:
    """Return the table of the settings of a sensor or a model, and of its nested tables."""
    kind = getattr(thing, "Settings", None) or getattr(thing, "Config", None)
    if kind is None:
        return []
    lines = [f"Settings in `{place}`:", "", table(kind)]
    for name, inner in nested(kind):
        lines += [f"Each table of `{name}` has these settings:", "", table(inner)]
    return lines


def command_page(name: str) -> str:
    """Return the page of a command: its usage, its help and examples, and a table of its options."""
    with click.Context(cli, info_name="bocage") as parent:
        command = cli.get_command(parent, name)
        assert command is not None
        context = click.Context(command, info_name=name, parent=parent)
        usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
        options = [
            option.get_help_record(context)
            for option in command.get_params(context)
            if isinstance(option, click.Option)
        ]
    about, _, examples = inspect.cleandoc(command.help or "").partition("\b\nExamples:\n")
    lines = [f"# bocage {name}", "", "```sh", usage, "```", "", about.strip(), ""]
    if examples:
        lines += ["## Examples", "", "```sh", inspect.cleandoc(f"\n{examples}"), "```", ""]
    lines += ["## Options", "", "| option | meaning |", "| --- | --- |"]
    lines += [f"| `{record[0]}` | {_cell(record[1])} |" for record in options if record]
    return "\n".join(lines) + "\n"


def index_page(title: str, names: Iterable[str]) -> str:
    """Return a page with the table of contents of the pages `names` in its folder."""
    return "\n".join([f"# {title}", "", "```{toctree}", ":maxdepth: 1", "", *names, "```", ""])


def _cell(text: str) -> str:
    """Return a text as one cell of a table in Markdown."""
    return text.replace("|", r"\|").replace("<", r"\<").replace("*", r"\*")


def packages() -> Iterator[str]:
    """Yield the packages and modules of Bocage that declare public names."""
    for found in pkgutil.iter_modules(bocage.__path__):
        if found.name == "errors" or getattr(importlib.import_module(f"bocage.{found.name}"), "__all__", ()):
            yield found.name


def package_page(package: str) -> str:
    """Return the page of a package, with the documentation of its public names."""
    directive = [f".. automodule:: bocage.{package}", "   :members:", "   :show-inheritance:"]
    return "\n".join([f"# bocage.{package}", "", "```{eval-rst}", *directive, "```", ""])


def glossary_page(language: str) -> str:
    """Return the glossary in a language, sorted by its terms, each with the term of the other language."""
    words = tomllib.loads((DOCS / "glossary.toml").read_text(encoding="utf-8"))
    other = "fr" if language == "en" else "en"
    lines = [words["title"][language], "", words["about"][language], ""]
    for term in sorted(words["term"], key=lambda term: _plain(term[language])):
        lines += [term[language], f": *{words['other'][language]} {term[other]}.* {term[f'{language}_text']}", ""]
    return "\n".join(lines)


def _plain(term: str) -> str:
    """Return a term as it is sorted: in lower case and without accents."""
    return term.lower().translate(str.maketrans("éèêàâçîôû", "eeeaaciou")).strip("'’")
