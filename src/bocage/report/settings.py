"""Settings of the report in a recipe."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Reporting:
    """Section ``[report]``."""

    language: Literal["en", "fr"] = "en"
    """Language of the pages: English or French. Messages in the terminal are in English."""
    examples: int = 5
    """Number of confusions shown with example chips, at least 0."""

    def __post_init__(self) -> None:
        if self.examples < 0:
            raise ValueError(f"'examples' must be at least 0; found {self.examples}")
