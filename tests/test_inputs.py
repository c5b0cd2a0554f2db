"""Inputs that are not what a recipe says: every number has a range, every fault one line."""

import dataclasses
import json
import os
import shutil
import typing

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import LineString

from bocage.cli import main
from bocage.errors import EvaluationError, RecipeError, SourceError, TrainedError, UnknownNameError
from bocage.evaluation import METRICS
from bocage.evaluation.design import SampleDesign
from bocage.grid import Grid
from bocage.jobs.check import check
from bocage.legend import LandClass, Legend
from bocage.mapping import WRITERS, check_truth
from bocage.models import MODELS
from bocage.ranges import ranges_of
from bocage.recipe import read_recipe
from bocage.recipe.parse import SECTIONS
from bocage.scene import INDICES, Preparation
from bocage.scene.gaps import Fill
from bocage.simulate import Simulation
from bocage.sources import SENSORS, image, open_source
from bocage.testing import write_raster
from bocage.training import Adapting, Pretraining, Trained
from conftest import FOREST


def kinds():
    found = [kind for kind, _ in SECTIONS.values()]
    found += [SENSORS.get(name).Settings for name in SENSORS] + [MODELS.get(name).Config for name in MODELS]
    found += [Preparation, Adapting, Pretraining, Simulation, SampleDesign]
    for kind in found:
        for hint in typing.get_type_hints(kind).values():
            found += [k for k in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(k) and k not in found]
    return found


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_number_of_the_settings_has_a_range(kind):
    hints = typing.get_type_hints(kind)
    parts = {name: {hint, *typing.get_args(hint)} for name, hint in hints.items()}
    deep = {name: found | {p for f in found for p in typing.get_args(f)} for name, found in parts.items()}
    numbers = {name for name, found in deep.items() if found & {int, float}}
    assert numbers <= set(ranges_of(kind)), f"{numbers - set(ranges_of(kind))} have no Range"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "epochs = 4",
            "epochs = 1000000000000000000",
            "training: 'epochs' must be at least 1 and at most 100000; found 1e",
        ),
        ("learning_rate = 0.01", "learning_rate = 1e300", "'learning_rate' must be above 0 and at most 10; found "),
        ("learning_rate = 0.01", "learning_rate = nan", "'learning_rate' must be above 0 and at most 10; found nan"),
        ("draws = 2", "draws = 10000000", "split: 'draws' must be at least 1 and at most 10000"),
        ("trees = 20", "trees = 0", "model: 'trees' must be at least 1"),
        ("draws = 2", "draws = 2\nseed = -1", "split: 'seed' must be at least 0 and at most 4294967295; found -1"),
        (
            "scale = 0.0001",
            "scale = 0.0001\nratio = { finer = 0 }",
            "'finer' must be at least 1 and at most 100000; found 0",
        ),
        (
            "scale = 0.0001",
            "scale = 0.0001\nratio = { finer = 2, coarser = 3 }",
            "give 'finer' or 'coarser', not both",
        ),
        ("scale = 0.0001", "scale = inf", "sources.s2.scale: the number is infinite"),
        ("scale = 0.0001", "scale = -1.0", "sources.s2: 'scale' must be above 0"),
        ("end = 2021-07-31", "end = 9999-12-31", "dates must be from 1950 to 2100"),
        ("end = 2021-07-31", "end = 2099-12-31", ""),
        ('"reference.gpkg"', '"a\\u0000b"', "reference.path: the text has a NUL character"),
        ('"reference.gpkg"', '"C:\\new.gpkg"', "reference.path: the path"),
        ('name = "maize"', 'name = ""', "a class needs a name"),
        ('name = "maize"', "name = 5", "legend.classes.0.name: Input should be a valid string"),
    ],
)
def test_a_number_or_a_text_out_of_range_is_named(recipe, old, new, said):
    path = recipe(**{old: new})
    if not said:
        assert read_recipe(path).name
        return
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert said in str(caught.value)


