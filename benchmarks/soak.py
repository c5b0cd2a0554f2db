"""Map for half an hour in two processes at once, in two folders with one STAC cache; memory and maps must stay the same.

    python -m benchmarks soak

A simulated series is served over HTTP as STAC items. Two processes start with an empty cache and map the landscape again and
again, each in its own folder. ``BOCAGE_SOAK`` sets the minutes (30).
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.frame import Results
from benchmarks.measuring import bocage, scratch
from benchmarks.recipes import landscape, quick, read, write
from bocage.layout import RunLayout
from bocage.simulate import Simulation

MINUTES = float(os.environ.get("BOCAGE_SOAK", "30"))
WARM = 3
"""Maps of a process that do not count, because caches fill."""
LOOP = """
import sys, time, hashlib, psutil
from pathlib import Path
from bocage.cli import main
recipe, model, out, seconds = sys.argv[1:]
end = time.monotonic() + float(seconds)
while time.monotonic() < end:
    code = main(["map", recipe, "--model", model, "--out", out, "--overwrite"])
    digest = hashlib.sha256(Path(out, "map", "classes.tif").read_bytes()).hexdigest() if code == 0 else ""
    print("MAP", code, psutil.Process().memory_info().rss // 2**20, digest, flush=True)
"""


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
    maps = {digest for lines in found for _, _, digest in lines}
    assert all(code == 0 for lines in found for code, _, _ in lines), found
    assert len(maps) == 1, maps
    memory = [[rss for _, rss, _ in lines[WARM:]] for lines in found]
    assert all(len(values) >= 2 for values in memory), found
    thirds = [(statistics.median(m[: len(m) // 3 + 1]), statistics.median(m[-(len(m) // 3 + 1) :])) for m in memory]
    growth = max(last / first for first, last in thirds)
    Results("soak").save(
        {"minutes": MINUTES, "maps": [len(lines) for lines in found], "memory_mb": thirds, "growth": growth}
    )
    parts = ", ".join(f"{first:.0f} MB in the first third, {last:.0f} MB in the last" for first, last in thirds)
    return f"{sum(map(len, found))} maps of 2 processes in {MINUTES:g} minutes, all equal; {parts}"


def _served(land: Path, address: str) -> None:
    """Let the items name the files by their address, so that they are downloaded into the cache."""
    for path in (land / "s2/items").glob("*.json"):
        item = json.loads(path.read_text())
        for asset in item["assets"].values():
            asset["href"] = f"{address}/{(path.parent / asset['href']).resolve().relative_to((land / 's2').resolve())}"
        path.write_text(json.dumps(item))


def _together(folder: Path, recipe: Path, model: Path) -> list[list[tuple[int, int, str]]]:
    """Run two processes; return exit code, memory in MB and digest of each of their maps."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", LOOP, recipe, model, folder / f"out{k}", str(60 * MINUTES)],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for k in range(2)
    ]  # fmt: skip
    texts = [process.communicate()[0] for process in processes]
    lines = [[line.split()[1:] for line in text.splitlines() if line.startswith("MAP")] for text in texts]
    return [[(int(code), int(rss), (rest or [""])[0]) for code, rss, *rest in each] for each in lines]


if __name__ == "__main__":
    print(run())
