"""Fair contest of all models: the same sources, the same search of settings, the same polygons.

    BOCAGE_DATA=/path/to/data python -m benchmarks.contest [simulated] [flanders-A] [flanders-C] [wake] [canada]
        [--draws N] [--trials N] [--markdown]

Every model is measured on every combination of sources that it accepts, with two kinds of settings. "authors" are the settings
of its authors: the preset "published" with at most `MOST` epochs, and for trees those of the program named in the line; for
patchwork they are its defaults. "searched" are the best of `TRIALS` trials of a random search. Trial ``t`` has the same random
numbers for all models (:data:`AXES`): they select learning rate, steps, width and dropout of a network, and the corresponding
settings of trees. All searched networks have the optimiser of patchwork (AdamW, one-cycle). A trial trains on the training
polygons of the draw, and the trial with the best accuracy on the validation polygons is chosen. A model with its settings is
trained on training and validation polygons together; only this model classifies the test polygons. Trees get texture of the
panchromatic band.

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import networks, transfer
from benchmarks.accuracy import METRICS_SHOWN, classes_of, samples_of, scores_of
from benchmarks.frame import BUILD, ROOT, Results, check_words, parser_of, slug, spread, table
from benchmarks.networks import GRU, M3FUSION, SERIES_SOURCES, TWINNS, VHR_SOURCES, VHSR
from benchmarks.recipes import Table, example, landscape, without_fill
from bocage.disk import digest, digest_of
from bocage.evaluation.paired import clustered_mcnemar, resampled_t
from bocage.layout import SplitLayout
from bocage.models import MODELS, card_of
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.training import Trained, Trainer

DRAWS, TRIALS, MOST = 10, 8, 100
"""Number of draws, trials of the search, and maximum number of epochs of published settings."""
WORK, FOLDER = BUILD / "contest", ROOT / "benchmarks/results"
AXES = ("rate", "length", "width", "dropout", "window")
"""Random numbers of a trial, from 0 to 1."""
SEARCHED = {
    "optimiser": "adamw",
    "weight_decay": 0.02,
    "schedule": "one-cycle",
    "class_weights": "root",
    "patience": 10_000,
    "keep": "validation",
    "calibrate": False,
}
"""Training settings of all trials of networks, in addition to learning rate and steps."""
STEPS = (500, 1000, 2000)
"""Optimiser steps of searched networks."""
AUTHORS, SEARCH = "authors", "searched"
WINDOWS = (5, 9, 15, 21, 31)
"""Sides of the windows of texture in the search, in PAN pixels."""
RADIUS_2 = 5
"""Side of the default window of Orfeo ToolBox's HaralickTextureExtraction (radius 2, 8 grey levels)."""
Trial = Mapping[str, float]
Changes = tuple[Table, Table]
"""Changes of the tables [model] and [training]."""


