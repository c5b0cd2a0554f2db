"""Accuracy before the end of the season: cut-offs in the training, curves, calibration, the command and its section."""

import datetime
import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import bocage as bg
from bocage.cli.main import main
from bocage.cli.tables import print_season
from bocage.errors import EvaluationError, ModelError, SceneError
from bocage.evaluation import AtDay, Curve, SeasonScore
from bocage.evaluation.season import Interval, first_reached, interval
from bocage.jobs.run import run
from bocage.jobs.season import Asked, Work, season
from bocage.layout import RunLayout
from bocage.models import SourceTensor
from bocage.recipe import read_recipe
from bocage.reliability import Reliability, reliability
from bocage.run import open_run, open_scene
from bocage.run.stages import Run
from bocage.samples import Cut, SiteCuts
from bocage.scene import filtered_until, scene_until
from bocage.sources import alphaearth
from bocage.training import Trained, Trainer, at_cutoff, fixed_dates, proposed
from bocage.training.augmentation import Augmentation, cut_off
from bocage.training.batches import make_batch
from bocage.training.calibration import Calibration
from conftest import FOREST, GRU, PAN_MS, S2, Told

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"'
DAY = datetime.date(1970, 1, 1)


def day(month: int, of_month: int) -> datetime.date:
    return datetime.date(2021, month, of_month)


# --- the training
def series(valid: np.ndarray) -> SourceTensor:
    n, dates = valid.shape
    values = torch.ones(n, dates, 1, 1, 1)
    return SourceTensor(values, torch.from_numpy(valid)[:, :, None, None], torch.zeros(n, dates, dtype=torch.int32))


def test_a_cut_off_is_the_same_for_all_series_and_leaves_a_valid_date():
    n, rng = 400, np.random.default_rng(0)
    dates = {"a": np.tile(np.arange(0, 100, 10), (n, 1)), "b": np.tile(np.arange(5, 100, 10), (n, 1))}
    valid = {name: rng.random((n, 10)) < 0.5 for name in dates}
    valid["a"][:, 9] = valid["b"][:, 9] = True
    image, past = series(np.ones((n, 1), bool)), series(np.ones((n, 3), bool))
    batch = {name: series(valid[name]) for name in dates} | {"image": image, "past": past}
    dates |= {"image": np.full((n, 1), 99), "past": np.tile([-900, -500, -100], (n, 1))}
    for each in (False, True):
        made = cut_off(
            batch,
            dates,
            Augmentation(cutoff=0.5, each_series=each, gridded={"past": 365}),
            np.random.default_rng(1),
        )
        assert made["image"] is image
        assert made["past"] is past, "earlier years are no dates of the season"
        left = {name: made[name].valid[:, :, 0, 0].numpy() for name in ("a", "b")}
        whole = np.all([(left[name] == valid[name]).all(1) for name in left], 0)
        assert 0.4 < whole.mean() < 0.65  # half of the samples, and cuts after the last valid date
        assert (left["a"].any(1) | left["b"].any(1)).all()
        if each:
            assert left["a"].any(1).all()
            assert left["b"].any(1).all()
        else:
            assert not left["a"].any(1).all()
        for name, kept in left.items():  # nothing is masked before a date that is kept, in either series
            last = np.max([np.where(left[other], dates[other], -1).max(1) for other in left], 0)
            before = valid[name] & (dates[name] <= last[:, None])
            assert (kept == before).all()
            assert (made[name].values[:, :, 0, 0, 0].numpy() == kept).all()


def test_proposed_cut_offs_are_few_and_each_has_new_dates():
    weekly = [18628 + 7 * k for k in range(52)]
    found = proposed(weekly)
    assert len(found) == 24
    assert found[0] == day(1, 15)
    assert found[-1] == DAY + datetime.timedelta(weekly[-1])
    assert proposed(range(10000, 18000)) == tuple(sorted(proposed(range(10000, 18000))))
    assert len(proposed(range(10000, 18000))) <= 37
    assert proposed([18700]) == (datetime.date(2021, 3, 14),)


@pytest.mark.parametrize(
    ("sources", "like", "told"),
    [(S2, "s2", "'s2' is gap-filled"), (PAN_MS, "pan", "needs a series of two dates or more")],
)
def test_cut_offs_need_acquisition_dates(recipe, tmp_path, sources, like, told):
    path = recipe(PATCHWORK, sources, like, **{"epochs = 4": "epochs = 1\ncutoff = 0.5"})
    parsed = read_recipe(path)
    with pytest.raises((ModelError, SceneError), match=told):
        parsed.choice.build(open_scene(parsed), parsed.legend)


