"""Records of a run: what it read, which stages are complete, what they took, and what a plan estimated."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bocage.disk import write_json
from bocage.errors import RunFolderError


@dataclass(frozen=True)
class Stage:
    """A stage that is complete."""

    key: str
    """Digest of the inputs and settings that it was made from."""
    seconds: float
    memory: int
    """Bytes that the process had in memory at its largest, up to the end of the stage; 0 where not known."""
    finished: str
    """UTC, ISO 8601."""


@dataclass
class Provenance:
    """The content of ``provenance.json``."""

    name: str
    model: str
    identity: Mapping[str, str]
    """Section of the recipe → digest."""
    recipe: str
    """Path of the recipe."""
    inputs: Mapping[str, str]
    """Path → digest of every file that the run reads."""
    versions: Mapping[str, str]
    started: str
    """UTC, ISO 8601."""
    stages: dict[str, Stage] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the file atomically."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Provenance":
        """Read what :meth:`save` wrote.

        Raises
        ------
        RunFolderError
            The file is damaged.
        """
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            stages = {name: Stage(**{"memory": 0, **stage}) for name, stage in record.pop("stages").items()}
            return cls(**record, stages=stages)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunFolderError(f"{path} is damaged ({error}); choose another --out, or remove the folder.") from error


@dataclass(frozen=True)
class Estimate:
    """Estimated duration of one stage."""

    stage: str
    seconds: float
    low: float
    high: float


@dataclass(frozen=True)
class Plan:
    """Estimated cost of a run: the content of ``plan.json``."""

    name: str
    stages: tuple[Estimate, ...]
    memory: int
    """Bytes of the process at its largest."""
    disk: int
    """Bytes written."""
    workers: Mapping[int, float]
    """Number of preparing threads → seconds in all; the other stages use the machine as they are."""
    machine: str

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(one.seconds for one in self.stages)

    def save(self, path: Path) -> None:
        """Write the file atomically; its folder is made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Plan | None":
        """Read what :meth:`save` wrote; None where there is no readable plan."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            stages = tuple(Estimate(**one) for one in record.pop("stages"))
            workers = {int(n): seconds for n, seconds in record.pop("workers").items()}
            return cls(stages=stages, workers=workers, **record)
        except (OSError, ValueError, KeyError, TypeError):
            return None
