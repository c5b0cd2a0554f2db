"""The field of a table of features that contains the class, from the names and the values of the fields."""

import re
from pathlib import Path

import geopandas as gpd
import pandas as pd

from bocage.errors import SamplesError
from bocage.legend import plain

MOST = 1000
"""Maximum number of distinct values of a field that is proposed as label."""
REPEATED = 0.5
"""Least share of features that have their label in common with another one: the values of identifiers differ."""
CROP = (
    r"main_?crop", r"crop_?type", r"crop[_:]?(code|class|id|name|nam)?$", r"specific_?land_?use(_title)?$", r"product",
    r"cultiu|(^|_)cul_", r"gewas|gws", r"afg", r"grdkod", r"kasvi", r"plodin", r"rastlin|sifra_k", r"snar", r"lnf",
    r"nutzung|kulturart", r"crop(?!field)", r"culture",
)  # fmt: skip
"""Patterns of the names of fields with the crop, in order of preference, in the languages of parcel registers."""
LABEL = (
    r"code", r"class", r"label", r"(^|_)lc(_|$)|land_?cover", r"(^|_)ct(_|$)", r"type", r"kode?|koodi", r"cultu|kultur|nutz",
    r"usage|land_?use", r"hbn|symb|(^|_)art(_|$)", r"cdl",
)  # fmt: skip
"""Patterns of the names of other label fields, in order of preference."""
NO_LABEL = (
    r"(^|_)(fold|split|area|aire|surface|flaeche|length|perim|slope|year|jahr|annee|date|objectid|fid|n_\w+|geom\w*|sample|gml|"
    r"status|confidence|colou?r|nuts\d?|region|regione|county|cnty|kanton|provinc\w*|municip\w*|comarca|obec|okres|kraj)(_|$)"
    r"|(_href|codespace|namespace|_uuid)$"
)
"""Pattern of the names of fields that are no label, even if they have few values."""
NAME = r"name|nom|label|desc|libel|bez(_|$)|bezeich|nam(_|$)|naz(e|ev|iv)(_|$)|title|trans_n"
"""Pattern of the names of fields with the name of a class."""
CODE = r"cod|kod|koodi|sifra|_id$"
"""Pattern of the names of fields with the code of a class."""
LOST = r"\w\?+\w"
"""Question marks within words: a program wrote them in place of letters that its encoding lacks."""
ODD = 0.1
"""Least share of values with lost letters at which a field with intact ones is preferred."""


def fields_of(frame: gpd.GeoDataFrame) -> list[str]:
    """Return the names of the fields of a table of features."""
    return [str(c) for c in frame.columns if c != frame.geometry.name]


def label_fields(frame: gpd.GeoDataFrame) -> list[str]:
    """Return the fields that look like a class label, the likeliest first.

    Fields named as a crop in one of the languages of parcel registers come first, then other names of labels, then the rest.
    Of fields alike, one with fewer missing values and with intact letters is preferred, then a code to a name, then the latest
    year in the names, then the first one.
    """
    fitting = [f for f in fields_of(frame) if _is_category(frame[f])]
    return sorted(fitting, key=lambda f: _order(frame[f]))


def guessed(frame: gpd.GeoDataFrame, path: Path | str) -> str:
    """Return the likeliest label field.

    Raises
    ------
    SamplesError
        No field looks like a label.
    """
    found = label_fields(frame)
    if not found:
        raise SamplesError(
            f"{path}: no field looks like a class; give --label. Its fields: {', '.join(fields_of(frame))}."
        )
    return found[0]


def is_named_as_label(field: str) -> bool:
    """Return whether the name of a field suggests a class."""
    return any(re.search(pattern, field, re.I) for pattern in (*CROP, *LABEL))


def lost_letters(values: pd.Series) -> bool:
    """Return whether a field has question marks in place of letters."""
    found = pd.Series(values.map(plain).unique())
    return bool(len(found)) and bool(found.str.contains(LOST, regex=True).mean() >= ODD)


def year_in(name: str) -> int | None:
    """Return the year in the name of a field, for example of ``CDL2024``; None if there is none."""
    found = re.search(r"(?<!\d)(?:19|20)\d\d(?!\d)", name)
    return int(found[0]) if found else None


def _order(column: pd.Series) -> tuple[int, bool, bool, bool, bool, int]:
    name = str(column.name)
    patterns = (*CROP, *LABEL)
    rank = next((i for i, pattern in enumerate(patterns) if re.search(pattern, name, re.I)), len(patterns))
    missing = bool(column.map(plain).eq("").mean() > 0.5)
    is_name, is_code = (bool(re.search(pattern, name, re.I)) for pattern in (NAME, CODE))
    return rank, missing, lost_letters(column), is_name, not is_code, -(year_in(name) or 0)


def _is_category(column: pd.Series) -> bool:
    """Return whether a field may be a label: 2 or more values, repeated, neither dates nor measurements."""
    if column.dtype.kind in "mM" or re.search(NO_LABEL, str(column.name), re.I):
        return False
    values = column.map(plain)
    values = values[values != ""]
    if column.dtype.kind == "f" and values.str.contains(".", regex=False).any():
        return False
    return 2 <= values.nunique() <= MOST and bool(values.duplicated(keep=False).mean() >= REPEATED)
