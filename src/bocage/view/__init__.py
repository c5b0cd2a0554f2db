"""A run's folder → the page on which a person looks at its map, imagery and reference polygons."""

from bocage.view.server import Viewer
from bocage.view.viewed import Viewed, open_viewed

__all__ = ["Viewed", "Viewer", "open_viewed"]
