"""Complete training of patchwork on 100,000 samples of three sources, with its defaults, from the files to the folder of the model.

    python -m benchmarks training

The scene is that of ``operational``: Sentinel-2 (34 dates with clouds, 10 bands), Sentinel-1 (24 dates) and VHR (6 x 6 pixels for
each map pixel). All polygons are training polygons, so that the number of samples is that of the training. The network is trained
twice, the first time without a fifth of the polygons, for the calibration. CPU time and duration of ``bocage train``, with the
cutting of the samples; durations of the two stages; and the load of the machine, as the mean number of running processes in the
last minute before the start and before the end.
"""

import os
import resource
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import operational
from benchmarks.frame import Results, command_line
from benchmarks.measuring import bocage, scratch
from benchmarks.otb import FIELD
from benchmarks.recipes import Table, write
from bocage.layout import RunLayout
from bocage.provenance import Provenance

SAMPLES = 100_000
"""Number of samples, without the last incomplete polygon."""
INNER = FIELD - 4
"""Side of a polygon in pixels: a field without its border."""


def run() -> str:
    """Train once, and return the durations in words."""
    fields = (operational.SIDE // FIELD) ** 2
    with scratch() as folder:
        scene = operational.written(folder / "scene", 1, SAMPLES / (INNER**2 * fields))
        path = write(scene.with_name("training.toml"), recipe())
        found = _trained(path, folder / "run")
    Results("training").save(found)
    return (
        f"patchwork, {found['samples']:,} samples of three sources, files to model: {found['cpu_seconds']:.0f} s of CPU time, "
        f"{found['seconds']:.0f} s on a machine with load {found['load'][0]:.1f} to {found['load'][1]:.1f}; stages, in s: "
        f"{', '.join(f'{name} {spent:.0f}' for name, spent in found['stages'].items())}; peak memory {found['peak_mb']:.0f} MB"
    )


def _trained(path: Path, out: Path) -> dict[str, Any]:
    """Train, and return the number of samples, the CPU time, the durations, the load and the peak memory."""
    load, before, started = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    peak = bocage("train", path, "--out", out)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    layout, spent = RunLayout(out), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    stages = Provenance.load(layout.provenance).stages
    return {
        "samples": len(pd.read_parquet(layout.samples)),
        "epochs": len(pd.read_csv(layout.split(0).curves)),
        "cpu_seconds": round(spent, 1),
        "seconds": round(wall, 1),
        "stages": {name: round(stage.seconds, 1) for name, stage in stages.items()},
        "load": [round(load, 2), round(os.getloadavg()[0], 2)],
        "peak_mb": round(peak),
    }


def recipe() -> Table:
    """Return the recipe of patchwork with the default training."""
    table = {key: value for key, value in operational.recipe("float32").items() if key != "training"}
    return table | {"split": {"draws": 1, "train": 1}}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    command_line(__name__)
