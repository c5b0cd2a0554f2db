"""Maps by pixel, by object and by parcel: accuracy on the test polygons and against the true land cover of a simulated landscape.

    python -m benchmarks objects

The landscape has the default size. In each draw, patchwork and a random forest, with their defaults, map the pixels from all
sources; the map is regularised, and objects and parcels vote on it. The parcels are those of the simulation, without the hedges,
tracks and rivers in them: no cadastre is as exact. The chain `moringa` classifies objects by their features with a random forest. All
maps have the grid of Sentinel-2 and the same test polygons. Two environment variables limit the work: ``OBJECTS_DRAWS``, the
number of draws (default 5), and ``OBJECTS_MODELS``, the models of the pixels (default ``patchwork,random_forest``). Results:
``benchmarks/results/objects.json``, and figures of the first draw in ``build/objects/``.
"""

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from rasterio.features import shapes

from benchmarks.frame import BUILD, Results, command_line, spread, table
from benchmarks.recipes import Table, landscape, read
from bocage.evaluation import METRICS, compare, load_score
from bocage.jobs.finish import finish
from bocage.jobs.run import run as run_recipe
from bocage.jobs.segment import segment
from bocage.layout import RunLayout
from bocage.mapping import open_delivered
from bocage.mapping.codes import codes_beside
from bocage.recipe import parse
from bocage.simulate import LEGEND, Simulation, World
from bocage.simulate.landscape import ground_at

WORK, RESULTS, MMU = BUILD / "objects", Results("objects"), 0.1
"""Minimum mapping unit of the regularised map in hectares."""
SEGMENT, STAGES = {"sources": ["ms"]}, ("train", "evaluate", "map")
STEPS: Mapping[str, Mapping[str, Any]] = {
    "pixels, regularised": {"mmu": MMU},
    "vote of objects": {"within": "objects", "vote": "probability"},
    "vote of parcels": {"within": "parcels.gpkg", "vote": "probability"},
}
"""Name of a map → its settings of [finish]."""
LAYERS = {"pixels, regularised": "regularised", "vote of objects": "voted", "vote of parcels": "voted"}


def run() -> str:
    """Measure the draws that are missing, draw the figures, and return the table."""
    land, models = landscape(WORK / "land", Simulation()), os.environ.get("OBJECTS_MODELS", "patchwork,random_forest")
    parcels(land)
    for draw in range(int(os.environ.get("OBJECTS_DRAWS", "5"))):
        RESULTS.measure(("moringa", draw), partial(by_objects, land, draw))
        for model in models.split(","):
            RESULTS.measure((model, draw), partial(by_pixels, land, model, draw))
    rows = []
    for model, draws in RESULTS.content().items():
        for name in draws[0] if model != "machine" else ():
            cells = [spread([one[name][key] for one in draws]) for key in ("test", "truth", "truth_f1_macro")]
            rows.append([model, name, len(draws), *cells])
    return "\n" + table(["model", "map", "draws", "test polygons", "whole map", "whole map, macro F1"], rows)


def parcels(land: Path) -> None:
    """Write the parcels of the landscape, from the pixels of PAN."""
    with rasterio.open(land / "truth.tif") as dataset:
        transform, shape, crs = dataset.transform, dataset.shape, dataset.crs
    column, row = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    ids = ground_at(World(), transform.c + column * transform.a, transform.f + row * transform.e).parcel
    number = np.unique(ids, return_inverse=True)[1].reshape(shape).astype(np.int32)
    polygons = [shapely.geometry.shape(one) for one, _ in shapes(number, transform=transform)]
    gpd.GeoDataFrame(geometry=polygons, crs=crs).to_file(land / "parcels.gpkg")


def recipe_of(land: Path, draw: int, **changed: Any) -> Any:
    """Return a recipe on all sources of the landscape and one draw, with other sections changed."""
    base: Table = read(land / "patchwork.toml")
    base["split"] = {"draws": 1, "seed": draw}
    base["map"] = {"layers": ["classes", "confidence", "probabilities"]}
    base["segment"] = SEGMENT
    return parse({**base, **changed}, land)


def by_pixels(land: Path, model: str, draw: int) -> dict[str, dict[str, float]]:
    """Map the pixels and finish the map in several ways; return the accuracies."""
    out, network = WORK / f"{model}-{draw}", {"name": model}
    run_recipe(recipe_of(land, draw, model=network), out, STAGES)
    segment(recipe_of(land, draw, model=network), out)
    found, maps = {"pixels": accuracy(out, "classes", land, None)}, {"pixels": picture(out, "classes")}
    for name, settings in STEPS.items():
        finish(recipe_of(land, draw, model=network, finish={"formats": [], **settings}), out)
        found[name] = accuracy(out, LAYERS[name], land, LAYERS[name])
        maps[name] = picture(out, LAYERS[name])
    if draw == 0:
        figure(land, model, maps)
    return found


def by_objects(land: Path, draw: int) -> dict[str, dict[str, float]]:
    """Map by the features of objects; return the accuracies."""
    out = WORK / f"moringa-{draw}"
    sources = {**read(land / "patchwork.toml")["sources"], "objects": {"sensor": "objects", "ratio": {"finer": 1}}}
    model = {"name": "random_forest", "sources": ["objects"]}
    run_recipe(recipe_of(land, draw, sources=sources, model=model), out, STAGES)
    return {"objects": accuracy(out, "classes", land, None)}


def accuracy(out: Path, layer: str, land: Path, step: str | None) -> dict[str, float]:
    """Return overall accuracies of a map on the test polygons and against the truth raster, and macro F1 against the latter."""
    layout, delivered = RunLayout(out), open_delivered(out)
    if step:
        test = json.loads(layout.finish.score.read_text(encoding="utf-8"))["maps"][step]["overall_accuracy"]["mean"]
    else:
        test = float(load_score(layout.split(0).score).values("overall_accuracy")[0])
    legend = delivered.legend
    whole = compare(codes_beside(land / "truth.tif", path_of(out, layer), delivered.grid), legend.codes, legend.names)
    return {
        "test": test, "truth": METRICS.get("overall_accuracy")(whole), "truth_f1_macro": METRICS.get("f1_macro")(whole)
    }  # fmt: skip


def path_of(out: Path, layer: str) -> Path:
    return RunLayout(out).map.path / f"{layer}.tif"


def picture(out: Path, layer: str) -> np.ndarray:
    with rasterio.open(path_of(out, layer)) as dataset:
        return np.asarray(dataset.read(1))


def figure(land: Path, model: str, maps: Mapping[str, np.ndarray]) -> None:
    """Draw the maps of a model side by side, with the truth and the map by objects."""
    from matplotlib.figure import Figure

    colors = np.full((max(LEGEND.codes) + 1, 3), 255, np.uint8)
    colors[list(LEGEND.codes)] = [LEGEND.rgb(k) for k in range(len(LEGEND.codes))]
    with rasterio.open(land / "truth.tif") as dataset:
        shown = {"truth": dataset.read(1), **maps, "moringa": picture(WORK / "moringa-0", "classes")}
    page = Figure(figsize=(15, 9), layout="constrained")
    for axes, (name, codes) in zip(page.subplots(2, 3).ravel(), shown.items(), strict=True):
        axes.imshow(colors[codes], interpolation="nearest")
        axes.set(title=name, xticks=[], yticks=[])
    page.savefig(WORK / f"{model}.png", dpi=90)


if __name__ == "__main__":
    command_line(__name__)
