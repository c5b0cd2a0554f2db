"""``bocage reconcile``: a map that agrees with the area statistics of districts."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from bocage.disk import digest, sha256_of
from bocage.errors import FinishError
from bocage.evaluation import Clusters, ConfusionMatrix, Predictions
from bocage.evaluation.paired import clustered_mcnemar
from bocage.finish.districts import Unit, read_districts
from bocage.finish.reconcile import Fit, Reconciliation, Tally
from bocage.finish.zones import listed
from bocage.grid import HECTARE
from bocage.jobs.derived import check_free, clear, current, figures_of, write_summary
from bocage.layout import ReconciledLayout
from bocage.mapping import WRITERS, Delivered, codes_at, open_delivered, report_edited
from bocage.mapping.delivery import Delivery
from bocage.mapping.layers import LAYERS, Frame
from bocage.progress import QUIET, Progress
from bocage.ranges import Range, check_ranges
from bocage.run import MapOrigin, drawn_units, held, test_pixels_of, test_predictions_of, tested_at
from bocage.samples.reference import fingerprint_vector
from bocage.sources.raster import inspect
from bocage.textfile import write_csv
from bocage.words import quantity

FORMAT = 5
"""Changed when the results of the same map and districts change."""
RULE = "shares"
"""Rule of a reconciled map in its item."""
COVERED = 0.95
"""Share of a district on the map below which the command reports it."""
LEVEL = 0.05
"""Level of the test of the accuracy before and after."""
LAYERS_OF = ("classes", "confidence", "probabilities")
HEADER = (
    "district", "code", "class", "asked_share", "wanted_share", "weight", "probability_before", "probability_after",
    "mapped_before", "mapped_after", "hectares_before", "hectares", "reached",
)  # fmt: skip
NO_ESTIMATE = (
    "The areas of the reconciled map follow the statistics by construction: they are no estimate. If the statistics are wrong, "
    "the map is worse than before."
)


@dataclass(frozen=True)
class Reconciling:
    """How a map is reconciled."""

    name: str = ""
    """Field of the districts with their name; empty: they are numbered."""
    unit: Unit = "share"
    """Unit of the statistics: shares of the district (0 to 1), percent of it, or hectares."""
    trust: Annotated[float, Range(0, 1, above=True)] = 0.75
    """Weight of the statistics; the mean probability of the map has the rest."""

    def __post_init__(self) -> None:
        check_ranges(self)


def reconcile(
    folder: Path, districts: Path, out: Path, how: Reconciling = Reconciling(), progress: Progress = QUIET
) -> dict[str, Any]:
    """Reconcile a map with the statistics of districts, into ``map/`` of the folder `out`; return ``reconciled.json``.

    The result is kept while map, districts, test pixels and settings are the same.

    Parameters
    ----------
    folder
        Folder of a run, of a map or of a fusion, with the layer of probabilities.
    districts
        Vector file of polygons, with a numeric field for each class with a statistic.

    Raises
    ------
    MappingError
        The folder holds no complete map.
    FinishError
        The map has no probabilities, or the districts or their statistics are not usable.
    RunFolderError
        `out` holds a run or another map.
    """
    layout, land = ReconciledLayout(out), open_delivered(folder)
    check_free(layout, [land], (RULE,), "a reconciled one")
    _check_probabilities(land)
    key = _key(folder, land, districts, how)
    if found := current(layout, key):
        progress.say("reconcile: up to date")
        return found
    read = read_districts(districts, how.name, how.unit, (land.grid, land.legend), progress)
    work = _Work(Reconciliation(land, read, how.trust), folder, how, layout, progress)
    fit = work.fitted()
    report_edited([land], progress)
    with held(out):
        check_free(layout, [land], (RULE,), "a reconciled one")  # a run may have ended since
        clear(layout)
        after = work.write(fit)
        write_csv(layout.districts, [HEADER, *work.rows(fit, after)])
        about = {"key": key, **work.about(), "accuracy": work.accuracy(), "unreached": work.unreached(fit, after)}
        progress.say(NO_ESTIMATE)
        write_summary(layout, about)
    return about


def _check_probabilities(land: Delivered) -> None:
    path, count = land.path("probabilities"), len(land.legend.codes)
    if not path.exists():
        raise FinishError(
            f'{land.folder} has no layer of probabilities. Set [map] layers = ["classes", "confidence", "probabilities"] in its '
            "recipe and run 'bocage map' again; 'bocage fuse --rule probability' writes this layer, too."
        )
    if (bands := inspect(path).count) != count:
        raise FinishError(f"{path} has {bands} bands, and the legend {count} classes. Map again.")


def _key(folder: Path, land: Delivered, districts: Path, how: Reconciling) -> str:
    """Return a digest of the content of the map, of its test pixels and of the districts, and of the settings."""
    files = [*(land.path(name) for name in LAYERS_OF), tested_at(folder)]
    sums = [sha256_of(path) if path and path.exists() else "" for path in files]
    return digest(FORMAT, how, fingerprint_vector(districts), *sums)


@dataclass(frozen=True)
class _Work:
    """A reconciliation to write."""

    task: Reconciliation
    folder: Path
    how: Reconciling
    layout: ReconciledLayout
    progress: Progress

    def about(self) -> dict[str, Any]:
        """Return what the item and the summary say about the map."""
        meaning = "probability of the class, corrected by the statistics of the district"
        return {
            "maps": [str(self.folder)], "districts": str(self.task.districts.path), "rule": RULE, **asdict(self.how),
            "confidence": meaning, "areas": NO_ESTIMATE,
        }  # fmt: skip

    def fitted(self) -> Fit:
        """Compute the weights; report the districts that keep their classes."""
        fit, names = self.task.fit(self.progress), self.task.districts.names
        outside = [name for name, area in zip(names, fit.before.area, strict=True) if not area]
        if outside:
            verb = "is" if len(outside) == 1 else "are"
            self.progress.say(
                f"{len(outside)} of {quantity(len(names), 'district')} {verb} outside the map, or where it has no data, and left "
                f"out: {listed(outside)}."
            )
        covered = self.task.districts.covered(fit.before.area, self.task.land.grid)
        if partly := [name for name, share in zip(names, covered, strict=True) if 0 < share < COVERED]:
            how = " Hectares are taken as shares of the area of the whole district." if self.how.unit == "ha" else ""
            said = quantity(len(partly), "district", "is", "are")
            self.progress.say(
                f"{said} covered by the map in part; the statistics are applied to this part: {listed(partly)}.{how}"
            )
        silent = [name for name, row in zip(names, self.task.districts.statistic, strict=True) if np.isnan(row).all()]
        if silent:
            said = quantity(
                len(silent), "district", "has no statistic and keeps its", "have no statistic and keep their"
            )
            self.progress.say(f"{said} classes: {listed(silent)}.")
        if not fit.changed.any():
            raise FinishError(
                f"{self.task.districts.path}: no district on the map has a statistic. Fill in the fields of the classes."
            )
        return fit

    def write(self, fit: Fit) -> Tally:
        """Write the map and what goes with it; return the sums of its districts."""
        land, layout = self.task.land, self.layout.map
        frame = Frame(land.legend, (), "uint16" if inspect(land.path("probabilities")).dtype == "uint16" else "uint8")
        bands = {name: LAYERS[name].bands(frame) for name in LAYERS_OF}
        areas, after = self.task.write(fit, layout, bands, self.progress)
        files = {layer: layout.layer(layer, WRITERS.get("cog").SUFFIX) for layer in bands}
        newest = land.layout.checksums.stat().st_mtime
        Delivery(layout, land.grid, land.legend, bands, files, self.about(), None, newest).write(areas)
        return after

    def rows(self, fit: Fit, after: Tally) -> Iterator[list[Any]]:
        """Yield a row for each district on the map and class."""
        legend, unreached, before = self.task.land.legend, fit.unreached(after), fit.before
        for d in np.flatnonzero(before.area > 0).tolist():
            for k, (code, name) in enumerate(zip(legend.codes, legend.names, strict=True)):
                asked = fit.asked[d, k]
                numbers = (
                    fit.wanted[d, k], fit.weights[d, k], before.mean[d, k], after.mean[d, k], before.shares[d, k],
                    after.shares[d, k],
                )  # fmt: skip
                areas = (f"{one.mapped[d, k] / HECTARE:.4f}" for one in (before, after))
                reached = "" if np.isnan(asked) else "no" if unreached[d, k] else "yes"
                given = "" if np.isnan(asked) else f"{asked:.5f}"
                yield [self.task.districts.names[d], code, name, given, *(f"{n:.5f}" for n in numbers), *areas, reached]

    def unreached(self, fit: Fit, after: Tally) -> list[str]:
        """Return the shares that were not reached, and report them."""
        names, legend, mean = self.task.districts.names, self.task.land.legend, after.mean
        found = [
            f"{names[d]}, {legend.names[k]}: wanted {fit.wanted[d, k]:.3f}, reached {mean[d, k]:.3f}"
            for d, k in np.argwhere(fit.unreached(after)).tolist()
        ]
        if found:
            self.progress.say(
                f"{len(found)} shares are not reached, because the map has too little probability of the class in the district: "
                f"{'; '.join(found[:5])}{'; …' if len(found) > 5 else ''}. See {self.layout.districts.name}."
            )
        return found

    def accuracy(self) -> dict[str, Any] | None:
        """Return the accuracy at the test pixels of the map, before and after; write the pixels."""
        path, land, place = test_pixels_of(self.folder), self.task.land, self.task.place
        if isinstance(path, str):
            self.progress.say(f"The accuracy is not measured: {path}.")
            return None
        tested = test_predictions_of(self.folder, path)
        layers = [self.layout.map.layer(name, WRITERS.get("cog").SUFFIX) for name in ("classes", "confidence")]
        row, column = tested.row.astype(np.int64), tested.column.astype(np.int64)
        codes, percent, old = (codes_at(one, land.grid, row, column) for one in (*layers, land.path("classes")))
        seen = codes > 0
        new, before = _replaced(tested.take(seen), place[codes[seen]], percent[seen]), place[old[seen]]
        if not len(new):
            self.progress.say("The accuracy is not measured: no test pixel has a class on the map.")
            return None
        new.to_parquet(self.layout.test)
        origin = MapOrigin.of(self.folder)
        units = Clusters(new.polygon) if isinstance(origin, str) else drawn_units(origin.run, new.polygon)
        test = clustered_mcnemar(new.right, before == new.label, units.number, unit=units.unit)
        names, untested = land.legend.names, tested.without(land.legend.names)
        was = ConfusionMatrix.of(new.label, before, names, untested).without_absent
        found = {
            "pixels": len(new), "polygons": len(np.unique(new.polygon)), "difference": test.difference, "p": test.p,
            "before": figures_of(was), "after": figures_of(new.matrix(names, untested)),
        }  # fmt: skip
        if test.difference < 0 and test.p < LEVEL:
            self.progress.say(
                f"The accuracy at the test polygons falls by {-test.difference:.3f} (p = {test.p:.3f}). Keep the map as it was, "
                "or check the statistics: their year, their nomenclature, the borders of the districts. A smaller --trust "
                "changes less."
            )
        return found


def _replaced(tested: Predictions, predicted: Any, percent: Any) -> Predictions:
    """Return test pixels with other classes, and their confidence in percent."""
    sure = (percent / 100).astype(np.float32)
    return Predictions(tested.row, tested.column, tested.polygon, tested.label, predicted.astype(np.int16), sure, sure)
