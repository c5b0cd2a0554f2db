"""Learning curves of patchwork with 1, 2, 5 and 10 % of the polygons: without and with an encoder pretrained on the scene.

    BOCAGE_DATA=/path/to/data python -m benchmarks.learning [simulated] [canada]

The encoder is pretrained once (``bocage pretrain``) on pixels without labels. Then 1 to 10 % of the polygons train, without
validation polygons, and all other polygons test. "Self-trained" continues from this model as ``bocage adapt`` does, on
unlabelled pixels of the scene. An interrupted benchmark resumes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.accuracy import classes_of, samples_of, scores_of
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, example, landscape, read, without_fill
from bocage.jobs.adapt import adapt_to
from bocage.jobs.pretrain import pretrain_on
from bocage.layout import SplitLayout
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.simulate import Simulation
from bocage.training import Adapting, Pretrained, Pretraining, Trained, Trainer

WORK, RESULTS = BUILD / "learning", Results("learning")
LANDSCAPE, SETTINGS = WORK / "landscape", Simulation(height=2406, width=2804, polygons=120)
"""A landscape large enough that 2 % of the polygons are two of each class."""
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
        if name == "simulated":
            landscape(LANDSCAPE, SETTINGS)
        recipe = parse(recipe_of(name), LANDSCAPE, name)
        scene = open_scene(recipe)
        return cls(name, recipe, scene, samples_of(recipe, scene, WORK / f"{name}-samples"))

    @property
    def folder(self) -> Path:
        """Folder of the models."""
        return WORK / self.name

    def pretrained(self) -> Pretrained:
        """Return the pretrained encoder."""
        with RESULTS.lock(f"{self.name} encoder"):
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
        out = self._out(share, way, draw)
        if not out.model.path.exists():
            if way == WAYS[2]:
                self._trained(share, WAYS[1], draw)
                adapt_to(self.recipe, self._out(share, WAYS[1], draw).model.path, out.path, Adapting(always=True))
            else:
                self._train(share, draw, out.path, self.pretrained() if way == WAYS[1] else None)
        return Trained.load(out.model.path)

    def _out(self, share: float, way: str, draw: int) -> SplitLayout:
        return SplitLayout(self.folder / f"{slug(way)}-{share}-{draw}")

    def _train(self, share: float, draw: int, folder: Path, start: Pretrained | None) -> None:
        Trainer(self.recipe.choice, self.scene, self._split(share), start).train(draw, folder)


def recipe_of(name: str) -> Table:
    """Return the recipe of a scene; draws of Canada are from the whole country, without gap filling."""
    recipe = read(LANDSCAPE / "patchwork.toml") if name == "simulated" else without_fill(example(name))
    kept = {key: part for key, part in recipe.items() if key not in ("evaluation", "training")}
    training = {"keep": "last", "samples_per_epoch": 1300}
    return {**kept, "split": {"draws": DRAWS}, "model": {"name": "patchwork"}, "training": training}


WORDS = tuple(SCENES)
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the tables."""
    for name in wanted or SCENES:
        bench, shares = Bench.of(name), {f"{name} {share}": share for share in SHARES if share >= FEWEST.get(name, 0)}
        for line in RESULTS.free(shares):
            for way in SLOW.get(name, WAYS):
                keys = (name, way, str(shares[line]))
                RESULTS.measure(keys, lambda bench=bench, share=shares[line], way=way: bench.scores(share, way))
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Mapping[str, Mapping[str, list[dict[str, float]]]]]) -> str:
    """Return a table with two lines per way, accuracy and weighted F-measure, and a column per share of the polygons."""
    rows = []
    for name in (name for name in found if name in SCENES):
        for way, shares in found[name].items():
            for key, label in (("overall_accuracy", "accuracy"), ("f1_weighted", "weighted F")):
                cells = (spread([draw[key] for draw in shares[s]]) if s in shares else "" for s in map(str, SHARES))
                rows.append((f"{name}: {way}", label, *cells))
    return table(("", "", *(f"{share:.0%}" for share in SHARES)), rows)


if __name__ == "__main__":
    command_line(__name__)
