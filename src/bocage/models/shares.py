"""Share of each reflectance band in the brightness (mean of these bands) of a date, as further inputs of a network.

Illumination and haze multiply all bands of a date by nearly the same factor, which cancels in the shares. Weights that a
network learns for them give quotients like a vegetation index, which layers on the bands approximate only from thousands of
samples.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

REFLECTANCE = (
    "coastal", "blue", "green", "yellow", "red", "rededge1", "rededge2", "rededge3", "nir", "nir08", "nir09", "swir16",
    "swir22",
)  # fmt: skip
"""Common names of the bands of reflectance. Other bands (radar in dB, temperature, spectral indices) have no shares."""
DARKEST = 0.02
"""Smallest mean of the bands by which they are divided, in reflectance: darker pixels are noise."""
SPREAD = 3.0
"""Factor of the shares. On crops, their standard deviation is between 0.1 and 0.5; the scaled bands have about 1."""


class Shares(nn.Module):
    """Quotient of every reflectance band and the mean of these bands, minus 1 (0 for a grey surface), times 3.

    The network receives scaled bands. :meth:`use_scaling` stores the scaling, so that physical values can be computed again.
    """

    offset: Tensor
    scale: Tensor
    chosen: Tensor

    def __init__(self, bands: Sequence[str]) -> None:
        super().__init__()
        chosen = [i for i, name in enumerate(bands) if name in REFLECTANCE]
        self.count = len(chosen) if len(chosen) > 1 else 0
        """Number of shares; 0 with fewer than two bands of reflectance."""
        self.register_buffer("offset", torch.zeros(len(bands)))
        self.register_buffer("scale", torch.ones(len(bands)))
        self.register_buffer("chosen", torch.tensor(chosen[: self.count], dtype=torch.int64), persistent=False)

    def use_scaling(self, offset: Sequence[float], scale: Sequence[float]) -> None:
        """Store the scaling of every band: physical value = scaled value * scale + offset."""
        self.offset.copy_(torch.tensor(offset))
        self.scale.copy_(torch.tensor(scale))

    def forward(self, scaled: Tensor) -> Tensor:
        """Scaled bands (..., C) → shares (..., S), from -3 to 3 (S - 1); a negative reflectance counts as 0."""
        scale, offset = (values[self.chosen].to(scaled.dtype) for values in (self.scale, self.offset))
        physical = (scaled[..., self.chosen] * scale + offset).clamp_min(0)
        return SPREAD * (physical / physical.mean(-1, keepdim=True).clamp_min(DARKEST) - 1)
