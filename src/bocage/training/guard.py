"""Accuracy of a network on a scene without labels, and whether an adaptation to it is expected to help.

Self-training harms a network that is right already. The sign that it is not is a fall of its agreement with itself
(:mod:`bocage.training.certainty`) from the training scene to the other scene. An adaptation is expected to help if the fall is
large and beyond the sampling errors of both scenes. The accuracy is estimated as the mean confidence (Hendrycks & Gimpel 2017,
arXiv 1610.02136) minus the fall times a rate, which is 0 today. Limits, rate and the errors of the estimate were chosen on scenes
of their own (``python -m benchmarks adapt``, decision 0030).
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.disk import artefact
from bocage.intervals import half_width
from bocage.layout import ModelLayout
from bocage.training.records import Certainties, Certainty

if TYPE_CHECKING:  # it imports PyTorch
    from bocage.training.trained import Trained

FALL, SURE = 0.075, 1.0
"""Least fall of the agreement for an adaptation, and least fall in units of its standard error."""
RATE = 0.0
"""Accuracy that the estimate loses for each point of agreement lost; 0: the mean confidence is the estimate."""
OFFSETS = (-0.339, 0.047)
"""5 % and 95 % quantiles of the measured minus the estimated accuracy on the scenes on which the rate was chosen."""
COVERAGE = 0.9
"""Share of new scenes for which the interval of the estimate is meant."""
LEAST_SITES = 3
"""Fewest left-out sites from which the error of the estimate is computed."""
TEMPERATURES = np.exp(np.linspace(-math.log(5), math.log(5), 121))
"""Factors of the temperature that are tried after an adaptation."""


@dataclass(frozen=True)
class Fall:
    """Fall of the agreement of a network with itself, from its training scenes to another scene."""

    value: float
    """Agreement on the training scenes minus agreement on the other scene."""
    error: float
    """Standard error, from the sampling of pixels in both."""

    @classmethod
    def between(cls, known: Mapping[str, Certainty], here: Certainty) -> "Fall":
        """Return the fall from the mean over the training sites; each site has the same weight."""
        sites = list(known.values())
        there = float(np.mean([one.agreement for one in sites]))
        squares = sum(one.errors[1] ** 2 for one in sites) / len(sites) ** 2
        if len(sites) > 1:  # the mean of other sites would have differed as much
            squares = max(squares, float(np.var([one.agreement for one in sites], ddof=1)) / len(sites))
        return cls(there - here.agreement, math.sqrt(squares + here.errors[1] ** 2))


@dataclass(frozen=True)
class Expected:
    """Estimated accuracy of a network on a scene without labels, 0 to 1, and the interval that contains most scenes."""

    accuracy: float
    low: float
    high: float
    sites: int
    """Number of left-out sites of the training from which the interval is; 0: from the benchmark of decision 0030."""

    @classmethod
    def of(cls, known: Mapping[str, Certainty], here: Certainty, missed: Sequence[float] = ()) -> "Expected":
        """Return the estimate.

        Parameters
        ----------
        missed
            Measured minus estimated accuracy at left-out sites of the training. The interval is a prediction interval for one
            more site; with fewer than ``LEAST_SITES`` sites, or the same value at all sites, it is that of the benchmark.
        """
        value = estimate(known, here)
        half = half_width(np.array(missed, float), 1, COVERAGE)
        if len(missed) < LEAST_SITES or math.isnan(half):
            low, high, sites = value + OFFSETS[0], value + OFFSETS[1], 0
        else:
            sites = len(missed)
            value += float(np.mean(missed))
            low, high = value - half, value + half
        value, low, high = (min(1.0, max(0.0, number)) for number in (value, low, high))
        return cls(value, low, high, sites)


def estimate(known: Mapping[str, Certainty], here: Certainty) -> float:
    """Return the mean confidence minus ``RATE`` times the fall of the agreement, if it falls; at least 0."""
    return max(0.0, here.confidence - RATE * max(0.0, Fall.between(known, here).value))


Reason = Literal["falls", "steady", "unsure", "unknown"]


@dataclass(frozen=True)
class Judgement:
    """What is known of a network on a scene without labels."""

    reason: Reason
    """"falls": an adaptation is expected to help. "steady": the agreement does not fall. "unsure": it falls within the sampling
    errors. "unknown": the model folder does not describe its training scene, or not without the sources that this scene lacks, or
    the scene has too few pixels."""
    here: Certainty | None = None
    """How sure the network is of the scene."""
    fall: Fall | None = None
    expected: Expected | None = None
    """Accuracy of the network without adaptation."""

    @property
    def adapts(self) -> bool:
        """Whether an adaptation is expected to help."""
        return self.reason == "falls"

    @classmethod
    def of(cls, trained: "Trained", here: Certainty | None, missed: Sequence[float] = ()) -> "Judgement":
        """Judge a network by its certainty on a scene; `missed` is that of :meth:`Expected.of`."""
        if trained.certainties is None or here is None:
            return cls("unknown", here)
        known = trained.certainties.like(here)
        if not known:
            return cls("unknown", here)
        fall = Fall.between(known, here)
        reason: Reason = "falls" if fall.value >= SURE * fall.error else "unsure"
        if fall.value < FALL:
            reason = "steady"
        return cls(reason, here, fall, Expected.of(known, here, missed))

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Judgement":
        """Return the object of which ``dataclasses.asdict`` gave `said`."""
        here = Certainty.from_dict(said["here"]) if said["here"] else None
        fall = Fall(**said["fall"]) if said["fall"] else None
        return cls(said["reason"], here, fall, Expected(**said["expected"]) if said["expected"] else None)

    def text(self) -> str:
        """Return the estimate and the reason in one line."""
        if self.fall is None or self.expected is None:
            without = f" without {', '.join(self.here.absent)}" if self.here and self.here.absent else ""
            return (
                f"The accuracy on this scene cannot be estimated: the model folder does not describe its training scene{without} "
                "(trained without calibration, without test polygons, or by an earlier version), or the scene has too few pixels."
            )
        found, points = self.expected, 100 * self.fall.value
        basis = f"error at {found.sites} left-out sites" if found.sites else "error in benchmarks"
        agreement = {
            "falls": f"its agreement with itself is {points:.1f} points lower than on the training scene",
            "steady": "its agreement with itself is not clearly lower than on the training scene",
            "unsure": f"its agreement with itself is {points:.1f} points lower, within the sampling error of few pixels",
        }
        return (
            f"Estimated accuracy of the model on this scene, without labels: {found.accuracy:.0%} ({found.low:.0%} to "
            f"{found.high:.0%}, {basis}); {agreement[self.reason]}."
        )


def with_confidence(trained: "Trained", probabilities: NDArray[np.float32], mean: float) -> "Trained":
    """Return a network whose temperatures are changed by one factor, so that its mean confidence is `mean`.

    After self-training, the network is surer of right and wrong classes alike. Without labels, the rise has no evidence: the mean
    confidence on the pixels of the scene is set back to that before the adaptation.

    Parameters
    ----------
    probabilities : (N, K) calibrated probabilities of the network for these pixels
    mean
        Mean confidence of the original network for the same pixels, 0 to 1.
    """
    if not len(probabilities):
        return trained
    import torch

    logits = torch.from_numpy(probabilities).clamp_min(1e-30).log().double()
    means = [float(torch.softmax(logits / factor, 1).amax(1).mean()) for factor in TEMPERATURES]
    factor = float(TEMPERATURES[int(np.abs(np.array(means) - mean).argmin())])
    before = trained.calibration
    calibration = replace(
        before,
        temperature=before.temperature * factor,
        partial={name: value * factor for name, value in before.partial.items()},
        season=tuple((day, value * factor) for day, value in before.season),
    )
    return replace(trained, calibration=calibration)


def read_certainties(model: ModelLayout) -> Certainties | None:
    """Return how sure a model is of its training scenes, without reading the network; None if the folder has no record of it.

    Raises
    ------
    RunFolderError
        The description of the model is missing or damaged.
    """
    with artefact(model.description):
        said = json.loads(model.description.read_text(encoding="utf-8")).get("certainties")
        return Certainties.from_dict(said) if said else None
