"""Scene → Objects: pixels that belong together, numbered, and the features of each of them."""

from bocage.objects.settings import Segmenting

__all__ = ["Segmenting"]
