"""What a file of labelled features contains: the field of the label, the names of its classes, their numbers of features."""

import itertools
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas as gpd
import pandas as pd

from bocage.errors import SamplesError
from bocage.legend import LONGEST, LandClass, Legend, plain
from bocage.samples.condition import day_text
from bocage.samples.label_field import MOST, NAME, fields_of, guessed, lost_letters, year_in
from bocage.samples.label_remarks import have_the_same_classes, remarks_on
from bocage.samples.label_years import Years, years_of
from bocage.samples.postgis import POSTGIS
from bocage.samples.raster import CODE, names_raster
from bocage.samples.reference import Reference, check_field, read_features
from bocage.samples.shapes import POINTS
from bocage.samples.tabular import TABLES
from bocage.samples.vector import LAYER, layers_with_features
from bocage.sources.table import texts
from bocage.sources.times import YEAR, looks_dated, years_within

SHORT = 4
"""Longest usual abbreviation of a class, in characters."""
PERIOD = (
    ("from", "to"), ("start_date", "end_date"), ("date_start", "date_end"), ("start", "end"), ("from_date", "to_date"),
    ("date_debut", "date_fin"), ("debut", "fin"),
)  # fmt: skip
"""Pairs of fields with the period for which a label holds."""
CONTRADICT = 0.1
"""Share of the samples that may have two labels in a table with a row per date: these are reported, another field is no id."""


@dataclass(frozen=True)
class Labels:
    """Labelled features of a file."""

    reference: Reference
    """The file, with its label field."""
    frame: gpd.GeoDataFrame
    """All fields of the features, and their geometry."""
    beside: str
    """Field in one-to-one correspondence with the label, with the names or the codes of the classes; empty if there is none."""
    classes: tuple[LandClass, ...]
    counts: tuple[int, ...]
    """Number of features of each class."""

    @property
    def legend(self) -> Legend:
        """The classes as a legend."""
        return Legend(self.classes)

    @property
    def has_geometry(self) -> bool:
        """Whether the features have a location."""
        return bool((~(self.frame.geometry.isna() | self.frame.geometry.is_empty)).any())

    @property
    def are_lines(self) -> bool:
        """Whether no feature is a polygon or a point, so that none labels a pixel."""
        kinds = ["Polygon", "MultiPolygon", "GeometryCollection", *POINTS]
        return self.has_geometry and not self.frame.geometry.geom_type.isin(kinds).any()

    @property
    def period(self) -> tuple[str, str] | None:
        """Return the two fields with the first and the last day of the period of a label; None without them."""
        fields = {str(c).lower(): str(c) for c in self.frame.columns}
        for first, last in PERIOD:
            if first in fields and last in fields:
                starts = self.frame[fields[first]].map(day_text)
                known = starts[starts != ""]
                if len(known) and all(looks_dated(text) or re.fullmatch(YEAR, text) for text in known.unique()):
                    return fields[first], fields[last]
        return None

    @property
    def yearly(self) -> Years | None:
        """The field with the years of the labels, unless the name of the label field has its year; None without one."""
        return None if year_in(self.reference.label) else years_of(self.frame, self.fields)

    @property
    def years(self) -> tuple[int, ...]:
        """Years of the labels: in the name of their field, of a field of years or dates, in the name of the file; or empty."""
        if year := year_in(self.reference.label):
            return (year,)
        if found := self.yearly:
            return tuple(found.counts)
        return tuple(sorted(set(years_within(Path(self.reference.path).stem))))

    @property
    def fields(self) -> list[str]:
        """Names of the fields."""
        return fields_of(self.frame)

    @property
    def remarks(self) -> list[str]:
        """What the user should know of the label field and of the classes."""
        return remarks_on(self.frame, self.reference.label, self.beside, [c.name for c in self.classes])

    @property
    def siblings(self) -> frozenset[str]:
        """The label field, and the fields whose values correspond one to one to its values."""
        label = self.reference.label
        same = {f for f in self.fields if f == label or have_the_same_classes(self.frame, label, f)}
        return frozenset(same | {self.beside} - {""})

    def repeated_ids(self) -> dict[str, frozenset[str]]:
        """Return the fields whose values may identify samples with a row per date → the values as text.

        Nearly each value has one label, and several rows, and there are more values than classes.
        """
        label = self.frame[self.reference.label].map(plain)
        found = {}
        for field in self.fields:
            values = self.frame[field]
            if field == self.reference.label or values.isna().any() or values.is_unique:
                continue
            kinds = label[label != ""].groupby(values[label != ""]).nunique()
            if values.nunique() > 2 * len(self.classes) and (kinds > 1).mean() < CONTRADICT:
                found[field] = frozenset(texts(values))
        return found

    def one_each(self, field: str) -> "Labels":
        """Return the labels with one row for each value of a field."""
        frame = self.frame[~texts(self.frame[field]).duplicated()]
        found = frame[self.reference.label].map(plain).value_counts()
        counts = (sum(int(found.get(plain(v), 0)) for v in c.values or (c.code,)) for c in self.classes)
        return replace(self, frame=frame, counts=tuple(counts))

    def ids(self) -> dict[str, frozenset[str]]:
        """Return the fields whose values identify a feature → the values as text. Rows that are the same count once."""
        once = self.frame[~pd.DataFrame(self.frame[self.fields]).duplicated()]
        unique = [f for f in self.fields if once[f].notna().all() and once[f].is_unique]
        return {field: frozenset(texts(self.frame[field])) for field in unique}


