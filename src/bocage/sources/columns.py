"""Which columns of a table hold series of samples: the id, the date and the bands, in a long or a wide table."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bocage.errors import SourceError
from bocage.sources.column_roles import Roles, date_columns, is_band, named, roles_of, why_undated
from bocage.sources.table import read_table, texts
from bocage.sources.values import NO_CLEAR, Clear
from bocage.vectorfile import PARQUET

DATE = (
    r"(?P<date>(?:19|20)\d{6}(?:T\d{6}Z?)?|(?:19|20)\d{2}-\d{2}-\d{2}(?:T[\d:.]+Z?)?|(?:19|20)\d{2}[0-3]\d{2}"
    r"|(?:19|20)\d{2}[01]\d)"
)
"""Date in the name of a column: a day, a day of the year, a month."""
WIDE = (
    re.compile(rf"(?P<band>[A-Za-z].*?)(?P<between>[_.\- ]?)(?:(?<!\d)|(?=\d{{8}}$)){DATE}"),
    re.compile(rf"{DATE}(?P<between>[_.\- ]?)(?P<band>[A-Za-z].*)"),
)
"""Names of columns with a band and a date, in both orders."""
EARTH_ENGINE = (
    (rf"{DATE}_(?:19|20)\d{{6}}T\d{{6}}_T\d\d[A-Z]{{3}}_(?P<band>[A-Za-z]\w*)", "{date}_*_{band}"),
    (rf"L[CEOT]0\d_\d{{6}}_{DATE}_(?P<band>[A-Za-z]\w*)", "L*_{date}_{band}"),
    (rf"S1[A-D]_\w\w_GRD\w_\w{{4}}_{DATE}_\w+_[0-9A-F]{{4}}_(?P<band>[A-Za-z]+)", "S1*_{date}_*_{band}"),
)
"""Names of the bands of images that Google Earth Engine stacked (Sentinel-2, Landsat, Sentinel-1) → pattern of the columns."""
SHARED = 0.5
"""Share of the ids of the reference, or of its own values, by which a column is one of ids."""
MANY = 10
"""Fewest files with the same columns that are reported as tables of one sample each."""
CLOSE = 0.9
"""Share of the best agreement at which another column or field may be the one of the ids too."""
ID_NAME = re.compile(
    r"(?i)(^|_)(u|g|o|f)?id(_|$)|id$|parcel|plot|field|sample|point|poly|site|parzelle|schlag|placette|ilot|(^|_)(nr|key)$"
)
"""Names of columns of ids."""
ROW_NUMBER = re.compile(r"(?i)(ogc_?)?fid|object_?id|(system:)?index|unnamed.*|level_0|gid|row\w*")
"""Names of columns with the number of a row, which other programs write in an order of their own."""


@dataclass(frozen=True)
class Pair:
    """Column of a table and field of the reference with the same ids."""

    column: str
    field: str
    share: float
    """Share of ids in common, of those of either."""

    @property
    def same(self) -> bool:
        """Whether column and field have one name."""
        return self.column.lower() == self.field.lower()

    @property
    def rank(self) -> tuple[int, bool]:
        """Preference among pairs that fit alike, lowest first: numbers of rows last, equal names first."""
        return sum(bool(ROW_NUMBER.fullmatch(name)) for name in (self.column, self.field)), not self.same


@dataclass(frozen=True)
class Layout:
    """Columns of a table with the series of samples."""

    path: Path
    id: str
    """Column of the ids."""
    field: str
    """Field of the reference with the same ids."""
    bands: Mapping[str, Mapping[str, str]]
    """Source name → common name → column, or text for ``{band}`` of a wide table."""
    date: str = ""
    wide: str = ""
    valid: str = ""
    """Column, or text for ``{band}``, that shows where the observation is clear."""
    clear: Clear = NO_CLEAR
    """Values of `valid` there; none if they are those above 0."""
    remarks: tuple[str, ...] = ()
    """What was left out, and what is uncertain."""
    pair: Pair | None = None
    """The column and the field of the ids."""
    rivals: tuple[Pair, ...] = ()
    """Other columns and fields whose ids agree as well."""


def layout_of(path: Path, ids: Mapping[str, frozenset[str]], never: Collection[str] = ()) -> Layout:
    """Return the columns of a table of series.

    Parameters
    ----------
    ids
        Field of the reference → its values, for the fields that identify a feature.
    never
        Names in lower case of columns that are no bands: the label and other fields of the reference.

    Raises
    ------
    SourceError
        The table cannot be read, or holds no series of these samples.
    """
    if not ids:
        raise SourceError(
            f"{path}: no field of the reference identifies its features: in each, values are repeated or missing. Give each "
            "feature an id, the one of its series"
        )
    frame = read_table(path).rename(columns=str)
    written = _as_written(path, frame)
    pairs = _pairs(written, ids)
    if not pairs:
        raise SourceError(
            f"{path}: no column has the ids of a field of the reference ({', '.join(list(ids)[:8])}). "
            + (_nearly(written, ids) or f"Its columns are {', '.join(frame.columns[:8])}")
        )
    dated = _dated(frame, written, path, pairs)
    if dated:
        return _long_layout(frame, written, path, dated, never)
    return _wide_layout(frame, written, path, pairs, never)


def _as_written(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that may be ids, with the leading zeros of whole numbers in a CSV file."""
    kept = [c for c in frame.columns if not is_band(c) and frame[c].dtype.kind not in "mMb"]
    kept = [c for c in kept if frame[c].dtype.kind != "f" or not (frame[c].dropna() % 1 != 0).any()]
    whole = {c: str for c in kept if frame[c].dtype.kind in "iu"}
    if path.suffix.lower() in PARQUET or not whole:
        return frame[kept]
    return read_table(path, whole).rename(columns=str)[kept]


