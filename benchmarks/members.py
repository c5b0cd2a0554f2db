"""Mean of several networks and mixture with boosted trees: accuracy, calibration error, speed of the map.

    BOCAGE_DATA=/path/to/data python -m benchmarks.members [simulated] [canada]

Patchwork with 1, 3 and 5 members (other seeds), and the mean of patchwork and LightGBM, all with their defaults, on all sensors of
the simulated landscape (random draws) and on the series of `canada` (three folds). The members of the mean of three are the first
three of those of five, which are not trained again. "Calibration error" is the expected calibration error of the test pixels. The
speed is the median of rounds over one window, all models in turn, reading included.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from benchmarks import networks
from benchmarks.accuracy import samples_of, scores_of
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.measuring import medians
from benchmarks.networks import SERIES_SOURCES, VHR_SOURCES
from benchmarks.recipes import Table, example, landscape, without_fill
from bocage.layout import SplitLayout
from bocage.mapping import pixels_per_second
from bocage.recipe import Recipe, parse
from bocage.reliability import reliability
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.training import Trained, Trainer, classify

WORK, RESULTS, DRAWS = BUILD / "members", Results("members"), 3
MODELS: Mapping[str, Table] = {
    "patchwork, 5 members": {"name": "patchwork", "members": 5},
    "patchwork, 3 members": {"name": "patchwork", "members": 3},
    "patchwork": {"name": "patchwork"},
    "patchwork and LightGBM": {"name": "mixture", "members": [{"name": "patchwork"}, {"name": "lightgbm"}]},
}
"""Name → table [model]; the largest mean first, whose members the others take."""
OF = {"patchwork, 3 members": "patchwork, 5 members"}
"""Model → model whose members it takes."""
DATA = ("simulated", "canada")


@dataclass(frozen=True)
class Bench:
    """A model on a data set."""

    data: str
    name: str

    @property
    def table(self) -> Table:
        """The recipe."""
        if self.data == "simulated":
            recipe = networks.on_landscape(MODELS[self.name], "s2", SERIES_SOURCES | VHR_SOURCES, DRAWS)
        else:
            recipe = {k: v for k, v in example("canada").items() if k not in ("name", "training")}
            recipe |= {"model": MODELS[self.name]}
        return without_fill(recipe) | {"training": {"samples_per_epoch": networks.SAMPLES[self.data]}}

    @cached_property
    def opened(self) -> tuple[Recipe, Scene, Samples]:
        """The recipe, its scene and its samples."""
        where = landscape(networks.LANDSCAPE, networks.SETTINGS) if self.data == "simulated" else WORK
        recipe = parse(self.table, where, f"{self.data} {self.name}")
        scene = open_scene(recipe)
        return recipe, scene, samples_of(recipe, scene, WORK / slug(f"samples {self.data} {self.name}"))

    def folder(self, draw: int) -> SplitLayout:
        """Folder of the model of a draw."""
        return SplitLayout(WORK / slug(f"{self.data} {self.name} {draw}"))

    def trained(self, draw: int) -> tuple[Trained, float]:
        """Return the model of a draw, and the seconds of its training, in which complete members are not trained again."""
        out, seconds = self.folder(draw), self.folder(draw).path / "seconds"
        if not seconds.exists():
            if self.name in OF and not out.members.exists():
                shutil.copytree(Bench(self.data, OF[self.name]).folder(draw).members, out.members)
            recipe, scene, samples = self.opened
            started = time.monotonic()
            Trainer(recipe.choice, scene, samples).train(draw, out.path)
            seconds.write_text(str(time.monotonic() - started))
        return Trained.load(out.model.path), float(seconds.read_text(encoding="utf-8"))

    def scores(self, draw: int) -> dict[str, float]:
        """Return the scores of a draw, with its calibration error and the seconds of its training."""
        recipe, _, samples = self.opened
        trained, seconds = self.trained(draw)
        test = samples.draw(draw).test
        found = classify(trained, samples.chips, test, recipe.choice.training.device)
        classes = found.argmax(1)
        error = reliability(found.max(1), classes == samples.label[test]).error
        return scores_of(samples, test, classes) | {"calibration_error": error, "seconds": round(seconds, 1)}


def speeds() -> dict[str, float]:
    """Return model → pixels per second on the simulated landscape, all models in turn."""
    benches = {name: Bench("simulated", name) for name in MODELS}
    models = {name: bench.trained(0)[0] for name, bench in benches.items()}

    def speed(name: str) -> float:
        measured = pixels_per_second(models[name], benches[name].opened[1], torch.device("cpu"), at_least=0.5)
        assert measured
        return measured

    return medians({name: lambda name=name: speed(name) for name in MODELS}, 3)


WORDS = DATA
"""Words of the command line."""


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the tables."""
    for data in wanted or DATA:
        for draw in range(DRAWS):
            for name in MODELS:
                bench = Bench(data, name)
                RESULTS.measure((data, name, draw), lambda bench=bench, draw=draw: bench.scores(draw))
    if "simulated" in (wanted or DATA):
        RESULTS.keep(speeds(), "speeds")
    return "\n" + markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table for each data set."""
    parts, fastest = [], found.get("speeds", {})
    for data in (name for name in DATA if name in found):
        rows = []
        for name in sorted(found[data], key=lambda name: list(MODELS).index(name)):
            draws = found[data][name]
            cells = [spread([one[key] for one in draws]) for key in ("overall_accuracy", "kappa", "calibration_error")]
            speed = f"{fastest[name]:.0f}" if data == "simulated" and name in fastest else ""
            rows.append((name, *cells, speed))
        parts += [f"\n{data}\n", table(("", "accuracy", "kappa", "calibration error", "map, px/s"), rows)]
    return "\n".join(parts)


if __name__ == "__main__":
    command_line(__name__)
