"""Whether a network may compute in bfloat16: its classes on validation samples, beside those in float32."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bocage.disk import write_json
from bocage.layout import ModelLayout
from bocage.machine import device_of
from bocage.samples import Chips
from bocage.training.batches import batches
from bocage.training.loop import logits_of
from bocage.training.trained import Trained

MOST = 2048
"""Validation samples looked at."""
LOSS, SAME = 0.005, 0.98
"""Accuracy that may be lost, and share of samples that must keep their class."""
INSTRUCTIONS = ("avx512_bf16", "amx_bf16")
"""What PyTorch calls those of x86 processors for bfloat16; others have them, or are not known to lack them."""
WITHOUT = ("AVX2", "NO AVX")
"""What it calls processors that surely have none."""


def imitates_bfloat16(device: str) -> bool:
    """Whether the device has no instructions for bfloat16: it computes faster in float32."""
    if device_of(device).type != "cpu":
        return False
    if not hasattr(torch.cpu, "get_capabilities"):  # PyTorch of before 2.11
        return torch.backends.cpu.get_cpu_capability() in WITHOUT
    has = torch.cpu.get_capabilities()
    return has["architecture"] == "x86_64" and not any(has.get(name) for name in INSTRUCTIONS)


@dataclass(frozen=True)
class Reduced:
    """What bfloat16 changes on validation samples."""

    samples: int
    accuracy: float
    """In float32."""
    reduced_accuracy: float
    """In bfloat16."""
    same: float
    """Share of the samples that keep their class."""

    @property
    def is_harmless(self) -> bool:
        """Whether next to nothing changes."""
        return self.samples > 0 and self.same >= SAME and self.reduced_accuracy >= self.accuracy - LOSS

    def __str__(self) -> str:
        return (
            f"{self.same:.1%} of {self.samples} validation samples keep their class, accuracy {self.accuracy:.3f} in float32 and "
            f"{self.reduced_accuracy:.3f} in bfloat16"
        )

    def save(self, folder: Path) -> None:
        """Write it into a model folder."""
        write_json(ModelLayout(folder).precision, asdict(self), None)

    @classmethod
    def load(cls, folder: Path) -> "Reduced | None":
        """Read what was written into a model folder; None where nothing was."""
        path = ModelLayout(folder).precision
        return cls(**json.loads(path.read_text())) if path.exists() else None


def check_bfloat16(trained: Trained, chips: Chips, members: NDArray[np.int64], device: str) -> Reduced:
    """Classify some of the samples `members` in both precisions."""
    if len(members) > MOST:
        members = np.sort(np.random.default_rng(0).choice(members, MOST, replace=False))
    if not len(members):
        return Reduced(0, 0.0, 0.0, 0.0)
    place = device_of(device)
    model = trained.model.to(place).eval()
    found = {}
    for enabled in (False, True):
        made = batches(chips, members, trained.normalisation, 128)
        with torch.autocast(place.type, torch.bfloat16, enabled=enabled):
            logits, labels = logits_of(model, made, place)
        found[enabled] = logits.float().argmax(1)
    right = [float((found[enabled] == labels).float().mean()) for enabled in (False, True)]
    return Reduced(len(members), right[0], right[1], float((found[False] == found[True]).float().mean()))
