"""Statements about accuracy that keep their promise: tests between models, intervals of areas, sizes of samples."""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from affine import Affine

from bocage.cli.tables import print_adjusted
from bocage.errors import EvaluationError
from bocage.evaluation.area import Adjusted, Clusters, Strata, clustered, stratified
from bocage.evaluation.correction import corrected
from bocage.evaluation.design import SampleDesign, allocate, sample_size
from bocage.evaluation.paired import all_pairs, best_of, clustered_mcnemar, holm, resampled_t
from bocage.evaluation.predictions import predictions_of
from bocage.grid import Grid
from bocage.layout import RunLayout
from bocage.legend import LandClass, Legend
from bocage.mapping import Areas
from bocage.report.sections.area import area, unadjusted
from bocage.run import Run
from bocage.run.parts import score_by_part
from bocage.samples import Labelled, Pixels, Split
from bocage.samples.make import assembled
from bocage.testing.promises import DRAWS, areas_held, calibrations, countryside, coverage, fields, rejections


@pytest.mark.parametrize(("units", "train"), [(1000, 0.3), (300, 0.7)])
def test_the_resampled_t_test_keeps_its_promise(units, train):
    """Of 200 pairs of equal models it rejects about 5 %; the naive test, which takes draws for independent, far more."""
    corrected, naive = rejections(200, units, train, seed=4)
    assert 0.02 <= corrected <= 0.08
    assert naive > 0.25


def test_a_real_difference_is_found():
    generator = np.random.default_rng(0)
    better = 0.8 + generator.normal(0, 0.01, DRAWS)
    found = resampled_t(better, better - 0.1 + generator.normal(0, 0.01, DRAWS), 0.7 / 0.3, ("a", "b"))
    assert found.p < 0.001
    assert found.difference == pytest.approx(0.1, abs=0.02)
    assert found.effect > 3
    assert (found.first, found.second, found.n) == ("a", "b", DRAWS)


def test_the_t_statistic_is_nadeau_and_bengios():
    from scipy import stats

    a, b = np.array([0.7, 0.72, 0.69, 0.75]), np.array([0.68, 0.7, 0.7, 0.71])
    naive = stats.ttest_rel(a, b)
    assert resampled_t(a, b, 0).p == pytest.approx(naive.pvalue)
    assert resampled_t(a, b, 2.0).statistic == pytest.approx(naive.statistic * np.sqrt((1 / 4) / (1 / 4 + 2)))


def test_draws_without_a_score_or_without_a_difference():
    assert resampled_t([0.5, np.nan, 0.6], [0.4, 0.5, 0.55], 1).n == 2
    equal, apart = resampled_t([0.5, 0.6], [0.5, 0.6], 1), resampled_t([0.5, 0.6], [0.4, 0.5], 1)
    assert (equal.p, equal.effect) == (1, 0)
    assert np.isnan([apart.p, apart.effect, apart.statistic]).all(), "two equal differences prove nothing"
    assert apart.difference == pytest.approx(0.1)
    with pytest.raises(EvaluationError, match="two draws or more"):
        resampled_t([0.5], [0.4], 1)


def test_mcnemar_with_one_pixel_a_polygon_is_mcnemars():
    generator = np.random.default_rng(1)
    a, b = generator.random(400) < 0.8, generator.random(400) < 0.7
    only_a, only_b = (a & ~b).sum(), (b & ~a).sum()
    found = clustered_mcnemar(a, b, np.arange(400))
    assert found.statistic**2 == pytest.approx((only_a - only_b) ** 2 / (only_a + only_b))
    assert found.difference == pytest.approx(a.mean() - b.mean())


def test_mcnemar_where_every_polygon_has_the_same_gain():
    right, polygon = np.array([True, True, False, False]), np.array([1, 1, 2, 2])
    found = clustered_mcnemar(np.ones(4, bool), right[[0, 2, 1, 3]], polygon)
    assert (found.difference, found.statistic, found.n) == (0.5, pytest.approx(2**0.5), 2)
    assert np.isnan(found.effect)


def test_pixels_of_a_polygon_are_not_counted_as_independent():
    """Equal models that are right or wrong on whole polygons: rejected about 5 % of the time, by pixels nearly always."""
    generator = np.random.default_rng(2)
    clustered_p, by_pixel_p = [], []
    for _ in range(300):
        size = generator.integers(5, 60, 80)
        polygon = np.repeat(np.arange(80), size)
        a, b = (np.repeat(generator.random(80) < 0.7, size) for _ in range(2))
        clustered_p.append(clustered_mcnemar(a, b, polygon).p)
        by_pixel_p.append(clustered_mcnemar(a, b, np.arange(len(polygon))).p)
    assert 0.02 <= np.mean(np.array(clustered_p) < 0.05) <= 0.08
    assert np.mean(np.array(by_pixel_p) < 0.05) > 0.5


