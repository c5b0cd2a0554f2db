"""Sources without a value in a part of the map, with models that need all their sources and with others."""

import json
from dataclasses import replace

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from bocage.jobs.check import check
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.mapping import Item, Mapping, make_map
from bocage.mapping.unclassified import Unclassified
from bocage.preflight.validity import check_needed
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.testing import tiny_landscape, write_raster
from bocage.testing.fakes import CORNER, CRS
from bocage.training import Trained
from conftest import FOREST, PAN_MS, S2, Told, written

PAN = '[sources.pan]\nsensor = "image"\npath = "pan.tif"\nbands = ["pan"]\n'
TWO = S2 + PAN
NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'
SETTINGS = Mapping(tile=16, layers=("classes",))
TEXT = (
    "33 % of the pixels of the map have no class, because random_forest needs a value of all its sources: 'pan' has no value "
    "in 33 %. Choose a model that tolerates missing sources (patchwork), or a model without these sources ([model] sources)."
)


@pytest.fixture(scope="module")
def partly(tmp_path_factory):
    """A recipe whose image has no value in the lower third of the map, and the folder and messages of its run."""
    folder, told = tmp_path_factory.mktemp("partly"), Told()
    land = tiny_landscape(folder / "land")
    with rasterio.open(land / "pan.tif") as dataset:
        pan = dataset.read()
    pan[:, 32:] = 0
    write_raster(land / "pan.tif", pan, nodata=0)
    recipe = written(land, FOREST, TWO)
    run(read_recipe(recipe), folder / "out", progress=told)
    return recipe, RunLayout(folder / "out"), told


def test_the_run_and_its_report_state_the_share_without_a_class(partly):
    _, out, told = partly
    with rasterio.open(out.map.layer("classes", ".tif")) as dataset:
        assert ((dataset.read(1) == 0).mean(1) == np.repeat([0, 1], [32, 16])).all()
    assert told.words.count(TEXT) == 1
    note = Item.load(out.map.item).unclassified
    assert str(note) == TEXT
    assert note.text("fr").startswith(
        "33\u00a0% des pixels de la carte n'ont pas de classe, car random_forest a besoin"
    )
    assert TEXT.replace("'", "&#39;") in out.report.read_text()
    assert json.loads(out.report_numbers.read_text())["unclassified"] == TEXT


def test_check_warns_of_a_source_that_a_model_needs_everywhere(partly):
    recipe, _, _ = partly
    (finding,) = [f for f in check(recipe).findings if f.what.code == "partial_source"]
    assert (finding.severity, finding.where) == ("warning", "pan")
    assert finding.what.text().startswith("67 % of the sampled pixels of the map have a value of this source")
    assert "(patchwork)" in finding.remedy.text()
    tolerant = check(recipe, overrides=['model={name="patchwork",preset="small"}', "training={}"])
    assert tolerant.scene is not None
    assert "partial_source" not in {f.what.code for f in tolerant.findings}
    assert not list(check_needed({"pan": 0.5}, "a model of one source"))
    assert not list(check_needed({"pan": 0.995, "s2": 1.0}, "a model"))


def test_only_the_region_counts_and_windows_that_are_kept_do_too(partly, tmp_path):
    recipe, out, _ = partly
    trained, scene = Trained.load(out.split(0).model.path), open_scene(read_recipe(recipe))
    x, y = CORNER
    above, below = (shapely.box(x, y - 10 * (row + 16), x + 530, y - 10 * row) for row in (0, 24))
    for name, shape in (("above", above), ("below", below)):
        geopandas.GeoDataFrame(geometry=[shape], crs=CRS).to_file(tmp_path / f"{name}.gpkg")
    told = Told()
    make_map(trained, scene, replace(SETTINGS, region=tmp_path / "above.gpkg"), tmp_path / "a", progress=told)
    assert not any("no class" in word for word in told.words)
    settings = replace(SETTINGS, region=tmp_path / "below.gpkg", keep_windows=True)
    for _ in range(2):  # the second time, all windows are there
        told = Told()
        make_map(trained, scene, settings, tmp_path / "b", progress=told)
        assert any(word.startswith("50 % of the pixels of the map have no class") for word in told.words)


def test_a_model_that_tolerates_missing_sources_has_a_class_there(brief, partly, tmp_path):
    model, told = brief(PATCHWORK, NATIVE + PAN_MS, "pan"), Told()
    recipe = written(partly[0].parent, PATCHWORK, NATIVE + PAN_MS, "pan", name="tolerant.toml")
    land = make_map(model.trained, open_scene(read_recipe(recipe)), SETTINGS, tmp_path, progress=told)
    assert land.unclassified is None
    assert not any("no class" in word for word in told.words)


def test_the_note_names_the_sources_and_proposes_a_model_only_where_it_helps():
    assert Unclassified(1000, 9, {"s2": 9}).note("gru") is None
    assert Unclassified().note("gru") is None
    alone = Unclassified(1000, 100, {"s2": 100}).note("gru")
    assert alone.text() == "10 % of the pixels of the map have no class: the source 's2' has no value there."
    both = Unclassified(1000, 100, {"s2": 100, "s1": 300}).note("patchwork")
    assert both.text() == "10 % of the pixels of the map have no class: the sources 's2', 's1' have no value there."
    several = Unclassified(1000, 300, {"s2": 100, "s1": 250, "dem": 2}).note("random_forest").text()
    assert "'s1' has no value in 25 %, 's2' has no value in 10 %. Choose" in several
    assert "dem" not in several
