"""The noun that leaves this room: a folder that is enough to map with.

``trained.json`` says what the network is and what it was made from; ``weights.safetensors`` holds its numbers.
Neither is unpickled.
"""

import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from bocage.errors import TrainedError
from bocage.grid import Ratio
from bocage.legend import LandClass, Legend
from bocage.models import MODELS, Footprint, InputSpec, build
from bocage.samples.loader import Normalisation
from bocage.scene import Scene

FORMAT = 1


@dataclass(frozen=True)
class SourceRecord:
    """What a trained network was given of one source, and must be given again."""

    spec: InputSpec
    days: tuple[int, ...]
    """Days since 1970-01-01 of the dates it was trained on."""
    scale: float
    offset: float
    nodata: float | None
    fill: tuple[int, str, str] | None
    """Declared dates (every, start, end); None for native ones."""
    resampling: str
    resolution: float
    """Ground sampling distance on the nested grid, in CRS units."""


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
    model: nn.Module
    region: tuple[str, tuple[float, float, float, float]]
    """CRS and bounds (west, south, east, north) of the scene it was trained in."""
    versions: Mapping[str, str] = field(default_factory=dict)
    calibration: Mapping[str, float] = field(default_factory=dict)
    """Nothing yet: confidences are the softmax as it comes."""

    @property
    def footprints(self) -> Mapping[str, Footprint]:
        """The network's footprint in every source that it uses."""
        footprints: Mapping[str, Footprint] = self.model.footprints  # type: ignore[assignment]
        return footprints

    @property
    def has_context(self) -> bool:
        """Whether the network looks beyond the map pixel."""
        return any(f.size > self.sources[name].spec.ratio.finer for name, f in self.footprints.items())

    @property
    def inputs(self) -> dict[str, InputSpec]:
        """What the network knows of its sources."""
        return {name: record.spec for name, record in self.sources.items()}

    def save(self, folder: Path) -> None:
        """Write the folder aside, then rename it: it is complete or absent."""
        partial = folder.with_name(folder.name + ".part")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        state = {k: v.detach().cpu().contiguous() for k, v in self.model.state_dict().items()}
        try:
            safetensors.torch.save_file(state, partial / "weights.safetensors")
        except safetensors.SafetensorError as error:
            raise TrainedError(f"{folder} cannot be written: {error}; is the disk full?") from error
        (partial / "weights.safetensors").chmod(0o644)  # safetensors leaves it to its owner alone
        (partial / "trained.json").write_text(json.dumps(self._described(), indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(partial, folder)

    def _described(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "config": dataclasses.asdict(self.config),
            "legend": [dataclasses.asdict(c) for c in self.legend.classes],
            "sources": {name: dataclasses.asdict(record) for name, record in self.sources.items()},
            "footprints": {name: dataclasses.asdict(f) for name, f in self.footprints.items()},
            "normalisation": dataclasses.asdict(self.normalisation),
            "calibration": dict(self.calibration),
            "region": {"crs": self.region[0], "bounds": self.region[1]},
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
            said = json.loads((folder / "trained.json").read_text())
            if said["format"] != FORMAT:
                raise TrainedError(
                    f"{folder} has format {said['format']}, this version of Bocage reads {FORMAT}; it was written with "
                    f"{said['versions']}. Train again, or use that version."
                )
            sources = {name: _record(one) for name, one in said["sources"].items()}
            legend = Legend(tuple(LandClass(**{**c, "values": tuple(c["values"])}) for c in said["legend"]))
            config = _config(MODELS.get(said["name"]).Config, said["config"])
            model = build(said["name"], {n: r.spec for n, r in sources.items()}, len(legend.classes), config)
            model.load_state_dict(safetensors.torch.load_file(folder / "weights.safetensors"))
            normalisation = Normalisation(**said["normalisation"])
            region = (said["region"]["crs"], tuple(said["region"]["bounds"]))
        except FileNotFoundError as error:
            raise TrainedError(f"{error.filename} is missing: {folder} is not a complete model folder.") from error
        except (KeyError, ValueError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
            raise TrainedError(f"{folder} cannot be read as a trained model: {error}.") from error
        model.eval()
        return cls(
            said["name"], config, legend, sources, normalisation, model, region, said["versions"], said["calibration"]
        )

    def check_scene(self, scene: Scene) -> None:
        """Make sure that a scene offers what the network was trained on.

        Raises
        ------
        TrainedError
            A source is missing, or differs in bands, nesting or dates.
        """
        for name, record in self.sources.items():
            cube = scene.cubes.get(name)
            if cube is None:
                raise TrainedError(f"The model needs the source '{name}'; the recipe has {', '.join(scene.cubes)}.")
            now = input_spec(scene, name)
            for what in ("bands", "ratio", "regular"):
                if getattr(now, what) != getattr(record.spec, what):
                    raise TrainedError(
                        f"The model was trained with {what} {_shown(getattr(record.spec, what))} of source '{name}'; the "
                        f"recipe gives {_shown(getattr(now, what))}."
                    )
            if now.regular and now.dates != record.spec.dates:
                raise TrainedError(
                    f"The model was trained on {record.spec.dates} dates of source '{name}'; the recipe gives {now.dates}."
                )


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _record(said: dict[str, Any]) -> SourceRecord:
    spec = {**said["spec"], "bands": tuple(said["spec"]["bands"]), "ratio": Ratio(**said["spec"]["ratio"])}
    fill = tuple(said["fill"]) if said["fill"] else None
    return SourceRecord(**{**said, "spec": InputSpec(**spec), "fill": fill, "days": tuple(said["days"])})


def _config(kind: type[Any], said: dict[str, Any]) -> Any:
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in said.items()})


def input_spec(scene: Scene, name: str) -> InputSpec:
    """What a network may know of one of the scene's cubes."""
    cube = scene.cubes[name]
    regular = cube.preparation.fill is not None or not cube.source.dated or len(cube.days) == 1
    return InputSpec(name, cube.bands, len(cube.days), cube.ratio, regular)


def input_specs(scene: Scene) -> dict[str, InputSpec]:
    """What a network may know of every cube."""
    return {name: input_spec(scene, name) for name in scene.cubes}


def source_records(scene: Scene, names: Mapping[str, Any]) -> dict[str, SourceRecord]:
    """Describe the sources called `names` as they were given to a training."""
    records = {}
    for name in names:
        cube = scene.cubes[name]
        fill, decoding = cube.preparation.fill, cube.source.decoding
        records[name] = SourceRecord(
            input_spec(scene, name),
            tuple(int(day) for day in cube.days),
            decoding.scale,
            decoding.offset,
            decoding.nodata,
            None if fill is None else (fill.every, fill.start.isoformat(), fill.end.isoformat()),
            cube.preparation.resampling,
            cube.grid.resolution,
        )
    return records


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    packages = ("bocage", "torch", "numpy", "scikit-learn", "rasterio", "odc-geo", "geopandas")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), **found}


def device_of(wanted: str) -> torch.device:
    """Return the device asked for; "auto" takes CUDA, then MPS, then the processor.

    Raises
    ------
    TrainedError
        The device is not on this machine.
    """
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, there in has.items() if there))
    if not has[wanted]:
        raise TrainedError(f"The device '{wanted}' is not on this machine; set [training] device = \"auto\".")
    return torch.device(wanted)
