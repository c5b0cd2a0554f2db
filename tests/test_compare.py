"""Models side by side: the same draws, resumed, tested honestly, refused where they cannot be."""

import contextlib
import csv
import io
import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from bocage.cli import main
from bocage.errors import EvaluationError, ModelError, RecipeError, TrainingError, UnknownNameError
from bocage.evaluation import ConfusionMatrix, Line, Predictions, Score, set_beside, trust_of
from bocage.jobs import compare
from bocage.jobs.compare import compare_models, end_processes
from bocage.layout import RunLayout
from bocage.recipe import read_recipe
from bocage.report.comparison import as_csv, as_latex, verdict, write_comparison
from bocage.run import drawn_units
from bocage.testing import tiny_landscape
from bocage.training import Trainer
from bocage.words import Note
from conftest import FOREST, GRU, once, written
from processes import ended, killed_training, listening, started
from test_report import foreign, page_of

OTHERS = """
[[compare]]
label = "a GRU & its 100 %"
model = { name = "gru", units = 8 }
training = { epochs = 2 }

[[compare]]
model = { name = "ltae", width = 16, heads = 4, features = 8 }
"""


def some_predictions(seed, accuracy, draws=4, n=400, polygons=40):
    """Predictions of a model that is right so often, on the same pixels for every seed."""
    found = []
    for k in range(draws):
        where, luck = np.random.default_rng(k), np.random.default_rng((seed, k))
        polygon = np.sort(where.integers(0, polygons, n)).astype(np.int32)
        label = where.integers(0, 3, n).astype(np.int16)
        right = luck.random(n) < accuracy
        predicted = np.where(right, label, (label + 1) % 3).astype(np.int16)
        sure = np.full(n, 0.5, np.float32)
        pixel = np.arange(n, dtype=np.int32)
        found.append(Predictions(pixel, pixel, polygon, label, predicted, sure, sure))
    return found


def line(label, predictions):
    names = ("a", "b", "c")
    trust = tuple(trust_of(one, one.label[:50], None, (12, 28)) for one in predictions)
    matrices = tuple(one.matrix(names) for one in predictions)
    return Line(label, Score(matrices, ("overall_accuracy", "f1_weighted", "kappa"), {}, trust), 1.5, 1e4, 100)


def side_by_side(**accuracies):
    each = {label: some_predictions(seed, accuracy) for seed, (label, accuracy) in enumerate(accuracies.items())}
    return set_beside([line(label, found) for label, found in each.items()], each, "overall_accuracy", 0, {}), each


def test_the_best_is_marked_only_where_that_is_more_than_luck(tmp_path):
    clear, _ = side_by_side(good=0.95, bad=0.3)
    assert clear.marked == "good"
    assert ": good. It is significantly better" in verdict(clear)
    assert r"\textbf{good}" in as_latex(clear)
    close, _ = side_by_side(one=0.8, other=0.8, bad=0.3)
    assert close.marked == ""
    assert close.best in ("one", "other")
    assert len(close.level_with_best) == 1
    assert r"\textbf" not in as_latex(close)
    killed = replace(close, failed={"gru": Note.of("process_killed")})
    files = write_comparison(killed, RunLayout(tmp_path), "three", "fr")
    text, page = page_of(files["html"])
    assert page.language == "fr"
    assert not foreign(page)
    assert "gru\u00a0: son processus a été arrêté" in text
    assert "ne diffère pas significativement de" in text
    assert not list(tmp_path.glob(".*"))
    said = json.loads(files["json"].read_text())
    assert len(said["corrected_resampled_t"]) == len(said["mcnemar_by_polygons"]) == 3
    assert said["significantly_best"] is None
    assert said["failed"]["gru"].startswith("its process was killed")


