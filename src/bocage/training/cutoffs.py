"""Cut-offs: what a model makes of a season that is not over, and its temperature where the series of a pixel ends."""

import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.days import EPOCH, date_of
from bocage.errors import ModelError
from bocage.machine import device_of
from bocage.models import MODELS, Network, card_for, moved
from bocage.models.base import last_days, seen_by
from bocage.samples import Chips
from bocage.scene import Scene, Scenes, series_of
from bocage.sources.until import describes_a_year, is_series
from bocage.training.batches import Ahead, batches
from bocage.training.calibration import shrunk
from bocage.training.choice import Choice
from bocage.training.settings import Training
from bocage.training.trained import Trained

MOST = 36
"""Largest number of cut-offs that are proposed; a longer series has those of the ends of months, or of every few months."""
ROWS = 256
"""Samples classified at a time."""


def check_cutoff(training: Training, scene: Scene | Scenes, network: Network) -> None:
    """Check that a network can be trained with cut-offs.

    Raises
    ------
    SceneError
        The network has no series, or features that are computed from all dates.
    ModelError
        A series is gap-filled.
    """
    for one in _scenes_of(scene) if training.cutoff else ():
        for name in network.footprints:
            cube = one.cubes.get(name)
            if cube and describes_a_year(cube.source) and is_series(cube.source):
                raise ModelError(
                    f"[training] cutoff: the source '{name}' has features of several whole years, which are no dates of a "
                    "season. Choose one earlier year ('years'), or remove cutoff."
                )
        for name, cube in series_of(one, network.footprints).items():
            if cube.preparation.fill:
                raise ModelError(
                    f"[training] cutoff: the source '{name}' is gap-filled: its values before a cut-off come from later dates. "
                    "Remove 'fill' from the source and choose a model that takes any number of dates (patchwork, ltae, gru), "
                    "or remove cutoff."
                )


def fixed_dates(choice: Choice, scene: Scene, network: Network) -> tuple[str, ...]:
    """Return the series of which a model needs the number of dates of its training: it cannot map until a day.

    These are series of acquisition dates. A gap-filled series has all its regular dates until any day.
    """
    if network.any_source or not card_for(MODELS.get(choice.name), choice.config).same_dates:
        return ()
    series = series_of(scene, network.footprints)
    return tuple(name for name, cube in series.items() if not cube.preparation.fill)


def _scenes_of(scene: Scene | Scenes) -> Sequence[Scene]:
    """Return a scene, or the scenes of several sites, as a sequence."""
    return [scene] if isinstance(scene, Scene) else list(scene.by_site.values())


def proposed(dates: Iterable[int]) -> tuple[datetime.date, ...]:
    """Return the cut-offs of a series with acquisitions on `dates` (days since 1970-01-01).

    These are the 15th and the last day of the months, without those after which no new acquisition has come, and the last date.

    >>> [str(day) for day in proposed([18700, 18705, 18740])]
    ['2021-03-15', '2021-03-31', '2021-04-23']
    """
    days = sorted({int(day) for day in dates})
    if not days:
        return ()
    first, last = (date_of(day) for day in (days[0], days[-1]))
    halves = [*_ends_of_months(first, last, halves=True), last]
    ends = halves if len(halves) <= MOST else [*_ends_of_months(first, last, halves=False), last]
    ends = [*ends[: -1 : -(-len(ends) // MOST)], last]
    new, seen = [], 0
    for end in ends:
        there = int(np.searchsorted(days, (end - EPOCH).days, "right"))
        if there > seen:
            new.append(end)
        seen = there
    return tuple(new)


def _ends_of_months(first: datetime.date, last: datetime.date, halves: bool) -> Iterator[datetime.date]:
    """Yield the last day of every month, and with `halves` its 15th, from `first` to before `last`."""
    month = first.replace(day=1)
    while month < last:
        following = (month + datetime.timedelta(32)).replace(day=1)
        for day in ([month.replace(day=15)] if halves else []) + [following - datetime.timedelta(1)]:
            if first <= day < last:
                yield day
        month = following


@dataclass(frozen=True)
class AtCutoff:
    """What a model makes of samples whose dates after a cut-off are masked."""

    logits: Tensor
    """(N, K)"""
    labels: Tensor
    """(N,)"""
    seen: NDArray[np.bool_]
    """(N,) whether the sample has enough valid sources to be classified."""
    ends: NDArray[np.float64]
    """(N,) day of the last valid date, since 1970-01-01; −∞ without one."""

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Class probabilities (N, K)."""
        return torch.softmax(self.logits, 1).numpy()


@torch.inference_mode()
def at_cutoff(trained: Trained, chips: Chips, members: NDArray[np.int64], day: int | None, device: str) -> AtCutoff:
    """Return the calibrated logits of the samples `members` with the dates after `day` masked; None: all dates.

    Parameters
    ----------
    day
        Calendar day, in days since 1970-01-01.
    """
    where = device_of(device)
    model = trained.model.to(where).eval()
    footprints, parts = {name: trained.footprints[name] for name in trained.series}, []
    for batch in Ahead(batches(chips if day is None else chips.until(day), members, trained.normalisation, ROWS)):
        seen = torch.stack(list(seen_by(batch.inputs, trained.footprints, trained.inputs, (1, 1)).values()))[..., 0, 0]
        enough = seen.any(0) if trained.any_source else seen.all(0)
        ends = last_days(batch.inputs, footprints, trained.inputs, (1, 1))[:, 0, 0] if footprints else _never(enough)
        logits = trained.scaled(model(moved(batch.inputs, where)).float().cpu(), batch.inputs)[:, :, 0, 0]
        parts.append((logits, batch.labels, enough, ends))
    logits, labels, enough, ends = (torch.cat(column) for column in zip(*parts, strict=True))
    return AtCutoff(logits, labels, enough.numpy(), ends.numpy())


def _never(like: Tensor) -> Tensor:
    return torch.full(like.shape, -torch.inf, dtype=torch.float64)


def season_of(
    trained: Trained, chips: Chips, held_out: Sequence[tuple[Network, NDArray[np.int64]]], device: str
) -> tuple[tuple[float, float], ...]:
    """Return the temperature at each proposed cut-off, by the mean day of the last valid date of the held-out samples.

    Parameters
    ----------
    held_out
        Models, and the samples that each was not trained on.
    """
    days = [int(day) for name in trained.series for day in chips.cuts[name].dates]
    found: dict[float, float] = {}
    for cutoff in proposed(days):
        day = (cutoff - EPOCH).days
        parts = [
            (at_cutoff(replace(trained, model=model), chips, members, day, device), members)
            for model, members in held_out
        ]
        seen = np.concatenate([part.seen for part, _ in parts])
        if not seen.any():
            continue
        logits, labels = (torch.cat([getattr(part, name) for part, _ in parts])[seen] for name in ("logits", "labels"))
        polygon = np.concatenate([chips.unit[members] for _, members in parts])[seen]
        ends = np.concatenate([part.ends for part, _ in parts])[seen]
        if np.isfinite(ends).any():
            found[float(ends[np.isfinite(ends)].mean())] = shrunk(logits, labels, polygon)
    return tuple(sorted(found.items()))
