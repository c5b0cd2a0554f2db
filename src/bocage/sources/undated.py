"""What sources of one image without a date, which Bocage makes itself, have in common."""

from abc import ABC, abstractmethod
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from bocage.sources.base import Decoding


class Undated(ABC):
    """One image without a date, whose values are stored as they are."""

    @property
    @abstractmethod
    def described(self) -> tuple[str, ...]:
        """Text of what the values depend on besides the files; part of the digests."""

    @property
    def times(self) -> tuple[datetime | None, ...]:
        """One entry without a time."""
        return (None,)

    @property
    def dated(self) -> bool:
        """False."""
        return False

    @property
    def days(self) -> NDArray[np.int32]:
        """0, of the only image."""
        return np.zeros(1, np.int32)

    @property
    def decoding(self) -> Decoding:
        """Values are stored as they are."""
        return Decoding()

    @property
    def ids(self) -> None:
        """None: the source is imagery."""
        return None
