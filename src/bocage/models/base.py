"""What a network is: tensors in, logits out, and the footprint that one map pixel needs of every source.

Geometry. Map pixel ``i`` has, in a source, the anchor pixel ``i * finer // coarser``. Its footprint is the ``size``
pixels that start ``before`` pixels above and left of the anchor. A window larger than one footprint starts at a map
pixel that is a multiple of every ``coarser``.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.grid import Ratio, Window


@dataclass(frozen=True)
class InputSpec:
    """What a network may know of a source before it sees a pixel."""

    name: str
    bands: tuple[str, ...]
    dates: int
    """Number of dates; 1 for an image."""
    ratio: Ratio
    """How its pixels nest in the map's."""
    regular: bool = True
    """Whether the dates are declared ones (gap-filled) rather than native ones with a mask."""
    points: bool = False
    """Whether it is a table of single pixels, with nothing around them."""


@dataclass(frozen=True)
class Footprint:
    """The pixels of a source that one map pixel needs: `size` a side, `before` of them above and left of the anchor."""

    size: int
    before: int = 0

    def window(self, window: Window, ratio: Ratio) -> Window:
        """Return the source's window, halo included, for a window of the map."""
        inner = ratio.window(window)
        f = ratio.finer
        return Window(
            inner.y - self.before,
            inner.x - self.before,
            inner.height - f + self.size,
            inner.width - f + self.size,
        )

    def positions(self, pixels: int, ratio: Ratio) -> int:
        """How many map pixels a side fit in `pixels` of the source (at most, for a coarser source)."""
        return ((pixels - self.size) // ratio.finer + 1) * ratio.coarser


@dataclass(frozen=True)
class SourceTensor:
    """One source's pixels for a batch; it checks itself.

    Raises
    ------
    ModelError
        The shapes contradict each other.
    """

    values: Tensor
    """float (B, T, C, Y, X), normalised."""
    valid: Tensor
    """bool (B, T, Y, X)."""
    days: Tensor
    """int (B, T), days since 1970-01-01."""

    def __post_init__(self) -> None:
        b, t, _, y, x = self.values.shape if self.values.ndim == 5 else (0,) * 5
        if self.values.ndim != 5 or self.valid.shape != (b, t, y, x) or self.days.shape != (b, t):
            raise ModelError(
                "A source's tensors must be values (B, T, C, Y, X), valid (B, T, Y, X) and days (B, T); found "
                f"{tuple(self.values.shape)}, {tuple(self.valid.shape)} and {tuple(self.days.shape)}."
            )

    def masked(self) -> Tensor:
        """Values, 0 wherever they are not valid, whatever lay behind the mask (NaN included)."""
        return torch.where(self.valid[:, :, None], self.values, torch.zeros((), dtype=self.values.dtype))

    def inner(self, footprint: Footprint, ratio: Ratio, shape: tuple[int, int]) -> "SourceTensor":
        """Cut to the map pixels of `shape` themselves, without their surroundings."""
        height, width = (-(-n * ratio.finer // ratio.coarser) for n in shape)
        part = (
            ...,
            slice(footprint.before, footprint.before + height),
            slice(footprint.before, footprint.before + width),
        )
        return SourceTensor(self.values[part], self.valid[part], self.days)

    def take(self, members: slice | Tensor) -> "SourceTensor":
        """Return some samples of the batch."""
        return SourceTensor(self.values[members], self.valid[members], self.days[members])

    def hidden(self) -> "SourceTensor":
        """Return the same with every date masked."""
        return SourceTensor(self.values, torch.zeros_like(self.valid), self.days)

    def to(self, device: torch.device) -> "SourceTensor":
        """Return the same on another device."""
        return SourceTensor(self.values.to(device), self.valid.to(device), self.days.to(device))


Batch = Mapping[str, SourceTensor]


def moved(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on another device."""
    return {name: tensor.to(device) for name, tensor in batch.items()}


Criterion = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, K) and labels (B,), or probabilities (B, K), → loss."""


@dataclass(frozen=True)
class Abilities:
    """What a network declares beyond logits."""

    any_source: bool = False
    """One source with a valid date at a pixel is enough to classify it; a batch may lack sources, and a scene may have other
    dates than those of the training."""
    fitted: bool = False
    """It is fitted to all samples at once (:meth:`Network.fit`), not by gradient descent."""
    attention: bool = False
    """It returns the weight of every date (:meth:`Network.attention`)."""
    encoder: bool = False
    """It has an encoder that learns without labels (:meth:`Network.fused`)."""


class Network(nn.Module):
    """Base of every network of the shelf.

    A subclass sets `inputs` and `footprints` in its constructor and defines :meth:`forward`. What else it can do, it
    declares in `abilities`, and defines the method that goes with it.
    """

    abilities: ClassVar[Abilities] = Abilities()
    heads_of_labels: ClassVar[tuple[str, ...]] = ()
    """Parts that only labels can train, by the first name of their parameters."""
    inputs: Mapping[str, InputSpec]
    """The sources that the network uses."""
    footprints: Mapping[str, Footprint]
    """Footprint in every source that the network uses, by the source's name."""
    width: int
    """Features of a map pixel that the class head sees; only with the ability `encoder`."""

    @property
    def any_source(self) -> bool:
        """Whether one source at a pixel is enough."""
        return self.abilities.any_source

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X) of every position whose footprint fits; 1 x 1 for exactly one footprint."""
        raise NotImplementedError

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss of one footprint per sample and labels (B,); by default the criterion on the logits."""
        return criterion(self(batch)[:, :, 0, 0], labels)

    def fit(self, batch: Batch, labels: Tensor, seed: int) -> None:
        """Learn from one footprint per sample and labels (B,), all at once."""
        raise NotImplementedError

    def attention(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the weight of every date (B, T) in each series, for the first map pixel; weights sum to 1."""
        raise NotImplementedError

    def fused(self, batch: Batch) -> Tensor:
        """Return the features (B, W, Y, X) that the class head sees."""
        raise NotImplementedError


class Adapted(Network):
    """A module from outside the package that has `footprints` and `forward` but is no :class:`Network`.

    Its other abilities are read from its attributes: ``any_source``, ``loss``, ``fit``, ``attention``, ``fused``. Parameters
    keep the names that the module gives them.
    """

    module: Any

    def __init__(self, module: Any, inputs: Mapping[str, InputSpec]) -> None:
        super().__init__()
        self.module = module
        self.footprints = module.footprints
        self.inputs = getattr(module, "inputs", {name: inputs[name] for name in self.footprints})
        self.abilities = Abilities(  # type: ignore[misc]
            bool(getattr(module, "any_source", False)),
            *(hasattr(module, name) for name in ("fit", "attention", "fused")),
        )
        self.heads_of_labels = tuple(getattr(module, "heads_of_labels", ()))  # type: ignore[misc]
        self.width = int(getattr(module, "width", 0))
        self.state_dict = self.module.state_dict  # type: ignore[method-assign]
        self.load_state_dict = self.module.load_state_dict  # type: ignore[method-assign]

    def forward(self, batch: Batch) -> Tensor:
        """Return the module's logits."""
        logits: Tensor = self.module(batch)
        return logits

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the module's own loss, if it has one."""
        own: Tensor | None = self.module.loss(batch, labels, criterion) if hasattr(self.module, "loss") else None
        return super().loss(batch, labels, criterion) if own is None else own

    def fit(self, batch: Batch, labels: Tensor, seed: int) -> None:
        """Fit the module."""
        self.module.fit(batch, labels, seed)

    def attention(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the module's attention."""
        weights: Mapping[str, Tensor] = self.module.attention(batch)
        return weights

    def fused(self, batch: Batch) -> Tensor:
        """Return the module's features."""
        features: Tensor = self.module.fused(batch)
        return features


@dataclass(frozen=True)
class Published:
    """How a paper's authors trained; the preset ``[training] preset = "published"``."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    keep: Literal["validation", "training", "last"] = "training"
    """Which weights are kept: best validation score, lowest training loss (no validation set), or the last."""
    scaling: Literal["mean-std", "min-max", "percentile"] = "min-max"
    class_weights: Literal["none", "balanced"] = "none"


@dataclass(frozen=True)
class Card:
    """What the shelf says of a network: ``CARD`` of its file."""

    paper: str
    """Authors, year, DOI; or what it stands for."""
    takes: str
    """Sources it takes, in words."""
    masks: str
    """What it does with a date or pixel that is not valid."""
    dense: Literal["exact", "patches"] = "exact"
    """Whether a window is computed as one piece, or patch by patch (padding inside the patch forbids more)."""
    same_dates: bool = False
    """Whether its weights are tied to the number of dates: it cannot map another series."""
    reconstruction: bool = False
    """Whether sizes that are not public were chosen by us."""
    published: Published | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the training that suit it better than the loop's own defaults."""
    example: Mapping[str, InputSpec] = field(default_factory=dict)
    """Sources of the published shape, for which its size and cost are counted."""


class Architecture(Protocol):
    """A file of ``models/``: a frozen ``Config``, a ``Model(inputs, n_classes, config)``; and a ``CARD``, if it has one."""

    @property
    def Config(self) -> type[Any]:  # noqa: N802 - a module's class
        """Its settings: what ``[model]`` may say beside ``name``."""

    @property
    def Model(self) -> Any:  # noqa: N802 - a module's class
        """``Model(inputs: Mapping[str, InputSpec], n_classes: int, config: Config)``, a :class:`Network`."""


UNKNOWN = Card("", "", "")
"""Card of an architecture that has none."""


def card_of(architecture: Architecture) -> Card:
    """Return the ``CARD`` of an architecture, or an empty one for code from outside that has none."""
    card: Card = getattr(architecture, "CARD", UNKNOWN)
    return card


def build(architecture: Architecture, inputs: Mapping[str, InputSpec], n_classes: int, config: Any) -> Network:
    """Build a network for these sources; a module from outside is wrapped as :class:`Adapted`.

    Raises
    ------
    ModelError
        The network cannot work with these sources or settings.
    """
    model = architecture.Model(inputs, n_classes, config)
    return model if isinstance(model, Network) else Adapted(model, inputs)


def output_shape(batch: Batch, footprints: Mapping[str, Footprint], inputs: Mapping[str, InputSpec]) -> tuple[int, int]:
    """Rows and columns of logits that a batch allows.

    Raises
    ------
    ModelError
        A source is missing from the batch, or smaller than one footprint.
    """
    sizes = {}
    for name, footprint in footprints.items():
        if name not in batch:
            raise ModelError(f"The network needs the source '{name}'; the batch holds {', '.join(batch) or 'none'}.")
        sizes[name] = cast(tuple[int, int], tuple(batch[name].values.shape[-2:]))
        if min(sizes[name]) < footprint.size:
            raise ModelError(f"Source '{name}': a footprint takes {footprint.size} pixels a side, found {sizes[name]}.")
    if all(sizes[name] == (f.size, f.size) for name, f in footprints.items()):
        return 1, 1
    rows = min(f.positions(sizes[n][0], inputs[n].ratio) for n, f in footprints.items())
    cols = min(f.positions(sizes[n][1], inputs[n].ratio) for n, f in footprints.items())
    return rows, cols


def repeat_to(tensor: Tensor, ratio: Ratio, shape: tuple[int, int]) -> Tensor:
    """Repeat a coarser source's pixels over the map pixels that they cover, cut to `shape`."""
    if ratio.coarser > 1:
        tensor = tensor.repeat_interleave(ratio.coarser, -2).repeat_interleave(ratio.coarser, -1)
    return tensor[..., : shape[0], : shape[1]]


def choose(
    inputs: Mapping[str, InputSpec], wanted: str, kind: Literal["series", "image"], who: str, key: str
) -> InputSpec:
    """Return the source called `wanted`, or the only series (or image) there is.

    Raises
    ------
    ModelError
        There is none of that name or kind, or several; the message says which setting decides.
    """
    if wanted:
        if wanted not in inputs:
            raise ModelError(
                f"{who}: no source is called '{wanted}'; there are {', '.join(inputs)}. Say which with model.{key}."
            )
        spec = inputs[wanted]
        if (spec.dates > 1) != (kind == "series"):
            raise ModelError(
                f"{who}: model.{key} is {_a(kind)}; '{wanted}' has {spec.dates} date{'s' * (spec.dates > 1)}."
            )
        return spec
    found = [spec for spec in inputs.values() if (spec.dates > 1) == (kind == "series")]
    if len(found) != 1:
        if not found:
            there = ", ".join(f"'{s.name}' has {s.dates} date{'s' * (s.dates > 1)}" for s in inputs.values())
            raise ModelError(f"{who} needs {_a(kind)}; found 0: {there}.")
        names = ", ".join(spec.name for spec in found)
        raise ModelError(f"{who} works on one {kind}; found {len(found)} ({names}): say which with model.{key}.")
    return found[0]


def _a(kind: str) -> str:
    return "a series of several dates" if kind == "series" else "an image of one date"


def centred(size: int, spec: InputSpec) -> Footprint:
    """Return the footprint of `size` pixels a side around the map pixel."""
    return Footprint(size, max(0, size - spec.ratio.finer) // 2)


def pixel_footprint(spec: InputSpec) -> Footprint:
    """Return the footprint of a network without context: the map pixel itself."""
    return Footprint(spec.ratio.finer)


def at_map_pixels(tensor: SourceTensor, spec: InputSpec, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Bring a source to one series per map pixel: the mean of finer pixels, the repeat of coarser ones.

    Returns
    -------
    values : (B, T, C, Y, X), 0 where not valid
    valid : (B, T, Y, X)
    """
    values, valid = pooled(tensor, spec)
    return repeat_to(values, spec.ratio, shape), repeat_to(valid, spec.ratio, shape)


def pooled(tensor: SourceTensor, spec: InputSpec) -> tuple[Tensor, Tensor]:
    """Take the mean of finer pixels, for one series per map pixel; coarser pixels stay as they are.

    Returns
    -------
    values : (B, T, C, Y, X), 0 where not valid
    valid : (B, T, Y, X)
    """
    values, valid = tensor.masked(), tensor.valid
    f = spec.ratio.finer
    if f > 1:
        share = functional.avg_pool2d(valid.to(values.dtype), f)
        means = functional.avg_pool2d(values.flatten(1, 2), f).reshape(*values.shape[:3], *share.shape[-2:])
        values, valid = means / share.clamp_min(1 / (2 * f * f))[:, :, None], share > 0
    return values, valid


def seen_by(
    batch: Batch, footprints: Mapping[str, Footprint], inputs: Mapping[str, InputSpec], shape: tuple[int, int]
) -> dict[str, Tensor]:
    """Whether each source has a valid date at the map pixels themselves: bool (B, Y, X)."""
    found = {}
    for name, footprint in footprints.items():
        ratio = inputs[name].ratio
        seen = batch[name].inner(footprint, ratio, shape).valid.any(1, keepdim=True)
        if ratio.finer > 1:
            seen = functional.max_pool2d(seen.float(), ratio.finer) > 0
        found[name] = repeat_to(seen, ratio, shape)[:, 0]
    return found


def window_positions(window: Window, inputs: Mapping[str, InputSpec]) -> Window:
    """Grow a map window so that it starts at a multiple of every coarser ratio, as a dense forward needs."""
    step = math.lcm(*(spec.ratio.coarser for spec in inputs.values())) if inputs else 1
    y, x = window.y // step * step, window.x // step * step
    return Window(y, x, window.height + window.y - y, window.width + window.x - x)
