"""All networks and their ablations on the same polygons: accuracy, training time, pixels per second.

    BOCAGE_DATA=/path/to/data python -m benchmarks.networks [simulated] [flanders] [wake] [canada]

Widths are reduced so that two cores train a network in half a minute; they are the same for a network and its ablations. All
networks use the same draws and the same number of samples and epochs. An interrupted benchmark resumes. Several processes
share the lines. Results: ``benchmarks/results/networks-<data>.json``.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import torch

from benchmarks.accuracy import METRICS_SHOWN
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, example, landscape
from bocage.jobs import run as jobs
from bocage.layout import RunLayout
from bocage.mapping import pixels_per_second
from bocage.provenance import Provenance
from bocage.recipe import Recipe, parse
from bocage.simulate import Simulation
from bocage.training import Trained

WORK = BUILD / "networks"
LANDSCAPE, SETTINGS = WORK / "landscape", Simulation(polygons=30)
DRAWS = 3
TRAINING = {
    "epochs": 30,
    "patience": 30,
    "batch_size": 64,
    "learning_rate": 0.001,
    "schedule": "cosine",
    "checkpoint": 1e9,
}
SAMPLES = {"simulated": 1300, "flanders": 400, "wake": 400, "canada": 0}
"""Data → samples per epoch."""
BANDS = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
FILL = {"every": 15, "start": date(2022, 1, 1), "end": date(2022, 12, 31)}
SERIES_SOURCES = {
    "s1": {"sensor": "series", "variables": {"vv": "s1/vv.tif", "vh": "s1/vh.tif"}, "fill": FILL},
    "s2": {
        "sensor": "series",
        "quality": "s2/quality.tif",
        "clear": [4],
        "scale": 0.0001,
        "variables": {band: f"s2/{band}.tif" for band in BANDS},
        "indices": ["ndvi", "ndwi"],
        "fill": FILL,
    },
}
VHR_SOURCES = {
    "pan": {"sensor": "image", "path": "vhr/pan.tif", "bands": ["pan"], "scale": 0.0001},
    "ms": {"sensor": "image", "path": "vhr/ms.tif", "bands": ["blue", "green", "red", "nir"], "scale": 0.0001},
    "sharp": {"sensor": "pansharpened"},
}
RATIOS = {"pan": {"ratio": {"finer": 8}}, "ms": {"ratio": {"finer": 2}}}
"""Ratios of the images to the Sentinel-2 grid, for networks that use PAN and MS with series."""
NESTED = ("patchwork", "s1s2vhsr")
"""Networks that need `RATIOS`."""
M3FUSION = {"name": "m3fusion", "series": "s2", "vhr": "sharp", "units": 128, "filters": [32, 64]}
TWINNS = {"name": "twinns", "units": 16, "filters": [32, 64]}
VHSR = {"name": "s1s2vhsr", "filters": 32, "dense": 128}
GRU = {"network": "gru", "settings": {"units": 128}}
LATE = {"name": "fusion", "members": [GRU | {"source": "s1"}, GRU | {"source": "s2"}]}
ALL_SOURCES = ["s1", "s2", "pan", "ms"]
FORESTS = {
    "random forest, S1": {"name": "random_forest", "sources": ["s1"]},
    "random forest, S2": {"name": "random_forest", "sources": ["s2"]},
    "random forest, S1 + S2": {"name": "random_forest", "sources": ["s1", "s2"]},
    "LightGBM, S1 + S2": {"name": "lightgbm", "sources": ["s1", "s2"]},
}
SERIES = {
    "GRU, S2": {"name": "gru", "source": "s2", "units": 128},
    "LSTM, S2": {"name": "lstm", "source": "s2", "units": 128},
    "CNN over dates, S2": {"name": "cnn1d", "source": "s2", "filters": [64, 128]},
    "TempCNN (published size), S2": {"name": "tempcnn", "source": "s2"},
    "L-TAE (published size), S2": {"name": "ltae", "source": "s2"},
    "L-TAE (published size), S1": {"name": "ltae", "source": "s1"},
    "fusion of two GRUs, early": {"name": "fusion", "strategy": "early", "sources": ["s1", "s2"], "members": [GRU]},
    "fusion of two GRUs, late": LATE,
    "fusion of two GRUs, late, auxiliary heads": LATE | {"auxiliary": 0.3},
    "patchwork, S1 + S2": {"name": "patchwork", "sources": ["s1", "s2"]},
    "fusion of two GRUs, decision": LATE | {"strategy": "decision"},
}
PATCHED_SERIES = {
    "ConvLSTM, S2": {"name": "convlstm", "source": "s2", "units": 16},
    "DuPLO, S2": {"name": "duplo", "source": "s2", "filters": [32, 64], "date_filters": [8, 16], "units": 128},
    "TWINNS": TWINNS,
    "TWINNS, S1 only": TWINNS | {"use": "first"},
    "TWINNS, S2 only": TWINNS | {"use": "second"},
    "TWINNS, ConvGRU only": TWINNS | {"branches": "convgru"},
    "TWINNS, CNN only": TWINNS | {"branches": "cnn"},
    "TWINNS, no auxiliary heads": TWINNS | {"auxiliary": 0.0},
    "TWINNS, no attention": TWINNS | {"attention": False},
}
WITH_VHR = {
    "random forest, S1 + S2 + PAN + MS": {"name": "random_forest", "sources": ALL_SOURCES},
    "M3Fusion": M3FUSION,
    "M3Fusion, no VHR": M3FUSION | {"use": "series"},
    "M3Fusion, no series": M3FUSION | {"use": "vhr"},
    "M3Fusion, no auxiliary heads": M3FUSION | {"auxiliary": 0.0},
    "M3Fusion, no attention": M3FUSION | {"attention": False},
    "patchwork": {"name": "patchwork", "sources": ALL_SOURCES},
    "S1S2VHSR": VHSR,
    "S1S2VHSR, auxiliary heads learn labels": VHSR | {"targets": "labels"},
    "S1S2VHSR, no auxiliary heads": VHSR | {"auxiliary": 0.0},
    "S1S2VHSR, normalisation as released": VHSR | {"norm": "affine"},
}
ON_PATCHES = "random forest on patches, PAN + MS"


def pan_ms(patch: int) -> dict[str, Table]:
    """Return the models of PAN and MS with patches of `patch` PAN pixels, without the random forest on patches."""
    filters = {"pan_filters": [16, 32, 64]}
    branches = {"name": "multiresolcc", **filters, "ms_filters": [32, 64, 128], "patch": patch}
    sharp = {"source": "sharp", "filters": [16, 32, 64], "patch": patch}
    return {
        "random forest on pixels, PAN + MS": {"name": "random_forest", "sources": ["pan", "ms"]},
        "MultiResoLCC": branches,
        "MultiResoLCC, PAN only": branches | {"use": "pan"},
        "MultiResoLCC, MS only": branches | {"use": "ms"},
        "CNN on the pansharpened image": {"name": "multiresolcc_pansharpened", **sharp},
        "DMIL": {"name": "dmil", **filters, "codes": [64, 32], "dense": [64, 64], "patch": patch},
    }


def forest_on_patches(patch: int, ms_patch: int) -> Table:
    """Return the random forest on patches of PAN and MS."""
    return {"name": "random_forest", "sources": ["pan", "ms"], "patches": {"pan": patch, "ms": ms_patch}}


@dataclass(frozen=True)
class Case:
    """A line of the table."""

    data: str
    label: str
    table: Table
    """The recipe."""

    def __str__(self) -> str:
        return f"{self.data} {self.label}"

    @property
    def recipe(self) -> Recipe:
        """The parsed recipe; its relative paths are in the landscape."""
        return parse(self.table, LANDSCAPE, self)


def cases(wanted: Sequence[str] = ()) -> Iterator[Case]:
    """Yield all lines of the requested tables."""
    makers = {"simulated": _simulated, "flanders": _flanders, "wake": _wake, "canada": _canada}
    for data in wanted or makers:
        for label, recipe in makers[data]():
            training = {**TRAINING, "samples_per_epoch": SAMPLES[data], **recipe.get("training", {})}
            yield Case(data, label, {**recipe, "training": training})


def on_landscape(model: Table, like: str, sources: Mapping[str, Any], draws: int = DRAWS) -> Table:
    """Return the recipe of a model on the simulated landscape, without training; PAN and MS get the ratios that it needs."""
    if model["name"] in NESTED:
        sources = {name: {**source, **RATIOS.get(name, {})} for name, source in sources.items()}
    return {
        "grid": {"like": like},
        "sources": dict(sources),
        "legend": {"csv": "legend.csv"},
        "reference": {"path": "reference.gpkg", "label": "code"},
        "split": {"draws": draws},
        "model": model,
    }


def _simulated() -> Iterator[tuple[str, Table]]:
    for label, model in (FORESTS | SERIES | PATCHED_SERIES).items():
        yield label, on_landscape(model, "s2", SERIES_SOURCES)
    for label, model in WITH_VHR.items():
        yield label, on_landscape(model, "s2", SERIES_SOURCES | VHR_SOURCES)
    # A forest trains on all labelled 1.5 m pixels: with 32 x 32 patches this would take hours.
    smaller = {"random forest on 12 x 12 patches, PAN + MS": forest_on_patches(12, 3) | {"trees": 30}}
    for label, model in (pan_ms(32) | smaller).items():
        yield label, {**on_landscape(model, "pan", VHR_SOURCES), "training": {"samples_per_epoch": 400}}


def _of_example(name: str) -> Table:
    """Return the recipe of an example, without name, model and training."""
    return {key: part for key, part in example(name).items() if key not in ("name", "model", "training")}


def _flanders() -> Iterator[tuple[str, Table]]:
    recipe = _of_example("flanders")
    sources = {name: {**one, "fill": one["fill"] | {"every": 15}} for name, one in recipe["sources"].items()}
    recipe |= {"sources": sources, "split": {"draws": DRAWS}}
    # Stacked series need the same grid: Sentinel-1 is resampled to the 10 m grid instead of its own 20 m.
    stacked = {**recipe, "sources": sources | {"s1": sources["s1"] | {"ratio": {"coarser": 1}}}}
    models: dict[str, Any] = FORESTS | SERIES | PATCHED_SERIES
    for label, model in models.items():
        yield label, {**(stacked if model.get("strategy") == "early" else recipe), "model": model}


def _wake() -> Iterator[tuple[str, Table]]:
    recipe = _of_example("wake")
    sources = recipe["sources"] | {"sharp": VHR_SOURCES["sharp"]}
    for label, model in (pan_ms(24) | {ON_PATCHES: forest_on_patches(24, 12)}).items():
        yield label, {**recipe, "sources": sources, "model": model}


def _canada() -> Iterator[tuple[str, Table]]:
    for label, model in (FORESTS | SERIES).items():
        yield label, {**_of_example("canada"), "model": model}


def measure(case: Case) -> dict[str, object]:
    """Train and evaluate all draws, then measure the mapping speed of a window."""
    out = RunLayout(WORK / slug(str(case)))
    done = jobs.run(case.recipe, out.path, ("train", "evaluate"))
    score = json.loads(out.score.read_text(encoding="utf-8"))
    stages = Provenance.load(out.provenance).stages
    seconds = [one.seconds for stage, one in stages.items() if stage.startswith("train/")]
    trained = Trained.load(out.split(0).model.path)
    return {
        **{metric: score[metric] for metric in METRICS_SHOWN},
        "training_seconds": float(np.median(seconds)),
        "waiting": _waiting(out),
        "parameters": sum(p.numel() for p in trained.model.parameters()),
        "pixels_per_second": pixels_per_second(trained, done.scene, torch.device("cpu")),
    }


def _waiting(out: RunLayout) -> float | None:
    """Return the median share of the training time in which the network waited for samples, without the first epoch."""
    curves = out.split(0).curves
    if not curves.exists():  # a forest
        return None
    with curves.open() as stream:
        shares = [float(epoch["waiting"]) for epoch in csv.DictReader(stream)][1:]
    return float(np.median(shares)) if shares else None


WORDS = (*SAMPLES, "--markdown")
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing lines of the requested tables and return all tables; with ``--markdown``, return the stored ones."""
    if "--markdown" in wanted:
        return markdown()
    for case in cases(wanted):
        if case.data == "simulated":
            landscape(LANDSCAPE, SETTINGS)
        results = Results(f"networks-{case.data}")
        for _ in results.free([case]):
            results.measure(("lines", case.label), lambda case=case: measure(case), case.table)
    return markdown()


