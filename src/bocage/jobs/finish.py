"""``bocage finish``: regularise the map of a run, write it as polygons, and sum it by zone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bocage.disk import Watch, artefact, checksums_of, digest, read_checksums
from bocage.errors import FinishError, RunFolderError
from bocage.finish import Finishing
from bocage.finish.objects import Codes
from bocage.finish.regularise import regularise
from bocage.finish.scratch import scratch
from bocage.finish.vectors import VectorMap
from bocage.grid import Window
from bocage.jobs.zones import tested_at, zones_of
from bocage.layout import MapOnlyLayout, RunLayout
from bocage.machine import versions
from bocage.mapping import WRITERS, AreaCount, Delivered, MapBand, open_delivered
from bocage.progress import QUIET, Progress
from bocage.provenance import Provenance, Stage
from bocage.recipe import Recipe
from bocage.run import Inputs, RunFolder, held
from bocage.samples.reference import fingerprint_vector
from bocage.sources.base import Decoding
from bocage.sources.raster import read
from bocage.vectorfile import vector_files

FORMAT = 1
"""Changed when the results of the same settings change."""
ZONES = 2
"""The same of the areas by zone."""


def recipe_of(run: Path, out: Path | None = None) -> tuple[Path, Path | None]:
    """Return the recipe and the folder of a run, given one of them; the folder is None if it is the recipe's default.

    Raises
    ------
    RunFolderError
        The folder holds no run, or its recipe is elsewhere now.
    """
    if not run.is_dir():
        return run, out
    layout = RunLayout(run)
    if not layout.provenance.exists() and layout.map.is_complete:
        raise RunFolderError(
            f"{run} holds a map without a run. Give a recipe with the settings in [finish], with --out {run}."
        )
    if not layout.provenance.exists():
        raise RunFolderError(
            f"{run} holds no run ({layout.provenance.name} is missing). Give the folder of a run, or its recipe."
        )
    recipe = Path(Provenance.load(layout.provenance).recipe)
    if not recipe.exists():
        raise RunFolderError(f"{run}: its recipe {recipe} is missing. Give the recipe, with --out {run}.")
    return recipe, run


def finish(recipe: Recipe, out: Path, progress: Progress = QUIET) -> RunLayout:
    """Do what ``[finish]`` of the recipe asks for with the map in a folder; complete stages are kept.

    The folder is that of a run, of a fusion, or of a map by a model of another run.

    Raises
    ------
    RecipeError
        The recipe has several sites.
    RunFolderError
        The folder has no complete map.
    FinishError
        A setting does not fit the map, or a file cannot be written.
    """
    recipe.check_single()
    layout, settings = RunLayout(out), recipe.finish
    if not layout.provenance.exists() and layout.map.is_complete:
        layout = layout.as_map
    with held(out):
        finishing = _Finishing.of(layout, recipe, progress)
        layout.finish.path.mkdir(exist_ok=True)
        if settings.changes_map:
            finishing.once("regularise", finishing.regularise)
        else:
            finishing.forget("regularise", layout.map.regularised, layout.finish.areas)
        if settings.formats:
            finishing.once("vectors", finishing.vectorise)
        else:
            finishing.forget("vectors", *layout.finish.path.glob("polygons.*"))
        if settings.zones:
            finishing.once("zones", finishing.zones)
        else:
            finishing.forget("zones", *layout.finish.path.glob("zones.*"))
    return layout


@dataclass
class _Finishing:
    """State while a map is finished."""

    folder: RunFolder
    settings: Finishing
    land: Delivered
    keys: dict[str, str]
    """Stage → digest of its inputs and settings."""
    progress: Progress

    @classmethod
    def of(cls, layout: RunLayout, recipe: Recipe, progress: Progress) -> "_Finishing":
        """Check that the folder has a complete map, and open it."""
        settings, provenance = recipe.finish, _provenance(layout, recipe)
        zones = vector_files(settings.zones) if settings.zones else []
        if settings.zones and not zones:  # before the other stages
            raise FinishError(f"[finish] zones: {settings.zones} does not exist. Give the path of a vector file.")
        watch = Watch.on([*layout.map.layers, *zones])
        folder = RunFolder(layout, provenance, Inputs(provenance.inputs, {}, watch))
        record = provenance.stages.get("map")
        folder.need("map", record.key if record else "", "map")
        land = open_delivered(layout.path)
        return cls(folder, settings, land, _keys(settings, provenance), progress)

    @property
    def layout(self) -> RunLayout:
        """Paths of the run's folder."""
        return self.folder.layout

    def once(self, stage: str, work: Any) -> None:
        """Run a stage unless its results are current."""
        self.folder.once(stage, self.keys[stage], work, self.progress)

    def forget(self, stage: str, *files: Path) -> None:
        """Remove the results of a stage that the recipe no longer asks for."""
        if stage in self.folder.provenance.stages:
            self.folder.forget(stage)
            for path in files:
                path.unlink(missing_ok=True)

    def _codes(self, path: Path) -> Codes:
        grid = self.land.grid

        def codes(window: Window) -> Any:
            return read(path, [1], grid, window, "nearest", Decoding(nodata=0))[0][0]

        return Codes(grid, codes, self.settings.tile)

    def regularise(self) -> None:
        """Write ``regularised.tif``, and its areas."""
        land, layout = self.land, self.layout
        dtype = "uint8" if max(land.legend.codes) <= 255 else "uint16"
        areas = AreaCount(land.grid, land.legend)
        with scratch(layout.finish.scratch) as folder:
            found = regularise(self._codes(land.path("classes")), land.legend, self.settings, folder, self.progress)
            band = MapBand("class", dtype, 0, categorical=True)
            output = WRITERS.get("cog").open(layout.map.regularised, land.grid, (band,), land.legend)
            try:
                for window, codes in found.tiles:
                    output.put(window, codes[None].astype(dtype))
                    areas.count(window, codes)
                output.close()
            except BaseException:
                output.discard()
                raise
        areas.areas().save(layout.finish.areas)
        if found.left:
            self.progress.say(
                f"{found.left} pixels are in objects below the minimum that border on no larger object; they keep their class."
            )

    def zones(self) -> None:
        """Sum the map by zone. The accuracy was measured on the classes as they are, so they are summed."""
        assert self.settings.zones is not None
        table = self.layout.finish.zones("csv")
        zones_of(self.layout.path, self.settings.zones, self.settings.zone, table, None, self.progress)

    def vectorise(self) -> None:
        """Write the polygons of the regularised map, or of the map as it is."""
        layout, land = self.layout, self.land
        source = layout.map.regularised if self.settings.changes_map else land.path("classes")
        vectors = VectorMap(land, self._codes(source), self.settings.simplify)
        for old in layout.finish.path.glob("polygons.*"):
            old.unlink()
        with scratch(layout.finish.scratch) as folder:
            files = {name: layout.finish.polygons(name) for name in self.settings.formats}
            count = vectors.write(files, folder, self.progress)
        self.progress.say(f"{count} polygons")


