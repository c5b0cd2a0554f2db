"""Findings of the checks, and their order."""

from dataclasses import dataclass, replace
from typing import Literal

from bocage.words import Note

Severity = Literal["error", "warning", "note"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """A problem or a remark: what was found, where, and what to do."""

    severity: Severity
    """An error stops the run; a warning degrades its results; a note is information."""
    where: str | Note
    """Source, file, class or part of the recipe."""
    what: Note
    remedy: Note

    @classmethod
    def of(cls, severity: Severity, where: str | Note, what: Note, remedy: str = "") -> "Finding":
        """Return the finding of a note; the code of its remedy is `remedy`, by default ``<code of the note>_remedy``.

        Note and remedy are filled with the same values.
        """
        return cls(severity, where, replace(what, source=""), Note(remedy or f"{what.code}_remedy", what.values))

    @classmethod
    def quoting(cls, where: str | Note, error: Exception, remedy: str = "see_message") -> "Finding":
        """Return an error whose text is the message of an exception; such a message is always English."""
        return cls.of("error", where, Note.of("text", text=str(error)), remedy)

    def as_dict(self, language: str = "en") -> dict[str, str]:
        """Return the finding as printed with ``--json``: its code and its texts."""
        return {
            "severity": self.severity,
            "code": self.what.code,
            "where": self.where.text(language) if isinstance(self.where, Note) else self.where,
            "what": self.what.text(language),
            "remedy": self.remedy.text(language),
        }


def ordered(findings: list[Finding]) -> list[Finding]:
    """Return the findings sorted by severity, errors first; the order is stable."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.severity))
