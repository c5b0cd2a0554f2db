"""The folder of a run: its paths, its recipe, and its complete stages."""

import dataclasses
import datetime
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from bocage.disk import Watch, checksums_of, damaged, digest, in_order, write_text
from bocage.errors import RunFolderError
from bocage.layout import RunLayout
from bocage.machine import peak_memory, versions
from bocage.progress import Progress
from bocage.provenance import Provenance, Stage
from bocage.recipe import Recipe
from bocage.redaction import redacted
from bocage.run.lock import COMPARING, LOCK
from bocage.samples import Reference
from bocage.samples.reference import fingerprint_reference
from bocage.scene import Scene
from bocage.sources import objects
from bocage.vectorfile import vector_files

T = TypeVar("T")
NO_MATTER = (
    "path", "text", "overrides", "choice", "scene", "compare", "report", "workers", "plugins", "finish", "sites", "segment",
    "doctor",
)  # fmt: skip
"""Fields of a recipe without a digest of their own. They do not affect the results (location and text of the file, cache on
disk, other models, report, workers, allowed code), or their parts have separate digests (the choice, what follows the map, the
sites, the objects, the doubt)."""
NO_RESULTS = ("prepare", "samples", "pretrain", "segment", "features", "doctor", "doubt")
"""Stages that are repeated without ``--overwrite``."""
FINISHING = ("vote", "regularise", "accuracy", "vectors", "zones")
"""Stages of ``bocage finish``."""


REFERENCE = "[reference]"
"""Key of the reference data among the contents of the inputs, beside the names of the sources."""
OF_SITE = "inputs of "
"""Start of the name of the inputs of a site."""
OF_PRETRAINING = "pretrain"
"""Start of the names of the settings of a pretraining, and of its weights, which are not known when a folder is claimed."""
ORDER = "order of the sites"
"""Section of the order of the sites with polygons: it gives the polygons their numbers, and so the draws."""


@dataclass(frozen=True)
class Inputs:
    """The files that a run reads, and their contents. Results depend on the contents only, so that a folder can be moved."""

    files: Mapping[str, str]
    """Path, or address without password → digest."""
    contents: Mapping[str, tuple[str, ...]]
    """Source, or ``REFERENCE`` → digests of its files, in the order of their paths, and that of a source as it is read."""
    watch: Watch
    """State of the files before their digests were computed."""
    parts: Mapping[str, "Inputs"] = field(default_factory=dict)
    """Site → its inputs; empty for a recipe of one site."""

    @classmethod
    def of(cls, recipe: Recipe, scene: Scene) -> "Inputs":
        """Return the inputs of a recipe; every file is read."""
        return cls.read(scene, recipe.reference, recipe.map.region)

    @classmethod
    def read(cls, scene: Scene, reference: Reference | None, region: Path | None) -> "Inputs":
        """Return the inputs of a scene, its reference polygons and its region; every file is read."""
        names: list[str | Path] = [path for cube in scene.cubes.values() for path in cube.paths]
        polygons = reference.files if reference else []
        watch = Watch.on([*names, *polygons, *(vector_files(region) if region else [])])
        by_source = {name: cube.fingerprints() for name, cube in scene.cubes.items()}
        files = {path: value for found in by_source.values() for path, value in found.items()}
        contents = {name: (*in_order(found), scene.cubes[name].content) for name, found in by_source.items()}
        if reference:
            fingerprint = fingerprint_reference(reference)
            files, contents = files | {reference.shown: fingerprint}, contents | {REFERENCE: (fingerprint,)}
        return cls(files, contents, watch)

    @classmethod
    def together(cls, parts: Mapping[str, "Inputs"]) -> "Inputs":
        """Return the inputs of several sites."""
        files = {path: value for part in parts.values() for path, value in part.files.items()}
        states = {path: state for part in parts.values() for path, state in part.watch.states.items()}
        contents = {f"{site}: {name}": found for site, part in parts.items() for name, found in part.contents.items()}
        return cls(files, contents, Watch(states), parts)

    @property
    def identity(self) -> dict[str, str]:
        """Name → digest of the contents of all files, or of those of each site."""
        if self.parts:
            return {f"{OF_SITE}{site}": digest(part.contents) for site, part in self.parts.items()}
        return {"inputs": digest(self.contents)}

    def watching(self, paths: Iterable[str | Path]) -> "Inputs":
        """Return the inputs, with further files to watch from now on."""
        return dataclasses.replace(self, watch=Watch({**self.watch.states, **Watch.on(paths).states}))

    @property
    def images(self) -> dict[str, tuple[str, ...]]:
        """Contents without the reference data."""
        return {name: digests for name, digests in self.contents.items() if name != REFERENCE}