def markdown() -> str:
    """Return the tables for the documentation."""
    order = [*FORESTS, *SERIES, *PATCHED_SERIES, *WITH_VHR, *pan_ms(0), ON_PATCHES]
    parts = []
    for data in sorted(SAMPLES):
        known = Results(f"networks-{data}").content()
        if known:
            labels = sorted(known["lines"], key=lambda label: order.index(label) if label in order else len(order))
            rows = [(label, *_cells(known["lines"][label])) for label in labels]
            header = ("", "accuracy", "weighted F", "kappa", "training, s", "map, px/s")
            parts += [f"## `{data}`", "", f"{_in_words(known['machine'])}.", "", table(header, rows), ""]
    return "\n".join(parts)


def _cells(line: Mapping[str, Any]) -> tuple[str, ...]:
    speed = line["pixels_per_second"]
    scores = (spread(line[metric]["per_draw"]) for metric in METRICS_SHOWN)
    return *scores, f"{line['training_seconds']:.0f}", f"{speed:,.0f}".replace(",", " ") if speed else "–"


def _in_words(machine: Mapping[str, Any]) -> str:
    threads = machine["threads"]
    return f"{machine['cores']} cores, {threads} thread{'s' * (threads > 1)}, {machine['processor']}, torch {machine['torch']}"


if __name__ == "__main__":
    command_line(__name__)
