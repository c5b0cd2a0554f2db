"""Fixed test part: a field of the reference assigns polygons to training and to the test."""

from dataclasses import dataclass, field

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.errors import SamplesError
from bocage.legend import Legend, plain
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import MOST, Reference, Rejection, column_of
from bocage.samples.split import Split
from bocage.shelf import did_you_mean
from bocage.words import Note


@dataclass(frozen=True)
class Parts:
    """Features of the training and of the test part."""

    table: gpd.GeoDataFrame
    rejections: tuple[Rejection, ...] = ()
    """Features that are in neither part."""
    notes: tuple[Note, ...] = ()
    tested: pd.Series = field(default_factory=lambda: pd.Series(dtype=bool))
    """Whether each polygon number is in the test part; empty if no field fixes the parts."""


def is_tested(pixels: Pixels, tested: pd.Series) -> NDArray[np.bool_] | None:
    """Return whether each of `pixels` is in the fixed test part, (N,); None if `tested` (polygon number → bool) is empty."""
    return None if tested.empty else tested.reindex(pixels.polygon).to_numpy(bool)


def fixed_parts(table: gpd.GeoDataFrame, reference: Reference, split: Split, legend: Legend) -> Parts:
    """Return the features of `table` that ``[split] field`` assigns to a part; all features without this setting.

    Raises
    ------
    SamplesError
        A value of ``train`` or ``test`` is that of no usable feature, or a polygon has features in both parts.
    """
    if not split.field:
        return Parts(table)
    training, test = split.fixed
    found = table[column_of(split.field)].map(plain)
    _check_values(found, (*training, *test), reference, split)
    used = found.isin([*training, *test]).to_numpy()
    counts = table.label[~used].value_counts()
    rejections = [Rejection("other_part", legend.labelled(int(label)).name, int(n), 0) for label, n in counts.items()]
    notes = []
    if rejections:
        others = sorted({value or "–" for value in found[~used]})
        shown = (*others[:MOST], "…") if len(others) > MOST else tuple(others)
        notes.append(Note.of("other_part", n=int((~used).sum()), field=split.field, values=shown))
    kept = table[used]
    tested = found[used].isin(test)
    _check_shared(kept, tested, reference)
    parts = pd.DataFrame({"polygon": kept.polygon, "tested": tested}).drop_duplicates("polygon")
    return Parts(kept, tuple(rejections), tuple(notes), parts.set_index("polygon").tested)


def _check_values(found: pd.Series, wanted: tuple[str, ...], reference: Reference, split: Split) -> None:
    known = sorted(set(found) - {""})
    if absent := [value for value in wanted if value not in known]:
        more = ", …" if len(known) > MOST else ""
        raise SamplesError(
            f"{reference.shown}: no usable feature has the value {', '.join(map(repr, absent))} in the field '{split.field}'."
            f"{did_you_mean(absent[0], known)} Its values are: {', '.join(known[:MOST])}{more}. Correct [split] train and test."
        )


def _check_shared(kept: gpd.GeoDataFrame, tested: pd.Series, reference: Reference) -> None:
    shared = kept.polygon[tested.to_numpy()].isin(kept.polygon[~tested.to_numpy()])
    if shared.any():
        names = kept.polygon_name[shared[shared].index].map(plain).unique()
        more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
        raise SamplesError(
            f"{reference.shown}: a fixed test part shares no polygon with training, but {len(names)} polygon(s) have features in "
            f"both parts: {', '.join(names[:MOST])}{more} (field '{reference.polygon_id}'). Give all features of a polygon the "
            "same part."
        )
