"""Fair contest of all models: the same sources, the same search of settings, the same polygons.

    BOCAGE_DATA=/path/to/data python -m benchmarks.contest [simulated] [flanders-A] [flanders-C] [wake] [canada]
        [--draws N] [--trials N] [--settings authors|searched] [--models NAME ...] [--markdown]

Every model is measured on every combination of sources that it accepts, with two kinds of settings. "authors" are the settings
of its authors: the preset "published" with at most `MOST` epochs, and for trees those of the program named in the line; for
patchwork they are its defaults. "searched" are the best of `TRIALS` trials of a random search. Trial ``t`` has the same random
numbers for all models (:data:`benchmarks.contest_entrants.AXES`): they select learning rate, steps, width and dropout of a
network, and the corresponding settings of trees. Neighbourhoods and patches of networks are not searched. All searched networks
have the optimiser of patchwork (AdamW, one-cycle). A trial trains on the training polygons of the draw, and the trial with the
best accuracy on the validation polygons is chosen. A model with its settings is trained on training and validation polygons
together; only this model classifies the test polygons. Trees get texture of the panchromatic band.

Sizes of the networks are reduced, as in :mod:`benchmarks.networks`, so that two cores can train them; TempCNN and L-TAE have
their published sizes. All networks have the same number of samples per epoch. Series are gap-filled, except for patchwork.

A result is a draw of a line, or a trial. An interrupted benchmark resumes; several processes share the draws of the lines. A
line that is not measured yet has blank cells. Two tests compare each line with patchwork on the same sources and with the same
kind of settings, as in :mod:`benchmarks.rivals`. Results: ``benchmarks/results/contest-<data>.json``.
"""

import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import networks
from benchmarks.accuracy import METRICS_SHOWN, classes_of, samples_of, scores_of
from benchmarks.contest_entrants import AUTHORS, DATA, DRAWS, SEARCH, TRIALS, WORK, Data, Entrant, entrants
from benchmarks.frame import check_words, parser_of, slug, spread, table
from benchmarks.recipes import Table, landscape, without_fill
from bocage.disk import digest, digest_of
from bocage.evaluation.paired import clustered_mcnemar, resampled_t
from bocage.layout import SplitLayout
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.training import Trained, Trainer