def _pairs(written: pd.DataFrame, ids: Mapping[str, frozenset[str]]) -> list[Pair]:
    """Return the columns with the ids of a field of the reference that agree best, the likeliest first.

    Columns of text and those with the name of ids come before other whole numbers, such as the day of the year.
    """
    found: dict[bool, list[Pair]] = {True: [], False: []}
    for column in written.columns:
        values = frozenset(_values(written[column]))
        textual = written[column].dtype.kind not in "iuf" and not all(value.isdecimal() for value in values)
        for field, wanted in ids.items():
            common = len(values & wanted)
            named_id = column.lower() == field.lower() or bool(ID_NAME.search(column)) or textual
            if common and (common >= SHARED * len(wanted) or (named_id and common >= SHARED * len(values))):
                found[named_id].append(Pair(column, field, common / len(values | wanted)))
    chosen = found[True] or found[False]
    best = max((pair.share for pair in chosen), default=0.0)
    return sorted((pair for pair in chosen if pair.share >= CLOSE * best), key=lambda pair: (pair.rank, -pair.share))


def _values(column: pd.Series) -> list[str]:
    """Return the different values of a column as text; none of a column of lists."""
    try:
        return list(texts(pd.Series(column.dropna().unique())))
    except TypeError:
        return []


def _nearly(written: pd.DataFrame, ids: Mapping[str, frozenset[str]]) -> str:
    """Return which ids differ in their zeros, case or blanks only; empty if none do."""

    def bare(text: str) -> str:
        return text.strip().casefold().lstrip("0")

    for column in written.columns:
        values = {bare(text): text for text in _values(written[column])}
        for field, wanted in ids.items():
            alike = [text for text in sorted(wanted) if values.get(bare(text), text) != text]
            if len(alike) >= SHARED * min(len(wanted), len(values)) and len(alike) > 1:
                return (
                    f"Column '{column}' and field '{field}' differ in zeros, case or blanks, as '{values[bare(alike[-1])]}' and "
                    f"'{alike[-1]}'. Write them alike"
                )
    return ""


