"""``bocage plan``: estimate time, memory and disk space of a run from a trial of each stage on a part of the scene.

The trial runs the code of the stages on one window, in a temporary folder: it prepares the window, cuts samples, trains a few
steps, evaluates and maps. The estimates are valid for this machine and these files. The epoch of an early stop is unknown.
"""

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from bocage.conformal import Conformal, Held
from bocage.evaluation import Predictions, trust_of
from bocage.grid import Window
from bocage.layout import RunLayout, SplitLayout
from bocage.machine import cores, description, device_of, peak_memory
from bocage.mapping import Computing, classify_at, make_map, open_map
from bocage.models import Network
from bocage.progress import QUIET, Progress
from bocage.provenance import Estimate, Plan
from bocage.recipe import Recipe
from bocage.run import Inputs, open_scene
from bocage.samples import Samples, drop_rare, labelled, positions, samples_of
from bocage.samples.cut import Squares, by_tile, cut, tile_of
from bocage.samples.rasterise import Pixels
from bocage.scene import Scene, prepare_scene
from bocage.training import Choice, Trained, Trainer, Training, budgeted, check_single, classify, importance

BUDGET = 6.0
"""Approximate time limit for cutting additional samples, in seconds."""
BATCHES = 40
"""Number of optimiser steps in an epoch of the trial."""
FEW = 64
"""Maximum number of samples for the trial of the importance."""
CALIBRATING = 1_000_000
"""Number of calibration polygons of the trial's prediction sets, enough for every coverage."""
DOUBT = 0.2
"""Relative uncertainty of a measured time, because of other load on the machine."""


@dataclass
class _Probe:
    """A trial of a recipe."""

    recipe: Recipe
    scene: Scene
    folder: Path
    """Temporary folder."""
    pixels: Pixels
    """All labelled pixels of the scene."""
    part: Scene
    """The scene cropped to the window of the trial."""
    inside: Pixels
    """Labelled pixels of the window; row and column are relative to its corner."""
    model: Network
    progress: Progress
    workers: Sequence[int]
    """Numbers of preparing threads for which the time is estimated."""

    @property
    def share(self) -> float:
        """Share of the map pixels of the scene that are in the window, 0 to 1."""
        return float(np.prod(self.part.grid.shape) / np.prod(self.scene.grid.shape))

    @property
    def layout(self) -> RunLayout:
        """Paths in the temporary folder, as in a run's folder."""
        return RunLayout(self.folder)

    @property
    def device(self) -> str:
        """Device of the recipe."""
        return self.recipe.choice.training.device

    def step(self, done: int, stage: str) -> None:
        """Report the stage of the trial."""
        self.progress.step("probing", done, 5, stage)


def plan(recipe: Recipe, out: Path, workers: Sequence[int] = (), progress: Progress = QUIET) -> Plan:
    """Estimate time, memory and disk space of a run of a recipe on this machine.

    Parameters
    ----------
    out
        Folder of the run. The trial writes to a temporary folder next to it, and removes the temporary folder.
    workers
        Numbers of preparing threads for which the time is estimated; default: the number of cores.

    Raises
    ------
    BocageError
        The recipe cannot be run; ``bocage check`` lists all problems.
    """
    check_single(recipe.choice, "plan")
    startup = time.time() - psutil.Process().create_time()
    started = time.monotonic()
    scene = open_scene(recipe, out=out)
    Inputs.of(recipe, scene)
    opening = startup + time.monotonic() - started
    place = out.absolute().parent
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bocage-plan-", dir=place) as folder:
        started = time.monotonic()
        pixels, legend = _pixels(recipe, scene)
        recipe = replace(recipe, legend=legend)
        labelling = time.monotonic() - started
        probe = _probe(recipe, scene, Path(folder), pixels, progress, workers or (cores(),))
        return _run(probe, opening, labelling)


def _pixels(recipe: Recipe, scene: Scene) -> tuple[Pixels, Any]:
    found = labelled(scene, recipe.survey)
    kept, legend, _ = drop_rare(found.counted, recipe.legend, recipe.split)
    pixels = found.pixels.take(np.flatnonzero(kept))
    return replace(pixels, label=positions(pixels.label)), legend


