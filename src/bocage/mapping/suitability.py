"""Whether a trained model suits a scene: classes that it lacks, and novelty of the pixels of the scene."""

from collections.abc import Iterator

import torch

from bocage.legend import Legend
from bocage.mapping.predict import Forward, predict_at
from bocage.samples.unlabelled import scatter
from bocage.scene import Scene
from bocage.training import Trained

DRAWN = 2048
"""Number of pixels of the scene whose novelty is measured."""
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


def outside_share(trained: Trained, scene: Scene, device: torch.device, seed: int = 0) -> float | None:
    """Return the share of pixels drawn from the scene that are outside the training domain, 0 to 1.

    It is None if the model has no training domain, or if no drawn pixel is valid.
    """
    if trained.domain is None:
        return None
    return predict_at(trained, scene, scatter(scene, DRAWN, seed), Forward(device, novelty=True)).outside


def proposal(trained: Trained, outside: float | None, command: str) -> str:
    """Return the advice for a scene of high novelty, with the `command` that adapts the model; empty if it is not high."""
    if outside is None or outside < HIGH:
        return ""
    what = f"{100 * outside:.0f} % of the pixels are outside the training domain of the model (novelty above 1)."
    if trained.model.abilities.fitted:
        return f"{what} {trained.name} cannot be adapted: train a model with polygons of this scene."
    return f"{what} Adapt the model to the scene: {command}"
