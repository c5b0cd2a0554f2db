"""``bocage change``: compare two maps of one nomenclature."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import digest, sha256_of, write_json, write_text
from bocage.errors import FinishError
from bocage.evaluation.area import Estimate
from bocage.finish.change import Change
from bocage.finish.estimates import Checked, Transitions, adjusted
from bocage.jobs.zones import LabelledSample, checked_by_sample, checked_by_test
from bocage.layout import ChangeLayout
from bocage.mapping import Delivered, open_delivered
from bocage.mapping.styles import qml
from bocage.progress import QUIET, Progress
from bocage.run import held
from bocage.textfile import write_csv

HECTARE = 10_000.0
HEADER = ("before", "after", "mapped_ha", "estimated_ha", "error_ha", "low_ha", "high_ha")


@dataclass(frozen=True)
class Year:
    """A map to compare."""

    folder: Path
    """Folder of a run, of a map or of a mosaic."""
    sample: LabelledSample | None = None
    """Labelled validation sample; None: the test polygons of its run, if it has any."""

    def checked(self, land: Delivered) -> Checked | None:
        """Return the reference pixels of the map."""
        return checked_by_sample(land, self.sample) if self.sample else checked_by_test(self.folder, land)


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
    compared = Change.of(*lands)
    checked = [year.checked(land) for year, land in zip((before, after), lands, strict=True)]
    with held(out):
        layout.summary.unlink(missing_ok=True)
        mapped = compared.write(layout, progress)
        found = Compared(lands[0].legend.names, mapped, _estimated(mapped, checked, progress))
        write_text(layout.qml, qml(compared.legend))
        write_csv(layout.transitions, [HEADER, *_rows(found)])
        key = digest(*(sha256_of(land.path("classes")) for land in lands))
        write_json(layout.summary, {"maps": [str(before.folder), str(after.folder)], "key": key, **_summary(found)})
    return found


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


def _summary(found: Compared) -> dict[str, Any]:
    content: dict[str, Any] = {"common_ha": found.hectares, "mapped_changed_share": found.changed}
    if found.estimated:
        content |= {
            "estimated_changed_share": _plain(found.estimated.changed),
            "changed_share_by_error_alone": found.estimated.by_error,
            "model": "errors depend on the true class at their date only, and are independent between the two maps",
        }
    return content


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in asdict(estimate).items()}
