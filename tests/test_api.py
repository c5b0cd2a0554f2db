"""Bocage in Python: the same stages as the commands, and objects that show themselves in a notebook."""

import dataclasses
import json
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import xarray as xr

import bocage as bg
from bocage.api import Accuracy
from bocage.cli.main import main
from bocage.errors import GridError, MappingError, RecipeError, SourceError
from bocage.grid import Window
from bocage.layout import RunLayout
from bocage.legend import LandClass, Legend
from bocage.recipe.writing import toml_value
from bocage.report.sampled import fingerprint_of
from bocage.view.server import STATIC
from conftest import GRU

MARKUP = '<img src=x onerror="alert(1)">'


@pytest.fixture
def project(finished, tmp_path):
    """A finished run of a random forest, in a folder of the test."""
    one = finished()
    return bg.recipe(str(one.recipe), out=one.copied(tmp_path / "out"), quiet=True)


def test_the_import_is_cheap_and_does_no_work():
    said = "import sys, bocage; print([m for m in ('numpy', 'torch', 'xarray', 'click', 'bocage.recipe') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_function_and_the_package_share_a_name(recipe):
    import bocage.recipe
    import bocage.recipe as package

    assert package is bg.recipe is bocage.recipe
    assert package.read_recipe(recipe()).name == bg.recipe(recipe()).recipe.name == "tiny"
    with pytest.raises(AttributeError, match="has no attribute 'recipes'"):
        _ = bg.recipes


def test_a_recipe_has_the_folder_and_the_errors_of_the_command_line(recipe, tmp_path):
    path = recipe()
    assert bg.recipe(path).out == Path("runs/tiny")
    assert bg.recipe(path, out=str(tmp_path)).out == tmp_path
    with pytest.raises(RecipeError, match=r"split.drawz: unknown key.*\(from --set split.drawz=3\)"):
        bg.recipe(path, settings={"split.drawz": 3})
    with pytest.raises(RecipeError, match="a set has no form in TOML"):
        bg.recipe(path, settings={"sources.s2.clear": {4, 5}})
    with pytest.raises(RecipeError, match="the file does not exist"):
        bg.recipe(tmp_path / "none.toml")


def test_settings_replace_those_of_the_recipe(recipe):
    parsed = bg.recipe(recipe(), settings={"split.draws": np.int64(1), "sources.s2.clear": (4, 5)}).recipe
    assert parsed.split.draws == 1
    assert parsed.overrides == ("split.draws=1", "sources.s2.clear=[4, 5]")


def test_a_table_is_a_recipe_as_its_file_is(recipe, landscape, monkeypatch):
    path = recipe()
    table = tomllib.loads(path.read_text())
    table["reference"]["path"] = Path("reference.gpkg")  # a path of Python
    monkeypatch.chdir(landscape)
    ours, file = bg.recipe(table).recipe, bg.recipe(path).recipe
    for field in dataclasses.fields(file):
        if field.name not in ("path", "text", "choice"):
            assert getattr(ours, field.name) == getattr(file, field.name), field.name
    assert tomllib.loads(ours.text) == tomllib.loads(path.read_text())  # stored in the folder of the run
    with pytest.raises(RecipeError, match="split.drawz"):
        bg.recipe({**table, "split": {"drawz": 1}})
    with pytest.raises(RecipeError, match="the keys of a table are texts; found 2"):
        bg.recipe({**table, "sources": {2: {}}})
    with pytest.raises(RecipeError, match="a path or a table is expected; found NoneType"):
        bg.recipe(None)
    with pytest.raises(RecipeError, match="a table of keys and values is expected; found list"):
        bg.recipe(path, settings=["split.draws=1"])


def test_values_of_numpy_are_values_of_a_recipe(recipe):
    fill = {"every": np.int16(20), "start": np.datetime64("2021-02-01"), "end": np.datetime64("2021-07-31", "ns")}
    parsed = bg.recipe(recipe(), settings={"sources.s2.fill": fill, "sources.s2.clear": np.array([4, 5])})
    assert parsed.recipe.overrides == (
        "sources.s2.fill={ every = 20, start = 2021-02-01, end = 2021-07-31 }",
        "sources.s2.clear=[4, 5]",
    )
    assert toml_value(np.bool_(False)) == "false"


def test_imagery_is_read_as_the_model_reads_it(project):
    scene = project.scene()
    assert scene.names == ("s2",)
    values = scene.to_xarray("s2")
    assert values.dims == ("time", "band", "y", "x")
    assert list(values.band.values) == ["red", "nir", "ndvi"]
    assert str(values.time.values[0])[:10] == "2021-02-01"
    assert values.odc.crs == "EPSG:32740"
    assert values.odc.geobox == scene.scene.grid.geobox
    cube = scene.scene.cubes["s2"]
    block = cube.read(cube.grid.window)
    np.testing.assert_array_equal(values.values, np.where(block.valid[:, None], block.values, np.nan))


