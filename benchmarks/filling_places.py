"""Scenes of :mod:`benchmarks.filling`: recipes, series with hidden values, and the true values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from functools import cached_property
from itertools import pairwise
from typing import Any
from unittest import mock

import numpy as np
import pandas
from numpy.typing import NDArray

from benchmarks import transfer
from benchmarks.frame import BUILD, ROOT, Results
from benchmarks.generator import Generator, Series, Settings, clouds, trained
from benchmarks.recipes import Table, example, landscape, read, without_fill
from bocage.grid import Window
from bocage.recipe import Recipe, parse
from bocage.run import open_scene
from bocage.scene import Cube, Scene
from bocage.scene.cube import Block
from bocage.scene.gaps import Fill, interpolate, whittaker
from bocage.scene.indices import INDICES, bands_of
from bocage.simulate import Simulation

Filling = Callable[[Series], NDArray[np.float32]]
WORK, RESULTS = BUILD / "filling", Results("filling")
PICTURES = ROOT / "docs/decisions/0036-generation"
DRAWS, SETS = 5, ("simulated", "cloudier", "flanders", "canada")
LAND = Simulation(height=803, width=902, polygons=16, sensors=("s2", "s1"))
MERGED = {(4, 5): "gardens", (7, 8, 9): "wood"}
"""Classes of the landscape that only very high resolution distinguishes, as one."""
REGULAR = {
    "simulated": Fill(10, date(2022, 1, 1), date(2022, 12, 31)),
    "cloudier": Fill(10, date(2022, 1, 1), date(2022, 12, 31)),
    "flanders": Fill(15, date(2017, 10, 1), date(2018, 10, 31)),
    "canada": Fill(30, date(2017, 1, 1), date(2018, 5, 31)),
}
"""Regular dates of the filled series."""
CHOICE = ("simulated, seed 100", "flanders C")
"""Scenes on which the settings of the generator are chosen."""
BUFFER = 4
"""Width around clouds that is masked too, in pixels, in the ways with a buffer."""
CANDIDATES: Mapping[str, tuple[int, Settings]] = {
    "attention, 300 steps": (0, Settings(steps=300)),
    "attention, 600 steps": (0, Settings(steps=600)),
    "dense, 600 steps": (0, Settings("dense", steps=600)),
    "attention, 300 steps, no radar": (0, Settings(steps=300, radar=False)),
    "attention, 300 steps, no neighbours": (0, Settings(steps=300, neighbours=False)),
    "attention, 300 steps, buffer of 2 pixels": (2, Settings(steps=300)),
    "attention, 300 steps, buffer of 4 pixels": (4, Settings(steps=300)),
    "attention, 600 steps, buffer of 4 pixels": (4, Settings(steps=600)),
    "attention, 300 steps, no neighbours, buffer of 4 pixels": (4, Settings(steps=300, neighbours=False)),
    "attention, 300 steps, no radar, buffer of 4 pixels": (4, Settings(steps=300, radar=False)),
}
"""Width of the buffer, and settings of the generator. Without a buffer, the choice is measured on both scenes."""
CHOSEN, UNBUFFERED = "attention, 300 steps, buffer of 4 pixels", "attention, 300 steps"
HIDDEN, MORE_CLOUDS, LEAST = 0.15, 0.7, 0.01
"""Share of the clear values that is hidden; share that is hidden in `cloudier`, also from the classifiers; share of the scene that must be clear for a date to be used."""
PENALTIES, FINE = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5), 5
"""Penalties of the Whittaker smoother that are tried, and its step in days."""
GAPS = (20, 40, 60, 90)
"""Upper limits of the lengths of gaps, in days."""
GAP_NAMES = (f"up to {GAPS[0]}", *(f"{a} to {b}" for a, b in pairwise(GAPS)), f"over {GAPS[-1]}", "open on one side")
SHARE = 0.3
"""Share of the polygons of each class that trains."""
ERROR_RATIO = dict.fromkeys(SETS[2:], HIDDEN / (1 - HIDDEN))
ACCURACY_RATIO = dict.fromkeys(SETS[2:], (1 - SHARE) / SHARE)
"""Test units over training units, for draws that share a scene; landscapes share nothing."""
PICTURE_DATES = 3
MEASURES = {"rmse": "reflectance, RMSE", "mae": "reflectance, mean absolute error", "ndvi": "NDVI, RMSE"}
FILLED = ("linear", "linear, buffer", "whittaker, buffer", "generated, buffer", "generated")
WAYS = ("no filling", "no filling, buffer", *FILLED)
"""Ways to give a series to a classifier: with its masks, or filled; a buffer around clouds is masked first."""
TREES = {"rounds": 50}
MODELS: Mapping[str, tuple[tuple[str, ...], Table]] = {
    "random forest, S2": (("s2",), {"model": {"name": "random_forest", "trees": 100}}),
    "LightGBM, S2": (("s2",), {"model": {"name": "lightgbm", **TREES}}),
    "TempCNN, S2": (
        ("s2",),
        {
            "model": {"name": "tempcnn"},
            "training": {"epochs": 1000, "steps": [300, 300], "keep": "last", "learning_rate": 1e-3},
        },
    ),
    "patchwork, S2": (
        ("s2",),
        {
            "model": {"name": "patchwork", "preset": "small"},
            "training": {"epochs": 1000, "steps": [300, 300], "keep": "last"},
        },
    ),
    "patchwork, S1 + S2": (
        ("s2", "s1"),
        {
            "model": {"name": "patchwork", "preset": "small"},
            "training": {"epochs": 1000, "steps": [600, 600], "keep": "last"},
        },
    ),
}
"""Model → its sources, and the tables [model] and [training] of its recipe."""
MODELS_OF = {
    "cloudier": ("random forest, S2", "TempCNN, S2", "patchwork, S2"),
    "canada": ("random forest, S2", "LightGBM, S2", "TempCNN, S2", "patchwork, S1 + S2"),
}
"""Models of a set for which only some are measured."""


@dataclass(frozen=True)
class Filled(Cube):
    """A cube whose pixels are in memory."""

    stored: Block | None = None

    def read(self, window: Window) -> Block:
        """Return a window; pixels beyond the grid are masked."""
        assert self.stored is not None
        inner = window.clip(self.grid.shape)
        shape, there, here = (window.height, window.width), inner.within(window), inner.slices
        parts = []
        for stored in (self.stored.values, self.stored.valid, self.stored.clear):
            part = np.zeros((*stored.shape[:-2], *shape), stored.dtype)
            part[(..., *there)] = stored[(..., *here)]
            parts.append(part)
        return Block(*parts)


@dataclass(frozen=True)
class Place:
    """A scene, and a draw on it."""

    data: str
    draw: int

    @property
    def simulated(self) -> bool:
        """Whether the scene is a simulated landscape."""
        return self.data in (*SETS[:2], CHOICE[0])

    @property
    def base(self) -> Table:
        """Sources on acquisition dates, legend and reference of the scene, as a recipe."""
        if self.data == CHOICE[1]:
            return transfer.recipe_of("C", "patchwork", 0)
        if self.data in ("flanders", "canada"):
            return without_fill(example(self.data))
        made = read(self.folder / "patchwork.toml")
        rows = pandas.read_csv(self.folder / "legend.csv")
        names = dict(zip(rows.code, rows.name, strict=True)) | {codes[0]: name for codes, name in MERGED.items()}
        values = {code: [str(code)] for code in names} | {c[0]: list(map(str, c)) for c in MERGED}
        later = {code for codes in MERGED for code in codes[1:]}
        classes = [{"code": int(c), "name": n, "values": values[c]} for c, n in names.items() if c not in later]
        return {**made, "legend": {"classes": classes}}

    @property
    def folder(self) -> Any:
        """Folder of the landscape, or of temporary files."""
        if self.simulated:
            return landscape(WORK / f"land-{self.draw}", replace(LAND, seed=self.draw))
        return WORK

    def recipe(
        self, tables: Table, names: Sequence[str] = ("s2", "s1"), filled: Sequence[str] = (), root: Any = None
    ) -> Recipe:
        """Return the recipe of a model on some sources, some of them filled onto regular dates."""
        base = self.base
        sources = {}
        for name in names:
            source = dict(base["sources"][name])
            source |= {"indices": ["ndvi", "ndwi"]} if name == "s2" and self.data != CHOICE[1] else {}
            source |= {"ratio": {"coarser": 1}} if name == "s1" and self.data != "canada" else {}
            fill = (
                {field.name: getattr(REGULAR[self.data], field.name) for field in fields(Fill)}
                if name in filled
                else None
            )
            sources[name] = source | ({"fill": fill} if fill else {})
        kept = {key: base[key] for key in ("grid", "legend", "reference")}
        split = {"train": SHARE, "draws": 1, "seed": self.draw, "rare": "drop"}
        training = {"calibrate": False, **tables.get("training", {})}
        return parse({**kept, "name": "filling", "sources": sources, "split": split, "model": tables["model"],
                      "training": training}, root or self.folder)  # fmt: skip

    @cached_property
    def scene(self) -> Scene:
        """The scene on acquisition dates."""
        return open_scene(self.recipe({"model": {"name": "patchwork"}}))

    def series(self, name: str) -> Series:
        """Return a source as acquired, without indices."""
        return self._series(self.scene.cubes[name])

    @staticmethod
    def _series(cube: Cube) -> Series:
        cube = cube.only(cube.source.bands)
        block = cube.read(Window(0, 0, *cube.grid.shape))
        return Series(block.values, block.valid, cube.days)

    @cached_property
    def every(self) -> Series:
        """Sentinel-2 as acquired; with more clouds, where the set has them."""
        series = self.series("s2")
        if self.data != "cloudier":
            return series
        return series.without(clouds(series, MORE_CLOUDS, np.random.default_rng([self.draw, 3])))

    @cached_property
    def clear(self) -> Series:
        """Sentinel-2 at the dates of which a share `LEAST` is clear."""
        every = self.every
        kept = every.valid.mean((1, 2)) > LEAST
        return Series(every.values[kept], every.valid[kept], every.days[kept])

    @cached_property
    def bare(self) -> NDArray[np.float32]:
        """Sentinel-2 of the landscape without clouds, at the dates that are used, (time, band, y, x)."""
        with mock.patch(
            "bocage.simulate.sensors._cloud", lambda world, x, y, doy: (np.zeros_like(x), np.zeros_like(x))
        ):
            folder = landscape(WORK / f"bare-{self.draw}", replace(LAND, seed=self.draw, sensors=("s2",)))
        scene = open_scene(self.recipe({"model": {"name": "patchwork"}}, ("s2",), root=folder))
        return self._series(scene.cubes["s2"]).values[np.isin(scene.cubes["s2"].days, self.clear.days)]

    @cached_property
    def hidden(self) -> NDArray[np.bool_]:
        """The clear values that are hidden to measure the error, (time, y, x)."""
        return clouds(self.clear, HIDDEN, np.random.default_rng([self.draw, 1]))

    @cached_property
    def seen(self) -> Series:
        """Sentinel-2 without the hidden values."""
        return self.clear.without(self.hidden)

    @cached_property
    def ever(self) -> NDArray[np.bool_]:
        """Pixels with a clear date outside the buffers, (y, x)."""
        return np.asarray(self.clear.buffered(BUFFER).valid.any(0))

    @cached_property
    def bands(self) -> dict[str, int]:
        """Band → its position."""
        return {name: k for k, name in enumerate(self.scene.cubes["s2"].source.bands)}

    def index(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an index of values with the bands in the second dimension."""
        function = INDICES.get(name)
        return np.asarray(function(**{band: values[:, self.bands[band]] for band in bands_of(function)}), np.float32)

    def trained(self, buffer: int, settings: Settings) -> Generator:
        """Return a generator trained on the values that are not hidden."""
        return trained(self.seen.buffered(buffer), self.series("s1"), settings, self.draw)

    def smooth(self, seen: Series, penalty: float, days: NDArray[np.int32]) -> NDArray[np.float32]:
        """Return Whittaker smoothing of a series at some days."""
        fine = np.arange(seen.days[0], seen.days[-1] + FINE, FINE, dtype=np.int32)
        curve, valid = whittaker(seen.values, seen.valid, seen.days, fine, penalty)
        return interpolate(curve, valid, fine, days)[0]

    @cached_property
    def penalty(self) -> float:
        """The penalty with the lowest error on values that are hidden in addition to those that report."""
        inner = clouds(self.seen, HIDDEN, np.random.default_rng([self.draw, 2]))
        visible = self.seen.without(inner).buffered(BUFFER)
        errors = [
            squares(self.smooth(visible, penalty, visible.days), self.seen.values, inner).mean()
            for penalty in PENALTIES
        ]
        return PENALTIES[int(np.argmin(errors))]


def squares(filled: NDArray[np.float32], true: NDArray[np.float32], where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return squared errors (N, band) of the values (time, band, y, x) at `where` (time, y, x)."""
    return np.square(np.moveaxis(filled - true, 1, -1)[where])
