"""Constants of a map on many machines: memory and time of the scheduler per window, and CPU time of one and of two processes.

    python -m benchmarks cluster

The scheduler gets windows that compute nothing, from the same submission as a map. The map is computed by Dask workers of one
core each, one and two; the efficiency is the CPU time of one worker divided by the sum of both for the same windows, which does
not depend on what else the machine does.
"""

import gc
import time
from pathlib import Path

import numpy as np
import psutil
from distributed import Client, LocalCluster

from benchmarks import cost
from benchmarks.engine import _crew
from benchmarks.frame import Results, command_line
from benchmarks.measuring import bocage, scratch
from bocage.grid import Window
from bocage.layout import MapLayout, RunLayout
from bocage.mapping import Mapping
from bocage.mapping.engine import Making
from bocage.mapping.work import Done
from bocage.progress import QUIET
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.training import Trained

COUNTS, ROUNDS = (2000, 6000, 10_000), 2
"""Numbers of windows that the scheduler holds; rounds of the map."""


def run() -> str:
    """Measure the scheduler and the workers, and return the constants in words."""
    graph = _graph()
    with scratch() as folder:
        efficiency = _efficiency(folder)
    Results("cluster").save({**graph, **efficiency})
    return (
        f"scheduler and client: {graph['kb_per_window']:.1f} kB and {graph['ms_per_window']:.2f} ms of CPU time per window; "
        f"CPU time of {efficiency['windows']} windows: {efficiency['one']:.1f} s by one worker, {efficiency['two']:.1f} s by two, "
        f"speed-up {2 * efficiency['one'] / efficiency['two']:.2f}"
    )


def _nothing(window: Window) -> Done:
    return Done(window, {"classes": "0" * 16, "confidence": "0" * 16})


def _graph() -> dict[str, float]:
    """Return memory and CPU time of scheduler and client for each window, as slopes over the numbers of windows."""
    here, memory, spent = psutil.Process(), [], []
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0", silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):
        list(client.map(_nothing, [Window(0, 0, 1, 1)]))
        for count in COUNTS:
            gc.collect()
            before, cpu = here.memory_info().rss, time.process_time()
            windows = [Window(256 * (k // 43), 256 * (k % 43), 256, 256) for k in range(count)]
            # As in bocage.mapping.workers: all windows are submitted at once, and the results are held until they are read.
            futures = {
                client.submit(_nothing, w, pure=False, key=f"{count}-{k}", retries=2): w for k, w in enumerate(windows)
            }
            client.gather(list(futures))
            memory.append(here.memory_info().rss - before)
            spent.append(time.process_time() - cpu)
            futures.clear()
    slope = {
        "kb_per_window": np.polyfit(COUNTS, memory, 1)[0] / 1e3,
        "ms_per_window": np.polyfit(COUNTS, spent, 1)[0] * 1e3,
    }
    return {name: round(float(value), 3) for name, value in slope.items()} | {"windows_held": max(COUNTS)}


def _efficiency(folder: Path) -> dict[str, float]:
    """Return the CPU time of one worker and of two for the windows of a map, in seconds."""
    recipe = cost._written(folder / "scene", 1)
    bocage("train", recipe, "--out", folder / "run")
    trained = Trained.load(RunLayout(folder / "run").split(0).model.path)
    scene = open_scene(read_recipe(recipe))
    making = Making.of(trained, scene, Mapping(), MapLayout(folder / "map"), "cpu", QUIET)
    making.store.make(scene.grid)
    with _crew(1, making.task) as alone, _crew(2, making.task) as both:
        for crew in (alone, both):
            list(crew.do(making.windows[:4]))  # imports, and compiled functions
        one, two = np.median([[_spent(crew, making) for crew in (alone, both)] for _ in range(ROUNDS)], 0)
    return {"windows": len(making.windows), "one": round(float(one), 2), "two": round(float(two), 2)}


def _spent(crew, making: Making) -> float:
    def spent() -> float:
        return sum(crew.client.run(_cpu).values())

    before = spent()
    list(crew.do(making.windows))
    return spent() - before


def _cpu() -> float:
    return time.process_time()


if __name__ == "__main__":
    command_line(__name__)
