"""The noun that leaves this room: a folder that is enough to map with.

``trained.json`` says what the network is and what it was made from; ``weights.safetensors`` holds its numbers.
Neither is unpickled.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
from torch import Tensor

from bocage.disk import digest_of, replacing_folder
from bocage.errors import TrainedError
from bocage.grid import Ratio, Window
from bocage.layout import ModelLayout
from bocage.legend import LandClass, Legend
from bocage.models import MODELS, Batch, Footprint, InputSpec, Network, build, card_of
from bocage.models.base import seen_by
from bocage.scene import Scene
from bocage.training import formats
from bocage.training.calibration import Calibration, calibration_of
from bocage.training.domain import Domain
from bocage.training.scaling import Normalisation

FORMAT = 2
"""2: any scaling, a calibration, parameters of ``gru`` and ``multiresolcc`` under new names; 1 is still read."""


MIDDLE = 32
"""Pixels a side of the window in the middle of a scene whose values are compared with those of the training."""
CALENDAR = "calendar"
"""Days that are days."""
FAR = 50
"""Deviations from the training's values at which a band's are taken for another unit's."""


@dataclass(frozen=True)
class SourceRecord:
    """What a trained network was given of one source, and must be given again."""

    spec: InputSpec
    days: tuple[int, ...]
    """Days since 1970-01-01 that it was trained on, by its `clock`."""
    scale: float
    offset: float
    nodata: float | None
    fill: tuple[int, str, str] | None
    """Declared dates (every, start, end); None for native ones."""
    resampling: str
    resolution: float
    """Ground sampling distance on the nested grid, in CRS units."""
    units: str = ""
    """"dB", or "linear" for whatever else the values stand for; empty where not recorded (format 1)."""
    clock: str = CALENDAR
    """What its days are: those of the calendar, or thermal ones and how warmth was counted."""


@dataclass(frozen=True)
class Region:
    """Where a model was trained."""

    crs: str
    """WKT."""
    bounds: tuple[float, float, float, float]
    """West, south, east, north in CRS units."""

    @classmethod
    def of(cls, scene: Scene) -> "Region":
        """Return the region of a scene."""
        return cls(scene.grid.crs.to_wkt(), scene.grid.bounds)


