"""Run the benchmarks named on the command line, or all short ones.

`networks` takes hours, and `learning`, `parts`, `patchwork`, `promises`, `rivals`, `roads` and `transfer` do not measure speed:
they run only if named.
"""

import sys

from benchmarks import (
    blocks,
    engine,
    forest,
    forms,
    gaps,
    learning,
    memory,
    networks,
    operational,
    parts,
    patchwork,
    promises,
    rivals,
    roads,
    transfer,
    windows,
)

ALL = {
    "forms": forms.run,
    "engine": engine.run,
    "forest": forest.run,
    "memory": memory.run,
    "operational": operational.run,
    "gaps": gaps.run,
    "windows": windows.run,
    "blocks": blocks.run,
}
LONG = {
    "roads": roads.run,
    "networks": lambda: networks.run_all([]),
    "promises": promises.run,
    "rivals": rivals.run_all,
    "parts": parts.run,
    "learning": learning.run_all,
    "patchwork": patchwork.run_all,
    "transfer": transfer.run_all,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or ALL:
        print(f"{name}: {(ALL | LONG)[name]()}", flush=True)
