"""Exceptions that Bocage raises for errors that the user can correct.

::

    BocageError            an error that the user can correct: one line on the terminal, exit code 1
    ├── UnknownNameError   an unregistered sensor, model, index, metric or writer
    ├── RecipeError        a recipe with one or more problems, all listed in ``problems``
    ├── LegendError        an inconsistent nomenclature
    ├── GridError          an invalid grid, or grids that cannot be aligned
    ├── SourceError        imagery that is missing, damaged or not georeferenced
    ├── SceneError         a scene that cannot be prepared on disk
    ├── SamplesError       reference polygons that cannot be used with these settings
    ├── ModelError         a network that does not support the given sources or settings
    ├── TrainingError      a training that cannot start, or whose loss is NaN or infinite
    ├── TrainedError       a model folder that is incomplete or was trained with other inputs
    ├── MappingError       a map that cannot be written
    ├── FinishError        a map that cannot be finished: regularised, vectorised, summed by zone or compared
    ├── AdviceError        fields to survey that cannot be proposed
    ├── EvaluationError    scores or validation samples that do not support the requested statistic
    └── RunFolderError     an output folder that belongs to another run, or to other software

Any other exception is unexpected: the command line writes a log and exits with code 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bocage.redaction import redacted


class BocageError(Exception):
    """An error that the user can correct. Its message is one line: the problem, its location, and the solution.

    Secrets in the message are redacted.
    """

    def __init__(self, *parts: object) -> None:
        super().__init__(*(redacted(part) if isinstance(part, str) else part for part in parts))


class UnknownNameError(BocageError):
    """A name that is not registered on its shelf, or an external name that cannot be imported."""


@dataclass(frozen=True)
class Problem:
    """One problem of a recipe."""

    key: str
    """Dotted key; empty if the problem concerns the whole file."""
    message: str

    def __str__(self) -> str:
        return redacted(f"{self.key}: {self.message}" if self.key else self.message)


class RecipeError(BocageError):
    """A recipe with one or more problems.

    Parameters
    ----------
    source
        File of the recipe, or name of a table.
    problems
        All problems of the recipe.
    """

    def __init__(self, source: object, problems: Sequence[Problem]) -> None:
        self.source, self.problems = source, tuple(problems)
        super().__init__(f"{self.heading}: " + "; ".join(map(str, self.problems)))

    @property
    def heading(self) -> str:
        """Recipe and number of its problems, as text."""
        return f"{self.source}: {len(self.problems)} problem" + "s" * (len(self.problems) > 1)


class LegendError(BocageError):
    """An inconsistent nomenclature."""


class GridError(BocageError):
    """An invalid grid, or grids that cannot be aligned."""


class SourceError(BocageError):
    """Imagery that is missing, damaged or not georeferenced."""


class SceneError(BocageError):
    """A scene that cannot be prepared on disk."""


class SamplesError(BocageError):
    """Reference polygons that cannot be used with these settings."""


class ModelError(BocageError):
    """A network that does not support the given sources or settings."""


class TrainingError(BocageError):
    """A training that cannot start, or whose loss is NaN or infinite."""


class TrainedError(BocageError):
    """A model folder that is incomplete, or was trained with other inputs."""


class MappingError(BocageError):
    """A map that cannot be written."""


class FinishError(BocageError):
    """A map that cannot be finished: regularised, vectorised, summed by zone or compared with another map."""


class AdviceError(BocageError):
    """Fields to survey that cannot be proposed."""


class EvaluationError(BocageError):
    """Scores or validation samples that do not support the requested statistic."""


class RunFolderError(BocageError):
    """An output folder that belongs to another run, or to other software."""


class ViewError(BocageError):
    """A page of a run that cannot be served."""
