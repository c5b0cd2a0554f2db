"""Simulations of the statistics: type I error rate of the paired tests, coverage of the confidence intervals."""

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation.area import clustered, stratified
from bocage.evaluation.paired import resampled_t

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
            "polygons": clustered(*part, field[inside], share.tolist(), NAMES),
            "polygons taken for pixels": stratified(part[0], *part, strata, NAMES),
        }
        for kind, adjusted in estimates.items():
            covered[kind].append([e.low <= t <= e.high for e, t in zip(adjusted.area, true, strict=True)])
    return {kind: float(np.mean(values)) for kind, values in covered.items()}
