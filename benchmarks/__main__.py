"""Run every benchmark, or those named."""

import sys

from benchmarks import dense, memory

ALL = {"dense": dense.run, "memory": memory.run}

for name in sys.argv[1:] or ALL:
    print(f"{name}: {ALL[name]()}", flush=True)
