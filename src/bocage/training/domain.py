"""Novelty of a pixel: distance to the training samples in the feature space of a model.

Based on the dissimilarity index of Meyer & Pebesma 2021, doi:10.1111/2041-210X.13650: the distance to the nearest training
sample is compared with the distances of validation samples, which were not used for training. Differences from the paper:
features are the values of the map pixel itself, scaled as for the network, 0 where masked, projected on their first
principal components; features are not weighted by importance.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from bocage.models import Batch, Footprint, InputSpec
from bocage.models.base import at_map_pixels
from bocage.models.layers import YEAR

MONTHS = 12
AT_A_TIME = 1 << 18
"""Number of distances computed at a time: 1 MiB, which fit in the cache of a core."""


@dataclass(frozen=True)
class Domain:
    """Training domain of a model: training samples as points in the space of the principal components."""

    mean: Tensor
    """(D,) mean of the features of the training samples."""
    components: Tensor
    """(D, P) principal components."""
    points: Tensor
    """(M, P) training samples."""
    far: Tensor
    """() reference distance: the largest usual distance of validation samples. A pixel at this distance has a novelty of 1."""

    def novelty(self, features: Tensor) -> Tensor:
        """Return the distance of features (N, D) to the nearest training sample divided by `far`, (N,).

        A pixel with a novelty above 1 is outside the training domain.
        """
        squares, crossed = self.points.square().sum(1), -2 * self.points.t()
        nearest = []
        for part in torch.split(features, max(64, AT_A_TIME // max(1, len(self.points)))):
            points = (part - self.mean) @ self.components
            # |p - q|² = |p|² + |q|² - 2 p·q: the root is computed of the least only.
            least = torch.addmm(squares, points, crossed).amin(1) + points.square().sum(1)
            nearest.append(least.clamp_min(0).sqrt() / self.far)
        return torch.cat(nearest) if nearest else features.new_zeros(0)

    def save(self, path: Path) -> None:
        """Write the domain to a safetensors file."""
        tensors = {field.name: getattr(self, field.name).contiguous() for field in fields(self)}
        safetensors.torch.save_file(tensors, path)
        path.chmod(0o644)

    @classmethod
    def load(cls, path: Path) -> "Domain | None":
        """Read a file written by :meth:`save`; return None if it does not exist."""
        return cls(**safetensors.torch.load_file(path)) if path.exists() else None


def features_of(
    batch: Batch,
    inputs: Mapping[str, InputSpec],
    footprints: Mapping[str, Footprint],
    shape: tuple[int, int],
    by_month: bool = False,
) -> Tensor:
    """Return the features of the map pixels themselves, without their neighbourhood: (B·Y·X, D).

    For a source with regular dates, the features are the values of each date. For a series with native dates, which differ
    between scenes, they are monthly means. With `by_month`, they are monthly means for all series. The features of a missing
    source are 0, as for masked pixels.
    """
    columns, rows = [], next(iter(batch.values())).values.shape[0] * shape[0] * shape[1]
    for name, spec in inputs.items():
        declared = spec.regular and (spec.dates == 1 or not by_month)
        if name not in footprints:
            periods = spec.dates if declared else MONTHS
            columns.append(torch.zeros(rows, periods * len(spec.bands)))
            continue
        tensor = batch[name]
        inner = tensor.inner(footprints[name], spec.ratio, shape)
        values, valid = at_map_pixels(inner, spec, shape)
        values = values * valid[:, :, None] if declared else _by_month(values, valid, tensor.days)
        columns.append(values.permute(0, 3, 4, 1, 2).flatten(3).flatten(0, 2))
    return torch.cat(columns, 1).float()


def _by_month(values: Tensor, valid: Tensor, days: Tensor) -> Tensor:
    """Return monthly means (B, 12, C, Y, X) over the valid dates; 0 for a month without a valid date.

    `values` must be 0 where not valid.
    """
    month = (days % YEAR * (MONTHS / YEAR)).long().clamp_max(MONTHS - 1)
    own = torch.nn.functional.one_hot(month, MONTHS).to(values.dtype)
    total = torch.einsum("btm,btcyx->bmcyx", own, values)
    count = torch.einsum("btm,btyx->bmyx", own, valid.to(values.dtype))
    return total / count.clamp_min(1)[:, :, None]
