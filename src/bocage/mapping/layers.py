"""Layers of a map, computed from the predictions of a window."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.conformal import members
from bocage.legend import Legend
from bocage.mapping.styles import sizes_qml
from bocage.mapping.writers import MapBand

if TYPE_CHECKING:  # it imports PyTorch
    from bocage.mapping.predict import Prediction

SETS = ("set_size", "sets", "set_class")
"""Layers of prediction sets."""
BITS = (8, 16, 32)
"""Bits of the types of the layer "sets"."""


@dataclass(frozen=True)
class Frame:
    """Settings common to all windows of a map."""

    legend: Legend
    sources: tuple[str, ...]
    """Names of the sources that the network uses."""
    probabilities: Literal["uint8", "uint16"] = "uint8"
    """Data type of stored probabilities: "uint8" in hundredths, "uint16" in ten-thousandths."""
    certain: float = 0.0
    """Least probability of the classes of the layer "certain"."""
    sets: tuple[float, ...] = ()
    """Least probability (K,) with which each class is in a prediction set; empty without sets."""


@dataclass(frozen=True)
class Layer:
    """A layer of the map, written to one file."""

    bands: Callable[[Frame], tuple[MapBand, ...]]
    compute: Callable[["Prediction", Frame], NDArray[Any]]
    """Returns the values (bands, height, width)."""
    legend: Callable[[Legend], Legend] = lambda legend: legend
    """Returns the classes whose codes it has, from the legend of the map."""
    style: Callable[[Legend], str] | None = None
    """Returns its style for QGIS, from the legend of the map; None: that of its classes, if it has classes."""


def _classes_bands(frame: Frame) -> tuple[MapBand, ...]:
    dtype = "uint8" if max(frame.legend.codes) <= 255 else "uint16"
    return (MapBand("class", dtype, 0, categorical=True),)


def _classes(prediction: "Prediction", frame: Frame) -> NDArray[Any]:
    """Return the user's code of the most probable class; 0 is nodata."""
    codes = np.array(frame.legend.codes, _classes_bands(frame)[0].dtype)
    return np.asarray(codes[prediction.probabilities.argmax(0)] * prediction.valid)[None]


def _certain_bands(frame: Frame) -> tuple[MapBand, ...]:
    dtype = "uint8" if max(frame.legend.whole.codes) <= 255 else "uint16"
    return (MapBand("certain class", dtype, 0, categorical=True),)


def _certain(prediction: "Prediction", frame: Frame) -> NDArray[Any]:
    """Return the code of the finest class whose probability, summed over the classes below it, is at least that of the frame."""
    codes = np.zeros(prediction.valid.shape, _certain_bands(frame)[0].dtype)
    for (
        level
    ) in frame.legend.levels:  # a finer class, which is certain only below a certain one, replaces a coarser one
        probabilities = level.sums(prediction.probabilities)
        likeliest = np.array(level.codes, codes.dtype)[probabilities.argmax(0)]
        codes = np.where(probabilities.max(0) >= frame.certain, likeliest, codes)
    return np.asarray(codes * prediction.valid)[None]


def _sets_bands(frame: Frame) -> tuple[MapBand, ...]:
    """Return one band with a bit for each class, or, of more than 32 classes, a band for each class."""
    names = frame.legend.names
    if len(names) > BITS[-1]:
        return tuple(MapBand(name, "uint8", 255, numbers=True) for name in names)
    bits = next(bits for bits in BITS if len(names) <= bits)
    return (MapBand("classes of the set, a bit for each", f"uint{bits}", 0, numbers=True, bits=names),)


def _sets(prediction: "Prediction", frame: Frame) -> NDArray[Any]:
    """Return the members of the prediction sets: bit k (value 2 ** k) of the band, or band k, for class k of the legend."""
    band, found = _sets_bands(frame)[0], members(prediction.probabilities, frame.sets)
    if not band.bits:
        return np.where(prediction.valid, found.astype(band.dtype), np.array(band.nodata, band.dtype))
    bits = np.left_shift(np.uint64(1), np.arange(len(found), dtype=np.uint64))
    return np.asarray(np.tensordot(bits, found.astype(np.uint64), 1) * prediction.valid).astype(band.dtype)[None]


def _set_size_bands(frame: Frame) -> tuple[MapBand, ...]:
    return (MapBand("classes in the set", "uint8" if len(frame.legend.names) <= 255 else "uint16", 0, numbers=True),)


def _set_size(prediction: "Prediction", frame: Frame) -> NDArray[Any]:
    """Return the number of classes of the prediction sets, from 1; 0 is nodata."""
    size = members(prediction.probabilities, frame.sets).sum(0) * prediction.valid
    return np.asarray(size).astype(_set_size_bands(frame)[0].dtype)[None]


def _set_class_bands(frame: Frame) -> tuple[MapBand, ...]:
    return (replace(_certain_bands(frame)[0], name="class of the set"),)


