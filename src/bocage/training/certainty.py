"""How sure a network is of a scene, without labels: its confidence, and how often a part of the input gives the same class.

Both fall where the imagery differs from that of the training. The difference between the training scene and another scene is
then an estimate of the loss of accuracy, as the difference of confidences of Guillory et al. 2021 (arXiv 2107.03315). Agreement
is the counterpart, for one network, of the agreement between two networks (Jiang et al. 2022, arXiv 2106.13799): the network
classifies each pixel four times more, with a part of the dates, and in half of the cases one of the sources, hidden.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.layout import SplitLayout
from bocage.machine import device_of
from bocage.models import MODELS, Batch, SourceTensor, card_for
from bocage.progress import QUIET, Progress
from bocage.samples import Chips, Draw, Pixels, Samples
from bocage.samples.unlabelled import PLACES, cut_valid, scatter
from bocage.scene import Scene, Scenes
from bocage.training.augmentation import thinned
from bocage.training.batches import Ahead, Minibatch, batches, side_by_side
from bocage.training.loop import logits_of
from bocage.training.records import Certainties, Certainty
from bocage.training.trained import Trained

MOST = 0.5
"""Largest share of the dates of a series that is hidden, and probability that one of the sources is hidden."""
SIZE = 256
"""Number of pixels classified at a time."""
VIEWS = 4
"""Number of times that each pixel is classified with another part of its input hidden."""
ALL_PARTS = 3
"""Number of sources up to which the training scene is described without each part of them; beyond, without each single one."""
PIXELS, SIDE, FEWEST = 2048, 4, 16
"""Pixels drawn from the training scene, side of their squares, and fewest pixels that describe a scene."""


def certainty_of(
    trained: Trained, chips: Chips, members: NDArray[np.int64], device: str, seed: int = 0, absent: Sequence[str] = ()
) -> Certainty | None:
    """Return how sure a network is of some pixels; None for fewer than ``FEWEST``.

    Parameters
    ----------
    trained
        The network, for the scene of the pixels (:meth:`Trained.for_scene`).
    members : (N,) positions of the pixels in `chips`, whose polygons are the units of the standard errors
    absent
        Sources to leave out, as if the scene lacked them; not all that it has.
    """
    if len(members) < FEWEST:
        return None

    trained = replace(trained, absent=trained.absent.union(absent))

    def seen(batch: Batch) -> Batch:
        return {name: tensor for name, tensor in batch.items() if name not in trained.absent}

    whole = _classified(trained, chips, members, device, seen)
    classes, generator = whole.argmax(1), np.random.default_rng(seed)
    agrees = torch.zeros(len(members))
    for _ in range(VIEWS):
        part = _classified(
            trained, chips, members, device, lambda batch: partly_hidden(seen(batch), trained.any_source, generator)
        )
        agrees += part.argmax(1) == classes
    found = Certainty.of(whole.max(1).values.numpy(), agrees.numpy() / VIEWS, chips.unit[members], FEWEST)
    if found is None:
        return None
    names, present = _present(trained, chips, members)
    return replace(found, absent=tuple(sorted(trained.absent)), lacking=_lacking(names, present))


def drawn(scene: Scene, seed: int) -> Pixels:
    """Return the pixels that describe a scene: ``PIXELS`` of them, in squares, and in ``PLACES`` cells of a large scene."""
    return scatter(scene, PIXELS, seed, side=SIDE, places=PLACES)


def certainties_at(
    trained: Trained, scene: Scene, pixels: Pixels, folder: Path, device: str, progress: Progress = QUIET
) -> list[Certainty]:
    """Return how sure a network is of the valid ones of some pixels of a scene; none for fewer than ``FEWEST``.

    The first is with all sources of the scene, the others as if some were missing. Footprints are cut in `folder`, and removed.
    """
    with cut_valid(scene, pixels, trained, folder, progress) as chips:
        return _of_every_part(trained, chips, np.arange(len(chips.label)), device)


def _of_every_part(trained: Trained, chips: Chips, members: NDArray[np.int64], device: str) -> list[Certainty]:
    """Return how sure a network is of some pixels: of all as they are, then without each part of the sources.

    A part is left out of ``PIXELS`` of the pixels that have all other sources, so that all these have the same ones.
    """
    whole = certainty_of(trained, chips, members, device)
    if not whole or not trained.any_source:
        return [whole] if whole else []
    names, present = _present(trained, chips, members)
    own = [name for name in names if name in trained.footprints]
    most = len(own) - 1 if len(own) <= ALL_PARTS else 1
    first = 0 if len(whole.lacking) > 1 else 1  # where pixels differ in their sources, those with all are seen apart
    found: list[Certainty | None] = [whole]
    for part in (part for count in range(first, most + 1) for part in combinations(own, count)):
        kept = [names.index(name) for name in own if name not in part]
        some = np.random.default_rng(0).permutation(members[present[:, kept].all(1)])[:PIXELS]
        found.append(certainty_of(trained, chips, np.sort(some), device, absent=part))
    return [one for one in found if one]


def _present(trained: Trained, chips: Chips, members: NDArray[np.int64]) -> tuple[list[str], NDArray[np.bool_]]:
    """Return the sources of a network, in alphabetical order, and whether each pixel has a value of each, (N, sources)."""
    names, found = sorted(trained.sources), []
    for one in batches(chips, members, trained.normalisation, SIZE):
        valid = {name: tensor.valid.flatten(1).any(1).numpy() for name, tensor in one.inputs.items()}
        nothing = np.zeros(len(next(iter(valid.values()))), bool)
        found.append(np.stack([nothing if name in trained.absent else valid.get(name, nothing) for name in names], 1))
    return names, np.concatenate(found)


def _lacking(names: list[str], present: NDArray[np.bool_]) -> dict[str, float]:
    """Return sources that pixels lack → share of the pixels; `present` (N, sources)."""
    rows, count = np.unique(present, axis=0, return_counts=True)
    sets = (",".join(name for name, has in zip(names, row, strict=True) if not has) for row in rows)
    return {key: float(n / len(present)) for key, n in zip(sets, count, strict=True)}


def _classified(
    trained: Trained, chips: Chips, members: NDArray[np.int64], device: str, change: Callable[[Batch], Batch]
) -> Tensor:
    """Return the calibrated probabilities (N, K) of pixels, whose inputs are changed."""
    where = device_of(device)
    model = trained.model.to(where).eval()
    made = (replace(one, inputs=change(one.inputs)) for one in batches(chips, members, trained.normalisation, SIZE))

    def logits(one: Minibatch) -> Tensor:
        return logits_of(lambda batch: trained.scaled(model(batch).float(), batch), iter([one]), where)[0]

    found = torch.cat(list(side_by_side(logits, Ahead(made), where)))
    trained.model.cpu()
    return torch.softmax(found, 1)


def partly_hidden(batch: Batch, any_source: bool, generator: np.random.Generator) -> Batch:
    """Return a batch with up to half of the dates of each series hidden and, in half of the pixels, one source.

    A source is hidden only from a network that tolerates missing sources, and not where it is the only valid one.
    """
    result = {
        name: thinned(tensor, MOST, generator) if tensor.days.shape[1] > 1 else tensor for name, tensor in batch.items()
    }
    names = list(result)
    if not any_source or len(names) < 2:
        return result
    seen = torch.stack([tensor.valid.flatten(1).any(1) for tensor in result.values()], 1)
    count = len(seen)
    chosen = torch.from_numpy(generator.integers(len(names), size=count))
    hide = torch.from_numpy(generator.random(count) < MOST)
    others = seen.sum(1) - seen[torch.arange(count), chosen].long()
    hide &= others > 0
    return {name: _without(tensor, hide & (chosen == i)) for i, (name, tensor) in enumerate(result.items())}


def _without(tensor: SourceTensor, hidden: Tensor) -> SourceTensor:
    """Return the tensor of a source with all dates of the samples `hidden` (B,) masked."""
    return replace(tensor, valid=tensor.valid & ~hidden[:, None, None, None])


@dataclass(frozen=True)
class Home:
    """A trained network, and the samples of its training."""

    trained: Trained
    samples: Samples
    draw: Draw
    where: SplitLayout
    device: str

    def certainties(self, scene: Scene | Scenes, seed: int) -> Certainties | None:
        """Return how sure the network is of the scenes of its training; None if too few of their pixels did not train.

        The pixels are drawn from the scene, without those of the training and validation polygons. Of a table, they are the
        samples of the test part. Their labels are not read.
        """
        known: dict[str, list[Certainty]] = {}
        left_out: dict[str, Certainty] = {}
        for name, one in scene.by_site.items() if isinstance(scene, Scenes) else (("", scene),):
            found = self._at(one, name, seed)
            if found and self._here(self.draw.train, name).any():
                known[name] = found
            elif found:
                left_out[name] = found[0]
        if not known:
            return None
        parts = dict.fromkeys(part.absent for found in known.values() for part in found[1:])
        partial = tuple(
            {name: part for name, found in known.items() for part in found[1:] if part.absent == absent}
            for absent in parts
        )
        return Certainties({name: found[0] for name, found in known.items()}, left_out, partial)

    def _here(self, members: NDArray[np.int64], site: str) -> NDArray[np.bool_]:
        """Return whether samples are at a site; all are at the only one."""
        samples = self.samples
        return np.ones(len(members), bool) if samples.site is None else samples.at(site)[members]

    def _at(self, scene: Scene, site: str, seed: int) -> list[Certainty]:
        trained, samples = self.trained.for_scene(scene), self.samples
        if card_for(MODELS.get(trained.name), trained.config).windows:
            return []  # the halo of single pixels is many times larger than the windows of the training
        if scene.ids is not None:
            return _of_every_part(trained, samples.chips, self.draw.test, self.device)
        used = self.draw.whole.train
        used, width = used[self._here(used, site)], scene.grid.shape[1]
        pixels = drawn(scene, seed)
        learnt = samples.row[used].astype(np.int64) * width + samples.column[used]
        free = pixels.take(np.flatnonzero(~np.isin(pixels.row.astype(np.int64) * width + pixels.column, learnt)))
        if len(free) < FEWEST:
            return []
        return certainties_at(trained, scene, free, self.where.unlabelled, self.device)
