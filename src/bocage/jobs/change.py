"""``bocage change``: compare two maps of one nomenclature."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import checksums_of, damaged, digest, sha256_of, write_json, write_text
from bocage.errors import FinishError
from bocage.evaluation.area import Estimate
from bocage.finish.change import Change
from bocage.finish.estimates import Checked, Transitions, adjusted
from bocage.grid import HECTARE
from bocage.jobs.reference_pixels import LabelledSample, known_classes, pixels_of_sample, pixels_of_test
from bocage.layout import ChangeLayout
from bocage.mapping import Delivered, open_delivered
from bocage.mapping.styles import qml
from bocage.progress import QUIET, Progress
from bocage.run import held, tested_at
from bocage.textfile import write_csv

FORMAT = 4
"""Changed when the results of the same maps change."""
HEADER = ("before", "after", "mapped_ha", "estimated_ha", "error_ha", "low_ha", "high_ha")


@dataclass(frozen=True)
class Year:
    """A map to compare."""

    folder: Path
    """Folder of a run, of a map or of a mosaic."""
    sample: LabelledSample | None = None
    """Labelled validation sample; None: the test polygons of its run, if it has any."""

    def key(self, land: Delivered) -> str:
        """Return a digest of the content of the map and of its reference pixels."""
        reference = self.sample.path if self.sample else tested_at(self.folder)
        files = [land.path("classes"), *([reference] if reference else [])]
        labels = (self.sample.field, known_classes(self.folder, land)) if self.sample else ("",)
        return digest(*(sha256_of(path) for path in files), *labels)

    def checked(self, land: Delivered, progress: Progress) -> Checked | None:
        """Return the reference pixels of the map; None, with a message that says why."""
        if self.sample:
            sampled = pixels_of_sample(self.folder, land, self.sample, progress)
            if sampled.omitted(land):
                progress.say(
                    f"{self.sample.path.name}: changes cannot be corrected by the confusions of a class that is never mapped."
                )
                return None
            return sampled.checked
        pixels = pixels_of_test(self.folder, land)
        if isinstance(pixels, str):
            progress.say(f"{self.folder}: {pixels}.")
            return None
        return pixels.checked


@dataclass(frozen=True)
class Compared:
    """Changed area of two maps."""

    names: tuple[str, ...]
    mapped: NDArray[np.float64]
    """Mapped area in m², by class before (row) and after (column), (K, K)."""
    estimated: Transitions | None
    """Adjusted for the errors of both maps; None without reference pixels."""

    @property
    def hectares(self) -> float:
        """Common area."""
        return float(self.mapped.sum()) / HECTARE

    @property
    def changed(self) -> float:
        """Share of the common area whose mapped class changed."""
        return float(1 - np.trace(self.mapped) / self.mapped.sum())

    def as_dict(self) -> dict[str, Any]:
        """Return the content of ``change.json``; None (null) for a missing value."""
        content: dict[str, Any] = {
            "classes": list(self.names), "common_ha": self.hectares, "mapped_changed_share": self.changed,
            "mapped_m2": self.mapped.tolist(),
        }  # fmt: skip
        if self.estimated:
            content |= {
                "estimated_changed_share": _plain(self.estimated.changed),
                "changed_share_by_error_alone": self.estimated.by_error,
                "estimated_shares": [[_plain(one) for one in row] for row in self.estimated.shares],
                "model": "errors depend on the true class at their date only, and are independent between the two maps",
            }
        return content

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Compared":
        """Read the result of :meth:`as_dict`."""
        estimated = None
        if "estimated_shares" in said:
            shares = tuple(tuple(_estimate(one) for one in row) for row in said["estimated_shares"])
            changed = _estimate(said["estimated_changed_share"])
            estimated = Transitions(shares, changed, said["changed_share_by_error_alone"])
        return cls(tuple(said["classes"]), np.array(said["mapped_m2"]), estimated)


def change(before: Year, after: Year, out: Path, progress: Progress = QUIET) -> Compared:
    """Compare two maps; write the map of transitions, their areas and a summary to a folder.

    Raises
    ------
    MappingError
        A folder holds no complete map, or the maps differ in legend or grid.
    FinishError
        The maps have no common area.
    """
    layout, lands = ChangeLayout(out), (open_delivered(before.folder), open_delivered(after.folder))
    key = digest(FORMAT, before.key(lands[0]), after.key(lands[1]))
    if current := _current(layout, key):
        progress.say("change: up to date")
        return current
    compared = Change.of(*lands)
    checked = [year.checked(land, progress) for year, land in zip((before, after), lands, strict=True)]
    with held(out):
        layout.summary.unlink(missing_ok=True)
        mapped = compared.write(layout, progress)
        found = Compared(lands[0].legend.names, mapped, _estimated(mapped, checked, progress))
        write_text(layout.qml, qml(compared.legend))
        write_csv(layout.transitions, [HEADER, *_rows(found)])
        about = {
            "maps": [str(before.folder), str(after.folder)], "key": key,
            "files": checksums_of([layout.classes, layout.transitions], out),
        }  # fmt: skip
        write_json(layout.summary, about | found.as_dict())
    return found


def _current(layout: ChangeLayout, key: str) -> Compared | None:
    """Return the result in a folder if it is that of the same maps and reference pixels, and its files are intact."""
    try:
        said = json.loads(layout.summary.read_text(encoding="utf-8"))
        if said["key"] != key or damaged(layout.path, said["files"]):
            return None
        return Compared.from_dict(said)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _estimated(mapped: NDArray[np.float64], checked: list[Checked | None], progress: Progress) -> Transitions | None:
    first, second = checked
    if first is None or second is None:
        progress.say("No changed area is estimated: it needs the test polygons or a labelled sample of both maps.")
        return None
    try:
        return adjusted(mapped, first, second)
    except FinishError as error:
        progress.say(f"No changed area is estimated: {error}")
        return None


def _rows(found: Compared) -> list[list[Any]]:
    rows = []
    for i, old in enumerate(found.names):
        for j, new in enumerate(found.names):
            estimate = found.estimated.shares[i][j].times(found.hectares) if found.estimated else None
            numbers = (estimate.value, estimate.error, estimate.low, estimate.high) if estimate else (math.nan,) * 4
            shown = ["" if math.isnan(value) else f"{value:.4f}" for value in numbers]
            rows.append([old, new, f"{found.mapped[i, j] / HECTARE:.4f}", *shown])
    return rows


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in asdict(estimate).items()}


def _estimate(record: Mapping[str, float | None]) -> Estimate:
    return Estimate(**{name: math.nan if value is None else value for name, value in record.items()})
