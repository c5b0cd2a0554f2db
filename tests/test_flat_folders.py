"""Several products in one folder, as an unpacked delivery often has them: each keeps its own files."""

import re
import shutil
from pathlib import Path

from bocage.simulate import FORMATS
from bocage.sources import landsat_c2l2, spot67
from bocage.sources.raster import inspect

OLD, NEW = "202204080631045_ORT_1234567101", "202208080631045_ORT_1234567101-001"


def _two_dates(lands: dict[str, Path], folder: Path) -> Path:
    """Copy the MS product of SPOT twice into one folder, the second one of August and with a cloud over the western half."""
    (product,) = (lands["spot67"] / FORMATS["spot67"].SENSOR).glob("*_MS_*")
    for path in [path for path in product.rglob("*") if path.is_file()]:
        for name in (OLD, NEW):
            copy = folder / path.relative_to(product).as_posix().replace(OLD, name)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    (metadata,) = folder.glob(f"DIM_*{NEW}.XML")
    metadata.write_text(metadata.read_text().replace(OLD, NEW).replace("2022-04-08", "2022-08-08"))
    (mask,) = folder.glob(f"MASKS/CLD_*{NEW}_MSK.GML")
    grid = inspect(next(folder.glob(f"IMG_*{NEW}_R1C1.*"))).grid
    west, south, east, north = grid.bounds
    middle = (west + east) / 2
    ring = f"{west} {south} {west} {north} {middle} {north} {middle} {south} {west} {south}"
    cloud = (
        '<eop:maskMembers xmlns:gml="http://www.opengis.net/gml/3.2"><gml:Polygon srsName="urn:ogc:def:crs:EPSG::32740"><gml:exterior>'
        f"<gml:LinearRing><gml:posList>{ring}</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></eop:maskMembers></eop:Mask>"
    )
    mask.write_text(mask.read_text().replace("</eop:Mask>", cloud))
    return folder


def test_the_clouds_of_one_date_do_not_mask_another(lands: dict[str, Path], tmp_path: Path) -> None:
    folder = _two_dates(lands, tmp_path / "flat")
    found = spot67.find(spot67.Settings(folder, image="ms"))
    cloudy = {a.date: a.hidden is not None for a in found}
    assert cloudy == {"20220408": False, "20220808": True}
    assert {a.date: a.details["product"] for a in found} == {
        "20220408": f"SPOT6_MS_{OLD}",
        "20220808": f"SPOT6_MS_{NEW}",
    }


def test_a_mask_that_has_the_name_of_no_product_is_kept(lands: dict[str, Path], tmp_path: Path) -> None:
    folder = _two_dates(lands, tmp_path / "flat")
    (mask,) = folder.glob(f"MASKS/CLD_*{NEW}_MSK.GML")
    mask.rename(mask.with_name("CLD_MSK.GML"))
    assert all(a.hidden for a in spot67.find(spot67.Settings(folder, image="ms")))


def test_the_metadata_file_of_a_product_stands_for_this_product(lands: dict[str, Path], tmp_path: Path) -> None:
    folder = _two_dates(lands, tmp_path / "flat")
    (metadata,) = folder.glob(f"DIM_*{OLD}.XML")
    assert {a.date for a in spot67.find(spot67.Settings(metadata, image="ms"))} == {"20220408"}
    flat = tmp_path / "landsat"
    flat.mkdir()
    for path in (lands["landsat"] / FORMATS["landsat"].SENSOR).rglob("*"):
        if path.is_file() and re.match("L[CE]0", path.name):
            shutil.copy(path, flat / path.name)
    every = {a.date for a in landsat_c2l2.find(landsat_c2l2.Settings(flat))}
    for path in sorted(flat.glob("*_MTL.xml")):
        alone = {a.date for a in landsat_c2l2.find(landsat_c2l2.Settings(path))}
        assert alone == {path.name.split("_")[3]}
        every -= alone
    assert not every
