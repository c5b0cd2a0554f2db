"""A model on another scene than that of its training, and an adaptation: their records on disk, and the input of their page."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from bocage.disk import artefact, write_json
from bocage.layout import RunLayout
from bocage.legend import LandClass, Legend
from bocage.machine import versions
from bocage.mapping import Areas, Item
from bocage.redaction import redacted
from bocage.report.sampled import Sampled
from bocage.scene import Scene
from bocage.training import CALENDAR, Answers, Change, Judgement, Region, Round, SourceRecord, source_records
from bocage.words import number

if TYPE_CHECKING:  # they import PyTorch
    from bocage.mapping import LandCoverMap
    from bocage.training import Trained

EARTH = 6371.0
"""Mean radius of the Earth, in km."""


@dataclass(frozen=True)
class Asked:
    """What the recipe of the scene contributes to the record."""

    name: str
    """Name of the recipe."""
    recipe: str
    """Path of the recipe."""
    language: str
    """Language of the page."""
    legend: tuple[tuple[int, str], ...]
    """Codes and names of the classes of the recipe."""
    overrides: tuple[str, ...] = ()
    """Settings ``KEY=VALUE`` that replaced those of the recipe."""


@dataclass(frozen=True)
class Dates:
    """Dates of a source in a training or in a scene."""

    count: int
    """Number of dates."""
    days: tuple[int, int] | None
    """First and last day since 1970-01-01; None without calendar dates (undated, or thermal time)."""

    @classmethod
    def of(cls, record: SourceRecord) -> "Dates":
        """Return the dates of a source from its record."""
        dated = record.clock == CALENDAR and any(record.days)
        return cls(len(record.days), (min(record.days), max(record.days)) if dated else None)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any] | None) -> "Dates | None":
        """Return the dates from their JSON form."""
        if record is None:
            return None
        return cls(record["count"], tuple(record["days"]) if record["days"] else None)


@dataclass(frozen=True)
class SourceUse:
    """A source in the training of a model and in the scene."""

    name: str
    trained: Dates | None
    """None if the model was trained without it."""
    scene: Dates | None
    """None if the scene does not have it."""


@dataclass(frozen=True)
class Transfer:
    """A model, and a scene that is not that of its training."""

    asked: Asked
    model: str
    """Name of the model; for a mixture, the names and numbers of its members."""
    folder: str
    """Folder of the model."""
    fingerprint: str
    """Digest of the model."""
    trained_at: tuple[float, float] | None
    """Longitude and latitude of the centre of the training scene; None for a local CRS."""
    here: tuple[float, float] | None
    """The same of this scene."""
    sources: tuple[SourceUse, ...]
    lacking: tuple[str, ...]
    """Classes of the recipe that the model does not have."""
    versions: Mapping[str, str]

    @classmethod
    def of(cls, trained: "Trained", scene: Scene, folder: Path, asked: Asked) -> "Transfer":
        """Describe a model before it is used on a scene."""
        here = {name: Dates.of(record) for name, record in source_records(scene, scene.cubes).items()}
        then = {name: Dates.of(record) for name, record in trained.sources.items()}
        sources = tuple(SourceUse(name, then.get(name), here.get(name)) for name in dict.fromkeys([*then, *here]))
        lacking = tuple(name for code, name in asked.legend if code not in trained.legend.codes)
        return cls(
            asked, trained.title, redacted(str(folder.resolve())), trained.fingerprint, trained.region.centre,
            Region.of(scene).centre, sources, lacking, versions(),
        )  # fmt: skip

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Transfer":
        """Return the transfer from its JSON form."""
        asked = record["asked"] | {"legend": tuple(map(tuple, record["asked"]["legend"]))}
        sources = tuple(
            SourceUse(one["name"], Dates.from_dict(one["trained"]), Dates.from_dict(one["scene"]))
            for one in record["sources"]
        )
        places = {key: tuple(record[key]) if record[key] else None for key in ("trained_at", "here")}
        more = {"asked": Asked(**asked), "sources": sources, "lacking": tuple(record["lacking"])}
        return cls(**record | more | places)


Loaded = TypeVar("Loaded")


def _loaded(path: Path, from_dict: Callable[[dict[str, Any]], Loaded]) -> Loaded | None:
    """Return the record in a file; None if the file does not exist."""
    if not path.exists():
        return None
    with artefact(path):
        return from_dict(json.loads(path.read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Polygons:
    """Reference polygons, as a training read them."""

    content: str
    """Digest of the file or table; empty: unknown."""
    where: str
    """Condition on the fields that selects features; empty: all."""

    def meet(self, other: "Polygons") -> bool:
        """Return whether both have polygons in common: those of one content, unless two conditions select them."""
        selected = self.where and other.where and self.where != other.where
        return bool(self.content) and self.content == other.content and not selected


@dataclass(frozen=True)
class Adaptation:
    """An adaptation: the content of ``adapted.json``."""

    transfer: Transfer
    """The original model, and the scene to which it was adapted."""
    fingerprint: str
    """Digest of the adapted model."""
    legend: Legend
    change: Change
    polygons: Polygons | None = None
    """Reference polygons that trained in the adaptation; None without, and in files of earlier versions."""

    def save(self, path: Path) -> None:
        """Write the record atomically."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Adaptation | None":
        """Read what :meth:`save` wrote; None if the file does not exist.

        Raises
        ------
        RunFolderError
            The file is damaged.
        """
        return _loaded(path, cls.from_dict)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Adaptation":
        """Return the adaptation from its JSON form."""
        change, classes = record["change"], record["legend"]["classes"]
        legend = Legend(tuple(LandClass(**{**one, "values": tuple(one["values"])}) for one in classes))
        answers = {key: Answers(**{k: tuple(v) for k, v in change[key].items()}) for key in ("before", "after")}
        rounds = tuple(Round(**{k: tuple(v) for k, v in one.items()}) for one in change["rounds"])
        judgement = Judgement.from_dict(change["judgement"]) if change.get("judgement") else None
        found = Change(**change | answers | {"rounds": rounds, "judgement": judgement})
        polygons = Polygons(**record["polygons"]) if record.get("polygons") else None
        return cls(Transfer.from_dict(record["transfer"]), record["fingerprint"], legend, found, polygons)


