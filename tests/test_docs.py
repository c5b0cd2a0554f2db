"""The documentation agrees with the code: settings, commands and recipes."""

import ast
import dataclasses
import re
import shlex
import tomllib
from pathlib import Path
from textwrap import dedent
from typing import get_args

import click
import numpy as np
import pytest
from click.testing import CliRunner

from bocage.advice.causes import Cause
from bocage.api import Project
from bocage.cli.main import COMMANDS, cli
from bocage.models import MODELS
from bocage.recipe import Recipe
from bocage.recipe.nouns import Repetition
from bocage.recipe.parse import SECTIONS
from bocage.sources import SENSORS
from bocage.testing import check_sensor, write_raster

pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
from docutils import nodes
from docutils.utils import new_document

from built import foreign_addresses, show_commands
from generated import FOLDERS, command_page, glossary_page, packages
from setting_tables import field_docs, nested, recipe_kinds, recipe_tables, table, type_name

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*/*.md"))]
PAGES = [page for page in PAGES if page.parent.name not in (*FOLDERS, "_build")]
SENSOR_SETTINGS = {name: SENSORS.get(name).Settings for name in SENSORS}
MODEL_SETTINGS = {name: MODELS.get(name).Config for name in MODELS}
SHELVES = [*SENSOR_SETTINGS.values(), *MODEL_SETTINGS.values()]
KINDS = [
    Recipe,
    *(kind for kinds in recipe_kinds().values() for kind in kinds),
    *SHELVES,
    *(inner for kind in SHELVES for _, inner in nested(kind)),
]


def names(kind):
    return {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_setting_has_a_docstring(kind):
    assert names(kind) <= set(field_docs(kind))


def rows(text):
    return [line.split(" | ")[0].strip("| `") for line in text.splitlines()[2:]]


def test_every_setting_of_a_recipe_is_in_its_table():
    assert set(SECTIONS) < set(recipe_tables())
    for name, (kind, _) in SECTIONS.items():
        assert set(rows(recipe_tables()[name])) == names(kind)


@pytest.mark.parametrize("kind", SHELVES, ids=lambda kind: kind.__module__)
def test_every_setting_of_a_sensor_or_model_is_in_its_table(kind):
    assert set(rows(table(kind))) == names(kind)


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("map", '| `layers` | list: text | `["classes", "confidence"]` |'),
        ("map", "| `keep_windows` | `true`, `false` | `true` |"),
        ("grid", "| `bounds` | list of 4: number | none |"),
        ("legend.classes", "| `values` | list: integer or text | `[]` |"),
        ("split", '| `unit` | `"polygon"`, `"block"`, `"pixel"` | `"polygon"` |'),
        ("sources", "| `fill` | table | none |"),
        ("sources.fill", "| `start` | date | required | First regular date. |"),
    ],
)
def test_a_row_has_type_default_and_meaning_as_in_toml(name, row):
    assert row in recipe_tables()[name]


def test_the_default_of_a_list_of_tables_is_shown_as_toml():
    members = '`[{ network = "gru", source = "s1" }, { network = "gru", source = "s2" }]`'
    assert f"| `members` | list: table | {members} |" in table(MODEL_SETTINGS["fusion"])


def test_a_type_that_the_tables_cannot_name_is_an_error():
    with pytest.raises(KeyError):
        type_name(complex)


def test_the_page_of_the_recipe_includes_every_table_of_settings():
    included = re.findall(r"\{include\} \.\./tables/(\S+)\.md", (ROOT / "docs/guide/recipe.md").read_text())
    assert sorted(included) == sorted(recipe_tables())


def blocks(page):
    """Return first line (language or directive) and content of each fenced block, also of those in lists."""
    found = re.findall(r"^ *```([^\n]*)\n(.*?)^ *```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, dedent(block)) for language, block in found]


def command_lines():
    for page in PAGES:
        text = page.read_text()
        shown = [line for language, block in blocks(page) if language != "toml" for line in block.splitlines()]
        shown += re.findall(r"^    (.+)", text, re.MULTILINE) + re.findall(r"`([^`\n]+)`", text)
        for line in shown:
            for part in re.split(r" && |  #", line):
                if match := re.match(r"(?:\.venv/bin/)?bocage ([a-z][a-z-]*.*)", part.strip()):
                    yield pytest.param(match[1], id=f"{page.name}: {match[1]}")


@pytest.mark.parametrize("line", list(command_lines()))
def test_commands_in_the_documentation_exist_with_their_options(line):
    command, *arguments = shlex.split(line)
    assert command in COMMANDS
    with click.Context(cli) as context:
        parameters = cli.get_command(context, command).params
    options = {option for parameter in parameters for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= options


def outputs_of(text):
    """Return (command, folder) of each command of a text that writes a model or a map into a folder of its own."""
    for line in text.splitlines():
        match = re.match(r"(?:\.venv/bin/)?bocage ((?:adapt|map) .*--out \S+.*)", line.strip())
        if match and "--overwrite" not in match[1] and ("--model" in match[1] or match[1].startswith("adapt")):
            words = shlex.split(match[1], comments=True)
            yield words[0], words[words.index("--out") + 1]


def test_the_commands_of_a_page_can_be_run_one_after_the_other():
    texts = {page.name: page.read_text() for page in PAGES}
    for name in COMMANDS:
        with click.Context(cli) as context:
            texts[name] = cli.get_command(context, name).help
    written = {name: list(outputs_of(text)) for name, text in texts.items()}
    assert sum(map(len, written.values())) > 8
    assert {name: found for name, found in written.items() if len(found) != len(set(found))} == {}


def recipes():
    for page in PAGES:
        for number, block in enumerate(text for language, text in blocks(page) if language == "toml"):
            yield pytest.param(tomllib.loads(block), id=f"{page.name}, {number}")


@pytest.mark.parametrize("recipe", list(recipes()))
def test_recipes_in_the_documentation_have_known_settings(recipe):
    known = {name: set().union(*map(names, kinds)) for name, kinds in recipe_kinds().items()}
    for name in set(recipe) - {"name", "sources", "model", "compare", "site"}:
        assert set(recipe[name]) <= known[name]
    for site in recipe.get("site", []):
        assert set(site) <= known["site"] | {"grid", "sources", "reference"}
        for name in set(site) & {"grid", "reference"}:
            assert set(site[name]) <= known[name]
    for source in [one for part in (recipe, *recipe.get("site", [])) for one in part.get("sources", {}).values()]:
        assert set(source) <= known["sources"] | names(SENSOR_SETTINGS[source["sensor"]])
    for other in recipe.get("compare", []):
        assert set(other) <= {"label", "model", "training"}
    for model in (other["model"] for other in [*recipe.get("compare", []), recipe] if "model" in other):
        for part in model["members"] if model["name"] == "mixture" else [model]:
            extra = {"count", "training"} if part is not model else names(Repetition)
            assert set(part) <= {"name"} | extra | names(MODEL_SETTINGS[part["name"]])
            if model["name"] == "regional":
                assert set(model["member"]) <= {"name"} | names(MODEL_SETTINGS[model["member"]["name"]])


def test_settings_that_the_text_names_with_their_table_exist():
    pairs = {pair for page in PAGES for pair in re.findall(r"`\[(\w+)\] (\w+)", page.read_text())}
    known = {name: set().union(*map(names, kinds)) for name, kinds in recipe_kinds().items()}
    assert len(pairs) > 5
    assert [pair for pair in sorted(pairs) if pair[1] not in known[pair[0]]] == []


@pytest.mark.slow
def test_the_page_of_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs/guide/python.md"
    cells = [code for language, code in blocks(page) if language.startswith("{code-cell}")]
    assert len(cells) > 10
    names_of_page = {}
    for cell in cells:
        lines = [line for line in cell.splitlines() if not line.startswith(":tags:")]
        exec("\n".join(lines), names_of_page)
    methods = {name for name in vars(Project) if not name.startswith("_") and callable(getattr(Project, name))}
    used = set(re.findall(r"\.(\w+)\(", page.read_text()))
    assert methods <= used  # the page shows every method


def test_the_version_is_in_one_place():
    citation = (ROOT / "CITATION.cff").read_text()
    assert {line.split(":")[0] for line in citation.splitlines()} >= {"cff-version", "message", "title", "authors"}
    assert "\nversion:" not in citation
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_the_guide_is_written(shell):
    line = f"_BOCAGE_COMPLETE={shell}_source bocage"
    assert line in (ROOT / "docs/guide/install.md").read_text()
    found = CliRunner().invoke(cli, prog_name="bocage", env={"_BOCAGE_COMPLETE": f"{shell}_source"})
    assert f"_BOCAGE_COMPLETE={shell}_complete" in found.output


def links():
    for page in [*PAGES, ROOT / "CHANGELOG.md", ROOT / "docs/index.md"]:
        for link in re.findall(
            r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
        ):
            if not link.startswith(("http:", "https:", "mailto:")):
                yield pytest.param(page, link, id=f"{page.name}: {link}")


def anchors(text):
    """Return the anchors of the headings, as MyST names them, and those that the page sets itself."""
    headings = re.findall(r"^#{1,4} (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    return {*plain, *re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)}


@pytest.mark.parametrize(("page", "link"), list(links()))
def test_links_lead_to_a_page_of_the_repository_or_of_the_build(page, link):
    target, _, anchor = link.partition("#")
    path = (page.parent / target).resolve() if target else page
    if path.parent.name in FOLDERS and path.parent.parent == ROOT / "docs":
        known = {
            "api": set(packages()),
            "commands": set(COMMANDS),
            "terms": {"glossary", "glossaire"},
            "example_pages": {"index"},
        }
        assert path.stem in known[path.parent.name]
    else:
        assert path.exists()
        assert not anchor or anchor in anchors(path.read_text())


def sentences():
    """Return the texts of the code and of the word lists, with <> for each inserted value."""
    found = set()
    for path in sorted([*(ROOT / "src/bocage").rglob("*.py"), *(ROOT / "qgis/bocage").glob("*.py")]):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "<>" for part in node.values)
                found.add("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(re.sub(r"\{\w+\}", "<>", node.value))  # texts with fields, as those of the plugin
    words = tomllib.loads((ROOT / "src/bocage/words/en.toml").read_text())
    found |= {re.sub(r"\{[^}]*\}", "<>", text) for text in words.values()}
    return "\0".join(re.sub(r"(<>)+", "<>", text) for text in found)


@pytest.mark.slow
def test_messages_on_the_page_of_troubleshooting_exist_in_the_code():
    page = ROOT / "docs/howto/troubleshooting.md"
    quoted = [line for language, block in blocks(page) if language == "text" for line in block.splitlines()]
    known = sentences()
    assert len(quoted) > 30
    assert [line for line in quoted if re.sub(r"(<…>)+", "<>", line) not in known] == []


def test_the_page_of_a_command_has_its_usage_examples_and_options():
    page = command_page("zones")
    assert "bocage zones [OPTIONS]" in page
    assert "bocage zones runs/" in page.partition("## Examples")[2]
    assert "| `--field TEXT` |" in page


def test_every_command_has_a_page_with_each_of_its_options():
    for name in COMMANDS:
        with click.Context(cli) as context:
            command = cli.get_command(context, name)
        options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        assert [option for option in sorted(options) if option not in command_page(name)] == []


def test_the_glossaries_have_the_same_terms_in_both_languages():
    terms = tomllib.loads((ROOT / "docs/glossary.toml").read_text())["term"]
    for language, other in (("en", "fr"), ("fr", "en")):
        page = glossary_page(language)
        for term in terms:
            assert re.search(
                rf"^{re.escape(term[language])}\n: \*[^\n]* {re.escape(term[other])}\.\* \w", page, re.MULTILINE
            )
    assert len({term["en"] for term in terms}) == len({term["fr"] for term in terms}) == len(terms)


def test_the_tutorial_is_the_same_in_both_languages():
    english, french = (
        [block for language, block in blocks(ROOT / "docs" / page) if language == "{code-cell}"]
        for page in ("tutorial/first-map.md", "fr/premiere-carte.md")
    )
    assert len(english) > 10
    assert english == french


def test_every_page_of_the_guide_is_in_the_navigation():
    listed = set()
    for page in [*PAGES, ROOT / "docs/index.md"]:
        for language, block in blocks(page):
            if language == "{toctree}":
                entries = [re.sub(r".*<(.+)>", r"\1", line) for line in block.splitlines() if line and line[0] != ":"]
                listed |= {path for entry in entries for path in page.parent.glob(f"{entry}.md")}
    pages = {page for page in PAGES if ROOT / "docs" in page.parents} - {ROOT / "docs/developers/index.md"}
    assert sorted(pages - {path.resolve() for path in listed}) == []


def test_shell_commands_of_a_notebook_are_shown_as_typed_in_a_terminal():
    document = new_document("page")
    document += [nodes.literal_block(text, text) for text in ("!ls images\n!bocage run", "not_equal = a != b")]
    show_commands(document)
    assert [block.astext() for block in document] == ["ls images\nbocage run", "not_equal = a != b"]


@pytest.mark.parametrize(
    ("html", "addresses"),
    [
        ('<script src="https://cdn.example/a.js"></script>', ["https://cdn.example/a.js"]),
        ('<link rel="stylesheet" href="//cdn.example/a.css">', ["//cdn.example/a.css"]),
        ('<img alt="" src="_images/a.png"> <a href="https://example.org">a link</a>', []),
    ],
)
def test_a_page_that_loads_from_another_server_stops_the_build(html, addresses):
    assert foreign_addresses(html) == addresses


def python_blocks():
    for page in PAGES:
        for number, block in enumerate(text for language, text in blocks(page) if language == "python"):
            yield pytest.param(block, id=f"{page.name}, {number}")


@pytest.mark.parametrize("block", list(python_blocks()))
def test_python_in_the_documentation_compiles(block):
    assert compile(block, "block", "exec")


def test_the_sensor_of_the_page_on_own_code_fulfils_the_contract(tmp_path):
    page = ROOT / "docs/howto/own-sensor-or-network.md"
    written = {"__name__": "mine"}
    exec(next(block for language, block in blocks(page) if language == "python"), written)
    for band, value in (("red", 400), ("nir", 3000)):
        for day in ("20210211", "20210311"):
            write_raster(tmp_path / f"flight_{day}_{band}.tif", np.full((1, 5, 7), value, np.uint16))
    check_sensor(written["drone"], written["Drone"].Settings(tmp_path))


def test_the_page_of_doubtful_polygons_explains_every_cause():
    page = (ROOT / "docs/howto/doubtful-polygons.md").read_text().partition("## Causes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) - {"cause"} == set(get_args(Cause))
