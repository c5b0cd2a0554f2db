"""ConvLSTM on patches of one series: a competitor of TWINNS (a reconstruction: its sizes are not public).

Cell of Shi et al. 2015, arXiv 1506.04214.

Masks: masked dates leave the state of the pixel unchanged.

::

    patches (N, T, C, 5, 5) → ConvLSTM 3×3 (padded), 64 → state after the last date → mean over the patch → linear → K
"""

from collections.abc import Mapping

from torch import Tensor, nn

from bocage.models.base import Batch, centred, choose
from bocage.models.card import InputSpec
from bocage.models.heads import SourceEncoder, single_source
from bocage.models.layers import Part, by_patches
from bocage.models.recurrent import ConvLstm
from bocage.models.settings.convlstm import CARD, Config

__all__ = ["CARD", "Config", "Model"]


class Encoder(SourceEncoder):
    """Series → features per map pixel."""

    def __init__(self, inputs: Mapping[str, InputSpec], config: Config) -> None:
        super().__init__()
        self.spec = choose(inputs, config.source, "series", "convlstm", "source")
        self.footprint, self.width = centred(config.patch, self.spec), config.units
        self.cell = ConvLstm(len(self.spec.bands), config.units, config.kernel)
        self.dropout = nn.Dropout(config.dropout)
        self.hidden = config.patch**2 * (4 * config.units * self.spec.dates)

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the features (B, U, Y, X)."""
        return by_patches(self._patches, [Part(batch[self.spec.name], self.footprint, self.spec)], shape, self.hidden)

    def _patches(self, values: Tensor, valid: Tensor) -> Tensor:
        features: Tensor = self.dropout(self.cell(values, valid).mean((2, 3)))
        return features


Model = single_source(Encoder)
