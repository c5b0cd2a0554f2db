"""Validation sample as a vector file: written without labels for photo-interpretation, then read with its labels.

The vector file does not contain the classes of the map, because an interpreter who sees the map's class tends to agree with
it. The data that the estimators need (stratum of each pixel, size of each stratum, fingerprint of the map) are in a second
file, ``<name>.design.json``. The number of each sampled pixel joins the two files.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from shapely import box

from bocage.disk import replacing, write_json
from bocage.errors import EvaluationError
from bocage.evaluation.sample_labels import left_out, meaning_of
from bocage.grid import Grid
from bocage.legend import Legend
from bocage.shelf import did_you_mean
from bocage.vectorfile import layer_of

NUMBER = "sample"
"""Field that joins the sample to its design."""
FORMATS = (".gpkg", ".geojson", ".fgb")
"""Supported vector formats; each stores a layer in a single file."""
EMPTY = ("", "nan", "None", "<NA>")
"""Representations of an empty label in the supported formats."""


@dataclass(frozen=True)
class Drawn:
    """Design of a sample: one entry for each sampled pixel, in the order of the pixels' numbers."""

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    stratum: NDArray[np.int64]
    """Code of the map's class at the pixel."""
    sizes: Mapping[int, int]
    """Code → number of pixels of the class in the whole map."""
    fingerprint: str
    """Fingerprint of the map's file."""
    crs: str
    transform: tuple[float, ...]
    """Transform of the map's grid, in the order of ``affine.Affine``."""

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
            The design is missing or damaged.
        """
        file = design_of(path)
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            row, column, stratum = (np.array(document.pop(name), np.int64) for name in ("row", "column", "stratum"))
            sizes = {int(code): int(n) for code, n in document.pop("sizes").items()}
            return cls(row, column, stratum, sizes, transform=tuple(document.pop("transform")), **document)
        except FileNotFoundError as error:
            raise EvaluationError(
                f"{file} is missing. It holds the sampling design of {path.name}; 'bocage sample-design' writes it beside the "
                "sample. Restore it: confidence intervals need it."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise EvaluationError(
                f"{file} is damaged ({error}). Restore the file, or draw the sample again."
            ) from error


def design_of(path: Path) -> Path:
    """Return the path of the design of a sample file."""
    return path.with_name(path.stem + ".design.json")


def check_free(path: Path) -> None:
    """Check that a sample can be written to `path`.

    Raises
    ------
    EvaluationError
        The file or its design exists (they may be those of a labelled sample), or its format is unknown.
    """
    if path.exists():
        raise EvaluationError(f"{path} exists and may hold labels. Choose another --to.")
    if design_of(path).exists():  # of a sample of the same name in another format: its labels would join other pixels
        raise EvaluationError(
            f"{design_of(path)} exists: it joins the labels of another sample named '{path.stem}' to their pixels. Choose "
            "another --to, or remove that sample and its design."
        )
    if path.suffix not in FORMATS:
        raise EvaluationError(f"{path}: unknown format. Use a file name ending in {', '.join(FORMATS)}.")


def write_sample(drawn: Drawn, grid: Grid, path: Path) -> None:
    """Write the outlines of the sampled pixels with empty labels to `path`, and their design beside it.

    Raises
    ------
    EvaluationError
        The file cannot be written; other errors as in :func:`check_free`.
    """
    check_free(path)
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
    """Labels of a sample."""

    number: NDArray[np.int64]
    """Index in the design of each pixel with a class of the map."""
    label: NDArray[np.int64]
    """Index of its class in the legend."""
    notes: tuple[str, ...] = ()
    """Sentences about the pixels that are not used, and about the meaning of the labels."""


def read_sample(path: Path, drawn: Drawn, legend: Legend, field: str) -> Labelled:
    """Read the labels of a sample: codes, names or reference values of the legend (:func:`meaning_of`).

    Pixels with the label of a coarser class, or of a set of classes, are left out and counted: no class of the map is right or
    wrong there for certain.

    Raises
    ------
    EvaluationError
        The file or a field is missing, the numbers do not match the design, no pixel has a class of the map, or a label is not
        in the legend or ambiguous.
    """
    table = _table(path, field)
    number = _numbers(table[NUMBER], len(drawn), path)
    given = np.array([value is not None and str(value).strip() not in EMPTY for value in table[field]], bool)
    if not given.any():
        raise EvaluationError(f"{path}: no pixel has a label in the field '{field}'.")
    meant = meaning_of(table[field][given].tolist(), legend, f"{path}, field '{field}'")
    label = np.array(meant.labels, np.int64)
    notes, fine = [meant.note] if meant.note else [], label >= 0
    if missing := len(drawn) - int(given.sum()):
        have, are = ("have", "are") if missing > 1 else ("has", "is")
        notes.append(f"{path.name}: {missing} of {len(drawn)} pixels {have} no label and {are} not used.")
    if coarse := left_out(meant.labels, legend):
        said = (
            f"{path.name}: {int((~fine).sum())} of {len(drawn)} pixels have the label of a coarser class or of a set of classes "
            f"and are not used: {coarse}. Label them with classes of the map: estimates without them may be biased."
        )
        if not fine.any():
            raise EvaluationError(said)
        notes.append(said)
    return Labelled(number[given][fine], label[fine], tuple(notes))


def _table(path: Path, field: str) -> pd.DataFrame:
    if not path.exists():
        raise EvaluationError(f"{path} does not exist.")
    try:
        layer = layer_of(path, "", "save the sample in a file of its own")
        features = gpd.read_file(
            layer.address, engine="pyogrio", ignore_geometry=True, layer=layer.name, **layer.options
        )
        table = pd.DataFrame(features)
    except LookupError as error:
        raise EvaluationError(str(error)) from error
    except Exception as error:  # pyogrio raises errors of many types when it cannot read a file
        raise EvaluationError(f"{path} cannot be read as a vector file: {error}.") from error
    for name in (NUMBER, field):
        if name not in table:
            known = ", ".join(table.columns)
            raise EvaluationError(
                f"{path} has no field '{name}'.{did_you_mean(name, table.columns)} Its fields: {known}."
            )
    return table


def _numbers(column: pd.Series, count: int, path: Path) -> NDArray[np.int64]:
    """Return the indices of the pixels in the design, from the numbers in the file.

    Raises
    ------
    EvaluationError
        A number is missing, duplicated, or not in the design.
    """
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = (numbers.isna() | (numbers < 1) | (numbers > count) | numbers.duplicated()).to_numpy(bool)
    if wrong.any():
        listed = ", ".join(str(value) for value in column[wrong].head(5))
        raise EvaluationError(
            f"{path}: {int(wrong.sum())} rows have a '{NUMBER}' number that is duplicated or not in the design ({listed}). "
            "Restore the numbers: they join the labels to their pixels."
        )
    return numbers.to_numpy(np.int64) - 1
