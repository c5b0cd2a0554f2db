"""Coverage of the intervals of ``bocage zones``, ``change`` and ``trends``, and exactness of zonal sums, on simulated data.

    python -m benchmarks intervals

Each case is a landscape of fields of 20 pixels with known classes, a map of it with known rates of confusion, and reference pixels.
Reference pixels are a random sample of pixels, all pixels of random fields, or all pixels of as many fields of each class ("test
polygons"). A part of the errors concerns whole fields. It takes some minutes.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from benchmarks.frame import Results, command_line, table
from bocage.errors import FinishError
from bocage.evaluation import corrected
from bocage.finish.estimates import Calibration, Checked, adjusted
from bocage.finish.likeness import Likeness, alike
from bocage.finish.trends import Years, trends
from bocage.finish.zones import Zones, zone_statistics
from bocage.grid import Grid
from bocage.layout import MapLayout
from bocage.legend import LandClass, Legend
from bocage.mapping import WRITERS, AreaCount, Areas, MapBand, open_delivered
from bocage.mapping.delivery import Delivery
from bocage.progress import QUIET

CASES, ZONES, FIELDS, PIXELS = 200, 200, 2000, 20
"""Number of cases, of random polygons, of fields of a landscape, and of pixels of a field."""
NAMES = ("maize", "meadow", "water")
SHARES = np.array([0.5, 0.3, 0.2])
CONFUSION = np.array([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1], [0.05, 0.15, 0.8]])
PARCELS = 2000
"""Number of parcels without a trend."""
CHANGED = 0.05
"""Share of the fields whose class changes."""
ACROSS = 40
"""Number of fields of 4 × 5 pixels side by side in a landscape."""
PLACES = np.stack(
    [
        (np.arange(FIELDS)[:, None] // ACROSS * 4 + np.arange(PIXELS) // 5).ravel(),
        (np.arange(FIELDS)[:, None] % ACROSS * 5 + np.arange(PIXELS) % 5).ravel(),
    ],
    1,
)
"""Row and column of each pixel."""
PARTS = (1.0, 0.2, 0.05)
"""Shares of the map that a zone has."""
SAMPLES = ("pixels", "fields", "test polygons")
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Landscape:
    """Classes of fields, and of each pixel in the map (fields, pixels)."""

    truth: Ints
    """(fields,)"""
    mapped: Ints

    @property
    def pixels(self) -> Ints:
        """True class of each pixel (fields, pixels)."""
        return np.repeat(self.truth[:, None], PIXELS, 1)


def classified(truth: Ints, rng: np.random.Generator, whole: float) -> Ints:
    """Return a map (fields, pixels) with the rates of CONFUSION; a share `whole` of the fields has one class for all pixels."""
    steps = CONFUSION.cumsum(1)[truth]
    alone = (rng.random((len(truth), PIXELS))[..., None] > steps[:, None, :2]).sum(2)
    together = (rng.random(len(truth))[:, None] > steps[:, :2]).sum(1)
    return np.where((rng.random(len(truth)) < whole)[:, None], together[:, None], alone)


def drawn(land: Landscape, sample: str, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return the positions of the reference pixels, and their units: 1500 pixels, or the pixels of 90 fields."""
    if sample == "pixels":
        return rng.choice(land.mapped.size, 1500, replace=False), np.arange(1500)
    if sample == "fields":
        chosen = rng.choice(FIELDS, 90, replace=False)
    else:
        chosen = np.concatenate([rng.choice(np.flatnonzero(land.truth == k), 30, replace=False) for k in range(3)])
    return (chosen[:, None] * PIXELS + np.arange(PIXELS)).ravel(), np.repeat(chosen, PIXELS)


def calibration(land: Landscape, sample: str, rng: np.random.Generator, likeness: bool = True) -> Calibration:
    """Return what `bocage zones` makes of the reference pixels of a map, with or without the variation between zones."""
    place, unit = drawn(land, sample, rng)
    arrays = land.mapped.ravel()[place], land.pixels.ravel()[place], unit
    found, fitted = Checked.of(*arrays, NAMES, sample), sample == "test polygons"
    share = found.shares
    if fitted:
        shares = np.bincount(land.mapped.ravel(), minlength=3) / land.mapped.size
        found = found.at_shares(corrected(*arrays, shares.tolist(), NAMES).area)
    if not likeness:
        return Calibration(found, fitted)
    pixels = alike(arrays[0], arrays[1], share, unit, PLACES[place])
    return Calibration(found, fitted, Likeness(pixels, land.mapped.size, 1.0))


