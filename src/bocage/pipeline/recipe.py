"""The recipe: one TOML file, parsed once into the dataclasses that the rooms already have.

Strict and complete: an unknown key is refused with the nearest known one, and every problem of a file is told at once.
"""

import dataclasses
import os
import re
import tomllib
import typing
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bocage.errors import BocageError, RecipeError
from bocage.evaluation import METRICS, Evaluation
from bocage.grid import Grid
from bocage.legend import LandClass, Legend, read_csv
from bocage.mapping import WRITERS, Mapping, Workers
from bocage.models import MODELS
from bocage.report import Reporting
from bocage.samples import Reference, Split
from bocage.samples.reference import POSTGIS
from bocage.scene import INDICES, Preparation, Preparing
from bocage.shelf import Shelf, did_you_mean
from bocage.sources import SENSORS
from bocage.training import Training, with_preset


@dataclass(frozen=True)
class GridChoice:
    """The map's grid: that of a source, or a CRS with a resolution and bounds."""

    like: str = ""
    """Name of the source whose grid the map takes."""
    crs: str = ""
    """Such as ``"EPSG:32740"``."""
    resolution: float | None = None
    """Pixel size in CRS units."""
    bounds: tuple[float, float, float, float] | None = None
    """West, south, east, north in CRS units."""

    def __post_init__(self) -> None:
        if bool(self.like) == bool(self.crs):
            raise ValueError("give either 'like' (a source) or 'crs', 'resolution' and 'bounds'")
        if self.crs and (self.resolution is None or self.bounds is None):
            raise ValueError("'crs' needs 'resolution' and 'bounds' beside it")

    def grid(self, sources: AnyMapping[str, Any]) -> Grid:
        """Return the grid."""
        if self.like:
            grid: Grid = sources[self.like].grid
            return grid
        assert self.resolution is not None
        assert self.bounds is not None
        return Grid.from_bounds(self.crs, self.resolution, self.bounds)


@dataclass(frozen=True)
class LegendChoice:
    """The nomenclature: a CSV file (code,name,color,parent,values) or classes written in the recipe."""

    csv: Path | None = None
    classes: tuple[LandClass, ...] = ()

    def __post_init__(self) -> None:
        if bool(self.csv) == bool(self.classes):
            raise ValueError("give either 'csv' or 'classes'")


@dataclass(frozen=True)
class SourceChoice:
    """A source of the recipe: its sensor, what the sensor is told, and how the scene lays it out."""

    sensor: str
    settings: Any
    preparation: Preparation


@dataclass(frozen=True)
class Contender:
    """A model that ``bocage compare`` sets beside the recipe's own: one table ``[[compare]]``."""

    label: str
    """What tables call it."""
    model: str
    config: Any
    training: Training


@dataclass(frozen=True)
class Recipe:
    """A whole run."""

    name: str
    grid: GridChoice
    legend: Legend
    sources: AnyMapping[str, SourceChoice]
    scene: Preparing
    reference: Reference
    split: Split
    model: str
    config: Any
    training: Training
    map: Mapping
    evaluation: Evaluation
    report: Reporting
    workers: Workers
    path: Path
    """The file it was read from."""
    compare: tuple[Contender, ...] = ()
    """Models to set beside this one."""


SECTIONS: dict[str, tuple[type[Any], bool]] = {
    "grid": (GridChoice, True),
    "legend": (LegendChoice, True),
    "reference": (Reference, True),
    "scene": (Preparing, False),
    "split": (Split, False),
    "training": (Training, False),
    "map": (Mapping, False),
    "evaluation": (Evaluation, False),
    "report": (Reporting, False),
    "workers": (Workers, False),
}
"""Section → its dataclass, and whether a recipe must have it."""


