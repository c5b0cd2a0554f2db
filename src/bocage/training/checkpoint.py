"""Where a training stands, on disk: everything that the next epoch depends on.

One file: ``checkpoint.safetensors`` in the draw's folder. Nothing random is kept in it: every epoch draws from a seed of
its own, so that the next one is the same whoever runs it. Its name is given to a file that is complete, by one
rename: a disk that is full leaves the previous checkpoint as it was.
"""

import json
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor, nn
from torch.optim import Optimizer

from bocage.disk import move, replacing
from bocage.errors import TrainingError
from bocage.layout import SplitLayout
from bocage.progress import Progress
from bocage.training.curves import Epoch


@dataclass
class State:
    """What a training carries from epoch to epoch, beside network and optimiser."""

    curves: list[Epoch] = field(default_factory=list)
    best: tuple[float, float] = (float("-inf"), float("-inf"))
    """Score of the weights kept; greater is better."""
    best_epoch: int = 0
    kept: dict[str, Tensor] = field(default_factory=dict)
    """The weights kept."""
    average: dict[str, Tensor] = field(default_factory=dict)
    """Moving average of the parameters; empty where none is asked for."""


def save(where: SplitLayout, identity: str, model: nn.Module, optimiser: Optimizer, state: State) -> None:
    """Write the checkpoint.

    Raises
    ------
    TrainingError
        It cannot be written; the one before is kept.
    """
    parts = {"model": model.state_dict(), "kept": state.kept, "average": state.average}
    for number, values in optimiser.state_dict()["state"].items():
        parts[f"optimiser.{number}"] = values
    tensors = {
        f"{part}/{k}": v.detach().cpu().contiguous() for part, values in parts.items() for k, v in values.items()
    }
    said = {
        "identity": identity,
        "curves": [astuple(epoch) for epoch in state.curves],
        "best": list(state.best),
        "best_epoch": state.best_epoch,
    }
    try:
        with replacing(where.checkpoint) as partial:
            # One clone each: safetensors refuses tensors that share memory.
            clones = {k: v.clone() for k, v in tensors.items()}
            safetensors.torch.save_file(clones, partial, {"bocage": json.dumps(said)})
    except (OSError, safetensors.SafetensorError) as error:
        before = "The previous checkpoint is kept" if where.checkpoint.exists() else "There is no previous checkpoint"
        raise TrainingError(
            f"The checkpoint of epoch {len(state.curves)} cannot be written to {where.path}: {error}. {before}. Free some "
            "room and run the same command again: it resumes from there."
        ) from error


def restore(
    where: SplitLayout, identity: str, model: nn.Module, optimiser: Optimizer, state: State, progress: Progress
) -> None:
    """Go on from the checkpoint of this very training, if there is one; that of another is set aside."""
    path = where.checkpoint
    if not path.exists():
        return
    try:
        with safetensors.safe_open(path, "pt") as file:
            said = json.loads(file.metadata()["bocage"])
            other = said["identity"] != identity
            tensors = {} if other else {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, KeyError, TypeError, ValueError, safetensors.SafetensorError) as error:
        _set_aside(path, progress, f"is damaged ({error})")
        return
    if other:
        _set_aside(path, progress, "is that of another network, of other settings or of other samples")
        return
    parts: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        part, _, name = key.partition("/")
        parts.setdefault(part, {})[name] = tensor
    model.load_state_dict(parts["model"])
    moments = {int(k.split(".")[1]): v for k, v in parts.items() if k.startswith("optimiser.")}
    optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
    state.curves = [Epoch(*values) for values in said["curves"]]
    state.best, state.best_epoch = (said["best"][0], said["best"][1]), said["best_epoch"]
    state.kept, state.average = parts.get("kept", {}), parts.get("average", {})
    progress.say(f"Training goes on after epoch {len(state.curves)}, from {path}.")


def _set_aside(path: Path, progress: Progress, what: str) -> None:
    aside = path.with_name(f"other-{path.name}")
    move(path, aside)
    progress.say(f"The checkpoint {path} {what}: it is kept as {aside.name}, and training starts anew.")
