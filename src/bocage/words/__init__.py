"""Texts of notes, reports and pages, in English and French."""

from bocage.words.note import Note, chained, sentence
from bocage.words.table import LANGUAGES, grouped, localised, number, percent, quantity, spread, whole, words_of

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
    "spread",
    "whole",
    "words_of",
]
