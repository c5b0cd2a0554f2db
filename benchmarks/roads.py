"""Check that output files do not depend on tile size, workers, scheduler, batch system, kills, lost workers or a full disk.

``python -m benchmarks roads`` runs all checks, or those named in ``BOCAGE_ROADS`` (tiles, scheduler, slurm, killed, worker,
full). ``benchmarks/slurm.sh`` sets up a Slurm cluster of one node. The check of the full disk needs the permission to mount a
file system.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from benchmarks.frame import Results, command_line
from benchmarks.measuring import bocage, scratch
from benchmarks.memory import quick_recipe
from benchmarks.recipes import landscape, read, write
from bocage.layout import MapLayout, RunLayout
from bocage.mapping.store import JOURNAL
from bocage.simulate import Simulation

RUNS, WORKERS_KILLED, SIZE = 20, 5, 1400
"""Number of killed runs, number of runs that lose a worker, side of the landscape in PAN pixels."""
COMMAND = [sys.executable, "-m", "bocage"]


def run() -> str:
    """Run the checks, and return their results in words."""
    random.seed(0)
    with scratch() as folder:
        making = _Making(folder, *_trained(folder))
        started = time.monotonic()
        whole, seconds = making.files(folder / "whole"), time.monotonic() - started
        checks = {
            "tiles": lambda: _tiles(making, whole), "scheduler": lambda: _scheduler(making, whole), "slurm": lambda: _slurm(making, whole),
            "killed": lambda: _killed(making, whole, seconds), "worker": lambda: _worker_killed(making, whole), "full": lambda: _full(making, whole),
        }  # fmt: skip
        texts = {}
        for name in os.environ.get("BOCAGE_ROADS", " ".join(checks)).split():
            texts[name] = checks[name]()
            print(f"  {name}: {texts[name]}", flush=True)
    Results("roads").save(texts)
    return "; ".join(texts.values())


def _trained(folder: Path) -> tuple[Path, Path]:
    """Write a recipe and train its model; return both paths."""
    land = landscape(folder / "land", Simulation(height=SIZE, width=SIZE, polygons=8, sensors=("vhr",)))
    path = write(land / "quick.toml", quick_recipe(land))
    bocage("train", path, "--out", folder / "run")
    return path, RunLayout(folder / "run").split(0).model.path


class _Making:
    """A map that is produced repeatedly."""

    def __init__(self, folder: Path, recipe: Path, model: Path) -> None:
        self.folder, self.recipe, self.model = folder, recipe, model

    def start(self, out: Path, *options: object, recipe: Path | None = None) -> "subprocess.Popen[str]":
        command = [*COMMAND, "map", recipe or self.recipe, "--model", self.model, "--out", out, *options]
        return subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def files(self, out: Path, *options: object, recipe: Path | None = None) -> dict[str, bytes]:
        """Produce or resume a map, and return the content of its files."""
        process = self.start(out, *options, recipe=recipe)
        _, errors = process.communicate()
        assert process.returncode == 0 or "holds a map already" in errors, errors
        return _files(out)


def _tiles(making: _Making, whole: dict[str, bytes]) -> str:
    """Check three tile sizes with one, two and three workers."""
    table, count = read(making.recipe), 0
    for tile in (256, 512, 768):
        recipe = write(making.recipe.with_name(f"tile{tile}.toml"), {**table, "map": {"tile": tile}})
        for workers in (1, 2, 3):
            files = making.files(making.folder / f"tile{tile}-{workers}", "--workers", workers, recipe=recipe)
            assert files == whole, f"tile {tile}, {workers} workers: files differ"
            count += 1
    return f"{count} maps of 3 tile sizes x 1, 2, 3 workers: the same files"


def _scheduler(making: _Making, whole: dict[str, bytes]) -> str:
    """Check a Dask scheduler with two workers, then a scheduler that is killed, and a run that resumes without it."""
    address, dask = "tcp://127.0.0.1:8799", [sys.executable, "-m", "dask"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    commands = [["scheduler", "--host", "127.0.0.1", "--port", "8799", "--no-dashboard"]] + 2 * [
        ["worker", address, "--nthreads", "2", "--no-dashboard"]
    ]
    servants = [subprocess.Popen([*dask, *command], **quiet) for command in commands]
    try:
        assert making.files(making.folder / "scheduled", "--scheduler", address) == whole
        process = making.start(making.folder / "gone", "--scheduler", address)
        while not _noted(making.folder / "gone") and process.poll() is None:
            time.sleep(0.05)
        servants[0].kill()
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 1, (process.returncode, errors)
        assert "is gone" in errors, errors
    finally:
        for servant in servants:
            servant.kill()
            servant.wait()
    kept = len(_noted(making.folder / "gone"))
    assert making.files(making.folder / "gone") == whole
    return f"dask scheduler and two workers: the same files; the scheduler killed: exit 1, {kept} windows kept, then the same files"


def _slurm(making: _Making, whole: dict[str, bytes]) -> str:
    """Check jobs of a batch system."""
    if not shutil.which("sinfo") or subprocess.run(["sinfo", "-h"], capture_output=True, check=False).returncode:
        return "Slurm does not answer (benchmarks/slurm.sh start)"
    job = [item for pair in ("memory=4GB", "walltime=00:20:00", "cores=1") for item in ("--job", pair)]
    assert making.files(making.folder / "slurm", "--cluster", "slurm", "--workers", 2, *job) == whole
    return "two Slurm jobs: the same files"


def _killed(making: _Making, whole: dict[str, bytes], seconds: float) -> str:
    """Kill runs at random times, resume them, and compare the files."""
    killed = again = 0
    for number in range(RUNS):
        out = making.folder / f"killed{number}"
        process = making.start(out)
        time.sleep(random.uniform(0.25, 0.98) * seconds)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
        kept = len(_noted(out))
        assert making.files(out) == whole, f"run {number} differs"
        made = _noted(out)
        again += sum(n - 1 for n in made.values())
        print(f"  killed {number + 1}: {kept} of {len(made)} windows were kept", flush=True)
    return f"{killed} of {RUNS} runs killed by SIGKILL: the same files, {again} windows made twice"


def _worker_killed(making: _Making, whole: dict[str, bytes]) -> str:
    """Kill one of two Dask workers during a run, and compare the files."""
    again = 0
    for number in range(WORKERS_KILLED):
        out = making.folder / f"worker{number}"
        process = making.start(out, "--workers", 2)
        while len(_noted(out)) < 3 + number and process.poll() is None:
            time.sleep(0.05)
        _a_worker(process.pid).kill()
        _, errors = process.communicate()
        assert process.returncode == 0, errors
        assert _files(out) == whole, f"run {number} differs"
        again += sum(n - 1 for n in _noted(out).values())
        print(f"  worker killed {number + 1}", flush=True)
    return f"{WORKERS_KILLED} runs that lost a worker: the same files, {again} windows noted twice"


def _a_worker(pid: int) -> psutil.Process:
    """Return the descendant of the process `pid` with the most CPU time: a busy worker."""
    below = psutil.Process(pid).children(recursive=True)
    return max(below, key=lambda process: process.cpu_times().user)


def _full(making: _Making, whole: dict[str, bytes]) -> str:
    """Map into file systems that are too small for the windows or for the output files; enlarge them and resume."""
    size = sum(p.stat().st_size for p in _map(making.folder / "whole").path.rglob("*") if p.is_file())
    messages = []
    for number, share in enumerate((0.2, 0.7)):
        out = making.folder / f"small{number}"
        out.mkdir()
        small = max(64 << 10, int(share * size))
        mount = ["mount", "-t", "tmpfs", "-o", f"size={small}", "tmpfs", out]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            return "a file system cannot be mounted: the full disk is not checked"
        try:
            process = making.start(out)
            _, errors = process.communicate()
            assert process.returncode == 1, (process.returncode, errors)
            assert not _map(out).is_complete
            messages.append(errors.strip().splitlines()[-1][:120])
            kept = len(_noted(out))
            subprocess.run(["mount", "-o", "remount,size=1G", out], check=True)
            assert making.files(out) == whole, f"small file system {number}: files differ"
            assert all(n == 1 for n in _noted(out).values())
            print(f"  full disk {number + 1}: {kept} windows were kept; message: {messages[-1]}", flush=True)
        finally:
            subprocess.run(["umount", out], check=False)
    return f"{len(messages)} runs on a full file system: exit 1, then the same files"


def _map(out: Path) -> MapLayout:
    return RunLayout(out).map


def _files(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(_map(out).path.iterdir()) if p.is_file()}


def _noted(out: Path) -> Counter[str]:
    """Return how many times each window is in the journal."""
    path = _map(out).windows / JOURNAL
    places = Counter[str]()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            places[json.loads(line)["place"]] += 1
        except ValueError:
            continue  # incomplete line of a killed process
    return places


if __name__ == "__main__":
    command_line(__name__)
