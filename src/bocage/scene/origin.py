"""What the windows of a scene are computed from: the key under which a result is kept, and the files to watch meanwhile."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bocage.disk import digest
from bocage.grid import Window
from bocage.scene.cube import Cube


@dataclass(frozen=True)
class Parts:
    """Settings and acquisitions that several windows are computed from."""

    settings: str
    """Digest of the settings."""
    acquisitions: Mapping[str, Mapping[str, int]]
    """Source → digest of each acquisition, → its position in the source."""

    @cached_property
    def key(self) -> str:
        """Digest of settings and acquisitions."""
        return digest(self.settings, {name: list(found) for name, found in self.acquisitions.items()})

    def as_dict(self) -> dict[str, Any]:
        """Return the record of a journal."""
        return {
            "settings": self.settings,
            "acquisitions": {name: list(found) for name, found in self.acquisitions.items()},
        }

    def added_to(self, before: Mapping[str, Any]) -> dict[str, tuple[int, ...]] | None:
        """Return source → positions of the acquisitions that an earlier record (:meth:`as_dict`) lacks.

        None if other settings, or acquisitions that are no longer there, make the earlier result outdated.
        """
        known = {name: set(found) for name, found in before["acquisitions"].items()}
        if before["settings"] != self.settings or known.keys() != self.acquisitions.keys():
            return None
        if any(known[name] - found.keys() for name, found in self.acquisitions.items()):
            return None
        return {
            name: tuple(position for one, position in found.items() if one not in known[name])
            for name, found in self.acquisitions.items()
        }


@dataclass(frozen=True)
class Origin:
    """What a window is computed from."""

    key: str
    """Digest of the settings and of the content of the files that intersect the window."""
    files: tuple[str, ...]
    """Paths of these files."""
    parts: Parts = field(default_factory=lambda: Parts("", {}))
    """Settings and acquisitions."""


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
    start, known, origins = digest(*settings), dict[Any, tuple[Parts, tuple[str, ...]]](), {}
    for window in windows:
        near = tuple((name, cube.touching(read(name, window))) for name, cube in cubes.items())
        if near not in known:  # most windows intersect the same acquisitions
            files = {path for name, members in near for path in cubes[name].fingerprints(members)}
            shared = digest(start, [cubes[name].shared(members) for name, members in near])
            acquisitions = {name: cubes[name].acquisitions(members) for name, members in near}
            known[near] = Parts(shared, acquisitions), tuple(sorted(files))
        parts, paths = known[near]
        origins[window] = Origin(digest(parts.key, window), paths, parts)
    return origins
