"""The stages of a run. A stage whose results are current is not repeated."""

import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bocage.disk import artefact, digest, write_json
from bocage.errors import EvaluationError
from bocage.evaluation import (
    Adjusted,
    Clusters,
    Corrected,
    Evaluation,
    Predictions,
    Score,
    SeasonScore,
    clustered,
    compare,
    corrected,
    load_score,
    predictions_of,
    trust_of,
)
from bocage.layout import MapLayout, RunLayout, SplitLayout
from bocage.legend import Legend
from bocage.machine import device_of
from bocage.mapping import (
    EARLY,
    Areas,
    Computing,
    Forward,
    LandCoverMap,
    Mapping,
    codes_beside,
    make_map,
    open_map,
    pixel_areas,
    predict_at,
)
from bocage.progress import Progress
from bocage.recipe import Recipe
from bocage.report.sampled import Sampled
from bocage.run.folder import RunFolder
from bocage.run.parts import polygons_by_region, score_by_part
from bocage.run.sets import promised_by
from bocage.run.trusted import DoubtOfDraws
from bocage.samples import Samples
from bocage.samples.ground import APART
from bocage.samples.reference import fingerprint_vector
from bocage.scene import Scene
from bocage.training import (
    Importance,
    Pretrained,
    Reduced,
    Trained,
    Trainer,
    check_bfloat16,
    classified,
    few_shared,
    idle_settings,
    imitates_bfloat16,
    importance,
)
from bocage.words import Note

if TYPE_CHECKING:
    from bocage.report.material import Material

NOT_MEASURED = "The importance of sources and dates is not measured for a training on windows."
STAGES = ("train", "evaluate", "map", "report")
UNTESTED = (
    "Nothing was tested: [split] train = 1 uses all polygons for training. The accuracy of the map is not known. Draw a "
    "validation sample of the map (bocage sample-design), or keep polygons for a test."
)
"""Message of an evaluation without a test part."""


@dataclass(frozen=True)
class Keys:
    """Digests of the inputs and settings of each stage."""

    samples: str
    train: str
    evaluate: str
    map: str


def map_key(train: str, settings: Mapping) -> str:
    """Return the digest of everything that determines a map: the training, the settings, the content of the region."""
    region = fingerprint_vector(settings.region) if settings.region else ""
    return digest(
        train, replace(settings, region=None, region_layer="", where=""), region, settings.region_layer, settings.where
    )


def settled(settings: Mapping, found: Reduced, device: str, progress: Progress) -> Mapping:
    """Return the map's settings, with float32 if bfloat16 changes too many classes or too much accuracy."""
    if found.is_harmless:
        progress.say(f"The map is computed in bfloat16: {found}.")
        if imitates_bfloat16(device):
            progress.say('This CPU has no instructions for bfloat16; [map] precision = "float32" is faster here.')
        return settings
    progress.say(f"The map is computed in float32, not in bfloat16: {found}.")
    return replace(settings, precision="float32")


