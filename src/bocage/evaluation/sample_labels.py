"""Labels of a validation sample: codes, names or reference values of the classes of a legend.

A reference value of a class can be the code of another class. The labels of a sample then have one meaning together: that in
which all of them are known.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bocage.errors import EvaluationError
from bocage.legend import COARSER, Legend, plain

CODE, NAME, VALUE = "code", "name", "reference value"
MEANINGS = ((CODE,), (NAME,), (CODE, NAME), (VALUE,), (VALUE, NAME))
"""Meanings of the labels of a sample, by priority. In a pair, the first that knows a label is taken."""
SHOWN = 10
"""Maximum number of labels in a message."""


@dataclass(frozen=True)
class Meant:
    """Classes of the labels of a sample."""

    labels: tuple[int, ...]
    """Label of each pixel as in :meth:`Legend.index_of`: negative for a coarser class or a set of classes."""
    note: str = ""
    """The meaning that was taken, as a sentence; empty if the labels have only one."""


def meaning_of(values: Sequence[Any], legend: Legend, where: str) -> Meant:
    """Return the classes of the labels of a sample, each a code, a name or a reference value of the legend.

    A label is a code first, then a name, then a reference value. If a label can be two classes, all labels get one meaning.

    Parameters
    ----------
    where
        File and field of the labels, for messages.

    Raises
    ------
    EvaluationError
        A label is not in the legend, or a label can be two classes and the labels have no meaning in common.
    """
    codes, names = _codes_and_names(legend)
    known: dict[str, dict[str, int]] = {}
    for value, text in zip(values, map(plain, values), strict=True):
        found = {CODE: codes.get(text), NAME: names.get(text), VALUE: legend.index_of(value)}
        known[text] = {kind: label for kind, label in found.items() if label is not None}
    _check_known(values, known, legend, where)
    double = [text for text, found in known.items() if len(set(found.values())) > 1]
    if not double:
        return Meant(tuple(next(iter(known[plain(value)].values())) for value in values))
    for kinds in MEANINGS:
        if all(any(kind in found for kind in kinds) for found in known.values()):
            taken = {text: next(found[kind] for kind in kinds if kind in found) for text, found in known.items()}
            return Meant(tuple(taken[plain(value)] for value in values), _note(double, kinds, where))
    raise EvaluationError(
        f"{where}: {_quoted(double)} can mean two classes, as code, name or reference value, and the labels are a mixture: "
        f"{_mixture(known)}. Write the code of the class in all of them."
    )


def left_out(labels: Iterable[int], legend: Legend) -> str:
    """Return the coarser classes and the sets among labels with their numbers, for a message; empty without any."""
    counted = Counter(legend.labelled(label).name for label in labels if label <= COARSER)
    return ", ".join(f"'{name}' ({n})" for name, n in counted.most_common())


def _codes_and_names(legend: Legend) -> tuple[dict[str, int], dict[str, int]]:
    """Return code → label and name → label of all classes; names of sets, too."""
    above = range(COARSER, COARSER - len(legend.coarser) - len(legend.sets), -1)
    everything = [(label, legend.labelled(label)) for label in (*range(len(legend.classes)), *above)]
    codes = {plain(one.code): label for label, one in everything if one.code}
    return codes, {plain(one.name): label for label, one in everything}


def _check_known(values: Sequence[Any], known: Mapping[str, Mapping[str, int]], legend: Legend, where: str) -> None:
    unknown = Counter(str(value) for value in values if not known[plain(value)])
    if unknown:
        listed = ", ".join(f"'{value}' ({n})" for value, n in unknown.most_common())
        raise EvaluationError(
            f"{where}: labels that are no code, name or reference value of the legend: {listed}. Codes of the legend: "
            f"{', '.join(map(str, legend.codes))}. Names: {', '.join(legend.names)}."
        )


def _note(double: Sequence[str], kinds: Sequence[str], where: str) -> str:
    taken = " or ".join(f"{kind}s" for kind in kinds)
    return (
        f"{where}: {_quoted(double)} can mean two classes, as code, name or reference value. All labels are read as {taken} of "
        "the legend."
    )


def _mixture(known: Mapping[str, Mapping[str, int]]) -> str:
    """Return a label that is only a code, and so on, for a message."""
    alone = {next(iter(found)): text for text, found in reversed(list(known.items())) if len(found) == 1}
    return ", ".join(f"'{text}' is only a {kind}" for kind, text in sorted(alone.items()))


def _quoted(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return ", ".join(f"'{label}'" for label in labels[:SHOWN]) + more
