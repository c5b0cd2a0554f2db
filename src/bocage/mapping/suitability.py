"""Whether a trained model suits a scene: classes that it lacks, and novelty of the pixels of the scene."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bocage.legend import Legend
from bocage.machine import device_of
from bocage.mapping.predict import Forward, predict_at
from bocage.progress import QUIET, Progress
from bocage.samples.unlabelled import Drawing, cut_valid
from bocage.scene import Scene
from bocage.training import Certainty, Trained, certainty_of
from bocage.training.certainty import PIXELS, SIDE
from bocage.training.novelty import novelty_of

DRAWN = 2048
"""Number of pixels of the scene whose novelty is measured where nothing else is."""
HIGH = 0.5
"""Share of the pixels outside the training domain from which an adaptation is proposed."""


def compare_legends(legend: Legend, trained: Trained) -> Iterator[str]:
    """Yield what differs between the legend of a recipe and that of a model; classes are compared by their codes.

    Raises
    ------
    LegendError
        A class has the same name and another code in the two legends.
    """
    for code, ours, theirs in legend.renamed_in(trained.legend):
        yield f"The code {code} is '{ours}' in the recipe and '{theirs}' in the model. They are taken for one class."
    if lacking := legend.absent_from(trained.legend):
        yield f"The model lacks classes of the recipe's legend: {', '.join(lacking)}. It maps them as other classes."
    if more := trained.legend.absent_from(legend):
        yield f"The model has classes that the recipe's legend lacks: {', '.join(more)}."


@dataclass(frozen=True)
class Sight:
    """What a model makes of pixels drawn from a scene, without labels."""

    outside: float | None
    """Share of the pixels that are outside the training domain, 0 to 1; None if the model has no training domain, or if no
    pixel is valid."""
    certainty: Certainty | None
    """How sure the model is of them; None if its folder does not describe its training scene, or for too few pixels."""


def sight_of(
    trained: Trained, scene: Scene, drawing: Drawing, folder: Path, device: str, progress: Progress = QUIET
) -> Sight:
    """Classify pixels that a drawing gives of a scene. Their footprints are cut in `folder`, and removed.

    Of a model that does not describe its training scene, only the novelty is computed, in windows around the pixels.
    """
    if trained.certainties is None and trained.domain is None:
        return Sight(None, None)
    if trained.certainties is None:
        how = Forward(device_of(device), novelty=True)
        return Sight(predict_at(trained, scene, drawing.pixels(scene, DRAWN), how).outside, None)
    with cut_valid(scene, drawing.pixels(scene, PIXELS, side=SIDE), trained, folder, progress) as chips:
        members = np.arange(len(chips.label))
        novelty = novelty_of(trained, chips, members)
        outside = None if novelty is None or not len(novelty) else float((novelty > 1).mean())
        return Sight(outside, certainty_of(trained, chips, members, device))


def proposal(trained: Trained, outside: float | None, command: str) -> str:
    """Return the advice for a scene of high novelty, with the `command` that adapts the model; empty if it is not high."""
    if outside is None or outside < HIGH:
        return ""
    what = f"{100 * outside:.0f} % of the pixels are outside the training domain of the model (novelty above 1)."
    if trained.model.abilities.fitted:
        return f"{what} {trained.name} cannot be adapted: train a model with polygons of this scene."
    return f"{what} Adapt the model to the scene: {command}"