@dataclass
class _Reading:
    """A recipe being read: where it lies, and the problems found so far."""

    folder: Path
    problems: list[str] = field(default_factory=list)

    def unknown(self, key: str, known: list[str]) -> None:
        last = key.rpartition(".")[2]
        self.problems.append(f"{key}: unknown key.{did_you_mean(last, known)} Known: {', '.join(sorted(known))}")

    def section(self, kind: type[Any], raw: Any, key: str) -> Any:
        """Validate one table into its dataclass; None where it has problems."""
        if not isinstance(raw, dict):
            self.problems.append(f"{key}: a table [{key}] is expected, found {raw!r}")
            return None
        cleaned = self._clean(kind, raw, key)
        try:
            return TypeAdapter(kind).validate_python(cleaned)
        except ValidationError as error:
            for one in error.errors():
                place = ".".join([key, *(str(part) for part in one["loc"] if not _is_branch(part))])
                self.problems.append(f"{place}: {one['msg'].removeprefix('Value error, ')}")
        except BocageError as error:
            self.problems.append(f"{key}: {error}")
        return None

    def _clean(self, kind: Any, raw: dict[str, Any], key: str) -> dict[str, Any]:
        """Refuse unknown keys, resolve relative paths; nested tables likewise."""
        hints = typing.get_type_hints(kind)
        cleaned = {}
        for name, value in raw.items():
            if name not in hints:
                self.unknown(f"{key}.{name}", list(hints))
                continue
            cleaned[name] = self._value(hints[name], value, f"{key}.{name}")
        return cleaned

    def _value(self, hint: Any, value: Any, key: str) -> Any:
        options = [hint, *typing.get_args(hint)]
        inner = next((o for o in options if dataclasses.is_dataclass(o)), None)
        if inner is not None and isinstance(value, dict):
            return self._clean(inner, value, key)
        if inner is not None and isinstance(value, list):
            return [self._clean(inner, v, f"{key}.{i}") if isinstance(v, dict) else v for i, v in enumerate(value)]
        if Path in options and isinstance(value, str) and not value.startswith(POSTGIS):
            return self.folder / value
        if Path in options and isinstance(value, dict):
            return {k: self.folder / v if isinstance(v, str) else v for k, v in value.items()}
        return value

    def names(self, shelf: Shelf[Any], key: str, names: tuple[str, ...]) -> None:
        """Refuse names that are on no shelf now rather than when they are needed, hours later."""
        for name in names:
            try:
                shelf.get(name)
            except BocageError as error:
                self.problems.append(f"{key}: {error}")

    def expanded(self, value: Any, key: str) -> Any:
        """Replace ``${VAR}`` in every string by the environment's."""
        if isinstance(value, dict):
            return {k: self.expanded(v, f"{key}.{k}" if key else k) for k, v in value.items()}
        if isinstance(value, list):
            return [self.expanded(v, f"{key}.{i}") for i, v in enumerate(value)]
        return re.sub(r"\$\{(\w+)\}", lambda m: self._variable(m, key), value) if isinstance(value, str) else value

    def _variable(self, match: re.Match[str], key: str) -> str:
        if match[1] not in os.environ:
            self.problems.append(f"{key}: the environment variable {match[1]} is not set; export it before running")
        return os.environ.get(match[1], match[0])


