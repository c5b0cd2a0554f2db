"""Ablation of patchwork on the simulated landscape: effect of each part on accuracy and on time.

    python -m benchmarks.parts

Landscape, polygons and training are those of :mod:`benchmarks.rivals`, with fewer validation samples after each epoch. All
variants train on complete data. They are tested on complete data, without Sentinel-2, and with 60 % of the dates missing. An
interrupted benchmark resumes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.frame import Results, command_line, spread, table
from benchmarks.measuring import medians
from benchmarks.recipes import Table
from benchmarks.rivals import FEWER, MODELS, MODELS_FOLDER, Bench, recipe_of
from bocage.mapping import pixels_per_second
from bocage.models import patchwork
from bocage.models.base import SourceTensor
from bocage.models.card import InputSpec

RESULTS, ROUNDS, WHOLE = Results("parts"), 3, "all parts"
STATES = ("all data", "no S2", "60 % of the dates missing")
SETTINGS: Mapping[str, Table] = {
    "all parts": {},
    "no context": {"context": 0},
    "shares of the bands": {"shares": True},
    "no auxiliary heads": {"auxiliary": 0.0},
    "no date dropout": {"date_dropout": 0.0},
    "no sensor dropout": {"sensor_dropout": 0.0},
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


def _with_mix(encoder: Any, spec: InputSpec, config: patchwork.Config) -> None:
    """Initialise an encoder with a second layer."""
    INIT(encoder, spec, config)
    encoder.mix = nn.Linear(encoder.width, encoder.width)


def _mixed(encoder: Any, series: Tensor, days: Tensor) -> Tensor:
    """Return the hidden values of two layers per date."""
    return functional.relu(encoder.mix(HIDDEN(encoder, series, days)))


INIT, HIDDEN = ENCODER.__init__, ENCODER.hidden
CODE: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "no code of the day": {"encode_days": _no_days},
    "mean over the dates, no attention": {"weights": _no_preference},
    "two layers a date": {"__init__": _with_mix, "hidden": _mixed},
}
"""Variants that replace methods of the encoder."""


def variant_recipe(label: str) -> Table:
    """Return the recipe of a variant."""
    recipe = recipe_of(MODELS["patchwork"] | SETTINGS.get(label, {}))
    return {**recipe, "training": recipe["training"] | {"validation_samples": 1024}}


@contextmanager
def replaced(changes: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Replace methods of the encoder until the context ends."""
    own = {name: getattr(ENCODER, name) for name in changes}
    for name, method in changes.items():
        setattr(ENCODER, name, method)
    try:
        yield
    finally:
        for name, method in own.items():
            setattr(ENCODER, name, method)


@contextmanager
def variant(label: str) -> Iterator[Bench]:
    """Yield the benchmark of a variant; its methods replace the encoder's until the context ends."""
    with replaced(CODE.get(label, {})):
        yield Bench(label, variant_recipe(label))


def run() -> str:
    """Measure the missing results, then the speed of all variants, and return the table; processes share the variants."""
    MODELS_FOLDER.mkdir(parents=True, exist_ok=True)
    for label in RESULTS.free([*SETTINGS, *CODE]):
        RESULTS.measure(("accuracy", label), lambda label=label: _measured(label))
    if set(RESULTS.known("accuracy") or ()) < {*SETTINGS, *CODE}:
        return "variants are missing: another process is measuring them"
    RESULTS.keep(
        medians({label: lambda label=label: _speed(label) for label in (*SETTINGS, *CODE)}, ROUNDS), "pixels_per_second"
    )
    return "\n" + markdown(RESULTS.content())


def _measured(label: str) -> dict[str, list[float]]:
    """Return the accuracy of each draw in each state; keep the training times."""
    found = {}
    for state in STATES:
        with variant(label) as bench:
            scores = bench.scores(FEWER, state)
        found[state] = scores["overall_accuracy"]
        print(f"{label:36} {state:28} {spread(found[state])}", flush=True)
    RESULTS.keep(scores["seconds"], "seconds", label)
    return found


def _speed(label: str) -> float:
    with variant(label) as bench:
        speed = pixels_per_second(bench.trained(0)[0], bench.scene, torch.device("cpu"))
    assert speed
    return speed


def markdown(known: Mapping[str, Any]) -> str:
    """Return a table with one line per variant and the differences from the whole network on the same draws."""
    whole, rows = known["accuracy"][WHOLE], []
    for label, states in known["accuracy"].items():
        cells = [f"{np.mean(states[s]):.3f}" for s in STATES]
        if label != WHOLE:
            gains = (np.array(states[s]) - np.array(whole[s]) for s in STATES)
            cells = [f"{cell} ({spread(gain, '+')})" for cell, gain in zip(cells, gains, strict=True)]
        speed, seconds = known["pixels_per_second"][label], np.median(known["seconds"][label])
        rows.append((label, *cells, f"{seconds:.0f}", f"{speed:,.0f}"))
    return table(("", *STATES, "training, s", "map, px/s"), rows)


if __name__ == "__main__":
    command_line(__name__)
