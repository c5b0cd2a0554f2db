"""Runs on real imagery. The networks are small; the accuracy of full networks is in the README."""

import json
from pathlib import Path

import numpy as np
import rasterio
from rio_cogeo.cogeo import cog_validate

from bocage.cli import main
from bocage.recipe import read_recipe
from bocage.run import open_scene

EXAMPLES = Path(__file__).parents[1] / "examples"


def quick(name, folder, **replaced):
    text = (EXAMPLES / f"{name}.toml").read_text()
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / f"{name}.toml").write_text(text)
    return folder / f"{name}.toml"


def check(out, grid):
    score = json.loads((out / "score.json").read_text())
    for metric in ("overall_accuracy", "f1_weighted", "kappa"):
        assert set(score[metric]) == {"mean", "std", "per_draw"}
    assert score["per_class"]
    assert cog_validate(out / "map/classes.tif", strict=True)[0]
    with rasterio.open(out / "map/classes.tif") as dataset:
        assert dataset.shape == grid.shape
        assert dataset.transform == grid.transform
    assert (out / "report.html").stat().st_size > 10_000
    return score


def test_flanders(data, tmp_path, capsys):
    path = quick(
        "flanders", tmp_path, **{"units = 128": "units = 16", "epochs = 60": "epochs = 2", "draws = 10": "draws = 2"}
    )
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    scene = open_scene(read_recipe(path))
    assert scene.cubes["s2"].grid.shape == (64, 64)
    assert (scene.notes[0].source, scene.notes[0].code) == ("s1", "warped")
    check(tmp_path / "out", scene.grid)
    with rasterio.open(tmp_path / "out/map/classes.tif") as dataset:
        codes = dataset.read(1)
        assert dataset.colormap(1)[1] == (0xF2, 0xC1, 0x4E, 255)
    assert not codes[-1].any(), "the southernmost row has no 20 m bands"
    assert (codes[:-1] > 0).mean() > 0.99


def test_flanders_without_merging_stops(data, tmp_path, capsys):
    path = quick("flanders", tmp_path, **{'"Maize", "Cabbages", "Potatoes"': '"Maize", "Cabbages"', 'name = "no cropland"': 'name = "potatoes", values = ["Potatoes"] },\n  { code = 9, name = "no cropland"'})  # fmt: skip
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 1
    assert "'potatoes' (1)" in capsys.readouterr().err


def test_wake(data, tmp_path, capsys):
    path = quick("wake", tmp_path, **{'name = "multiresolcc"': 'name = "multiresolcc"\npan_filters = [8, 8, 16]\nms_filters = [16, 16, 32]', "epochs = 10": "epochs = 1", "samples_per_epoch = 1200": "samples_per_epoch = 200", "draws = 3": "draws = 2"})  # fmt: skip
    assert main(["check", str(path)]) == 0
    assert main(["run", str(path), "--out", str(tmp_path / "out")]) == 0
    assert "reprojected from EPSG:3358" in capsys.readouterr().err
    scene = open_scene(read_recipe(path))
    assert scene.notes == ()
    score = check(tmp_path / "out", scene.grid)
    assert "agriculture" not in score["per_class"]
    with rasterio.open(tmp_path / "out/map/classes.tif") as dataset:
        codes = dataset.read(1)
    assert set(np.unique(codes)) <= {0, 1, 3, 4, 5, 6, 7}
