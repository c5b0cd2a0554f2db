"""Texts of notes, reports and pages, in English and French."""

from bocage.words.note import Note
from bocage.words.table import LANGUAGES, number, spread, words_of

__all__ = ["LANGUAGES", "Note", "number", "spread", "words_of"]
