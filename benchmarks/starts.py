"""Start of commands that people type often: CPU time to the end, and of the imports; `bocage map` to its first window.

    python -m benchmarks starts

Commands run in their own process, interleaved; CPU time of the process, medians. ``init``, ``check`` and ``map`` get a small
simulated landscape. PyTorch takes the time of ``import torch``; a command that does not compute with it does not import it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.frame import Results, command_line
from benchmarks.measuring import scratch
from bocage.layout import RunLayout

ROUNDS = 5
LANDSCAPE = ("--height", "401", "--width", "400", "--polygons", "12", "--sensor", "s2")
IMPORTS = ("torch", *(f"bocage.jobs.{name}" for name in ("view", "init", "check", "report", "map")))
FINDINGS = 1
"""Exit code of `bocage check` for this landscape, which has warnings."""
FIRST_WINDOW = """
import os, sys
from bocage.cli.main import main
from bocage.mapping import work
work.read_inputs = lambda *_: os._exit(0)
main(sys.argv[1:])
"""
"""Program that ends when `bocage map` reads its first window."""


def run() -> str:
    """Measure all commands and return the table."""
    with scratch() as folder:
        commands = _commands(folder)
        times: dict[str, list[float]] = {key: [] for key in commands}
        for _ in range(ROUNDS):
            for key, command in commands.items():
                _forget(folder)
                times[key].append(_cpu(command))
    found = {key: round(median(values), 2) for key, values in times.items()}
    Results("starts").save({"cpu_seconds": found})
    return "CPU time\n" + "\n".join(f"{key:24} {value:5.2f} s" for key, value in found.items())


def _forget(folder: Path) -> None:
    """Remove what a command wrote, so that the next round does the same work."""
    for recipe in folder.glob("recipe*.toml"):
        recipe.unlink()
    shutil.rmtree(folder / "map", ignore_errors=True)


def _commands(folder: Path) -> dict[str, list[str]]:
    land, out = folder / "land", folder / "run"
    _cpu(_bocage("simulate", land, *LANDSCAPE))
    recipe = land / "patchwork.toml"
    quick = (
        "--set",
        "training.epochs=1",
        "--set",
        "training.steps=[0,0]",
        "--set",
        "split.draws=1",
        "--set",
        'split.rare="drop"',
    )
    _cpu(_bocage("train", recipe, "--out", out, *quick))
    model = RunLayout(out).split(0).model.path
    mapped = ["map", recipe, "--model", model, "--out", folder / "map"]
    return {
        **{f"import {name}": [sys.executable, "-c", f"import {name}"] for name in IMPORTS},
        "--help": _bocage("--help"),
        "models": _bocage("models"),
        "init": _bocage("init", land, land / "reference.gpkg", "--out", folder / "recipe.toml"),
        "check": _bocage("check", recipe),
        "map to its first window": [sys.executable, "-c", FIRST_WINDOW, *map(str, mapped)],
    }


def _bocage(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bocage", *map(str, arguments)]


def _cpu(command: Sequence[str]) -> float:
    """Return the CPU time of a command and of its threads, in seconds."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    text = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != (FINDINGS if "check" in command else 0):
        raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}: {text.decode()[-500:]}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    command_line(__name__)
