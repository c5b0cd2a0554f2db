"""What the recipe may say of the report."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reporting:
    """Section ``[report]``."""

    language: Literal["en", "fr"] = "en"
    """Of the pages: English or French. What rooms say while they work (notes, errors) stays English."""
    examples: int = 5
    """Confusions that are shown with example chips, at least 0."""

    def __post_init__(self) -> None:
        if self.examples < 0:
            raise ValueError(f"'examples' is at least 0; found {self.examples}")
