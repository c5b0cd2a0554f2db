"""Findings of the checks, and their order."""

from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """A problem or a remark: what was found, where, and what to do."""

    severity: Severity
    """An error stops the run; a warning degrades its results; a note is information."""
    where: str
    """Source, file, class or part of the recipe."""
    what: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        """Return the finding as printed with ``--json``."""
        return asdict(self)


def ordered(findings: list[Finding]) -> list[Finding]:
    """Return the findings sorted by severity, errors first; the order is stable."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.severity))