def test_a_masked_pixel_of_the_imagery_is_nan(recipe):
    path = recipe(GRU, **{"fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }": ""})
    values = bg.recipe(path, quiet=True).scene().to_xarray("s2")
    assert np.isnan(values.values[1, :, :9, :14]).all()
    assert np.isfinite(values.values[0]).all()


def test_a_window_of_the_imagery_is_a_part_of_it_whatever_the_tiles(project, monkeypatch):
    scene = project.scene()
    whole = scene.to_xarray("s2").compute()
    monkeypatch.setattr("bocage.api.rasters.TILE", 7)
    for place in ((5, 11, 20, 13), Window(5, 11, 20, 13)):
        xr.testing.assert_equal(scene.to_xarray("s2", place).compute(), whole[:, :, 5:25, 11:24])
    assert len(scene.to_xarray("s2").chunks[2]) == 7
    for place in ((0, 0, 5), (0.5, 0, 5, 5), 3):
        with pytest.raises(GridError, match="four whole numbers"):
            scene.to_xarray("s2", place)
    for place in ((40, 0, 20, 5), (-1, 0, 3, 3), (0, 0, 0, 5)):
        with pytest.raises(GridError, match="is not inside the grid, which has 48 rows and 53 columns"):
            scene.to_xarray("s2", place)
    with pytest.raises(SourceError, match="No source is called 's1'.*The sources are: s2"):
        scene.to_xarray("s1")


def test_samples_are_the_pixels_inside_the_polygons(project, finished):
    labels = project.samples()
    pixels = labels.to_geodataframe()
    polygons = gpd.read_file(finished().recipe.parent / "reference.gpkg")
    assert pixels.crs == polygons.crs
    joined = gpd.sjoin(pixels, polygons, predicate="within")
    assert len(joined) == len(pixels) == labels.per_class().pixels.sum()
    assert (joined["code_left"] == joined["code_right"]).all()
    assert list(labels.per_class()["class"]) == ["maize", "meadow", "water"]
    assert (labels.per_class().polygons == 5).all()


def test_the_score_is_that_of_the_file(project):
    accuracy, stored = project.score(), json.loads(project.layout.score.read_text())
    assert accuracy.metrics().loc["kappa", "mean"] == stored["kappa"]["mean"]
    assert accuracy.metrics().loc["kappa", "draws"] == 2
    assert accuracy.confusion().to_numpy().sum() == stored["tested_pixels"]
    assert accuracy.confusion().index.name == "reference"
    assert accuracy.per_class().loc["maize", "f1"] == stored["per_class"]["maize"]["f1"]["mean"]
    assert accuracy.estimates().empty  # test polygons without weights permit no interval


def test_the_estimates_of_a_validation_sample_have_intervals(project):
    def record(value):
        return {"value": value, "error": 0.02, "low": value - 0.04, "high": value + 0.04}

    per_class = {
        name: {key: record(0.3) for key in ("users_accuracy", "producers_accuracy", "area_share")}
        | {"mapped_share": 0.3}
        for name in ("maize", "meadow", "water")
    }
    layout = project.layout
    file = {"file": "v.gpkg", "classes": fingerprint_of(layout.map)}
    stored = {**file, "design": "", "units": 90, "overall_accuracy": record(0.9), "per_class": per_class}
    layout.sample.write_text(json.dumps(stored))
    estimates = project.score().estimates()
    assert list(estimates.loc["overall_accuracy"]) == pytest.approx([0.9, 0.86, 0.94])
    assert len(estimates) == 10
    assert "95 % interval" in project.score()._repr_html_()
    for classes in ("of another map", ""):
        layout.sample.write_text(json.dumps(stored | {"classes": classes}))
        assert project.score().estimates().empty


def test_the_map_is_that_of_the_file(project):
    land = project.map()
    assert land.layers == ("classes", "confidence")
    classes = land.to_xarray()
    with rasterio.open(project.layout.map.path / "classes.tif") as dataset:
        np.testing.assert_array_equal(classes.values, dataset.read(1))
        assert classes.odc.transform == dataset.transform
        assert classes.odc.crs.epsg == dataset.crs.to_epsg()
    assert classes.attrs["flag_values"] == [1, 2, 3]
    assert classes.attrs["flag_meanings"] == "maize meadow water"
    assert classes.attrs["nodata"] == 0
    assert land.to_xarray("confidence").attrs["nodata"] == 255
    assert land.table()["share"].sum() == pytest.approx(1)
    xr.testing.assert_equal(land.to_xarray(window=(3, 4, 5, 6)).compute(), classes.compute()[3:8, 4:10])
    with pytest.raises(MappingError, match=r"no layer is called 'confidenc'. Did you mean 'confidence'\?"):
        land.to_xarray("confidenc")


