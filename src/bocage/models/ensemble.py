"""Several networks, each trained on its own, as one: what the models ``mixture`` and ``regional`` have in common."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bocage.errors import ModelError
from bocage.models.base import Batch, Criterion, Network, SourceTensor, seen_by
from bocage.models.card import Abilities, Footprint, InputSpec


class Ensemble(Network):
    """Networks under the contract of one; a subclass defines :meth:`forward` from the calibrated probabilities of each."""

    def __init__(
        self, inputs: Mapping[str, InputSpec], members: Sequence[Network], footprints: Mapping[str, Footprint]
    ) -> None:
        """Take the members, and the footprints in sources that no member reads."""
        super().__init__()
        self.members = nn.ModuleList(members)
        self.footprints = {**_widest(self._networks), **footprints}
        self.inputs = {name: inputs[name] for name in self.footprints}
        each = [member.abilities for member in self._networks]
        # A pixel that has only the sources of one member would be no pixel for the other members.
        shared = all(set(member.footprints) == set(self.footprints) for member in self._networks)
        self.abilities = Abilities(  # type: ignore[misc]
            any_source=shared and all(member.any_source for member in self._networks),
            fitted=any(a.fitted for a in each),
            attention=any(a.attention for a in each),
            weighted=any(a.weighted for a in each),
        )
        for i, member in enumerate(self._networks):
            combinations = 1 << len(member.footprints) if member.any_source else 1
            self.register_buffer(f"temperatures_{i}", torch.ones(combinations))

    @property
    def _networks(self) -> list[Network]:
        return [member for member in self.members if isinstance(member, Network)]

    def calibrate(self, number: int, temperatures: Tensor) -> None:
        """Set the temperature of member `number`.

        Parameters
        ----------
        temperatures
            (1,), or for a member that tolerates missing sources (2 ** sources,): bit ``i`` of the position is set where the
            member's source ``i`` is valid.
        """
        self.get_buffer(f"temperatures_{number}").copy_(temperatures)

    def use_scaling(self, offset: Mapping[str, Sequence[float]], scale: Mapping[str, Sequence[float]]) -> None:
        """Give the scaling of the bands to all members."""
        for member in self._networks:
            member.use_scaling(offset, scale)

    def _calibrated(self, number: int, batch: Batch, shape: tuple[int, int]) -> Tensor:
        """Return the logarithm of the calibrated probabilities (B, K, Y, X) of a member."""
        member, temperature = self._networks[number], self.get_buffer(f"temperatures_{number}")
        own = self._part(batch, member)
        logits = member(own).float().to(temperature.device)
        if logits.shape[-2:] == (1, 1):  # its coarser sources have one footprint, which covers the window
            logits = logits.expand(-1, -1, *shape)
        logits = logits[..., : shape[0], : shape[1]]
        if len(temperature) > 1:
            temperature = temperature[_combination(member, own, shape)][:, None]
        probabilities: Tensor = (logits / temperature).log_softmax(1)
        return probabilities

    def _part(self, batch: Batch, member: Network) -> dict[str, SourceTensor]:
        """Return the pixels that a member reads."""
        return {
            name: _cropped(batch[name], self.footprints[name], footprint)
            for name, footprint in self._present(batch, member).items()
        }

    def _present(self, batch: Batch, network: Network) -> dict[str, Footprint]:
        """Return the footprints of a network; those in the batch, if it tolerates missing sources."""
        found = {name: f for name, f in network.footprints.items() if name in batch or not self.any_source}
        return found or dict(network.footprints)

    @property
    def by_position(self) -> frozenset[str]:
        """The series of which some member does not use the day of the year."""
        return frozenset[str]().union(*(member.by_position for member in self._networks))

    @property
    def by_every_date(self) -> frozenset[str]:
        """The series of which a date without a valid pixel may change the logits of some member."""
        return frozenset[str]().union(*(member.by_every_date for member in self._networks))

    def slow_because(self, device: torch.device) -> str:
        """Return the reason of the first member that has one."""
        return next((why for member in self._networks if (why := member.slow_because(device))), "")

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the sum of the losses of the members, without those that are fitted to all samples at once."""
        trained = [member for member in self._networks if not member.abilities.fitted]
        return torch.stack([member.loss(self._part(batch, member), labels, criterion) for member in trained]).sum()

    def fit(self, batch: Batch, labels: Tensor, seed: int, weights: Tensor | None = None) -> None:
        """Fit the members that are fitted to all samples at once."""
        for number, member in enumerate(self._networks):
            if member.abilities.fitted:
                member.fit_part(self._part(batch, member), labels, seed + number, weights)

    def attention(self, batch: Batch) -> dict[str, Tensor]:
        """Return the mean weights of the dates (B, T) of each series, over the members that have attention."""
        found: dict[str, list[Tensor]] = {}
        for member in self._networks:
            if member.abilities.attention:
                for name, weights in member.attention(self._part(batch, member)).items():
                    found.setdefault(name, []).append(weights)
        return {name: torch.stack(weights).mean(0) for name, weights in found.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the weights and temperatures.

        Raises
        ------
        ModelError
            A temperature is not above 0.
        """
        keys = super().load_state_dict(state_dict, strict, assign)
        for number in range(len(self.members)):
            if not (self.get_buffer(f"temperatures_{number}") > 0).all():
                raise ModelError(f"A temperature of member {number + 1} is not above 0.")
        return keys


def _widest(members: list[Network]) -> dict[str, Footprint]:
    """Return, for each source, the smallest footprint that contains those of all members."""
    found: dict[str, Footprint] = {}
    for name, own in ((name, own) for member in members for name, own in member.footprints.items()):
        known = found.get(name, own)
        before = max(known.before, own.before)
        after = max(known.size - known.before, own.size - own.before)
        found[name] = Footprint(before + after, before)
    return found


def _cropped(tensor: SourceTensor, have: Footprint, want: Footprint) -> SourceTensor:
    """Return the pixels of the footprint `want` from those of the footprint `have`, for each position of a window."""
    if have == want:
        return tensor
    first = have.before - want.before
    rows, columns = (first + n - have.size + want.size for n in tensor.valid.shape[-2:])
    part = (..., slice(first, rows), slice(first, columns))
    return SourceTensor(tensor.values[part], tensor.valid[part], tensor.days)


def _combination(member: Network, batch: Batch, shape: tuple[int, int]) -> Tensor:
    """Return which sources of a member are valid, as bits of a number (B, Y, X); a source that is not in the batch is not."""
    names = list(member.footprints)
    seen = seen_by(batch, {name: member.footprints[name] for name in batch}, member.inputs, shape)
    bits: Iterator[Tensor] = (present.long() << names.index(name) for name, present in seen.items())
    return torch.stack(list(bits)).sum(0)
