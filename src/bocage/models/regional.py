"""One model per region: a member trained in each region of a source of regions, and probabilities blended across borders.

::

    s2, s1  → member of region 1 → / temperature → softmax → · weight 1 ─┐
    s2, s1  → member of region 2 → / temperature → softmax → · weight 2 ─┼→ sum → log → (B, K, Y, X)
    regions → weights of the pixel, 0 to 1, their sum is 1 ──────────────┘

The members do not read the source of regions. A window in one region is computed by the member of this region only.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

import torch
from torch import Tensor

from bocage.errors import ModelError
from bocage.grid import Ratio
from bocage.models import gru
from bocage.models.base import (
    Batch,
    Card,
    Criterion,
    InputSpec,
    at_map_pixels,
    build,
    card_of,
    output_shape,
    pixel_footprint,
)
from bocage.models.ensemble import ENSEMBLES, Ensemble, Member
from bocage.ranges import Range, check_ranges
from bocage.textfile import identifier

CARD = Card(
    paper="a model per stratum, as in operational land-cover production",
    takes="a source of regions, and the sources of its member (computed patch by patch if the member is)",
    masks="as the member; a pixel in no region is not mapped",
    example={"s2": gru.S2, "regions": InputSpec("regions", ("north", "south"), 1, Ratio())},
)
NEGLIGIBLE = 1e-4
"""Weight up to which a member is not computed: the rounding of scaled weights."""


@dataclass(frozen=True)
class Config:
    """The model of each region, and the samples on which it is trained."""

    member: Member = field(default_factory=lambda: Member("gru"))
    """The model that is trained in each region: a table with its `name` and settings."""
    source: str = "regions"
    """Name of the source of regions."""
    share: Annotated[float, Range(0, 1e6)] = 0.0
    """Distance from a region, in metres, up to which samples of the other regions train its member too."""
    minimum: Annotated[int, Range(1, 1_000_000)] = 10
    """Least number of training polygons of a region, at least 1. A region with fewer borrows those of a neighbour."""
    minimum_of_class: Annotated[int, Range(0, 1_000_000)] = 0
    """Least number of training polygons of each class in a region; 0: a region may lack classes, which its member cannot map."""
    borrow: Mapping[str, str] = field(default_factory=dict)
    """Region with too few polygons → region whose samples train its member too. Without an entry, the training stops."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if not isinstance(self.member, Member):  # a model folder stores it as a table
            object.__setattr__(self, "member", Member(**self.member))
        if self.member.name in ENSEMBLES:
            raise ValueError(f"a {self.member.name} cannot be the model of each region")

    def neighbour_of(self, band: str) -> str | None:
        """Return the band of the region from which the region of a band borrows; None without one."""
        return {identifier(region): identifier(neighbour) for region, neighbour in self.borrow.items()}.get(band)

    def __str__(self) -> str:
        return f"{self.member.name} per region"


def card_with(config: Config) -> Card:
    """Return the card of a model per region with this member."""
    card = card_of(config.member.architecture)
    return dataclasses.replace(CARD, dense=card.dense, same_dates=card.same_dates)


