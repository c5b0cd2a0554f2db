"""A note for the user as a code with values; it becomes a sentence where it is shown."""

from dataclasses import dataclass
from typing import Any

from bocage.redaction import redacted
from bocage.words.table import words_of


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

    def text(self, language: str = "en", with_source: bool = True) -> str:
        """Return the sentence, which opens with the source's name where there is one; secrets are redacted."""
        words = words_of(language)
        shown = {name: _shown(value, language) for name, value in self.values}
        sentence = redacted(words[f"note_{self.code}"].format(**shown))
        return (
            words["note_source"].format(source=self.source, text=sentence) if self.source and with_source else sentence
        )

    def __str__(self) -> str:
        return self.text()


def _shown(value: Any, language: str) -> str:
    if isinstance(value, Note):
        return value.text(language)
    if isinstance(value, float):
        text = f"{value:.3g}"
        return text.replace(".", ",") if language == "fr" else text
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
