"""Rows of several tables: all tables of a scene have the rows of the same samples."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bocage.disk import digest
from bocage.errors import SourceError
from bocage.sources.source import Readable
from bocage.sources.table import TableSource
from bocage.words import Note


def same_rows(sources: Mapping[str, Readable]) -> dict[str, Readable]:
    """Return sources whose tables have a row for each sample of any table; a sample has no valid date in a table without it.

    Raises
    ------
    SourceError
        A table has no sample of the others.
    """
    tables = {name: source for name, source in sources.items() if isinstance(source, TableSource)}
    for name, source in tables.items():
        others = [other for other in tables.values() if other.name != source.name]
        if others and all(set(source.ids).isdisjoint(other.ids) for other in others):
            raise SourceError(
                f"The tables '{name}' and '{others[0].name}' have no sample in common (first ids: {source.ids[0]} and "
                f"{others[0].ids[0]}). Check 'id' of these sources: both tables need the same ids, written alike."
            )
    every = tuple(sorted(set[str]().union(*(source.ids for source in tables.values()))))
    return {**sources, **{name: with_rows(source, every) for name, source in tables.items()}}


def with_rows(source: TableSource, ids: tuple[str, ...]) -> TableSource:
    """Return a table with the rows of `ids`, which are sorted and include its own; the others have no value."""
    if ids == source.ids:
        return source
    row, shape = np.searchsorted(ids, source.ids), source.stored.shape[1:]
    stored, seen = np.full((len(ids), *shape), np.nan, np.float32), np.zeros((len(ids), shape[0]), bool)
    stored[row], seen[row] = source.stored, source.seen
    note = Note.of("rows_missing", source.name, n=len(ids) - len(source.ids), total=len(ids))
    columns = f"{source.columns}, rows {digest(ids)}"  # prepared values of the file alone have other rows
    return replace(source, ids=ids, stored=stored, seen=seen, notes=(*source.notes, note), columns=columns)
