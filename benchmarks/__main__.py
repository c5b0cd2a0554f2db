"""Run every benchmark, or those named; `networks` takes an hour, so it is run by name only."""

import sys

from benchmarks import dense, gaps, memory, networks, windows

ALL = {"dense": dense.run, "memory": memory.run, "gaps": gaps.run, "windows": windows.run}
LONG = {"networks": lambda: networks.run_all([])}

for name in sys.argv[1:] or ALL:
    print(f"{name}: {(ALL | LONG)[name]()}", flush=True)
