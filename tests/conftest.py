"""Fixtures: tiny landscapes, and real imagery where BOCAGE_DATA points at it.

What takes a while to make (simulated landscapes, deliveries, models, runs) is made once per session, whichever worker comes
first; tests read it in place, and copy it where they change it.
"""

import gc
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing import forkserver
from pathlib import Path

import dask
import numpy as np
import pytest
import rasterio
import shapely
import torch
from filelock import FileLock
from hypothesis import settings

from bocage.jobs.run import run
from bocage.progress import QUIET
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.scene import Scene
from bocage.simulate import Simulation, deliver, simulate
from bocage.simulate.recipes import write_recipes
from bocage.testing import tiny_landscape
from bocage.training import Trained, Trainer, Training, certainty
from processes import SERVER

collect_ignore = ["qgis_opened.py", "qgis_plugin.py"]  # run by the Python of QGIS
settings.register_profile("bocage", deadline=None, max_examples=40)
settings.load_profile("bocage")

# A network is asked how sure it is of 2048 pixels of the scene, nine times with each part of its sources: a fifth tells tests as much.
certainty.PIXELS = 400

# One thread for each process: tests have several processes, and their networks are too small for more.
torch.set_num_threads(1)
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")


EXPENSIVE = {"compared", "data", "forked", "land", "lands", "simulated", "world"}
"""Fixtures that take seconds: tests that ask for one are slow."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if EXPENSIVE & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Collect garbage less often, and not among what was imported: a full collection goes through a million objects."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 50)


class Told:
    """Keeps what is said."""

    def __init__(self):
        self.words = []

    def say(self, text):
        self.words.append(str(text))

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


def written(
    landscape: Path,
    model: str = FOREST,
    sources: str = S2,
    like: str = "s2",
    more: str = "",
    name: str = "recipe.toml",
    **replaced: str,
) -> Path:
    """Write a recipe beside a landscape."""
    text = RECIPE.format(like=like, sources=sources, model=model, more=more)
    for old, new in replaced.items():
        text = text.replace(old, new)
    path = landscape / name
    path.write_text(text)
    return path


@pytest.fixture
def recipe(landscape: Path):
    """Write a recipe beside the landscape: model, sources, grid and further text may be given."""

    def write(model: str = FOREST, sources: str = S2, like: str = "s2", more: str = "", **replaced: str) -> Path:
        return written(landscape, model, sources, like, more, **replaced)

    return write


def trained_briefly(path: Path, folder: Path, epochs: int = 3):
    """Train the recipe's model for moments; return it with the scene."""
    run = open_run(read_recipe(path), folder / "run")
    r, settings = run.recipe, Training(epochs=epochs, learning_rate=0.02, batch_size=16)
    return Trainer(replace(r.choice, training=settings), run.scene, run.samples).train(0, folder / "t"), run.scene


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of the session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Have a folder made by whichever worker comes first; the others wait. It is made where it stays: paths are noted in it."""
    done = folder.with_name(f"{folder.name}.done")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder


def copy_of(folder: Path, to: Path) -> Path:
    """A copy that a test may change; its files are as new as if they had just been written."""
    return Path(shutil.copytree(folder, to, copy_function=shutil.copyfile))


@pytest.fixture(scope="session")
def tiny(shared: Path) -> Path:
    """The tiny landscape, which is not changed."""
    return once(shared / "tiny", tiny_landscape)


@pytest.fixture
def landscape(tiny: Path, tmp_path: Path) -> Path:
    """The tiny landscape, in a folder of the test."""
    return copy_of(tiny, tmp_path / "land")


def named(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Brief:
    """A model of the tiny landscape, trained for moments."""

    folder: Path
    scene: Scene

    @property
    def trained(self) -> Trained:
        return Trained.load(self.folder)


@pytest.fixture(scope="session")
def brief(shared: Path):
    """Models of the tiny landscape, trained for moments, by their part of the recipe; landscape and model are not changed."""
    kept: dict[str, Brief] = {}

    def get(model: str = FOREST, sources: str = S2, like: str = "s2") -> Brief:
        name = named(model, sources, like)
        if name not in kept:
            folder = shared / f"brief-{name}"
            once(folder, lambda to: trained_briefly(written(tiny_landscape(to / "land"), model, sources, like), to))
            with FileLock(f"{folder}.lock"):
                scene = open_run(read_recipe(folder / "land/recipe.toml"), folder / "run").scene
            kept[name] = Brief(folder / "t/model", scene)
        return kept[name]

    return get


@dataclass(frozen=True)
class Finished:
    """A recipe that was followed to the end, in a folder that is not changed."""

    recipe: Path
    out: Path

    def copied(self, to: Path) -> Path:
        """The run's folder, for a test of its own."""
        return Path(shutil.copytree(self.out, to))


