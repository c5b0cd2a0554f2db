"""Settings of the network ``multiresolcc``, and its card."""

from dataclasses import dataclass
from typing import Annotated, Literal

from bocage.grid import Ratio
from bocage.models.card import Card, InputSpec, Norm, Published
from bocage.ranges import SHARE, Range, check_ranges

PAN = InputSpec("pan", ("pan",), 1, Ratio())

MS = InputSpec("ms", ("blue", "green", "red", "nir"), 1, Ratio(coarser=4))

PUBLISHED = Published(epochs=250, batch_size=64, learning_rate=2e-4)

CARD = Card(
    paper="Gaetano, Ienco, Ose & Cresson 2018, doi:10.3390/rs10111746",
    takes="one PAN and one coarser MS image; the map is on the PAN grid",
    masks="replaces masked pixels by 0, the training mean",
    published=PUBLISHED,
    example={"pan": PAN, "ms": MS},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; the defaults are those of the authors' released code, except `norm`."""

    pan: str = "pan"
    """The panchromatic source (one band)."""
    ms: str = "ms"
    """The multispectral source, coarser than `pan` by a whole ratio."""
    use: Literal["both", "pan", "ms"] = "both"
    """Branches used; "pan" and "ms" are ablations."""
    patch: Annotated[int, Range(22, 512)] = 32
    """Side of a patch in PAN pixels; at least 22 and a multiple of the ratio."""
    pan_filters: Annotated[tuple[int, int, int], Range(1, 16_384)] = (128, 256, 512)
    """Filters of the PAN branch's convolutions."""
    ms_filters: Annotated[tuple[int, int, int], Range(1, 16_384)] = (256, 512, 1024)
    """Filters of the MS branch's convolutions."""
    pan_kernel: Annotated[int, Range(1, 99, odd=True)] = 3
    """Side of the first PAN kernel, odd."""
    dropout: Annotated[float, SHARE] = 0.4
    """Dropout rate of the features of each branch, from 0 to below 1."""
    norm: Norm = "batch"
    """Normalisation after each ReLU: "batch", "affine" (the authors' released code), "group" or "layer"."""

    def __post_init__(self) -> None:
        check_ranges(self)