def test_adapting_and_pretraining_have_a_learning_rate_above_0():
    for kind in (Adapting, Pretraining):
        with pytest.raises(ValueError, match="'learning_rate' must be above 0"):
            kind(learning_rate=0.0)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["simulate", "land", "--seed", "-1"], "Landscape: 'seed' must be at least 0 and at most 1000000; found -1."),
        (["simulate", "land", "--height", "10"], "'height' must be at least 64"),
        (
            ["sample-design", "{recipe}", "--seed", "-3"],
            "Validation sample: 'seed' must be at least 0 and at most 4294967295",
        ),
        (["sample-design", "{recipe}", "--error", "0.5"], "'error' must be above 0 and below 0.5; found 0.5"),
    ],
)
def test_a_number_of_the_command_line_out_of_range_is_named(recipe, command, said, capsys):
    path = recipe()
    assert main([part.format(recipe=path) for part in command]) == 1
    assert said in capsys.readouterr().err


def test_a_seed_of_a_recipe_serves_every_command():
    largest = 2**32 - 1
    assert Adapting(seed=largest).seed == Pretraining(seed=largest).seed == SampleDesign(seed=largest).seed == largest


def test_filled_dates_are_limited():
    import datetime

    with pytest.raises(ValueError, match="at most 10000 dates can be filled; found 54787"):
        Fill(1, datetime.date(1950, 1, 1), datetime.date(2099, 12, 31))


@pytest.fixture
def modules(tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("def (:\n")
    (tmp_path / "quitting_module.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.parametrize("shelf", [MODELS, SENSORS, INDICES, METRICS, WRITERS], ids=lambda shelf: shelf.kind)
@pytest.mark.parametrize(
    "name",
    ["os:system", "os:", ":", ":x", "a b:c", "os:sys tem", "..:x", "math:pi", "json:dumps", "broken_module:x", "quitting_module:x", "\0:x"],
)  # fmt: skip
def test_a_name_from_outside_that_is_not_of_the_kind_is_refused(modules, shelf, name):
    with pytest.raises(UnknownNameError):
        shelf.get(name)


def test_a_metric_that_is_none_is_refused_before_the_training(recipe, modules):
    path = recipe(more='[evaluation]\nmetrics = ["os:getcwd"]')
    with pytest.raises(RecipeError, match=r"evaluation\.metrics: 'os:getcwd' is no metric: of a confusion matrix"):
        read_recipe(path)


GRID = Grid.of("EPSG:32740", Affine(10, 0, 300000, 0, -10, 7650000), (20, 20))


def raster(path, values, crs="EPSG:32740", nodata=None, east=0):
    transform = Affine(10, 0, 300000 + east, 0, -10, 7650000)
    values = np.asarray(values)
    shape = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, nodata=nodata, **shape) as dataset:
        dataset.write(values)
    return path


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: raster(p, np.ones((2, 20, 20), np.uint8)), "has 2 bands; give a raster of one band"),
        (lambda p: raster(p, np.full((1, 20, 20), np.nan, np.float32)), "has no class of the legend on the map"),
        (lambda p: raster(p, np.full((1, 20, 20), 9, np.uint8)), "has no class of the legend on the map"),
        (lambda p: raster(p, np.ones((1, 20, 20), np.uint8), east=1e5), "does not overlap the map grid"),
        (lambda p: raster(p, np.ones((1, 20, 20), np.complex64)), "complex values"),
        (lambda p: None, "does not exist"),
    ],
)
def test_a_truth_raster_that_cannot_be_compared_is_refused(tmp_path, make, said):
    make(tmp_path / "truth.tif")
    with pytest.raises(EvaluationError, match=said):
        check_truth(tmp_path / "truth.tif", GRID, Legend((LandClass(1, "a"), LandClass(2, "b"))))


def test_a_truth_raster_of_a_part_of_the_map_is_told(tmp_path):
    legend = Legend((LandClass(1, "a"), LandClass(2, "b")))
    part = raster(tmp_path / "truth.tif", np.ones((1, 10, 20), np.uint8))
    assert str(check_truth(part, GRID, legend)) == "The truth raster has a class of the legend on 50 % of the map."
    whole = raster(tmp_path / "whole.tif", np.ones((1, 20, 20), np.uint8))
    assert check_truth(whole, GRID, legend) is None


