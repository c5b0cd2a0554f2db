"""What a folder holds for the page: the map, its legend and layers, the scene, the accuracy; and what is missing."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from bocage.errors import BocageError, RunFolderError, SourceError
from bocage.evaluation import Predictions
from bocage.grid import Grid
from bocage.layout import MapLayout, RunLayout
from bocage.legend import Legend
from bocage.mapping import WRITERS, Item
from bocage.mapping.writers.cog import read_reduced
from bocage.provenance import Provenance
from bocage.recipe import Recipe, Site, read_recipe
from bocage.report.transfer import Mapped
from bocage.run import open_scene
from bocage.samples import Samples
from bocage.samples.make import reopened
from bocage.scene import Scene
from bocage.sources.raster import inspect
from bocage.training import Trained
from bocage.view.imagery import Pictures
from bocage.view.pyramid import Pyramid
from bocage.words import sentence

COARSE = 512
"""Longer side of the reduced raster whose maximum is taken, in pixels."""
SHOWN = ("classes", "regularised", "confidence", "margin", "entropy", "novelty", "validity", "probabilities")
"""Rasters of a map that the page shows, in this order."""
T = TypeVar("T")
Missing = tuple[str, Mapping[str, Any]]
"""Key of a text, and its values."""


@dataclass(frozen=True)
class RasterLayer:
    """A raster of the map."""

    path: Path
    bands: tuple[str, ...]
    """Names of the bands."""
    scales: tuple[float, ...]
    """Factor from stored to physical values of each band."""


@dataclass
class Viewed:
    """A run, or a map, that is open for the page. The scene and the samples are opened when they are first needed."""

    layout: RunLayout
    name: str
    language: str
    legend: Legend
    grid: Grid
    layers: Mapping[str, RasterLayer]
    """Layers of the map that can be read; empty without a map."""
    recipe: Recipe | None = None
    site: str = ""
    missing: list[Missing] = field(default_factory=list)
    maxima: dict[str, float] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    @cached_property
    def scene(self) -> Scene | None:
        """The scene of the recipe; None, with a note, where it cannot be opened."""
        recipe = self.recipe
        return None if recipe is None else self._tried("view_no_imagery", lambda: open_scene(recipe))

    @cached_property
    def pictures(self) -> Pictures | None:
        """Imagery of the scene."""
        return None if self.scene is None else Pictures.of(self.scene)

    @cached_property
    def pyramid(self) -> Pyramid:
        """Tiles of the map; as deep as the finest imagery once the scene is open."""
        pictures = self.__dict__.get("pictures")
        return Pyramid(self.grid, pictures.finest(self.grid) if pictures else self.grid.resolution)

    @cached_property
    def samples(self) -> Samples | None:
        """Labelled pixels of the run, without footprints; None, with a note, where the polygons cannot be read."""
        recipe, scene = self.recipe, self.scene
        if recipe is None or scene is None or self.site or not self.layout.samples.exists():
            return None
        return self._tried("view_no_polygons", lambda: reopened(scene, recipe.survey, self.layout.samples))

    @cached_property
    def tested(self) -> Predictions | None:
        """Predictions of the model of the map at its test pixels; None where nothing was tested."""
        path = self.layout.split(self.recipe.map.draw if self.recipe else 0).test
        if self.site or not path.exists():
            return None
        return self._tried("view_no_test", lambda: Predictions.from_parquet(path))

    @property
    def tested_names(self) -> tuple[str, ...]:
        """Class names, in the order of the predictions."""
        return self.samples.legend.names if self.samples is not None else ()

    @property
    def model(self) -> Path | None:
        """Folder of the model of the map; None where it is not in the run's folder."""
        model = self.layout.split(self.recipe.map.draw if self.recipe else 0).model
        return model.path if model.description.exists() else None

    @cached_property
    def trained(self) -> Trained:
        """Model of the run.

        Raises
        ------
        TrainedError
            There is none, or its folder is damaged.
        """
        return Trained.load(self.model or self.layout.split(0).model.path)

    def most(self, name: str) -> float:
        """Return the largest value of the bands of a layer without a fixed range, from its overviews; at least 1."""
        with self.lock:
            if name not in self.maxima:
                values = read_reduced(self.layers[name].path, COARSE)
                known = values[values != np.iinfo(values.dtype).max]  # no data is the largest value of the type
                self.maxima[name] = float(max(1, known.max(initial=1)))
            return self.maxima[name]

    def open_all(self) -> None:
        """Open the scene, so that tiles reach the resolution of its imagery, and note what is missing."""
        with self.lock:
            _ = self.pictures
            self.__dict__.pop("pyramid", None)

    def notes(self, language: str) -> list[str]:
        """Return the sentences on what is missing."""
        return [sentence(key, language, **values) for key, values in self.missing]

    def _tried(self, key: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except BocageError as error:
            self.missing.append((key, {"why": str(error)}))
            return None


def open_viewed(folder: Path, site: str = "", recipe: Path | None = None) -> Viewed:
    """Open the folder of a run, finished or not, of a map or of a mosaic.

    Parameters
    ----------
    site
        Name of the site, in a run with several; empty: the first site with a map.
    recipe
        Recipe of the run, if it is no longer where the folder says.

    Raises
    ------
    RunFolderError
        The folder does not exist, or has neither a map nor a recipe whose sources can be opened.
    """
    if not folder.is_dir():
        raise RunFolderError(f"{folder} does not exist or is not a folder. Give the folder of a run or of a map.")
    layout, missing = RunLayout(folder), list[Missing]()
    parsed = _recipe_of(layout, recipe, missing)
    land = MapLayout.of(folder)
    if parsed and parsed.sites:
        chosen = parsed.find(site) if site else _first_mapped(parsed, layout)
        site, land, parsed = chosen.name, layout.site(chosen.slug).map, parsed.part(chosen)
    layers = _layers_of(land, missing)
    name = parsed.name if parsed else folder.resolve().name
    language = parsed.report.language if parsed else "en"
    if "classes" in layers:
        grid, legend = inspect(layers["classes"].path).grid, Item.load(land.item).legend
        return Viewed(layout, name, language, legend, grid, layers, parsed, site, missing)
    if parsed is None:
        raise RunFolderError(
            f"{folder} has no complete map, and its recipe cannot be read. Run 'bocage run' first, or give the recipe with "
            "--recipe."
        )
    scene = open_scene(parsed)  # an unfinished run: its imagery and polygons, on the grid of its recipe
    viewed = Viewed(layout, name, language, parsed.legend, scene.grid, {}, parsed, site, missing)
    viewed.__dict__["scene"] = scene
    return viewed


def _recipe_of(layout: RunLayout, given: Path | None, missing: list[Missing]) -> Recipe | None:
    """Return the recipe of a run, or of the scene of a map by a model of another run; None, with a note, without one."""
    path = given
    if path is None and layout.provenance.exists():
        path = Path(Provenance.load(layout.provenance).recipe)
    elif path is None and (mapped := Mapped.load(layout.mapped)):
        path = Path(mapped.transfer.asked.recipe)
    if path is None:
        missing.append(("view_no_recipe", {}))
        return None
    try:
        return read_recipe(path)
    except BocageError as error:
        if given:
            raise
        missing.append(("view_recipe_moved", {"why": str(error)}))
        return None


def _first_mapped(recipe: Recipe, layout: RunLayout) -> Site:
    mapped = (site for site in recipe.sites if layout.site(site.slug).map.is_complete)
    return next(mapped, recipe.sites[0])


def _layers_of(land: MapLayout, missing: list[Missing]) -> dict[str, RasterLayer]:
    """Return the rasters of a complete map that exist and can be read; the others are noted."""
    if not land.is_complete:
        missing.append(("view_no_map", {}))
        return {}
    named = Item.load(land.item).files
    found = {}
    for name in SHOWN:
        path = land.layer(name, WRITERS.get("cog").SUFFIX)
        if path.exists():
            try:
                found[name] = RasterLayer(path, inspect(path).descriptions, inspect(path).scales)
            except SourceError as error:
                missing.append(("view_damaged_layer", {"layer": name, "why": str(error)}))
        elif name in named:
            missing.append(("view_moved_layer", {"layer": name, "file": path.name}))
    return found
