"""Production of a map: find the missing windows, compute them with the workers, and write the files."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from bocage.disk import Journal, Watch, digest, in_order, read_checksums
from bocage.errors import MappingError, TrainedError
from bocage.grid import Grid, Window
from bocage.layout import MapLayout
from bocage.legend import Legend
from bocage.machine import device_of, release_memory, versions
from bocage.mapping import store as windows_on_disk
from bocage.mapping.areas import AreaCount, Areas
from bocage.mapping.arrivals import Notes
from bocage.mapping.delivery import Delivery, Item
from bocage.mapping.lattice import Lattice
from bocage.mapping.layers import LAYERS, Frame
from bocage.mapping.region import region_of
from bocage.mapping.settings import Computing, Mapping, Workers
from bocage.mapping.store import Store, checksum
from bocage.mapping.until import remarks_until, scene_for
from bocage.mapping.work import Done, Task
from bocage.mapping.workers import Crew, working
from bocage.mapping.writers import WRITERS
from bocage.progress import QUIET, Progress
from bocage.scene import Origin, Scene, origins_of
from bocage.sources.edges import no_edges_after
from bocage.sources.raster import is_raster
from bocage.training import Trained, remarks
from bocage.words import Note

TOLD = 5
"""Maximum number of windows listed in an error message."""


@dataclass(frozen=True)
class LandCoverMap:
    """A map on disk."""

    files: dict[str, Path]
    """Layer to its file."""
    grid: Grid
    legend: Legend
    folder: MapLayout

    @property
    def is_readable(self) -> bool:
        """Whether its files read as rasters."""
        return is_raster(self.files["classes"])

    @cached_property
    def areas(self) -> Areas:
        """Pixels and hectares of every class."""
        return Areas.load(self.folder.areas, self.legend)

    @cached_property
    def unclassified(self) -> Note | None:
        """The share of the map without a class, and why; None if few pixels have none, or if it is not known."""
        return Item.load(self.folder.item).unclassified if self.folder.item.exists() else None


def make_map(
    trained: Trained,
    scene: Scene,
    settings: Mapping,
    folder: Path,
    computing: Computing = Computing(),  # noqa: B008 - frozen
    progress: Progress = QUIET,
) -> LandCoverMap:
    """Map the scene, or its region, into `folder`; each output file appears when it is complete.

    Windows are stored in ``<folder>/.windows`` as they are computed. After an interruption, complete and intact windows are
    not computed again.

    Raises
    ------
    TrainedError
        The scene lacks sources or bands that the network was trained on.
    MappingError
        A file cannot be written, windows could not be read, or an input file changed during the computation.
    """
    making = Making.of(trained, scene, settings, MapLayout(folder), computing.device, progress)
    making.store.make(scene.grid)
    missing = making.missing()
    problems = making.make(missing, computing.workers) if missing else []
    making.check_unchanged()
    making.assemble(complete=not problems)
    if problems:
        raise MappingError(_listed(problems, folder))
    land = open_map(trained.legend, scene.grid, settings, folder)
    if land.unclassified:
        progress.say(land.unclassified)
    if not settings.keep_windows:
        making.store.remove()
    return land


def open_map(legend: Legend, grid: Grid, settings: Mapping, folder: Path) -> LandCoverMap:
    """Return the map that :func:`make_map` wrote to `folder`, in the first of its formats that reads as a raster.

    Formats from outside need not: reports and samples of the map then use the next one. Where none does, the files are
    those of the first format.
    """
    layout = MapLayout(folder)
    written = [
        {layer: layout.layer(layer, WRITERS.get(name).SUFFIX) for layer in settings.layers} for name in settings.formats
    ]
    readable = (files for files in written if files["classes"].exists() and is_raster(files["classes"]))
    return LandCoverMap(next(readable, written[0]), grid, legend, layout)


def open_map_folder(folder: Path) -> LandCoverMap:
    """Return the complete map of a folder, from what its STAC item says.

    Raises
    ------
    RunFolderError
        The item is missing or damaged.
    """
    layout = MapLayout(folder)
    item = Item.load(layout.item)
    return LandCoverMap(dict(item.files), item.grid, item.legend, layout)


@dataclass
class Making:
    """State of a map during its production."""

    task: Task
    settings: Mapping
    folder: MapLayout
    progress: Progress
    windows: list[Window]
    origins: dict[Window, Origin]
    """Window → its inputs."""
    inputs: dict[str, str]
    """Path → digest of each input file."""
    watch: Watch
    """State of the input files before their digests were computed."""
    journal: Journal = field(init=False)
    """Journal of the complete windows: read by :meth:`missing`, extended by :meth:`make`."""
    known: Notes = field(init=False)
    """The journal, with what the windows were computed from."""

    @classmethod
    def of(
        cls, trained: Trained, scene: Scene, settings: Mapping, folder: MapLayout, device: str, progress: Progress
    ) -> "Making":
        """Check that the scene can be mapped, and plan the windows."""
        whole, scene = scene, scene_for(trained, scene, settings.until) if settings.until else scene
        scene = trained.limited(scene)
        trained = trained.for_scene(scene)
        trained.check_scene(scene)
        for remark in (*remarks_until(trained, whole, scene, settings), *remarks(trained, scene)):
            progress.say(remark)
        _check_model(trained, settings)
        region = region_of(settings, scene)
        for remark in region.remarks if region else ():
            progress.say(remark)
        least = _least(trained, settings, progress)
        frame = Frame(trained.legend, tuple(trained.footprints), settings.probabilities, settings.certain, least)
        lattice = Lattice.of(trained, scene, settings.tile)
        bands = {name: LAYERS[name].bands(frame) for name in settings.layers}
        where = str(device_of(device))
        if slow := trained.model.slow_because(device_of(device)):
            progress.say(slow)
        store = Store(folder.windows, bands, lattice.tile, lattice.lead)
        task = Task(trained, scene, store, frame, lattice, settings.precision, region, where)
        tiles = lattice.windows(scene, trained.footprints)
        windows = [w for w in tiles if region is None or region.touches(scene.grid, w)]
        watch = Watch.on(_inputs(task))
        return cls(task, settings, folder, progress, windows, _origins(task, windows), _inputs(task), watch)

    @property
    def store(self) -> Store:
        """Store of the windows."""
        return self.task.store

    def missing(self) -> list[Window]:
        """Return the windows to compute, after a check of the stored windows; report outdated and damaged windows."""
        self.journal = self.store.journal
        noted = [w for w in self.windows if w.corner in self.journal.notes]
        other = [w for w in noted if self.journal.notes[w.corner]["key"] != self.origins[w].key]
        self.known = Notes(self.journal, self.store.parts)
        kept = set(self.known.unaffected(self.task, other, self.origins, self.progress))
        current = [w for w in noted if w not in other or w in kept]
        sound = self.store.sound(current)
        for window in kept & sound:
            self.known.keep(window, self.origins[window])
        if kept:
            self.progress.say(f"{len(kept)} of {len(self.windows)} windows have no data of the new acquisitions: kept.")
        if stale := len(noted) - len(current):
            self.progress.say(
                f"{stale} of {len(self.windows)} windows were made from other inputs or settings: made again."
            )
        if damaged := len(current) - len(sound):
            self.progress.say(f"{damaged} of {len(self.windows)} windows do not read back as written: made again.")
        if sound:
            self.progress.say(f"{len(sound)} of {len(self.windows)} windows are there already.")
        return [w for w in self.windows if w not in sound]

    def make(self, missing: Sequence[Window], workers: Workers) -> list[Done]:
        """Compute the missing windows; return those that could not be read."""
        done, pixels, computing, problems = len(self.windows) - len(missing), 0, 0.0, []
        with (
            no_edges_after(),
            working(workers, self.task, self.progress) as crew,
            closing(crew.do(missing)) as made,
        ):
            started = time.perf_counter()
            for one in made:
                done += 1
                if one.problem:
                    problems.append(one)
                    continue
                if self.watch.changed(self.origins[one.window].files):
                    continue  # read before or after the change: unknown, so it is not kept
                self.known.add(one.window, self.origins[one.window], one.sums, asdict(one.unclassified))
                pixels, computing = pixels + one.pixels, computing + one.computing
                note = _note(pixels, computing, time.perf_counter() - started, crew)
                self.progress.step("mapping", done, len(self.windows), note)
        release_memory()  # of the network, which the files and the report do not need
        return problems

    def check_unchanged(self) -> None:
        """Check that the input files have not changed since the start, not even to be changed back.

        Raises
        ------
        MappingError
            An input file has changed; windows that were read from it since are not kept.
        """
        if changed := self.watch.changed():
            raise MappingError(
                f"{changed[0]}{_and_more(len(changed) - 1, 'file')} changed while the map was computed. Run again when the "
                "input files no longer change: windows that do not depend on them are kept."
            )

    def assemble(self, complete: bool) -> None:
        """Make the files, out of the windows that there are."""
        for stale in self.folder.incomplete:
            stale.unlink()
        there = [w for w in self.windows if w.corner in self.journal.notes]
        there = [w for w in there if self.journal.notes[w.corner]["key"] == self.origins[w].key]
        replaced = self._classes_before()
        for last in (self.folder.item, self.folder.checksums):  # without them, files of two maps are not taken for one
            last.unlink(missing_ok=True)
        areas = AreaCount(self.task.scene.grid, self.task.frame.legend)
        names = [(name, WRITERS.get(name), layer) for name in self.settings.formats for layer in self.settings.layers]
        for done, (_, writer, layer) in enumerate(names):
            self.progress.step("writing", done, len(names), layer)
            path = self.folder.layer(layer, writer.SUFFIX, complete)
            legend = LAYERS[layer].legend(self.task.frame.legend)
            output = writer.open(path, self.task.scene.grid, self.store.layers[layer], legend)
            try:
                for window, array in self._read(layer, there):
                    output.put(window, array)
                    if layer == "classes" and writer is names[0][1]:
                        areas.count(window, array[0])
                output.close()
            except BaseException:
                output.discard()
                raise
        if complete:
            replace(self._delivery(), replaced=replaced).write(areas.areas())
        self.progress.step("writing", len(names), len(names))

    def _classes_before(self) -> str:
        """Return the checksum of the classes of the complete map in the folder; empty without one."""
        try:
            found = read_checksums(self.folder.checksums)
        except (OSError, ValueError):
            return ""
        return found.get(self.folder.layer("classes", WRITERS.get(self.settings.formats[0]).SUFFIX).name, "")

    def _read(self, layer: str, windows: Sequence[Window]) -> Iterator[tuple[Window, NDArray[Any]]]:
        group = self.store.open()
        for window in windows:
            array = self.store.take(group, layer, window)
            if checksum(array) != self.journal.notes[window.corner]["sums"][layer]:
                raise MappingError(
                    f"{self.store.folder}: the window at row {window.y}, column {window.x} does not match its checksum. Check "
                    "the disk, and run the same command again: the window is then computed again."
                )
            yield window, array

    @property
    def _promise(self) -> dict[str, Any]:
        """What the STAC item says about the prediction sets; nothing without sets."""
        if self.settings.sets is None:
            return {}
        least = dict(zip(self.task.frame.legend.names, self.task.frame.sets, strict=True))
        return {
            "sets": {"coverage": self.settings.sets, "by": self.settings.sets_by, "least_probability": least},
        }

    def _delivery(self) -> Delivery:
        task, without = self.task, self.known.unclassified(self.windows)
        sources = [task.scene.cubes[name] for name in task.trained.footprints]
        days = [
            int(day) for cube in sources if cube.source.dated for day in (cube.source.days[0], cube.source.days[-1])
        ]
        about = {
            "model": task.trained.title, "model_fingerprint": task.trained.fingerprint, "precision": task.precision,
            "sources": list(task.trained.footprints), "temperature": task.trained.calibration.temperature,
            "inputs": digest(in_order(self.inputs)), "versions": versions(), **self._promise,
            **({"until": self.settings.until.isoformat()} if self.settings.until else {}),
            **({"unclassified": asdict(without)} if without.note(task.trained.title) else {}),
        }  # fmt: skip
        land = open_map(task.frame.legend, task.scene.grid, self.settings, self.folder.path)
        period = (min(days), max(days)) if days else None
        newest = max(Path(path).stat().st_mtime for path in self.inputs)
        return Delivery(self.folder, land.grid, land.legend, self.store.layers, land.files, about, period, newest)


def _check_model(trained: Trained, settings: Mapping) -> None:
    if "novelty" in settings.layers and trained.domain is None:
        raise TrainedError(
            'The model folder has no training domain, which "novelty" needs. Train again, or remove "novelty" from [map] layers.'
        )
    if "parcels" in settings.layers and not trained.delineates:
        raise TrainedError(
            f'{trained.title} was trained without parcels, which the layer "parcels" needs. Train again with [training] parcels, '
            'or remove "parcels" from [map] layers.'
        )


def _least(trained: Trained, settings: Mapping, progress: Progress) -> tuple[float, ...]:
    """Return the least probability of each class in a prediction set; empty without sets. Report classes of few polygons.

    Raises
    ------
    TrainedError
        The model has no calibration polygons.
    """
    coverage, conformal = settings.sets, trained.conformal
    if coverage is None:
        return ()
    if conformal is None:
        raise TrainedError(
            f"{trained.title} has no calibration polygons, which [map] sets = {coverage:g} needs: it was trained without them, "
            "adapted, or trained with an earlier version. Train again with [training] calibrate = true, or map without sets, "
            "with the option --set map.sets="
        )
    if too_few := conformal.too_few(coverage, settings.sets_by, trained.legend.names):
        progress.say(too_few)
    return conformal.least(coverage, settings.sets_by)


def _origins(task: Task, windows: Sequence[Window]) -> dict[Window, Origin]:
    """Return, for each window, the key of the model, the settings and the input files that intersect it, and these files."""
    common = (
        windows_on_disk.FORMAT, task.trained.fingerprint, task.trained.later, task.frame,
        task.store.layers, task.store.tile, task.lattice.cell, *(task.lattice.start if any(task.lattice.start) else ()),
        task.precision, task.region.describe() if task.region else "", torch.__version__, torch.device(task.device).type,
    )  # fmt: skip
    footprints = task.trained.footprints
    cubes = {name: task.scene.cubes[name] for name in footprints}
    described = tuple((n, c.preparation, c.source.bands, c.grid.transform) for n, c in cubes.items())
    # Of these, a date changes also the windows in which it has no pixel.
    dates = {n: c.clock.tolist() for n, c in cubes.items() if n in task.trained.model.by_every_date}
    settings = (common, described, dates) if dates else (common, described)
    return origins_of(
        windows, cubes, lambda name, window: footprints[name].window(window, cubes[name].ratio), *settings
    )


def _inputs(task: Task) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in task.trained.footprints:
        found |= task.scene.cubes[name].fingerprints()
    return found


def _note(pixels: int, computing: float, spent: float, crew: Crew) -> str:
    """Return the pixels per second and the share of the time in which the networks were idle, as text."""
    idle = max(0.0, 1 - computing / (spent * crew.networks)) if spent else 0.0
    return f"{pixels / spent:,.0f} pixels/s, network waiting {idle:.0%}" if pixels and spent else ""


def _listed(problems: Sequence[Done], folder: Path) -> str:
    lines = [f"row {d.window.y}, column {d.window.x}: {d.problem}" for d in problems[:TOLD]]
    return (
        f"{len(problems)} window{'s' * (len(problems) > 1)} could not be computed:"
        + "".join(f"\n  - {line}" for line in lines)
        + (f"\n  - and {len(problems) - TOLD} more" if len(problems) > TOLD else "")
        + f"\nThe rest of the map is in {folder}, under names with '.partial'. Mend the cause and run the same command again: "
        "only these windows are made."
    )


def _and_more(count: int, what: str) -> str:
    return f" and {count} more {what}{'s' * (count > 1)}" if count else ""
