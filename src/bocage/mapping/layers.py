"""What a map can hold: layers computed from what is known of a window."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.legend import Legend
from bocage.mapping.predict import Prediction
from bocage.mapping.writers import MapBand


@dataclass(frozen=True)
class Frame:
    """What is the same for all windows of a map."""

    legend: Legend
    sources: tuple[str, ...]
    """The sources that the network uses."""
    probabilities: Literal["uint8", "uint16"] = "uint8"
    """How probabilities are stored: in hundredths, or in ten thousandths."""


@dataclass(frozen=True)
class Layer:
    """One file of the map."""

    bands: Callable[[Frame], tuple[MapBand, ...]]
    compute: Callable[[Prediction, Frame], NDArray[Any]]
    """(bands, height, width)."""


def _classes_bands(frame: Frame) -> tuple[MapBand, ...]:
    dtype = "uint8" if max(frame.legend.codes) <= 255 else "uint16"
    return (MapBand("class", dtype, 0, categorical=True),)


def _classes(prediction: Prediction, frame: Frame) -> NDArray[Any]:
    """The user's code of the likeliest class; 0 is no data."""
    codes = np.array(frame.legend.codes, _classes_bands(frame)[0].dtype)
    return np.asarray(codes[prediction.probabilities.argmax(0)] * prediction.valid)[None]


def _percent(name: str, of: Callable[[Prediction], NDArray[Any]]) -> Layer:
    """A layer of hundredths, 0 to 254; 255 is no data."""

    def compute(prediction: Prediction, frame: Frame) -> NDArray[Any]:
        percent = np.minimum(np.rint(of(prediction) * 100), 254).astype(np.uint8)
        return np.where(prediction.valid, percent, np.uint8(255))[None]

    return Layer(lambda frame: (MapBand(name, "uint8", 255),), compute)


def _likeliest(prediction: Prediction) -> NDArray[Any]:
    return np.asarray(prediction.probabilities.max(0))


def _novelty(prediction: Prediction) -> NDArray[Any]:
    assert prediction.novelty is not None
    return prediction.novelty


def _entropy(prediction: Prediction) -> NDArray[Any]:
    """Shannon's entropy of the probabilities, in shares of its largest value (all classes alike)."""
    p = prediction.probabilities
    terms = np.where(p > 0, p * np.log(np.maximum(p, np.finfo(np.float32).tiny)), 0)
    return np.asarray(np.abs(terms.sum(0)) / np.log(max(2, len(p))))


def _margin(prediction: Prediction) -> NDArray[Any]:
    """Probability of the likeliest class less that of the second."""
    p = prediction.probabilities
    if len(p) < 2:
        return _likeliest(prediction)
    second, first = np.partition(p, len(p) - 2, axis=0)[-2:]
    return np.asarray(first - second)


def _probabilities_bands(frame: Frame) -> tuple[MapBand, ...]:
    dtype = frame.probabilities
    nodata, scale = (255, 0.01) if dtype == "uint8" else (65535, 0.0001)
    return tuple(MapBand(name, dtype, nodata, scale=scale) for name in frame.legend.names)


def _probabilities(prediction: Prediction, frame: Frame) -> NDArray[Any]:
    """Calibrated probability of every class, in hundredths or ten thousandths; 255 or 65535 is no data."""
    band = _probabilities_bands(frame)[0]
    stored = np.rint(prediction.probabilities * round(1 / band.scale)).astype(band.dtype)
    return np.where(prediction.valid, stored, np.array(band.nodata, band.dtype))


def _validity_bands(frame: Frame) -> tuple[MapBand, ...]:
    return tuple(MapBand(f"{name}: clear dates", "uint16", 65535) for name in frame.sources)


def _validity(prediction: Prediction, frame: Frame) -> NDArray[Any]:
    """Clear dates of every source, before any filling; 0 where a source saw nothing there."""
    return np.stack([prediction.clear[name] for name in frame.sources]).astype(np.uint16)


LAYERS = {
    "classes": Layer(_classes_bands, _classes),
    "confidence": _percent("confidence", _likeliest),
    "probabilities": Layer(_probabilities_bands, _probabilities),
    "entropy": _percent("entropy", _entropy),
    "margin": _percent("margin", _margin),
    "novelty": _percent("novelty", _novelty),
    "validity": Layer(_validity_bands, _validity),
}
"""``confidence`` is the probability of the likeliest class, ``margin`` how far the second lies behind, ``entropy`` how
evenly probabilities are spread (0: one class, 100: all alike), ``novelty`` how far from the training (100: where
validation polygons end)."""
