"""Predictions for polygons by models that were not trained on them: cross-validation by polygons, and nearest neighbours."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.machine import device_of
from bocage.models import Network, moved
from bocage.progress import Progress
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.training.batches import Minibatch, batches, make_batch
from bocage.training.choice import Choice
from bocage.training.domain import features_of
from bocage.training.loop import logits_of
from bocage.training.losses import fit_at_once
from bocage.training.scaling import Normalisation
from bocage.training.train import PATCHES, PIXELS, Trainer

NEIGHBOURS = 10
"""Number of nearest polygons whose classes are counted."""
COMPONENTS = 24
"""Maximum number of principal components in which distances are measured."""
AMONG = 20_000
"""Maximum number of polygons among which neighbours are searched."""
MOST = 30_000
"""Maximum number of samples to which a model that is fitted at once is fitted: more of them take time and add little."""
ROWS = 1000
"""Number of polygons whose distances are computed at a time."""


@dataclass(frozen=True)
class OutOfFold:
    """What models of the other polygons predict for each sample, and the neighbours of each polygon."""

    probabilities: NDArray[np.float32]
    """(N, K) class probabilities of every sample, by the model of the fold that holds its polygon out."""
    neighbours: NDArray[np.float32]
    """(P, K) shares of the classes among the nearest polygons of the other folds; polygons in the order of their numbers."""
    distance: NDArray[np.float32]
    """(P,) distance to the nearest polygon of the same class, over its median in this class: 1 is usual; NaN: no such polygon."""


def out_of_fold(choice: Choice, scene: Scene, samples: Samples, folder: Path, progress: Progress) -> OutOfFold:
    """Return the predictions for all samples, each by the model of a fold in which its polygon is the test part.

    The split of `samples` must have folds. A model that is fitted at once is fitted to the other samples, at most ``MOST`` of
    them. A network is trained in `folder` as in a run, with a part of the other polygons for validation; an interrupted training
    resumes there. The features of the neighbours are those at the input of the class head of a network that has them
    (``Network.fused``), else the values of the map pixel; those of a polygon are the means of its samples.
    """
    units, unit = np.unique(samples.polygon, return_inverse=True)
    count, classes = len(units), len(samples.legend.classes)
    probabilities = np.zeros((len(unit), classes), np.float32)
    neighbours, distance = np.zeros((count, classes), np.float32), np.full(count, np.nan, np.float32)
    label = np.zeros(count, np.int64)
    label[unit] = samples.label
    assert samples.fold is not None
    for number in np.unique(samples.fold).tolist():  # with few polygons, a fold may have none
        judge, test = _Judge.trained(choice, scene, samples, number, folder), samples.draw(number).test
        probabilities[test] = judge.probabilities(samples, test)
        tested = np.unique(unit[test])
        points = _components(judge.means(samples, unit), np.delete(np.arange(count), tested))
        neighbours[tested], distance[tested] = _nearest(points, label, tested, classes, samples.split.seed)
        progress.step("judging polygons", number + 1, samples.draws, f"repeat with seed {samples.split.seed}")
    for one in np.unique(label):  # distances differ between classes: some are more varied
        own = distance[label == one]
        distance[label == one] = own / max(float(np.nanmedian(own)), 1e-9) if np.isfinite(own).any() else own
    return OutOfFold(probabilities, neighbours, distance)


@dataclass(frozen=True)
class _Judge:
    """A model of one fold, and the scaling of its inputs."""

    model: Network
    normalisation: Normalisation
    device: torch.device

    @classmethod
    def trained(cls, choice: Choice, scene: Scene, samples: Samples, number: int, folder: Path) -> "_Judge":
        """Return the model trained without the fold `number`."""
        model = choice.build(scene, samples.legend)
        if not model.abilities.fitted or choice.members:
            trainer = Trainer(choice.with_training(calibrate=False), scene, samples)
            trained, device = trainer.train(number, folder / str(number)), device_of(choice.training.device)
            return cls(trained.model.to(device).eval(), trained.normalisation, device)
        draw, generator = samples.draw(number), np.random.default_rng((samples.split.seed, number))
        members = np.concatenate([draw.train, draw.validation])
        members = np.sort(generator.choice(members, min(MOST, len(members)), replace=False))
        scaling = Normalisation.of(samples.cuts, members, choice.training.scaling)
        batch = make_batch(samples.chips, members, scaling)
        fit_at_once(model, batch, samples.label[members], choice.training, samples.split.seed)
        return cls(model, scaling, torch.device("cpu"))

    def _batches(self, samples: Samples, members: NDArray[np.int64]) -> Iterator[Minibatch]:
        model = self.model
        context = any(f.size > model.inputs[name].ratio.finer for name, f in model.footprints.items())
        return batches(samples.chips, members, self.normalisation, PATCHES if context else PIXELS)

    def probabilities(self, samples: Samples, members: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the class probabilities (M, K) of the samples `members`."""
        logits = logits_of(self.model, self._batches(samples, members), self.device)[0]
        return torch.softmax(logits, 1).numpy()

    def means(self, samples: Samples, unit: NDArray[np.int64]) -> Tensor:
        """Return the mean features (P, D) of the samples of each polygon; `unit` (N,) numbers the polygons from 0."""
        total: Tensor | None = None
        with torch.inference_mode():
            for batch in self._batches(samples, np.arange(len(unit))):
                features = self._features(batch)
                if total is None:
                    total = torch.zeros(int(unit.max()) + 1, features.shape[1])
                total.index_add_(0, torch.from_numpy(unit[batch.members]), features)
        assert total is not None
        return total / torch.from_numpy(np.bincount(unit))[:, None]

    def _features(self, batch: Minibatch) -> Tensor:
        model = self.model
        if model.abilities.encoder:
            return model.fused(moved(batch.inputs, self.device))[:, :, 0, 0].float().cpu()
        return features_of(batch.inputs, model.inputs, model.footprints, (1, 1), model.any_source)


