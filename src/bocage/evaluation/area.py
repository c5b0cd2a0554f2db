"""Estimates of accuracy and area for the whole map, with confidence intervals.

Areas from pixel counts are biased by the map's errors. A probability sample corrects this bias. The estimators are those of
Olofsson et al. 2014 (doi:10.1016/j.rse.2014.02.015) if the strata are the map's classes, and of Stehman 2014
(doi:10.1080/01431161.2014.930207) if they are not. If the sampled pixels come in polygons, polygons are clusters.
If the polygons come in blocks, blocks are.
Polygons chosen by people are no probability sample: their number in each class is a choice and says nothing about areas.
They permit a correction by a model (:func:`~bocage.evaluation.correction.corrected`), which has no confidence interval.
Confusion matrices have the reference in rows, as in the whole package; the papers have it in columns.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.errors import EvaluationError
from bocage.intervals import is_spread

Unit = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Clusters:
    """Sampling unit of each pixel: its polygon, or the block of its polygon where blocks were drawn."""

    number: NDArray[Any]
    """(N,)"""
    unit: Literal["polygon", "block"] = "polygon"


@dataclass(frozen=True)
class Estimate:
    """An estimate with its standard error and 95 % confidence interval."""

    value: float
    error: float
    """Standard error; NaN if the sampled units do not vary, so that it is not known. So are the ends of the interval."""
    low: float
    """Lower end of the 95 % interval."""
    high: float
    """Upper end of the 95 % interval."""

    @property
    def has_interval(self) -> bool:
        """Whether the interval is known."""
        return not math.isnan(self.low)

    def times(self, factor: float) -> "Estimate":
        """Return the estimate multiplied by `factor`, for a change of unit."""
        return Estimate(self.value * factor, self.error * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Adjusted:
    """Estimates for the whole map."""

    overall: Estimate
    users: tuple[Estimate, ...]
    """User's accuracy of each class (1 − commission error)."""
    producers: tuple[Estimate, ...]
    """Producer's accuracy of each class (1 − omission error)."""
    area: tuple[Estimate, ...]
    """Estimated share of each class in the mapped area, 0 to 1."""
    mapped: tuple[float, ...]
    """Share of each class in the map, 0 to 1."""
    names: tuple[str, ...]
    units: int
    """Number of independent units: pixels, polygons or blocks."""
    design: str
    """Sampling design and variance estimator, in words."""

    def as_dict(self) -> dict[str, Any]:
        """Return the estimates as stored in JSON files; None (null) for a missing value."""
        per_class = {
            name: {
                "users_accuracy": _plain(self.users[k]),
                "producers_accuracy": _plain(self.producers[k]),
                "area_share": _plain(self.area[k]),
                "mapped_share": self.mapped[k],
            }
            for k, name in enumerate(self.names)
        }
        return {
            "design": self.design,
            "units": self.units,
            "overall_accuracy": _plain(self.overall),
            "per_class": per_class,
        }

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Adjusted":
        """Read the result of :meth:`as_dict`."""
        classes = said["per_class"].values()
        users, producers, area = (
            tuple(_estimate(entry[key]) for entry in classes)
            for key in ("users_accuracy", "producers_accuracy", "area_share")
        )
        mapped, overall = tuple(entry["mapped_share"] for entry in classes), _estimate(said["overall_accuracy"])
        return cls(overall, users, producers, area, mapped, tuple(said["per_class"]), said["units"], said["design"])


def _estimate(record: Mapping[str, float | None]) -> Estimate:
    return Estimate(**{key: math.nan if value is None else value for key, value in record.items()})


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {key: None if math.isnan(value) else float(value) for key, value in asdict(estimate).items()}


@dataclass(frozen=True)
class Strata:
    """The population of a stratified sample, of which the map can be a part."""

    sizes: Mapping[Any, float]
    """Stratum → number of pixels in the population."""
    outside: Mapping[Any, float] = field(default_factory=dict)
    """Stratum → number of sampled pixels outside the map."""
    pixel: NDArray[np.float64] | None = None
    """(N,) area on the ground of each sampled pixel on the map, in any unit; None: all pixels have the same."""
    areas: Mapping[Any, float] | None = None
    """Stratum → its area on the ground in this unit, if the areas of the pixels differ and it is known."""

    def drawn(self, stratum: NDArray[Any]) -> dict[Any, float]:
        """Return stratum → number of its sampled pixels: those on the map, whose strata are given (N,), and those outside."""
        strata, count = np.unique(stratum, return_counts=True)
        inside = dict(zip(strata.tolist(), count.tolist(), strict=True))
        return {h: inside.get(h, 0) + self.outside.get(h, 0) for h in {**inside, **self.outside}}


