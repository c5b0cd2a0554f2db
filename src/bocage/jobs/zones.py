"""``bocage zones``: area of every class in any polygons, with intervals from the accuracy assessment."""

from dataclasses import replace
from pathlib import Path

from bocage.errors import EvaluationError, FinishError
from bocage.finish.estimates import Calibration
from bocage.finish.zone_tables import write_zones
from bocage.finish.zones import ZoneStatistics, read_zones, report_overlaps, zone_statistics
from bocage.jobs.reference_pixels import LabelledSample, ReferencePixels, pixels_of_sample, pixels_of_test
from bocage.mapping import Delivered, open_delivered
from bocage.progress import QUIET, Progress


def zones_of(
    folder: Path, polygons: Path, field: str, table: Path, sample: LabelledSample | None, progress: Progress = QUIET
) -> ZoneStatistics:
    """Sum a map by zone, and write a CSV file and, beside it, a GeoParquet file.

    Parameters
    ----------
    folder
        Folder of a run, of a map or of a mosaic.
    field
        Field that names a zone; empty: zones are numbered.
    table
        Name of the two files (:func:`tables_of`).
    sample
        Validation sample for the estimates; None: the test polygons of the run, if `folder` is that of a run.

    Raises
    ------
    FinishError
        The zones cannot be read, or are all outside the map; or a file to write is the one of the zones or of the sample.
    """
    files = tables_of(table)
    read = {path.resolve() for path in (polygons, sample.path if sample else polygons)}
    if replaced := [path for path in files if path.resolve() in read]:
        raise FinishError(f"{replaced[0]} is read, and would be replaced by a table of the zones. Choose another --to.")
    land = open_delivered(folder)
    zones = read_zones(polygons, field, land.grid, progress)
    report_overlaps(zones, progress)
    sampled = pixels_of_sample(folder, land, sample, progress) if sample else None
    calibration = calibration_of(folder, land, sampled, progress)
    land = replace(land, legend=sampled.legend) if sampled else land
    found = zone_statistics(land, zones, calibration, progress)
    table.parent.mkdir(parents=True, exist_ok=True)
    write_zones(found, land.legend, land.grid, *files)
    return found


def tables_of(table: Path) -> tuple[Path, Path]:
    """Return the CSV file and the GeoParquet file of a name, which is that of the CSV file unless its suffix is of Parquet.

    >>> [path.name for name in ("z.csv", "z.parquet") for path in tables_of(Path(name))]
    ['z.csv', 'z.parquet', 'z.csv', 'z.parquet']
    """
    if table.suffix.lower() in (".parquet", ".geoparquet"):
        return table.with_suffix(".csv"), table
    return table, table.with_suffix(".parquet")


def calibration_of(
    folder: Path, land: Delivered, sampled: ReferencePixels | None, progress: Progress
) -> Calibration | None:
    """Return the correction of mapped areas; None, with a message, if no reference pixels are known."""
    if sampled:
        return Calibration(sampled.checked, likeness=sampled.likeness(land))
    pixels = pixels_of_test(folder, land)
    if isinstance(pixels, str):
        progress.say(f"No areas are estimated: {pixels}, and no labelled sample is given.")
        return None
    try:
        return Calibration(pixels.checked.at_shares(pixels.prior(land)), True, pixels.likeness(land))
    except EvaluationError as error:
        progress.say(f"No areas are estimated: {error}")
        return None
