"""Classes with too few sampling units for the parts of a split, and coarser classes that can train."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.legend import Legend
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Reason, Rejection
from bocage.samples.split import FEWEST, Split
from bocage.words import quantity

ONE_PLACE = " Polygons at one place count once, because they are always in the same part of the split."


@dataclass(frozen=True)
class Counted:
    """Labelled pixels, and what decides how many sampling units of each class a split can distribute.

    A sampling unit is a polygon, or all polygons at one place, as in several years. Coarser classes, whose labels are negative,
    are not counted.
    """

    pixels: Pixels
    tested: NDArray[np.bool_] | None = None
    """(N,) whether each pixel is in the fixed test part; None if the parts are not fixed."""
    purposive: NDArray[np.bool_] | None = None
    """(N,) whether each pixel is in a purposive polygon, which cannot be tested; None without one."""
    ground: NDArray[np.int32] | None = None
    """(N,) number of the sampling unit, where polygons at one place are one unit; None: each polygon is one."""

    def take(self, index: NDArray[Any]) -> "Counted":
        """Return the pixels at the positions `index`."""
        more = (None if one is None else one[index] for one in (self.tested, self.purposive, self.ground))
        return Counted(self.pixels.take(index), *more)

    def drawn(self, split: Split) -> "Counted":
        """Return the pixels whose polygons count for the parts of a split: purposive ones do not, where a test part is drawn."""
        if self.purposive is None or self.tested is not None or not split.tests:
            return self
        return self.take(np.flatnonzero(~self.purposive))

    def unit(self, split: Split) -> NDArray[Any]:
        """Return the number of the sampling unit of each pixel, (N,); a split by single pixels keeps no place together."""
        return self.pixels.polygon if self.ground is None or split.unit == "pixel" else self.ground

    def units(self, split: Split, k: int) -> NDArray[np.int64]:
        """Return the number of sampling units of each of `k` classes."""
        return _per_class(self.pixels.label, self.unit(split), k)

    def polygons(self, k: int) -> NDArray[np.int64]:
        """Return the number of polygons of each of `k` classes."""
        return _per_class(self.pixels.label, self.pixels.polygon, k)

    def parts(self, split: Split, k: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the number of sampling units of each of `k` classes in the training and in the test part that a field fixes.

        A unit with a pixel in the test part does not train.
        """
        assert self.tested is not None
        unit, label = self.unit(split), self.pixels.label
        trains = ~np.isin(unit, unit[self.tested])
        return _per_class(label[trains], unit[trains], k), _per_class(label[self.tested], unit[self.tested], k)

    def rare(self, split: Split, k: int) -> NDArray[np.bool_]:
        """Return whether each of `k` classes has too few sampling units to be trained and tested."""
        if self.tested is None:
            return self.units(split, k) < split.fewest
        training, test = self.parts(split, k)
        return np.asarray((training == 0) | (test == 0))

    def shares(self, split: Split) -> bool:
        """Return whether two polygons are one sampling unit."""
        return len(np.unique(self.unit(split))) < len(np.unique(self.pixels.polygon))

    def shown(self, split: Split, k: int) -> list[str]:
        """Return the number of polygons of each of `k` classes as text, with the number of places if it is smaller."""
        pairs = zip(self.units(split, k).tolist(), self.polygons(k).tolist(), strict=True)
        return [str(n) if n == all_ else f"{all_} at {quantity(n, 'place')}" for n, all_ in pairs]