@dataclass(frozen=True)
class Mapped:
    """A map by a model of another run: the content of ``mapped.json``, written before the map."""

    transfer: Transfer
    adapted: Adaptation | None = None
    """Adaptation that made the model; None for the model of a run."""
    judgement: Judgement | None = None
    """What was known of the model on the scene without labels; None for an adapted model and in files of earlier versions."""

    def save(self, path: Path) -> None:
        """Write the record atomically."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Mapped | None":
        """Read what :meth:`save` wrote; None if the file does not exist.

        Raises
        ------
        RunFolderError
            The file is damaged.
        """
        return _loaded(path, cls.from_dict)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Mapped":
        """Return the map's record from its JSON form."""
        adapted = Adaptation.from_dict(record["adapted"]) if record["adapted"] else None
        judgement = Judgement.from_dict(record["judgement"]) if record.get("judgement") else None
        return cls(Transfer.from_dict(record["transfer"]), adapted, judgement)


@dataclass(frozen=True)
class TransferMaterial:
    """Input of the page of a map by a model of another run, or of an adaptation."""

    layout: RunLayout
    transfer: Transfer
    legend: Legend
    language: str
    land: "LandCoverMap | None" = None
    """The map; None for an adaptation without a map."""
    scene: Scene | None = None
    """The scene, whose imagery is shown; None if its files cannot be opened."""
    adapted: Adaptation | None = None
    judgement: Judgement | None = None
    """What was known of the model, before an adaptation, on the scene without labels."""
    sampled: Sampled | None = None
    """Estimates from a labelled validation sample of the map."""

    @property
    def changed(self) -> Adaptation | None:
        """The adaptation; None without one, or if it kept the model as it was."""
        return None if self.adapted is None or self.adapted.change.kept else self.adapted

    @property
    def areas(self) -> Areas | None:
        """Mapped pixels and hectares of every class; None where there is no map."""
        return self.land.areas if self.land else None

    @property
    def until(self) -> str:
        """Last day of the series of the map, YYYY-MM-DD; empty for whole series, and without a map."""
        return Item.load(self.layout.map.item).until if self.land else ""

    @property
    def trained(self) -> Transfer:
        """The model as it was trained: of an adapted model, the original one."""
        return self.adapted.transfer if self.adapted else self.transfer

    @property
    def distance(self) -> float | None:
        """Distance of the centres of the training scene and of this scene, in km; None with a local CRS."""
        return _kilometres(self.trained.trained_at, self.transfer.here)

    def percent(self, share: float | None) -> str | None:
        """Return a share (0 to 1) as a percentage with one decimal, in the language of the page; None for None."""
        return None if share is None else number(100 * share, self.language, 1)


def _kilometres(first: tuple[float, float] | None, second: tuple[float, float] | None) -> float | None:
    """Return the great-circle distance of two places in degrees (longitude, latitude); None without one of them."""
    if first is None or second is None:
        return None
    (x0, y0), (x1, y1) = (tuple(map(math.radians, place)) for place in (first, second))
    half = math.sin((y1 - y0) / 2) ** 2 + math.cos(y0) * math.cos(y1) * math.sin((x1 - x0) / 2) ** 2
    return 2 * EARTH * math.asin(math.sqrt(min(1.0, half)))