@dataclass(frozen=True)
class Trained:
    """A network, its weights and everything that mapping needs to know."""

    name: str
    """The architecture, on the shelf ``MODELS``."""
    config: Any
    """Its ``Config``."""
    legend: Legend
    sources: Mapping[str, SourceRecord]
    normalisation: Normalisation
    model: Network
    region: Region
    versions: Mapping[str, str] = field(default_factory=dict)
    calibration: Calibration = field(default_factory=Calibration)
    domain: Domain | None = None
    """What it was trained on, as points; None in folders written before there was one."""
    absent: frozenset[str] = frozenset()
    """Sources that the scene at hand lacks, and that the network does without."""

    @property
    def footprints(self) -> Mapping[str, Footprint]:
        """The network's footprint in every source that it uses and that is there."""
        return {name: footprint for name, footprint in self.model.footprints.items() if name not in self.absent}

    @property
    def any_source(self) -> bool:
        """Whether one source at a pixel is enough."""
        return self.model.any_source

    def for_scene(self, scene: Scene) -> "Trained":
        """Return the same model for a scene, which may lack some sources if the network can do without."""
        absent = frozenset(self.sources) - frozenset(scene.cubes)
        return replace(self, absent=absent) if self.any_source and len(absent) < len(self.sources) else self

    @property
    def has_context(self) -> bool:
        """Whether the network looks beyond the map pixel."""
        return any(f.size > self.sources[name].spec.ratio.finer for name, f in self.footprints.items())

    @property
    def inputs(self) -> dict[str, InputSpec]:
        """What the network knows of its sources."""
        return {name: record.spec for name, record in self.sources.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that its maps depend on: weights and description, versions aside."""
        record = {key: value for key, value in self._described().items() if key != "versions"}
        return digest_of(json.dumps(record, sort_keys=True).encode(), *bytes_of(self.model.state_dict()))

    def scaled(self, logits: Tensor, batch: Batch) -> Tensor:
        """Logits (B, K, Y, X) over the temperature, which may depend on the sources that see a pixel."""
        calibration = self.calibration
        if not calibration.partial:
            return logits / calibration.temperature
        height, width = logits.shape[-2:]
        seen = seen_by(batch, self.footprints, self.inputs, (height, width))
        return logits / calibration.temperatures(seen)[:, None].to(logits.device)

    def save(self, folder: Path) -> None:
        """Write the folder under a temporary name, then rename it: it is complete or absent."""
        model = ModelLayout(folder)
        write_folder(model, self.model.state_dict(), model.description, self._described(), self.domain)

    def _described(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "config": dataclasses.asdict(self.config),
            "legend": [dataclasses.asdict(c) for c in self.legend.classes],
            "sources": {name: dataclasses.asdict(record) for name, record in self.sources.items()},
            "footprints": {name: dataclasses.asdict(f) for name, f in self.footprints.items()},
            "normalisation": dataclasses.asdict(self.normalisation),
            "calibration": dataclasses.asdict(self.calibration),
            "region": {"crs": self.region.crs, "bounds": self.region.bounds},
            "versions": dict(self.versions),
        }

    @classmethod
    def load(cls, folder: Path) -> "Trained":
        """Read a folder written by :meth:`save`.

        Raises
        ------
        TrainedError
            A file is missing or damaged, or was written by another format.
        """
        try:
            return cls._read(ModelLayout(folder))
        except FileNotFoundError as error:
            raise TrainedError(f"{error.filename} is missing: {folder} is not a complete model folder.") from error
        except (KeyError, ValueError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
            raise TrainedError(f"{folder} cannot be read as a trained model: {error}.") from error

    @classmethod
    def _read(cls, model: ModelLayout) -> "Trained":
        record = json.loads(model.description.read_text())
        if record["format"] not in (1, FORMAT):
            raise TrainedError(
                f"{model.path} has format {record['format']}, this version of Bocage reads 1 to {FORMAT}; it was written with "
                f"{record['versions']}. Train again, or use that version."
            )
        sources = {name: record_of(one) for name, one in record["sources"].items()}
        legend = Legend(tuple(LandClass(**{**c, "values": tuple(c["values"])}) for c in record["legend"]))
        architecture = MODELS.get(record["name"])
        config = _config(architecture.Config, record["config"])
        network = build(architecture, {n: r.spec for n, r in sources.items()}, len(legend.classes), config)
        weights = safetensors.torch.load_file(model.weights)
        if record["format"] == 1:
            record, weights = formats.from_1(record, weights)
        network.load_state_dict(weights)
        network.eval()
        region = Region(record["region"]["crs"], tuple(record["region"]["bounds"]))
        scaling, calibration = Normalisation(**record["normalisation"]), calibration_of(record["calibration"])
        return cls(
            record["name"], config, legend, sources, scaling, network, region, record["versions"], calibration,
            Domain.load(model.domain),
        )  # fmt: skip

    def check_scene(self, scene: Scene) -> None:
        """Make sure that a scene offers what the network was trained on.

        Raises
        ------
        TrainedError
            Sources are missing, or differ in bands, units, nesting, resolution or dates; all that differs is named.
        """
        odd = [line for name in self.sources if name not in self.absent for line in self._differences(scene, name)]
        if odd:
            raise TrainedError("The model cannot map this scene:" + "".join(f"\n  - {line}" for line in odd))

    def _differences(self, scene: Scene, name: str) -> Iterator[str]:
        then = self.sources[name]
        if name not in scene.cubes:
            yield f"source '{name}' is missing; the recipe has {', '.join(scene.cubes)}"
            return
        now = source_records(scene, [name])[name]
        was, is_ = then.spec.bands, now.spec.bands
        if was != is_:
            how = "are in another order" if set(was) == set(is_) else "differ"
            yield f"source '{name}': the bands {how}: trained with {', '.join(was)}, found {', '.join(is_)}"
        else:
            yield from other_units(scene, name, self.normalisation)
        pairs: list[tuple[str, Any, Any]] = [("ratio to the map", then.spec.ratio, now.spec.ratio)]
        if not math.isclose(then.resolution, now.resolution, rel_tol=0.01):
            pairs.append(("resolution", then.resolution, now.resolution))
        if then.units:
            pairs.append(("units", then.units, now.units))
        pairs.append(("days", then.clock, now.clock))
        if not self.any_source:
            pairs.append(("dates", _policy(then), _policy(now)))
        for what, before, after in pairs:
            if before != after:
                yield f"source '{name}': trained with {what} {before}, found {after}"
        tied = then.spec.regular or card_of(MODELS.get(self.name)).same_dates
        if tied and not self.any_source and now.spec.dates != then.spec.dates:
            yield f"source '{name}': trained on {then.spec.dates} dates, found {now.spec.dates}; {self.name} needs as many"


def other_units(scene: Scene, name: str, normalisation: Normalisation) -> Iterator[str]:
    """Tell bands of a source whose values, in the middle of the scene, are nowhere near those that were scaled."""
    cube = scene.cubes[name]
    side = min(MIDDLE, *cube.grid.shape)
    block = cube.read(Window((cube.grid.shape[0] - side) // 2, (cube.grid.shape[1] - side) // 2, side, side))
    pixels = block.values.swapaxes(0, 1)[:, block.valid]
    for i, band in enumerate(cube.bands if pixels.shape[1] else ()):
        offset, scale = normalisation.offset[name][i], normalisation.scale[name][i]
        value = float(np.median(pixels[i]))
        if abs(value - offset) > FAR * scale:
            yield (
                f"source '{name}', band {band}: values around {value:.4g}, trained on values of {offset:.4g} ± {scale:.4g}: "
                "other units? Check its scale and offset"
            )


def bytes_of(weights: Mapping[str, Tensor]) -> Iterator[bytes]:
    """Yield names and numbers of weights, in the order of the names, for a digest."""
    for name, tensor in sorted(weights.items()):
        yield name.encode()
        yield tensor.detach().cpu().contiguous().numpy().tobytes()


def write_folder(
    model: ModelLayout,
    weights: Mapping[str, Tensor],
    description: Path,
    record: Mapping[str, Any],
    domain: Domain | None = None,
) -> None:
    """Write weights, their description and the domain under a temporary name, then rename: the folder is complete or absent.

    Raises
    ------
    TrainedError
        The disk is full.
    """
    with replacing_folder(model.path) as folder:
        partial = ModelLayout(folder)
        try:
            state = {key: tensor.detach().cpu().contiguous() for key, tensor in weights.items()}
            safetensors.torch.save_file(state, partial.weights)
            if domain:
                domain.save(partial.domain)
        except safetensors.SafetensorError as error:
            raise TrainedError(f"{model.path} cannot be written: {error}; is the disk full?") from error
        partial.weights.chmod(0o644)  # safetensors leaves it to its owner alone
        (folder / description.name).write_text(json.dumps(record, indent=1))


def _policy(record: SourceRecord) -> str:
    """How dates were chosen; the days themselves may be another year's."""
    if record.fill is None:
        return "as acquired" if not record.spec.regular else "as stored"
    return f"filled every {record.fill[0]} days"


def record_of(said: dict[str, Any]) -> SourceRecord:
    """Read a record from what JSON keeps of it."""
    spec = {**said["spec"], "bands": tuple(said["spec"]["bands"]), "ratio": Ratio(**said["spec"]["ratio"])}
    fill = tuple(said["fill"]) if said["fill"] else None
    return SourceRecord(**{**said, "spec": InputSpec(**spec), "fill": fill, "days": tuple(said["days"])})


def _config(kind: type[Any], said: dict[str, Any]) -> Any:
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in said.items()})


