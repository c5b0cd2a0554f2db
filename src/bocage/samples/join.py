"""Labelled pixels of several sites → Samples on which one model is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.disk import artefact
from bocage.errors import SamplesError
from bocage.legend import Legend
from bocage.samples.ground import Ground, together
from bocage.samples.make import Usable, assembled, changed, in_table, notes_on_classes
from bocage.samples.rare import drop_rare
from bocage.samples.rasterise import firsts_of, joined_pixels
from bocage.samples.reference import Rejection
from bocage.samples.samples import Labelled, Samples, Survey
from bocage.samples.sites import SiteCuts
from bocage.samples.split import Split
from bocage.samples.windows import Windows
from bocage.scene import Scene
from bocage.words import Note


def join_samples(sites: Mapping[str, Usable], legend: Legend, split: Split) -> Samples:
    """Return the samples of several sites as one data set, with polygon numbers of their own for each site.

    Where sites share ground, such as two years of one place, polygons at one place are one sampling unit, and blocks are the
    same: a field that is tested in one year trains in no other. If one site is left out at a time, this does not hold: fields of
    other years train, as for a user who maps a new year.

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
    parts = [usable.found for usable in sites.values()]
    found = _labelled(parts, firsts_of([part.pixels for part in parts]), split)
    keep, legend, dropped = drop_rare(found.counted, legend, split)
    kept = np.flatnonzero(keep)
    assert found.place is not None
    found = found.take(kept)
    cuts = _joined([usable.cuts for usable in sites.values()], site[kept], within[kept])
    samples = _at_sites(assembled(legend, split, found, cuts, site[kept]), tuple(sites))
    samples = replace(samples, windows=_windows([usable.windows for usable in sites.values()], kept))
    if split.site and (empty := [name for name in sites if not (samples.at(name) & samples.testable).any()]):
        raise SamplesError(
            f"The site '{empty[0]}' has no sample that can be tested, so it cannot be tested alone: its samples are of classes "
            "that are dropped or used for training only, or of purposive polygons."
        )
    rejections, notes = _told(sites)
    return replace(
        samples,
        rejections=(*rejections, *dropped),
        notes=(*notes, *_shared(samples), *notes_on_classes(samples, dropped)),
    )


def _joined(
    cuts: Sequence[Mapping[str, Any]], site: NDArray[np.int16], position: NDArray[np.int64]
) -> dict[str, SiteCuts]:
    """Return source → the footprints of all sites; those of a site are at their `position` (N,) in `cuts`."""
    names = dict.fromkeys(name for of_site in cuts for name in of_site)
    return {
        name: SiteCuts({k: of_site[name] for k, of_site in enumerate(cuts) if name in of_site}, site, position)
        for name in names
    }


def _windows(parts: Sequence[Windows | None], kept: NDArray[np.int64]) -> Windows | None:
    """Return the windows of all sites, numbered one site after the other, with the places of the samples `kept`."""
    own = [part for part in parts if part is not None]
    if not own:
        return None
    counts = [int(part.number.max()) + 1 for part in own]
    firsts = np.cumsum([0, *counts[:-1]])
    site = np.repeat(np.arange(len(own), dtype=np.int16), counts)
    cuts = _joined([part.cuts for part in own], site, np.concatenate([np.arange(n) for n in counts]))
    number = np.concatenate([part.number + first for part, first in zip(own, firsts, strict=True)])
    row, column = (np.concatenate(arrays) for arrays in zip(*((p.row, p.column) for p in own), strict=True))
    return Windows(cuts, own[0].side, number, row, column).take(kept)


def reopened_sites(sites: Mapping[str, tuple[Scene, Survey]], path: Path) -> tuple[Samples, dict[str, int]]:
    """Return the samples of a run with several sites from their polygons and their table, without footprints.

    Returns
    -------
    samples : the samples of all sites
    firsts : site → number that the samples add to the numbers of its polygons

    Raises
    ------
    SamplesError
        The polygons of a site cannot be read, or are no longer those of the table.
    """
    with artefact(path):
        table = pd.read_parquet(path, columns=["row", "column", "polygon", "site"])
    parts, firsts = [], {}
    for name, (scene, survey) in sites.items():
        own = table[table.site == name]
        found = in_table(scene, survey, own)
        if found is None:
            raise changed(survey.reference, path)
        parts.append(found)
        firsts[name] = int(own.polygon.iloc[0] - found.pixels.polygon[0]) if len(own) else 0
    survey = next(survey for _, survey in sites.values())
    joined = _labelled(parts, list(firsts.values()), survey.split)
    same, legend, _ = drop_rare(joined.counted, survey.legend, survey.split)
    if not same.all() or not np.array_equal(joined.pixels.polygon, table.polygon):
        raise changed(survey.reference, path)
    site = np.repeat(np.arange(len(parts), dtype=np.int16), [len(part.pixels) for part in parts])
    return _at_sites(assembled(legend, survey.split, joined, {}, site), tuple(sites)), firsts


def _at_sites(samples: Samples, names: tuple[str, ...]) -> Samples:
    """Return samples with the names of their sites, which are the folds if one site is left out at a time."""
    named = replace(samples, sites=names)
    if not samples.split.site:
        return named
    assert samples.site is not None
    return replace(named, fold=samples.site.astype(np.int32), folds=names)


def _labelled(parts: list[Labelled], firsts: list[int], split: Split) -> Labelled:
    """Return the pixels of all sites, with their sampling units if sites share ground and the split is to respect it.

    Polygon numbers are those of a site plus its first. Places are far apart, except at sites that share ground.
    """
    folds, purposive = [], []
    grids = [found.grid for found in parts if found.grid is not None]
    if len(grids) < len(parts):
        raise SamplesError(
            "A recipe with several sites takes imagery, not tables of samples. Write a recipe for each table."
        )
    for found, first in zip(parts, firsts, strict=True):
        folds.append(found.folds.set_axis(found.folds.index + first) if len(found.folds) else found.folds)
        purposive.append(found.purposive.set_axis(found.purposive.index + first))
    fold = pd.concat([one for one in folds if len(one)]) if any(map(len, folds)) else pd.Series(dtype=str)
    alone = pd.concat([one for one in purposive if len(one)]) if any(map(len, purposive)) else pd.Series(dtype=bool)
    pixels = [found.pixels for found in parts]
    whole, ground = joined_pixels(pixels, firsts), Ground.of(pixels, grids)
    units = None if split.site else ground.units(whole.polygon)
    known = [found.degrees for found in parts if found.degrees is not None]
    degrees = np.concatenate(known) if len(known) == len(parts) else None
    return Labelled(whole, (), (), fold, ground.place, purposive=alone, ground=units, degrees=degrees)


def _shared(samples: Samples) -> list[Note]:
    """Return the note on polygons of several sites at one place; no note if there is none, or if single pixels are drawn."""
    if samples.ground is None or samples.split.unit == "pixel":
        return []
    n = together(samples.ground, samples.polygon)
    return [Note.of("shared_ground", n=n)] if n else []


def _told(sites: Mapping[str, Usable]) -> tuple[list[Rejection], list[Note]]:
    """Return the rejections and the notes of all sites, with the name of the site."""
    rejections = [
        replace(one, label=f"{name}: {one.label}") for name, usable in sites.items() for one in usable.found.rejections
    ]
    notes = [Note.of("at_site", site=name, note=note) for name, usable in sites.items() for note in usable.found.notes]
    return rejections, notes