def identity_of(recipe: Recipe, inputs: Inputs) -> dict[str, str]:
    """Return section → digest of all settings and inputs that determine the results of a recipe.

    Objects that the run itself segments are a result.
    """
    own = {name for name, choice in (recipe.sources or {}).items() if objects.of_the_run(choice.settings)}
    if own:
        contents = {name: found for name, found in inputs.contents.items() if name not in own}
        inputs = dataclasses.replace(inputs, contents=contents)
    skipped = (*NO_MATTER, "grid", "sources", "reference") if recipe.sites else NO_MATTER
    values = {f.name: getattr(recipe, f.name) for f in dataclasses.fields(recipe) if f.name not in skipped}
    choice = recipe.choice
    if own:
        values["segment"] = recipe.segment
    if recipe.reference and recipe.reference.doubtful != "keep":
        values["doctor"] = recipe.doctor
    training = (choice.training, choice.trainings) if choice.trainings else choice.training
    values |= {"model": choice.name, "config": choice.config, "training": training}
    values |= {"map": dataclasses.replace(recipe.map, sites=())} | {f"site {site.name}": site for site in recipe.sites}
    if recipe.sites:
        values[ORDER] = recipe.order_of_sites
    return {name: digest(value) for name, value in values.items()} | inputs.identity


@dataclass
class RunFolder:
    """Folder of a run, described by ``provenance.json``."""

    layout: RunLayout
    provenance: Provenance
    inputs: Inputs

    @classmethod
    def claim(cls, layout: RunLayout, recipe: Recipe, inputs: Inputs, overwrite: bool) -> "RunFolder":
        """Claim a new folder, or a folder with results of the same recipe.

        Raises
        ------
        RunFolderError
            The folder contains other files or results of another recipe, and `overwrite` is False.
        """
        identity = identity_of(recipe, inputs)
        stages = _stages_before(layout, identity, overwrite)
        unread = {f"{OF_SITE}{site.name}" for site in recipe.sites} - set(identity)
        files = inputs.files
        before = Provenance.load(layout.provenance) if layout.provenance.exists() else None
        if before:  # sites that are not opened, and a pretraining, keep what is known of them
            known = before.identity.items()
            identity = {k: v for k, v in known if k in unread or k.startswith(OF_PRETRAINING)} | identity
            files = {**before.inputs, **files} if unread else files
        layout.path.mkdir(parents=True, exist_ok=True)
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        provenance = Provenance(
            recipe.name,
            recipe.choice.title,
            identity,
            str(recipe.path.resolve()),
            files,
            versions(),
            started,
            stages,
            len(recipe.choice.members) or 1,
            recipe.overrides,
            before.finishing if before else {},
        )
        write_text(layout.recipe, redacted(recipe.text))
        folder = cls(layout, provenance, inputs)
        folder._write()
        return folder

    def settle(self, entries: Mapping[str, str], final: bool, overwrite: bool) -> None:
        """Add entries to the identity of the run; those of `final` results are not replaced without `overwrite`.

        Raises
        ------
        RunFolderError
            The results are final, an entry has another value, and `overwrite` is False.
        """
        known = self.provenance.identity
        odd = sorted(name for name, value in entries.items() if known.get(name, value) != value)
        if odd and final and not overwrite:
            raise _differs(self.layout, odd)
        self.provenance.identity = {**known, **entries}
        self._write()

    @property
    def has_results(self) -> bool:
        """Whether there is a complete stage that is not repeated without ``--overwrite``."""
        return _has_results(self.provenance)

    def _write(self) -> None:
        self.provenance.save(self.layout.provenance)

    def is_current(self, stage: str, key: str) -> bool:
        """Return whether a stage is complete for the inputs and settings with the digest `key`, and its files intact."""
        return self._is_recorded(stage, key) and not self._damaged(stage)

    def _is_recorded(self, stage: str, key: str) -> bool:
        record = self.provenance.stages.get(stage)
        return record is not None and record.key == key

    def _damaged(self, stage: str) -> list[str]:
        """Return the files of a complete stage that are missing or were changed since."""
        return damaged(self.layout.path, self.provenance.stages[stage].files)

    def need(self, stage: str, key: str, command: str) -> None:
        """Check that an earlier stage is complete.

        Raises
        ------
        RunFolderError
            The stage is not complete, or its inputs or settings have changed.
        """
        if not self._is_recorded(stage, key):
            raise RunFolderError(
                f"{self.layout.path}: the stage '{stage}' is not complete for this recipe; run 'bocage {command}' first."
            )
        if odd := self._damaged(stage):
            raise RunFolderError(
                f"{self.layout.path / odd[0]} is missing or was changed since the stage '{stage}' wrote it. Run 'bocage "
                f"{command}' to compute it again."
            )

    def once(self, stage: str, key: str, work: Callable[[], T], progress: Progress) -> T | None:
        """Run `work` and record the stage; if the stage is current, return None."""
        if self.is_current(stage, key):
            progress.say(f"{stage}: up to date")
            return None
        self.say_damage(stage, key, progress)
        self.forget(stage)
        with self.timed(stage, key):
            return work()

    def say_damage(self, stage: str, key: str, progress: Progress) -> None:
        """Report a damaged file of a stage whose inputs and settings have not changed."""
        for name in self._damaged(stage)[:1] if self._is_recorded(stage, key) else ():
            progress.say(f"{stage}: {name} is missing or was changed since; the stage is repeated.")

    def forget(self, stage: str) -> None:
        """Record that a stage is incomplete, before its files change; the test of a model ends with its training."""
        kind, _, number = stage.partition("/")
        for one in (stage, *([f"evaluate/{number}", "importance"] if kind == "train" else [])):
            self.provenance.stages.pop(one, None)
        self._write()
        split = self.layout.split(int(number)) if kind == "train" else None
        for path in (split.training, *split.tested) if split else ():
            path.unlink(missing_ok=True)

    def keep_draws(self, draws: int, progress: Progress) -> None:
        """Remove the folders of the draws that an earlier recipe had more."""
        for number, split in self.layout.splits_from(draws).items():
            progress.say(f"{split.path} is removed: the recipe has {draws} draw(s) now.")
            for stage in ("doubt", "train", "evaluate"):
                self.provenance.stages.pop(f"{stage}/{number}", None)
            self._write()
            shutil.rmtree(split.path)

    @contextmanager
    def timed(self, stage: str, key: str) -> Iterator[None]:
        """Record a stage as complete, with its duration, if the block raises no error.

        Raises
        ------
        RunFolderError
            An input file changed since the start of the run.
        """
        started = time.monotonic()
        yield
        self.check_unchanged()
        self.note(stage, key, time.monotonic() - started)

    def check_unchanged(self) -> None:
        """Check that no input file changed since its digest was computed.

        Raises
        ------
        RunFolderError
            A file changed, even if it was changed back.
        """
        if odd := self.inputs.watch.changed():
            others = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            raise RunFolderError(
                f"{odd[0]}{others} changed during the run. The stage at work is not complete. Run the same command again when "
                "the input files no longer change."
            )

    def note(self, stage: str, key: str, seconds: float) -> None:
        """Record a stage as complete, with its duration in seconds."""
        finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        files = checksums_of(self.layout.files_of(stage), self.layout.path)
        self.provenance.stages[stage] = Stage(key, round(seconds, 2), peak_memory(), finished, files)
        if stage == "map":
            self._forget_finished()
        self._write()

    def _forget_finished(self) -> None:
        """Remove the records of what was made of the classes of an earlier map, whose files a new map removes."""
        for name in FINISHING:
            record = self.provenance.stages.get(name)
            if record and not all((self.layout.path / file).exists() for file in record.files):
                del self.provenance.stages[name]


