"""What maps that are computed from other maps have in common: checks of the folder, replacement, and metrics."""

import json
import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

from bocage.disk import checksums_of, damaged, read_checksums, write_json
from bocage.errors import RunFolderError
from bocage.evaluation import ConfusionMatrix
from bocage.evaluation.metrics import measured
from bocage.layout import DerivedLayout, RunLayout
from bocage.mapping import Delivered, Item
from bocage.run import has_results

FIGURES = ("overall_accuracy", "kappa", "f1_weighted", "f1_macro")
"""Metrics of such a map and of the maps behind it."""


def check_free(layout: DerivedLayout, maps: Sequence[Delivered], rules: Container[str], kind: str) -> None:
    """Check that a result replaces no map but an earlier one of its kind, which has one of `rules`.

    Raises
    ------
    RunFolderError
        The folder holds one of the maps, a run, or a map of another kind.
    """
    if any(one.folder.resolve() in (layout.path.resolve(), layout.map.path.resolve()) for one in maps):
        raise RunFolderError(
            f"{layout.path} holds {'one of the maps' if len(maps) > 1 else 'the map'}. Choose another folder for the result."
        )
    above = RunLayout(layout.map.path.resolve().parent)
    owners = (RunLayout(layout.path), *([above] if above.map.path == layout.map.path.resolve() else []))
    if run := next((one for one in owners if has_results(one)), None):
        raise RunFolderError(f"{run.path} has a run, with a map of its own. Choose another folder for the result.")
    if layout.map.is_complete and Item.load(layout.map.item).rule not in rules:
        raise RunFolderError(f"{layout.map.path} holds a map that is not {kind}. Choose another folder for the result.")


def current(layout: DerivedLayout, key: str) -> dict[str, Any] | None:
    """Return the summary in a folder if it is that of the same maps and settings, and its files are intact."""
    try:
        said: dict[str, Any] = json.loads(layout.summary.read_text(encoding="utf-8"))
        intact = said["key"] == key and not damaged(layout.path, said["files"])
        return said if intact and not damaged(layout.map.path, read_checksums(layout.map.checksums)) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clear(layout: DerivedLayout) -> None:
    """Make the folder of a map, and remove from it what would make an incomplete map look complete."""
    layout.map.path.mkdir(parents=True, exist_ok=True)
    for old in (layout.summary, *layout.besides, layout.map.item, layout.map.checksums, *layout.map.layers):
        old.unlink(missing_ok=True)


def write_summary(layout: DerivedLayout, about: Mapping[str, Any]) -> None:
    """Write the summary, with the checksums of the files of the folder."""
    files = [layout.map.checksums, *(one for one in layout.besides if one.exists())]
    write_json(layout.summary, {**about, "files": checksums_of(files, layout.path)})


def figures_of(matrix: ConfusionMatrix) -> dict[str, float | None]:
    """Return the metrics of a map; None where one is not defined."""
    found = {name: measured(name, matrix) for name in FIGURES}
    return {name: None if math.isnan(value) else float(value) for name, value in found.items()}