def _components(features: Tensor, known: NDArray[np.int64]) -> Tensor:
    """Return the first principal components (P, C) of features (P, D), scaled by the polygons `known`."""
    among = torch.from_numpy(known[:: max(1, len(known) // AMONG)])
    some = features[among]
    scaled = (features - some.mean(0)) / some.std(0).nan_to_num(1).clamp_min(1e-6)
    rank = min(COMPONENTS, *some.shape)
    axes = torch.linalg.svd(scaled[among], full_matrices=False)[2]
    components: Tensor = scaled @ axes[:rank].T
    return components


def _nearest(
    points: Tensor, label: NDArray[np.int64], tested: NDArray[np.int64], classes: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return, for the polygons `tested`, the shares of the classes among the nearest others, and the distance to their class."""
    others = np.delete(np.arange(len(label)), tested)
    if len(others) > AMONG:
        others = np.sort(np.random.default_rng(seed).choice(others, AMONG, replace=False))
    near, k = points[torch.from_numpy(others)], min(NEIGHBOURS, len(others))
    of_class = torch.nn.functional.one_hot(torch.from_numpy(label[others]), classes).float()
    shares, distances = [], []
    for part in np.array_split(tested, max(1, len(tested) // ROWS)):
        far = torch.cdist(points[torch.from_numpy(part)], near)
        nearest, which = far.topk(k, largest=False)
        weight = 1 / (nearest + 0.1 * nearest.mean(1, keepdim=True) + 1e-6)
        found = (of_class[which] * weight[:, :, None]).sum(1)
        shares.append((found / found.sum(1, keepdim=True)).numpy())
        same = torch.from_numpy(label[part][:, None] == label[others][None])
        own = far.masked_fill(~same, torch.inf).amin(1)
        distances.append(own.masked_fill(torch.isinf(own), torch.nan).numpy())
    return np.concatenate(shares), np.concatenate(distances)
