"""The stages of a run: each calls its room, unless what it would write is there and current."""

import dataclasses
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import EvaluationError
from bocage.evaluation import (
    Adjusted,
    Predictions,
    Score,
    clustered,
    compare,
    load_score,
    predictions_of,
    trust_of,
)
from bocage.legend import Legend
from bocage.mapping import LandCoverMap, Mapping, classify_at, codes_beside, count_codes, make_map, open_map
from bocage.pipeline.recipe import Recipe
from bocage.pipeline.runfolder import RunFolder, digest
from bocage.progress import Progress
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.training import (
    Importance,
    Pretrained,
    Reduced,
    Trained,
    check_bfloat16,
    classify,
    device_of,
    imitates_bfloat16,
    importance,
    train,
)

SAMPLE = "sample.json"
"""What a labelled validation sample says of the map."""
STAGES = ("train", "evaluate", "map", "report")


def settled(settings: Mapping, found: Reduced, device: str, progress: Progress) -> Mapping:
    """Return the map's settings, in float32 where bfloat16 changes too much."""
    if found.is_harmless:
        progress.say(f"The map is computed in bfloat16: {found}.")
        if imitates_bfloat16(device):
            progress.say('This processor has no instructions for bfloat16: precision = "float32" is faster here.')
        return settings
    progress.say(f"The map is computed in float32, not in bfloat16: {found}.")
    return dataclasses.replace(settings, precision="float32")


