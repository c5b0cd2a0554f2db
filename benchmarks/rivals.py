"""Patchwork compared with its competitors on a simulated landscape: complete data, and data with missing sources or dates.

    python -m benchmarks.rivals [complete] [degraded] [speeds]

The landscape and the competitors' recipes are those of :mod:`benchmarks.networks` (Sentinel-1, Sentinel-2 with clouds, PAN and
MS; reduced widths, the same number of samples per epoch for all), here with 40 epochs for each network. Dates are removed
everywhere, the same dates for all models; competitors get the remaining dates after gap-filling. Existing results are not
measured again.

Two tests compare each model with patchwork. One is the corrected resampled t-test: with 70 % of the polygons in the test, its
variance is at least twice that between draws, for any number of draws. The other is McNemar's test with polygons as clusters,
over the test pixels of all draws; it tests the average of these draws.
"""

import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from benchmarks.accuracy import TOLD, classes_of, samples_of, scores_of
from benchmarks.networks import M3FUSION, TRAINING, TWINNS, WITH_VHR, WORK, Case, cases
from benchmarks.record import RESULTS, machine
from bocage.evaluation.paired import clustered_mcnemar, resampled_t
from bocage.mapping import pixels_per_second
from bocage.recipe import Recipe, read_recipe
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.training import Trained, Trainer

DRAWS, FEWER = 5, 3
"""Number of draws on complete data, and on incomplete data."""
FILE = RESULTS / "rivals.json"
OWN = 'optimiser = "adamw"\nlearning_rate = 0.002\nweight_decay = 0.02\nschedule = "one-cycle"\n'
"""Patchwork's own training settings, given explicitly because `TRAINING` would override them."""
ALL = 'sources = ["s1", "s2", "pan", "ms"]\n'
MODELS = {
    "patchwork": f'name = "patchwork"\n{ALL}',
    "M3Fusion": M3FUSION,
    "TWINNS": TWINNS,
    "S1S2VHSR, as released": WITH_VHR["S1S2VHSR, normalisation as released"],
    "random forest": f'name = "random_forest"\n{ALL}',
    "LightGBM": f'name = "lightgbm"\n{ALL}',
}
VHR = ("pan", "ms", "sharp")
STATES: Mapping[str, Mapping[str, float]] = {
    "all data": {},
    "no S1": {"s1": 1.0},
    "no S2": {"s2": 1.0},
    "no VHR": dict.fromkeys(VHR, 1.0),
    "30 % of the dates missing": {"s1": 0.3, "s2": 0.3},
    "60 % of the dates missing": {"s1": 0.6, "s2": 0.6},
}
AGAIN = {
    "no S1": ("random forest", "LightGBM"),  # M3Fusion does not use S1
    "no S2": ("random forest", "LightGBM", "TWINNS, S1 only"),
    "no VHR": ("random forest", "LightGBM"),  # TWINNS does not use VHR
    "30 % of the dates missing": ("random forest", "LightGBM", "M3Fusion"),
    "60 % of the dates missing": ("random forest", "LightGBM", "M3Fusion"),
}
"""Competitors trained again on the remaining data."""


@dataclass(frozen=True)
class Spoiled:
    """A source without a share of its dates."""

    source: Any
    share: float

    def __getattr__(self, name: str) -> Any:
        """Return the attribute of the original source."""
        return getattr(self.source, name)

    def read(self, *where: Any) -> tuple[np.ndarray, np.ndarray]:
        """Read the source; the removed dates are not valid."""
        values, valid = self.source.read(*where)
        gone = np.random.default_rng(0).permutation(len(valid)) < round(self.share * len(valid))
        valid[gone], values[gone] = False, 0
        return values, valid


def spoiled(scene: Scene, state: str) -> Scene:
    """Return the scene with the missing data of a state."""
    shares = STATES[state]
    cubes = {n: replace(c, source=Spoiled(c.source, shares[n])) if n in shares else c for n, c in scene.cubes.items()}
    return replace(scene, cubes=cubes)


def _recipe(model: str, draws: int) -> Recipe:
    """Write and read the recipe of a model, with the sources of :mod:`benchmarks.networks` for its type."""
    nested = "patchwork" if any(name in model for name in ("patchwork", "s1s2vhsr")) else "M3Fusion"
    case: Case = next(c for c in cases(["simulated"]) if c.label == nested)
    head = case.recipe.partition("[model]")[0].replace("draws = 3", f"draws = {draws}")
    training = TRAINING.format(samples=1300).replace("epochs = 30\npatience = 30", "epochs = 40\npatience = 40")
    if "patchwork" in model:
        training = training.replace('learning_rate = 0.001\nschedule = "cosine"\n', OWN)
    text = f"{head}[model]\n{model}\n{training}"
    path = case.folder / f"rivals-{os.getpid()}.toml"
    path.write_text(text)
    return read_recipe(path)


