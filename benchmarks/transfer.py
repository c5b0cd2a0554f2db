"""A model of one place and year on another's: the tiles of Flanders, A (2018) and C (2019), both ways.

    BOCAGE_DATA=/path/to/data python -m benchmarks transfer

Classes and bands that both have (those of 20 m). The forest and the GRU (M3Fusion's branch of series) get series filled onto one calendar, patchwork the dates
themselves. Every labelled pixel of the other tile is classified; mean and deviation over the seeds of draws and weights.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import save
from bocage.evaluation import ConfusionMatrix
from bocage.evaluation.metrics import METRICS
from bocage.models import build
from bocage.pipeline import Recipe, open_scene, read_recipe, run
from bocage.samples import make_samples
from bocage.training import Trained, classify, input_specs

WORK = Path("build/transfer").resolve()
TILES = {"A": ("A_31UDS_2018", 2018), "C": ("C_31UES_2019_no10m", 2019)}
SEEDS = range(5)
BANDS = {"rededge1": "B05", "rededge2": "B06", "rededge3": "B07", "nir08": "B8A", "swir16": "B11", "swir22": "B12"}
BOTH, KEEP = 'sources = ["s1", "s2"]', '[training]\nkeep = "last"\n'
MODELS = {
    "random forest": (True, f'name = "random_forest"\n{BOTH}'),
    "LightGBM": (True, f'name = "lightgbm"\n{BOTH}'),
    "GRU (M3Fusion's series branch), S2": (
        True,
        f'name = "gru"\nsource = "s2"\nunits = 128\n{KEEP}epochs = 60\nlearning_rate = 0.001',
    ),
    "patchwork": (False, f'name = "patchwork"\n{KEEP}'),
}
"""Name → whether series are filled, and the recipe's model."""


def _recipe(tile: str, name: str, seed: int) -> Recipe:
    folder, year = TILES[tile]
    where, (filled, model) = Path(os.environ["BOCAGE_DATA"]) / "flanders" / folder, MODELS[name]
    fill = f"fill = {{ every = 10, start = {year - 1}-10-01, end = {year}-10-31 }}\n" if filled else ""
    variables = ", ".join(f'{band} = "{where}/S2_{code}_20m.tif"' for band, code in BANDS.items())
    text = (
        f'[grid]\nlike = "s2"\n[sources.s2]\nsensor = "series"\nscale = 0.0001\nclear = [4, 5, 6, 7]\nquality = "{where}/S2_SCL_20m.tif"\n'
        f'variables = {{ {variables} }}\n{fill}[sources.s1]\nsensor = "series"\n'
        f'variables = {{ vv = "{where}/S1_VV_20m.tif", vh = "{where}/S1_VH_20m.tif" }}\n{fill}'
        f'[reference]\npath = "{where}/label_parcels_derived.gpkg"\nlabel = "label"\nunknown = "reject"\n'
        '[legend]\nclasses = [\n  { code = 1, name = "summer crops", values = ["Maize", "Potatoes"] },\n'
        '  { code = 2, name = "permanent grass", values = ["Permanent grass crops"] },\n'
        '  { code = 3, name = "no cropland", values = ["No cropland", "Built up / urban"] },\n]\n'
        f"[split]\ntrain = 0.8\ndraws = 1\nseed = {seed}\n[model]\n{model}\n"
    )
    path = WORK / f"{''.join(c for c in name if c.isalnum())}-{tile}-{seed}.toml"
    path.write_text(text)
    return read_recipe(path)


def _scores(trained: Trained, recipe: Recipe, folder: Path) -> dict[str, float]:
    """Accuracy and F-measure on all labelled pixels of a recipe's scene."""
    scene = open_scene(recipe)
    network = build(recipe.model, input_specs(scene), len(recipe.legend.classes), recipe.config)
    samples = make_samples(scene, recipe.legend, recipe.reference, recipe.split, network.footprints, folder)
    trained.for_scene(scene).check_scene(scene)
    found = classify(trained, samples, np.arange(len(samples.label)), recipe.training).argmax(1)
    matrix = ConfusionMatrix.of(samples.label, found, samples.legend.names)
    return {key: float(METRICS.get(key)(matrix)) for key in ("overall_accuracy", "f1_weighted", "kappa")}


def run_all() -> str:
    """Measure, keep, and show as tables."""
    WORK.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {}
    for here, there in (("A", "C"), ("C", "A")):
        for name in MODELS:
            for seed in SEEDS:
                recipe = _recipe(here, name, seed)
                out = WORK / recipe.path.stem
                run(recipe, out, ("train",))
                trained = Trained.load(out / "splits/0/model")
                samples = WORK / f"samples-{there}-{recipe.model}"
                scores = _scores(trained, _recipe(there, name, seed), samples)
                found.setdefault(f"{here} to {there}", {}).setdefault(name, []).append(scores)
    save("transfer", found)
    return "\n" + markdown(found)


def markdown(found: Mapping[str, Mapping[str, list[dict[str, float]]]]) -> str:
    """A line for each direction and model."""
    lines = ["| | model | accuracy | weighted F | kappa |", "| --- | --- | --- | --- | --- |"]
    for way, models in found.items():
        for name, scores in models.items():
            values = ([s[key] for s in scores] for key in ("overall_accuracy", "f1_weighted", "kappa"))
            cells = " | ".join(f"{np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" for v in values)
            lines.append(f"| {way} | {name} | {cells} |")
    return "\n".join(lines)
