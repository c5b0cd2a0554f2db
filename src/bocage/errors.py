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


class BocageError(Exception):
    """What was found, where, what was expected and what to do, in one line."""


class UnknownNameError(BocageError):
    """A name that no shelf holds."""


class RecipeError(BocageError):
    """A recipe that cannot be followed.

    Parameters
    ----------
    path
        The recipe's file.
    problems
        One line per problem, each opening with the dotted key concerned.
    """

    def __init__(self, path: object, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem" + ("s" if len(self.problems) > 1 else "")
        super().__init__(f"{path}: {count}: " + "; ".join(self.problems))


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
