"""Result of ``bocage check``."""

from dataclasses import dataclass, field

from bocage.grid import Grid
from bocage.preflight.dates import Clearness
from bocage.preflight.finding import Finding
from bocage.samples import Pixels
from bocage.samples.rare import Counted
from bocage.scene import Scene
from bocage.sources import Readable


@dataclass
class Preflight:
    """Findings of all checks, and the data that they opened."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    sources: dict[str, Readable] = field(default_factory=dict)
    grid: Grid | None = None
    scene: Scene | None = None
    clear: dict[str, Clearness] = field(default_factory=dict)
    ever: dict[str, float] = field(default_factory=dict)
    """Source → share of the sampled pixels of the map with a value on some date, 0 to 1."""
    counted: Counted | None = None
    """Labelled pixels of the map."""
    language: str = "en"
    """Language of the page: that of the report in the recipe; English if the recipe cannot be read."""

    @property
    def pixels(self) -> Pixels | None:
        """Labelled pixels of the map."""
        return self.counted.pixels if self.counted else None

    @property
    def has_errors(self) -> bool:
        """Whether there is an error, so that a run would stop."""
        return any(finding.severity == "error" for finding in self.findings)
