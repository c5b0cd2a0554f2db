"""Data sets and models of :mod:`benchmarks.contest`, with the settings of their authors and of a search."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks import networks, transfer
from benchmarks.frame import BUILD, ROOT, Results
from benchmarks.networks import GRU, M3FUSION, SERIES_SOURCES, TWINNS, VHR_SOURCES, VHSR
from benchmarks.recipes import Table, example
from bocage.models import MODELS, card_of

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
