"""``bocage compare``: compare the recipe's model with others on the same draws; an interrupted comparison resumes."""

import dataclasses
import json
import multiprocessing
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence, Set
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from bocage.disk import write_json
from bocage.errors import BocageError, Problem, RecipeError
from bocage.evaluation import METRICS, Comparison, Line, Predictions, load_score, set_beside
from bocage.jobs.prepare import prepare
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.machine import cores, device_count, device_of
from bocage.mapping import pixels_per_second
from bocage.progress import QUIET, Named, Progress, Sent, listening
from bocage.provenance import Provenance
from bocage.recipe import Recipe, read_recipe
from bocage.run import COMPARING, drawn_units, held, open_run, open_scene, placed, segment_first
from bocage.training import Trained
from bocage.words import Note

TERMINATED = 143
"""Exit code of a process that was ended by SIGTERM."""
PATIENCE = 5.0
"""Seconds that terminated processes have for releasing their folders."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One model of a comparison: its label, the recipe with this model, and its folder."""

    label: str
    recipe: Recipe
    layout: RunLayout


def entries(recipe: Recipe, out: Path) -> list[Entry]:
    """Return the recipe's model in the run's folder, and every model of ``[[compare]]`` in a folder below it.

    Raises
    ------
    RecipeError
        The recipe has no table ``[[compare]]``, or two labels give the same folder name.
    """
    if not recipe.compare:
        raise RecipeError(
            recipe.path,
            [
                Problem(
                    "compare",
                    "the recipe has no model to compare with; add a table [[compare]] with model = { name = ... }",
                )
            ],
        )
    run = RunLayout(out)
    listed = [Entry(recipe.choice.title, dataclasses.replace(recipe, compare=()), run)]
    for contender in recipe.compare:  # all models have the objects of the run
        own = dataclasses.replace(placed(recipe, out), choice=contender.choice, compare=())
        listed.append(Entry(contender.label, own, run.rival(_slug(contender.label))))
    slugs = [entry.layout.path.name for entry in listed[1:]]
    twice = sorted({slug for slug in slugs if slugs.count(slug) > 1})
    if twice:
        raise RecipeError(
            recipe.path, [Problem("compare", f"two labels give the same folder name, {twice[0]}; change one of them")]
        )
    return listed


def _slug(label: str) -> str:
    """Return the folder name of a label.

    >>> _slug("M3Fusion, no VHR")
    'm3fusion-no-vhr'
    """
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "model"


def compare_models(
    recipe: Recipe, out: Path, jobs: int = 0, progress: Progress = QUIET, metric: str = "overall_accuracy"
) -> Comparison:
    """Train and evaluate every model on the same draws, and test the significance of their differences.

    Complete results are kept. If a model fails, the failure is reported and the other models continue. `jobs` models run at
    the same time; by default one per GPU, or one per four CPU cores. Processes share the cores.

    Raises
    ------
    RecipeError
        The recipe has no model to compare with, or no test part.
    UnknownNameError
        The metric is not on the shelf.
    ModelError
        A model does not accept the sources of the scene; raised before the training of the first model.
    """
    METRICS.get(metric)  # an unknown name is reported before the training
    if not recipe.split.tests:
        message = "a comparison needs a test part, and train = 1 uses all polygons for training; set it below 1"
        raise RecipeError(recipe.path, [Problem("split.train", message)])
    wanted = entries(recipe, out)
    with held(out):
        segment_first(recipe, out, progress)
    scene = open_scene(recipe, out=out)
    for entry in wanted:
        try:
            entry.recipe.choice.build(scene, recipe.legend)
        except BocageError as error:
            raise type(error)(f"{entry.label}: {error}") from error
    with held(out, COMPARING):
        prepare(recipe, out, progress, overwrite=False)
        jobs = min(len(wanted), jobs or _jobs(recipe))
        failed = _one_by_one(wanted, out, progress) if jobs == 1 else _together(wanted, out, jobs, progress)
        done = [entry for entry in wanted if entry.label not in failed]
        for entry in done:
            _time(entry, out)
    tested = {entry.label: _tested(entry) for entry in done}
    units = drawn_units(done[0].layout, tested[done[0].label][recipe.map.draw].polygon) if done else None
    return set_beside([_line(entry) for entry in done], tested, metric, recipe.map.draw, failed, units)


