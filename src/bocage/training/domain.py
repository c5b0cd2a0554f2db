"""How far a pixel lies from what a model was trained on, in the space of what it looks at.

The dissimilarity index of Meyer & Pebesma 2021, doi:10.1111/2041-210X.13650: distance to the nearest training sample over the
mean distance between training samples, compared with what validation polygons (which did not train) have. Departures: values
are those of the map pixel itself, scaled as the network gets them, 0 where masked, on their first principal components;
they are not weighted by importance.
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
ROWS = 16384
"""Pixels compared at a time."""


@dataclass(frozen=True)
class Domain:
    """What a model was trained on, as points."""

    mean: Tensor
    """(D,)"""
    components: Tensor
    """(D, P) principal components."""
    points: Tensor
    """(M, P) training samples."""
    far: Tensor
    """() distance at which a pixel is further than validation polygons are: 1 of the novelty."""

    def novelty(self, features: Tensor) -> Tensor:
        """Distance of features (N, D) to the nearest training sample, over `far`: (N,); above 1 the pixel is foreign."""
        found = []
        for part in torch.split(features, ROWS):
            points = (part - self.mean) @ self.components
            found.append(torch.cdist(points, self.points).amin(1) / self.far)
        return torch.cat(found) if found else features.new_zeros(0)

    def save(self, path: Path) -> None:
        """Write the points as a safetensors file."""
        tensors = {field.name: getattr(self, field.name).contiguous() for field in fields(self)}
        safetensors.torch.save_file(tensors, path)
        path.chmod(0o644)

    @classmethod
    def load(cls, path: Path) -> "Domain | None":
        """Read what :meth:`save` wrote; None where there is no such file."""
        return cls(**safetensors.torch.load_file(path)) if path.exists() else None


def features_of(
    batch: Batch,
    inputs: Mapping[str, InputSpec],
    footprints: Mapping[str, Footprint],
    shape: tuple[int, int],
    by_month: bool = False,
) -> Tensor:
    """What a network gets at the map pixels themselves, without their surroundings: (B·Y·X, D).

    Declared dates stand one by one; of native ones, which are others elsewhere, the mean of every month, and of all series
    with `by_month`. A source that is not there counts as masked.
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
    """Means (B, 12, C, Y, X) of the valid dates of every month, 0 where there are none."""
    month = (days % YEAR * (MONTHS / YEAR)).long().clamp_max(MONTHS - 1)
    own = torch.nn.functional.one_hot(month, MONTHS).to(values.dtype)
    total = torch.einsum("btm,btcyx->bmcyx", own, values * valid[:, :, None])
    count = torch.einsum("btm,btyx->bmyx", own, valid.to(values.dtype))
    return total / count.clamp_min(1)[:, :, None]
