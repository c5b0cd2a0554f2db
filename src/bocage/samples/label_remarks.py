"""Remarks on the label field that ``bocage init`` proposes, and on the names of its classes."""

import re
from collections import defaultdict
from collections.abc import Sequence

import geopandas as gpd
import pandas as pd

from bocage.legend import plain
from bocage.samples.label_field import (
    NAME,
    is_named_as_label,
    is_predicted,
    label_fields,
    lost_letters,
    unaccented,
    year_in,
)

MOST_FIELDS = 12
"""Maximum number of fields that a remark names."""
DESCRIBED = rf"{NAME}|info|legend|leyenda|nomencl|level|niveau|nivel|niv\d|detail|subtype"
"""Pattern of the names of fields that may describe a label in more detail."""

UNKNOWN = (
    r"n[./ ]?a\.?|nan|null|none|nil|unknown|undefined|undetermined|unlabell?ed|(un|not[ _])classified|no[ _]?(data|class|label)|"
    r"inconnue?s?|non[ _-]?(classee?s?|renseignee?s?|determinee?s?)|indeterminee?s?|sans[ _](donnees?|classe)|"
    r"desconocid[oa]s?|(sin|no)[ _](clasifica(r|d[oa])|datos?|clase)|desconhecid[oa]s?|nao[ _]classificad[oa]s?|"
    r"sem[ _](dados?|classe)|unbekannt|unklassifiziert|nicht[ _]klassifiziert|keine[ _](daten|angaben?|klasse)|[-?.]+"
)
"""Pattern of the names of classes, without accents, that mean that the class is not known."""


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
    others = [f for f in likely if not year_in(f) and not have_the_same_classes(frame, label, f)]
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
    """Return remarks on names with lost or wrong letters, that mean no class, or that differ in their spelling only."""
    remarks = []
    if any(lost_letters(pd.Series([name])) for name in names):
        remarks.append(
            "names of classes have '?' in place of letters, written so by another program: correct them in the legend"
        )
    if misread := [name for name in names if _intended(name) != name]:
        remarks.append(
            f"names of classes have letters of UTF-8 read in another encoding: '{misread[0]}' is '{_intended(misread[0])}'. If "
            "the labels are a shapefile, write the text UTF-8 to a file of its name with the ending .cpg, and start again"
        )
    unknown = [name for name in names if re.fullmatch(UNKNOWN, unaccented(name).strip(), re.I)]
    if unknown:
        remarks.append(
            f"these classes may mean that the class is not known: {_quoted(unknown)}. If so, list their labels in 'ignore' of "
            "[reference], and delete their lines in the legend"
        )
    alike = defaultdict[str, list[str]](list)
    for name in names:
        alike[re.sub(r"[\s_]+", "", unaccented(name)).casefold()].append(name)
    twins = [" and ".join(f"'{name}'" for name in same) for same in alike.values() if len(same) > 1]
    if twins:
        remarks.append(
            f"labels that differ in case, accents or blanks only are classes of their own: {_listed(twins)}. To merge them, list "
            "both in 'values' of one class"
        )
    return remarks


def _intended(name: str) -> str:
    """Return a name whose letters of UTF-8 were read as Latin-1 as it was written, and another name as it is.

    >>> _intended("BlÃ© tendre"), _intended("Blé tendre")
    ('Blé tendre', 'Blé tendre')
    """
    try:
        return name.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return name


def _quoted(names: Sequence[str]) -> str:
    return _listed([f"'{name}'" for name in names])


def _listed(fields: Sequence[str]) -> str:
    return ", ".join(fields[:MOST_FIELDS]) + ", …" * (len(fields) > MOST_FIELDS)


def have_the_same_classes(frame: gpd.GeoDataFrame, label: str, field: str) -> bool:
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
