"""One process at a time in a folder."""

import datetime
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bocage.errors import RunFolderError

LOCK, COMPARING = ".lock", ".compare.lock"
"""Lock files of a run, and of a comparison of several runs."""


@contextmanager
def held(path: Path, name: str = LOCK) -> Iterator[None]:
    """Lock a folder for this process; the system releases the lock with the process.

    Raises
    ------
    RunFolderError
        Another process is at work there, or the folder cannot be written.
    """
    lock, holder, new = FileLock(path / name), path / f"{name}.json", not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunFolderError(
            f"{path} is in use by another run ({_holder(holder)}). Wait for its end, or choose another --out."
        ) from error
    except OSError as error:
        raise RunFolderError(f"{path} cannot be written: {error.strerror or error}; choose another --out.") from error
    try:
        about = {"process": os.getpid(), "host": platform.node(), "command": " ".join(["bocage", *sys.argv[1:]])}
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        holder.write_text(json.dumps(about | {"since": started}))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
        if new and [p.name for p in path.iterdir()] == [name]:  # nothing came of it
            (path / name).unlink()
            path.rmdir()


def _holder(holder: Path) -> str:
    try:
        record = json.loads(holder.read_text())
        return f"process {record['process']} on {record['host']} since {record['since']}: {record['command']}"
    except (OSError, ValueError, KeyError):
        return "it has just started"
