"""Networks of the package, by name: their settings are read without PyTorch, and the network when it is built."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Known:
    """A network of the package as an :class:`~bocage.models.card.Architecture`.

    ``Config``, ``CARD`` and ``card_with`` are those of its module in ``bocage.models.settings``.
    """

    name: str

    def __getattr__(self, name: str) -> Any:
        """Return a name of the settings, or of the network."""
        if name.startswith("__"):  # copy and pickle look for methods
            raise AttributeError(name)
        settings = import_module(f"bocage.models.settings.{self.name}")
        if hasattr(settings, name):
            return getattr(settings, name)
        if name in ("CARD", "card_with"):
            raise AttributeError(name)
        return getattr(self.module, name)

    @property
    def module(self) -> Any:
        """Module of the network, which imports PyTorch."""
        return import_module(f"bocage.models.{self.name}")

    @property
    def Config(self) -> type[Any]:  # noqa: N802 - a module's class
        """Settings of the network."""
        kind: type[Any] = import_module(f"bocage.models.settings.{self.name}").Config
        return kind

    @property
    def Model(self) -> Any:  # noqa: N802 - a module's class
        """The network."""
        return self.module.Model


def known(names: Iterable[str]) -> dict[str, Known]:
    """Return the networks with these names, for a shelf."""
    return {name: Known(name) for name in names}
