"""Importance of sources and dates: loss of accuracy when a source or a date is permuted between samples.

Permutation importance (Breiman 2001, doi:10.1023/A:1010933404324); all bands of a source or date are permuted together.
The permutation keeps the distribution of the values and removes their relation to the label. Sources with redundant
information replace each other, so the importance of each is low.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.machine import device_of
from bocage.models import Batch, Network, SourceTensor, moved
from bocage.progress import QUIET, Progress
from bocage.samples import Samples
from bocage.training.batches import make_batch
from bocage.training.changes import Importance
from bocage.training.trained import Trained

ROWS = 256
"""Number of samples classified at a time."""


def importance(
    trained: Trained,
    samples: Samples,
    members: NDArray[np.int64],
    most: int,
    device: str = "auto",
    progress: Progress = QUIET,
) -> Importance:
    """Measure the importance on about `most` of the samples `members` or fewer, the same number of every class.

    With samples of several sites, only that of the sources: the dates of the sites differ.
    """
    by_date = samples.site is None
    generator = np.random.default_rng(0)
    chosen = balanced(samples.label, members, most, generator)
    batch = make_batch(samples.chips, chosen, trained.normalisation)
    label, place = torch.from_numpy(samples.label[chosen].astype(np.int64)), device_of(device)
    model = trained.model.to(place).eval()
    dates = {name: tensor.days.shape[1] for name, tensor in batch.items() if by_date and tensor.days.shape[1] > 1}
    steps, done = 1 + len(batch) + sum(dates.values()), 0

    def right(permuted: Batch) -> Tensor:
        nonlocal done
        done += 1
        progress.step("measuring importance", done, steps)
        return (_classes(model, permuted, place) == label).double()

    whole, classes = right(batch), len(trained.legend.classes)
    base, order = float(whole.mean()), torch.from_numpy(generator.permutation(len(chosen)))
    without = {name: right(_shuffled(batch, name, order)) for name in batch}
    by_source = {name: base - float(kept.mean()) for name, kept in without.items()}
    by_class = {name: _means(whole - kept, label, classes) for name, kept in without.items()}
    lost = {
        name: tuple(base - float(right(_shuffled(batch, name, order, date)).mean()) for date in range(n))
        for name, n in dates.items()
    }
    days = {name: tuple(samples.cuts[name].dates.tolist()) for name in dates}
    attention = _attention(model, batch, label, classes, place) if by_date else {}
    model.cpu()
    return Importance(len(chosen), base, by_source, lost, days, by_class, attention)


def _means(values: Tensor, label: Tensor, classes: int) -> tuple[float | None, ...]:
    """Return the mean of `values` (N,) for every class; None for a class without samples."""
    return tuple(float(values[label == k].mean()) if (label == k).any() else None for k in range(classes))


@torch.inference_mode()
def _attention(
    model: Network, batch: Batch, label: Tensor, classes: int, place: torch.device
) -> dict[str, tuple[tuple[float, ...], ...]]:
    """Return series → class → mean attention weight of each date; empty for a network without temporal attention."""
    if not model.abilities.attention:
        return {}
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(label), ROWS):
        for name, weight in model.attention(moved(_part(batch, start), place)).items():
            parts.setdefault(name, []).append(weight.double().cpu())
    weights = {name: torch.cat(several) for name, several in parts.items()}
    return {
        name: tuple(tuple(weight[label == k].mean(0).nan_to_num(0).tolist()) for k in range(classes))
        for name, weight in weights.items()
    }


def balanced(
    label: NDArray[np.int16], members: NDArray[np.int64], most: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Choose about `most` samples, the same number of every class; all samples of a class that has fewer."""
    classes = np.unique(label[members])
    each = max(1, most // max(1, len(classes)))
    groups = (members[label[members] == value] for value in classes)
    chosen = [generator.choice(group, min(each, len(group)), replace=False) for group in groups]
    return np.sort(np.concatenate(chosen)) if chosen else members[:0]


def _shuffled(batch: Batch, name: str, order: Tensor, date: int | None = None) -> Batch:
    """Return the batch with a source, or one date of a source, permuted between samples."""
    tensor = batch[name]
    if date is None:
        return {**batch, name: tensor.take(order)}
    values, valid = tensor.values.clone(), tensor.valid.clone()
    values[:, date], valid[:, date] = values[order, date], valid[order, date]
    return {**batch, name: SourceTensor(values, valid, tensor.days)}


def _part(batch: Batch, start: int) -> Batch:
    return {name: tensor.take(slice(start, start + ROWS)) for name, tensor in batch.items()}


@torch.inference_mode()
def _classes(model: Network, batch: Batch, device: torch.device) -> Tensor:
    classes = []
    for start in range(0, len(next(iter(batch.values())).values), ROWS):
        classes.append(model(moved(_part(batch, start), device))[:, :, 0, 0].argmax(1).cpu())
    return torch.cat(classes)
