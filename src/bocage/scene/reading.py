"""Decoded blocks of the files of a scene that GDAL keeps, so that neighbouring windows do not decode them again."""

from collections.abc import Iterable

import numpy as np

from bocage.scene.cube import Cube
from bocage.scene.scene import Scene
from bocage.sources import Source
from bocage.sources.raster import grow_block_cache, inspect

TOGETHER = 3 * 6 * 256 * 256
"""Map pixels whose blocks are kept: three columns of blocks of 256 pixels, of a square of 1024 pixels and its halo."""


def keep_blocks(scene: Scene, names: Iterable[str]) -> None:
    """Let GDAL keep the decoded blocks of some windows of the sources `names`, within the limits of :func:`grow_block_cache`.

    A year of Sentinel-2 has hundreds of bands. With a cache for sixty, the windows decode each block again, because each of them
    touches nine blocks of every band.
    """
    grow_block_cache(round(TOGETHER * sum(_stored_size(scene.cubes[name]) for name in names)))


def _stored_size(cube: Cube) -> float:
    """Return the bytes of the decoded files per map pixel, by the data types of the first acquisition; 0 if prepared."""
    source = cube.source
    if cube.prepared or not isinstance(source, Source) or not source.acquisitions:
        return 0.0
    first = source.acquisitions[0]
    files = [*first.files.values(), *first.quality.values()]
    one = sum(np.dtype(inspect(file.path).dtypes[file.index - 1]).itemsize for file in files)
    return float(one * len(source.acquisitions) * cube.ratio.finer**2 / cube.ratio.coarser**2)
