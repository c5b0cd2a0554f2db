"""Learning curves of patchwork with 1, 2, 5 and 10 % of the polygons: without and with an encoder pretrained on the scene.

    BOCAGE_DATA=/path/to/data python -m benchmarks.learning [simulated] [canada]

The encoder is pretrained once (``bocage pretrain``) on pixels without labels. Then 1 to 10 % of the polygons train, without
validation polygons, and all other polygons test. "Self-trained" continues from this model as ``bocage adapt`` does, on
unlabelled pixels of the scene. An interrupted benchmark resumes.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import classes_of, samples_of, scores_of
from benchmarks.record import RESULTS, machine
from bocage.jobs.adapt import adapt_to
from bocage.jobs.pretrain import pretrain_on
from bocage.recipe import Recipe, read_recipe
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.simulate import Simulation, simulate
from bocage.simulate.recipes import write_recipes
from bocage.training import Pretrained, Pretraining, Trained, Trainer

WORK = Path("build/learning").resolve()
FILE = RESULTS / "learning.json"
SHARES, DRAWS = (0.01, 0.02, 0.05, 0.1), 3
FEWEST = {"simulated": 0.02}
"""Minimum share of a scene, if not the first of `SHARES`: a draw needs two polygons of a class, 2 % of 120 polygons."""
SCENES = {"simulated": Pretraining(pixels=8192), "canada": Pretraining(epochs=200)}
"""Scene → settings of its pretraining. Canada has two thousand points only."""
WAYS = ("from nothing", "pretrained", "pretrained, self-trained")
SLOW = {"simulated": WAYS[:2]}
"""Scenes for which only some ways are measured, because all of them would take hours."""


@dataclass(frozen=True)
class Bench:
    """A scene and its samples."""

    name: str
    recipe: Recipe
    scene: Scene
    samples: Samples

    @classmethod
    def of(cls, name: str) -> "Bench":
        """Open the scene and make its samples."""
        recipe = read_recipe({"simulated": _simulated, "canada": _canada}[name]())
        scene = open_scene(recipe)
        return cls(name, recipe, scene, samples_of(recipe, scene, WORK / f"{name}-samples"))

    @property
    def folder(self) -> Path:
        """Folder of the models."""
        return WORK / self.name

    def pretrained(self) -> Pretrained:
        """Return the pretrained encoder."""
        return pretrain_on(self.recipe, self.folder / "encoder", SCENES[self.name])

    def scores(self, share: float, way: str) -> list[dict[str, float]]:
        """Return the scores of each draw on all polygons that are not used for training."""
        samples, found = self._split(share), []
        for draw in range(DRAWS):
            test = samples.draw(draw).test
            classes = classes_of(self._trained(share, way, draw), samples, test, self.recipe)
            found.append(scores_of(samples, test, classes))
        return found

    def _split(self, share: float) -> Samples:
        """Return the samples, of which a share of the polygons trains."""
        return replace(self.samples, split=replace(self.recipe.split, train=share))

    def _trained(self, share: float, way: str, draw: int) -> Trained:
        folder = self.folder / f"{way.replace(', ', '-').replace(' ', '-')}-{share}-{draw}"
        if not (folder / "model").exists():
            makers: Mapping[str, Callable[[], Any]] = {
                WAYS[0]: lambda: self._train(share, draw, folder, None),
                WAYS[1]: lambda: self._train(share, draw, folder, self.pretrained()),
                WAYS[2]: lambda: adapt_to(self.recipe, self._path(share, WAYS[1], draw), folder),
            }
            makers[way]()
        return Trained.load(folder / "model")

    def _path(self, share: float, way: str, draw: int) -> Path:
        self._trained(share, way, draw)
        return self.folder / f"{way.replace(' ', '-')}-{share}-{draw}" / "model"

    def _train(self, share: float, draw: int, folder: Path, start: Pretrained | None) -> None:
        Trainer(self.recipe.choice, self.scene, self._split(share), start).train(draw, folder)


def _simulated() -> Path:
    """Write the recipe of a landscape large enough that 2 % of the polygons are two of each class."""
    folder, settings = WORK / "landscape", Simulation(height=2406, width=2804, polygons=120)
    if not (folder / "truth.tif").exists():
        simulate(settings, folder)
        write_recipes(settings, folder)
    text = (folder / "patchwork.toml").read_text().partition("[training]")[0]
    text = re.sub(r"\[split\][^\[]*", f"[split]\ndraws = {DRAWS}\n", text)
    path = folder / "learning.toml"
    path.write_text(f'{text}\n[training]\nkeep = "last"\nsamples_per_epoch = 1300\n')
    return path


def _canada() -> Path:
    """Write the recipe of the points, with draws from the whole country and without gap-filling."""
    text = (Path(__file__).parents[1] / "examples/canada.toml").read_text().partition("[model]")[0]
    text = re.sub(r"fill = .*\n", "", text).replace('fold = "fold"', f"draws = {DRAWS}")
    path = WORK / "canada.toml"
    path.write_text(f'{text}\n[model]\nname = "patchwork"\n[training]\nkeep = "last"\nsamples_per_epoch = 1300\n')
    return path


def run_all(wanted: list[str] | None = None) -> str:
    """Measure the missing results and return the tables."""
    WORK.mkdir(parents=True, exist_ok=True)
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    for name in wanted or SCENES:
        bench = Bench.of(name)
        for share in (share for share in SHARES if share >= FEWEST.get(name, 0)):
            for way in SLOW.get(name, WAYS):
                lines = known.setdefault(name, {}).setdefault(way, {})
                if str(share) not in lines:
                    lines[str(share)] = bench.scores(share, way)
                    known["machine"] = machine()
                    FILE.write_text(json.dumps(known, indent=1) + "\n")
                    print(
                        f"{name:10} {share:4.0%} {way:26} {_spread(lines[str(share)], 'overall_accuracy')}", flush=True
                    )
    return "\n" + markdown({name: lines for name, lines in known.items() if name != "machine"})


def _spread(scores: list[dict[str, float]], key: str) -> str:
    values = [one[key] for one in scores]
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def markdown(found: Mapping[str, Mapping[str, Mapping[str, list[dict[str, float]]]]]) -> str:
    """Return a table with two lines per way, accuracy and weighted F-measure, and a column per share of the polygons."""
    lines = [f"| | | {' | '.join(f'{share:.0%}' for share in SHARES)} |", "| --- | --- |" + " --- |" * len(SHARES)]
    for name, ways in found.items():
        for way, shares in ways.items():
            for key, label in (("overall_accuracy", "accuracy"), ("f1_weighted", "weighted F")):
                cells = (_spread(shares[str(s)], key) if str(s) in shares else "" for s in SHARES)
                lines.append(f"| {name}: {way} | {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(run_all(sys.argv[1:]))
