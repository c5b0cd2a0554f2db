import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from bocage.cli.tables import _spread
from bocage.evaluation import METRICS, ConfusionMatrix, Evaluation, Predictions, Score, compare, load_score
from bocage.evaluation.metrics import f1, intersection_over_union, producers_accuracy, users_accuracy
from bocage.report.sections.accuracy import over_draws


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.integers(2, 6), st.integers(1, 300), st.integers(0, 10_000))
def test_metrics_are_scikit_learns(k, n, seed):
    """On random matrices, classes absent from reference, map or both included."""
    generator = np.random.default_rng(seed)
    there = generator.permutation(k)[: generator.integers(1, k + 1)]
    truth, found = (
        generator.choice(there, n),
        generator.choice(generator.permutation(k)[: generator.integers(1, k + 1)], n),
    )
    found = np.where(generator.uniform(size=n) < 0.5, truth, found)
    matrix = ConfusionMatrix.of(truth, found, tuple("abcdef"[:k]))
    assert np.array_equal(matrix.counts, reference.confusion_matrix(truth, found, labels=range(k)))
    options = {"labels": range(k), "zero_division": np.nan}
    assert METRICS.get("overall_accuracy")(matrix) == pytest.approx(reference.accuracy_score(truth, found))
    assert METRICS.get("f1_weighted")(matrix) == pytest.approx(
        reference.f1_score(truth, found, average="weighted", labels=np.union1d(truth, found))
    )
    assert f1(matrix) == pytest.approx(reference.f1_score(truth, found, average=None, **options), nan_ok=True)
    recall, precision = (
        function(truth, found, average=None, **options)
        for function in (reference.recall_score, reference.precision_score)
    )
    assert producers_accuracy(matrix) == pytest.approx(recall, nan_ok=True)
    assert users_accuracy(matrix) == pytest.approx(precision, nan_ok=True)
    there = np.union1d(truth, found)
    jaccard = reference.jaccard_score(truth, found, labels=there, average=None)
    assert intersection_over_union(matrix)[there] == pytest.approx(jaccard)
    assert np.isnan(np.delete(intersection_over_union(matrix), there)).all()
    assert METRICS.get("iou_macro")(matrix) == pytest.approx(jaccard.mean())
    assert METRICS.get("f1_macro")(matrix) == pytest.approx(
        reference.f1_score(truth, found, labels=there, average="macro")
    )
    if len(there) > 1:
        assert METRICS.get("kappa")(matrix) == pytest.approx(reference.cohen_kappa_score(truth, found))
    else:
        assert np.isnan(METRICS.get("kappa")(matrix))
    quantity, allocation = METRICS.get("quantity_disagreement")(matrix), METRICS.get("allocation_disagreement")(matrix)
    assert quantity + allocation == pytest.approx(1 - METRICS.get("overall_accuracy")(matrix))
    assert quantity == pytest.approx(
        np.abs(np.bincount(truth, minlength=k) - np.bincount(found, minlength=k)).sum() / 2 / n
    )


@pytest.mark.slow
@settings(max_examples=500, deadline=None)
@given(st.integers(2, 6), st.integers(1, 300), st.integers(0, 10_000))
def test_metrics_are_those_of_torchmetrics(k, n, seed):
    """Where it has them; it gives an absent class 0, we give nan."""
    import torch
    from torchmetrics.functional import classification as theirs

    generator = np.random.default_rng(seed)
    there = generator.permutation(k)[: generator.integers(1, k + 1)]
    truth = generator.choice(there, n)
    found = np.where(generator.uniform(size=n) < 0.6, truth, generator.choice(generator.permutation(k)[:2], n))
    matrix = ConfusionMatrix.of(truth, found, tuple("abcdef"[:k]))
    pair = torch.from_numpy(found), torch.from_numpy(truth)
    assert np.array_equal(matrix.counts, theirs.multiclass_confusion_matrix(*pair, k).numpy())
    per_class = {
        producers_accuracy: theirs.multiclass_recall,
        users_accuracy: theirs.multiclass_precision,
        f1: theirs.multiclass_f1_score,
        intersection_over_union: theirs.multiclass_jaccard_index,
    }
    for ours, other in per_class.items():
        assert np.nan_to_num(ours(matrix)) == pytest.approx(other(*pair, k, average="none").numpy(), abs=1e-6), ours
    assert METRICS.get("overall_accuracy")(matrix) == pytest.approx(
        float(theirs.multiclass_accuracy(*pair, k, average="micro")), abs=1e-6
    )
    if len(np.union1d(truth, found)) > 1:
        expected = float(theirs.multiclass_cohen_kappa(*pair, k))
        assert METRICS.get("kappa")(matrix) == pytest.approx(expected, abs=1e-5)