@dataclass(frozen=True)
class Unit:
    """A draw of a line: what one process measures at a time."""

    data: Data
    sources: str
    entrant: Entrant = field(repr=False)
    kind: str
    draw: int
    trials: int

    def __str__(self) -> str:
        return " ".join(("draw", str(self.draw), *self.keys))

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the line in the results."""
        return self.sources, self.entrant.name, self.kind

    @property
    def pixels(self) -> Path:
        """File of the test pixels: unique number of each pixel, its polygon, whether it is correct."""
        return WORK / self.data.name / f"{slug(str(self))}.npy"

    def recipe(self, trial: int = 0, final: bool = False) -> Table:
        """Return the recipe, of a trial if the settings are searched; `final`: trained on the validation polygons too."""
        model, training = self.entrant.settings(self.kind, trial)
        training = training | {"keep": "last"} if final else training
        whole = self.data.recipe()
        names = (*self.data.sources[self.sources], *self.entrant.more)
        ratios = networks.RATIOS if model["name"] in networks.NESTED and "s2" in names and "pan" in names else {}
        sources = {n: whole["sources"][n] | ratios.get(n, {}) for n in names}
        seed, _ = self.data.split(self.draw)
        split = whole["split"] if seed is None else whole["split"] | {"seed": seed}
        each = {"samples_per_epoch": networks.SAMPLES[self.data.name.partition("-")[0]], "checkpoint": 1e9}
        recipe = {**whole, "sources": sources, "split": split, "model": model, "training": each | training}
        return without_fill(recipe) if model["name"] == "patchwork" else recipe

    def identity(self) -> dict[str, Any]:
        """Return a digest of the recipes, and the number of trials: a result of others is measured again."""
        if self.kind == AUTHORS:
            return Run(self, 0).description
        return {"digest": _digest([self.recipe(t) for t in range(self.trials)]), "trials": self.trials}

    def measure(self) -> None:
        """Measure and store the draw if it is missing: the trials of the search first."""
        self.data.results.measure((*self.keys, f"draw {self.draw}"), self._measured, self.identity())

    def _measured(self) -> dict[str, Any]:
        results = self.data.results
        if self.kind == AUTHORS:
            return self._tested(Run(self, 0), [Run(self, 0)])
        runs = [Run(self, trial) for trial in range(self.trials)]
        place = ("trials", self.sources, self.entrant.name, f"draw {self.draw}")
        for run in runs:
            results.measure((*place, f"trial {run.trial}"), run.validated, run.description)
        tried = [results.known(*place, f"trial {run.trial}") for run in runs]
        best = chosen([one["validation"] for one in tried])
        spent = sum(one["seconds"] for one in tried)
        final = Run(self, best, final=True)
        return self._tested(final, [*runs, final]) | {"trial": best, "search_seconds": spent}

    def _tested(self, run: "Run", runs: Sequence["Run"]) -> dict[str, Any]:
        """Return the scores of a run on the test polygons, write its test pixels, and remove the models of all runs."""
        recipe, _, samples = run.opened
        trained, seconds = run.trained()
        test = samples.draw(run.number).test
        classes = classes_of(trained, samples, test, recipe)
        place = ((self.draw * 10**5) + samples.row[test].astype(np.int64)) * 10**5 + samples.column[test]
        self.pixels.parent.mkdir(parents=True, exist_ok=True)
        np.save(self.pixels, np.stack([place, samples.polygon[test], classes == samples.label[test]]))
        for other in runs:
            shutil.rmtree(other.folder, ignore_errors=True)
        return scores_of(samples, test, classes) | {"seconds": seconds}


def _digest(recipes: Any) -> str:
    return digest_of(json.dumps(recipes, sort_keys=True, default=str).encode())[:16]


def chosen(validation: Sequence[float]) -> int:
    """Return the trial with the best validation accuracy; the first of several equal ones."""
    return int(np.argmax(validation))


@dataclass(frozen=True)
class Run:
    """One training of a draw: the authors' settings, or a trial."""

    unit: Unit
    trial: int
    final: bool = False
    """Whether it is the training with the chosen settings, on the validation polygons too."""

    @property
    def folder(self) -> Path:
        """Folder of the model; with other settings, it is another one."""
        name = f"{self.unit} {self.trial}{' final' * self.final} {_digest(self.recipe)[:8]}"
        return WORK / self.unit.data.name / slug(name)

    @property
    def recipe(self) -> Table:
        """The recipe."""
        return self.unit.recipe(self.trial, self.final)

    @property
    def number(self) -> int:
        """Number of the draw in its split."""
        return self.unit.data.split(self.unit.draw)[1]

    @property
    def description(self) -> dict[str, Any]:
        """Settings of the run, and a digest of its recipe."""
        model, training = self.unit.entrant.settings(self.unit.kind, self.trial)
        return {"model": model, "training": training, "digest": _digest(self.recipe)}

    @cached_property
    def opened(self) -> tuple[Recipe, Scene, Samples]:
        """The recipe, its scene, and its samples, which all runs with the same footprints share."""
        where = landscape(networks.LANDSCAPE, networks.SETTINGS) if self.unit.data.name == "simulated" else WORK
        recipe = parse(self.recipe, where, str(self.unit))
        scene = open_scene(recipe)
        network = recipe.choice.build(scene, recipe.legend)
        name = slug(f"samples {self.unit.data.name} {digest(network.footprints, recipe.sources)[:12]}")
        with self.unit.data.results.lock(name):
            return recipe, scene, samples_of(recipe, scene, WORK / name)

    def trained(self) -> tuple[Trained, float]:
        """Return the model and its training time in seconds; train it once."""
        seconds = self.folder / "seconds"
        if not seconds.exists():
            recipe, scene, samples = self.opened
            started = time.monotonic()
            Trainer(recipe.choice, scene, samples).train(self.number, self.folder)
            seconds.write_text(str(time.monotonic() - started))
        return Trained.load(SplitLayout(self.folder).model.path), float(seconds.read_text(encoding="utf-8"))

    def validated(self) -> dict[str, float]:
        """Return the accuracy on the validation polygons, and the training time."""
        recipe, _, samples = self.opened
        trained, seconds = self.trained()
        members = samples.draw(self.number).validation
        right = classes_of(trained, samples, members, recipe) == samples.label[members]
        return {"validation": float(right.mean()), "seconds": seconds}


