"""Records of a run: inputs, completed stages, their duration and memory, and the estimates of a plan."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bocage.disk import write_json
from bocage.errors import RunFolderError
from bocage.redaction import redacted


@dataclass(frozen=True)
class Stage:
    """A completed stage."""

    key: str
    """Digest of the inputs and settings of the stage."""
    seconds: float
    memory: int
    """Peak memory of the process until the end of the stage, in bytes; 0 if unknown."""
    finished: str
    """UTC, ISO 8601."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path of each result in the run's folder → SHA-256."""


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
    """Path of each input file → digest."""
    versions: Mapping[str, str]
    started: str
    """UTC, ISO 8601."""
    stages: dict[str, Stage] = field(default_factory=dict)
    networks: int = 1
    """Number of models whose probabilities are averaged; 1 if the model is no mixture."""
    overrides: Sequence[str] = ()
    """Settings ``KEY=VALUE`` that replaced those of the recipe."""
    finishing: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the last ``bocage finish``; empty before."""

    def save(self, path: Path) -> None:
        """Write the file atomically; secrets in paths and addresses are redacted."""
        shown = {redacted(place): value for place, value in self.inputs.items()}
        overrides = [redacted(text) for text in self.overrides]
        write_json(path, asdict(replace(self, recipe=redacted(self.recipe), inputs=shown, overrides=overrides)))

    def is_evaluated(self, draw: int | str) -> bool:
        """Return whether the model of a draw (of its number, from 0) was evaluated, and was not trained again since."""
        training, evaluation = (self.stages.get(f"{stage}/{draw}") for stage in ("train", "evaluate"))
        return training is not None and evaluation is not None and training.finished <= evaluation.finished

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
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RunFolderError(f"{path} is damaged ({error}); choose another --out, or delete the folder.") from error


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
    """Peak memory of the process, in bytes."""
    disk: int
    """Number of bytes written."""
    workers: Mapping[int, float]
    """Number of preparation threads → total seconds; the threads affect only the preparation."""
    machine: str
    model: str = ""
    """Name of the model; for a mixture, the names and numbers of its members."""

    @property
    def seconds(self) -> float:
        """Total duration of all stages, in seconds."""
        return sum(stage.seconds for stage in self.stages)

    def save(self, path: Path) -> None:
        """Write the file atomically; create its folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> "Plan | None":
        """Read what :meth:`save` wrote; None if the file is missing or unreadable."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            stages = tuple(Estimate(**estimate) for estimate in record.pop("stages"))
            workers = {int(n): seconds for n, seconds in record.pop("workers").items()}
            return cls(stages=stages, workers=workers, **record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return None
