"""Run the benchmarks named on the command line, or all short ones.

`choice`, `contest` and `networks` take hours to days. `adapt`, `ambiguous`, `climate`, `cluster`, `conformal`, `cost`, `damage`,
`doctor`, `embedding`, `filling`, `finish`, `history`, `intervals`, `learning`, `members`, `newcomer`, `nomenclature`, `objects`,
`parts`, `patchwork`, `promises`, `regional`, `rivals`, `roads`, `scout`, `season`, `segment`, `sites`, `soak` and `transfer` do not
measure speed, or measure it by themselves. They run only if named.
"""

import importlib
import sys

SHORT = (
    "forms",
    "sources",
    "engine",
    "forest",
    "memory",
    "operational",
    "gaps",
    "windows",
    "reading",
    "steps",
    "trees",
    "blocks",
    "starts",
    "texture",
)

if __name__ == "__main__":
    for name in sys.argv[1:] or SHORT:
        print(f"{name}: {importlib.import_module(f'benchmarks.{name}').run()}", flush=True)
