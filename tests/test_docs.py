"""The documentation agrees with the code: settings, commands and recipes."""

import dataclasses
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bocage.api import Project
from bocage.cli.main import COMMANDS, cli
from bocage.models import MODELS
from bocage.recipe import Recipe
from bocage.recipe.nouns import Repetition
from bocage.recipe.parse import SECTIONS
from bocage.sources import SENSORS

pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
from setting_tables import field_docs, nested, recipe_kinds, recipe_tables, table, type_name

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*/*.md"))]
PAGES = [page for page in PAGES if page.parent.name not in ("shelves", "tables")]
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
    """Return first line (language or directive) and content of each fenced block."""
    return re.findall(r"^```([^\n]*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


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
