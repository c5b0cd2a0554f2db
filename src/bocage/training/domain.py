"""Novelty of a pixel: distance to the training samples in the feature space of a model.

Based on the dissimilarity index of Meyer & Pebesma 2021, doi:10.1111/2041-210X.13650: the distance to the nearest training
sample is compared with the distances of validation samples, which were not used for training. Differences from the paper:
features are the values of the map pixel itself, scaled as for the network, 0 where masked, projected on their first
principal components; features are not weighted by importance.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from bocage.days import YEAR
from bocage.grid import Ratio
from bocage.models import Batch, Footprint, InputSpec, SourceTensor
from bocage.models.base import at_map_pixels

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
        if _in_lanes(features, features.shape[:1]):
            from bocage.training.nearest import nearest

            mean = self.mean @ self.components
            points = torch.addmm(-mean[:, None], self.components.t(), features.t())
            return nearest(points, self.points).sqrt_().div_(self.far)
        squares, crossed = self.points.square().sum(1), -2 * self.points.t()
        found = []
        for part in torch.split(features, max(64, AT_A_TIME // max(1, len(self.points)))):
            points = (part - self.mean) @ self.components
            # |p - q|² = |p|² + |q|² - 2 p·q: the root is computed of the least only.
            least = torch.addmm(squares, points, crossed).amin(1) + points.square().sum(1)
            found.append(least.clamp_min(0).sqrt() / self.far)
        return torch.cat(found) if found else features.new_zeros(0)

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
    some, layers = next(iter(batch.values())).values, []
    for name, spec in inputs.items():
        declared = spec.regular and (spec.dates == 1 or not by_month)
        if name in footprints:
            layers.append(_layers(batch[name].inner(footprints[name], spec.ratio, shape), spec, shape, declared))
        else:
            periods = spec.dates if declared else MONTHS
            layers.append(some.new_zeros(periods * len(spec.bands), some.shape[0] * shape[0] * shape[1]))
    return torch.cat(layers).t().float()


def _layers(tensor: SourceTensor, spec: InputSpec, shape: tuple[int, int], declared: bool) -> Tensor:
    """Return the features of a source as layers (dates or months times bands, B·Y·X); `declared`: those of its dates."""
    if not declared and spec.ratio == Ratio() and len(tensor.values) == 1 and _in_lanes(tensor.values, shape):
        from bocage.training.nearest import monthly

        return monthly(tensor.values[0], tensor.valid[0], _months(tensor.days)[0])
    values, valid = at_map_pixels(tensor, spec, shape)
    values = values * valid[:, :, None] if declared else _by_month(values, valid, tensor.days)
    return values.permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)


def _in_lanes(values: Tensor, shape: Sequence[int]) -> bool:
    """Return whether values at map pixels of a shape are computed by functions that are compiled for vectors of pixels."""
    if values.device.type != "cpu" or values.dtype != torch.float32:
        return False
    from bocage.training.nearest import usable

    return usable(shape)


def _months(days: Tensor) -> Tensor:
    """Return the month of each day, 0 to 11, in years of 365.25 days."""
    return (days % YEAR * (MONTHS / YEAR)).long().clamp_max(MONTHS - 1)


def _by_month(values: Tensor, valid: Tensor, days: Tensor) -> Tensor:
    """Return monthly means (B, 12, C, Y, X) over the valid dates; 0 for a month without a valid date.

    `values` must be 0 where not valid.
    """
    own = torch.nn.functional.one_hot(_months(days), MONTHS).to(values.dtype)
    total = torch.einsum("btm,btcyx->bmcyx", own, values)
    count = torch.einsum("btm,btyx->bmyx", own, valid.to(values.dtype))
    return total / count.clamp_min(1)[:, :, None]