def read_labels(path: Path, label: str = "", layer: str = "") -> Labels:
    """Read a file of labelled features. If `label` is empty, the field is guessed from names and values.

    If `layer` is empty, and one of several layers has more than one feature, it is this layer.

    A field in one-to-one correspondence with the label gives the names of the classes, or their codes.

    Raises
    ------
    SamplesError
        The file cannot be read, the field does not exist or is empty, or no field looks like a label.
    """
    layer = layer or _only_layer(path)
    frame = read_features(Reference(path, label, layer=layer))
    if label:
        check_field(frame, label, Reference(path, label))
    else:
        label = CODE if names_raster(path) else guessed(frame, path)
    found = frame[label].map(plain)
    counts = found[found != ""].value_counts()
    if not len(counts):
        raise SamplesError(f"{path}: no feature has a label in the field '{label}'. Give --label.")
    if len(counts) > MOST:
        raise SamplesError(
            f"{path}: the field '{label}' has {len(counts)} different values, which are no classes. Give another --label. "
            f"The fields are: {', '.join(fields_of(frame))}."
        )
    values = sorted((_value(text) for text in counts.index), key=_place)
    sibling, beside = _sibling(frame, label)
    classes = _classes(values, beside)
    return Labels(
        Reference(path, label, layer=layer), frame, sibling, classes, tuple(int(counts[plain(v)]) for v in values)
    )


def _only_layer(path: Path) -> str:
    """Return the layer that has features, if the others have none or one; empty for a file of one layer.

    Raises
    ------
    SamplesError
        Several layers have features.
    """
    if POSTGIS.match(str(path)) or not path.exists() or path.suffix.lower() in TABLES:
        return ""
    try:
        found = layers_with_features(path)
    except Exception:  # pyogrio raises errors of many types; the reader of features reports them
        return ""
    if len(found) > 1:
        listed = ", ".join(f"{name} ({n} features)" for name, n in found.items())
        raise SamplesError(
            f"{path} has {len(found)} layers with features: {listed}. Name one: {LAYER}. If each layer is a class, join them: "
            f"ogrmerge.py -single -src_layer_field_name class -o classes.gpkg {shlex.quote(str(path))}"
        )
    return next(iter(found), "")


def _value(text: str) -> int | str:
    return int(text) if re.fullmatch(r"0|-?[1-9]\d{0,17}", text) else text


def _number(value: int | str) -> int | None:
    """Return a label as a number, also one with leading zeros; None for another text."""
    if isinstance(value, int):
        return value
    return int(value) if re.fullmatch(r"0+[1-9]\d{0,17}", value) else None


