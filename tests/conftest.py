"""Fixtures: tiny landscapes, and real imagery where BOCAGE_DATA points at it."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from bocage.pipeline import open_run, read_recipe
from bocage.testing import tiny_landscape
from bocage.training import Training, train

settings.register_profile("bocage", deadline=None, max_examples=40)
settings.load_profile("bocage")


class Told:
    """Keeps what is said."""

    def __init__(self):
        self.words = []

    def say(self, text):
        self.words.append(text)

    def step(self, *_):
        pass


RECIPE = """
name = "tiny"
[grid]
like = "{like}"
[legend]
classes = [
  {{ code = 1, name = "maize", color = "#f2c14e" }},
  {{ code = 2, name = "meadow" }},
  {{ code = 3, name = "water", color = "#2e86ab" }},
]
{sources}
[reference]
path = "reference.gpkg"
label = "code"
[split]
train = 0.5
draws = 2
[model]
{model}
[training]
epochs = 4
learning_rate = 0.01
batch_size = 16
[map]
tile = 32
{more}
"""
S2 = """
[sources.s2]
sensor = "series"
variables = { red = "s2/red.tif", nir = "s2/nir.tif" }
quality = "s2/quality.tif"
clear = [4]
scale = 0.0001
indices = ["ndvi"]
fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }
"""
PAN_MS = """
[sources.pan]
sensor = "image"
path = "pan.tif"
bands = ["pan"]
[sources.ms]
sensor = "image"
path = "ms.tif"
bands = ["red", "nir"]
"""
FOREST = 'name = "random_forest"\ntrees = 20'
GRU = 'name = "gru"\nunits = 8'
MULTIRESOLCC = 'name = "multiresolcc"\npan_filters = [4, 4, 8]\nms_filters = [4, 8, 8]\nms = "ms"\npatch = 28'


@pytest.fixture
def landscape(tmp_path: Path) -> Path:
    return tiny_landscape(tmp_path / "land")


@pytest.fixture
def recipe(landscape: Path):
    """Write a recipe beside the landscape: model, sources, grid and further text may be given."""

    def write(model: str = FOREST, sources: str = S2, like: str = "s2", more: str = "", **replaced: str) -> Path:
        text = RECIPE.format(like=like, sources=sources, model=model, more=more)
        for old, new in replaced.items():
            text = text.replace(old, new)
        path = landscape / "recipe.toml"
        path.write_text(text)
        return path

    return write


def trained_briefly(path: Path, folder: Path, epochs: int = 3):
    """Train the recipe's model for moments; return it with the scene."""
    run = open_run(read_recipe(path), folder / "run")
    r, settings = run.recipe, Training(epochs=epochs, learning_rate=0.02, batch_size=16)
    return train(run.scene, run.samples, r.split, 0, r.model, r.config, settings, folder / "t"), run.scene


@pytest.fixture
def data() -> Path:
    """Folder of real imagery; the test is skipped where there is none."""
    if "BOCAGE_DATA" not in os.environ:
        pytest.skip("BOCAGE_DATA is not set")
    return Path(os.environ["BOCAGE_DATA"])
