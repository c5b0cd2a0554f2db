"""One model per region, one for all and one that knows the region, on a simulated landscape with two seasons.

    python -m benchmarks regional

The season is 46 days later in the east, where early maize has the season of late maize in the west. A random forest and patchwork
(small, at most 250 steps) are trained in three ways: one model for all, one model with the source of regions among its inputs, and one
model per region. Accuracy is measured on the test polygons of the draws, for all classes and for the two kinds of maize.

The seam is measured on the maps, without and with blending. "Neighbours" is the share of neighbouring pixels with different
classes across the border, minus that across the other columns. "Frequencies" is the difference of the class frequencies (total
variation) between strips of 200 m on both sides of the border, minus the mean of those of neighbouring strips elsewhere.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray

from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, landscape, read
from bocage.evaluation import Predictions
from bocage.jobs import run as jobs
from bocage.layout import RunLayout
from bocage.recipe import parse
from bocage.simulate import LEGEND, Simulation

WORK, RESULTS = BUILD / "regional", Results("regional")
LAND = Simulation(height=1604, width=2804, delay=46, polygons=40, sensors=("s2",))
BORDER = round(LAND.width * 1.5 / 2 / 10)
"""Column of the map at the border."""
DRAWS, STRIP, BLEND = 3, 20, 150
"""Number of draws, width of a strip in pixels of 10 m, distance of the blending in metres."""
MAIZE = (2, 3)
"""Codes of early and late maize."""
REGIONS = {"sensor": "regions", "path": "regions.gpkg", "field": "region"}
FOREST = {"name": "random_forest", "trees": 100}
PATCHWORK = {"name": "patchwork", "preset": "small"}
WAYS: Mapping[str, tuple[Table, float | None]] = {
    "random forest, one for all": (FOREST | {"sources": ["s2"]}, None),
    "random forest, knows the region": (FOREST, 0),
    "random forest per region": ({"name": "regional", "member": FOREST}, 0),
    "random forest per region, share 300 m": ({"name": "regional", "member": FOREST, "share": 300}, 0),
    f"random forest per region, blend {BLEND} m": ({"name": "regional", "member": FOREST}, BLEND),
    "patchwork, one for all": (PATCHWORK | {"sources": ["s2"]}, None),
    "patchwork, knows the region": (PATCHWORK, 0),
    "patchwork per region": ({"name": "regional", "member": PATCHWORK}, 0),
    f"patchwork per region, blend {BLEND} m": ({"name": "regional", "member": PATCHWORK}, BLEND),
}
"""Name → table [model], and `blend` of the source of regions; None: the model does not read it."""


def recipe_of(land: Path, name: str, draw: int) -> Table:
    """Return the recipe of a way: one draw, all of whose polygons that do not test train."""
    model, blend = WAYS[name]
    start = read(land / "gru.toml")
    s2 = dict(start["sources"]["s2"])
    if "patchwork" in name:
        s2.pop("fill")
    else:
        s2["fill"] |= {"every": 20}
    training = {"epochs": 1000, "steps": [250, 250], "keep": "last"} if "patchwork" in name else {}
    return {
        "name": slug(name),
        "grid": {"like": "s2"},
        "sources": {"s2": s2, "regions": REGIONS | {"blend": blend or 0}},
        "legend": start["legend"],
        "reference": start["reference"],
        "split": {"train": 0.5, "draws": 1, "seed": draw},
        "model": {"source": "regions", "minimum": 1, **model} if model["name"] == "regional" else model,
        "training": {"calibrate": False, **training},
        "evaluation": {"importance": 0},
    }


def measured(land: Path, name: str, draw: int) -> dict[str, float]:
    """Train, score and map a way; return the accuracy on the test polygons and the measures of the seam."""
    out = WORK / f"{slug(name)}-{draw}"
    jobs.run(parse(recipe_of(land, name, draw), land), out, ("train", "evaluate", "map"))
    layout = RunLayout(out)
    test = Predictions.from_parquet(layout.split(0).test)
    maize = np.isin(test.label, [LEGEND.codes.index(code) for code in MAIZE])
    with rasterio.open(layout.map.path / "classes.tif") as dataset:
        codes = dataset.read(1)
    return {
        "overall_accuracy": float(test.right.mean()),
        "maize": float(test.right[maize].mean()),
        **seam(codes),
    }


def seam(codes: NDArray[np.uint8]) -> dict[str, float]:
    """Return how much the map changes across the border, beyond what it changes elsewhere."""
    changes = (codes[:, 1:] != codes[:, :-1]).mean(0)  # between columns k and k + 1
    elsewhere = np.delete(changes, BORDER - 1)
    strips = [codes[:, x : x + STRIP] for x in range(BORDER % STRIP, codes.shape[1] - STRIP + 1, STRIP)]
    shares = np.stack([np.bincount(strip[strip > 0], minlength=14) / (strip > 0).sum() for strip in strips])
    variation = np.abs(np.diff(shares, axis=0)).sum(1) / 2
    across = BORDER // STRIP - 1
    return {
        "neighbours": float(changes[BORDER - 1] - elsewhere.mean()),
        "frequencies": float(variation[across] - np.delete(variation, across).mean()),
    }


def truth(land: Path) -> dict[str, float]:
    """Return the measures of the seam of the true land cover on the grid of the map."""
    with rasterio.open(land / "s2/blue.tif") as like, rasterio.open(land / "truth.tif") as dataset:
        rows, columns = np.mgrid[: like.height, : like.width]
        x, y = like.transform @ (columns + 0.5, rows + 0.5)
        column, row = ~dataset.transform @ (x, y)
        codes = dataset.read(1)
        row, column = (np.minimum(k.astype(int), n - 1) for k, n in zip((row, column), codes.shape, strict=True))
    return seam(codes[row, column])


WORDS = tuple(WAYS)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the table."""
    land = landscape(WORK / "land", LAND)
    RESULTS.measure(("truth",), lambda: truth(land))
    for name in RESULTS.free(wanted or WAYS):
        for draw in range(DRAWS):
            RESULTS.measure(("ways", name, draw), lambda name=name, draw=draw: measured(land, name, draw))
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Mapping[str, list[dict[str, float]]]]) -> str:
    """Return a table with a line for each way, and one for the true land cover."""
    keys = ("overall_accuracy", "maize", "neighbours", "frequencies")
    rows = [(name, *(spread([one[key] for one in draws]) for key in keys)) for name, draws in found["ways"].items()]
    rows.append(("true land cover", "", "", *(f"{found['truth'][key]:.3f}" for key in keys[2:])))
    return table(("", "accuracy", "accuracy of maize", "seam, neighbours", "seam, frequencies"), rows)


if __name__ == "__main__":
    command_line(__name__)
