"""The five doors: a sensor, a network, an index, a metric and an output from outside the package, in one run."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from bocage.cli import main
from bocage.errors import EvaluationError, ModelError, UnknownNameError
from bocage.evaluation import ConfusionMatrix, Score
from bocage.grid import Ratio
from bocage.models import InputSpec, SourceTensor
from bocage.models.base import Adapted, pixel_footprint
from bocage.testing import check_index, check_metric, check_model, check_sensor, check_writer
from bocage.training.batches import Minibatch
from bocage.training.loop import logits_of

OUTSIDE = '''
"""Things that a user adds, in a module of the user's own."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import torch
from torch import nn

from bocage.models.base import at_map_pixels, output_shape, pixel_footprint
from bocage.sources import Acquisition, BandFile, Decoding, SensorSpec, clear_where_listed


STORED = Decoding(scale=0.0001, nodata=0)


# --- a sensor: the class is its own module
class Drone:
    """A drone that names its files flight_<date>_<band>.tif."""

    SPEC = SensorSpec("drone", "a drone's flights")
    clear_mask = staticmethod(clear_where_listed)

    @dataclass(frozen=True)
    class Settings:
        root: Path
    @staticmethod
    def find(settings, progress):
        days = sorted({p.name.split("_")[1] for p in settings.root.glob("flight_*_red.tif")})
        files = lambda d: {b: BandFile(settings.root / f"flight_{d}_{b}.tif", 1, STORED) for b in ("red", "nir")}
        return [Acquisition(datetime.strptime(d, "%Y%m%d"), files(d)) for d in days]


drone = Drone()