def stratified(
    stratum: NDArray[Any],
    mapped: NDArray[Any],
    reference: NDArray[Any],
    sizes: Mapping[Any, float] | Strata,
    names: Sequence[str],
    mapped_share: Sequence[float] | None = None,
) -> Adjusted:
    """Estimate from a stratified random sample of pixels (Stehman 2014; Olofsson et al. 2014 if strata are map classes).

    If a part of the sampled pixels is outside the map, as for a sample of an earlier map with another extent, the map is a domain
    of the population: accuracies and area shares are ratios of two estimated totals, in which the pixels outside are zero. The
    size of the map is an estimate too (Stehman 2014; Cochran 1977, section 2.11 and chapter 5A).

    In a geographic CRS, pixels have different areas on the ground (:class:`Strata`): accuracies and shares are those of the area.

    A stratum whose pixels are all in the sample has no sampling variance (Cochran 1977, theorem 5.3: the factor 1 − n / N).
    In the other strata this finite population correction is left out: its effect on the intervals is negligible.
    Without a variance in the other strata, such as where all sampled pixels are right, the interval is not known (NaN). So is
    that of the producer's accuracy of a class that was seen in completely sampled strata only: the other strata can have it too.

    Parameters
    ----------
    stratum : (N,)
        Stratum of each sampled pixel on the map: its code, or its name.
    mapped, reference : (N,)
        Indices in `names` of the map class and the reference class of each sampled pixel on the map.
    sizes
        Stratum → number of pixels in the whole map; with pixels outside the map, :class:`Strata`.
    mapped_share : (K,)
        Share of each class in the map, if known; otherwise estimated from the sample.

    Raises
    ------
    EvaluationError
        A stratum has fewer than two sampled pixels and is not sampled completely, or more sampled pixels than pixels.
    """
    population = sizes if isinstance(sizes, Strata) else Strata(sizes)
    _check_strata(population.drawn(stratum), population.sizes)
    sample = _Sampled.of(stratum, mapped, population)
    design, weight = "stratified random sample of pixels (Stehman 2014)", sample.weight
    if any(population.outside.values()):
        design = f"{design}; the map is a domain of the sampled area (ratio estimators)"
    if not sample.whole:
        weight = weight / weight.sum()
    return _Weighted(mapped, reference, weight, names, len(stratum), design).adjusted(sample.ratio, mapped_share)


