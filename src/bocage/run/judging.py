"""Held-out predictions for the reference polygons of a recipe, and the doubt about their labels."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.advice.doubt import Doubt, doubt_of
from bocage.advice.settings import Doubting
from bocage.disk import artefact, replacing
from bocage.errors import SamplesError
from bocage.models import MODELS
from bocage.progress import Progress
from bocage.samples import Labelled, Pixels, Samples, Split, positions
from bocage.samples.inner import inner_pixels, some_pixels
from bocage.samples.make import assembled
from bocage.scene import Scene
from bocage.training import Choice, OutOfFold, out_of_fold
from bocage.words import quantity

FEWEST_CLASSES = 2
"""Minimum number of classes among which a label can be wrong."""
TREES = 100
"""Number of trees of the forest that judges polygons."""


@dataclass(frozen=True)
class Judged:
    """Held-out predictions, as means over the repeats; polygons in the order of their numbers."""

    polygon: NDArray[np.int32]
    """(P,) numbers of the polygons."""
    label: NDArray[np.int64]
    """(P,) position of the class of each polygon."""
    place: NDArray[np.int64]
    """(P,) number of the place of each polygon: polygons of several years can be at one place."""
    unit: NDArray[np.int64]
    """(N,) position of the polygon of each sample."""
    pixel: NDArray[np.float32]
    """(N, K) class probabilities of every sample."""
    probabilities: NDArray[np.float64]
    """(P, K) class probabilities of every polygon: means over its samples."""
    neighbours: NDArray[np.float64]
    """(P, K) shares of the classes among the nearest polygons."""
    distance: NDArray[np.float64]
    """(P,) distance to the nearest polygon of the class, over the usual one."""
    spread: NDArray[np.float64]
    """(P,) standard deviation over the repeats of the probability of the label; 0 with one repeat."""
    known: NDArray[np.bool_] | None = None
    """(P,) whether a model that judged the polygon had samples of its class; None: all had."""

    def doubt(self, region: NDArray[np.int64] | None = None) -> Doubt:
        """Return the doubt about each polygon; `region` (P,) numbers the regions."""
        return doubt_of(self.probabilities, self.neighbours, self.label, region, self.place, self.known)


def judge_of(choice: Choice, settings: Doubting, fitted: bool) -> Choice:
    """Return the model that judges polygons; `fitted`: whether the model of the recipe is fitted at once."""
    if settings.model == "recipe" or (settings.model == "auto" and fitted):
        return choice
    if settings.model == "lightgbm":
        return Choice("lightgbm", MODELS.get("lightgbm").Config(), choice.training)
    return Choice("random_forest", MODELS.get("random_forest").Config(trees=TREES), choice.training)


def chosen_pixels(pixels: Pixels, settings: Doubting) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the positions of the pixels of each polygon that are used, and whether each of them is an inner one."""
    inner = inner_pixels(pixels)
    polygons = max(1, len(np.unique(pixels.polygon)))
    most = max(1, min(settings.pixels, int(settings.samples / polygons)))
    some = some_pixels(pixels, inner, most, settings.seed)
    return some, inner[some]


def split_of(split: Split, settings: Doubting, repeat: int, units: int) -> Split:
    """Return the folds of a repeat, of the polygons or blocks of the split of the recipe, of which there are `units`."""
    unit: Literal["polygon", "block"] = "block" if split.unit == "block" else "polygon"
    folds = max(2, min(settings.folds, units))
    return Split(
        folds=folds, unit=unit, block=split.block, validation=split.validation, seed=settings.seed + repeat
    )  # fmt: skip


def of_present_classes(samples: Samples) -> Samples:
    """Return samples with a legend of the classes that have some.

    Raises
    ------
    SamplesError
        There are fewer than two.
    """
    legend = samples.legend
    absent = samples.without(np.arange(len(samples.label)))
    if len(legend.classes) - len(absent) < FEWEST_CLASSES:
        raise SamplesError(
            f"The usable polygons have {len(legend.classes) - len(absent)} class. A label can be doubted only if there is "
            "another: add polygons of a second class, or check [legend] and [reference] label."
        )
    return replace(samples, label=positions(samples.label), legend=legend.without(absent))


