"""Interface of a network: input tensors, logits, and the footprint of a map pixel in each source.

Geometry: the anchor of map pixel ``i`` in a source is the source pixel ``i * finer // coarser``. The footprint is the
``size`` pixels that start ``before`` pixels above and left of the anchor. A window larger than one footprint starts at a
map pixel that is a multiple of every ``coarser``.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from bocage.errors import ModelError
from bocage.grid import Ratio, Window
from bocage.models.card import Abilities, Architecture, Footprint, InputSpec
from bocage.words import quantity


@dataclass(frozen=True)
class SourceTensor:
    """Pixels of one source for a batch; the constructor checks the shapes.

    Raises
    ------
    ModelError
        The shapes are inconsistent.
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
                "The tensors of a source must be values (B, T, C, Y, X), valid (B, T, Y, X) and days (B, T); found "
                f"{tuple(self.values.shape)}, {tuple(self.valid.shape)} and {tuple(self.days.shape)}."
            )

    def masked(self) -> Tensor:
        """Return the values with 0 in place of invalid values (including NaN)."""
        return torch.where(self.valid[:, :, None], self.values, torch.zeros((), dtype=self.values.dtype))

    def inner(self, footprint: Footprint, ratio: Ratio, shape: tuple[int, int]) -> "SourceTensor":
        """Return the tensor cropped to the map pixels of `shape`, without the halo."""
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
        """Return the tensor with all dates masked."""
        return SourceTensor(self.values, torch.zeros_like(self.valid), self.days)

    def to(self, device: torch.device) -> "SourceTensor":
        """Return the tensor on another device."""
        return SourceTensor(self.values.to(device), self.valid.to(device), self.days.to(device))


Batch = Mapping[str, SourceTensor]