# --- the calibration
@pytest.mark.slow
def test_the_temperature_follows_the_last_valid_date_of_a_pixel(brief):
    made = brief(PATCHWORK, NATIVE)
    days = made.scene.cubes["s2"].days
    season = ((float(days[0]), 4.0), (float(days[2]), 1.0))
    trained = replace(made.trained, calibration=Calibration(2.0, season=season))
    n = len(days)
    values = torch.zeros(3, n, 3, 3, 3)
    valid = torch.zeros(3, n, 3, 3, dtype=torch.bool)
    valid[0, 0], valid[1, :2], valid[2] = True, True, True
    batch = {"s2": SourceTensor(values, valid, torch.from_numpy(np.tile(days, (3, 1))))}
    logits = torch.ones(3, 3, 1, 1)
    between = 4 ** (1 - (days[1] - days[0]) / (days[2] - days[0]))
    assert trained.scaled(logits, batch)[:, 0, 0, 0].tolist() == pytest.approx([1 / 4, 1 / between, 1.0], rel=1e-5)
    later = {"s2": SourceTensor(values, valid, torch.from_numpy(np.tile(days + 1461, (3, 1))))}
    moved = replace(trained, later=1461)  # the same days, four years later
    assert torch.equal(moved.scaled(logits, later), trained.scaled(logits, batch))


def test_the_temperatures_of_a_season_are_stored(brief, tmp_path):
    made = brief(PATCHWORK, NATIVE)
    plain = json.loads((made.folder / "trained.json").read_text())
    assert "season" not in plain["calibration"]  # as earlier versions wrote it: the fingerprint stays
    season = ((18600.0, 1.5), (18700.0, 1.2))
    replace(made.trained, calibration=Calibration(1.1, season=season)).save(tmp_path / "model")
    assert Trained.load(tmp_path / "model").calibration.season == season
    with pytest.raises(ValueError, match="above 0"):
        Calibration(season=((1.0, 0.0),))


# --- the scene until a day
def test_a_scene_until_a_day_has_no_later_acquisition(recipe):
    scene = open_scene(read_recipe(recipe(PATCHWORK, NATIVE)))
    part = scene_until(scene, day(4, 11))
    assert part.cubes["s2"].days.tolist() == scene.cubes["s2"].days[:3].tolist()
    window = scene.grid.window
    whole, early = scene.cubes["s2"].read(window), part.cubes["s2"].read(window)
    assert np.array_equal(early.values, whole.values[:3])
    assert scene_until(scene, day(12, 31)).cubes["s2"].source is scene.cubes["s2"].source
    with pytest.raises(SceneError, match=r"the first date of the series is 2021-02-11 \(source 's2'\)"):
        scene_until(scene, day(2, 10))


@pytest.mark.slow
def test_gaps_are_filled_from_the_dates_until_a_day(recipe):
    scene = open_scene(read_recipe(recipe()))
    part = scene_until(scene, day(4, 11)).cubes["s2"]
    assert np.array_equal(part.days, scene.cubes["s2"].days)
    filled, window = part.read(scene.grid.window), scene.grid.window
    last = np.searchsorted(part.days, (day(4, 11) - DAY).days, "right")
    assert (filled.values[last:] == filled.values[last]).all()  # nothing is known of the later dates
    assert not np.array_equal(filled.values, scene.cubes["s2"].read(window).values)


def test_images_have_no_cut_off(recipe):
    scene = open_scene(read_recipe(recipe(PATCHWORK, PAN_MS, "pan")))
    with pytest.raises(SceneError, match=r"needs a series of two dates or more; found 'pan' \(without a date\), 'ms'"):
        scene_until(scene, day(4, 11))


def test_features_of_the_whole_year_have_no_cut_off(recipe):
    scene = open_scene(read_recipe(recipe(PATCHWORK, NATIVE)))
    series = scene.cubes["s2"]
    one = replace(series.source, sensor=alphaearth, acquisitions=series.source.acquisitions[:1])
    both = replace(scene, cubes={"s2": series, "features": replace(series, source=one)})
    with pytest.raises(SceneError, match="'features' has features of a whole year, which are not known before its end"):
        scene_until(both, day(4, 11))
    earlier = tuple(replace(a, time=a.time.replace(year=2020)) for a in one.acquisitions)
    past = replace(both, cubes={**both.cubes, "features": replace(series, source=replace(one, acquisitions=earlier))})
    assert scene_until(past, day(4, 11)).cubes["features"] is past.cubes["features"]


