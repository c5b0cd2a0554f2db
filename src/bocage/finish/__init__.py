"""Map → finished map: regularised, as polygons, summed by zone, and compared with another map."""

from bocage.finish.settings import Finishing

__all__ = ["Finishing"]
