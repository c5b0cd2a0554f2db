"""From features to logits: a linear head on all parts together, and an auxiliary head on each.

Auxiliary heads follow DualNet (Hou, Liu & Wang, ICCV 2017) as the team's papers use it: each part of
the features must tell the classes by itself, which keeps a strong part from silencing the others. Prediction uses the
full head only.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from bocage.models.base import Batch, Criterion, Footprint, InputSpec, Network, output_shape

Features = Mapping[str, Tensor]
"""Name of a part → (B, F, Y, X)."""


class Linear(nn.Module):
    """A linear classifier at every position."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        """(B, F, Y, X) → (B, K, Y, X)."""
        logits: Tensor = self.linear(features.movedim(1, -1)).movedim(-1, 1)
        return logits


class Heads(nn.Module):
    """The full head, and one for each part where `auxiliary`, the weight of their losses, is not 0."""

    def __init__(self, widths: Mapping[str, int], n_classes: int, auxiliary: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.auxiliary = auxiliary if len(widths) > 1 else 0.0  # one part alone would be judged twice
        self.dropout = nn.Dropout(dropout)
        self.full = Linear(sum(widths.values()), n_classes)
        self.parts = nn.ModuleDict({name: Linear(width, n_classes) for name, width in widths.items() if self.auxiliary})

    def forward(self, features: Features) -> Tensor:
        """Return the logits of the full head."""
        logits: Tensor = self.full(self.dropout(torch.cat(list(features.values()), 1)))
        return logits

    def loss(self, features: Features, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss of the full head plus `auxiliary` times those of the parts; features are of one position."""
        total = criterion(self(features)[:, :, 0, 0], labels)
        for name, head in self.parts.items():
            total = total + self.auxiliary * criterion(head(self.dropout(features[name]))[:, :, 0, 0], labels)
        return total


class SourceEncoder(nn.Module):
    """Base of the encoders that turn one source into features on the map's grid.

    ``Encoder(inputs, config)`` of a single-source network; its constructor sets the attributes below.
    """

    spec: InputSpec
    """The source."""
    footprint: Footprint
    width: int
    """Features of a map pixel."""
    auxiliary: float = 0.0
    """Weight of an auxiliary head on each view; 0 for none."""

    views: Mapping[str, int] = MappingProxyType({})
    """Features of every view, by name, of an encoder with several."""

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor | Features:
        """Return features (B, F, Y, X), or several views of them by name."""
        raise NotImplementedError


class Headed(Network):
    """A network of features under heads; whoever inherits it says which features."""

    heads: Heads

    def features(self, batch: Batch) -> Features:
        """Return the parts of the features, on the map's grid."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        logits: Tensor = self.heads(self.features(batch))
        return logits

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss, auxiliary heads included."""
        return self.heads.loss(self.features(batch), labels, criterion)


class SingleSource(Headed):
    """An encoder of one source under heads; with an encoder of several views, each has its auxiliary head.

    A file of the shelf that has an ``Encoder(inputs, config)`` makes its ``Model`` by :func:`single_source`.
    """

    def __init__(
        self, encoder: Callable[..., SourceEncoder], inputs: Mapping[str, InputSpec], n_classes: int, config: Any
    ) -> None:
        super().__init__()
        self.encoder = encoder(inputs, config)
        spec = self.encoder.spec
        self.inputs = {spec.name: spec}
        self.footprints: dict[str, Footprint] = {spec.name: self.encoder.footprint}
        self.heads = Heads(self.encoder.views or {"features": self.encoder.width}, n_classes, self.encoder.auxiliary)

    def features(self, batch: Batch) -> Features:
        """Return the encoder's views."""
        found = self.encoder(batch, output_shape(batch, self.footprints, self.inputs))
        return {"features": found} if isinstance(found, Tensor) else found


def single_source(encoder: Callable[..., SourceEncoder]) -> Callable[..., SingleSource]:
    """Return the ``Model`` of a network that is an encoder of one source and a linear head."""
    return partial(SingleSource, encoder)
