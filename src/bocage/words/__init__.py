"""Texts of notes, reports and pages, in English and French."""

from bocage.words.note import Note, chained, sentence
from bocage.words.table import (
    LANGUAGES,
    grouped,
    localised,
    number,
    percent,
    quantity,
    significant,
    spread,
    whole,
    without_exponent,
    words_of,
)

__all__ = [
    "LANGUAGES",
    "Note",
    "chained",
    "grouped",
    "localised",
    "number",
    "percent",
    "quantity",
    "sentence",
    "significant",
    "spread",
    "whole",
    "without_exponent",
    "words_of",
]