@dataclass(frozen=True)
class _Sampled:
    """A stratified sample of N pixels on the map, in H strata."""

    which: NDArray[np.int64]
    """(N,) number of the stratum of each pixel."""
    drawn: NDArray[Any]
    """(H,) sampled pixels of each stratum, also those outside the map."""
    outside: NDArray[Any]
    """(H,) sampled pixels of each stratum that are outside the map."""
    share: NDArray[np.float64]
    """(H,) share of each stratum in the sampled area; times a constant if not `whole`."""
    part: NDArray[np.float64]
    """(N,) area of each pixel over the mean area of the sampled pixels of its stratum on the map."""
    complete: NDArray[np.bool_]
    """(H,) whether all pixels of each stratum are in the sample: none is left to chance."""
    uniform: NDArray[np.bool_]
    """(H,) whether the sampled pixels of each stratum have one class on the map."""
    whole: bool
    """Whether the area of the map is known: no sampled pixel is outside, and pixels of different areas have strata of known
    areas. A stratum outside of the map is none of the H."""

    @classmethod
    def of(cls, stratum: NDArray[Any], mapped: NDArray[Any], population: Strata) -> "_Sampled":
        """Return the sampled pixels of a population, with their strata (N,) and their map classes (N,)."""
        strata, which, inside = np.unique(stratum, return_inverse=True, return_counts=True)
        drawn, outside, size = (
            np.array([count.get(h, 0) for h in strata.tolist()])
            for count in (population.drawn(stratum), population.outside, population.sizes)
        )
        whole, known, areas = not any(population.outside.values()), population.pixel, population.areas
        share, part = size / float(sum(population.sizes.values())), np.ones(len(stratum))
        if known is not None:
            mean = np.bincount(which, known) / inside
            part, share, whole = known / mean[which], size * mean, whole and areas is not None
        if known is not None and areas is not None and whole:
            share = np.array([areas[h] for h in strata.tolist()]) / float(sum(areas.values()))
        classes = np.bincount(np.unique(np.stack([which, mapped], 1), axis=0)[:, 0], minlength=len(strata))
        return cls(which, drawn, outside, share, part, drawn >= size, (classes == 1) & (outside == 0), whole)

    @property
    def weight(self) -> NDArray[np.float64]:
        """(N,) share of the sampled area for which each pixel stands."""
        return np.asarray((self.share / self.drawn)[self.which] * self.part)

    def ratio(self, above: NDArray[Any], below: NDArray[Any] | None, of_map: bool = False) -> Estimate:
        """Estimate the total of `above` (N,) over that of `below` (N,), or over the size of the map, with its interval.

        `of_map`: `below` depends on the class of the map alone, which is known at all pixels if each stratum is a class of the
        map. The reference class of pixels that are not in the sample is not known.
        """
        y, x = above.astype(float), np.ones(len(above)) if below is None else below.astype(float)
        known = below is None and self.whole  # the size of the map
        denominator = 1.0 if known else float(self.weight @ x)
        if not denominator:
            return _nothing()
        value = float(self.weight @ y) / denominator
        residual = y - (0 if known else value) * x
        mean = np.bincount(self.which, self.part * residual) / self.drawn
        # Of strata of known areas, the shares within a stratum are ratios (Cochran 1977, section 6.10).
        centre = (self.part if self.whole else 1.0) * mean[self.which]
        squares = np.bincount(self.which, (self.part * residual - centre) ** 2) + self.outside * mean**2
        variance = np.where(self.complete, 0.0, squares / (np.maximum(self.drawn - 1, 1) * self.drawn))
        error = math.sqrt(float(self.share**2 @ variance)) / denominator
        without_chance = (self.complete[self.which] | ((x == 0) & of_map & self.uniform[self.which])).all()
        return Estimate(value, 0.0, value, value) if without_chance else _interval(value, error, 1.96)


def _check_strata(drawn: Mapping[Any, float], sizes: Mapping[Any, float]) -> None:
    """Check that the sampled pixels of each stratum give a standard error; errors as in :func:`stratified`."""
    if few := [str(h) for h, size in sizes.items() if drawn.get(h, 0) < min(2, size)]:
        raise EvaluationError(
            f"Each stratum of more than one pixel needs two labelled pixels for a standard error; too few: {', '.join(few)}. "
            "Label more pixels of the sample, or merge strata."
        )
    if many := [str(h) for h, n in drawn.items() if n > sizes[h]]:
        raise EvaluationError(
            f"More pixels are sampled than the stratum has: {', '.join(many)}. Give the sizes of the strata in pixels."
        )


