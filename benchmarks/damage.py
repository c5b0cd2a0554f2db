"""Damage files of run folders at random, and check that no damage gives another map or other scores without an error.

    python -m benchmarks damage

Runs of a tiny landscape are copied, one file of a copy is damaged (a flipped bit, a zeroed block, a cut end, a removed file),
and ``bocage run`` is repeated. It must restore the results, or stop with one line and exit code 1. In two of three copies the
map, or the map and the scores, are to be computed again, so that they are computed from damaged files. ``BOCAGE_DAMAGES`` sets
the number of damages (60).
"""

import contextlib
import io
import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.frame import command_line
from benchmarks.measuring import scratch
from bocage.cli import main
from bocage.layout import RunLayout
from bocage.testing import tiny_landscape

DAMAGES = int(os.environ.get("BOCAGE_DAMAGES", "60"))
RECIPE = """
name = "tiny"
grid = { like = "s2" }
legend = { classes = [{ code = 1, name = "maize" }, { code = 2, name = "meadow" }, { code = 3, name = "water" }] }
reference = { path = "reference.gpkg", label = "code" }
split = { train = 0.5, draws = 2 }
model = { name = "gru", units = 8 }
training = { epochs = 4, learning_rate = 0.01, batch_size = 16 }
evaluation = { importance = 0 }
[sources.s2]
sensor = "series"
variables = { red = "s2/red.tif", nir = "s2/nir.tif" }
quality = "s2/quality.tif"
clear = [4]
scale = 0.0001
fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }
"""
AGAIN = ((), ("map",), ("map", "evaluate/0", "evaluate/1"))
"""Stages that a copy computes again."""


def run() -> str:
    """Damage the copies and return the counts; stop at damage that changes results without an error."""
    dice, counts = random.Random(0), Counter[str]()
    with scratch() as folder:
        recipe = tiny_landscape(folder / "land") / "recipe.toml"
        recipe.write_text(RECIPE, encoding="utf-8")
        whole = folder / "whole"
        assert _run(recipe, whole)[0] == 0
        right = _results(whole)
        for number in range(DAMAGES):
            copy = Path(shutil.copytree(whole, folder / "copy"))
            _forget(copy, dice.choice(AGAIN))
            path = dice.choice(sorted(p for p in copy.rglob("*") if p.is_file() and "report" not in p.name))
            how = dice.choice(list(KINDS))
            KINDS[how](path, dice)
            code, text = _run(recipe, copy)
            what = f"damage {number}: {how}, {path.relative_to(copy)}: exit code {code}: {text}"
            assert code in (0, 1), what
            assert code or _results(copy) == right, what
            counts["restored" if code == 0 else "stopped with a message"] += 1
            shutil.rmtree(copy)
    return f"{DAMAGES} damaged files: " + ", ".join(f"{n} {what}" for what, n in counts.most_common())


def _run(recipe: Path, out: Path) -> tuple[int, str]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
        code = main(["run", str(recipe), "--out", str(out)])
    return code, errors.getvalue().strip().splitlines()[-1]


def _results(out: Path) -> dict[str, Any]:
    layout = RunLayout(out)
    scores = [layout.score, *(layout.split(k).score for k in range(2))]
    layers = {path.name: path.read_bytes() for path in layout.map.layers}
    return layers | {str(path.relative_to(out)): json.loads(path.read_text(encoding="utf-8")) for path in scores}


def _forget(out: Path, stages: tuple[str, ...]) -> None:
    """Remove results, so that the next run computes them."""
    layout = RunLayout(out)
    record = json.loads(layout.provenance.read_text(encoding="utf-8"))
    for stage in stages:
        for path in layout.files_of(stage):
            path.unlink()
        del record["stages"][stage]
    layout.provenance.write_text(json.dumps(record))


def _flip(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if data:
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def _zero(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    start = dice.randrange(max(1, len(data)))
    data[start : start + 64] = bytes(len(data[start : start + 64]))
    path.write_bytes(data)


def _cut(path: Path, dice: random.Random) -> None:
    os.truncate(path, dice.randrange(max(1, path.stat().st_size)))


KINDS: dict[str, Callable[[Path, random.Random], None]] = {
    "bit": _flip,
    "zeros": _zero,
    "end": _cut,
    "gone": lambda path, _: path.unlink(),
}


if __name__ == "__main__":
    command_line(__name__)