def checked(land: Landscape, sample: str, rng: np.random.Generator) -> Checked:
    """Return the reference pixels of a map."""
    return calibration(land, sample, rng, likeness=False).checked


def zones_covered(sample: str, part: float) -> dict[str, float]:
    """Return how often the interval of the area of a class in a zone has the true area, and its mapped area."""
    rng, inside, naive = np.random.default_rng(5), [], []
    for _ in range(CASES):
        truth = rng.choice(3, FIELDS, p=SHARES)
        land = Landscape(truth, classified(truth, rng, 0.0 if sample == "pixels" else 0.5))
        zone = slice(0, int(part * FIELDS))
        mapped = np.bincount(land.mapped[zone].ravel(), minlength=3).astype(float)
        true = np.bincount(land.pixels[zone].ravel(), minlength=3)
        estimates = calibration(land, sample, rng).estimate(mapped)
        inside += [one.low <= value <= one.high for one, value in zip(estimates, true, strict=True)]
        naive += [one.low <= value <= one.high for one, value in zip(estimates, mapped, strict=True)]
    return {"true": float(np.mean(inside)), "mapped": float(np.mean(naive))}


def change_covered(sample: str, repeated: float) -> dict[str, float]:
    """Return how often the interval of the changed share has the true share, and the share as mapped; how often none is given.

    Parameters
    ----------
    repeated
        Share of the unchanged fields that the second map classifies as the first does: errors that are not independent.
    """
    rng, inside, naive, values = np.random.default_rng(7), [], [], []
    for _ in range(CASES):
        before = rng.choice(3, FIELDS, p=SHARES)
        after = np.where(rng.random(FIELDS) < CHANGED, (before + rng.integers(1, 3, FIELDS)) % 3, before)
        whole = 0.0 if sample == "pixels" else 0.5
        first, second = (Landscape(truth, classified(truth, rng, whole)) for truth in (before, after))
        same = (before == after) & (rng.random(FIELDS) < repeated)
        second = Landscape(after, np.where(same[:, None], first.mapped, second.mapped))
        pairs = np.bincount((3 * first.mapped + second.mapped).ravel(), minlength=9).reshape(3, 3).astype(float)
        pixels = checked(first, sample, rng), checked(second, sample, rng)
        try:
            found = adjusted(pairs, *pixels)
        except FinishError:  # the errors are not independent
            continue
        true, mapped = float((before != after).mean()), 1 - float(np.trace(pairs) / pairs.sum())
        inside.append(found.changed.low <= true <= found.changed.high)
        naive.append(found.changed.low <= mapped <= found.changed.high)
        values.append((true, mapped, found.changed.value, found.by_error))
    if not values:
        return {"true": float("nan"), "mapped": float("nan"), "refused": 1.0}
    means = dict(
        zip(("true_share", "mapped_share", "estimated_share", "by_error_alone"), np.mean(values, 0), strict=True)
    )
    covered = {"true": float(np.mean(inside)), "mapped": float(np.mean(naive)), "refused": 1 - len(values) / CASES}
    return {**covered, **{k: float(v) for k, v in means.items()}}


def zones_exact(folder: Path) -> float:
    """Return the largest difference, in pixels, of the areas in random polygons from those of intersections with each pixel."""
    rng, shape, legend = (
        np.random.default_rng(0),
        (120, 140),
        Legend(tuple(LandClass(k + 1, n) for k, n in enumerate(NAMES))),
    )
    codes = rng.integers(0, 4, shape)
    grid = Grid.of("EPSG:32740", Affine(10, 0, 300_000, 0, -10, 7_650_000), shape)
    write_map(folder, codes, grid, legend)
    row, column = np.mgrid[: shape[0], : shape[1]]
    pixels = shapely.box(
        300_000 + 10 * column, 7_650_000 - 10 * (row + 1), 300_000 + 10 * (column + 1), 7_650_000 - 10 * row
    )
    shapes = np.array([star(grid, rng) for _ in range(ZONES)], object)
    found = zone_statistics(open_delivered(folder), Zones(tuple(map(str, range(ZONES))), shapes), None, QUIET)
    worst = 0.0
    for own, area in zip(shapes, found.area, strict=True):
        part = shapely.area(shapely.intersection(pixels, own))
        worst = max(worst, *(abs(part[codes == k].sum() - a) / 100 for k, a in zip(legend.codes, area, strict=True)))
    return worst


