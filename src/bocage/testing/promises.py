"""Simulations that hold statistics to their promise: how often a test errs, how often an interval covers the truth."""

import numpy as np
from numpy.typing import NDArray

from bocage.evaluation.area import clustered, stratified
from bocage.evaluation.paired import resampled_t

DRAWS = 10
NAMES = "abcd"


def equal_models(generator: np.random.Generator, units: int, train: float) -> NDArray[np.float64]:
    """Accuracies (2, draws) of two learners of one skill on the same draws: nearest class mean, each on features of its own."""
    label = np.arange(units) % 3
    views = [1.5 * np.eye(3)[label] + generator.normal(size=(units, 3)) for _ in range(2)]
    accuracy = np.zeros((2, DRAWS))
    for draw in range(DRAWS):
        order = generator.permutation(units)
        learn, test = order[: int(train * units)], order[int(train * units) :]
        for k, view in enumerate(views):
            mean = np.stack([view[learn][label[learn] == c].mean(0) for c in range(3)])
            found = ((view[test][:, None] - mean) ** 2).sum(2).argmin(1)
            accuracy[k, draw] = (found == label[test]).mean()
    return accuracy


def rejections(pairs: int, units: int, train: float, seed: int) -> tuple[float, float]:
    """How often the corrected and the naive t-test tell equal models apart at 5 %."""
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
    """Truth, map, number of the field of every pixel, and the generator: whole square fields are wrong, and single pixels."""
    generator = np.random.default_rng(seed)
    n, whole, classes = side // field, np.ones((field, field), np.int64), len(NAMES)
    crop = generator.choice(classes, (n, n), p=(0.5, 0.25, 0.15, 0.1))
    seen = np.where(generator.random((n, n)) < 0.15, generator.integers(0, classes, (n, n)), crop)
    truth, found = np.kron(crop, whole).ravel(), np.kron(seen, whole).ravel()
    found = np.where(generator.random(found.shape) < 0.05, generator.integers(0, classes, found.shape), found)
    return truth, found, np.kron(np.arange(n * n).reshape(n, n), whole).ravel(), generator


def coverage(samples: int, seed: int) -> dict[str, float]:
    """How often 95 % intervals hold a class's true area: of pixels, of polygons, and of polygons taken for pixels."""
    truth, found, field, generator = fields(seed)
    sizes = np.bincount(found)
    true, share = np.bincount(truth) / len(truth), sizes / len(found)
    members = np.argsort(field, kind="stable").reshape(field.max() + 1, -1)
    mapped_as = [np.flatnonzero(found == k) for k in range(len(NAMES))]
    strata = {k: float(n) for k, n in enumerate(sizes.tolist())}
    covered: dict[str, list[list[bool]]] = {"pixels": [], "polygons": [], "polygons taken for pixels": []}
    for _ in range(samples):
        pick = np.concatenate([generator.choice(pixels, 100, replace=False) for pixels in mapped_as])
        inside = members[generator.choice(len(members), 150, replace=False)].ravel()
        part = found[inside], truth[inside]
        told = {
            "pixels": stratified(found[pick], found[pick], truth[pick], strata, NAMES),
            "polygons": clustered(*part, field[inside], share.tolist(), NAMES),
            "polygons taken for pixels": stratified(part[0], *part, strata, NAMES),
        }
        for kind, adjusted in told.items():
            covered[kind].append([e.low <= t <= e.high for e, t in zip(adjusted.area, true, strict=True)])
    return {kind: float(np.mean(values)) for kind, values in covered.items()}