@dataclass(frozen=True)
class Line:
    """A line of the tables, with the draws that are known."""

    data: Data
    sources: str
    entrant: Entrant
    kind: str

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the line in the results."""
        return self.sources, self.entrant.name, self.kind

    def unit(self, draw: int, trials: int = TRIALS) -> Unit:
        """Return a draw of the line."""
        return Unit(self.data, self.sources, self.entrant, self.kind, draw, trials)

    def against(self, other: "Line") -> dict[str, Any] | None:
        """Return McNemar's test of another line against this one, on all draws whose test pixels of both are on this machine."""
        pairs = [(self.unit(draw).pixels, other.unit(draw).pixels) for draw in range(self.data.draws)]
        pairs = [pair for pair in pairs if all(file.exists() for file in pair)]
        if not pairs:
            return None
        ours, theirs = (np.concatenate([np.load(file) for file in files], 1) for files in zip(*pairs, strict=True))
        _, first, second = np.intersect1d(ours[0], theirs[0], return_indices=True)
        test = clustered_mcnemar(ours[2, first] > 0, theirs[2, second] > 0, ours[1, first])
        return {"p": test.p, "pixels": len(first), "polygons": test.n, "draws": len(pairs)}


def lines(data: Data) -> list[Line]:
    """Return all lines of a data set, in the order of the tables."""
    return [
        Line(data, sources, entrant, kind)
        for sources in data.sources
        for entrant in entrants(data, sources)
        for kind in entrant.kinds
    ]


def _compare(data: Data) -> None:
    """Store McNemar's test of each line against patchwork where more draws are known than before."""
    ours = {(line.sources, line.kind): line for line in lines(data) if line.entrant.name == "patchwork"}
    for line in lines(data):
        test = None if line.entrant.name == "patchwork" else ours[line.sources, line.kind].against(line)
        if test and test != data.results.known("polygons", *line.keys):
            data.results.keep(test, "polygons", *line.keys)


KINDS = (AUTHORS, SEARCH)
"""The kinds of settings, as values of ``--settings``."""
WORDS = tuple(DATA)
"""Words of the command line."""


def run(
    wanted: Sequence[str] = (),
    draws: int = DRAWS,
    trials: int = TRIALS,
    takes_part: Callable[[Line], bool] = lambda line: True,
) -> str:
    """Measure the missing draws of the lines that take part, one draw of all lines after the other, and return the tables."""
    chosen_data = [DATA[name] for name in wanted or DATA]
    for data in chosen_data:
        for draw in range(min(draws, data.draws)):
            for unit in data.results.free([line.unit(draw, trials) for line in lines(data) if takes_part(line)]):
                unit.measure()
        _compare(data)
    return "\n".join(markdown(data) for data in chosen_data)


def markdown(data: Data) -> str:
    """Return the tables of a data set, by sources and by model; lines that are not measured have blank cells."""
    known = data.results.content()
    header = (
        "sources", "model", "settings", "draws", "accuracy", "weighted F", "kappa", "training, s", "search, s", "patchwork less it",
        "p, draws", "p, polygons",
    )  # fmt: skip
    rows = [(line.sources, line.entrant.name, _settings(line), *_cells(line, known)) for line in lines(data)]
    return "\n".join([f"\n## `{data.name}`, by sources\n", table(header, rows), *_by_model(data, known)])


