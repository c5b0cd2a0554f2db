"""Templates → files: one page that holds its style and its pictures, in the reader's language."""

import os
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

LANGUAGES = ("en", "fr")


@cache
def words_of(language: str) -> Mapping[str, str]:
    """Return every text of the pages in one language, by its key: ``words/<language>.toml``."""
    text = resources.files("bocage.report").joinpath(f"words/{language}.toml").read_text(encoding="utf-8")
    found: dict[str, str] = tomllib.loads(text)
    return found


def render(template: str, language: str, path: Path, context: Mapping[str, Any]) -> Path:
    """Fill a template and write it to `path`, whole or not at all."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.PackageLoader("bocage.report", "."),
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    style = resources.files("bocage.report").joinpath("style.css").read_text(encoding="utf-8")
    text = environment.get_template(template).render(context, style=style, w=words_of(language), language=language)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


def number(value: float | None, language: str, digits: int = 3) -> str:
    """Write a number, with a decimal comma in French; a dash where there is none.

    >>> number(0.1234, "fr"), number(None, "en")
    ('0,123', '–')
    """
    if value is None or value != value:  # noqa: PLR0124 - nan
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace(".", ",") if language == "fr" else text


def spread(mean: float | None, std: float | None, language: str) -> str:
    """Write a mean and its standard deviation over the draws.

    >>> spread(0.8, 0.05, "en"), spread(0.8, None, "fr")
    ('0.800 ± 0.050', '0,800')
    """
    return number(mean, language) + ("" if mean is None or std is None else f" ± {number(std, language)}")
