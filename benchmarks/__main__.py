"""Run the benchmarks named on the command line, each with the words that follow its name, or all short ones.

    python -m benchmarks [NAME [WORD ...] ...]      # --help after a name describes this benchmark

`choice`, `contest` and `networks` take hours to days. `adapt`, `ambiguous`, `climate`, `cluster`, `conformal`, `cost`, `damage`,
`dense`, `doctor`, `embedding`, `filling`, `finish`, `history`, `intervals`, `learning`, `members`, `newcomer`, `nomenclature`,
`objects`, `older`, `parcels`, `parts`, `patchwork`, `promises`, `regional`, `rivals`, `roads`, `scout`, `season`, `segment`, `shares`,
`sites`, `soak`, `training`, `transfer`, `water` and `years` do not measure speed, or measure it by themselves. They run only if
named.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.frame import asks_help, check_words, result_of
from bocage.shelf import did_you_mean

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


def benchmarks() -> list[str]:
    """Return the names of all benchmarks: the modules of this folder with a function ``run``."""
    modules = sorted(Path(__file__).parent.glob("*.py"))
    return [path.stem for path in modules if "\ndef run(" in path.read_text(encoding="utf-8")]


def named(words: Sequence[str], names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return each benchmark that the command line names, and the words that follow its name; without words, the short ones.

    Raises
    ------
    SystemExit
        The first word is not the name of a benchmark.
    """
    found: list[tuple[str, list[str]]] = []
    for word in words:
        if word in names:
            found.append((word, []))
        elif found:
            found[-1][1].append(word)
        else:
            hint = did_you_mean(word, names)
            sys.exit(f"error: no benchmark is called '{word}'.{hint} The benchmarks are: {', '.join(names)}.")
    return found or [(name, []) for name in SHORT]


def main(words: Sequence[str]) -> None:
    """Run the benchmarks of a command line and print their results; all words are checked before the first benchmark runs."""
    names = benchmarks()
    if asks_help(words[:1]):
        print(f"{__doc__}\nBenchmarks: {', '.join(names)}")
        return
    chosen = [(importlib.import_module(f"benchmarks.{name}"), given) for name, given in named(words, names)]
    for benchmark, given in chosen:
        check_words(benchmark, given)
    before, failed = dict(os.environ), []
    for benchmark, given in chosen:
        name = benchmark.__name__.rpartition(".")[2]
        try:
            print(f"{name}: {result_of(benchmark, given)}", flush=True)
        except Exception:  # the others are measured all the same
            failed.append(name)
            traceback.print_exc()
        os.environ.clear()  # Dask writes variables of its workers into it, which slow the commands of the next benchmark
        os.environ.update(before)
    if failed:
        sys.exit(f"error: {len(failed)} of {len(chosen)} benchmarks ended with an error: {', '.join(failed)}.")


if __name__ == "__main__":
    main(sys.argv[1:])
