"""The command line: the whole job, resuming, and every bad input of the issue: one line, exit code 1, nothing that looks finished."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
from shapely.geometry import box

from bocage.cli import main
from bocage.cli.options import OVERRIDES, chosen, command_line, opened
from bocage.testing import Place, write_raster
from conftest import FOREST, GRU, MULTIRESOLCC, PAN_MS, S2


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Logs and runs land in a folder of the test."""
    monkeypatch.chdir(tmp_path)


def finished(out: Path) -> set[str]:
    return (
        {p.name for p in out.rglob("*") if p.suffix in (".tif", ".html", ".csv") or p.name == "score.json"}
        if out.exists()
        else set()
    )


def fails(capsys, path, out, said, code=1):
    assert main(["run", str(path), "--out", str(out)]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert sum(line.startswith("error:") for line in error) == 1, error
    assert said in error[-1], error[-1]
    assert not finished(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "sources", "like"), [(FOREST, S2, "s2"), (GRU, S2, "s2"), (MULTIRESOLCC, PAN_MS, "pan")]
)
def test_the_whole_job(recipe, tmp_path, capsys, model, sources, like):
    path = recipe(model, sources, like, more='[evaluation]\ntruth = "truth.tif"')
    assert main(["run", str(path), "--out", "run"]) == 0
    shown = capsys.readouterr()
    assert "overall_accuracy" in shown.out
    assert "report: run/report.html" in shown.out
    out = tmp_path / "run"
    said = json.loads((out / "score.json").read_text())
    assert set(said["overall_accuracy"]) == {"mean", "std", "per_draw"}
    assert {"f1_weighted", "kappa", "per_class", "truth"} <= set(said)
    page = (out / "report.html").read_text()
    for text in ("tiny", "maize", "Confusion matrix", "Provenance", "Reference not used", "rasterio"):
        assert text in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert 'src="data:image/png' in page
    provenance = json.loads((out / "provenance.json").read_text())
    assert provenance["inputs"][str(path.parent / "reference.gpkg")]
    for name in (
        "recipe.toml",
        "samples.parquet",
        "splits/1/model/weights.safetensors",
        "splits/0/score.json",
        "map/classes.tif",
    ):
        assert (out / name).exists(), name
    leftovers = [p for p in out.rglob("*") if ".part" in p.name]
    assert not leftovers


@pytest.mark.slow
def test_stages_one_by_one_then_nothing_to_do(recipe, tmp_path, capsys):
    path = str(recipe())
    assert main(["map", path, "--out", "run"]) == 1
    assert "run 'bocage train' first" in capsys.readouterr().err
    for stage in ("train", "evaluate", "map", "report"):
        assert main([stage, path, "--out", "run"]) == 0, capsys.readouterr().err
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "run/map").iterdir()}
    capsys.readouterr()
    assert main(["run", path, "--out", "run"]) == 0
    assert "train/0: up to date" in capsys.readouterr().err
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "run/map").iterdir()} == before


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(recipe, tmp_path, monkeypatch, capsys):
    path = str(recipe())
    from bocage.run import stages

    work = stages.Trainer.train

    def killed(*args, **kwargs):
        if args[1] == 1:
            raise KeyboardInterrupt
        return work(*args, **kwargs)

    monkeypatch.setattr(stages.Trainer, "train", killed)
    assert main(["run", path, "--out", "run"]) == 130
    assert "Run the same command" in capsys.readouterr().err
    monkeypatch.setattr(stages.Trainer, "train", work)
    assert main(["run", path, "--out", "run"]) == 0
    said = capsys.readouterr().err
    assert "train/0: up to date" in said
    assert "train/1: up to date" not in said


@pytest.mark.slow
def test_changed_pixels_are_noticed_by_content(recipe, landscape, capsys):
    path = str(recipe())
    assert main(["train", path, "--out", "run"]) == 0
    with rasterio.open(landscape / "s2/red.tif", "r+") as dataset:
        values = dataset.read()
        values[0, 0, 0] += 1
        dataset.write(values)
    capsys.readouterr()
    assert main(["train", path, "--out", "run"]) == 1
    assert "differs in: inputs" in capsys.readouterr().err
    assert main(["train", path, "--out", "run", "--overwrite"]) == 0
    assert "up to date" not in capsys.readouterr().err


