"""The loop: Adam on the cross-entropy, early stopping on validation polygons, the best weights kept."""

import csv
import math
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import TrainingError
from bocage.models import batch_of
from bocage.progress import Progress
from bocage.samples.cut import Cut
from bocage.samples.loader import Normalisation, batches
from bocage.samples.split import Draw
from bocage.training.settings import Training
from bocage.training.trained import device_of


@dataclass(frozen=True)
class Epoch:
    """One line of ``curves.csv``."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_f1: float
    """Mean of the classes' F-measures, 0 to 1."""
    seconds: float


def fit(
    model: nn.Module,
    cuts: Mapping[str, Cut],
    label: NDArray[Any],
    draw: Draw,
    normalisation: Normalisation,
    settings: Training,
    seed: int,
    progress: Progress,
    task: str,
) -> list[Epoch]:
    """Train `model` in place and leave the best epoch's weights in it.

    The best epoch has the highest validation F-measure, and the lowest loss among equals.

    Raises
    ------
    TrainingError
        The loss is no longer a number.
    """
    fabric = _fabric(settings)
    optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    wrapped, optimiser = fabric.setup(model, optimiser)
    weights = _class_weights(label[draw.train], int(label.max()) + 1, settings).to(fabric.device)
    generator = np.random.default_rng(seed)
    augment = settings.augment and any(f.size > 1 for f in model.footprints.values())  # type: ignore[operator]
    validation = draw.validation
    if settings.validation_samples and len(validation) > settings.validation_samples:
        validation = np.sort(generator.choice(validation, settings.validation_samples, replace=False))
    best, best_state, curves = (-1.0, -math.inf), {}, []
    started = time.monotonic()
    for number in range(1, settings.epochs + 1):
        members = _members(draw.train, label, settings, generator)
        train = batches(cuts, label, members, normalisation, settings.batch_size, generator, augment)
        loss = _train_epoch(fabric, wrapped, optimiser, train, weights)
        if not math.isfinite(loss):
            raise TrainingError(
                f"The training loss is {loss} at epoch {number}; lower [training] learning_rate (now "
                f"{settings.learning_rate:g}) and look for absurd values in the imagery."
            )
        checked = batches(cuts, label, validation, normalisation, 4 * settings.batch_size)
        validation_loss, f1 = _validate(fabric, wrapped, checked, len(weights))
        curves.append(Epoch(number, loss, validation_loss, f1, time.monotonic() - started))
        if (f1, -validation_loss) > best:
            best, best_epoch = (f1, -validation_loss), number
            best_state = {k: v.detach().clone() for k, v in model.state_dict().items()}
        progress.step(task, number, settings.epochs, f"loss {loss:.3f}, validation F {f1:.3f}, best at {best_epoch}")
        if number - best_epoch >= settings.patience:
            progress.step(
                task, settings.epochs, settings.epochs, f"stopped early; best F {best[0]:.3f} at {best_epoch}"
            )
            break
    model.load_state_dict(best_state)
    model.cpu().eval()
    return curves


def _fabric(settings: Training) -> Any:
    device = device_of(settings.device)
    precision = settings.precision
    if precision == "auto":
        mixed = device.type == "cuda" and torch.cuda.is_bf16_supported()
        precision = "bf16-mixed" if mixed else "32-true"
    from lightning_fabric import Fabric  # seconds to import, and mapping does without it

    return Fabric(accelerator=device.type, devices=1, precision=precision)


def _class_weights(label: NDArray[Any], n_classes: int, settings: Training) -> Tensor:
    if settings.class_weights == "none":
        return torch.ones(n_classes)
    counts = np.maximum(np.bincount(label, minlength=n_classes), 1)
    return torch.from_numpy(len(label) / (n_classes * counts)).float()


def _members(
    train: NDArray[np.int64], label: NDArray[Any], settings: Training, generator: np.random.Generator
) -> NDArray[np.int64]:
    if not settings.samples_per_epoch:
        return train
    classes = np.unique(label[train])
    each = max(1, settings.samples_per_epoch // len(classes))
    chosen = []
    for one in classes:
        of_class = train[label[train] == one]
        chosen.append(generator.choice(of_class, each, replace=len(of_class) < each))
    return np.concatenate(chosen)


def _train_epoch(fabric: Any, model: Any, optimiser: Any, train: Any, weights: Tensor) -> float:
    model.train()
    total, n = 0.0, 0
    for parts, labels in train:
        if len(labels) == 1 and n:  # batch normalisation needs two
            continue
        target = labels.to(fabric.device)
        optimiser.zero_grad()
        logits = model(batch_of(parts, fabric.device))[:, :, 0, 0]
        loss = functional.cross_entropy(logits.float(), target, weights)
        fabric.backward(loss)
        optimiser.step()
        total, n = total + float(loss.detach()) * len(target), n + len(target)
    return total / max(n, 1)


@torch.no_grad()
def _validate(fabric: Any, model: Any, checked: Any, n_classes: int) -> tuple[float, float]:
    model.eval()
    matrix = torch.zeros(n_classes, n_classes)
    total, n = 0.0, 0
    for parts, target in checked:
        logits = model(batch_of(parts, fabric.device))[:, :, 0, 0].float().cpu()
        total, n = total + float(functional.cross_entropy(logits, target, reduction="sum")), n + len(target)
        matrix += torch.bincount(target * n_classes + logits.argmax(1), minlength=n_classes**2).reshape(n_classes, -1)
    right, size = matrix.diagonal(), matrix.sum(0) + matrix.sum(1)
    f1 = (2 * right / size.clamp_min(1))[matrix.sum(1) > 0].mean()
    return total / max(n, 1), float(f1)


def write_curves(curves: list[Epoch], path: Path) -> None:
    """Write one line per epoch."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([f.name for f in fields(Epoch)])
        writer.writerows([round(v, 6) for v in astuple(epoch)] for epoch in curves)