class Bench:
    """A model on the landscape."""

    def __init__(self, label: str, model: str, draws: int) -> None:
        self.label, self.recipe = label, _recipe(model, draws)
        self.scene = open_scene(self.recipe)
        self.network = self.recipe.choice.build(self.scene, self.recipe.legend)

    def samples(self, state: str) -> tuple[Scene, Samples]:
        """Return the scene in a state and its samples, including pixels with missing sources."""
        scene, r = spoiled(self.scene, state), self.recipe
        kept = f"{sorted(self.network.footprints.items())}{sorted(r.sources.items())}"
        name = f"rivals-{hashlib.sha256(kept.encode()).hexdigest()[:12]}-{state}"
        folder = WORK / "".join(c if c.isalnum() else "-" for c in name)
        with FileLock(f"{folder}.lock"):
            return scene, samples_of(r, scene, folder)

    def trained(self, draw: int, state: str = "all data") -> tuple[Trained, float]:
        """Return the model trained on a draw of the data in a state, and its training time in seconds; train it once."""
        folder = WORK / "rivals" / "".join(c if c.isalnum() else "-" for c in f"{self.label} {state} {draw}")
        if not (folder / "seconds").exists():
            scene, samples = self.samples(state)
            started = time.monotonic()
            Trainer(self.recipe.choice, scene, samples).train(draw, folder)
            (folder / "seconds").write_text(str(time.monotonic() - started))
        return Trained.load(folder / "model"), float((folder / "seconds").read_text())

    def scores(self, draws: int, at: str, learnt: str = "all data") -> dict[str, Any]:
        """Return the scores of each draw on the test polygons, with data in the state `at` and training data `learnt`."""
        found: dict[str, Any] = {key: [] for key in (*TOLD, "seconds")}
        tested: list[np.ndarray] = []
        _, samples = self.samples(at)
        for draw in range(draws):
            trained, seconds = self.trained(draw, learnt)
            test = samples.draw(draw).test
            classes = classes_of(trained, samples, test, self.recipe)
            for key, value in (scores_of(samples, test, classes) | {"seconds": seconds}).items():
                found[key].append(value)
            place = ((draw * 10**5) + samples.row[test].astype(np.int64)) * 10**5 + samples.column[test]
            tested.append(np.stack([place, samples.polygon[test], classes == samples.label[test]]))
        np.save(_pixels(self.label, at, learnt, draws), np.concatenate(tested, 1))
        return found


def _pixels(label: str, at: str, learnt: str, draws: int) -> Path:
    """Return the file of the test pixels of all draws: unique number of each pixel, its polygon, whether it is correct."""
    return WORK / "rivals" / ("".join(c if c.isalnum() else "-" for c in f"{label} {at} {learnt} {draws}") + ".npy")


@dataclass(frozen=True)
class Line:
    """A line of a table."""

    table: str
    label: str
    """Name of the model, with its variant."""
    name: str
    """Name of the model."""
    model: str
    draws: int
    at: str = "all data"
    learnt: str = "all data"

    @property
    def key(self) -> str:
        """Key of the line in its table."""
        return self.label if self.table == "complete" else f"{self.at}: {self.label}"

    def measured(self) -> dict[str, Any]:
        """Return the scores of all draws."""
        return Bench(self.name, self.model, DRAWS).scores(self.draws, self.at, self.learnt)

    def tested(self) -> dict[str, float] | None:
        """Return McNemar's test against patchwork in the same state; None for patchwork, or if the pixels are missing."""
        names = (("patchwork", self.at, "all data"), (self.name, self.at, self.learnt))
        files = [_pixels(*of, self.draws) for of in names]
        if self.name == "patchwork" or not all(file.exists() for file in files):
            return None
        ours, theirs = (np.load(file) for file in files)
        _, first, second = np.intersect1d(ours[0], theirs[0], return_indices=True)
        test = clustered_mcnemar(ours[2, first] > 0, theirs[2, second] > 0, ours[1, first])
        return {"p": test.p, "pixels": len(first), "polygons": test.n}


def _lines(wanted: list[str]) -> Iterator[Line]:
    if "complete" in wanted:
        for name, model in MODELS.items():
            yield Line("complete", name, name, model, DRAWS)
    for state in STATES if "degraded" in wanted else ():
        for name, model in MODELS.items():
            yield Line("degraded", name, name, model, FEWER, state)
        for name in AGAIN.get(state, ()):
            model = MODELS.get(name, TWINNS + 'use = "first"')
            yield Line("degraded", f"{name}, trained again", name, model, FEWER, state, state)


