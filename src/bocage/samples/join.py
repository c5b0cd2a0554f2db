"""Labelled pixels of several sites → Samples on which one model is trained."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.legend import Legend
from bocage.samples.make import Usable, assembled, notes_on_classes
from bocage.samples.rare import drop_rare
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Rejection
from bocage.samples.samples import Labelled, Samples
from bocage.samples.sites import SiteCuts
from bocage.samples.split import Split
from bocage.words import Note

APART = 1e8
"""Distance between the origins of two sites, in metres: their blocks, buffers and nearest neighbours do not meet."""


def join_samples(sites: Mapping[str, Usable], legend: Legend, split: Split) -> Samples:
    """Return the samples of several sites as one data set, with polygon and block numbers of their own for each site.

    Raises
    ------
    SamplesError
        A class has too few polygons at all sites together, or sites are to be left out and one site has polygons.
    """
    if split.site and len(sites) < 2:
        raise SamplesError(
            '[split] site = "leave-one-out" needs two sites with reference polygons. Give another site its [site.reference], or '
            "remove the setting."
        )
    site = np.concatenate([np.full(len(u.found.pixels), k, np.int16) for k, u in enumerate(sites.values())])
    within = np.concatenate([np.arange(len(u.found.pixels)) for u in sites.values()])
    found = _labelled(list(sites.values()))
    keep, legend, dropped = drop_rare(found.pixels, legend, split, purposive=found.trains_only)
    kept = np.flatnonzero(keep)
    assert found.place is not None
    found = replace(found, pixels=found.pixels.take(kept), place=found.place[kept])
    names = dict.fromkeys(name for usable in sites.values() for name in usable.cuts)
    cuts = {
        name: SiteCuts(
            {k: u.cuts[name] for k, u in enumerate(sites.values()) if name in u.cuts}, site[kept], within[kept]
        )
        for name in names
    }
    samples = assembled(legend, split, found, cuts, site[kept])
    if split.site:
        if empty := [name for k, name in enumerate(sites) if not (site[kept] == k).any()]:
            raise SamplesError(
                f"The site '{empty[0]}' has no sample of a class that is kept, so it cannot be tested alone."
            )
        samples = replace(samples, fold=site[kept].astype(np.int32), folds=tuple(sites))
    rejections, notes = _told(sites)
    return replace(
        samples,
        rejections=(*rejections, *dropped),
        notes=(*notes, *notes_on_classes(samples, dropped)),
        sites=tuple(sites),
    )


def _labelled(parts: list[Usable]) -> Labelled:
    """Return the pixels of all sites; polygon numbers are consecutive, and places are far apart."""
    first, pixels, folds, places, purposive = 0, [], [], [], []
    for k, usable in enumerate(parts):
        found = usable.found
        if found.place is None:
            raise SamplesError(
                "A recipe with several sites takes imagery, not tables of samples. Write a recipe for each table."
            )
        pixels.append(replace(found.pixels, polygon=found.pixels.polygon + np.int32(first)))
        folds.append(found.folds.set_axis(found.folds.index + first) if len(found.folds) else found.folds)
        purposive.append(found.purposive.set_axis(found.purposive.index + first))
        places.append(found.place + np.array([0.0, APART * k]))
        first += int(found.pixels.polygon.max()) + 1
    fold = pd.concat([one for one in folds if len(one)]) if any(map(len, folds)) else pd.Series(dtype=str)
    alone = pd.concat([one for one in purposive if len(one)]) if any(map(len, purposive)) else pd.Series(dtype=bool)
    return Labelled(_concatenated(pixels), (), (), fold, np.concatenate(places), purposive=alone)


def _concatenated(parts: list[Pixels]) -> Pixels:
    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(part, name) for part in parts])

    return Pixels(column("row"), column("column"), column("label"), column("polygon"))


def _told(sites: Mapping[str, Usable]) -> tuple[list[Rejection], list[Note]]:
    """Return the rejections and the notes of all sites, with the name of the site."""
    rejections = [
        replace(one, label=f"{name}: {one.label}") for name, usable in sites.items() for one in usable.found.rejections
    ]
    notes = [Note.of("at_site", site=name, note=note) for name, usable in sites.items() for note in usable.found.notes]
    return rejections, notes
