"""``bocage season``: accuracy of the run's model against the day up to which its series are known."""

import datetime
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from bocage.days import EPOCH, date_of
from bocage.disk import artefact, digest, write_json
from bocage.errors import EvaluationError
from bocage.evaluation import AtDay, Curve, SeasonScore
from bocage.layout import SeasonLayout, SplitLayout
from bocage.progress import QUIET, Progress
from bocage.ranges import Range, check_ranges
from bocage.recipe import Recipe
from bocage.reliability import reliability
from bocage.run import Run, held, open_run, segment_first
from bocage.samples import Cut, Samples
from bocage.samples.cut import cut
from bocage.scene import Cube, filtered_until, scene_until, series_of
from bocage.textfile import write_csv
from bocage.training import Trained, Trainer, at_cutoff, check_single, fixed_dates, proposed
from bocage.words import Note

FORMAT = 3
"""Changed when the results of the same settings change."""
ONCE, RETRAINED = "once", "retrained"


@dataclass(frozen=True)
class Asked:
    """What ``bocage season`` computes."""

    dates: tuple[datetime.date, ...] = ()
    """Cut-offs; empty: the 15th and the last day of the months with new acquisitions, and the last date."""
    wanted: Annotated[float, Range(0, 1, above=True)] = 0.8
    """Wanted overall accuracy, and F-measure of each class."""
    retrain: bool = False
    """Whether a model is also trained for each cut-off, for comparison."""

    def __post_init__(self) -> None:
        check_ranges(self)


def season(
    recipe: Recipe,
    out: Path,
    asked: Asked = Asked(),
    progress: Progress = QUIET,
    overwrite: bool = False,
) -> SeasonScore:
    """Measure the accuracy at each cut-off on the test polygons of all draws; write ``season/`` in the run's folder.

    Models that are not trained are trained first. After an interruption, complete draws and cut-offs are kept.

    Raises
    ------
    RecipeError
        The recipe has several sites.
    SceneError
        No source of the model is a series, or it has features of objects.
    ModelError
        The model is trained on windows.
    EvaluationError
        The recipe has no test part, or a cut-off is before the first date of the series.
    """
    recipe.check_single()
    check_single(recipe.choice, "season")
    if not recipe.split.tests:
        raise EvaluationError(
            f"{recipe.path}: [split] train = 1 uses all polygons for training, and an accuracy needs a test part. Set it below 1."
        )
    with held(out):
        segment_first(recipe, out, progress, overwrite)
        run = open_run(recipe, out, progress, overwrite, ("train",))
        work = Work.of(run, asked, progress)
        run.train()
        return work.done()


