"""Lock of a run's folder: one process at a time."""

import datetime
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bocage.disk import naming
from bocage.errors import RunFolderError
from bocage.redaction import redacted

LOCK, COMPARING = ".lock", ".compare.lock"
"""Lock files of a run, and of a comparison of several runs."""


@contextmanager
def held(path: Path, name: str = LOCK) -> Iterator[None]:
    """Lock a folder for this process; the operating system releases the lock if the process ends.

    Raises
    ------
    RunFolderError
        Another process holds the lock, or the folder is not writable.
    """
    lock, holder, new = FileLock(path / name), path / f"{name}.json", not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunFolderError(
            f"{path} is in use by another run ({_holder(holder)}). Wait until it ends, or choose another --out."
        ) from error
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror or error}. Choose another --out.") from error
    try:
        about = {
            "process": os.getpid(),
            "host": platform.node(),
            "command": redacted(" ".join(["bocage", *sys.argv[1:]])),
        }
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        with naming(holder):
            holder.write_text(json.dumps(about | {"since": started}), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
        if new and [p.name for p in path.iterdir()] == [name]:  # the run wrote no files
            (path / name).unlink()
            path.rmdir()


def _holder(holder: Path) -> str:
    try:
        record = json.loads(holder.read_text(encoding="utf-8"))
        return f"process {record['process']} on {record['host']} since {record['since']}: {record['command']}"
    except (OSError, ValueError, KeyError):
        return "it has just started"