def input_spec(scene: Scene, name: str) -> InputSpec:
    """What a network may know of one of the scene's cubes."""
    cube = scene.cubes[name]
    regular = cube.preparation.fill is not None or not cube.source.dated or len(cube.days) == 1
    return InputSpec(name, cube.bands, len(cube.days), cube.ratio, regular, scene.ids is not None)


def input_specs(scene: Scene) -> dict[str, InputSpec]:
    """What a network may know of every cube."""
    return {name: input_spec(scene, name) for name in scene.cubes}


def source_records(scene: Scene, names: Iterable[str]) -> dict[str, SourceRecord]:
    """Describe the sources called `names` as they were given to a training."""
    records = {}
    for name in names:
        cube = scene.cubes[name]
        fill, decoding = cube.preparation.fill, cube.source.decoding
        records[name] = SourceRecord(
            input_spec(scene, name),
            tuple(int(day) for day in cube.clock),
            decoding.scale,
            decoding.offset,
            decoding.nodata,
            None if fill is None else (fill.every, fill.start.isoformat(), fill.end.isoformat()),
            cube.preparation.resampling,
            cube.grid.resolution,
            "dB" if decoding.decibel else "linear",
            thermal.told() if (thermal := cube.preparation.thermal) and cube.source.dated else CALENDAR,
        )
    return records
