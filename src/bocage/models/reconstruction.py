"""A start without labels: an encoder learns to guess what was hidden from it, dates of a series and whole sources, from the rest.

Masked reconstruction in the manner of Dumeur et al. 2024 (U-BARN, doi:10.1109/JSTARS.2024.3350066) and Tseng et al. 2023 (Presto,
arXiv 2304.14065). Thrown away when labels come: only the encoder's weights stay.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.models.base import Batch, Criterion, InputSpec, Network, SourceTensor, pooled
from bocage.models.layers import HARMONICS, waves

DATES, SOURCES = (0.2, 0.8), 0.3
"""Share of a sample's dates hidden, drawn between these, and share of samples from which a source is hidden whole."""


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
        self.guesses = nn.ModuleDict({name: _Guess(network.width, spec) for name, spec in self.inputs.items()})

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the mean error of the guesses, of sources alike; labels are not looked at."""
        hidden = _hidden(batch)
        shown = {
            name: SourceTensor(one.values, one.valid & ~hidden[name][:, :, None, None], one.days)
            for name, one in batch.items()
        }
        found = self.network.fused(shown)[:, :, 0, 0]
        errors = list(self._errors(found, batch, hidden))
        return torch.stack(errors).mean() if errors else 0.0 * found.sum()

    def _errors(self, found: Tensor, batch: Batch, hidden: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """Errors of each source that has something to guess: all of an image, of a series what was hidden."""
        for name, tensor in batch.items():
            target, there = self._target(name, tensor)
            asked = there & hidden[name] if self.inputs[name].dates > 1 else there
            if asked.any():
                guess = self.guesses[name](found, tensor.days)
                yield functional.smooth_l1_loss(guess[asked].float(), target[asked].float())

    def _target(self, name: str, tensor: SourceTensor) -> tuple[Tensor, Tensor]:
        """What is to be guessed (B, T, C), and where (B, T): bands of the map pixel, of an image their deviation too."""
        spec = self.inputs[name]
        own = tensor.inner(self.footprints[name], spec.ratio, (1, 1))
        values, valid = pooled(own, spec)
        if spec.dates == 1:
            squares, _ = pooled(SourceTensor(own.values**2, own.valid, own.days), spec)
            values = torch.cat([values, (squares - values**2).clamp_min(0).sqrt()], 2)
        return values[..., 0, 0], valid[..., 0, 0]


class _Guess(nn.Module):
    """The fused vector and a day → bands of a source."""

    def __init__(self, width: int, spec: InputSpec) -> None:
        super().__init__()
        self.vector = nn.Linear(width, width)
        self.day = nn.Linear(2 * HARMONICS, width, bias=False)
        self.bands = nn.Linear(width, len(spec.bands) * (1 if spec.dates > 1 else 2))

    def forward(self, found: Tensor, days: Tensor) -> Tensor:
        """(B, W) and days (B, T) → (B, T, C)."""
        asked = self.vector(found)[:, None] + self.day(waves(days).to(found.dtype))
        guess: Tensor = self.bands(functional.relu(asked))
        return guess


def _hidden(batch: Batch) -> dict[str, Tensor]:
    """Dates to hide (B, T) in every source; of each sample, one source at least keeps some."""
    names = list(batch)
    b, device = len(batch[names[0]].values), batch[names[0]].values.device
    gone = torch.rand(len(names), b, device=device) < (SOURCES if len(names) > 1 else 0.0)
    gone[:, gone.all(0)] = False
    low, high = DATES
    share = low + (high - low) * torch.rand(b, 1, device=device)
    found = {}
    for i, name in enumerate(names):
        dates = batch[name].valid.shape[1]
        some = torch.rand(b, dates, device=device) < (share if dates > 1 else 0.0)
        found[name] = some | gone[i][:, None]
    nothing = torch.stack([one.all(1) for one in found.values()]).all(0)
    for i, name in enumerate(names):
        found[name][nothing] = gone[i][nothing, None]
    return found


def reconstruction(network: Network) -> Reconstruction:
    """Wrap a network.

    Raises
    ------
    ModelError
        It has no encoder that could learn without labels.
    """
    if not network.abilities.encoder:
        raise ModelError(
            "This model learns from labels only; pretraining is for networks with an encoder of their own (patchwork)."
        )
    return Reconstruction(network)