def test_swapped_and_misjudged_are_told_apart():
    """Pontius & Millones: exchanging two pixels is allocation, one class too many is quantity."""
    swapped = ConfusionMatrix(np.array([[4, 1], [1, 4]], np.int64), ("a", "b"))
    more = ConfusionMatrix(np.array([[4, 2], [0, 4]], np.int64), ("a", "b"))
    shares = {name: METRICS.get(name) for name in ("quantity_disagreement", "allocation_disagreement")}
    assert [m(swapped) for m in shares.values()] == pytest.approx([0, 0.2])
    assert [m(more) for m in shares.values()] == pytest.approx([0.2, 0])


def test_what_has_no_value_is_null_and_counted(tmp_path):
    names = ("a", "b", "c")
    never_c = ConfusionMatrix(np.array([[3, 0, 0], [1, 2, 0], [1, 0, 0]], np.int64), names)
    some_c = ConfusionMatrix(np.array([[3, 0, 0], [1, 2, 0], [0, 0, 1]], np.int64), names)
    said = Score((never_c, some_c, never_c), ("kappa",)).as_dict()["per_class"]["c"]
    assert said["users_accuracy"] == {"mean": 1.0, "std": None, "per_draw": [None, 1.0, None], "draws": 1}
    assert said["producers_accuracy"]["mean"] == pytest.approx(1 / 3)
    nothing = Score((ConfusionMatrix(np.zeros((2, 2), np.int64), ("a", "b")),), tuple(METRICS))
    json.loads(json.dumps(nothing.as_dict(), allow_nan=False))


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


# --- classes without a test pixel in a draw
def at_pixels(label, predicted):
    """Return predictions at pixels of one polygon."""
    nothing, sure = np.zeros(len(label), np.int32), np.ones(len(label), np.float32)
    return Predictions(
        nothing, nothing, nothing, np.array(label, np.int16), np.array(predicted, np.int16), sure, sure
    )  # fmt: skip


def test_a_class_without_test_pixels_in_a_draw_has_no_metrics_there(tmp_path):
    """They were 0 as soon as one pixel was mapped as the class, in its mean and in the means over the classes."""
    names = ("a", "b", "c")
    one = at_pixels([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2])
    two = at_pixels(
        [0, 0, 1, 1], [0, 2, 1, 1]
    )  # a pixel of "a" is mapped as "c", which is tested in the other draw only
    score = Score((one.matrix(names), two.matrix(names)), ("overall_accuracy", "f1_macro"))
    score.save(tmp_path / "score.json")
    for found in (score, load_score(tmp_path / "score.json")):
        said = found.as_dict()
        assert said["per_class"]["c"]["f1"] == {"mean": 1.0, "std": None, "per_draw": [1.0, None], "draws": 1}
        assert said["per_class"]["c"]["users_accuracy"]["per_draw"] == [1.0, None]
        assert said["per_class"]["a"]["producers_accuracy"]["per_draw"] == [1.0, 0.5]  # the error counts
        assert found.values("f1_macro")[1] == pytest.approx((2 / 3 + 1) / 2)
        assert said["untested_classes"] == []


def test_a_mean_over_some_of_the_draws_says_so():
    values = np.array([1.0, np.nan, 0.9])
    assert over_draws(values, "en") == "0.950 ± 0.071 (2 of 3 draws)"
    assert over_draws(values, "fr") == "0,950\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0,071 (2 tirages sur 3)"
    assert over_draws(values[[0, 2]], "en") == "0.950 ± 0.071"
    assert over_draws(values[1:2], "en") == "–"
    assert _spread({"mean": 1.0, "std": None, "per_draw": [1.0, None], "draws": 1}) == "1.000 (1 of 2 draws)"


def test_a_class_that_no_draw_tests_is_untested():
    score = Score((at_pixels([0, 1], [0, 2]).matrix(("a", "b", "c")),) * 2, ("f1_macro",))
    assert score.as_dict()["untested_classes"] == ["c"]
    assert at_pixels([], []).matrix(("a", "b")).untested == ()  # nothing was tested