def test_changed_labels_of_a_shapefile_are_noticed(recipe, landscape, capsys):
    frame = gpd.read_file(landscape / "reference.gpkg")
    frame.to_file(landscape / "fields.shp", engine="pyogrio")
    path = str(recipe(**{'"reference.gpkg"': '"fields.shp"'}))
    assert main(["train", path, "--out", "run"]) == 0
    shape = (landscape / "fields.shp").read_bytes()
    frame.loc[0, "code"] = 2
    frame.to_file(landscape / "fields.shp", engine="pyogrio")
    assert (landscape / "fields.shp").read_bytes() == shape, "the labels are in the .dbf"
    assert main(["train", path, "--out", "run"]) == 1
    assert "differs in: inputs" in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_of_another_run_is_refused(recipe, tmp_path, capsys):
    assert main(["run", str(recipe()), "--out", "run"]) == 0
    before = (tmp_path / "run/score.json").read_text()
    capsys.readouterr()
    assert main(["run", str(recipe(**{"draws = 2": "draws = 3"})), "--out", "run"]) == 1
    assert "contains results of another run (it differs in: split)" in capsys.readouterr().err
    assert (tmp_path / "run/score.json").read_text() == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.doc").write_text("x")
    assert main(["run", str(recipe()), "--out", "other"]) == 1
    assert "was not written by Bocage" in capsys.readouterr().err
    assert main(["run", str(recipe(**{"tile = 32": "tile = 40"})), "--out", "run", "--overwrite"]) == 0
    assert "train/0: up to date" in capsys.readouterr().err


@pytest.mark.slow
def test_a_recipe_that_failed_can_be_mended_in_the_same_folder(recipe, landscape, capsys):
    fails(capsys, recipe(**{'label = "code"': 'label = "kode"'}), Path("out"), "has no field 'kode'")
    assert main(["run", str(recipe()), "--out", "out"]) == 0


@pytest.mark.slow
def test_mapping_with_a_model_from_elsewhere(recipe, tmp_path, capsys):
    assert main(["train", str(recipe()), "--out", "run"]) == 0
    path = recipe(**{'path = "reference.gpkg"': 'path = "none.gpkg"'})
    assert main(["map", str(path), "--model", "run/splits/0/model", "--out", "next"]) == 0
    assert (tmp_path / "next/map/classes.tif").exists()
    capsys.readouterr()
    assert main(["map", str(path), "--model", "run/splits/0/model", "--out", "next"]) == 1
    assert "holds a map already" in capsys.readouterr().err
    assert main(["map", str(path), "--model", "run/splits/0/model", "--out", "next", "--overwrite"]) == 0


def test_missing_file(recipe, capsys):
    fails(capsys, recipe(sources=S2.replace("s2/red.tif", "s2/rde.tif")), Path("out"), "rde.tif does not exist")


def test_missing_truth_is_told_before_anything_long(recipe, capsys):
    fails(capsys, recipe(more='[evaluation]\ntruth = "none.tif"'), Path("out"), "none.tif does not exist")


def test_truncated_raster(recipe, landscape, capsys):
    path = landscape / "s2/red.tif"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    fails(capsys, recipe(), Path("out"), "red.tif cannot be read: it is truncated, damaged")


def test_raster_without_crs(recipe, landscape, capsys):
    write_raster(landscape / "pan.tif", np.ones((1, 48, 53), np.uint16), Place(crs=None))
    fails(capsys, recipe(MULTIRESOLCC, PAN_MS, "pan"), Path("out"), "pan.tif has no coordinate reference system")


@pytest.mark.slow
def test_polygons_in_another_crs_are_handled_and_said(recipe, landscape, capsys):
    gpd.read_file(landscape / "reference.gpkg").to_crs(4326).to_file(landscape / "geo.gpkg", engine="pyogrio")
    assert main(["run", str(recipe(**{'"reference.gpkg"': '"geo.gpkg"'})), "--out", "out"]) == 0
    assert "reprojected from EPSG:4326 to EPSG:32740" in capsys.readouterr().err
    assert "reprojected from EPSG:4326" in Path("out/report.html").read_text()


def test_polygons_wholly_outside(recipe, landscape, capsys):
    frame = gpd.read_file(landscape / "reference.gpkg")
    frame.assign(geometry=frame.translate(50_000)).to_file(landscape / "reference.gpkg", engine="pyogrio")
    fails(capsys, recipe(), Path("out"), "all polygons are outside the map")


def test_label_field_missing(recipe, capsys):
    fails(
        capsys, recipe(**{'label = "code"': 'label = "kode"'}), Path("out"), "has no field 'kode'. Did you mean 'code'?"
    )


def test_label_absent_from_the_legend(recipe, capsys):
    fails(capsys, recipe(**{"code = 3": "code = 4"}), Path("out"), "labels missing from the legend: '3' (5 polygons)")


@pytest.mark.slow
def test_a_class_in_one_polygon(recipe, landscape, capsys):
    frame = gpd.read_file(landscape / "reference.gpkg")
    frame[(frame.code != 3) | (frame.index == frame.index[frame.code == 3][0])].to_file(
        landscape / "one.gpkg", engine="pyogrio"
    )
    path = recipe(**{'"reference.gpkg"': '"one.gpkg"'})
    fails(capsys, path, Path("out"), "'water' (1). Merge the class")
    path = recipe(**{'"reference.gpkg"': '"one.gpkg"', "draws = 2": 'draws = 2\nrare = "drop"'})
    assert main(["run", str(path), "--out", "dropped"]) == 0
    page = Path("dropped/report.html").read_text()
    assert "too few polygons: water" in page
    assert "class with fewer than 3 polygons" in page


