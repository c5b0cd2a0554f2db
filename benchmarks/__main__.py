"""Run every benchmark, or those named."""

import sys

from benchmarks import dense, gaps, memory, windows

ALL = {"dense": dense.run, "memory": memory.run, "gaps": gaps.run, "windows": windows.run}

for name in sys.argv[1:] or ALL:
    print(f"{name}: {ALL[name]()}", flush=True)
