"""CNN on the pansharpened image: the single-branch competitor of MultiResoLCC.

Gaetano, Ienco, Ose & Cresson 2018, doi:10.3390/rs10111746, compare their network with a single branch on the pansharpened
image. Its layers are not public: this is **a reconstruction**, the PAN branch applied to all bands. The image is a source
of the sensor ``pansharpened``, or any multispectral image on the map's grid. The dense form is exact.

Masks: masked pixels are replaced by 0, the mean of the training pixels.

::

    image (B, 1, C, 32, 32) → 3×3, 128 → pool 2 → 3×3, 256 → pool 2 → 3×3, 512 → global max → dropout → linear → K
"""

from collections.abc import Mapping

from torch import Tensor, nn

from bocage.errors import ModelError
from bocage.grid import Ratio
from bocage.models.base import Batch, choose
from bocage.models.card import Footprint, InputSpec
from bocage.models.heads import SourceEncoder, single_source
from bocage.models.multiresolcc import PanBranch
from bocage.models.settings.multiresolcc_pansharpened import CARD, Config

__all__ = ["CARD", "Config", "Model"]


class Encoder(SourceEncoder):
    """Image → features per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__()
        self.spec = choose(inputs, config.source, "image", "multiresolcc_pansharpened", "source")
        if self.spec.ratio != Ratio():
            raise ModelError(
                f"multiresolcc_pansharpened: the map must be on the grid of '{self.spec.name}', which is at {self.spec.ratio}. "
                f'Set [grid] like = "{self.spec.name}".'
            )
        self.footprint = Footprint(config.patch, config.patch // 2)
        self.branch = PanBranch(len(self.spec.bands), config.filters, config.kernel, config.patch, config.norm)
        self.width = self.branch.width
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, F, Y, X)."""
        dropped: Tensor = self.dropout(self.branch(batch[self.spec.name].masked()[:, 0], shape))
        return dropped


Model = single_source(Encoder)
