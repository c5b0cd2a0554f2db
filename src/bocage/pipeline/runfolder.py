"""The folder of a run: whose it is, which stages are complete, and for what inputs and settings."""

import dataclasses
import datetime
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from bocage.errors import RunFolderError
from bocage.pipeline.recipe import Recipe
from bocage.progress import Progress
from bocage.samples.reference import fingerprint_reference, without_password
from bocage.scene import Scene
from bocage.training import versions

T = TypeVar("T")
NO_MATTER = ("path", "scene", "compare", "report", "workers")
"""Parts of a recipe that change no result of its own: where it lies, what is kept on disk, other models, who works."""
LOCK, COMPARING = ".lock", ".compare.lock"
"""Files that whoever works in a folder holds: a run, or a comparison of several."""


def peak_memory() -> int:
    """Bytes that this process had in memory at its largest; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that started this one, too
        lines = (line.split() for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return next((int(line[1]) * 1024 for line in lines), 0)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)


@contextmanager
def held(path: Path, name: str = LOCK) -> Iterator[None]:
    """Keep other processes out of a folder; the system ends it with the process, whatever happens.

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
            f"{path} is in use by another run ({_told(holder)}). Wait for its end, or choose another --out."
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


def _told(holder: Path) -> str:
    try:
        said = json.loads(holder.read_text())
        return f"process {said['process']} on {said['host']} since {said['since']}: {said['command']}"
    except (OSError, ValueError, KeyError):
        return "it has only just begun"


def digest(*things: Any) -> str:
    """Return a short digest of settings, by content."""
    return hashlib.sha256(json.dumps(things, sort_keys=True, default=_plain).encode()).hexdigest()[:16]


def _plain(thing: Any) -> Any:
    return dataclasses.asdict(thing) if dataclasses.is_dataclass(thing) and not isinstance(thing, type) else str(thing)


def input_fingerprints(recipe: Recipe, scene: Scene) -> dict[str, str]:
    """Path → digest of every file that the run reads, or of what its database answers."""
    found: dict[str, str] = {}
    for cube in scene.cubes.values():
        found |= cube.fingerprints()
    found[without_password(str(recipe.reference.path))] = fingerprint_reference(recipe.reference)
    return found


@dataclass
class RunFolder:
    """A folder that describes itself in ``provenance.json``."""

    path: Path
    said: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def claim(cls, path: Path, recipe: Recipe, inputs: dict[str, str], overwrite: bool) -> "RunFolder":
        """Take a new folder, or one that this recipe has begun.

        Raises
        ------
        RunFolderError
            The folder holds something else, and `overwrite` is False.
        """
        sections = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe) if f.name not in NO_MATTER}
        identity = {name: digest(value) for name, value in sections.items()} | {"inputs": digest(inputs)}
        folder = cls(path)
        stages: dict[str, Any] = {}
        if path.exists() and any(
            p.name != "plan.json" and not p.name.startswith((LOCK, COMPARING)) for p in path.iterdir()
        ):
            before = folder._read(overwrite)
            odd = sorted(k for k in identity if identity[k] != before.get("identity", {}).get(k))
            has_results = any(stage not in ("prepare", "samples", "pretrain") for stage in before.get("stages", {}))
            if odd and has_results and not overwrite:
                raise RunFolderError(
                    f"{path} holds the results of another run (it differs in: {', '.join(odd)}). Choose another --out, or "
                    "give --overwrite to redo here what depends on the change."
                )
            stages = before.get("stages", {})
        path.mkdir(parents=True, exist_ok=True)
        folder.said = {
            "name": recipe.name,
            "model": recipe.model,
            "identity": identity,
            "recipe": str(recipe.path.resolve()),
            "inputs": inputs,
            "versions": versions(),
            "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "stages": stages,
        }
        text = recipe.path.read_text(encoding="utf-8")
        (path / "recipe.toml").write_text(without_password(text), encoding="utf-8")
        folder._write()
        return folder

    def _read(self, overwrite: bool) -> dict[str, Any]:
        file = self.path / "provenance.json"
        if not file.exists():
            if overwrite:
                return {}
            raise RunFolderError(f"{self.path} is not empty and was not written by Bocage; choose another --out.")
        try:
            said: dict[str, Any] = json.loads(file.read_text())
        except ValueError as error:
            raise RunFolderError(f"{file} is damaged ({error}); choose another --out, or remove the folder.") from error
        return said

    def _write(self) -> None:
        partial = self.path / ".provenance.json.part"
        partial.write_text(json.dumps(self.said, indent=1))
        os.replace(partial, self.path / "provenance.json")

    def is_current(self, stage: str, key: str) -> bool:
        """Whether a stage is complete for these inputs and settings."""
        record = self.said["stages"].get(stage)
        return record is not None and record["key"] == key

    def need(self, stage: str, key: str, command: str) -> None:
        """Make sure that an earlier stage is complete.

        Raises
        ------
        RunFolderError
            It is not, or its inputs or settings have changed since.
        """
        if not self.is_current(stage, key):
            raise RunFolderError(
                f"{self.path}: the stage '{stage}' is not complete for this recipe; run 'bocage {command}' first."
            )

    def once(self, stage: str, key: str, work: Callable[[], T], progress: Progress) -> T | None:
        """Do `work`, unless the stage is current."""
        if self.is_current(stage, key):
            progress.say(f"{stage}: up to date")
            return None
        self.forget(stage)
        with self.timed(stage, key):
            return work()

    def forget(self, stage: str) -> None:
        """Record that a stage is not complete: from here on its files may be of two minds, whatever happens."""
        self.said["stages"].pop(stage, None)
        self._write()

    @contextmanager
    def timed(self, stage: str, key: str) -> Iterator[None]:
        """Record a stage as complete, with the seconds it took, if it ends well."""
        started = time.monotonic()
        yield
        self.note(stage, key, time.monotonic() - started)

    def note(self, stage: str, key: str, seconds: float) -> None:
        """Record a stage as complete."""
        self.said["stages"][stage] = {
            "key": key,
            "seconds": round(seconds, 2),
            "memory": peak_memory(),
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        self._write()
