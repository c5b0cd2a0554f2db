"""A model with its settings, from the sections ``[model]`` and ``[training]`` of a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bocage.legend import Legend
from bocage.models import MODELS, InputSpec, card_of
from bocage.models.settings import mixture, regional
from bocage.scene import Scene, Scenes
from bocage.training.records import input_specs
from bocage.training.settings import Training

if TYPE_CHECKING:  # it imports PyTorch
    from bocage.models import Network


@dataclass(frozen=True)
class Choice:
    """A model, its settings, and the settings of its training."""

    name: str
    """Name of the model (``bocage models`` lists them), or ``"its.module:name"``."""
    config: Any
    """Instance of the ``Config`` of the model."""
    training: Training
    """Settings of the training."""
    trainings: tuple[Training, ...] = ()
    """Settings of the training of each member of a mixture; empty: those of the mixture."""

    @property
    def members(self) -> tuple["Choice", ...]:
        """The networks of a mixture, one by one; the model of each region; empty for any other model."""
        if isinstance(self.config, regional.Config):
            return (Choice(self.config.member.name, self.config.member.config, self.training),)
        if not isinstance(self.config, mixture.Config):
            return ()
        trainings = self.trainings or (self.training,) * len(self.config.members)
        pairs = zip(self.config.members, trainings, strict=True)
        return tuple(Choice(m.name, m.config, training) for m, training in pairs for _ in range(m.count))

    @property
    def holds_out(self) -> bool:
        """Whether polygons that train no member of a mixture, or no twin of a member, calibrate it; true for other models."""
        members = self.members
        if all(member.training.stops_early for member in members):
            return True
        fitted = any(m.name in list(MODELS) and card_of(MODELS.get(m.name)).fitted for m in members)
        trainings = {(m.training.stops_early, m.training.calibration_folds, m.training.cutoff) for m in members}
        return not isinstance(self.config, regional.Config) and not fitted and len(trainings) == 1

    @property
    def title(self) -> str:
        """Name of the model; with members, their names and numbers, such as "3 × patchwork + lightgbm"."""
        return str(self.config) if isinstance(self.config, mixture.Config | regional.Config) else self.name

    @property
    def encoder(self) -> "Choice":
        """The network that is pretrained: that of the members of a mixture, if they are the same; else the model itself."""
        members = self.members
        return members[0] if len(members) > 1 and all(member == members[0] for member in members) else self

    def with_training(self, **settings: Any) -> "Choice":
        """Return the choice with other settings of the training, for all members."""
        trainings = tuple(replace(training, **settings) for training in self.trainings)
        return replace(self, training=replace(self.training, **settings), trainings=trainings)

    def build(self, scene: Scene | Scenes, legend: Legend) -> "Network":
        """Build the network for the sources of a scene, or of several, and a legend's classes.

        Raises
        ------
        UnknownNameError
            No model has this name.
        ModelError
            The network does not accept these sources or settings, a series is gap-filled and is to be cut off, or series that
            are to be stacked have other dates.
        SceneError
            Cut-offs are wanted, and there is no series, or a source is computed from all dates.
        """
        from bocage.training.cutoffs import check_cutoff
        from bocage.training.stacked import check_stacked

        network = self.network(input_specs(scene), len(legend.classes))
        check_cutoff(self.training, scene, network)
        check_stacked(self, scene)
        return network

    def network(self, inputs: Mapping[str, InputSpec], n_classes: int) -> "Network":
        """Build the network for the sources `inputs` and `n_classes` classes."""
        from bocage.models import build

        return build(MODELS.get(self.name), inputs, n_classes, self.config, bool(self.training.parcels))