# --- the curves
def curve(accuracies: list[list[int]], unseen: int = 0) -> Curve:
    """Return a curve of two classes: `accuracies` are the right pixels of each draw, of 10 of each class."""
    by_day = {}
    for month, draws in enumerate(accuracies, start=4):
        results = [np.array([[r, 10 - r - unseen, unseen], [10 - r, r, 0]]) for r in draws]
        trust = Reliability(0.1, (0.7,), (0.8,), (1.0,))
        by_day[day(month, 15)] = tuple(AtDay(counts, trust) for counts in results)
    return Curve(("a", "b"), (), by_day, 0.5)


def test_pixels_without_data_are_errors():
    found = curve([[6, 8]], unseen=2)
    assert found.accuracy()[0].mean == pytest.approx(0.7)
    assert found.data()[0].mean == pytest.approx(0.9)
    # Class b has 20 − 2 pixels mapped as such in the first draw: 6 right, 4 omitted, 2 + 0 committed.
    one = curve([[6]], unseen=2)
    assert one.f1(1)[0].mean == pytest.approx(12 / (10 + 8))
    assert one.f1(0)[0].mean == pytest.approx(12 / (10 + 10))


def test_the_calibration_error_is_that_of_all_draws_together():
    """In one bin of confidence, the errors of two draws are opposite; in the other, they are the same."""
    counts = np.array([[5, 5, 0], [5, 5, 0]])
    high, low = (Reliability(0.1, (0.73, 0.55), (value, 0.5), (0.5, 0.5)) for value in (0.83, 0.63))
    found = Curve(("a", "b"), (), {day(4, 15): (AtDay(counts, high), AtDay(counts, low))}, 0.5)
    assert found.error()[0].mean == pytest.approx(0.05 / 2)
    assert found.confidence()[0].mean == pytest.approx(0.64)
    nothing = AtDay(np.array([[0, 0, 5], [0, 0, 5]]), reliability(np.zeros(0), np.zeros(0, bool)))
    empty = Curve(("a", "b"), (), {day(4, 15): (nothing,)}, 0.5)
    assert np.isnan([empty.error()[0].mean, empty.confidence()[0].mean]).all()
    assert empty.accuracy()[0].mean == 0
    again = AtDay.from_dict(json.loads(json.dumps(nothing.as_dict())))
    assert again.as_dict() == nothing.as_dict()


def test_the_interval_knows_that_draws_share_polygons():
    found = interval(np.array([0.7, 0.8, 0.9]), 0.5)
    half = 4.302653 * 0.1 * (1 / 3 + 0.5) ** 0.5  # t of 2 degrees of freedom
    assert (found.mean, found.low, found.high) == pytest.approx((0.8, 0.8 - half, 1.0), abs=1e-6)
    alone = interval(np.array([0.7, np.nan]), 0.5)
    assert alone.mean == 0.7
    assert np.isnan([alone.low, alone.high]).all()
    same = interval(np.array([0.8, 0.8, 0.8]), 0.5)
    assert same.mean == pytest.approx(0.8)
    assert np.isnan([same.low, same.high]).all(), "without a variance, the error is not known: it is not 0"
    assert first_reached([day(4, 15)], [same], 0.5).sure is None


def test_the_first_sufficient_date_is_by_mean_and_by_lower_bound():
    days = [day(4, 15), day(5, 15), day(6, 15)]
    values = [Interval(0.7, 0.6, 0.8), Interval(0.82, 0.78, 0.9), Interval(0.9, 0.85, 0.95)]
    assert first_reached(days, values, 0.8).mean == day(5, 15)
    assert first_reached(days, values, 0.8).sure == day(6, 15)
    never = first_reached(days, values, 0.99)
    assert never.mean is None
    assert never.sure is None
    unknown = first_reached(days[:1], [Interval(0.9, np.nan, np.nan)], 0.8)  # one draw
    assert (unknown.mean, unknown.sure) == (day(4, 15), None)


def test_a_class_that_never_reaches_the_accuracy_is_shown(capsys):
    print_season(SeasonScore(curve([[5, 6], [8, 8]]), None, 0.95, 0.0))
    assert capsys.readouterr().out.count("not reached") == 6  # overall and two classes, by mean and by lower bound


