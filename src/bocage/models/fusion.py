"""Early, late or decision fusion of single-source networks, as set in the recipe.

Strategies as compared by Mena, Arenas, Nuske & Dengel 2023, arXiv 2308.05407:

* **early**: one network on several series stacked as bands. The series must have the same dates and ratio: fill them onto
  one calendar.
* **late**: one encoder per source, concatenated features, one linear head; auxiliary heads if `auxiliary` is above 0.
* **decision**: one whole network per source, each trained with its own loss; the result is the mean of their probabilities.

Masks: each member treats masks as it does alone. A date of stacked series is valid where all of them are valid.

::

    early:     s1, s2 → stack bands → network → K
    late:      s1 → encoder ─┐
               s2 → encoder ─┴→ concat → dropout → linear → K
    decision:  s1 → network → softmax ─┐
               s2 → network → softmax ─┴→ mean → log → K
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from bocage.errors import ModelError
from bocage.models.base import Batch, Criterion, Network, Positions, SourceTensor, build, output_shape
from bocage.models.card import Footprint, InputSpec
from bocage.models.heads import Heads, SingleSource
from bocage.models.settings.fusion import CARD, Config, Member
from bocage.models.single import SINGLE
from bocage.shelf import did_you_mean

__all__ = ["CARD", "Config", "Model"]


class Model(Network):
    """The networks under the contract of every network."""

    def __init__(self, inputs: Mapping[str, InputSpec], n_classes: int, config: Config) -> None:
        super().__init__()
        self.strategy = config.strategy
        if config.strategy == "early":
            self.inputs = _stackable(inputs, config.sources)
            seen = {"+".join(self.inputs): _stacked_spec(self.inputs)}
        else:
            self.inputs = {m.source: _source(inputs, m) for m in config.members}
            seen = dict(self.inputs)
        self.members = nn.ModuleList(_built(seen, member, n_classes) for member in config.members)
        self.footprints = self._widest()
        self.heads: Heads | None = None
        if config.strategy == "late":
            widths = {f"{i}": m.encoder.width for i, m in enumerate(self._singles)}
            self.heads = Heads(widths, n_classes, config.auxiliary, config.dropout)
            for member in self._singles:
                del member.heads  # late fusion does not use the members' own heads

    @property
    def _singles(self) -> list[SingleSource]:
        return [m for m in self.members if isinstance(m, SingleSource)]

    def _widest(self) -> dict[str, Footprint]:
        """The widest footprint that any member needs of each source."""
        if self.strategy == "early":
            footprint = next(iter(self._singles[0].footprints.values()))
            return dict.fromkeys(self.inputs, footprint)
        footprints: dict[str, Footprint] = {}
        for member in self._singles:
            for name, footprint in member.footprints.items():
                known = footprints.get(name)
                if known and known != footprint:
                    raise ModelError(
                        f"fusion: two members read '{name}' with patches of {known.size} and {footprint.size} pixels. "
                        "Members that share a source need the same patch size."
                    )
                footprints[name] = footprint
        return footprints

    @property
    def by_position(self) -> frozenset[str]:
        """The series of which some member does not use the day of the year."""
        found = frozenset[str]().union(*(member.by_position for member in self._singles))
        return frozenset(self.inputs) if found and self.strategy == "early" else found

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        shape = output_shape(batch, self.footprints, self.inputs)
        if self.heads is not None:
            logits: Tensor = self.heads(self._features(batch, shape))
            return logits
        if self.strategy == "early":
            early: Tensor = self.members[0](self._stacked(batch))
            return early[..., : shape[0], : shape[1]]
        each = [m(batch).log_softmax(1)[..., : shape[0], : shape[1]] for m in self.members]
        return torch.logsumexp(torch.stack(each), 0) - math.log(len(each))

    def loss_at(self, batch: Batch, at: Positions, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss of the fused head ("late"), or the sum of the members' losses."""
        if self.heads is not None:
            shape = output_shape(batch, self.footprints, self.inputs)
            total: Tensor = self.heads.loss(self._features(batch, shape), at, labels, criterion)
            return total
        tensors = self._stacked(batch) if self.strategy == "early" else batch
        return torch.stack([member.loss_at(tensors, at, labels, criterion) for member in self._singles]).sum()

    def _features(self, batch: Batch, shape: tuple[int, int]) -> dict[str, Tensor]:
        by_member = {}
        for i, member in enumerate(self._singles):
            features = member.encoder(batch, shape)
            by_member[f"{i}"] = features if isinstance(features, Tensor) else torch.cat(list(features.values()), 1)
        return by_member

    def _stacked(self, batch: Batch) -> Batch:
        tensors = [batch[name] for name in self.inputs]
        valid = torch.stack([t.valid for t in tensors]).all(0)
        values = torch.cat([t.masked() for t in tensors], 2)
        return {"+".join(self.inputs): SourceTensor(values, valid, tensors[0].days)}


def _source(inputs: Mapping[str, InputSpec], member: Member) -> InputSpec:
    if member.source not in inputs:
        raise ModelError(
            f"fusion: no source is called '{member.source}' (member {member.network}). Sources: {', '.join(inputs)}."
        )
    return inputs[member.source]


def _stackable(inputs: Mapping[str, InputSpec], names: tuple[str, ...]) -> dict[str, InputSpec]:
    """Return the sources to stack, which share their dates and their ratio.

    Raises
    ------
    ModelError
        A source is missing, or two sources differ in dates or in ratio.
    """
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ModelError(f"fusion: no source is called '{missing[0]}'. Sources: {', '.join(inputs)}.")
    chosen = {name: inputs[name] for name in (names or inputs)}
    first, *others = chosen.values()
    for other in others:
        if (other.dates, other.ratio) != (first.dates, first.ratio) or not (first.regular and other.regular):
            raise ModelError(
                f"fusion: early fusion needs sources with the same dates and ratio; '{first.name}' has {first.dates} dates "
                f"({first.ratio}), '{other.name}' {other.dates} ({other.ratio}). Give both the same fill = {{ every, start, "
                'end }} and ratio, or set strategy = "late".'
            )
    return chosen


def _stacked_spec(inputs: Mapping[str, InputSpec]) -> InputSpec:
    bands = tuple(f"{name}.{band}" for name, spec in inputs.items() for band in spec.bands)
    return replace(next(iter(inputs.values())), name="+".join(inputs), bands=bands)


def _built(inputs: Mapping[str, InputSpec], member: Member, n_classes: int) -> SingleSource:
    """Build a member's network.

    Raises
    ------
    ModelError
        A setting is unknown or out of range.
    """
    kind = SINGLE.get(member.network).Config
    known = [f.name for f in dataclasses.fields(kind)]
    for key in member.settings:
        if key not in known:
            raise ModelError(
                f"fusion: {member.network} has no setting '{key}'.{did_you_mean(key, known)} Settings: {', '.join(known)}."
            )
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in member.settings.items()}
    try:
        config = kind(**(settings | {"source": member.source or next(iter(inputs))}))
    except (ValueError, TypeError) as error:
        raise ModelError(f"fusion: settings of {member.network}: {error}.") from error
    network = build(SINGLE.get(member.network), inputs, n_classes, config)
    if not isinstance(network, SingleSource):
        raise ModelError(
            f"fusion: {member.network} is not a single-source network (its Model comes from single_source)."
        )
    return network