@dataclass(frozen=True)
class Dated:
    """Column of dates, for pairs of a column of ids and a field."""

    date: str
    pairs: tuple[Pair, ...]


def _dated(frame: pd.DataFrame, written: pd.DataFrame, path: Path, pairs: list[Pair]) -> Dated | None:
    """Return the column of dates with at most one row for each sample and date; None if no sample has two rows.

    Raises
    ------
    SourceError
        The table has a row for each sample and date, but no column of dates, or a row for each band.
    """
    repeated = [pair for pair in pairs if written[pair.column].duplicated().any()]
    if not repeated:
        return None
    dates, why = date_columns(frame, {pair.column for pair in repeated})
    if not dates and _wide(frame)[0]:
        return None
    if not dates:
        raise SourceError(f"{path}: {why or why_undated(list(frame.columns))}")
    twice = {
        (column, date): int(pd.DataFrame({"id": written[column], "date": frame[date]}).duplicated().sum())
        for column in dict.fromkeys(pair.column for pair in repeated)
        for date in dates
    }
    fewest = min(twice.values())
    (id_, date), _ = next(item for item in twice.items() if item[1] == fewest)
    if fewest and (kinds := _kinds(frame, written[id_], date)):
        raise SourceError(
            f"{path}: it has a row for each value of column '{kinds}' (sample, date and band). Write one row for each sample and "
            "date, with a column for each band"
        )
    return Dated(date, tuple(pair for pair in repeated if twice[pair.column, date] == fewest))


def _kinds(frame: pd.DataFrame, ids: pd.Series, date: str) -> str:
    """Return the column of text with the name of the band of each row; empty if rows are not those of bands."""
    for column in (c for c in frame.columns if c not in (ids.name, date) and frame[c].dtype.kind not in "iufbmM"):
        names = frame[column].dropna().astype(str).unique()
        rows = pd.DataFrame({"id": ids, "date": frame[date], "kind": frame[column]})
        if any(map(is_band, names)) and not rows.duplicated().any():
            return str(column)
    return ""


def _long_layout(
    frame: pd.DataFrame, written: pd.DataFrame, path: Path, dated: Dated, never: Collection[str]
) -> Layout:  # fmt: skip
    """Return the layout of a table with a row per sample and date."""
    first = dated.pairs[0]
    without = {first.column, *(p.column for p in dated.pairs), *date_columns(frame, {first.column})[0]}
    groups = {column: frame[[column]] for column in frame.columns if column not in without}
    roles = roles_of(groups, written[first.column], never)
    return _layout(path, dated.pairs, roles, written, date=dated.date)


def _layout(
    path: Path, pairs: Sequence[Pair], roles: Roles, written: pd.DataFrame, date: str = "", wide: str = ""
) -> Layout:  # fmt: skip
    """Return the layout of a table with its bands.

    Raises
    ------
    SourceError
        It has no band.
    """
    if not roles.bands:
        raise SourceError(f"{path}: no column of numbers is a band. {'. '.join(roles.remarks)}".rstrip(". "))
    first, *others = pairs
    rivals = [p for p in others if not first.same and (p.field != first.field or not _alike(written, p, first))]
    return Layout(
        path,
        first.column,
        first.field,
        _sources(roles.bands),
        date,
        wide,
        roles.valid,
        roles.clear,
        roles.remarks,
        first,
        tuple(rivals),
    )


def _alike(written: pd.DataFrame, one: Pair, other: Pair) -> bool:
    """Return whether two columns have the same ids in each row."""
    return bool(texts(written[one.column]).equals(texts(written[other.column]).rename(one.column)))