def drop_rare(counted: Counted, legend: Legend, split: Split) -> tuple[NDArray[np.bool_], Legend, list[Rejection]]:
    """Check that every class has enough sampling units for the parts of the split.

    Returns
    -------
    kept : (N,) bool, True for pixels of the classes that remain
    legend : the legend of the classes that remain
    rejections : the dropped classes

    Raises
    ------
    SamplesError
        A class has too few sampling units and ``rare`` is "stop", a class has no training polygon and ``rare`` is "train",
        fewer than two classes remain, or fewer than two classes can be tested.
    """
    k, drawn = len(legend.classes), counted.drawn(split)
    rare = drawn.rare(split, k)
    if split.rare == "stop" and rare.any():
        raise SamplesError(_too_few(counted, legend, split, rare))
    training = counted.polygons(k) if counted.tested is None else counted.parts(split, k)[0]
    if split.rare == "train" and not training.all():
        listed = ", ".join(f"'{legend.names[i]}'" for i in np.flatnonzero(training == 0))
        raise SamplesError(
            f'No training polygon of: {listed}. Remove the class from the legend, or set [split] rare = "drop".'
        )
    out = rare if split.rare == "drop" else np.zeros(k, bool)
    if (~out).sum() < 2 or (split.tests and (~rare).sum() < 2):
        raise SamplesError(_too_few_classes(drawn, split))
    remaining = legend.without([legend.names[i] for i in np.flatnonzero(out)])
    useful, more = _coarser(counted.pixels, remaining)
    kept = np.isin(counted.pixels.label, [*np.flatnonzero(~out), *useful])
    return kept, remaining, _dropped(counted, legend, split, out) + more


def _dropped(counted: Counted, legend: Legend, split: Split, out: NDArray[np.bool_]) -> list[Rejection]:
    """Return the rejections of the classes `out`, (K,)."""
    polygons, fewest = counted.polygons(len(out)), str(split.fewest)
    few, label = counted.drawn(split).polygons(len(out)) < split.fewest, counted.pixels.label
    reasons: list[Reason] = [
        "one_part" if counted.tested is not None else "rare" if one else "one_place" for one in few
    ]
    return [
        Rejection(reasons[i], legend.names[i], int(polygons[i]), int((label == i).sum()), fewest)
        for i in np.flatnonzero(out)
    ]


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


def reserved_classes(counted: Counted, split: Split) -> tuple[int, ...]:
    """Return the positions of the classes whose samples are used for training in every draw, as ``rare`` = "train" selects."""
    if split.rare != "train":
        return ()
    k = int(counted.pixels.label.max(initial=-1)) + 1
    if counted.tested is not None:
        return tuple(np.flatnonzero(counted.rare(split, k)).tolist())
    own = counted if counted.purposive is None else counted.take(np.flatnonzero(~counted.purposive))
    return tuple(np.flatnonzero(own.units(split, k) < FEWEST).tolist())


def _per_class(label: NDArray[Any], number: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Return how many different numbers each of `k` classes has; coarser classes have negative labels, and are not counted."""
    pairs = np.unique(np.stack([label, number], 1)[label >= 0], axis=0)
    return np.bincount(pairs[:, 0].astype(np.int64), minlength=k)


def _too_few(counted: Counted, legend: Legend, split: Split, rare: NDArray[np.bool_]) -> str:
    """Return the message about classes with too few polygons."""
    drawn, classes, names = counted.drawn(split), np.flatnonzero(rare), legend.names
    remedy = (
        "Merge the class with another one in the legend (values = [...]), exclude it ([reference] ignore), or set [split] rare "
        '= "drop", or "train" to map it without a test.'
    )
    if counted.tested is not None:
        training, test = counted.parts(split, len(rare))
        listed = ", ".join(f"'{names[i]}' ({training[i]} and {test[i]})" for i in classes)
        why = ONE_PLACE if counted.shares(split) else ""
        return f"Classes without a training polygon or a test polygon in the field '{split.field}': {listed}. {remedy}{why}"
    shown = drawn.shown(split, len(rare))
    listed = ", ".join(f"'{names[i]}' ({shown[i]})" for i in classes)
    parts = "training, validation and test" if split.tests else "training"
    why = ONE_PLACE if (drawn.units(split, len(rare)) < drawn.polygons(len(rare)))[classes].any() else ""
    if len(drawn.pixels) < len(counted.pixels):
        why += " Purposive polygons do not count, because they are not tested."
    return f"Too few polygons for {parts} (each class needs {split.fewest}): {listed}. {remedy}{why}"


def _too_few_classes(drawn: Counted, split: Split) -> str:
    """Return the message about a legend of which fewer than two classes can be classified, or tested."""
    wanted = "a training and a test polygon"
    if drawn.tested is None:
        wanted = f"{split.fewest} usable polygons" + " at different places" * drawn.shares(split)
    untested = ", or set [split] train = 1 and draws = 1 to make a map without a test" if split.tests else ""
    return f"Fewer than two classes have {wanted}; a classification needs two. Add reference polygons{untested}."
