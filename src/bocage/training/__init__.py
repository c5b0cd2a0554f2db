"""Model + Samples → Trained: losses, the loop, checkpoints, calibration."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.models import batch_of, build
from bocage.progress import QUIET, Progress
from bocage.samples import Samples, Split
from bocage.samples.loader import Batched, Normalisation, batches, make_batch
from bocage.scene import Scene
from bocage.training import checkpoint
from bocage.training.adapt import Adapting, adapt
from bocage.training.calibration import Calibration, calibrate, mixtures
from bocage.training.curves import write_curves
from bocage.training.domain import domain_of, features_of
from bocage.training.importance import Importance, importance
from bocage.training.loop import Task, check_device, fit, logits_of
from bocage.training.precision import Reduced, check_bfloat16, imitates_bfloat16
from bocage.training.pretrain import Pretrained, Pretraining, pretrain
from bocage.training.remarks import remarks
from bocage.training.settings import Training, with_preset
from bocage.training.trained import Trained, device_count, device_of, input_specs, source_records, versions

PATCHES, PIXELS = 256, 8192
"""Samples classified at a time, with surroundings and without: a forest's call costs the same for one pixel and for thousands."""


def train(
    scene: Scene,
    samples: Samples,
    split: Split,
    number: int,
    name: str,
    config: Any,
    settings: Training,
    folder: Path,
    progress: Progress = QUIET,
    start: Pretrained | None = None,
) -> Trained:
    """Train the network `name` on draw `number`; write ``model/`` and ``curves.csv`` in `folder`.

    A training that was killed goes on from its checkpoint in `folder`, to the same weights.

    Parameters
    ----------
    start
        Weights that the network starts from; its bands are scaled as theirs were.

    Raises
    ------
    ModelError
        The network cannot work with the scene's sources.
    TrainedError
        The weights to start from are another network's, or of other bands, units or days.
    TrainingError
        The loss is no longer a number, or a checkpoint cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = samples.draw(split, number)
    seed = int(np.random.SeedSequence((split.seed, number)).generate_state(1)[0])
    torch.manual_seed(seed)
    n_classes = len(samples.legend.classes)
    model = build(name, input_specs(scene), n_classes, config)
    if not settings.stops_early:  # nobody looks at validation polygons: they train too
        draw = replace(draw, train=np.sort(np.concatenate([draw.train, draw.validation])), validation=draw.train[:0])
    if draw.left_out:
        progress.say(
            f"Draw {number + 1}: {draw.left_out} pixels within {split.buffer:g} m of test pixels do not train."
        )
    if absent := samples.without(draw.train):
        progress.say(f"Draw {number + 1} has no training sample of: {absent}; it cannot learn them.")
    normalisation = Normalisation.of(samples.cuts, draw.train, settings.scaling)
    if start:
        normalisation = start.start(model, name, scene, normalisation, progress)
    title = f"training {name}, draw {number + 1} of {split.draws}"
    if hasattr(model, "fit"):
        labels = torch.from_numpy(samples.label[draw.train].astype(np.int64))
        model.fit(batch_of(make_batch(samples.cuts, draw.train, normalisation)), labels, seed)
        progress.step(title, 1, 1)
    else:
        if settings.batch_size > len(draw.train) and not settings.samples_per_epoch:
            progress.say(
                f"batch_size is {settings.batch_size}, but {len(draw.train)} samples train: every epoch is one step."
            )
        parts = (samples.cuts, samples.label, samples.polygon, draw, n_classes, normalisation, settings, seed, folder)
        fingerprint = start.fingerprint if start else ""
        curves = fit(Task(title, model, *parts, fingerprint), progress)
        write_curves(curves, folder / "curves.csv")
    region = (scene.grid.crs.to_wkt(), scene.grid.bounds)
    records = source_records(scene, model.footprints)
    trained = Trained(name, config, samples.legend, records, normalisation, model, region, versions())
    calibration = _calibrated(trained, samples, draw.validation, settings)
    known = (trained.inputs, trained.footprints, seed, trained.any_source)
    domain = domain_of(samples, draw.train, draw.validation, normalisation, *known)
    trained = replace(trained, calibration=calibration, domain=domain)
    trained.save(folder / "model")
    (folder / checkpoint.NAME).unlink(missing_ok=True)
    return trained


def _calibrated(trained: Trained, samples: Samples, members: NDArray[np.int64], settings: Training) -> Calibration:
    """Fit the temperature on validation samples, as many as the loop looks at."""
    if not settings.calibrate or not len(members):
        return Calibration()
    most = settings.validation_samples
    if most and len(members) > most:
        members = np.sort(np.random.default_rng(0).choice(members, most, replace=False))
    device, polygons = device_of(settings.device), len(np.unique(samples.polygon[members]))
    model = trained.model.to(device).eval()

    def fitted(hidden: Collection[str] = ()) -> Calibration:
        made = batches(samples.cuts, samples.label, members, trained.normalisation, 256)
        return calibrate(*logits_of(model, _without(made, hidden), device), polygons)

    found = fitted()
    if trained.any_source:
        names = list(trained.footprints)
        partial = {"+".join(some): fitted(set(names) - set(some)).temperature for some in mixtures(names)}
        found = replace(found, partial=partial)
    model.cpu()
    return found


def _without(made: Iterator[Batched], hidden: Collection[str]) -> Iterator[Batched]:
    """Hide sources in batches."""
    for parts, labels, members in made:
        masked = {n: (v, torch.zeros_like(seen) if n in hidden else seen, days) for n, (v, seen, days) in parts.items()}
        yield masked, labels, members


def classify(trained: Trained, samples: Samples, members: NDArray[np.int64], settings: Training) -> NDArray[np.float32]:
    """Return the calibrated probabilities (N, K) that a trained network gives to the samples `members`."""
    if not len(members):
        return np.zeros((0, len(trained.legend.classes)), np.float32)
    device = device_of(settings.device)
    model = trained.model.to(device).eval()
    size = PATCHES if trained.has_context else PIXELS
    made = batches(samples.cuts, samples.label, members, trained.normalisation, size)
    logits = logits_of(lambda batch: trained.scaled(model(batch).float(), batch), made, device)[0]
    return torch.softmax(logits, 1).numpy()


__all__ = [
    "Adapting",
    "Importance",
    "Pretrained",
    "Pretraining",
    "Reduced",
    "Trained",
    "Training",
    "adapt",
    "check_bfloat16",
    "check_device",
    "classify",
    "device_count",
    "device_of",
    "features_of",
    "imitates_bfloat16",
    "importance",
    "input_specs",
    "pretrain",
    "remarks",
    "train",
    "versions",
    "with_preset",
]
