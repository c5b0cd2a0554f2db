"""Functions shared by the benchmarks of accuracy: the same samples for all models, and scores on some of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bocage.evaluation import METRICS, ConfusionMatrix
from bocage.models import Footprint
from bocage.recipe import Recipe
from bocage.samples import Samples, make_samples
from bocage.scene import Scene
from bocage.training import Trained, classify

METRICS_SHOWN = ("overall_accuracy", "f1_weighted", "kappa")


@dataclass(frozen=True)
class Needed:
    """The footprints of a network, and which pixels are samples: the same pixels for all models."""

    footprints: Mapping[str, Footprint]
    any_source: bool


def samples_of(recipe: Recipe, scene: Scene, folder: Path, any_source: bool = True) -> Samples:
    """Return the samples of a recipe's network, cut once to `folder`; with `any_source`, pixels may lack some sources."""
    network = recipe.choice.build(scene, recipe.legend)
    return make_samples(scene, recipe.survey, Needed(network.footprints, any_source), folder)


def classes_of(trained: Trained, samples: Samples, members: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return the class of some samples, by its position in the legend."""
    return classify(trained, samples.chips, members, recipe.choice.training.device).argmax(1)


def scores_of(samples: Samples, members: np.ndarray, classes: np.ndarray) -> dict[str, float]:
    """Return the metrics `METRICS_SHOWN` of the classes of some samples."""
    matrix = ConfusionMatrix.of(samples.label[members], classes, samples.legend.names)
    return {key: float(METRICS.get(key)(matrix)) for key in METRICS_SHOWN}
