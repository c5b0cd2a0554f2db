"""Which sources, and which dates of them, a model needs: accuracy lost when they are shuffled between samples.

Permutation importance (Breiman 2001, doi:10.1023/A:1010933404324), of all bands of a source or date together. What is
shuffled keeps its distribution; only what it says of the sample is lost. Sources that tell the same stand in for each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.models import batch_of
from bocage.progress import QUIET, Progress
from bocage.samples import Samples
from bocage.samples.loader import Parts, make_batch
from bocage.training.trained import Trained, device_of

ROWS = 256
"""Samples classified at a time."""


@dataclass(frozen=True)
class Importance:
    """Accuracy lost, 0 to 1 (below 0: gained by luck)."""

    samples: int
    accuracy: float
    """With nothing shuffled, on as many samples of every class."""
    by_source: Mapping[str, float]
    by_date: Mapping[str, tuple[float, ...]]
    """Source → loss for each of its dates; series only."""
    days: Mapping[str, tuple[int, ...]]
    """Source → days since 1970-01-01 of those dates."""
    by_class: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    """Source → share of each class's samples that are lost, in the order of the legend; None for a class without samples."""
    attention: Mapping[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    """Series → class → mean weight of each date, of networks that say which dates they look at; they add up to 1
    (to 0 for a class without samples)."""


def importance(
    trained: Trained,
    samples: Samples,
    members: NDArray[np.int64],
    most: int,
    device: str = "auto",
    seed: int = 0,
    progress: Progress = QUIET,
) -> Importance:
    """Measure it on at most about `most` of the samples `members`, as many of every class."""
    generator = np.random.default_rng(seed)
    chosen = balanced(samples.label, members, most, generator)
    parts = make_batch(samples.cuts, chosen, trained.normalisation)
    label, place = torch.from_numpy(samples.label[chosen].astype(np.int64)), device_of(device)
    model = trained.model.to(place).eval()
    series = [name for name, (values, _, _) in parts.items() if values.shape[1] > 1]
    steps, done = 1 + len(parts) + sum(parts[name][0].shape[1] for name in series), 0

    def right(shown: Parts) -> Tensor:
        nonlocal done
        done += 1
        progress.step("measuring importance", done, steps)
        return (_classes(model, shown, place) == label).double()

    whole, classes = right(parts), len(trained.legend.classes)
    base, order = float(whole.mean()), torch.from_numpy(generator.permutation(len(chosen)))
    without = {name: right(_shuffled(parts, name, order)) for name in parts}
    by_source = {name: base - float(kept.mean()) for name, kept in without.items()}
    by_class = {name: _means(whole - kept, label, classes) for name, kept in without.items()}
    by_date = {
        name: tuple(
            base - float(right(_shuffled(parts, name, order, date)).mean()) for date in range(parts[name][0].shape[1])
        )
        for name in series
    }
    days = {name: tuple(int(day) for day in samples.cuts[name].dates) for name in series}
    attention = _attention(model, parts, label, classes, place)
    model.cpu()
    return Importance(len(chosen), base, by_source, by_date, days, by_class, attention)


def _means(values: Tensor, label: Tensor, classes: int) -> tuple[float | None, ...]:
    """Mean of (N,) in every class; None where it has no samples."""
    return tuple(float(values[label == k].mean()) if (label == k).any() else None for k in range(classes))


@torch.inference_mode()
def _attention(
    model: Any, parts: Parts, label: Tensor, classes: int, place: torch.device
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Series → class → mean weight of each date; empty for a network that does not say."""
    if not hasattr(model, "attention"):
        return {}
    found: dict[str, list[Tensor]] = {}
    for start in range(0, len(label), ROWS):
        part = {name: tuple(t[start : start + ROWS] for t in tensors) for name, tensors in parts.items()}
        for name, weight in model.attention(batch_of(part, place)).items():  # type: ignore[arg-type]
            found.setdefault(name, []).append(weight.double().cpu())
    weights = {name: torch.cat(several) for name, several in found.items()}
    return {
        name: tuple(tuple(weight[label == k].mean(0).nan_to_num(0).tolist()) for k in range(classes))
        for name, weight in weights.items()
    }


def balanced(
    label: NDArray[np.int16], members: NDArray[np.int64], most: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Choose about `most` samples, as many of every class, fewer where a class has fewer."""
    classes = np.unique(label[members])
    each = max(1, most // max(1, len(classes)))
    groups = (members[label[members] == one] for one in classes)
    chosen = [generator.choice(group, min(each, len(group)), replace=False) for group in groups]
    return np.sort(np.concatenate(chosen)) if chosen else members[:0]


def _shuffled(parts: Parts, name: str, order: Tensor, date: int | None = None) -> Parts:
    values, valid, days = parts[name]
    if date is None:
        return parts | {name: (values[order], valid[order], days[order])}
    values, valid = values.clone(), valid.clone()
    values[:, date], valid[:, date] = values[order, date], valid[order, date]
    return parts | {name: (values, valid, days)}


@torch.inference_mode()
def _classes(model: torch.nn.Module, parts: Parts, device: torch.device) -> Tensor:
    n = len(next(iter(parts.values()))[0])
    found = []
    for start in range(0, n, ROWS):
        some = {k: tuple(t[start : start + ROWS] for t in tensors) for k, tensors in parts.items()}
        found.append(model(batch_of(some, device))[:, :, 0, 0].argmax(1).cpu())  # type: ignore[arg-type]
    return torch.cat(found)
