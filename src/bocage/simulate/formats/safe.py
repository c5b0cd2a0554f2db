"""Sentinel-2 L2A in the format of ESA: SAFE folders with JPEG 2000 images; baseline 04.00, with offset, from 25 January 2022."""

from datetime import datetime
from pathlib import Path

import numpy as np

from bocage.grid import Grid, Ratio
from bocage.progress import Progress
from bocage.simulate.formats.plain import (
    CODES,
    Plain,
    Tile,
    by_tile,
    halved,
    write_raster,
    xml,
)
from bocage.simulate.sensors import S2_20M

SENSOR = "s2"
OFFSET, SINCE = -1000, datetime(2022, 1, 25)
"""Reflectance offset in stored units, and first day of products with this offset."""


def section() -> str:
    """Return the recipe section of the sources."""
    return '[sources.s2]\nsensor = "sentinel2_l2a"\npath = "s2"\nclear = [4]\n'


def write(plain: Path, folder: Path, progress: Progress) -> None:
    """Write one SAFE folder per tile and date."""
    by_tile(plain, folder, _product, "writing SAFE products", progress)


def _product(rasters: Plain, date: int, moment: datetime, tile: Tile, fine: Grid, folder: Path) -> None:
    offset, baseline = (OFFSET, "0400") if moment >= SINCE else (0, "0301")
    stamp = f"{moment:%Y%m%dT%H%M%S}"
    root = folder / f"S2A_MSIL2A_{stamp}_N{baseline}_R077_T{tile.name}_{moment:%Y%m%d}T101500.SAFE"
    granule = root / "GRANULE" / f"L2A_T{tile.name}_A034000_{stamp}"
    coarse = Ratio(coarser=2).grid(fine)
    for band, code in CODES.items():
        gsd, window, grid = (20, halved(tile.window), coarse) if band in S2_20M else (10, tile.window, fine)
        stored = np.clip(rasters.layer(band, date, window).astype(np.int32) - offset, 1, 65534).astype(np.uint16)
        path = granule / "IMG_DATA" / f"R{gsd}m" / f"T{tile.name}_{stamp}_{code}_{gsd}m.jp2"
        write_raster(path, stored[None], grid.crop(window))
    window = halved(tile.window)
    scl = granule / "IMG_DATA" / "R20m" / f"T{tile.name}_{stamp}_SCL_20m.jp2"
    write_raster(scl, rasters.layer("quality", date, window)[None], coarse.crop(window))
    (granule / "MTD_TL.xml").write_text(_tile(root.name, moment, fine.crop(tile.window)), encoding="utf-8")
    (root / "MTD_MSIL2A.xml").write_text(
        _product_metadata(root.name, moment, baseline, offset, granule), encoding="utf-8"
    )


def _tile(name: str, moment: datetime, grid: Grid) -> str:
    west, _, _, north = grid.bounds
    sizes = "".join(
        f'<Size resolution="{10 * k}"><NROWS>{grid.shape[0] // k}</NROWS><NCOLS>{grid.shape[1] // k}</NCOLS></Size>'
        f'<Geoposition resolution="{10 * k}"><ULX>{west:.0f}</ULX><ULY>{north:.0f}</ULY><XDIM>{10 * k}</XDIM><YDIM>-{10 * k}</YDIM></Geoposition>'
        for k in (1, 2)
    )
    return xml(f"""<n1:Level-2A_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">
<n1:General_Info><TILE_ID metadataLevel="Brief">{name}</TILE_ID><SENSING_TIME metadataLevel="Standard">{moment:%Y-%m-%dT%H:%M:%S}.000Z</SENSING_TIME></n1:General_Info>
<n1:Geometric_Info><Tile_Geocoding metadataLevel="Brief"><HORIZONTAL_CS_NAME>WGS84 / UTM</HORIZONTAL_CS_NAME>
<HORIZONTAL_CS_CODE>EPSG:{grid.crs.epsg}</HORIZONTAL_CS_CODE>{sizes}</Tile_Geocoding>
<Tile_Angles metadataLevel="Standard"><Mean_Sun_Angle><ZENITH_ANGLE unit="deg">35.2</ZENITH_ANGLE><AZIMUTH_ANGLE unit="deg">48.1</AZIMUTH_ANGLE></Mean_Sun_Angle></Tile_Angles>
</n1:Geometric_Info></n1:Level-2A_Tile_ID>
""")


def _product_metadata(name: str, moment: datetime, baseline: str, offset: int, granule: Path) -> str:
    offsets = "".join(f'<BOA_ADD_OFFSET band_id="{i}">{offset}</BOA_ADD_OFFSET>' for i in range(13))
    listed = f"<BOA_ADD_OFFSET_VALUES_LIST>{offsets}</BOA_ADD_OFFSET_VALUES_LIST>" if offset else ""
    images = "".join(
        f"<IMAGE_FILE>{p.relative_to(granule.parents[1]).with_suffix('').as_posix()}</IMAGE_FILE>"
        for p in sorted(granule.rglob("*.jp2"))
    )
    when = f"{moment:%Y-%m-%dT%H:%M:%S}"
    return xml(f"""<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">
<n1:General_Info><Product_Info><PRODUCT_START_TIME>{when}.024Z</PRODUCT_START_TIME><PRODUCT_STOP_TIME>{when}.024Z</PRODUCT_STOP_TIME>
<PRODUCT_URI>{name}</PRODUCT_URI><PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL><PRODUCT_TYPE>S2MSI2A</PRODUCT_TYPE>
<PROCESSING_BASELINE>{baseline[:2]}.{baseline[2:]}</PROCESSING_BASELINE><GENERATION_TIME>{when}.000Z</GENERATION_TIME>
<Datatake datatakeIdentifier="GS2A_{moment:%Y%m%dT%H%M%S}_034000_N{baseline[:2]}.{baseline[2:]}"><SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME>
<DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE><DATATAKE_SENSING_START>{when}.024Z</DATATAKE_SENSING_START>
<SENSING_ORBIT_NUMBER>77</SENSING_ORBIT_NUMBER></Datatake>
<Product_Organisation><Granule_List><Granule granuleIdentifier="{granule.name}" imageFormat="JPEG2000">{images}</Granule></Granule_List></Product_Organisation>
</Product_Info><Product_Image_Characteristics>
<Special_Values><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>0</SPECIAL_VALUE_INDEX></Special_Values>
<Special_Values><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_INDEX>65535</SPECIAL_VALUE_INDEX></Special_Values>
<QUANTIFICATION_VALUES_LIST><BOA_QUANTIFICATION_VALUE unit="none">10000</BOA_QUANTIFICATION_VALUE></QUANTIFICATION_VALUES_LIST>
{listed}</Product_Image_Characteristics></n1:General_Info>
<n1:Quality_Indicators_Info><Cloud_Coverage_Assessment>30.0</Cloud_Coverage_Assessment></n1:Quality_Indicators_Info>
</n1:Level-2A_User_Product>
""")