def test_all_pixels_masked(recipe, capsys):
    fails(capsys, recipe(sources=S2.replace("clear = [4]", "clear = [77]")), Path("out"), "reference pixels are masked")


def test_sources_that_do_not_overlap(recipe, landscape, capsys):
    write_raster(landscape / "ms.tif", np.ones((2, 12, 14), np.uint16), Place(40.0, (500000, 7668000)))
    fails(capsys, recipe(MULTIRESOLCC, PAN_MS, "pan"), Path("out"), "The source 'ms'")


def test_unknown_model(recipe, capsys):
    fails(capsys, recipe('name = "multireslcc"'), Path("out"), "Did you mean 'multiresolcc' or")


@pytest.mark.slow
def test_overlapping_polygons_are_in_the_report(recipe, landscape):
    frame = gpd.read_file(landscape / "reference.gpkg")
    first = frame.geometry.iloc[0].bounds
    over = frame.iloc[[0]].assign(code=2, name="meadow", geometry=[box(*first[:2], first[0] + 20, first[1] + 20)])
    pd.concat([frame, over]).to_file(landscape / "reference.gpkg", engine="pyogrio")
    assert main(["run", str(recipe()), "--out", "out"]) == 0
    assert "overlapping polygons of different class" in Path("out/report.html").read_text()


def test_a_surprise_writes_a_log_and_exits_3(recipe, capsys, monkeypatch):
    monkeypatch.setattr("bocage.run.opened.make_scene", lambda *a: 1 / 0)
    assert main(["run", str(recipe()), "--out", "out"]) == 3
    said = capsys.readouterr().err
    (log,) = Path().glob("bocage-error-*.log")
    assert log.name in said
    text = log.read_text()
    assert "ZeroDivisionError" in text
    assert "torch" in text
    assert "Traceback" in text


def test_printed_commands_repeat_the_options_and_quote_them():
    with click.Context(click.Command("season")) as context:
        context.meta[OVERRIDES] = ("sources.s2.clear=[4, 5]", "training.epochs=2")
        line = command_line("report", Path("my land/recipe.toml"), Path("out/a run"))
    assert shlex.split(line) == [
        "bocage", "report", "my land/recipe.toml", "--out", "out/a run", "--set", "sources.s2.clear=[4, 5]",
        "--set", "training.epochs=2",
    ]  # fmt: skip
    assert command_line("report", Path("recipe.toml"), None) == "bocage report recipe.toml"


def test_usage_help_and_shelves(capsys):
    assert main(["--help"]) == 0
    assert "Examples:" in capsys.readouterr().out
    assert main(["rnu"]) == 2
    for shelf, name in (
        ("sensors", "series"),
        ("indices", "ndvi"),
        ("metrics", "kappa"),
        ("writers", "cog"),
    ):
        assert main([shelf]) == 0
        assert name in capsys.readouterr().out


