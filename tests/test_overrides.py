"""Settings of the command line that replace those of a recipe."""

import datetime
import json
import tomllib

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bocage import api
from bocage.cli.main import COMMANDS, cli, main
from bocage.errors import RecipeError
from bocage.recipe import read_recipe
from bocage.recipe.overrides import Override
from bocage.recipe.writing import toml_text
from bocage.redaction import redacted

SCALARS = (
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.dates()
    | st.datetimes()
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_a_written_table_is_read_as_it_was(table):
    assert tomllib.loads(toml_text(table)) == table


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("training.epochs=20", ("training", "epochs"), 20),
        ("split.train = 0.25", ("split", "train"), 0.25),
        ("model.name=random_forest", ("model", "name"), "random_forest"),
        ('model.name="gru"', ("model", "name"), "gru"),
        ("sources.s2.clear=[4, 5]", ("sources", "s2", "clear"), [4, 5]),
        ("sources.'my scene'.fill={ every = 10 }", ("sources", "my scene", "fill"), {"every": 10}),
        ("scene.start=2021-02-01", ("scene", "start"), datetime.date(2021, 2, 1)),
        ("map.keep_windows=false", ("map", "keep_windows"), False),
        ("reference.path=../field data/2021.gpkg", ("reference", "path"), "../field data/2021.gpkg"),
        ("reference.where=crop = 'maize'", ("reference", "where"), "crop = 'maize'"),
        ("reference.where=", ("reference", "where"), None),
        ('reference.where=""', ("reference", "where"), ""),
        ("name=1\nextra = 2", ("name",), "1\nextra = 2"),
        ("compare.0.model.name=gru", ("compare", "0", "model", "name"), "gru"),
    ],
)
def test_a_value_is_toml_or_a_text(text, key, value):
    assert Override.of(text) == Override(key, value)
    assert Override.of(Override.of(text).text) == Override(key, value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs", "--set epochs: write KEY=VALUE"),
        ("=3", "the key '' is not valid"),
        ("training..epochs=3", "the key 'training..epochs' is not valid"),
        ("a\nb=2", "is not valid"),
        ("sources.s2.clear=[4, 5", "[4, 5 is not a value of TOML; close its brackets"),
        ("training.epoch=3", "training.epoch: unknown key. Did you mean 'epochs'?"),
        ("training.epoch=3", "(from --set training.epoch=3)"),
        ("training.epochs=many", '(from --set training.epochs="many")'),
        ("training.epochs=-1", "(from --set training.epochs=-1)"),
        ("name.first=x", "name is a value, not a table"),
        ("legend.classes.7.name=x", "legend.classes is a list; its entries are numbered 0 to 2, found '7'"),
        ("legend.classes.1=", "legend.classes is a list; its entries cannot be removed"),
        ("grid.crs=EPSG:32740", "grid: give either 'like' (a source) or 'crs'"),
        ("grid.crs=EPSG:32740", '(from --set grid.crs="EPSG:32740")'),
    ],
)
def test_an_unusable_setting_is_refused_as_in_the_recipe_and_named(recipe, text, said):
    with pytest.raises(RecipeError) as caught:
        read_recipe(recipe(), [text])
    assert said in str(caught.value)


def test_other_problems_do_not_name_the_option(recipe):
    path = recipe(**{"train = 0.5": "train = 7"})
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, ["training.epochs=3"])
    assert "'train' must be above 0" in str(caught.value)
    assert "--set" not in str(caught.value)


def test_settings_replace_and_complete_the_recipe_in_their_order(recipe, landscape):
    given = [
        "training.epochs=3",
        "split.draws=1",
        "training.epochs=5",
        "evaluation.importance=0",
        "reference.path=p.gpkg",
    ]
    parsed = read_recipe(recipe(), [*given, "legend.classes.1.name=grass", "sources.s2.clear=[4, 5]"])
    assert (parsed.choice.training.epochs, parsed.split.draws, parsed.evaluation.importance) == (5, 1, 0)
    assert parsed.legend.names == ("maize", "grass", "water")
    assert parsed.reference.path == landscape / "p.gpkg"  # relative to the folder of the recipe, as in the recipe
    assert parsed.overrides[:2] == ("split.draws=1", "training.epochs=5")


def test_a_setting_without_a_value_is_removed(recipe, landscape):
    path = recipe(**{"tile = 32": "tile = 32\nsets = 0.9"})
    assert read_recipe(path).map.sets == 0.9
    parsed = read_recipe(path, ["map.sets="])
    assert (parsed.map.sets, parsed.map.tile, parsed.overrides) == (None, 32, ("map.sets=",))
    assert read_recipe(path, ["map.sets=0.8", "map.sets="]).map.sets is None
    assert read_recipe(path, ["map.sets=", "map.sets=0.8"]).map.sets == 0.8
    again = landscape / "again.toml"
    again.write_text(parsed.text)
    assert read_recipe(again).map == parsed.map
    assert api.recipe(path, landscape / "out", settings={"map.sets": None}).recipe.map.sets is None


