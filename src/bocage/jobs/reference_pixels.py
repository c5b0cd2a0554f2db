"""Labelled pixels with which the areas of a map are estimated: test pixels of its run, or a validation sample."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import EvaluationError
from bocage.evaluation import Predictions, corrected
from bocage.evaluation.sample import Drawn, read_sample
from bocage.finish.estimates import Checked
from bocage.finish.likeness import Likeness, alike
from bocage.finish.regularise import HECTARE
from bocage.jobs.evaluate import mapped_at
from bocage.mapping import EARLY, Delivered, Item, LandCoverMap
from bocage.run import test_pixels_of


@dataclass(frozen=True)
class LabelledSample:
    """A labelled validation sample of a map."""

    path: Path
    field: str = "label"


@dataclass(frozen=True)
class ReferencePixels:
    """Reference pixels (N,) of a map; classes are positions in the legend."""

    mapped: NDArray[Any]
    reference: NDArray[Any]
    unit: NDArray[Any]
    """Number of the polygon, or of the single pixel."""
    place: NDArray[Any]
    """Row and column on the grid of the map (N, 2)."""
    weight: NDArray[np.float64] | None
    """Inclusion weight of each unit (U,); None: all are equal."""
    origin: str
    names: tuple[str, ...]

    @property
    def checked(self) -> Checked:
        """The numbers of pixels by unit and classes."""
        found = Checked.of(self.mapped, self.reference, self.unit, self.names, self.origin)
        return found if self.weight is None else found.weighted(self.weight[:, None, None])

    def prior(self, land: Delivered) -> tuple[float, ...]:
        """Return the share of each class in the area of a map, corrected by the rates of confusion of the pixels."""
        shares = land.areas().shares
        return corrected(self.mapped, self.reference, self.unit, shares, self.names).area

    def likeness(self, land: Delivered) -> Likeness:
        """Return how the errors vary over a map."""
        areas = land.areas()
        total, shares = areas.total * HECTARE, self.checked.shares
        pixels = alike(self.mapped, self.reference, shares, self.unit, self.place)
        return Likeness(pixels, total, total / max(1, int(areas.pixels.sum())))


def pixels_of_test(folder: Path, land: Delivered) -> ReferencePixels | str:
    """Return the test pixels of the run whose map is in a folder; without any, the reason as a part of a sentence."""
    if Item.load(land.layout.item).until:  # the test pixels of whole series do not show the errors of an early map
        return EARLY
    path = test_pixels_of(folder)
    if isinstance(path, str):
        return path
    tested = Predictions.from_parquet(path)
    place = np.stack([tested.row, tested.column], 1)
    origin = f"test polygons of {folder}"
    return ReferencePixels(tested.predicted, tested.label, tested.polygon, place, None, origin, land.legend.names)


def pixels_of_sample(land: Delivered, sample: LabelledSample) -> ReferencePixels:
    """Return the labelled pixels of a validation sample.

    Raises
    ------
    EvaluationError
        The sample does not match its design, or none of its labelled pixels is on the map.
    """
    drawn = Drawn.load(sample.path)
    labelled = read_sample(sample.path, drawn, land.legend, sample.field)
    mapped = mapped_at(
        drawn, labelled, LandCoverMap({"classes": land.path("classes")}, land.grid, land.legend, land.layout)
    )
    seen = mapped >= 0
    if not seen.any():
        raise EvaluationError(
            f"{sample.path}: none of its labelled pixels is on the map {land.folder}. Check that it is the sample of this map."
        )
    number = labelled.number[seen]
    stratum = drawn.stratum[labelled.number]
    count = {code: int((stratum == code).sum()) for code in drawn.sizes}
    weight = np.array([drawn.sizes[code] / count[code] for code in drawn.stratum[number].tolist()])
    place, unit = np.stack([drawn.row[number], drawn.column[number]], 1), np.arange(len(number))
    return ReferencePixels(mapped[seen], labelled.label[seen], unit, place, weight, f"{sample.path}", land.legend.names)