def moved(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on another device."""
    return {name: tensor.to(device) for name, tensor in batch.items()}


@dataclass(frozen=True)
class Positions:
    """Map pixels of the windows of a batch."""

    window: Tensor
    """int (N,), position of the window in the batch."""
    row: Tensor
    """int (N,), from the top of the window."""
    column: Tensor
    """int (N,), from the left of the window."""

    @classmethod
    def first(cls, labels: Tensor) -> "Positions":
        """Return the only pixel of each of the footprints that have `labels` (B,)."""
        window = torch.arange(len(labels), device=labels.device)
        return cls(window, torch.zeros_like(window), torch.zeros_like(window))

    def of(self, maps: Tensor) -> Tensor:
        """Return the values (N, K) of maps (B, K, Y, X) at the pixels."""
        return maps[self.window, :, self.row, self.column]

    def to(self, device: torch.device) -> "Positions":
        """Return the positions on another device."""
        return Positions(self.window.to(device), self.row.to(device), self.column.to(device))


Criterion = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, K) and labels (B,), or probabilities (B, K), → loss."""


class Network(nn.Module):
    """Base class of the networks of the package.

    A subclass sets `inputs` and `footprints` in its constructor and defines :meth:`forward`. It declares each optional
    capability in `abilities` and defines the corresponding method.
    """

    abilities: ClassVar[Abilities] = Abilities()
    heads_of_labels: ClassVar[tuple[str, ...]] = ()
    """Parts that need labels for training: first component of the names of their parameters."""
    inputs: Mapping[str, InputSpec]
    """The sources that the network uses."""
    footprints: Mapping[str, Footprint]
    """Name of each source that the network uses → footprint."""
    width: int
    """Number of features of a map pixel at the input of the class head; only with the ability `encoder`."""
    step: int = 1
    """A window of the map starts at a multiple of this number of map pixels, as the pooling of the network needs."""

    @property
    def window_footprints(self) -> Mapping[str, Footprint]:
        """The footprint of a map pixel in each source from which :meth:`dense` computes the windows of a training."""
        return self.footprints

    @property
    def any_source(self) -> bool:
        """Whether the network tolerates missing sources."""
        return self.abilities.any_source

    @property
    def by_position(self) -> frozenset[str]:
        """Series of which the network knows the order of the dates, or the days since the first, but not the day of the year.

        A network that uses the days of a source (``SourceTensor.days``) as days of the year leaves this source out.
        """
        return frozenset(name for name, spec in self.inputs.items() if spec.dates > 1)

    @property
    def by_every_date(self) -> frozenset[str]:
        """Series of which a date without a valid pixel may change the logits: it moves the others, or is the first day."""
        return self.by_position

    def use_scaling(self, offset: Mapping[str, Sequence[float]], scale: Mapping[str, Sequence[float]]) -> None:
        """Receive, before the training, offset and scale of the bands of each source: physical value = value * scale + offset.

        By default, a network does not use physical values.
        """

    def slow_because(self, device: torch.device) -> str:
        """Return why this computer computes windows in a slower form, as a sentence; empty if it does not."""
        return ""

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X) of each map pixel whose footprint is inside the batch; 1 x 1 for one footprint."""
        raise NotImplementedError

    def dense(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X) of windows read with `window_footprints`; by default, those of :meth:`forward`."""
        logits: Tensor = self(batch)
        return logits

    @property
    def dense_loss(self) -> bool:
        """Whether :meth:`loss_at` is the network's own loss: a class that redefines only :meth:`loss` has none for windows."""
        return type(self).loss is Network.loss

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss for one footprint per sample and labels (B,): that of windows of one map pixel."""
        return self.loss_at(batch, Positions.first(labels), labels, criterion)

    def loss_at(self, batch: Batch, at: Positions, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss for windows, of which the pixels `at` have labels (N,); by default, the criterion of the logits."""
        return criterion(at.of(self.dense(batch)), labels)

    def fit(self, batch: Batch, labels: Tensor, seed: int, weights: Tensor | None = None) -> None:
        """Fit the model to all samples: one footprint per sample, labels (B,), and weights (B,) if it takes weights."""
        raise NotImplementedError

    def fit_part(self, batch: Batch, labels: Tensor, seed: int, weights: Tensor | None) -> None:
        """Fit the model, with the weights (B,) of the samples if it takes weights (``Abilities.weighted``)."""
        if weights is None or not self.abilities.weighted:
            self.fit(batch, labels, seed)
        else:
            self.fit(batch, labels, seed, weights)

    def attention(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return, for each series, the weights of the dates (B, T) at the first map pixel; they sum to 1."""
        raise NotImplementedError

    def fused(self, batch: Batch) -> Tensor:
        """Return the features (B, W, Y, X) at the input of the class head."""
        raise NotImplementedError


class Adapted(Network):
    """Adapter of an external module with `footprints` and `forward` that is not a :class:`Network`.

    Optional capabilities are detected from the attributes of the module: ``any_source``, ``loss``, ``fit``, ``attention``,
    ``fused``. Of an undeclared ``by_position``, nothing is assumed. The names of the parameters are those of the module.
    """

    module: Any

    def __init__(self, module: Any, inputs: Mapping[str, InputSpec], outputs: int) -> None:
        super().__init__()
        self.module, self.outputs = module, outputs
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
        self.register_load_state_dict_pre_hook(_inside)  # type: ignore[no-untyped-call]

    @property
    def by_position(self) -> frozenset[str]:
        """The series that the module declares."""
        return frozenset(getattr(self.module, "by_position", ()))

    @property
    def by_every_date(self) -> frozenset[str]:
        """The series that the module declares as compared by position; all series, if it declares nothing."""
        return self.by_position if hasattr(self.module, "by_position") else super().by_position

    def forward(self, batch: Batch) -> Tensor:
        """Return the module's logits.

        Raises
        ------
        ModelError
            It returns no tensor, or one of another shape than ``outputs`` logits for every map pixel of the batch.
        """
        logits = self.module(batch)
        here = {name: footprint for name, footprint in self.footprints.items() if name in batch}
        shape = (len(next(iter(batch.values())).values), self.outputs, *output_shape(batch, here, self.inputs))
        if not isinstance(logits, Tensor) or tuple(logits.shape) != shape:
            what = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
            raise ModelError(
                f"forward of {type(self.module).__qualname__} returns {what}; logits of shape {shape} are expected: samples, "
                "classes, rows and columns of the map. bocage.testing.check_model tests a network."
            )
        return logits

    @property
    def dense_loss(self) -> bool:
        """Whether the module has no loss of its own, which would be for single footprints."""
        return not hasattr(self.module, "loss")

    def loss(self, batch: Batch, labels: Tensor, criterion: Criterion) -> Tensor:
        """Return the loss of the module, or the default loss if the module has no loss."""
        own: Tensor | None = self.module.loss(batch, labels, criterion) if hasattr(self.module, "loss") else None
        return super().loss(batch, labels, criterion) if own is None else own

    def fit(self, batch: Batch, labels: Tensor, seed: int, weights: Tensor | None = None) -> None:
        """Fit the module; it takes no weights."""
        self.module.fit(batch, labels, seed)

    def attention(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the module's attention."""
        weights: Mapping[str, Tensor] = self.module.attention(batch)
        return weights

    def fused(self, batch: Batch) -> Tensor:
        """Return the module's features."""
        features: Tensor = self.module.fused(batch)
        return features


def _inside(module: nn.Module, weights: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give the weights of an adapted module, as a part of another network, the names that PyTorch expects."""
    for key in [key for key in weights if key.startswith(prefix)]:
        weights[f"{prefix}module.{key.removeprefix(prefix)}"] = weights.pop(key)


def build(
    architecture: Architecture, inputs: Mapping[str, InputSpec], n_classes: int, config: Any, parcels: bool = False
) -> Network:
    """Return a network for these sources; an external module is wrapped in :class:`Adapted`.

    With `parcels`, it delineates parcels too (:mod:`.parcels`).

    Raises
    ------
    ModelError
        The network does not support these sources or settings.
    """
    from bocage.models.parcels import OUTPUTS, Delineating  # it imports this module

    outputs = n_classes + len(OUTPUTS) * parcels
    model = architecture.Model(inputs, outputs, config)
    network = model if isinstance(model, Network) else Adapted(model, inputs, outputs)
    return Delineating(network, n_classes) if parcels else network


def output_shape(batch: Batch, footprints: Mapping[str, Footprint], inputs: Mapping[str, InputSpec]) -> tuple[int, int]:
    """Return the number of rows and columns of logits for a batch.

    Raises
    ------
    ModelError
        A source is missing from the batch, or smaller than one footprint.
    """
    sizes = {}
    for name, footprint in footprints.items():
        if name not in batch:
            raise ModelError(
                f"The network needs the source '{name}'. Sources of the batch: {', '.join(batch) or 'none'}."
            )
        sizes[name] = cast(tuple[int, int], tuple(batch[name].values.shape[-2:]))
        if min(sizes[name]) < footprint.size:
            raise ModelError(
                f"Source '{name}': the footprint needs {footprint.size} pixels a side; found {sizes[name]}."
            )
    if all(sizes[name] == (f.size, f.size) for name, f in footprints.items()):
        return 1, 1
    rows = min(f.positions(sizes[n][0], inputs[n].ratio) for n, f in footprints.items())
    cols = min(f.positions(sizes[n][1], inputs[n].ratio) for n, f in footprints.items())
    return rows, cols


def repeat_to(tensor: Tensor, ratio: Ratio, shape: tuple[int, int]) -> Tensor:
    """Return the pixels of a coarser source repeated over the map pixels that they cover, cropped to `shape`.

    A pixel is repeated at most to the size of `shape`: that of a climate grid covers thousands of map pixels a side.
    """
    for axis, size in zip((-2, -1), shape, strict=True):
        if ratio.coarser > 1:
            needed = min(-(-size // ratio.coarser), tensor.shape[axis])
            tensor = tensor.narrow(axis, 0, needed).repeat_interleave(min(ratio.coarser, size), axis)
        tensor = tensor.narrow(axis, 0, min(size, tensor.shape[axis]))
    return tensor


def choose(
    inputs: Mapping[str, InputSpec], wanted: str, kind: Literal["series", "image"], who: str, key: str
) -> InputSpec:
    """Return the source named `wanted`, or the only series (or image) of the inputs.

    Raises
    ------
    ModelError
        No source has this name or kind, or several have this kind. The message names the setting.
    """
    if wanted:
        if wanted not in inputs:
            raise ModelError(f"{who}: no source is called '{wanted}'. Sources: {', '.join(inputs)}. Set model.{key}.")
        spec = inputs[wanted]
        if (spec.dates > 1) != (kind == "series"):
            raise ModelError(f"{who}: model.{key} must be {_a(kind)}; '{wanted}' has {quantity(spec.dates, 'date')}.")
        return spec
    found = [spec for spec in inputs.values() if (spec.dates > 1) == (kind == "series")]
    if len(found) != 1:
        if not found:
            listed = ", ".join(f"'{s.name}' has {quantity(s.dates, 'date')}" for s in inputs.values())
            raise ModelError(f"{who} needs {_a(kind)}; found 0: {listed}.")
        names = ", ".join(spec.name for spec in found)
        raise ModelError(f"{who} needs exactly one {kind}; found {len(found)} ({names}). Set model.{key}.")
    return found[0]


def _a(kind: str) -> str:
    return "a series of several dates" if kind == "series" else "an image of one date"


def centred(size: int, spec: InputSpec) -> Footprint:
    """Return the footprint of `size` pixels a side, centred on the map pixel."""
    return Footprint(size, max(0, size - spec.ratio.finer) // 2)


def pixel_footprint(spec: InputSpec) -> Footprint:
    """Return the footprint of a network without spatial context: the map pixel."""
    return Footprint(spec.ratio.finer)


def at_map_pixels(tensor: SourceTensor, spec: InputSpec, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return a source as one series per map pixel: the mean of finer pixels, or repeated coarser pixels.

    Returns
    -------
    values : (B, T, C, Y, X), 0 where not valid
    valid : (B, T, Y, X)
    """
    values, valid = pooled(tensor, spec)
    return repeat_to(values, spec.ratio, shape), repeat_to(valid, spec.ratio, shape)


def pooled(tensor: SourceTensor, spec: InputSpec) -> tuple[Tensor, Tensor]:
    """Return a source with finer pixels averaged to map pixels; coarser pixels are unchanged.

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
    """Return, for each source, whether it has a valid date at each map pixel: bool (B, Y, X)."""
    found = {}
    for name, footprint in footprints.items():
        ratio = inputs[name].ratio
        seen = batch[name].inner(footprint, ratio, shape).valid.any(1, keepdim=True)
        if ratio.finer > 1:
            seen = functional.max_pool2d(seen.float(), ratio.finer) > 0
        found[name] = repeat_to(seen, ratio, shape)[:, 0]
    return found


def last_days(
    batch: Batch, footprints: Mapping[str, Footprint], inputs: Mapping[str, InputSpec], shape: tuple[int, int]
) -> Tensor:
    """Return the day of the last valid date of each map pixel in the series `footprints`, float64 (B, Y, X); −∞ without one."""
    found = []
    for name, footprint in footprints.items():
        ratio = inputs[name].ratio
        tensor = batch[name].inner(footprint, ratio, shape)
        days = torch.where(tensor.valid, tensor.days[:, :, None, None].double(), -math.inf).amax(1, keepdim=True)
        if ratio.finer > 1:
            days = functional.max_pool2d(days, ratio.finer)
        found.append(repeat_to(days, ratio, shape)[:, 0])
    return torch.stack(found).amax(0)


def step_of(inputs: Mapping[str, InputSpec], step: int = 1) -> int:
    """Return the number of map pixels at whose multiples a window starts: of every ``coarser`` and of the network's `step`."""
    return math.lcm(step, *(spec.ratio.coarser for spec in inputs.values()))


def window_positions(window: Window, inputs: Mapping[str, InputSpec], step: int = 1) -> Window:
    """Return a map window extended to start where a dense forward pass needs it (:func:`step_of`)."""
    step = step_of(inputs, step)
    y, x = window.y // step * step, window.x // step * step
    return Window(y, x, window.height + window.y - y, window.width + window.x - x)
