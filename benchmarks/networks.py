"""All networks and their ablations on the same polygons: accuracy, training time, pixels per second.

    BOCAGE_DATA=/path/to/data python -m benchmarks.networks [simulated] [flanders] [wake] [canada]

Widths are reduced so that two cores train a network in half a minute; they are the same for a network and its ablations. All
networks use the same draws and the same number of samples and epochs. An interrupted benchmark resumes. Several processes
share the lines. Results: ``benchmarks/results/networks-<data>.json``.
"""

import dataclasses
import json
import os
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock, Timeout

from benchmarks.record import machine as described
from bocage.disk import write_json
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.mapping import pixels_per_second
from bocage.provenance import Provenance
from bocage.recipe import read_recipe
from bocage.run import Run
from bocage.simulate import Simulation, simulate
from bocage.training import Trained

WORK = Path("build/networks")
RESULTS = Path(__file__).parent / "results"
DRAWS = 3
TRAINING = """
[training]
epochs = 30
patience = 30
batch_size = 64
samples_per_epoch = {samples}
learning_rate = 0.001
schedule = "cosine"
checkpoint = 1e9
"""
M3FUSION = 'name = "m3fusion"\nseries = "s2"\nvhr = "sharp"\nunits = 128\nfilters = [32, 64]\n'
TWINNS = 'name = "twinns"\nunits = 16\nfilters = [32, 64]\n'
VHSR = 'name = "s1s2vhsr"\nfilters = 32\ndense = 128\n'
TWO_BRANCHES = 'name = "multiresolcc"\npan_filters = [16, 32, 64]\nms_filters = [32, 64, 128]\n'
GRU = "{ units = 128 }"
MEMBERS = ", ".join(f'{{ network = "gru", source = "{s}", settings = {GRU} }}' for s in ("s1", "s2"))
SERIES = {
    "GRU, S2": 'name = "gru"\nsource = "s2"\nunits = 128',
    "LSTM, S2": 'name = "lstm"\nsource = "s2"\nunits = 128',
    "CNN over dates, S2": 'name = "cnn1d"\nsource = "s2"\nfilters = [64, 128]',
    "TempCNN (published size), S2": 'name = "tempcnn"\nsource = "s2"',
    "L-TAE (published size), S2": 'name = "ltae"\nsource = "s2"',
    "L-TAE (published size), S1": 'name = "ltae"\nsource = "s1"',
    "fusion of two GRUs, early": f'name = "fusion"\nstrategy = "early"\nsources = ["s1", "s2"]\nmembers = [{{ network = "gru", settings = {GRU} }}]',
    "fusion of two GRUs, late": f'name = "fusion"\nmembers = [{MEMBERS}]',
    "fusion of two GRUs, late, auxiliary heads": f'name = "fusion"\nauxiliary = 0.3\nmembers = [{MEMBERS}]',
    "patchwork, S1 + S2": 'name = "patchwork"\nsources = ["s1", "s2"]',
    "fusion of two GRUs, decision": f'name = "fusion"\nstrategy = "decision"\nmembers = [{MEMBERS}]',
}
FORESTS = {
    "random forest, S1": 'name = "random_forest"\nsources = ["s1"]',
    "random forest, S2": 'name = "random_forest"\nsources = ["s2"]',
    "random forest, S1 + S2": 'name = "random_forest"\nsources = ["s1", "s2"]',
    "LightGBM, S1 + S2": 'name = "lightgbm"\nsources = ["s1", "s2"]',
}
PATCHED_SERIES = {
    "ConvLSTM, S2": 'name = "convlstm"\nsource = "s2"\nunits = 16',
    "DuPLO, S2": 'name = "duplo"\nsource = "s2"\nfilters = [32, 64]\ndate_filters = [8, 16]\nunits = 128',
    "TWINNS": TWINNS,
    "TWINNS, S1 only": TWINNS + 'use = "first"',
    "TWINNS, S2 only": TWINNS + 'use = "second"',
    "TWINNS, ConvGRU only": TWINNS + 'branches = "convgru"',
    "TWINNS, CNN only": TWINNS + 'branches = "cnn"',
    "TWINNS, no auxiliary heads": TWINNS + "auxiliary = 0.0",
    "TWINNS, no attention": TWINNS + "attention = false",
}
WITH_VHR = {
    "random forest, S1 + S2 + PAN + MS": 'name = "random_forest"\nsources = ["s1", "s2", "pan", "ms"]',
    "M3Fusion": M3FUSION,
    "M3Fusion, no VHR": M3FUSION + 'use = "series"',
    "M3Fusion, no series": M3FUSION + 'use = "vhr"',
    "M3Fusion, no auxiliary heads": M3FUSION + "auxiliary = 0.0",
    "M3Fusion, no attention": M3FUSION + "attention = false",
    "patchwork": 'name = "patchwork"\nsources = ["s1", "s2", "pan", "ms"]',
    "S1S2VHSR": VHSR,
    "S1S2VHSR, auxiliary heads learn labels": VHSR + 'targets = "labels"',
    "S1S2VHSR, no auxiliary heads": VHSR + "auxiliary = 0.0",
    "S1S2VHSR, normalisation as released": VHSR + 'norm = "affine"',
}
PATCHES = 'name = "random_forest"\nsources = ["pan", "ms"]\npatches = {{ pan = {patch}, ms = {ms_patch} }}'
PAN_MS = {
    "random forest on pixels, PAN + MS": 'name = "random_forest"\nsources = ["pan", "ms"]',
    "MultiResoLCC": TWO_BRANCHES + "patch = {patch}",
    "MultiResoLCC, PAN only": TWO_BRANCHES + 'patch = {patch}\nuse = "pan"',
    "MultiResoLCC, MS only": TWO_BRANCHES + 'patch = {patch}\nuse = "ms"',
    "CNN on the pansharpened image": 'name = "multiresolcc_pansharpened"\nsource = "sharp"\nfilters = [16, 32, 64]\npatch = {patch}',
    "DMIL": 'name = "dmil"\npan_filters = [16, 32, 64]\ncodes = [64, 32]\ndense = [64, 64]\npatch = {patch}',
    "random forest on patches, PAN + MS": PATCHES,
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A line of the table."""

    data: str
    label: str
    recipe: str
    folder: Path
    """Folder for relative paths of the recipe."""

    @property
    def name(self) -> str:
        """Name of its files: letters, digits and dashes."""
        return "".join(c if c.isalnum() else "-" for c in f"{self.data}-{self.label}")


def cases(wanted: list[str]) -> Iterator[Case]:
    """Yield all lines of the requested tables."""
    makers = {"simulated": _simulated, "flanders": _flanders, "wake": _wake, "canada": _canada}
    for name in wanted or makers:
        yield from makers[name]()


def _simulated() -> Iterator[Case]:
    land = (WORK / "landscape").resolve()
    with FileLock(WORK / "landscape.lock"):
        if not (land / "truth.tif").exists():
            simulate(Simulation(polygons=30), land)
    fill = "fill = { every = 15, start = 2022-01-01, end = 2022-12-31 }"
    bands = ("blue", "green", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "swir16", "swir22")
    variables = ", ".join(f'{b} = "s2/{b}.tif"' for b in bands)
    s2 = f'[sources.s2]\nsensor = "series"\nquality = "s2/quality.tif"\nclear = [4]\nscale = 0.0001\nvariables = {{ {variables} }}\nindices = ["ndvi", "ndwi"]\n{fill}\n'
    s1 = f'[sources.s1]\nsensor = "series"\nvariables = {{ vv = "s1/vv.tif", vh = "s1/vh.tif" }}\n{fill}\n'
    end = (
        '[legend]\ncsv = "legend.csv"\n[reference]\npath = "reference.gpkg"\nlabel = "code"\n'
        + f"[split]\ndraws = {DRAWS}\n"
    )

    def vhr(pan: str = "", ms: str = "", sharp: str = "") -> str:
        return (
            f'[sources.pan]\nsensor = "image"\npath = "vhr/pan.tif"\nbands = ["pan"]\nscale = 0.0001\n{pan}\n'
            f'[sources.ms]\nsensor = "image"\npath = "vhr/ms.tif"\nbands = ["blue", "green", "red", "nir"]\nscale = 0.0001\n{ms}\n'
            f'[sources.sharp]\nsensor = "pansharpened"\n{sharp}\n'
        )

    for label, model in (FORESTS | SERIES | PATCHED_SERIES).items():
        yield _case("simulated", label, "s2", s1 + s2, end, model, land)
    for label, model in WITH_VHR.items():
        nested = (
            ("ratio = { finer = 8 }", "ratio = { finer = 2 }")
            if "s1s2vhsr" in model or "patchwork" in model
            else ("", "")
        )
        yield _case("simulated", label, "s2", s1 + s2 + vhr(*nested), end, model, land)
    # A forest trains on all labelled 1.5 m pixels: with 32 x 32 patches this would take hours.
    smaller = {"random forest on 12 x 12 patches, PAN + MS": f"{PATCHES.format(patch=12, ms_patch=3)}\ntrees = 30"}
    large = {label: model.format(patch=32, ms_patch=8) for label, model in PAN_MS.items() if model != PATCHES}
    for label, model in (large | smaller).items():
        yield _case("simulated", label, "pan", vhr(), end, model, land, 400)


def _example(name: str) -> tuple[str, str, str, Path]:
    """Return sources, grid and the other tables of an example's recipe as text, without model and training.

    Its paths are relative to BOCAGE_DATA, so the recipe may be in any folder.
    """
    path = Path(__file__).parents[1] / f"examples/{name}.toml"
    text = path.read_text()
    like = tomllib.loads(text)["grid"]["like"]
    head, legend, rest = text.partition("[legend]")
    for cut in ("[model]", "[training]"):
        rest = rest.partition(cut)[0]
    kept = rest.replace("draws = 10", f"draws = {DRAWS}")
    return (
        head[head.index("[sources") :].replace("every = 10,", "every = 15,"),
        like,
        legend + kept,
        WORK,
    )


def _flanders() -> Iterator[Case]:
    sources, like, rest, folder = _example("flanders")
    reference = sources[sources.index("[reference]") :]
    sources = sources[: sources.index("[reference]")]
    for label, model in (FORESTS | SERIES | PATCHED_SERIES).items():
        # Stacked series need the same grid: Sentinel-1 is resampled to the 10 m grid instead of its own 20 m.
        onto = ("resampling = ", "ratio = { coarser = 1 }\nresampling = ") if "early" in label else ("", "")
        yield _case("flanders", label, like, sources.replace(*onto), reference + rest, model, folder)


def _wake() -> Iterator[Case]:
    sources, like, rest, folder = _example("wake")
    reference = sources[sources.index("[reference]") :]
    sources = sources[: sources.index("[reference]")] + '[sources.sharp]\nsensor = "pansharpened"\n'
    for label, model in PAN_MS.items():
        yield _case("wake", label, like, sources, reference + rest, model.format(patch=24, ms_patch=12), folder)


def _canada() -> Iterator[Case]:
    sources, like, rest, folder = _example("canada")
    reference = sources[sources.index("[reference]") :]
    sources = sources[: sources.index("[reference]")]
    for label, model in (FORESTS | SERIES).items():
        yield _case("canada", label, like, sources, reference + rest, model, folder)


def _case(  # noqa: PLR0913, PLR0917
    data: str, label: str, like: str, sources: str, rest: str, model: str, folder: Path, samples: int | None = None
) -> Case:
    usual = {"simulated": 1300, "canada": 0}.get(data, 400)
    training = TRAINING.format(samples=usual if samples is None else samples)
    return Case(data, label, f'[grid]\nlike = "{like}"\n{sources}\n{rest}\n[model]\n{model}\n{training}', folder)


def measure(case: Case) -> dict[str, object]:
    """Train and evaluate all draws, then measure the mapping speed of a window."""
    case.folder.mkdir(parents=True, exist_ok=True)
    path, out = case.folder / f"{case.name}.toml", RunLayout(WORK / case.name)
    path.write_text(case.recipe, encoding="utf-8")
    done = run(read_recipe(path), out.path, ("train", "evaluate"))
    score = json.loads(out.score.read_text())
    stages = Provenance.load(out.provenance).stages
    seconds = [one.seconds for stage, one in stages.items() if stage.startswith("train/")]
    curves = out.split(0).curves
    waiting = [float(line.split(",")[4]) for line in curves.read_text().splitlines()[2:]] if curves.exists() else []
    return {
        **{k: score[k] for k in ("overall_accuracy", "f1_weighted", "kappa")},
        "training_seconds": float(np.median(seconds)),
        "waiting": float(np.median(waiting)) if waiting else None,
        **_speed(done, out.split(0).model.path),
    }


def _speed(done: Run, folder: Path) -> dict[str, object]:
    trained = Trained.load(folder)
    facts: dict[str, object] = {"parameters": sum(p.numel() for p in trained.model.parameters())}
    return facts | {"pixels_per_second": pixels_per_second(trained, done.scene, torch.device("cpu"))}


def run_all(wanted: list[str]) -> str:
    """Measure the tables line by line, without the lines that another process is measuring."""
    WORK.mkdir(parents=True, exist_ok=True)
    for case in cases(wanted):
        lock = FileLock(WORK / f"{case.name}.lock")
        try:
            with lock.acquire(timeout=0):
                _fill(case)
        except Timeout:
            print(f"{case.label:62} being measured by another process", flush=True)
    return markdown()


def _fill(case: Case) -> None:
    path = RESULTS / f"networks-{case.data}.json"
    if _lines(path).get(case.label, {}).get("recipe") == case.recipe:
        return
    started = time.monotonic()
    one = {"recipe": case.recipe, **measure(case)}
    threads = torch.get_num_threads()
    machine = f"{os.cpu_count()} cores, {threads} thread{'s' * (threads > 1)}, {described()['processor']}, torch {torch.__version__}"
    with FileLock(WORK / "results.lock"):
        RESULTS.mkdir(exist_ok=True)
        write_json(path, {"machine": machine, "lines": _lines(path) | {case.label: one}})
    print(_line(case.label, one), f"[{time.monotonic() - started:.0f} s]", flush=True)


def _lines(path: Path) -> dict[str, dict]:
    return json.loads(path.read_text())["lines"] if path.exists() else {}


def _line(key: str, one: dict) -> str:
    spread = [f"{one[m]['mean']:.3f} ± {one[m]['std']:.3f}" for m in ("overall_accuracy", "f1_weighted", "kappa")]
    speed = f"{one['pixels_per_second']:,.0f} px/s" if one["pixels_per_second"] else "no map"
    return f"{key:62} {'  '.join(spread)}  {one['training_seconds']:6.1f} s  {speed}"


def markdown() -> str:
    """Return the tables for the documentation."""
    parts = []
    for path in sorted(RESULTS.glob("networks-*.json")):
        known = json.loads(path.read_text())
        parts += [f"## `{path.stem.removeprefix('networks-')}`", "", known["machine"] + ".", ""]
        parts += [
            "| | accuracy | weighted F | kappa | training, s | map, px/s |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        order = list(FORESTS | SERIES | PATCHED_SERIES | WITH_VHR | PAN_MS)
        for label in sorted(known["lines"], key=lambda it: order.index(it) if it in order else len(order)):
            one = known["lines"][label]
            spread = (
                f"{one[m]['mean']:.3f} ± {one[m]['std']:.3f}" for m in ("overall_accuracy", "f1_weighted", "kappa")
            )
            speed = f"{one['pixels_per_second']:,.0f}".replace(",", " ") if one["pixels_per_second"] else "–"
            parts.append(f"| {label} | {' | '.join(spread)} | {one['training_seconds']:.0f} | {speed} |")
        parts.append("")
    return "\n".join(parts)


if __name__ == "__main__":
    print(markdown() if sys.argv[1:] == ["--markdown"] else run_all(sys.argv[1:]))
