"""Settings of the network ``s1s2vhsr``, and its card."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from bocage.grid import Ratio
from bocage.models.card import Card, Norm, Published
from bocage.models.settings.gru import S2
from bocage.models.settings.multiresolcc import MS, PAN
from bocage.models.settings.twinns import S1
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="Gbodjo, Montet, Ienco, Gaetano & Dupuy 2021, doi:10.1109/JSTARS.2021.3119191",
    takes="two series (Sentinel-1; Sentinel-2 of 11 dates or more), PAN and MS images; any of the three encoders alone",
    masks="replaces masked dates and pixels by 0, the training mean",
    dense="patches",
    same_dates=True,
    published=Published(epochs=300, batch_size=256, learning_rate=1e-4, keep="validation"),
    example={
        "s1": S1,
        "s2": S2,
        "pan": replace(PAN, ratio=Ratio(finer=8)),
        "ms": replace(MS, ratio=Ratio(finer=2)),
    },
)


@dataclass(frozen=True)
class Config:
    """Settings of the network."""

    s1: str = "s1"
    """Name of the Sentinel-1 series; empty: no Sentinel-1 encoder."""
    s2: str = "s2"
    """Name of the Sentinel-2 series; empty: no Sentinel-2 encoder."""
    pan: str = "pan"
    """Name of the panchromatic source, 4 times finer than `ms`; empty: no encoder of PAN and MS."""
    ms: str = "ms"
    """Name of the multispectral source."""
    filters: Annotated[int, Range(1, 16_384)] = 128
    """Filters of the first layers; later layers have twice as many."""
    dense: Annotated[int, Range(1, 16_384)] = 512
    """Units of the two dense layers."""
    s1_patch: Annotated[int, Range(7, 511, odd=True)] = 9
    """Side of the Sentinel-1 patch in pixels, odd, at least 7 (unpublished)."""
    auxiliary: Annotated[float, Range(0, 100)] = 0.3
    """Weight of the loss of each encoder's own classifier, at least 0; 0: no such classifiers."""
    targets: Literal["fused", "labels"] = "fused"
    """Targets of these classifiers: the fused probabilities (self-distillation; as in the released code, the gradient also
    reaches the fused classifier), or the labels."""
    dropout: Annotated[float, SHARE] = 0.5
    """Dropout rate after each layer, from 0 to below 1."""
    norm: Norm = "batch"
    """Normalisation after each ReLU: "batch", "affine" (the released code), "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if not (self.s1 or self.s2 or self.pan):
            raise ValueError("name at least one of 's1', 's2' and 'pan'")
