"""Check whether a network can compute in bfloat16: compare its classes on validation samples with those in float32."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.disk import artefact, checksums_of, write_checksums, write_json
from bocage.layout import ModelLayout
from bocage.machine import device_of
from bocage.samples import Chips
from bocage.training.batches import at_a_time, batches
from bocage.training.loop import answering, logits_of
from bocage.training.trained import Trained

MOST = 2048
"""Maximum number of validation samples compared."""
LOSS, SAME = 0.005, 0.98
"""Maximum loss of accuracy, and minimum share of samples that keep their class."""
INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""PyTorch's names of the bfloat16 instruction sets of x86 processors. Other processors are assumed to support bfloat16."""
WITHOUT = ("AVX2", "NO AVX")
"""PyTorch's names of CPU capabilities without bfloat16 instructions."""


def imitates_bfloat16(device: str) -> bool:
    """Return whether the device is a CPU without bfloat16 instructions, on which float32 is faster."""
    if device_of(device).type != "cpu":
        return False
    if not hasattr(torch.cpu, "get_capabilities"):  # PyTorch before 2.11
        return torch.backends.cpu.get_cpu_capability() in WITHOUT
    has = torch.cpu.get_capabilities()
    return has["architecture"] == "x86_64" and not any(has.get(name) for name in INSTRUCTIONS)


@dataclass(frozen=True)
class Reduced:
    """Comparison of bfloat16 with float32 on validation samples."""

    samples: int
    """Number of samples."""
    accuracy: float
    """Accuracy in float32, 0 to 1."""
    reduced_accuracy: float
    """Accuracy in bfloat16, 0 to 1."""
    same: float
    """Share of the samples with the same class in both precisions, 0 to 1."""

    @property
    def is_harmless(self) -> bool:
        """Whether at least 98 % of the samples keep their class, and the accuracy decreases by at most 0.005."""
        return self.samples > 0 and self.same >= SAME and self.reduced_accuracy >= self.accuracy - LOSS

    def __str__(self) -> str:
        return (
            f"{self.same:.1%} of {self.samples} validation samples keep their class, accuracy {self.accuracy:.3f} in float32 and "
            f"{self.reduced_accuracy:.3f} in bfloat16"
        )

    def save(self, folder: Path) -> None:
        """Write the comparison to a model folder."""
        model = ModelLayout(folder)
        write_json(model.precision, asdict(self), None)
        write_checksums(model.checksums, checksums_of(model.files, folder))

    @classmethod
    def load(cls, folder: Path) -> "Reduced | None":
        """Read the comparison from a model folder; return None if it does not exist."""
        path = ModelLayout(folder).precision
        with artefact(path):
            return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def check_bfloat16(trained: Trained, chips: Chips, members: NDArray[np.int64], device: str) -> Reduced:
    """Classify up to 2048 of the samples `members` in both precisions, and return the comparison."""
    if len(members) > MOST:
        members = np.sort(np.random.default_rng(0).choice(members, MOST, replace=False))
    if not len(members):
        return Reduced(0, 0.0, 0.0, 0.0)
    place = device_of(device)
    model = trained.model.to(place).eval()
    classes = {}
    for enabled in (False, True):
        made = batches(chips, members, trained.normalisation, at_a_time(chips, 128))
        with torch.autocast(place.type, torch.bfloat16, enabled=enabled):
            logits, labels = logits_of(answering(model, chips), made, place)
        classes[enabled] = logits.float().argmax(1)
    right = [float((classes[enabled] == labels).float().mean()) for enabled in (False, True)]
    return Reduced(len(members), right[0], right[1], float((classes[False] == classes[True]).float().mean()))
