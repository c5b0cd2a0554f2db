"""Model + Samples → Trained: losses, the loop, checkpoints, calibration."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.models import batch_of, build
from bocage.progress import QUIET, Progress
from bocage.samples import Samples, Split
from bocage.samples.loader import Normalisation, batches, make_batch
from bocage.scene import Scene
from bocage.training.loop import fit, write_curves
from bocage.training.settings import Training
from bocage.training.trained import Trained, device_of, input_specs, source_records, versions


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
) -> Trained:
    """Train the network `name` on draw `number`; write ``model/`` and ``curves.csv`` in `folder`.

    Raises
    ------
    ModelError
        The network cannot work with the scene's sources.
    TrainingError
        The loss is no longer a number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw = samples.draw(split, number)
    seed = int(np.random.SeedSequence((split.seed, number)).generate_state(1)[0])
    torch.manual_seed(seed)
    model = build(name, input_specs(scene), len(samples.legend.classes), config)
    normalisation = Normalisation.of(samples.cuts, draw.train)
    task = f"training {name}, draw {number + 1} of {split.draws}"
    if hasattr(model, "fit"):
        model.fit(batch_of(make_batch(samples.cuts, draw.train, normalisation)), _labels(samples, draw.train), seed)
        progress.step(task, 1, 1)
    else:
        curves = fit(model, samples.cuts, samples.label, draw, normalisation, settings, seed, progress, task)
        write_curves(curves, folder / "curves.csv")
    region = (scene.grid.crs.to_wkt(), scene.grid.bounds)
    records = source_records(scene, model.footprints)
    trained = Trained(name, config, samples.legend, records, normalisation, model, region, versions())
    trained.save(folder / "model")
    return trained


def _labels(samples: Samples, members: NDArray[np.int64]) -> torch.Tensor:
    return torch.from_numpy(samples.label[members].astype(np.int64))


@torch.inference_mode()
def classify(
    trained: Trained, samples: Samples, members: NDArray[np.int64], settings: Training, batch_size: int = 256
) -> NDArray[np.int64]:
    """Return the class positions (N,) that a trained network gives to the samples `members`."""
    device = device_of(settings.device)
    model = trained.model.to(device).eval()
    found = [np.zeros(0, np.int64)]
    for parts, _ in batches(samples.cuts, samples.label, members, trained.normalisation, batch_size):
        found.append(model(batch_of(parts, device))[:, :, 0, 0].argmax(1).cpu().numpy())
    return np.concatenate(found)


__all__ = ["Trained", "Training", "classify", "device_of", "input_specs", "train", "versions"]
