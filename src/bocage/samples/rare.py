"""Classes with too few polygons for the parts of a split, and coarser classes that can train."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.legend import Legend
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Reason, Rejection
from bocage.samples.split import FEWEST, Split


def drop_rare(
    pixels: Pixels,
    legend: Legend,
    split: Split,
    tested: NDArray[np.bool_] | None = None,
    purposive: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.bool_], Legend, list[Rejection]]:
    """Check that every class has enough polygons for the parts of the split.

    Parameters
    ----------
    tested : (N,)
        Whether each pixel is in the fixed test part; None if the parts are not fixed.
    purposive : (N,)
        Whether each pixel is in a purposive polygon, which cannot be tested; None without one.

    Returns
    -------
    kept : (N,) bool, True for pixels of the classes that remain
    legend : the legend of the classes that remain
    rejections : the dropped classes

    Raises
    ------
    SamplesError
        A class has too few polygons and ``rare`` is "stop", a class has no training polygon and ``rare`` is "train", fewer than
        two classes remain, or fewer than two classes can be tested.
    """
    k = len(legend.classes)
    polygons = _polygons_of(pixels.label, pixels.polygon, k)
    counted = _counted(pixels, split, tested, purposive)
    rare = _rare(counted.label, counted.polygon, k, split, tested)
    if split.rare == "stop" and rare.any():
        why = " Purposive polygons do not count, because they are not tested." if len(counted) < len(pixels) else ""
        raise SamplesError(_too_few(counted, legend, split, rare, tested) + why)
    training = polygons if tested is None else _polygons_of(pixels.label[~tested], pixels.polygon[~tested], k)
    if split.rare == "train" and not training.all():
        listed = ", ".join(f"'{legend.names[i]}'" for i in np.flatnonzero(training == 0))
        raise SamplesError(
            f'No training polygon of: {listed}. Remove the class from the legend, or set [split] rare = "drop".'
        )
    out = rare if split.rare == "drop" else np.zeros(k, bool)
    if (~out).sum() < 2 or (split.tests and (~rare).sum() < 2):
        wanted = "a training and a test polygon" if tested is not None else f"{split.fewest} usable polygons"
        untested = ", or set [split] train = 1 and draws = 1 to make a map without a test" if split.tests else ""
        raise SamplesError(
            f"Fewer than two classes have {wanted}; a classification needs two. Add reference polygons{untested}."
        )
    reason: Reason = "rare" if tested is None else "one_part"
    rejections = [
        Rejection(reason, legend.names[i], int(polygons[i]), int((pixels.label == i).sum()), str(split.fewest))
        for i in np.flatnonzero(out)
    ]
    remaining = legend.without([legend.names[i] for i in np.flatnonzero(out)])
    useful, more = _coarser(pixels, remaining)
    return np.isin(pixels.label, [*np.flatnonzero(~out), *useful]), remaining, rejections + more


def _counted(
    pixels: Pixels, split: Split, tested: NDArray[np.bool_] | None, purposive: NDArray[np.bool_] | None
) -> Pixels:
    """Return the pixels whose polygons count for the parts of a split: purposive ones do not, where a test part is drawn."""
    if purposive is None or tested is not None or not split.tests:
        return pixels
    return pixels.take(np.flatnonzero(~purposive))


def _coarser(pixels: Pixels, legend: Legend) -> tuple[list[int], list[Rejection]]:
    """Return the labels of coarser classes that can train, and the rejections of those above no class of the map."""
    useful, rejections = [], []
    for label in np.unique(pixels.label[pixels.label < 0]).tolist():
        of_class = pixels.label == label
        if legend.below(label).any():
            useful.append(label)
        else:
            polygons, count = len(np.unique(pixels.polygon[of_class])), int(of_class.sum())
            rejections.append(Rejection("no_finer", legend.labelled(label).name, polygons, count))
    return useful, rejections


def reserved_classes(
    label: NDArray[Any],
    polygon: NDArray[Any],
    split: Split,
    tested: NDArray[np.bool_] | None,
    purposive: NDArray[np.bool_] | None = None,
) -> tuple[int, ...]:
    """Return the positions of the classes whose samples are used for training in every draw, as ``rare`` = "train" selects.

    Parameters
    ----------
    label, polygon, tested, purposive : (N,)
        Position of the class, number of the polygon, whether the sample is in the fixed test part (None without one), and whether
        its polygon is purposive (None without one).
    """
    if split.rare != "train":
        return ()
    k = int(label.max(initial=-1)) + 1
    if tested is not None:
        rare = _rare(label, polygon, k, split, tested)
    else:
        drawn = slice(None) if purposive is None else ~purposive
        rare = _polygons_of(label[drawn], polygon[drawn], k) < FEWEST
    return tuple(np.flatnonzero(rare).tolist())


def _polygons_of(label: NDArray[Any], polygon: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Return the number of polygons of each of `k` classes; coarser classes have negative labels, and are not counted."""
    pairs = np.unique(np.stack([label, polygon], 1)[label >= 0], axis=0)
    return np.bincount(pairs[:, 0].astype(np.int64), minlength=k)


def _rare(
    label: NDArray[Any], polygon: NDArray[Any], k: int, split: Split, tested: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Return whether each of `k` classes has too few polygons to be trained and tested, (K,)."""
    if tested is None:
        return _polygons_of(label, polygon, k) < split.fewest
    training, test = (_polygons_of(label[some], polygon[some], k) for some in (~tested, tested))
    return np.asarray((training == 0) | (test == 0))


def _too_few(
    pixels: Pixels, legend: Legend, split: Split, rare: NDArray[np.bool_], tested: NDArray[np.bool_] | None
) -> str:
    """Return the message about classes with too few polygons."""
    k = len(rare)
    remedy = (
        "Merge the class with another one in the legend (values = [...]), exclude it ([reference] ignore), or set [split] rare "
        '= "drop", or "train" to map it without a test.'
    )
    if tested is None:
        polygons = _polygons_of(pixels.label, pixels.polygon, k)
        listed = ", ".join(f"'{legend.names[i]}' ({polygons[i]})" for i in np.flatnonzero(rare))
        parts = "training, validation and test" if split.tests else "training"
        return f"Too few polygons for {parts} (each class needs {split.fewest}): {listed}. {remedy}"
    training, test = (_polygons_of(pixels.label[some], pixels.polygon[some], k) for some in (~tested, tested))
    listed = ", ".join(f"'{legend.names[i]}' ({training[i]} and {test[i]})" for i in np.flatnonzero(rare))
    return f"Classes without a training polygon or a test polygon in the field '{split.field}': {listed}. {remedy}"
