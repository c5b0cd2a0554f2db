"""Public: fakes, tiny scenes and contract checks, for Bocage's tests and for those of code that comes through a door."""

from bocage.testing.checks import check_index, check_metric, check_model, check_sensor, check_writer
from bocage.testing.fakes import Place, fake_pixels, random_batch, tiny_landscape, write_raster

__all__ = [
    "Place",
    "check_index",
    "check_metric",
    "check_model",
    "check_sensor",
    "check_writer",
    "fake_pixels",
    "random_batch",
    "tiny_landscape",
    "write_raster",
]
