"""Range checks of settings, for ``__post_init__``; errors name the setting and its value."""

from typing import Any


def at_least(config: Any, **least: float) -> None:
    """Check that settings, or all entries of tuples, are at least a bound.

    Raises
    ------
    ValueError
        A setting is below its bound.
    """
    for name, bound in least.items():
        value = getattr(config, name)
        if (min(value, default=bound) if isinstance(value, tuple) else value) < bound:
            raise ValueError(f"'{name}' must be at least {bound:g}; found {value}")


def shares(config: Any, *names: str) -> None:
    """Check that settings are shares: from 0 to below 1.

    Raises
    ------
    ValueError
        A setting is out of this range.
    """
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"'{name}' must be at least 0 and below 1; found {getattr(config, name)}")


def odd(config: Any, *names: str) -> None:
    """Check that sides of kernels and patches are odd, so that they have a centre pixel.

    Raises
    ------
    ValueError
        A side is even.
    """
    for name in names:
        if getattr(config, name) % 2 == 0:
            raise ValueError(f"'{name}' must be odd; found {getattr(config, name)}")