# --- a network
class Mean:
    """A linear classifier of the mean over dates."""

    @dataclass(frozen=True)
    class Config:
        source: str = "s2"
        units: int = 3

    class Model(nn.Module):
        def __init__(self, inputs, n_classes, config):
            super().__init__()
            self.inputs = {config.source: inputs[config.source]}
            self.source = config.source
            self.footprints = {config.source: pixel_footprint(inputs[config.source])}
            self.head = nn.Linear(len(inputs[config.source].bands), n_classes)

        def forward(self, batch):
            shape = output_shape(batch, self.footprints, self.inputs)
            values, valid = at_map_pixels(batch[self.source], self.inputs[self.source], shape)
            mean = values.sum(1) / valid.sum(1).clamp_min(1)[:, None]
            return self.head(mean.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


# --- an index, a metric
def simple_ratio(red, nir):
    """Ratio of nir and red, 0 to 50 (Jordan 1969, doi:10.2307/1936256)."""
    return np.clip(np.where(red > 1e-6, nir / np.maximum(red, 1e-6), 0), 0, 50)


def errors(matrix):
    """Share of pixels that disagree: 0 to 1, lower is better."""
    return 1 - float(matrix.right.sum()) / max(matrix.total, 1)


# --- an output: a writer is anything with SUFFIX and open
class Npy:
    """NumPy arrays."""

    SUFFIX = ".npy"

    class Opened:
        def __init__(self, path, grid, bands):
            self.path = path
            self.part = path.with_name("." + path.name + ".part.npy")
            self.array = np.lib.format.open_memmap(self.part, "w+", bands[0].dtype, (len(bands), *grid.shape))

        def put(self, window, array):
            self.array[:, window.y : window.y + window.height, window.x : window.x + window.width] = array

        def close(self):
            self.array.flush()
            self.part.rename(self.path)

        def discard(self):
            self.part.unlink(missing_ok=True)

    def open(self, path, grid, bands, legend):
        return Npy.Opened(path, grid, bands)


npy = Npy()
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(OUTSIDE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield
    sys.modules.pop("mine", None)


@pytest.mark.slow
def test_five_things_come_through_five_doors(outside, recipe, landscape, tmp_path, capsys):
    import rasterio

    from bocage.testing import write_raster

    for band in ("red", "nir"):
        with rasterio.open(landscape / f"s2/{band}.tif") as dataset:
            for i, day in enumerate(dataset.descriptions, start=1):
                write_raster(
                    landscape / f"flights/flight_{day.replace('-', '')}_{band}.tif", dataset.read([i]), nodata=0
                )
    path = recipe(
        'name = "mine:Mean"\nunits = 5',
        '[sources.s2]\nsensor = "mine:drone"\nroot = "flights"\nindices = ["ndvi", "mine:simple_ratio"]',
        more='formats = ["cog", "mine:npy"]\n[evaluation]\nmetrics = ["mine:errors"]',
    )
    assert main(["run", str(path), "--out", "run"]) == 0, capsys.readouterr().err
    said = json.loads((tmp_path / "run/score.json").read_text())
    assert said["mine:errors"]["mean"] == pytest.approx(1 - said["overall_accuracy"]["mean"])
    codes = np.load(tmp_path / "run/map/classes.npy")[0]
    with rasterio.open(tmp_path / "run/map/classes.tif") as dataset:
        assert np.array_equal(codes, dataset.read(1))
    trained = json.loads((tmp_path / "run/splits/0/model/trained.json").read_text())
    assert trained["name"] == "mine:Mean"
    assert trained["sources"]["s2"]["spec"]["bands"] == ["red", "nir", "ndvi", "mine:simple_ratio"]


def test_things_from_outside_pass_the_same_checks(outside, landscape, tmp_path):
    import mine
    import rasterio

    from bocage.grid import Ratio
    from bocage.models import InputSpec
    from bocage.testing import write_raster

    with rasterio.open(landscape / "s2/red.tif") as dataset:
        for band in ("red", "nir"):
            for day in ("20210211", "20210311"):
                write_raster(landscape / f"flights/flight_{day}_{band}.tif", dataset.read([1]))
    check_sensor(mine.drone, mine.Drone.Settings(landscape / "flights"))
    check_model(mine.Mean, {"s2": InputSpec("s2", ("red", "nir"), 4, Ratio())}, mine.Mean.Config())
    check_index(mine.simple_ratio)
    check_metric(mine.errors)
    (tmp_path / "out").mkdir()
    check_writer(mine.npy, tmp_path / "out")


def test_a_door_that_leads_nowhere_is_told(recipe, capsys, outside):
    for name, said in (("nothere:x", "cannot be imported"), ("mine:nothing", "has no 'nothing'")):
        assert main(["run", str(recipe(f'name = "{name}"')), "--out", "run"]) == 1
        assert said in capsys.readouterr().err


class Cropped(torch.nn.Module):
    """A network whose logits do not cover the window."""

    def __init__(self, answer):
        super().__init__()
        self.footprints = {"s2": pixel_footprint(SPEC)}
        self.answer = answer

    def forward(self, batch):
        return self.answer


SPEC = InputSpec("s2", ("red", "nir"), 3, Ratio())


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (torch.zeros(1, 4, 1, 1), r"shape \(1, 4, 1, 1\)"),
        (torch.zeros(1, 3, 5, 6), r"shape \(1, 3, 5, 6\)"),
        (torch.zeros(1, 4), r"shape \(1, 4\)"),
        (None, "NoneType"),
    ],
)
def test_logits_of_another_shape_are_refused(answer, found):
    """The map was made of one pixel repeated, in silence."""
    network = Adapted(Cropped(answer), {"s2": SPEC}, 4)
    ones = torch.ones(1, 3, 2, 5, 6)
    batch = {"s2": SourceTensor(ones, ones[:, :, 0] > 0, torch.arange(3)[None])}
    with pytest.raises(ModelError, match=rf"forward of Cropped returns {found}; .* \(1, 4, 5, 6\)"):
        network(batch)


def test_logits_that_are_nan_are_refused():
    nan = torch.full((2, 4, 1, 1), torch.nan)
    with pytest.raises(ModelError, match="NaN for 2 of 2 samples"):
        logits_of(
            lambda _: nan, iter([Minibatch({}, torch.zeros(2, dtype=torch.long), np.arange(2))]), torch.device("cpu")
        )


def test_metrics_of_others_cannot_harm_the_score(outside, tmp_path):
    """An infinite value is no JSON, and one that wrote into the counts emptied the score."""
    (tmp_path / "worse.py").write_text(
        "def endless(matrix):\n    return float('inf')\n\n\ndef greedy(matrix):\n    matrix.counts[:] = 0\n    return 1.0\n\n\n"
        "def picky(matrix):\n    return {'a': 1.0}[matrix.names[0]]\n"
    )
    score = Score((ConfusionMatrix(np.eye(2, dtype=np.int64), ("a", "b")),), ("worse:endless", "overall_accuracy"))
    assert json.dumps(score.as_dict(), allow_nan=False)
    assert np.isnan(score.values("worse:endless")).all()
    with pytest.raises(UnknownNameError, match="'worse:greedy' is no metric: .* read-only"):
        score.values("worse:greedy")
    with pytest.raises(EvaluationError, match="worse:picky raises KeyError: 'c'"):
        replace(score, matrices=(replace(score.matrices[0], names=("c", "d")),)).values("worse:picky")
    assert score.values("overall_accuracy").tolist() == [1]
