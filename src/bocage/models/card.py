"""Description of a network without PyTorch: its sources, footprints, capabilities, card and settings."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from bocage.grid import Ratio, Window


@dataclass(frozen=True)
class InputSpec:
    """Description of a source, from which a network is built."""

    name: str
    bands: tuple[str, ...]
    dates: int
    """Number of dates; 1 for an image."""
    ratio: Ratio
    """Ratio of pixel sizes between the map grid and the source grid."""
    regular: bool = True
    """True for gap-filled dates of a declared calendar, False for acquisition dates with a mask."""
    points: bool = False
    """Whether the source is a table of single pixels without spatial context."""


@dataclass(frozen=True)
class Footprint:
    """Pixels of a source that a map pixel needs: `size` a side, starting `before` pixels above and left of the anchor."""

    size: int
    before: int = 0

    def window(self, window: Window, ratio: Ratio) -> Window:
        """Return the window of the source, including the halo, for a window of the map."""
        inner = ratio.window(window)
        f = ratio.finer
        return Window(
            inner.y - self.before,
            inner.x - self.before,
            inner.height - f + self.size,
            inner.width - f + self.size,
        )

    def of_window(self, side: int, ratio: Ratio) -> "Footprint":
        """Return the pixels of a window of `side` map pixels, of which each needs this footprint."""
        return Footprint(side * ratio.finer // ratio.coarser - ratio.finer + self.size, self.before)

    def positions(self, pixels: int, ratio: Ratio) -> int:
        """Return the number of map pixels a side for `pixels` of the source; an upper bound for a coarser source."""
        return ((pixels - self.size) // ratio.finer + 1) * ratio.coarser


@dataclass(frozen=True)
class Abilities:
    """Optional capabilities that a network declares."""

    any_source: bool = False
    """The network tolerates missing sources: one source with a valid date is enough to classify a pixel, a batch can lack
    sources, and the dates of a scene can differ from those of the training."""
    fitted: bool = False
    """The model is fitted to all samples at once (:meth:`Network.fit`) instead of by gradient descent."""
    attention: bool = False
    """The network returns the weight of each date (:meth:`Network.attention`)."""
    encoder: bool = False
    """The network has an encoder that can be pretrained without labels (:meth:`Network.fused`)."""
    weighted: bool = False
    """The model is fitted to samples with weights: :meth:`Network.fit` takes them."""


@dataclass(frozen=True)
class Published:
    """Training settings of a paper, for the preset ``[training] preset = "published"``."""

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.0
    keep: Literal["validation", "training", "last"] = "training"
    """Weights to keep: those of the best validation score, of the lowest training loss (no validation set), or the last."""
    scaling: Literal["mean-std", "min-max", "percentile"] = "min-max"
    class_weights: Literal["none", "balanced"] = "none"


@dataclass(frozen=True)
class Card:
    """Description of a network: ``CARD`` of its module."""

    paper: str
    """Authors, year and DOI, or a description of the method."""
    takes: str
    """Input sources, in words."""
    masks: str
    """Treatment of invalid dates and pixels, in words."""
    dense: Literal["exact", "patches"] = "exact"
    """``exact``: a window is computed in one pass. ``patches``: patch by patch, because the network pads its patches."""
    same_dates: bool = False
    """Whether the shape of the weights depends on the number of dates, so that the network cannot map another series. Such a
    model compares the values of all pixels at the same dates."""
    fitted: bool = False
    """Whether the model is fitted to all samples at once, without epochs, as ``Abilities.fitted`` of its class."""
    windows: bool = False
    """Whether the network segments windows: it is trained on windows (``[training] window``), never on single pixels."""
    reconstruction: bool = False
    """Whether layer sizes that are not published were chosen in this package."""
    published: Published | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    """Default training settings of the network, in place of the general defaults."""
    example: Mapping[str, InputSpec] = field(default_factory=dict)
    """Sources of the published shape, for which size and cost are computed."""


class Architecture(Protocol):
    """Module of a network: a frozen ``Config``, a ``Model(inputs, n_classes, config)`` and, optionally, a ``CARD``."""

    @property
    def Config(self) -> type[Any]:  # noqa: N802 - a module's class
        """Settings of the network: the keys of ``[model]`` except ``name``."""

    @property
    def Model(self) -> Any:  # noqa: N802 - a module's class
        """``Model(inputs: Mapping[str, InputSpec], n_classes: int, config: Config)``, a :class:`Network`."""


def no_architecture(thing: Any) -> str:
    """Return why an object from outside the package is not a network; empty if it may be one."""
    config = getattr(thing, "Config", None)
    if not (isinstance(config, type) and dataclasses.is_dataclass(config)):
        return "it has no dataclass 'Config'"
    return "" if callable(getattr(thing, "Model", None)) else "it has no 'Model'"


UNKNOWN = Card("", "", "")
"""Card of an architecture without ``CARD``."""


def card_of(architecture: Architecture) -> Card:
    """Return the ``CARD`` of an architecture, or an empty card for external code without one."""
    card: Card = getattr(architecture, "CARD", UNKNOWN)
    return card


def card_for(architecture: Architecture, config: Any) -> Card:
    """Return the card of an architecture with the settings `config`, which matter if it consists of other networks."""
    card_with: Callable[[Any], Card] | None = getattr(architecture, "card_with", None)
    return card_with(config) if card_with else card_of(architecture)


Norm = Literal["batch", "affine", "group", "layer"]
"""Normalisation after a layer.

"batch" learns the statistics of the batches. "affine" applies a scale and a shift only, as the released code of these
papers does (its batch normalisation never left inference mode). "group" and "layer" normalise the channels of each
position, in groups of about 16 channels or all together, and do not depend on the batch."""

Gaps = Literal["missing", "linear"]
"""Treatment of masked dates in series of native dates: missing values, or linear interpolation in time."""
