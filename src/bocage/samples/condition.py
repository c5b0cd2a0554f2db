"""SQL conditions on the fields of features, evaluated by SQLite for every file format."""

import re
import sqlite3
from contextlib import closing

import geopandas as gpd
import pandas as pd
from pandas.api.types import is_numeric_dtype, is_unsigned_integer_dtype

from bocage.errors import SamplesError
from bocage.legend import plain
from bocage.shelf import did_you_mean

LARGEST = 2**63 - 1
"""Largest integer of SQLite."""
SHOWN = 6
"""Number of fields of which a message gives a value."""


def selected(frame: gpd.GeoDataFrame, where: str, shown: str) -> gpd.GeoDataFrame:
    """Return the features of a file, which messages call `shown`, that meet a condition. Days are texts such as 2022-05-31.

    Raises
    ------
    SamplesError
        The condition is no SQL condition on the fields, or no feature meets it.
    """
    fields = pd.DataFrame(frame.drop(columns=frame.geometry.name)).reset_index(drop=True)
    values = {str(name): _comparable(column) for name, column in fields.items()}
    said = f"{shown}: the condition [reference] where = {where!r}"
    named = re.findall(r'"((?:[^"]|"")+)"', re.sub(r"'(?:[^']|'')*'", "", where))
    for name in named:  # SQLite takes a name that is no field for a text
        if name.replace('""', '"').lower() not in [field.lower() for field in values]:
            raise SamplesError(
                f'{said} has the name "{name}" in double quotes, and no field is called so.{did_you_mean(name, values)} Its '
                f"fields are: {', '.join(values)}. Write texts in single quotes."
            )
    with closing(sqlite3.connect(":memory:")) as memory:
        try:
            pd.DataFrame(values, index=fields.index).to_sql("features", memory, index_label="number of the feature")
            found = memory.execute(f'SELECT "number of the feature" FROM features WHERE ({where})').fetchall()
        except sqlite3.Error as error:
            raise SamplesError(
                f"{said} cannot be used: {error}. Its fields are: {', '.join(values)}. Write texts in single quotes."
            ) from error
    if not found:
        first = ", ".join(f"{name} = {column.tolist()[0]!r}" for name, column in list(values.items())[:SHOWN])
        raise SamplesError(f"{said} is met by no feature. The first feature has {first}.")
    return frame.iloc[sorted(number for (number,) in found)].reset_index(drop=True)


def _comparable(values: pd.Series) -> pd.Series:
    """Return the values of a field as SQL compares them: numbers as numbers, also those of a CSV file, days as texts.

    Numbers of 2⁶³ and more, such as identifiers of cells, are texts: SQLite has no such integers.
    """
    if is_unsigned_integer_dtype(values) and values.max() > LARGEST:
        return values.astype("string").astype(object)
    if is_numeric_dtype(values):
        return values
    texts = values.map(day_text)
    known = texts[texts != ""]
    if len(known) and known.str.fullmatch(r"-?(0|[1-9]\d{0,17})(\.\d+)?").all():  # 0110 is a code
        return pd.to_numeric(texts.where(texts != "", None))
    return texts


def day_text(value: object) -> str:
    """Return the text of a value, without the time if it is a date at midnight.

    >>> day_text(pd.Timestamp("2022-05-31")), day_text("2022-05-31T10:30:00"), day_text(None)
    ('2022-05-31', '2022-05-31T10:30:00', '')
    """
    return re.sub(r"^(\d{4}-\d\d-\d\d)[ T]00:00:00(\+00:00|Z)?$", r"\1", plain(value))