def test_layers_of_several_bands_have_their_names(finished, tmp_path):
    one = finished(more='layers = ["classes", "probabilities"]')
    found = bg.recipe(one.recipe, out=one.copied(tmp_path / "out"), quiet=True).map().to_xarray("probabilities")
    assert found.dims == ("band", "y", "x")
    with rasterio.open(tmp_path / "out/map/probabilities.tif") as dataset:
        np.testing.assert_array_equal(found.values, dataset.read())
        assert list(found.band.values) == list(dataset.descriptions)


@pytest.mark.slow
def test_complete_stages_are_kept_as_on_the_command_line(project, finished, capsys):
    before = json.loads(project.layout.provenance.read_text())["stages"]
    assert project.report().path == project.layout.report
    after = json.loads(project.layout.provenance.read_text())["stages"]
    assert after == before
    loud = bg.recipe(finished().recipe, out=project.out)
    loud.score()
    assert "train/0: up to date" in capsys.readouterr().err
    assert main(["run", str(finished().recipe), "--out", str(project.out)]) == 0
    assert "map: up to date" in capsys.readouterr().err


def test_objects_show_themselves(project):
    shown = {
        "project": (project, "[split]"),
        "scene": (project.scene(), "data:image/png"),
        "samples": (project.samples(), "meadow"),
        "training": (project.train(), "splits"),
        "score": (project.score(), "Confusion matrix"),
        "map": (project.map(), "data:image/png"),
        "report": (project.report(), "<iframe"),
    }
    for name, (thing, said) in shown.items():
        assert said in thing._repr_html_(), name


@pytest.mark.slow
def test_the_training_of_a_network_has_curves(finished, tmp_path):
    one = finished(GRU)
    training = bg.recipe(one.recipe, out=one.copied(tmp_path / "out"), quiet=True).train()
    assert len(training.curves()) == 2 * 4
    assert set(training.curves().draw) == {0, 1}
    assert "<svg" in training._repr_html_()
    assert all((path / "weights.safetensors").exists() for path in training.models)


def test_markup_in_names_is_escaped(finished, tmp_path):
    one = finished()
    out = one.copied(tmp_path / "out")
    project = bg.recipe(one.recipe, out=out, quiet=True)
    legend = Legend(tuple(LandClass(c.code, f"{MARKUP}{c.code}", c.color) for c in project.recipe.legend.classes))
    land = project.map()
    land.delivered.layout.areas.write_text(land.delivered.layout.areas.read_text().replace("maize", f'"{MARKUP}1"'))
    marked = dataclasses.replace(land, delivered=dataclasses.replace(land.delivered, legend=legend), title=MARKUP)
    labels = project.samples()
    labels = dataclasses.replace(labels, samples=dataclasses.replace(labels.samples, legend=legend), title=MARKUP)
    table = dataclasses.replace(project, recipe=dataclasses.replace(project.recipe, text=MARKUP, name=MARKUP))
    score = project.layout.score.read_text().replace("maize", "<img src=x onerror='alert(1)'>")
    project.layout.score.write_text(score)
    for thing in (marked, labels, table, Accuracy(project.layout, MARKUP)):
        assert "<img src=x" not in thing._repr_html_()
        assert "&lt;img src=x" in thing._repr_html_()


@pytest.mark.slow
def test_vectors_are_tables_with_their_crs(finished, tmp_path):
    one = finished()
    settings = {"finish.formats": ["gpkg"], "finish.sieve": 4}
    project = bg.recipe(one.recipe, out=one.copied(tmp_path / "out"), settings=settings, quiet=True)
    vectors = project.finish()
    polygons = vectors.polygons()
    assert polygons.crs == "EPSG:32740"
    assert set(polygons["code"]) == {1, 2, 3}
    assert "<table" in vectors._repr_html_()
    with pytest.raises(MappingError, match=r"no zones. Set \[finish\] zones"):
        vectors.zones()
    RunLayout(tmp_path / "out").finish.polygons("gpkg").unlink()
    with pytest.raises(MappingError, match=r"no polygons. Set \[finish\] formats"):
        vectors.polygons()


def test_the_page_of_a_run_is_served_until_it_is_stopped(project, monkeypatch):
    monkeypatch.setattr("bocage.view.server.static_files", lambda: dict.fromkeys(STATIC, b"built"))
    page = project.view()
    assert page.address.startswith("http://127.0.0.1:")
    assert page.address in page._repr_html_()
    with urllib.request.urlopen(page.address, timeout=10) as answer:
        assert answer.status == 200
    page.stop()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(page.address, timeout=10)
