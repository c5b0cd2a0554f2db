"""Transfer of models to another place and year: tiles of Flanders, A (2018) and C (2019), both ways; simulated landscapes.

    BOCAGE_DATA=/path/to/data python -m benchmarks.transfer [flanders] [simulated]

Flanders: the classes and the 20 m bands that both tiles have. The forest, LightGBM and the GRU (the series branch of M3Fusion)
get series filled onto one calendar, patchwork gets the acquisition dates. All labelled pixels of the other tile are classified.
Results are mean and standard deviation over the seeds of draws and weights.

Simulated: from year 2022 and region 0 to year 2023 and region 1. The model is used as it is, adapted without labels, or adapted
with five polygons of each class; a fourth model is trained from scratch on these polygons. The other polygons of the target
test. An interrupted benchmark resumes.
"""

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
from filelock import FileLock

from benchmarks.accuracy import classes_of, samples_of, scores_of
from benchmarks.record import RESULTS, machine
from bocage.jobs.adapt import adapt_to
from bocage.jobs.run import run
from bocage.recipe import Recipe, read_recipe
from bocage.run import open_scene
from bocage.simulate import Simulation, simulate
from bocage.simulate.recipes import write_recipes
from bocage.training import Adapting, Trained

WORK = Path("build/transfer").resolve()
TILES = {"A": ("A_31UDS_2018", 2018), "C": ("C_31UES_2019_no10m", 2019)}
FILE, SEEDS = RESULTS / "transfer.json", range(3)
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
"""Name → whether series are gap-filled, and the [model] table of the recipe."""
WAYS = (
    "as it is",
    "adapted without labels",
    "adapted with 5 polygons of each class",
    "from scratch on 5 polygons of each class",
)


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
    """Return the scores on all labelled pixels of a recipe's scene."""
    scene = open_scene(recipe)
    samples = samples_of(recipe, scene, folder, any_source=False)
    trained.for_scene(scene).check_scene(scene)
    members = np.arange(len(samples.label))
    return scores_of(samples, members, classes_of(trained, samples, members, recipe))


def run_flanders() -> None:
    """Measure the scores of all models and seeds, both ways."""
    for seed in SEEDS:
        for here, there in (("A", "C"), ("C", "A")):
            for name in MODELS:
                way, target = f"{here} to {there}", _recipe(there, name, seed)
                recipe = _recipe(here, name, seed)
                out, samples = WORK / recipe.path.stem, WORK / f"samples-{there}-{recipe.choice.name}"
                if not _is_known(way, name, seed):
                    run(recipe, out, ("train",))
                    _keep(way, name, seed, _scores(Trained.load(out / "splits/0/model"), target, samples))
                line = "patchwork, adapted without labels"
                if name == "patchwork" and not _is_known(way, line, seed):
                    adapted = _adapted(target, out / "splits/0/model", out.with_name(f"{out.name}-to-{there}"))
                    _keep(way, line, seed, _scores(adapted, target, samples))


def _known() -> dict[str, Any]:
    """Return the stored results: way → line → scores, in the order of the seeds."""
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def _is_known(way: str, line: str, seed: int) -> bool:
    return len(_known().get(way, {}).get(line, [])) > seed


def _keep(way: str, line: str, seed: int, scores: Mapping[str, float]) -> None:
    with FileLock(WORK / "transfer.lock"):
        known = _known()
        known.setdefault(way, {}).setdefault(line, []).append(scores)
        FILE.write_text(json.dumps(known | {"machine": machine()}, indent=1) + "\n")
    print(f"{way:10} seed {seed} {line:42} {scores['overall_accuracy']:.3f}", flush=True)


def _adapted(recipe: Recipe, model: Path, out: Path, polygons: bool = False) -> Trained:
    adapt_to(recipe, model, out, Adapting(polygons=polygons), overwrite=True)
    return Trained.load(out / "model")


