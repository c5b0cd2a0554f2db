"""What the recipe may say of a training."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Training:
    """Settings of the loop; models that are fitted in one go ignore them."""

    epochs: int = 100
    """Most passes over the training samples, at least 1."""
    patience: int = 15
    """Epochs without a better validation score after which training stops, at least 1."""
    batch_size: int = 64
    """Samples a step, at least 1."""
    learning_rate: float = 2e-4
    """Adam's step (the published value of all three papers), above 0."""
    weight_decay: float = 0.0
    """Adam's L2 penalty, at least 0."""
    samples_per_epoch: int = 0
    """Training samples drawn for each epoch, the same number from every class; 0 takes each sample once."""
    validation_samples: int = 4096
    """Most validation samples looked at after each epoch, drawn once for all epochs; 0 looks at all of them."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weights of the cross-entropy: none, or the inverse of each class's frequency."""
    augment: bool = True
    """Turn and mirror patches at random (no effect on a network whose footprint is one pixel)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train and map."""
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    """"auto" is bf16-mixed where the device has it, else 32-true."""

    def __post_init__(self) -> None:
        for field in ("epochs", "patience", "batch_size"):
            if getattr(self, field) < 1:
                raise ValueError(f"'{field}' is at least 1; found {getattr(self, field)}")
        if self.learning_rate <= 0:
            raise ValueError(f"'learning_rate' is above 0; found {self.learning_rate}")
        if min(self.samples_per_epoch, self.validation_samples, self.weight_decay) < 0:
            raise ValueError("'samples_per_epoch', 'validation_samples' and 'weight_decay' are at least 0")
