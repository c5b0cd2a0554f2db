"""Simulations of the statistics: error rate of the paired tests, coverage of intervals, calibration."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.evaluation.area import Adjusted, Clusters, clustered, stratified
from bocage.evaluation.correction import corrected
from bocage.evaluation.paired import resampled_t
from bocage.training.calibration import calibrate, reliability_of

DRAWS = 10
NAMES = "abcd"


def equal_models(generator: np.random.Generator, units: int, train: float) -> NDArray[np.float64]:
    """Return the accuracies (2, draws) of two equally good classifiers on the same draws.

    Both assign the nearest class mean, each on its own features.
    """
    label = np.arange(units) % 3
    views = [1.5 * np.eye(3)[label] + generator.normal(size=(units, 3)) for _ in range(2)]
    accuracy = np.zeros((2, DRAWS))
    for draw in range(DRAWS):
        order = generator.permutation(units)
        learn, test = order[: int(train * units)], order[int(train * units) :]
        for k, view in enumerate(views):
            mean = np.stack([view[learn][label[learn] == c].mean(0) for c in range(3)])
            predicted = ((view[test][:, None] - mean) ** 2).sum(2).argmin(1)
            accuracy[k, draw] = (predicted == label[test]).mean()
    return accuracy


def rejections(pairs: int, units: int, train: float, seed: int) -> tuple[float, float]:
    """Return the share of pairs of equal models for which the corrected and the naive t-test reject equality at 5 %."""
    generator = np.random.default_rng(seed)
    each = [equal_models(generator, units, train) for _ in range(pairs)]
    ratios = ((1 - train) / train, 0.0)
    corrected, naive = (
        float(np.mean([resampled_t(pair[0], pair[1], ratio).p < 0.05 for pair in each])) for ratio in ratios
    )
    return corrected, naive


def fields(
    seed: int, side: int = 400, field: int = 10
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], np.random.Generator]:
    """Return truth, map and field number of each pixel, and the generator; whole square fields and single pixels are wrong."""
    generator = np.random.default_rng(seed)
    n, whole, classes = side // field, np.ones((field, field), np.int64), len(NAMES)
    crop = generator.choice(classes, (n, n), p=(0.5, 0.25, 0.15, 0.1))
    classified = np.where(generator.random((n, n)) < 0.15, generator.integers(0, classes, (n, n)), crop)
    truth, mapped = np.kron(crop, whole).ravel(), np.kron(classified, whole).ravel()
    mapped = np.where(generator.random(mapped.shape) < 0.05, generator.integers(0, classes, mapped.shape), mapped)
    return truth, mapped, np.kron(np.arange(n * n).reshape(n, n), whole).ravel(), generator


def coverage(samples: int, seed: int) -> dict[str, float]:
    """Return the share of 95 % intervals that contain the true area of a class.

    The samples are pixels ("pixels"), all pixels of polygons with the variance between polygons ("polygons"), and the same
    pixels treated as independent ("polygons taken for pixels").
    """
    truth, mapped, field, generator = fields(seed)
    sizes = np.bincount(mapped)
    true, share = np.bincount(truth) / len(truth), sizes / len(mapped)
    members = np.argsort(field, kind="stable").reshape(field.max() + 1, -1)
    mapped_as = [np.flatnonzero(mapped == k) for k in range(len(NAMES))]
    strata = {k: float(n) for k, n in enumerate(sizes.tolist())}
    covered: dict[str, list[list[bool]]] = {"pixels": [], "polygons": [], "polygons taken for pixels": []}
    for _ in range(samples):
        pick = np.concatenate([generator.choice(pixels, 100, replace=False) for pixels in mapped_as])
        inside = members[generator.choice(len(members), 150, replace=False)].ravel()
        part = mapped[inside], truth[inside]
        estimates = {
            "pixels": stratified(mapped[pick], mapped[pick], truth[pick], strata, NAMES),
            "polygons": clustered(*part, Clusters(field[inside]), np.ones(len(inside)), share.tolist(), NAMES),
            "polygons taken for pixels": stratified(part[0], *part, strata, NAMES),
        }
        for kind, adjusted in estimates.items():
            covered[kind].append([e.low <= t <= e.high for e, t in zip(adjusted.area, true, strict=True)])
    return {kind: float(np.mean(values)) for kind, values in covered.items()}


@dataclass(frozen=True)
class Countryside:
    """A simulated map of square fields: villages differ in crops and in the error rate of the map, roadsides from the rest."""

    truth: NDArray[np.int64]
    """(fields, pixels)"""
    mapped: NDArray[np.int64]
    """(fields, pixels)"""
    crop: NDArray[np.int64]
    """(fields,) class of each field."""
    village: NDArray[np.int64]
    """(fields,) number of the village of each field."""
    roadside: NDArray[np.bool_]
    """(fields,) whether the field is near the road: other crops, fewer errors of the map."""


def countryside(generator: np.random.Generator) -> Countryside:
    """Return 1600 fields of 36 pixels in 64 villages, of which 16 are near the road."""
    base, villages, pixels = np.array([0.5, 0.25, 0.15, 0.1]), 64, 36
    near = np.arange(villages) < 16
    shares = generator.dirichlet(8 * base, villages)
    shares[near] = (shares[near] + np.array([0.2, 0.45, 0.25, 0.1])) / 2
    village = np.repeat(np.arange(villages), 25)
    crop = (generator.random(len(village))[:, None] > shares.cumsum(1)[village, :3]).sum(1)
    wrong = np.where(near, 0.07, 0.2)[village] * generator.uniform(0.5, 1.5, villages)[village]
    classified = np.where(generator.random(len(crop)) < wrong, generator.integers(0, 4, len(crop)), crop)
    truth, mapped = (np.repeat(of_field[:, None], pixels, 1) for of_field in (crop, classified))
    mapped = np.where(generator.random(mapped.shape) < 0.05, generator.integers(0, 4, mapped.shape), mapped)
    return Countryside(truth, mapped, crop, village, near[village])


Drawn = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Fields of a sample, and the inclusion weight of every field of the landscape."""
PER_CLASS = 37
"""Polygons of a class in the samples with equal numbers; the other samples have about as many in total."""


