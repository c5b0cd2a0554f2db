"""Adapt a trained network to another year or region: self-training on its most confident predictions, and on labels if given.

Self-training uses pseudo-labels (Lee 2013; with noise on the student, Xie et al. 2020, arXiv 1911.04252). The same share
of the pixels of each predicted class is used, so that no class dominates (Zou et al. 2018, arXiv 1810.07911). The
pseudo-labels of the first round are predictions of the original network. They preserve classes that the labels do not
contain.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from bocage.disk import digest
from bocage.errors import TrainingError
from bocage.layout import SplitLayout
from bocage.machine import versions
from bocage.models import MODELS, card_for
from bocage.progress import QUIET, Progress
from bocage.ranges import SEED, SHARE, Range, check_ranges
from bocage.samples import Chips
from bocage.samples.split import Draw
from bocage.samples.unlabelled import NONE
from bocage.training.changes import Answers, Change, Round
from bocage.training.guard import with_confidence
from bocage.training.loop import Task, fit
from bocage.training.novelty import novelty_of
from bocage.training.records import Region
from bocage.training.settings import Training
from bocage.training.train import classify
from bocage.training.trained import Trained


@dataclass(frozen=True)
class Adapting:
    """Settings of an adaptation."""

    pixels: Annotated[int, Range(64, 1e9)] = 16_384
    """Number of unlabelled pixels drawn from the scene, at least 64."""
    rounds: Annotated[int, Range(1, 1000)] = 2
    """Number of rounds of self-training (classification, then training on the pseudo-labels), at least 1."""
    epochs: Annotated[int, Range(1, 100_000)] = 5
    """Number of epochs in each round, at least 1."""
    learning_rate: Annotated[float, Range(0, 10, above=True)] = 5e-4
    """Learning rate, above 0."""
    share: Annotated[float, SHARE] = 0.5
    """Share of the pixels of each predicted class used as pseudo-labels, the most confident first, at least 0 and below 1."""
    least: Annotated[float, SHARE] = 0.5
    """Minimum confidence of a pseudo-label, at least 0 and below 1."""
    always: bool = False
    """Adapt also where no gain is expected. With `polygons`, the network is always adapted."""
    polygons: bool = False
    """Use the recipe's reference polygons for training, in addition to the pseudo-labels."""
    device: str = "auto"
    """Device for the training: "auto", "cpu", "cuda" or "mps"."""
    seed: Annotated[int, SEED] = 0
    """Seed of the training; round ``k``, from 0, uses ``seed + k``."""

    def __post_init__(self) -> None:
        check_ranges(self)


def adapt(
    trained: Trained,
    chips: Chips,
    region: Region,
    settings: Adapting,
    where: SplitLayout,
    progress: Progress = QUIET,
) -> tuple[Trained, Change]:
    """Adapt a network to the pixels of another scene, and return the adapted model and what it changes.

    Checkpoints and curves of the training are written to the folder `where`.

    Parameters
    ----------
    chips
        Pixels of the scene. Their label is the position of the class in the model's legend, or ``NONE``.
    region
        Region of the scene.

    Raises
    ------
    TrainingError
        The model is not a network, or no prediction reaches the minimum confidence and no pixel has a label.
    """
    check_adaptable(trained)
    free, known = np.flatnonzero(chips.label == NONE), np.flatnonzero(chips.label != NONE)
    probabilities = first = classify(trained, chips, free, settings.device)
    rounds, count = [], len(trained.legend.classes)
    start = digest(trained.name, trained.config, trained.fingerprint)  # the rounds change the weights
    for number in range(settings.rounds):
        taken = surest(probabilities, settings.share, settings.least)
        rounds.append(_round(probabilities.argmax(1)[taken], chips.label[known].astype(np.int64), count))
        _report(trained, rounds[-1], progress, number)
        targets = chips.label.astype(np.int64)
        targets[free] = probabilities.argmax(1)
        repeats = len(taken) // max(1, len(known)) or 1  # labels get about the same total weight as pseudo-labels
        members = np.concatenate([free[taken], np.tile(known, repeats)])
        _check_any(members, settings)
        nothing = members[:0]
        task = Task(
            f"adapting {trained.title}, round {number + 1} of {settings.rounds}", trained.model, replace(chips, label=targets),
            Draw(members, nothing, nothing), count, trained.normalisation, _loop(settings),
            settings.seed + number, where, network=start,
        )  # fmt: skip
        fit(task, progress)
        where.checkpoint.unlink(missing_ok=True)
        probabilities = classify(trained, chips, free, settings.device)
    # The promise of prediction sets and the certainties are those of the network before the adaptation.
    adapted = replace(trained, region=region, versions=versions(), conformal=None, certainties=None)
    if not len(known):
        adapted = with_confidence(adapted, probabilities, float(first.max(1).mean()))
        probabilities = classify(adapted, chips, free, settings.device)
    factor = adapted.calibration.temperature / trained.calibration.temperature
    return adapted, replace(_change(trained, chips, first, probabilities), rounds=tuple(rounds), temperature=factor)


