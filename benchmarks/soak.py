"""Map for half an hour in two processes at once, in two folders with one STAC cache; memory and maps must stay the same.

    python -m benchmarks soak

A simulated series is served over HTTP as STAC items. Two processes start with an empty cache and map the landscape again and
again, each in its own folder. ``BOCAGE_SOAK`` sets the minutes (30).

The first process leaves to the C library what is free after a map (``bocage map`` returns free memory while windows are computed,
and at their end). The second one returns it to the system after each map (``malloc_trim``). Three memories are measured after each
map: what the C library has handed out and not got back (``mallinfo2``), what Python's own allocator has handed out, and the resident
memory. The resident memory also contains the free pieces between used ones, which rise and fall by tens of MB from map to map.

Memory is flat if what was handed out grows by at most :data:`FLAT` MB per 1,000 maps (upper end of the 95 % interval of a straight
line through the means of :data:`PARTS` parts), if the median of the resident memory of the last third is at most :data:`RISE` above
that of the first third, and if both processes keep the number of their open files and start at most :data:`MORE` threads.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import linregress, t

from benchmarks.frame import Results, command_line
from benchmarks.measuring import bocage, scratch
from benchmarks.recipes import landscape, quick, read, write
from bocage.layout import RunLayout
from bocage.simulate import Simulation

MINUTES = float(os.environ.get("BOCAGE_SOAK", "30"))
KINDS = ("untrimmed", "trimmed")
"""Whether each process returns its free memory to the system after each map."""
WARM = 5
"""Maps of a process that do not count, because caches fill."""
PARTS = 10
"""Number of parts of a series whose means the straight line fits: values that follow each other are not independent."""
FLAT = 20
"""Growth of the memory handed out that is called flat, in MB per 1,000 maps."""
RISE = 0.05
"""Rise of the resident memory that is called flat, as a proportion."""
MORE = 2
"""Threads that libraries may start late, because their pools start threads when they are needed."""
LOOP = """
import ctypes, gc, hashlib, os, psutil, re, shutil, sys, tempfile, time
from pathlib import Path
from bocage.cli import main
libc = ctypes.CDLL("libc.so.6")
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")]
libc.mallinfo2.restype = Info
def of_python():
    with tempfile.TemporaryFile() as file:
        stderr = os.dup(2)
        os.dup2(file.fileno(), 2)
        sys._debugmallocstats()
        os.dup2(stderr, 2)
        os.close(stderr)
        file.seek(0)
        return int(re.search(rb"# bytes in allocated blocks +=([ 0-9,]+)", file.read())[1].replace(b",", b""))
recipe, model, out, seconds, kind = sys.argv[1:]
process, end = psutil.Process(), time.monotonic() + float(seconds)
while time.monotonic() < end:
    shutil.rmtree(out, ignore_errors=True)  # its windows would be kept
    code = main(["map", recipe, "--model", model, "--out", out])
    digest = hashlib.sha256(Path(out, "map", "classes.tif").read_bytes()).hexdigest() if code == 0 else "none"
    gc.collect()
    if kind == "trimmed":
        libc.malloc_trim(0)
    info = libc.mallinfo2()
    print("MAP", code, digest, process.memory_info().rss / 2**20, (info.uordblks + info.hblkhd + of_python()) / 2**20,
          process.num_threads(), process.num_fds(), len(gc.get_objects()), flush=True)
"""


@dataclass(frozen=True)
class _Map:
    """Exit code and digest of a map; after it, the memories of the process, its threads, open files and Python objects."""

    code: int
    digest: str
    resident: float
    """Resident memory in MB."""
    used: float
    """Memory that the C library and Python's allocator have handed out, in MB."""
    threads: int
    files: int
    objects: int

    @classmethod
    def of(cls, line: str) -> "_Map":
        code, digest, resident, used, threads, files, objects = line.split()[1:]
        return cls(int(code), digest, float(resident), float(used), int(threads), int(files), int(objects))


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


