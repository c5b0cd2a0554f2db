"""Polygons of other years or places, weighted by how similar their imagery is to that of a target with few polygons.

    BOCAGE_DATA=/path/to/data python -m benchmarks.years [simulated] [flanders-2018] [flanders-2019]

The target is the last of three simulated years of one landscape with three polygons of each class, or one of the two tiles and years of
Flanders with two; the other years or the other tile have all their polygons. The other polygons of the target are the test. A draw is
another choice of the few polygons.

"Weighted" follows the idea of reusing data of other years as far as they resemble the target (REFeD, arXiv 2404.11114, learns features
for this; here the samples are weighted). A logistic regression tells the features of the two domains apart, those of patchwork trained on all
samples; each sample is left out once, with its polygon. A sample of another year takes part in an epoch with a probability in proportion
to its odds of being of the target, at most 1; a fifth of them has 1 (importance weighting; Shimodaira 2000,
doi:10.1016/S0378-3758(00)00115-4). "Weighted within classes" first subtracts the mean of the predicted class from the features, so
that classes that the target has seldom do not count less. The unlabelled pixels of the target are the test samples. Patchwork is small and
has 800 optimiser steps, no calibration, and no validation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.choice import Fixed
from benchmarks.frame import BUILD, Results, command_line, spread, table
from benchmarks.recipes import Table, example
from benchmarks.sites import site_of
from bocage.evaluation import METRICS, ConfusionMatrix
from bocage.progress import QUIET
from bocage.recipe import parse
from bocage.run import open_sites
from bocage.samples import Draw, Samples
from bocage.scene import Scenes
from bocage.simulate import Simulation
from bocage.training import Choice, Trained, Trainer, classify
from bocage.training.embedding import embedding_of

WORK, RESULTS, DRAWS, PARTS = BUILD / "years", Results("years"), 5, 5
MEASURES = ("overall_accuracy", "f1_macro")
LANDS = {
    f"year {year}": Simulation(region=0, year=year, polygons=24, sensors=("s2", "s1"), seed=year)
    for year in (2021, 2022, 2023)
}
COMMON: Table = {
    "model": {"name": "patchwork", "preset": "small"},
    "training": {"calibrate": False, "steps": [800, 800]},
}
Members = NDArray[np.bool_]


@dataclass(frozen=True)
class Setup:
    """Recipe of all sites, and what is known of the target."""

    recipe: Table
    target: str
    few: int
    """Polygons of each class that the target has."""


def simulated() -> Setup:
    """Return three years of a simulated landscape."""
    sites, legend = [], {}
    for name, settings in LANDS.items():
        site, land = site_of(name, settings, WORK)
        sites.append(site)
        legend = {"csv": str(land / "legend.csv")}
    split = {"train": 0.5, "draws": 1, "rare": "drop"}
    return Setup({"site": sites, "legend": legend, "split": split, **COMMON}, list(LANDS)[-1], 3)


def flanders(target: str) -> Setup:
    """Return the two tiles and years of Flanders."""
    start = {key: value for key, value in example("flanders-sites").items() if key != "evaluation"}
    return Setup({**start, **COMMON, "split": {"train": 0.5, "draws": 1, "rare": "train"}}, target, 2)


SETS: Mapping[str, Callable[[], Setup]] = {
    "simulated": simulated,
    "flanders-2018": partial(flanders, "31UDS 2018"),
    "flanders-2019": partial(flanders, "31UES 2019"),
}


@dataclass(frozen=True)
class Bench:
    """Samples of all sites, and the few polygons of a draw."""

    name: str
    choice: Choice
    scenes: Scenes
    samples: Samples
    here: Members
    """Samples of the target."""
    known: Members
    """Samples of its few polygons."""
    seed: int

    @classmethod
    def of(cls, name: str, seed: int) -> "Bench":
        """Open a set, and draw the few polygons of its target."""
        setup = SETS[name]()
        run = open_sites(parse(setup.recipe, WORK, name), WORK / name, QUIET, True, ("train",))
        samples, generator = run.joined, np.random.default_rng((seed, 9))
        here, chosen = samples.at(setup.target), []
        for label in np.unique(samples.label[here]):
            polygons = np.unique(samples.polygon[here & (samples.label == label)])
            if len(polygons) > setup.few:
                chosen.append(generator.permutation(polygons)[: setup.few])
        known = here & np.isin(samples.polygon, np.concatenate(chosen))
        scenes = Scenes({site: run.scenes[site] for site in samples.sites})
        return cls(name, run.recipe.choice, scenes, samples, here, known, seed)

    def measured(self) -> dict[str, dict[str, float]]:
        """Return the scores of all ways on the other polygons of the target."""
        both = self.known | ~self.here
        everything = self._trained(both, "balanced")
        found = {
            "few polygons of the target": self._trained(self.known, "as is"),
            "other years or place": self._trained(~self.here, "as is"),
            "all, as many samples of each": everything,
            "all, as they are": self._trained(both, "as is"),
            "all, weighted": self._trained(both, "as is", self._similar(self._features(everything))),
            "all, weighted within classes": self._trained(
                both, "as is", self._similar(self._within_classes(everything))
            ),
        }
        return {way: self._scores(trained) for way, trained in found.items()}

    def _trained(self, used: Members, sites: str, trust: NDArray[np.float64] | None = None) -> Trained:
        none = np.zeros(0, np.int64)
        own = {key: getattr(self.samples, key) for key in self.samples.__dataclass_fields__}
        split = replace(self.samples.split, seed=self.seed)
        fixed = Fixed(**own | {"split": split, "trust": trust}, parts=(Draw(np.flatnonzero(used), none, none),))
        return Trainer(self.choice.with_training(sites=sites), self.scenes, fixed).train(0, WORK / f"{self.name}-model")

    def _features(self, trained: Trained) -> NDArray[np.float64]:
        return embedding_of(trained, self.samples.chips, np.arange(len(self.here)), "cpu")

    def _within_classes(self, trained: Trained) -> NDArray[np.float64]:
        features, everything = self._features(trained), np.arange(len(self.here))
        predicted = classify(trained, self.samples.chips, everything, "cpu").argmax(1)
        for label in np.unique(predicted):
            features[predicted == label] -= features[predicted == label].mean(0)
        return features

    def _similar(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the probability with which each sample takes part in an epoch, (N,); 1 for those of the target."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        scaled, polygon = StandardScaler().fit_transform(features), self.samples.polygon
        part = (np.random.default_rng(self.seed).permutation(polygon.max() + 1) % PARTS)[polygon]
        odds = np.zeros(len(polygon))
        for k in range(PARTS):
            rest, out = part != k, part == k
            model = LogisticRegression(C=0.1, max_iter=200, class_weight="balanced").fit(scaled[rest], self.here[rest])
            odds[out] = np.exp(model.decision_function(scaled[out]))
        others = odds[~self.here]
        weight = np.ones(len(polygon))
        weight[~self.here] = np.minimum(1, others / np.quantile(others, 0.8))
        return weight

    def _scores(self, trained: Trained) -> dict[str, float]:
        test = np.flatnonzero(self.here & ~self.known)
        predicted = classify(trained, self.samples.chips, test, "cpu").argmax(1)
        matrix = ConfusionMatrix.of(self.samples.label[test], predicted, self.samples.legend.names)
        return {key: float(METRICS.get(key)(matrix)) for key in MEASURES}


WORDS = tuple(SETS)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing draws and return the table."""
    for name in RESULTS.free(wanted or WORDS):
        for draw in range(DRAWS):
            RESULTS.measure(("sets", name, draw), lambda name=name, draw=draw: Bench.of(name, draw).measured())
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table with a line for each set and way: mean and standard deviation over the draws."""
    rows = []
    for name, draws in found.get("sets", {}).items():
        for way in draws[0]:
            cells = [spread([draw[way][key] for draw in draws]) for key in MEASURES]
            rows.append((name, way, len(draws), *cells))
    return table(("set", "training samples", "draws", "accuracy", "mean F"), rows)


if __name__ == "__main__":
    command_line(__name__)
