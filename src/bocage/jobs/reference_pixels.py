"""Labelled pixels with which the areas of a map are estimated: test pixels of its run, or a validation sample."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import BocageError
from bocage.evaluation import corrected
from bocage.evaluation.sample import Drawn, read_sample
from bocage.finish.estimates import Checked
from bocage.finish.likeness import Likeness, alike
from bocage.grid import HECTARE
from bocage.jobs.evaluate import sampled_on
from bocage.layout import RunLayout
from bocage.legend import Legend
from bocage.mapping import EARLY, Delivered, Item, LandCoverMap
from bocage.progress import Progress
from bocage.provenance import Provenance
from bocage.recipe import read_recipe
from bocage.report.transfer import Mapped
from bocage.run import test_pixels_of, test_predictions_of


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
    legend: Legend
    """Classes of the map, then those of the reference pixels that the map lacks."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.legend.names

    def omitted(self, land: Delivered) -> str:
        """Return the classes of the pixels that a map lacks, with their numbers of pixels, for a message; empty without any."""
        extra = range(len(land.legend.classes), len(self.names))
        return ", ".join(f"'{self.names[k]}' ({int((self.reference == k).sum())})" for k in extra)

    @property
    def checked(self) -> Checked:
        """The numbers of pixels by unit and classes."""
        found = Checked.of(self.mapped, self.reference, self.unit, self.names, self.origin)
        return found if self.weight is None else found.weighted(self.weight[:, None, None])

    def prior(self, land: Delivered) -> tuple[float, ...]:
        """Return the share of each class in the area of a map, corrected by the rates of confusion of the pixels.

        Raises
        ------
        EvaluationError
            A class has no pixel, or the rates do not explain the areas of the map.
        """
        shares = land.areas().shares
        found = corrected(self.mapped, self.reference, self.unit, shares, self.names)
        found.check()
        return found.area

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
    tested = test_predictions_of(folder, path)
    place = np.stack([tested.row, tested.column], 1)
    origin = f"test polygons of {folder}"
    return ReferencePixels(tested.predicted, tested.label, tested.polygon, place, None, origin, land.legend)


def pixels_of_sample(folder: Path, land: Delivered, sample: LabelledSample, progress: Progress) -> ReferencePixels:
    """Return the labelled pixels of a validation sample of the map in a folder; report those that are not used.

    The labels may be of classes of the recipe that the map lacks: these follow the classes of the map in the legend.

    Raises
    ------
    EvaluationError
        The sample does not match its design, or none of its labelled pixels is on the map.
    """
    drawn, known = Drawn.load(sample.path), known_classes(folder, land)
    labels = read_sample(sample.path, drawn, known, sample.field)
    met = tuple(known.classes[k] for k in np.unique(labels.label))
    legend = land.legend.with_classes_of(Legend(met))
    labels = replace(labels, label=legend.positions()[np.array(known.codes)[labels.label]])
    classes = LandCoverMap({"classes": land.path("classes")}, land.grid, legend, land.layout)
    found = sampled_on(classes, sample.path, drawn, labels, progress)
    weight = found.weights(drawn)
    place, unit = np.stack([drawn.row[found.number], drawn.column[found.number]], 1), np.arange(len(found.number))
    pixels = ReferencePixels(found.mapped, found.label, unit, place, weight, f"{sample.path}", legend)
    if omitted := pixels.omitted(land):
        progress.say(f"{sample.path.name} has pixels of classes that the map lacks: {omitted}.")
    return pixels


def known_classes(folder: Path, land: Delivered) -> Legend:
    """Return the legend of the recipe of a map, which can have classes that the map lacks, coarser ones and reference values.

    It is the legend of the map if the recipe is no longer there, or lacks classes of the map.
    """
    own = {(one.code, one.name) for one in land.legend.classes}
    for path, overrides in filter(None, map(_recipe_path, map(RunLayout, (folder, folder.resolve().parent)))):
        try:
            legend = read_recipe(path, overrides).legend
        except BocageError:
            continue
        if own <= {(one.code, one.name) for one in legend.classes}:
            return legend
    return land.legend


def _recipe_path(layout: RunLayout) -> tuple[Path, tuple[str, ...]] | None:
    """Return the path and the overrides of the recipe of a run, or of a map by a model of another run; None without records."""
    if mapped := Mapped.load(layout.mapped):
        return Path(mapped.transfer.asked.recipe), tuple(mapped.transfer.asked.overrides)
    if layout.provenance.exists():
        said = Provenance.load(layout.provenance)
        return Path(said.recipe), tuple(said.overrides)
    return None