def _at_random(land: Countryside, generator: np.random.Generator) -> Drawn:
    return generator.choice(len(land.crop), 4 * PER_CLASS, replace=False), np.ones(len(land.crop))


def _equal(land: Countryside, generator: np.random.Generator, among: NDArray[np.bool_] | None = None) -> Drawn:
    """The same number of fields of every class, or all that there are."""
    there = np.ones(len(land.crop), bool) if among is None else among
    members = [np.flatnonzero((land.crop == k) & there) for k in range(len(NAMES))]
    drawn = [generator.choice(of_class, min(PER_CLASS, len(of_class)), replace=False) for of_class in members]
    weight = [(land.crop == k).sum() / max(1, len(of_class)) for k, of_class in enumerate(drawn)]
    return np.concatenate(drawn), np.array(weight)[land.crop]


def _by_the_road(land: Countryside, generator: np.random.Generator) -> Drawn:
    return _equal(land, generator, land.roadside)


def _in_villages(land: Countryside, generator: np.random.Generator) -> Drawn:
    """Twelve fields in each of twelve villages."""
    villages = generator.choice(land.village.max() + 1, 12, replace=False)
    drawn = [generator.choice(np.flatnonzero(land.village == v), 12, replace=False) for v in villages]
    return np.concatenate(drawn), np.ones(len(land.crop))


DESIGNS: dict[str, Callable[[Countryside, np.random.Generator], Drawn]] = {
    "fields at random": _at_random,
    "same number a class": _equal,
    "same number a class, by the road": _by_the_road,
    "fields of twelve villages": _in_villages,
}


@dataclass(frozen=True)
class Held:
    """What a sampling design makes of the estimates of areas: means over landscapes, samples and classes."""

    unweighted: float
    """Share of the 95 % intervals that hold the true area, polygons treated as a random sample."""
    weighted: float
    """The same with the inclusion weights."""
    model: float
    """Share of the true areas within 1.96 model standard errors of the corrected area."""
    errors: tuple[float, float, float, float]
    """Mean absolute error of the share of a class: mapped, unweighted, weighted, corrected by the model."""


