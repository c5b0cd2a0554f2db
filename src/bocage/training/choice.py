"""A model with its settings: what ``[model]`` and ``[training]`` of a recipe choose."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bocage.legend import Legend
from bocage.models import MODELS, InputSpec, Network, build
from bocage.scene import Scene
from bocage.training.settings import Training
from bocage.training.trained import input_specs


@dataclass(frozen=True)
class Choice:
    """A model of the shelf, its settings, and how it is trained."""

    name: str
    """On the shelf ``MODELS``, or ``"its.module:name"``."""
    config: Any
    """The ``Config`` of its file."""
    training: Training

    def build(self, scene: Scene, legend: Legend) -> Network:
        """Build the network for a scene's sources and a legend's classes.

        Raises
        ------
        UnknownNameError
            No network has that name.
        ModelError
            The network cannot work with these sources or settings.
        """
        return self.network(input_specs(scene), len(legend.classes))

    def network(self, inputs: Mapping[str, InputSpec], n_classes: int) -> Network:
        """Build the network for these sources and so many classes."""
        return build(MODELS.get(self.name), inputs, n_classes, self.config)
