"""What the recipe may say of a training."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from bocage.models import MODELS, card_of
from bocage.models.ranges import at_least, shares


@dataclass(frozen=True)
class Training:
    """Settings of the loop; models that are fitted in one go use `scaling`, `keep` and `calibrate` only."""

    preset: Literal["bocage", "published"] = "bocage"
    """"bocage" takes what is said here, but where a network has settings of its own (patchwork). "published" takes epochs,
    batch size, rate, weight decay, `keep`, scaling and class weights from the network's authors: Adam at a constant rate, no
    augmentation. What the recipe sets comes first."""
    epochs: int = 100
    """Most passes over the training samples, at least 1."""
    patience: int = 15
    """Epochs without a better validation score after which training stops, at least 1."""
    batch_size: int = 64
    """Samples a step, at least 1."""
    optimiser: Literal["adam", "adamw"] = "adam"
    """Adam (Kingma & Ba 2015), or AdamW, whose weight decay is decoupled (Loshchilov & Hutter 2019)."""
    learning_rate: float = 2e-4
    """The optimiser's step (the published value of all three papers), above 0."""
    schedule: Literal["constant", "cosine", "one-cycle"] = "constant"
    """The step stays, or falls to 0 by a cosine over all `epochs`; "one-cycle" rises to it first, over 3 tenths of them
    (Smith & Topin 2019, doi:10.1117/12.2520589), and weights are kept from its last fifth only."""
    weight_decay: float = 0.0
    """L2 penalty of Adam, decay of AdamW, at least 0."""
    clip: float = 0.0
    """Largest norm of the gradient, to which longer ones are cut; 0 for no limit."""
    samples_per_epoch: int = 0
    """Training samples drawn for each epoch, the same number from every class; 0 takes each sample once."""
    validation_samples: int = 4096
    """Most validation samples looked at after each epoch, drawn once for all epochs; 0 looks at all of them."""
    keep: Literal["validation", "training", "last"] = "validation"
    """Weights kept: those of the best validation F-measure, those of the lowest training loss, or the last. With the
    latter two no polygon is set aside for validation, training never stops early, and nothing is calibrated."""
    class_weights: Literal["none", "balanced"] = "none"
    """Weights of the cross-entropy: none, or the inverse of each class's frequency."""
    label_smoothing: float = 0.0
    """Share of each label given to all classes alike, 0 to 1."""
    scaling: Literal["mean-std", "min-max", "percentile"] = "mean-std"
    """How bands are scaled, on valid training pixels: mean 0 and deviation 1, 0 to 1, or 2nd to 98th percentile on 0 to 1."""
    augment: bool = True
    """Turn and mirror patches, each at random (no effect on a network whose footprint is one pixel)."""
    jitter: int = 0
    """Most days by which the season of a series is moved at random, at least 0."""
    date_dropout: float = 0.0
    """Most of a series' dates hidden at random: each sample loses a share between 0 and this; 0 to 1."""
    ema: float = 0.0
    """Decay of the moving average of the weights that is validated and kept, 0 to 1; 0 keeps the weights themselves."""
    calibrate: bool = True
    """Fit a temperature to the confidences, on validation polygons."""
    pretrained: Path | None = None
    """Folder that ``bocage pretrain`` wrote, from which the network starts; by default the run's own, if there is one."""
    checkpoint: float = 60.0
    """Least seconds between checkpoints, from which a killed training goes on; 0 writes one after every epoch."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train and map."""
    devices: int = 1
    """How many of them train together, each on its share of every batch, at least 1."""
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    """"auto" is bf16-mixed where the device has it, else 32-true."""

    def __post_init__(self) -> None:
        at_least(self, epochs=1, patience=1, batch_size=1, devices=1, samples_per_epoch=0, validation_samples=0)
        at_least(self, weight_decay=0, clip=0, jitter=0, checkpoint=0)
        if self.learning_rate <= 0:
            raise ValueError(f"'learning_rate' is above 0; found {self.learning_rate}")
        shares(self, "label_smoothing", "date_dropout", "ema")

    @property
    def stops_early(self) -> bool:
        """Whether training ends when validation no longer improves."""
        return self.keep == "validation"


def with_preset(model: str, said: dict[str, Any]) -> dict[str, Any]:
    """Complete a recipe's section by what suits `model`, or by what its authors used where it asks for their preset.

    Raises
    ------
    ValueError
        No training of this model is published.
    """
    card = card_of(MODELS.get(model))
    if said.get("preset") != "published":
        return dict(card.training) | said
    if card.published is None:
        raise ValueError(f"no published training is known for '{model}'; leave 'preset' out")
    return asdict(card.published) | {"augment": False} | said