def _probe(
    recipe: Recipe, scene: Scene, folder: Path, pixels: Pixels, progress: Progress, workers: Sequence[int]
) -> _Probe:
    window = _window(scene, pixels)
    grid = scene.grid.crop(window)
    part = scene if scene.ids else Scene(grid, {n: replace(c, grid=c.ratio.grid(grid)) for n, c in scene.cubes.items()})
    near = (pixels.row >= window.y) & (pixels.row < window.y + window.height)
    near &= (pixels.column >= window.x) & (pixels.column < window.x + window.width)
    inside = pixels.take(np.flatnonzero(near))
    inside = replace(inside, row=inside.row - np.int32(window.y), column=inside.column - np.int32(window.x))
    model = recipe.choice.build(scene, recipe.legend)
    return _Probe(recipe, scene, folder, pixels, part, inside, model, progress, workers)


def _window(scene: Scene, pixels: Pixels) -> Window:
    """Return the window of the trial: a row of tiles, one per core, that contains the tile with the most labelled pixels."""
    if scene.ids is not None:
        return scene.grid.window
    tile = tile_of(scene)
    width = scene.grid.shape[1]
    rows, columns = pixels.row // tile, pixels.column // tile
    count = np.bincount(rows * (width // tile + 1) + columns)
    y, x = divmod(int(count.argmax()), width // tile + 1)
    across = min(-(-width // tile), cores())
    x = max(0, min(x, -(-width // tile) - across))
    return Window(y * tile, x * tile, tile, across * tile).clip(scene.grid.shape)


def _run(probe: _Probe, opening: float, labelling: float) -> Plan:
    scene, r = probe.scene, probe.recipe
    stages, disk = [_about("open", opening)], 0
    probe.step(0, "preparing")
    prepared, seconds, by_workers, bytes_ = _prepare(probe)
    if seconds:
        stages.append(_about("prepare", seconds))
        disk += bytes_
    probe.step(1, "cutting samples")
    samples, cutting, cut_bytes, here = _samples(probe, prepared)
    stages.append(_about("samples", labelling + cutting))
    probe.step(2, "training")
    trained, training = _train(probe, samples)
    stages.append(training)
    probe.step(3, "evaluating")
    stages.append(_about("evaluate", _evaluate(probe, trained, samples, prepared)))
    if scene.ids is None:
        probe.step(4, "mapping")
        seconds, bytes_ = _map(probe, trained, prepared)
        stages.append(_about("map", seconds))
        disk += bytes_
    if r.evaluation.importance and r.split.tests:
        stages.append(_about("importance", _importance(probe, trained, samples)))
    stages.append(_about("report", _report(probe, trained)))
    probe.step(5, "done")
    disk += cut_bytes + _size(probe.layout.split(0).path) * samples.draws
    memory = peak_memory() + max(0, cut_bytes - here)
    total = sum(estimate.seconds for estimate in stages)
    preparing = next((estimate.seconds for estimate in stages if estimate.stage == "prepare"), 0.0)
    times = {n: total - preparing + seconds for n, seconds in by_workers.items()}
    return Plan(r.name, tuple(stages), int(memory), int(disk), times, description(), r.choice.title)


def _about(stage: str, seconds: float) -> Estimate:
    return Estimate(stage, seconds, seconds * (1 - DOUBT), seconds * (1 + DOUBT))


@contextmanager
def _clock(spent: list[float]) -> Iterator[None]:
    started = time.monotonic()
    yield
    spent.append(time.monotonic() - started)


def _prepare(probe: _Probe) -> tuple[Scene, float, dict[int, float], int]:
    """Prepare the window with all threads and with one thread, and scale the times by the area.

    Returns
    -------
    The prepared window, and for the whole scene: the seconds with all threads, threads → seconds, and the bytes on disk.
    """
    settings = probe.recipe.scene
    if probe.scene.ids is not None or not any(settings.wants(c) for c in probe.part.cubes.values()):
        return probe.part, 0.0, dict.fromkeys(probe.workers, 0.0), 0
    for cube in probe.part.cubes.values():
        cube.compute(cube.ratio.window(Window(0, 0, 16, 16)))  # excludes opening files and compilation from the times
    threads = settings.workers or cores()
    together: list[float] = []
    with _clock(together):
        prepared, _ = prepare_scene(probe.part, probe.layout.scene, settings)
    bytes_ = _size(probe.layout.scene)
    alone = list(together)
    if threads > 1:
        with _clock(alone):
            prepare_scene(probe.part, probe.layout.scratch, replace(settings, workers=1))
        shutil.rmtree(probe.layout.scratch)
    single, all_ = alone[-1] / probe.share, together[0] / probe.share
    efficiency = min(1.0, single / (threads * all_)) if threads > 1 else 0.8
    by_workers = {n: single / (1 + (n - 1) * efficiency) for n in probe.workers}
    return prepared, all_, by_workers, round(bytes_ / probe.share)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _samples(probe: _Probe, prepared: Scene) -> tuple[Samples, float, int, int]:
    """Cut the samples of the window, and assign their values to all samples of the scene, class by class.

    Returns
    -------
    The samples, the seconds and the bytes for cutting all of them, and the bytes cut in the trial.
    """
    spent: list[float] = []
    with _clock(spent):
        cuts, _ = cut(prepared, probe.inside, probe.model, probe.layout.cut, QUIET)
    here = _size(probe.layout.cut)
    more, labels = _further(probe, cuts)
    generator = np.random.default_rng(0)
    index = np.zeros(len(probe.pixels), np.int64)
    for label in np.unique(probe.pixels.label):
        known = np.flatnonzero(labels == label)
        of_class = np.flatnonzero(probe.pixels.label == label)
        index[of_class] = generator.choice(known if len(known) else np.arange(len(labels)), len(of_class))
    cuts = {name: replace(source_cut, index=index) for name, source_cut in more.items()}
    samples = samples_of(probe.scene, probe.recipe.survey, probe.pixels, cuts)
    scale = len(probe.pixels) / max(1, len(probe.inside))
    return samples, spent[0] * scale, round(here * scale), here + _size(probe.layout.scratch)


def _further(probe: _Probe, cuts: Any) -> tuple[Any, Any]:
    """Cut samples of other tiles for about `BUDGET` seconds; the training time of a random forest depends on their values.

    Returns
    -------
    Source → footprints, and the labels of these samples.
    """
    if probe.scene.ids is not None:
        return cuts, probe.inside.label
    groups = list(by_tile(probe.pixels, Squares(tile_of(probe.scene))))
    np.random.default_rng(1).shuffle(groups)
    started = time.monotonic()
    for name in probe.model.footprints:
        cube = probe.scene.cubes[name]
        cube.read(probe.model.footprints[name].window(groups[0][0], cube.ratio))
    most = max(1, int(BUDGET / max(1e-3, time.monotonic() - started)))
    members = np.sort(np.concatenate([group for _, group in groups[:most]]))
    pixels = probe.pixels.take(members)
    more, _ = cut(probe.scene, pixels, probe.model, probe.layout.scratch, QUIET)
    return more, pixels.label


def _train(probe: _Probe, samples: Samples) -> tuple[Trained, Estimate]:
    """Train one draw briefly, and each kind of member of a mixture; return the model and the estimate."""
    choice, where = probe.recipe.choice, probe.layout.split(0)
    if not choice.members:
        trainer = Trainer(choice, probe.scene, samples)
        return _train_one(trainer, where, probe.model.abilities.fitted)
    brief = choice.with_training(
        epochs=1, steps=(0, 0), checkpoint=1e9, loss="cross-entropy", samples_per_epoch=BATCHES
    )
    trained = Trainer(brief, probe.scene, samples).train(0, where.path)
    known: list[tuple[Choice, Estimate]] = []
    for i, member in enumerate(Trainer(choice, probe.scene, samples).of_members(trained.normalisation)):
        found = next((estimate for before, estimate in known if before == member.choice), None)
        if found is None or member.part:  # regions have different numbers of samples
            shutil.rmtree(where.member(i).path)
            network = member.choice.build(member.scene, samples.legend)
            found = _train_one(member, where.member(i), network.abilities.fitted)[1]
        known.append((member.choice, found))
    each = [estimate for _, estimate in known]
    seconds, low, high = (sum(getattr(e, part) for e in each) for part in ("seconds", "low", "high"))
    return trained, Estimate("train", seconds, low, high)


def _train_one(trainer: Trainer, where: SplitLayout, fitted: bool) -> tuple[Trained, Estimate]:
    """Train one draw: a network for three short epochs, other models completely; return the model and the estimate."""
    training, samples = trainer.choice.training, trainer.samples
    draw, draws = trainer.whole_draw(0), samples.draws
    used = draw.train if training.stops_early else draw.whole.train
    training = budgeted(training, samples.label[used])
    each = training.samples_per_epoch or len(used)
    ratio = min(1.0, BATCHES * training.batch_size / each)
    has_twin = training.calibrate and not training.stops_early and not fitted
    short = replace(
        training, epochs=3, steps=(0, 0), checkpoint=1e9, samples_per_epoch=max(1, round(each * ratio)),
        validation_samples=max(1, round(min(len(draw.validation), training.validation_samples or 1 << 40) * ratio)),
        loss="cross-entropy", calibrate=training.calibrate and not has_twin,
    )  # fmt: skip
    trainer = replace(trainer, choice=replace(trainer.choice, training=short))
    spent: list[float] = []
    # A model without epochs is trained twice, because the first time includes the import of its library.
    while not spent or (len(spent) == 1 and not where.curves.exists()):
        with _clock(spent):
            trained = trainer.train(0, where.path)
    if not where.curves.exists():
        return trained, _about("train", spent[0] + spent[1] * (draws - 1))
    ends = [float(line.rpartition(",")[2]) for line in where.curves.read_text(encoding="utf-8").splitlines()[1:]]
    epoch = (ends[-1] - ends[0]) / (len(ends) - 1) / ratio
    folds = training.parts_to_calibrate(len(np.unique(samples.group[used])))
    if has_twin and folds > 1:
        epoch *= 1 + folds if training.samples_per_epoch else folds
    elif has_twin and len(draw.validation):
        epoch *= 2 if training.samples_per_epoch else 1 + len(draw.train) / len(used)
    return trained, _epochs(training, epoch, draws)


def _epochs(settings: Training, epoch: float, draws: int) -> Estimate:
    """Return the estimate for the training: the lower bound is the earliest early stop, the upper bound is all epochs."""
    fewest = min(settings.epochs, settings.patience + 1) if settings.stops_early else settings.epochs
    most, least = settings.epochs * epoch * draws, fewest * epoch * draws
    return Estimate("train", (most + least) / 2, least * (1 - DOUBT), most * (1 + DOUBT))


def _evaluate(probe: _Probe, trained: Trained, samples: Samples, prepared: Scene) -> float:
    draw, spent = samples.draw(0), list[float]()
    if trained.has_context:
        with _clock(spent):
            classify_at(trained, prepared, probe.inside, device_of(probe.device))
        tried = len(probe.inside)
    else:
        members = draw.test[: max(1, min(len(draw.test), 20_000))]
        with _clock(spent):
            classify(trained, samples.chips, members, probe.device)
        tried = len(members)
    with _clock(spent):
        Trained.load(probe.layout.split(0).model.path)
    return (spent[0] / max(1, tried) * len(draw.test) + spent[1]) * samples.draws


def _map(probe: _Probe, trained: Trained, prepared: Scene) -> tuple[float, int]:
    """Return the seconds and the bytes of the map; sets have a usual threshold if the short training calibrates none."""
    spent: list[float] = []
    if trained.conformal is None:
        held = Held(CALIBRATING, (1 / len(trained.legend.classes),), (CALIBRATING,))
        trained = replace(trained, conformal=Conformal((held,) * len(trained.legend.classes), held))
    with _clock(spent):
        make_map(trained, prepared, probe.recipe.map, probe.layout.map.path, Computing(probe.device))
    return spent[0] / probe.share, round(_size(probe.layout.map.path) / probe.share)


def _importance(probe: _Probe, trained: Trained, samples: Samples) -> float:
    """Return the seconds for the importance, from a trial on up to `FEW` samples."""
    spent: list[float] = []
    most, test = probe.recipe.evaluation.importance, samples.draw(0).test
    with _clock(spent):
        result = importance(trained, samples, test, min(most, FEW), probe.device)
    wanted = min(most, len(test))
    return spent[0] * wanted / max(1, result.samples)


def _report(probe: _Probe, trained: Trained) -> float:
    """Return the seconds for the figures of the report, which take most of its time."""
    spent: list[float] = []
    with _clock(spent):
        from bocage.report.figures import confidence_picture, coverage_picture, map_picture, reliability_picture
        from bocage.words import words_of

        n, sure = np.zeros(99, np.int32), np.full(99, 0.5, np.float32)
        predictions = Predictions(n, n, n, n.astype(np.int16), n.astype(np.int16), sure, sure)
        trust = [trust_of(predictions, predictions.label, None, (1, 1))] * (probe.recipe.split.known_draws or 1)
        for draw in (reliability_picture, coverage_picture):
            draw(trust, words_of("en"))
        if probe.layout.map.is_complete:
            land = open_map(trained.legend, probe.scene.grid, probe.recipe.map, probe.layout.map.path)
            files = land.files if land.is_readable else {}
            if "classes" in files:
                map_picture(files["classes"], trained.legend)
            if "confidence" in files:
                confidence_picture(files["confidence"])
    return spent[0]
