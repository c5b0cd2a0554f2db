"""What the shelf says of its networks: size and cost are counted on the published shapes, not told."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from bocage.models.base import Architecture, Card, Footprint, InputSpec, SourceTensor
from bocage.shelf import Shelf

STEP = 4
"""Map pixels a side by which windows grow, to tell the cost of a pixel from that of the border: a multiple of common ratios."""
CLASSES = 10


@dataclass(frozen=True)
class Facts:
    """One line of ``bocage models``."""

    name: str
    title: str
    paper: str
    takes: str
    masks: str
    parameters: int | None
    """For 10 classes; None where the size depends on the samples (trees)."""
    multiply_adds: float | None
    """Per map pixel, in the middle of a large window."""
    footprint: str
    dense: str
    """"exact", "patches", or "" where the file says nothing."""
    reconstruction: bool
    published: bool
    """Whether the training of its authors is known (``preset = "published"``)."""


def facts_of(name: str, architecture: Architecture) -> Facts:
    """Build a network for its example, and count.

    A network without a ``CARD`` is described by its docstring alone.
    """
    title = (architecture.__doc__ or name).strip().splitlines()[0]
    card: Card | None = getattr(architecture, "CARD", None)
    if card is None:
        return Facts(name, title, "", "", "", None, None, "", "", False, False)
    model = architecture.Model(card.example, CLASSES, architecture.Config())
    footprint = ", ".join(f"{source} {f.size} × {f.size}" for source, f in model.footprints.items())
    parameters = sum(p.numel() for p in model.parameters()) or None
    cost = None if hasattr(model, "fit") else _cost(model.eval(), card)
    return Facts(
        name, title, card.paper, card.takes, card.masks, parameters, cost, footprint, card.dense, card.reconstruction,
        card.published is not None,
    )  # fmt: skip


def all_facts(shelf: Shelf[Architecture]) -> Iterator[Facts]:
    """Facts of every network of a shelf."""
    for name in shelf:
        yield facts_of(name, shelf.get(name))


def _cost(model: Any, card: Card) -> float:
    """Multiply-adds per map pixel: of one patch, or by how much a larger window costs more."""
    if card.dense == "patches":
        return _operations(model, card.example, 1)
    small, middle, large = (_operations(model, card.example, n * STEP) for n in (2, 3, 4))
    return (large - 2 * middle + small) / (2 * STEP**2)  # what grows with the area, not with the border


@torch.no_grad()
def _operations(model: Any, inputs: Mapping[str, InputSpec], positions: int) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    batch = {n: _zeros(inputs[n], footprint, positions) for n, footprint in model.footprints.items()}
    # Fused kernels would hide their products from the counter; switching them off warns of hardware that is not there.
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