@dataclass
class Run:
    """A run of a recipe in its folder; each public method is a stage."""

    recipe: Recipe
    scene: Scene
    folder: RunFolder
    samples: Samples
    keys: Keys
    progress: Progress
    start: Pretrained | None = None
    """Pretrained weights; None for random weights."""

    @property
    def layout(self) -> RunLayout:
        """Paths of the run's folder."""
        return self.folder.layout

    def train(self) -> None:
        """Train the model on every draw; complete draws are kept."""
        self.samples.check_draws()  # before hours of training
        self.folder.keep_draws(self.samples.draws, self.progress)
        if not self.folder.is_current("train/0", self.keys.train):  # later, the report keeps them
            for note in self._about_training():
                self.progress.say(note)
        for k in range(self.samples.draws):
            trainer = Trainer(self.recipe.choice, self.scene, self.trusted(k), self.start)
            work = partial(train_draw, trainer, k, self.layout.split(k), self.progress)
            self.folder.once(f"train/{k}", self.keys.train, work, self.progress)

    def _about_training(self) -> list[Note]:
        """Return the warnings about the model with these sources."""
        choice = self.recipe.choice
        return [note.advised for note in (*few_shared(choice, self.scene, self.samples.cuts), *idle_settings(choice))]

    def trusted(self, k: int) -> Samples:
        """Return the samples with the trust in the labels of draw `k`; it is computed once, if the recipe asks for it."""
        if self._doubt is None:
            return self.samples
        self.folder.once(
            f"doubt/{k}", self.keys.train, partial(self._doubt.write, self.scene, k, self.progress), self.progress
        )
        return self._doubt.trusted(k)

    @property
    def _doubt(self) -> DoubtOfDraws | None:
        """The doubt about the training polygons; None if the recipe keeps doubtful polygons."""
        if self.recipe.reference.doubtful == "keep":
            return None
        return DoubtOfDraws(self.recipe, self.samples, self.layout.doctor, self.keys.train)

    def evaluate(self) -> Score:
        """Classify the test polygons of every draw, write ``score.json``, and return the score."""
        for k in range(self.samples.draws):
            self.folder.need(f"train/{k}", self.keys.train, "train")
            self.folder.once(f"evaluate/{k}", self.keys.evaluate, partial(self._score, k), self.progress)
            self.progress.step("evaluating", k + 1, self.samples.draws)
        score = self._score_of_all_draws()
        if not score.tests:
            self.progress.say(UNTESTED)
        regions = self._regions_entry()
        if not score.is_in(self.layout.score, **regions):  # otherwise, the entries of the report stay
            score.save(self.layout.score, **regions)
        return score

    def score_by_region(self) -> dict[str, Score]:
        """Return the score of the test pixels of each region; empty without a source of regions."""
        parts = polygons_by_region(self.scene, self.samples)
        return score_by_part(self.layout, self.samples, parts, self.recipe.evaluation.names) if parts else {}

    def _regions_entry(self) -> dict[str, Any]:
        """Return the entry of ``score.json`` with the score of each region, if there are regions."""
        scores = {name: one.as_dict() for name, one in self.score_by_region().items()}
        return {"regions": scores} if scores else {}

    def map(self) -> LandCoverMap | None:
        """Map the scene with the model of the draw ``[map] draw``; return None for a table of samples."""
        if self.scene.ids is not None:
            self.progress.say("The sources are tables of samples, so no map is computed.")
            return None
        k = self.recipe.map.draw
        self.folder.need(f"train/{k}", self.keys.train, "train")
        trained = Trained.load(self.layout.split(k).model.path)
        self.folder.once("map", self.keys.map, partial(self.make_map, trained), self.progress)
        return self._open_map(trained.legend)

    def make_map(
        self, trained: Trained, settings: Mapping | None = None, folder: MapLayout | None = None
    ) -> LandCoverMap:
        """Map the scene with the settings of the recipe into the run's map folder, unless others are given."""
        computing, where = Computing(self._device, self.recipe.workers), folder or self.layout.map
        precise = self._precise(trained, settings or self.recipe.map)
        return make_map(trained, self.scene, precise, where.path, computing, self.progress)

    def _precise(self, trained: Trained, settings: Mapping) -> Mapping:
        """Return the map's settings, with float32 if bfloat16 is set but changes the classes of validation samples too much."""
        if settings.precision == "float32":
            return settings
        validation = self.samples.draw(settings.draw).validation
        found = check_bfloat16(trained, self.samples.chips, validation, self._device)
        found.save(self.layout.split(settings.draw).model.path)
        return settled(settings, found, self._device, self.progress)

    def report(self) -> Path:
        """Compare the map with the truth raster if it exists, estimate areas, write ``report.html``; return its path."""
        from bocage.report.page import write_report  # imported here because matplotlib takes a second to import

        for k in range(self.samples.draws):
            self.folder.need(f"evaluate/{k}", self.keys.evaluate, "evaluate")
        material = self._material()
        area = material.estimates.area
        more = self._regions_entry()
        more |= {"truth": material.truth.as_dict()} if material.truth else {}
        if area:
            more["area" if isinstance(area, Adjusted) else "area_model"] = area.as_dict()
        written = write_report(material)
        material.score.save(self.layout.score, **more)
        return written

    def _material(self) -> "Material":
        """Return the content of the report."""
        from bocage.report.material import Estimates, Material

        draw, land, estimates = self.recipe.map.draw, None, Estimates()
        tested = Predictions.from_parquet(self.layout.split(draw).test)
        if self.scene.ids is None:
            self.folder.need("map", self.keys.map, "map")
            land = self._open_map(self.samples.legend)
            estimates = Estimates(self._area(tested, land.areas), *self._sample()).checked(self.progress)
        notes = [*self._about_training(), *([self._doubt.note(draw)] if self._doubt else [])]
        samples = replace(self.samples, notes=(*self.samples.notes, *notes))
        return Material(
            self.layout, self.scene, samples, self._score_of_all_draws(), draw, tested, self.folder.provenance,
            self.recipe.report, land, self._truth(land), estimates, self._importance(),
            self.recipe.map.until, self._season(), self.score_by_region(),
            promised_by(self.layout, self.samples.draws, self.recipe.map),
        )  # fmt: skip

    def _truth(self, land: LandCoverMap | None) -> Score | None:
        """Compare the whole map with the truth raster; return None without a truth raster or a readable map."""
        if not self.recipe.evaluation.truth or not land or not land.is_readable:
            return None
        pairs = codes_beside(self.recipe.evaluation.truth, land.files["classes"], land.grid)
        matrix = compare(pairs, land.legend.codes, land.legend.names)
        return Score((matrix,), self.recipe.evaluation.names, {"reference": "the whole truth raster"})

    def _area(self, tested: Predictions, areas: Areas) -> Adjusted | Corrected | None:
        """Estimate areas from the test polygons of the draw of the map; return None if they are too few.

        The estimate of a probability sample of polygons has intervals, from the variance between polygons, or between blocks
        where the split draws blocks; other polygons permit a correction by a model.
        """
        samples, test = self.samples, self.samples.draw(self.recipe.map.draw).test
        if not len(test):
            return None  # the report states that areas are not adjusted
        if self.recipe.map.until:
            self.progress.say(f"No areas are estimated: {EARLY}.")
            return None
        weight, names = samples.test_weight(test), samples.legend.names
        unit: Literal["polygon", "block"] = "block" if samples.split.unit == "block" else "polygon"
        try:
            if absent := samples.without(test):
                raise EvaluationError(f"no test pixel of: {', '.join(absent)}. Every class needs test polygons.")
            if weight is None:
                return corrected(tested.predicted, tested.label, tested.polygon, areas.shares, names)
            drawn, pixel = Clusters(samples.cluster[test], unit), pixel_areas(self.scene.grid)[tested.row]
            weight = weight * pixel if np.ptp(pixel) else weight  # in degrees, pixels have different areas
            return clustered(tested.predicted, tested.label, drawn, weight, areas.shares, names)
        except EvaluationError as error:
            self.progress.say(f"No areas are estimated: {error}")
            return None

    def _sample(self) -> tuple[Adjusted | None, str]:
        """Return the estimates from a labelled validation sample of this map and the name of its file; None and "" without."""
        found = Sampled.of_map(self.layout, self.progress)
        return (found.estimates, found.file) if found else (None, "")

    def _importance(self) -> Importance | None:
        """Return the importance of sources and dates for the draw of the map; it is measured once."""
        most, draw = self.recipe.evaluation.importance, self.recipe.map.draw
        split = self.layout.split(draw)
        test = self.samples.draw(draw).test
        if not most or not len(test):
            return None
        if self.samples.windows is not None:
            self.progress.say(NOT_MEASURED)
            return None

        def measure() -> None:
            trained = Trained.load(split.model.path)
            found = importance(trained, self.samples, test, most, self._device, self.progress)
            write_json(split.importance, asdict(found), None)

        self.folder.once("importance", digest(self.keys.evaluate, draw, most), measure, self.progress)
        with artefact(split.importance):
            return Importance(**json.loads(split.importance.read_text(encoding="utf-8")))

    def _season(self) -> SeasonScore | None:
        """Return the accuracy against the cut-off; None if it was not measured, or for another training."""
        path = self.layout.season.summary
        if not path.exists():
            return None
        with artefact(path):
            found = SeasonScore.from_dict(json.loads(path.read_text(encoding="utf-8")))
        if found.key == self.keys.train:
            return found
        self.progress.say(f"{path} is of another training and is left out; run 'bocage season' again.")
        return None

    @property
    def _device(self) -> str:
        return self.recipe.choice.training.device

    def maps_on_disk(self) -> dict[str, LandCoverMap]:
        """Return the map in the run's folder, by the name of the recipe; nothing if the folder has no complete map."""
        return {self.recipe.name: self._open_map(self.samples.legend)} if self.layout.map.is_complete else {}

    def _open_map(self, legend: Legend) -> LandCoverMap:
        return open_map(legend, self.scene.grid, self.recipe.map, self.layout.map.path)

    def _score_of_all_draws(self) -> Score:
        return score_of_draws(self.layout, self.samples, self.recipe.evaluation)

    def _score(self, k: int) -> None:
        """Classify the test pixels of draw `k`; write ``test.parquet`` and ``score.json``."""
        samples, split = self.samples, self.layout.split(k)
        trained, draw = Trained.load(split.model.path), samples.draw(k)
        predictions = self._classified(trained, draw.test, k)
        predictions.to_parquet(split.test, self.scene.ids)
        report_absent(samples, k, self.progress)
        score_of_draw(samples, k, predictions, self.recipe.evaluation.names).save(split.score)

    def _classified(self, trained: Trained, test: NDArray[np.int64], k: int) -> Predictions:
        pixels = self.samples.pixels(test)
        if trained.has_context and len(test):
            how, task = Forward(device_of(self._device)), f"classifying test polygons, draw {k + 1}"
            made = predict_at(trained, self.scene, pixels, how, self.progress, task)
            probabilities, temperature = made.probabilities, made.temperature
        else:
            probabilities, temperature = classified(trained, self.samples.chips, test, self._device)
        return predictions_of(pixels.row, pixels.column, pixels.polygon, pixels.label, probabilities, temperature)


