"""The trained members of a mixture, or of the regions, as one model."""

from collections.abc import Mapping, Sequence

import torch

from bocage.legend import Legend
from bocage.machine import versions
from bocage.models import Ensemble, Footprint, Network, regional
from bocage.models.base import pixel_footprint
from bocage.samples import AnyCut, Cut, SiteCuts, WindowPixels
from bocage.scene import Scene, Scenes
from bocage.training.choice import Choice
from bocage.training.records import Region, source_records
from bocage.training.scaling import Normalisation
from bocage.training.trained import Trained


def combined(choice: Choice, scene: Scene | Scenes, legend: Legend, members: Sequence[Trained]) -> Trained:
    """Return the model of trained members, with their weights and temperatures; its own temperature is 1."""
    model = choice.build(scene, legend)
    assert isinstance(model, Ensemble)
    for number, member in enumerate(members):
        model.members[number].load_state_dict(member.model.state_dict())
        calibration, names = member.calibration, list(member.model.footprints)
        alone = torch.tensor([calibration.temperature])
        model.calibrate(number, calibration.table(names) if member.any_source else alone)
    scalings = [member.normalisation for member in members]
    normalisation = Normalisation(
        scalings[0].kind,
        {name: offset for scaling in scalings for name, offset in scaling.offset.items()},
        {name: scale for scaling in scalings for name, scale in scaling.scale.items()},
    )
    if isinstance(model, regional.Model):
        source = choice.config.source
        model.use_weights(normalisation.offset[source], normalisation.scale[source])
    records = source_records(scene, model.footprints)
    return Trained(
        choice.name, choice.config, legend, records, normalisation, model.eval(), Region.of(scene), versions()
    )


def map_pixels(cuts: Mapping[str, AnyCut], network: Network) -> dict[str, AnyCut]:
    """Return the map pixel alone of samples cut for a network, of single footprints or windows, for a model of single pixels."""
    return {
        name: one
        if isinstance(one, WindowPixels) or (isinstance(one, SiteCuts) and one.of_windows)
        else part_of(one, network.footprints[name], pixel_footprint(network.inputs[name]))
        for name, one in cuts.items()
    }


def part_of(cut: AnyCut, have: Footprint, want: Footprint) -> Cut | SiteCuts:
    """Return the pixels of the footprint `want` from samples cut with the footprint `have`, which contains it."""
    assert isinstance(cut, Cut | SiteCuts), "members are trained on footprints, not on windows"
    return cut.within(have.before - want.before, want.size)
