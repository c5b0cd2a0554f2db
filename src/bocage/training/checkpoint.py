"""Checkpoints: the state of a training on disk, from which the next epoch resumes.

The file is ``checkpoint.safetensors`` in the folder of the draw. It contains no state of a random generator, because every
epoch has its own seed. A checkpoint is written under a temporary name and renamed when it is complete. If the disk is
full, the previous checkpoint therefore remains valid.
"""

import json
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bocage.disk import digest_of, move, replacing
from bocage.errors import TrainingError
from bocage.layout import SplitLayout
from bocage.progress import Progress
from bocage.training.curves import Epoch
from bocage.training.trained import bytes_of


@dataclass
class State:
    """State of a training after an epoch, besides the network and the optimiser."""

    curves: list[Epoch] = field(default_factory=list)
    """Metrics of the completed epochs."""
    best: tuple[float, float] = (float("-inf"), float("-inf"))
    """Score of the best weights so far; higher is better."""
    best_epoch: int = 0
    """Epoch of the best weights, from 1; 0 before the first epoch."""
    kept: dict[str, Tensor] = field(default_factory=dict)
    """Best weights so far."""
    average: dict[str, Tensor] = field(default_factory=dict)
    """Moving average of the parameters; empty if ``ema`` is 0."""


def save(where: SplitLayout, identity: str, model: nn.Module, optimiser: Optimizer, state: State) -> None:
    """Write the checkpoint.

    Raises
    ------
    TrainingError
        The checkpoint cannot be written; the previous one is kept.
    """
    parts = {"model": model.state_dict(), "kept": state.kept, "average": state.average}
    for number, values in optimiser.state_dict()["state"].items():
        parts[f"optimiser.{number}"] = values
    tensors = {
        f"{part}/{k}": v.detach().cpu().contiguous() for part, values in parts.items() for k, v in values.items()
    }
    record = {
        "identity": identity,
        "tensors": digest_of(*bytes_of(tensors)),
        "curves": [astuple(epoch) for epoch in state.curves],
        "best": list(state.best),
        "best_epoch": state.best_epoch,
    }
    try:
        with replacing(where.checkpoint) as partial:
            # safetensors rejects tensors that share memory.
            clones = {k: v.clone() for k, v in tensors.items()}
            safetensors.torch.save_file(clones, partial, {"bocage": json.dumps(record)})
    except (OSError, safetensors.SafetensorError) as error:
        before = "The previous checkpoint is kept" if where.checkpoint.exists() else "There is no previous checkpoint"
        raise TrainingError(
            f"{where.path}: the checkpoint of epoch {len(state.curves)} cannot be written: {error}. {before}. Free disk space "
            "and run the same command again to resume."
        ) from error


def restore(
    where: SplitLayout, identity: str, model: nn.Module, optimiser: Optimizer, state: State, progress: Progress
) -> None:
    """Resume from the checkpoint if it exists; rename a checkpoint that is damaged or belongs to another training."""
    path = where.checkpoint
    if not path.exists():
        return
    try:
        with safetensors.safe_open(path, "pt") as file:
            record = json.loads(file.metadata()["bocage"])
            other = record["identity"] != identity
            tensors = {} if other else {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
            if not other and record["tensors"] != digest_of(*bytes_of(tensors)):
                raise ValueError("its values do not match their checksum")
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        _set_aside(path, progress, f"is damaged ({error})")
        return
    if other:
        _set_aside(path, progress, "belongs to another network, other settings or other samples")
        return
    parts: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = tensor
    model.load_state_dict(parts["model"])
    moments = {int(k.split(".")[1]): v for k, v in parts.items() if k.startswith("optimiser.")}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    state.curves = [Epoch(*values) for values in record["curves"]]
    state.best, state.best_epoch = (record["best"][0], record["best"][1]), record["best_epoch"]
    state.kept, state.average = parts.get("kept", {}), parts.get("average", {})
    progress.say(f"Training resumes after epoch {len(state.curves)}, from {path}.")


def _set_aside(path: Path, progress: Progress, problem: str) -> None:
    aside = path.with_name(f"other-{path.name}")
    with suppress(FileNotFoundError):  # another process of the same training has renamed it
        move(path, aside)
    progress.say(f"The checkpoint {path} {problem}. It is renamed to {aside.name}, and training starts from epoch 1.")