def _set_class(prediction: "Prediction", frame: Frame) -> NDArray[Any]:
    """Return the code of the finest class, at any level, that contains the prediction set; 0 where only the whole legend does."""
    codes, found = np.zeros(prediction.valid.shape, np.int64), members(prediction.probabilities, frame.sets)
    for level in frame.legend.levels:
        own = level.sums(found.astype(np.int64)) > 0
        code = np.array(level.codes)[own.argmax(0)]
        codes = np.where((own.sum(0) == 1) & (code > 0), code, codes)  # a parent without a code has no pixels
    return np.asarray(codes * prediction.valid).astype(_set_class_bands(frame)[0].dtype)[None]


def _percent(name: str, of: Callable[["Prediction"], NDArray[Any]]) -> Layer:
    """Return a layer in hundredths (uint8), 0 to 254; 255 is nodata."""

    def compute(prediction: "Prediction", frame: Frame) -> NDArray[Any]:
        percent = np.minimum(np.rint(of(prediction) * 100), 254).astype(np.uint8)
        return np.where(prediction.valid, percent, np.uint8(255))[None]

    return Layer(lambda frame: (MapBand(name, "uint8", 255),), compute)


def _likeliest(prediction: "Prediction") -> NDArray[Any]:
    return np.asarray(prediction.probabilities.max(0))


def _novelty(prediction: "Prediction") -> NDArray[Any]:
    assert prediction.novelty is not None
    return prediction.novelty


def _entropy(prediction: "Prediction") -> NDArray[Any]:
    """Return the Shannon entropy of the probabilities, divided by its maximum (all classes equally probable): 0 to 1."""
    p = prediction.probabilities
    terms = np.where(p > 0, p * np.log(np.maximum(p, np.finfo(np.float32).tiny)), 0)
    return np.asarray(np.abs(terms.sum(0)) / np.log(max(2, len(p))))


def _margin(prediction: "Prediction") -> NDArray[Any]:
    """Return the probability of the most probable class minus that of the second, 0 to 1."""
    p = prediction.probabilities
    if len(p) < 2:
        return _likeliest(prediction)
    second, first = np.partition(p, len(p) - 2, axis=0)[-2:]
    return np.asarray(first - second)


def _probabilities_bands(frame: Frame) -> tuple[MapBand, ...]:
    dtype = frame.probabilities
    nodata, scale = (255, 0.01) if dtype == "uint8" else (65535, 0.0001)
    return tuple(MapBand(name, dtype, nodata, scale=scale) for name in frame.legend.names)


def _probabilities(prediction: "Prediction", frame: Frame) -> NDArray[Any]:
    """Return the calibrated probability of each class, in hundredths or ten-thousandths; 255 or 65535 is nodata."""
    band = _probabilities_bands(frame)[0]
    stored = np.rint(prediction.probabilities * round(1 / band.scale)).astype(band.dtype)
    return np.where(prediction.valid, stored, np.array(band.nodata, band.dtype))


def _parcels_bands(frame: Frame) -> tuple[MapBand, ...]:
    return tuple(MapBand(name, "uint8", 255, scale=0.01) for name in ("extent", "boundary", "distance"))


def _parcels(prediction: "Prediction", frame: Frame) -> NDArray[Any]:
    """Return extent, boundary and distance of parcels, in hundredths; 255 is nodata."""
    assert prediction.parcels is not None
    return np.where(prediction.valid, np.rint(prediction.parcels * 100).astype(np.uint8), np.uint8(255))


OUTSIDE = np.uint16(65535)
"""Number of clear dates outside the region: nodata."""


def _validity_bands(frame: Frame) -> tuple[MapBand, ...]:
    return tuple(MapBand(f"{name}: clear dates", "uint16", int(OUTSIDE)) for name in frame.sources)


def _validity(prediction: "Prediction", frame: Frame) -> NDArray[Any]:
    """Return the number of clear dates of each source, before gap-filling; nodata outside the region."""
    return np.stack([prediction.clear[name] for name in frame.sources]).astype(np.uint16)


LAYERS = {
    "classes": Layer(_classes_bands, _classes),
    "confidence": _percent("confidence", _likeliest),
    "probabilities": Layer(_probabilities_bands, _probabilities),
    "entropy": _percent("entropy", _entropy),
    "margin": _percent("margin", _margin),
    "novelty": _percent("novelty", _novelty),
    "validity": Layer(_validity_bands, _validity),
    "parcels": Layer(_parcels_bands, _parcels),
    "certain": Layer(_certain_bands, _certain, lambda legend: legend.whole),
    "set_size": Layer(_set_size_bands, _set_size, style=lambda legend: sizes_qml(len(legend.classes))),
    "sets": Layer(_sets_bands, _sets),
    "set_class": Layer(_set_class_bands, _set_class, lambda legend: legend.whole),
}
"""Layers by name.

``confidence`` is the probability of the most probable class, ``margin`` its difference from the second, ``entropy`` the
normalised entropy (0: one class, 100: all classes equally probable), ``novelty`` the distance from the training data (100:
the limit of the validation polygons)."""
