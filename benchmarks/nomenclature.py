"""Polygons of coarser classes: accuracy at the finest level with few fine polygons, with coarser ones beside them, with all fine.

    BOCAGE_DATA=/path/to/data python -m benchmarks.nomenclature [simulated] [canada]

In each draw, a share :data:`FINE` of the training polygons keeps the finest label. The others are left out ("few"), have the label
of their parent ("coarser"), or have the finest label too ("all"). The test polygons, which are the same for the three, have the
finest label. The network is patchwork with its defaults. `simulated`: Sentinel-2 and Sentinel-1, three levels, random halves of
the polygons. `canada`: two levels, the folds of the example as test parts. Results: ``benchmarks/results/nomenclature.json``.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np

from benchmarks.accuracy import classes_of, samples_of
from benchmarks.choice_sets import SETS, Site
from benchmarks.frame import BUILD, Results, command_line, spread, table
from benchmarks.recipes import Table
from bocage.evaluation import METRICS, ConfusionMatrix, Score
from bocage.recipe import parse
from bocage.run import open_scene
from bocage.training import Trainer

FINE, WORK, RESULTS = 0.2, BUILD / "nomenclature", Results("nomenclature")
METRICS_KEPT = ("overall_accuracy", "f1_macro")
GROUPS = {
    "simulated": {
        (100, "cultivated"): (101, 102),
        (101, "annual crops"): (2, 3, 4),
        (102, "permanent crops"): (1, 5, 7),
        (110, "grass and shrubs"): (6, 10),
        (120, "trees"): (8, 9),
        (130, "other"): (11, 12, 13),
    },
    "canada": {(1, "cereals"): (1120, 1200, 1110, 1520), (4, "legumes"): (4100, 7920)},
}
"""Set → coarser class, by code and name → codes of the classes below it."""


@dataclass(frozen=True)
class Draw:
    """Test part, and the training polygons with the finest label."""

    test: str
    seed: int


DRAWS: Mapping[str, Sequence[Draw]] = {
    "simulated": [Draw("", seed) for seed in range(5)],
    "canada": [Draw(fold, seed) for fold in ("0", "1", "2") for seed in range(2)],
}
Labels = Callable[[np.ndarray, np.ndarray], np.ndarray]
LABELS: Mapping[str, Labels] = {
    "few": lambda own, parent: np.zeros_like(own),
    "coarser": lambda own, parent: parent,
    "all": lambda own, parent: own,
}
"""Label of the training polygons that are not among the few: 0 (ignored), the parent's, or their own."""


WORDS = tuple(GROUPS)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure what is missing, and return the table."""
    for name in wanted or GROUPS:
        for k, draw in enumerate(DRAWS[name]):
            for kind in LABELS:
                RESULTS.measure((name, kind, k), partial(measured, name, kind, draw))
    return markdown(RESULTS.content())


def measured(name: str, kind: str, draw: Draw) -> dict[str, Any]:
    """Train a draw, and return its scores at each level."""
    folder = WORK / f"{name}-{draw.test}-{draw.seed}-{kind}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    site = SETS[name]()
    recipe = parse(recipe_of(site, kind, draw, folder), site.folder, f"{folder.name}")
    scene = open_scene(recipe)
    samples = samples_of(recipe, scene, folder / "samples")
    trained = Trainer(recipe.choice, scene, samples).train(0, folder / "model")
    test = samples.draw(0).test
    matrix = ConfusionMatrix.of(samples.label[test], classes_of(trained, samples, test, recipe), samples.legend.names)
    score = Score((matrix,), METRICS_KEPT)
    shutil.rmtree(folder)
    levels = {f"{level.number}": score.at(level) for level in samples.legend.levels}
    found = {number: {m: float(METRICS.get(m)(at.matrix)) for m in METRICS_KEPT} for number, at in levels.items()}
    return {
        "overall_accuracy": found[max(found)]["overall_accuracy"], "levels": found, "train": int((samples.label[samples.draw(0).train] >= 0).sum()),
        "coarser": int((samples.label < 0).sum()),
    }  # fmt: skip


def recipe_of(site: Site, kind: str, draw: Draw, folder: Path) -> Table:
    """Return the recipe of a draw, and write its polygons."""
    base = site.recipe({"model": {"name": "patchwork"}, "training": {"calibrate": False}}, trees=False)
    groups = GROUPS[site.name]
    parent = {code: above for (above, _), below in groups.items() for code in below}
    names = dict(groups.keys())

    def with_parent(code: int, name: str) -> Table:
        return {"code": code, "name": name} | ({"parent": names[parent[code]]} if code in parent else {})

    plain = parse({**base}, site.folder)
    classes = [with_parent(one.code, one.name) for one in plain.legend.classes]
    frame = _divided(gpd.read_file(plain.reference.path, engine="pyogrio"), base, draw, set(plain.legend.codes))
    own = frame.own.to_numpy()
    others = LABELS[kind](own, np.array([parent.get(code, 0) for code in own.tolist()]))
    frame["used"] = np.where((frame.part == "test") | frame.fine, own, others)
    frame.to_file(folder / "reference.gpkg", engine="pyogrio")
    return base | {
        "reference": {**base["reference"], "path": str(folder / "reference.gpkg"), "label": "used", "ignore": [0]},
        "legend": {"classes": [*classes, *(with_parent(code, name) for code, name in groups)]},
        "split": {"field": "part", "train": ["train"], "test": ["test"], "draws": 1, "rare": "drop"},
    }


def _divided(frame: gpd.GeoDataFrame, base: Table, draw: Draw, known: set[int]) -> gpd.GeoDataFrame:
    """Return the features of known classes with the fields `own` (code), `part` and `fine`."""
    reference = base["reference"]
    frame = frame[frame[reference["label"]].astype(int).isin(known)].reset_index(drop=True)
    own = frame[reference["label"]].astype(int).to_numpy()
    unit = frame[reference["polygon_id"]].to_numpy() if reference.get("polygon_id") else np.arange(len(frame))
    generator, which = np.random.default_rng((20, draw.seed)), np.unique(unit.astype(str), return_inverse=True)[1]
    folds = frame[base["split"]["fold"]].astype(str).to_numpy() if draw.test else None
    tested = _share(own, which, 0.5, generator) if folds is None else folds == draw.test
    fine = _share(own, which, FINE, generator)
    return frame.assign(own=own, part=np.where(tested, "test", "train"), fine=fine)


def _share(own: np.ndarray, which: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """Return whether each feature is in a random share of the units of every class, at least two."""
    chosen = np.zeros(which.max() + 1, bool)
    for code in np.unique(own):
        units = generator.permutation(np.unique(which[own == code]))
        chosen[units[: max(2, round(share * len(units)))]] = True
    return chosen[which]


def markdown(content: Mapping[str, Any]) -> str:
    """Return the table of the known results."""
    rows = []
    for name in GROUPS:
        for kind, draws in content.get(name, {}).items():
            for level in draws[0]["levels"]:
                values = [spread([one["levels"][level][m] for one in draws]) for m in METRICS_KEPT]
                rows.append((name, kind, len(draws), level, *values))
    return "\n" + table(("set", "training polygons", "draws", "level", "accuracy", "mean F"), rows)


if __name__ == "__main__":
    command_line(__name__)
