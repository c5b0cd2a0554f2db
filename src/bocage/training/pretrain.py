"""Imagery without labels → a network's first weights, by guessing what was hidden; and a training that starts from them.

A folder ``pretrained/``: ``pretrained.json`` says what the encoder is and how its bands were scaled, ``weights.safetensors``
holds its numbers. A training that starts there scales its bands alike.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from bocage.disk import digest, digest_of
from bocage.errors import TrainedError
from bocage.layout import ModelLayout, RunLayout
from bocage.machine import versions
from bocage.models import InputSpec, Network
from bocage.models.ranges import at_least
from bocage.models.reconstruction import reconstruction
from bocage.progress import QUIET, Progress
from bocage.samples import Chips, Draw
from bocage.scene import Scene
from bocage.training.choice import Choice
from bocage.training.curves import write_curves
from bocage.training.loop import Task, fit
from bocage.training.scaling import Normalisation
from bocage.training.trained import (
    SourceRecord,
    bytes_of,
    input_specs,
    other_units,
    record_of,
    source_records,
    write_folder,
)

FORMAT = 1


@dataclass(frozen=True)
class Pretraining:
    """Settings of a pretraining."""

    pixels: int = 16_384
    """Pixels drawn from the scene, at least 256."""
    epochs: int = 20
    """Passes over them, at least 1."""
    batch_size: int = 256
    """Pixels a step, at least 1."""
    learning_rate: float = 2e-3
    """Above 0."""
    seed: int = 0

    def __post_init__(self) -> None:
        at_least(self, pixels=256, epochs=1, batch_size=1)


@dataclass(frozen=True)
class Pretrained:
    """Weights to start from, and what they were made for."""

    name: str
    """The network, on the shelf ``MODELS``."""
    config: Mapping[str, Any]
    sources: Mapping[str, SourceRecord]
    normalisation: Normalisation
    weights: Mapping[str, Tensor]
    """Those of the encoder; heads that labels teach are not in it."""

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights and scaling."""
        return digest_of(digest(self.normalisation).encode(), *bytes_of(self.weights))

    @property
    def inputs(self) -> dict[str, InputSpec]:
        """What the encoder knows of its sources."""
        return {name: record.spec for name, record in self.sources.items()}

    def save(self, folder: Path) -> None:
        """Write the folder under a temporary name, then rename it: it is complete or absent."""
        sources = {name: dataclasses.asdict(record) for name, record in self.sources.items()}
        said = {"format": FORMAT, "name": self.name, "config": self.config, "sources": sources}
        said |= {"normalisation": dataclasses.asdict(self.normalisation), "versions": versions()}
        model = ModelLayout(folder)
        write_folder(model, self.weights, model.pretrained, said)

    @classmethod
    def load(cls, folder: Path) -> "Pretrained":
        """Read a folder written by :meth:`save`.

        Raises
        ------
        TrainedError
            A file is missing or damaged.
        """
        try:
            model = ModelLayout(folder)
            said = json.loads(model.pretrained.read_text())
            sources = {name: record_of(one) for name, one in said["sources"].items()}
            weights = safetensors.torch.load_file(model.weights)
            return cls(said["name"], said["config"], sources, Normalisation(**said["normalisation"]), weights)
        except FileNotFoundError as error:
            raise TrainedError(
                f"{error.filename} is missing: {folder} was not written by 'bocage pretrain'."
            ) from error
        except (KeyError, ValueError, TypeError, safetensors.SafetensorError) as error:
            raise TrainedError(f"{folder} cannot be read as a pretrained encoder: {error}.") from error

    def start(
        self, model: Network, name: str, scene: Scene, normalisation: Normalisation, progress: Progress
    ) -> Normalisation:
        """Put the weights into a network that learns from `scene`, and return how its bands are to be scaled.

        Sources that were not pretrained start from nothing, which is said.

        Raises
        ------
        TrainedError
            The weights are another network's, another size's, or those of other bands, units or days.
        """
        if odd := self._differences(model, name, scene):
            raise TrainedError(
                "The training cannot start from the pretrained encoder:"
                + "".join(f"\n  - {line}" for line in odd)
                + "\nPretrain with this recipe (bocage pretrain), or take the folder away to start from nothing."
            )
        own = dict(model.state_dict())
        model.load_state_dict(own | {key: value for key, value in self.weights.items() if key in own})
        if fresh := [source for source in model.footprints if source not in self.inputs]:
            progress.say(f"Not pretrained, starts from nothing: {', '.join(fresh)}.")
        both = [n for n in normalisation.offset if n in self.inputs]
        offset, scale = ({n: getattr(self.normalisation, what)[n] for n in both} for what in ("offset", "scale"))
        return Normalisation(normalisation.kind, {**normalisation.offset, **offset}, {**normalisation.scale, **scale})

    def _differences(self, model: Network, name: str, scene: Scene) -> list[str]:
        if name != self.name:
            return [f"it is of the network '{self.name}', the recipe trains '{name}'"]
        inputs = model.inputs
        both = [source for source in inputs if source in self.inputs]
        if not both:
            return [f"it knows the sources {', '.join(self.inputs)}, the recipe has {', '.join(inputs)}"]
        found: list[str] = []
        for source, now in source_records(scene, both).items():
            then = self.sources[source]
            pairs = (
                ("bands", ", ".join(then.spec.bands), ", ".join(now.spec.bands)),
                ("ratio to the map", then.spec.ratio, now.spec.ratio),
                ("kind", _kind(then.spec), _kind(now.spec)),
                ("units", then.units, now.units),
                ("days", then.clock, now.clock),
            )
            differing = [
                f"source '{source}': pretrained with {what} {was}, found {is_}"
                for what, was, is_ in pairs
                if was != is_
            ]
            found += differing or other_units(scene, source, self.normalisation)
        own = model.state_dict()
        other = [k for k, v in self.weights.items() if k in own and own[k].shape != v.shape]
        if other and not found:
            found.append(f"its settings are others: pretrained with {self.config} ({other[0]} has another size)")
        return found