def _place(value: int | str) -> tuple[bool, int, str]:
    """Return the key by which labels are in order: numbers, then texts."""
    number = _number(value)
    return number is None, number or 0, str(value)


def _sibling(frame: gpd.GeoDataFrame, label: str) -> tuple[str, dict[str, str]]:
    """Return the field in one-to-one correspondence with the label, and label → its value; an empty name if there is none.

    The label of a class may lack a value. A label that is a text needs a code, or, if it is an abbreviation, a longer text
    as its name. A name is preferred to a code, and a field whose name begins as that of the label.
    """
    own = frame[label].map(plain)
    is_text = any(_number(_value(text)) is None for text in own.unique() if text)
    found = []
    for field in fields_of(frame):
        if field == label or frame[field].dtype.kind in "mM":
            continue
        pairs = pd.DataFrame({"own": own, "other": frame[field].map(plain)})
        pairs = pairs[(pairs.own != "") & (pairs.other != "")].drop_duplicates()
        one = not pairs.own.duplicated().any() and not pairs.other.duplicated().any()
        enough = len(pairs) > 1 and len(pairs) >= 0.5 * own[own != ""].nunique()
        longer = pairs.own.str.len().median() <= SHORT < pairs.other.str.len().median()
        codes = all(isinstance(_value(text), int) for text in pairs.other)
        if one and enough and (codes or longer or not is_text):
            found.append((field, dict(zip(pairs.own, pairs.other, strict=True))))
    return min(found, key=lambda item: _rank(label, *item), default=("", {}))


def _rank(label: str, field: str, values: dict[str, str]) -> tuple[bool, bool, bool, int]:
    codes = all(isinstance(_value(text), int) for text in values.values())
    lost = lost_letters(pd.Series(values.values()))
    return codes, lost, not re.search(NAME, field, re.I), -_common(label, field)


def _common(a: str, b: str) -> int:
    """Return the number of first letters that two names share."""
    return next((i for i, (x, y) in enumerate(zip(a.lower(), b.lower(), strict=False)) if x != y), min(len(a), len(b)))


def _classes(values: Sequence[int | str], beside: dict[str, str]) -> tuple[LandClass, ...]:
    """Return a class for each label, in order.

    A label that can be a code is its own code, also with leading zeros. Other texts have the codes of the field beside them, if
    all texts have one there, else the lowest free codes.
    """
    numbers = {text: _value(other) for text, other in beside.items()}
    from_beside = {text: n for text, n in numbers.items() if isinstance(n, int) and 1 <= n <= 65535}
    repeated = Counter(map(_number, values))
    own = {
        plain(v): n
        for v in values
        if (n := _number(v)) and 1 <= n <= 65535 and (isinstance(v, int) or repeated[n] == 1)
    }
    coded = len(from_beside) == len(values) > len(own) and not any(isinstance(v, int) for v in values)
    codes = from_beside if coded else own
    free = (code for code in itertools.count(1) if code not in codes.values())
    named = {} if beside and all(isinstance(n, int) for n in numbers.values()) else beside
    classes, taken = [], set[str]()
    for value in values:
        text = plain(value)
        code = codes[text] if text in codes else next(free)
        name = _name(named.get(text, "") or text, text, taken)
        taken.add(plain(name))
        classes.append(LandClass(code, name, values=() if text == str(code) else (value,)))
    return tuple(classes)


def _name(name: str, label: str, taken: set[str]) -> str:
    """Return a printable name that no other class has."""
    shown = "".join(c if c.isprintable() else " " for c in name)[:LONGEST].strip() or f"class {label[:20]!r}"
    tries = itertools.chain(
        [shown],
        (f"{shown[: LONGEST - 30]} ({label[:20]})",),
        (f"{shown[: LONGEST - 30]} ({i})" for i in itertools.count(2)),
    )
    return next(candidate for candidate in tries if plain(candidate) not in taken)
