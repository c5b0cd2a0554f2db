"""Atomic writing, safe names, digests and checksums of content, changes of files, a journal of completed parts.

A file or folder is written as ``.<name>.part`` in the same folder, and renamed when it is complete.
"""

import dataclasses
import functools
import glob
import hashlib
import json
import os
import re
import shutil
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bocage.errors import BocageError, RunFolderError

RESTORE = "Restore the file, or run the recipe again with another --out."
"""What to do about a damaged file of a run's folder."""
DIGITS = 32
"""Number of hexadecimal digits of a digest (truncated SHA-256)."""
DAY = 86_400.0
"""Seconds of a day."""
LONGEST_NAME = 150
"""Maximum number of characters of a name from outside that is kept in the name of a file."""


def part_of(path: Path) -> Path:
    """Return the path for writing a file or folder until it is complete: a hidden name in the same folder.

    >>> part_of(Path("map/classes.tif")).as_posix()
    'map/.classes.tif.part'
    """
    return path.with_name(f".{path.name}.part")


def own_part_of(path: Path) -> Path:
    """Return a path like :func:`part_of` that no other process uses, for folders that several runs write to.

    Files and folders of this kind that a killed process left a day ago are removed.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with suppress(OSError):  # another process may remove it at the same time
            if time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.part")


def move(source: Path, target: Path) -> None:
    """Rename a file or folder on the same disk; replace an existing file atomically."""
    os.replace(source, target)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name `path` in an ``OSError`` of the block that names no file: the system names none if the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror or os.strerror(error.errno), str(path)) from error
        raise


@contextmanager
def replacing(path: Path, partial: Path | None = None) -> Iterator[Path]:
    """Yield the path to write to; rename it to `path` at the end of the block, or remove it after an error.

    Parameters
    ----------
    partial
        Another temporary path, for writers that choose the format from the suffix.
    """
    partial = partial or part_of(path)
    try:
        with naming(path):
            yield partial
            move(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def remove_folder(folder: Path) -> None:
    """Remove a folder with all its files, if it exists; of a process that is killed, all of it or nothing stays under its name.

    What stays under a hidden name is removed by the next call. Files that cannot be removed are left.
    """
    gone = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(OSError):
        move(folder, gone)
    for left in (gone, folder):
        shutil.rmtree(left, ignore_errors=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write to; rename it to `folder` at the end of the block.

    An existing folder of that name is removed first. After an error, the temporary folder stays; the next attempt removes
    it.
    """
    partial = part_of(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    with naming(folder):
        yield partial
    remove_folder(folder)
    move(partial, folder)


def safe_name(name: str) -> str:
    """Return a name from outside (of a catalogue, archive or recipe) as the name of one file or folder.

    A name that is safe is returned unchanged. In any other name, characters with a meaning in paths are replaced, and a digest
    of the name is appended, so that different names stay different.

    >>> safe_name("S2B_31UES_20220704"), safe_name("../../etc")
    ('S2B_31UES_20220704', 'etc-74ccf3c5b4c19a81')
    """
    plain = re.sub(r"[^\w.,+@=() -]+", "-", name).strip("-. ")[:LONGEST_NAME]
    return (
        plain
        if plain and plain == name
        else f"{plain}-{digest_of(name.encode('utf-8', 'surrogatepass'))[:16]}".lstrip("-")
    )


def inside(folder: Path, *names: str) -> Path:
    """Return the path of a file in `folder`, of names from outside made safe.

    Raises
    ------
    BocageError
        The path is outside of the folder, because a link in the folder leads there.
    """
    path = folder.joinpath(*map(safe_name, names))
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BocageError(f"{path} is a link that leads outside of {folder}. Remove the link.")
    return path


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically; its folder must exist."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any, indent: int | None = 1) -> None:
    """Write a JSON file (UTF-8) atomically; its folder must exist."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False))


@contextmanager
def artefact(path: Path) -> Iterator[None]:
    """Report, as one line, a file of a run's folder that is missing or damaged while the block reads it.

    Raises
    ------
    RunFolderError
        The file is missing, or the block fails.
    """
    try:
        yield
    except BocageError:
        raise
    except FileNotFoundError as error:
        raise RunFolderError(f"{error.filename or path} is missing. {RESTORE}") from error
    except Exception as error:  # truncated JSON, Parquet and NPY files raise errors of many types
        why = f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
        raise RunFolderError(f"{path} is damaged ({why}). {RESTORE}") from error


def digest(*values: Any) -> str:
    """Return a digest of the content of settings: dataclasses by their fields, paths by their names, others by ``str``.

    A folder that is moved with its files has the same digests; the content of files has digests of its own.

    >>> digest("a", 1) == digest("a", 1), digest("a", 1) == digest("a", 2), len(digest("a"))
    (True, False, 32)
    """
    return digest_of(json.dumps(values, sort_keys=True, default=_plain).encode())


def digest_of(*parts: bytes) -> str:
    """Return a digest of the concatenated bytes."""
    running = hashlib.sha256()
    for part in parts:
        running.update(part)
    return running.hexdigest()[:DIGITS]


def in_order(fingerprints: Mapping[str, str]) -> tuple[str, ...]:
    """Return the digests of files in the order of their paths."""
    return tuple(fingerprints[path] for path in sorted(fingerprints))


def sha256_of(path: Path) -> str:
    """Return the full SHA-256 of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checksums_of(files: Iterable[Path], folder: Path) -> dict[str, str]:
    """Return path relative to `folder` → SHA-256, for each file."""
    return {path.relative_to(folder).as_posix(): sha256_of(path) for path in sorted(files)}


Now = TypeVar("Now")
Read = TypeVar("Read")


def kept_by_state(most: int) -> Callable[[Callable[[Path, Now], Read]], Callable[[Path, Now], Read]]:
    """Return a decorator that keeps what ``function(path, state)`` read from a file until the file has another state.

    A cache with the state in its key would keep what was read from every earlier version of a file: the memory of a process that
    writes the same files again and again would grow.

    Parameters
    ----------
    most
        Number of files, at least 1. The results of the files that were asked for last are kept.
    """

    def kept(function: Callable[[Path, Now], Read]) -> Callable[[Path, Now], Read]:
        results, lock = OrderedDict[Path, tuple[Now, Read]](), threading.Lock()

        @functools.wraps(function)
        def read(path: Path, state: Now) -> Read:
            with lock:
                if path in results and results[path][0] == state:
                    results.move_to_end(path)
                    return results[path][1]
            found = function(path, state)
            with lock:
                results.pop(path, None)
                results[path] = state, found
                while len(results) > most:
                    results.popitem(last=False)
            return found

        return read

    return kept


def damaged(folder: Path, checksums: Mapping[str, str]) -> list[str]:
    """Return the relative paths of the files that are missing or do not match their SHA-256."""
    return [name for name, value in checksums.items() if _unchanged_sum(folder / name) != value]


def _unchanged_sum(path: Path) -> str:
    """Return the SHA-256 of a file, read once until the file changes; empty if it cannot be read."""
    try:
        return _remembered_sum(path, state_of(path))
    except OSError:
        return ""


@kept_by_state(4096)
def _remembered_sum(path: Path, state: "State") -> str:
    return sha256_of(path)


def write_checksums(path: Path, sums: Mapping[str, str]) -> None:
    """Write a list that ``sha256sum -c`` reads in the folder of `path`: relative path → SHA-256."""
    write_text(path, "".join(f"{value}  {name}\n" for name, value in sorted(sums.items())))


def read_checksums(path: Path) -> dict[str, str]:
    """Read what :func:`write_checksums` wrote: relative path → SHA-256.

    Raises
    ------
    ValueError
        A line is not a checksum and a name.
    """
    lines = (line.partition("  ") for line in path.read_text(encoding="utf-8").splitlines())
    sums = {name: value for value, _, name in lines}
    if not sums or "" in sums or any(len(value) != 64 for value in sums.values()):
        raise ValueError(f"{path} is not a list of checksums")
    return sums


class State(NamedTuple):
    """State of a file: it differs after every change of the file, even if the file was changed back."""

    device: int
    inode: int
    size: int
    modified: int
    """Time of the last change of the content, in ns; programs can set it."""
    changed: int
    """Time of the last change of content or record, in ns; no program can set it back."""


def state_of(path: Path) -> State:
    """Return the state of a file. :func:`kept_by_state` keeps what was read from the file until it has another state.

    Raises
    ------
    OSError
        There is no such file.
    """
    found = path.stat()
    return State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@dataclass(frozen=True)
class Watch:
    """State of files at one moment. It shows later whether a file was changed since, even if it was changed back."""

    states: Mapping[str, State | None]
    """Path → state; None for what is not a file on this machine (an address, a missing file)."""

    @classmethod
    def on(cls, paths: Iterable[str | Path]) -> "Watch":
        """Return the present state of files."""
        return cls({str(path): state_or_none(Path(path)) for path in paths})

    def changed(self, paths: Iterable[str] | None = None) -> list[str]:
        """Return the paths, among all or some of the files, that are not in their former state."""
        chosen = self.states if paths is None else paths
        return sorted(path for path in chosen if state_or_none(Path(path)) != self.states[path])


def state_or_none(path: Path) -> State | None:
    """Return the state of a file; None if there is no such file."""
    try:
        return state_of(path)
    except OSError:
        return None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Path):
        return value.name
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


@dataclass
class Journal:
    """Records of the completed parts of a task, one JSON line each; the last record of a part is valid.

    Only one process may write. The record is on disk when :meth:`add` returns.
    """

    path: Path

    def __post_init__(self) -> None:
        self.notes: dict[str, dict[str, Any]] = dict(self._lines())

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if not self.path.exists():
            return
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                note = json.loads(line)
                if note.pop("sum") == digest(note):
                    yield note.pop("place"), note
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                continue  # incomplete line of a killed process, or a damaged one

    def add(self, place: str, **note: Any) -> None:
        """Record a part and flush the record to disk, so that it survives a power failure."""
        self.notes[place] = note
        line = {"place": place, **note}
        with naming(self.path), self.path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + json.dumps({**line, "sum": digest(line)}))
            stream.flush()
            os.fsync(stream.fileno())

    def clear(self) -> None:
        """Remove all records."""
        self.notes.clear()
        self.path.unlink(missing_ok=True)
