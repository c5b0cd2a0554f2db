"""What is kept is what was used: changed inputs, damaged results, moved folders."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
import safetensors.torch
import torch

from bocage.cli import main
from bocage.disk import Journal, Watch, checksums_of, damaged, kept_by_state, read_checksums, write_checksums
from bocage.errors import MappingError, SceneError
from bocage.grid import Window
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.mapping import Mapping, make_map
from bocage.progress import QUIET
from bocage.recipe import read_recipe
from bocage.run import open_run, open_scene
from bocage.samples.reference import fingerprint_vector, vector_files
from bocage.scene.prepared import Preparing, prepare
from bocage.training import Trainer, Training
from conftest import GRU, Told


def flip(path: Path, at: float = 0.6) -> None:
    """Flip a bit of a file, without a change of its times."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[int(at * len(data))] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rewrite(path: Path, change) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def pixels(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "map").glob("*.tif"))}


class Meddler(Told):
    """Changes a file while windows are computed, and changes it back after a few more."""

    def __init__(self, path: Path, start: int, end: int) -> None:
        super().__init__()
        self.path, self.start, self.end, self.original = path, start, end, path.read_bytes()

    def step(self, task, done, total, note=""):
        if task == "mapping" and done == self.start:
            state = self.path.stat()
            with rasterio.open(self.path, "r+") as dataset:
                dataset.write(dataset.read()[:, ::-1, ::-1].copy())
            os.utime(self.path, ns=(state.st_atime_ns, state.st_mtime_ns))
        if task == "mapping" and done == self.end:
            self.put_back()

    def put_back(self) -> None:
        self.path.write_bytes(self.original)


@pytest.mark.parametrize("end", [4, 10**6])
def test_windows_of_a_file_that_changed_and_was_put_back_are_not_kept(recipe, landscape, tmp_path, small_cells, end):
    opened = open_run(read_recipe(recipe(**{"fill = ": "#"})), tmp_path / "run")
    choice = replace(opened.recipe.choice, training=Training())
    model = Trainer(choice, opened.scene, opened.samples).train(0, tmp_path / "t")
    scene = replace(opened.scene, cubes={n: replace(c, prepared=None) for n, c in opened.scene.cubes.items()})
    make_map(model, scene, Mapping(tile=24), tmp_path / "right")
    meddler = Meddler(landscape / "s2/red.tif", 2, end)
    with pytest.raises(MappingError, match="changed while the map was computed"):
        make_map(model, scene, Mapping(tile=24), tmp_path / "map", progress=meddler)
    meddler.put_back()
    make_map(model, scene, Mapping(tile=24), tmp_path / "map")
    for name in ("classes.tif", "confidence.tif"):
        assert (tmp_path / "map" / name).read_bytes() == (tmp_path / "right" / name).read_bytes()


def test_a_stage_whose_inputs_changed_is_not_recorded(recipe, landscape, tmp_path):
    """The file is put back before the stage ends: its content is right again, but what was read is unknown."""

    class Once(Told):
        def step(self, task, done, total, note=""):
            if task == "cutting samples":
                path = landscape / "s2/red.tif"
                path.write_bytes(path.read_bytes())

    with pytest.raises(Exception, match=r"red\.tif changed during the run"):
        run(read_recipe(recipe()), tmp_path / "run", ("train",), Once())
    assert not (tmp_path / "run/splits").exists()
    assert run(read_recipe(recipe()), tmp_path / "run", ("train",), QUIET)


MODEL = "splits/0/model"
DESCRIBED = f"{MODEL}/trained.json"


def nan_weights(out: Path) -> None:
    path = out / MODEL / "weights.safetensors"
    weights = safetensors.torch.load_file(path)
    first = next(name for name, tensor in weights.items() if tensor.is_floating_point())
    weights[first] = torch.full_like(weights[first], torch.nan)
    safetensors.torch.save_file(weights, path)


def swapped(record) -> None:
    record["legend"][0], record["legend"][1] = record["legend"][1], record["legend"][0]


def shifted(record) -> None:
    record["normalisation"]["offset"]["s2"][0] += 0.05