def areas_held(landscapes: int, samples: int, seed: int) -> dict[str, Held]:
    """Return what each of ``DESIGNS`` makes of the estimates of areas from polygons."""
    generator, found = np.random.default_rng(seed), {name: list[list[float]]() for name in DESIGNS}
    for _ in range(landscapes):
        land = countryside(generator)
        true, share = (np.bincount(a.ravel(), minlength=len(NAMES)) / a.size for a in (land.truth, land.mapped))
        for name, design in DESIGNS.items():
            found[name] += [_held(land, design(land, generator), true, share) for _ in range(samples)]
    means = {name: np.mean(rows, 0).tolist() for name, rows in found.items()}
    return {name: Held(a, b, c, (d, e, f, g)) for name, (a, b, c, d, e, f, g) in means.items()}


def _held(land: Countryside, drawn: Drawn, true: NDArray[np.float64], share: NDArray[np.float64]) -> list[float]:
    fields, weight = drawn
    pixels = land.truth.shape[1]
    mapped, truth, polygon = land.mapped[fields].ravel(), land.truth[fields].ravel(), np.repeat(fields, pixels)

    def held(found: Adjusted) -> tuple[float, float]:
        inside = [e.low <= t <= e.high for e, t in zip(found.area, true, strict=True)]
        return float(np.mean(inside)), float(np.abs([e.value for e in found.area] - true).mean())

    each = (np.ones(len(polygon)), weight[polygon])
    plain, weighted = (held(clustered(mapped, truth, Clusters(polygon), w, share.tolist(), NAMES)) for w in each)
    model = corrected(mapped, truth, polygon, share.tolist(), NAMES)
    away = np.abs(np.array(model.area) - true)
    within = float((away <= 1.96 * np.array(model.error)).mean())
    mistakes = [float(np.abs(share - true).mean()), plain[1], weighted[1], float(away.mean())]
    return [plain[0], weighted[0], within, *mistakes]


@dataclass(frozen=True)
class Calibrated:
    """Expected calibration error of test pixels with and without the temperature of a few held-out polygons."""

    raw: float
    """Mean over the repetitions, without a temperature."""
    calibrated: float
    """Mean over the repetitions, with the temperature."""
    harmed: float
    """Share of the repetitions in which the temperature adds more than 0.01."""
    worst: float
    """Largest increase by the temperature; negative if it always lowers the error."""


CLASSES = 6
"""Number of classes of the simulated classifiers."""


def _logits(
    generator: np.random.Generator, means: NDArray[np.float64], polygons: int, sureness: float
) -> tuple[Tensor, Tensor, NDArray[np.int64]]:
    """Return logits, labels and polygon of the pixels of `polygons` polygons of each class.

    The logits are those of the true distribution of the features, times `sureness`. Polygons differ from each other, and their
    pixels too.
    """
    label = np.repeat(np.arange(CLASSES), polygons)
    pixels = np.clip(generator.lognormal(3.2, 0.6, len(label)).astype(int), 3, 150)
    polygon = np.repeat(np.arange(len(label)), pixels)
    offset = generator.normal(size=(len(label), means.shape[1]))
    features = (means[label] + offset)[polygon] + generator.normal(size=(len(polygon), means.shape[1]))
    logits = -np.square(features[:, None] - means).sum(2) / 4
    return torch.from_numpy(sureness * logits), torch.from_numpy(label[polygon]), polygon


def calibrations(repetitions: int, polygons: int, sureness: float, seed: int) -> Calibrated:
    """Return how the temperature of `polygons` polygons of each class changes the calibration of simulated classifiers.

    A `sureness` of 1 is a calibrated classifier; above 1, it is overconfident. The accuracy is about 60, 80 or 95 %, in turn.
    """
    generator, found = np.random.default_rng(seed), list[tuple[float, float]]()
    for k in range(repetitions):
        means = generator.normal(size=(CLASSES, 8)) * (0.8, 1.2, 2.0)[k % 3]
        temperature = calibrate(*_logits(generator, means, polygons, sureness)).temperature
        logits, labels, _ = _logits(generator, means, 60, sureness)
        raw, after = (reliability_of(logits / t, labels).error for t in (1.0, temperature))
        found.append((raw, after))
    raw, after = np.array(found).T
    change = after - raw
    return Calibrated(float(raw.mean()), float(after.mean()), float((change > 0.01).mean()), float(change.max()))