@dataclass(frozen=True)
class Data:
    """A data set of the contest."""

    name: str
    sources: Mapping[str, tuple[str, ...]]
    """Combination of sources → names of the sources."""
    recipe: Callable[[], Table]
    """Recipe with all sources, without model and training."""
    ratio: float
    """Test units over training units."""
    folds: int = 0
    """Number of folds of the recipe; 0: random draws."""
    images: bool = True
    """Whether pixels have neighbours."""

    @property
    def draws(self) -> int:
        """Number of draws: whole rounds of the folds."""
        return DRAWS // self.folds * self.folds if self.folds else DRAWS

    @property
    def results(self) -> Results:
        """The stored results."""
        return Results(f"contest-{self.name}", FOLDER)

    def split(self, draw: int) -> tuple[int | None, int]:
        """Return the seed of the split, and the draw or fold of this seed; None: the seed of the recipe."""
        return (draw // self.folds, draw % self.folds) if self.folds else (None, draw)


def _of_landscape() -> Table:
    return networks.on_landscape({"name": ""}, "s2", SERIES_SOURCES | VHR_SOURCES, DRAWS)


def _of_tile(tile: str) -> Table:
    recipe = transfer.recipe_of(tile, "random forest", 0)
    return {key: part for key, part in recipe.items() if key != "model"} | {"split": {"train": 0.5, "draws": DRAWS}}


def _of_example(name: str, split: Table, sources: Table) -> Table:
    recipe = {key: part for key, part in example(name).items() if key not in ("name", "model", "training")}
    return recipe | {"split": recipe["split"] | split, "sources": recipe["sources"] | sources}


SERIES = {"S2": ("s2",), "S1 + S2": ("s1", "s2")}
DATA = {
    data.name: data
    for data in (
        Data(
            "simulated",
            SERIES | {"S2 + VHR": ("s2", "pan", "ms"), "S1 + S2 + VHR": ("s1", "s2", "pan", "ms")},
            _of_landscape,
            70 / 30,
        ),
        Data("flanders-A", SERIES, lambda: _of_tile("A"), 1.0),
        Data("flanders-C", SERIES, lambda: _of_tile("C"), 1.0),
        Data(
            "wake",
            {"PAN + MS": ("pan", "ms")},
            lambda: _of_example("wake", {"draws": DRAWS}, {"sharp": VHR_SOURCES["sharp"]}),
            1.0,
        ),
        Data("canada", SERIES, lambda: _of_example("canada", {}, {}), 1 / 2, folds=3, images=False),
    )
}


@dataclass(frozen=True)
class Entrant:
    """A model of the contest on some sources."""

    name: str
    model: Table
    """Settings that are the same in all lines."""
    authors: Changes | None
    """Settings of the authors; None: no such line."""
    search: Callable[[Trial], Changes] | None
    """Random numbers of a trial → settings; None: no such line."""
    more: tuple[str, ...] = ()
    """Names of sources that the model derives from the others."""
    note: str = ""
    """Description of the authors' settings."""

    def settings(self, kind: str, trial: int = 0) -> Changes:
        """Return the tables [model] and [training] of a line, or of a trial of the search."""
        changes = self.authors if kind == AUTHORS else self.search and self.search(random_numbers(trial))
        assert changes
        return self.model | changes[0], changes[1]

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of settings with which it takes part."""
        return tuple(kind for kind, has in ((AUTHORS, self.authors), (SEARCH, self.search)) if has)


def random_numbers(trial: int) -> Trial:
    """Return the random numbers of a trial, the same for all models and draws."""
    return dict(zip(AXES, np.random.default_rng((20, trial)).random(len(AXES)).tolist(), strict=True))


def pick(options: Sequence[Any], at: float) -> Any:
    """Return one of several options, from a random number."""
    return options[int(at * len(options))]


def between(low: float, high: float, at: float) -> float:
    """Return a number between two others, uniform in its logarithm, from a random number."""
    return float(f"{low * (high / low) ** at:.2g}")


def network(
    name: str, model: Table, widths: Sequence[Table], dropout: Sequence[str] = ("dropout",), **more: Any
) -> Entrant:
    """Return a network; `widths` are its three sizes, the second one in the authors' line, and `dropout` its rates."""
    card = card_of(MODELS.get(model["name"]))
    if card.published:
        epochs = min(MOST, card.published.epochs)
        training = {"preset": "published", "epochs": epochs, "calibrate": False}
        note = (
            f"published, {epochs} of {card.published.epochs} epochs" if epochs < card.published.epochs else "published"
        )
    else:
        training, note = {**card.training, "calibrate": False}, "defaults"

    def search(trial: Trial) -> Changes:
        rate, steps = between(3e-4, 1e-2, trial["rate"]), pick(STEPS, trial["length"])
        rates = {key: round(0.6 * trial["dropout"], 2) for key in dropout}
        return pick(widths, trial["width"]) | rates, SEARCHED | {"learning_rate": rate, "steps": [steps, steps]}

    return Entrant(name, model, (widths[1], training), search, note=note, **more)


def trees(names: tuple[str, ...]) -> Iterator[Entrant]:
    """Yield the tree models on some sources, with texture of the panchromatic band."""
    held, vhr, everything = {"calibrate": False, "keep": "validation"}, "pan" in names, {"sources": list(names)}
    last = {"calibrate": False, "keep": "last"}

    def texture(side: int) -> Table:
        return {"texture": {"pan": side}} if vhr else {}

    def forest(trial: Trial) -> Changes:
        depth, leaf = pick((10, 25, 50), trial["length"]), pick((1, 2, 5, 10), trial["rate"])
        return {"trees": 200, "max_depth": depth, "min_leaf": leaf} | texture(pick(WINDOWS, trial["window"])), held

    def boosted(trial: Trial) -> Changes:
        size = {"rounds": pick((75, 150, 300), trial["length"]), "leaves": pick((15, 31, 63), trial["width"])}
        share = {"columns": pick((0.1, 0.3, 1.0), trial["dropout"])}
        return size | share | {"learning_rate": between(0.03, 0.3, trial["rate"])} | texture(
            pick(WINDOWS, trial["window"])
        ), held

    wood = {"name": "random_forest"} | everything
    # iota2: -classifier.rf.min 5 -classifier.rf.max 25. Orfeo ToolBox: the defaults of TrainImagesClassifier, minimum 10 and depth
    # 5 (https://manpages.ubuntu.com/manpages/focal/man1/otbcli_TrainVectorClassifier.1.html). Both limit the samples of a node that
    # is split, here about twice the samples of a leaf. Our scikit-learn forest stands in for theirs.
    iota2 = {"trees": 100, "max_depth": 25, "min_leaf": 2}
    yield Entrant("random forest", wood, (iota2 | texture(RADIUS_2), last), forest, note="iota2")
    otb = {"trees": 100, "max_depth": 5, "min_leaf": 5}
    yield Entrant("random forest of Orfeo ToolBox", wood, (otb | texture(RADIUS_2), last), None, note="Orfeo ToolBox")
    if vhr:
        yield Entrant("random forest without texture", wood, (iota2, last), None, note="iota2")
    plainly = {"rounds": 100, "columns": 1.0}
    gradient = {"name": "lightgbm"} | everything
    yield Entrant("LightGBM", gradient, (plainly | texture(RADIUS_2), last), boosted, note="LightGBM")


def _units(*units: int) -> list[Table]:
    return [{"units": n} for n in units]


def one_series() -> Iterator[Entrant]:
    """Yield the networks of Sentinel-2 alone that work on single pixels."""
    tempcnn = [{"filters": n, "dense": 4 * n} for n in (32, 64, 128)]
    s2 = {"source": "s2"}
    yield network("GRU", {"name": "gru"} | s2, _units(64, 128, 256))
    yield network("LSTM", {"name": "lstm"} | s2, _units(64, 128, 256))
    yield network("CNN over dates", {"name": "cnn1d"} | s2, [{"filters": [n, 2 * n]} for n in (32, 64, 128)], ())
    yield network("TempCNN", {"name": "tempcnn"} | s2, tempcnn)
    # sits 1.5.3, https://docs.ropensci.org/sits/reference/sits_tempcnn.html. It lowers the rate by 5 % after each epoch: here cosine.
    sits = {"name": "tempcnn", "kernel": 3, "filters": 64, "dense": 256, "dropout": 0.2, "dense_dropout": 0.5} | s2
    training = {
        "epochs": 150, "patience": 20, "batch_size": 64, "optimiser": "adamw", "learning_rate": 5e-4, "weight_decay": 1e-6,
        "schedule": "cosine", "scaling": "percentile", "keep": "validation", "augment": False, "calibrate": False,
    }  # fmt: skip
    yield Entrant("TempCNN of sits", sits, ({}, training), None, note="sits 1.5.3, rate by cosine")
    yield network("L-TAE", {"name": "ltae"} | s2, [{"width": n, "features": n // 2} for n in (128, 256, 512)])


def several(names: tuple[str, ...], images: bool) -> Iterator[Entrant]:
    """Yield the networks of several sources, and those that read patches."""
    twins = [{"units": n, "filters": [2 * n, 4 * n]} for n in (8, 16, 32)]
    if names == ("s2",) and images:
        duplo = [{"filters": [n, 2 * n], "date_filters": [n // 4, n // 2], "units": 4 * n} for n in (16, 32, 64)]
        yield network("ConvLSTM", {"name": "convlstm", "source": "s2"}, _units(8, 16, 32))
        yield network("DuPLO", {"name": "duplo", "source": "s2"}, duplo)
        yield network("TWINNS, S2 only", TWINNS | {"use": "second"}, twins)
    if names == ("s1", "s2"):
        members = [{"members": [GRU | {"source": s, "settings": {"units": n}} for s in names]} for n in (64, 128, 256)]
        yield network("fusion of two GRUs", {"name": "fusion", "auxiliary": 0.3}, members)
        if images:
            yield network("TWINNS", TWINNS, twins)
    if "pan" in names and "s2" in names:
        fusion = [{"units": 4 * n, "filters": [n, 2 * n]} for n in (16, 32, 64)]
        if "s1" not in names:
            yield network("M3Fusion", M3FUSION, fusion, more=("sharp",))
        spot = VHSR if "s1" in names else VHSR | {"s1": ""}
        yield network("S1S2VHSR", spot, [{"filters": n, "dense": 4 * n} for n in (16, 32, 64)])
    if names == ("pan", "ms"):
        yield from _pan_ms()


def _pan_ms() -> Iterator[Entrant]:
    models, sizes = networks.pan_ms(24), (8, 16, 32)
    pan = [[n, 2 * n, 4 * n] for n in sizes]
    both = [{"pan_filters": p, "ms_filters": [2 * n for n in p]} for p in pan]
    yield network("MultiResoLCC", models["MultiResoLCC"], both)
    name = "CNN on the pansharpened image"
    yield network(name, models[name], [{"filters": p} for p in pan], more=("sharp",))
    dmil = [{"pan_filters": p, "codes": [p[2], p[1]], "dense": [p[2], p[2]]} for p in pan]
    yield network("DMIL", models["DMIL"], dmil)
    patches = networks.forest_on_patches(24, 12) | {"trees": 100}
    yield Entrant(
        "random forest on patches",
        patches,
        ({}, {"calibrate": False, "keep": "last"}),
        None,
        note="Gaetano et al. 2018",
    )


def entrants(data: Data, sources: str) -> list[Entrant]:
    """Return all models that accept a combination of sources; patchwork is the first."""
    names = data.sources[sources]
    presets = [{"preset": preset} for preset in ("small", "medium", "large")]
    own = network(
        "patchwork", {"name": "patchwork", "sources": list(names)}, presets, ("date_dropout", "sensor_dropout")
    )
    return [own, *(one_series() if names == ("s2",) else ()), *several(names, data.images), *trees(names)]


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
        """Folder of the model."""
        return WORK / self.unit.data.name / slug(f"{self.unit} {self.trial}{' final' * self.final}")

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


WORDS = tuple(DATA)
"""Words of the command line."""


def run(wanted: Sequence[str] = (), draws: int = DRAWS, trials: int = TRIALS) -> str:
    """Measure the missing draws of all lines, one draw of all lines after the other, and return the tables."""
    chosen_data = [DATA[name] for name in wanted or DATA]
    for data in chosen_data:
        for draw in range(min(draws, data.draws)):
            for unit in data.results.free([line.unit(draw, trials) for line in lines(data)]):
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
    return "\n".join([f"\n## `{data.name}`, by sources\n", table(header, rows), "\nby model\n", _by_model(data, known)])


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


def _by_model(data: Data, known: Mapping[str, Any]) -> str:
    """Return the accuracy of each model on each combination of sources: searched settings, and the authors' where none."""
    best: dict[str, dict[str, str]] = {}
    for line in lines(data):
        scores = _scores(line, known)
        if line.kind == line.entrant.kinds[-1]:
            text = spread([one["overall_accuracy"] for one in scores.values()]) if scores else ""
            best.setdefault(line.entrant.name, {})[line.sources] = text
    rows = [(name, *(cells.get(sources, "") for sources in data.sources)) for name, cells in best.items()]
    return table(("", *data.sources), rows)


def main() -> None:
    """Measure, or print the tables of stored results."""
    parser = parser_of(__name__)
    parser.add_argument("--draws", type=int, default=DRAWS, help="number of draws")
    parser.add_argument("--trials", type=int, default=TRIALS, help="trials of the search")
    parser.add_argument("--markdown", action="store_true", help="print the tables of stored results")
    said = parser.parse_args()
    check_words(sys.modules[__name__], said.words)
    if said.markdown:
        print("\n".join(markdown(DATA[name]) for name in said.words or DATA))
    else:
        print(run(said.words, said.draws, said.trials))


if __name__ == "__main__":
    main()
