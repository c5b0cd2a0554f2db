"""A note for the user as a code with values; it becomes a sentence where it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bocage.redaction import redacted
from bocage.words.table import localised, without_exponent, words_of

Part = TypeVar("Part")


@dataclass(frozen=True)
class Note:
    """Something that the user should know: ``note_<code>`` of the texts, filled with values.

    >>> str(Note.of("reference_reprojected", there="EPSG:4326", here="EPSG:32740"))
    'Reference polygons are reprojected from EPSG:4326 to EPSG:32740.'
    """

    code: str
    values: tuple[tuple[str, Any], ...] = ()
    source: str = ""
    """Name of the source that the note is about; empty where it is about none."""

    @classmethod
    def of(cls, code: str, source: str = "", **values: Any) -> "Note":
        """Return the note of a code; values are text, numbers, sequences of text, or other notes."""
        return cls(code, tuple(values.items()), source)

    def value(self, name: str) -> Any:
        """Return one of the values."""
        return dict(self.values)[name]

    @property
    def advised(self) -> "Note":
        """The note and its remedy as one note, for the log and the report; ``bocage check`` prints both apart."""
        remedy = Note(f"{self.code}_remedy", self.values)
        return Note.of("advice", self.source, what=replace(self, source=""), remedy=remedy)

    def text(self, language: str = "en", with_source: bool = True) -> str:
        """Return the sentence, which opens with the source's name where there is one; secrets are redacted."""
        text = redacted(sentence(f"note_{self.code}", language, **dict(self.values)))
        return sentence("note_source", language, source=self.source, text=text) if self.source and with_source else text

    def __str__(self) -> str:
        return self.text()


def sentence(key: str, language: str, **values: Any) -> str:
    """Return the text of a key, filled with values; if `n` is 1, the text of ``<key>_one`` where there is one.

    >>> sentence("note_polygons", "en", n=2), sentence("note_polygons", "en", n=1)
    ('2 polygons', '1 polygon')
    """
    words = words_of(language)
    single = f"{key}_one"
    text = words[single if values.get("n") == 1 and single in words else key]
    return text.format(**{name: _Shown(value, language) for name, value in values.items()})


def chained(code: str, parts: Sequence[Part]) -> Part | Note:
    """Return parts (at least one) linked two by two by the note of a code.

    >>> str(chained("and", ["s1", "s2"]))
    's1 and s2'
    """
    linked: Part | Note = parts[0]
    for part in parts[1:]:
        linked = Note.of(code, first=linked, last=part)
    return linked


@dataclass(frozen=True)
class _Shown:
    """A value as its text shows it; the text can give the format of a number, such as ``{share:.0f}``."""

    value: Any
    language: str

    def __format__(self, spec: str) -> str:
        if isinstance(self.value, Note):
            return self.value.text(self.language)
        if isinstance(self.value, tuple | list):
            return ", ".join(format(_Shown(value, self.language), spec) for value in self.value)
        if isinstance(self.value, float):
            spec = spec or ".3g"
        text = format(self.value, spec)
        if isinstance(self.value, float):
            text = without_exponent(text)
        return text if isinstance(self.value, str) else localised(text, self.language)
