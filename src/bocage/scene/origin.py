"""What the windows of a scene are computed from: the key under which a result is kept, and the files to watch meanwhile."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bocage.disk import digest, in_order
from bocage.grid import Window
from bocage.scene.cube import Cube


@dataclass(frozen=True)
class Origin:
    """What a window is computed from."""

    key: str
    """Digest of the settings and of the content of the files that intersect the window."""
    files: tuple[str, ...]
    """Paths of these files."""


def origins_of(
    windows: Iterable[Window], cubes: Mapping[str, Cube], read: Callable[[str, Window], Window], *settings: Any
) -> dict[Window, Origin]:
    """Return the origin of each window.

    Parameters
    ----------
    read
        Returns the window of a cube, by its name, that a window is computed from.
    settings
        Everything else that the result depends on.
    """
    start, known, origins = digest(*settings), dict[Any, tuple[str, tuple[str, ...]]](), {}
    for window in windows:
        near = tuple((name, cube.touching(read(name, window))) for name, cube in cubes.items())
        if near not in known:  # most windows intersect the same acquisitions
            files = [cubes[name].fingerprints(members) for name, members in near]
            paths = tuple(sorted({path for found in files for path in found}))
            known[near] = digest(start, [in_order(found) for found in files]), paths
        content, paths = known[near]
        origins[window] = Origin(digest(content, window), paths)
    return origins
