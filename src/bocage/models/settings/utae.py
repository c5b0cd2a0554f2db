"""Settings of the network ``utae``, and its card."""

from dataclasses import dataclass
from typing import Annotated

from bocage.models.card import Card, Norm, Published
from bocage.models.settings.gru import S2
from bocage.models.settings.unet import OF_WINDOWS
from bocage.ranges import SHARE, Range, check_ranges

CARD = Card(
    paper="Garnot & Landrieu 2021, doi:10.1109/ICCV48922.2021.00483",
    takes="one series, native or gap-filled dates",
    masks="masked dates get attention 0; masked values are replaced by 0, the training mean, in the convolutions",
    windows=True,
    published=Published(epochs=100, batch_size=4, learning_rate=1e-3, keep="validation", scaling="mean-std"),
    training=OF_WINDOWS,
    example={"s2": S2},
)


@dataclass(frozen=True)
class Config:
    """Settings of the network; the defaults are the paper's."""

    source: str = ""
    """Name of the series; empty: the only series of the recipe."""
    encoder: Annotated[tuple[int, ...], Range(1, 4096)] = (64, 64, 64, 128)
    """Filters of the encoder at each resolution, from the highest; each a multiple of `heads`. Two resolutions or more. A map
    pixel is computed from 11 · 2^(resolutions − 1) pixels on each side."""
    decoder: Annotated[tuple[int, ...], Range(1, 4096)] = (32, 32, 64, 128)
    """Filters of the decoder at each resolution, from the highest; the last is that of the encoder."""
    output: Annotated[int, Range(1, 4096)] = 32
    """Filters of the convolution before the class scores, at least 1."""
    heads: Annotated[int, Range(1, 1024)] = 16
    """Attention heads, at least 1."""
    keys: Annotated[int, Range(1, 4096)] = 4
    """Size of a key, at least 1."""
    width: Annotated[int, Range(1, 16_384)] = 256
    """Channels of the temporal attention, a multiple of `heads` and at least twice `heads`."""
    dropout: Annotated[float, SHARE] = 0.2
    """Dropout rate of the features after the attention, from 0 to below 1; that of the attention is half of it."""
    norm: Norm = "batch"
    """Normalisation in the encoder: "batch", "affine", "group" or "layer" (at each position; the paper has group normalisation
    over the image, with which a map would depend on its windows)."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if len(self.encoder) < 2 or len(self.encoder) != len(self.decoder) or self.encoder[-1] != self.decoder[-1]:
            raise ValueError(
                "'encoder' and 'decoder' must have the same number of resolutions, two or more, and end with the same number of "
                f"filters; found {list(self.encoder)} and {list(self.decoder)}"
            )
        if self.encoder[-1] < 2 * self.heads:
            raise ValueError(f"'encoder' must end with at least twice 'heads' filters; found {self.encoder[-1]}")
        if odd := [filters for filters in self.encoder if filters % self.heads]:
            raise ValueError(f"'encoder' must have multiples of 'heads' ({self.heads}); found {odd[0]}")
        if self.width % self.heads or self.width // self.heads < 2:
            raise ValueError(
                f"'width' must be a multiple of 'heads' and at least twice 'heads'; found {self.width} and {self.heads}"
            )