def test_a_pipe_a_local_crs_and_complex_values_are_no_imagery(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    local = 'LOCAL_CS["somewhere",UNIT["metre",1]]'
    raster(tmp_path / "local.tif", np.ones((1, 20, 20), np.uint8), crs=local)
    raster(tmp_path / "complex.tif", np.ones((1, 20, 20), np.complex64))
    for name, said in (("pipe", "pipe or a device"), ("local", "local coordinate"), ("complex", "complex values")):
        with pytest.raises(SourceError, match=said):
            open_source("s", image, image.Settings(tmp_path / f"{name}.tif"))


def test_dates_of_another_age_are_refused(tmp_path):
    from bocage.sources import series

    write_raster(tmp_path / "a.tif", np.ones((2, 20, 20), np.uint8))
    for day in ("9999-12-31", "0001-01-01"):
        with pytest.raises(SourceError, match="is not between 1950 and 2100"):
            open_source("s", series, series.Settings(variables={"red": tmp_path / "a.tif"}, dates=("2021-01-01", day)))


def spoiled(name, how):
    """A change of the JSON description of a model, as a function of its folder."""

    def spoil(folder):
        record = json.loads((folder / "trained.json").read_text())
        how(record)
        (folder / "trained.json").write_text(json.dumps(record))

    return pytest.param(spoil, id=name)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda f: (f / "weights.safetensors").unlink(), id="no weights"),
        pytest.param(lambda f: (f / "weights.safetensors").write_bytes(b""), id="empty weights"),
        pytest.param(lambda f: (f / "trained.json").write_text("{}"), id="empty description"),
        pytest.param(lambda f: (f / "trained.json").write_text("[1]"), id="list"),
        spoiled("format as text", lambda r: r.update(format="2")),
        spoiled("no sources", lambda r: r.update(sources=None)),
        spoiled("one class", lambda r: r["legend"].pop()),
        spoiled("temperature", lambda r: r["calibration"].update(temperature=0)),
        spoiled("scale", lambda r: r["normalisation"]["scale"].update(s2=[0, 1, 1])),
        spoiled("offset", lambda r: r["normalisation"]["offset"].update(s2=[1])),
        spoiled("versions", lambda r: r.update(versions="x")),
        spoiled("bounds", lambda r: r["region"].update(bounds=[1, 2])),
    ],
)
def test_a_damaged_model_folder_is_refused_in_one_line(brief, tmp_path, spoil):
    folder = shutil.copytree(brief(FOREST).folder, tmp_path / "model")
    spoil(folder)
    with pytest.raises(TrainedError) as caught:
        Trained.load(folder)
    assert "\n" not in str(caught.value)
    assert "None is missing" not in str(caught.value)


def squares(landscape):
    return gpd.read_file(landscape / "reference.gpkg")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda f: f.set_geometry([LineString(g.exterior.coords) for g in f.geometry]),
            "no pixel centre of the map is inside",
        ),
        (lambda f: f.set_geometry([None] * len(f)), "no feature has a geometry"),
        (lambda f: f.set_geometry([f.union_all()] * len(f)), "no pixel centre of the map is inside"),
        (lambda f: f.assign(code=1), "Fewer than two classes have 3 usable polygons"),
        (lambda f: f.iloc[:1], "Fewer than two classes have 3 usable polygons"),
        (lambda f: f.assign(code=None), "has a label in the field 'code'"),
        (lambda f: f.iloc[:0], "contains no polygon"),
    ],
)
def test_check_finds_what_train_would_refuse(recipe, landscape, change, said, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    change(squares(landscape)).to_file(landscape / "reference.gpkg")
    path = recipe(**{"draws = 2": 'draws = 2\nrare = "drop"'})
    errors = [str(finding.what) for finding in check(path).findings if finding.severity == "error"]
    assert any(said in what for what in errors), errors
    assert main(["train", str(path), "--out", "out"]) == 1
    assert said in capsys.readouterr().err


def test_unknown_labels_are_one_row(recipe, landscape):
    squares(landscape).assign(code=range(100, 100 + len(squares(landscape)))).to_file(landscape / "reference.gpkg")
    found = [f for f in check(recipe()).findings if "not in the legend" in str(f.what)]
    assert len(found) == 1
    assert "…" in found[0].where or len(squares(landscape)) <= 10
