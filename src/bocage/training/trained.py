"""Trained model: a network with all information required for mapping, and its folder on disk.

``trained.json`` describes the network and its training data, ``weights.safetensors`` contains the weights. Reading these
files does not use pickle. A network outside of Bocage is imported only if the user named its module in the recipe or allowed
it: a model folder cannot execute other code.
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
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.conformal import Conformal
from bocage.days import YEAR
from bocage.disk import checksums_of, damaged, digest_of, read_checksums, replacing_folder, write_checksums
from bocage.errors import BocageError, TrainedError, UnknownNameError
from bocage.grid import Window
from bocage.layout import ModelLayout
from bocage.legend import LandClass, Legend
from bocage.models import MODELS, Batch, Delineating, Footprint, InputSpec, Network, build, card_for, mixture, regional
from bocage.models.base import last_days, seen_by
from bocage.scene import Scene, limited
from bocage.shelf import names_from
from bocage.training import formats
from bocage.training.calibration import Calibration, calibration_of
from bocage.training.domain import Domain
from bocage.training.positions import moved_differences
from bocage.training.records import (
    CALENDAR,
    YEARS_BEFORE,
    Certainties,
    Region,
    SourceRecord,
    policy,
    record_of,
    source_records,
)
from bocage.training.scaling import Normalisation

FORMAT = 3
"""Version of the folder format. 3: checksums of the files. 2: any scaling, a calibration, new parameter names in ``gru`` and
``multiresolcc``. Formats 1 and 2 can still be read."""


UNCHECKED = 2
"""Last format without checksums."""
MIDDLE = 32
"""Side of the window at the centre of a scene whose values are compared with the training values, in pixels."""
FAR = 50
"""Difference from the training values, in units of the scale, above which a band is assumed to have another unit."""


Temperature = float | NDArray[np.float64]
"""Temperature of all pixels, or of each of N pixels (N,): that of its valid sources and last date."""


@dataclass(frozen=True)
class Trained:
    """A network with its weights and all information required for mapping."""

    name: str
    """Name of the architecture on the shelf ``MODELS``."""
    config: Any
    """Instance of the ``Config`` of the architecture."""
    legend: Legend
    """Classes, in the order of the logits."""
    sources: Mapping[str, SourceRecord]
    """Source → its properties in the training."""
    normalisation: Normalisation
    """Scaling of the bands."""
    model: Network
    """Network with trained weights."""
    region: Region
    """Region of the training scene."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Package → version used for the training."""
    calibration: Calibration = field(default_factory=Calibration)
    """Temperature of the confidences."""
    domain: Domain | None = None
    """Training domain, for the novelty; None in folders of earlier versions."""
    conformal: Conformal | None = None
    """Held-out polygons that calibrate prediction sets; None without a calibration and in folders of earlier versions."""
    certainties: Certainties | None = None
    """How sure the network is of its training scenes; None without a calibration and in folders of earlier versions."""
    absent: frozenset[str] = frozenset()
    """Sources that are missing from the scene to map; the network tolerates missing sources."""
    later: int = 0
    """Days from the training season to that of the scene to map: whole years. Set by :meth:`for_scene`."""

    @property
    def title(self) -> str:
        """Name of the model; with members, their names and numbers."""
        return str(self.config) if isinstance(self.config, mixture.Config | regional.Config) else self.name

    @property
    def footprints(self) -> Mapping[str, Footprint]:
        """Footprint of the network in every source that it uses and that the scene has."""
        return {name: footprint for name, footprint in self.model.footprints.items() if name not in self.absent}

    @property
    def any_source(self) -> bool:
        """Whether one valid source at a pixel is enough for a prediction."""
        return self.model.any_source

    @property
    def delineates(self) -> bool:
        """Whether the network also gives extent, boundary and distance of parcels."""
        return isinstance(self.model, Delineating)

    def for_scene(self, scene: Scene) -> "Trained":
        """Return the model for `scene`; if the network tolerates missing sources, those missing from the scene are noted."""
        absent = frozenset(self.sources) - frozenset(scene.cubes)
        here = replace(self, later=self._years_to(scene))
        return replace(here, absent=absent) if self.any_source and len(absent) < len(self.sources) else here

    def limited(self, scene: Scene) -> Scene:
        """Return the scene with the bands of the training, in their order, for each source that has them all."""
        bands = {name: self.sources[name].spec.bands for name in self.sources.keys() & scene.cubes.keys()}
        return limited(scene, {name: own for name, own in bands.items() if set(own) <= set(scene.cubes[name].bands)})

    @property
    def series(self) -> tuple[str, ...]:
        """Names of the series with calendar days."""
        used = ((name, self.sources[name]) for name in self.footprints)
        return tuple(name for name, record in used if record.spec.dates > 1 and record.clock == CALENDAR)

    def _years_to(self, scene: Scene) -> int:
        """Return the days, in whole years, that put the first date of the scene into the training season, or near it."""
        found = {name: int(scene.cubes[name].days[0]) for name in self.series if name in scene.cubes}
        if not found:
            return 0
        first, known = min(found.values()), [self.sources[name].days for name in found]
        begins, ends = min(days[0] for days in known), max(days[-1] for days in known)
        years = (first - begins) / YEAR
        inside = begins <= first - math.floor(years) * YEAR <= ends
        return round((math.floor(years) if inside else round(years)) * YEAR)

    @property
    def has_context(self) -> bool:
        """Whether a footprint of the network is larger than the map pixel (spatial context)."""
        return any(f.size > self.sources[name].spec.ratio.finer for name, f in self.footprints.items())

    @property
    def inputs(self) -> dict[str, InputSpec]:
        """Source → input specification of the network."""
        return {name: record.spec for name, record in self.sources.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that determines the maps: weights and description, without versions and certainties."""
        record = {key: value for key, value in self._described().items() if key not in ("versions", "certainties")}
        return digest_of(json.dumps(record, sort_keys=True).encode(), *bytes_of(self.model.state_dict()))

    def scaled(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return logits (B, K, Y, X) divided by the temperature, which may depend on the valid sources and dates of a pixel."""
        calibration, shape = self.calibration, (logits.shape[-2], logits.shape[-1])
        if calibration.season and self.series:
            footprints = {name: self.footprints[name] for name in self.series}
            ends = last_days(batch, footprints, self.inputs, shape) - self.later
            logits = logits / calibration.change(ends)[:, None].to(logits.device)
        if not calibration.partial:
            return logits / calibration.temperature
        seen = seen_by(batch, self.footprints, self.inputs, shape)
        return logits / calibration.temperatures(seen)[:, None].to(logits.device)

    @property
    def one_temperature(self) -> bool:
        """Whether :meth:`scaled` divides the logits of all pixels by one temperature."""
        return not self.calibration.partial and not (self.calibration.season and self.series)

    def temperature(self, logits: Tensor, batch: Batch) -> Tensor:
        """Return the temperature (B, 1, Y, X) by which :meth:`scaled` divides logits (B, K, Y, X)."""
        return self.scaled(torch.ones_like(logits[:, :1]), batch).reciprocal()

    def save(self, folder: Path) -> None:
        """Write the folder under a temporary name and rename it, so that it is either complete or absent."""
        model = ModelLayout(folder)
        write_folder(model, self.model.state_dict(), model.description, self._described(), self.domain)

    def _described(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "config": dataclasses.asdict(self.config),
            "legend": [dataclasses.asdict(c) for c in self.legend.classes],
            "coarser": [dataclasses.asdict(c) for c in self.legend.coarser],
            "sources": {name: record.as_dict() for name, record in self.sources.items()},
            "footprints": {name: dataclasses.asdict(f) for name, f in self.footprints.items()},
            "normalisation": dataclasses.asdict(self.normalisation),
            "calibration": self.calibration.as_dict(),
            "region": {"crs": self.region.crs, "bounds": self.region.bounds},
            "versions": dict(self.versions),
            **({"parcels": True} if self.delineates else {}),
            **({"conformal": self.conformal.as_dict()} if self.conformal else {}),
            **({"certainties": dataclasses.asdict(self.certainties)} if self.certainties else {}),
        }

    @classmethod
    def load(cls, folder: Path) -> "Trained":
        """Read a folder written by :meth:`save`.

        Raises
        ------
        TrainedError
            A file is missing or damaged, or has an unsupported format.
        UnknownNameError
            The network is not part of Bocage, and the user did not name its module.
        """
        model = ModelLayout(folder)
        try:
            with names_from(model.description):
                return cls._read(model)
        except FileNotFoundError as error:
            raise TrainedError(
                f"{error.filename or model.weights} is missing: {folder} is not a complete model folder. Give the "
                "folder of a trained model."
            ) from error
        except (TrainedError, UnknownNameError):
            raise
        except BocageError as error:
            raise TrainedError(f"{folder} cannot be read as a trained model: {error}") from error
        except Exception as error:  # damaged archives of weights and trees raise errors of many types
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
            raise TrainedError(
                f"{folder} cannot be read as a trained model ({why}). Copy the folder again, or train again."
            ) from error

    @classmethod
    def _read(cls, model: ModelLayout) -> "Trained":
        record = json.loads(model.description.read_text(encoding="utf-8"))
        if record["format"] not in range(1, FORMAT + 1):
            raise TrainedError(
                f"{model.path} has format {record['format']}, but this version of Bocage reads formats 1 to {FORMAT}. It was "
                f"written with {record['versions']}. Train again, or use that version."
            )
        if record["format"] > UNCHECKED:
            check_folder(model)
        sources = {name: record_of(entry) for name, entry in record["sources"].items()}
        legend = Legend(_classes(record.get("legend", ())), _classes(record.get("coarser", ())))
        architecture = MODELS.get(record["name"])
        config = config_of(architecture.Config, record["config"])
        inputs, parcels = {n: r.spec for n, r in sources.items()}, bool(record.get("parcels"))
        network = build(architecture, inputs, len(legend.classes), config, parcels)
        weights = safetensors.torch.load_file(model.weights)
        if record["format"] == 1:
            record, weights = formats.from_1(record, weights)
        check_finite(weights)
        network.load_state_dict(weights)
        network.eval()
        region = Region(record["region"]["crs"], tuple(record["region"]["bounds"]))
        scaling, calibration = Normalisation(**record["normalisation"]), calibration_of(record["calibration"])
        _check_numbers(sources, scaling, calibration, region)
        held = record.get("conformal")
        conformal = Conformal.from_dict(held, len(legend.classes)) if held else None
        sure = Certainties.from_dict(record["certainties"]) if record.get("certainties") else None
        return cls(
            record["name"], config, legend, sources, scaling, network, region, dict(record["versions"]), calibration,
            Domain.load(model.domain), conformal, sure,
        )  # fmt: skip

    def check_scene(self, scene: Scene) -> None:
        """Check that a scene has the sources with which the network was trained.

        Raises
        ------
        TrainedError
            Sources are missing, or differ in bands, units, ratio, resolution or dates; the message lists all differences.
        """
        names = [name for name in self.sources if name not in self.absent]
        odd = [line for name in names for line in self._differences(scene, name)]
        if odd:
            here = source_records(scene, [name for name in names if name in scene.cubes])
            remedy = remedy_of_grid([(self.sources[name], now) for name, now in here.items()])
            raise TrainedError("The model cannot map this scene:" + "".join(f"\n  - {line}" for line in odd) + remedy)

    def _differences(self, scene: Scene, name: str) -> Iterator[str]:
        then = self.sources[name]
        if name not in scene.cubes:
            yield f"source '{name}' is missing; the recipe has {', '.join(scene.cubes)}"
            return
        now = source_records(scene, [name])[name]
        expected, actual = then.spec.bands, now.spec.bands
        if expected != actual:
            how = "are in another order" if set(expected) == set(actual) else "differ"
            yield f"source '{name}': the bands {how}: trained with {', '.join(expected)}, found {', '.join(actual)}"
        elif then.clock != YEARS_BEFORE:  # indicators of classes have no unit
            yield from other_units(scene, name, self.normalisation)
        pairs: list[tuple[str, Any, Any]] = [("ratio to the map", then.spec.ratio, now.spec.ratio)]
        if not math.isclose(then.resolution, now.resolution, rel_tol=0.01):
            pairs.append(("resolution", then.resolution, now.resolution))
        # Earlier versions recorded radar that is stored in dB as linear.
        if then.units and not (then.units == "linear" and scene.cubes[name].source.decoding.stored_decibels):
            pairs.append(("units", then.units, now.units))
        pairs.append(("days", then.clock, now.clock))
        begun = then.fill is None and now.spec.dates == 1 < then.spec.dates  # a season with one date so far
        if not self.any_source and not begun:
            pairs.append(("dates", policy(then), policy(now)))
        for item, before, after in pairs:
            if before != after:
                yield f"source '{name}': trained with {item} {before}, found {after}"
        yield from moved_differences(self, scene, name)
        if self.ties(name) and now.spec.dates != then.spec.dates:
            yield (
                f"source '{name}': trained on {then.spec.dates} dates, found {now.spec.dates}; {self.name} needs the same number"
            )

    def ties(self, name: str) -> bool:
        """Return whether the model needs the number of dates that a source had in the training."""
        regular = self.sources[name].spec.regular
        return not self.any_source and (regular or card_for(MODELS.get(self.name), self.config).same_dates)


def remedy_of_grid(pairs: Iterable[tuple[SourceRecord, SourceRecord]]) -> str:
    """Return what to do, on a line of its own, if the map of the training and this map have pixels of different sizes.

    The pairs are the records of the same sources in the training and now. Empty if no source with pixels of the same size shows
    such a difference.
    """
    for then, now in pairs:
        before, after = (one.resolution * one.spec.ratio.finer / one.spec.ratio.coarser for one in (then, now))
        if math.isclose(then.resolution, now.resolution, rel_tol=0.01) and not math.isclose(
            before, after, rel_tol=0.01
        ):
            return (
                f"\nThe pixels of the map had {before:g} CRS units in the training and have {after:g} here: set [grid] "
                f"resolution = {before:g}, or [grid] like to a source with pixels of this size."
            )
    return ""


def other_units(scene: Scene, name: str, normalisation: Normalisation) -> Iterator[str]:
    """Yield a message for each band whose median at the centre of the scene is far from the training values."""
    cube = scene.cubes[name]
    side = min(MIDDLE, *cube.grid.shape)
    block = cube.read(Window((cube.grid.shape[0] - side) // 2, (cube.grid.shape[1] - side) // 2, side, side))
    pixels = block.values.swapaxes(0, 1)[:, block.valid]
    for i, band in enumerate(cube.bands if pixels.shape[1] else ()):
        offset, scale = normalisation.offset[name][i], normalisation.scale[name][i]
        value = float(np.median(pixels[i]))
        if abs(value - offset) > FAR * scale:
            yield (
                f"source '{name}', band {band}: values around {value:.4g}, but training values of {offset:.4g} ± {scale:.4g}. "
                "The units may differ; check scale and offset of the source"
            )


def bytes_of(weights: Mapping[str, Tensor]) -> Iterator[bytes]:
    """Yield the names and the values of the weights as bytes, sorted by name, for a digest."""
    for name, tensor in sorted(weights.items()):
        yield name.encode()
        yield tensor.detach().cpu().contiguous().numpy().tobytes()


def check_folder(model: ModelLayout) -> None:
    """Check the files of a model folder against their checksums.

    Raises
    ------
    FileNotFoundError
        The list of checksums is missing.
    ValueError
        A file is missing or was changed.
    """
    sums = read_checksums(model.checksums)
    odd = damaged(model.path, sums) + [path.name for path in model.files if path.name not in sums]
    if odd:
        raise ValueError(f"{odd[0]} is missing or does not match {model.checksums.name}")


def check_finite(weights: Mapping[str, Tensor]) -> None:
    """Check the numbers of a model.

    Raises
    ------
    ValueError
        A weight is NaN or infinite.
    """
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ValueError(f"the weights '{name}' contain NaN or infinite values")


def write_folder(
    model: ModelLayout,
    weights: Mapping[str, Tensor],
    description: Path,
    record: Mapping[str, Any],
    domain: Domain | None = None,
) -> None:
    """Write weights, description and domain under a temporary name, then rename: the folder is complete or absent.

    Raises
    ------
    TrainedError
        The files cannot be written (disk full).
    """
    with replacing_folder(model.path) as folder:
        partial = ModelLayout(folder)
        try:
            state = {key: tensor.detach().cpu().contiguous() for key, tensor in weights.items()}
            safetensors.torch.save_file(state, partial.weights)
            if domain:
                domain.save(partial.domain)
        except safetensors.SafetensorError as error:
            raise TrainedError(f"{model.path} cannot be written: {error}. The disk may be full.") from error
        partial.weights.chmod(0o644)  # safetensors creates files that only their owner can read
        (folder / description.name).write_text(json.dumps(record, indent=1), encoding="utf-8")
        write_checksums(partial.checksums, checksums_of(partial.files, folder))


def _check_numbers(
    sources: Mapping[str, SourceRecord], scaling: Normalisation, calibration: Calibration, region: Region
) -> None:
    """Check that the numbers of a model's description are numbers that a training can have written.

    Raises
    ------
    ValueError
        A scale or a temperature is not above 0, a number is not finite, or their count is not that of the bands.
    """
    above = [calibration.temperature, *calibration.partial.values(), *(value for _, value in calibration.season)]
    for name, record in sources.items():
        offset, scale = scaling.offset[name], scaling.scale[name]
        if not len(offset) == len(scale) == len(record.spec.bands):
            raise ValueError(f"source '{name}': the scaling is not that of {len(record.spec.bands)} bands")
        above += [*scale, record.resolution, record.scale]
        if not all(math.isfinite(value) for value in (*offset, *record.days, record.offset)):
            raise ValueError(f"source '{name}': a number is not finite")
    if not all(math.isfinite(value) and value > 0 for value in above):
        raise ValueError("a scale, a resolution or a temperature is not above 0")
    if len(region.bounds) != 4 or not all(math.isfinite(value) for value in region.bounds):
        raise ValueError("the bounds of the training region are not four numbers")


def _classes(entries: Iterable[dict[str, Any]]) -> tuple[LandClass, ...]:
    return tuple(LandClass(**{**entry, "values": tuple(entry["values"])}) for entry in entries)


def config_of(kind: type[Any], settings: dict[str, Any]) -> Any:
    """Return the settings of an architecture from a table; lists become tuples."""
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()})
