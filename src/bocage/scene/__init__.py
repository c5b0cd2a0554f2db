"""Sources + Grid → Scene: each source as a cube on its own grid, nested in the map grid."""

from bocage.scene.alignment import Alignment, aligned, halos_of
from bocage.scene.cube import Block, Cube, Preparation
from bocage.scene.gaps import Fill
from bocage.scene.indices import INDICES
from bocage.scene.origin import Origin, origins_of
from bocage.scene.prepared import Prepared, Preparing
from bocage.scene.reading import block_by_block, in_order, keep_blocks
from bocage.scene.scene import Scene, make_scene, prepare_scene
from bocage.scene.scenes import Scenes, limited
from bocage.scene.speckle import Speckle
from bocage.scene.until import filtered_until, scene_until, series_of

__all__ = [
    "INDICES",
    "Alignment",
    "Block",
    "Cube",
    "Fill",
    "Origin",
    "Preparation",
    "Prepared",
    "Preparing",
    "Scene",
    "Scenes",
    "Speckle",
    "aligned",
    "block_by_block",
    "filtered_until",
    "halos_of",
    "in_order",
    "keep_blocks",
    "limited",
    "make_scene",
    "origins_of",
    "prepare_scene",
    "scene_until",
    "series_of",
]  # fmt: skip
