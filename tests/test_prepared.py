"""The prepared scene: same values as the files, resume after the last shard, outdated shards detected by content."""

import json
import os
import signal
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio
import zarr

from bocage.cli import main
from bocage.errors import SceneError
from bocage.grid import Window
from bocage.jobs.prepare import prepare as prepare_run
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.scene import Fill, Preparation, Preparing, Speckle, make_scene, prepare_scene
from bocage.scene.prepared import prepare, shard_side
from bocage.sources import open_source, series
from bocage.testing import Place, write_raster
from processes import ended, killed_noting

SMALL = Preparing(tile=16)


@pytest.fixture
def scene(recipe):
    return open_scene(read_recipe(recipe()))


def contents(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in sorted(store.rglob("*")) if p.is_file()}


def test_the_prepared_cube_has_the_values_of_the_files(scene, tmp_path: Path) -> None:
    cube = scene.cubes["s2"]
    (kept, made) = prepare_scene(scene, tmp_path, SMALL)
    assert made["s2"].shards == 12
    for window in (cube.grid.window, Window(3, 5, 20, 33), Window(-4, 40, 12, 30)):
        a, b = cube.read(window), kept.cubes["s2"].read(window)
        for field in ("values", "valid", "clear"):
            assert np.array_equal(getattr(a, field), getattr(b, field))
    assert a.clear.dtype == np.uint16


def test_the_store_is_zarr_3_sharded_with_named_dimensions(scene, tmp_path: Path) -> None:
    prepare_scene(scene, tmp_path, SMALL)
    group = zarr.open_group(tmp_path / "s2.zarr", mode="r")
    assert group.metadata.zarr_format == 3
    assert group["values"].shards[-2:] == (16, 16)
    assert group["values"].chunks[-2:] == (4, 4)
    assert group["values"].metadata.dimension_names == ("time", "band", "y", "x")
    assert group.attrs["bands"] == ["red", "nir", "ndvi"]


def test_cubes_that_need_no_computation_are_not_prepared(landscape: Path, recipe) -> None:
    path = recipe(sources='[sources.s2]\nsensor = "image"\npath = "ms.tif"\n')
    scene = open_scene(read_recipe(path))
    assert not Preparing().wants(scene.cubes["s2"])
    assert Preparing("always").wants(scene.cubes["s2"])
    assert not Preparing("never").wants(open_scene(read_recipe(recipe())).cubes["s2"])


def test_shards_divide_the_tile_and_fit_in_memory(scene) -> None:
    cube = scene.cubes["s2"]
    assert shard_side(cube, 256) == 256
    long = replace(cube, preparation=Preparation(fill=Fill(1, date(2000, 1, 1), date(2010, 1, 1))))
    assert shard_side(long, 256) == 64
    assert 256 % shard_side(long, 256) == 0


@pytest.mark.slow
def test_only_missing_and_outdated_shards_are_computed(scene, tmp_path: Path, landscape: Path) -> None:
    cube = scene.cubes["s2"]
    assert prepare(cube, tmp_path / "s2.zarr", SMALL).done == 12
    assert prepare(cube, tmp_path / "s2.zarr", SMALL).done == 0
    other = replace(
        cube, preparation=replace(cube.preparation, fill=replace(cube.preparation.fill, method="whittaker"))
    )
    assert prepare(other, tmp_path / "s2.zarr", SMALL).done == 12
    with rasterio.open(landscape / "s2/red.tif", "r+") as dataset:
        pixels = dataset.read(1)
        pixels[0, 0] += 1
        dataset.write(pixels, 1)
    assert prepare(other, tmp_path / "s2.zarr", SMALL).done == 12, "the file touches every shard"


