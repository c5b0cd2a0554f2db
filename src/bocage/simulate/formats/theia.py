"""Sentinel-2 L2A in the format of THEIA: MUSCATE folders with flat reflectance and the masks CLM, MG2, EDG and SAT."""

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
    repeated,
    write_raster,
    xml,
)
from bocage.simulate.sensors import CLOUD, S2_20M, SHADOW

SENSOR = "s2"
NODATA = -10000
CLM = {CLOUD: 1 | 2 | 8, SHADOW: 1 | 32}
"""Quality value to bits of the cloud mask: 1 any cloud or shadow, 2 any cloud, 8 cloud of the multitemporal test, 32 shadow of a
cloud."""
MG2 = {CLOUD: 2, SHADOW: 8}
"""Quality value to bit of the geophysical mask."""


def section() -> str:
    """Return the recipe section of the sources."""
    return '[sources.s2]\nsensor = "sentinel2_theia"\npath = "s2"\n'


def write(plain: Path, folder: Path, progress: Progress) -> None:
    """Write one folder per tile and date."""
    by_tile(plain, folder, _product, "writing THEIA products", progress)


def _product(rasters: Plain, date: int, moment: datetime, tile: Tile, fine: Grid, folder: Path) -> None:
    name = f"SENTINEL2A_{moment:%Y%m%d-%H%M%S}-463_L2A_T{tile.name}_C_V3-0"
    root = folder / name
    coarse = Ratio(coarser=2).grid(fine)
    windows = {"R1": (tile.window, fine), "R2": (halved(tile.window), coarse)}
    for band, code in CODES.items():
        window, grid = windows["R2" if band in S2_20M else "R1"]
        layer = rasters.layer(band, date, window).astype(np.int16)
        number = code.replace("B0", "B")
        write_raster(root / f"{name}_FRE_{number}.tif", layer[None], grid.crop(window), NODATA)
    quality = rasters.layer("quality", date, halved(tile.window))
    for group, (window, grid) in windows.items():
        classes = repeated(quality) if group == "R1" else quality
        for mask, bits in (("CLM", CLM), ("MG2", MG2), ("EDG", {}), ("SAT", {})):
            layer = np.zeros(classes.shape, np.uint8)
            for value, bit in bits.items():
                layer[classes == value] = bit
            write_raster(root / "MASKS" / f"{name}_{mask}_{group}.tif", layer[None], grid.crop(window))
    (root / f"{name}_MTD_ALL.xml").write_text(_metadata(name, moment, tile, fine), encoding="utf-8")


def _groups(grid: Grid) -> str:
    """Return the position of the tile in pixels of 10 m (R1) and of 20 m (R2)."""
    west, _, _, north = grid.bounds
    return "".join(
        f'<Group_Geopositioning group_id="R{k}"><ULX>{west}</ULX><ULY>{north}</ULY><XDIM>{10 * k}</XDIM><YDIM>-{10 * k}</YDIM>'
        f"<NROWS>{grid.shape[0] // k}</NROWS><NCOLS>{grid.shape[1] // k}</NCOLS></Group_Geopositioning>"
        for k in (1, 2)
    )


def _masks(name: str) -> str:
    return "".join(
        f'<MASK><Mask_Properties><NATURE>{nature}</NATURE></Mask_Properties><Mask_File_List><MASK_FILE group_id="{g}">'
        f"./MASKS/{name}_{mask}_{g}.tif</MASK_FILE></Mask_File_List></MASK>"
        for nature, mask in (("Cloud", "CLM"), ("Geophysics", "MG2"), ("Edge", "EDG"), ("Saturation", "SAT"))
        for g in ("R1", "R2")
    )


def _metadata(name: str, moment: datetime, tile: Tile, grid: Grid) -> str:
    groups, masks = _groups(grid.crop(tile.window)), _masks(name)
    images = "".join(
        f'<IMAGE_FILE band_id="{c.replace("B0", "B")}">./{name}_FRE_{c.replace("B0", "B")}.tif</IMAGE_FILE>'
        for c in CODES.values()
    )
    return xml(f"""<Muscate_Metadata_Document>
<Metadata_Identification><METADATA_FORMAT version="1.14">METADATA_MUSCATE</METADATA_FORMAT></Metadata_Identification>
<Dataset_Identification><IDENTIFIER>{name}</IDENTIFIER><AUTHORITY>THEIA</AUTHORITY><PRODUCER>MUSCATE</PRODUCER>
<PROJECT>SENTINEL2</PROJECT><GEOGRAPHICAL_ZONE type="Tile">T{tile.name}</GEOGRAPHICAL_ZONE></Dataset_Identification>
<Product_Characteristics><PRODUCT_ID>{name}</PRODUCT_ID><ACQUISITION_DATE>{moment:%Y-%m-%dT%H:%M:%S}.463Z</ACQUISITION_DATE>
<PRODUCTION_DATE>{moment:%Y-%m-%d}T20:00:00.000Z</PRODUCTION_DATE><PRODUCT_VERSION>3.0</PRODUCT_VERSION>
<PRODUCT_LEVEL>L2A</PRODUCT_LEVEL><PLATFORM>SENTINEL2A</PLATFORM><ORBIT_NUMBER type="Path">77</ORBIT_NUMBER>
<Band_Global_List count="10">{"".join(f"<BAND_ID>{c.replace('B0', 'B')}</BAND_ID>" for c in CODES.values())}</Band_Global_List>
</Product_Characteristics>
<Product_Organisation><Muscate_Product><Image_List><Image><Image_Properties><NATURE>Flat_Reflectance</NATURE><FORMAT>image/tiff</FORMAT>
<ENCODING>int16</ENCODING></Image_Properties><Image_File_List>{images}</Image_File_List></Image></Image_List><Mask_List>{masks}</Mask_List>
</Muscate_Product></Product_Organisation>
<Geoposition_Informations><Coordinate_Reference_System><GEO_TABLES version="1.0">EPSG</GEO_TABLES><Horizontal_Coordinate_System>
<HORIZONTAL_CS_TYPE>PROJECTED</HORIZONTAL_CS_TYPE><HORIZONTAL_CS_CODE>{grid.crs.epsg}</HORIZONTAL_CS_CODE>
</Horizontal_Coordinate_System></Coordinate_Reference_System><Geopositioning><Group_Geopositioning_List>{groups}
</Group_Geopositioning_List></Geopositioning></Geoposition_Informations>
<Geometric_Informations><Mean_Value_List><Sun_Angles><ZENITH_ANGLE unit="deg">35.2</ZENITH_ANGLE><AZIMUTH_ANGLE unit="deg">48.1</AZIMUTH_ANGLE>
</Sun_Angles></Mean_Value_List></Geometric_Informations>
<Radiometric_Informations><REFLECTANCE_QUANTIFICATION_VALUE>10000</REFLECTANCE_QUANTIFICATION_VALUE><Special_Values_List>
<SPECIAL_VALUE name="nodata">{NODATA}</SPECIAL_VALUE></Special_Values_List></Radiometric_Informations>
<Quality_Informations><Current_Product><Product_Quality_List level="Geo"/></Current_Product></Quality_Informations>
</Muscate_Metadata_Document>
""")
