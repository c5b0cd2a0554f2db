"""What is told beside the score: the leakage probe, calibration and coverage on test pixels, importance."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bocage.cli import main
from bocage.evaluation import Predictions, predictions_of, trust_of
from bocage.evaluation.trust import accuracy_at, neighbours
from bocage.samples.split import Split, Units, draw
from bocage.simulate import Simulation
from conftest import GRU


def test_the_nearest_pixel_is_that_on_the_ground():
    train, test = np.array([[0.0, 0.0], [100.0, 0.0]]), np.array([[10.0, 30.0], [60.0, -5.0], [49.0, 0.0]])
    assert neighbours(train, test, np.array([7, 9])).tolist() == [7, 9, 7]


def fields(seed, side=60, field=6, classes=4):
    """A square of fields; a model that is right three times out of four; every second row of fields is surveyed."""
    generator = np.random.default_rng(seed)
    n = side // field
    row, column = np.divmod(np.arange(side * side), side)
    polygon = (row // field * n + column // field).astype(np.int32)
    label = generator.integers(0, classes, n * n)[polygon].astype(np.int16)
    place = np.stack([-row * 10.0, column * 10.0], 1)
    square = (row // 15 * 4 + column // 15).astype(np.int32)
    right = generator.random(len(label)) < 0.75
    predicted = np.where(right, label, (label + 1) % classes).astype(np.int16)
    return Units(label, polygon, square, place), predicted


@pytest.mark.parametrize(("unit", "leaks"), [("pixel", True), ("polygon", False), ("block", False)])
def test_the_probe_fires_on_pixels_and_is_silent_on_polygons_and_blocks(unit, leaks):
    units, predicted = fields(3)
    found = draw(units, Split(unit=unit), 0)
    learnt, test = np.concatenate([found.train, found.validation]), found.test
    sure = np.full(len(test), 0.75, np.float32)
    told = Predictions(test, test, units.polygon[test], units.label[test], predicted[test], sure, sure)
    trust = trust_of(told, units.label[learnt], (units.place[learnt], units.place[test]), (1, 1))
    assert trust.leaks == leaks
    assert (trust.neighbour > 0.8) == leaks
    assert trust.after.error == pytest.approx(0, abs=0.03)


def test_the_report_of_a_split_by_pixels_raises_the_alarm(simulated, tmp_path, monkeypatch, capsys):
    """On a simulated landscape: by pixels it fires, by blocks it is silent."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(simulated(Simulation(height=402, width=402, sensors=("s2",), polygons=10)), "land")
    variables = ", ".join(f'{band} = "s2/{band}.tif"' for band in ("red", "nir", "swir16"))
    text = (
        f'[grid]\nlike = "s2"\n[sources.s2]\nsensor = "series"\nquality = "s2/quality.tif"\nclear = [4]\nscale = 0.0001\n'
        f"variables = {{ {variables} }}\nfill = {{ every = 30, start = 2022-01-01, end = 2022-12-31 }}\n"
        '[legend]\ncsv = "legend.csv"\n[reference]\npath = "reference.gpkg"\nlabel = "code"\n'
        '[model]\nname = "random_forest"\ntrees = 30\n[evaluation]\nimportance = 0\n[split]\nrare = "drop"\ndraws = 2\n'
    )
    fires = {}
    for unit, more in (("pixel", ""), ("block", "block = 200\n")):
        Path(f"land/{unit}.toml").write_text(f'{text}unit = "{unit}"\n{more}')
        assert main(["run", f"land/{unit}.toml", "--out", unit]) == 0
        trust = json.loads(Path(unit, "score.json").read_text())["trust"]
        fires[unit] = [one["leaks"] for one in trust]
        page = Path(unit, "report.html").read_text()
        assert ('<div class="alarm">Leakage probe' in page) == (unit == "pixel")
    assert fires == {"pixel": [True, True], "block": [False, False]}
    assert "This split proves little" in Path("pixel/report.html").read_text()
    assert "This split proves little" in json.loads(Path("pixel/report.json").read_text())["summary"][4]


def test_accuracy_rises_when_the_doubtful_are_left_out():
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([True, True, False, False])
    assert accuracy_at(confidence, right, (0.25, 0.5, 0.75, 1.0)) == (1.0, 1.0, round(2 / 3, 6), 0.5)
    assert all(np.isnan(accuracy_at(confidence[:0], right[:0], (0.5, 1.0))))


def test_the_confidence_before_calibration_is_that_of_the_logits():
    generator = np.random.default_rng(0)
    logits, temperature = generator.normal(0, 3, (50, 4)), 2.5

    def softmax(z):
        return (np.exp(z) / np.exp(z).sum(1, keepdims=True)).astype(np.float32)

    place = np.arange(50)
    found = predictions_of(place, place, place, place % 4, softmax(logits / temperature), temperature)
    assert found.uncalibrated == pytest.approx(softmax(logits).max(1), abs=1e-5)
    assert np.array_equal(found.predicted, logits.argmax(1))


def test_predictions_are_kept_whole(tmp_path):
    some = np.arange(5)
    found = predictions_of(some, some, some, some % 2, np.tile(np.float32([0.7, 0.3]), (5, 1)), 1.0)
    found.to_parquet(tmp_path / "test.parquet")
    again = Predictions.from_parquet(tmp_path / "test.parquet")
    assert again.same_pixels(found) is None
    assert again.right.tolist() == found.right.tolist()
    from bocage.errors import EvaluationError

    (tmp_path / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(EvaluationError, match="evaluate again"):
        Predictions.from_parquet(tmp_path / "test.parquet")


def test_importance_finds_the_source_and_the_dates_that_matter(recipe, tmp_path):
    """A band of noise and dates of noise lose nothing; what tells the classes apart does."""
    from bocage.recipe import read_recipe
    from bocage.run import open_run
    from bocage.training import Trained, Trainer, importance

    run = open_run(read_recipe(recipe(GRU)), tmp_path / "out")
    Trainer(run.recipe.choice, run.scene, run.samples).train(0, tmp_path / "t")
    trained = Trained.load(tmp_path / "t/model")
    test = run.samples.draw(0).test
    found = importance(trained, run.samples, test, 90)
    assert found.samples <= 90
    assert found.accuracy > 0.6
    assert found.by_source["s2"] > 0.3, "without its only source it guesses"
    assert len(found.by_date["s2"]) == len(run.samples.cuts["s2"].days)
    assert max(found.by_date["s2"]) < found.by_source["s2"], "no date tells as much as all of them"
    again = importance(trained, run.samples, test, 90)
    assert again == found
