"""One model for two simulated sites and years, and a third one: trained on one, on both, and with one left out.

    python -m benchmarks sites

The three landscapes differ in region and year: other parcels, other proportions of the classes, another season. Each has
Sentinel-2 and Sentinel-1 with its own acquisition dates. Patchwork trains on half of the reference polygons of one site or
more, with the same number of samples per epoch. Accuracy is the share of all pixels of a map with the true class, so a model of
one site is measured on the same pixels as a model of two. A draw is another choice of the training polygons.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.embedding import agreement
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, landscape, read, without_fill
from bocage.jobs import run as jobs
from bocage.layout import RunLayout
from bocage.recipe import parse
from bocage.simulate import Simulation

WORK, RESULTS = BUILD / "sites", Results("sites")
LANDS = {
    f"{'ABC'[k]}, {year}": Simulation(region=k, year=year, polygons=24, sensors=("s2", "s1"))
    for k, year in enumerate((2021, 2022, 2023))
}
"""Name of the site → its landscape."""
DRAWS, TOGETHER = 3, 1300
"""Number of draws, and of samples of an epoch."""
FIRST, SECOND, THIRD = LANDS
WAYS: Mapping[str, tuple[str, ...]] = {
    "trained on A": (FIRST,),
    "trained on B": (SECOND,),
    "trained on A and B": (FIRST, SECOND),
    "trained on A and C": (FIRST, THIRD),
    "trained on B and C": (SECOND, THIRD),
    "trained on A, B and C": (FIRST, SECOND, THIRD),
}
"""Name → sites with reference polygons; all are mapped."""


def recipe_of(training: Sequence[str], draw: int) -> Table:
    """Return the recipe of all sites, of which some have reference polygons."""
    sites, legend = [], {}
    for name, settings in LANDS.items():
        site, land = site_of(name, settings, WORK)
        if name not in training:
            del site["reference"]
        sites.append(site)
        legend = {"csv": str(land / "legend.csv")}
    return {
        "site": sites,
        "legend": legend,
        "split": {"train": 0.5, "draws": 1, "seed": draw, "rare": "drop"},
        "model": {"name": "patchwork"},
        "training": {"samples_per_epoch": TOGETHER},
    }


def site_of(name: str, settings: Simulation, work: Path) -> tuple[Table, Path]:
    """Return the table [[site]] of a simulated landscape, with its reference polygons, and the folder of the landscape."""
    land = landscape(work / slug(name), settings)
    sources = without_fill(read(land / "patchwork.toml"))["sources"]
    reference = {"path": str(land / "reference.gpkg"), "label": "code"}
    placed = {key: _placed(sources[key], land) for key in ("s2", "s1")}
    return {"name": name, "grid": {"like": "s2"}, "sources": placed, "reference": reference}, land


def _placed(source: Table, land: Path) -> Table:
    """Return a source with absolute paths."""
    placed = dict(source)
    placed["variables"] = {name: str(land / path) for name, path in source["variables"].items()}
    if "quality" in source:
        placed["quality"] = str(land / source["quality"])
    return placed


def measured(name: str, draw: int) -> dict[str, Any]:
    """Train and map a way; return the accuracy of the map of each site."""
    out = WORK / f"{slug(name)}-{draw}"
    recipe = parse(recipe_of(WAYS[name], draw), WORK)
    jobs.run(recipe, out, ("train", "map"))
    maps = {site.name: RunLayout(out).site(site.slug).map.path / "classes.tif" for site in recipe.sites}
    return {site: agreement(path, WORK / slug(site)) for site, path in maps.items()}


WORDS = tuple(WAYS)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the table."""
    for draw in range(DRAWS):  # all ways of a draw, so that an interrupted benchmark compares the same draws
        for name in RESULTS.free(wanted or WAYS):
            RESULTS.measure(("ways", name, draw), lambda name=name, draw=draw: measured(name, draw))
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return the table: a line per way, a column per mapped site; a site without training polygons is marked."""
    rows = []
    for name, draws in found["ways"].items():
        cells = []
        for site in LANDS:
            mark = "" if site in WAYS[name] else " (new)"
            cells.append(spread([draw[site] for draw in draws]) + mark)
        rows.append((name, len(draws), *cells))
    new = [
        draw[site]
        for name, draws in found["ways"].items()
        for draw in draws
        for site in LANDS
        if site not in WAYS[name]
    ]
    return table(("", "draws", *LANDS), rows) + f"\n\nmean on new sites: {np.mean(new):.3f}"


if __name__ == "__main__":
    command_line(__name__)