def _is_branch(part: object) -> bool:
    """Whether a part of a pydantic location names a branch of a union rather than a key."""
    return isinstance(part, str) and (part in ("str", "path", "int") or "[" in part or part[:1].isupper())


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises
    ------
    RecipeError
        The file is missing, is not TOML, or has problems; all of them are told.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(path, ["the file does not exist; 'bocage init' writes one"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(path, [f"not a TOML file: {error}"]) from error
    reading = _Reading(path.resolve().parent)
    raw = reading.expanded(raw, "")
    known = ["name", "sources", "model", "compare", *SECTIONS]
    for key in raw:
        if key not in known:
            reading.unknown(key, known)
    sources = _sources(reading, raw.get("sources"))
    model, config = _model(reading, raw.get("model"), "model")
    contenders = _contenders(reading, raw, model)
    parts = {key: _plain_section(reading, _completed(reading, raw, model), key) for key in SECTIONS}
    _cross_check(reading, parts, sources)
    legend = _legend(reading, parts["legend"])
    if reading.problems:
        raise RecipeError(path, reading.problems)
    parts["legend"] = legend
    own: dict[str, Any] = {"sources": sources, "model": model, "config": config, "path": path, "compare": contenders}
    return Recipe(str(raw.get("name", path.stem)), **own, **parts)


def _completed(reading: _Reading, raw: dict[str, Any], model: str, key: str = "training") -> dict[str, Any]:
    """Complete [training] by the settings that suit the network, or the published ones where the recipe asks for them."""
    said = raw.get("training", {})
    if not model or not isinstance(said, dict):
        return raw
    try:
        return raw | {"training": with_preset(model, said)}
    except ValueError as error:
        reading.problems.append(f"{key}.preset: {error}")
        return raw


def _contenders(reading: _Reading, raw: dict[str, Any], own: str) -> tuple[Contender, ...]:
    """Read the tables [[compare]]: a model each, with what differs in its training."""
    tables = raw.get("compare", [])
    if not isinstance(tables, list) or not all(isinstance(one, dict) for one in tables):
        reading.problems.append("compare: write a table [[compare]] for each model, with label, model and training")
        return ()
    found, taken = [], {own}
    for i, table in enumerate(tables):
        key = f"compare.{i}"
        for odd in sorted(set(table) - {"label", "model", "training"}):
            reading.unknown(f"{key}.{odd}", ["label", "model", "training"])
        model, config = _model(reading, table.get("model"), f"{key}.model")
        told = {"training": {**_table(raw.get("training")), **_table(table.get("training"))}}
        training = reading.section(
            Training, _completed(reading, told, model, f"{key}.training")["training"], f"{key}.training"
        )
        label = str(table.get("label") or _label(table.get("model")))
        if label in taken:
            reading.problems.append(f"{key}.label: '{label}' names another model already; give each a label of its own")
        taken.add(label)
        found.append(Contender(label, model, config, training))
    return tuple(found)


def _table(raw: Any) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _label(raw: Any) -> str:
    """Name a model by what is said of it."""
    told = _table(raw)
    settings = ", ".join(f"{key} = {value}" for key, value in told.items() if key != "name")
    return f"{told.get('name', '?')}" + (f" ({settings})" if settings else "")


def _plain_section(reading: _Reading, raw: dict[str, Any], key: str) -> Any:
    kind, required = SECTIONS[key]
    if key not in raw and required:
        reading.problems.append(f"{key}: the section [{key}] is missing")
        return None
    return reading.section(kind, raw.get(key, {}), key)


def _sources(reading: _Reading, raw: Any) -> dict[str, SourceChoice]:
    if not isinstance(raw, dict) or not raw:
        reading.problems.append("sources: at least one table [sources.<name>] is needed")
        return {}
    chosen = {}
    prepared = {f.name for f in dataclasses.fields(Preparation)}
    for name, table in raw.items():
        key = f"sources.{name}"
        if not isinstance(table, dict) or not isinstance(table.get("sensor"), str):
            reading.problems.append(f"{key}.sensor: say which sensor it is: {', '.join(SENSORS)}")
            continue
        try:
            kind = SENSORS.get(table["sensor"]).Settings
        except BocageError as error:
            reading.problems.append(f"{key}.sensor: {error}")
            continue
        own = {f.name for f in dataclasses.fields(kind)}
        for odd in set(table) - prepared - own - {"sensor"}:
            reading.unknown(f"{key}.{odd}", sorted(prepared | own | {"sensor"}))
        settings = reading.section(kind, {k: v for k, v in table.items() if k in own}, key)
        preparation = reading.section(Preparation, {k: v for k, v in table.items() if k in prepared}, key)
        chosen[name] = SourceChoice(table["sensor"], settings, preparation)
    return chosen


def _model(reading: _Reading, raw: Any, key: str) -> tuple[str, Any]:
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        reading.problems.append(f"{key}.name: say which model to train: {', '.join(MODELS)}")
        return "", None
    try:
        kind = MODELS.get(raw["name"]).Config
    except BocageError as error:
        reading.problems.append(f"{key}.name: {error}")
        return "", None
    return raw["name"], reading.section(kind, {k: v for k, v in raw.items() if k != "name"}, key)


def _cross_check(reading: _Reading, parts: dict[str, Any], sources: dict[str, SourceChoice]) -> None:
    grid, split, mapping = parts["grid"], parts["split"], parts["map"]
    if grid and grid.like and sources and grid.like not in sources:
        known = f"{did_you_mean(grid.like, sources)} There are: {', '.join(sources)}"
        reading.problems.append(f"grid.like: no source is called '{grid.like}'.{known}")
    evaluation = parts["evaluation"]
    named: list[tuple[Shelf[Any], str, Any]] = [(METRICS, "evaluation.metrics", evaluation and evaluation.metrics)]
    named.append((WRITERS, "map.formats", mapping and mapping.formats))
    named += [(INDICES, f"sources.{n}.indices", c.preparation and c.preparation.indices) for n, c in sources.items()]
    for shelf, key, names in named:
        reading.names(shelf, key, names or ())
    if split and mapping and mapping.draw >= split.draws:
        reading.problems.append(f"map.draw: draws are numbered 0 to {split.draws - 1}; found {mapping.draw}")


def _legend(reading: _Reading, choice: LegendChoice | None) -> Legend | None:
    if choice is None:
        return None
    try:
        return read_csv(choice.csv) if choice.csv else Legend(choice.classes)
    except BocageError as error:
        reading.problems.append(f"legend: {error}")
        return None