def _speeds() -> dict[str, dict[str, float]]:
    """Return the median mapping speed of each model and the training time of draw 0.

    The speed is in pixels per second for one window, reading included; each round measures all models. The training time is
    the one recorded in this folder, in seconds; other processes may have run at the same time.
    """
    benches = {name: Bench(name, model, DRAWS) for name, model in MODELS.items()}
    made = {name: bench.trained(0) for name, bench in benches.items()}
    works = {name: (bench, made[name][0]) for name, bench in benches.items()}
    m3fusion, trained = works["M3Fusion"]
    config = type(trained.config)(series=trained.config.series, vhr=trained.config.vhr)
    choice = replace(m3fusion.recipe.choice, config=config)  # speed does not depend on weights
    whole = choice.network(trained.inputs, len(trained.legend.classes))
    works["M3Fusion, published size"] = m3fusion, replace(trained, config=config, model=whole.eval())
    spent: dict[str, list[float]] = {}
    for _ in range(3):
        for name, (bench, one) in works.items():
            speed = pixels_per_second(one, bench.scene, torch.device("cpu"), at_least=0.1)
            assert speed
            spent.setdefault(name, []).append(speed)
    medians = {name: statistics.median(found) for name, found in spent.items()}
    return {"speeds": medians, "trained_in": {name: seconds for name, (_, seconds) in made.items()}}


def run_all(wanted: list[str] | None = None) -> str:
    """Measure the missing results and return the tables."""
    (WORK / "rivals").mkdir(parents=True, exist_ok=True)
    for line in _lines(wanted or ["complete", "degraded"]):
        if line.key in _known().get(line.table, {}):
            continue
        scores = line.measured()
        with FileLock(WORK / "rivals.lock"):
            known = _known()
            known.setdefault(line.table, {})[line.key] = scores
            FILE.write_text(json.dumps({**known, "machine": machine()}, indent=1) + "\n")
        print(f"{line.table:10} {line.key:60} {_spread(scores['overall_accuracy'])}", flush=True)
    _test(wanted or ["complete", "degraded"])
    if "speeds" in (wanted or ["speeds"]):
        speeds = _speeds()
        with FileLock(WORK / "rivals.lock"):
            FILE.write_text(json.dumps({**_known(), **speeds, "machine": machine()}, indent=1) + "\n")
    return "\n" + markdown(_known())


def _test(wanted: list[str]) -> None:
    """Test each line against the current test pixels of patchwork."""
    with FileLock(WORK / "rivals.lock"):
        known = _known()
        for line in _lines(wanted):
            test = line.tested()
            if test and line.key in known.get(line.table, {}):
                known[line.table][line.key]["polygons"] = test
        FILE.write_text(json.dumps(known, indent=1) + "\n")


def _known() -> dict[str, Any]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def markdown(found: Mapping[str, Any]) -> str:
    """Return the tables, with the tests against patchwork in the same state of the data."""
    lines = []
    for table in ("complete", "degraded"):
        lines += [
            f"\n{table}\n",
            "| | accuracy | weighted F | kappa | training, s | patchwork less it | p, draws | p, polygons |",
            "| --- |" + " --- |" * 7,
        ]
        for label, one in found.get(table, {}).items():
            spread = (_spread(one[key]) for key in TOLD)
            state = label.partition(": ")[0] + ": " if ": " in label else ""
            tests = _against(found[table].get(f"{state}patchwork"), one)
            took = f"{np.median(one['seconds']):.0f}" if one["seconds"] else ""
            lines.append(f"| {label} | {' | '.join(spread)} | {took} | {tests} |")
    trained = found.get("trained_in", {})
    speeds = ((name, one, trained.get(name)) for name, one in found.get("speeds", {}).items())
    lines += ["\nmap pixels a second, and seconds of training of draw 0\n"]
    lines += [f"- {name}: {one:,.0f}{f', {spent:.0f} s' if spent else ''}" for name, one, spent in speeds]
    return "\n".join(lines)


def _against(ours: Mapping[str, Any] | None, theirs: Mapping[str, Any]) -> str:
    if ours is None or "polygons" not in theirs:
        return " | | "
    pair = resampled_t(ours["overall_accuracy"], theirs["overall_accuracy"], 70 / 30)
    return f"{pair.difference:+.3f} | {pair.p:.3f} | {theirs['polygons']['p']:.1g}"


if __name__ == "__main__":
    print(run_all(sys.argv[1:]))
