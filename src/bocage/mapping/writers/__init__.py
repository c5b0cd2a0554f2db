"""Arrays of windows → output files. Each module of this folder is one format; ``WRITERS`` lists them."""

from bocage.mapping.writers import cog
from bocage.mapping.writers.base import MapBand, OpenMap, Writer, no_writer
from bocage.shelf import Shelf

WRITERS: Shelf[Writer] = Shelf("writer", "writers", {"cog": cog}, no_writer)

__all__ = ["WRITERS", "MapBand", "OpenMap", "Writer"]
