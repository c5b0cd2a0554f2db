"""Samples, curves, accuracy and report in Python."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.api.display import paragraph, section, table
from bocage.disk import artefact
from bocage.evaluation import Adjusted, Score, load_score, spread_of
from bocage.evaluation.area import Estimate
from bocage.grid import WGS84, Grid
from bocage.layout import RunLayout
from bocage.mapping import Areas, Item
from bocage.report import figures
from bocage.report.sampled import Sampled
from bocage.samples import Samples
from bocage.view import Viewer
from bocage.words import words_of


@dataclass(frozen=True)
class Labels:
    """The labelled pixels of a run."""

    samples: Samples
    grids: Mapping[str, Grid]
    """Site → grid of its map; the key of a recipe of one site is "". Empty for tables of samples."""
    title: str
    language: str = "en"

    def to_geodataframe(self) -> gpd.GeoDataFrame:
        """Return a row for each labelled pixel: row, column, code, class, polygon, block, and its centre as a point.

        The class may be a coarser one, or a set of classes (code 0).
        The CRS is that of the map; longitude and latitude for several sites. Rows of tables have no geometry.
        """
        samples = self.samples
        codes, names = samples.codes_and_names
        columns = {
            "row": samples.row, "column": samples.column, "code": codes, "class": names,
            "polygon": samples.polygon, "block": samples.block,
        }  # fmt: skip
        if samples.site is not None:
            columns["site"] = np.array(samples.sites)[samples.site]
        return gpd.GeoDataFrame(columns, geometry=self._points())

    def per_class(self) -> pd.DataFrame:
        """Return code, class, number of usable polygons and number of labelled pixels."""
        samples = self.samples
        count = range(len(samples.legend.codes))
        return pd.DataFrame(
            {
                "code": samples.legend.codes,
                "class": samples.legend.names,
                "polygons": [samples.count_polygons(k) for k in count],
                "pixels": [int((samples.label == k).sum()) for k in count],
            }
        ).set_index("code")

    def rejected(self) -> pd.DataFrame:
        """Return the rejected polygons and pixels, with the reason."""
        rows = [(r.text(self.language), r.polygons, r.pixels) for r in self.samples.rejections]
        return pd.DataFrame(rows, columns=["reason", "polygons", "pixels"])

    def _points(self) -> gpd.GeoSeries:
        samples = self.samples
        if not self.grids:
            return gpd.GeoSeries([None] * len(samples.label))
        if samples.site is None:
            return _centres(self.grids[""], samples.row, samples.column)
        parts = []
        for name in samples.sites:
            here = np.flatnonzero(samples.at(name))
            points = _centres(self.grids[name], samples.row[here], samples.column[here])
            parts.append(points.to_crs(WGS84).set_axis(here))
        return pd.concat(parts).sort_index()

    def _repr_html_(self) -> str:
        """Return the number of polygons and pixels of each class, and what was rejected."""
        rejected = self.rejected()
        more = [table(rejected)] if len(rejected) else []
        return section(self.title, table(self.per_class()), *more)


def _centres(grid: Grid, row: NDArray[np.int32], column: NDArray[np.int32]) -> gpd.GeoSeries:
    west, north = grid.transform @ (0, 0)
    x, y = west + (column + 0.5) * grid.resolution, north - (row + 0.5) * grid.resolution
    return gpd.GeoSeries(gpd.points_from_xy(x, y), crs=grid.crs.proj)


@dataclass(frozen=True)
class Training:
    """The trained models of a run, one for each draw."""

    layout: RunLayout
    draws: int
    title: str
    language: str = "en"

    @property
    def models(self) -> tuple[Path, ...]:
        """Folders of the models."""
        return tuple(self.layout.split(k).model.path for k in range(self.draws))

    def curves(self) -> pd.DataFrame:
        """Return a row for each draw and epoch, with the losses; empty if the model has no epochs."""
        parts = [
            pd.read_csv(path).assign(draw=k, member=i)
            for k in range(self.draws)
            for i, path in enumerate(self.layout.split(k).all_curves)
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def _repr_html_(self) -> str:
        """Return the curves of loss and F-measure."""
        files = [path for k in range(self.draws) for path in self.layout.split(k).all_curves]
        drawn = figures.curves_picture(files, words_of(self.language))
        return section(self.title, drawn or paragraph(", ".join(str(path) for path in self.models)))


@dataclass(frozen=True)
class Accuracy:
    """Accuracy on the test polygons over all draws, and estimates for the whole map where a sample permits them."""

    layout: RunLayout
    title: str
    language: str = "en"

    @property
    def score(self) -> Score:
        """Confusion matrices of the draws, and their metrics."""
        return load_score(self.layout.score)

    def metrics(self) -> pd.DataFrame:
        """Return mean, standard deviation and number of the draws of each metric."""
        score = self.score
        rows = {name: (*spread_of(score.values(name)), len(score.matrices)) for name in score.metrics}
        return _frame(rows, ["mean", "std", "draws"], "metric")

    def per_class(self) -> pd.DataFrame:
        """Return accuracy measures of each tested class, as means over the draws, and the number of test pixels."""
        score = self.score
        measures = ("f1", "users_accuracy", "producers_accuracy")
        tables = {name: score.per_class(name) for name in measures}
        rows = {
            name: (*(spread_of(tables[m][:, k])[0] for m in measures), int(score.matrix.of_reference[k]))
            for k, name in enumerate(score.names)
            if score.matrix.tested[k]
        }
        return _frame(rows, [*measures, "pixels"], "class")

    def confusion(self) -> pd.DataFrame:
        """Return the confusion matrix over all draws: reference in rows, map in columns, counts of pixels."""
        names = list(self.score.names)
        return pd.DataFrame(self.score.matrix.counts, pd.Index(names, name="reference"), pd.Index(names, name="map"))

    def estimates(self) -> pd.DataFrame:
        """Return estimates for the whole map with their 95 % intervals.

        They come from the labelled validation sample of the map (``bocage evaluate --sample``), else from test polygons with
        inclusion weights (after the report). Without either, the table is empty: other test polygons permit no interval. A
        sample that was evaluated on another map is left out.
        """
        found = self._adjusted()
        rows: dict[str, tuple[float, ...]] = {}
        if found:
            rows["overall_accuracy"] = _interval(found.overall)
            for k, name in enumerate(found.names):
                rows[f"users_accuracy of {name}"] = _interval(found.users[k])
                rows[f"producers_accuracy of {name}"] = _interval(found.producers[k])
                rows[f"area_share of {name}"] = _interval(found.area[k])
        return _frame(rows, ["value", "low", "high"], "estimate")

    def _adjusted(self) -> Adjusted | None:
        if sampled := Sampled.of_map(self.layout):
            return sampled.estimates
        if not (self.layout.score.exists() and self.layout.map.is_complete):
            return None
        with artefact(self.layout.score):
            record = json.loads(self.layout.score.read_text(encoding="utf-8")).get("area")
            found = Adjusted.from_dict(record) if record else None
        land = self.layout.map
        shares = Areas.load(land.areas, Item.load(land.item).legend).shares
        # The map may have been made again since the report.
        return found if found and list(found.mapped) == shares else None

    def _repr_html_(self) -> str:
        """Return the metrics, the accuracy of each class, the confusion matrix, and the intervals."""
        w, estimates = words_of(self.language), self.estimates()
        parts = [table(self.metrics()), table(self.per_class())] if self.score.tests else [paragraph(w["s_untested"])]
        if self.score.tests:
            parts.append(section(w["h_confusion"], table(self.confusion())))
        if len(estimates):
            parts.append(section(w["interval"], table(estimates)))
        return section(self.title, *parts)


def _frame(rows: Mapping[str, tuple[object, ...]], columns: list[str], index: str) -> pd.DataFrame:
    return pd.DataFrame.from_dict(dict(rows), orient="index", columns=columns).rename_axis(index)


def _interval(estimate: Estimate) -> tuple[float, ...]:
    return estimate.value, estimate.low, estimate.high


@dataclass(frozen=True)
class Page:
    """The page of a run, served on this computer until :meth:`stop`, or until the process ends."""

    viewer: Viewer

    @property
    def address(self) -> str:
        """Address of the page, with its token."""
        return self.viewer.address

    def stop(self) -> None:
        """End the server."""
        self.viewer.stop()

    def _repr_html_(self) -> str:
        """Return a link to the page, which cannot be shown in a frame of another page."""
        return f'<p><a href="{escape(self.address)}" target="_blank">{escape(self.address)}</a></p>'


@dataclass(frozen=True)
class Report:
    """An HTML page on disk."""

    path: Path

    def _repr_html_(self) -> str:
        """Return a link to the page, and the page in a frame."""
        address = escape(Path(os.path.relpath(self.path)).as_posix())
        frame = f'<iframe src="{address}" width="100%" height="600" title="{address}"></iframe>'
        return f'<p><a href="{address}" target="_blank">{address}</a></p>{frame}'