def run_simulated() -> None:
    """Measure the scores of the four ways, for each seed."""
    here, there = _landscape("here", Simulation()), _landscape("there", Simulation(year=2023, region=1, seed=1))
    for seed in SEEDS:
        if _is_known("simulated", WAYS[-1], seed):
            continue
        few, rest = _dealt(there, seed)
        source = _changed(here, f"here-{seed}", seed)
        tested, small = _changed(there, f"rest-{seed}", seed, rest), _changed(there, f"few-{seed}", seed, few)
        run(source, WORK / f"here-{seed}", ("train",))
        run(small, WORK / f"few-{seed}", ("train",))
        for way, trained in zip(WAYS, _four(small, seed), strict=True):
            if not _is_known("simulated", way, seed):
                _keep("simulated", way, seed, _scores(trained, tested, WORK / f"samples-rest-{seed}"))


def _four(small: Recipe, seed: int) -> Iterator[Trained]:
    """Yield the models of the four ways, each computed when it is needed."""
    model = WORK / f"here-{seed}/splits/0/model"
    yield Trained.load(model)
    yield _adapted(small, model, WORK / f"adapted-{seed}")
    yield _adapted(small, model, WORK / f"taught-{seed}", polygons=True)
    yield Trained.load(WORK / f"few-{seed}/splits/0/model")


def _landscape(name: str, settings: Simulation) -> Path:
    """Simulate the landscape if it does not exist; return the recipe of patchwork."""
    folder = WORK / name
    if not (folder / "truth.tif").exists():
        simulate(settings, folder)
        write_recipes(settings, folder)
    return folder / "patchwork.toml"


def _dealt(recipe: Path, seed: int) -> tuple[Path, Path]:
    """Write five polygons of each class to one file and the others, at least three, to another; return both paths."""
    table = geopandas.read_file(recipe.with_name("reference.gpkg"))
    classes = table.sample(frac=1, random_state=seed).groupby("code")
    few = classes.cumcount().index[classes.cumcount() < np.minimum(5, classes.code.transform("size") - 3)]
    paths = tuple(recipe.with_name(f"{name}-{seed}.gpkg") for name in ("few", "rest"))
    for path, part in zip(paths, (table.loc[few], table.drop(few)), strict=True):
        if not path.exists():  # a rewritten file would count as changed
            part.to_file(path)
    return paths[0], paths[1]


def _changed(recipe: Path, name: str, seed: int, reference: Path | None = None) -> Recipe:
    """Write and read the recipe with other polygons, all used for training and validation."""
    text = recipe.read_text().partition("[training]")[0]
    text = re.sub(r"\[split\][^\[]*", f"[split]\ntrain = 0.99\ndraws = 1\nseed = {seed}\n", text)
    if reference:
        text = text.replace("reference.gpkg", reference.name)
    path = recipe.with_name(f"{name}.toml")
    path.write_text(f"{text}\n{KEEP}samples_per_epoch = 2600\n")
    return read_recipe(path)


def run_all(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the tables."""
    WORK.mkdir(parents=True, exist_ok=True)
    for name, work in {"flanders": run_flanders, "simulated": run_simulated}.items():
        if name in (wanted or (name,)):
            work()
    return "\n" + markdown({way: lines for way, lines in _known().items() if way != "machine"})


def markdown(found: Mapping[str, Mapping[str, list[dict[str, float]]]]) -> str:
    """Return a table with a line for each direction and model."""
    lines = ["| | model | accuracy | weighted F | kappa |", "| --- | --- | --- | --- | --- |"]
    for way, models in found.items():
        for name, scores in models.items():
            values = ([s[key] for s in scores] for key in ("overall_accuracy", "f1_weighted", "kappa"))
            cells = " | ".join(f"{np.mean(v):.3f} ± {np.std(v, ddof=1):.3f}" for v in values)
            lines.append(f"| {way} | {name} | {cells} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(run_all(sys.argv[1:]))
