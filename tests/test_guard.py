"""The accuracy that is estimated without labels, and the adaptation that is done only where it is expected to help."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch

from bocage.cli import main
from bocage.errors import SamplesError, TrainedError
from bocage.jobs.adapt import adapt_to
from bocage.jobs.map import map_with
from bocage.layout import ModelLayout, RunLayout
from bocage.models import SourceTensor
from bocage.recipe import read_recipe
from bocage.run import missed_at_sites, open_scene
from bocage.training import (
    Adapting,
    Certainties,
    Certainty,
    Expected,
    Judgement,
    Trained,
    certainty_of,
    drawn,
    estimate,
    guard,
    read_certainties,
)
from bocage.training.calibration import Calibration
from bocage.training.certainty import certainties_at, partly_hidden
from bocage.training.guard import Fall, with_confidence
from conftest import FOREST, PAN_MS, S2, Told
from test_report import foreign, page_of

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'
QUICK = Adapting(pixels=256, rounds=1, epochs=1, least=0.0)
HOME = Certainty(1000, 0.9, 0.92, (0.01, 0.01))


def sure(agreement, confidence=0.9, error=0.01):
    return Certainty(1000, confidence, agreement, (error, error))


@pytest.fixture
def trained(recipe, brief):
    return recipe(PATCHWORK, NATIVE + PAN_MS, "pan"), brief(PATCHWORK, NATIVE + PAN_MS, "pan").folder


def test_the_errors_of_a_certainty_are_those_of_its_squares():
    unit = np.repeat(np.arange(50), 4)
    agrees = np.repeat(np.arange(50) < 40, 4)
    found = Certainty.of(np.full(200, 0.7), agrees, unit)
    assert found.confidence == pytest.approx(0.7)
    assert found.agreement == pytest.approx(0.8)
    assert found.errors[1] == pytest.approx(np.sqrt(0.8 * 0.2 / 49)), "50 squares, not 200 pixels"
    assert found.errors[0] == pytest.approx(0)
    few = Certainty.of(np.full(24, 0.9), np.ones(24, bool), np.arange(24))
    assert few.errors[1] == pytest.approx(np.sqrt(1 / 25 / 24)), "24 pixels that all agree prove little"
    assert Certainty.of(np.ones(3), np.ones(3, bool), np.arange(3), least=4) is None
    assert Certainty.of(np.ones(3), np.ones(3, bool), np.zeros(3)) is None, "one square has no error"


def test_the_fall_is_that_from_the_mean_of_the_sites():
    fall = Fall.between({"a": sure(0.9), "b": sure(0.8)}, sure(0.7))
    assert fall.value == pytest.approx(0.15)
    between = np.var([0.9, 0.8], ddof=1) / 2
    assert fall.error == pytest.approx(np.sqrt(between + 0.01**2)), "sites differ more than their pixels"


@pytest.mark.parametrize(
    ("agreement", "error", "reason"),
    [(0.95, 0.01, "steady"), (0.89, 0.001, "steady"), (0.82, 0.01, "falls"), (0.82, 0.12, "unsure")],
)
def test_an_adaptation_is_expected_to_help_where_the_agreement_falls_clearly(agreement, error, reason, trained):
    model = replace(Trained.load(trained[1]), certainties=Certainties({"": HOME}))
    judgement = Judgement.of(model, sure(agreement, error=error))
    assert judgement.reason == reason
    assert judgement.adapts == (reason == "falls")
    assert f"{judgement.expected.accuracy:.0%}" in judgement.text()
    assert Judgement.from_dict(json.loads(json.dumps(vars_of(judgement)))) == judgement


def vars_of(judgement):
    from dataclasses import asdict

    return asdict(judgement)


def test_a_model_without_a_description_of_its_scene_is_not_judged(trained):
    model = replace(Trained.load(trained[1]), certainties=None)
    assert Judgement.of(model, sure(0.5)).reason == "unknown"
    assert not Judgement.of(model, sure(0.5)).adapts
    assert "cannot be estimated" in Judgement.of(model, None).text()


def test_the_estimate_is_the_confidence_minus_the_fall():
    known = {"": HOME}
    assert estimate(known, sure(0.95, 0.8)) == pytest.approx(0.8), "a rise adds nothing"
    assert estimate(known, sure(0.82, 0.8)) == pytest.approx(0.8 - 0.1 * guard.RATE)
    found = Expected.of(known, sure(0.92, 0.8))
    assert found.sites == 0
    assert found.low == pytest.approx(max(0, 0.8 + guard.OFFSETS[0]))
    assert found.high == pytest.approx(min(1, 0.8 + guard.OFFSETS[1]))


def test_left_out_sites_correct_the_estimate_and_give_its_interval():
    found = Expected.of({"": HOME}, sure(0.92, 0.8), (-0.1, -0.2, -0.15))
    assert found.accuracy == pytest.approx(0.65)
    assert found.sites == 3
    half = 2.919986 * 0.05 * np.sqrt(1 + 1 / 3)  # t, 95 %, 2 degrees of freedom
    assert (found.low, found.high) == (pytest.approx(0.65 - half, abs=1e-6), pytest.approx(0.65 + half, abs=1e-6))
    assert Expected.of({"": HOME}, sure(0.92, 0.8), (-0.1, -0.2)).sites == 0, "two sites are too few"
    assert Expected.of({"": HOME}, sure(0.92, 0.8), (-0.1, -0.1, -0.1)).sites == 0, "the same value at all sites"


def tensor(n, dates, valid=True):
    return SourceTensor(
        torch.ones(n, dates, 1, 1, 1), torch.full((n, dates, 1, 1), valid), torch.arange(dates).expand(n, dates)
    )


def test_a_part_of_the_input_is_hidden_and_never_all_of_it():
    batch = {"s1": tensor(400, 10), "pan": tensor(400, 1)}
    found = partly_hidden(batch, True, np.random.default_rng(0))
    seen = {name: one.valid.flatten(1).sum(1).numpy() for name, one in found.items()}
    assert ((seen["s1"] > 0) | (seen["pan"] > 0)).all()
    assert 0.2 < (seen["s1"] == 0).mean() < 0.3, "half of the pixels lose one of two sources"
    assert 0.2 < (seen["pan"] == 0).mean() < 0.3
    assert 7 < seen["s1"][seen["s1"] > 0].mean() < 9
    strict = partly_hidden(batch, False, np.random.default_rng(0))
    assert strict["pan"].valid.all(), "a network that needs all sources gets them"
    lonely = partly_hidden({"s1": tensor(50, 4), "pan": tensor(50, 1, False)}, True, np.random.default_rng(0))
    assert lonely["s1"].valid.flatten(1).any(1).all(), "the only valid source stays"


def test_the_mean_confidence_is_set_back_and_no_class_changes(trained):
    model = Trained.load(trained[1])
    model = replace(model, calibration=Calibration(1.5, partial={"s2": 2.0}))
    logits = torch.randn(500, 4, generator=torch.Generator().manual_seed(0)) * 3
    probabilities = torch.softmax(logits, 1).numpy()
    found = with_confidence(model, probabilities, 0.6).calibration
    factor = found.temperature / 1.5
    assert factor > 1
    assert found.partial["s2"] == pytest.approx(2 * factor)
    again = torch.softmax(torch.from_numpy(probabilities).log() / factor, 1)
    assert float(again.amax(1).mean()) == pytest.approx(0.6, abs=0.02)
    assert with_confidence(model, probabilities[:0], 0.6) is model


def test_the_model_folder_describes_its_scene_and_its_digest_does_not_change(trained, tmp_path):
    model = Trained.load(trained[1])
    (home,) = model.certainties.known.values()
    assert home.pixels >= 16
    assert 0 < home.agreement <= 1
    assert read_certainties(ModelLayout(trained[1])) == model.certainties
    bare = replace(model, certainties=None)
    assert bare.fingerprint == model.fingerprint
    bare.save(tmp_path / "bare")
    assert Trained.load(tmp_path / "bare").certainties is None
    odd = replace(model, certainties=Certainties({"": replace(home, agreement=1.2)}))
    odd.save(tmp_path / "odd")
    with pytest.raises(TrainedError, match="certainty of a scene"):
        Trained.load(tmp_path / "odd")


def test_scenes_are_compared_with_those_that_have_the_same_sources():
    bare, home = replace(sure(0.7), absent=("s1",)), sure(0.9)
    known = Certainties({"a": home, "b": replace(sure(0.75), absent=("s1",))}, {}, ({"a": bare},))
    assert known.like(sure(0.8)) == {"a": home}, "site b has no s1"
    found = known.like(replace(sure(0.8), absent=("s1",)))
    assert {name: one.agreement for name, one in found.items()} == {"a": 0.7, "b": 0.75}
    assert known.like(replace(sure(0.8), absent=("s2",))) == {}
    assert Certainties.from_dict(json.loads(json.dumps(vars_of(known)))) == known


def test_pixels_that_lack_a_source_are_compared_with_such_pixels():
    """90 % of the pixels have no s1, as at clouds or beside the strip of a satellite: the agreement there counts 90 %."""
    full, bare = replace(sure(0.9, 0.8), lacking={"": 1.0}), replace(sure(0.7, 0.6, error=0.03), absent=("s1",))
    known = Certainties({"": full}, {}, ({"": bare},))
    here = replace(sure(0.71), lacking={"s1": 0.9, "": 0.1})
    (there,) = known.like(here).values()
    assert there.agreement == pytest.approx(0.9 * 0.7 + 0.1 * 0.9)
    assert there.confidence == pytest.approx(0.9 * 0.6 + 0.1 * 0.8)
    assert there.errors[1] == pytest.approx(0.9 * 0.03 + 0.1 * 0.01)
    assert known.like(replace(here, lacking={"": 0.97, "s1": 0.03})) == {"": full}, "a few pixels are not looked at"
    assert known.like(replace(here, lacking={"": 0.5, "s2": 0.5})) == {}, "no pixel without s2 is known"
    (there,) = known.like(replace(here, lacking={"": 0.6, "s1": 0.395, "s2": 0.005})).values()
    assert there.agreement == pytest.approx((0.6 * 0.9 + 0.395 * 0.7) / 0.995)


@pytest.mark.slow
def test_a_source_that_is_empty_in_most_places_is_no_better_scene(trained, recipe, landscape):
    """Of pixels with fewer sources, less can be hidden: their agreement is higher, and is that of such pixels at home."""
    path, folder = trained
    for name in ("pan", "ms"):
        with rasterio.open(landscape / f"{name}.tif", "r+") as file:
            pixels = file.read()
            pixels[:, :, : int(0.8 * pixels.shape[2])], file.nodata = 0, 0
            file.write(pixels)
    model, scene = Trained.load(folder), open_scene(read_recipe(path))
    seen, *_ = certainties_at(model.for_scene(scene), scene, drawn(scene, 1), path.parent / "part", "cpu")
    assert seen.absent == ()
    assert 0.6 < sum(share for key, share in seen.lacking.items() if key) < 0.95
    assert sum(seen.lacking.values()) == pytest.approx(1)
    (home,) = model.certainties.like(seen).values()
    parts = [part[""] for part in model.certainties.partial] + [model.certainties.known[""]]
    by_key = {",".join(one.absent): one.agreement for one in parts}
    assert home.agreement == pytest.approx(sum(s * by_key[k] for k, s in seen.lacking.items() if s > 0.01), abs=0.02)


def test_the_training_scene_is_described_without_each_source(trained, recipe):
    """A scene without a source has the agreement of the training scene without it, not of one with more to hide."""
    path, folder = trained
    model = Trained.load(folder)
    names = sorted(model.sources)
    assert len(names) == 3
    absent = {one.absent for part in model.certainties.partial for one in part.values()}
    assert absent == {(a,) for a in names} | {(a, b) for a in names for b in names if a < b}
    scene = open_scene(read_recipe(recipe(PATCHWORK, NATIVE, "s2")))
    here = model.for_scene(scene)
    (seen,) = certainties_at(here, scene, drawn(scene, 1), path.parent / "s2", "cpu")
    assert seen.absent == tuple(name for name in names if name != "s2")
    (home,) = model.certainties.like(seen).values()
    judgement = Judgement.of(here, seen)
    assert judgement.fall.value == pytest.approx(home.agreement - seen.agreement)
    assert abs(judgement.fall.value) <= 4 * judgement.fall.error, "the same scene"
    unseen = replace(here, certainties=replace(here.certainties, partial=()))
    assert Judgement.of(unseen, seen).reason == "unknown"
    assert "does not describe its training scene without" in Judgement.of(unseen, seen).text()


@pytest.mark.slow
def test_pixels_that_trained_do_not_describe_the_scene(recipe, brief, monkeypatch):
    asked = []
    real = certainty_of

    def spied(trained, chips, members, device, **more):
        asked.append(chips)
        return real(trained, chips, members, device, **more)

    monkeypatch.setattr("bocage.training.certainty.certainty_of", spied)
    from bocage.jobs.run import run

    path = recipe(FOREST)
    done = run(read_recipe(path), path.parent / "run", ("train",))
    draw = done.samples.draw(0)
    learnt = np.concatenate([draw.train, draw.validation])
    assert len(asked) == done.samples.draws
    assert len(asked[0].label) <= 48 * 53 - len(learnt)


@pytest.mark.slow
def test_on_the_scene_of_the_training_the_model_is_kept(trained, recipe, tmp_path, capsys):
    _, model = trained
    path = recipe(PATCHWORK, NATIVE + PAN_MS, "pan", more='[report]\nlanguage = "fr"')
    out = tmp_path / "out"
    assert main(["adapt", str(model), "--scene", str(path), "--out", str(out)]) == 0
    assert "the model is kept as it is" in " ".join(capsys.readouterr().err.split())
    assert Trained.load(out / "model").fingerprint == Trained.load(model).fingerprint
    text, page = page_of(out / "report.html")
    said = json.loads((out / "report.json").read_text())
    assert not foreign(page)
    assert "le modèle a été conservé tel quel" in text
    assert "entraîné sur ses propres prédictions" not in text
    assert said["adaptation"]["change"]["rounds"] == []
    assert said["judgement"]["reason"] in ("steady", "unsure")
    shown = f"{100 * said['judgement']['expected']['accuracy']:.1f}".replace(".", ",")
    assert f"sans étiquettes\u00a0: {shown}\u00a0%" in text
    map_with(read_recipe(path), out / "model", out)
    assert json.loads((out / "mapped.json").read_text())["judgement"], "the model is judged on the scene that it maps"
    text, page = page_of(out / "report.html")
    assert not foreign(page)
    assert "le modèle a été conservé tel quel" in text
    assert "Exactitude estimée sur" in text


@pytest.mark.slow
def test_where_the_agreement_falls_the_model_is_adapted_and_calibrated(trained, tmp_path, monkeypatch):
    path, model = trained
    told = Told()
    monkeypatch.setattr(guard, "FALL", -1.0)
    monkeypatch.setattr(guard, "SURE", -1e9)
    adapted = adapt_to(read_recipe(path), model, tmp_path / "out", settings=QUICK, progress=told)
    assert any("an adaptation is expected to help: the model is adapted" in text.lower() for text in told.words)
    assert adapted.fingerprint != Trained.load(model).fingerprint
    change = json.loads((tmp_path / "out/adapted.json").read_text())["change"]
    before, after = (
        sum(share * (sure or 0) for share, sure in zip(change[key]["share"], change[key]["confidence"], strict=True))
        for key in ("before", "after")
    )
    assert after == pytest.approx(before, abs=0.02), "without labels, the confidence does not rise"
    assert adapted.calibration.temperature == pytest.approx(
        Trained.load(model).calibration.temperature * change["temperature"]
    )


@pytest.mark.slow
def test_a_map_by_the_model_of_another_run_shows_the_estimate(trained, tmp_path):
    path, model = trained
    told = Told()
    map_with(read_recipe(path), model, tmp_path / "out", told)
    assert sum("Estimated accuracy of the model on this scene" in text for text in told.words) == 1
    said = json.loads((tmp_path / "out/report.json").read_text())
    expected = said["judgement"]["expected"]
    text, _ = page_of(tmp_path / "out/report.html")
    shown = [f"{100 * expected[key]:.1f}" for key in ("accuracy", "low", "high")]
    assert f"without labels: {shown[0]} % ({shown[1]} to {shown[2]} %, error in benchmarks)" in text


def test_a_target_of_other_bands_or_of_another_grid_is_refused_in_one_message(
    trained, landscape, recipe, tmp_path, capsys
):
    _, model = trained
    other = recipe(PATCHWORK, NATIVE.replace("nir = ", "swir16 = ").replace('indices = ["ndvi"]', "") + PAN_MS, "pan")
    arguments = ["adapt", str(model), "--scene", str(other), "--out", str(tmp_path / "out")]
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert "source 's2': the bands differ: trained with" in " ".join(said.split())
    coarse = recipe(PATCHWORK, NATIVE + PAN_MS, "ms")
    arguments[3] = str(coarse)
    assert main(arguments) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "source 'pan': trained with ratio to the map 1 per map pixel, found" in said
    assert "had 10 CRS units in the training and have 40 here: set [grid] resolution = 10, or [grid] like" in said
    assert not (tmp_path / "out/model").exists()


def test_a_target_without_a_valid_pixel_is_refused(trained, landscape, tmp_path):
    path, model = trained
    for name in ("pan", "ms", "s2/red", "s2/nir"):
        with rasterio.open(landscape / f"{name}.tif", "r+") as dataset:
            dataset.nodata = 0
            dataset.write(np.zeros_like(dataset.read()))
    with pytest.raises(SamplesError, match="All pixels drawn from the scene are masked"):
        adapt_to(read_recipe(path), model, tmp_path / "out", settings=QUICK)
    assert not (tmp_path / "out/model").exists()


@pytest.mark.slow
def test_left_out_sites_measure_the_error_of_the_estimate(tmp_path):
    from bocage.jobs.run import run
    from bocage.testing import tiny_landscape
    from test_sites import SERIES, site, written

    folder = tmp_path / "lands"
    for name in ("a", "b", "c"):
        tiny_landscape(folder / name, size=32, dates=4, polygons=4)
    model = f"{PATCHWORK}\ncontext = 0"
    sites = [site(name, (SERIES,), fill="") for name in ("a", "b", "c")]
    path = written(folder, *sites, model=model, split='site = "leave-one-out"')
    run(read_recipe(path), tmp_path / "run", ("train", "evaluate"))
    layout = RunLayout(tmp_path / "run")
    for k, name in enumerate("abc"):
        found = read_certainties(layout.split(k).model)
        assert set(found.left_out) == {name}
        assert set(found.known) == set("abc") - {name}
    missed = missed_at_sites(layout.split(0).model)
    assert len(missed) == 3
    assert all(-1 <= one <= 1 for one in missed)
    assert missed_at_sites(ModelLayout(tmp_path / "elsewhere")) == ()
    shutil.copytree(layout.split(0).path, layout.split(3).path)
    assert missed_at_sites(layout.split(0).model) == missed, "a draw of an earlier recipe does not count"
    records = json.loads(layout.provenance.read_text())
    for name, change in (("train/2", {"key": "other"}), ("evaluate/1", {"finished": "2001-01-01T00:00:00+00:00"})):
        records["stages"][name] |= change
    layout.provenance.write_text(json.dumps(records))
    assert missed_at_sites(layout.split(0).model) == missed[:1], (
        "draws of another training, and tests of an earlier model"
    )
    stored = layout.recipe.read_text().replace('site = "leave-one-out"', "folds = 3")
    layout.recipe.write_text(stored)
    assert missed_at_sites(layout.split(0).model) == (), "no site is left out in other splits"


def test_the_certainty_of_a_scene_is_the_same_twice(trained):
    path, folder = trained
    scene = open_scene(read_recipe(path))
    model = Trained.load(folder).for_scene(scene)
    from bocage.progress import QUIET
    from bocage.samples.unlabelled import cut_pixels, scatter

    with cut_pixels(scene, scatter(scene, 256, 0, side=4), model, path.parent / "cut", QUIET) as chips:
        members = np.arange(len(chips.label))
        first, second = (certainty_of(model, chips, members, "cpu") for _ in range(2))
        assert first == second
        assert first.pixels == len(members)
        assert certainty_of(model, chips, members[:10], "cpu") is None


@pytest.mark.slow
def test_a_full_disk_is_no_masked_scene(trained, monkeypatch):
    path, folder = trained
    scene = open_scene(read_recipe(path))
    model = Trained.load(folder).for_scene(scene)
    monkeypatch.setattr("bocage.samples.cut.shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(SamplesError, match="0 MB are free"):
        certainties_at(model, scene, drawn(scene, 0), path.parent / "full", "cpu")
