"""A network that delineates parcels: beside the classes, three more outputs for each map pixel.

Waldner & Diakogiannis 2020, "Deep learning on edge: extracting field boundaries from satellite images with a convolutional neural
network", doi:10.1016/j.rse.2020.111741. Departures: the three outputs are three more channels of the head of any network that is
trained on windows, where the paper has ResUNet-a, whose tasks are conditioned on each other; land cover is learnt beside them.

::

    windows → network → K + 3 channels ─┬─ K → softmax → classes
                                        └─ 3 → sigmoid → extent, boundary, distance
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bocage.models.base import Batch, Criterion, Network, Positions
from bocage.models.card import Footprint

OUTPUTS = ("extent", "boundary", "distance")
"""Probability that a pixel is in a parcel, that it is on the outline of one, and its distance from the outline, from 0 to 1 in
the middle of the parcel."""


class Delineating(Network):
    """A network of `n_classes` classes and :data:`OUTPUTS`; its logits are those of the classes alone."""

    def __init__(self, network: Network, n_classes: int) -> None:
        """Wrap `network`, which has ``n_classes + 3`` channels."""
        super().__init__()
        self.network, self.n_classes = network, n_classes
        self.inputs, self.footprints, self.step = network.inputs, network.footprints, network.step
        # An encoder that was pretrained without labels has other names of parameters.
        self.abilities = replace(network.abilities, encoder=False)  # type: ignore[misc]

    @property
    def window_footprints(self) -> Mapping[str, Footprint]:
        """The footprints of the network in windows of a training."""
        return self.network.window_footprints

    @property
    def by_position(self) -> frozenset[str]:
        """The series of which the network does not use the day of the year."""
        return self.network.by_position

    @property
    def by_every_date(self) -> frozenset[str]:
        """The series of which a date without a valid pixel may change the logits of the network."""
        return self.network.by_every_date

    @property
    def dense_loss(self) -> bool:
        """Whether the network has a loss for windows."""
        return self.network.dense_loss

    def use_scaling(self, offset: Mapping[str, Sequence[float]], scale: Mapping[str, Sequence[float]]) -> None:
        """Pass the scaling of the bands to the network."""
        self.network.use_scaling(offset, scale)

    def slow_because(self, device: torch.device) -> str:
        """Return why this computer computes windows in a slower form."""
        return self.network.slow_because(device)

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits of the classes (B, K, Y, X)."""
        logits: Tensor = self.network(batch)
        return logits[:, : self.n_classes]

    def dense(self, batch: Batch) -> Tensor:
        """Return the logits of the classes (B, K, Y, X) of windows of a training."""
        return self.network.dense(batch)[:, : self.n_classes]

    def both(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the logits of the classes (B, K, Y, X), and :data:`OUTPUTS` (B, 3, Y, X), 0 to 1."""
        logits: Tensor = self.network(batch)
        return logits[:, : self.n_classes], torch.sigmoid(logits[:, self.n_classes :].float())

    def loss_at(self, batch: Batch, at: Positions, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss of the network; the criterion receives the logits of classes and outputs (N, K + 3)."""
        return self.network.loss_at(batch, at, labels, criterion)

    def attention(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the attention of the network."""
        return self.network.attention(batch)
