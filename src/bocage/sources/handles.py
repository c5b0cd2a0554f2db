"""Open GDAL datasets, shared by the threads of a process.

GDAL keeps the decoded blocks of each dataset. Threads with a dataset of their own would each decode the blocks that their
windows share. They use one dataset in turn instead; a window is read from many files, so that threads seldom wait. GDAL shares
the files behind virtual rasters that one thread has opened: two threads must not read two of these at a time, and each thread
has its own.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Key = tuple[Path, Hashable]
"""Path of a file, and its state."""


def _files_allowed() -> int:
    """Return the number of files that the system allows a process to open."""
    try:
        import resource
    except ImportError:  # Windows
        return 512
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 20)


MOST_OPEN = max(64, min(2048, _files_allowed() // 8))
"""Maximum number of datasets kept open: a year of Sentinel-2 products, if the system allows it."""


@dataclass
class _Handle:
    """A dataset, opened on first use."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held by the thread that uses the dataset."""
    dataset: Any = None

    def close(self) -> None:
        """Close the dataset, unless another thread uses it: it is then closed when that thread drops it."""
        if self.lock.acquire(blocking=False):
            try:
                if self.dataset is not None:
                    self.dataset.close()
                self.dataset = None
            finally:
                self.lock.release()


class _Handles:
    """Datasets in order of use."""

    def __init__(self) -> None:
        self.handles, self.lock = OrderedDict[Key, _Handle](), threading.Lock()
        # The keys of each file: a search of all open files would take as long as an opening.
        self.keys = defaultdict[Path, set[Key]](set)

    def at(self, key: Key) -> _Handle:
        """Return the handle of a file in its present state; close those of earlier states, and those above the maximum."""
        with self.lock:
            gone = []
            if key not in self.handles:
                # GDAL would share the files of an earlier state with the new dataset.
                gone = [self._taken(old) for old in tuple(self.keys.get(key[0], ()))]
                self.handles[key] = _Handle()
                self.keys[key[0]].add(key)
                while len(self.handles) > MOST_OPEN:
                    gone.append(self._taken(next(iter(self.handles))))
            self.handles.move_to_end(key)
            found = self.handles[key]
        for handle in gone:
            handle.close()
        return found

    def drop(self, key: Key) -> None:
        """Close the dataset of a file that could not be read."""
        with self.lock:
            handle = self._taken(key) if key in self.handles else None
        if handle is not None:
            handle.close()

    def _taken(self, key: Key) -> _Handle:
        """Remove the handle of a file in a state, and return it."""
        self.keys[key[0]].discard(key)
        if not self.keys[key[0]]:
            del self.keys[key[0]]
        return self.handles.pop(key)


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.handles = _Handles()


_SHARED, _OWN = _Handles(), _OfThread()


@contextmanager
def using(key: Key, shared: bool, start: Callable[[Path], Any]) -> Iterator[Any]:
    """Yield the dataset of a file, opened by `start` on first use; it is closed if an exception is raised.

    Parameters
    ----------
    shared
        Whether all threads use the same dataset, one at a time; otherwise, each thread has its own.
    """
    handles = _SHARED if shared else _OWN.handles
    handle = handles.at(key)
    try:
        with handle.lock:
            if handle.dataset is None:
                handle.dataset = start(key[0])
            yield handle.dataset
    except BaseException:
        handles.drop(key)
        raise
