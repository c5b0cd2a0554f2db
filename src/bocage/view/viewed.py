"""What a folder holds for the page: the map, its legend and layers, the scene, the accuracy; and what is missing."""

import datetime
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

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
from bocage.run import EDITED, OTHER_MODEL, MapOrigin, open_scene
from bocage.scene import Scene
from bocage.sources.raster import inspect
from bocage.view.imagery import Pictures
from bocage.view.labelled import LabelledPixels, pixels_at, pixels_of
from bocage.view.pyramid import Pyramid
from bocage.words import sentence

if TYPE_CHECKING:  # it imports PyTorch
    from bocage.training import Trained

COARSE = 512
"""Longer side of the reduced raster whose maximum is taken, in pixels."""
SHOWN = (
    "classes", "voted", "regularised", "confidence", "margin", "entropy", "novelty", "set_size", "validity", "probabilities",
)  # fmt: skip
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
    whole: Recipe | None = None
    """Recipe of all sites, of which `recipe` is one; None for a recipe of one site."""
    missing: list[Missing] = field(default_factory=list)
    scenes: dict[str, Scene] = field(default_factory=dict)
    """Site → its scene, once it is open; "" without sites. The sites of a run share it."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    opened: dict[str, Any] = field(default_factory=dict)
    """What was opened or computed once, by name."""
    locks: dict[str, threading.RLock] = field(default_factory=dict)
    """Name → lock while it is opened: requests come in threads."""

    def once(self, name: str, work: Callable[[], T]) -> T:
        """Return what `work` gives, computed by the first thread that asks; the others wait for it."""
        with self.lock:
            own = self.locks.setdefault(name, threading.RLock())
        with own:
            if name not in self.opened:
                self.opened[name] = work()
            found: T = self.opened[name]
            return found

    @property
    def scene(self) -> Scene | None:
        """The scene of the recipe; None, with a note, where it cannot be opened."""
        if self.recipe is None:
            return None
        return self.once("scene", lambda: self._tried("view_no_imagery", lambda: self._scene_at(self.site)))

    def _scene_at(self, site: str) -> Scene:
        """Open the scene of a site; "" without sites."""
        assert self.recipe is not None
        recipe = self.whole.part(self.whole.find(site)) if self.whole else self.recipe
        if site not in self.scenes:
            self.scenes[site] = open_scene(recipe, out=self.layout.path)
        return self.scenes[site]

    @property
    def pictures(self) -> Pictures | None:
        """Imagery of the scene."""
        scene = self.scene
        return None if scene is None else self.once("pictures", lambda: Pictures.of(scene))

    @property
    def pyramid(self) -> Pyramid:
        """Tiles of the map; as deep as the finest imagery once it is open, which is not waited for."""
        pictures = self.opened.get("pictures")
        return Pyramid(self.grid, pictures.finest(self.grid) if pictures else self.grid.resolution)

    @property
    def samples(self) -> LabelledPixels | None:
        """Labelled pixels of the run or of the site; None, with a note, where the polygons cannot be read."""
        recipe, scene, path = self.recipe, self.scene, self.layout.samples
        if recipe is None or scene is None or not path.exists():
            return None
        if self.whole is None:
            again = partial(pixels_of, scene, recipe, path)
        elif recipe.reference is None:
            return None
        else:
            again = partial(self._pixels_at_site, self.whole)
        return self.once("samples", lambda: self._tried("view_no_polygons", again))

    def _pixels_at_site(self, whole: Recipe) -> LabelledPixels:
        """Return the labelled pixels of the site; the parts are drawn among the polygons of all sites, which are opened."""
        scenes = {site.name: self._scene_at(site.name) for site in whole.sites if site.reference}
        return pixels_at(self.site, scenes, whole, self.layout.samples)

    @property
    def test_file(self) -> Path:
        """File of the predictions of the model of the map at its test pixels; it may not exist."""
        return self.layout.split(self.recipe.map.draw if self.recipe else 0).test

    @property
    def is_tested(self) -> bool:
        """Whether errors can be shown: the model of the map was tested, on polygons of the site if there are several."""
        return self.test_file.exists() and not (self.site and self.recipe and self.recipe.reference is None)

    @property
    def tested(self) -> Predictions | None:
        """Predictions of the model of the map at its test pixels; None where nothing was tested."""
        if not self.is_tested:
            return None
        return self.once("tested", lambda: self._tried("view_no_test", self._read_test))

    def _read_test(self) -> Predictions | None:
        """Read the predictions; those of a run with several sites are reduced to those of the site.

        Raises
        ------
        RunFolderError
            They are of another model than the map, or of the map before it was edited.
        """
        if "classes" in self.layers and self.whole is None:
            origin = MapOrigin.of(self.layout.path)
            if origin in (OTHER_MODEL, EDITED):
                raise RunFolderError(f"{origin}.")
        tested = Predictions.from_parquet(self.test_file)
        if self.whole is None:
            return tested
        samples = self.samples
        if samples is None:
            return None
        own = tested.take(np.isin(tested.polygon, np.unique(samples.polygon) + samples.first))
        return replace(own, polygon=own.polygon - np.int32(samples.first))

    @property
    def tested_names(self) -> tuple[str, ...]:
        """Class names, in the order of the predictions."""
        return self.samples.legend.names if self.samples is not None else ()

    @property
    def tested_codes(self) -> tuple[int, ...]:
        """Codes of the classes, in the order of the predictions: those of the samples, which may lack some of the recipe."""
        return self.samples.legend.codes if self.samples is not None else self.legend.codes

    @property
    def until(self) -> datetime.date | None:
        """Last day of the series of the map, or of the map that the recipe asks for; None: all acquisitions."""
        if "classes" not in self.layers:
            return self.recipe.map.until if self.recipe else None
        day = Item.load(MapLayout(self.layers["classes"].path.parent).item).until
        return datetime.date.fromisoformat(day) if day else None

    @property
    def model(self) -> Path | None:
        """Folder of the model of the map; None where it is not in the run's folder."""
        model = self.layout.split(self.recipe.map.draw if self.recipe else 0).model
        return model.path if model.description.exists() else None

    @property
    def trained(self) -> "Trained":
        """Model of the run.

        Raises
        ------
        TrainedError
            There is none, or its folder is damaged.
        """
        from bocage.training import Trained

        return self.once("trained", lambda: Trained.load(self.model or self.layout.split(0).model.path))

    def most(self, name: str, band: int) -> float:
        """Return the largest value of a band (from 1) of a layer without a fixed range, from its overviews; at least 1."""
        return self.once(f"most {name} {band}", lambda: _largest(self.layers[name].path, band))

    def notes(self, language: str) -> list[str]:
        """Return the sentences on what is missing."""
        return [sentence(key, language, **values) for key, values in self.missing]

    def _tried(self, key: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except BocageError as error:
            self.missing.append((key, {"why": str(error)}))
            return None


def _largest(path: Path, band: int) -> float:
    values = read_reduced(path, COARSE, band)
    known = values[values != np.iinfo(values.dtype).max]  # no data is the largest value of the type
    return float(max(1, known.max(initial=1)))


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
    whole = parsed if parsed and parsed.sites else None
    if parsed and parsed.sites:
        chosen = parsed.find(site) if site else _first_mapped(parsed, layout)
        site, land, parsed = chosen.name, layout.site(chosen.slug).map, parsed.part(chosen)
    layers = layers_of(land, missing)
    if parsed and not layout.split(parsed.map.draw).test.exists():
        missing.append(("view_no_score", {}))
    name = parsed.name if parsed else folder.resolve().name
    language = parsed.report.language if parsed else "en"
    if "classes" in layers:
        grid, legend = inspect(layers["classes"].path).grid, Item.load(land.item).legend
        return Viewed(layout, name, language, legend, grid, layers, parsed, site, whole, missing)
    if parsed is None:
        raise RunFolderError(
            f"{folder} has no complete map, and its recipe cannot be read. Run 'bocage run' first, or give the recipe with "
            "--recipe."
        )
    scene = open_scene(parsed, out=layout.path)
    if scene.ids is not None:
        raise RunFolderError(
            f"{folder} is a run on tables of series, which has no map to show. Open its report instead."
        )
    # An unfinished run is shown on the grid of its recipe.
    viewed = Viewed(layout, name, language, parsed.legend, scene.grid, {}, parsed, site, whole, missing)
    viewed.scenes[site] = scene
    return viewed


def open_all(
    folder: Path, recipe: Path | None = None, scenes: Mapping[str, Scene] | None = None
) -> tuple[str, list[Viewed]]:
    """Open the folder of a run as :func:`open_viewed`, at each of its sites; return the name of the run with them.

    A site that cannot be opened is left out, with a note to the first.

    Parameters
    ----------
    scenes
        Site → its scene, of those that are open already; "" without sites.

    Raises
    ------
    RunFolderError
        As :func:`open_viewed`.
    """
    first = open_viewed(folder, "", recipe)
    first.scenes |= scenes or {}
    if first.whole is None:
        return first.name, [first]
    opened = {first.site: first}
    for site in (site for site in first.whole.sites if site.name != first.site):
        try:
            opened[site.name] = open_viewed(folder, site.name, recipe)
        except BocageError as error:
            first.missing.append(("view_no_site", {"site": site.name, "why": str(error)}))
            continue
        first.scenes |= opened[site.name].scenes
        opened[site.name].scenes = first.scenes
    return first.whole.name, [opened[site.name] for site in first.whole.sites if site.name in opened]


def _recipe_of(layout: RunLayout, given: Path | None, missing: list[Missing]) -> Recipe | None:
    """Return the recipe of a run, or of the scene of a map by a model of another run; None, with a note, without one."""
    path, part = given, ""
    overrides: Sequence[str] = ()
    if layout.provenance.exists():
        before = Provenance.load(layout.provenance)
        path, overrides = given or Path(before.recipe), before.overrides
    elif mapped := Mapped.load(layout.mapped):
        asked = mapped.transfer.asked
        path, overrides, part = given or Path(asked.recipe), asked.overrides, asked.name
    if path is None:
        missing.append(("view_no_recipe", {}))
        return None
    try:
        parsed = read_recipe(path, overrides)
        # A map by a model of another run is that of one site of its recipe.
        return next((one for one in map(parsed.part, parsed.sites) if one.name == part), parsed)
    except BocageError as error:
        if given:
            raise
        missing.append(("view_recipe_moved", {"why": str(error)}))
        return None


def _first_mapped(recipe: Recipe, layout: RunLayout) -> Site:
    mapped = (site for site in recipe.sites if layout.site(site.slug).map.is_complete)
    return next(mapped, recipe.sites[0])


def layers_of(land: MapLayout, missing: list[Missing], names: Sequence[str] = SHOWN) -> dict[str, RasterLayer]:
    """Return the rasters `names` of a complete map that exist and can be read; the others are noted."""
    if not land.is_complete:
        missing.append(("view_no_map", {}))
        return {}
    named = Item.load(land.item).files
    found = {}
    for name in names:
        path = land.layer(name, WRITERS.get("cog").SUFFIX)
        if path.exists():
            try:
                found[name] = RasterLayer(path, inspect(path).descriptions, inspect(path).scales)
            except SourceError as error:
                missing.append(("view_damaged_layer", {"layer": name, "why": str(error)}))
        elif name in named:
            missing.append(("view_moved_layer", {"layer": name, "file": path.name}))
    return found