def _settings(line: Line) -> str:
    return line.entrant.note if line.kind == AUTHORS else line.kind


def _scores(line: Line, known: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the known draws of a line: draw → scores."""
    sources, name, kind = line.keys
    found: dict[str, dict[str, Any]] = known.get(sources, {}).get(name, {}).get(kind, {})
    return found


def _cells(line: Line, known: Mapping[str, Any]) -> tuple[object, ...]:
    theirs = _scores(line, known)
    if not theirs:
        return ("",) * 9
    scores = (spread([one[metric] for one in theirs.values()]) for metric in METRICS_SHOWN)
    spent = [one["search_seconds"] for one in theirs.values() if "search_seconds" in one]
    costs = f"{np.median([one['seconds'] for one in theirs.values()]):.0f}", f"{np.mean(spent):.0f}" if spent else ""
    return len(theirs), *scores, *costs, *_tests(line, known, theirs)


def _tests(line: Line, known: Mapping[str, Any], theirs: Mapping[str, Mapping[str, float]]) -> tuple[str, str, str]:
    """Return the difference from patchwork and both p-values; blank where they are not known."""
    ours = _scores(Line(line.data, line.sources, entrants(line.data, line.sources)[0], line.kind), known)
    draws = [draw for draw in theirs if draw in ours]
    if line.entrant.name == "patchwork" or not draws:
        return "", "", ""
    pairs = [[scores[draw]["overall_accuracy"] for draw in draws] for scores in (ours, theirs)]
    test = known.get("polygons", {}).get(line.sources, {}).get(line.entrant.name, {}).get(line.kind)
    p = f"{resampled_t(pairs[0], pairs[1], line.data.ratio).p:.3f}" if len(draws) > 1 else ""
    return f"{np.mean(pairs[0]) - np.mean(pairs[1]):+.3f}", p, f"{test['p']:.1g}" if test else ""


def _by_model(data: Data, known: Mapping[str, Any]) -> list[str]:
    """Return the accuracy of each model on each combination of sources: a table for each kind of settings that is measured."""
    parts = []
    for kind in KINDS:
        found: dict[str, dict[str, str]] = {}
        for line in lines(data):
            if line.kind == kind:
                scores = [one["overall_accuracy"] for one in _scores(line, known).values()]
                found.setdefault(line.entrant.name, {})[line.sources] = spread(scores) if scores else ""
        if any(text for cells in found.values() for text in cells.values()):
            rows = [(name, *(cells.get(sources, "") for sources in data.sources)) for name, cells in found.items()]
            parts += [f"\nby model, settings: {kind}\n", table(("", *data.sources), rows)]
    return parts


def _check_models(names: Sequence[str]) -> None:
    """Stop with a message if no data set has a line of a model."""
    known = {one.name for data in DATA.values() for sources in data.sources for one in entrants(data, sources)}
    if unknown := sorted(set(names) - known):
        sys.exit(f"error: --models: '{unknown[0]}' is unknown. Known: {', '.join(sorted(known))}.")


def main() -> None:
    """Measure, or print the tables of stored results."""
    parser = parser_of(__name__)
    parser.add_argument("--draws", type=int, default=DRAWS, help="number of draws")
    parser.add_argument("--trials", type=int, default=TRIALS, help="trials of the search")
    parser.add_argument("--settings", choices=KINDS, help="measure only the lines with these settings")
    parser.add_argument("--models", nargs="+", default=(), help="measure only the lines of these models")
    parser.add_argument("--markdown", action="store_true", help="print the tables of stored results")
    said = parser.parse_args()
    check_words(sys.modules[__name__], said.words)
    _check_models(said.models)
    if said.markdown:
        print("\n".join(markdown(DATA[name]) for name in said.words or DATA))
    else:
        kinds, models = [said.settings] if said.settings else KINDS, said.models

        def takes_part(line: Line) -> bool:
            return line.kind in kinds and (not models or line.entrant.name in models)

        print(run(said.words, said.draws, said.trials, takes_part))


if __name__ == "__main__":
    main()