def test_each_site_has_its_own_dates():
    def one(dates):
        empty = np.zeros((0, 3), np.int64)
        days = np.array(dates, np.int32)
        return Cut(Path(), "s2", days, days, 1, 1, empty, empty, np.arange(2))

    both = SiteCuts({0: one([10, 20, 30]), 1: one([400, 410])}, np.array([0, 1], np.int16), np.array([0, 0]))
    assert both.dates_of(np.array([1, 0])).tolist() == [[400, 410, 410], [10, 20, 30]]


def test_curves_are_read_as_written():
    score = SeasonScore(curve([[5, 6], [8, 9]]), curve([[6, 6], [9, 9]]), 0.8, 0.7, "key")
    said = json.loads(json.dumps(score.as_dict()))
    assert SeasonScore.from_dict(said).as_dict() == score.as_dict()
    assert said["earliest"]["overall"] == {"mean": "2021-05-15", "low": None}
    header, *rows = score.rows()
    assert header == ("model", "date", "measure", "class", "mean", "low", "high")
    assert ("retrained", "2021-05-15", "f1", "b", 0.9, "", "") in rows


# --- the command
class Halted(Told):
    """Stops the command after some steps."""

    def __init__(self, after: int):
        super().__init__()
        self.after = after

    def step(self, task, done, *_):
        if task == "season" and done == self.after:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_the_command_resumes_and_the_report_has_its_curves(finished, tmp_path, capsys):
    """A forest on a gap-filled series: gaps are filled again for each cut-off, from no later date."""
    base = finished()
    out, told = base.copied(tmp_path / "run"), Told()
    parsed, asked = read_recipe(base.recipe), Asked((day(2, 28), day(4, 30), day(12, 31)), 0.9)
    with pytest.raises(KeyboardInterrupt):
        season(parsed, out, asked, Halted(3))
    kept = json.loads(RunLayout(out).season.results.read_text())
    assert {key: len(draws) for key, draws in kept["once"].items()} == {"2021-02-28": 2, "2021-04-30": 1}
    found = season(parsed, out, asked, told)
    assert found.as_dict() == season(parsed, base.copied(tmp_path / "other"), asked).as_dict()
    assert any("No acquisition is after 2021-07-11" in word for word in told.words)
    assert any("Gaps of 's2' are filled for each cut-off" in word for word in told.words)
    assert any("trained on whole seasons" in word for word in told.words)
    assert found.once.days == (day(2, 28), day(4, 30), day(7, 11))
    layout = RunLayout(out)
    assert not layout.season.scratch.exists()
    whole = [np.array(one.counts)[:, :-1] for one in found.once.by_day[day(7, 11)]]
    scores = json.loads(layout.score.read_text())["confusion"]["per_draw"]
    assert [counts.tolist() for counts in whole] == scores  # the whole season is the test of the run
    assert main(["season", str(base.recipe), "--out", str(out), "--dates", "2021-02-28,2021-04-30"]) == 0
    said = capsys.readouterr().out
    assert "First cut-off that reaches 0.8" in said
    assert f"  {shlex.join(['bocage', 'report', str(base.recipe), '--out', str(out)])}" in said
    for language, title in (("en", "Accuracy before the end of the season"), ("fr", "avant la fin de la saison")):
        run(read_recipe(base.recipe, (f'report.language="{language}"',)), out, ("report",), overwrite=True)
        page = layout.report.read_text(encoding="utf-8")
        assert title in page
        assert "2021-04-30" in page
    shown = bg.recipe(base.recipe, out, overwrite=True, quiet=True).season(asked.dates, 0.9)
    assert shown.first().loc["overall accuracy", "mean"] == pd.Timestamp(found.overall.mean)
    assert shown.curves().query("measure == 'f1'")["class"].unique().tolist() == list(found.once.names)
    assert "2021-02-28" in shown._repr_html_()
    assert json.loads(layout.report_numbers.read_text())["season"]["wanted"] == 0.8


