"""``bocage qgis``: a project that QGIS opens without a missing layer, styled, and with what the run has."""

import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pyogrio
import pytest
import rasterio

from bocage.cli import main
from bocage.errors import FinishError, RunFolderError
from bocage.jobs.finish import finish
from bocage.jobs.qgis import project_of
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.legend import LandClass, Legend
from bocage.qgis import write_project
from bocage.qgis.pictures import picture_layer
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.sources import Source
from bocage.sources.base import Acquisition, BandFile, Decoding
from bocage.testing import tiny_landscape
from bocage.testing.fakes import CORNER, Place, fake_pixels, write_raster
from bocage.view import open_viewed
from bocage.view.imagery import Picture, Pictures
from bocage.words import sentence
from conftest import Told, written

PYTHON = "/usr/bin/python3"
"""Python of the system, which has the bindings of QGIS."""
OFFSCREEN = {"QT_QPA_PLATFORM": "offscreen", "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "GDAL_PAM_ENABLED": "NO"}
"""Environment of QGIS, which writes no statistics beside the images of other tests."""
LEGEND = Legend((LandClass(1, "maize"),))


def has_qgis() -> bool:
    line = [PYTHON, "-c", "import qgis.core"]  # the folder qgis/ of the repository is found as a package too
    return (
        Path(PYTHON).exists() and subprocess.run(line, check=False, capture_output=True, env=OFFSCREEN).returncode == 0
    )


def opened(project: Path, x: float, y: float, home: Path):
    """What QGIS sees of a project, and the values of its rasters at a place."""
    script = Path(__file__).with_name("qgis_opened.py")
    command = [PYTHON, str(script), str(project), str(x), str(y)]
    env = OFFSCREEN | {"HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def document(project: Path):
    """The XML of a project."""
    with zipfile.ZipFile(project) as archive:
        return ElementTree.fromstring(archive.read("project.qgs"))


def titles(project: Path) -> list[str]:
    return [layer.get("name") for layer in document(project).iter("layer-tree-layer")]


MARKUP = '<b>maïs & "canne"</b>'


@pytest.mark.slow
def test_qgis_opens_every_layer_of_a_moved_run_with_its_style(tmp_path):
    if not has_qgis():
        pytest.skip("QGIS is not installed")
    land = tiny_landscape(tmp_path / "paysage été <1>")
    more = (
        'layers = ["classes", "confidence", "probabilities", "validity"]\n'
        '[finish]\nmajority = 3\nformats = ["gpkg"]\n[report]\nlanguage = "fr"'
    )
    recipe = read_recipe(written(land, more=more, **{'name = "maize"': f"name = '{MARKUP}'"}))
    run(recipe, tmp_path / "first")
    finish(recipe, tmp_path / "first")
    out = (tmp_path / "first").rename(tmp_path / "déplacé & fini")
    x, y = CORNER[0] + 55, CORNER[1] - 25
    seen = opened(out / "qgis/project.qgz", x, y, tmp_path)
    assert [one for one in seen["layers"] if not one["valid"]] == []
    assert (seen["title"], seen["crs"]) == ("tiny", "EPSG:32740")
    assert seen["extent"] == [CORNER[0], CORNER[1] - 480, CORNER[0] + 530, CORNER[1]]
    assert seen["abstract"].startswith("Carte d'occupation du sol en 3 classes, 48 × 53 pixels en EPSG:32740")
    by_name = {one["name"]: one for one in seen["layers"]}
    main_layer = by_name["occupation du sol"]
    assert main_layer["classes"]["1"] == [MARKUP, "#f2c14e"]
    for name in ("classes", "confidence", "probabilities"):
        title = {"classes": "occupation du sol", "confidence": "confiance", "probabilities": MARKUP}[name]
        with rasterio.open(out / f"map/{name}.tif") as file:
            assert by_name[title]["values"][0] == pytest.approx(
                next(file.sample([(x, y)]))[0] * file.scales[0], rel=1e-6
            )
    with rasterio.open(land / "s2/red.tif") as file:
        picture = next(one for name, one in by_name.items() if name.startswith("s2, 2021-"))
        date = file.descriptions.index(picture["name"].removeprefix("s2, "))
        assert picture["values"] == [next(file.sample([(x, y)]))[date]]
    vectors = by_name["polygones de la carte"]
    assert vectors["features"] == len(pyogrio.read_dataframe(out / "finish/polygons.gpkg"))
    assert vectors["classes"]["1"] == MARKUP
    parts = by_name["polygones de référence, par partie"]
    assert parts["features"] == 15
    assert set(parts["classes"]) == {"errors", "train", "validation", "test", "unused"}
    assert by_name["polygones de référence, par classe"]["classes"][MARKUP] == MARKUP
    assert seen["shown"][:2] == ["polygones de référence, par partie", "occupation du sol"]
    assert [one[0] for one in seen["tree"]] == ["Vérité terrain", "Carte finalisée", "Carte", "Qualité", "Images"]


@pytest.fixture
def finished_run(finished, tmp_path):
    return finished().copied(tmp_path / "run")


def test_layers_in_the_run_are_relative_and_imagery_is_absolute(finished, finished_run):
    project = project_of(finished_run)
    sources = {one.findtext("datasource") for one in document(project).iter("maplayer")}
    assert sources == {"../map/classes.tif", "../map/confidence.tif", "./reference.gpkg", "./s2.vrt"}
    (named,) = {one.text for one in ElementTree.parse(finished_run / "qgis/s2.vrt").iter("SourceFilename")}
    assert named == str(finished().recipe.parent / "s2/red.tif")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_colours_of_probabilities_end_at_1_in_every_data_type(finished, tmp_path, dtype):
    out = finished(more='layers = ["classes", "confidence", "probabilities", "validity"]').copied(tmp_path / "run")
    path = out / "map/probabilities.tif"
    with rasterio.open(path) as file:
        values, profile, names = file.read(), file.profile, file.descriptions
    if dtype == "uint16":
        profile |= {"driver": "GTiff", "dtype": dtype, "nodata": 65535}
        with rasterio.open(path, "w", **profile) as file:
            file.write(values.astype(dtype) * 100)
            file.scales, file.descriptions = [0.0001] * len(names), names
    layers = [
        one for one in document(project_of(out)).iter("maplayer") if one.findtext("datasource").endswith(path.name)
    ]
    assert len(layers) == 3
    assert {one.find(".//rasterrenderer").get("classificationMax") for one in layers} == {"1"}


def test_reference_polygons_have_their_part_and_their_errors(finished_run):
    project_of(finished_run)
    table = pyogrio.read_dataframe(finished_run / "qgis/reference.gpkg")
    assert set(table.part) == {"train", "validation", "test"}
    assert (table.tested[table.part == "test"] > 0).all()
    assert (table.tested[table.part != "test"] == 0).all()
    assert len(table) == 15
    assert (table.wrong <= table.tested).all()


def test_a_missing_layer_is_left_out_and_reported(finished_run):
    (finished_run / "map/confidence.tif").unlink()
    told = Told()
    project = project_of(finished_run, progress=told)
    assert "confidence" not in titles(project)
    assert "land cover" in titles(project)
    assert told.words == ["tiny: " + sentence("view_moved_layer", "en", layer="confidence", file="confidence.tif")]


def test_a_project_whose_polygons_cannot_be_written_is_not_written(finished_run, monkeypatch):
    (finished_run / "qgis/project.qgz").unlink(missing_ok=True)

    def full(*_, **__):
        raise RuntimeError("database or disk is full")

    monkeypatch.setattr("pyogrio.raw.write", full)
    with pytest.raises(FinishError, match=r"reference\.gpkg cannot be written"):
        project_of(finished_run)
    assert not (finished_run / "qgis/project.qgz").exists()


def test_the_files_of_a_site_stay_in_the_folder_of_the_project(finished_run):
    """The name of a recipe may have separators."""
    viewed = open_viewed(finished_run)
    sites = [replace(viewed, name=f"../../two/sites-{site}", site=site) for site in ("north", "south")]
    before = set(finished_run.parent.rglob("*"))
    project = write_project(sites, "two/sites", True, Told())
    new = set(finished_run.parent.rglob("*")) - before
    assert len({path for path in new if path.is_dir()}) == 2
    assert all(path.is_relative_to(project.parent) for path in new)


def test_an_unfinished_run_has_imagery_and_polygons(finished_run):
    for name in ("map", "splits", "qgis"):
        shutil.rmtree(finished_run / name)
    told = Told()
    project = project_of(finished_run, progress=told)
    assert [title[:3] for title in titles(project)] == ["ref", "ref", "s2,"]
    assert told.words == [f"tiny: {sentence(key, 'en')}" for key in ("view_no_map", "view_no_score")]


def test_a_recipe_that_moved_leaves_the_map(finished, finished_run, tmp_path):
    record = json.loads((finished_run / "provenance.json").read_text())
    (finished_run / "provenance.json").write_text(json.dumps(record | {"recipe": str(tmp_path / "gone.toml")}))
    told = Told()
    assert titles(project_of(finished_run, progress=told)) == ["land cover", "confidence"]
    assert "gone.toml" in told.words[0]
    assert len(titles(project_of(finished_run, recipe=finished().recipe))) == 5


@pytest.mark.slow
def test_imagery_that_is_gone_is_reported(landscape, recipe, tmp_path):
    run(read_recipe(recipe()), tmp_path / "run")
    (landscape / "s2/red.tif").unlink()
    told = Told()
    project = project_of(tmp_path / "run", progress=told)
    assert titles(project) == [
        "reference polygons, by part",
        "reference polygons, by class",
        "land cover",
        "confidence",
    ]
    assert any("red.tif" in word for word in told.words)


def test_a_project_that_qgis_saved_is_kept(finished, finished_run, capsys):
    project = project_of(finished_run)
    first = project.read_bytes()
    assert project_of(finished_run).read_bytes() == first
    with zipfile.ZipFile(project, "w") as archive:
        archive.writestr("project.qgs", "<qgis/>")
    mine = project.read_bytes()
    with pytest.raises(RunFolderError, match="saved by QGIS"):
        project_of(finished_run)
    told = Told()
    run(read_recipe(finished().recipe), finished_run, ("report",), told)
    assert project.read_bytes() == mine
    assert any("--overwrite" in word for word in told.words)
    assert main(["qgis", str(finished_run), "--overwrite"]) == 0
    assert project.read_bytes() == first
    assert capsys.readouterr().out == f"project: {project}\n"


def test_a_folder_without_anything_to_open_is_one_line(tmp_path, capsys):
    assert main(["qgis", str(tmp_path / "nothing")]) == 1
    assert "does not exist" in capsys.readouterr().err


def series(*acquisitions: Acquisition) -> Picture:
    source = Source("s2", SimpleNamespace(), acquisitions)
    return Picture(SimpleNamespace(source=source, grid=source.grid))


def test_tiles_of_a_date_are_one_picture_with_the_preferred_tile_on_top(tmp_path):
    pixels = fake_pixels(0, 2, 1, 20, 30)
    pixels[0, :, 5:8, 5:8] = 0
    east = Place(corner=(CORNER[0] + 200, CORNER[1] - 40))
    first = write_raster(tmp_path / "a.tif", pixels[0], nodata=0)
    second = write_raster(tmp_path / "b.tif", pixels[1], east, nodata=0)
    files = ({"nir": BandFile(path, 1, Decoding(0.0001))} for path in (first, second))
    tiles = [Acquisition(datetime(2022, 5, 1), named, date="20220501") for named in files]
    layer = picture_layer("s2", series(*tiles), tmp_path, LEGEND, True)
    assert (layer.title, layer.path) == ("s2, 2022-05-01", tmp_path / "s2.vrt")
    with rasterio.open(layer.path) as picture:
        found = picture.read(1)
        assert (picture.shape, picture.nodata, picture.descriptions) == ((24, 50), 0, ("nir",))
    expected = np.zeros((24, 50), np.float32)
    expected[4:, 20:] = pixels[1, 0]
    expected[:20, :30] = np.where(pixels[0, 0] > 0, pixels[0, 0], expected[:20, :30])
    np.testing.assert_array_equal(found, expected)


def test_a_special_value_is_without_data_where_nothing_else_is(tmp_path):
    """The border of a Sentinel-1 product is 0, which no file declares; a picture with it hides what is below."""
    pixels = fake_pixels(0, 1, 1, 20, 30)
    pixels[0, :, :, :10] = 0
    west = BandFile(write_raster(tmp_path / "a.tif", pixels[0]), 1, Decoding(special=(0.0,), decibel="amplitude"))
    below = BandFile(write_raster(tmp_path / "b.tif", pixels[0] + 7), 1, Decoding(special=(0.0,), decibel="amplitude"))
    tiles = [Acquisition(datetime(2022, 5, 1), {"vv": file}, date="20220501") for file in (west, below)]
    layer = picture_layer("s1", series(*tiles), tmp_path, LEGEND, True)
    with rasterio.open(layer.path) as picture:
        found = picture.read(1)
        assert picture.nodata == 0
    np.testing.assert_array_equal(found, np.where(pixels[0, 0] > 0, pixels[0, 0], 7))


def test_a_picture_has_the_data_type_of_the_bands_shown(tmp_path):
    """A VRT of a Byte SCL and a UInt16 red band: 3000 is not cut off at 255."""
    write_raster(tmp_path / "scl.tif", np.full((1, 20, 30), 4, np.uint8))
    write_raster(tmp_path / "red.tif", np.arange(3000, 3600, dtype=np.uint16).reshape(1, 20, 30))
    with rasterio.open(tmp_path / "red.tif") as file:
        place = ", ".join(map(str, file.transform.to_gdal()))
    bands = "".join(
        f'<VRTRasterBand dataType="{kind}" band="{i}"><SimpleSource><SourceFilename relativeToVRT="1">{name}.tif</SourceFilename>'
        "<SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"
        for i, (kind, name) in enumerate((("Byte", "scl"), ("UInt16", "red")), start=1)
    )
    path = tmp_path / "mixed.vrt"
    path.write_text(
        '<VRTDataset rasterXSize="30" rasterYSize="20"><SRS>EPSG:32740</SRS>'
        f"<GeoTransform>{place}</GeoTransform>{bands}</VRTDataset>"
    )
    taken = Acquisition(datetime(2022, 5, 1), {"red": BandFile(path, 2)})
    layer = picture_layer("s2", series(taken), tmp_path, LEGEND, True)
    with rasterio.open(layer.path) as picture:
        assert picture.dtypes == ("uint16",)
        assert (picture.read(1).min(), picture.read(1).max()) == (3000, 3599)


def test_a_file_with_rows_from_south_to_north_is_shown_the_right_way_up(tmp_path):
    values = np.arange(1, 601, dtype=np.float32).reshape(1, 20, 30)
    up = write_raster(tmp_path / "up.tif", values)
    with rasterio.open(up) as file:
        profile = file.profile | {
            "transform": file.transform @ rasterio.Affine.translation(0, 20) @ rasterio.Affine.scale(1, -1)
        }
    with rasterio.open(tmp_path / "down.tif", "w", **profile) as file:
        file.write(values[:, ::-1])
    taken = Acquisition(datetime(2022, 5, 1), {"nir": BandFile(tmp_path / "down.tif", 1)})
    layer = picture_layer("s2", series(taken), tmp_path, LEGEND, True)
    with rasterio.open(layer.path) as picture:
        found = picture.read(1).astype(float)
        assert (picture.shape, picture.transform.e) == ((20, 30), -10)
    assert np.corrcoef(found.ravel(), values.ravel())[0, 1] > 0.99


def test_a_source_that_is_derived_has_a_reduced_picture(finished, tmp_path):
    scene = open_scene(read_recipe(finished().recipe))
    cube = scene.cubes["s2"]
    pan = SimpleNamespace(
        name="sharp", bands=("nir", "red", "green"), days=np.zeros(1, np.int32),
        read=lambda grid, window, resampling: (fake_pixels(0, 1, 3, *grid.shape), np.ones((1, *grid.shape), bool)),
    )  # fmt: skip
    layer = picture_layer("a/b", Picture(replace(cube, source=pan)), tmp_path, LEGEND, False)
    assert (layer.path.parent, layer.path.suffix) == (tmp_path, ".tif")
    with rasterio.open(layer.path) as picture:
        found = picture.read()
        assert (picture.count, picture.shape, picture.transform) == (3, cube.grid.shape, cube.grid.transform)
    values = fake_pixels(0, 1, 3, *cube.grid.shape)[0]
    rank = [np.corrcoef(found[k].ravel(), values[k].ravel())[0, 1] for k in range(3)]
    assert min(rank) > 0.98
    other = SimpleNamespace(name="regions", bands=("region",), days=np.zeros(1, np.int32))
    assert picture_layer("regions", Picture(replace(cube, source=other)), tmp_path, LEGEND, False) is None


def test_the_project_of_a_map_without_a_run(finished, tmp_path):
    shutil.copytree(finished().out / "map", tmp_path / "delivered")
    project = project_of(tmp_path / "delivered")
    assert titles(project) == ["land cover", "confidence"]
    assert RunLayout(tmp_path / "delivered").qgis.project == project


@pytest.mark.parametrize("delivery", ["safe", "theia"])
def test_pictures_of_products_show_the_scene(lands, tmp_path, delivery):
    scene = open_scene(read_recipe(lands[delivery] / "demo.toml"))
    for name, picture in Pictures.of(scene).by_source.items():
        layer = picture_layer(name, picture, tmp_path, LEGEND, True)
        west, south, east, north = scene.grid.bounds
        with rasterio.open(layer.path) as file:
            assert (file.count, file.crs.to_epsg()) == (len(picture.bands), scene.grid.crs.epsg)
            (centre,) = file.sample([((west + east) / 2, (south + north) / 2)], masked=True)
            assert not np.ma.getmaskarray(centre).any(), name
            assert file.name.endswith(".vrt")