def train_draw(trainer: Trainer, number: int, split: SplitLayout, progress: Progress) -> None:
    """Train on draw `number`, and write which samples trained or validated."""
    trainer.train(number, split.path, progress)
    scene = trainer.scene
    trainer.samples.save_training(number, split.training, scene.ids if isinstance(scene, Scene) else None)


def score_of_draws(layout: RunLayout, samples: Samples, settings: Evaluation) -> Score:
    """Return the score over all draws, from their score files, at the levels that the settings report."""
    found = [load_score(layout.split(k).score) for k in range(samples.draws)]
    matrices, trust = tuple(score.matrices[0] for score in found), tuple(t for score in found for t in score.trust)
    levels = settings.levels_of(samples.legend)
    return Score(matrices, settings.names, _pooled(found, samples), trust, levels)


def _pooled(found: list[Score], samples: Samples) -> dict[str, Any]:
    """Return the design of the test of all draws: the mean share of the test part, and the names of all folds."""
    common = {name: value for name, value in found[0].design.items() if name != "fold"}
    share = round(sum(score.design["test_share"] for score in found) / len(found), 4)
    return {"draws": samples.draws, **common, "test_share": share, "folds": list(samples.folds) or None}


def report_absent(samples: Samples, k: int, progress: Progress) -> None:
    """Report the classes without test pixels in draw `k`, if the draw tests anything."""
    test = samples.draw(k).test
    if len(test) and (absent := [name for name in samples.without(test) if name not in samples.untested]):
        names = ", ".join(absent)
        progress.say(f"Draw {k + 1}: no test pixel of: {names}. Their accuracy is not measured in this draw.")


