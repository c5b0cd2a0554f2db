"""Time to the first line and to the end of commands that people type often, and their peak memory.

    python -m benchmarks starts

Commands run in their own process, interleaved; medians. ``init`` and ``check`` get a small simulated landscape.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.frame import Results
from benchmarks.measuring import scratch

ROUNDS = 5
LANDSCAPE = ("--height", "401", "--width", "400", "--polygons", "4", "--sensor", "s2")


def run() -> str:
    """Measure all commands and return the table."""
    with scratch() as folder:
        land = folder / "land"
        subprocess.run(_bocage("simulate", land, *LANDSCAPE), check=True, capture_output=True)
        commands = {
            "--help": ["--help"],
            "models": ["models"],
            "sensors": ["sensors"],
            "init": ["init", land, land / "reference.gpkg", "--out", folder / "recipe.toml"],
            "check": ["check", land / "random_forest.toml"],
        }
        times: dict[str, list[tuple[float, float]]] = {key: [] for key in commands}
        for _ in range(ROUNDS):
            for key, arguments in commands.items():
                (folder / "recipe.toml").unlink(missing_ok=True)
                times[key].append(_times(_bocage(*arguments)))
    found = {
        key: {"first_line": median(t[0] for t in ts), "end": median(t[1] for t in ts)} for key, ts in times.items()
    }
    peak = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3)
    Results("starts").save({"seconds": found, "peak_mb": peak})
    return "\n" + "\n".join(f"{key:8} {t['first_line']:5.2f} s  {t['end']:5.2f} s" for key, t in found.items())


def _bocage(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bocage", *map(str, arguments)]


def _times(command: Sequence[str]) -> tuple[float, float]:
    """Return the seconds to the first output on either stream, and to the end."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        first = time.perf_counter() - started
        process.stdout.read()
    if process.returncode not in (0, 1):  # 1: findings of check
        raise RuntimeError(f"{' '.join(command)}: exit code {process.returncode}")
    return first, time.perf_counter() - started


if __name__ == "__main__":
    print(run())
