"""What the recipe says of the map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bocage.mapping.layers import LAYERS
from bocage.mapping.predict import Precision


@dataclass(frozen=True)
class Mapping:
    """What the recipe may say of the map."""

    draw: int = 0
    """The draw whose network makes the map, from 0."""
    tile: int = 256
    """Map pixels a side of the windows that are read, computed and written at a time; memory grows with its square.
    It is rounded up to whole cells of the network's lattice; the map does not depend on it."""
    layers: tuple[str, ...] = ("classes", "confidence")
    """What to write: classes, confidence, probabilities, entropy, margin, validity (clear dates of each source), novelty (how
    far from what the model was trained on; Meyer & Pebesma 2021)."""
    formats: tuple[str, ...] = ("cog",)
    """Output formats, by name or ``"its.module:name"``."""
    probabilities: Literal["uint8", "uint16"] = "uint8"
    """How the layer of probabilities is stored: in hundredths, or in ten thousandths."""
    precision: Precision = "float32"
    """What the network computes in: float32, or bfloat16 where that changed next to nothing on the validation polygons."""
    region: Path | None = None
    """Vector file whose polygons are mapped; left out: the whole grid."""
    where: str = ""
    """SQL condition that chooses polygons of `region`, such as ``"tile IN ('31UES', '31UFS')"``."""
    keep_windows: bool = True
    """Keep the windows beside the map, so that after a change only those that it touches are made again."""

    def __post_init__(self) -> None:
        if self.draw < 0 or self.tile < 16:
            raise ValueError("'draw' is at least 0 and 'tile' at least 16 pixels")
        unknown = [name for name in self.layers if name not in LAYERS]
        if unknown:
            raise ValueError(f"the map has no layer '{unknown[0]}'; there are {', '.join(LAYERS)}")
        if "classes" not in self.layers:
            raise ValueError("'layers' must name classes")
        if self.where and not self.region:
            raise ValueError("'where' chooses polygons of 'region', which is not given")
