"""What a column of a table of samples holds: dates, values of a band, a quality flag, or what must not be a band."""

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bocage.sources.band_names import SENTINEL2 as SENTINEL2_CODES
from bocage.sources.band_names import numbering, plain_name
from bocage.sources.base import YEARS
from bocage.sources.declared import RADAR
from bocage.sources.quality_layers import rank
from bocage.sources.sentinel2_l2a import CODES
from bocage.sources.table import in_milliseconds, numbers_in, texts
from bocage.sources.times import looks_dated, read_times
from bocage.sources.values import MOST_CODES, NO_CLEAR, Clear, Codes, clear_of

SENTINEL2 = {f"b{code[1:].lstrip('0').lower()}": name for name, code in CODES.items()}
"""Sentinel-2 band number without leading zero → common name."""
INDICES = ("ndvi", "evi", "ndmi", "savi", "ndwi", "msavi", "gndvi", "nbr", "evi2", "mndwi", "lai", "fapar")
QUALITY = re.compile(
    r"(.*_)?(scl|fmask|qa(_?\w+)?|clouds?(_?\w+)?|cld\w*|clp|clm|cs(_cdf)?|(cloud_?)?shadows?|\w*mask|valid\w*|(is_)?clear\w*|quality)"
)
"""Names of columns that say which observations are clear, or clouded."""
CLEAR = re.compile(r"(.*_)?((is_)?(valid|clear)(_?(mask|sky|obs))?|data_?mask|cloud_?free)")
"""Names of columns that are above 0 where the observation is clear."""
LABELLED = re.compile(
    r"(crop|class|label|target|land_?cover|land_?use|lc|lu|code|culture)s?"
    r"(_?(code|class|id|name|nr|type|label|cat(egory)?|num(ber)?|value|gro?u?p))*(_?(19|20)\d\d)?"
)
"""Names of columns of labels."""
NO_BAND = re.compile(
    r"(lat|latitude|lon|long|lng|longitude|coords?_?[xy]|[xy](_?coord\w*)?|point_[xy]|easting|northing)(_(wgs\w*|deg\w*|dd|\d+))?"
    r"|folds?|split|subset|partition|train(ing)?|test|validation|set|weights?|wgt|year|jahr|annee|month|mois|monat|day|jour|tag|week"
    r"|doy|day_of_year|dayofyear|julian(_day)?|(unix_?)?time(_?stamp)?|epoch|unnamed_*\d*|(system_)?index|level_0|row|col(umn)?"
    r"|(\w+_)?(id|[og]?fid|gid|uid|objectid|object_id)"
    r"|(pixel|point|sample|plot|field|parcel|polygon|site|parzelle|schlag|placette|ilot)(_?(nr|no|num(ber)?|key|code|name))?"
)
"""Names of columns of places, parts of a split, times and numbers of rows or samples."""
VISIBLE = ("red", "green", "blue")
"""Bands by which clouds are bright."""
CELLS = 1_000_000
"""Number of cells of a column of quality that are read to know its values."""
EPOCH_NAME = re.compile(r"(\w+_)?(time(_?stamp)?|epoch|time_start|millis)")
"""Names of columns of times since 1970, as ``system:time_start`` of Google Earth Engine."""
CONSTANT = 0.95
"""Share of the samples within which a column that is no band has one value."""
NUMERIC = 0.5
"""Share of the cells of a column of text that are numbers, if it is a band with words in some cells."""

LEFT = {
    "named": "columns that are labels, fields of the reference, places, parts of a split, times or numbers of rows are left out "
    "of the bands: {}. Add a measurement among them to 'bands', but never a label",
    "constant": "columns with one value in each sample are left out of the bands: {}. Add those that are measurements, such as "
    "elevation or slope, to 'bands'; a label there would make the accuracy worthless",
    "valid": "column '{}' shows the clear observations: check 'valid', and 'clear' if the recipe has it",
    "quality": "columns of clouds or quality are left out of the bands, and no observation is masked with them: {}. To mask "
    "clouds, add a column that is 1 where the observation is clear and 0 elsewhere, and give it as 'valid'",
    "worded": "columns of numbers with words in some cells are left out: {}. Empty these cells and add the columns to 'bands'",
    "comma": "columns with a decimal comma are left out, write a decimal point: {}",
    "empty": "columns without a value are left out: {}",
}
"""Role of columns → remark."""


@dataclass(frozen=True)
class Roles:
    """Columns of a table, by what they hold."""

    bands: tuple[str, ...]
    valid: str = ""
    """Column that shows where the observation is clear."""
    clear: Clear = NO_CLEAR
    """Its values there; none if they are those above 0."""
    quality: tuple[str, ...] = ()
    """Other columns of clouds and quality."""
    named: tuple[str, ...] = ()
    """Labels, fields of the reference, places, parts of a split, times and numbers, by their names."""
    constant: tuple[str, ...] = ()
    """Columns with one value in each sample."""
    worded: tuple[str, ...] = ()
    """Columns of numbers with words in some cells, each with the first word."""
    comma: tuple[str, ...] = ()
    """Columns of numbers with a decimal comma."""
    empty: tuple[str, ...] = ()
    """Columns without a value."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was left out, and why."""
        return tuple(text.format(", ".join(found)) for role, text in LEFT.items() if (found := self.of(role)))

    def of(self, role: str) -> tuple[str, ...]:
        """Return the columns with a role."""
        found = getattr(self, role)
        return (found,) * bool(found) if isinstance(found, str) else found


