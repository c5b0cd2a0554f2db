"""PAN and MS in the format of Airbus: DIMAP v2 orthoimages, JPEG 2000, in two tiles, with an empty cloud mask."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio

from bocage.grid import Grid, Window
from bocage.progress import Progress
from bocage.simulate.formats.plain import grid_of, write_raster, xml

DISPLAY = ("B2", "B1", "B0", "B3")
"""Order of the bands in the file: red, green, blue, near infrared."""
ORDER = ("blue", "green", "red", "nir")
STAMP = "202204080631045"
SUN_ELEVATION = 52.4
IRRADIANCE = {"P": 1687.0, "B0": 1982.0, "B1": 1826.0, "B2": 1540.0, "B3": 1094.0}
"""Solar irradiance in W·m⁻²·µm⁻¹, as in products of SPOT 6."""


@dataclass(frozen=True)
class Platform:
    """Names of a satellite in the products."""

    mission: str
    index: str
    code: str
    """Short name of the satellite in file names."""


def write_dimap(platform: Platform, plain: Path, folder: Path, progress: Progress) -> None:
    """Write ``vhr/pan.tif`` and ``vhr/ms.tif`` as two products."""
    for step, (kind, codes) in enumerate((("P", ("P",)), ("MS", DISPLAY)), start=1):
        source = plain / ("pan.tif" if kind == "P" else "ms.tif")
        _product(platform, kind, codes, source, folder)
        progress.step("writing DIMAP products", step, 2)


def _product(platform: Platform, kind: str, codes: tuple[str, ...], source: Path, folder: Path) -> None:
    grid = grid_of(source)
    root = folder / f"IMG_{platform.code}_{kind}_001_A"
    name = f"{platform.code}_{kind}_{STAMP}_ORT_1234567101"
    order = (
        [1]
        if kind == "P"
        else [ORDER.index({"B2": "red", "B1": "green", "B0": "blue", "B3": "nir"}[c]) + 1 for c in codes]
    )
    middle = -(-grid.shape[1] // 2)
    windows = {
        "R1C1": Window(0, 0, grid.shape[0], middle),
        "R1C2": Window(0, middle, grid.shape[0], grid.shape[1] - middle),
    }
    files = {}
    with rasterio.open(source) as dataset:
        for tile, window in windows.items():
            part = rasterio.windows.Window(window.x, window.y, window.width, window.height)
            files[tile] = f"IMG_{name}_{tile}.JP2"
            write_raster(root / files[tile], dataset.read(order, window=part).astype(np.uint16), grid.crop(window))
    (root / "MASKS").mkdir()
    (root / "MASKS" / f"CLD_{name}_MSK.GML").write_text(_mask(grid), encoding="utf-8")
    (root / f"DIM_{name}.XML").write_text(_metadata(platform, kind, codes, grid, files, name), encoding="utf-8")


def _mask(grid: Grid) -> str:
    return xml(f"""<eop:Mask xmlns:eop="http://www.opengis.net/eop/2.1" xmlns:gml="http://www.opengis.net/gml/3.2" gml:id="CLD">
<gml:description>CLOUD MASK</gml:description><gml:boundedBy><gml:Envelope srsName="urn:ogc:def:crs:EPSG::{grid.crs.epsg}"/></gml:boundedBy>
</eop:Mask>
""")


def _measurements(codes: tuple[str, ...]) -> str:
    """Return radiance, reflectance and solar irradiance of each band."""
    reflectance = "".join(
        f"<Band_Reflectance><BAND_ID>{c}</BAND_ID><GAIN>10000</GAIN><BIAS>0</BIAS></Band_Reflectance>" for c in codes
    )
    radiance = "".join(
        f"<Band_Radiance><BAND_ID>{c}</BAND_ID><MEASURE_UNIT>watt/m2/steradians/micrometers</MEASURE_UNIT><GAIN>10.0</GAIN><BIAS>0</BIAS></Band_Radiance>"
        for c in codes
    )
    irradiance = "".join(
        f"<Band_Solar_Irradiance><BAND_ID>{c}</BAND_ID><VALUE>{IRRADIANCE[c]}</VALUE></Band_Solar_Irradiance>"
        for c in codes
    )
    return radiance + reflectance + irradiance


def _metadata(
    platform: Platform, kind: str, codes: tuple[str, ...], grid: Grid, files: Mapping[str, str], name: str
) -> str:
    west, _, _, north = grid.bounds
    listed = "".join(
        f'<Data_File tile_R="1" tile_C="{tile[-1]}"><DATA_FILE_PATH href="{file}"/></Data_File>'
        for tile, file in files.items()
    )
    indexes = "".join(
        f"<Raster_Index><BAND_ID>{code}</BAND_ID><BAND_INDEX>{i}</BAND_INDEX></Raster_Index>"
        for i, code in enumerate(codes, 1)
    )
    return xml(f"""<Dimap_Document><Metadata_Identification><METADATA_FORMAT version="2.15">DIMAP</METADATA_FORMAT></Metadata_Identification>
