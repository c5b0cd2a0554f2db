"""A network whose features are written as a raster: a pretrained encoder, a trained model, or a declared ONNX graph."""

from pathlib import Path

from bocage.errors import ModelError
from bocage.layout import ModelLayout, RunLayout
from bocage.legend import LandClass, Legend
from bocage.models import MODELS, build
from bocage.scene import Scene
from bocage.training.frozen import FrozenGraph, read_declared, sources_of
from bocage.training.pretrain import Pretrained
from bocage.training.records import Region
from bocage.training.scaling import Normalisation
from bocage.training.trained import Trained, config_of

NOTHING = Legend((LandClass(1, "not classified"),))
"""Legend of an encoder without classes; its class head is not used."""


def load_encoder(folder: Path, scene: Scene) -> tuple[Trained, bool]:
    """Return the network of a folder for a scene, and whether its weights were trained with labels.

    Parameters
    ----------
    folder
        Folder of a model or of a pretraining, or of a run: its model, or else its pretraining. Or the declaration of an ONNX
        encoder (``.toml``).

    Raises
    ------
    TrainedError
        The folder has no network, or the scene lacks its sources.
    ModelError
        The network has no features of the width of a pixel.
    """
    inside = (ModelLayout(folder), RunLayout(folder).pretrained)
    if folder.suffix.lower() == ".toml":
        return _frozen(folder, scene), False
    labelled = ModelLayout.of(folder)
    pretrained = next((model for model in inside if model.pretrained.exists()), None)
    if labelled.description.exists():
        pretrained = None
    trained = _of(Pretrained.load(pretrained.path), scene) if pretrained else Trained.load(labelled.path)
    trained = trained.for_scene(scene)
    trained.check_scene(trained.limited(scene))
    if not trained.model.abilities.encoder:
        raise ModelError(
            f"{trained.name} has no features to write. Use a network with an encoder, for example patchwork."
        )
    return trained, pretrained is None


def _frozen(path: Path, scene: Scene) -> Trained:
    """Return a declared ONNX graph as a network; its input is not scaled."""
    declared = read_declared(path)
    records = sources_of(declared, scene, path)
    network = FrozenGraph(declared, path.parent, {name: record.spec for name, record in records.items()})
    ones = {name: (1.0,) * len(record.spec.bands) for name, record in records.items()}
    zeros = {name: (0.0,) * len(one) for name, one in ones.items()}
    scaling = Normalisation("mean-std", zeros, ones)
    return Trained(declared.graph, declared, NOTHING, records, scaling, network.eval(), Region.of(scene))


def _of(pretrained: Pretrained, scene: Scene) -> Trained:
    architecture = MODELS.get(pretrained.name)
    config = config_of(architecture.Config, dict(pretrained.config))
    network = build(architecture, pretrained.inputs, len(NOTHING.classes), config)
    network.load_state_dict({**network.state_dict(), **pretrained.weights})
    network.eval()
    return Trained(
        pretrained.name, config, NOTHING, pretrained.sources, pretrained.normalisation, network, Region.of(scene)
    )