def _kind(spec: InputSpec) -> str:
    return "a series" if spec.dates > 1 else "an image"


def pretrain(
    choice: Choice,
    scene: Scene,
    chips: Chips,
    settings: Pretraining,
    run: RunLayout,
    progress: Progress = QUIET,
) -> Pretrained:
    """Train the network to reconstruct what is hidden from it, and write ``pretrained/`` in the folder of a run.

    A pretraining that was killed resumes from its checkpoint in the folder.

    Parameters
    ----------
    choice
        The network; of its training, device, scaling and augmentation count.
    chips
        Pixels of the scene, all of them used; labels are not looked at.

    Raises
    ------
    ModelError
        The network has no encoder that could learn without labels.
    TrainingError
        The loss is no longer a number, or a checkpoint cannot be written.
    """
    torch.manual_seed(settings.seed)
    network = choice.network(input_specs(scene), 2)
    taught = reconstruction(network)
    members = np.arange(len(chips))
    normalisation = Normalisation.of(chips.cuts, members, choice.training.scaling)
    nothing = members[:0]
    loop = dataclasses.replace(
        choice.training, epochs=settings.epochs, batch_size=settings.batch_size, learning_rate=settings.learning_rate,
        optimiser="adamw", weight_decay=2e-2, schedule="one-cycle", keep="last", samples_per_epoch=0, ema=0.0,
        class_weights="none", pretrained=None,
    )  # fmt: skip
    unlabelled = dataclasses.replace(chips, label=np.zeros(len(chips), np.int64))
    task = Task(
        f"pretraining {choice.name}", taught, unlabelled, Draw(members, nothing, nothing), 1, normalisation, loop,
        settings.seed, run.own,
    )  # fmt: skip
    write_curves(fit(task, progress), run.pretraining_curves)
    weights = {
        key: value.detach().cpu().contiguous()
        for key, value in network.state_dict().items()
        if key.partition(".")[0] not in network.heads_of_labels
    }
    records = source_records(scene, network.footprints)
    made = Pretrained(choice.name, dataclasses.asdict(choice.config), records, normalisation, weights)
    made.save(run.pretrained.path)
    run.own.checkpoint.unlink(missing_ok=True)
    return made
