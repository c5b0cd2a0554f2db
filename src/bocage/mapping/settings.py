"""Settings of the map."""

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from bocage.conformal import By
from bocage.machine import cores
from bocage.mapping.layers import LAYERS, SETS
from bocage.ranges import Range, check_ranges

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Mapping:
    """Settings of the map."""

    draw: Annotated[int, Range(0, 10_000)] = 0
    """Number of the draw whose network makes the map, at least 0."""
    tile: Annotated[int, Range(16, 8192)] = 256
    """Side, in map pixels, of the windows that are read, computed and written at a time, at least 16. Memory grows with its
    square. It is rounded up to whole cells of the network's lattice. The map does not depend on it."""
    layers: tuple[str, ...] = ("classes", "confidence")
    """Layers to write, "classes" always: "classes", "confidence", "probabilities", "entropy", "margin", "validity" (number of
    clear dates of each source), "novelty" (distance from the training data; Meyer & Pebesma 2021), "certain" (see there),
    "set_size", "sets" and "set_class" (see `sets`), and "parcels" (extent, boundary and distance, see `[training] parcels`)."""
    certain: Annotated[float, Range(0, 1)] = 0.0
    """Least probability, above 0.5, of the classes of the layer "certain", which is then written: the finest class, at any level
    of the nomenclature, whose summed probability reaches it, and 0 where none does. 0: no such layer."""
    sets: Annotated[float | None, Range(0, 1, above=True, below=True)] = None
    """Promised coverage of the prediction sets, between 0 and 1, for example 0.9: the set of classes of a pixel contains the true
    class at this share of the pixels of a new polygon, on average over the polygons. The layers "set_size" (number of classes),
    "sets" (a bit for each class) and "set_class" (the class that the set has, or the finest coarser class that contains it; 0
    where none does) are then written. Default: no sets."""
    sets_by: By = "class"
    """For what the coverage of `sets` is promised: "class" for the polygons of each class, "all" on average for the polygons of
    all classes. A coverage of 0.9 needs 9 calibration polygons: of each class, or of all classes together."""
    formats: tuple[str, ...] = ("cog",)
    """Output formats (``bocage writers`` lists them), by name or ``"its.module:name"``."""
    probabilities: Literal["uint8", "uint16"] = "uint8"
    """Data type of the layer "probabilities": "uint8" in hundredths, "uint16" in ten-thousandths."""
    precision: Precision = "float32"
    """Precision of the network: float32, or bfloat16 if the results on the validation polygons are almost the same."""
    region: Path | None = None
    """Vector file whose polygons are mapped; default: the whole grid."""
    region_layer: str = ""
    """Layer of `region`; empty: the only layer of the file that has geometries."""
    where: str = ""
    """SQL condition that selects polygons of `region`; empty: all. For example ``"tile IN ('31UES', '31UFS')"``."""
    until: date | None = None
    """Last day of the series: acquisitions after it are not read, and the confidence is that of series that end there. Default:
    all acquisitions. Images of one date are always used."""
    sites: tuple[str, ...] = ()
    """Names of the sites to map, of a recipe with tables ``[[site]]``; empty: all."""
    keep_windows: bool = True
    """Keep the windows beside the map, so that after a change only the affected windows are computed again."""

    def __post_init__(self) -> None:
        if self.sets in (0, 1):
            what = "every pixel would have an empty set" if self.sets == 0 else "every set would have all classes"
            raise ValueError(
                f"'sets' = {self.sets:g} promises nothing: {what}. Give a coverage between, for example 0.9"
            )
        check_ranges(self)
        unknown = [name for name in self.layers if name not in LAYERS]
        if unknown:
            raise ValueError(f"the map has no layer '{unknown[0]}'; use {', '.join(LAYERS)}")
        if "classes" not in self.layers:
            raise ValueError("'layers' must name classes")
        if 0 < self.certain <= 0.5:
            raise ValueError(f"'certain' must be above 0.5, so that one class reaches it; found {self.certain:g}")
        if self.certain and "certain" not in self.layers:
            object.__setattr__(self, "layers", (*self.layers, "certain"))
        if "certain" in self.layers and not self.certain:
            raise ValueError("the layer 'certain' needs the setting 'certain', for example certain = 0.8")
        if self.sets is not None:
            object.__setattr__(self, "layers", tuple(dict.fromkeys((*self.layers, *SETS))))
        elif asked := [name for name in self.layers if name in SETS]:
            raise ValueError(f"the layer '{asked[0]}' needs the setting 'sets', for example sets = 0.9")
        if (self.where or self.region_layer) and not self.region:
            raise ValueError("'where' and 'region_layer' select polygons of 'region', which is not given")

    def with_layer(self, name: str) -> "Mapping":
        """Return the settings with one more layer."""
        return replace(self, layers=tuple(dict.fromkeys((*self.layers, name))))


CLUSTERS = ("slurm", "pbs", "sge", "lsf", "oar", "htcondor", "moab")
"""Batch systems supported by dask-jobqueue."""


@dataclass(frozen=True)
class Workers:
    """Number and kind of workers. The map does not depend on them."""

    count: Annotated[int, Range(0, 4096)] = 0
    """Number of processes, at least 0; 0: this process only. With several GPUs, each process uses one. With `cluster`: number of
    jobs."""
    threads: Annotated[int, Range(0, 1024)] = 0
    """Number of networks that compute at a time in each process, each on one core; 0: all cores, shared between the processes.
    With `cluster`, 0: the `cores` of its options, or as many as this machine has cores."""
    scheduler: str = ""
    """Address of a running Dask scheduler whose workers compute the map, such as ``"tcp://node1:8786"``; empty: none."""
    cluster: str = ""
    """Batch system whose jobs compute the map (dask-jobqueue): "slurm", "pbs", "sge", "lsf", "oar", "htcondor" or "moab"; empty:
    none."""
    options: AnyMapping[str, Any] = field(default_factory=dict)
    """Options of a batch job (dask-jobqueue): queue, account, cores, memory, walltime, and so on."""

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.cluster and self.cluster not in CLUSTERS:
            raise ValueError(f"'cluster' is one of {', '.join(CLUSTERS)}; found '{self.cluster}'")
        if self.cluster and self.scheduler:
            raise ValueError("give either 'scheduler' (a running scheduler) or 'cluster' (jobs to submit), not both")

    def networks(self, device: str) -> int:
        """Return the number of networks that compute at a time in each process."""
        if self.threads or device != "cpu":
            return self.threads or 1
        if self.cluster and isinstance(booked := self.options.get("cores"), int):
            return max(1, booked // max(1, int(self.options.get("processes", 1))))
        here = self.count if not self.cluster and not self.scheduler else 1
        return max(1, cores() // max(1, here))


@dataclass(frozen=True)
class Computing:
    """What a map is computed with."""

    device: str = "auto"
    """"auto", "cpu", "cuda" or "mps"."""
    workers: Workers = field(default_factory=Workers)
