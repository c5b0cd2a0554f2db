"""Rendering of page templates to single HTML files, in the language of the reader."""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from bocage.disk import write_text
from bocage.words import words_of


@cache
def _environment() -> jinja2.Environment:
    """Return the templates; each is compiled once per process."""
    return jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, loader=jinja2.PackageLoader("bocage.report", "."),
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip


def render(template: str, language: str, path: Path, context: Mapping[str, Any]) -> Path:
    """Fill a template and write it to `path` atomically; create the folder. Return the path."""
    style = resources.files("bocage.report").joinpath("style.css").read_text(encoding="utf-8")
    text = _environment().get_template(template).render(context, style=style, w=words_of(language), language=language)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return path
