"""Ranges of settings: a number in a dataclass of settings states its range in its annotation, and ``__post_init__`` checks it.

::

    epochs: Annotated[int, Range(1, 100_000)] = 100

Upper bounds are far above any use; they find a slip of the keyboard before it costs hours or memory.
"""

import functools
import math
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Range:
    """Range of a number, or of the numbers in a tuple or mapping."""

    low: float
    high: float
    above: bool = False
    """Whether `low` itself is excluded."""
    below: bool = False
    """Whether `high` itself is excluded."""
    odd: bool = False
    """Whether the number must be odd: sides of kernels and patches have a centre pixel."""
    nan: bool = False
    """Whether NaN is permitted: nodata values."""
    alone: bool = False
    """Whether the range is that of a number, and not of the numbers in a list that can be given instead."""

    def holds(self, value: float) -> bool:
        """Return whether a number is in the range."""
        if isinstance(value, float) and math.isnan(value):
            return self.nan
        least = self.low < value if self.above else self.low <= value
        most = value < self.high if self.below else value <= self.high
        return least and most and not (self.odd and value % 2 == 0)

    def __str__(self) -> str:
        least = f"above {_shown(self.low)}" if self.above else f"at least {_shown(self.low)}"
        most = f"below {_shown(self.high)}" if self.below else f"at most {_shown(self.high)}"
        return f"{'odd, ' if self.odd else ''}{least} and {most}"


SHARE = Range(0, 1, below=True)
"""A share that may be 0."""
SEED = Range(0, 2**32 - 1)
"""A seed of NumPy, scikit-learn and PyTorch."""
STORED = Range(-1.7976931348623157e308, 1.7976931348623157e308, nan=True)
"""A stored nodata value."""
VALUE = Range(-(2**63), 2**63 - 1)
"""A reference value or a value of a quality layer."""


def check_ranges(settings: Any) -> None:
    """Check every number of a dataclass whose annotation states a range.

    Raises
    ------
    ValueError
        Numbers are out of their range; the message names all of them.
    """
    wrong = [
        f"'{name}' must be {permitted}; found {_shown(value)}"
        for name, permitted in ranges_of(settings.__class__).items()
        for value in [getattr(settings, name)]
        if not (permitted.alone and isinstance(value, tuple))
        if not all(permitted.holds(number) for number in _numbers(value))
    ]
    if wrong:
        raise ValueError("; ".join(wrong))


@functools.cache
def ranges_of(kind: Hashable) -> dict[str, Range]:
    """Return field → range, for the fields of a dataclass whose annotation states a range."""
    hints = get_type_hints(kind, include_extras=True)
    noted = {name: get_args(hint)[1:] for name, hint in hints.items() if get_origin(hint) is Annotated}
    return {name: note for name, notes in noted.items() for note in notes if isinstance(note, Range)}


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = tuple(value.values())
    for one in value if isinstance(value, tuple | list) else (value,):
        if isinstance(one, int | float):
            yield one


def _shown(value: Any) -> str:
    """Return a number as people write it, and anything else in at most 60 characters."""
    if isinstance(value, int) and abs(value) < 1e15:
        return str(value)
    if isinstance(value, int) or (isinstance(value, float) and not math.isnan(value)):
        return f"{value:.7g}" if abs(value) < 1e15 else f"{float(value):g}" if abs(value) < 1e300 else "a huge number"
    return str(value)[:60]