def named(column: str) -> tuple[str, str]:
    """Return source and common name of a column. Landsat's numbers without its number (``SR_B5``) can be those of two sensors.

    >>> named("S2-L2A-B02"), named("S1-SIGMA0-VV"), named("B8A"), named("NDVI"), named("b10")
    (('s2', 'blue'), ('s1', 'vv'), ('s2', 'nir08'), ('s2', 'ndvi'), ('s2', 'b10'))
    >>> named("LC08_B5"), named("LT05_B5"), named("SR_B5")
    (('landsat', 'nir'), ('landsat', 'swir16'), ('landsat', 'sr_b5'))
    """
    plain = plain_name(column)  # a key of TOML
    last = plain.rpartition("_")[2]
    if last in RADAR:
        return "s1", last
    if (numbers := numbering(column)) is not SENTINEL2_CODES and (match := re.fullmatch(r"b(\d+)", last)):
        return "landsat", numbers.get(f"B{int(match[1]):02d}", last)
    if re.fullmatch(r"sr_b\d+", plain):
        return "landsat", plain
    if match := re.fullmatch(r"b0?(\d+a?)", last):
        return "s2", SENTINEL2.get(f"b{match[1]}", last)
    return "s2", last if last in (*INDICES, *CODES) else plain


def is_band(column: str) -> bool:
    """Return whether a column has the name of a band of a sensor or of a spectral index.

    >>> is_band("B04"), is_band("S1-VV"), is_band("elevation")
    (True, True, False)
    """
    last = plain_name(column).rpartition("_")[2]
    return last in (*RADAR, *INDICES, *CODES) or bool(re.fullmatch(r"b\d{1,2}a?", last))


def roles_of(groups: dict[str, pd.DataFrame], samples: pd.Series, never: Collection[str]) -> Roles:
    """Return the roles of the columns of a table.

    Parameters
    ----------
    groups
        Name of a column, or of a band of a wide table → its values (sample, date); a long table has one column of all dates.
    samples
        Sample of each row.
    never
        Names in lower case of the label, of its siblings and of other fields of the reference.
    """
    found: dict[str, list[str]] = {f.name: [] for f in dataclasses.fields(Roles) if f.name not in ("valid", "clear")}
    valid, clear = "", NO_CLEAR
    for name, values in groups.items():
        plain, numbers, words = plain_name(name), numbers_in(values), words_in(values)
        if numbers is None and not words:
            continue
        if name.lower() in never or (not is_band(name) and (LABELLED.fullmatch(plain) or NO_BAND.fullmatch(plain))):
            found["named"].append(name)
        elif numbers is None:
            role = "comma" if re.fullmatch(r"-?\d*,\d+", words) else "worded"
            found[role].append(name if role == "comma" else f"{name} ('{words[:20]}')")
        elif not numbers.notna().to_numpy().any():
            found["empty"].append(name)
        elif QUALITY.fullmatch(plain) or all(dtype.kind == "b" for dtype in numbers.dtypes):
            if CLEAR.fullmatch(plain) and not valid and _is_flag(numbers):
                valid = name
            else:
                found["quality"].append(name)
        elif not is_band(name) and (_is_constant(numbers, samples) or _numbers_rows(numbers)):
            found["constant"].append(name)
        else:
            found["bands"].append(name)
    if not valid:
        valid, clear = _mask(groups, found["quality"], found["bands"])
        found["quality"] = [name for name in found["quality"] if name != valid]
    return Roles(valid=valid, clear=clear, **{role: tuple(names) for role, names in found.items()})


def _mask(groups: Mapping[str, pd.DataFrame], quality: Sequence[str], bands: Sequence[str]) -> tuple[str, Clear]:
    """Return the column of quality whose clear values are known, and these; an empty name if there is none."""
    light = next((numbers_in(groups[band]) for band in bands if named(band)[1] in VISIBLE), None)
    for name in sorted(quality, key=rank):
        codes = _codes(numbers_in(groups[name]), light)
        clear = clear_of(name, codes)
        if clear.values and codes.share(clear.values):
            return name, clear
    return "", NO_CLEAR


def _codes(values: pd.DataFrame | None, light: pd.DataFrame | None) -> Codes:
    """Return the values of a column of quality, and how bright a visible band is there; none if they are no whole numbers."""
    if values is None:
        return Codes()
    cells = pd.DataFrame({"code": values.to_numpy(float).ravel()[:CELLS]})
    if light is not None and light.shape == values.shape:
        cells["light"] = light.to_numpy(float).ravel()[:CELLS]
    cells = cells[cells.code.notna()]
    if (cells.code % 1 != 0).any():
        return Codes()
    shares = {
        int(str(code)): float(share) for code, share in cells.code.astype(int).value_counts(normalize=True).items()
    }
    if "light" not in cells:
        return Codes(shares)
    return Codes(shares, {code: float(cells.light[cells.code == code].median()) for code in list(shares)[:MOST_CODES]})


