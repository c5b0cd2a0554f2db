"""A frozen ONNX graph as an encoder of pixels. A TOML file declares what it needs, which is compared with graph and scene.

```toml
graph = "encoder.onnx"
output = "features"          # output of the graph, float32 (pixel, feature)

[inputs.s2]                  # source of the recipe
values = "x"                 # input of the graph, float32 (pixel, date, band)
bands = ["blue", "green", "red", "nir"]
units = "linear"             # or "dB": unit of the source in the recipe
scale = 10000                # the graph receives value * scale + offset
valid = "mask"               # optional: bool (pixel, date), True where the date is valid
days = "months"              # optional: int64 (pixel, date)
days_as = "month"            # "epoch": since 1970-01-01; "year": 1 to 366; "month": 0 to 11
```

The graph is read by onnxruntime, which does not use pickle. Its weights are not trained.
"""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.errors import ModelError
from bocage.grid import Ratio
from bocage.models import Batch, Footprint, InputSpec, Network
from bocage.models.base import SourceTensor
from bocage.models.card import Abilities
from bocage.scene import Scene
from bocage.shelf import did_you_mean
from bocage.training.records import CALENDAR, YEARS_BEFORE, SourceRecord, source_records

Days = Literal["epoch", "year", "month"]
FLOAT = "tensor(float)"
TYPES = {"values": (FLOAT,), "valid": ("tensor(bool)",), "days": ("tensor(int64)",)}
"""Input → types of ONNX."""


@dataclass(frozen=True)
class GraphInput:
    """What the graph needs of one source."""

    values: str
    """Input of the graph with the values."""
    bands: tuple[str, ...]
    """Bands, in the order of the graph."""
    units: str = "linear"
    """"linear" or "dB"."""
    scale: float = 1.0
    offset: float = 0.0
    valid: str = ""
    """Input with the validity; empty: the graph needs every date, and other pixels are nodata."""
    days: str = ""
    """Input with the days; empty: none."""
    days_as: Days = "epoch"

    @property
    def names(self) -> dict[str, str]:
        """Kind of input → its name in the graph."""
        return {kind: name for kind in TYPES if (name := getattr(self, kind))}


@dataclass(frozen=True)
class Declared:
    """A graph and its inputs, as declared in a file."""

    graph: str
    """Path of the ONNX file, relative to the declaration."""
    inputs: Mapping[str, GraphInput]
    """Source of the recipe → what the graph needs of it."""
    output: str = "features"
    """Output of the graph with the features."""


def read_declared(path: Path) -> Declared:
    """Read the declaration of an encoder.

    Raises
    ------
    ModelError
        The file cannot be read, or a key is missing, unknown or of another type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path} cannot be read as the declaration of an encoder: {error}.") from error
    given = table.pop("inputs", None)
    if not isinstance(given, dict) or not given:
        raise ModelError(f"{path}: no table [inputs.<source>]. Declare each source that the graph needs.")
    inputs = {name: _checked(GraphInput, entry, path, f"inputs.{name}") for name, entry in given.items()}
    for name, one in inputs.items():
        if one.units not in ("linear", "dB") or one.days_as not in get_args(Days):
            raise ModelError(
                f'{path}: inputs.{name}: \'units\' is "linear" or "dB", and \'days_as\' "epoch", "year" or "month".'
            )
    declared: Declared = _checked(Declared, {**table, "inputs": inputs}, path, "the file")
    return declared


def _checked(kind: type[Any], entry: Any, path: Path, where: str) -> Any:
    """Return a table as a dataclass."""
    known = [f.name for f in fields(kind)]
    for key in entry if isinstance(entry, dict) else ():
        if key not in known:
            raise ModelError(
                f"{path}: {where}: unknown key '{key}'.{did_you_mean(key, known)} Known: {', '.join(known)}."
            )
    try:
        one = kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()})
    except TypeError as error:
        raise ModelError(f"{path}: {where} lacks a key ({error}).") from error
    types = {"scale": int | float, "offset": int | float, "bands": tuple, "inputs": dict}
    for f in fields(kind):
        value = getattr(one, f.name)
        empty = value in ((), "") and f.name not in ("valid", "days")
        endless = isinstance(value, float) and not math.isfinite(value)
        if empty or endless or isinstance(value, bool) or not isinstance(value, types.get(f.name, str)):
            raise ModelError(f"{path}: {where}: '{f.name}' cannot be {value!r}.")
    return one


class FrozenGraph(Network):
    """A graph under the contract of a network with features; it has no class head."""

    abilities: ClassVar[Abilities] = Abilities(encoder=True)
    content: Tensor

    def __init__(self, declared: Declared, folder: Path, inputs: Mapping[str, InputSpec]) -> None:
        super().__init__()
        self.declared, self.inputs = declared, dict(inputs)
        self.footprints = {name: Footprint(1) for name in inputs}
        content, self.session = _opened(folder / declared.graph)
        # Part of the weights, so that it is part of the fingerprint.
        self.register_buffer("content", torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self.width = _checked_graph(self.session, declared, self.inputs, folder / declared.graph)

    def fused(self, batch: Batch) -> Tensor:
        """Return the features (B, W, Y, X); NaN where the graph needs a date that is not valid."""
        feed: dict[str, NDArray[Any]] = {}
        lacking = None
        for name, one in self.declared.inputs.items():
            tensor = batch[name]
            feed |= _feed(one, tensor, self.inputs[name].bands)
            if not one.valid:
                gaps = ~tensor.valid.all(1)
                lacking = gaps if lacking is None else lacking | gaps
        b, _, _, y, x = next(iter(batch.values())).values.shape
        (found,) = self.session.run([self.declared.output], feed)
        features = torch.from_numpy(np.ascontiguousarray(found)).reshape(b, y, x, self.width).movedim(-1, 1)
        return features if lacking is None else features.masked_fill(lacking[:, None], torch.nan)


def _feed(one: GraphInput, tensor: SourceTensor, bands: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Return the inputs of the graph, a row per pixel; the values of the batch are physical."""
    b, t, _, y, x = tensor.values.shape
    order = [bands.index(band) for band in one.bands]
    values = tensor.values[:, :, order].permute(0, 3, 4, 1, 2).reshape(b * y * x, t, len(order))
    valid = tensor.valid.permute(0, 2, 3, 1).reshape(b * y * x, t).cpu().numpy()
    scaled = values.cpu().numpy() * np.float32(one.scale) + np.float32(one.offset)
    feed = {one.values: np.ascontiguousarray(scaled * valid[:, :, None], np.float32)}
    if one.valid:
        feed[one.valid] = np.ascontiguousarray(valid)
    if one.days:
        days = _days(tensor.days.cpu().numpy(), one.days_as)
        feed[one.days] = np.repeat(days, y * x, axis=0)
    return feed