<Dataset_Identification><DATASET_TYPE>RASTER_ORTHO</DATASET_TYPE><DATASET_NAME>{name}</DATASET_NAME></Dataset_Identification>
<Product_Information><Delivery_Identification><PRODUCTION_DATE>2022-04-10T08:00:00.000Z</PRODUCTION_DATE></Delivery_Identification></Product_Information>
<Coordinate_Reference_System><Projected_CRS><PROJECTED_CRS_CODE>urn:ogc:def:crs:EPSG::{grid.crs.epsg}</PROJECTED_CRS_CODE></Projected_CRS></Coordinate_Reference_System>
<Geoposition><Geoposition_Insert><ULXMAP>{west}</ULXMAP><ULYMAP>{north}</ULYMAP><XDIM>{grid.resolution}</XDIM><YDIM>{grid.resolution}</YDIM></Geoposition_Insert></Geoposition>
<Processing_Information><Product_Settings><PROCESSING_LEVEL>ORTHO</PROCESSING_LEVEL><SPECTRAL_PROCESSING>{kind}</SPECTRAL_PROCESSING>
<Radiometric_Settings><RADIOMETRIC_PROCESSING>REFLECTANCE</RADIOMETRIC_PROCESSING></Radiometric_Settings></Product_Settings></Processing_Information>
<Raster_Data><Data_Access><DATA_FILE_FORMAT>image/jp2</DATA_FILE_FORMAT><DATA_FILE_TILES>true</DATA_FILE_TILES><Data_Files>{listed}</Data_Files></Data_Access>
<Raster_Dimensions><NROWS>{grid.shape[0]}</NROWS><NCOLS>{grid.shape[1]}</NCOLS><NBANDS>{len(codes)}</NBANDS><Tile_Set><NTILES>{len(files)}</NTILES><Regular_Tiling>
<NTILES_SIZE nrows="{grid.shape[0]}" ncols="{-(-grid.shape[1] // 2)}"/><NTILES_COUNT ntiles_R="1" ntiles_C="2"/><OVERLAP_ROW>0</OVERLAP_ROW><OVERLAP_COL>0</OVERLAP_COL></Regular_Tiling></Tile_Set></Raster_Dimensions>
<Raster_Encoding><DATA_TYPE>INTEGER</DATA_TYPE><NBITS>16</NBITS><SIGN>UNSIGNED</SIGN></Raster_Encoding>
<Raster_Display><Special_Value><SPECIAL_VALUE_TEXT>NODATA</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_COUNT>0</SPECIAL_VALUE_COUNT></Special_Value>
<Special_Value><SPECIAL_VALUE_TEXT>SATURATED</SPECIAL_VALUE_TEXT><SPECIAL_VALUE_COUNT>65535</SPECIAL_VALUE_COUNT></Special_Value></Raster_Display>
<Raster_Index_List>{indexes}</Raster_Index_List></Raster_Data>
<Radiometric_Data><Radiometric_Calibration><Instrument_Calibration><Band_Measurement_List>{_measurements(codes)}</Band_Measurement_List></Instrument_Calibration></Radiometric_Calibration></Radiometric_Data>
<Geometric_Data><Use_Area><Located_Geometric_Values><LOCATION_TYPE>Center</LOCATION_TYPE><Solar_Incidences><SUN_AZIMUTH>48.1</SUN_AZIMUTH><SUN_ELEVATION>{SUN_ELEVATION}</SUN_ELEVATION></Solar_Incidences></Located_Geometric_Values></Use_Area></Geometric_Data>
<Dataset_Sources><Source_Identification><SOURCE_ID>DS_{name}</SOURCE_ID><SOURCE_TYPE>STRIP</SOURCE_TYPE><Strip_Source><MISSION>{platform.mission}</MISSION><MISSION_INDEX>{platform.index}</MISSION_INDEX>
<IMAGING_DATE>2022-04-08</IMAGING_DATE><IMAGING_TIME>06:31:04.5Z</IMAGING_TIME></Strip_Source></Source_Identification></Dataset_Sources>
</Dimap_Document>
""")
