"""Accuracy of a trained model on the reference polygons of another site or year, where the legends may differ."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bocage.evaluation.matrix import ConfusionMatrix
from bocage.evaluation.predictions import Predictions
from bocage.evaluation.score import Score
from bocage.evaluation.trust import trust_of
from bocage.legend import Legend
from bocage.textfile import write_csv


@dataclass(frozen=True)
class Elsewhere:
    """Score of a model on all reference polygons of a site, of which none should have been used for training."""

    every: Score
    """Score on all reference pixels. Pixels of classes that the model lacks are errors. Classes without a reference pixel are
    untested."""
    shared: Score
    """Score on the reference pixels of the classes that the model has."""
    lacking: tuple[str, ...]
    """Classes of the recipe's legend that the model lacks."""
    more: tuple[str, ...]
    """Classes of the model that the recipe's legend lacks. A pixel mapped to one of them is an error."""
    masked: int
    """Number of reference pixels without valid data, which are left out."""
    outside: float | None
    """Share of the pixels outside the training domain of the model (novelty above 1), 0 to 1; None if unknown."""
    warning: str = ""
    """Why the score is not an estimate of the accuracy: polygons trained the model; empty if that is not known."""
    others: Score | None = None
    """Score on the reference polygons that did not train the model, if it is known that some of them did; else None."""

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``score.json``: the score on all pixels, with further entries."""
        return self.every.as_dict() | {
            "shared_classes": self.shared.as_dict(),
            "classes_lacking": list(self.lacking),
            "classes_more": list(self.more),
            "masked_pixels": self.masked,
            "outside_training_domain": self.outside,
            "other_polygons": self.others.as_dict() if self.others else None,
        }

    def save_confusion(self, path: Path) -> None:
        """Write the confusion matrix of all pixels: reference in rows, model in columns."""
        matrix = self.every.matrix
        rows = ([name, *counts] for name, counts in zip(matrix.names, matrix.counts.tolist(), strict=True))
        write_csv(path, [["reference", *matrix.names], *rows])


@dataclass(frozen=True)
class Legends:
    """Legend of a recipe and legend of a model, whose classes are the same if their codes are."""

    recipe: Legend
    model: Legend

    @property
    def union(self) -> Legend:
        """The classes of the recipe, then the other classes of the model."""
        return self.recipe.with_classes_of(self.model)

    def in_union(self, found: Predictions) -> Predictions:
        """Return predictions of the model with positions in the union, as their labels have; (N, K) probabilities follow.

        The probability of a class that the model lacks is 0.
        """
        codes = self.union.codes
        place = np.array([codes.index(code) for code in self.model.codes], np.int16)
        probabilities = np.zeros((len(found), len(codes)), np.float32)
        probabilities[:, place] = found.probabilities
        return replace(found, predicted=place[found.predicted], probabilities=probabilities)


def transfer_of(
    found: Predictions, legends: Legends, metrics: tuple[str, ...], masked: int, outside: float | None
) -> Elsewhere:
    """Return the score of predictions at all reference pixels; `found` has positions in the union of the legends.

    Classes without a reference pixel, such as those that the recipe lacks, are not tested: a pixel mapped as one is an error of
    its reference class, and means over the classes leave them out.
    """
    names = legends.union.names
    lacking = legends.recipe.absent_from(legends.model)
    trust = trust_of(found, found.label[:0], None, (0, len(np.unique(found.polygon))))
    design: Mapping[str, Any] = {"reference": "all reference polygons", "unit": "pixels", "drawn": "polygon"}
    untested = found.without(names)
    matrix = found.matrix(names, untested)
    kept = [k for k, name in enumerate(names) if name not in lacking]
    ours = tuple(names[k] for k in kept)
    shared = ConfusionMatrix(matrix.counts[np.ix_(kept, kept)], ours, tuple(name for name in ours if name in untested))
    every = Score((matrix,), metrics, design, (trust,))
    return Elsewhere(
        every,
        replace(every, matrices=(shared,), trust=()),
        lacking,
        legends.model.absent_from(legends.recipe),
        masked,
        outside,
    )
