"""The texts of one language, and its way to write numbers."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources

LANGUAGES = ("en", "fr")
THIN = "\u202f"
"""Narrow no-break space, between groups of three digits."""
HUGE = 1e15
"""Number from which an exponent is easier to read than the digits."""


@cache
def words_of(language: str) -> Mapping[str, str]:
    """Return every text in one language, by its key: ``words/<language>.toml``. All languages have the same keys."""
    text = resources.files("bocage").joinpath("words", f"{language}.toml").read_text(encoding="utf-8")
    words: dict[str, str] = tomllib.loads(text)
    return words


def localised(text: str, language: str) -> str:
    """Rewrite a number with the marks of a language: in French a decimal comma, and thousands in groups.

    >>> localised("1234.5", "en"), localised("1234.5", "fr")
    ('1234.5', '1\\u202f234,5')
    """
    if language != "fr":
        return text
    integer, point, decimals = text.partition(".")
    return grouped(integer) + (words_of(language)["decimal_mark"] + decimals if point else "")


def grouped(digits: str) -> str:
    """Separate the thousands of an integer by narrow no-break spaces.

    >>> grouped("-1234567")
    '-1\\u202f234\\u202f567'
    """
    return re.sub(r"(?<=\d)(?=(\d{3})+$)", THIN, digits)


def number(value: float | None, language: str, digits: int = 3) -> str:
    """Write a number with fixed decimals; a dash for None and NaN.

    >>> number(0.1234, "fr"), number(None, "en")
    ('0,123', '–')
    """
    if value is None or value != value:  # noqa: PLR0124 - NaN
        return "–"
    return localised(f"{value:.{digits}f}", language)


def significant(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits, in English; a large one without an exponent.

    >>> significant(0.12345), significant(123456), significant(1e20)
    ('0.123', '123000', '1e+20')
    """
    return without_exponent(f"{value:.{digits}g}")


def without_exponent(text: str) -> str:
    """Write out a number of the format ``g`` that is large, but below a quadrillion.

    >>> without_exponent("1.2e+04"), without_exponent("1.2e-05"), without_exponent("12")
    ('12000', '1.2e-05', '12')
    """
    if "e+" not in text or abs(float(text)) >= HUGE:
        return text
    return f"{float(text):{'+.0f' if text.startswith('+') else '.0f'}}"


def whole(value: float, language: str) -> str:
    """Write a count, without decimals.

    >>> whole(12345, "en"), whole(12345, "fr")
    ('12345', '12\\u202f345')
    """
    return number(value, language, 0)


def percent(share: float | None, language: str, digits: int = 1) -> str:
    """Write a share (0 to 1) as a percentage with its sign; a dash for None and NaN.

    >>> percent(0.8125, "en"), percent(0.8125, "fr")
    ('81.2 %', '81,2\\xa0%')
    """
    if share is None or share != share:  # noqa: PLR0124 - NaN
        return "–"
    return words_of(language)["percentage"].format(value=number(100 * share, language, digits))


def spread(mean: float | None, std: float | None, language: str, digits: int = 3) -> str:
    """Write a mean and its standard deviation over the draws.

    >>> spread(0.8, 0.05, "en"), spread(0.8, None, "fr")
    ('0.800 ± 0.050', '0,800')
    """
    if mean is None or std is None:
        return number(mean, language, digits)
    return words_of(language)["mean_spread"].format(
        mean=number(mean, language, digits), std=number(std, language, digits)
    )


def quantity(n: int, noun: str, one: str = "", several: str = "") -> str:
    """Write a number with its noun, and its verb, in English, as messages do: in the plural unless it is 1.

    >>> quantity(1, "pixel"), quantity(0, "pixel"), quantity(1, "zone", "is", "are")
    ('1 pixel', '0 pixels', '1 zone is')
    """
    return f"{n} {noun}{'s' * (n != 1)} {one if n == 1 else several}".rstrip()
