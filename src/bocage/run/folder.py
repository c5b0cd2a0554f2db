"""The folder of a run: its paths, its recipe, and its complete stages."""

import dataclasses
import datetime
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from bocage.disk import digest, write_text
from bocage.errors import RunFolderError
from bocage.layout import RunLayout
from bocage.machine import peak_memory, versions
from bocage.progress import Progress
from bocage.provenance import Provenance, Stage
from bocage.recipe import Recipe
from bocage.redaction import redacted
from bocage.run.lock import COMPARING, LOCK
from bocage.samples.reference import fingerprint_reference
from bocage.scene import Scene

T = TypeVar("T")
NO_MATTER = ("path", "text", "choice", "scene", "compare", "report", "workers", "plugins")
"""Fields of a recipe without a digest of their own. They do not affect the results (location of the file, cache on disk, other
models, report, workers, allowed code), or their parts have separate digests (the choice)."""
NO_RESULTS = ("prepare", "samples", "pretrain")
"""Stages that are repeated without ``--overwrite``."""


def identity_of(recipe: Recipe, inputs: Mapping[str, str]) -> dict[str, str]:
    """Return section → digest of all settings and inputs that determine the results of a recipe."""
    values = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe) if f.name not in NO_MATTER}
    values |= {"model": recipe.choice.name, "config": recipe.choice.config, "training": recipe.choice.training}
    return {name: digest(value) for name, value in values.items()} | {"inputs": digest(inputs)}


def input_fingerprints(recipe: Recipe, scene: Scene) -> dict[str, str]:
    """Return path → digest of every file that the run reads, and of the content of its database table."""
    digests: dict[str, str] = {}
    for cube in scene.cubes.values():
        digests |= cube.fingerprints()
    digests[recipe.reference.shown] = fingerprint_reference(recipe.reference)
    return digests


@dataclass
class RunFolder:
    """Folder of a run, described by ``provenance.json``."""

    layout: RunLayout
    provenance: Provenance

    @classmethod
    def claim(cls, layout: RunLayout, recipe: Recipe, inputs: dict[str, str], overwrite: bool) -> "RunFolder":
        """Claim a new folder, or a folder with results of the same recipe.

        Raises
        ------
        RunFolderError
            The folder contains other files or results of another recipe, and `overwrite` is False.
        """
        identity = identity_of(recipe, inputs)
        stages = _stages_before(layout, identity, overwrite)
        layout.path.mkdir(parents=True, exist_ok=True)
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        provenance = Provenance(
            recipe.name, recipe.choice.name, identity, str(recipe.path.resolve()), inputs, versions(), started, stages
        )
        write_text(layout.recipe, redacted(recipe.text))
        folder = cls(layout, provenance)
        folder._write()
        return folder

    def _write(self) -> None:
        self.provenance.save(self.layout.provenance)

    def is_current(self, stage: str, key: str) -> bool:
        """Return whether a stage is complete for the inputs and settings with the digest `key`."""
        record = self.provenance.stages.get(stage)
        return record is not None and record.key == key

    def need(self, stage: str, key: str, command: str) -> None:
        """Check that an earlier stage is complete.

        Raises
        ------
        RunFolderError
            The stage is not complete, or its inputs or settings have changed.
        """
        if not self.is_current(stage, key):
            raise RunFolderError(
                f"{self.layout.path}: the stage '{stage}' is not complete for this recipe; run 'bocage {command}' first."
            )

    def once(self, stage: str, key: str, work: Callable[[], T], progress: Progress) -> T | None:
        """Run `work` and record the stage; if the stage is current, return None."""
        if self.is_current(stage, key):
            progress.say(f"{stage}: up to date")
            return None
        self.forget(stage)
        with self.timed(stage, key):
            return work()

    def forget(self, stage: str) -> None:
        """Record that a stage is incomplete, before its files change."""
        self.provenance.stages.pop(stage, None)
        self._write()

    @contextmanager
    def timed(self, stage: str, key: str) -> Iterator[None]:
        """Record a stage as complete, with its duration, if the block raises no error."""
        started = time.monotonic()
        yield
        self.note(stage, key, time.monotonic() - started)

    def note(self, stage: str, key: str, seconds: float) -> None:
        """Record a stage as complete, with its duration in seconds."""
        finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.provenance.stages[stage] = Stage(key, round(seconds, 2), peak_memory(), finished)
        self._write()


def _stages_before(layout: RunLayout, identity: Mapping[str, str], overwrite: bool) -> dict[str, Stage]:
    """Return the complete stages of a folder.

    Raises
    ------
    RunFolderError
        The folder contains other files or results of another recipe, and `overwrite` is False.
    """
    own = (layout.plan.name, LOCK, COMPARING, f"{LOCK}.json", f"{COMPARING}.json")
    if not layout.path.exists() or all(p.name in own for p in layout.path.iterdir()):
        return {}
    if not layout.provenance.exists():
        if overwrite:
            return {}
        raise RunFolderError(f"{layout.path} is not empty and was not written by Bocage; choose another --out.")
    before = Provenance.load(layout.provenance)
    odd = sorted(k for k in identity if identity[k] != before.identity.get(k))
    has_results = any(stage not in NO_RESULTS for stage in before.stages)
    if odd and has_results and not overwrite:
        raise RunFolderError(
            f"{layout.path} contains results of another run (it differs in: {', '.join(odd)}). Choose another --out, or "
            "give --overwrite to repeat the stages that depend on the change."
        )
    return before.stages
