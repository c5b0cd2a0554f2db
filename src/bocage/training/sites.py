"""Training on several sites: what the sites must have in common, and samples balanced between them."""

import math
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from bocage.days import YEAR
from bocage.errors import TrainingError
from bocage.models import MODELS, Network, card_for
from bocage.samples import Chips, SiteCuts
from bocage.scene import Scenes
from bocage.training.choice import Choice
from bocage.training.positions import MONTH, moved, spanned
from bocage.training.records import CALENDAR, SourceRecord, one_by_site, policy
from bocage.training.settings import Training

RATIO = "ratio to the map"
GRIDS = "Give all sites a map of the same resolution: [site.grid] resolution, or like = a source with pixels of the same size."
"""What to do if the ratio of a source to the map differs between sites, and the source has pixels of the same size."""


def check_sites(scenes: Scenes, choice: Choice, network: Network) -> None:
    """Check that one network, that of a choice, can be trained on the sources of all sites.

    Raises
    ------
    TrainingError
        A site lacks a source and the network does not tolerate it, or a source differs between two sites.
    """
    for source in network.footprints:
        records = one_by_site(scenes, source)
        lacking = [site for site in scenes.by_site if site not in records]
        if lacking and not network.any_source:
            raise TrainingError(
                f"The site '{lacking[0]}' has no source '{source}', and {choice.name} needs all sources. Choose a network that "
                "tolerates missing sources (patchwork), or remove the source from all sites."
            )
        (first, expected), *others = records.items()
        for site, record in others:
            for item, one, other in _differences(expected, record, choice, network):
                same = math.isclose(expected.resolution, record.resolution, rel_tol=0.01)
                how = "Prepare it in the same way at all sites, or give it another name."
                raise TrainingError(
                    f"Source '{source}': {item} {one} at the site '{first}', but {other} at '{site}'. "
                    f"{GRIDS if item == RATIO and same else how}"
                )
    for site, scene in scenes.by_site.items():
        if not set(scene.cubes) & set(network.footprints):
            raise TrainingError(
                f"The site '{site}' has none of the sources of {choice.name}: {', '.join(network.footprints)}."
            )


def _differences(
    one: SourceRecord, other: SourceRecord, choice: Choice, network: Network
) -> Iterator[tuple[str, object, object]]:
    """Yield the properties that differ between two sites: name, value at the first, value at the second."""
    pairs: list[tuple[str, object, object]] = [(RATIO, one.spec.ratio, other.spec.ratio)]
    if not math.isclose(one.resolution, other.resolution, rel_tol=0.01):
        pairs.append(("resolution", one.resolution, other.resolution))
    pairs += [("units", one.units, other.units), ("days", one.clock, other.clock)]
    pairs.append(("kind", _kind(one), _kind(other)))
    if not network.any_source:
        pairs.append(("dates", policy(one), policy(other)))
        if one.fill and other.fill and _seasons_apart(one, other) > one.fill[0] / 2:
            pairs.append(("first date", one.fill[1], other.fill[1]))
        if one.spec.regular or card_for(MODELS.get(choice.name), choice.config).same_dates:
            pairs.append(("number of dates", one.spec.dates, other.spec.dates))
            if one.spec.name in network.by_position and np.abs(moved(one, other)).max(initial=0.0) > MONTH:
                pairs.append(("dates compared by their position:", spanned(one), spanned(other)))
    return (pair for pair in pairs if pair[1] != pair[2])


def _seasons_apart(one: SourceRecord, other: SourceRecord) -> float:
    """Return the difference of the first dates in the course of the year, in days; 0 for thermal days."""
    if one.clock != CALENDAR:
        return 0.0
    later = (other.days[0] - one.days[0]) % YEAR
    return min(later, YEAR - later)


def _kind(record: SourceRecord) -> str:
    return "a series" if record.spec.dates > 1 else "an image"


def balanced_members(
    members: NDArray[np.int64], chips: Chips, settings: Training, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return training samples with the same number from every site, if the settings ask for it and there are several sites.

    Of a large site, a random part is used; the samples of a small site are repeated.
    """
    if chips.site is None or settings.sites != "balanced":
        return members
    site = chips.site[members]
    groups = [members[site == k] for k in np.unique(site)]
    each = len(members) // max(1, len(groups))
    chosen = []
    for own in groups:
        whole, rest = divmod(each, len(own))
        chosen += [*[own] * whole, generator.choice(own, rest, replace=False)]
    return np.concatenate(chosen) if chosen else members


def with_a_source(members: NDArray[np.int64], chips: Chips, hidden: Collection[str]) -> NDArray[np.int64]:
    """Return the samples of the sites that have a source which is not in `hidden`; all samples if there is one site."""
    if chips.site is None:
        return members
    cuts = [cut for name, cut in chips.cuts.items() if name not in hidden and isinstance(cut, SiteCuts)]
    return members[np.isin(chips.site[members], [site for cut in cuts for site in cut.parts])]