def _check_one_class(samples: Samples) -> None:
    """Check that each polygon has one class: a doubt is about one label.

    Raises
    ------
    SamplesError
        Features that `polygon_id` joins have several classes.
    """
    pairs = np.unique(np.stack([samples.polygon, samples.label]), axis=1)[0]
    mixed, count = np.unique(pairs, return_counts=True)
    if several := int((count > 1).sum()):
        raise SamplesError(
            f"{quantity(several, 'polygon')} with features of several classes, for example number {mixed[count > 1][0]} "
            "([reference] polygon_id). A label can be doubted only if its polygon has one class: remove polygon_id, or name a "
            "field that differs between surveyed fields."
        )


def judge(
    choice: Choice, scene: Scene, samples: Samples, settings: Doubting, folder: Path, progress: Progress
) -> Judged:
    """Return the held-out predictions for samples with the classes of :func:`of_present_classes`.

    Each complete repeat is kept in `folder`, and so are unfinished trainings of networks.

    Raises
    ------
    SamplesError
        A polygon has several classes.
    """
    _check_one_class(samples)
    folder.mkdir(parents=True, exist_ok=True)
    units, unit = np.unique(samples.polygon, return_inverse=True)
    label, place = np.zeros((2, len(units)), np.int64)
    label[unit], place[unit] = samples.label, samples.chips.unit
    repeats, known = [], []
    for number in range(settings.repeats):
        of_repeat = _in_folds(samples, split_of(samples.split, settings, number, len(np.unique(samples.group))))

        def work(some: Samples = of_repeat, number: int = number) -> OutOfFold:
            return out_of_fold(choice, scene, some, folder / str(number), progress)

        repeats.append(_kept(folder / f"{number}.npz", work))
        known.append(_known(of_repeat, unit, label))
    return _judged(units, label, place, unit, repeats, np.stack(known))


def _judged(
    units: NDArray[Any],
    label: NDArray[np.int64],
    place: NDArray[np.int64],
    unit: NDArray[np.int64],
    repeats: Sequence[OutOfFold],
    known: NDArray[np.bool_],
) -> Judged:
    """Return the means over the repeats in which the judge of a polygon knew its class, `known` (R, P); else over all."""
    used = known | ~known.any(0)
    means = np.stack([_by_polygon(one.probabilities, unit) for one in repeats])
    own = means[:, np.arange(len(units)), label]
    return Judged(
        units,
        label,
        place,
        unit,
        np.mean(np.stack([one.probabilities for one in repeats]), 0, where=used[:, unit, None]),
        np.mean(means, 0, where=used[:, :, None]),
        np.mean(np.stack([one.neighbours for one in repeats]), 0, dtype=np.float64, where=used[:, :, None]),
        np.median([one.distance for one in repeats], 0),
        own.std(0, where=used),
        np.asarray(known.any(0)),
    )


def _known(samples: Samples, unit: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether the model that judges each polygon has samples of its class, (P,).

    It has none of a class that is in one block only, or whose blocks are all in one fold: it gives the class the probability 0,
    whatever the label is worth. `unit` (N,) is the polygon of each sample, `label` (P,) the class of each polygon.
    """
    found = np.zeros(len(label), bool)
    assert samples.fold is not None
    for number in np.unique(samples.fold).tolist():
        draw = samples.draw(number)
        tested, others = np.unique(unit[draw.test]), np.concatenate([draw.train, draw.validation])
        found[tested] = np.isin(label[tested], samples.label[others])
    return found


def _in_folds(samples: Samples, split: Split) -> Samples:
    """Return the samples with the folds of another split."""
    pixels = samples.pixels(np.arange(len(samples.label)))
    labelled = Labelled(pixels, (), (), pd.Series(dtype=str), samples.place, ground=samples.ground)
    return assembled(samples.legend, split, labelled, samples.cuts)


def _by_polygon(values: NDArray[np.float32], unit: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the means (P, K) of values (N, K) of the samples of each polygon."""
    sums = np.stack([np.bincount(unit, column) for column in values.T], 1)
    return np.asarray(sums / np.bincount(unit)[:, None])


def _kept(path: Path, work: Callable[[], OutOfFold]) -> OutOfFold:
    """Return the predictions in a file, or compute and write them."""
    if path.exists():
        with artefact(path), np.load(path) as stored:
            return OutOfFold(stored["probabilities"], stored["neighbours"], stored["distance"])
    found, buffer = work(), io.BytesIO()
    np.savez(buffer, probabilities=found.probabilities, neighbours=found.neighbours, distance=found.distance)
    with replacing(path) as partial:
        partial.write_bytes(buffer.getvalue())
    return found
