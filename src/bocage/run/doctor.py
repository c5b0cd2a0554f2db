"""The doubtful polygons of a recipe: sample their pixels, judge them, name causes, write tables and page."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.advice.causes import COVERED, causes_of
from bocage.advice.findings import Findings
from bocage.disk import digest, write_json
from bocage.errors import SamplesError
from bocage.layout import DoctorLayout, RunLayout
from bocage.models import Network
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run.evidence import Seen, evidence_of
from bocage.run.folder import Inputs, RunFolder
from bocage.run.judging import chosen_pixels, judge, judge_of, of_present_classes
from bocage.run.opened import open_scene
from bocage.run.opening import prepared
from bocage.samples import Labelled, Samples, Split, Survey, finest, labelled
from bocage.samples.cut import cut, open_cut
from bocage.samples.doubtful import features_to_judge, overlaps_of, write_features
from bocage.samples.make import Usable, assembled, check_any
from bocage.scene import Scene
from bocage.sources import RegionsSource
from bocage.textfile import write_csv
from bocage.training import check_single

FORMAT = 3
"""Changed when the doubt of the same settings changes."""


def examine(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> DoctorLayout:
    """Write the doubtful polygons of a recipe to the folder of a run, unless they are current.

    The caller holds the lock of the folder.

    Raises
    ------
    ModelError
        The judge is the model of the recipe, which is trained on windows.
    SamplesError
        The polygons cannot be used, or have fewer than two classes.
    """
    layout, scene = RunLayout(out), open_scene(recipe, progress, out)
    inputs = Inputs.of(recipe, scene)
    folder = RunFolder.claim(layout, recipe, inputs, overwrite)
    fitted = recipe.choice.build(scene, recipe.legend).abilities.fitted
    judging = replace(recipe, choice=judge_of(recipe.choice, recipe.doctor, fitted))
    choice, split = judging.choice, recipe.split
    if choice is recipe.choice:
        check_single(choice, "doctor", 'Set [doctor] model = "auto": trees then judge the polygons.')
    key = digest(
        FORMAT, inputs.contents, recipe.grid, recipe.legend, recipe.sources,
        replace(recipe.reference, weight="", doubtful="keep"), (split.unit, split.block, split.fold, split.validation),
        replace(recipe.doctor, shown=0), choice.name, choice.config, choice.training,
    )  # fmt: skip
    search = Search(judging, layout.doctor, layout.doctor.scratch(key))

    def work() -> None:
        ready, _ = prepared(recipe, scene, folder, progress)
        search.run(ready, progress)

    folder.once("doctor", digest(key, recipe.doctor.shown, recipe.report.language), work, progress)
    return layout.doctor


class Search:
    """A search for the doubtful polygons of a recipe, whose model judges them.

    Cut samples and complete repeats are kept in `scratch` until the search is complete.
    """

    def __init__(self, recipe: Recipe, layout: DoctorLayout, scratch: Path) -> None:
        self.recipe, self.layout, self.scratch = recipe, layout, scratch

    def run(self, scene: Scene, progress: Progress) -> None:
        """Write the tables and the page."""
        from bocage.report.doctor import write_doctor  # imported here because matplotlib takes a second to import

        recipe, settings = self.recipe, self.recipe.doctor
        self.scratch.mkdir(parents=True, exist_ok=True)
        samples, inner, found = self._samples(scene, progress)
        for note in found.notes:
            progress.say(note)
        judged = judge(recipe.choice, scene, samples, settings, self.scratch, progress)
        regions = regions_of(scene, samples, found)
        names, number = np.unique(regions, return_inverse=True)
        doubt = judged.doubt(number if len(names) > 1 else None)
        seen = Seen(scene, samples, inner, found.pixels, judged, doubt)
        features = features_to_judge(recipe.reference, recipe.legend)
        overlaps = overlaps_of(features)
        evidence = evidence_of(seen, overlaps, settings.threshold)
        called = dict(zip(features.polygon.tolist(), features["name"], strict=True))
        covering = overlaps.reindex(judged.polygon)
        by = covering.other_as.where(covering.other.fillna(0) >= covering.same.fillna(0), covering.same_as)
        findings = Findings(
            samples.legend.names, judged.polygon, [called[int(p)] for p in judged.polygon], judged.label, doubt, evidence,
            causes_of(doubt, evidence, settings.threshold), judged.neighbours, judged.spread,
            ["" if np.isnan(p) else called[int(p)] for p in by], regions.tolist(), settings.threshold,
            lost_of(features, overlaps, judged.polygon, recipe),
        )  # fmt: skip
        write_tables(findings, features, self.layout)
        write_doctor(findings, scene, samples, found.pixels, self._asked(), self.layout.page)
        shutil.rmtree(self.scratch.parent, ignore_errors=True)

    def _samples(self, scene: Scene, progress: Progress) -> tuple[Samples, NDArray[np.bool_], Labelled]:
        """Return a part of the pixels of all polygons, whether they are inner ones, and all labelled pixels.

        A fixed test part is judged as all polygons. The field of folds is read, because it can name regions.
        """
        recipe = self.recipe
        found = finest(
            labelled(scene, Survey(recipe.reference, recipe.legend, Split(fold=recipe.split.fold))), recipe.legend
        )
        check_any(found.pixels, recipe.reference, scene.grid)
        some, inner = chosen_pixels(found.pixels, recipe.doctor)
        part = found.take(some)
        network: Network = recipe.choice.build(scene, recipe.legend)
        folder = self.scratch / "samples"
        cuts, usable = open_cut(folder) if folder.exists() else cut(scene, part.pixels, network, folder, progress)
        if not usable.any():
            raise SamplesError(
                f"All {len(usable)} pixels of the polygons are masked: no source has a valid date there. Check nodata, the "
                "quality layer and the list of clear values."
            )
        kept = Usable(replace(part, folds=part.folds[:0]), cuts).take(np.flatnonzero(usable))
        unit: Any = "block" if recipe.split.unit == "block" else "polygon"
        split = Split(draws=1, unit=unit, block=recipe.split.block, validation=recipe.split.validation)
        samples = of_present_classes(assembled(recipe.legend, split, kept.found, kept.cuts))
        return samples, inner[usable], found

    def _asked(self) -> Any:
        from bocage.report.doctor import Asked

        recipe = self.recipe
        return Asked(recipe.name, recipe.report.language, recipe.choice.title, recipe.doctor)


def regions_of(scene: Scene, samples: Samples, found: Labelled) -> NDArray[Any]:
    """Return the region of each polygon, in the order of their numbers: of a source of regions, else its fold; "" for none."""
    units, first = np.unique(samples.polygon, return_index=True)
    source = next((cube.source for cube in scene.cubes.values() if isinstance(cube.source, RegionsSource)), None)
    if source is not None:
        number = source.region_of(samples.row[first], samples.column[first])
        return np.array([*source.names, ""], object)[number]
    if len(found.folds):
        return found.folds.reindex(units).fillna("").to_numpy(object)
    return np.full(len(units), "", object)


def lost_of(
    features: pd.DataFrame, overlaps: pd.DataFrame, judged: NDArray[Any], recipe: Recipe
) -> dict[str, tuple[str, str]]:
    """Return the identifiers of the polygons without a usable pixel, with their classes and the causes.

    The pixels of a duplicate belong to the first polygon, and those of polygons of two classes to none.
    """
    out = features[~features.polygon.isin(judged) & (features.label >= 0)].drop_duplicates("polygon")
    covered = overlaps.reindex(out.polygon).fillna(0)
    cases = [covered.other > COVERED, covered.same > COVERED]
    causes = np.select([case.to_numpy() for case in cases], ["overlap", "duplicate"], "no_pixel")
    names = [recipe.legend.names[k] for k in out.label]
    return dict(zip(out["name"], zip(names, causes.tolist(), strict=True), strict=True))


def write_tables(findings: Findings, features: pd.DataFrame, layout: DoctorLayout) -> None:
    """Write the polygons as CSV and, if they have a location, as GeoPackage; and the summary."""
    columns = findings.columns()
    layout.path.mkdir(parents=True, exist_ok=True)
    head, blank = list(columns), dict.fromkeys(columns, "")
    rows = [["" if value is None else value for value in row] for row in zip(*columns.values(), strict=True)]
    lost = [blank | {"name": name, "class": label, "cause": cause} for name, (label, cause) in findings.lost.items()]
    write_csv(layout.polygons("csv"), [head, *rows, *([row[key] for key in head] for row in lost)])
    polygon = np.array(columns.pop("polygon"))
    write_features(layout.polygons("gpkg"), features, columns, polygon)
    causes, numbers = np.unique(findings.cause, return_counts=True)
    given = findings.doubt.given.round(4).tolist()
    summary = {
        "polygons": len(findings.polygon), "doubtful": int(findings.doubtful.sum()), "expected": round(findings.expected, 1),
        "threshold": findings.threshold, "not_judged": findings.not_judged, "without_pixel": len(findings.lost),
        "causes": dict(zip(causes.tolist(), numbers.tolist(), strict=True)), "classes": findings.by_class(),
        "regions": findings.by_region(), "labels_given": {"classes": list(findings.classes), "frequencies": given},
    }  # fmt: skip
    write_json(layout.summary, summary)