def has_results(layout: RunLayout) -> bool:
    """Return whether a folder has a complete stage of a run that is not repeated without ``--overwrite``."""
    return layout.provenance.exists() and _has_results(Provenance.load(layout.provenance))


def _has_results(before: Provenance) -> bool:
    return any(stage.partition("/")[0] not in NO_RESULTS for stage in before.stages)  # those of a site or draw as well


def _stages_before(layout: RunLayout, identity: Mapping[str, str], overwrite: bool) -> dict[str, Stage]:
    """Return the complete stages of a folder.

    Raises
    ------
    RunFolderError
        The folder contains other files or results of another recipe, and `overwrite` is False.
    """
    own = (layout.plan.name, layout.mapped.name, LOCK, COMPARING, f"{LOCK}.json", f"{COMPARING}.json")
    if not layout.path.exists() or all(p.name in own for p in layout.path.iterdir()):
        return {}
    if not layout.provenance.exists():
        if overwrite:
            return {}
        if layout.map.is_complete:
            raise RunFolderError(
                f"{layout.path} has a map of a model from another run, but no run: no samples and no scores. Choose another "
                "--out for a run of this recipe, or write the report of the map again: bocage report "
                f"{shlex.quote(str(layout.path))}"
            )
        raise RunFolderError(f"{layout.path} is not empty and was not written by Bocage; choose another --out.")
    before = Provenance.load(layout.provenance)
    odd = sorted(k for k in identity if identity[k] != before.identity.get(k))
    if odd and _has_results(before) and not overwrite:
        raise _differs(layout, odd)
    return before.stages


def _differs(layout: RunLayout, odd: list[str]) -> RunFolderError:
    """Return the error of a folder with results of a recipe that differs in some sections or inputs."""
    return RunFolderError(
        f"{layout.path} contains results of another run (it differs in: {', '.join(odd)}). Choose another --out, or "
        "give --overwrite to repeat the stages that depend on the change."
    )
