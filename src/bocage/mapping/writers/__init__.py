"""Arrays of a window → files. One format per file of this folder; ``WRITERS`` is their shelf."""

from bocage.mapping.writers import cog
from bocage.mapping.writers.base import MapBand, OpenMap, Writer
from bocage.shelf import Shelf

WRITERS: Shelf[Writer] = Shelf("writer", "writers", {"cog": cog})

__all__ = ["WRITERS", "MapBand", "OpenMap", "Writer"]