def _days(days: NDArray[Any], kind: Days) -> NDArray[np.int64]:
    dates = days.astype("datetime64[D]")
    if kind == "month":
        return np.asarray(dates.astype("datetime64[M]").astype(np.int64) % 12)
    if kind == "year":
        return np.asarray((dates - dates.astype("datetime64[Y]")).astype(np.int64) + 1)
    return days.astype(np.int64)


def _opened(path: Path) -> tuple[bytes, Any]:
    """Return the bytes of a graph and its session.

    Raises
    ------
    ModelError
        The file does not exist or is no ONNX graph, or onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"An ONNX encoder needs the package {error.name}: pip install 'bocage[export]'.") from error
    if not path.is_file():
        raise ModelError(f"{path} does not exist. Correct 'graph' in the declaration of the encoder.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises errors of many types
        raise ModelError(f"{path} cannot be read as an ONNX graph: {' '.join(str(error).split())[:200]}.") from error
    return path.read_bytes(), session


def _checked_graph(session: Any, declared: Declared, inputs: Mapping[str, InputSpec], path: Path) -> int:
    """Return the number of features, after a comparison of the graph with its declaration.

    Raises
    ------
    ModelError
        An input or the output has another name, type or shape.
    """
    there = {entry.name: entry for entry in session.get_inputs()}
    wanted = {name: (kind, source) for source, one in declared.inputs.items() for kind, name in one.names.items()}
    if undeclared := [name for name in there if name not in wanted]:
        raise ModelError(f"{path}: the graph needs the input '{undeclared[0]}', which is not declared. Declare it.")
    for name, (kind, source) in wanted.items():
        if name not in there:
            raise ModelError(
                f"{path}: inputs.{source}: the graph has no input '{name}'.{did_you_mean(name, list(there))} Its inputs: "
                f"{', '.join(there)}."
            )
        sizes = (inputs[source].dates, len(declared.inputs[source].bands))
        _check(there[name], TYPES[kind], sizes if kind == "values" else sizes[:1], path)
    outputs = {entry.name: entry for entry in session.get_outputs()}
    if declared.output not in outputs:
        raise ModelError(f"{path}: the graph has no output '{declared.output}'. Its outputs: {', '.join(outputs)}.")
    output = outputs[declared.output]
    if len(output.shape) != 2 or not isinstance(output.shape[1], int) or output.type != FLOAT:
        raise ModelError(
            f"{path}: the output '{output.name}' is {output.type} {output.shape}; expected float32 (pixel, feature), with a "
            "fixed number of features."
        )
    return int(output.shape[1])


def _check(entry: Any, types: tuple[str, ...], sizes: tuple[int, ...], path: Path) -> None:
    """Check type and shape of an input: any number of pixels, then `sizes`; a named dimension takes any size."""
    shape = entry.shape
    fits = len(shape) == len(sizes) + 1 and not isinstance(shape[0], int)
    fits &= all(not isinstance(own, int) or own == size for own, size in zip(shape[1:], sizes, strict=False))
    if entry.type not in types or not fits:
        raise ModelError(
            f"{path}: the input '{entry.name}' is {entry.type} {shape}; the scene gives {types[0]} "
            f"['pixel', {', '.join(map(str, sizes))}] (any number of pixels, dates, bands). Change the recipe or the declaration."
        )


def sources_of(declared: Declared, scene: Scene, path: Path) -> dict[str, SourceRecord]:
    """Return the sources that a graph needs, after a comparison of the scene with the declaration.

    Raises
    ------
    ModelError
        A source or a band is missing, has another unit or thermal days, or a source is not on the grid of the map.
    """
    for name, one in declared.inputs.items():
        if name not in scene.cubes:
            raise ModelError(f"{path}: the recipe has no source '{name}'.{did_you_mean(name, list(scene.cubes))}")
        bands = scene.cubes[name].bands
        if missing := [band for band in one.bands if band not in bands]:
            raise ModelError(f"{path}: source '{name}' has no band '{missing[0]}'; its bands: {', '.join(bands)}.")
    records = source_records(scene, list(declared.inputs))
    for name, record in records.items():
        if record.units != declared.inputs[name].units:
            raise ModelError(
                f"{path}: source '{name}' is in the unit '{record.units}', the graph expects '{declared.inputs[name].units}'."
            )
        if record.spec.ratio != Ratio():
            raise ModelError(
                f"{path}: source '{name}' is not on the grid of the map, and the graph takes single pixels."
            )
        if declared.inputs[name].days and record.clock not in (CALENDAR, YEARS_BEFORE):
            raise ModelError(
                f"{path}: source '{name}' gives thermal days, and the graph takes days of the calendar. Remove 'thermal' of the "
                "source."
            )
    return records