def test_polygons_of_a_drawn_block_are_not_counted_as_independent():
    """Models that are equal on average, and alike better in some blocks: rejected 5 % of the time; by polygons, often."""
    generator, block = np.random.default_rng(3), np.repeat(np.arange(30), 6)
    polygon, p = np.repeat(np.arange(180), 10), []
    for _ in range(200):
        better = 0.7 * generator.normal(size=30)[block] + 0.7 * generator.normal(size=180)
        a, b = (generator.random(1800) < 1 / (1 + np.exp(-(1.5 + sign * 0.8 * better[polygon]))) for sign in (1, -1))
        by_polygon, by_block = (
            clustered_mcnemar(a, b, polygon),
            clustered_mcnemar(a, b, block[polygon], unit="block"),
        )
        p.append((by_polygon.p < 0.05, by_block.p < 0.05))
    assert by_block.test == "McNemar, blocks as clusters"
    assert by_block.n == 30
    by_polygons, by_blocks = np.mean(p, 0)
    assert by_polygons > 0.12
    assert 0.01 <= by_blocks <= 0.09


def test_holm_is_the_step_down_correction():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([0.02, np.nan, 0.04]) == pytest.approx([0.04, np.nan, 0.04], nan_ok=True), "two tests, not three"


def test_a_pair_that_cannot_be_tested_shows_no_difference():
    best = np.linspace(0.8, 0.9, DRAWS)
    scores = {"best": best, "lower": best - 0.01, "bad": best[::-1] - 0.6}
    pairs = all_pairs(scores, 1.0)
    assert np.isnan([pair.adjusted for pair in pairs]).tolist() == [True, False, False]
    assert best_of(scores, pairs, 0.05) == ("best", ["lower"])


def test_the_best_is_named_with_those_it_cannot_be_told_from():
    generator = np.random.default_rng(3)
    noise = generator.normal(0, 0.01, (3, DRAWS))
    scores = {"good": 0.8 + noise[0], "as good": 0.795 + noise[1], "bad": 0.5 + noise[2]}
    pairs = all_pairs(scores, 1.0)
    assert len(pairs) == 3
    assert all(pair.adjusted >= pair.p for pair in pairs)
    assert best_of(scores, pairs) == ("good", ["as good"])


# Olofsson et al. 2014, table 8 (map in rows) and section 5.2: its printed digits.
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = {0: 200_000, 1: 150_000, 2: 3_200_000, 3: 6_450_000}
NAMES = ("deforestation", "forest gain", "stable forest", "stable non-forest")


def olofsson():
    mapped, reference = (np.repeat(i.ravel(), COUNTS.ravel()) for i in np.meshgrid(range(4), range(4), indexing="ij"))
    return stratified(mapped, mapped, reference, PIXELS, NAMES)


def test_the_worked_example_of_olofsson_2014():
    found = olofsson()

    def printed(estimate, digits=2, factor=1.0):
        return round(estimate.value * factor, digits), round(1.96 * estimate.error * factor, digits)

    assert printed(found.overall) == (0.95, 0.02)
    assert [printed(e) for e in found.users] == [(0.88, 0.07), (0.73, 0.10), (0.93, 0.04), (0.96, 0.02)]
    assert [printed(e)[0] for e in found.producers] == [0.75, 0.85, 0.93, 0.96]
    assert printed(found.producers[0]) == (0.75, 0.21)
    hectares = sum(PIXELS.values()) * 0.09
    assert [printed(e, 0, hectares) for e in found.area] == [
        (21_158, 6_158), (11_686, 3_756), (285_770, 15_510), (581_386, 16_282)
    ]  # fmt: skip
    assert found.mapped == pytest.approx([0.02, 0.015, 0.32, 0.645])


