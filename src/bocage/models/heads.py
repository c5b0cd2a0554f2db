"""Classification heads: a linear head on all features, and auxiliary heads on parts of the features.

Auxiliary heads follow DualNet (Hou, Liu & Wang, ICCV 2017). Each part of the features is trained to separate the classes
alone, so that a strong part does not suppress the others. The prediction uses only the full head.
"""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from bocage.models.base import Batch, Criterion, Network, Positions, output_shape
from bocage.models.card import Footprint, InputSpec

Features = Mapping[str, Tensor]
"""Name of a part of the features → tensor (B, F, Y, X)."""


class Linear(nn.Module):
    """Linear classifier applied at each position."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, n_classes)

    def forward(self, features: Tensor) -> Tensor:
        """Return the logits (B, K, Y, X) of features (B, F, Y, X)."""
        logits: Tensor = self.linear(features.movedim(1, -1)).movedim(-1, 1)
        return logits


class Heads(nn.Module):
    """Full head and, if `auxiliary` (the weight of their losses) is not 0, one auxiliary head per part."""

    def __init__(self, widths: Mapping[str, int], n_classes: int, auxiliary: float, dropout: float = 0.0) -> None:
        super().__init__()
        # With one part, the auxiliary head would duplicate the full head.
        self.auxiliary = auxiliary if len(widths) > 1 else 0.0
        self.dropout = nn.Dropout(dropout)
        self.full = Linear(sum(widths.values()), n_classes)
        self.parts = nn.ModuleDict({name: Linear(width, n_classes) for name, width in widths.items() if self.auxiliary})

    def forward(self, features: Features) -> Tensor:
        """Return the logits of the full head."""
        logits: Tensor = self.full(self.dropout(torch.cat(list(features.values()), 1)))
        return logits

    def loss(self, features: Features, at: Positions, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss of the full head plus `auxiliary` times the losses of the parts, at the pixels `at`."""
        total = criterion(at.of(self(features)), labels)
        for name, head in self.parts.items():
            total = total + self.auxiliary * criterion(at.of(head(self.dropout(features[name]))), labels)
        return total


class SourceEncoder(nn.Module):
    """Base class of encoders that compute features on the map grid from one source.

    A single-source network defines ``Encoder(inputs, config)``, whose constructor sets the attributes below.
    """

    spec: InputSpec
    """The source."""
    footprint: Footprint
    width: int
    """Number of features of a map pixel."""
    auxiliary: float = 0.0
    """Weight of the loss of an auxiliary head on each view; 0 for no auxiliary head."""

    day_of_year: bool = False
    """Whether the encoder uses the day of the year of each date."""

    views: Mapping[str, int] = MappingProxyType({})
    """Name of each view → number of features, for an encoder with several views."""

    def forward(self, batch: Batch, shape: tuple[int, int]) -> Tensor | Features:
        """Return features (B, F, Y, X), or a mapping of views to features."""
        raise NotImplementedError


class Headed(Network):
    """Network of features and classification heads; a subclass defines :meth:`features`."""

    heads: Heads

    def features(self, batch: Batch) -> Features:
        """Return the parts of the features on the map grid."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        logits: Tensor = self.heads(self.features(batch))
        return logits

    def loss_at(self, batch: Batch, at: Positions, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss, including that of auxiliary heads."""
        return self.heads.loss(self.features(batch), at, labels, criterion)


class SingleSource(Headed):
    """Network of one encoder for one source, with classification heads; each view of the encoder has an auxiliary head.

    A module with an ``Encoder(inputs, config)`` gets its ``Model`` from :func:`single_source`.
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

    @property
    def by_position(self) -> frozenset[str]:
        """The source, if it is a series whose day of the year the encoder does not use."""
        return frozenset() if self.encoder.day_of_year else super().by_position

    def features(self, batch: Batch) -> Features:
        """Return the views of the encoder."""
        found = self.encoder(batch, output_shape(batch, self.footprints, self.inputs))
        return {"features": found} if isinstance(found, Tensor) else found


def single_source(encoder: Callable[..., SourceEncoder]) -> Callable[..., SingleSource]:
    """Return the ``Model`` of a network with an encoder of one source and a linear head."""
    return partial(SingleSource, encoder)