def test_a_changed_tile_makes_only_its_shards_outdated(tmp_path: Path) -> None:
    for k, x in enumerate((338000.0, 338000.0 + 320)):
        pixels = np.full((1, 24, 32), 5 + k, np.uint16)
        write_raster(tmp_path / f"s2/t{k}_20210203.tif", pixels, Place(corner=(x, 7668000.0)))
    from bocage.sources.base import Acquisition, BandFile
    from bocage.sources.source import Source

    files = sorted((tmp_path / "s2").iterdir())
    acquisitions = tuple(
        Acquisition(None, {"red": BandFile(path, 1)}, date="20210203") for path in files
    )  # fmt: skip
    source = Source("s2", series, acquisitions)
    scene = make_scene(source.grid, [source], {"s2": Preparation()})
    cube = scene.cubes["s2"]
    assert cube.grid.shape == (24, 64)
    assert prepare(cube, tmp_path / "z.zarr", SMALL).done == 8
    write_raster(files[1], np.full((1, 24, 32), 9, np.uint16), Place(corner=(338320.0, 7668000.0)))
    redone = prepare(cube, tmp_path / "z.zarr", SMALL)
    assert redone.done in (4, 6), "the shards of the changed tile, and the shards within two pixels of it"
    assert set(np.unique(cube.kept_at(tmp_path / "z.zarr").read(cube.grid.window).values)) == {5, 9}


def test_a_truncated_journal_costs_one_shard(scene, tmp_path: Path) -> None:
    cube = scene.cubes["s2"]
    prepare(cube, tmp_path / "s2.zarr", SMALL)
    journal = tmp_path / "s2.zarr.journal"
    journal.write_text(journal.read_text()[:-9])
    assert prepare(cube, tmp_path / "s2.zarr", SMALL).done == 1


@pytest.mark.slow
def test_a_store_of_another_cube_is_created_again(scene, tmp_path: Path) -> None:
    cube = scene.cubes["s2"]
    prepare(cube, tmp_path / "s2.zarr", SMALL)
    fewer = replace(cube, preparation=replace(cube.preparation, indices=()))
    assert prepare(fewer, tmp_path / "s2.zarr", SMALL).done == 12
    assert zarr.open_group(tmp_path / "s2.zarr", mode="r")["values"].shape[1] == 2
    (tmp_path / "s2.zarr/zarr.json").write_text("{")
    assert prepare(fewer, tmp_path / "s2.zarr", SMALL).done == 12