def _wide(frame: pd.DataFrame) -> tuple[str, dict[str, list[str]]]:
    """Return the pattern of the columns with a band and a date, and band → its columns; an empty pattern without them."""
    best: tuple[str, dict[str, list[str]]] = ("", {})
    for expression, wide in EARTH_ENGINE:
        stacked = [m for c in frame.columns if (m := re.fullmatch(expression, c))]
        if len(stacked) > 1:
            bands_of = sorted({m["band"] for m in stacked})
            return wide, {band: [m[0] for m in stacked if m["band"] == band] for band in bands_of}
    for pattern, order in zip(WIDE, ("{{band}}{}{{date}}", "{{date}}{}{{band}}"), strict=True):
        found = [m for c in frame.columns if (m := pattern.fullmatch(c))]
        for between, n in Counter(m["between"] for m in found).most_common(1):
            bands: dict[str, list[str]] = defaultdict(list)
            for match in (m for m in found if m["between"] == between):
                bands[match["band"]].append(match[0])
            if n > max(1, sum(map(len, best[1].values()))):
                best = order.format(between), dict(sorted(bands.items()))
    return best


def _wide_layout(
    frame: pd.DataFrame, written: pd.DataFrame, path: Path, pairs: Sequence[Pair], never: Collection[str]
) -> Layout:  # fmt: skip
    """Return the layout of a table with a row per sample, and a column per band and date.

    Raises
    ------
    SourceError
        No columns have a band and a date in their names.
    """
    wide, bands = _wide(frame)
    if not wide:
        raise SourceError(f"{path}: {why_undated(list(frame.columns))}")
    groups = {band: frame[columns] for band, columns in bands.items()}
    return _layout(path, pairs, roles_of(groups, written[pairs[0].column], never), written, wide=wide)


def _sources(columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the sources of a table: optical, radar and other bands, each with common name → column."""
    sources: dict[str, dict[str, str]] = defaultdict(dict)
    for column in columns:
        source, name = named(column)
        name = name if name not in sources[source] else f"{name}_{len(sources[source])}"
        sources[source][name] = column
    return dict(sources)


def tables_in(
    files: Sequence[Path], ids: Mapping[str, frozenset[str]], skipped: list[str], never: Collection[str] = ()
) -> list[Layout]:
    """Return the layout of each table among `files` that holds series; other tables go to `skipped` with the reason."""
    found, why = [], list[str]()
    tables = [path for path in files if is_table(path)]
    if alike := _of_one_sample(tables, ids):
        skipped.append(alike)
        return []
    for path in tables:
        try:
            found.append(layout_of(path, ids, never))
        except SourceError as error:
            why.append(str(error))
    skipped += why
    return found


def _of_one_sample(tables: Sequence[Path], ids: Mapping[str, frozenset[str]]) -> str:
    """Return what to do about many CSV files with the same columns, whose names are ids of the reference; else empty."""
    heads: dict[str, list[Path]] = defaultdict(list)
    for path in (path for path in tables if path.suffix.lower() not in PARQUET):
        with path.open("rb") as file:
            heads[file.readline(4096).decode("utf-8", "replace")].append(path)
    same = max(heads.values(), key=len, default=[])
    names = {name for values in ids.values() for name in values}
    named = sum(path.stem in names or path.name in names for path in same)
    if len(same) < MANY or named < SHARED * len(same):
        return ""
    shown = ", ".join(path.name for path in same[:3])
    return (
        f"{same[0].parent}: {len(same)} tables ({shown}, …) have the same columns and the names of samples, and a series needs "
        "a table of all samples. Join them in one CSV or Parquet file, with a column of the name of each file"
    )


def is_table(path: Path) -> bool:
    """Return whether a file may hold a table that Bocage reads; a file ``.txt`` needs a separator twice in its first line."""
    suffix = path.suffix.lower()
    if suffix != ".txt":
        return suffix in (*PARQUET, ".csv", ".tsv")
    with path.open("rb") as file:
        first = file.read(4096).partition(b"\n")[0]
    return max(first.count(mark) for mark in (b",", b";", b"\t")) > 1