def test_the_worked_example_of_stehman_2014():
    """Strata that are not the map's classes: 40 pixels, ten of each stratum; section 4 of the paper."""
    letters = {c: i for i, c in enumerate("ABCD")}
    stratum, mapped, reference = (
        np.array([letters[c] for c in text])
        for text in (
            "A" * 10 + "B" * 10 + "C" * 10 + "D" * 10,
            "AAAAAAABBB" + "A" + "B" * 9 + "BB" + "CCCCCC" + "BB" + "D" * 10,
            "AAAAACBABC" + "A" + "BBBBB" + "AABB" + "CCCCC" + "DDBBA" + "DDDDDDDCCB",
        )
    )
    found = stratified(stratum, mapped, reference, {0: 40_000, 1: 30_000, 2: 20_000, 3: 10_000}, "ABCD")
    assert found.area[0].value == pytest.approx(0.35, abs=5e-3)
    assert found.area[0].error == pytest.approx(0.082, abs=5e-4)
    assert found.area[2].value == pytest.approx(0.20, abs=5e-3)
    assert found.area[2].error == pytest.approx(0.064, abs=5e-4)
    assert found.overall.value == pytest.approx(0.63, abs=5e-3)
    assert found.overall.error == pytest.approx(0.085, abs=5e-4)
    assert found.users[1].value == pytest.approx(0.574, abs=5e-4)
    assert found.users[1].error == pytest.approx(0.125, abs=5e-4)
    assert found.producers[1].value == pytest.approx(0.794, abs=5e-4)


@pytest.mark.slow
def test_intervals_cover_the_true_area():
    """200 samples: 95 % intervals cover 92 to 98 %, of pixels and of polygons; polygons taken for pixels, far less."""
    rate = coverage(200, seed=1)
    assert 0.92 <= rate["pixels"] <= 0.98, rate
    assert 0.92 <= rate["polygons"] <= 0.98, rate
    assert rate["polygons taken for pixels"] < 0.5, rate


@pytest.mark.slow
def test_intervals_need_the_inclusion_weights():
    """With equal numbers of polygons a class, 95 % intervals hold with weights only; by the road not even then."""
    held = areas_held(8, 4, seed=3)
    assert held["fields at random"].unweighted > 0.9
    equal, road = held["same number a class"], held["same number a class, by the road"]
    assert equal.unweighted < 0.65
    assert equal.weighted > 0.9
    assert equal.model > 0.88
    mapped, unweighted, weighted, model = equal.errors
    assert max(weighted, model) < mapped < unweighted
    assert max(road.weighted, road.model) < 0.9, "no weight mends that only the roadside could be chosen"


@pytest.mark.slow
@pytest.mark.parametrize(("polygons", "sureness"), [(1, 1.0), (2, 1.0), (5, 1.0), (2, 3.0), (20, 0.5)])
def test_calibration_does_not_harm(polygons, sureness):
    """A calibrated classifier stays calibrated, however few its polygons; one that is not gets better."""
    found = calibrations(18, polygons, sureness, seed=6)
    assert found.worst < 0.05
    assert found.harmed < 0.12
    assert found.calibrated < found.raw + 0.004
    if sureness != 1:
        assert found.calibrated < 0.6 * found.raw


def test_inclusion_weights_stand_for_repeated_polygons():
    """A polygon of weight 3 counts as three polygons of weight 1."""
    land = countryside(np.random.default_rng(0))
    mapped, truth, polygon = land.mapped[:40].ravel(), land.truth[:40].ravel(), np.repeat(np.arange(40), 36)
    times = np.where(np.arange(40) < 10, 3, 1)[polygon]
    share = [0.4, 0.3, 0.2, 0.1]
    weighted = clustered(mapped, truth, Clusters(polygon), times, share, "abcd")
    again = [np.repeat(a, times) for a in (mapped, truth, polygon)]
    repeated = clustered(again[0], again[1], Clusters(again[2]), np.ones(len(again[0])), share, "abcd")
    assert [e.value for e in weighted.area] == pytest.approx([e.value for e in repeated.area])
    assert [e.error for e in weighted.area] == pytest.approx([e.error for e in repeated.area])
    assert weighted.overall.value == pytest.approx(repeated.overall.value)


