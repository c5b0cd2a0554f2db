"""The doubtful polygons of a recipe: sample their pixels, judge them, name causes, write tables and page."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.advice.causes import COVERED, causes_of
from bocage.advice.findings import Findings, Left
from bocage.disk import digest, remove_folder, write_json
from bocage.errors import SamplesError
from bocage.layout import DoctorLayout, RunLayout
from bocage.legend import Legend
from bocage.models import Network
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run.evidence import Seen, evidence_of
from bocage.run.folder import Inputs, RunFolder
from bocage.run.judging import chosen_pixels, judge, judge_of, of_present_classes
from bocage.run.opened import open_scene
from bocage.run.opening import prepared
from bocage.samples import Labelled, Pixels, Samples, Split, Survey, finest, labelled
from bocage.samples.cut import cut, open_cut
from bocage.samples.doubtful import Outlines, write_features
from bocage.samples.make import Usable, assembled, check_any
from bocage.scene import Scene
from bocage.sources import RegionsSource
from bocage.textfile import write_csv
from bocage.training import check_single
from bocage.words import sentence

FORMAT = 4
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
        # The field of folds is read, because it can name regions.
        everything = labelled(scene, Survey(recipe.reference, recipe.legend, Split(fold=recipe.split.fold)))
        found = finest(everything, recipe.legend)
        samples, inner = self._samples(scene, found, progress)
        for note in found.notes:
            progress.say(note)
        judged = judge(recipe.choice, scene, samples, settings, self.scratch, progress)
        regions = regions_of(scene, samples, found)
        names, number = np.unique(regions, return_inverse=True)
        doubt = judged.doubt(number if len(names) > 1 else None)
        outlines = Outlines.of(recipe.reference, recipe.legend)
        evidence = evidence_of(
            Seen(scene, samples, inner, found.pixels, judged, doubt), outlines.overlaps, settings.threshold
        )
        findings = Findings(
            samples.legend.names, judged.polygon, outlines.names(judged.polygon), judged.label, doubt, evidence,
            causes_of(doubt, evidence, settings.threshold), judged.neighbours, judged.spread,
            outlines.covering(judged.polygon, COVERED), regions.tolist(), settings.threshold,
            left_of(outlines, judged.polygon, everything.pixels, recipe.legend),
        )  # fmt: skip
        report_left(findings, progress)
        write_tables(findings, outlines, self.layout)
        write_doctor(findings, scene, samples, found.pixels, self._asked(), self.layout.page)
        remove_folder(self.scratch.parent)

    def _samples(self, scene: Scene, found: Labelled, progress: Progress) -> tuple[Samples, NDArray[np.bool_]]:
        """Return a part of the pixels of all polygons, and whether they are inner ones.

        A fixed test part is judged as all polygons.
        """
        recipe = self.recipe
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
        return samples, inner[usable]

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


def left_of(outlines: Outlines, judged: NDArray[Any], pixels: Pixels, legend: Legend) -> list[Left]:
    """Return the polygons without a pixel that can be judged, in the order of the reference; `pixels` are those of all.

    The pixels of a duplicate belong to the first polygon, and those of polygons of two classes to none. Polygons of coarser
    classes and of sets of classes are not judged: the models have the classes of the map.
    """
    out = outlines.features[~outlines.features.polygon.isin(judged)].drop_duplicates("polygon")
    polygon, label = out.polygon.to_numpy(), out.label.to_numpy()
    count = pd.Series(pixels.polygon).value_counts().reindex(polygon, fill_value=0).to_numpy()
    covered = outlines.overlaps.reindex(polygon).fillna(0)
    cases = [covered.other > COVERED, covered.same > COVERED, (label < 0) & (count > 0)]
    causes = np.select([np.asarray(case) for case in cases], ["overlap", "duplicate", "coarser"], "no_pixel")
    return [
        Left(int(p), name, legend.labelled(int(k)).name, str(cause), int(n), by, bool(k < 0))
        for p, name, k, cause, n, by in zip(
            polygon, outlines.names(polygon), label, causes, count, outlines.covering(polygon, COVERED), strict=True
        )
    ]


def report_left(findings: Findings, progress: Progress) -> None:
    """Report how many polygons are not judged."""
    for key, n in (("doctor_lost", findings.lost), ("doctor_coarser", findings.coarser)):
        if n:
            progress.say(sentence(key, "en", n=n))


def write_tables(findings: Findings, outlines: Outlines, layout: DoctorLayout) -> None:
    """Write the polygons as CSV and, if they have a location, as GeoPackage; and the summary."""
    columns = findings.columns()
    layout.path.mkdir(parents=True, exist_ok=True)
    rows = [["" if value is None else value for value in row] for row in zip(*columns.values(), strict=True)]
    write_csv(layout.polygons("csv"), [list(columns), *rows])
    write_features(layout.polygons("gpkg"), outlines.features, columns)
    given = findings.doubt.given.round(4).tolist()
    summary = {
        "polygons": len(findings.polygon), "doubtful": int(findings.doubtful.sum()), "expected": round(findings.expected, 1),
        "threshold": findings.threshold, "not_judged": findings.not_judged, "without_pixel": findings.lost,
        "coarser": findings.coarser, "causes": findings.causes, "classes": findings.by_class(),
        "regions": findings.by_region(), "labels_given": {"classes": list(findings.classes), "frequencies": given},
    }  # fmt: skip
    write_json(layout.summary, summary)