def _provenance(layout: RunLayout, recipe: Recipe) -> Provenance:
    """Return the record of the folder; that of a map without a run has the map as it is now."""
    known = layout.provenance.exists()
    if not isinstance(layout, MapOnlyLayout):
        if not known:
            raise RunFolderError(f"{layout.path} holds no run. Run 'bocage run' first.")
        return Provenance.load(layout.provenance)
    found = Provenance.load(layout.provenance) if known else Provenance(recipe.name, "", {}, "", {}, versions(), "")
    with artefact(layout.map.checksums):
        sums = read_checksums(layout.map.checksums)
    files = {path.relative_to(layout.path).as_posix(): sums.get(path.name, "") for path in layout.files_of("map")}
    tested = tested_at(layout.path)
    stages = {"map": Stage(digest(files), 0.0, 0, "", files)}
    if tested and tested.is_relative_to(layout.path):
        stages["evaluate/0"] = Stage("", 0.0, 0, "", checksums_of([tested], layout.path))
    found.stages |= stages
    return found


def _keys(settings: Finishing, provenance: Provenance) -> dict[str, str]:
    """Return, for each stage, the digest of its inputs and settings."""
    files = dict(provenance.stages["map"].files)
    regular = (settings.majority, settings.mmu, dict(settings.mmu_of), settings.sieve)
    regularised = digest(FORMAT, {name: files[name] for name in files if "classes" in name}, regular)
    tested = {stage: dict(of.files) for stage, of in provenance.stages.items() if stage.startswith("evaluate/")}
    zones = fingerprint_vector(settings.zones) if settings.zones else ""
    return {
        "regularise": regularised,
        "vectors": digest(regularised, files, settings.simplify, settings.formats),
        "zones": digest(ZONES, files, tested, zones, settings.zone),
    }