def run() -> str:
    """Map, and return the memory in words; stop if a map fails or differs."""
    with scratch() as folder:
        land = landscape(
            folder / "land", Simulation(height=803, width=802, polygons=6, sensors=("s2",), formats=("stac",))
        )
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Silent, directory=str(land)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _served(land, f"http://127.0.0.1:{server.server_port}/s2")
        table = quick(read(land / "patchwork.toml"), {"samples_per_epoch": 300})
        cache = folder / "cache"
        recipe = write(
            land / "soak.toml", {**table, "sources": {"s2": {**table["sources"]["s2"], "cache": str(cache)}}}
        )
        bocage("train", recipe, "--out", folder / "run")
        model = RunLayout(folder / "run").split(0).model.path
        shutil.rmtree(cache)
        found = _together(folder, recipe, model)
        server.shutdown()
    assert all(one.code == 0 for maps in found for one in maps), found
    assert len({one.digest for maps in found for one in maps}) == 1, found
    assert all(len(maps) >= WARM + 2 * PARTS for maps in found), [len(maps) for maps in found]
    results = [_course(maps[WARM:]) for maps in found]
    Results("soak").save({"minutes": MINUTES, "flat": FLAT, "rise": RISE, **dict(zip(KINDS, results, strict=True))})
    assert all(one["interval"][1] <= FLAT for one in results), results
    assert all(one["resident_mb"][1] <= (1 + RISE) * one["resident_mb"][0] for one in results), results
    assert all(one["more_threads"] <= MORE and one["more_files"] <= 0 for one in results), results
    return (
        f"{sum(map(len, found))} maps of 2 processes in {MINUTES:g} minutes, all equal; memory handed out, per 1,000 maps: "
        + "; ".join(
            f"{kind} {one['slope']:+.1f} MB (95 % interval {one['interval'][0]:+.1f} to {one['interval'][1]:+.1f}), resident "
            f"{one['resident_mb'][0]:.0f} MB in the first third, {one['resident_mb'][1]:.0f} MB in the last"
            for kind, one in zip(KINDS, results, strict=True)
        )
    )


def _course(maps: list[_Map]) -> dict[str, Any]:
    """Return the growth of the memory handed out in MB per 1,000 maps with its 95 % interval, and of what was counted."""
    memory, places = np.array([one.used for one in maps]), np.arange(len(maps)) / 1000
    means = [[part.mean() for part in np.array_split(values, PARTS)] for values in (places, memory)]
    line = linregress(*means)
    half = float(t.ppf(0.975, PARTS - 2) * line.stderr)
    third = len(maps) // 3
    first, last = maps[:third], maps[-third:]
    return {
        "maps": len(maps),
        "resident_mb": [statistics.median(one.resident for one in part) for part in (first, last)],
        "used_mb": [statistics.median(one.used for one in part) for part in (first, last)],
        "slope": float(line.slope),
        "interval": [float(line.slope) - half, float(line.slope) + half],
        "more_objects": (maps[-1].objects - maps[0].objects) / (len(maps) - 1),
        "more_threads": max(one.threads for one in last) - max(one.threads for one in first),
        "more_files": max(one.files for one in last) - max(one.files for one in first),
    }


def _served(land: Path, address: str) -> None:
    """Let the items name the files by their address, so that they are downloaded into the cache."""
    for path in (land / "s2/items").glob("*.json"):
        item = json.loads(path.read_text(encoding="utf-8"))
        for asset in item["assets"].values():
            asset["href"] = f"{address}/{(path.parent / asset['href']).resolve().relative_to((land / 's2').resolve())}"
        path.write_text(json.dumps(item))


def _together(folder: Path, recipe: Path, model: Path) -> list[list[_Map]]:
    """Run the two processes, and return their maps."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOOP, recipe, model, folder / kind, str(60 * MINUTES), kind],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for kind in KINDS
    ]  # fmt: skip
    texts = [process.communicate()[0] for process in processes]
    return [[_Map.of(line) for line in text.splitlines() if line.startswith("MAP")] for text in texts]


if __name__ == "__main__":
    command_line(__name__)
