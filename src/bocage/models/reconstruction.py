"""Pretraining without labels: the encoder learns to reconstruct hidden dates and hidden sources from the other data.

Masked reconstruction as in Dumeur et al. 2024 (U-BARN, doi:10.1109/JSTARS.2024.3350066) and Tseng et al. 2023 (Presto,
arXiv 2304.14065). Training with labels keeps only the weights of the encoder; the reconstruction heads are discarded.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.models.base import Batch, Criterion, Network, SourceTensor, pooled
from bocage.models.card import InputSpec
from bocage.models.layers import HARMONICS, waves

DATES, SOURCES = (0.2, 0.8), 0.3
"""Range of the share of dates hidden in a sample, and share of the samples from which a whole source is hidden."""


class Reconstruction(Network):
    """An encoder, and for each source a small head that guesses its bands.

    Parameters
    ----------
    network
        A network with the ability ``encoder``.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.inputs = {name: network.inputs[name] for name in network.footprints}
        self.footprints = network.footprints
        self.guesses = nn.ModuleDict({name: _BandHead(network.width, spec) for name, spec in self.inputs.items()})

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the reconstruction error, averaged with equal weights over the sources; the labels are not used."""
        hidden = _hidden(batch)
        visible = {
            name: SourceTensor(tensor.values, tensor.valid & ~hidden[name][:, :, None, None], tensor.days)
            for name, tensor in batch.items()
        }
        fused = self.network.fused(visible)[:, :, 0, 0]
        errors = list(self._errors(fused, batch, hidden))
        return torch.stack(errors).mean() if errors else 0.0 * fused.sum()

    def _errors(self, fused: Tensor, batch: Batch, hidden: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Yield the error of each source that has targets: the valid pixels of an image, the hidden dates of a series."""
        for name, tensor in batch.items():
            target, valid = self._target(name, tensor)
            selected = valid & hidden[name] if self.inputs[name].dates > 1 else valid
            if selected.any():
                guess = self.guesses[name](fused, tensor.days)
                yield functional.smooth_l1_loss(guess[selected].float(), target[selected].float())

    def _target(self, name: str, tensor: SourceTensor) -> tuple[Tensor, Tensor]:
        """Return the targets (B, T, C) and their validity (B, T).

        The targets are the band means of the map pixel and, for an image, also the standard deviations within the pixel.
        """
        spec = self.inputs[name]
        own = tensor.inner(self.footprints[name], spec.ratio, (1, 1))
        values, valid = pooled(own, spec)
        if spec.dates == 1:
            squares, _ = pooled(SourceTensor(own.values**2, own.valid, own.days), spec)
            values = torch.cat([values, (squares - values**2).clamp_min(0).sqrt()], 2)
        return values[..., 0, 0], valid[..., 0, 0]


class _BandHead(nn.Module):
    """Fused vector and day → bands of a source."""

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__()
        self.vector = nn.Linear(width, width)
        self.day = nn.Linear(2 * HARMONICS, width, bias=False)
        self.bands = nn.Linear(width, len(spec.bands) * (1 if spec.dates > 1 else 2))

    def forward(self, fused: Tensor, days: Tensor) -> Tensor:
        """(B, W) and days (B, T) → (B, T, C)."""
        features = self.vector(fused)[:, None] + self.day(waves(days).to(fused.dtype))
        guess: Tensor = self.bands(functional.relu(features))
        return guess


def _hidden(batch: Batch) -> dict[str, Tensor]:
    """Draw the dates to hide (B, T) in each source; at least one source of each sample keeps some dates."""
    names = list(batch)
    b, device = len(batch[names[0]].values), batch[names[0]].values.device
    gone = torch.rand(len(names), b, device=device) < (SOURCES if len(names) > 1 else 0.0)
    gone[:, gone.all(0)] = False
    low, high = DATES
    share = low + (high - low) * torch.rand(b, 1, device=device)
    hidden = {}
    for i, name in enumerate(names):
        dates = batch[name].valid.shape[1]
        some = torch.rand(b, dates, device=device) < (share if dates > 1 else 0.0)
        hidden[name] = some | gone[i][:, None]
    nothing = torch.stack([mask.all(1) for mask in hidden.values()]).all(0)
    for i, name in enumerate(names):
        hidden[name][nothing] = gone[i][nothing, None]
    return hidden


def reconstruction(network: Network) -> Reconstruction:
    """Wrap a network.

    Raises
    ------
    ModelError
        The network has no encoder that can learn without labels.
    """
    if not network.abilities.encoder:
        raise ModelError(
            "This model learns from labels only. Pretraining needs a network whose encoder learns without labels (patchwork)."
        )
    return Reconstruction(network)