@pytest.mark.slow
def test_init_writes_a_recipe_that_runs(landscape, tmp_path, capsys):
    out = tmp_path / "mine.toml"
    for name in ("pan.tif", "ms.tif"):  # fewer sources train faster
        (landscape / name).unlink()
    assert main(["init", str(landscape), str(landscape / "reference.gpkg"), "--label", "name", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "truth.tif: the file name indicates reference data" in shown
    text = out.read_text()
    assert "[sources.s2.variables]" in text
    assert 'red = "land/s2/red.tif"' in text
    assert 'values = ["maize"]' in text
    assert main(["init", str(landscape), str(landscape / "reference.gpkg"), "--out", str(out)]) == 1
    capsys.readouterr()
    assert main(["check", str(out)]) == 1
    assert 'write the values, for example [4, 5], in place of "?"' in " ".join(capsys.readouterr().out.split())
    forest = out.with_name("mine-forest.toml")
    edited = forest.read_text().replace('clear = "?"', "clear = [4]").replace("draws = 10", "draws = 1")
    forest.write_text(edited)
    assert main(["run", str(forest), "--out", "out"]) == 0
    assert main(["init", str(tmp_path / "none"), str(landscape / "reference.gpkg"), "--out", "x.toml"]) == 1
    (tmp_path / "empty").mkdir()
    assert main(["init", str(tmp_path / "empty"), str(landscape / "reference.gpkg"), "--out", "x.toml"]) == 1


def test_import_is_cheap():
    code = "import sys, bocage, bocage.cli; print([m for m in ('torch', 'rasterio', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


FIRST_LINES = {
    "recipe: none.toml": [
        "check",
        "plan",
        "run",
        "prepare",
        "segment",
        "doctor",
        "train",
        "evaluate",
        "map",
        "report",
        "compare",
    ],
    "images: none.toml": ["init"],
}


@pytest.mark.parametrize("command", [name for names in FIRST_LINES.values() for name in names])
def test_the_first_line_comes_before_the_imports_that_take_time(command, tmp_path):
    code = (
        "import sys\n"
        "class Refused:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'rasterio', 'sklearn', 'numpy'): raise SystemExit(name)\n"
        "sys.meta_path.insert(0, Refused())\n"
        "from bocage.cli import main\n"
        f"main([{command!r}, 'none.toml', *{['x.gpkg'] if command == 'init' else []}])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=tmp_path)
    first = next(line for line, names in FIRST_LINES.items() if command in names)
    assert done.stderr.splitlines()[0] == first


@pytest.mark.slow
def test_the_report_shows_calibration_and_waiting(recipe, finished):
    out = finished(GRU).out
    page = (out / "report.html").read_text()
    assert "before and after calibration, on test pixels" in page
    said = json.loads((out / "splits/0/model/trained.json").read_text())["calibration"]
    assert f"{said['temperature']:.2f}" in page
    assert f"fitted on {said['polygons']} " in page or f"fitted on {said['polygons']} –" in page
    found = json.loads((out / "report.json").read_text())["confidence"]
    answers = {
        "believe_yes": "Yes: on test pixels",
        "believe_partly": "Only roughly: on",
        "believe_no": "No: on test pixels",
    }
    assert answers[found["key"]] in page
    assert f"differ by {100 * found['error']:.1f} points" in page
    assert "waited for samples during" in page
    path = recipe(GRU)
    path.write_text(path.read_text().replace("[training]", '[training]\nkeep = "training"\ncalibrate = false'))
    assert main(["run", str(path), "--out", "other"]) == 0, "no validation polygons: curves without their line"
    assert "divided by a temperature" not in Path("other/report.html").read_text()


def test_patches_that_no_image_holds_are_refused(recipe, capsys):
    path = recipe('name = "multiresolcc"\npatch = 64', PAN_MS, "pan")
    fails(capsys, path, Path("out"), "reads patches of 64 x 64 pixels, but its image has 48 x 53")


def test_a_network_is_told_which_sources_it_lacks(recipe, capsys):
    fails(capsys, recipe('name = "twinns"'), Path("out"), "twinns: no source is called 's1'. Sources: s2")
    fails(
        capsys,
        recipe('name = "tempcnn"', PAN_MS, "pan"),
        Path("out"),
        "tempcnn needs a series of several dates; found 0: 'pan' has 1 date, 'ms' has 1 date",
    )
    fails(capsys, recipe('name = "cnn1d"'), Path("out"), "cnn1d needs 12 dates; 's2' has 10")
    one = S2.replace("end = 2021-07-31", "end = 2021-02-02")
    fails(capsys, recipe(GRU, one), Path("out"), "found 0: 's2' has 1 date.")
    two = 'name = "fusion"\nmembers = [{ network = "gru", source = "s2" }, { network = "gruu", source = "s2" }]'
    fails(capsys, recipe(two), Path("out"), "Did you mean 'gru'?")


def test_a_device_that_is_not_there_is_told_before_anything_is_read(recipe, capsys):
    path = recipe(GRU)
    path.write_text(path.read_text().replace("[training]", '[training]\ndevice = "mps"'))
    fails(capsys, path, Path("out"), "The device 'mps' is not on this machine")
    assert not Path("out").exists()


def test_devices_of_the_command_line_replace_those_of_the_recipe(recipe):
    parsed = opened(recipe(), devices=2)
    assert parsed.choice.training.devices == 2
    assert parsed.overrides == ("training.devices=2",)


def test_another_region_has_neither_the_layer_nor_the_condition_of_the_recipes(recipe):
    parsed = opened(recipe(more='region = "old.gpkg"\nregion_layer = "north"\nwhere = "tile = 1"'))
    not_given = dict.fromkeys(("region", "region_layer", "where", "until"))

    def area(**given):
        found = chosen(parsed, **{**not_given, **given}).map
        return found.region.name, found.region_layer, found.where

    assert area() == ("old.gpkg", "north", "tile = 1")
    assert area(where="tile = 2") == ("old.gpkg", "north", "tile = 2")
    assert area(region=Path("new.gpkg")) == ("new.gpkg", "", "")
    assert area(region=Path("new.gpkg"), where="tile = 2") == ("new.gpkg", "", "tile = 2")
    with pytest.raises(click.UsageError, match="--region-layer is the layer of --region"):
        area(region_layer="south")  # it would change the run's own map