def test_models_are_tested_by_the_blocks_that_were_drawn(tmp_path):
    each = {label: some_predictions(seed, 0.8) for seed, label in enumerate(("one", "other"))}
    polygon, run = each["one"][0].polygon, RunLayout(tmp_path)
    table = pd.DataFrame({"polygon": np.unique(polygon)}).assign(block=lambda found: found.polygon // 4)
    table.to_parquet(run.samples)
    for unit in ("polygon", "block"):
        run.score.write_text(json.dumps({"design": {"drawn": unit}}))
        units, lines = drawn_units(run, polygon), [line(label, found) for label, found in each.items()]
        found = set_beside(lines, each, "overall_accuracy", 0, {}, units)
        number = polygon // 4 if unit == "block" else polygon
        assert (found.by_polygons[0].n, found.by_polygons[0].test) == (
            len(np.unique(number)),
            f"McNemar, {unit}s as clusters",
        )
        text, _ = page_of(write_comparison(found, run, "two")["html"])
        assert f"test with {unit}s as clusters" in text


@pytest.mark.parametrize("metric", ["quantity_disagreement", "allocation_disagreement"])
def test_the_best_of_a_disagreement_is_the_lowest(metric):
    each = {"good": some_predictions(0, 0.95), "bad": some_predictions(1, 0.3)}
    lines = [line(label, found) for label, found in each.items()]
    assert lines[0].score.values(metric).mean() < lines[1].score.values(metric).mean()
    assert set_beside(lines, each, metric, 0, {}).best == "good"
    alone = {label: found[:1] for label, found in each.items()}
    short = [line(label, found) for label, found in alone.items()]
    without = set_beside(short, alone, metric, 0, {})
    assert without.refused
    assert without.best == "good", "without a paired test too"
    assert "Best" in verdict(without)


def test_models_tested_on_other_pixels_are_not_paired():
    _, each = side_by_side(one=0.8, other=0.8)
    each["other"][2] = replace(each["other"][2], row=each["other"][2].row + 1)
    found = set_beside([line(k, v) for k, v in each.items()], each, "kappa", 0, {})
    assert "do not have the same test pixels (draw 3" in str(found.refused)
    assert not found.pairs
    assert not found.by_polygons
    assert "No paired test was computed" in verdict(found)
    one_draw = {k: v[:1] for k, v in each.items()}
    refused = set_beside([line(k, v) for k, v in one_draw.items()], one_draw, "kappa", 0, {}).refused
    assert refused is not None
    assert refused.code == "one_draw"
    with pytest.raises(EvaluationError, match="gru: diverged"):
        set_beside([], {}, "kappa", 0, {"gru": "diverged"})


def test_a_metric_without_values_is_not_tested(tmp_path):
    """Kappa has no value on a draw of one class that is mapped without an error."""
    _, each = side_by_side(one=0.8, other=0.7)
    for found in each.values():
        found[1:] = [replace(one, label=one.label * 0, predicted=one.label * 0) for one in found[1:]]
    found = set_beside([line(k, v) for k, v in each.items()], each, "kappa", 0, {})
    assert found.refused is not None
    assert found.refused.code == "few_scores"
    assert "both have a value of kappa; there are 1." in verdict(found)
    assert not foreign(page_of(write_comparison(found, RunLayout(tmp_path), "two", "fr")["html"])[1])
    assert (found.pairs, found.by_polygons) == ((), ())


def test_the_same_difference_on_every_draw_is_no_proof(tmp_path):
    """Two models on two draws of the same labels, one of which errs at the same pixels of both."""
    right = some_predictions(0, 1.0, draws=2)
    label = right[0].label
    wrong = np.where(np.arange(len(label)) < 40, (label + 1) % 3, label).astype(np.int16)
    same = [replace(one, row=right[0].row, polygon=right[0].polygon, label=label, predicted=label) for one in right]
    each = {"right": same, "err": [replace(one, predicted=wrong) for one in same]}
    found = set_beside([line(k, v) for k, v in each.items()], each, "overall_accuracy", 0, {})
    assert (found.best, found.marked, found.level_with_best) == ("right", "", ("err",))
    [said] = json.loads(json.dumps(found.as_dict()))["corrected_resampled_t"]
    assert (said["p"], said["adjusted"], said["effect"]) == (None, None, None)
    text = page_of(write_comparison(found, RunLayout(tmp_path), "two")["html"])[0]
    assert "<td>right – err</td><td>+0.100</td><td>–</td><td>–</td><td>–</td><td>–</td>" in text


def test_tables_say_what_they_hold():
    found, _ = side_by_side(**{"a_b & c": 0.9, "d": 0.5})
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [row["model"] for row in rows] == ["a_b & c", "d"]
    assert float(rows[0]["overall_accuracy_mean"]) == pytest.approx(
        found.lines[0].score.values("overall_accuracy").mean()
    )
    assert {"f1 a", "kappa_std", "map_pixels_per_second"} <= set(rows[0])
    assert r"a\_b \& c" in as_latex(found)


@pytest.fixture(scope="module")
def compared(shared):
    """A folder with a landscape, its recipe and a comparison, made by one process; what was printed lies beside them."""

    def make(folder):
        path = written(tiny_landscape(folder / "land"), FOREST, more=OTHERS)
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            assert main(["compare", str(path), "--out", str(folder / "out"), "--jobs", "1"]) == 0
        (folder / "shown.txt").write_text(shown.getvalue())

    return once(shared / "compared", make)


def test_the_command_compares_and_goes_on_where_it_was(compared, tmp_path, monkeypatch, capsys):
    assert f"comparison: {compared / 'out/comparison.html'}" in (compared / "shown.txt").read_text()
    shutil.copytree(compared / "out", tmp_path / "out")
    monkeypatch.chdir(tmp_path)
    path = compared / "land/recipe.toml"
    said = json.loads(Path("out/comparison.json").read_text())
    labels = ["random_forest", "a GRU & its 100 %", "ltae (width = 16, heads = 4, features = 8)"]
    assert list(said["models"]) == labels
    page_of(Path("out/comparison.html"))
    assert all(one["pixels_per_second"] > 0 for one in said["models"].values())
    curves = Path("out/compare/a-gru-its-100/splits/0/curves.csv").read_text()
    assert len(curves.splitlines()) == 3, "its own training settings"
    made = {f: f.stat().st_mtime_ns for f in Path("out").rglob("weights.safetensors")}
    assert len(made) == 3 * 2
    assert main(["compare", str(path), "--out", "out"]) == 0
    assert {f: f.stat().st_mtime_ns for f in made} == made
    assert main(["run", str(path), "--out", "out"]) == 0, "the recipe's own model is that of the run"
    assert {f: f.stat().st_mtime_ns for f in made} == made
    # another setting of one model redoes that one
    other = written(path.parent, FOREST, more=OTHERS.replace("epochs = 2", "epochs = 3"), name="other.toml")
    assert main(["compare", str(other), "--out", "out"]) == 0
    changed = {f for f in made if f.stat().st_mtime_ns != made[f]}
    assert {f.parts[2] for f in changed} == {"a-gru-its-100"}


def test_processes_give_the_same_comparison(compared, tmp_path, capsys, forked):
    assert main(["compare", str(compared / "land/recipe.toml"), "--out", str(tmp_path), "--jobs", "2"]) == 0
    apart, alone = (json.loads((f / "comparison.json").read_text()) for f in (tmp_path, compared / "out"))
    for label, one in alone["models"].items():
        assert apart["models"][label]["confusion"] == one["confusion"]


@pytest.mark.slow
def test_a_comparison_killed_in_the_middle_goes_on(recipe, landscape, capsys):
    """SIGKILL while the second model trains: what was complete is not trained again."""
    slow = OTHERS.replace("epochs = 2", "epochs = 9, patience = 9, checkpoint = 0")
    path, out = recipe(FOREST, more=slow), landscape / "out"
    assert ended(killed_training, ["compare", str(path), "--out", str(out)], 20) == -signal.SIGKILL
    assert (out / "splits/1/score.json").exists()
    assert (out / "compare/a-gru-its-100/splits/0/checkpoint.safetensors").exists()
    assert not (out / "comparison.json").exists()
    before = (out / "splits/0/model/weights.safetensors").stat().st_mtime_ns
    quick = recipe(FOREST, more=OTHERS)
    assert main(["compare", str(quick), "--out", str(out)]) == 0
    assert (out / "splits/0/model/weights.safetensors").stat().st_mtime_ns == before
    assert len(json.loads((out / "comparison.json").read_text())["models"]) == 3


@pytest.mark.slow
def test_a_model_that_fails_does_not_stop_the_others(recipe, landscape, monkeypatch, capsys):
    monkeypatch.chdir(landscape)
    train = Trainer.train

    def fails(self, *arguments):
        if self.choice.training.epochs == 2:
            raise TrainingError("The loss is NaN.")
        return train(self, *arguments)

    monkeypatch.setattr(Trainer, "train", fails)
    assert main(["compare", str(recipe(FOREST, more=OTHERS)), "--out", "out"]) == 1
    shown = capsys.readouterr()
    assert "failed: a GRU & its 100 %: The " in shown.err
    said = json.loads(Path("out/comparison.json").read_text())
    assert list(said["failed"]) == ["a GRU & its 100 %"]
    assert len(said["models"]) == 2


def test_what_cannot_be_compared_is_told_first(recipe, landscape, monkeypatch):
    monkeypatch.chdir(landscape)
    with pytest.raises(RecipeError, match="no model to compare with"):
        compare_models(read_recipe(recipe()), Path("out"))
    with pytest.raises(ModelError, match="the VHR one: m3fusion needs an image"):
        vhr = '[[compare]]\nlabel = "the VHR one"\nmodel = { name = "m3fusion", units = 8 }'
        compare_models(read_recipe(recipe(GRU, more=vhr)), Path("out"))
    with pytest.raises(UnknownNameError, match="Unknown metric 'f2'"):
        compare_models(read_recipe(recipe(GRU, more=OTHERS)), Path("out"), metric="f2")
    assert not Path("out").exists()
    for more, told in (
        ('[[compare]]\nmodel = { name = "gruu" }', "compare.0.model.name"),
        ('[[compare]]\nmodel = { name = "gru", unit = 3 }', "compare.0.model.unit"),
        ('[[compare]]\nmodels = { name = "gru" }', "compare.0.models"),
        ('[[compare]]\nmodel = { name = "gru" }\ntraining = { epoch = 3 }', "compare.0.training.epoch"),
        ('[[compare]]\nlabel = "x"\nmodel = { name = "gru" }\n' * 2, "is already the label of another model"),
    ):
        with pytest.raises(RecipeError, match=told):
            read_recipe(recipe(more=more))


def test_matrices_without_draws_have_no_test():
    empty = Score((ConfusionMatrix(np.eye(2, dtype=np.int64), ("a", "b")),), ("kappa",))
    assert not empty.trust


def drops_the_first_signal(ready):
    """Run until the second SIGTERM, as a process whose first one is raised in a destructor."""
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    ready.set()
    while True:
        time.sleep(0.05)


def test_a_process_that_drops_a_signal_ends_with_the_comparison(monkeypatch):
    monkeypatch.setattr(compare, "PATIENCE", 0.5)
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=drops_the_first_signal, args=(ready,))
    process.start()
    assert ready.wait(60)
    end_processes({process})
    assert process.exitcode == -signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code", "line"),
    [(signal.SIGINT, 130, "interrupted; completed"), (signal.SIGTERM, 143, "terminated (SIGTERM); completed")],
)
def test_an_interrupted_comparison_ends_quietly(recipe, landscape, sent, code, line):
    slow = OTHERS.replace("epochs = 2", "epochs = 4000, patience = 4000")
    path, out, said = recipe(FOREST, more=slow), landscape / "out", landscape / "said.txt"
    process = started(listening, ["compare", str(path), "--out", str(out), "--jobs", "2"], said)
    while not (out / "compare/a-gru-its-100/samples.parquet").exists():
        assert process.exitcode is None, said.read_text()
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, sent)
    process.join()
    told = said.read_text()
    assert process.exitcode == code, told
    assert line in told
    assert not psutil.wait_procs(children, timeout=10)[1], "processes are left"
    assert not list(out.rglob("*.lock.json"))
    assert "Traceback" not in told
    assert "Run the same command to resume" in told
