import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from bocage.evaluation import METRICS, ConfusionMatrix, Evaluation, Score, compare, load_score
from bocage.evaluation.metrics import f1, producers_accuracy, users_accuracy


@given(st.integers(2, 6), st.integers(1, 300), st.integers(0, 10_000))
def test_metrics_are_scikit_learns(k, n, seed):
    generator = np.random.default_rng(seed)
    truth, found = generator.integers(0, k, n), generator.integers(0, k, n)
    found = np.where(generator.uniform(size=n) < 0.5, truth, found)
    matrix = ConfusionMatrix.of(truth, found, tuple("abcdef"[:k]))
    assert np.array_equal(matrix.counts, reference.confusion_matrix(truth, found, labels=range(k)))
    options = {"labels": range(k), "zero_division": 0}
    assert METRICS.get("overall_accuracy")(matrix) == pytest.approx(reference.accuracy_score(truth, found))
    assert METRICS.get("f1_weighted")(matrix) == pytest.approx(
        reference.f1_score(truth, found, average="weighted", **options)
    )
    assert f1(matrix) == pytest.approx(reference.f1_score(truth, found, average=None, **options))
    assert producers_accuracy(matrix) == pytest.approx(reference.recall_score(truth, found, average=None, **options))
    assert users_accuracy(matrix) == pytest.approx(reference.precision_score(truth, found, average=None, **options))
    there = np.union1d(truth, found)
    assert METRICS.get("f1_macro")(matrix) == pytest.approx(
        reference.f1_score(truth, found, labels=there, average="macro")
    )
    if len(there) > 1:
        assert METRICS.get("kappa")(matrix) == pytest.approx(reference.cohen_kappa_score(truth, found))


def test_a_score_gives_mean_and_sample_deviation(tmp_path):
    names = ("crops", "forest")
    matrices = tuple(ConfusionMatrix(np.array([[8, 2], [k, 10 - k]], np.int64), names) for k in (1, 3, 5))
    score = Score(matrices, ("overall_accuracy", "kappa"), {"test_share": 0.7})
    said = score.as_dict()
    assert said["overall_accuracy"]["mean"] == pytest.approx(0.75)
    assert said["overall_accuracy"]["std"] == pytest.approx(0.1)
    assert said["per_class"]["crops"]["producers_accuracy"]["mean"] == pytest.approx(0.8)
    assert said["per_class"]["crops"]["producers_accuracy"]["std"] == pytest.approx(0, abs=1e-12)
    assert said["confusion"]["rows"] == "reference"
    score.save(tmp_path / "score.json", truth={"overall_accuracy": 1})
    again = load_score(tmp_path / "score.json")
    assert again.as_dict() == said
    assert json.loads((tmp_path / "score.json").read_text())["truth"] == {"overall_accuracy": 1}


def test_one_draw_has_no_spread():
    score = Score((ConfusionMatrix(np.eye(2, dtype=np.int64), ("a", "b")),), ("kappa",))
    assert score.as_dict()["kappa"]["std"] is None


def test_maps_are_compared_where_both_are_known():
    truth, found = np.array([[1, 2, 0, 7, -1, 70000]]), np.array([[1, 1, 1, 2, 2, 2]])
    matrix = compare([(truth, found), (truth, found)], (1, 2), ("a", "b"))
    assert matrix.counts.tolist() == [[2, 0], [2, 0]]


def test_the_three_figures_are_always_given():
    assert Evaluation(metrics=("f1_macro", "kappa")).names == ("overall_accuracy", "f1_weighted", "kappa", "f1_macro")
