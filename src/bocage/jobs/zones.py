"""``bocage zones``: area of every class in any polygons, with intervals from the accuracy assessment."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import artefact, damaged
from bocage.errors import EvaluationError, FinishError, TrainedError, UnknownNameError
from bocage.evaluation import Predictions, corrected
from bocage.evaluation.sample import Drawn, read_sample
from bocage.finish.estimates import Calibration, Checked
from bocage.finish.likeness import Likeness, alike
from bocage.finish.regularise import HECTARE
from bocage.finish.zone_tables import write_zones
from bocage.finish.zones import ZoneStatistics, read_zones, zone_statistics
from bocage.jobs.evaluate import mapped_at
from bocage.layout import FusionLayout, MapLayout, ReconciledLayout, RunLayout, SplitLayout
from bocage.machine import versions
from bocage.mapping import EARLY, Areas, Delivered, Item, LandCoverMap, open_delivered
from bocage.progress import QUIET, Progress
from bocage.provenance import Provenance
from bocage.report.transfer import Mapped

OTHER_MODEL = "the map is not by the model that its run has now (run 'bocage map' again)"
"""Why a map has no test pixels, as a part of a sentence."""


@dataclass(frozen=True)
class LabelledSample:
    """A labelled validation sample of a map."""

    path: Path
    field: str = "label"


def zones_of(
    folder: Path, polygons: Path, field: str, table: Path, sample: LabelledSample | None, progress: Progress = QUIET
) -> ZoneStatistics:
    """Sum a map by zone, and write a CSV file and, beside it, a GeoParquet file.

    Parameters
    ----------
    folder
        Folder of a run, of a map or of a mosaic.
    field
        Field that names a zone; empty: zones are numbered.
    table
        Name of the two files (:func:`tables_of`).
    sample
        Validation sample for the estimates; None: the test polygons of the run, if `folder` is that of a run.

    Raises
    ------
    FinishError
        The zones cannot be read, or are all outside the map; or a file to write is the one of the zones or of the sample.
    """
    files = tables_of(table)
    read = {path.resolve() for path in (polygons, sample.path if sample else polygons)}
    if replaced := [path for path in files if path.resolve() in read]:
        raise FinishError(f"{replaced[0]} is read, and would be replaced by a table of the zones. Choose another --to.")
    land = open_delivered(folder)
    zones = read_zones(polygons, field, land.grid, progress)
    found = zone_statistics(land, zones, calibration_of(folder, land, sample, progress), progress)
    table.parent.mkdir(parents=True, exist_ok=True)
    write_zones(found, land.legend, land.grid, *files)
    return found


def tables_of(table: Path) -> tuple[Path, Path]:
    """Return the CSV file and the GeoParquet file of a name, which is that of the CSV file unless its suffix is of Parquet.

    >>> [path.name for name in ("z.csv", "z.parquet") for path in tables_of(Path(name))]
    ['z.csv', 'z.parquet', 'z.csv', 'z.parquet']
    """
    if table.suffix.lower() in (".parquet", ".geoparquet"):
        return table.with_suffix(".csv"), table
    return table, table.with_suffix(".parquet")


def calibration_of(
    folder: Path, land: Delivered, sample: LabelledSample | None, progress: Progress
) -> Calibration | None:
    """Return the correction of mapped areas; None, with a message, if no reference pixels are known."""
    if sample:
        labelled = pixels_of_sample(land, sample)
        return Calibration(labelled.checked, likeness=labelled.likeness(land))
    if _is_early(land):
        progress.say(f"{EARLY} A labelled sample of this map gives them.")
        return None
    pixels = pixels_of_test(folder, land)
    if pixels is None:
        why = OTHER_MODEL if Origin.is_of_another_model(folder) else "the map is not that of an evaluated run"
        progress.say(f"No areas are estimated: {why}, and no labelled sample is given.")
        return None
    try:
        return Calibration(pixels.checked.at_shares(_prior(folder, land)), True, pixels.likeness(land))
    except EvaluationError as error:
        progress.say(f"No areas are estimated: {error}")
        return None


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

    def likeness(self, land: Delivered) -> Likeness:
        """Return how the errors vary over a map."""
        areas = Areas.load(land.layout.areas, land.legend)
        total, shares = areas.total * HECTARE, self.checked.shares
        pixels = alike(self.mapped, self.reference, shares, self.unit, self.place)
        return Likeness(pixels, total, total / max(1, int(areas.pixels.sum())))


@dataclass(frozen=True)
class Origin:
    """Training from which a map comes."""

    run: RunLayout
    split: SplitLayout
    """Draw of the run whose model made the map."""

    @classmethod
    def of(cls, folder: Path) -> "Origin | None":
        """Return the origin of the map in a folder: of a run, or made by a model of a run from the same imagery.

        None for any other map: the test pixels of a model say nothing about a map of other imagery, or of another model.
        """
        found = cls._claimed(folder)
        return found if found and found._made(folder) else None

    @classmethod
    def is_of_another_model(cls, folder: Path) -> bool:
        """Return whether the map in a folder of a run, or by a model of a run, is not of the model that the run has now."""
        found = cls._claimed(folder)
        return found is not None and not found._made(folder)

    @classmethod
    def _claimed(cls, folder: Path) -> "Origin | None":
        """Return the origin that the records of a folder give; the model may have been trained again since."""
        around = (folder, folder.resolve().parent)
        layout = next((one for one in map(RunLayout, around) if one.provenance.exists() and one.recipe.exists()), None)
        if layout is None:
            return next((found for found in map(cls._of_model, map(RunLayout, around)) if found), None)
        with artefact(layout.recipe):
            draw = tomllib.loads(layout.recipe.read_text(encoding="utf-8")).get("map", {}).get("draw", 0)
        return cls(layout, layout.split(draw))

    @classmethod
    def _of_model(cls, layout: RunLayout) -> "Origin | None":
        """Return the origin of a map by ``bocage map --model``; None if its imagery or grid is not that of the model's run."""
        mapped = Mapped.load(layout.mapped)
        if mapped is None or mapped.adapted is not None or not layout.map.is_complete:
            return None
        split = SplitLayout(Path(mapped.transfer.folder).parent)
        run = RunLayout(split.path.parent.parent)
        if not (run.provenance.exists() and run.map.is_complete):
            return None
        own, there = Item.load(layout.map.item), Item.load(run.map.item)
        same = own.inputs == there.inputs and own.grid == there.grid
        return cls(run, split) if same and own.fingerprint == mapped.transfer.fingerprint else None

    def _made(self, folder: Path) -> bool:
        """Return whether the model of the draw, as it is now, made the map in a folder.

        The fingerprint of a model depends on the version of Bocage: for a map of another version, the records of the run decide.
        """
        from bocage.training import Trained  # imported here because PyTorch takes a second to import

        item = Item.load(MapLayout.of(folder).item)
        try:
            if Trained.load(self.split.model.path).fingerprint == item.fingerprint:
                return True
        except (TrainedError, UnknownNameError):  # removed, or damaged
            return self._recorded(item.fingerprint)
        return item.version != versions()["bocage"] and self._recorded(item.fingerprint)

    def _recorded(self, fingerprint: str) -> bool:
        """Return whether the map of the run has a fingerprint, is as it was written, and is not older than its training."""
        stages, place = Provenance.load(self.run.provenance).stages, self.run.path
        land, training = stages.get("map"), stages.get(f"train/{self.split.path.name}")
        if land is None or training is None or Item.load(self.run.map.item).fingerprint != fingerprint:
            return False
        classes = {name: total for name, total in land.files.items() if Path(name).stem == "classes"}
        return training.finished <= land.finished and not damaged(place, classes)


