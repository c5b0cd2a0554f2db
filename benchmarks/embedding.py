"""Features of a pretrained encoder as a source, beside the series that they are computed from, on a simulated landscape.

    python -m benchmarks embedding

patchwork (small) is pretrained on a Sentinel-2 series without labels, and its features are written as a raster (bocage embed). A
random forest then learns from the raster, from the gap-filled series, or from both, with 30 % or 5 % of the polygons of each class
for training (at least three). The control is the raster of an encoder of the same size with random weights (one epoch of
pretraining at a negligible learning rate). patchwork trains on the series with labels, from random weights and pretrained ones,
with the default settings of a training.
Accuracy is measured on the test polygons, and on every pixel of the map against the true land cover. All ways of a draw have the
same polygons.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, landscape, read
from bocage.evaluation import Predictions
from bocage.jobs import run as jobs
from bocage.jobs.embed import embed
from bocage.jobs.pretrain import pretrain_on
from bocage.layout import RunLayout
from bocage.recipe import parse
from bocage.simulate import Simulation
from bocage.training import Pretraining

WORK, RESULTS = BUILD / "embedding", Results("embedding")
LAND = Simulation(height=1604, width=1804, polygons=60, sensors=("s2",))
DRAWS, SHARES = 5, (0.3, 0.05)
FOREST: Table = {"name": "random_forest", "trees": 200}
PATCHWORK: Table = {"name": "patchwork", "preset": "small"}
PRETRAINING = Pretraining(pixels=16_384, epochs=20)
RANDOM = Pretraining(pixels=256, epochs=1, learning_rate=1e-12)
WAYS: Mapping[str, tuple[Table, tuple[str, ...]]] = {
    "random forest on the series": (FOREST, ("s2",)),
    "random forest on features, random weights": (FOREST, ("random",)),
    "random forest on features, pretrained": (FOREST, ("pretrained",)),
    "random forest on series and features, pretrained": (FOREST, ("s2", "pretrained")),
    "patchwork on the series": (PATCHWORK, ("s2",)),
    "patchwork on the series, pretrained": (PATCHWORK, ("s2",)),
}
"""Name → model and sources."""


def base(land: Path) -> Table:
    """Return the recipe of the pretraining: the series as acquired."""
    start = read(land / "gru.toml")
    s2 = {key: value for key, value in start["sources"]["s2"].items() if key != "fill"}
    kept = {key: start[key] for key in ("legend", "reference")}
    return {
        "name": "start",
        "grid": {"like": "s2"},
        "sources": {"s2": s2},
        "model": PATCHWORK,
        "split": {"seed": 0},
        **kept,
    }


def made(land: Path) -> dict[str, Any]:
    """Pretrain, write the features, and return the seconds and the sizes in MB."""
    found: dict[str, Any] = {}
    for kind, settings in (("pretrained", PRETRAINING), ("random", RANDOM)):
        parsed, started = parse(base(land), land), time.monotonic()
        pretrain_on(parsed, WORK / kind, settings, overwrite=True)
        trained = time.monotonic()
        path = embed(parsed, WORK / kind, WORK / f"{kind}-features", overwrite=True)
        found[kind] = {
            "pretraining_s": round(trained - started, 1),
            "embedding_s": round(time.monotonic() - trained, 1),
            "size_mb": round(path.stat().st_size / 1e6, 2),
        }
    return found


def recipe_of(land: Path, name: str, share: float, draw: int) -> Table:
    """Return the recipe of a way."""
    model, wanted = WAYS[name]
    series = dict(read(land / "gru.toml")["sources"]["s2"])
    if model is PATCHWORK:
        series.pop("fill")
    else:
        series["fill"] |= {"every": 20}
    sources = {
        n: series if n == "s2" else {"sensor": "image", "path": str((WORK / f"{n}-features/features.tif").resolve())}
        for n in wanted
    }
    training: Table = {"calibrate": False}
    if name.endswith("the series, pretrained"):
        training |= {"pretrained": str((WORK / "pretrained/pretrained").resolve())}
    return base(land) | {
        "name": slug(name),
        "grid": {"like": wanted[0]},
        "sources": sources,
        "split": {"train": share, "draws": 1, "seed": draw, "rare": "drop"},
        "model": model,
        "training": training,
        "evaluation": {"importance": 0},
    }


def measured(land: Path, name: str, share: float, draw: int) -> dict[str, float]:
    """Train, score and map a way; return the accuracy on the test polygons and on the map, and the seconds of the training."""
    out = WORK / f"{slug(name)}-{share}-{draw}"
    parsed, started = parse(recipe_of(land, name, share, draw), land), time.monotonic()
    jobs.run(parsed, out, ("train",))
    trained = time.monotonic()
    jobs.run(parsed, out, ("train", "evaluate", "map"))
    layout = RunLayout(out)
    test = Predictions.from_parquet(layout.split(0).test)
    return {
        "overall_accuracy": float(test.right.mean()),
        "map": agreement(layout.map.path / "classes.tif", land),
        "training_s": round(trained - started, 1),
    }


def agreement(classes: Path, land: Path) -> float:
    """Return the share of the pixels of a map with the true land cover at their centre."""
    with rasterio.open(classes) as found, rasterio.open(land / "truth.tif") as dataset:
        codes, true = found.read(1), dataset.read(1)
        rows, columns = np.mgrid[: found.height, : found.width]
        column, row = ~dataset.transform @ (found.transform @ (columns + 0.5, rows + 0.5))
    row, column = (np.minimum(k.astype(int), n - 1) for k, n in zip((row, column), true.shape, strict=True))
    inside = (codes > 0) & (true[row, column] > 0)
    return float((codes == true[row, column])[inside].mean())


WORDS = tuple(WAYS)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the table."""
    land = landscape(WORK / "land", LAND)
    with RESULTS.lock("features"):
        RESULTS.measure(("features",), lambda: made(land))
    for draw in range(DRAWS):  # all ways of a draw, so that an interrupted benchmark compares the same draws
        for name in RESULTS.free(wanted or WAYS):
            for share in SHARES:
                RESULTS.measure(
                    ("ways", name, str(share), draw),
                    lambda name=name, share=share, draw=draw: measured(land, name, share, draw),
                )
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table with a line for each way and share of the polygons."""
    keys = ("overall_accuracy", "map")
    rows = [
        (
            name,
            f"{float(share):.0%}",
            *(spread([one[key] for one in draws]) for key in keys),
            f"{np.mean([one['training_s'] for one in draws]):.0f} s",
        )
        for share in map(str, SHARES)
        for name, by_share in found.get("ways", {}).items()
        if (draws := by_share.get(share))
    ]
    return table(("", "polygons", "accuracy", "pixels of the map", "training"), rows)


if __name__ == "__main__":
    command_line(__name__)
