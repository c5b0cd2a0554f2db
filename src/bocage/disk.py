"""How anything is written and recognised: atomic replacement, digests by content, and a journal of finished parts.

A file or folder gets its name when it is complete, by one rename. Until then it lies beside its place as ``.<name>.part``.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIGITS = 32
"""Hexadecimal digits that are kept of a SHA-256."""


def part_of(path: Path) -> Path:
    """Return the name under which a file or folder is written before it is complete: hidden, in the same folder.

    >>> part_of(Path("map/classes.tif")).as_posix()
    'map/.classes.tif.part'
    """
    return path.with_name(f".{path.name}.part")


def move(source: Path, target: Path) -> None:
    """Rename a file or folder on the same disk; an existing file is replaced atomically."""
    os.replace(source, target)


@contextmanager
def replacing(path: Path, partial: Path | None = None) -> Iterator[Path]:
    """Yield the path to write to; rename it to `path` when the block ends well, and remove it otherwise.

    Parameters
    ----------
    partial
        Another temporary name, for writers that take the format from the suffix.
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
    """Yield an empty folder to write to; give it the name `folder` when the block ends well.

    A folder of that name is removed first. After an error, what was written stays under the temporary name, and the
    next attempt removes it.
    """
    partial = part_of(folder)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    shutil.rmtree(folder, ignore_errors=True)
    move(partial, folder)


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) atomically; its folder exists."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any, indent: int | None = 1) -> None:
    """Write a JSON file (UTF-8) atomically; its folder exists."""
    write_text(path, json.dumps(content, indent=indent, ensure_ascii=False))


def digest(*values: Any) -> str:
    """Return a digest of settings by content: dataclasses by their fields, other objects by ``str``.

    >>> digest("a", 1) == digest("a", 1), digest("a", 1) == digest("a", 2), len(digest("a"))
    (True, False, 32)
    """
    return digest_of(json.dumps(values, sort_keys=True, default=_plain).encode())


def digest_of(*parts: bytes) -> str:
    """Return a digest of bytes, one part after the other."""
    running = hashlib.sha256()
    for part in parts:
        running.update(part)
    return running.hexdigest()[:DIGITS]


def sha256_of(path: Path) -> str:
    """Return the whole SHA-256 of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return sorted(map(str, value)) if isinstance(value, set | frozenset) else str(value)


@dataclass
class Journal:
    """Records of finished parts of a piece of work, one JSON line each; the last record of a part counts.

    One process writes. A line is on the disk before :meth:`add` returns.
    """

    path: Path

    def __post_init__(self) -> None:
        self.notes: dict[str, dict[str, Any]] = dict(self._lines())

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            try:
                note = json.loads(line)
                yield note.pop("place"), note
            except (ValueError, KeyError):
                continue  # the line that was being written when the process was killed

    def add(self, place: str, **note: Any) -> None:
        """Record a part durably: the record survives a power cut."""
        self.notes[place] = note
        with self.path.open("a") as stream:
            stream.write("\n" + json.dumps({"place": place, **note}))
            stream.flush()
            os.fsync(stream.fileno())

    def clear(self) -> None:
        """Remove all records."""
        self.notes.clear()
        self.path.unlink(missing_ok=True)
