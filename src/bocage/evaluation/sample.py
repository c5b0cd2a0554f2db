"""A validation sample as a vector file: written for photo-interpretation, read when it comes back labelled.

The file that goes out tells nothing of the map: an interpreter who sees the map's class tends to agree with it. What the
estimates need (stratum of each pixel, size of each stratum, fingerprint of the map) stays in a file beside it,
``<name>.design.json``; the number of each sample joins the two.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from shapely import box

from bocage.disk import replacing, write_json
from bocage.errors import EvaluationError
from bocage.grid import Grid
from bocage.legend import Legend
from bocage.shelf import did_you_mean

NUMBER = "sample"
"""Field that joins the sample to its design."""
FORMATS = (".gpkg", ".geojson", ".fgb")
"""Vector formats of one file each."""
EMPTY = ("", "nan", "None", "<NA>")
"""What an empty label looks like, whatever the format."""


@dataclass(frozen=True)
class Drawn:
    """A sample as it was drawn: one entry for each pixel, in the order of their numbers."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    stratum: NDArray[np.int64]
    """Code of the class that the map had there."""
    sizes: Mapping[int, int]
    """Code → pixels of it in the whole map."""
    fingerprint: str
    """Of the map's file."""
    crs: str
    transform: tuple[float, ...]
    """Of the map's grid, in the order of ``affine.Affine``."""

    def __len__(self) -> int:
        return len(self.row)

    def save(self, path: Path) -> None:
        """Write the design beside the sample file `path`."""
        said = asdict(self) | {name: getattr(self, name).tolist() for name in ("row", "column", "stratum")}
        write_json(design_of(path), said, None)

    @classmethod
    def load(cls, path: Path) -> "Drawn":
        """Read the design beside the sample file `path`.

        Raises
        ------
        EvaluationError
            It is missing or damaged.
        """
        file = design_of(path)
        try:
            said = json.loads(file.read_text())
            row, column, stratum = (np.array(said.pop(name), np.int64) for name in ("row", "column", "stratum"))
            sizes = {int(code): int(n) for code, n in said.pop("sizes").items()}
            return cls(row, column, stratum, sizes, transform=tuple(said.pop("transform")), **said)
        except FileNotFoundError as error:
            raise EvaluationError(
                f"{file} is missing: it tells how {path.name} was drawn, and 'bocage sample-design' writes it beside the sample. "
                "Put it back; without it no interval can be given."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluationError(
                f"{file} is damaged ({error}); draw the sample again, or restore the file."
            ) from error


def design_of(path: Path) -> Path:
    """Where the design of a sample file lies."""
    return path.with_name(path.stem + ".design.json")


def write_sample(drawn: Drawn, grid: Grid, path: Path) -> None:
    """Write the outlines of the sampled pixels, with an empty label, and their design beside them.

    Raises
    ------
    EvaluationError
        The file exists (it may hold labels), or its format is unknown.
    """
    if path.exists():
        raise EvaluationError(f"{path} exists and may hold labels; choose another --out.")
    if path.suffix not in FORMATS:
        raise EvaluationError(f"{path}: a sample is one file; give it a name ending in {', '.join(FORMATS)}.")
    a = grid.transform
    west, north = a.c + drawn.column * a.a, a.f + drawn.row * a.e
    outlines = box(west, north + a.e, west + a.a, north)
    fields = {NUMBER: np.arange(1, len(drawn) + 1), "label": "", "comment": ""}
    table = gpd.GeoDataFrame(fields, geometry=outlines, crs=grid.crs.to_wkt())
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, path.with_name(f".{path.stem}.part{path.suffix}")) as partial:
        try:
            table.to_file(partial, engine="pyogrio", layer=path.stem)
        except Exception as error:  # pyogrio raises many kinds; each means that the file cannot be written so
            raise EvaluationError(f"{path} cannot be written: {error}.") from error
        drawn.save(path)  # first the design: a sample without one is of no use


@dataclass(frozen=True)
class Labelled:
    """A sample that came back."""

    number: NDArray[np.int64]
    """Position of each labelled pixel in the design."""
    label: NDArray[np.int64]
    """Position of its class in the legend."""
    unlabelled: int
    """Pixels of the design without a label."""


def read_sample(path: Path, drawn: Drawn, legend: Legend, field: str) -> Labelled:
    """Read the labels that were given: codes, reference values or names of the legend.

    Raises
    ------
    EvaluationError
        The file or a field is missing, numbers are not those of the design, or a label is not in the legend.
    """
    table = _table(path, field)
    number = _numbers(table[NUMBER], len(drawn), path)
    given = np.array([value is not None and str(value).strip() not in EMPTY for value in table[field]])
    if not given.any():
        raise EvaluationError(f"{path}: no pixel has a label in the field '{field}' yet.")
    values = table[field][given].tolist()
    found = [_position(value, legend) for value in values]
    unknown = pd.Series([str(value) for value, k in zip(values, found, strict=True) if k is None], dtype=str)
    if len(unknown):
        told = ", ".join(f"'{value}' ({n})" for value, n in unknown.value_counts().items())
        raise EvaluationError(
            f"{path}, field '{field}': the legend does not know {told}; it knows the codes {', '.join(map(str, legend.codes))} "
            f"and the names {', '.join(legend.names)}."
        )
    label = np.array([k for k in found if k is not None], np.int64)
    return Labelled(number[given], label, len(drawn) - int(given.sum()))


def _table(path: Path, field: str) -> pd.DataFrame:
    if not path.exists():
        raise EvaluationError(f"{path} does not exist.")
    try:
        table = pd.DataFrame(gpd.read_file(path, engine="pyogrio", ignore_geometry=True))
    except Exception as error:  # pyogrio raises many kinds; each means that the file cannot be read
        raise EvaluationError(f"{path} cannot be read as a vector file: {error}.") from error
    for name in (NUMBER, field):
        if name not in table:
            known = ", ".join(table.columns)
            raise EvaluationError(
                f"{path} has no field '{name}'.{did_you_mean(name, table.columns)} Its fields: {known}."
            )
    return table


def _numbers(column: pd.Series, count: int, path: Path) -> NDArray[np.int64]:
    """Positions in the design, from the numbers that the file carries."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = (numbers.isna() | (numbers < 1) | (numbers > count) | numbers.duplicated()).to_numpy(bool)
    if wrong.any():
        told = ", ".join(str(value) for value in column[wrong].head(5))
        raise EvaluationError(
            f"{path}: {int(wrong.sum())} rows have a number '{NUMBER}' that is not in the design or comes twice ({told}); it "
            "is what joins a label to its pixel: restore it."
        )
    return numbers.to_numpy(np.int64) - 1


def _position(value: Any, legend: Legend) -> int | None:
    """Interpreters write a class's code, one of its reference values, or its name."""
    text = str(value).strip()
    return legend.names.index(text) if text in legend.names else legend.index_of(value)
