"""Files that may hold imagery or series of samples in a form that is not read, with what to do about them."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bocage.sources.folders import is_archive

ADVICE = {
    "a spreadsheet is not read. Save the sheet as CSV": (".xlsx", ".xls", ".xlsm", ".ods"),
    "a compressed file is not read. Unpack it": (".gz", ".bz2", ".xz", ".zst", ".7z", ".rar"),
    "this format of rasters is not read. Write GeoTIFF files with gdal_translate, or a table in CSV or Parquet": (
        ".nc", ".nc4", ".cdf", ".h5", ".hdf5", ".he5", ".hdf", ".grib", ".grib2", ".grb", ".grb2",
    ),
    "this format of tables is not read. Write CSV or Parquet": (
        ".feather", ".arrow", ".npy", ".npz", ".pkl", ".pickle", ".rds", ".rda", ".rdata", ".mat", ".sav", ".dta",
    ),
}  # fmt: skip
"""What to do about files → the endings of their names."""


def unread(files: Sequence[Path]) -> list[str]:
    """Return a line for each ending of names of files that are not read."""
    known = {suffix: advice for advice, suffixes in ADVICE.items() for suffix in suffixes}
    found: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        if (suffix := path.suffix.lower()) in known and not is_archive(path):
            found[suffix].append(path)
    return [
        f"{paths[0]}{f' and {len(paths) - 1} more {suffix}' if len(paths) > 1 else ''}: {known[suffix]}"
        for suffix, paths in found.items()
    ]
