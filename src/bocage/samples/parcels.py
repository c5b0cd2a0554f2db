"""Parcels in the samples: how far each labelled pixel is inside its parcel, from which a network learns outlines.

The targets are those of Waldner & Diakogiannis 2020 (doi:10.1016/j.rse.2020.111741): extent, boundary, and the distance to the
boundary, normalised in each parcel.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.legend import COARSER, Legend, plain
from bocage.samples.rasterise import Pixels
from bocage.shelf import did_you_mean

OUTSIDE = -1.0
"""Depth of a labelled pixel that is in no parcel."""


def depths(pixels: Pixels, legend: Legend, classes: Sequence[str]) -> NDArray[np.float32]:
    """Return how far each labelled pixel is inside its parcel, (N,).

    A pixel of a parcel is on its outline if one of its four neighbours is not in the parcel. Pixels without data are not in it.

    Parameters
    ----------
    classes
        Names of the classes, perhaps coarser ones, whose polygons are parcels.

    Returns
    -------
    Distance to the outline divided by the largest in the parcel: 0 on the outline, above 0 to 1 inside, and :data:`OUTSIDE` in
    other polygons. NaN for a coarser class or a set of classes that has parcels and others.

    Raises
    ------
    SamplesError
        A class is not in the legend, there is no parcel, or no pixel is inside an outline.
    """
    share = _share_of_parcels(legend, classes)
    there = share[pixels.label]
    found = np.where(there == 0, np.float32(OUTSIDE), np.float32(np.nan))
    members = np.flatnonzero(there == 1)
    members = members[np.argsort(pixels.polygon[members], kind="stable")]
    for own in np.split(members, np.flatnonzero(np.diff(pixels.polygon[members])) + 1):
        if len(own):
            found[own] = _depth(pixels.row[own], pixels.column[own])
    if not (found > 0).any():
        why = "is wider than two map pixels. Use a finer [grid], or larger polygons, each a whole parcel"
        why = why if len(members) else "has a labelled pixel. Name classes that have polygons"
        raise SamplesError(f"[training] parcels: no polygon of {', '.join(classes)} {why}.")
    return found


def _share_of_parcels(legend: Legend, classes: Sequence[str]) -> NDArray[np.float64]:
    """Return the share of the classes of each label that are parcels; labels of coarser classes, negative, index from the end."""
    known = legend.names_of_levels
    wanted = {plain(name) for name in classes}
    for name in classes:
        if plain(name) not in map(plain, known):
            raise SamplesError(
                f"[training] parcels: no class is called '{name}'.{did_you_mean(name, known)} "
                f"The classes are: {', '.join(known)}."
            )
    inside = np.array([not wanted.isdisjoint(map(plain, legend.path(k))) for k in range(len(legend.classes))], float)
    groups = legend.groups
    shares = groups @ inside / np.maximum(groups.sum(1), 1)
    return np.concatenate([inside, shares[::-1], np.full(-COARSER - 1, np.nan)])  # label COARSER - j is the last but j


def _depth(row: NDArray[np.int32], column: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the depth of the pixels of one parcel."""
    from scipy.ndimage import binary_erosion, distance_transform_edt

    y, x = row - row.min() + 1, column - column.min() + 1
    mask = np.zeros((int(y.max()) + 2, int(x.max()) + 2), bool)
    mask[y, x] = True
    away = distance_transform_edt(binary_erosion(mask))
    return np.asarray((away / max(1.0, float(away.max())))[y, x], np.float32)
