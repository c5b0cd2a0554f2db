"""Calibration of a trained model on held-out samples: temperatures of the confidences, and polygons for prediction sets."""

import json
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.conformal import Conformal
from bocage.disk import artefact
from bocage.layout import ModelLayout
from bocage.machine import device_of
from bocage.models import Batch, Network
from bocage.models.base import seen_by
from bocage.samples import Chips
from bocage.training.batches import at_a_time, batches
from bocage.training.calibration import Calibration, calibrate, mixtures
from bocage.training.cutoffs import season_of
from bocage.training.loop import answering, logits_of
from bocage.training.settings import Training
from bocage.training.sites import with_a_source
from bocage.training.trained import Trained

SIZE = 256
"""Number of samples classified at a time."""


@dataclass(frozen=True)
class HeldOut:
    """Samples, and models that were not trained on them."""

    trained: Trained
    """Model to calibrate."""
    chips: Chips
    parts: Sequence[tuple[Callable[[Batch], Tensor], NDArray[np.int64]]]
    """Networks, each with samples that it was not trained on."""
    device: torch.device

    @classmethod
    def of(
        cls, trained: Trained, chips: Chips, parts: Sequence[tuple[Network, NDArray[np.int64]]], settings: Training
    ) -> "HeldOut":
        """Return at most as many samples as the training loop evaluates, and one of every polygon that has none of them."""
        total, most = sum(len(members) for _, members in parts), settings.validation_samples
        device, generator = device_of(settings.device), np.random.default_rng(0)
        used: list[tuple[Callable[[Batch], Tensor], NDArray[np.int64]]] = []
        for model, members in parts if total else ():
            share = min(len(members), math.ceil(most * len(members) / total)) if most else len(members)
            chosen = generator.choice(members, share, replace=False)
            alone = _one_each(members[~np.isin(chips.unit[members], chips.unit[chosen])], chips, generator)
            used.append((answering(model.to(device).eval(), chips), np.sort(np.concatenate([chosen, alone]))))
        return cls(trained, chips, used, device)

    def outputs(
        self, hidden: Collection[str] = (), complete: bool = False
    ) -> tuple[Tensor, Tensor, NDArray[Any]] | None:
        """Return logits (N, K), labels (N,) and polygons (N,), with the sources `hidden` masked; None without a sample.

        `complete`: only samples with a valid date of all other sources, if there are any.
        """
        found = []
        for network, held in self.parts:
            members = with_a_source(held, self.chips, hidden)
            members = self._complete(members, hidden) if complete else members
            size = at_a_time(self.chips, SIZE)
            made = (batch.without(hidden) for batch in batches(self.chips, members, self.trained.normalisation, size))
            if len(members):
                found.append((*logits_of(network, made, self.device), self.chips.unit[members]))
        if not found:
            return None
        logits, labels, polygons = zip(*found, strict=True)
        return torch.cat(logits), torch.cat(labels), np.concatenate(polygons)

    def calibration(self, hidden: Collection[str] = ()) -> Calibration:
        """Return the temperature of pixels without the sources `hidden` and with all others."""
        found = self.outputs(hidden, complete=True)
        return calibrate(*found) if found else Calibration()

    def _complete(self, members: NDArray[np.int64], hidden: Collection[str]) -> NDArray[np.int64]:
        """Return the samples that have a valid date of all sources but those in `hidden`; all samples if none has."""
        trained, chips = self.trained, self.chips
        if not trained.any_source or chips.site is not None or chips.windows is not None:
            return members
        whole = [np.zeros(0, bool)]
        for batch in batches(chips, members, trained.normalisation, at_a_time(chips, SIZE)):
            seen = seen_by(batch.inputs, trained.footprints, trained.inputs, (1, 1))
            whole.append(
                torch.stack([there for name, there in seen.items() if name not in hidden]).all(0)[:, 0, 0].numpy()
            )
        chosen = members[np.concatenate(whole)]
        return chosen if len(chosen) else members

    def scaled_by(self, trained: Trained) -> "HeldOut":
        """Return the samples with networks whose logits are divided by the temperatures of `trained`."""

        def scaled(network: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
            return trained.scaled(network(batch).float(), batch)

        return replace(self, parts=[(partial(scaled, network), members) for network, members in self.parts])


def _one_each(members: NDArray[np.int64], chips: Chips, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return a random sample of each polygon: without the small polygons, the others would not be a random part."""
    order = generator.permutation(members)
    return np.asarray(order[np.unique(chips.unit[order], return_index=True)[1]])


def calibrated(
    trained: Trained, chips: Chips, parts: Sequence[tuple[Network, NDArray[np.int64]]], settings: Training
) -> Trained:
    """Return the model with temperatures and with the polygons for prediction sets, both from held-out samples.

    Without samples, it is not calibrated. The temperatures are few numbers from the same polygons: what this changes of the
    promise of the sets is measured on the test polygons.
    """
    held = HeldOut.of(trained, chips, parts, settings)
    found = held.outputs()
    if found is None:
        return trained
    logits, labels, polygon = found
    calibration = held.calibration()
    if trained.any_source:
        names = list(trained.footprints)
        mixed = {"+".join(seen): held.calibration(set(names) - set(seen)).temperature for seen in mixtures(names)}
        calibration = replace(calibration, partial=mixed)
    if settings.cutoff and chips.site is None:
        used = [(network, members) for (network, _), (_, members) in zip(parts, held.parts, strict=True)]
        calibration = replace(calibration, season=season_of(trained, chips, used, settings.device))
    result = replace(trained, calibration=calibration)
    logits = logits / calibration.temperature
    if (
        calibration.partial or calibration.season
    ):  # the temperature of a pixel is that of its sources and of its last date
        logits, labels, polygon = held.scaled_by(result).outputs() or (logits, labels, polygon)
    trained.model.cpu()
    return replace(result, conformal=Conformal.of(torch.softmax(logits, 1).numpy(), labels.numpy(), polygon))


def read_conformal(model: ModelLayout) -> Conformal | None:
    """Return the polygons for prediction sets in a model folder, without reading the network; None if it has none.

    Raises
    ------
    RunFolderError
        The description of the model is missing or damaged.
    """
    with artefact(model.description):
        record = json.loads(model.description.read_text(encoding="utf-8"))
        held = record.get("conformal")
        return Conformal.from_dict(held, len(record["legend"])) if held else None
