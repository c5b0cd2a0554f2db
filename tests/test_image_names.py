"""Names that other programs give to images: a folder per band, forms of dates, bands, masks; what ``bocage init`` makes of them."""

import numpy as np
import pytest

from bocage.sources.inventory import look
from bocage.testing import Place, write_raster
from bocage.testing.fakes import CORNER

DAYS = ("20220103", "20220412", "20220720")
SIZE = 40


CHANCE = np.random.default_rng(1)


def pixels(bands=1, low=300, high=4000, dtype=np.uint16, size=SIZE):
    return CHANCE.uniform(low, high, (bands, size, size)).astype(dtype)


def codes(size=SIZE):
    return np.random.default_rng(2).choice(np.array([4, 5, 9], np.uint8), (1, size, size))


def the_only(found):
    """Return the only source: a series."""
    assert not found.images
    (series,) = found.series.values()
    return series


# --- a folder per band
@pytest.mark.parametrize(
    ("folders", "name"),
    [
        (("B04", "B08", "SCL"), "{day}"),
        (("band_red", "band_nir", "cloudmask"), "img_{day}"),
        (("red/10m", "nir/10m", "scl/10m"), "{day}_{folder}"),
        (("R4/B04", "R4/B08", "R4/SCL"), "S2_{day}_{size}m"),
    ],
)
def test_a_folder_per_band_is_one_series_with_its_mask(tmp_path, folders, name):
    for folder, layer in zip(folders, (pixels(), pixels(), codes(SIZE // 2)), strict=True):
        gsd = 20 if layer.dtype == np.uint8 else 10
        for day in DAYS:
            stem = name.format(day=day, folder=folder.split("/")[0], size=gsd)
            write_raster(tmp_path / f"images/{folder}/{stem}.tif", layer, Place(gsd))
    series = the_only(look(tmp_path / "images"))
    assert set(series.variables) == {"red", "nir"}
    assert folders[2] in series.quality
    assert len(series.places) == 3


def test_folders_of_years_sites_and_sensors_are_no_bands(tmp_path):
    for year in ("2021", "2022"):
        write_raster(tmp_path / f"years/{year}/NDVI_{year}0103.tif", pixels())
    for k, site in enumerate(("north", "south")):
        for day in DAYS:
            place = Place(corner=(CORNER[0] + 5000 * k, CORNER[1]))
            write_raster(tmp_path / f"sites/{site}/{day}.tif", pixels(), place)
            write_raster(tmp_path / f"sensors/{('pan', 'ms')[k]}/{day}.tif", pixels(1 + 3 * k))
    assert [set(s.variables) for s in look(tmp_path / "years").series.values()] == [{"ndvi"}] * 2
    assert list(look(tmp_path / "sites").series) == ["north", "south"]
    assert list(look(tmp_path / "sensors").series) == ["ms", "pan"]


def test_a_mask_in_a_folder_beside_images_of_several_bands(tmp_path):
    for day in DAYS:
        write_raster(tmp_path / f"S2/{day}.tif", pixels(4), descriptions=["blue", "green", "red", "nir"])
        write_raster(tmp_path / f"SCL/{day}.tif", codes())
    series = the_only(look(tmp_path))
    assert series.bands == ("blue", "green", "red", "nir")
    assert series.quality.endswith("SCL/{date}.tif")
