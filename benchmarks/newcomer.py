"""What ``bocage init``, ``check`` and ``run`` make of each folder of real data and each simulated format.

    BOCAGE_DATA=/path/to/data python -m benchmarks.newcomer [wake] [canada] [geotiff] [...]

Nothing is edited. A folder is right if ``init`` writes a recipe, ``check`` has no error, no line waits for an answer ("?"), and
``run`` comes to its end, with three draws in place of ten.
Real data lies in ``BOCAGE_DATA``; the simulated landscape is 401 x 402 panchromatic pixels.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.frame import Results, command_line, spread
from benchmarks.measuring import bocage, scratch
from bocage.errors import BocageError
from bocage.jobs.check import check
from bocage.jobs.init import write_recipe
from bocage.layout import RunLayout
from bocage.recipe import read_recipe

RESULTS, DRAWS = Results("newcomer"), 3
REAL = {
    "flanders A": ("flanders/A_31UDS_2018", "label_parcels_derived.gpkg"),
    "flanders C": ("flanders/C_31UES_2019_no10m", "label_parcels_derived.gpkg"),
    "wake": ("wake", "landsat96_polygons.gpkg"),
    "canada": ("canada", "points.gpkg"),
    "bavaria": ("bavaria", "fields.csv"),
    "rondonia": ("rondonia", "points_labels.gpkg"),
    "matogrosso": ("matogrosso", "samples.csv"),
}
"""Name → folder in ``BOCAGE_DATA``, and reference."""
FORMATS = (("geotiff",), ("theia", "spot67", "s1tiling"), ("safe", "pleiades"), ("stac",), ("landsat",))
"""Formats of one landscape each."""
SIZE = ("--height", "401", "--width", "402", "--polygons", "8", "--no-recipes")


@dataclass(frozen=True)
class Case:
    """A folder of images and its reference."""

    images: Path
    reference: Path


WORDS = (*REAL, *("+".join(formats) for formats in FORMATS))
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Try every folder, or those wanted, and return a line for each."""
    found = {}
    with scratch() as folder:
        for name, make in _cases(folder):
            if not wanted or name in wanted:
                found[name] = _tried(make(), folder / f"{name}.toml".replace(" ", "_"))
                RESULTS.keep(found[name], "cases", name)
    return "\n" + "\n".join(_line(name, result) for name, result in found.items())


def _cases(folder: Path) -> Iterator[tuple[str, Callable[[], Case]]]:
    """Yield name and maker of each folder."""
    data = os.environ.get("BOCAGE_DATA")
    for name, (images, reference) in (REAL if data else {}).items():
        path = Path(str(data)) / images
        yield name, lambda path=path, reference=reference: Case(path, path / reference)  # type: ignore[misc]
    for formats in FORMATS:
        yield "+".join(formats), lambda formats=formats: _simulated(folder, formats)  # type: ignore[misc]


def _simulated(folder: Path, formats: tuple[str, ...]) -> Case:
    land = folder / "-".join(formats)
    bocage("simulate", land, *SIZE, *(item for name in formats for item in ("--format", name)))
    return Case(land, land / "reference.gpkg")


def _tried(case: Case, out: Path) -> dict[str, Any]:
    """Return what was proposed, what is to be written by hand, the findings, and the processor seconds of both commands."""
    started = time.process_time()
    try:
        lines = write_recipe(case.images, case.reference, "", out)
    except BocageError as error:
        return {"refused": str(error).replace(str(case.images), "…")}
    init, started = time.process_time() - started, time.process_time()
    text = out.read_text(encoding="utf-8")
    asked = re.findall(r'(?m)^\w+ = "\?".*$', text)
    result: dict[str, Any] = {
        "sites": text.count("[[site]]"),
        "remarks": sum(line.startswith("remark") for line in lines),
        "asked": len(asked),
    }
    if not asked:
        recipe = read_recipe(out)
        first = recipe.sites[0] if recipe.sites else recipe
        severities = [finding.severity for finding in check(out).findings]
        result |= {
            "sources": {name: choice.sensor for name, choice in first.sources.items()},
            "classes": len(recipe.legend.classes), "label": first.reference.label if first.reference else "",
            "errors": severities.count("error"), "warnings": severities.count("warning"),
        }  # fmt: skip
    seconds = {"init_seconds": round(init, 1), "check_seconds": round(time.process_time() - started, 1)}
    return result | seconds | ({} if asked or result["errors"] else _finished(out))


def _finished(recipe: Path) -> dict[str, Any]:
    """Run a recipe with `DRAWS` draws; return the accuracy of each, and the seconds that the run took."""
    folder, started = recipe.with_suffix(".run"), time.monotonic()
    bocage("run", recipe, "--set", f"split.draws={DRAWS}", "--out", folder)
    accuracy = json.loads(RunLayout(folder).score.read_text(encoding="utf-8"))["overall_accuracy"]["per_draw"]
    shutil.rmtree(folder)
    return {"accuracy": accuracy, "run_seconds": round(time.monotonic() - started)}


def _line(name: str, found: dict[str, Any]) -> str:
    if "refused" in found:
        return f"  {name}: no recipe: {found['refused'][:160]}"
    if found["asked"]:
        return f"  {name}: {found['asked']} line(s) to write"
    accuracy = f", accuracy {spread(found['accuracy'])}" if "accuracy" in found else ""
    sites = f"{found['sites']} sites with " if found["sites"] else ""
    return (
        f"  {name}: {sites}{', '.join(found['sources'])}; {found['classes']} classes of '{found['label']}'; "
        f"{found['errors']} errors, {found['warnings']} warnings; init {found['init_seconds']} s, check {found['check_seconds']} s, "
        f"run {found.get('run_seconds', '–')} s{accuracy}"
    )


if __name__ == "__main__":
    command_line(__name__)
