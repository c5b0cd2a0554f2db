"""Labels that are a raster of class codes: their areas as polygons, and a run with them."""

import json

import numpy as np
import pytest
import rasterio
import shapely

from bocage.errors import SamplesError
from bocage.jobs.check import check
from bocage.jobs.init import write_recipe
from bocage.jobs.run import run
from bocage.legend import LandClass, Legend
from bocage.recipe import read_recipe
from bocage.samples.rasterise import rasterise
from bocage.samples.reference import Reference, fingerprint_reference, labelled_features, read_features
from bocage.sources import areas
from bocage.sources.areas import areas_of
from bocage.sources.raster import inspect
from bocage.testing import write_raster
from conftest import written

CODES = np.array(
    [
        [1, 1, 0, 2, 2],
        [1, 0, 2, 0, 2],
        [3, 3, 3, 3, 3],
        [3, 9, 9, 9, 3],
    ],
    np.uint8,
)


def test_connected_pixels_of_one_code_are_an_area(tmp_path):
    found = areas_of(write_raster(tmp_path / "codes.tif", CODES[None]))
    pixels = {
        (code, round(polygon.area / 100)) for polygon, code in zip(found.polygons, found.codes.tolist(), strict=True)
    }
    assert pixels == {(1, 3), (2, 1), (2, 3), (3, 7), (9, 3)}, "0 is no code, and corners do not connect"
    declared = areas_of(write_raster(tmp_path / "declared.tif", CODES[None], nodata=9))
    assert sorted(set(declared.codes.tolist())) == [0, 1, 2, 3]


@pytest.mark.parametrize("band", [1, 4])
def test_the_last_of_four_years_of_codes_is_no_alpha_band(tmp_path, band):
    """GDAL declares the fourth band of an 8-bit raster as alpha. Its 0 is a code here, as nodata is 255."""
    years = np.stack([CODES, CODES, CODES, (CODES == 3).astype(np.uint8)])
    path = write_raster(tmp_path / "years.tif", years, nodata=255)
    assert inspect(path).alpha == 4
    found = areas_of(path, str(band))
    assert set(found.codes.tolist()) == set(np.unique(years[band - 1]).tolist())
    assert sum(polygon.area for polygon in found.polygons) == 100 * CODES.size


def test_pixels_get_the_codes_of_the_raster_and_large_areas_are_cut(tmp_path, monkeypatch):
    monkeypatch.setattr(areas, "FEWEST", 4)
    monkeypatch.setattr(areas, "SIDE", 40.0)
    codes = np.kron(np.array([[1, 2], [2, 2]]), np.ones((8, 9))).astype(np.int16)
    codes[3, 3] = 5
    path = write_raster(tmp_path / "codes.tif", codes[None])
    legend = Legend(tuple(LandClass(k, f"class {k}") for k in (1, 2, 5)))
    table, rejections = labelled_features(Reference(path, "code"), legend)
    pixels, _ = rasterise(table, inspect(path).grid, legend)
    again = np.zeros_like(codes)
    again[pixels.row, pixels.column] = np.array([1, 2, 5])[pixels.label]
    assert np.array_equal(again, codes)
    assert not rejections
    assert table.geometry.area.max() <= 1600
    assert (table.label == 1).sum() > 3


@pytest.mark.parametrize(
    ("bands", "band", "message"),
    [
        (np.stack([CODES, CODES]), "", "has 2 bands: 1, 2. Name one by its number: layer of"),
        (CODES[None], "3", "has no band '3'. Its bands: 1"),
        (CODES[None] + np.float32(0.5), "", "the value 1.5 is no class code, which is a whole number up to 2147483647"),
        (CODES[None] + np.uint32(4_000_000_000), "", "the value 4000000001 is no class code"),
        (
            np.where(CODES, CODES, np.float32(-3e9))[None],
            "",
            "the value -3000000000 is no class code.*Declare it as nodata",
        ),
    ],
)
def test_rasters_that_are_no_labels_are_said(tmp_path, bands, band, message):
    path = write_raster(tmp_path / "codes.tif", bands)
    with pytest.raises(SamplesError, match=message):
        read_features(Reference(path, "code", layer=band))


def test_a_fill_value_that_is_not_declared_is_no_label(tmp_path):
    path = write_raster(tmp_path / "codes.tif", np.where(CODES, CODES, np.float32(-3.4e38))[None])
    assert set(read_features(Reference(path, "code")).code) == set(np.unique(CODES[CODES != 0]))


def test_a_raster_that_is_too_large_or_empty_is_said(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "codes.tif", CODES[None] * 0)
    with pytest.raises(SamplesError, match="contains no pixel with a class code"):
        read_features(Reference(path, "code"))
    monkeypatch.setattr(areas, "MOST", 10)
    with pytest.raises(SamplesError, match="has 4 x 5 pixels, and labels may have 10 pixels. Crop the raster"):
        read_features(Reference(path, "code"))


def test_the_digest_of_a_raster_follows_its_pixels_and_its_mask(tmp_path):
    path = write_raster(tmp_path / "codes.tif", CODES[None])
    reference = Reference(path, "code")
    digests = [fingerprint_reference(reference)]
    with rasterio.open(path, "r+") as dataset:
        dataset.write_mask(CODES != 9)
    digests.append(fingerprint_reference(reference))
    assert 9 not in read_features(reference).code.to_list()
    write_raster(path, CODES[None] + 1)
    digests.append(fingerprint_reference(reference))
    path.unlink()
    assert len({*digests, fingerprint_reference(reference)}) == 4


def fields_of(landscape):
    """Write a raster of labels, fields of 5 x 5 pixels in the stripes of the landscape, and return its path."""
    with rasterio.open(landscape / "truth.tif") as truth:
        whole = truth.read(1)
    codes = np.zeros_like(whole)
    for row in range(2, 40, 8):
        for column in range(3, 48, 9):
            field = slice(row, row + 5), slice(column, column + 5)
            codes[field] = np.where((whole[field] == whole[field][0, 0]).all(), whole[field], 0)
    (landscape / "truth.tif").unlink()
    return write_raster(landscape / "landcover.tif", codes[None])


def test_init_takes_a_raster_of_labels_from_the_folder_of_the_images(landscape):
    labels = fields_of(landscape)
    (landscape / "s2/quality.tif").unlink()
    write_recipe(landscape, labels, "", landscape / "mine.toml")
    recipe = read_recipe(landscape / "mine.toml")
    assert "landcover" not in recipe.sources
    assert recipe.legend.codes == (1, 2, 3)
    assert "code = 1" in (landscape / "mine.toml").read_text()
    assert [finding for finding in check(landscape / "mine.toml").findings if finding.severity == "error"] == []


@pytest.mark.slow
def test_a_run_with_a_raster_of_labels(landscape):
    labels, out = fields_of(landscape), landscape / "run"
    run(read_recipe(written(landscape, **{"reference.gpkg": labels.name})), out)
    assert json.loads((out / "score.json").read_text())["overall_accuracy"]["mean"] > 0.9
    outlines = read_features(Reference(labels, "code")).geometry
    assert set(shapely.area(outlines.to_numpy())) == {2500.0}
