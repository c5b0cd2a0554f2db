"""Time from input files to output files, compared with the network alone on arrays in memory; two workers against one.

MultiResoLCC at the published size on a simulated PAN + MS scene: in this process with all cores, then with Dask workers of one
core each.
"""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from distributed import LocalCluster

from benchmarks.frame import Results, command_line
from benchmarks.measuring import interleaved, scratch
from benchmarks.recipes import Table, landscape, quick, read
from bocage.layout import MapLayout
from bocage.machine import cores
from bocage.mapping import Computing, Mapping, make_map
from bocage.mapping.engine import Making
from bocage.mapping.predict import Forward, infer, read_inputs
from bocage.mapping.settings import Workers
from bocage.mapping.work import Task, Worker
from bocage.mapping.workers import Crew, Distributed, working
from bocage.progress import QUIET
from bocage.recipe import parse
from bocage.run import open_run
from bocage.scene import Scene
from bocage.simulate import Simulation
from bocage.training import Trained, Trainer

HEIGHT, WIDTH, ROUNDS = 1024, 768, 3
"""Height and width of the scene in PAN pixels, and rounds. The twelve windows are shared evenly by two cores."""


def run() -> str:
    """Measure both ratios, and return them in words."""
    with scratch() as folder:
        trained, scene = _trained(folder)
        making = Making.of(trained, scene, Mapping(), MapLayout(folder / "map"), "cpu", QUIET)
        found = {"pixels": HEIGHT * WIDTH, "cores": cores(), **_end_to_end(making, folder / "map"), **_workers(making)}
    Results("engine").save(found)
    return (
        f"{found['pixels_per_second']:.0f} pixels/s from files to finished COGs, {found['end_to_end']:.2f} times the network alone on arrays in memory; "
        f"two workers of one core each are {found['two_workers']:.2f} times as fast as one"
    )


def quick_recipe(land: Path) -> Table:
    """Return the recipe of MultiResoLCC at its published size, trained for a moment."""
    return quick(read(land / "multiresolcc.toml"), {"samples_per_epoch": 64, "validation_samples": 64})


def _trained(folder: Path) -> tuple[Trained, Scene]:
    land = landscape(folder / "land", Simulation(height=HEIGHT, width=WIDTH, polygons=8, sensors=("vhr",)))
    opened = open_run(parse(quick_recipe(land), land), folder / "run")
    trainer = Trainer(opened.recipe.choice, opened.scene, opened.samples)
    return trainer.train(0, folder / "t"), opened.scene


def _end_to_end(making: Making, folder: Path) -> dict[str, float]:
    task = making.task
    inputs = [(w, read_inputs(task.trained, task.scene, w)) for w in making.windows]
    how = Forward(torch.device("cpu"), task.lattice)

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


@contextmanager
def _crew(count: int, task: Task) -> Iterator[Crew]:
    """Start Dask workers of one core each; Bocage itself would compute with one worker in its own process."""
    threads, environment = Worker.threads_for(1), {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with (
        LocalCluster(
            n_workers=count,
            threads_per_worker=threads,
            memory_limit=None,
            dashboard_address=":0",
            env={**os.environ, **environment},
            silence_logs=50,
        ) as cluster,
        working(Workers(scheduler=cluster.scheduler_address, threads=1), task) as crew,
    ):
        assert isinstance(crew, Distributed)
        crew.client.run(_on_one_core)
        yield crew


def _workers(making: Making) -> dict[str, float]:
    """Measure the windows only, after the workers have started: the start takes the same few seconds for all maps."""
    making.store.make(making.task.scene.grid)
    with _crew(1, making.task) as alone, _crew(2, making.task) as both:
        works = {"one": lambda: list(alone.do(making.windows)), "two": lambda: list(both.do(making.windows))}
        spent = interleaved(works, ROUNDS)
    return {"two_workers": spent["one"] / spent["two"], "one_worker_seconds": spent["one"]}


if __name__ == "__main__":
    command_line(__name__)