def test_series_of_dates_beside_a_gap_filled_one_keep_the_dates_of_the_training(recipe, tmp_path):
    """The gap-filled series is filled again; later dates of the other are masked, not left out."""
    both = S2 + NATIVE.replace("[sources.s2]", "[sources.native]")
    parsed = read_recipe(recipe(FOREST, both), ("split.draws=1",))
    run(parsed, tmp_path / "out", ("train",))
    opened = open_run(parsed, tmp_path / "out", stages=("train",))
    until = day(4, 30)
    samples = Work.of(opened, Asked((until,)), Told())._samples(until)
    some, whole = np.arange(20), opened.samples
    for name, known in samples.cuts.items():
        assert np.array_equal(known.days, whole.cuts[name].days)
    (values, valid), (before, valid_before) = (one.cuts["native"].read(some) for one in (samples, whole))
    early = whole.cuts["native"].dates <= (until - DAY).days
    assert not valid[:, ~early].any()
    assert (valid[:, early] == valid_before[:, early]).all()
    assert (values[:, early] == before[:, early]).all()
    trained = Trained.load(opened.layout.split(0).model.path)
    rows = trained.model.table.rows(make_batch(samples.chips, some, trained.normalisation))
    assert rows.shape[1] == trained.model.forest.n_features_in_
    with pytest.raises(ModelError, match="columns were given, but the forest was trained on"):
        trained.model._probabilities(rows[:, :-1])


def test_the_speckle_filter_uses_no_date_after_the_cut_off(recipe, tmp_path):
    """As in a map until the day; the model is given the dates of its training."""
    radar = NATIVE.replace("sources.s2", "sources.radar")
    radar = radar.replace(
        'quality = "s2/quality.tif"\nclear = [4]\nscale = 0.0001\nindices = ["ndvi"]\n',
        "scale = 0.0001\noffset = -60\n",
    )
    radar = radar.replace(" }\n", " }\nspeckle = { window = 3 }\n", 1)
    parsed = read_recipe(recipe(FOREST, S2 + radar), ("split.draws=1", 'model.sources=["radar"]'))
    opened = open_run(parsed, tmp_path / "out", stages=("train",))
    until, told = day(4, 30), Told()
    samples = Work.of(opened, Asked((until,)), told)._samples(until)
    assert any("speckle filter of 'radar'" in word for word in told.words)
    some, number = np.arange(20), (until - DAY).days
    known, whole = samples.cuts["radar"], opened.samples.cuts["radar"]
    assert np.array_equal(known.days, whole.days)
    early = whole.dates <= number
    values, valid = known.read(some)
    assert not valid[:, ~early].any()
    assert (values[:, ~early] == 0).all()
    mapped = scene_until(opened.scene, until, ["radar"]).cubes["radar"]
    block = mapped.read(mapped.grid.window)
    pixels = samples.pixels(some)
    at = block.values[:, :, pixels.row, pixels.column]  # (T, C, N)
    assert np.allclose(values[..., 0, 0][:, early], at.transpose(2, 0, 1), atol=1e-5)
    assert not np.allclose(whole.read(some)[0][:, early], values[:, early])
    nothing = filtered_until(opened.scene.cubes["radar"], 0)
    assert (nothing.read(nothing.grid.window).values == 0).all()


@pytest.mark.slow
def test_the_command_that_the_command_names_writes_the_report(recipe, tmp_path, capsys):
    """Also in a new folder, whose model was not tested yet."""
    out = tmp_path / "out"
    words = ["--dates", "2021-04-30", "--set", "split.draws=1"]
    assert main(["season", str(recipe(FOREST, NATIVE)), "--out", str(out), *words]) == 0
    assert main(shlex.split(capsys.readouterr().out.splitlines()[-1])[1:]) == 0
    assert "2021-04-30" in RunLayout(out).report.read_text(encoding="utf-8")


@pytest.mark.parametrize("cutoff", [0.0, 0.7])
def test_the_command_names_the_series_that_keep_a_model_from_maps_until_a_day(recipe, tmp_path, cutoff):
    settings = (f"training.cutoff={cutoff}", "split.draws=1")
    told, out = Told(), tmp_path / "out"
    forest = read_recipe(recipe(FOREST, NATIVE), settings)
    found = season(forest, out, Asked((day(4, 30), day(6, 30))), told)
    (said,) = [word for word in told.words if "--until" in word]
    assert said.startswith(
        "The model (random_forest) needs all dates of the series 's2' that it was trained on, so it cannot map"
    )
    assert "'fill' of the source, without [training] cutoff" in said
    assert not any("trained on whole seasons" in word for word in told.words)
    assert SeasonScore.from_dict(found.as_dict()).fixed == found.fixed == ("s2",)
    if cutoff:
        run(forest, out)
        assert said.replace("'", "&#39;") in RunLayout(out).report.read_text()


