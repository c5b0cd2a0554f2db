"""Run every benchmark, or those named; `networks` (hours), `promises` (no speed, but odds) and `roads` (no speed, either) by name only."""

import sys

from benchmarks import engine, forest, forms, gaps, memory, networks, promises, roads, windows

ALL = {
    "forms": forms.run,
    "engine": engine.run,
    "forest": forest.run,
    "memory": memory.run,
    "gaps": gaps.run,
    "windows": windows.run,
}
LONG = {"roads": roads.run, "networks": lambda: networks.run_all([]), "promises": promises.run}

for name in sys.argv[1:] or ALL:
    print(f"{name}: {(ALL | LONG)[name]()}", flush=True)
