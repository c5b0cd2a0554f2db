"""Benchmarks follow the code that they measure: no figure of the documentation may lose its command."""

import importlib
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
from benchmarks import __main__ as started
from benchmarks import (
    choice,
    climate,
    contest,
    contest_entrants,
    cost,
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
    training,
    transfer,
)
from benchmarks.frame import Results, accuracy, plain, result_of, spread, table
from benchmarks.measuring import bocage, medians
from filelock import FileLock

from bocage.layout import RunLayout
from bocage.legend import LandClass, Legend
from bocage.recipe import parse, read_recipe
from bocage.samples import Samples, Split
from bocage.scene.calendar import Calendar
from bocage.simulate import LEGEND, Simulation
from bocage.simulate.recipes import write_recipes

MODULES = sorted(path.stem for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py") if path.stem[0] != "_")
RECIPES = {
    "networks": lambda land: [case.table for case in networks.cases()],
    "rivals": lambda land: [rivals.recipe_of(model) for model in (*rivals.MODELS.values(), networks.TWINNS)],
    "contest": lambda land: [line.unit(1).recipe(3) for data in contest.DATA.values() for line in contest.lines(data)],
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
    "operational": lambda land: [
        *(operational.recipe(precision) for precision in ("float32", "bfloat16")),
        *(operational.recipe("float32") | {"model": model} for model in operational.FORESTS.values()),
    ],
    "cost": lambda land: [cost.recipe()],
    "training": lambda land: [training.recipe()],
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


@pytest.mark.parametrize("name", started.benchmarks())
def test_every_benchmark_describes_itself_and_refuses_unknown_words(name):
    module = importlib.import_module(f"benchmarks.{name}")
    assert result_of(module, ["--help"]).startswith(module.__doc__)
    with pytest.raises(SystemExit, match=f"error: benchmarks.{name}: 'no such word' is unknown. It takes "):
        result_of(module, ["no such word"])
    takes = "wanted" in inspect.signature(module.run).parameters
    assert takes == bool(getattr(module, "WORDS", ()))
    assert re.search(r"(command_line|parser_of)\(__name__\)", Path(module.__file__).read_text()), (
        "python -m benchmarks.NAME"
    )


def test_words_follow_the_name_of_their_benchmark_and_are_checked_first(monkeypatch, capsys):
    names = started.benchmarks()
    assert started.named(["scout", "choose", "canada", "forms"], names) == [
        ("scout", ["choose", "canada"]),
        ("forms", []),
    ]
    assert [name for name, _ in started.named([], names)] == list(started.SHORT)
    with pytest.raises(SystemExit, match="no benchmark is called 'memers'. Did you mean 'members'"):
        started.main(["memers"])
    monkeypatch.setattr(memory, "run", lambda: pytest.fail("measured before the words were checked"))
    with pytest.raises(SystemExit, match="benchmarks.forest: 'x' is unknown. It takes no word"):
        started.main(["memory", "forest", "x"])
    monkeypatch.setattr(learning, "run", lambda words: f"measured {words}")
    started.main(["learning", "canada"])
    assert capsys.readouterr().out == "learning: measured ['canada']\n"
    started.main(["--help"])
    assert "Benchmarks: adapt, ambiguous" in capsys.readouterr().out


def test_a_benchmark_that_fails_does_not_stop_the_others(monkeypatch, capsys):
    monkeypatch.setattr(memory, "run", lambda: 1 / 0)
    monkeypatch.setattr(learning, "run", lambda: "measured")
    with pytest.raises(SystemExit, match="1 of 2 benchmarks ended with an error: memory"):
        started.main(["memory", "learning"])
    shown = capsys.readouterr()
    assert shown.out == "learning: measured\n"
    assert "ZeroDivisionError" in shown.err


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("networks", marks=pytest.mark.slow),
        pytest.param("contest", marks=pytest.mark.slow),
        *sorted(set(RECIPES) - {"networks", "contest"}),
    ],
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


def test_crop_calendars_of_two_climates_relate_the_starts_of_the_season(tmp_path):
    places = []
    for warmth in (3.0, 0.0):
        (tmp_path / f"{warmth}").mkdir()
        (tmp_path / f"{warmth}/temperature.csv").write_text("date,temperature\n2023-01-01,5\n")
        places.append(climate.Place(tmp_path / f"{warmth}", 0, warmth, 2023))
    warm, usual = places
    first = (np.datetime64("2023-01-01") - np.datetime64("1970-01-01")).astype(int) - 1
    here, there = (np.ravel([place.season(code) for code in climate.CALENDAR]) for place in places)
    assert (here < there).all(), "the seasons of the warm place are earlier"
    alone = [day for day in here if (here == day).sum() == 1]
    assert len(alone) == 4, "two seasons have a date in common, whose shift is their mean"
    expected = [first + there[here == day][0] for day in alone]
    both = warm.corrections(usual)["days through the crop calendar"]["calendar"]
    calendar = Calendar(**{key: Path(path) for key, path in both.items()})
    assert calendar.days((first + np.array(alone)).astype(np.int32)).tolist() == expected


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


def contest_line(data: str, sources: str, name: str, kind: str) -> contest.Line:
    """A line of the contest."""
    wanted = (sources, name, kind)
    return next(line for line in contest.lines(contest.DATA[data]) if line.keys == wanted)


def test_every_model_of_the_contest_has_the_same_random_numbers():
    tables = [
        contest_line("simulated", "S1 + S2", name, contest_entrants.SEARCH).unit(draw).recipe(5)
        for name in ("patchwork", "TWINNS", "fusion of two GRUs")
        for draw in (0, 1)
    ]
    same = [
        {key: one["training"][key] for key in (*contest_entrants.SEARCHED, "learning_rate", "steps")} for one in tables
    ]
    assert all(one == same[0] for one in same)
    assert {one["split"].get("seed") for one in tables} == {None}
    unit = contest_line("simulated", "S1 + S2", "TWINNS", contest_entrants.SEARCH).unit(0)
    tried, final = unit.recipe(5), unit.recipe(5, final=True)
    assert (tried["training"]["keep"], final["training"]) == ("validation", tried["training"] | {"keep": "last"})
    rates = {contest_entrants.random_numbers(trial)["rate"] for trial in range(contest.TRIALS)}
    assert len(rates) == contest.TRIALS


def test_trees_of_the_contest_get_texture_where_there_is_a_panchromatic_band():
    for line in contest.lines(contest.DATA["simulated"]):
        model = line.unit(0).recipe(2)["model"]
        if model["name"] in ("random_forest", "lightgbm") and "without" not in line.entrant.name:
            assert ("texture" in model) == ("VHR" in line.sources), line.keys


def test_settings_of_sits_and_of_orfeo_toolbox(monkeypatch, tmp_path):
    monkeypatch.setenv("BOCAGE_DATA", str(tmp_path / "data"))
    sits = parse(contest_line("canada", "S2", "TempCNN of sits", contest.AUTHORS).unit(0).recipe(), Path()).choice
    config = sits.config
    assert (config.filters, config.kernel, config.dropout, config.dense, config.dense_dropout) == (64, 3, 0.2, 256, 0.5)
    assert (sits.training.optimiser, sits.training.learning_rate, sits.training.weight_decay) == ("adamw", 5e-4, 1e-6)
    name = "random forest of Orfeo ToolBox"
    forest = parse(contest_line("canada", "S2", name, contest.AUTHORS).unit(0).recipe(), Path()).choice.config
    assert (forest.trees, forest.max_depth) == (100, 5)


def test_folds_of_the_contest_are_whole_rounds():
    canada = contest.DATA["canada"]
    assert canada.draws == 9
    assert [canada.split(draw) for draw in (0, 2, 3)] == [(0, 0), (0, 2), (1, 0)]
    assert contest_line("canada", "S2", "GRU", contest_entrants.SEARCH).unit(4).recipe()["split"]["seed"] == 1


def test_the_validation_polygons_choose_the_trial(tmp_path, monkeypatch):
    """The trial with the best validation accuracy is tested, once; the others never see the test polygons."""
    monkeypatch.setattr(contest_entrants, "FOLDER", tmp_path)
    monkeypatch.setattr(Results, "lock", lambda self, name: FileLock(tmp_path / "lock"))
    unit, tested = contest_line("flanders-A", "S2", "GRU", contest_entrants.SEARCH).unit(0, 3), []
    scores = dict(enumerate((0.6, 0.8, 0.7)))
    monkeypatch.setattr(contest.Run, "validated", lambda run: {"validation": scores[run.trial], "seconds": 2.0})
    monkeypatch.setattr(
        contest.Unit,
        "_tested",
        lambda self, run, runs: tested.append(run.trial) or {"overall_accuracy": 0.5, "seconds": 2},
    )
    unit.measure()
    unit.measure()
    assert tested == [1]
    known = unit.data.results.known("S2", "GRU", "searched", "draw 0")
    assert (known["trial"], known["search_seconds"], known["recipe"]["trials"]) == (1, 6.0, 3)
    scores[3] = 0.9  # with more trials, the draw is measured again
    contest_line("flanders-A", "S2", "GRU", contest_entrants.SEARCH).unit(0, 4).measure()
    assert tested == [1, 3]
    assert contest.chosen([0.5, 0.7, 0.7]) == 1


def test_tables_of_the_contest_with_missing_draws(tmp_path, monkeypatch):
    monkeypatch.setattr(contest_entrants, "FOLDER", tmp_path)
    canada = contest.DATA["canada"]
    assert "| S2 | GRU | searched |" + " |" * 9 in contest.markdown(canada)
    scores = {"f1_weighted": 0.5, "kappa": 0.5, "seconds": 60.0, "search_seconds": 500.0}
    for name, accuracies in {"patchwork": (0.7, 0.8, 0.9), "GRU": (0.6, 0.75)}.items():
        for draw, one in enumerate(accuracies):
            line = ("S2", name, "searched", f"draw {draw}")
            canada.results.keep(scores | {"overall_accuracy": one}, *line)
    canada.results.keep({"p": 0.04}, "polygons", "S2", "GRU", "searched")
    text = contest.markdown(canada)
    half = "0.500 ± 0.000"
    assert f"| S2 | patchwork | searched | 3 | 0.800 ± 0.100 | {half} | {half} | 60 | 500 | | | |" in text
    assert f"| S2 | GRU | searched | 2 | 0.675 ± 0.106 | {half} | {half} | 60 | 500 | +0.075 | 0.280 | 0.04 |" in text
    assert "| GRU | 0.675 ± 0.106 | |" in text
    assert "| LSTM | | |" in text
    assert "by model, settings: searched" in text
    assert "by model, settings: authors" not in text  # none of its lines is measured


def test_mcnemar_of_the_contest_uses_the_draws_of_both_lines(tmp_path, monkeypatch):
    monkeypatch.setattr(contest, "WORK", tmp_path)
    ours, theirs = (contest_line("wake", "PAN + MS", name, contest.AUTHORS) for name in ("patchwork", "DMIL"))
    assert ours.against(theirs) is None
    for line, right in ((ours, [1, 1, 1, 1]), (theirs, [1, 0, 0, 1])):
        for draw in (0, 1) if line is ours else (1,):
            file = line.unit(draw).pixels
            file.parent.mkdir(exist_ok=True)
            np.save(file, np.array([[10, 11, 12, 13], [1, 1, 2, 2], right]))
    assert ours.against(theirs) == {"p": pytest.approx(0.157, abs=1e-3), "pixels": 4, "polygons": 2, "draws": 1}


def test_rare_classes_have_samples_but_fewer_than_a_class_has_on_average():
    label = np.repeat([0, 1, 2], [6, 2, 1]).astype(np.int16)
    legend = Legend((LandClass(1, "wheat"), LandClass(2, "maize"), LandClass(3, "beet"), LandClass(4, "absent")))
    rare = choice.rare_classes(Samples(label, label, label, label, label, legend, (), (), {}, Split()))
    assert rare.tolist() == [False, True, True, False]