def test_models_that_map_until_a_day(recipe):
    """Models of any number of dates, gap-filled series, and means of models, each of which needs what its members need."""

    def series_of(model, sources=NATIVE):
        parsed = read_recipe(recipe(model, sources))
        scene = open_scene(parsed)
        return fixed_dates(parsed.choice, scene, parsed.choice.build(scene, parsed.legend))

    assert series_of(PATCHWORK) == series_of(GRU) == series_of(FOREST, S2) == ()
    mean = 'name = "mixture"\n[[model.members]]\nname = "patchwork"\npreset = "small"\n[[model.members]]\nname = "random_forest"'
    assert series_of('name = "tempcnn"') == series_of(mean) == ("s2",)


@pytest.mark.slow
def test_models_of_each_date_have_the_trust_in_the_labels(recipe, tmp_path, monkeypatch):
    seen = []

    class Spy(Trainer):
        def train_once(self, number, *rest):
            seen.append(self.samples.trust)
            return super().train_once(number, *rest)

    def trusted(run, number):
        return replace(run.samples, trust=np.linspace(0.5, 1, len(run.samples.label)))

    monkeypatch.setattr("bocage.jobs.season.Trainer", Spy)
    monkeypatch.setattr(Run, "trusted", trusted)
    season(
        read_recipe(recipe(FOREST, NATIVE, **{"draws = 2": "draws = 1"})),
        tmp_path / "run",
        Asked((day(6, 15),), retrain=True),
    )
    assert len(seen) == 1
    assert seen[0].min() == 0.5


@pytest.mark.slow
def test_one_training_serves_all_cut_offs(recipe, tmp_path):
    """Two dates of the tiny landscape tell its classes apart."""
    cutoff = {"epochs = 4": "epochs = 20\ncutoff = 0.7", "draws = 2": "draws = 1"}
    parsed = read_recipe(recipe(FOREST, NATIVE, **cutoff))
    found = season(parsed, tmp_path / "run", Asked(wanted=0.95, retrain=True))
    assert [value.mean for value in found.once.accuracy()][1:] == pytest.approx([1.0] * 5, abs=0.05)
    assert found.retrained is not None
    assert [value.mean for value in found.retrained.accuracy()] == pytest.approx([1.0] * 6, abs=0.05)
    assert found.overall.mean == day(3, 15)
    opened = open_run(parsed, tmp_path / "run", stages=())
    trained = Trained.load(opened.layout.split(0).model.path)
    knots = [int(day) for day, _ in trained.calibration.season]
    assert knots == opened.samples.cuts["s2"].dates.tolist()
    test = opened.samples.draw(0).test
    early = at_cutoff(trained, opened.samples.chips, test, int(knots[1]) - 1, "cpu")
    assert early.seen.all()
    assert set(early.ends) == {float(knots[0])}
    cloudy = at_cutoff(trained, opened.samples.chips, test, int(knots[0]) - 1, "cpu")
    assert not cloudy.seen.any()


@pytest.mark.slow
def test_cut_offs_that_cannot_be_are_refused(recipe, finished, tmp_path):
    base = finished()
    out = base.copied(tmp_path / "run")
    with pytest.raises(EvaluationError, match="cut-off 2021-02-01 is before the first date of the series, 2021-02-11"):
        season(read_recipe(base.recipe), out, Asked((day(2, 1), day(3, 1))))
    assert main(["season", str(base.recipe), "--out", str(out), "--dates", "31.5."]) == 2
    assert main(["season", str(base.recipe), "--out", str(out), "--wanted", "80"]) == 2
    images = read_recipe(recipe(FOREST, PAN_MS, "pan"))
    with pytest.raises(SceneError, match="needs a series of two dates or more"):
        season(images, tmp_path / "images")
    everything = read_recipe(recipe(FOREST, **{"train = 0.5\ndraws = 2": "train = 1\ndraws = 1"}))
    with pytest.raises(EvaluationError, match="an accuracy needs a test part"):
        season(everything, tmp_path / "everything")


def test_a_class_without_test_pixels_in_a_draw_has_no_f_measure_there():
    """It was 0 as soon as a pixel was mapped as the class."""
    trust = Reliability(0.0, (0.9,), (1.0,), (1.0,))
    both, one = np.array([[5, 0, 0], [0, 5, 0]]), np.array([[4, 1, 0], [0, 0, 0]])
    found = Curve(("a", "b"), (), {day(4, 15): (AtDay(both, trust), AtDay(one, trust))}, 0.5)
    assert found.f1(1)[0].mean == 1
    assert found.f1(0)[0].mean == pytest.approx((1 + 8 / 9) / 2)
