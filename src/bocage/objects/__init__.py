"""Scene → Objects: pixels that belong together, numbered, and the features of each of them."""

from bocage.objects.features import Features, write_features
from bocage.objects.given import take_over
from bocage.objects.settings import Segmenting

__all__ = ["Features", "Segmenting", "take_over", "write_features"]