def test_the_text_of_a_recipe_with_settings_is_the_recipe_that_is_used(recipe, landscape):
    given = ["training.epochs=5", 'model={ name = "gru", units = 8 }', "name=other\nname"]
    parsed = read_recipe(recipe(), given)
    again = landscape / "again.toml"
    again.write_text(parsed.text)
    assert "#   --set training.epochs=5\n" in parsed.text
    other = read_recipe(again)
    for part in ("name", "choice", "sources", "grid", "legend", "split", "map", "reference"):
        assert getattr(other, part) == getattr(parsed, part)
    assert read_recipe(recipe()).text == recipe().read_text()  # with its comments, without overrides


def commands_with_a_recipe():
    for name in COMMANDS:
        command = cli.get_command(None, name)
        takes = any(parameter.name in ("recipe", "recipes", "run") for parameter in command.params)
        if takes and name not in ("view", "qgis", "simulate"):  # a folder as it is, and recipes to write
            yield name


def test_every_command_that_takes_a_recipe_takes_settings():
    named = list(commands_with_a_recipe())
    assert {"run", "train", "map", "check", "plan", "finish", "adapt", "compare", "pretrain", "sample-design"} <= set(
        named
    )
    for name in named:
        assert any("--set" in parameter.opts for parameter in cli.get_command(None, name).params), name


def test_a_command_refuses_a_setting_in_one_line(recipe):
    found = CliRunner().invoke(cli, ["plan", str(recipe()), "--set", "training.epoch=3"], standalone_mode=False)
    assert isinstance(found.exception, RecipeError)


def test_check_reports_a_setting(recipe, capsys):
    assert main(["check", str(recipe()), "--set", "grid.like=s3", "--json"]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any('--set grid.like="s3"' in str(one) for one in findings)


@pytest.mark.slow
def test_a_run_is_recorded_and_continued_with_its_settings(recipe, tmp_path, capsys):
    path, out = recipe(), tmp_path / "out"
    used = ["--set", "split.draws=1", "--set", "evaluation.importance=0"]
    assert main(["run", str(path), "--out", str(out), *used]) == 0
    stored = tomllib.loads((out / "recipe.toml").read_text())
    assert (stored["split"]["draws"], stored["evaluation"]["importance"]) == (1, 0)
    record = json.loads((out / "provenance.json").read_text())
    assert record["overrides"] == ["split.draws=1", "evaluation.importance=0"]
    capsys.readouterr()

    assert main(["run", str(path), "--out", str(out)]) == 1  # without the settings, it is another recipe
    assert "it differs in: evaluation, split" in capsys.readouterr().err
    assert main(["run", str(path), "--out", str(out), *used[:2], "--set", "evaluation.importance=50"]) == 1
    assert "it differs in: evaluation)" in capsys.readouterr().err

    assert main(["report", str(out), "--set", "report.language=fr"]) == 0
    assert 'lang="fr"' in (out / "report.html").read_text()
    assert main(["run", str(path), "--out", str(out), *used]) == 0
    assert "train/0: up to date" in capsys.readouterr().err


@pytest.mark.slow
def test_finish_with_a_folder_keeps_the_settings_of_its_run_and_records_its_own(recipe, tmp_path):
    path, out = recipe(), tmp_path / "out"
    used = ["--set", "split.draws=1", "--set", "evaluation.importance=0"]
    assert main(["run", str(path), "--out", str(out), *used]) == 0
    assert main(["finish", str(out), "--set", 'finish.formats=["gpkg"]', "--set", "finish.sieve=4"]) == 0
    assert (out / "finish/polygons.gpkg").exists()
    finishing = json.loads((out / "provenance.json").read_text())["finishing"]
    assert (finishing["sieve"], finishing["formats"]) == (4, ["gpkg"])
    assert main(["run", str(path), "--out", str(out), *used]) == 0
    assert json.loads((out / "provenance.json").read_text())["finishing"] == finishing


def test_a_secret_of_a_setting_is_shown_nowhere(recipe):
    address = "reference.path=postgresql://me:very-secret@host/base"
    parsed = read_recipe(recipe(), [address])
    assert "postgresql://me:***@host/base" in redacted(parsed.text)
    with pytest.raises(RecipeError) as caught:
        read_recipe(recipe(), ["reference.token=another-secret-word"])
    assert "another-secret-word" not in str(caught.value)