@dataclass
class Work:
    """Computation of the curves of a run; results are kept in ``results.json`` as they come."""

    run: Run
    days: tuple[datetime.date, ...]
    """The cut-offs, ascending."""
    asked: Asked
    progress: Progress
    results: dict[str, Any] = field(default_factory=dict)
    """``ONCE`` or ``RETRAINED`` → cut-off → number of the draw → result."""

    @classmethod
    def of(cls, run: Run, asked: Asked, progress: Progress) -> "Work":
        """Check the cut-offs, and read the results of an earlier computation with the same training."""
        work = cls(run, cutoffs_of(run, asked.dates, progress), asked, progress)
        work.say()
        if work.folder.results.exists():
            with artefact(work.folder.results):
                work.results = json.loads(work.folder.results.read_text(encoding="utf-8"))
        if work.results.get("key") != work.key:
            shutil.rmtree(work.folder.path, ignore_errors=True)  # of another training
            work.results = {"key": work.key}
        return work

    @property
    def folder(self) -> SeasonLayout:
        """Paths of the files."""
        return self.run.layout.season

    @cached_property
    def key(self) -> str:
        """Digest of what determines the results, except the cut-offs."""
        return digest(FORMAT, self.run.keys.train)

    @cached_property
    def series(self) -> dict[str, Cube]:
        """Series of the model."""
        return series_of(self.run.scene, self.run.samples.cuts)

    @cached_property
    def filled(self) -> list[str]:
        """Names of the gap-filled series."""
        return [name for name, cube in self.series.items() if cube.preparation.fill]

    @cached_property
    def filtered(self) -> list[str]:
        """Names of the series of acquisition dates with a filter over all dates."""
        return [n for n, cube in self.series.items() if cube.preparation.speckle and not cube.preparation.fill]

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        """Names of the series that keep the model from maps until a day."""
        choice, scene = self.run.recipe.choice, self.run.scene
        if scene.ids is not None:  # tables are not mapped
            return ()
        return fixed_dates(choice, scene, choice.build(scene, self.run.samples.legend))

    def say(self) -> None:
        """Report what a user may not expect."""
        if self.fixed:
            names = tuple(f"'{name}'" for name in self.fixed)
            self.progress.say(Note.of("fixed_dates", model=self.run.recipe.choice.title, n=len(names), sources=names))
        elif not self.run.recipe.choice.training.cutoff:
            self.progress.say(
                "The model is trained on whole seasons ([training] cutoff = 0), and is less accurate before their end. For a "
                "model of all cut-offs, set cutoff, for example 0.7, and choose another --out."
            )
        if self.filled:
            self.progress.say(
                f"Gaps of {_listed(self.filled)} are filled for each cut-off from the acquisitions until it: the samples are cut "
                "again for each."
            )
        if self.filtered:
            self.progress.say(
                f"The speckle filter of {_listed(self.filtered)} uses the acquisitions until each cut-off: the samples are cut "
                "again for each."
            )
        if kept := [name for name in self.run.samples.cuts if name not in self.series]:
            self.progress.say(f"{_listed(kept)}: no series of dates, so it is used at every cut-off.")

    def done(self) -> SeasonScore:
        """Compute the missing results, write the files, and return the curves."""
        started, draws = time.monotonic(), self.run.samples.draws
        models = {k: Trained.load(self.run.layout.split(k).model.path) for k in range(draws)}
        kinds = (ONCE, RETRAINED) if self.asked.retrain else (ONCE,)
        todo = [(day, kind, k) for day in self.days for kind in kinds for k in range(draws)]
        samples: tuple[datetime.date, Samples] | None = None
        for number, (day, kind, k) in enumerate(todo, start=1):
            place = self.results.setdefault(kind, {}).setdefault(str(day), {})
            if str(k) not in place:
                if samples is None or samples[0] != day:
                    samples = (day, self._samples(day))
                found = self._retrained(samples[1], day, k) if kind == RETRAINED else self._at(models[k], samples[1], k)
                place[str(k)] = found.as_dict()
                self.folder.path.mkdir(parents=True, exist_ok=True)
                write_json(self.folder.results, self.results, None)
            self.progress.step("season", number, len(todo), f"until {day}")
        return self._written(time.monotonic() - started)

    def _samples(self, day: datetime.date) -> Samples:
        """Return the samples with their series until a day: later dates are masked; filled and filtered series are cut again.

        The model is given the dates that it was trained on; gaps are filled at the same regular dates.
        """
        samples, number = self.run.samples, (day - EPOCH).days
        cuts = {name: one.until(number) for name, one in samples.cuts.items() if isinstance(one, Cut)}
        renewed = [*self.filled, *self.filtered]
        if not renewed or number >= max(int(cube.source.days[-1]) for cube in self.series.values()):
            return replace(samples, cuts=cuts)
        scene, recipe = scene_until(self.run.scene, day, samples.cuts), self.run.recipe
        filtered = {name: filtered_until(self.series[name], number) for name in self.filtered}
        scene = replace(scene, cubes={**scene.cubes, **filtered})
        network = recipe.choice.build(self.run.scene, samples.legend)
        known = {name: network.footprints[name] for name in renewed if name in scene.cubes}
        pixels = samples.pixels(np.arange(len(samples.label)))
        again, _ = cut(scene, pixels, _Needs(known), self.folder.scratch / "samples", QUIET)
        gone = {name: cuts[name].until(-1) for name in self.filled}  # without a date until the day
        masked = {name: again[name].until(number) for name in filtered}
        return replace(samples, cuts={**cuts, **gone, **again, **masked})

    def _at(self, trained: Trained, samples: Samples, k: int) -> AtDay:
        """Return the result of a model at the test pixels of draw `k`."""
        test, classes = samples.draw(k).test, len(samples.legend.classes)
        found = at_cutoff(trained, samples.chips, test, None, self.run.recipe.choice.training.device)
        probabilities, label, seen = found.probabilities, samples.label[test].astype(np.int64), found.seen
        predicted = np.where(seen, probabilities.argmax(1), classes)
        counts = np.bincount(label * (classes + 1) + predicted, minlength=classes * (classes + 1))
        confidence, right = probabilities.max(1)[seen], (predicted == label)[seen]
        return AtDay(counts.reshape(classes, classes + 1), reliability(confidence, right))

    def _retrained(self, samples: Samples, day: datetime.date, k: int) -> AtDay:
        """Return the result of a model trained on series until a day."""
        choice = self.run.recipe.choice.with_training(cutoff=0.0)
        trusted = replace(samples, trust=self.run.trusted(k).trust)
        trainer = Trainer(choice, self.run.scene, trusted, self.run.start)
        where = SplitLayout(self.folder.scratch / f"{day}-{k}")
        trained = trainer.train_once(k, where, QUIET)
        found = self._at(trained, samples, k)
        shutil.rmtree(where.path)
        return found

    def _written(self, seconds: float) -> SeasonScore:
        """Write the files, and return the curves."""
        cutoff = self.run.recipe.choice.training.cutoff
        retrained = self._curve(RETRAINED) if self._has(RETRAINED) else None
        score = SeasonScore(self._curve(ONCE), retrained, self.asked.wanted, cutoff, self.run.keys.train, self.fixed)
        self.run.folder.check_unchanged()
        self.folder.summary.unlink(missing_ok=True)
        write_csv(self.folder.table, score.rows())
        write_json(self.folder.summary, score.as_dict())
        shutil.rmtree(self.folder.scratch, ignore_errors=True)
        self.run.folder.note("season", digest(self.key, self.days, self.asked), seconds)
        return score

    def _has(self, kind: str) -> bool:
        """Return whether every draw has a result at every cut-off, perhaps from an earlier command."""
        there = self.results.get(kind, {})
        return all(len(there.get(str(day), {})) == self.run.samples.draws for day in self.days)

    def _curve(self, kind: str) -> Curve:
        samples = self.run.samples
        by_day = {
            day: tuple(AtDay.from_dict(self.results[kind][str(day)][str(k)]) for k in range(samples.draws))
            for day in self.days
        }
        draws, names = next(iter(by_day.values())), samples.legend.names
        tested = np.sum([one.counts.sum(1) for one in draws], 0) > 0
        untested = tuple(n for n, has in zip(names, tested, strict=True) if not has or n in samples.untested)
        draw = samples.draw(0)
        test, used = (
            len(np.unique(samples.group[some])) for some in (draw.test, np.concatenate([draw.train, draw.validation]))
        )
        return Curve(names, untested, by_day, test / max(1, used))


@dataclass(frozen=True)
class _Needs:
    """Footprints to cut; pixels with any valid source are cut."""

    footprints: dict[str, Any]
    any_source: bool = True


def cutoffs_of(run: Run, given: Sequence[datetime.date], progress: Progress) -> tuple[datetime.date, ...]:
    """Return the cut-offs, ascending: those given, or those proposed for the dates of the series.

    Raises
    ------
    EvaluationError
        A cut-off is before the first date of the series.
    """
    series = series_of(run.scene, run.samples.cuts)
    dates = sorted({int(day) for cube in series.values() for day in cube.source.days})
    if not given:
        return proposed(dates)
    first, last = (date_of(day) for day in (dates[0], dates[-1]))
    early = [day for day in given if day < first]
    if early:
        raise EvaluationError(
            f"The cut-off {min(early)} is before the first date of the series, {first}. Choose this day or a later one."
        )
    if late := [day for day in given if day > last]:
        progress.say(f"No acquisition is after {last}: the cut-off {min(late)} stands for the whole season.")
    return tuple(sorted({min(day, last) for day in given}))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
