"""Transfer of models to another place and year: tiles of Flanders, A (2018) and C (2019), both ways; simulated landscapes.

    BOCAGE_DATA=/path/to/data python -m benchmarks.transfer [flanders] [simulated]

Flanders: the classes and the 20 m bands that both tiles have. The forest, LightGBM and the GRU (the series branch of M3Fusion)
get series filled onto one calendar, patchwork gets the acquisition dates. All labelled pixels of the other tile are classified.
Results are mean and standard deviation over the seeds of draws and weights.

Simulated: from year 2022 and region 0 to year 2023 and region 1. The model is used as it is, adapted without labels, or adapted
with five polygons of each class; a fourth model is trained from scratch on these polygons. The other polygons of the target
test. An interrupted benchmark resumes.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path

import geopandas
import numpy as np

from benchmarks.accuracy import METRICS_SHOWN, classes_of, samples_of, scores_of
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, landscape, read
from bocage.jobs import run as jobs
from bocage.jobs.adapt import adapt_to
from bocage.layout import RunLayout
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.simulate import Simulation
from bocage.training import Adapting, Trained

WORK, RESULTS = BUILD / "transfer", Results("transfer")
TILES = {"A": ("A_31UDS_2018", 2018), "C": ("C_31UES_2019_no10m", 2019)}
HERE, THERE = Simulation(), Simulation(year=2023, region=1, seed=1)
SEEDS = range(3)
BANDS = {"rededge1": "B05", "rededge2": "B06", "rededge3": "B07", "nir08": "B8A", "swir16": "B11", "swir22": "B12"}
SOURCES, KEEP = ["s1", "s2"], {"keep": "last"}
GRU_TRAINING = KEEP | {"epochs": 60, "learning_rate": 0.001}
MODELS: Mapping[str, tuple[bool, Table]] = {
    "random forest": (True, {"model": {"name": "random_forest", "sources": SOURCES}}),
    "LightGBM": (True, {"model": {"name": "lightgbm", "sources": SOURCES}}),
    "GRU (M3Fusion's series branch), S2": (
        True,
        {"model": {"name": "gru", "source": "s2", "units": 128}, "training": GRU_TRAINING},
    ),
    "patchwork": (False, {"model": {"name": "patchwork"}, "training": KEEP}),
}
"""Name → whether series are gap-filled, and the tables [model] and [training] of the recipe."""
ADAPTED = "patchwork, adapted without labels"
WAYS = (
    "as it is",
    "adapted without labels",
    "adapted with 5 polygons of each class",
    "from scratch on 5 polygons of each class",
)


def recipe_of(tile: str, name: str, seed: int) -> Table:
    """Return the recipe of a model on a tile of Flanders."""
    folder, year = TILES[tile]
    where, (filled, model) = f"${{BOCAGE_DATA}}/flanders/{folder}", MODELS[name]
    fill = {"fill": {"every": 10, "start": date(year - 1, 10, 1), "end": date(year, 10, 31)}} if filled else {}
    classes = {
        "summer crops": ["Maize", "Potatoes"],
        "permanent grass": ["Permanent grass crops"],
        "no cropland": ["No cropland", "Built up / urban"],
    }
    s2 = {
        "sensor": "series",
        "scale": 0.0001,
        "clear": [4, 5, 6, 7],
        "quality": f"{where}/S2_SCL_20m.tif",
        "variables": {band: f"{where}/S2_{code}_20m.tif" for band, code in BANDS.items()},
    }
    s1 = {"sensor": "series", "variables": {band: f"{where}/S1_{band.upper()}_20m.tif" for band in ("vv", "vh")}}
    return {
        "grid": {"like": "s2"},
        "sources": {"s2": s2 | fill, "s1": s1 | fill},
        "reference": {"path": f"{where}/label_parcels_derived.gpkg", "label": "label", "unknown": "reject"},
        "legend": {"classes": [{"code": k, "name": n, "values": v} for k, (n, v) in enumerate(classes.items(), 1)]},
        "split": {"train": 0.8, "draws": 1, "seed": seed},
        **model,
    }


def _scores(trained: Trained, recipe: Recipe, folder: Path) -> dict[str, float]:
    """Return the scores on all labelled pixels of a recipe's scene."""
    scene = open_scene(recipe)
    samples = samples_of(recipe, scene, folder, any_source=False)
    trained.for_scene(scene).check_scene(scene)
    members = np.arange(len(samples.label))
    return scores_of(samples, members, classes_of(trained, samples, members, recipe))


def run_flanders() -> None:
    """Measure the scores of all models and seeds, both ways."""
    lines = {f"{here} to {there} {name}": (here, there, name) for here, there in ("AC", "CA") for name in MODELS}
    for line in RESULTS.free(lines):
        for seed in SEEDS:
            _measure_flanders(*lines[line], seed)