@pytest.fixture(scope="session")
def finished(shared: Path):
    """Runs on the tiny landscape, by what their recipe says."""

    def get(model: str = FOREST, more: str = "") -> Finished:
        def make(folder: Path) -> None:
            run(read_recipe(written(tiny_landscape(folder / "land"), model, more=more)), folder / "out")

        folder = once(shared / f"finished-{named(model, more)}", make)
        return Finished(folder / "land/recipe.toml", folder / "out")

    return get


@pytest.fixture(scope="session")
def simulated(shared: Path):
    """Simulated landscapes, which are not changed."""

    def get(simulation: Simulation) -> Path:
        return once(shared / f"simulated-{named(simulation)}", lambda folder: simulate(simulation, folder))

    return get


DELIVERED = {"height": 130, "width": 203, "polygons": 3}
DELIVERED_UNTIL = "2022-05-05"
"""Last date of the series that are delivered: these months are all that a test names, and have both baselines."""
DELIVERIES = (("safe", "spot67", "s1tiling"), ("theia", "pleiades"), ("landsat",), ("stac",), ())


def shorten(path: Path) -> None:
    """Leave out the dates of a plain series after the last one that is delivered."""
    with rasterio.open(path) as dataset:
        dates = [date for date in dataset.descriptions if date <= DELIVERED_UNTIL]
        profile, pixels = dataset.profile, dataset.read(list(range(1, len(dates) + 1)))
    assert len(dates) > 10
    with rasterio.open(path, "w", **{**profile, "count": len(dates)}) as dataset:
        dataset.write(pixels)
        dataset.descriptions = dates


@pytest.fixture(scope="session")
def lands(shared: Path, simulated) -> dict[str, Path]:
    """Format to a landscape delivered in it; all are the same landscape."""

    def make(folder: Path) -> None:
        plain = Path(shutil.copytree(simulated(Simulation(**DELIVERED)), folder / "whole"))
        for path in [*plain.glob("s2/*.tif"), *plain.glob("s1/*.tif")]:
            shorten(path)
        for formats in DELIVERIES:
            land = Path(shutil.copytree(plain, folder / ("-".join(formats) or "plain")))
            simulation = Simulation(**DELIVERED, formats=formats)
            for sensor, name in simulation.deliveries.items():
                deliver(land / sensor, name, QUIET)
            write_recipes(simulation, land)

    folder = once(shared / "lands", make)
    return {name: folder / "-".join(formats) for formats in DELIVERIES for name in formats} | {
        "plain": folder / "plain"
    }


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Processes that train, map or compare together are forked from a server that has imported the package, which takes seconds else."""
    import distributed  # noqa: F401 - its defaults would be lost with those set below
    from lightning_fabric.strategies import ddp

    forkserver.ensure_running()  # before Dask says what else it should import

    usual = ddp.DDPStrategy.__init__

    def made(self: ddp.DDPStrategy, **settings: object) -> None:
        usual(self, **{**settings, "start_method": SERVER.get_start_method()})

    monkeypatch.setattr(ddp.DDPStrategy, "__init__", made)
    monkeypatch.setattr("bocage.jobs.compare.multiprocessing.get_context", lambda _: SERVER)
    with dask.config.set({"distributed.worker.multiprocessing-method": SERVER.get_start_method()}):
        yield


@pytest.fixture
def small_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells much smaller than the tests' scenes, so that windows have several and scenes several windows."""
    monkeypatch.setattr("bocage.mapping.lattice.DENSE", 16)
    monkeypatch.setattr("bocage.mapping.lattice.SMALL", 12)


@pytest.fixture
def data() -> Path:
    """Folder of real imagery; the test is skipped where there is none."""
    if "BOCAGE_DATA" not in os.environ:
        pytest.skip("BOCAGE_DATA is not set")
    return Path(os.environ["BOCAGE_DATA"])


def not_finite(*values):
    """Return polygons with one of these values as a coordinate: what damaged files and failed reprojections contain."""
    with np.errstate(invalid="ignore"):
        return [shapely.Polygon([(0, 0), (1, 0), (x, 1)]) for x in values]