def clustered(
    mapped: NDArray[Any],
    reference: NDArray[Any],
    clusters: Clusters,
    weight: NDArray[Any],
    map_share: Sequence[float],
    names: Sequence[str],
) -> Adjusted:
    """Estimate from all pixels of a probability sample of polygons, post-stratified by mapped class.

    The estimator is that of Olofsson et al.: within each mapped class, the shares of the reference classes, weighted by the
    inclusion weights of the polygons and the class's share of the map. The variance is computed from the influence of each
    polygon on the estimate (linearisation; Särndal, Swensson & Wretman 1992, ch. 5 and 8), because the pixels of a polygon are
    strongly correlated: polygons are the sampling units. If the test part was drawn by blocks, the blocks are, with all their
    polygons. Intervals use Student's t; the degrees of freedom are the number of units minus one. Units of a sample stratified by
    class are treated as one sample, which makes the intervals slightly too wide.

    Parameters
    ----------
    mapped, reference : (N,)
        Indices in `names` of the map class and the reference class of each pixel.
    clusters
        Sampling units of the pixels.
    weight : (N,)
        Inclusion weight of the polygon of each pixel: 1 / probability that the polygon is in the sample, times a constant.
    map_share : (K,)
        Share of each class in the map.

    Raises
    ------
    EvaluationError
        There are fewer than two sampling units, or no test pixel is mapped as classes of more than ``UNSEEN`` of the map.
    """
    share, given = np.asarray(map_share, float), np.asarray(weight, float)
    held = np.bincount(mapped, given, len(share))
    seen = held > 0
    _check_seen(share / share.sum(), seen, names)
    share = np.where(seen, share, 0.0) / share[seen].sum()
    weight = given * share[mapped] / held[mapped]
    _, which = np.unique(clusters.number, return_inverse=True)
    k, unit = int(which.max()) + 1 if len(which) else 0, clusters.unit
    if k < 2:
        raise EvaluationError(f"Confidence intervals between {unit}s need two {unit}s or more; found {k}.")
    from scipy import stats

    quantile = float(stats.t.ppf(0.975, k - 1))

    def ratio(above: NDArray[Any], below: NDArray[Any] | None, of_map: bool = False) -> Estimate:
        y = above.astype(float)
        x = np.ones(len(y)) if below is None else below.astype(float)
        total = float(weight @ x)
        if not total:
            return _nothing()
        value = float(weight @ y) / total
        residual = y - value * x
        # Residuals are centred within each mapped class, because the shares of the classes in the map are known.
        mean = np.bincount(mapped, given * residual, len(share)) / np.where(seen, held, 1)
        influence = np.bincount(which, weight * (residual - mean[mapped]), k) / total
        error = math.sqrt(k / (k - 1) * float(np.square(influence).sum()))
        return _interval(value, error, quantile)

    design = f"all pixels of the test polygons, by inclusion weight and mapped class; variance between {unit}s"
    return _Weighted(mapped, reference, weight, names, k, design).adjusted(ratio, list(map_share))


UNSEEN = 0.005
"""Share of the map in classes that no test pixel is mapped as, up to which the estimates are those of the other part."""


def _check_seen(share: NDArray[np.float64], seen: NDArray[np.bool_], names: Sequence[str]) -> None:
    """Check that test pixels are mapped as the classes with nearly all of the map, of which they have `share` (K,).

    Raises
    ------
    EvaluationError
        They are not: what the reference is where the map has the other classes is not known.
    """
    if (unseen := float(share[~seen].sum())) > UNSEEN:
        absent = ", ".join(name for name, has, own in zip(names, seen, share, strict=True) if own and not has)
        raise EvaluationError(
            f"no test pixel is mapped as: {absent}, which the map has in {100 * unseen:.1f} % of its area. What is there is not "
            "known. Add test polygons, or draw a validation sample of the map (bocage sample-design)."
        )


@dataclass(frozen=True)
class _Weighted:
    """Pixels with their weights, and how their estimates are described."""

    mapped: NDArray[Any]
    reference: NDArray[Any]
    weight: NDArray[np.float64]
    names: Sequence[str]
    units: int
    design: str

    def adjusted(self, ratio: Any, mapped_share: Sequence[float] | None) -> Adjusted:
        """Return every estimate, by a function that estimates a ratio of two totals."""
        mapped, reference, classes = self.mapped, self.reference, range(len(self.names))
        right = mapped == reference
        known = mapped_share or [float(self.weight[mapped == k].sum()) for k in classes]
        return Adjusted(
            ratio(right, None),
            tuple(ratio(right & (mapped == k), mapped == k, True) for k in classes),
            tuple(ratio(right & (reference == k), reference == k) for k in classes),
            tuple(ratio(reference == k, None) for k in classes),
            tuple(float(v) for v in known),
            tuple(self.names),
            self.units,
            self.design,
        )


def _interval(value: float, error: float, quantile: float) -> Estimate:
    """Return an estimate between 0 and 1 with its interval; NaN without a variance between the sampled units."""
    if not is_spread(error):
        return Estimate(value, math.nan, math.nan, math.nan)
    return Estimate(value, error, max(0.0, value - quantile * error), min(1.0, value + quantile * error))


def _nothing() -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, math.nan)