def score_of_draw(samples: Samples, k: int, predictions: Predictions, metrics: tuple[str, ...]) -> Score:
    """Return the score of the predictions of the test pixels of draw `k`."""
    draw, matrix = samples.draw(k), predictions.matrix(samples.legend.names, samples.untested)
    if not len(draw.test):
        return Score((matrix,), metrics, _design(samples, k))
    used = np.concatenate([draw.train, draw.validation])
    used = used[samples.label[used] >= 0]
    places = _probed(samples, used, draw.test)
    units = (len(np.unique(samples.group[used])), len(np.unique(samples.group[draw.test])))
    trust = trust_of(predictions, samples.label[used], places, units)
    return Score((matrix,), metrics, _design(samples, k), (trust,))


def _probed(
    samples: Samples, used: NDArray[np.int64], test: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return the places of training and of test pixels, from which the leakage is probed.

    None without places, and for a site that is left out if no training pixel is on its ground: all are equally far.
    """
    if samples.place is None:
        return None
    places = samples.place[used], samples.place[test]
    own, tested = (np.unique(np.round(place[:, 1] / APART)) for place in places)  # sites are apart from west to east
    return places if np.isin(own, tested).any() else None


def _design(samples: Samples, k: int) -> dict[str, Any]:
    split, folds = samples.split, samples.folds
    test, everything = (len(np.unique(samples.group[some])) for some in (samples.draw(k).test, slice(None)))
    by = split.fold or split.field
    return {
        "unit": f"pixels of test {'pixels' if split.unit == 'pixel' else split.unit + 's'}",
        "drawn": split.unit,
        "block": split.block if split.unit == "block" else None,
        "buffer": split.buffer or None,
        "test_share": round(test / everything, 4),
        "stratified_by": f"the field '{by}'" if by else "site" if split.site else "class",
        "fixed": {"field": split.field, "train": split.fixed[0], "test": split.fixed[1]} if split.field else None,
        "fold": folds[k] if folds else None,
    }
