"""The texts of one language, and its way to write numbers."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

LANGUAGES = ("en", "fr")


@cache
def words_of(language: str) -> Mapping[str, str]:
    """Return every text in one language, by its key: ``words/<language>.toml``. All languages have the same keys."""
    text = resources.files("bocage").joinpath("words", f"{language}.toml").read_text(encoding="utf-8")
    words: dict[str, str] = tomllib.loads(text)
    return words


def number(value: float | None, language: str, digits: int = 3) -> str:
    """Write a number with fixed decimals, with a decimal comma in French; a dash for None and NaN.

    >>> number(0.1234, "fr"), number(None, "en")
    ('0,123', '–')
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace(".", ",") if language == "fr" else text


def spread(mean: float | None, std: float | None, language: str) -> str:
    """Write a mean and its standard deviation over the draws.

    >>> spread(0.8, 0.05, "en"), spread(0.8, None, "fr")
    ('0.800 ± 0.050', '0,800')
    """
    return number(mean, language) + ("" if mean is None or std is None else f" ± {number(std, language)}")
