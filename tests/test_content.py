"""What a source reads has a digest: results of other dates, other roles of the files, or other masks are not taken for current."""

from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine

from bocage.grid import Grid
from bocage.scene import Preparation, make_scene
from bocage.scene.temperatures import Temperatures
from bocage.sources import history, open_source, series, stac, table
from bocage.sources.base import Acquisition, BandFile, Cover
from bocage.sources.placement import nests
from bocage.sources.source import Source
from bocage.testing import write_raster


def content(source):
    return make_scene(source.grid, [source], {source.name: Preparation()}).cubes[source.name].content


def opened(**settings):
    return open_source("s2", series, series.Settings(**settings))


def stack(path, value=1):
    return write_raster(path, np.stack([np.full((4, 5), value + k, np.uint16) for k in range(3)]))


def test_other_dates_of_the_same_files(tmp_path):
    red, dates = stack(tmp_path / "red.tif"), tmp_path / "dates.csv"
    dates.write_text("date\n2021-01-01\n2021-03-01\n2021-06-01\n")
    before = content(opened(variables={"red": red}, dates=dates))
    assert content(opened(variables={"red": red}, dates=dates)) == before
    dates.write_text("date\n2022-01-01\n2022-04-01\n2022-07-01\n")
    assert content(opened(variables={"red": red}, dates=dates)) != before


def test_files_of_one_name_that_are_exchanged(tmp_path):
    for folder, value in (("B04", 1), ("B08", 5)):
        write_raster(tmp_path / folder / "20210101.tif", np.full((1, 4, 5), value, np.uint16))
    paths = [tmp_path / folder / "{date}.tif" for folder in ("B04", "B08")]
    one, other = (opened(variables={"red": first, "nir": second}) for first, second in (paths, paths[::-1]))
    assert content(one) != content(other)
    assert one.described != other.described


def of_a_catalogue(red, nir):
    """A date whose files are in the cache of a STAC catalogue."""
    files = {"red": BandFile(red, 1), "nir": BandFile(nir, 1)}
    return Source("s2", stac, (Acquisition(datetime(2021, 1, 1), files, date="20210101", details={"item": "a"}),))


def test_an_item_that_is_processed_again_with_the_same_pixels_has_the_same_content(tmp_path):
    """The name of a file in the cache contains the time of the item and the version on the server."""
    red, nir = (stack(tmp_path / f"{name}-0a1b.tif", value) for name, value in (("B04", 1), ("B08", 5)))
    before, exchanged = content(of_a_catalogue(red, nir)), content(of_a_catalogue(nir, red))
    assert exchanged != before, "red as near infrared"
    again = [path.rename(tmp_path / f"{path.name[:3]}-{key}.tif") for path, key in ((red, "ffff"), (nir, "0000"))]
    assert content(of_a_catalogue(*again)) == before
    assert content(of_a_catalogue(*again[::-1])) == exchanged
    stack(again[0], 2)
    assert content(of_a_catalogue(*again)) != before


def test_dates_of_one_name_that_are_exchanged(tmp_path):
    for folder, value in (("20210101", 1), ("20210301", 5)):
        write_raster(tmp_path / folder / "red.tif", np.full((1, 4, 5), value, np.uint16))
    before = content(opened(variables={"red": tmp_path / "{date}" / "red.tif"}))
    (tmp_path / "20210101").rename(tmp_path / "kept")
    (tmp_path / "20210301").rename(tmp_path / "20210101")
    (tmp_path / "kept").rename(tmp_path / "20210301")
    assert content(opened(variables={"red": tmp_path / "{date}" / "red.tif"})) != before


def test_a_folder_that_is_moved_has_the_same_content(tmp_path):
    for folder in ("B04", "B08"):
        write_raster(tmp_path / "here" / folder / "20210101.tif", np.full((1, 4, 5), 3, np.uint16))

    def found(name):
        return content(
            opened(variables={"red": tmp_path / name / "B04/{date}.tif", "nir": tmp_path / name / "B08/{date}.tif"})
        )

    before = found("here")
    (tmp_path / "here").rename(tmp_path / "there")
    assert found("there") == before


def test_years_of_a_history_that_are_exchanged(tmp_path):
    paths = [
        write_raster(tmp_path / year / "map.tif", np.full((1, 4, 5), k + 1, np.uint8), nodata=0)
        for k, year in enumerate(("2020", "2021"))
    ]
    one, other = (
        open_source(
            "old",
            history,
            history.Settings(rasters=dict(zip(("2020", "2021"), order, strict=True)), classes={"a": (1,), "b": (2,)}),
        )
        for order in (paths, paths[::-1])
    )
    assert one.described != other.described


def test_tables_of_one_name_that_are_exchanged(tmp_path):
    """The temperatures of two places, each in a file of the same name, in the wrong order."""
    tables = [tmp_path / place / "temperature.csv" for place in ("here", "there")]
    for path, celsius in zip(tables, (19, 9), strict=True):
        path.parent.mkdir()
        days = np.arange("2021-01-01", "2022-01-01", dtype="datetime64[D]")
        path.write_text("\n".join(["date,temperature", *(f"{day},{celsius}" for day in days)]))
    source = opened(variables={"red": stack(tmp_path / "red.tif")}, dates=("2021-01-01", "2021-03-01", "2021-06-01"))
    one, other = (
        make_scene(source.grid, [source], {"s2": Preparation(temperatures=Temperatures(*order))}).cubes["s2"]
        for order in (tables, tables[::-1])
    )
    assert one.clock.tolist() != other.clock.tolist()
    assert one.content != other.content


def test_another_cloud_mask_of_a_product(tmp_path):
    source = opened(variables={"red": stack(tmp_path / "red.tif")}, dates=("2021-01-01", "2021-03-01", "2021-06-01"))
    corners = [(300_000 + 10 * k, 7_650_000 + 3 * k * k) for k in range(30)]
    masks = [shapely.Polygon(corners), shapely.Polygon([*corners[:-1], (300_400, 7_660_000)])]
    with_masks = [
        replace(source, acquisitions=tuple(replace(a, hidden=Cover("EPSG:32740", mask)) for a in source.acquisitions))
        for mask in masks
    ]
    assert repr(masks[0]) == repr(masks[1]), "the text of a geometry is cut off"
    assert with_masks[0].described != with_masks[1].described


@pytest.mark.parametrize("changed", [{"bands": {"ndvi": "smooth"}}, {"valid": "clear"}])
def test_another_column_of_a_table(tmp_path, changed):
    rows = {
        "id": ["a", "a"],
        "day": ["2021-01-01", "2021-03-01"],
        "raw": [0.1, 0.2],
        "smooth": [0.7, 0.8],
        "clear": [1, 0],
    }
    pd.DataFrame(rows).to_csv(tmp_path / "s.csv", index=False)
    settings = table.Settings(tmp_path / "s.csv", "id", {"ndvi": "raw"}, date="day")
    one, other = (open_source("s2", table, given) for given in (settings, replace(settings, **changed)))
    assert one.described != other.described


def test_pixels_that_are_not_square_do_not_nest():
    """Rows of 10.009 m: after 1000 rows, the nearest row of a grid of 10 m would be the wrong one."""
    first, shape = Affine(10, 0, 300_000, 0, -10, 7_650_000), (1000, 20)
    target, file = (Grid.of("EPSG:32740", first @ Affine.scale(1, high), shape) for high in (1, 1.0009))
    assert nests(file, target) is None
    assert nests(target, target) == 1