def star(grid: Grid, rng: np.random.Generator) -> Any:
    """Return a random valid polygon near the grid, partly outside or with a hole for some."""
    west, south, east, north = grid.bounds
    while True:
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
        radius, center = rng.uniform(5, 300, len(angle)), (rng.uniform(west, east), rng.uniform(south, north))
        shape = shapely.Polygon(np.c_[center[0] + radius * np.cos(angle), center[1] + radius * np.sin(angle)])
        shape = shape.difference(shapely.Point(center).buffer(20)) if shape.is_valid and rng.random() < 0.3 else shape
        if shape.is_valid and not shape.is_empty:
            return shapely.MultiPolygon(list(shapely.get_parts(shape)))


def write_map(folder: Path, codes: NDArray[Any], grid: Grid, legend: Legend) -> Areas:
    """Write a complete map."""
    layout, bands = MapLayout(folder), {"classes": (MapBand("class", "uint8", 0, categorical=True),)}
    files = {"classes": layout.layer("classes", ".tif")}
    output = WRITERS.get("cog").open(files["classes"], grid, bands["classes"], legend)
    output.put(grid.window, codes[None].astype(np.uint8))
    output.close()
    count = AreaCount(grid, legend)
    count.count(grid.window, codes)
    Delivery(layout, grid, legend, bands, files, {}, None, 0.0).write(count.areas())
    return count.areas()


def trends_by_chance(years: int) -> dict[str, float]:
    """Return how often parcels without a trend have a small p-value, a slope of 0 in the interval, and low anomalies."""
    values = np.random.default_rng((4, years)).normal(0.6, 0.05, (PARCELS, years))
    number = np.zeros((PARCELS, years), np.int64)
    found = trends(Years(tuple(range(2000, 2000 + years)), number, number, {"mean": values}), "mean")
    return {
        "p": float((found.p < 0.05).mean()),
        "zero": float(((found.low <= 0) & (found.high >= 0)).mean()),
        "2": float((found.anomaly < -2).mean()),
        "3": float((found.anomaly < -3).mean()),
    }


def run() -> str:
    """Measure, and return the tables."""
    with tempfile.TemporaryDirectory() as folder:
        worst = zones_exact(Path(folder))
    zones = {f"{s}, zone of {part:.0%}": zones_covered(s, part) for s in SAMPLES for part in PARTS}
    cases = [(sample, repeated) for sample in SAMPLES for repeated in (0.0, 0.5)]
    change = {f"{s}, {r:.0%} of the fields mapped alike": change_covered(s, r) for s, r in cases}
    chance = {f"{years}": trends_by_chance(years) for years in (5, 8, 10, 15)}
    Results("intervals").save(
        {"cases": CASES, "largest_difference_pixels": worst, "zones": zones, "change": change, "trends": chance}
    )
    heads = ("reference", "intervals with the true value", "intervals with the mapped value")
    rows = [[(n, f"{f['true']:.1%}", f"{f['mapped']:.1%}") for n, f in one.items()] for one in (zones, change)]
    refused = [(*row, f"{one['refused']:.1%}") for row, one in zip(rows[1], change.values(), strict=True)]
    said = f"areas in {ZONES} random polygons: largest difference from brute force {worst:.1e} pixels"
    years = [(n, *(f"{value:.1%}" for value in one.values())) for n, one in chance.items()]
    by_chance = table(("years", "p below 0.05", "slope 0 in the interval", "anomaly below −2", "below −3"), years)
    return f"{said}\n\nzones\n{table(heads, rows[0])}\n\nchange\n{table((*heads, 'no estimate'), refused)}\n\ntrends by chance\n{by_chance}"


if __name__ == "__main__":
    command_line(__name__)
