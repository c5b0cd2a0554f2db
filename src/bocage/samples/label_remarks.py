"""Remarks on the label field that ``bocage init`` proposes, and on the names of its classes."""

import re
from collections.abc import Sequence

import geopandas as gpd
import pandas as pd

from bocage.legend import plain
from bocage.samples.label_field import NAME, is_named_as_label, is_predicted, label_fields, lost_letters, year_in

MOST_FIELDS = 12
"""Maximum number of fields that a remark names."""
DESCRIBED = rf"{NAME}|info|legend|leyenda|nomencl|level|niveau|nivel|niv\d|detail|subtype"
"""Pattern of the names of fields that may describe a label in more detail."""


def remarks_on(frame: gpd.GeoDataFrame, label: str, beside: str, names: Sequence[str]) -> list[str]:
    """Return what the user should know of the label field and of the classes.

    Parameters
    ----------
    beside
        Field in one-to-one correspondence with the label; empty if there is none.
    names
        Names of the classes.
    """
    return [*_on_field(frame, label, beside), *_on_names(names)]


def _on_field(frame: gpd.GeoDataFrame, label: str, beside: str) -> list[str]:
    """Return remarks on other fields that may be the label."""
    likely, remarks = [field for field in label_fields(frame) if field not in (label, beside)], []
    others = [f for f in likely if not year_in(f) and not _has_the_same_classes(frame, label, f)]
    observed = [f for f in others if not is_predicted(f)]
    named = [f for f in observed if is_named_as_label(f)]
    finer = [f for f in observed if f not in named and _is_finer(frame, label, f)]
    if is_predicted(label):
        remarks.append(f"the name of the label field '{label}' suggests predictions of a model, and no observations")
    if others and not is_named_as_label(label):
        remarks.append(
            f"the name of the label field '{label}' does not suggest a class, only its values do; for another one give --label: "
            + _listed(others)
        )
    elif named or finer:
        shown = _listed([*named, *finer])
        remarks.append(
            f"the label field is '{label}'; others look like labels too, for one of them give --label: {shown}"
        )
    dated = [field for field in likely if year_in(field) and year_in(label)]
    if dated:
        remarks.append(
            f"the label field '{label}' is one of several dates; for another one give --label: {_listed(dated)}"
        )
    return remarks


def _on_names(names: Sequence[str]) -> list[str]:
    """Return remarks on names with lost letters."""
    if not any(lost_letters(pd.Series([name])) for name in names):
        return []
    return ["names of classes have '?' in place of letters, written so by another program: correct them in the legend"]


def _listed(fields: Sequence[str]) -> str:
    return ", ".join(fields[:MOST_FIELDS]) + ", …" * (len(fields) > MOST_FIELDS)


def _has_the_same_classes(frame: gpd.GeoDataFrame, label: str, field: str) -> bool:
    """Return whether each value of the label has one value of the field, and the other way round."""
    pairs = frame[[label, field]].drop_duplicates()
    return bool(pairs.nunique(dropna=False).eq(len(pairs)).all())


def _is_finer(frame: gpd.GeoDataFrame, label: str, field: str) -> bool:
    """Return whether a field of texts divides the classes: each of its values has one label, and it has more values."""
    if not re.search(DESCRIBED, field, re.I):
        return False
    pairs = pd.DataFrame({"own": frame[label].map(plain), "other": frame[field].map(plain)})
    pairs = pairs[(pairs.own != "") & (pairs.other != "")].drop_duplicates()
    is_text = not pairs.other.str.fullmatch(r"-?\d+").any()
    return is_text and not pairs.other.duplicated().any() and len(pairs) > pairs.own.nunique() > 1
