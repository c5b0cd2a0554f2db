"""What a map can hold: layers computed from the probabilities of a window."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.legend import Legend
from bocage.mapping.predict import Prediction
from bocage.mapping.writers import MapBand


@dataclass(frozen=True)
class Layer:
    """One file of the map."""

    bands: Callable[[Legend], tuple[MapBand, ...]]
    compute: Callable[[Prediction, Legend], NDArray[Any]]
    """(bands, height, width)."""


def _classes_bands(legend: Legend) -> tuple[MapBand, ...]:
    dtype = "uint8" if max(legend.codes) <= 255 else "uint16"
    return (MapBand("class", dtype, 0, categorical=True),)


def _classes(prediction: Prediction, legend: Legend) -> NDArray[Any]:
    """The user's code of the likeliest class; 0 is no data."""
    codes = np.array(legend.codes, _classes_bands(legend)[0].dtype)
    return np.asarray(codes[prediction.probabilities.argmax(0)] * prediction.valid)[None]


def _confidence_bands(legend: Legend) -> tuple[MapBand, ...]:
    return (MapBand("confidence", "uint8", 255),)


def _confidence(prediction: Prediction, legend: Legend) -> NDArray[Any]:
    """Probability of the likeliest class, 0 to 100; 255 is no data."""
    percent = np.rint(prediction.probabilities.max(0) * 100).astype(np.uint8)
    return np.where(prediction.valid, percent, np.uint8(255))[None]


def _novelty_bands(legend: Legend) -> tuple[MapBand, ...]:
    return (MapBand("novelty", "uint8", 255),)


def _novelty(prediction: Prediction, legend: Legend) -> NDArray[Any]:
    """How far from the training: 0 on a training sample, 100 where validation polygons end, 254 at most; 255 is no data."""
    assert prediction.novelty is not None
    percent = np.minimum(np.rint(prediction.novelty * 100), 254).astype(np.uint8)
    return np.where(prediction.valid, percent, np.uint8(255))[None]


LAYERS = {
    "classes": Layer(_classes_bands, _classes),
    "confidence": Layer(_confidence_bands, _confidence),
    "novelty": Layer(_novelty_bands, _novelty),
}