def test_a_full_disk_is_reported_before_and_during_preparation(scene, tmp_path: Path, monkeypatch) -> None:
    from bocage.scene import prepared

    cube = scene.cubes["s2"]
    usage = prepared.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(prepared.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(SceneError, match=r"takes up to .* MB .* 0 MB are free.*prepare = \"never\""):
        prepare(cube, tmp_path / "s2.zarr", SMALL)
    monkeypatch.undo()
    real, written = zarr.Array.__setitem__, []

    def full(array, place, values):
        if len(written) == 5:
            raise OSError(28, "No space left on device")
        real(array, place, values)
        if array.name == "/clear":  # the last of a part's arrays
            written.append(place)

    monkeypatch.setattr(zarr.Array, "__setitem__", full)
    with pytest.raises(SceneError, match=r"No space left on device.*same command again: \d of 12 parts are kept"):
        prepare(cube, tmp_path / "s2.zarr", replace(SMALL, workers=1))
    monkeypatch.undo()
    assert prepare(cube, tmp_path / "s2.zarr", SMALL).done == 7


def test_pixels_without_a_clear_date_stay_masked_and_are_counted(landscape: Path, recipe, tmp_path: Path) -> None:
    with rasterio.open(landscape / "s2/quality.tif", "r+") as dataset:
        quality = dataset.read()
        quality[:, 7, 3:6] = 9
        dataset.write(quality)
    scene, made = prepare_scene(open_scene(read_recipe(recipe())), tmp_path, SMALL)
    assert made["s2"].never_clear == 3
    block = scene.cubes["s2"].read(scene.grid.window)
    assert not block.valid[:, 7, 3:6].any()
    assert block.valid[:, 6].all()
    assert (block.clear[7, 3:6] == 0).all()
    assert any("3 of 2544 pixels (0.118 %) have no clear date" in str(note) for note in scene.notes)


def test_speckle_is_filtered_and_windows_are_consistent(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    truth = np.where(np.arange(60) < 30, 0.02, 0.2) * np.ones((40, 60))
    power = truth * generator.gamma(4.4, 1 / 4.4, (12, 40, 60))
    days = [f"2021-{m:02d}-01" for m in range(1, 13)]
    path = write_raster(tmp_path / "vv.tif", (10 * np.log10(power)).astype(np.float32), descriptions=days)
    source = open_source("s1", series, series.Settings({"vv": path}))
    raw = make_scene(source.grid, [source], {}).cubes["s1"].read(source.grid.window).values
    cube = make_scene(source.grid, [source], {"s1": Preparation(speckle=Speckle(7))}).cubes["s1"]
    filtered = cube.read(cube.grid.window).values
    inner = (slice(None), 0, slice(5, -5), slice(5, 24))
    assert filtered[inner].std() < 0.45 * raw[inner].std()
    assert np.mean(10 ** (filtered[inner] / 10)) == pytest.approx(0.02, rel=0.05), "the mean power is preserved"
    assert np.mean(10 ** (filtered[:, 0, 5:-5, 36:55] / 10)) == pytest.approx(0.2, rel=0.05)
    part = Window(9, 20, 12, 17)
    assert np.allclose(cube.read(part).values, filtered[(..., *part.within(cube.grid.window))], atol=1e-4)
    with pytest.raises(ValueError, match="must be odd"):
        Speckle(6)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    """Return a recipe whose preparation has 36 shards, each with some computation."""
    generator = np.random.default_rng(3)
    days = [f"2021-{m:02d}-{d:02d}" for m in range(1, 13) for d in (5, 15, 25)]
    pixels = generator.integers(1, 9000, (len(days), 96, 96)).astype(np.uint16)
    for name in ("red", "nir"):
        write_raster(tmp_path / f"{name}.tif", pixels, descriptions=days, nodata=0)
    text = """
name = "big"
[grid]
like = "s2"
[sources.s2]
sensor = "series"
variables = { red = "red.tif", nir = "nir.tif" }
fill = { every = 15, start = 2021-01-01, end = 2021-12-31, method = "whittaker" }
[scene]
tile = 16
[legend]
classes = [{ code = 1, name = "a" }, { code = 2, name = "b" }]
[reference]
path = "nothing.gpkg"
label = "x"
[model]
name = "random_forest"
"""
    (tmp_path / "big.toml").write_text(text)
    return tmp_path / "big.toml"


def _lines(journal: Path) -> list[dict]:
    return (
        [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
        if journal.exists()
        else []
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_killed_at_five_moments_prepare_goes_on_to_the_same_store(big: Path, tmp_path: Path, capsys) -> None:
    whole = prepare_run(read_recipe(big), tmp_path / "whole")["s2"]
    assert whole.shards == 36
    expected = contents(tmp_path / "whole/scene/s2.zarr")
    out = tmp_path / "killed"
    journal, store = out / "scene/s2.zarr.journal", out / "scene/s2.zarr"
    command = ["prepare", str(big), "--out", str(out)]
    finished: dict[str, int] = {}
    for moment in (0, 5, 12, 20, 30):
        assert ended(killed_noting, command, moment - len(finished)) == -signal.SIGKILL
        for place, then in finished.items():
            assert _shard(store, place).stat().st_mtime_ns == then, "a complete shard was written again"
        finished = {line["place"]: _shard(store, line["place"]).stat().st_mtime_ns for line in _lines(journal)}
        assert len(finished) == moment
    assert main(command) == 0
    assert contents(store) == expected, "chunk for chunk"
    assert all(_shard(store, place).stat().st_mtime_ns == then for place, then in finished.items())
    assert len(_lines(journal)) == 36


def _shard(store: Path, place: str) -> Path:
    y, x = (int(n) // 16 for n in place.split(","))
    return store / f"values/c/0/0/{y}/{x}"
