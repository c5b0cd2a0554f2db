"""HTML of the objects in a notebook. Every text that comes from a file is escaped."""

from collections.abc import Sequence
from html import escape

import pandas as pd

STYLE = "max-width: 100%; image-rendering: pixelated"


def section(title: str, *parts: str) -> str:
    """Return a heading and the parts below it, which are HTML."""
    return f"<div><h4>{escape(title)}</h4>{''.join(parts)}</div>"


def paragraph(text: str) -> str:
    """Return a text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def table(frame: pd.DataFrame) -> str:
    """Return a table with numbers of three decimals."""
    return frame.to_html(escape=True, border=0, na_rep="–", float_format="{:.3f}".format)


def picture(url: str, alt: str) -> str:
    """Return a picture with its text alternative; `url` is a ``data:`` URL."""
    return f'<img src="{escape(url)}" alt="{escape(alt)}" style="{STYLE}">'


def chips(colors: Sequence[str], texts: Sequence[str]) -> str:
    """Return a legend: a colour and a text for each class."""
    look = "display: inline-block; width: .9em; height: .9em; margin-right: .4em"
    entries = (
        f'<li><span style="{look}; background: {escape(color)}"></span>{escape(text)}</li>'
        for color, text in zip(colors, texts, strict=True)
    )
    return f'<ul style="list-style: none; padding: 0">{"".join(entries)}</ul>'
