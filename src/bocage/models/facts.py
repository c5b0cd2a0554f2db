"""Size and cost of a network, for the sources of its published shape (``Card.example``)."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from bocage.grid import Ratio
from bocage.models.base import Network, SourceTensor, build
from bocage.models.card import Architecture, Card, Footprint, InputSpec, card_of

STEP = 4
"""Increment of the window side in map pixels, to separate the cost per pixel from that of the border; a multiple of common
ratios."""
CLASSES = 10


@dataclass(frozen=True)
class Size:
    """Size and cost of a network."""

    parameters: int | None
    """Number of parameters for 10 classes; None if the size depends on the samples (trees)."""
    multiply_adds: float | None
    """Multiply-adds per map pixel, inside a large window; None for trees."""
    footprint: str
    """Footprint in pixels of each source, for example ``"pan 32 × 32, ms 8 × 8"``."""


def size_of(architecture: Architecture) -> Size:
    """Return parameters, multiply-adds and footprint of a network built for the sources of its ``CARD``."""
    card = card_of(architecture)
    try:
        return _size_on("meta", architecture, card)  # shapes only: no weights are drawn and nothing is computed
    except RuntimeError:  # the network looks at values, such as whether all dates are valid
        return _size_on("cpu", architecture, card)


def _size_on(device: str, architecture: Architecture, card: Card) -> Size:
    with torch.device(device):
        model = build(architecture, card.example, CLASSES, architecture.Config()).eval()
    footprint = ", ".join(f"{source} {f.size} × {f.size}" for source, f in model.footprints.items())
    parameters = sum(p.numel() for p in model.parameters()) or None
    return Size(parameters, None if model.abilities.fitted else _cost(model, card), footprint)


def _cost(model: Network, card: Card) -> float:
    """Return multiply-adds per map pixel: the cost of one patch, or the increase of the cost with the area of a window."""
    alone = all(f.size == 1 and card.example[name].ratio == Ratio() for name, f in model.footprints.items())
    if card.dense == "patches" or alone:
        return _operations(model, card.example, 1)  # no pixel shares a part of its cost with another
    step = math.lcm(STEP, model.step)
    small, middle, large = (_operations(model, card.example, n * step) for n in (2, 3, 4))
    return (large - 2 * middle + small) / (2 * step**2)  # second difference: removes the cost of the border


@torch.no_grad()
def _operations(model: Network, inputs: Mapping[str, InputSpec], positions: int) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with device:
        batch = {n: _zeros(inputs[n], footprint, positions) for n, footprint in model.footprints.items()}
    # The counter does not see fused kernels. Disabling them warns about missing hardware; ignore that.
    with (
        warnings.catch_warnings(action="ignore"),
        FlopCounterMode(display=False) as counter,
        torch.backends.mkldnn.flags(enabled=False),
    ):
        model(batch)
    return float(counter.get_total_flops()) / 2


def _zeros(spec: InputSpec, footprint: Footprint, positions: int) -> SourceTensor:
    side = -(-positions * spec.ratio.finer // spec.ratio.coarser) - spec.ratio.finer + footprint.size
    values = torch.zeros(1, spec.dates, len(spec.bands), side, side)
    days = torch.arange(spec.dates, dtype=torch.int32)[None] * 10
    return SourceTensor(values, torch.ones(1, spec.dates, side, side, dtype=torch.bool), days)
