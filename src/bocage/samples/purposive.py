"""Purposive polygons: surveyed where a model was in doubt (``bocage scout``). They train, and are in no test.

Where they lie depends on the model, so that they are no sample of the map: an accuracy or an area measured on them is biased.
"""

from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.legend import plain
from bocage.samples.reference import Reference, column_of
from bocage.words import Note, quantity

YES, NO = ("1", "true", "t", "yes", "y"), ("", "0", "false", "f", "no", "n")
"""Values of the field, in lower case."""


def purposive_of(table: gpd.GeoDataFrame, reference: Reference) -> pd.Series:
    """Return whether each polygon number is purposive; empty if the reference has no field for it.

    A polygon of several features is purposive if one of them is.

    Raises
    ------
    SamplesError
        A value is neither true nor false.
    """
    if not reference.purposive:
        return pd.Series(dtype=bool)
    values = table[column_of(reference.purposive)].map(lambda value: plain(value).lower())
    wrong = ~values.isin([*YES, *NO])
    if wrong.any():
        raise SamplesError(
            f"{reference.shown}: the field '{reference.purposive}' has {quantity(int(wrong.sum()), 'value')} neither true nor "
            f"false (first: '{values[wrong].iloc[0]}'). Write true (or 1) for purposive polygons and false, 0 or nothing for "
            "the others."
        )
    found: pd.Series = values.isin(YES).groupby(table.polygon.to_numpy()).any()
    return found


def is_purposive(polygon: NDArray[Any], purposive: pd.Series) -> NDArray[np.bool_] | None:
    """Return whether each of some polygon numbers is purposive, (N,); None if no polygon is."""
    if not purposive.any():
        return None
    return np.asarray(purposive.reindex(polygon, fill_value=False).to_numpy(bool))


def check_untested(purposive: pd.Series, tested: pd.Series, reference: Reference) -> None:
    """Check that no purposive polygon is in the fixed test part.

    Raises
    ------
    SamplesError
        A purposive polygon is.
    """
    both = purposive.index[purposive].intersection(tested.index[tested.astype(bool)])
    if len(both):
        raise SamplesError(
            f"{reference.shown}: {len(both)} purposive polygons (field '{reference.purposive}') have a value of [split] test. "
            "Purposive polygons are never tested. Give them a value of [split] train."
        )


def notes_on_purposive(purposive: pd.Series, reference: Reference) -> list[Note]:
    """Return the note on the number of purposive polygons; no note without one."""
    n = int(purposive.sum())
    return [Note.of("purposive", n=n, field=reference.purposive)] if n else []
