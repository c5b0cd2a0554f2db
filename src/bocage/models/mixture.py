"""Mean of the class probabilities of several models, each trained on its own: seeds of one network, or different models.

Lakshminarayanan, Pritzel & Blundell 2017, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
NIPS 30 (arXiv 1612.01474). Departures: no adversarial training; the probabilities of each member are calibrated before the
mean, so that an overconfident member does not outweigh the others; members can be different models.

::

    s2, s1 → model 1 → / temperature → softmax ─┐
    s2, s1 → model 2 → / temperature → softmax ─┼→ mean → log → (B, K, Y, X)
    s2     → trees   → / temperature → softmax ─┘

The footprint in a source is the largest one of the members; each member reads its own part of it.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from bocage.models.base import Batch, build, output_shape
from bocage.models.card import InputSpec
from bocage.models.ensemble import Ensemble
from bocage.models.settings.mixture import CARD, Config, card_with

__all__ = ["CARD", "Config", "Model", "card_with"]


class Model(Ensemble):
    """The members under the contract of every network."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__(inputs, [build(m.architecture, inputs, n_classes, m.config) for m in config.each], {})

    def forward(self, batch: Batch) -> Tensor:
        """Return the logarithm of the mean probabilities (B, K, Y, X), float32."""
        shape = output_shape(batch, self._present(batch, self), self.inputs)
        first, *others = (self._calibrated(i, batch, shape) for i in range(len(self.members)))
        for logarithm in others:
            first = torch.logaddexp(first, logarithm)
        return first - math.log(len(self.members))
