"""References that are whole: U-Net and U-TAE on windows, compared with patchwork on pixels and on windows.

    BOCAGE_DATA=/path/to/data python -m benchmarks.dense [simulated] [flanders]

`simulated`: the raster of the true land cover of a simulated landscape, on the grid of Sentinel-2, is the reference; blocks of 320 m
train or test. `flanders`: band 1 of the raster of labels of tile 31UDS (land cover), whose areas train or test. All models have
Sentinel-2 only, with its acquisition dates and masks, except U-Net, which stacks gap-filled dates.

Sizes are reduced so that two cores can train them: a quarter of the published widths for U-TAE, and for U-Net also three poolings
instead of four. The settings of the trainings are the defaults, without calibration, and with two windows in a batch of U-TAE and
U-Net. No setting was searched for.

"Windows" is the largest difference of a probability between the map computed in one piece and in windows that start elsewhere.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from benchmarks.accuracy import METRICS_SHOWN, scores_of
from benchmarks.frame import BUILD, Results, command_line, slug, spread, table
from benchmarks.recipes import Table, example, landscape, read
from bocage.evaluation.paired import resampled_t
from bocage.grid import Window
from bocage.layout import SplitLayout
from bocage.mapping import classify_at, pixels_per_second, predict
from bocage.models import MODELS as SHELF
from bocage.models import InputSpec
from bocage.models.settings.multiresolcc import PAN
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.samples import Samples, make_samples
from bocage.scene import Scene
from bocage.simulate import Simulation
from bocage.training import Trained, Trainer, classify, needs_for

WORK, RESULTS, DRAWS, CPU = BUILD / "dense", Results("dense"), 5, torch.device("cpu")
LAND = Simulation(height=803, width=902, sensors=("s2",))
UTAE = {"name": "utae", "encoder": [16, 16, 16, 32], "decoder": [8, 8, 16, 32], "heads": 4, "width": 64, "output": 16}
UNET = {"name": "unet", "width": 16, "depth": 3}
SIDES = {"simulated": 32, "flanders": 16}
"""Side of the windows of the training, in pixels of 10 m."""
MODELS: Mapping[str, tuple[Table, Table]] = {
    "patchwork": ({"name": "patchwork"}, {"calibrate": False}),
    "patchwork, windows": ({"name": "patchwork"}, {"calibrate": False}),
    "U-TAE": (UTAE, {"calibrate": False, "batch_size": 2}),
    "U-Net": (UNET, {"calibrate": False, "batch_size": 2}),
}
"""Name → sections [model] and [training]; the side of the windows is added, except for patchwork on pixels."""
FILLED = "U-Net"
PUBLISHED = {"U-TAE": ("utae", InputSpec("s2", tuple("abcdefghij"), 46, PAN.ratio), 20), "U-Net": ("unet", PAN, 2)}
"""Name → network, the source of its paper, and the number of classes there."""


def recipe_of(data: str, name: str) -> Table:
    """Return the recipe of a model on a data set."""
    model, training = MODELS[name]
    if data == "simulated":
        made = read(landscape(WORK / "landscape", LAND) / "gru.toml")
        sources = {"s2": made["sources"]["s2"]}
        found = {"legend": made["legend"], "reference": {"path": "truth.tif", "label": "code"}}
        split: Table = {"unit": "block", "block": 320, "train": 0.3, "validation": 0.1}
    else:
        made = example("flanders")
        sources = {"s2": made["sources"]["s2"]}
        codes = {11: "annual cropland", 13: "grassland", 60: "built-up", 99: "no cropland"}
        legend = {"classes": [{"code": code, "name": label} for code, label in codes.items()]}
        raster = "${BOCAGE_DATA}/flanders/A_31UDS_2018/labels_10m.tif"
        found = {"legend": legend, "reference": {"path": raster, "layer": "1", "label": "code"}}
        split = {"train": 0.5, "validation": 0.1}
    if name != FILLED:
        sources["s2"] = {key: value for key, value in sources["s2"].items() if key != "fill"}
    if name != "patchwork":
        training = {**training, "window": SIDES[data]}
    return {
        "grid": {"like": "s2"}, "sources": sources, **found, "model": model,
        "split": {**split, "draws": DRAWS, "rare": "drop"}, "training": training,
    }  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """A model on a data set."""

    data: str
    name: str

    @cached_property
    def opened(self) -> tuple[Recipe, Scene, Samples]:
        """The recipe, its scene and its samples."""
        recipe = parse(recipe_of(self.data, self.name), WORK / "landscape", f"{self.data} {self.name}")
        scene = open_scene(recipe)
        needs = needs_for(recipe.choice, recipe.choice.build(scene, recipe.legend), scene)
        folder = WORK / slug(f"samples {self.data} {self.name}")
        return recipe, scene, make_samples(scene, recipe.survey, needs, folder)

    def trained(self, draw: int) -> tuple[Trained, float]:
        """Return the model of a draw and the processor time of its training, in seconds; train it once."""
        out = SplitLayout(WORK / slug(f"{self.data} {self.name} {draw}"))
        seconds = out.path / "seconds"
        if not seconds.exists():
            recipe, scene, samples = self.opened
            started = time.process_time()
            Trainer(recipe.choice, scene, samples).train(draw, out.path)
            seconds.write_text(str(time.process_time() - started))
        return Trained.load(out.model.path), float(seconds.read_text(encoding="utf-8"))

    def scores(self, draw: int) -> dict[str, float]:
        """Return the scores of the test pixels of a draw, and the seconds of its training."""
        _, scene, samples = self.opened
        trained, seconds = self.trained(draw)
        test = samples.draw(draw).test
        if trained.has_context:
            found = classify_at(trained, scene, samples.pixels(test), CPU)
        else:
            found = classify(trained, samples.chips, test, "cpu")
        return scores_of(samples, test, found.argmax(1)) | {"seconds": round(seconds, 1), "pixels": len(test)}

    def facts(self) -> dict[str, Any]:
        """Return the number of parameters, the speed of the map, and the largest difference between windows."""
        _, scene, _ = self.opened
        trained, _ = self.trained(0)
        height, width = (min(n, 128) for n in scene.grid.shape)
        whole = predict(trained, scene, Window(0, 0, height, width), CPU).probabilities
        worst = 0.0
        for y, x in ((0, 0), (8, 16), (24, 8), (40, 40)):
            window = Window(y, x, min(17, height - y), min(21, width - x))
            part = predict(trained, scene, window, CPU).probabilities
            ys, xs = slice(y, y + window.height), slice(x, x + window.width)
            worst = max(worst, float(np.abs(part - whole[:, ys, xs]).max()))
        speed = pixels_per_second(trained, scene, CPU, at_least=0.5)
        return {"parameters": _size(trained.model), "windows": worst, "pixels_per_second": round(speed or 0)}


def _size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def published() -> dict[str, int]:
    """Return the number of parameters of the networks with the sizes, bands and classes of their papers."""
    found = {}
    for name, (key, spec, classes) in PUBLISHED.items():
        architecture = SHELF.get(key)
        found[name] = _size(architecture.Model({spec.name: spec}, classes, architecture.Config()))
    return found


WORDS = tuple(SIDES)


def run(wanted: Sequence[str] = ()) -> str:
    """Measure the missing results and return the tables."""
    torch.set_num_threads(1)
    for data in wanted or SIDES:
        for draw in range(DRAWS):
            for name in MODELS:
                RESULTS.measure((data, name, draw), lambda b=Bench(data, name), d=draw: b.scores(d))
        for name in MODELS:
            RESULTS.measure(("facts", data, name), Bench(data, name).facts)
    RESULTS.measure(("published",), published)
    return markdown(RESULTS.content())


def markdown(found: Mapping[str, Any]) -> str:
    """Return a table for each data set."""
    parts = []
    for data in (name for name in SIDES if name in found):
        rows, share = [], recipe_of(data, "patchwork")["split"]
        ratio = (1 - share["train"]) / share["train"]
        first = found[data]["patchwork"]
        for name, draws in found[data].items():
            cells = [spread([one[key] for one in draws]) for key in METRICS_SHOWN]
            ours, theirs = ([one["overall_accuracy"] for one in some][: len(draws)] for some in (first, draws))
            p = f"{resampled_t(theirs, ours, ratio).p:.3f}" if name != "patchwork" and len(draws) > 1 else ""
            facts = found.get("facts", {}).get(data, {}).get(name, {})
            seconds = f"{np.median([one['seconds'] for one in draws]):.0f}"
            known = [
                f"{facts.get('parameters', 0):,}",
                f"{facts.get('windows', 0):.0e}",
                str(facts.get("pixels_per_second", "")),
            ]
            rows.append((name, *cells, p, seconds, *known))
        head = ("", "accuracy", "weighted F", "kappa", "p", "training, s", "parameters", "windows", "map, px/s")
        parts += [f"\n{data}\n", table(head, rows)]
    sizes = ", ".join(f"{name} {n:,}" for name, n in found.get("published", {}).items())
    return "\n".join([*parts, f"\nParameters with the sizes of the papers: {sizes}"])


if __name__ == "__main__":
    command_line(__name__)
