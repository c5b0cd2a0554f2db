"""A model with its settings, from the sections ``[model]`` and ``[training]`` of a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bocage.legend import Legend
from bocage.models import MODELS, InputSpec, Network, build
from bocage.scene import Scene, Scenes
from bocage.training.settings import Training
from bocage.training.trained import input_specs


@dataclass(frozen=True)
class Choice:
    """A model, its settings, and the settings of its training."""

    name: str
    """Name of the model (``bocage models`` lists them), or ``"its.module:name"``."""
    config: Any
    """Instance of the ``Config`` of the model."""
    training: Training
    """Settings of the training."""

    def build(self, scene: Scene | Scenes, legend: Legend) -> Network:
        """Build the network for the sources of a scene, or of several, and a legend's classes.

        Raises
        ------
        UnknownNameError
            No model has this name.
        ModelError
            The network does not accept these sources or settings.
        """
        return self.network(input_specs(scene), len(legend.classes))

    def network(self, inputs: Mapping[str, InputSpec], n_classes: int) -> Network:
        """Build the network for the sources `inputs` and `n_classes` classes."""
        return build(MODELS.get(self.name), inputs, n_classes, self.config)