@dataclass
class Run:
    """A recipe at work in its folder: each method is a stage."""

    recipe: Recipe
    scene: Scene
    folder: RunFolder
    samples: Samples
    keys: dict[str, str]
    progress: Progress
    start: Pretrained | None = None
    """Weights that networks start from."""

    def train(self) -> None:
        """Train the model on every draw; draws that are complete are kept."""
        r, out = self.recipe, self.folder.path
        for k in range(r.split.draws):
            work = partial(train, self.scene, self.samples, r.split, k, r.model, r.config, r.training, start=self.start)
            self.folder.once(
                f"train/{k}", self.keys["train"], partial(work, out / f"splits/{k}", self.progress), self.progress
            )

    def evaluate(self) -> Score:
        """Classify every draw's test polygons, and write ``score.json``."""
        for k in range(self.recipe.split.draws):
            self.folder.need(f"train/{k}", self.keys["train"], "train")
            self.folder.once(f"evaluate/{k}", self.keys["evaluate"], partial(self._score, k), self.progress)
            self.progress.step("evaluating", k + 1, self.recipe.split.draws)
        score = self._score_of_all_draws()
        score.save(self.folder.path / "score.json")
        return score

    def map(self) -> LandCoverMap | None:
        """Map the scene with the network of the draw that the recipe names; a table of samples has no map."""
        if self.scene.ids is not None:
            self.progress.say("The sources are tables of samples: there is nothing to map.")
            return None
        r, k = self.recipe, self.recipe.map.draw
        self.folder.need(f"train/{k}", self.keys["train"], "train")
        trained = Trained.load(self._split(k) / "model")
        folder = self.folder.path / "map"
        self.folder.once(
            "map",
            self.keys["map"],
            lambda: make_map(
                trained, self.scene, self._precise(trained), folder, r.training.device, self.progress, r.workers
            ),
            self.progress,
        )
        return self._map_on_disk(trained.legend)

    def _precise(self, trained: Trained) -> Mapping:
        """Return the map's settings, in float32 where bfloat16 was asked for and changes classes of validation samples."""
        r, folder = self.recipe, self._split(self.recipe.map.draw) / "model"
        if r.map.precision == "float32":
            return r.map
        validation = self.samples.draw(r.split, r.map.draw).validation
        found = check_bfloat16(trained, self.samples, validation, r.training.device)
        found.save(folder)
        return settled(r.map, found, r.training.device, self.progress)

    def report(self) -> Path:
        """Compare the map with the truth where there is one, estimate areas, and write ``report.html``."""
        from bocage.report.page import Material, write_report  # draws with matplotlib, which takes a second to import

        for k in range(self.recipe.split.draws):
            self.folder.need(f"evaluate/{k}", self.keys["evaluate"], "evaluate")
        land = counts = area = None
        tested = Predictions.from_parquet(self._split(self.recipe.map.draw) / "test.parquet")
        if self.scene.ids is None:
            self.folder.need("map", self.keys["map"], "map")
            land = self._map_on_disk(self.samples.legend)
            counts = count_codes(land.files["classes"], land.legend, land.grid)
            area = self._area(tested, counts)
        score, truth = self._score_of_all_draws(), self._truth(land)
        more = {"truth": truth.as_dict()} if truth else {}
        score.save(self.folder.path / "score.json", **more, **({"area": area.as_dict()} if area else {}))
        return write_report(
            Material(
                self.folder.path,
                self.scene,
                self.samples,
                score,
                self.samples.draw(self.recipe.split, self.recipe.map.draw),
                self.recipe.map.draw,
                tested,
                self.folder.said,
                self.recipe.report,
                land,
                counts,
                truth,
                area,
                self._sample() if land else None,
                self._importance(),
            )
        )

    def _truth(self, land: LandCoverMap | None) -> Score | None:
        """Compare the whole map with the truth raster, where the recipe names one."""
        if not self.recipe.evaluation.truth or not land:
            return None
        pairs = codes_beside(self.recipe.evaluation.truth, land.files["classes"], land.grid)
        matrix = compare(pairs, land.legend.codes, land.legend.names)
        return Score((matrix,), self.recipe.evaluation.names, {"reference": "the whole truth raster"})

    def _area(self, tested: Predictions, counts: NDArray[np.int64]) -> Adjusted | None:
        """Estimate areas from the test polygons of the draw that made the map; None where there are too few."""
        share = counts / max(1, int(counts.sum()))
        try:
            return clustered(tested.predicted, tested.label, tested.polygon, share.tolist(), self.samples.legend.names)
        except EvaluationError as error:
            self.progress.say(f"No areas are estimated: {error}")
            return None

    def _sample(self) -> tuple[str, Adjusted] | None:
        """What a labelled validation sample said, if one was evaluated (``bocage evaluate --sample``)."""
        path = self.folder.path / SAMPLE
        if not path.exists():
            return None
        said = json.loads(path.read_text())
        return said.pop("file"), Adjusted.from_dict(said)

    def _importance(self) -> Importance | None:
        """Importance of sources and dates for the draw that makes the map, measured once."""
        r, path = self.recipe, self._split(self.recipe.map.draw) / "importance.json"
        if not r.evaluation.importance:
            return None

        def measure() -> None:
            test = self.samples.draw(r.split, r.map.draw).test
            trained = Trained.load(self._split(r.map.draw) / "model")
            parts = (trained, self.samples, test, r.evaluation.importance, r.training.device)
            path.write_text(json.dumps(dataclasses.asdict(importance(*parts, progress=self.progress))))

        key = digest(self.keys["evaluate"], r.map.draw, r.evaluation.importance)
        self.folder.once("importance", key, measure, self.progress)
        said = json.loads(path.read_text())
        return Importance(**said)

    def _split(self, k: int) -> Path:
        return self.folder.path / "splits" / str(k)

    def _map_on_disk(self, legend: Legend) -> LandCoverMap:
        return open_map(legend, self.scene.grid, self.recipe.map, self.folder.path / "map")

    def _score_of_all_draws(self) -> Score:
        draws = [load_score(self._split(k) / "score.json") for k in range(self.recipe.split.draws)]
        matrices, trust = tuple(one.matrices[0] for one in draws), tuple(t for one in draws for t in one.trust)
        return Score(matrices, self.recipe.evaluation.names, {"draws": len(draws), **draws[0].design}, trust)

    def _score(self, k: int) -> None:
        """Classify the test pixels of draw `k`; write ``test.parquet`` and ``score.json``."""
        r, samples = self.recipe, self.samples
        trained = Trained.load(self._split(k) / "model")
        draw = samples.draw(r.split, k)
        if absent := samples.without(draw.test):
            self.progress.say(f"Draw {k + 1} has no test pixel of: {absent}; their accuracy is not known from it.")
        found = self._classified(trained, draw.test, k)
        found.to_parquet(self._split(k) / "test.parquet")
        learnt = np.concatenate([draw.train, draw.validation])
        places = None if samples.place is None else (samples.place[learnt], samples.place[draw.test])
        units = tuple(len(np.unique(samples.group(r.split)[part])) for part in (learnt, draw.test))
        trust = trust_of(found, samples.label[learnt], places, units)  # type: ignore[arg-type]
        matrix = found.matrix(samples.legend.names)
        Score((matrix,), r.evaluation.names, self._design(k), (trust,)).save(self._split(k) / "score.json")

    def _classified(self, trained: Trained, test: NDArray[np.int64], k: int) -> Predictions:
        r, samples = self.recipe, self.samples
        place = (samples.row[test], samples.column[test], samples.polygon[test])
        if trained.has_context:
            task = f"classifying test polygons, draw {k + 1}"
            found = classify_at(trained, self.scene, *place, device_of(r.training.device), self.progress, task)
        else:
            found = classify(trained, samples, test, r.training)
        return predictions_of(*place, samples.label[test], found, trained.calibration.temperature)

    def _design(self, k: int) -> dict[str, Any]:
        split, folds = self.recipe.split, self.samples.folds
        return {
            "unit": f"pixels of test {'pixels' if split.unit == 'pixel' else split.unit + 's'}",
            "drawn": split.unit,
            "block": split.block if split.unit == "block" else None,
            "buffer": split.buffer or None,
            "test_share": round(1 - split.train, 4),
            "stratified_by": f"the field '{split.fold}'" if split.fold else "class",
            "fold": folds[k] if folds else None,
        }
