"""Time from input files to output files, compared with the network alone on arrays in memory; two workers against one.

MultiResoLCC at the published size on a simulated PAN + MS scene: in this process with all cores, then with Dask workers of one
core each.
"""

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.record import interleaved, save
from bocage.layout import MapLayout
from bocage.machine import cores
from bocage.mapping import Computing, Mapping, make_map
from bocage.mapping.engine import _Making
from bocage.mapping.predict import Forward, infer, read_inputs
from bocage.mapping.workers import Workers, _dask
from bocage.progress import QUIET
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.simulate import Simulation, simulate
from bocage.simulate.recipes import write_recipes
from bocage.training import Trained, Trainer

HEIGHT, WIDTH, ROUNDS = 1024, 768, 3
"""Height and width of the scene in PAN pixels, and rounds. The twelve windows are shared evenly by two cores."""


def run() -> str:
    with tempfile.TemporaryDirectory(dir=os.environ.get("BOCAGE_BENCH")) as name:
        trained, scene = _trained(Path(name))
        making = _Making.of(trained, scene, Mapping(), MapLayout(Path(name) / "map"), "cpu", QUIET)
        found = {
            "pixels": HEIGHT * WIDTH,
            "cores": cores(),
            **_end_to_end(making, Path(name) / "map"),
            **_workers(making),
        }
    save("engine", found)
    return (
        f"{found['pixels_per_second']:.0f} pixels/s from files to finished COGs, {found['end_to_end']:.2f} times the network alone on arrays in memory; "
        f"two workers of one core each are {found['two_workers']:.2f} times as fast as one"
    )


def _trained(folder: Path) -> tuple[Trained, Any]:
    landscape = Simulation(height=HEIGHT, width=WIDTH, polygons=8, sensors=("vhr",))
    simulate(landscape, folder / "land")
    recipe = next(path for path in write_recipes(landscape, folder / "land") if path.stem == "multiresolcc")
    text = (
        recipe.read_text()
        .replace("draws = 1", 'draws = 1\nrare = "drop"')
        .replace("epochs = 20", "epochs = 1\nvalidation_samples = 64")
    )
    recipe.write_text(text.replace("samples_per_epoch = 4000", "samples_per_epoch = 64"))
    opened = open_run(read_recipe(recipe), folder / "run")
    trainer = Trainer(opened.recipe.choice, opened.scene, opened.samples)
    return trainer.train(0, folder / "t"), opened.scene


def _end_to_end(making: _Making, folder: Path) -> dict[str, float]:
    task = making.task
    inputs = [(w, read_inputs(task.trained, task.scene, w)) for w in making.windows]
    how = Forward(torch.device("cpu"), task.cell)

    def alone(one: Any) -> None:
        torch.set_num_threads(1)
        infer(task.trained, one[1], one[0], how)

    def network() -> None:
        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(alone, inputs))

    def everything() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        make_map(task.trained, task.scene, Mapping(), folder, Computing("cpu"))

    spent = interleaved({"network": network, "everything": everything}, ROUNDS)
    return {
        "end_to_end": spent["everything"] / spent["network"],
        "pixels_per_second": HEIGHT * WIDTH / spent["everything"],
        "network_pixels_per_second": HEIGHT * WIDTH / spent["network"],
    }


def _on_one_core(dask_worker: Any) -> None:
    """Bind a worker to one core; a single worker would otherwise use the second core for reading and writing."""
    allowed = sorted(os.sched_getaffinity(0))
    core = allowed[int(dask_worker.name) % len(allowed)]
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def _workers(making: _Making) -> dict[str, float]:
    """Measure the windows only, after the workers have started: the start takes the same few seconds for all maps."""
    making.store.make(making.task.scene.grid)
    one, two = (_dask(Workers(count=n, threads=1), making.task) for n in (1, 2))
    with one as alone, two as both:
        for crew in (alone, both):
            crew.client.run(_on_one_core)
        works = {
            "one": lambda: list(alone.do(making.windows)),
            "two": lambda: list(both.do(making.windows)),
        }
        spent = interleaved(works, ROUNDS)
    return {"two_workers": spent["one"] / spent["two"], "one_worker_seconds": spent["one"]}
