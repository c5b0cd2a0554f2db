"""Frame of the benchmarks: results on disk that several processes extend and an interrupted benchmark resumes; tables of results."""

import json
import platform
import shlex
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import psutil
import torch
from filelock import FileLock, Timeout

from bocage.disk import write_json
from bocage.machine import cores

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
"""Folder of landscapes, models and locks."""
Line = TypeVar("Line")


@dataclass(frozen=True)
class Results:
    """The results of a benchmark and a description of the machine, in ``benchmarks/results/<name>.json``.

    A result has a path of keys: names, and for a list the position in the list, such as a seed. A benchmark measures only missing
    results. Several processes can share the lines of a benchmark.
    """

    name: str
    folder: Path = ROOT / "benchmarks/results"
    locks: Path = BUILD / "locks"

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / f"{self.name}.json"

    def content(self) -> dict[str, Any]:
        """Return all stored results and the machine; empty before the first result."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}

    def known(self, *keys: str | int) -> Any:
        """Return the stored result at a path of keys; None if it is missing."""
        found: Any = self.content()
        for key in keys:
            if isinstance(found, list):
                found = dict(enumerate(found))
            found = (found or {}).get(key)
        return found

    def save(self, content: Mapping[str, Any]) -> None:
        """Write all results of a benchmark, and the machine; earlier results are replaced."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {"machine": machine(), **content})

    def keep(self, result: Any, *keys: str | int) -> None:
        """Store one result, and the machine; the other results stay."""
        with self.lock("results"):
            content = self.content()
            place: Any = content
            for key, following in pairwise(keys):
                place = place.setdefault(key, [] if isinstance(following, int) else {})
            if isinstance(place, list):
                place[keys[-1] :] = [result]  # a list grows by one result at a time
            else:
                place[keys[-1]] = result
            self.save(content | {"machine": machine()})

    def measure(
        self, keys: Sequence[str | int], work: Callable[[], Any], recipe: Mapping[str, Any] | None = None
    ) -> None:
        """Measure and store a result if it is missing, and print it.

        With a `recipe`, its table is stored in the result (a dictionary), and a result of another recipe is measured again.
        """
        label, known = " ".join(map(str, keys)), self.known(*keys)
        if known is not None and (recipe is None or known.get("recipe") == plain(recipe)):
            return
        if isinstance(keys[-1], int) and keys[-1] > len(self.known(*keys[:-1]) or ()):
            print(f"{label}: not measured, because the results before it are missing", flush=True)
            return
        started = time.monotonic()
        result = work()
        self.keep(result if recipe is None else {"recipe": plain(recipe), **result}, *keys)
        print(f"{label}: {accuracy(result)} [{time.monotonic() - started:.0f} s]", flush=True)

    def lock(self, name: str) -> FileLock:
        """Return a lock between processes; the name is a line of the benchmark, or a file that several lines use."""
        self.locks.mkdir(parents=True, exist_ok=True)
        return FileLock(self.locks / f"{slug(f'{self.name} {name}')}.lock")

    def free(self, lines: Iterable[Line]) -> Iterator[Line]:
        """Yield the lines that no other process is measuring; each is locked until the next one is requested."""
        for line in lines:
            lock = self.lock(str(line))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                print(f"{line}: being measured by another process", flush=True)
                continue
            try:
                yield line
            finally:
                lock.release()


def command_line(name: str) -> None:
    """Run the benchmark in the module `name` with the words of the command line, and print its result (:func:`result_of`)."""
    print(result_of(sys.modules[name], sys.argv[1:]), flush=True)


def result_of(benchmark: ModuleType, words: Sequence[str]) -> str:
    """Return the result of a benchmark for words of the command line; for ``--help``, the docstring of its module, and its words.

    A benchmark whose module has ``WORDS`` takes these; without words, it measures its defaults.

    Raises
    ------
    SystemExit
        The benchmark does not take one of the words.
    """
    check_words(benchmark, words)
    if asks_help(words):
        known = getattr(benchmark, "WORDS", ())
        return f"{benchmark.__doc__}" + f"\nWords: {shlex.join(known)}\n" * bool(known)
    result: str = benchmark.run(words) if words else benchmark.run()
    return result


def check_words(benchmark: ModuleType, words: Sequence[str]) -> None:
    """Stop with a message if a benchmark does not take one of the words of the command line."""
    known = getattr(benchmark, "WORDS", ())
    unknown = [word for word in words if word not in known]
    if unknown and not asks_help(words):
        name = benchmark.__spec__.name if benchmark.__spec__ else benchmark.__name__
        taken = f"these words: {shlex.join(known)}" if known else "no word"
        sys.exit(f"error: {name}: '{unknown[0]}' is unknown. It takes {taken}. --help describes the benchmark.")


def parser_of(name: str) -> ArgumentParser:
    """Return the parser of the command line of a benchmark with options in the module `name`; its help is the docstring."""
    benchmark = sys.modules[name]
    parser = ArgumentParser(description=benchmark.__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help=f"{shlex.join(benchmark.WORDS)}; default: all")
    return parser


def asks_help(words: Sequence[str]) -> bool:
    """Return whether words of the command line ask for help."""
    return not {"-h", "--help"}.isdisjoint(words)


def machine() -> dict[str, Any]:
    """Return processor, cores, threads of PyTorch, instruction set, memory and versions."""
    name = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), name)
    return {
        "processor": name,
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def plain(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table as JSON stores it: dates as text, tuples as lists."""
    return json.loads(json.dumps(table, default=str))


def slug(text: str) -> str:
    """Return letters, digits and dashes, for a file name."""
    return "".join(c if c.isalnum() else "-" for c in text)


def spread(values: Sequence[float], sign: str = "") -> str:
    """Return mean ± standard deviation of draws or seeds; with `sign` "+", the mean has a sign."""
    deviation = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.3f}{deviation}"


def accuracy(result: Any) -> str:
    """Return the overall accuracy in a result for the terminal; empty where there is none."""
    if isinstance(result, Mapping):
        return accuracy(next((result[key] for key in ("overall_accuracy", "per_draw") if key in result), []))
    if isinstance(result, list) and result and isinstance(result[0], Mapping):
        return accuracy([one["overall_accuracy"] for one in result])
    values = np.atleast_1d(result).tolist()
    return spread(values) if values else ""


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [list(header), ["---"] * len(header), *rows]
    return "\n".join("|" + "".join(f" {cell} |" if str(cell) else " |" for cell in line) for line in lines)
