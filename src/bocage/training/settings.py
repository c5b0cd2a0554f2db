"""Settings of a training: the section ``[training]`` of a recipe."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from bocage.models import MODELS, card_of
from bocage.ranges import SHARE, Range, check_ranges

PARTS, FEW = 5, 1000
"""Networks for the calibration of a training with cut-offs, and the number of training polygons from which one is enough."""

OF_EPOCHS = (
    "epochs", "steps", "patience", "batch_size", "optimiser", "learning_rate", "schedule", "weight_decay", "clip",
    "samples_per_epoch", "validation_samples", "loss", "label_smoothing", "augment", "jitter", "date_dropout", "ema",
    "calibration_folds",
)  # fmt: skip
"""Settings that a model without epochs does not use."""


@dataclass(frozen=True)
class Training:
    """Settings of the training loop.

    Models without epochs (random forest, boosted trees) use only `scaling`, `sites`, `keep`, `class_weights`, `cutoff`,
    `calibrate` and `device`. Other settings have no effect on them, which ``bocage check`` and the run report.
    """

    preset: Literal["bocage", "published"] = "bocage"
    """Source of the default values. "bocage": the defaults listed here, unless the network defines others (patchwork).
    "published": epochs, batch size, learning rate, weight decay, `keep`, scaling and class weights of the network's authors,
    with Adam at a constant learning rate and without augmentation. Values in the recipe take precedence."""
    epochs: Annotated[int, Range(1, 100_000)] = 100
    """Maximum number of epochs, at least 1."""
    steps: Annotated[tuple[int, int], Range(0, 1e9)] = (0, 0)
    """Minimum and maximum number of optimiser steps of a training; 0: no limit. If `epochs` epochs of the training samples have
    fewer or more steps, the number of epochs is changed, and `patience` in proportion. At least one epoch is trained."""
    patience: Annotated[int, Range(1, 1_000_000)] = 15
    """Number of epochs without a better validation score after which training stops, at least 1."""
    batch_size: Annotated[int, Range(1, 1_000_000)] = 64
    """Number of samples, or of windows, per optimiser step, at least 1. The default number of windows is 1, and 4 for `unet` and
    `utae`."""
    optimiser: Literal["adam", "adamw"] = "adam"
    """Adam (Kingma & Ba 2015), or AdamW with decoupled weight decay (Loshchilov & Hutter 2019)."""
    learning_rate: Annotated[float, Range(0, 10, above=True)] = 2e-4
    """Learning rate, above 0; the default is the published value of MultiResoLCC, M3Fusion and TWINNS."""
    schedule: Literal["constant", "cosine", "one-cycle"] = "constant"
    """Schedule of the learning rate. "cosine" decreases it to 0 over all `epochs`. "one-cycle" increases it to
    `learning_rate` during the first 30 % of the epochs, then decreases it to 0 (Smith & Topin 2019,
    doi:10.1117/12.2520589); weights are kept from the last 20 % of the epochs only."""
    weight_decay: Annotated[float, Range(0, 10)] = 0.0
    """L2 penalty of Adam, or weight decay of AdamW, at least 0."""
    clip: Annotated[float, Range(0, 1e6)] = 0.0
    """Maximum norm of the gradient (gradient clipping), at least 0; 0: no limit."""
    samples_per_epoch: Annotated[int, Range(0, 1e9)] = 0
    """Number of training samples drawn for each epoch, the same number for every class, at least 0; 0: every sample once.
    No effect on models without epochs."""
    window: Annotated[int, Range(0, 4096)] = 0
    """Side of the windows on which the network is trained, in map pixels, at least 0; 0: single footprints. A window of the map
    with training samples is one item of a batch; the loss is that of all its training samples (a dense loss; pixels without a
    label are left out). For references that are whole in places, such as a raster of labels, and for `unet` and `utae`, which
    are always trained on windows."""
    parcels: tuple[str, ...] = ()
    """Names of the classes, or of coarser classes, whose polygons are whole parcels. The network then also learns the extent of
    the parcels, their boundaries and the distance to them (Waldner & Diakogiannis 2020, doi:10.1016/j.rse.2020.111741), and the
    map has the layer "parcels", from which ``bocage segment`` delineates parcels. Polygons of the other classes show what is no
    parcel. It needs `window`. Empty: no parcels."""
    sites: Literal["balanced", "as is"] = "balanced"
    """Training samples of a recipe with several sites: "balanced" uses the same number from every site in each epoch, a random
    part of the samples of a large site and repetitions of those of a small one; "as is" uses every sample once."""
    validation_samples: Annotated[int, Range(0, 1e9)] = 4096
    """Maximum number of validation samples evaluated after each epoch, drawn once for all epochs, at least 0; 0: all."""
    keep: Literal["validation", "training", "last"] = "validation"
    """Epoch whose weights are kept: the best validation F-measure, the lowest training loss, or the last epoch. With
    "training" and "last", the validation polygons are used for training, without early stopping."""
    loss: Literal["cross-entropy", "focal", "logit-adjusted"] = "cross-entropy"
    """Loss of the class logits: cross-entropy; focal loss with gamma 2 (Lin et al. 2017, doi:10.1109/ICCV.2017.324), in which
    samples with a high probability of their class count less; or cross-entropy of logits to which the logarithm of the class
    frequencies of the training samples is added (logit adjustment with tau 1; Menon et al. 2021, arXiv 2007.07314), which
    favours rare classes in the map. No effect on models without epochs."""
    class_weights: Literal["none", "root", "balanced"] = "none"
    """Class weights of the loss, or of the samples of a random forest or boosted trees: none, or inversely proportional to the
    class frequency ("balanced") or to its square root ("root")."""
    label_smoothing: Annotated[float, SHARE] = 0.0
    """Share of each label that is distributed over the classes with training samples, in proportion to their weights (label
    smoothing), at least 0 and below 1. No effect on models without epochs."""
    scaling: Literal["mean-std", "min-max", "percentile"] = "mean-std"
    """Scaling of the bands, from the valid training pixels: to mean 0 and standard deviation 1, to 0 to 1 from minimum to
    maximum, or to 0 to 1 from the 2nd to the 98th percentile."""
    augment: bool = True
    """Random rotation and reflection of each patch (no effect on a network with a footprint of one pixel)."""
    jitter: Annotated[int, Range(0, 366)] = 0
    """Maximum random temporal shift of a series, earlier or later, in days, at least 0."""
    date_dropout: Annotated[float, SHARE] = 0.0
    """Maximum share of the dates of a series that are masked at random, at least 0 and below 1; the share of each sample is
    drawn between 0 and this value."""
    cutoff: Annotated[float, SHARE] = 0.0
    """Probability, at least 0 and below 1, that a training sample has no dates after a random day, the same for all its series.
    Such a model also maps a season that is not over (``bocage season``, ``bocage map --until``), if it takes any number of
    dates (patchwork, ltae, gru); models for a fixed number of dates (tempcnn, random_forest, lightgbm, ...) do not. The series
    need their acquisition dates: gap filling reads later dates."""
    ema: Annotated[float, SHARE] = 0.0
    """Decay of the exponential moving average of the weights, at least 0 and below 1. The average is validated and kept; 0:
    no average."""
    calibrate: bool = True
    """Calibrate the confidences by a temperature fitted on polygons that were not used for training. With `keep` = "training"
    or "last", a network is trained twice: first without the validation polygons, for the temperature, then on all polygons."""
    calibration_folds: Annotated[int, Range(0, 20)] = 0
    """Number of parts of the training polygons, each of which is held out from a further network for the calibration, with `keep`
    = "training" or "last". 1: one network, without the validation polygons. 0: 5 with `cutoff` and fewer than 1000 training
    polygons, whose confidences before the end of a season one fifth of them cannot calibrate; else 1."""
    pretrained: Path | None = None
    """Folder written by ``bocage pretrain`` with the initial weights; default: that of the run's folder, if it exists."""
    checkpoint: Annotated[float, Range(0, 1e9)] = 60.0
    """Minimum time between checkpoints, in seconds, at least 0; 0: a checkpoint after every epoch. An interrupted training
    resumes from its checkpoint."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device for training and mapping; "auto": CUDA, else MPS, else the CPU."""
    devices: Annotated[int, Range(1, 4096)] = 1
    """Number of devices that train together, each on a part of every batch, at least 1."""
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    """Numerical precision; "auto": bf16-mixed on CUDA devices that support it, else 32-true."""

    def __post_init__(self) -> None:
        check_ranges(self)
        least, most = self.steps
        if most and least > most:
            raise ValueError(f"'steps' must be a minimum and a maximum; found {least} and {most}")
        if self.parcels and not self.window:
            raise ValueError("'parcels' needs a training on windows: set 'window', for example 64")
        for key in ("samples_per_epoch", "cutoff"):
            if self.window and getattr(self, key):
                raise ValueError(
                    f"'window' trains on whole windows, for which '{key}' is not available: give one of them"
                )
        if self.loss == "logit-adjusted" and self.samples_per_epoch:
            raise ValueError(
                "'loss' = \"logit-adjusted\" corrects class frequencies, which 'samples_per_epoch' makes equal: give one of them"
            )

    def parts_to_calibrate(self, polygons: int) -> int:
        """Return the number of networks that are trained for the calibration, with a number of training polygons."""
        return self.calibration_folds or (PARTS if self.cutoff and polygons < FEW else 1)

    @property
    def stops_early(self) -> bool:
        """Whether training ends when validation no longer improves."""
        return self.keep == "validation"


def with_preset(model: str, said: dict[str, Any]) -> dict[str, Any]:
    """Return the section ``[training]`` of a recipe completed with the defaults of `model`, or with the published settings.

    Raises
    ------
    ValueError
        The preset is "published" and the model has no published training.
    """
    card = card_of(MODELS.get(model))
    if said.get("preset") != "published":
        # The limits of the steps belong to the default number of epochs. A number in the recipe is trained as it is.
        dropped = {"steps"} if "epochs" in said else set()
        # The default number of samples would be thousands of pixels each; a window has as many labels as a batch of samples.
        single = {"batch_size": 1} if said.get("window") and not card.windows else {}
        return {key: value for key, value in card.training.items() if key not in dropped} | single | said
    if card.published is None:
        raise ValueError(f"no published training is known for '{model}'; remove 'preset'")
    window = {key: value for key, value in card.training.items() if key == "window"}
    return asdict(card.published) | {"augment": False} | window | said
