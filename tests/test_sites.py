"""Several sites in one recipe: one model trained on all, its accuracy at each, and a map of each."""

import json
import shutil

import geopandas as gpd
import numpy as np
import pytest
import rasterio

from bocage.cli import main
from bocage.errors import RecipeError, SamplesError, SceneError, TrainingError
from bocage.jobs.run import run
from bocage.recipe import read_recipe
from bocage.run import open_sites
from bocage.scene import Scenes, limited
from bocage.testing import tiny_landscape
from conftest import FOREST, Told

FILL = "fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }"
SERIES = """
[site.sources.s2]
sensor = "series"
variables = {{ red = "{land}/s2/red.tif", nir = "{land}/s2/nir.tif" }}
quality = "{land}/s2/quality.tif"
clear = [4]
scale = 0.0001
indices = ["ndvi"]
{fill}
"""
IMAGE = """
[site.sources.pan]
sensor = "image"
path = "{land}/pan.tif"
bands = ["pan"]
"""
SITE = """
[[site]]
name = "{name}"
{more}
[site.grid]
like = "s2"
{sources}
"""
REFERENCE = """
[site.reference]
path = "{land}/reference.gpkg"
label = "code"
"""
COMMON = """
name = "sites"
[legend]
classes = [
  {{ code = 1, name = "maize", color = "#f2c14e" }},
  {{ code = 2, name = "meadow" }},
  {{ code = 3, name = "water", color = "#2e86ab" }},
]
[split]
{split}
[model]
{model}
[training]
epochs = 3
learning_rate = 0.01
batch_size = 16
{training}
[map]
tile = 32
{map}
"""
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'


def moved(land, crs="EPSG:32631", east=0.0, north=0.0):
    """Move a landscape to another UTM zone or place."""
    for path in (*land.glob("*.tif"), *land.glob("s2/*.tif")):
        with rasterio.open(path, "r+") as dataset:
            dataset.crs = crs
            a = dataset.transform
            dataset.transform = rasterio.Affine(a.a, 0, a.c + east, 0, a.e, a.f + north)
    table = gpd.read_file(land / "reference.gpkg")
    table.geometry = table.geometry.translate(east, north)
    table.set_crs(crs, allow_override=True).to_file(land / "reference.gpkg", engine="pyogrio")


def site(name, sources=(SERIES,), reference=True, fill=FILL, more=""):
    text = SITE.format(name=name, more=more, sources="".join(one.format(land=name, fill=fill) for one in sources))
    return text + (REFERENCE.format(land=name) if reference else "")


def written(folder, *sites, model=FOREST, split="train = 0.5\ndraws = 2", training="", map="", name="recipe.toml"):
    path = folder / name
    path.write_text(COMMON.format(model=model, split=split, training=training, map=map) + "".join(sites))
    return path


@pytest.fixture
def lands(tmp_path):
    """Two landscapes in two UTM zones, of other sizes and numbers of polygons."""
    folder = tmp_path / "lands"
    tiny_landscape(folder / "north")
    tiny_landscape(folder / "south", size=40, polygons=4)
    moved(folder / "south", "EPSG:32631")
    return folder


def classes(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1), dataset.crs


@pytest.mark.slow
def test_a_model_of_two_sites_is_scored_at_each_and_maps_each(lands, tmp_path):
    path, out = written(lands, site("north"), site("south")), tmp_path / "run"
    finished = run(read_recipe(path), out)
    score = json.loads((out / "score.json").read_text())
    assert set(score["sites"]) == {"north", "south"}
    pooled, *parts = (
        np.array(one["confusion"]["per_draw"]) for one in (score, score["sites"]["north"], score["sites"]["south"])
    )
    assert (pooled == sum(parts)).all()
    assert score["overall_accuracy"]["mean"] > 0.9
    for name, crs, shape in (("north", 32740, (48, 53)), ("south", 32631, (40, 45))):
        codes, found = classes(out / f"map/{name}/classes.tif")
        assert (found.to_epsg(), codes.shape) == (crs, shape)
        assert (out / f"map/{name}/checksums.sha256").exists()
    assert set(finished.maps_on_disk()) == {"north", "south"}
