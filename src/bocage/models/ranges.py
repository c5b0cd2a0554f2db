"""Ranges of settings, for ``__post_init__``: what is out of range is named, with its value."""

from typing import Any


def at_least(config: Any, **least: float) -> None:
    """Refuse settings below a bound.

    Raises
    ------
    ValueError
        One is.
    """
    for name, bound in least.items():
        value = getattr(config, name)
        if (min(value, default=bound) if isinstance(value, tuple) else value) < bound:
            raise ValueError(f"'{name}' is at least {bound:g}; found {value}")


def shares(config: Any, *names: str) -> None:
    """Refuse settings that are no share: from 0 to below 1.

    Raises
    ------
    ValueError
        One is not.
    """
    for name in names:
        if not 0 <= getattr(config, name) < 1:
            raise ValueError(f"'{name}' lies between 0 and 1; found {getattr(config, name)}")


def odd(config: Any, *names: str) -> None:
    """Refuse sides of kernels and patches that have no middle.

    Raises
    ------
    ValueError
        One is even.
    """
    for name in names:
        if getattr(config, name) % 2 == 0:
            raise ValueError(f"'{name}' is odd; found {getattr(config, name)}")
