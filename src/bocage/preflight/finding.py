"""What a preflight says: one line for each thing found."""

from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    severity: Severity
    """An error stops the run; a warning spoils it; a note is good to know."""
    where: str
    """Source, file, class or part of the recipe."""
    what: str
    remedy: str

    def as_dict(self) -> dict[str, str]:
        """For ``--json``."""
        return asdict(self)


def ordered(findings: list[Finding]) -> list[Finding]:
    """Errors first, in the order found."""
    return sorted(findings, key=lambda finding: ORDER.index(finding.severity))