DAMAGES = {
    "a bit of the weights": lambda out: flip(out / MODEL / "weights.safetensors", 0.9),
    "NaN weights": nan_weights,
    "temperature NaN": lambda out: rewrite(
        out / DESCRIBED, lambda r: r["calibration"].update(temperature=float("nan"))
    ),
    "temperature 0": lambda out: rewrite(out / DESCRIBED, lambda r: r["calibration"].update(temperature=0)),
    "swapped classes": lambda out: rewrite(out / DESCRIBED, swapped),
    "shifted scaling": lambda out: rewrite(out / DESCRIBED, shifted),
    "a training domain gone": lambda out: (out / MODEL / "training_domain.safetensors").unlink(),
    "a bit of the test pixels": lambda out: flip(out / "splits/1/test.parquet"),
    "a score": lambda out: rewrite(out / "splits/0/score.json", lambda r: r["confusion"]["per_draw"][0][0].reverse()),
    "a bit of the samples": lambda out: flip(out / "scene/samples/s2.values.npy"),
    "the table of samples": lambda out: flip(out / "samples.parquet"),
    "a bit of the map": lambda out: flip(out / "map/classes.tif"),
    "a layer gone": lambda out: (out / "map/confidence.tif").unlink(),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_results_are_computed_again(finished, tmp_path, capsys, damage):
    done = finished(GRU)
    out = done.copied(tmp_path / "out")
    DAMAGES[damage](out)
    assert main(["run", str(done.recipe), "--out", str(out)]) == 0
    assert "is missing or was changed since; the stage is repeated" in capsys.readouterr().err
    assert pixels(out) == pixels(done.out)
    before, now = (json.loads((folder / "score.json").read_text()) for folder in (done.out, out))
    assert now == before


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [name for name in DAMAGES if DESCRIBED in name or "weights" in name or "temp" in name]
)
def test_a_damaged_model_folder_does_not_map(finished, tmp_path, capsys, damage):
    done = finished(GRU)
    out = done.copied(tmp_path / "out")
    DAMAGES[damage](out)
    assert main(["map", str(done.recipe), "--model", str(out / MODEL), "--out", str(tmp_path / "map")]) == 1
    assert "trained.json" in (said := capsys.readouterr().err) or "weights.safetensors" in said
    assert not list(tmp_path.glob("map/map/*.tif"))


@pytest.mark.parametrize("record", ["calibration", "normalisation"])
def test_numbers_of_a_model_are_checked_for_sense(finished, tmp_path, capsys, record):
    """Even where the checksums were written anew."""
    done = finished(GRU)
    model = Path(shutil.copytree(done.out / MODEL, tmp_path / "model"))
    changes = {
        "calibration": lambda r: r["calibration"].update(temperature=-1),
        "normalisation": lambda r: r["normalisation"]["scale"]["s2"].__setitem__(0, 0),
    }
    rewrite(model / "trained.json", changes[record])
    sums = read_checksums(model / "checksums.sha256")
    write_checksums(model / "checksums.sha256", checksums_of([model / name for name in sums], model))
    assert main(["map", str(done.recipe), "--model", str(model), "--out", str(tmp_path / "map")]) == 1
    assert "above 0" in capsys.readouterr().err


def prepared_cube(recipe, folder: Path):
    scene = open_run(read_recipe(recipe()), folder / "run").scene
    cube = replace(scene.cubes["s2"], prepared=None)
    prepare(cube, folder / "s2.zarr", Preparing(tile=16))
    return cube, cube.kept_at(folder / "s2.zarr")


@pytest.mark.slow
@pytest.mark.parametrize("array", ["values", "valid", "clear"])
@pytest.mark.parametrize("how", ["gone", "flipped"])
def test_a_shard_that_is_gone_or_damaged_is_never_read_as_nodata(recipe, tmp_path, array, how):
    cube, kept = prepared_cube(recipe, tmp_path)
    window = Window(0, 0, 16, 16)
    right = cube.read(window)
    shard = next(p for p in sorted((tmp_path / "s2.zarr" / array / "c").rglob("0")) if p.is_file())
    shard.unlink() if how == "gone" else flip(shard, 0.3)
    with pytest.raises(SceneError, match="missing from the prepared scene|is damaged near row 0, column 0"):
        kept.read(window)
    if how == "flipped":
        shutil.rmtree(tmp_path / "s2.zarr")  # as the message says
    assert prepare(cube, tmp_path / "s2.zarr", Preparing(tile=16)).done >= 1
    again = kept.read(window)
    for name in ("values", "valid", "clear"):
        np.testing.assert_array_equal(getattr(again, name), getattr(right, name))


def test_shards_without_valid_pixels_are_written(recipe, landscape, tmp_path):
    with rasterio.open(landscape / "s2/quality.tif", "r+") as dataset:
        dataset.write(np.zeros_like(dataset.read()))

    cube = open_scene(read_recipe(recipe())).cubes["s2"]
    assert prepare(cube, tmp_path / "s2.zarr", Preparing(tile=16)).done > 0
    assert not cube.kept_at(tmp_path / "s2.zarr").read(Window(0, 0, 16, 16)).valid.any()
    assert prepare(cube, tmp_path / "s2.zarr", Preparing(tile=16)).done == 0