def words_in(values: pd.DataFrame) -> str:
    """Return the first cell that is no number, of columns whose cells are numbers for the most part; empty if there is none."""
    for _, column in values.items():
        if column.dtype.kind in "iufbM":
            continue
        written = column.dropna().astype(str).str.strip()
        comma = written.str.fullmatch(r"-?\d*,\d+")
        numbers = pd.to_numeric(written, errors="coerce").notna() | comma
        if len(written) and numbers.mean() >= NUMERIC and (comma.any() or not numbers.all()):
            return str(written[comma].iloc[0] if comma.any() else written[~numbers].iloc[0])
    return ""


def _is_flag(values: pd.DataFrame) -> bool:
    """Return whether values are 0 and 1, both."""
    return set(pd.unique(values.to_numpy(float).ravel())) - {np.nan} >= {0.0, 1.0} and bool(
        values.isin([0, 1]).where(values.notna(), True).to_numpy().all()
    )


def _is_constant(values: pd.DataFrame, samples: pd.Series) -> bool:
    """Return whether a column has one value within nearly each sample of two dates and more."""
    groups = pd.DataFrame({"least": values.min(axis=1), "most": values.max(axis=1)}).groupby(samples.to_numpy())
    least, most, dates = groups.least.min(), groups.most.max(), groups.size() * values.shape[1]
    several = dates > 1
    same = (least == most) | least.isna()
    return bool(several.any()) and bool(same[several].mean() >= CONSTANT)


def _numbers_rows(values: pd.DataFrame) -> bool:
    """Return whether a column numbers the rows of the table, in any order."""
    if values.shape[1] > 1 or len(values) < 2 or values.iloc[:, 0].isna().any():
        return False
    column = values.iloc[:, 0].to_numpy(float)
    return bool(column.max() - column.min() == len(column) - 1) and len(np.unique(column)) == len(column)


# --- dates
def date_columns(frame: pd.DataFrame, without: Collection[str]) -> tuple[list[str], str]:
    """Return the columns of dates of a table, and why one with the form of dates is none; empty if there is no such column."""
    found, why = [], ""
    for column in (str(c) for c in frame.columns if c not in without and not is_band(str(c))):
        if EPOCH_NAME.fullmatch(plain_name(column)) and in_milliseconds(frame[column]):
            found.append(column)
            continue
        written = _written_dates(frame[column])
        try:
            read_times(written)
        except ValueError as error:
            why = why or f"column '{column}': {error}"
            continue
        if len(written) or frame[column].dtype.kind == "M":
            found.append(column)
    return found, why


def _written_dates(column: pd.Series) -> list[str]:
    """Return the different values of a column of text or whole numbers if all have the form of a date, else an empty list."""
    if column.dtype.kind in "mMb":
        return []
    numeric = column.dtype.kind in "iuf"
    known = column.dropna()
    if numeric and not known.between(YEARS[0] * 1000, (YEARS[1] + 1) * 10_000).all():
        return []
    written = [text for text in texts(known).unique().tolist() if text]
    dated = all(looks_dated(text) and (not numeric or _is_whole_date(text)) for text in written)
    return written if dated else []


def _is_whole_date(text: str) -> bool:
    """Return whether a whole number is a date, as 20180215 or 2018046."""
    try:
        return len(text) in (7, 8) and YEARS[0] <= read_times([text])[0].year <= YEARS[1]
    except ValueError:
        return False


def why_undated(columns: Sequence[str]) -> str:
    """Return why a table without a column of dates has none, from the names of its columns."""
    plain = {plain_name(column): column for column in columns}
    year = next((plain[name] for name in ("year", "jahr", "annee") if name in plain), "")
    day = next(
        (plain[name] for name in ("doy", "day_of_year", "dayofyear", "julian_day", "julian") if name in plain), ""
    )
    epoch = next((c for name, c in plain.items() if EPOCH_NAME.fullmatch(name)), "")
    numbered = [c for c in columns if re.fullmatch(r"[A-Za-z].*?[_.\- ]\d{1,3}", c)]
    if year and day:
        return (
            f"the dates are in two columns, '{year}' and '{day}'. Write one column of dates, as 2018046 or 2018-02-15"
        )
    if day or epoch:
        return f"column '{day or epoch}' is not a date. Write a column of dates, as 2018-02-15"
    if sum(looks_dated(column) for column in columns) > 1:
        return (
            "its columns are dates, without the name of a band. Join the tables of the bands into one, with a column for each "
            "band and date (B04_2018-02-15), or with a row for each sample and date and a column for each band"
        )
    if len(numbered) > 1:
        return (
            f"its columns are numbered, as '{numbered[0]}', and their dates are not known. Write the source by hand: sensor = "
            "\"table\", wide = \"{band}_{date}\", with the first date in 'start' and the days between columns in 'every'"
        )
    return "no column of dates, and no columns with a band and a date in their names, as B04_2018-02-15"
