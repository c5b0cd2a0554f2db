"""A model as a part of another one: its name, settings and number."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from bocage.errors import ModelError
from bocage.models.card import Architecture
from bocage.models.members import MEMBERS
from bocage.ranges import Range, check_ranges

MOST = 100
"""Maximum number of networks with the same settings."""

ENSEMBLES = ("mixture", "regional")
"""Models of several networks, which cannot be members."""


@dataclass(frozen=True)
class Member:
    """A model, and the number of its networks."""

    name: str
    """Name of the model; any model except `mixture` and `regional`."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The model's own settings; in a recipe, they are keys of the same table."""
    count: Annotated[int, Range(1, MOST)] = 1
    """Number of networks with these settings, each trained from other random weights, at least 1."""

    def __post_init__(self) -> None:
        check_ranges(self)

    @property
    def architecture(self) -> Architecture:
        """The module of the model."""
        return MEMBERS.get(self.name)

    @property
    def config(self) -> Any:
        """The settings as the model's ``Config``.

        Raises
        ------
        ModelError
            A setting is unknown or out of range.
        """
        settings = {key: tuple(value) if isinstance(value, list) else value for key, value in self.settings.items()}
        try:
            return self.architecture.Config(**settings)
        except (TypeError, ValueError) as error:
            raise ModelError(f"Settings of the member {self.name}: {error}.") from error
