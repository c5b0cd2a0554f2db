"""The whole flow: one call per room."""

import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bocage.evaluation import ConfusionMatrix, Score, compare, load_score
from bocage.mapping import LandCoverMap, codes_beside, make_map, open_map
from bocage.models import build
from bocage.pipeline.recipe import Recipe
from bocage.pipeline.runfolder import RunFolder, digest, input_fingerprints
from bocage.progress import QUIET, Progress
from bocage.report import write_report
from bocage.samples import Samples, make_samples
from bocage.scene import Scene, make_scene
from bocage.sources import SENSORS, open_source
from bocage.training import Trained, classify, input_specs, train

STAGES = ("train", "evaluate", "map", "report")


@dataclass
class Run:
    """A recipe at work in its folder: each method is a stage."""

    recipe: Recipe
    scene: Scene
    folder: RunFolder
    samples: Samples
    keys: dict[str, str]
    progress: Progress

    def train(self) -> None:
        """Train the model on every draw; draws that are complete are kept."""
        r, out = self.recipe, self.folder.path
        for k in range(r.split.draws):
            work = partial(train, self.scene, self.samples, r.split, k, r.model, r.config, r.training)
            self.folder.once(
                f"train/{k}", self.keys["train"], partial(work, out / f"splits/{k}", self.progress), self.progress
            )

    def evaluate(self) -> Score:
        """Classify every draw's test polygons, and write ``score.json``."""
        for k in range(self.recipe.split.draws):
            self.folder.need(f"train/{k}", self.keys["train"], "train")
            self.folder.once(f"evaluate/{k}", self.keys["evaluate"], partial(self._score, k), self.progress)
            self.progress.step("evaluating", k + 1, self.recipe.split.draws)
        draws = [load_score(self._split(k) / "score.json") for k in range(self.recipe.split.draws)]
        score = Score(
            tuple(d.matrices[0] for d in draws), self.recipe.evaluation.names, {"draws": len(draws), **draws[0].design}
        )
        score.save(self.folder.path / "score.json")
        return score

    def map(self) -> LandCoverMap:
        """Map the scene with the network of the draw that the recipe names."""
        r, k = self.recipe, self.recipe.map.draw
        self.folder.need(f"train/{k}", self.keys["train"], "train")
        trained = Trained.load(self._split(k) / "model")
        folder = self.folder.path / "map"
        self.folder.once(
            "map",
            self.keys["map"],
            lambda: make_map(trained, self.scene, r.map, folder, r.training.device, self.progress),
            self.progress,
        )
        return open_map(trained.legend, self.scene.grid, r.map, folder)

    def report(self) -> Path:
        """Compare the map with the truth where there is one, and write ``report.html``."""
        for k in range(self.recipe.split.draws):
            self.folder.need(f"evaluate/{k}", self.keys["evaluate"], "evaluate")
        self.folder.need("map", self.keys["map"], "map")
        score, land = self.evaluate(), self.map()
        truth = None
        if self.recipe.evaluation.truth:
            pairs = codes_beside(self.recipe.evaluation.truth, land.files["classes"], land.grid)
            matrix = compare(pairs, land.legend.codes, land.legend.names)
            truth = Score((matrix,), self.recipe.evaluation.names, {"reference": "the whole truth raster"})
            score.save(self.folder.path / "score.json", truth=truth.as_dict())
        return write_report(self.folder.path, self.scene, self.samples, land, score, truth, self.folder.said)

    def _split(self, k: int) -> Path:
        return self.folder.path / "splits" / str(k)

    def _score(self, k: int) -> None:
        r = self.recipe
        trained = Trained.load(self._split(k) / "model")
        members = self.samples.draw(r.split, k).test
        matrix = ConfusionMatrix.of(
            self.samples.label[members], classify(trained, self.samples, members, r.training), self.samples.legend.names
        )
        design = {
            "unit": "pixels of test polygons",
            "test_share": round(1 - r.split.train, 4),
            "stratified_by": "class",
        }
        Score((matrix,), r.evaluation.names, design).save(self._split(k) / "score.json")


def open_scene(recipe: Recipe, progress: Progress = QUIET) -> Scene:
    """Open the recipe's sources and lay them on the map's grid."""
    sources = {name: open_source(name, SENSORS.get(c.sensor), c.settings) for name, c in recipe.sources.items()}
    scene = make_scene(
        recipe.grid.grid(sources), list(sources.values()), {n: c.preparation for n, c in recipe.sources.items()}
    )
    for note in scene.notes:
        progress.say(note)
    return scene


def open_run(recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False) -> Run:
    """Open the scene and the samples of a recipe, and claim the run's folder."""
    scene = open_scene(recipe, progress)
    inputs = input_fingerprints(recipe, scene)
    network = build(recipe.model, input_specs(scene), len(recipe.legend.classes), recipe.config)
    folder = RunFolder.claim(out, recipe, inputs, overwrite)
    used = {name: recipe.sources[name] for name in network.footprints}
    cut = digest(inputs, recipe.grid, recipe.legend, used, recipe.reference, network.footprints)
    samples_key = digest(cut, recipe.split)
    keys = {"train": digest(samples_key, recipe.model, recipe.config, recipe.training)}
    keys |= {"evaluate": digest(keys["train"], recipe.evaluation.metrics), "map": digest(keys["train"], recipe.map)}
    where = out / "scene" / "samples"
    current = folder.is_current("samples", cut)
    if not current:
        shutil.rmtree(where, ignore_errors=True)
    with nullcontext() if current else folder.timed("samples", cut):
        samples = make_samples(
            scene, recipe.legend, recipe.reference, recipe.split, network.footprints, where, progress
        )
        samples.to_parquet(out / "samples.parquet")
    for note in samples.notes:
        progress.say(note)
    return Run(recipe, scene, folder, samples, keys, progress)


def run(
    recipe: Recipe, out: Path, stages: Sequence[str] = STAGES, progress: Progress = QUIET, overwrite: bool = False
) -> Run:
    """Follow a recipe through some or all of its stages."""
    opened = open_run(recipe, out, progress, overwrite)
    for stage in STAGES:
        if stage in stages:
            getattr(opened, stage)()
    return opened


def map_with(recipe: Recipe, model: Path, out: Path, progress: Progress = QUIET) -> LandCoverMap:
    """Map the recipe's scene with a network trained elsewhere; no reference polygon is needed."""
    return make_map(
        Trained.load(model), open_scene(recipe, progress), recipe.map, out / "map", recipe.training.device, progress
    )