def test_the_correction_by_a_model_inverts_the_confusions():
    """The rates of each class and the mapped shares give the true shares, whatever the number of polygons of a class."""
    rates, true = np.array([[0.8, 0.2, 0.0], [0.1, 0.9, 0.0], [0.0, 0.3, 0.7]]), np.array([0.5, 0.2, 0.3])
    for polygons in ((10, 10, 10), (40, 10, 20)):
        reference = np.repeat(np.arange(3), np.array(polygons) * 10)
        mapped = np.concatenate(
            [np.repeat(np.arange(3), np.round(rates[k] * 10 * n).astype(int)) for k, n in enumerate(polygons)]
        )
        found = corrected(mapped, reference, np.arange(len(mapped)) // 10, (true @ rates).tolist(), "abc")
        assert found.area == pytest.approx(true, abs=1e-6)
        assert found.units == sum(polygons)
        assert all(error > 0 for error in found.error)
        assert found.misfit == pytest.approx(0, abs=1e-9)
        found.check()
    absent = corrected(mapped, reference, reference, [1, 0, 0], "abc")
    assert min(absent.area) >= 0, "shares outside 0 to 1 are no areas"
    assert sum(absent.area) == pytest.approx(1)
    assert all(np.isnan(absent.error)), "one polygon of a class has no variance"
    assert absent.as_dict()["per_class"]["a"]["model_error"] is None
    with pytest.raises(EvaluationError, match="No reference pixel of: d"):
        corrected(mapped, reference, reference, [1, 0, 0, 0], "abcd")


def test_a_correction_that_does_not_give_the_mapped_areas_is_refused():
    """Of two classes that are mapped as c at 10 % at least, c cannot have 5 % of the map."""
    reference, rates = np.repeat([0, 1, 2], 100), ((80, 10, 10), (0, 80, 20), (0, 0, 100))
    mapped = np.concatenate([np.repeat([0, 1, 2], row) for row in rates])
    found = corrected(mapped, reference, np.arange(300) // 10, [0.7, 0.25, 0.05], "abc")
    assert found.misfit == pytest.approx(np.abs(np.array(found.area) @ np.array(rates) / 100 - [0.7, 0.25, 0.05]).max())
    assert found.misfit > 0.05
    with pytest.raises(EvaluationError, match=r"do not explain the mapped areas \(largest difference \d\.\d points"):
        found.check()
    alike = corrected(np.tile([0, 1], 150), np.repeat([0, 1], 150), np.arange(300) // 10, [0.5, 0.5], "ab")
    assert alike.misfit == pytest.approx(0)
    with pytest.raises(EvaluationError, match="does not separate its classes"):
        alike.check()


def test_the_model_error_is_missing_only_of_a_class_with_one_polygon():
    land, chosen = countryside(np.random.default_rng(5)), np.zeros(0, np.int64)
    for k, count in enumerate((20, 20, 20, 1)):
        chosen = np.append(chosen, np.flatnonzero(land.crop == k)[:count])
    share = (np.bincount(land.mapped.ravel()) / land.mapped.size).tolist()
    number = np.repeat(np.arange(len(chosen)), 36)
    found = corrected(land.mapped[chosen].ravel(), land.truth[chosen].ravel(), number, share, "abcd")
    assert np.isnan(found.error).tolist() == [False, False, False, True]
    assert min(found.error[:3]) > 0


def test_the_model_error_is_that_of_a_bootstrap_over_the_polygons_of_each_class():
    generator = np.random.default_rng(5)
    land = countryside(generator)
    chosen = np.concatenate([generator.choice(np.flatnonzero(land.crop == k), 40, replace=False) for k in range(4)])
    share = (np.bincount(land.mapped.ravel()) / land.mapped.size).tolist()

    def of(fields):
        number = np.repeat(np.arange(len(fields)), 36)
        return corrected(land.mapped[fields].ravel(), land.truth[fields].ravel(), number, share, "abcd")

    classes = chosen.reshape(4, 40)
    again = [of(np.concatenate([generator.choice(fields, 40) for fields in classes])).area for _ in range(80)]
    assert np.std(again, axis=0, ddof=1) == pytest.approx(of(chosen).error, rel=0.25)


@pytest.mark.slow
def test_the_cluster_error_is_that_of_a_bootstrap_over_polygons():
    truth, found, field, generator = fields(2)
    share = np.bincount(found) / len(found)
    members = np.argsort(field, kind="stable").reshape(-1, 100)
    drawn = generator.choice(len(members), 200, replace=False)
    inside = members[drawn].ravel()
    one = np.ones(len(inside))
    error = [e.error for e in clustered(found[inside], truth[inside], Clusters(field[inside]), one, share, "abcd").area]
    again = []
    for _ in range(200):
        some = members[generator.choice(drawn, len(drawn))].ravel()
        number = np.repeat(np.arange(len(drawn)), 100)
        again.append([e.value for e in clustered(found[some], truth[some], Clusters(number), one, share, "abcd").area])
    assert np.std(again, axis=0, ddof=1) == pytest.approx(error, rel=0.2)


def test_intervals_hold_where_blocks_are_drawn():
    """40 blocks of 50 polygons, errors alike in a block; half of the blocks are the test part of 200 polygons."""
    rng = np.random.default_rng(0)
    crop, right = rng.integers(0, 2, (40, 50)), rng.random((40, 50)) < rng.beta(0.5, 0.5, 40)[:, None]
    found = np.where(right, crop, 1 - crop)
    share, truth, hits = np.bincount(found.ravel()) / found.size, right.mean(), []
    for _ in range(150):
        drawn = rng.choice(found.size, 200, replace=False)
        blocks = np.unique(drawn // 50)
        drawn = drawn[np.isin(drawn // 50, rng.permutation(blocks)[: len(blocks) // 2])]
        pixels, one = (found.ravel()[drawn], crop.ravel()[drawn]), np.ones(len(drawn))
        units = Clusters(drawn), Clusters(drawn // 50, "block")
        both = [clustered(*pixels, unit, one, share.tolist(), "ab") for unit in units]
        hits.append([one.overall.low <= truth <= one.overall.high for one in both])
    by_polygons, by_blocks = np.mean(hits, 0)
    assert by_polygons < 0.9
    assert by_blocks > 0.94
    assert both[1].units == len(blocks) // 2
    assert both[1].design.endswith("variance between blocks")


@pytest.mark.parametrize("unit", ["polygon", "block", "pixel"])
def test_a_run_takes_the_drawn_units_for_the_intervals_of_areas(unit):
    """Polygons of four pixels, two to a block; pixels that are drawn alone are no independent units."""
    number = np.arange(240, dtype=np.int32)
    polygon = number // 4
    place = np.stack([polygon // 2 * 1000.0, polygon % 2 * 100.0], 1)
    there = Labelled(
        Pixels(number, number, (polygon // 2 % 2).astype(np.int16), polygon), (), (), pd.Series(dtype=str), place,
        weights=pd.Series(1.0, np.arange(60)),
    )  # fmt: skip
    samples = assembled(Legend((LandClass(1, "a"), LandClass(2, "b"))), Split(train=0.5, unit=unit), there, {})
    test, wanted = samples.draw(0).test, SimpleNamespace(until=None, draw=0)
    tested = SimpleNamespace(
        predicted=samples.label[test], label=samples.label[test], polygon=polygon[test], row=number[test]
    )
    grid = Grid.of("EPSG:32740", Affine(10, 0, 300_000, 0, -10, 7_650_000), (240, 240))
    run = SimpleNamespace(samples=samples, recipe=SimpleNamespace(map=wanted), scene=SimpleNamespace(grid=grid))
    found = Run._area(run, tested, SimpleNamespace(shares=[0.5, 0.5]))
    assert found.units == len(np.unique((samples.block if unit == "block" else polygon)[test]))
    assert found.design.endswith("variance between blocks" if unit == "block" else "variance between polygons")
    areas = Areas(samples.legend, np.array([1, 1]), np.array([1.0, 1.0]))
    said = [area(found, areas, language, unit=unit)["about"] for language in ("en", "fr")]
    assert ["block" in said[0], "blocs" in said[1]] == [unit == "block"] * 2


def test_what_a_sample_cannot_say():
    one = np.array([0, 0, 1])
    with pytest.raises(EvaluationError, match="two labelled pixels"):
        stratified(one, one, one, {0: 10, 1: 10}, "ab")
    with pytest.raises(EvaluationError, match=r"Give the sizes of the strata in pixels\."):
        stratified(one[:2], one[:2], one[:2], {0: 0.5}, "ab")
    with pytest.raises(EvaluationError, match="two polygons"):
        clustered(one, one, Clusters(np.zeros(3)), np.ones(3), [0.5, 0.5], "ab")
    with pytest.raises(EvaluationError, match="between blocks need two blocks"):
        clustered(one, one, Clusters(np.zeros(3), "block"), np.ones(3), [0.5, 0.5], "ab")
    absent = stratified(np.array([0, 0]), np.array([0, 0]), np.array([0, 0]), {0: 5}, "ab")
    assert np.isnan(absent.users[1].value)
    assert absent.as_dict()["per_class"]["b"]["users_accuracy"]["value"] is None
    assert absent.area[1].value == 0


def test_pixels_outside_the_map_keep_their_place_in_the_sample():
    """A map of a part of the sampled area, by hand: ratios of totals, and residuals of zero outside."""
    sizes, stratum = {"a": 600, "b": 400}, np.array(["a", "a", "b", "b"])
    found = stratified(stratum, np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), Strata(sizes, {"a": 2}), ("a", "b"))
    size = 600 * 2 / 4 + 400
    assert found.overall.value == pytest.approx((600 / 4 + 400) / size)
    assert found.area[0].value == pytest.approx(600 / 4 / size)
    assert sum(e.value for e in found.area) == pytest.approx(1)
    assert found.mapped == pytest.approx([300 / size, 400 / size])
    p = 600 / 4 / size
    residual = np.array([1 - p, -p, 0, 0])
    a = 600**2 * ((residual - residual.mean()) ** 2).sum() / 3 / 4
    assert found.area[0].error == pytest.approx(a**0.5 / size), "the residuals of 'b' are equal"
    assert found.users[1].value == 1
    assert "domain" in found.design


def test_a_stratum_without_a_pixel_on_the_map_has_no_part_in_the_estimate():
    sizes, stratum = {"a": 600, "b": 400, "c": 900}, np.array(["a", "a", "a", "b", "b"])
    mapped, reference = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
    found = stratified(stratum, mapped, reference, Strata(sizes, {"c": 3}), ("a", "b"))
    without = stratified(stratum, mapped, reference, {"a": 600, "b": 400}, ("a", "b"))
    for one, other in zip((found.overall, *found.area), (without.overall, *without.area), strict=True):
        assert (one.value, one.error) == pytest.approx((other.value, other.error))


def test_a_sample_without_pixels_outside_is_as_before():
    mapped, reference = (np.repeat(i.ravel(), COUNTS.ravel()) for i in np.meshgrid(range(4), range(4), indexing="ij"))
    assert stratified(mapped, mapped, reference, Strata(PIXELS, {0: 0}), NAMES) == olofsson()


@pytest.mark.slow
def test_intervals_cover_the_areas_and_accuracies_of_a_map_with_holes():
    """1000 samples of an earlier map: its classes are the strata; the present map has holes, more in one class, and other errors."""
    generator, n, names = np.random.default_rng(5), 40_000, ("a", "b", "c")
    truth = generator.choice(3, n, p=[0.5, 0.3, 0.2])
    then, now = (np.where(generator.random(n) < wrong, generator.integers(0, 3, n), truth) for wrong in (0.1, 0.2))
    on_map = generator.random(n) > np.array([0.1, 0.5, 0.3])[truth]
    sizes = dict(enumerate(np.bincount(then).tolist()))
    true = (
        np.bincount(truth[on_map]) / on_map.sum(),
        (now == truth)[on_map].mean(),
        (now == truth)[on_map & (now == 1)].mean(),
    )
    covered, dropped = [], []
    for _ in range(1000):
        pick = np.concatenate([generator.choice(np.flatnonzero(then == k), 80, replace=False) for k in range(3)])
        seen = pick[on_map[pick]]
        strata = Strata(sizes, dict(enumerate(np.bincount(then[pick[~on_map[pick]]], minlength=3).tolist())))
        found = stratified(then[seen], now[seen], truth[seen], strata, names)
        pairs = [*zip(found.area, true[0], strict=True), (found.overall, true[1]), (found.users[1], true[2])]
        covered.append([e.low <= t <= e.high for e, t in pairs])
        as_if_whole = stratified(then[seen], now[seen], truth[seen], sizes, names)
        dropped.append([e.low <= t <= e.high for e, t in zip(as_if_whole.area, true[0], strict=True)])
    rates = np.mean(covered, 0)
    assert ((rates >= 0.925) & (rates <= 0.975)).all(), rates
    assert np.mean(dropped, 0).min() < 0.7, "if the pixels outside are dropped"


def test_a_class_of_one_pixel_needs_one_label():
    """A stratum that is sampled completely has no sampling variance, whatever its size."""
    sizes = {"rare": 1, "small": 3, "large": 996}
    plan = allocate(dict(enumerate(sizes.values())), SampleDesign(size=60, least=20))
    assert plan == {0: 1, 1: 3, 2: 56}
    stratum = np.repeat(list(sizes), list(plan.values()))
    mapped, reference = np.repeat([0, 1, 2], list(plan.values())), np.repeat([0, 1, 0, 2], [1, 2, 9, 48])
    found = stratified(stratum, mapped, reference, sizes, ("a", "b", "c"))
    p = 8 / 56
    assert found.area[0].value == pytest.approx((1 + 1 + 996 * p) / 1000)
    assert found.area[0].error == pytest.approx(0.996 * (p * (1 - p) / 55) ** 0.5), "of the large stratum alone"
    assert [e.value for e in found.users[:2]] == [1, pytest.approx(2 / 3)]
    assert [e.error for e in found.users[:2]] == [0, 0]
    with pytest.raises(EvaluationError, match="two labelled pixels for a standard error; too few: rare, small"):
        stratified(stratum[3:], mapped[3:], reference[3:], sizes, ("a", "b", "c"))


def test_a_sample_without_an_error_has_no_interval(capsys):
    """The error of its estimates is not known: it is not 0."""
    label = np.repeat([0, 1], [20, 30])
    weight, names = np.ones(50), ("a", "b")
    found = stratified(label, label, label, {0: 400, 1: 600}, names)
    polygons = clustered(label, label, Clusters(np.arange(50) // 5), weight, (0.4, 0.6), names)
    for one in (found, polygons):
        estimates = (one.overall, *one.users, *one.producers, *one.area)
        assert [e.value for e in estimates] == pytest.approx([1, 1, 1, 1, 1, 0.4, 0.6])
        assert np.isnan([(e.error, e.low, e.high) for e in estimates]).all()
        assert Adjusted.from_dict(json.loads(json.dumps(one.as_dict()))).as_dict() == one.as_dict()
    print_adjusted(found)
    printed = capsys.readouterr().out
    assert "overall accuracy: 1.000, no standard error" in printed
    assert "nan" not in printed
    everything = stratified(label, label, label, {0: 20, 1: 30}, names)
    assert (everything.overall.low, everything.overall.high) == (1, 1), "no pixel is left to chance"


def test_the_size_of_a_sample_is_cochrans():
    assert sample_size([0.02, 0.015, 0.32, 0.645], [0.7, 0.6, 0.9, 0.95], 0.01) == 641
    assert sample_size([0.5, 0.5], [0.8, 0.8], 0.01, population=1000) < sample_size([0.5, 0.5], [0.8, 0.8], 0.01)


def test_a_sample_sized_for_an_error_reaches_it():
    """Over 300 samples of that size, the accuracy scatters by the error asked for."""
    truth, found, _, generator = fields(3)
    sizes = dict(enumerate(np.bincount(found).tolist()))
    users = {k: float((truth[found == k] == k).mean()) for k in sizes}
    plan = allocate(sizes, SampleDesign(error=0.02, least=2), users)
    values = []
    for _ in range(300):
        pick = np.concatenate([generator.choice(np.flatnonzero(found == k), n, replace=False) for k, n in plan.items()])
        values.append(stratified(found[pick], found[pick], truth[pick], sizes, "abcd").overall.value)
    assert np.std(values) == pytest.approx(0.02, rel=0.15)


def test_rare_classes_get_their_least():
    plan = allocate(PIXELS, SampleDesign(size=641, least=75))
    assert plan == {0: 75, 1: 75, 2: 163, 3: 328}
    assert sum(plan.values()) == 641
    assert allocate({1: 10, 2: 0, 3: 1000}, SampleDesign(size=100, least=30)) == {1: 10, 3: 90}
    assert allocate({1: 500, 2: 500}, SampleDesign(size=100, least=10, allocation="equal")) == {1: 50, 2: 50}
    assert sum(allocate({1: 333, 2: 333, 3: 334}, SampleDesign(size=100, least=2)).values()) == 100, (
        "not 99 by rounding"
    )
    assert allocate({1: 100, 2: 110, 3: 9790}, SampleDesign(size=100, least=30)) == {1: 30, 2: 30, 3: 40}
    assert allocate({1: 500, 2: 500, 3: 500}, SampleDesign(size=60, least=30)) == {1: 30, 2: 30, 3: 30}
    with pytest.raises(EvaluationError, match="nothing to sample"):
        allocate({1: 0}, SampleDesign())
    with pytest.raises(EvaluationError, match="above 0 and below 0.5"):
        SampleDesign(error=0)


def test_a_class_without_a_test_pixel_in_a_part_has_no_part_in_its_means(tmp_path):
    """One pixel of 100 is mapped to it: the mean F-measure is that of the classes that the part has."""
    layout, names = RunLayout(tmp_path), ("maize", "rice", "water")
    label = np.repeat([0, 1, 2, 0], [50, 50, 50, 50])
    predicted = label.copy()
    predicted[0] = 2  # "water" is tested at the other part only
    polygon = np.repeat([1, 2, 3, 4], 50)
    probabilities = np.eye(3, dtype=np.float32)[predicted]
    layout.split(0).path.mkdir(parents=True)
    predictions_of(polygon, polygon, polygon, label, probabilities, 1.0).to_parquet(layout.split(0).test)
    samples = SimpleNamespace(draws=1, legend=SimpleNamespace(names=names), untested=(), polygon=polygon)
    metrics = ("overall_accuracy", "f1_macro")
    found = score_by_part(layout, samples, {"one": np.array([1, 2]), "other": np.array([3, 4])}, metrics)
    f1 = 2 * 49 / (49 + 50)
    assert found["one"].values("f1_macro") == pytest.approx([(f1 + 1) / 2])
    assert found["one"].values("overall_accuracy") == pytest.approx([0.99])
    assert found["other"].values("f1_macro") == pytest.approx([1])


def test_the_producers_accuracy_of_a_class_seen_in_complete_strata_only_has_no_interval():
    """It was 1.00 (1.00 - 1.00), though the class can be in the other strata, where no sampled pixel has it."""
    stratum = np.repeat([0, 1, 2], (50, 50, 1))  # the only pixel of the last class on the map is sampled
    reference = stratum.copy()
    reference[:5], reference[50:53] = 1, 0
    found = stratified(stratum, stratum, reference, {0: 5000, 1: 5000, 2: 1}, ("a", "b", "c"))
    assert found.producers[2].value == 1
    assert not found.producers[2].has_interval
    assert (found.users[2].low, found.users[2].high) == (1, 1)  # all pixels that are mapped as the class are sampled
    of_earlier_map = stratum.copy()
    of_earlier_map[:2] = (
        1  # in the present map, a stratum has several classes: others of its pixels can have the last one
    )
    found = stratified(stratum, of_earlier_map, reference, {0: 5000, 1: 5000, 2: 1}, ("a", "b", "c"))
    assert not found.users[2].has_interval


@pytest.mark.parametrize("known", [True, False])
def test_shares_are_those_of_the_area_of_pixels_in_degrees(known):
    """A map from 30 to 60 degrees north: half of its pixels are a class of 37 % of its area, and 42 % were estimated."""
    rng, names, found = np.random.default_rng(0), ("north", "south"), []
    pixel = np.cos(np.radians(np.linspace(60, 30, 20_000)))
    mapped = np.repeat([0, 1], 10_000)
    truth = np.where(
        rng.random(20_000) < 0.1 * (pixel > 0.8), 0, mapped
    )  # errors are in the south, where pixels are large
    true = float(pixel[truth == 0].sum() / pixel.sum())
    areas = {k: float(pixel[mapped == k].sum()) for k in (0, 1)} if known else None
    for _ in range(100):
        pick = np.concatenate([rng.choice(np.flatnonzero(mapped == k), 100, replace=False) for k in (0, 1)])
        strata = Strata({0: 10_000, 1: 10_000}, pixel=pixel[pick], areas=areas)
        found.append(stratified(mapped[pick], mapped[pick], truth[pick], strata, names))
    share = [one.area[0] for one in found]
    assert np.mean([one.value for one in share]) == pytest.approx(true, abs=0.005)
    assert np.mean([one.low <= true <= one.high for one in share]) >= 0.88
    assert np.std([one.value for one in share]) == pytest.approx(np.nanmean([one.error for one in share]), rel=0.2)
    counted = stratified(mapped[pick], mapped[pick], truth[pick], {0: 10_000, 1: 10_000}, names)
    assert counted.area[0].low > true


def test_nothing_is_estimated_where_no_test_pixel_has_a_class_of_the_map():
    """Its part of the map was given to the other classes: 9 % (0.5 to 17) were estimated of a class of 37 % of the map."""
    reference = np.repeat([0, 0, 1, 1, 2], 10)
    mapped, unit = np.where(reference == 2, 0, reference), Clusters(np.arange(50) // 5)
    mapped[:3] = 1
    with pytest.raises(
        EvaluationError, match=r"no test pixel is mapped as: c, which the map has in 37\.0 % of its area"
    ):
        clustered(mapped, reference, unit, np.ones(50), [0.45, 0.18, 0.37], "abc")
    legend = Legend(tuple(LandClass(k + 1, name) for k, name in enumerate("abc")))
    made = SimpleNamespace(
        areas=Areas(legend, np.array([45, 18, 37]), np.array([45.0, 18, 37])), language="en", until=None,
        samples=SimpleNamespace(weight=np.ones(50), legend=legend, without=lambda test: []), draw=SimpleNamespace(test=unit),
        estimates=SimpleNamespace(area=None, sample=None, refused=None), score=SimpleNamespace(tests=True),
        tested=SimpleNamespace(predicted=mapped),
    )  # fmt: skip
    assert "the reference there is not known: c." in unadjusted(made)["about"]
    found = clustered(mapped, reference, unit, np.ones(50), [0.6, 0.396, 0.004], "abc")
    assert sum(one.value for one in found.area) == pytest.approx(1)


def test_the_model_error_of_a_class_without_a_confusion_is_not_known():
    """It was 0, as if the corrected area were exact."""
    reference, polygon = np.repeat([0, 1, 2], 40), np.arange(120) // 4
    mapped = reference.copy()
    assert np.isnan(corrected(mapped, reference, polygon, [0.5, 0.3, 0.2], "abc").error).all()
    mapped[:6] = 1
    found = corrected(mapped, reference, polygon, [0.5, 0.3, 0.2], "abc")
    assert np.isnan(found.error).tolist() == [False, False, True]
    assert found.as_dict()["per_class"]["c"]["model_error"] is None