def _measure_flanders(here: str, there: str, name: str, seed: int) -> None:
    recipe, target = (parse(recipe_of(tile, name, seed), WORK) for tile in (here, there))
    out, samples = WORK / f"{slug(name)}-{here}-{seed}", WORK / f"samples-{there}-{recipe.choice.name}"

    def trained() -> Trained:
        jobs.run(recipe, out, ("train",))
        return _model(out)

    def adapted() -> Trained:
        trained()
        return _adapted(target, out, out.with_name(f"{out.name}-to-{there}"))

    RESULTS.measure((f"{here} to {there}", name, seed), lambda: _scores(trained(), target, samples))
    if name == "patchwork":
        RESULTS.measure((f"{here} to {there}", ADAPTED, seed), lambda: _scores(adapted(), target, samples))


def _model(out: Path) -> Trained:
    """Return the model of the first draw of a run."""
    return Trained.load(RunLayout(out).split(0).model.path)


def _adapted(recipe: Recipe, run_of_model: Path, out: Path, polygons: bool = False) -> Trained:
    """Return the first model of a run, adapted to the scene of a recipe."""
    adapt_to(
        recipe,
        RunLayout(run_of_model).split(0).model.path,
        out,
        Adapting(polygons=polygons, always=True),
        overwrite=True,
    )
    return Trained.load(RunLayout(out).own.model.path)


def run_simulated() -> None:
    """Measure the scores of the four ways, for each seed."""
    here, there = landscape(WORK / "here", HERE), landscape(WORK / "there", THERE)
    for _ in RESULTS.free(["simulated"]):
        for seed in SEEDS:
            if RESULTS.known("simulated", WAYS[-1], seed) is None:
                _measure_simulated(here, there, seed)


def _measure_simulated(here: Path, there: Path, seed: int) -> None:
    few, rest = _divided(there, seed)
    source = parse(changed(here, seed), here)
    tested, small = (parse(changed(there, seed, polygons), there) for polygons in (rest, few))
    jobs.run(source, WORK / f"here-{seed}", ("train",))
    jobs.run(small, WORK / f"few-{seed}", ("train",))
    for way, trained in zip(WAYS, _four(small, seed), strict=True):
        RESULTS.measure(
            ("simulated", way, seed), lambda trained=trained: _scores(trained, tested, WORK / f"samples-rest-{seed}")
        )


def _four(small: Recipe, seed: int) -> Iterator[Trained]:
    """Yield the models of the four ways, each computed when it is needed."""
    out = WORK / f"here-{seed}"
    yield _model(out)
    yield _adapted(small, out, WORK / f"adapted-{seed}")
    yield _adapted(small, out, WORK / f"adapted-with-polygons-{seed}", polygons=True)
    yield _model(WORK / f"few-{seed}")


def _divided(land: Path, seed: int) -> tuple[Path, Path]:
    """Write five polygons of each class to one file and the others, at least three, to another; return both paths."""
    polygons = geopandas.read_file(land / "reference.gpkg")
    classes = polygons.sample(frac=1, random_state=seed).groupby("code")
    few = classes.cumcount().index[classes.cumcount() < np.minimum(5, classes.code.transform("size") - 3)]
    paths = tuple(land / f"{name}-{seed}.gpkg" for name in ("few", "rest"))
    for path, part in zip(paths, (polygons.loc[few], polygons.drop(few)), strict=True):
        if not path.exists():  # a rewritten file would count as changed
            part.to_file(path)
    return paths[0], paths[1]


def changed(land: Path, seed: int, polygons: Path | None = None) -> Table:
    """Return the recipe of patchwork on a landscape with other polygons, all used for training and validation."""
    recipe = {key: part for key, part in read(land / "patchwork.toml").items() if key != "evaluation"}
    if polygons:
        recipe["reference"] |= {"path": polygons.name}
    split = {"train": 0.99, "draws": 1, "seed": seed}
    return {**recipe, "split": split, "training": KEEP | {"samples_per_epoch": 2600}}


WORDS = ("flanders", "simulated")
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the tables."""
    WORK.mkdir(parents=True, exist_ok=True)
    for name, work in {"flanders": run_flanders, "simulated": run_simulated}.items():
        if name in (wanted or (name,)):
            work()
    return "\n" + markdown({way: lines for way, lines in RESULTS.content().items() if way != "machine"})


def markdown(found: Mapping[str, Mapping[str, list[dict[str, float]]]]) -> str:
    """Return a table with a line for each direction and model."""
    rows = [
        (way, name, *(spread([one[metric] for one in scores]) for metric in METRICS_SHOWN))
        for way, models in found.items()
        for name, scores in models.items()
    ]
    return table(("", "model", "accuracy", "weighted F", "kappa"), rows)


if __name__ == "__main__":
    command_line(__name__)
