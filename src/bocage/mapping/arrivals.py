"""Acquisitions that are new since a window of the map was computed: a window in which none of them has data stays as it is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bocage.disk import Journal
from bocage.errors import BocageError
from bocage.grid import Window
from bocage.mapping.unclassified import Unclassified
from bocage.mapping.work import Task
from bocage.progress import Progress
from bocage.scene import Origin


@dataclass
class Notes:
    """What the windows of a store were computed from."""

    windows: Journal
    """Window → key, checksums and key of its settings and acquisitions."""
    parts: Journal
    """That key → settings and acquisitions, which many windows share."""

    def add(
        self, window: Window, origin: Origin, sums: Mapping[str, int], unclassified: Mapping[str, Any] | None
    ) -> None:
        """Record a complete window, with the counts of its pixels without a class if they are known."""
        if origin.parts.key not in self.parts.notes:
            self.parts.add(origin.parts.key, **origin.parts.as_dict())
        self.windows.add(
            window.corner, key=origin.key, sums=dict(sums), parts=origin.parts.key, unclassified=unclassified
        )

    def keep(self, window: Window, origin: Origin) -> None:
        """Record that the result of a window is that of another origin too."""
        before = self.windows.notes[window.corner]
        self.add(window, origin, before["sums"], before.get("unclassified"))

    def unclassified(self, windows: Iterable[Window]) -> Unclassified:
        """Return the counts of the pixels without a class of all windows; of none if an earlier version made one of them."""
        found = [self.windows.notes[window.corner].get("unclassified") for window in windows]
        known = [Unclassified.from_dict(one) for one in found if one is not None]
        return Unclassified.total(known if len(known) == len(found) else ())

    def unaffected(
        self, task: Task, windows: Sequence[Window], origins: Mapping[Window, Origin], progress: Progress
    ) -> Iterator[Window]:
        """Yield the windows that are computed again only because of acquisitions without a valid pixel there.

        Of the files, only these acquisitions are read.
        """
        for done, window in enumerate(windows, start=1):
            before = self.parts.notes.get(str(self.windows.notes[window.corner].get("parts")))
            added = origins[window].parts.added_to(before) if before else None
            if added is not None and not any(_has_data(task, window, name, new) for name, new in added.items() if new):
                yield window
            progress.step("reading new acquisitions", done, len(windows))


def _has_data(task: Task, window: Window, name: str, members: tuple[int, ...]) -> bool:
    """Return whether one of some acquisitions of a source has a valid pixel that the window depends on."""
    cube, footprint = task.scene.cubes[name], task.trained.footprints[name]
    try:
        return bool(cube.only_of(members).read(footprint.window(window, cube.ratio)).valid.any())
    except (BocageError, OSError):
        return True  # the window is computed again, and then reports what cannot be read
