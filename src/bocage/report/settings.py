"""Settings of the report in a recipe."""

from dataclasses import dataclass
from typing import Annotated, Literal

from bocage.ranges import Range, check_ranges


@dataclass(frozen=True)
class Reporting:
    """Section ``[report]``."""

    language: Literal["en", "fr"] = "en"
    """Language of the pages: English or French. Messages in the terminal are in English."""
    examples: Annotated[int, Range(0, 100)] = 5
    """Number of confusions shown with example chips, at least 0."""

    def __post_init__(self) -> None:
        check_ranges(self)