def _check_any(members: NDArray[np.int64], settings: Adapting) -> None:
    if not len(members):
        raise TrainingError(
            f"No pixel of the scene is classified with a confidence of {settings.least:.0%} or more, so self-training is not "
            "possible. Use polygons of the scene (--polygons), or train a model there."
        )


def check_adaptable(trained: Trained) -> None:
    """Check that a model can be adapted.

    Raises
    ------
    TrainingError
        It is not, or not entirely, a network.
    """
    if card_for(MODELS.get(trained.name), trained.config).windows:
        raise TrainingError(
            f"{trained.title} cannot be adapted: it is trained on windows with labels. Train it again with polygons of the new "
            "scene, or adapt a model of single pixels or patches, such as patchwork."
        )
    if trained.model.abilities.fitted:
        raise TrainingError(
            f"{trained.title} cannot be adapted: it is not, or not entirely, trained by epochs. Train it again with polygons of "
            "the new scene."
        )


def kept(trained: Trained, chips: Chips, device: str) -> Change:
    """Return the record of a model that is kept as it is, with its predictions for the unlabelled pixels of the scene."""
    probabilities = classify(trained, chips, np.flatnonzero(chips.label == NONE), device)
    return _change(trained, chips, probabilities, probabilities)


def _change(trained: Trained, chips: Chips, before: NDArray[np.float32], after: NDArray[np.float32]) -> Change:
    """Return the record of the probabilities of the unlabelled pixels before and after an adaptation, without its rounds."""
    free = np.flatnonzero(chips.label == NONE)
    novelty = novelty_of(trained, chips, free)
    changed = _mean(before.argmax(1) != after.argmax(1))
    return Change(
        len(free), changed, Answers.of(before), Answers.of(after), None if novelty is None else _mean(novelty > 1), ()
    )


def _mean(these: NDArray[np.bool_]) -> float:
    return float(these.mean()) if len(these) else 0.0


def _round(predicted: NDArray[np.int64], labelled: NDArray[np.int64], classes: int) -> Round:
    found = (tuple(np.bincount(part, minlength=classes).tolist()) for part in (predicted, labelled))
    return Round(*found)


def surest(probabilities: NDArray[np.float32], share: float, least: float) -> NDArray[np.int64]:
    """Return the positions of the most confident predictions among `probabilities` (N, K).

    Of each predicted class, the same share of its pixels is selected; confidences below `least` are excluded.
    """
    classes, confidence = probabilities.argmax(1), probabilities.max(1, initial=0)
    taken = []
    for predicted in np.unique(classes):
        own = np.flatnonzero(classes == predicted)
        own = own[np.argsort(-confidence[own], kind="stable")[: math.ceil(share * len(own))]]
        taken.append(own[confidence[own] >= least])
    return np.sort(np.concatenate(taken)) if taken else np.zeros(0, np.int64)


def _loop(settings: Adapting) -> Training:
    return Training(
        epochs=settings.epochs, learning_rate=settings.learning_rate, optimiser="adamw", weight_decay=2e-2,
        schedule="cosine", keep="last", device=settings.device,  # type: ignore[arg-type]
    )  # fmt: skip


def _report(trained: Trained, used: Round, progress: Progress, number: int) -> None:
    progress.say(
        f"Round {number + 1}: training on {sum(used.predicted)} pixels with a confident prediction and {sum(used.labelled)} "
        "labelled pixels."
    )
    pairs = zip(trained.legend.names, used.predicted, used.labelled, strict=True)
    absent = [name for name, n, m in pairs if not n and not m]
    if absent:
        progress.say(f"No training pixel of: {', '.join(absent)}. The model may forget these classes.")
