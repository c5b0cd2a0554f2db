"""``bocage fuse``: fuse the maps of several draws, models, seeds or years."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.disk import digest, sha256_of
from bocage.errors import FinishError
from bocage.evaluation import ConfusionMatrix, Predictions
from bocage.evaluation.paired import clustered_mcnemar
from bocage.finish.fusion import (
    MEANING,
    Decide,
    Evidence,
    Fusion,
    Mass,
    Rule,
    believed,
    discounted,
    masses_of,
    mean_probability,
    vote,
)
from bocage.finish.untrained import Member, Untrained
from bocage.jobs.derived import check_free, clear, current, figures_of, write_summary
from bocage.jobs.reference_pixels import pixels_of_test
from bocage.layout import FusionLayout
from bocage.mapping import WRITERS, Delivered, MapBand, codes_at, open_delivered, report_edited
from bocage.mapping.delivery import Delivery
from bocage.mapping.layers import LAYERS, Frame
from bocage.progress import QUIET, Progress
from bocage.run import MapOrigin, held, tested_at
from bocage.sources.raster import inspect

FORMAT = 5
"""Changed when the results of the same maps change."""
SMALL = 0.5
"""Share of the smallest map in the common area below which the command reports it."""
Counts = NDArray[np.float64]
"""Test pixels of a map by polygon, reference class and map class (U, K, K)."""


@dataclass(frozen=True)
class Fusing:
    """How maps are fused."""

    rule: Rule = "vote"
    mass: Mass = "precision"
    """Source of the masses of the rule "dempster-shafer"."""
    weights: tuple[float, ...] = ()
    """Weight of each map, above 0; empty: equal weights."""


def fuse(
    folders: Sequence[Path],
    out: Path,
    how: Fusing = Fusing(),
    progress: Progress = QUIET,
) -> dict[str, Any]:
    """Fuse maps into ``map/`` of the folder `out`; return the content of ``fusion.json``.

    Folders are those of runs, of maps or of mosaics. The result is kept while maps, test pixels and settings are the same.

    Raises
    ------
    MappingError
        A folder holds no complete map, or the maps differ in legend or grid.
    FinishError
        The maps have no common area, or lack what the rule needs.
    RunFolderError
        `out` holds a run or another map.
    """
    layout, maps = FusionLayout(out), [open_delivered(one) for one in folders]
    check_free(layout, maps, MEANING, "a fusion")
    fusion = Fusion.of(maps, how.weights)
    work = _Work(fusion, tuple(folders), how, _confusions(folders, maps, how), layout, progress)
    key = work.key()
    if found := current(layout, key):
        progress.say("fuse: up to date")
        return found
    work.report()
    report_edited(maps, progress)
    with held(out):
        check_free(layout, maps, MEANING, "a fusion")  # a run may have ended since
        clear(layout)
        work.write()
        about = {"key": key, **work.about()}
        if work.counts:
            about |= {"mass": how.mass, "masses": work.masses.tolist()}
        about["accuracy"] = work.accuracy()
        write_summary(layout, about)
    return about


def _confusions(folders: Sequence[Path], maps: Sequence[Delivered], how: Fusing) -> tuple[Counts, ...]:
    """Check that the maps have what the rule needs; return the confusions of each map for the rule "dempster-shafer"."""
    if how.rule == "probability" and (lacking := [one for one in maps if not one.path("probabilities").exists()]):
        raise FinishError(
            f'{lacking[0].folder} has no layer of probabilities. Set [map] layers = ["classes", "confidence", '
            "\"probabilities\"] in its recipe and run 'bocage map' again, or choose another --rule."
        )
    if how.rule != "dempster-shafer":
        return ()
    return tuple(_confusion(folder, one) for folder, one in zip(folders, maps, strict=True))


def _confusion(folder: Path, land: Delivered) -> Counts:
    """Return the confusions of a map, by test polygon."""
    pixels = pixels_of_test(folder, land)
    if isinstance(pixels, str):
        raise FinishError(f"{folder} has no confusion matrix: {pixels}. Or choose --rule vote or probability.")
    counts = pixels.checked.counts
    if not counts.any():
        raise FinishError(
            f"{folder} has no confusion matrix: no test pixel has a class. Choose --rule vote or probability."
        )
    return counts


@dataclass(frozen=True)
class _Work:
    """A fusion to write."""

    fusion: Fusion
    folders: tuple[Path, ...]
    how: Fusing
    counts: tuple[Counts, ...]
    """Confusions of each map, for the rule "dempster-shafer"."""
    layout: FusionLayout
    progress: Progress

    def key(self) -> str:
        """Return a digest of the content of the maps, of their test pixels, and of the settings."""
        layers = [one.path(name) for one in self.fusion.maps for name in ("classes", "confidence", "probabilities")]
        files = [*layers, *map(tested_at, self.folders)]
        return digest(FORMAT, self.how, *(sha256_of(path) if path and path.exists() else "" for path in files))

    def about(self) -> dict[str, Any]:
        """Return what the item and the summary say about the fusion."""
        rule = self.how.rule
        return {
            "maps": [str(one) for one in self.folders], "rule": rule, "weights": list(self.fusion.weights),
            "confidence": MEANING[rule],
        }  # fmt: skip

    def report(self) -> None:
        """Report what may be unexpected about the maps."""
        fusion, say = self.fusion, self.progress.say
        if fusion.overlap < SMALL:
            say(f"The common area of the maps is {100 * fusion.overlap:.1f} % of the smallest one.")
        sums = [sha256_of(one.path("classes")) for one in fusion.maps]
        for k, one in enumerate(sums):
            if one in sums[:k]:
                say(f"{fusion.maps[sums.index(one)].folder} and {fusion.maps[k].folder} have the same classes.")
        if self.how.rule == "vote" and not fusion.has_confidence:
            say("Not all maps have a confidence: ties of the vote are resolved by the order of the legend alone.")
        for folder, row in zip(self.folders, self.masses if self.counts else (), strict=bool(self.counts)):
            if unknown := [name for name, mass in zip(fusion.legend.names, row, strict=True) if not mass]:
                say(f"{folder}: no test pixel is right for {', '.join(unknown)}: its pixels of these are no evidence.")

    @property
    def masses(self) -> NDArray[np.float64]:
        """Mass that each map commits to each of its classes (M, K)."""
        return discounted(np.stack([masses_of(one.sum(0), self.how.mass) for one in self.counts]), self.fusion.weights)

    @property
    def decide(self) -> Decide:
        """The rule."""
        if self.counts:
            return Evidence(self.masses)
        return vote if self.how.rule == "vote" else mean_probability

    def write(self) -> None:
        """Write the fused map and what goes with it."""
        fusion, layout, averaged = self.fusion, self.layout.map, self.how.rule == "probability"
        stored = [inspect(one.path("probabilities")).dtype for one in fusion.maps] if averaged else []
        frame = Frame(fusion.legend, (), "uint16" if "uint16" in stored else "uint8")
        names = ("classes", "confidence", *(("probabilities",) if averaged else ()))
        bands = {name: LAYERS[name].bands(frame) for name in names}
        bands["members"] = (MapBand("maps with data", "uint8", 0),)
        areas = fusion.write(layout, bands, self.decide, self.progress)
        files = {layer: layout.layer(layer, WRITERS.get("cog").SUFFIX) for layer in bands}
        newest = max(one.layout.checksums.stat().st_mtime for one in fusion.maps)
        Delivery(layout, fusion.grid, fusion.legend, bands, files, self.about(), None, newest).write(areas)

    def accuracy(self) -> dict[str, Any] | None:
        """Return the accuracy of the fused map and of its maps at test pixels that no map was trained on; write the pixels."""
        pixels = self._untrained()
        if isinstance(pixels, str):
            self.progress.say(f"The accuracy of the fused map is not measured: {pixels}")
            return None
        if pixels.contrary:
            self.progress.say(
                f"{pixels.contrary} test pixels have different reference classes in the runs, and are not used."
            )
        tested, names, maps = self._tested(pixels), self.fusion.legend.names, {}
        tested.to_parquet(self.layout.test)
        untested = tested.without(names)
        for folder, own in zip(self.folders, pixels.positions, strict=True):
            maps[str(folder)] = figures_of_map(tested, own, names)
        return {
            "pixels": len(tested), "polygons": len(np.unique(tested.polygon)),
            "fused": figures_of(tested.matrix(names, untested)), "maps": maps, "untested": list(untested),
        }  # fmt: skip

    def _untrained(self) -> Untrained | str:
        """Return the test pixels that no map was trained on, or why there are none."""
        members = []
        for folder in self.folders:
            origin = MapOrigin.of(folder)
            if isinstance(origin, str):
                return f"{folder}: {origin}."
            test = origin.test
            if isinstance(test, str):
                return f"{folder}: {test}."
            if not origin.run.samples.exists():
                return f"{folder} is not the map of an evaluated run, so its training polygons are not known."
            table = origin.labelled("row", "column")[["row", "column"]].astype(np.int64)
            members.append(Member(origin.read(test), table["row"].to_numpy(), table["column"].to_numpy()))
        pixels = Untrained.of(self.fusion, members)
        if not len(pixels):
            return (
                "no test polygon of all the runs is free of training pixels of each of them. Give the runs the same [split], "
                "or fix their test polygons with [split] field."
            )
        return pixels

    def _tested(self, pixels: Untrained) -> Predictions:
        """Return the fused classes at test pixels.

        With the rule "dempster-shafer", the masses are those without the polygon of the pixel: they are learned from the test
        polygons.
        """
        fusion = self.fusion
        if self.counts:
            masses = [
                masses_of(one.sum(0) - one, self.how.mass)[unit, own.clip(0)] * (own >= 0)
                for one, unit, own in zip(self.counts, pixels.units, pixels.positions, strict=True)
            ]
            committed = discounted(np.stack(masses), fusion.weights)
            predicted, sure = believed(pixels.positions, committed, len(fusion.legend.codes))
        else:
            layers = [self.layout.map.layer(name, WRITERS.get("cog").SUFFIX) for name in ("classes", "confidence")]
            codes, percent = (codes_at(path, fusion.grid, pixels.row, pixels.column) for path in layers)
            predicted, sure = fusion.place[codes], percent / 100
        confidence, (row, column) = (
            sure.astype(np.float32),
            (pixels.row.astype(np.int32), pixels.column.astype(np.int32)),
        )
        polygon = pixels.units[0].astype(np.int32)
        return Predictions(row, column, polygon, pixels.label, predicted.astype(np.int16), confidence, confidence)


def figures_of_map(tested: Predictions, own: NDArray[np.int64], names: tuple[str, ...]) -> dict[str, float | None]:
    """Return the accuracy of one of the maps, and the p-value of its difference from the fused map, at the same pixels.

    These are the test pixels at which the map has a class, `own` (N,); it is -1 at the others.
    """
    seen = own >= 0
    label, mapped = tested.label[seen], own[seen]
    matrix = ConfusionMatrix.of(label, mapped, names).without_absent
    test = clustered_mcnemar(tested.right[seen], mapped == label, tested.polygon[seen])
    return {"pixels": len(label), **figures_of(matrix), "p": test.p if len(label) else None}