class Model(Ensemble):
    """A member for each region, under the contract of every network."""

    offset: Tensor
    scale: Tensor

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        spec = _regions(inputs, config)
        rest = {name: other for name, other in inputs.items() if name != config.source}
        member = config.member
        members = [build(member.architecture, rest, n_classes, member.config) for _ in spec.bands]
        super().__init__(inputs, members, {config.source: pixel_footprint(spec)})
        self.spec = spec
        self.register_buffer("offset", torch.zeros(len(spec.bands)))
        self.register_buffer("scale", torch.ones(len(spec.bands)))

    def use_scaling(self, offset: Mapping[str, Sequence[float]], scale: Mapping[str, Sequence[float]]) -> None:
        """Give the scaling of the bands to all members, and keep that of the weights."""
        super().use_scaling(offset, scale)
        self.use_weights(offset[self.spec.name], scale[self.spec.name])

    def use_weights(self, offset: Sequence[float], scale: Sequence[float]) -> None:
        """Keep the scaling of the weights of the regions: weight = value * scale + offset."""
        self.offset.copy_(torch.tensor(offset))
        self.scale.copy_(torch.tensor(scale))

    def weights(self, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the weights of the regions (B, R, Y, X), whose sum is 1; equal weights where no region is known."""
        inner = batch[self.spec.name].inner(self.footprints[self.spec.name], self.spec.ratio, shape)
        values, valid = at_map_pixels(inner, self.spec, shape)
        weights = (values[:, 0].float() * self.scale[:, None, None] + self.offset[:, None, None]).clamp(0, 1)
        weights = weights * (weights > NEGLIGIBLE) * valid
        total = weights.sum(1, keepdim=True)
        return torch.where(total > 0, weights / total.clamp_min(NEGLIGIBLE), 1 / len(self.members))

    def forward(self, batch: Batch) -> Tensor:
        """Return the logarithm of the blended probabilities (B, K, Y, X), float32."""
        shape = output_shape(batch, self._present(batch, self), self.inputs)
        weights = self.weights(batch, shape)
        every = torch.compiler.is_compiling()  # an exported graph has no branches
        found: Tensor | None = None
        for i in range(len(self.members)):
            if every or bool((weights[:, i] > 0).any()):
                own = self._calibrated(i, batch, shape) + weights[:, i, None].log()
                found = own if found is None else torch.logaddexp(found, own)
        assert found is not None
        return found

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the mean over the samples of the loss of the member of their region, without members that are fitted.

        A region with a single sample in the batch is left out, because batch normalisation needs two.
        """
        parts = [
            member.loss({n: t.take(own) for n, t in self._part(batch, member).items()}, labels[own], criterion)
            * len(own)
            for member, own in zip(self._networks, self._members_of(batch), strict=True)
            if len(own) > 1 and not member.abilities.fitted
        ]
        nothing = next(self.parameters()).sum() * 0  # of a batch without two samples of a region
        return torch.stack([nothing, *parts]).sum() / len(labels)

    def fit(self, batch: Batch, labels: Tensor, seed: int) -> None:
        """Fit each member to the samples of its region."""
        for i, (member, own) in enumerate(zip(self._networks, self._members_of(batch), strict=True)):
            if member.abilities.fitted:
                member.fit({n: t.take(own) for n, t in self._part(batch, member).items()}, labels[own], seed + i)

    def _members_of(self, batch: Batch) -> list[Tensor]:
        """Return the positions of the samples of each region, for one footprint per sample."""
        region = self.weights(batch, (1, 1))[:, :, 0, 0].argmax(1)
        return [torch.nonzero(region == i)[:, 0] for i in range(len(self.members))]

    def attention(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weights of the dates (B, T) of each series: those of the members, weighted by region."""
        weights = self.weights(batch, output_shape(batch, self.footprints, self.inputs))[:, :, 0, 0]
        each = [member.attention(self._part(batch, member)) for member in self._networks]
        return {
            name: torch.stack([one[name] * weights[:, i, None] for i, one in enumerate(each)]).sum(0)
            for name in each[0]
        }


def _regions(inputs: Mapping[str, InputSpec], config: Config) -> InputSpec:
    """Return the source of regions.

    Raises
    ------
    ModelError
        There is none of this name, there is no other source, or a name in `borrow` is that of no region.
    """
    if config.source not in inputs:
        raise ModelError(
            f"regional: no source is called '{config.source}'. Sources: {', '.join(inputs)}. Set model.source to a source of "
            "the sensor 'regions'."
        )
    spec = inputs[config.source]
    if spec.dates > 1:
        raise ModelError(
            f"regional: '{spec.name}' has {spec.dates} dates. Set model.source to a source of the sensor 'regions'."
        )
    if len(inputs) == 1:
        raise ModelError(f"regional: '{spec.name}' is the only source. Add the imagery that its member reads.")
    for name in (*config.borrow, *config.borrow.values()):
        if identifier(name) not in spec.bands:
            raise ModelError(f"regional: model.borrow: '{name}' is no region. Regions: {', '.join(spec.bands)}.")
    return spec