@pytest.mark.slow
def test_a_run_that_was_moved_with_its_data_is_up_to_date(finished, tmp_path, capsys):
    done = finished(GRU)
    land = Path(shutil.copytree(done.recipe.parent, tmp_path / "elsewhere"))
    out = done.copied(tmp_path / "moved")
    before = {
        p: p.read_bytes()
        for p in (out / "score.json", *out.glob("map/*"), *out.glob("splits/*/score.json"))
        if p.is_file()
    }
    assert main(["run", str(land / done.recipe.name), "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert all(f"{stage}: up to date" in said for stage in ("train/0", "train/1", "evaluate/0", "map"))
    assert {p: p.read_bytes() for p in before} == before


def test_the_report_of_a_map_of_another_model_says_what_the_folder_is(finished, tmp_path, capsys):
    done, out = finished(GRU), tmp_path / "map-only"
    RunLayout(out).map.path.mkdir(parents=True)
    RunLayout(out).map.checksums.write_text("complete")
    assert main(["report", str(done.recipe), "--out", str(out)]) == 1
    assert "has a map of a model from another run, but no run" in capsys.readouterr().err


def test_a_damaged_line_of_a_journal_is_no_record(tmp_path):
    journal = Journal(tmp_path / "x.journal")
    journal.add("0,0", key="a", sums={"classes": 1})
    journal.add("0,1", key="b", sums={"classes": 2})
    text = journal.path.read_text()
    journal.path.write_text(text.replace('"classes": 1', '"classes": 7'))
    assert Journal(journal.path).notes == {"0,1": {"key": "b", "sums": {"classes": 2}}}


def test_a_file_that_was_changed_and_changed_back_is_seen(tmp_path):
    path = tmp_path / "image.tif"
    path.write_bytes(b"before")
    watch, state = Watch.on([path, tmp_path / "none", "postgresql://host/base"]), path.stat()
    assert watch.changed() == []
    path.write_bytes(b"after!")
    path.write_bytes(b"before")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert watch.changed() == [str(path)]


def test_files_are_read_again_in_another_state_and_few_are_kept():
    asked = []

    @kept_by_state(2)
    def read(path, state):
        asked.append((path.name, state))
        return f"{path.name}{state}"

    a, b, c = Path("a"), Path("b"), Path("c")
    assert [read(a, 1), read(a, 1), read(b, 1), read(a, 2), read(a, 2)] == ["a1", "a1", "b1", "a2", "a2"]
    assert asked == [("a", 1), ("b", 1), ("a", 2)]
    assert [read(c, 1), read(a, 2), read(b, 1)] == ["c1", "a2", "b1"]
    assert asked[3:] == [("c", 1), ("b", 1)]  # b was asked for least recently when c came


def test_checksums_name_what_is_damaged_or_gone(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
    write_checksums(tmp_path / "sums", checksums_of([tmp_path / name for name in ("a", "b", "c")], tmp_path))
    (tmp_path / "b").write_text("x")
    (tmp_path / "c").unlink()
    assert damaged(tmp_path, read_checksums(tmp_path / "sums")) == ["b", "c"]
    (tmp_path / "sums").write_text("nonsense")
    with pytest.raises(ValueError, match="is not a list of checksums"):
        read_checksums(tmp_path / "sums")


def test_the_files_of_a_vector_file_are_inputs(tmp_path):
    for name in ("fields.shp", "fields.dbf", "fields.gpkg", "fields.gpkg-wal", "other.dbf"):
        (tmp_path / name).write_text(name)
    names = lambda path: [file.name for file in vector_files(tmp_path / path)]  # noqa: E731
    assert names("fields.gpkg") == ["fields.gpkg", "fields.gpkg-wal"]
    assert names("fields.shp") == ["fields.dbf", "fields.shp"]
    before = fingerprint_vector(tmp_path / "fields.gpkg")
    (tmp_path / "fields.gpkg-wal").write_text("edited in a GIS that is still open")
    assert fingerprint_vector(tmp_path / "fields.gpkg") != before
    for name in ("map.tab", "map.DAT", "map.mif", "map.mid"):
        (tmp_path / name).write_text(name)
    assert names("map.tab") == ["map.DAT", "map.tab"]
    assert names("map.mif") == ["map.mid", "map.mif"]
    assert names("none.gpkg") == []
    assert fingerprint_vector(tmp_path / "none.gpkg") == "missing"


@pytest.mark.slow
def test_a_report_without_truth_raster_removes_it_from_the_scores(finished, tmp_path):
    done = finished(GRU)
    out = done.copied(tmp_path / "out")
    scores = json.loads((out / "score.json").read_text())
    (out / "score.json").write_text(json.dumps({**scores, "truth": {"overall_accuracy": 1.0}}))
    assert main(["evaluate", str(done.recipe), "--out", str(out)]) == 0
    assert "truth" in json.loads((out / "score.json").read_text()), (
        "the entries of the report stay until the next report"
    )
    assert main(["report", str(done.recipe), "--out", str(out)]) == 0
    assert json.loads((out / "score.json").read_text()) == scores
