"""How far a pixel lies from the training: small where the model learnt, large where nothing like it was seen."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from bocage.cli import main
from bocage.disk import read_checksums, write_checksums
from bocage.grid import Window
from bocage.jobs.map import map_with
from bocage.mapping import predict
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.simulate import Simulation
from bocage.training import Trained
from conftest import GRU, MULTIRESOLCC, PAN_MS

NOVELTY = 'layers = ["classes", "confidence", "novelty"]\n[evaluation]\nimportance = 0'


def novelty(folder):
    with rasterio.open(Path(folder) / "map/novelty.tif") as dataset:
        assert dataset.nodata == 255
        return dataset.read(1)


@pytest.mark.slow
def test_foreign_ground_is_far_from_the_training(recipe, landscape, monkeypatch, capsys):
    """A corner of the image turned into something that no polygon holds."""
    monkeypatch.chdir(landscape)
    path = recipe(GRU, more=NOVELTY)
    assert main(["run", str(path), "--out", "out"]) == 0
    before = novelty("out")
    assert (before[before < 255] > 100).mean() < 0.3
    assert "Novelty" in Path("out/report.html").read_text()
    with rasterio.open("s2/nir.tif", "r+") as dataset:
        values = dataset.read()
        values[:, :12, :12] = 9 * values[:, :12, :12] + 20_000
        dataset.write(values)
    map_with(read_recipe(path), Path("out/splits/0/model"), Path("again"))
    after = novelty("again")
    assert (after[:10, :10] > 100).mean() > 0.95
    assert np.array_equal(after[14:, 14:], before[14:, 14:])


def test_another_region_and_year_are_further_than_ones_own(simulated, tmp_path, monkeypatch, capsys):
    """A landscape of another region and year, which the model has not seen."""
    monkeypatch.chdir(tmp_path)
    variables = ", ".join(f'{band} = "s2/{band}.tif"' for band in ("red", "nir", "swir16"))
    for name, other in (("here", {}), ("there", {"region": 3, "year": 2024})):
        shutil.copytree(simulated(Simulation(height=402, width=402, sensors=("s2",), polygons=10, **other)), name)
        year = other.get("year", 2022)
        Path(name, "recipe.toml").write_text(
            f'[grid]\nlike = "s2"\n[sources.s2]\nsensor = "series"\nquality = "s2/quality.tif"\nclear = [4]\nscale = 0.0001\n'
            f"variables = {{ {variables} }}\nfill = {{ every = 30, start = {year}-01-01, end = {year}-12-20 }}\n"
            '[legend]\ncsv = "legend.csv"\n[reference]\npath = "reference.gpkg"\nlabel = "code"\n'
            '[model]\nname = "random_forest"\ntrees = 20\n[split]\nrare = "drop"\ndraws = 1\n[map]\n' + NOVELTY
        )
    assert main(["run", "here/recipe.toml", "--out", "own"]) == 0
    map_with(read_recipe(Path("there/recipe.toml")), Path("own/splits/0/model"), Path("other"))
    own, other = ((v[v < 255] > 100).mean() for v in (novelty("own"), novelty("other")))
    assert own < 0.3
    assert other > 1.5 * own


@pytest.mark.slow
@pytest.mark.parametrize(("model", "sources", "like"), [(MULTIRESOLCC, PAN_MS, "pan")])
def test_windows_and_patches_see_the_same_domain(recipe, landscape, monkeypatch, model, sources, like, capsys):
    """On any window, with sources finer and coarser; a training pixel's own novelty is 0."""
    monkeypatch.chdir(landscape)
    path = recipe(model, sources, like, more=NOVELTY)
    assert main(["train", str(path), "--out", "out"]) == 0
    trained, scene = Trained.load(Path("out/splits/0/model")), open_scene(read_recipe(path))
    device = torch.device("cpu")
    large = predict(trained, scene, Window(0, 0, 40, 48), device, with_novelty=True)
    small = predict(trained, scene, Window(9, 13, 10, 7), device, with_novelty=True)
    assert np.allclose(large.novelty[9:19, 13:20], small.novelty, atol=1e-4)
    assert (large.novelty >= 0).all()
    from bocage.run import open_run

    run = open_run(read_recipe(path), Path("out"))
    first = run.samples.draw(0).train[0]
    at = Window(int(run.samples.row[first]), int(run.samples.column[first]), 1, 1)
    assert predict(trained, scene, at, device, with_novelty=True).novelty == pytest.approx(0, abs=2e-2)


def test_a_folder_without_a_domain_cannot_tell(recipe, landscape, monkeypatch, capsys):
    monkeypatch.chdir(landscape)
    path = recipe(more=NOVELTY)
    assert main(["train", str(path), "--out", "out"]) == 0
    model = Path("out/splits/0/model")
    sums = read_checksums(model / "checksums.sha256")
    (model / "training_domain.safetensors").unlink()
    write_checksums(model / "checksums.sha256", {name: value for name, value in sums.items() if "domain" not in name})
    assert main(["map", str(path), "--model", str(model), "--out", "other"]) == 1
    assert "no training domain" in capsys.readouterr().err
    assert not list(Path("other").glob("map/*.tif"))
