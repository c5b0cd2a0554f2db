"""Atomic writing of files and folders, digests and checksums of content, changes of files, a journal of completed parts.

A file or folder is written as ``.<name>.part`` in the same folder, and renamed when it is complete.
"""

import dataclasses
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIGITS = 32
"""Number of hexadecimal digits of a digest (truncated SHA-256)."""


def part_of(path: Path) -> Path:
    """Return the path for writing a file or folder until it is complete: a hidden name in the same folder.

    >>> part_of(Path("map/classes.tif")).as_posix()
    'map/.classes.tif.part'
    """
    return path.with_name(f".{path.name}.part")


def move(source: Path, target: Path) -> None:
    """Rename a file or folder on the same disk; replace an existing file atomically."""
    os.replace(source, target)


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
        yield partial
        move(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write to; rename it to `folder` at the end of the block.

    An existing folder of that name is removed first. After an error, the temporary folder stays; the next attempt removes
    it.
    """
    partial = part_of(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    shutil.rmtree(folder, ignore_errors=True)
    move(partial, folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically; its folder must exist."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any, indent: int | None = 1) -> None:
    """Write a JSON file (UTF-8) atomically; its folder must exist."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False))


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


def damaged(folder: Path, checksums: Mapping[str, str]) -> list[str]:
    """Return the relative paths of the files that are missing or do not match their SHA-256."""
    return [name for name, value in checksums.items() if _unchanged_sum(folder / name) != value]


def _unchanged_sum(path: Path) -> str:
    """Return the SHA-256 of a file, read once until the file changes; empty if it cannot be read."""
    try:
        return _remembered_sum(path, _state(path))
    except OSError:
        return ""


@functools.lru_cache(maxsize=4096)
def _remembered_sum(path: Path, state: "State") -> str:
    return sha256_of(path)


def write_checksums(path: Path, files: Iterable[Path]) -> None:
    """Write a list that ``sha256sum -c`` reads: files of the folder of `path`, or below it."""
    sums = checksums_of(files, path.parent)
    write_text(path, "".join(f"{value}  {name}\n" for name, value in sums.items()))


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


State = tuple[int, int, int, int, int]
"""Device, inode, size, time of the last change of the content, and of the file's record, which no program can set back."""


def _state(path: Path) -> State:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@dataclass(frozen=True)
class Watch:
    """State of files at one moment. It shows later whether a file was changed since, even if it was changed back."""

    states: Mapping[str, State | None]
    """Path → state; None for what is not a file on this machine (an address, a missing file)."""

    @classmethod
    def on(cls, paths: Iterable[str | Path]) -> "Watch":
        """Return the present state of files."""
        return cls({str(path): _state_or_none(path) for path in paths})

    def changed(self, paths: Iterable[str] | None = None) -> list[str]:
        """Return the paths, among all or some of the files, that are not in their former state."""
        chosen = self.states if paths is None else paths
        return sorted(path for path in chosen if _state_or_none(path) != self.states[path])


def _state_or_none(path: str | Path) -> State | None:
    try:
        return _state(Path(path))
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
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # incomplete line of a killed process, or a damaged one

    def add(self, place: str, **note: Any) -> None:
        """Record a part and flush the record to disk, so that it survives a power failure."""
        self.notes[place] = note
        line = {"place": place, **note}
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write("\n" + json.dumps({**line, "sum": digest(line)}))
            stream.flush()
            os.fsync(stream.fileno())

    def clear(self) -> None:
        """Remove all records."""
        self.notes.clear()
        self.path.unlink(missing_ok=True)
