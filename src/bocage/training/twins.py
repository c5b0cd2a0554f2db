"""Twins: networks trained like another one, but without some polygons, which calibrate its confidence."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.layout import SplitLayout
from bocage.machine import device_of
from bocage.models import Network
from bocage.progress import Progress
from bocage.samples import Draw, Samples, Split
from bocage.samples.split import deal
from bocage.training.batches import at_a_time, batches
from bocage.training.loop import Task, answering, fit, logits_of, mean_f1, validation_of

Judges = Sequence[tuple[Network, NDArray[np.int64]]]
"""Networks, each with samples that it was not trained on."""
SIZE = 256
"""Number of samples classified at a time."""


def twins_of(task: Task, held_out: Draw, samples: Samples, seed: int, progress: Progress) -> Judges:
    """Return networks trained as in `task`, but without some polygons, and the samples of these polygons.

    They have the same initial weights, seed, scaling and number of epochs. The polygons are the validation part of the draw
    `held_out`, or with `calibration_folds` each part of all training polygons in turn; the polygons are dealt with `seed`. Empty
    if the task holds its validation polygons out itself, if the model has no epochs, or if there is no calibration.
    """
    settings = task.settings
    if settings.stops_early or not settings.calibrate or task.model.abilities.fitted:
        return []
    parts = _parts(task, held_out, samples, seed)
    if not any(len(draw.validation) for draw, _ in parts):
        progress.say(f"{task.title}: there is no validation polygon, so the confidence is not calibrated.")
        return []
    found = []
    for k, (draw, what) in enumerate(parts):
        where = task.where.twin(k)
        where.path.mkdir(parents=True, exist_ok=True)
        title, model = f"{task.title}, without {what}", copy.deepcopy(task.model)
        twin = replace(task, title=title, model=model, draw=draw, where=where, ends_saved=True)
        found.append((_trained(twin, progress), draw.validation))
    of = "This network calibrates" if len(found) == 1 else "These networks calibrate"
    progress.say(f"{task.title}: {of} the confidence; the map is made by the network trained on all polygons.")
    return found


def alike(each: Sequence[Judges]) -> bool:
    """Return whether the twins of several networks were trained without the same samples, and there are some."""
    first = each[0]
    return bool(first) and all(
        len(judges) == len(first)
        and all(np.array_equal(out, known) for (_, out), (_, known) in zip(judges, first, strict=True))
        for judges in each
    )


def judged(draw: Draw, label: NDArray[np.int16]) -> Draw:
    """Return a draw without the validation samples of the classes of which it has no training sample.

    A network gives such a class a probability near 0: these samples would set the temperature and the prediction sets.
    """
    return replace(draw, validation=draw.validation[np.isin(label[draw.validation], label[draw.train])])


def dealt(
    samples: Samples, train: NDArray[np.int64], folds: int, seed: int
) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield the number of each part of the polygons (or blocks), the samples that train without it, and those that judge.

    Coarser classes and purposive polygons train only. A class of one polygon has no model without it, and is not judged.
    """
    label, unit = samples.label, samples.cluster[train]
    judge = ~samples.trains_only[train]
    fold = np.full(len(train), -1, np.int32)
    fold[judge] = deal(label[train[judge]], unit[judge], Split(folds=folds, seed=seed))
    for k in range(folds):
        rest, out = train[~np.isin(unit, unit[fold == k])], train[fold == k]
        out = out[np.isin(label[out], label[rest])]
        if len(out):
            yield k, rest, out


def remove_twins(where: SplitLayout) -> None:
    """Remove the checkpoints of the twins of a complete model, and their folders if they are then empty."""
    for twin in where.twins.glob("*"):
        SplitLayout(twin).checkpoint.unlink(missing_ok=True)
    for empty in (*where.twins.glob("*"), where.twins):
        with suppress(OSError):  # there is none, or it has another file
            empty.rmdir()


def _parts(task: Task, held_out: Draw, samples: Samples, seed: int) -> list[tuple[Draw, str]]:
    """Return the draws of the twins, whose validation parts calibrate, and what each is trained without."""
    folds = task.settings.parts_to_calibrate(len(np.unique(samples.cluster[task.draw.train])))
    if folds == 1:
        return [(judged(held_out, samples.label), "the validation polygons")]
    return [
        (replace(task.draw, train=rest, validation=out), f"part {k + 1} of {folds} of the polygons")
        for k, rest, out in dealt(samples, task.draw.train, folds, seed)
    ]


def _trained(twin: Task, progress: Progress) -> Network:
    """Train a twin, and report its F-measure on the polygons that it was not trained on."""
    fit(twin, progress)
    members, k = validation_of(twin), twin.n_classes
    made = batches(twin.chips, members, twin.normalisation, at_a_time(twin.chips, SIZE))
    device = device_of(twin.settings.device)
    logits, labels = logits_of(answering(twin.model.to(device).eval(), twin.chips), made, device)
    matrix = torch.bincount(labels * k + logits.argmax(1), minlength=k * k).reshape(k, k)
    progress.say(f"{twin.title}: F1 on these polygons {mean_f1(matrix):.3f}.")
    return twin.model.cpu()
