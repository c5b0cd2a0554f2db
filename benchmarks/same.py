"""Whether results are those of an earlier commit: maps, weights and scores of the examples and of a simulated landscape.

``python -m benchmarks.same REVISION`` checks the revision out into ``build/same``, runs every recipe with it and with the working
tree, in the same environment. It compares maps by SHA-256, weights by content and scores by their numbers. Runs of the revision
are kept; those of the working tree start anew each time, as its code may have changed.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch

from benchmarks.frame import BUILD, ROOT
from bocage.disk import digest_of, sha256_of
from bocage.layout import RunLayout

WORK = BUILD / "same"
EXAMPLES = ("rondonia", "canada", "flanders", "wake")
LANDSCAPE = ("random_forest", "gru", "patchwork")
"""Recipes of the landscape; ``multiresolcc`` is the network of the example ``wake``."""
SIZE = ("--polygons", "6")
"""Of the landscape: few polygons of each class, so that every recipe takes minutes."""


@dataclass(frozen=True)
class Tree:
    """A source tree, and where its runs go."""

    source: Path
    runs: Path

    def bocage(self, *arguments: str) -> None:
        """Run a command with this tree's code; its output goes to a log beside the runs."""
        environment = {**os.environ, "PYTHONPATH": str(self.source / "src")}
        self.runs.mkdir(parents=True, exist_ok=True)
        with (self.runs / "log.txt").open("a") as log:
            command = [sys.executable, "-m", "bocage", *arguments]
            subprocess.run(command, env=environment, check=True, stdout=log, stderr=log, cwd=self.runs)

    def run(self, name: str) -> Path:
        """Run the recipe of an example, or of the landscape; return the folder of the run."""
        out = self.runs / name
        if name in EXAMPLES:
            recipe = ROOT / "examples" / f"{name}.toml"
        else:
            landscape = self.runs / "landscape"
            if not (landscape / "reference.gpkg").exists():
                self.bocage("simulate", str(landscape), *SIZE)
            recipe = landscape / f"{name}.toml"
        if not RunLayout(out).report.exists():
            self.bocage("run", str(recipe), "--out", str(out))
        return out


def checked_out(revision: str) -> Tree:
    """Clone the repository at a revision into the build folder."""
    sha = subprocess.run(
        ["git", "rev-parse", f"{revision}^{{commit}}"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
    folder = WORK / sha[:12]
    if not (folder / "tree").exists():
        subprocess.run(["git", "clone", "-q", "-n", str(ROOT), str(folder / "tree")], check=True)
        subprocess.run(["git", "checkout", "-q", sha], cwd=folder / "tree", check=True)
    return Tree(folder / "tree", folder / "runs")


def differing(before: Path, now: Path) -> tuple[int, list[str]]:
    """Compare two runs; return how many files were compared, and which differ or are missing."""
    patterns = ("map/*.tif", "map/areas.csv", "splits/*/model/weights.safetensors", "splits/*/score.json", "score.json")
    names = sorted({str(p.relative_to(f)) for f in (before, now) for pattern in patterns for p in f.glob(pattern)})
    return len(names), [name for name in names if not _same(before / name, now / name)]


def _same(one: Path, other: Path) -> bool:
    if not one.exists() or not other.exists():
        return False
    if one.suffix == ".json":
        return bool(json.loads(one.read_text(encoding="utf-8")) == json.loads(other.read_text(encoding="utf-8")))
    if one.suffix == ".safetensors":
        return _content(one) == _content(other)
    return sha256_of(one) == sha256_of(other)


def _content(weights: Path) -> dict[str, str]:
    """Digest of every tensor; a forest is an archive whose members are named by their address and carry the time."""
    found = {}
    for name, tensor in safetensors.torch.load_file(weights).items():
        data = tensor.numpy().tobytes()
        if zipfile.is_zipfile(io.BytesIO(data)):
            archive = zipfile.ZipFile(io.BytesIO(data))
            data = b"".join(sorted(archive.read(member) for member in archive.namelist() if member.endswith(".npy")))
        found[name] = digest_of(data)
    return found


def main() -> int:
    """Compare, print a table, and return 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="commit to compare with")
    parser.add_argument("names", nargs="*", default=[*EXAMPLES, *LANDSCAPE], help="recipes (default: all)")
    wanted = parser.parse_args()
    before, now = checked_out(wanted.revision), Tree(ROOT, WORK / "now")
    shutil.rmtree(now.runs, ignore_errors=True)  # of earlier code
    print("recipe           files  different", flush=True)
    total = 0
    for name in wanted.names:
        files, odd = differing(before.run(name), now.run(name))
        total += len(odd)
        print(f"{name:16} {files:5}  {', '.join(odd) or '-'}", flush=True)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
