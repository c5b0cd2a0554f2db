"""A trained network for another year or place: self-training on its own surest answers there, and on a few labels if there are.

Self-training with pseudo-labels (Lee 2013; with noise on the student, Xie et al. 2020, arXiv 1911.04252), of each class the
same share of its pixels, so that no class crowds out another (Zou et al. 2018, arXiv 1810.07911). The answers taught first are
those of the network as it came: of classes that the few labels do not show, it is reminded.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import TrainingError
from bocage.layout import SplitLayout
from bocage.machine import versions
from bocage.models.ranges import at_least, shares
from bocage.progress import QUIET, Progress
from bocage.samples import Chips
from bocage.samples.split import Draw
from bocage.samples.unlabelled import NONE
from bocage.training.loop import Task, fit
from bocage.training.settings import Training
from bocage.training.train import classify
from bocage.training.trained import Region, Trained


@dataclass(frozen=True)
class Adapting:
    """Settings of an adaptation."""

    pixels: int = 16_384
    """Pixels without a label that are drawn from the scene, at least 64."""
    rounds: int = 2
    """How many times the scene is classified and learnt from, at least 1."""
    epochs: int = 5
    """Passes over what is learnt in each round, at least 1."""
    learning_rate: float = 5e-4
    """Above 0."""
    share: float = 0.5
    """Share of the pixels of each class, its surest ones, that are learnt from, 0 to 1."""
    least: float = 0.5
    """Least confidence of an answer that is learnt from, 0 to 1."""
    polygons: bool = False
    """Learn from the recipe's reference polygons, too."""
    device: str = "auto"
    """Where to train."""
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, pixels=64, rounds=1, epochs=1)
        shares(self, "share", "least")


def adapt(
    trained: Trained,
    chips: Chips,
    region: Region,
    settings: Adapting,
    where: SplitLayout,
    progress: Progress = QUIET,
) -> Trained:
    """Teach a network the pixels of another scene, and write the model into the folder `where`.

    Parameters
    ----------
    chips
        Pixels of the scene; their label is the position of the class in the model's legend, or ``NONE``.
    region
        Of the scene.

    Raises
    ------
    TrainingError
        The model is no network, or is nowhere sure of itself.
    """
    if trained.model.abilities.fitted:
        raise TrainingError(
            f"{trained.name} is fitted in one go and cannot be adapted: train it again, on what there is."
        )
    label = chips.label
    free, known = np.flatnonzero(label == NONE), np.flatnonzero(label != NONE)
    for number in range(settings.rounds):
        probabilities = classify(trained, chips, free, settings.device)
        taken = surest(probabilities, settings.share, settings.least)
        _tell(trained, taken, probabilities.argmax(1)[taken], label[known], progress, number)
        learnt = label.astype(np.int64)
        learnt[free] = probabilities.argmax(1)
        again = len(taken) // max(1, len(known)) or 1  # few labels weigh as much as many answers
        members = np.concatenate([free[taken], np.tile(known, again)])
        if not len(members):
            raise TrainingError(
                f"The model is sure of nothing in this scene (no confidence of {settings.least:.0%}): it cannot teach itself. "
                "Give polygons of the scene (--polygons), or train there."
            )
        nothing = members[:0]
        task = Task(
            f"adapting {trained.name}, round {number + 1} of {settings.rounds}", trained.model, replace(chips, label=learnt),
            Draw(members, nothing, nothing), len(trained.legend.classes), trained.normalisation, _loop(settings),
            settings.seed + number, where,
        )  # fmt: skip
        fit(task, progress)
        where.checkpoint.unlink(missing_ok=True)
    adapted = replace(trained, region=region, versions=versions())
    adapted.save(where.model.path)
    return adapted


def surest(probabilities: NDArray[np.float32], share: float, least: float) -> NDArray[np.int64]:
    """Positions of the surest answers (N, K): of every class the same share of its own, none below `least`."""
    classes, confidence = probabilities.argmax(1), probabilities.max(1, initial=0)
    taken = []
    for one in np.unique(classes):
        own = np.flatnonzero(classes == one)
        own = own[np.argsort(-confidence[own], kind="stable")[: math.ceil(share * len(own))]]
        taken.append(own[confidence[own] >= least])
    return np.sort(np.concatenate(taken)) if taken else np.zeros(0, np.int64)


def _loop(settings: Adapting) -> Training:
    return Training(
        epochs=settings.epochs, learning_rate=settings.learning_rate, optimiser="adamw", weight_decay=2e-2,
        schedule="cosine", keep="last", device=settings.device,  # type: ignore[arg-type]
    )  # fmt: skip


def _tell(
    trained: Trained,
    taken: NDArray[np.int64],
    classes: NDArray[np.int64],
    known: NDArray[Any],
    progress: Progress,
    number: int,
) -> None:
    counts = np.bincount(classes, minlength=len(trained.legend.classes))
    progress.say(
        f"Round {number + 1}: learns from {len(taken)} pixels that it is sure of and {len(known)} with a label."
    )
    shown = np.bincount(known.astype(np.int64), minlength=len(counts))
    absent = [name for name, n, m in zip(trained.legend.names, counts, shown, strict=True) if not n and not m]
    if absent:
        progress.say(f"No pixel shows: {', '.join(absent)}; what the model knows of it may fade.")
