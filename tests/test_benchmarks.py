"""Benchmarks follow the code that they measure: no figure of the documentation may lose its command."""

import importlib
import json
from pathlib import Path

import pytest
from benchmarks import (
    engine,
    forest,
    learning,
    memory,
    networks,
    operational,
    parts,
    patchwork,
    recipes,
    rivals,
    transfer,
)
from benchmarks.frame import Results, accuracy, plain, spread, table
from benchmarks.measuring import bocage, medians

from bocage.layout import RunLayout
from bocage.recipe import parse, read_recipe
from bocage.simulate import LEGEND, Simulation
from bocage.simulate.recipes import write_recipes

MODULES = sorted(path.stem for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py") if path.stem[0] != "_")
RECIPES = {
    "networks": lambda land: [case.table for case in networks.cases()],
    "rivals": lambda land: [rivals.recipe_of(model) for model in (*rivals.MODELS.values(), networks.TWINNS)],
    "parts": lambda land: [parts.variant_recipe(label) for label in (*parts.SETTINGS, *parts.CODE)],
    "learning": lambda land: [learning.recipe_of(name) for name in learning.SCENES],
    "transfer": lambda land: [
        *(transfer.recipe_of(tile, name, 1) for tile in transfer.TILES for name in transfer.MODELS),
        transfer.changed(land, 1, land / "few-1.gpkg"),
    ],
    "patchwork": lambda land: [
        patchwork.Case(model, 1, land / "x.parquet").recipe for model in (*patchwork.MODELS, *patchwork.PARTS)
    ],
    "memory": lambda land: [memory.quick_recipe(land)],
    "engine": lambda land: [engine.quick_recipe(land)],
    "operational": lambda land: [operational.recipe(precision) for precision in ("float32", "bfloat16")],
    "forest": lambda land: [forest.recipe()],
}
"""Benchmark → the recipes that it runs, given a landscape."""


@pytest.fixture
def land(tmp_path, monkeypatch) -> Path:
    """The recipes and the legend of a landscape, without its images."""
    lines = [f"{c.code},{c.name},{c.color},{c.parent}" for c in LEGEND.classes]
    (tmp_path / "legend.csv").write_text("\n".join(["code,name,color,parent", *lines]))
    write_recipes(Simulation(), tmp_path)
    monkeypatch.setattr(learning, "LANDSCAPE", tmp_path)
    monkeypatch.setenv("BOCAGE_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def results(tmp_path) -> Results:
    return Results("speed", tmp_path / "results", tmp_path / "locks")


@pytest.mark.parametrize("name", MODULES)
def test_imports(name):
    importlib.import_module(f"benchmarks.{name}")


@pytest.mark.parametrize(
    "name", [pytest.param("networks", marks=pytest.mark.slow), *sorted(set(RECIPES) - {"networks"})]
)
def test_recipes_parse(name, land):
    for recipe in RECIPES[name](land):
        assert parse(recipe, land).choice.name == recipe["model"]["name"]


def test_recipes_have_the_changes_of_their_benchmark(land):
    patch = parse(patchwork.Case("patchwork", 2, land / "x.parquet").recipe, land)
    assert (patch.split.seed, patch.split.fold, patch.choice.training.epochs) == (2, "fold", 40)
    assert {(c.settings.path, c.preparation.fill) for c in patch.sources.values()} == {(land / "x.parquet", None)}
    few = parse(transfer.changed(land, 1, land / "few-1.gpkg"), land)
    assert (few.reference.path, few.split.train, few.evaluation.truth) == (land / "few-1.gpkg", 0.99, None)
    small = parse(memory.quick_recipe(land), land)
    assert (small.choice.training.epochs, small.choice.config.pan_filters, small.split.rare) == (
        1,
        (16, 32, 64),
        "drop",
    )


@pytest.mark.parametrize("data", networks.SAMPLES)
def test_stored_lines_of_networks_count_as_known(data):
    cases = list(networks.cases([data]))
    assert cases
    for case in cases:
        assert Results(f"networks-{data}").known("lines", case.label)["recipe"] == plain(case.table), case.label


def test_a_recipe_written_for_a_command_reads_back(land):
    recipe = transfer.recipe_of("A", "random forest", 1)  # with dates
    written = read_recipe(recipes.write(land / "flanders.toml", {**recipe, "name": "recipe"}))
    parsed = parse(recipe, land)
    assert (written.sources, written.legend, written.choice) == (parsed.sources, parsed.legend, parsed.choice)


def test_the_ablations_of_patchwork_replace_methods_that_exist():
    assert all(hasattr(parts.ENCODER, name) for changes in parts.CODE.values() for name in changes)


def test_known_results_are_not_measured_again(results, capsys):
    results.measure(("lines", "gru"), lambda: {"overall_accuracy": [0.5, 0.7]})
    assert capsys.readouterr().out == "lines gru: 0.600 ± 0.141 [0 s]\n"
    results.measure(("lines", "lstm"), lambda: 0.25)
    results.measure(("lines", "gru"), lambda: pytest.fail("measured again"))
    content = json.loads(results.path.read_text())
    assert content["lines"] == {"gru": {"overall_accuracy": [0.5, 0.7]}, "lstm": 0.25}
    assert content["machine"]["cores"] > 0


def test_a_result_of_another_recipe_is_measured_again(results):
    for epochs in (1, 1, 2):
        results.measure(("gru",), lambda epochs=epochs: {"seconds": epochs}, {"training": {"epochs": epochs}})
    assert results.known("gru") == {"recipe": {"training": {"epochs": 2}}, "seconds": 2}
    results.measure(("gru",), lambda: pytest.fail("measured again"), {"training": {"epochs": 2}})


def test_seeds_are_measured_in_their_order(results, capsys):
    results.measure(("gru", 1), lambda: pytest.fail("measured before seed 0"))
    assert capsys.readouterr().out == "gru 1: not measured, because the results before it are missing\n"
    for seed in (0, 1):
        results.measure(("gru", seed), lambda seed=seed: 0.5 + seed)
    assert (results.known("gru"), results.known("gru", 1), results.known("gru", 2)) == ([0.5, 1.5], 1.5, None)


def test_a_line_that_another_process_measures_is_left_to_it(results, capsys):
    with results.lock("gru"):
        assert list(results.free(["gru", "lstm"])) == ["lstm"]
    assert capsys.readouterr().out == "gru: being measured by another process\n"
    assert list(results.free(["gru", "lstm"])) == ["gru", "lstm"]
    for line in results.free(["gru"]):
        assert list(Results("speed", results.folder, results.locks).free([line])) == []


def test_tables_and_spreads():
    assert spread([0.5, 0.7]) == "0.600 ± 0.141"
    assert spread([-0.25], "+") == "-0.250"
    assert spread([0.25, 0.25], "+") == "+0.250 ± 0.000"
    assert (
        table(("", "accuracy"), [("gru", 0.5), ("lstm", "")])
        == "| | accuracy |\n| --- | --- |\n| gru | 0.5 |\n| lstm | |"
    )


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (0.5, "0.500"),
        ({"overall_accuracy": {"mean": 0.6, "per_draw": [0.5, 0.7]}}, "0.600 ± 0.141"),
        ([{"overall_accuracy": 0.5}, {"overall_accuracy": 0.7}], "0.600 ± 0.141"),
        ({"seconds": 3}, ""),
    ],
)
def test_accuracy_in_a_result(result, text):
    assert accuracy(result) == text


def test_medians_of_rounds():
    values = {"gru": iter([1.0, 9.0, 2.0]), "lstm": iter([4.0, 3.0, 5.0])}
    assert medians({name: lambda name=name: next(values[name]) for name in values}, 3) == {"gru": 2.0, "lstm": 4.0}


@pytest.mark.parametrize("name", sorted(set(MODULES) - {"same"}))  # compares runs of earlier commits
def test_paths_in_a_run_come_from_its_layout(name):
    text = (Path(__file__).parents[1] / f"benchmarks/{name}.py").read_text()
    run = RunLayout(Path())
    paths = (run.split(0).model.path, run.map.layer("classes", ".tif"), run.map.checksums)
    assert not [path for path in paths if str(path) in text]


@pytest.mark.slow
def test_peak_memory_of_a_command():
    assert 10 < bocage("sensors") < 10_000
