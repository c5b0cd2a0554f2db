"""Which columns of a table hold series of samples: the id, the date and the bands, in a long or a wide table."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bocage.errors import SourceError
from bocage.sources.band_names import plain_name
from bocage.sources.sentinel2_l2a import CODES
from bocage.sources.table import read_table, texts

SENTINEL2 = {f"b{code[1:].lstrip('0').lower()}": name for name, code in CODES.items()}
"""Sentinel-2 band number without leading zero → common name."""
INDICES = ("ndvi", "evi", "ndmi", "savi", "ndwi", "msavi", "gndvi", "nbr", "evi2", "mndwi", "lai", "fapar")
RADAR = ("vv", "vh", "hh", "hv")
WIDE = re.compile(r"(?P<band>[A-Za-z].*?)(?P<between>[_.\- ]?)(?P<date>\d{8}|\d{4}-\d{2}-\d{2}|\d{6})")
SHARED = 0.5
"""Share of the ids of the reference that a column must have to be the column of the ids."""


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


def layout_of(path: Path, ids: Mapping[str, frozenset[str]]) -> Layout | None:
    """Return the columns of a table of series; None if the table holds no series of these samples.

    Parameters
    ----------
    ids
        Field of the reference → its values, for the fields that identify a feature.

    Raises
    ------
    SourceError
        The table cannot be read.
    """
    frame = read_table(path)
    id_, field = _ids(frame, ids)
    if not id_:
        return None
    date = next((str(c) for c in frame.columns if c != id_ and _is_dates(frame[c])), "")
    if date and bool(frame[id_].duplicated().any()):
        columns = [str(c) for c in frame.columns if c not in (id_, date) and frame[c].dtype.kind in "iuf"]
        return Layout(path, id_, field, _sources(columns), date)
    return _wide(frame, path, id_, field)


def _ids(frame: pd.DataFrame, ids: Mapping[str, frozenset[str]]) -> tuple[str, str]:
    """Return the column that shares most ids with a field of the reference, and this field; empty texts if none does."""
    best, most = ("", ""), 0.0
    for column in frame.columns:
        if frame[column].dtype.kind == "M" or (frame[column].dtype.kind == "f" and (frame[column] % 1 != 0).any()):
            continue
        values = set(texts(frame[column]).unique())
        for field, wanted in ids.items():
            share = len(values & wanted) / max(len(wanted), 1)
            share += 0.01 * (str(column).lower() == field.lower())
            if share >= SHARED and share > most:
                best, most = (str(column), field), share
    return best


def _is_dates(column: pd.Series) -> bool:
    if column.dtype.kind == "M":
        return True
    if column.dtype.kind not in "OSU" and str(column.dtype) not in ("str", "string"):
        return False
    sample = column.dropna().astype(str).head(50)
    return len(sample) > 0 and bool(sample.str.fullmatch(r"(19|20)\d{2}-?\d{2}-?\d{2}([T ].*)?").all())


def _wide(frame: pd.DataFrame, path: Path, id_: str, field: str) -> Layout | None:
    """Return the layout of a table with a column per band and date."""
    found = [m for c in frame.columns if (m := WIDE.fullmatch(str(c)))]
    if not found:
        return None
    (between, n), *_ = Counter(m["between"] for m in found).most_common()
    bands = sorted({m["band"] for m in found if m["between"] == between})
    return Layout(path, id_, field, _sources(bands), wide="{band}" + between + "{date}") if n > 1 else None


def _sources(columns: list[str]) -> dict[str, dict[str, str]]:
    """Return the sources of a table: optical, radar and other bands, each with common name → column."""
    named: dict[str, dict[str, str]] = defaultdict(dict)
    for column in columns:
        source, name = _named(column)
        name = name if name not in named[source] else f"{name}_{len(named[source])}"
        named[source][name] = column
    return dict(named)


def _named(column: str) -> tuple[str, str]:
    """Return source and common name of a column.

    >>> _named("S2-L2A-B02"), _named("S1-SIGMA0-VV"), _named("B8A"), _named("NDVI"), _named("b10")
    (('s2', 'blue'), ('s1', 'vv'), ('s2', 'nir08'), ('s2', 'ndvi'), ('s2', 'b10'))
    """
    plain = plain_name(column)  # a key of TOML
    last = plain.rpartition("_")[2]
    if last in RADAR:
        return "s1", last
    if match := re.fullmatch(r"b0?(\d+a?)", last):
        return "s2", SENTINEL2.get(f"b{match[1]}", last)
    return "s2", last if last in (*INDICES, *CODES) else plain


def tables_in(files: list[Path], ids: Mapping[str, frozenset[str]], skipped: list[str]) -> list[Layout]:
    """Return the layout of each table among `files` that holds series; other tables go to `skipped` with the reason."""
    found = []
    for path in (p for p in files if p.suffix.lower() in (".parquet", ".csv")):
        try:
            layout = layout_of(path, ids)
        except SourceError as error:
            skipped.append(str(error))
            continue
        if layout and any(layout.bands.values()):
            found.append(layout)
        else:
            skipped.append(f"{path}: no table of series whose ids are those of a field of the reference")
    return found
