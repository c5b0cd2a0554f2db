"""Self-supervised pretraining: unlabelled imagery → initial weights, by reconstruction of masked values.

The result is a folder ``pretrained/``. ``pretrained.json`` describes the encoder and the scaling of its bands,
``weights.safetensors`` contains its weights. A training that starts from these weights uses the same scaling.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from bocage.disk import digest, digest_of
from bocage.errors import TrainedError
from bocage.layout import ModelLayout, RunLayout
from bocage.machine import versions
from bocage.models import InputSpec, Network
from bocage.models.reconstruction import reconstruction
from bocage.progress import QUIET, Progress
from bocage.ranges import SEED, Range, check_ranges
from bocage.samples import Chips, Draw
from bocage.scene import Scene
from bocage.training.choice import Choice
from bocage.training.curves import write_curves
from bocage.training.loop import Task, fit
from bocage.training.records import SourceRecord, input_specs, record_of, source_records
from bocage.training.scaling import Normalisation
from bocage.training.settings import Training
from bocage.training.trained import bytes_of, check_finite, check_folder, other_units, remedy_of_grid, write_folder

FORMAT = 2
CHANGES = ("jitter", "date_dropout", "cutoff", "clip")
"""Settings of ``[training]`` that a pretraining uses as they are, beside the scaling and the augmentation."""


@dataclass(frozen=True)
class Pretraining:
    """Settings of a pretraining."""

    pixels: Annotated[int, Range(256, 1e9)] = 16_384
    """Number of pixels drawn from the scene, at least 256."""
    epochs: Annotated[int, Range(1, 100_000)] = 20
    """Number of epochs, at least 1."""
    batch_size: Annotated[int, Range(1, 1_000_000)] = 256
    """Number of pixels per optimiser step, at least 1."""
    learning_rate: Annotated[float, Range(0, 10, above=True)] = 2e-3
    """Maximum learning rate of the one-cycle schedule, above 0."""
    seed: Annotated[int, SEED] = 0
    """Seed of the weights, the pixels and the masks."""

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True)
class Pretrained:
    """Pretrained weights of an encoder, and the description of its inputs."""

    name: str
    """Name of the network on the shelf ``MODELS``."""
    config: Mapping[str, Any]
    """Settings of the network."""
    sources: Mapping[str, SourceRecord]
    """Source → its description."""
    normalisation: Normalisation
    """Scaling of the bands."""
    weights: Mapping[str, Tensor]
    """Weights of the encoder, without the classification heads."""

    @cached_property
    def fingerprint(self) -> str:
        """Digest of weights and scaling."""
        return digest_of(digest(self.normalisation).encode(), *bytes_of(self.weights))

    @property
    def inputs(self) -> dict[str, InputSpec]:
        """Source → input specification of the encoder."""
        return {name: record.spec for name, record in self.sources.items()}

    def save(self, folder: Path) -> None:
        """Write the folder under a temporary name and rename it, so that it is either complete or absent."""
        sources = {name: record.as_dict() for name, record in self.sources.items()}
        document = {"format": FORMAT, "name": self.name, "config": self.config, "sources": sources}
        document |= {"normalisation": dataclasses.asdict(self.normalisation), "versions": versions()}
        model = ModelLayout(folder)
        write_folder(model, self.weights, model.pretrained, document)

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
            document = json.loads(model.pretrained.read_text(encoding="utf-8"))
            check_folder(model)
            sources = {name: record_of(entry) for name, entry in document["sources"].items()}
            weights = safetensors.torch.load_file(model.weights)
            check_finite(weights)
            scaling = Normalisation(**document["normalisation"])
            return cls(document["name"], document["config"], sources, scaling, weights)
        except FileNotFoundError as error:
            raise TrainedError(
                f"{error.filename or ModelLayout(folder).weights} is missing: {folder} was not written by 'bocage pretrain'. Run "
                "'bocage pretrain', or correct [training] pretrained."
            ) from error
        except Exception as error:  # damaged files raise errors of many types
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
            raise TrainedError(
                f"{folder} cannot be read as a pretrained encoder ({why}). Run 'bocage pretrain' again."
            ) from error

    def start(
        self, model: Network, name: str, scene: Scene, normalisation: Normalisation, progress: Progress
    ) -> Normalisation:
        """Load the weights into a network to be trained on `scene`, and return the scaling of its bands.

        Sources that were not pretrained start from random weights; a message names them.

        Raises
        ------
        TrainedError
            The weights are those of another network, of another size, or of other bands, units or days.
        """
        if odd := self._differences(model, name, scene):
            raise TrainedError(
                "The training cannot start from the pretrained encoder:"
                + "".join(f"\n  - {line}" for line in odd)
                + remedy_of_grid((self.sources[name], now) for name, now in self._now(model, scene).items())
                + "\nPretrain with this recipe (bocage pretrain), or remove the folder to start from random weights."
            )
        own = dict(model.state_dict())
        model.load_state_dict(own | {key: value for key, value in self.weights.items() if key in own})
        if fresh := [source for source in model.footprints if source not in self.inputs]:
            progress.say(f"Not pretrained, starting from random weights: {', '.join(fresh)}.")
        both = [n for n in normalisation.offset if n in self.inputs]
        offset, scale = ({n: getattr(self.normalisation, what)[n] for n in both} for what in ("offset", "scale"))
        return Normalisation(normalisation.kind, {**normalisation.offset, **offset}, {**normalisation.scale, **scale})

    def _now(self, model: Network, scene: Scene) -> dict[str, SourceRecord]:
        """Return the sources of the scene that were pretrained and that a network reads."""
        return source_records(scene, [source for source in model.inputs if source in self.inputs])

    def _differences(self, model: Network, name: str, scene: Scene) -> list[str]:
        if name != self.name:
            return [f"it is an encoder of the network '{self.name}', the recipe trains '{name}'"]
        inputs = model.inputs
        both = [source for source in inputs if source in self.inputs]
        if not both:
            return [f"it has the sources {', '.join(self.inputs)}, the recipe has {', '.join(inputs)}"]
        differences: list[str] = []
        for source, now in self._now(model, scene).items():
            then = self.sources[source]
            pairs = (
                ("bands", ", ".join(then.spec.bands), ", ".join(now.spec.bands)),
                ("ratio to the map", then.spec.ratio, now.spec.ratio),
                ("kind", _kind(then.spec), _kind(now.spec)),
                ("units", then.units, now.units),
                ("days", then.clock, now.clock),
            )
            differing = [
                f"source '{source}': pretrained with {item} {before}, found {after}"
                for item, before, after in pairs
                if before != after
            ]
            differences += differing or other_units(scene, source, self.normalisation)
        own = model.state_dict()
        other = [k for k, v in self.weights.items() if k in own and own[k].shape != v.shape]
        if other and not differences:
            differences.append(f"its settings differ: pretrained with {self.config} ({other[0]} has another size)")
        return differences


def _kind(spec: InputSpec) -> str:
    return "a series" if spec.dates > 1 else "an image"


def changes_of(training: Training) -> dict[str, Any]:
    """Return the settings of a training that change a pretraining and differ from their defaults."""
    default = Training()
    return {name: getattr(training, name) for name in CHANGES if getattr(training, name) != getattr(default, name)}


def pretrain(
    choice: Choice,
    scene: Scene,
    chips: Chips,
    settings: Pretraining,
    run: RunLayout,
    progress: Progress = QUIET,
) -> Pretrained:
    """Train the network to reconstruct masked values, and write ``pretrained/`` in the folder of a run.

    An interrupted pretraining resumes from its checkpoint in the folder.

    Parameters
    ----------
    choice
        The network. The training uses its device, scaling, augmentation and the settings of `CHANGES`; epochs, batch size and
        learning rate are those of `settings`.
    chips
        Pixels of the scene; all pixels are used, and labels are ignored.

    Raises
    ------
    ModelError
        The network has no encoder that can be trained without labels.
    TrainingError
        The loss or a gradient is NaN or infinite, or a checkpoint cannot be written.
    """
    torch.manual_seed(settings.seed)
    network = choice.network(input_specs(scene), 2)
    reconstructing = reconstruction(network)
    members = np.arange(len(chips))
    normalisation = Normalisation.of(chips.cuts, members, choice.training.scaling)
    nothing = members[:0]
    loop = dataclasses.replace(
        choice.training, epochs=settings.epochs, batch_size=settings.batch_size, learning_rate=settings.learning_rate,
        optimiser="adamw", weight_decay=2e-2, schedule="one-cycle", keep="last", samples_per_epoch=0, ema=0.0,
        class_weights="none", loss="cross-entropy", pretrained=None,
    )  # fmt: skip
    unlabelled = dataclasses.replace(chips, label=np.zeros(len(chips), np.int64))
    task = Task(
        f"pretraining {choice.name}", reconstructing, unlabelled, Draw(members, nothing, nothing), 1, normalisation, loop,
        settings.seed, run.own, network=digest(choice.name, choice.config),
    )  # fmt: skip
    state = fit(task, progress)
    write_curves(state.curves, state.best_epoch, run.pretraining_curves)
    weights = {
        key: value.detach().cpu().contiguous()
        for key, value in network.state_dict().items()
        if key.partition(".")[0] not in network.heads_of_labels
    }
    records = source_records(scene, network.footprints)
    encoder = Pretrained(choice.name, dataclasses.asdict(choice.config), records, normalisation, weights)
    encoder.save(run.pretrained.path)
    run.own.checkpoint.unlink(missing_ok=True)
    return encoder
