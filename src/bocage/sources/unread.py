"""Files that may hold imagery or series of samples in a form that is not read, with what to do about them."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bocage.sources.folders import is_archive

ADVICE = {
    "a spreadsheet is not read. Save the sheet as CSV": (".xlsx", ".xls", ".xlsm", ".ods"),
    "a compressed file is not read. Unpack it": (".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"),
    "this format of rasters is not read. Write GeoTIFF files with gdal_translate, or a table in CSV or Parquet": (
        ".h5", ".hdf5", ".he5", ".hdf", ".grib", ".grib2", ".grb", ".grb2",
    ),
    "this format of tables is not read. Write CSV or Parquet": (
        ".feather", ".arrow", ".pkl", ".pickle", ".mat", ".sav", ".dta",
    ),
    "netCDF is not read. Write a GeoTIFF for each variable (gdal_translate NETCDF:cube.nc:B04 B04.tif) and, beside them, a text "
    "file with the date of each of their bands, one a line": (".nc", ".nc4", ".cdf"),
    "Zarr is not read. Write a GeoTIFF for each band and date, as with rioxarray: cube.sel(time=…).rio.to_raster(…)": (".zarr",),
    "arrays of NumPy have no place on the ground and are not read. Write GeoTIFF files, or a table of the series in CSV or "
    "Parquet": (".npy", ".npz"),
    "files of R are not read. In R, write a table with write.csv, or polygons with sf::st_write": (".rds", ".rda", ".rdata"),
}  # fmt: skip
"""What to do about files → the endings of their names."""


def unread(files: Sequence[Path]) -> list[str]:
    """Return a line for each ending of names of files that are not read."""
    known = {suffix: advice for advice, suffixes in ADVICE.items() for suffix in suffixes}
    found: dict[str, list[Path]] = defaultdict(list)
    for path in dict.fromkeys(map(_whole, files)):
        if (suffix := path.suffix.lower()) in known and not is_archive(path):
            found[suffix].append(path)
    return [
        f"{paths[0]}{f' and {len(paths) - 1} more {suffix}' if len(paths) > 1 else ''}: {known[suffix]}"
        for suffix, paths in found.items()
    ]


def _whole(path: Path) -> Path:
    """Return the folder of a Zarr store for a file in it, and another path as it is."""
    return next((folder for folder in reversed(path.parents) if folder.suffix.lower() == ".zarr"), path)
