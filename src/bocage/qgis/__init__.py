"""A run's folder → a QGIS project of its map, imagery and reference polygons, written without QGIS."""

from bocage.qgis.content import write_project

__all__ = ["write_project"]
