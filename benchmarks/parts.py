"""Ablation of patchwork on the simulated landscape: effect of each part on accuracy and on time.

    python -m benchmarks.parts

Landscape, polygons and training are those of :mod:`benchmarks.rivals`, with fewer validation samples after each epoch. All
variants train on complete data. They are tested on complete data, without Sentinel-2, and with 60 % of the dates missing. An
interrupted benchmark resumes.
"""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.record import RESULTS, machine
from benchmarks.rivals import DRAWS, FEWER, MODELS, WORK, Bench
from bocage.mapping import pixels_per_second
from bocage.models import patchwork
from bocage.models.base import InputSpec, SourceTensor

FILE, ROUNDS, WHOLE = RESULTS / "parts.json", 3, "all parts"
STATES = ("all data", "no S2", "60 % of the dates missing")
SETTINGS = {
    "all parts": "",
    "no context": "context = 0",
    "no auxiliary heads": "auxiliary = 0.0",
    "no date dropout": "date_dropout = 0.0",
    "no sensor dropout": "sensor_dropout = 0.0",
}
"""Variants that change settings."""
ENCODER = patchwork.SeriesEncoder


def _no_days(encoder: Any, tensor: SourceTensor) -> Tensor:
    """Return the same day encoding (0) for all dates."""
    shape = (len(tensor.days), 1, tensor.days.shape[1], encoder.width)
    return torch.zeros(shape, dtype=tensor.values.dtype, device=tensor.values.device)


def _no_preference(encoder: Any, hidden: Tensor, clear: Tensor) -> Tensor:
    """Return equal attention for all valid dates."""
    alike = clear[:, :, None].to(hidden.dtype) / clear.sum(-1)[:, :, None, None].clamp_min(1)
    return alike.expand(-1, -1, encoder.queries.out_features, -1)


def _with_mix(encoder: Any, spec: InputSpec, width: int, heads: int, around: int) -> None:
    """Initialise an encoder with a second layer."""
    INIT(encoder, spec, width, heads, around)
    encoder.mix = nn.Linear(width, width)


def _mixed(encoder: Any, series: Tensor, days: Tensor) -> Tensor:
    """Return the hidden values of two layers per date."""
    return functional.relu(encoder.mix(HIDDEN(encoder, series, days)))


INIT, HIDDEN = ENCODER.__init__, ENCODER._hidden
CODE: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "no code of the day": {"_days": _no_days},
    "mean over the dates, no attention": {"_weights": _no_preference},
    "two layers a date": {"__init__": _with_mix, "_hidden": _mixed},
}
"""Variants that replace methods of the encoder."""


@contextmanager
def variant(label: str) -> Iterator[Bench]:
    """Yield the benchmark of a variant; its methods replace the encoder's until the context ends."""
    changes = CODE.get(label, {})
    own = {name: getattr(ENCODER, name) for name in changes}
    for name, method in changes.items():
        setattr(ENCODER, name, method)
    try:
        bench = Bench(label, f"{MODELS['patchwork']}{SETTINGS.get(label, '')}\n", DRAWS)
        choice = bench.recipe.choice
        fewer = replace(choice.training, validation_samples=1024)
        bench.recipe = replace(bench.recipe, choice=replace(choice, training=fewer))
        yield bench
    finally:
        for name, method in own.items():
            setattr(ENCODER, name, method)


def run() -> str:
    """Measure the missing results, then the speed of all variants, and return the table; processes share the variants."""
    (WORK / "rivals").mkdir(parents=True, exist_ok=True)
    for label in (*SETTINGS, *CODE):
        lock = FileLock(WORK / f"parts-{label}.lock")
        try:
            with lock.acquire(timeout=0):
                _measure(label)
        except Timeout:
            print(f"{label:36} being measured by another process", flush=True)
    if set(_known()["accuracy"]) < {*SETTINGS, *CODE}:
        return "variants are missing: being measured by another process"
    _keep("pixels_per_second", _speeds())
    return "\n" + markdown(_known())


def _measure(label: str) -> None:
    if label in _known().get("accuracy", {}):
        return
    found = {}
    for state in STATES:
        with variant(label) as bench:
            scores = bench.scores(FEWER, state)
        found[state] = scores["overall_accuracy"]
        print(f"{label:36} {state:28} {np.mean(found[state]):.3f}", flush=True)
    _keep("accuracy", {label: found})
    _keep("seconds", {label: scores["seconds"]})


def _known() -> dict[str, Any]:
    return json.loads(FILE.read_text()) if FILE.exists() else {}


def _keep(part: str, more: Mapping[str, Any]) -> None:
    with FileLock(WORK / "parts.lock"):
        known = _known()
        known.setdefault(part, {}).update(more)
        FILE.write_text(json.dumps(known | {"machine": machine()}, indent=1) + "\n")


def _speeds() -> dict[str, float]:
    """Return the median mapping speed of each variant; each round measures all variants."""
    spent: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for label in (*SETTINGS, *CODE):
            with variant(label) as bench:
                speed = pixels_per_second(bench.trained(0)[0], bench.scene, torch.device("cpu"))
            assert speed
            spent.setdefault(label, []).append(speed)
    return {label: statistics.median(found) for label, found in spent.items()}


def markdown(known: Mapping[str, Any]) -> str:
    """Return a table with one line per variant and the differences from the whole network on the same draws."""
    whole = known["accuracy"][WHOLE]
    lines = [f"| | {' | '.join(STATES)} | training, s | map, px/s |", "| --- |" + " --- |" * (len(STATES) + 2)]
    for label, states in known["accuracy"].items():
        cells = [f"{np.mean(states[s]):.3f}" for s in STATES]
        if label != WHOLE:
            gains = (np.array(states[s]) - np.array(whole[s]) for s in STATES)
            cells = [f"{cell} ({g.mean():+.3f} ± {g.std(ddof=1):.3f})" for cell, g in zip(cells, gains, strict=True)]
        speed, seconds = known["pixels_per_second"][label], np.median(known["seconds"][label])
        lines.append(f"| {label} | {' | '.join(cells)} | {seconds:.0f} | {speed:,.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(run())
