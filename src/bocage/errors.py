"""Every exception that Bocage raises on purpose.

::

    BocageError            something that a user can mend: one line on the terminal, exit code 1
    ├── UnknownNameError        a name that is on no shelf (sensor, model, index, metric, writer)
    ├── RecipeError        a recipe with one or more problems, all listed in ``problems``
    ├── LegendError        a nomenclature that contradicts itself
    ├── GridError          grids that cannot be laid over one another
    ├── SourceError        imagery that is missing, damaged or not georeferenced
    ├── SceneError         a scene that cannot be prepared on disk
    ├── SamplesError       reference polygons that cannot be used as asked
    ├── ModelError         a network that cannot work with the sources or settings given
    ├── TrainingError      a training that cannot start or did not converge to numbers
    ├── TrainedError       a model folder that is incomplete or made for other inputs
    ├── MappingError       a map that could not be written
    ├── EvaluationError    scores or samples that allow no such statement
    └── RunFolderError     an output folder that belongs to something else

Everything else that escapes is a surprise: the command line writes a log and exits with code 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class BocageError(Exception):
    """What was found, where, what was expected and what to do, in one line."""


class UnknownNameError(BocageError):
    """A name that no shelf holds."""


@dataclass(frozen=True)
class Problem:
    """One thing in a recipe that cannot be followed."""

    key: str
    """Dotted key; empty where the problem is the file's."""
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class RecipeError(BocageError):
    """A recipe that cannot be followed.

    Parameters
    ----------
    source
        The recipe's file, or what a table is called.
    problems
        Everything that is wrong with it.
    """

    def __init__(self, source: object, problems: Sequence[Problem]) -> None:
        self.source, self.problems = source, tuple(problems)
        super().__init__(f"{self.heading}: " + "; ".join(map(str, self.problems)))

    @property
    def heading(self) -> str:
        """The recipe, and how many problems it has."""
        return f"{self.source}: {len(self.problems)} problem" + "s" * (len(self.problems) > 1)


class LegendError(BocageError):
    """A nomenclature that contradicts itself."""


class GridError(BocageError):
    """Grids that cannot be laid over one another."""


class SourceError(BocageError):
    """Imagery that is missing, damaged or not georeferenced."""


class SceneError(BocageError):
    """A scene that cannot be prepared on disk."""


class SamplesError(BocageError):
    """Reference polygons that cannot be used as asked."""


class ModelError(BocageError):
    """A network that cannot work with the sources or settings given."""


class TrainingError(BocageError):
    """A training that cannot start, or whose loss is no longer a number."""


class TrainedError(BocageError):
    """A model folder that is incomplete, or made for other inputs."""


class MappingError(BocageError):
    """A map that could not be written."""


class EvaluationError(BocageError):
    """Scores or validation samples that do not allow the statement asked of them."""


class RunFolderError(BocageError):
    """An output folder that belongs to something else."""