def tested_at(folder: Path) -> Path | None:
    """Return the file of the predictions at the test pixels of a map: of a run, a fusion or a reconciled map; None without."""
    made = (kind(one) for one in (folder, folder.resolve().parent) for kind in (FusionLayout, ReconciledLayout))
    combined = next((one for one in made if one.summary.exists()), None)
    origin = None if combined else Origin.of(folder)
    path = combined.test if combined else origin.split.test if origin else None
    return path if path and path.exists() else None


def _is_early(land: Delivered) -> bool:
    """Return whether the map uses the series until a day: the test pixels of whole series do not show its errors."""
    return bool(Item.load(land.layout.item).until)


def _predictions(folder: Path, land: Delivered) -> Predictions | None:
    path = None if _is_early(land) else tested_at(folder)
    return Predictions.from_parquet(path) if path else None


def _prior(folder: Path, land: Delivered) -> tuple[float, ...]:
    """Return the share of each class in the map's area, corrected by the rates of confusion on the test polygons."""
    tested, shares = _predictions(folder, land), Areas.load(land.layout.areas, land.legend).shares
    assert tested is not None
    return corrected(tested.predicted, tested.label, tested.polygon, shares, land.legend.names).area


def checked_by_test(folder: Path, land: Delivered) -> Checked | None:
    """Return the test pixels of the run whose map is in a folder, by polygon; None without an evaluated run."""
    pixels = pixels_of_test(folder, land)
    return pixels.checked if pixels else None


def pixels_of_test(folder: Path, land: Delivered) -> ReferencePixels | None:
    """Return the test pixels of the run whose map is in a folder; None without an evaluated run, or of a part of the series."""
    tested = _predictions(folder, land)
    if tested is None:
        return None
    place = np.stack([tested.row, tested.column], 1)
    origin = f"test polygons of {folder}"
    return ReferencePixels(tested.predicted, tested.label, tested.polygon, place, None, origin, land.legend.names)


def checked_by_sample(land: Delivered, sample: LabelledSample) -> Checked:
    """Return the labelled pixels of a validation sample, each with the weight of its stratum; errors as below."""
    return pixels_of_sample(land, sample).checked


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