def _jobs(recipe: Recipe) -> int:
    """Return the default number of models that run at the same time: one per GPU, or one per four CPU cores."""
    gpus = device_count(recipe.choice.training.device)
    return gpus or max(1, cores() // 4)


def _one_by_one(wanted: list[Entry], out: Path, progress: Progress) -> dict[str, str | Note]:
    failed: dict[str, str | Note] = {}
    for k, entry in enumerate(wanted):
        progress.step("comparing models", k, len(wanted), entry.label)
        if reason := _work(entry, out, Named(progress, f"{entry.label}: ")):
            failed[entry.label] = reason
            progress.say(f"{entry.label} failed: {reason}")
    progress.step("comparing models", len(wanted), len(wanted))
    return failed


def _work(entry: Entry, out: Path, progress: Progress) -> str:
    """Train and evaluate one model; return the error message, or an empty text if there was no error."""
    try:
        where = entry.layout.path
        run(entry.recipe, where, ("train", "evaluate"), progress, where != out, RunLayout(out).scene)
    except BocageError as error:
        return str(error)
    return ""


def _time(entry: Entry, out: Path) -> None:
    """Measure the mapping speed of a model once. Models are measured in sequence, because they would slow each other."""
    where, layout = entry.layout.path, entry.layout
    opened = open_run(entry.recipe, where, QUIET, where != out, ("map",), RunLayout(out).scene)
    key = opened.keys.train
    if layout.speed.exists() and json.loads(layout.speed.read_text(encoding="utf-8"))["key"] == key:
        return
    trained = Trained.load(layout.split(entry.recipe.map.draw).model.path)
    speed = pixels_per_second(trained, opened.scene, device_of(entry.recipe.choice.training.device))
    size = sum(p.numel() for p in trained.model.parameters())
    write_json(layout.speed, {"key": key, "pixels_per_second": speed, "parameters": size}, None)


def _together(wanted: list[Entry], out: Path, jobs: int, progress: Progress) -> dict[str, str | Note]:
    """Train and evaluate the models in `jobs` processes; return label → error message of the models that failed."""
    context, failed = multiprocessing.get_context("spawn"), dict[str, str | Note]()
    with context.Manager() as manager:
        messages, places = manager.Queue(), manager.Queue()
        others = set(multiprocessing.active_children())
        gpus = device_count(wanted[0].recipe.choice.training.device)
        for k in range(jobs):
            places.put(k % gpus if gpus else None)
        with (
            listening(messages, progress),
            _threads_for(jobs),
            ProcessPoolExecutor(jobs, context, _settle, (places,)) as pool,
        ):
            waiting: dict[Future[str], Entry] = {}
            try:
                for entry in wanted:
                    again = (entry.recipe.path, entry.recipe.overrides)
                    waiting[pool.submit(_apart, again, entry.label, out, messages)] = entry
                for k, future in enumerate(as_completed(waiting), start=1):
                    label = waiting[future].label
                    if reason := _outcome(future):
                        failed[label] = reason
                        progress.say(f"{label} failed: {reason}")
                    progress.step("comparing models", k, len(wanted), label)
            except BaseException:
                # The pool would still start queued models, so its processes are terminated. Their checkpoints remain.
                pool.shutdown(wait=False, cancel_futures=True)
                end_processes(set(multiprocessing.active_children()) - others)
                raise
    return failed


def end_processes(processes: Set[BaseProcess]) -> None:
    """Terminate processes and wait for their end, because a running one needs the queues of the comparison.

    A process that takes longer than `PATIENCE` seconds is terminated a second time: Python drops exceptions that are
    raised in a destructor, and this process would start the next model.
    """
    for _ in range(2):
        for process in processes:
            process.terminate()
        ends = time.monotonic() + PATIENCE
        for process in processes:
            process.join(max(0.0, ends - time.monotonic()))


def _outcome(future: "Future[str]") -> str | Note:
    try:
        return future.result()
    except BrokenProcessPool:
        return Note.of("process_killed")


def _settle(places: Any) -> None:
    """Assign one GPU to this process, if the machine has GPUs and CUDA_VISIBLE_DEVICES is not set."""
    place = places.get()
    if place is not None and "CUDA_VISIBLE_DEVICES" not in os.environ:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(place)


def _apart(again: tuple[Path, Sequence[str]], label: str, out: Path, messages: Any) -> str:
    """Train and evaluate one model in this process; the recipe is read again because modules cannot be pickled."""
    try:
        signal.signal(
            signal.SIGTERM, signal.default_int_handler
        )  # the folder's lock is removed before the process ends
        try:
            entry = next(entry for entry in entries(read_recipe(*again), out) if entry.label == label)
            return _work(entry, out, Named(Sent(messages), f"{label}: "))
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # raises KeyboardInterrupt for a signal that just came
    except KeyboardInterrupt:
        os._exit(TERMINATED)  # an exception would be the result of this model, and the process would start the next one


@contextmanager
def _threads_for(jobs: int) -> Iterator[None]:
    """Limit the threads of processes started in the block, so that `jobs` processes share the cores."""
    before = {name: os.environ.get(name) for name in THREADS}
    each = str(max(1, cores() // jobs))
    os.environ.update({name: each for name in THREADS if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def _tested(entry: Entry) -> list[Predictions]:
    draws = len(load_score(entry.layout.score).matrices)
    return [Predictions.from_parquet(entry.layout.split(k).test) for k in range(draws)]


def _line(entry: Entry) -> Line:
    stages = Provenance.load(entry.layout.provenance).stages
    seconds = [record.seconds for name, record in stages.items() if name.startswith("train/")]
    facts = json.loads(entry.layout.speed.read_text(encoding="utf-8"))
    score = load_score(entry.layout.score)
    return Line(entry.label, score, float(np.median(seconds)), facts["pixels_per_second"], facts["parameters"])
