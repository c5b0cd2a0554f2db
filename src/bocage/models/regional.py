"""One model per region: a member trained in each region of a source of regions, and probabilities blended across borders.

::

    s2, s1  → member of region 1 → / temperature → softmax → · weight 1 ─┐
    s2, s1  → member of region 2 → / temperature → softmax → · weight 2 ─┼→ sum → log → (B, K, Y, X)
    regions → weights of the pixel, 0 to 1, their sum is 1 ──────────────┘

The members do not read the source of regions. A window in one region is computed by the member of this region only.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bocage.errors import ModelError
from bocage.models.base import Batch, Criterion, at_map_pixels, build, output_shape, pixel_footprint
from bocage.models.card import InputSpec
from bocage.models.ensemble import Ensemble
from bocage.models.settings.regional import CARD, Config, card_with
from bocage.textfile import identifier

__all__ = ["CARD", "Config", "Model", "card_with"]

NEGLIGIBLE = 1e-4
"""Weight up to which a member is not computed: the rounding of scaled weights."""


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

    def fit(self, batch: Batch, labels: Tensor, seed: int, weights: Tensor | None = None) -> None:
        """Fit each member to the samples of its region."""
        for i, (member, own) in enumerate(zip(self._networks, self._members_of(batch), strict=True)):
            if member.abilities.fitted:
                part = {n: t.take(own) for n, t in self._part(batch, member).items()}
                member.fit_part(part, labels[own], seed + i, None if weights is None else weights[own])

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
