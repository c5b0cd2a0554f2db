"""``bocage finish``: votes of objects or parcels, regularisation, polygons and zones of the map of a run."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bocage.disk import Watch, artefact, checksums_of, digest, read_checksums, write_json
from bocage.errors import FinishError, RunFolderError
from bocage.evaluation import Predictions
from bocage.finish import Finishing
from bocage.finish.accuracy import PIXELS, accuracy_of_steps
from bocage.finish.regularise import regularise
from bocage.finish.vectors import VectorMap
from bocage.finish.votes import count_votes, voted, write_votes
from bocage.finish.within import Place, Within, open_within
from bocage.grid import Window
from bocage.jobs.qgis import try_project
from bocage.jobs.zones import zones_of
from bocage.layout import MapOnlyLayout, RunLayout
from bocage.machine import versions
from bocage.mapping import WRITERS, AreaCount, Delivered, MapBand, open_delivered
from bocage.objects.connected import Codes
from bocage.objects.scratch import Scratch, scratch
from bocage.progress import QUIET, Progress
from bocage.provenance import Provenance, Stage
from bocage.recipe import Recipe
from bocage.redaction import redacted
from bocage.run import Inputs, RunFolder, drawn_units, held, test_pixels_of, tested_at
from bocage.samples.reference import fingerprint_vector
from bocage.sources.base import Decoding
from bocage.sources.raster import fingerprint, inspect, is_raster, read
from bocage.vectorfile import vector_files
from bocage.words import quantity

FORMAT = 4
"""Changed when the results of the same settings change."""
ZONES = 4
"""The same of the areas by zone."""
VECTORS = 2
"""The same of the polygons."""


def recipe_of(run: Path, out: Path | None = None) -> tuple[Path, Path | None, Sequence[str]]:
    """Return the recipe, the folder and the overrides of a run, given its recipe or its folder.

    For a recipe, there are no overrides, and the folder is `out`: None if it is the recipe's default.

    Raises
    ------
    RunFolderError
        The folder holds no run, or its recipe is elsewhere now.
    """
    if not run.is_dir():
        return run, out, ()
    layout = RunLayout(run)
    if not layout.provenance.exists() and layout.map.is_complete:
        raise RunFolderError(
            f"{run} holds a map without a run. Give a recipe with the settings in [finish], with --out {run}."
        )
    if not layout.provenance.exists():
        raise RunFolderError(
            f"{run} holds no run ({layout.provenance.name} is missing). Give the folder of a run, or its recipe."
        )
    before = Provenance.load(layout.provenance)
    recipe = Path(before.recipe)
    if not recipe.exists():
        raise RunFolderError(f"{run}: its recipe {recipe} is missing. Give the recipe, with --out {run}.")
    return recipe, run, before.overrides


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
        if settings.votes:
            finishing.once("vote", finishing.vote)
        else:
            finishing.forget("vote", layout.map.voted, layout.finish.voted_areas, *layout.finish.all_votes)
        if settings.regularises:
            finishing.once("regularise", finishing.regularise)
        else:
            finishing.forget("regularise", layout.map.regularised, layout.finish.areas)
        if settings.votes or settings.regularises:
            finishing.measure()
        else:
            finishing.forget("accuracy", layout.finish.score)
        if settings.formats:
            finishing.once("vectors", finishing.vectorise)
        else:
            finishing.forget("vectors", *layout.finish.all_polygons)
        if settings.zones:
            finishing.once("zones", finishing.zones)
        else:
            finishing.forget("zones", *layout.finish.all_zones)
        try_project(RunLayout(out), progress)
    return layout


@dataclass
class _Finishing:
    """State while a map is finished."""

    folder: RunFolder
    recipe: Recipe
    land: Delivered
    within: Path | None
    """Raster of objects, or vector file of parcels."""
    keys: dict[str, str]
    """Stage → digest of its inputs and settings."""
    progress: Progress

    @classmethod
    def of(cls, layout: RunLayout, recipe: Recipe, progress: Progress) -> "_Finishing":
        """Check that the folder has a complete map, and open it."""
        settings, provenance = recipe.finish, _provenance(layout, recipe)
        provenance.finishing = {name: _recorded(value) for name, value in asdict(settings).items()}
        zones = vector_files(settings.zones) if settings.zones else []
        if settings.zones and not zones:  # before the other stages
            raise FinishError(f"[finish] zones: {settings.zones} does not exist. Give the path of a vector file.")
        within = _within_of(settings, layout)
        watch = Watch.on([*layout.map.layers, *zones, *(_files_of(within) if within else [])])
        folder = RunFolder(layout, provenance, Inputs(provenance.inputs, {}, watch))
        record = provenance.stages.get("map")
        folder.need("map", record.key if record else "", "map")
        land = open_delivered(layout.path)
        keys = _keys(settings, within, provenance)
        keys["accuracy"] = digest(keys["accuracy"], recipe.map.draw, recipe.evaluation.names)
        return cls(folder, recipe, land, within, keys, progress)

    @property
    def settings(self) -> Finishing:
        """Settings of what follows the classification."""
        return self.recipe.finish

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
                path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)

    def _codes(self, path: Path) -> Codes:
        grid = self.land.grid

        def codes(window: Window) -> Any:
            return read(path, [1], grid, window, "nearest", Decoding(nodata=0))[0][0]

        return Codes(grid, codes, self.settings.tile)

    def vote(self) -> None:
        """Write ``voted.tif``, its areas, and the table of the objects or parcels."""
        land, layout = self.land, self.layout
        with scratch(layout.finish.scratch) as folder:
            within = self._opened(folder, self.progress)
            votes = count_votes(land, within, self.settings.vote, self.progress)
            self._write(layout.map.voted, layout.finish.voted_areas, voted(land, within, votes))
        for old in layout.finish.all_votes:
            old.unlink(missing_ok=True)
        write_votes(votes, within.parcels, land.grid, layout.finish.votes("parquet"), layout.finish.votes("csv"))
        kind = "parcels" if within.parcels else "objects"
        self.progress.say(f"{len(votes.ids)} {kind} with a class each ({self.settings.vote})")

    def regularise(self) -> None:
        """Write ``regularised.tif``, and its areas."""
        layout = self.layout
        source = layout.map.voted if self.settings.votes else self.land.path("classes")
        with scratch(layout.finish.scratch) as folder:
            within = None
            if self.within and self.settings.majority:  # its messages are those of the votes
                within = self._opened(folder, QUIET if self.settings.votes else self.progress).ids
            codes, legend = self._codes(source), self.land.legend
            found = regularise(codes, legend, self.settings, folder, self.progress, within)
            self._write(layout.map.regularised, layout.finish.areas, found.tiles)
        if found.left:
            self.progress.say(
                f"{found.left} pixels are in objects below the minimum that border on no larger object; they keep their class."
            )

    def _opened(self, folder: Scratch, progress: Progress) -> Within:
        assert self.within is not None
        return open_within(self.within, Place(self.land.grid, self.settings.tile, folder), progress)

    def _write(self, path: Path, table: Path, tiles: Iterable[tuple[Window, Any]]) -> None:
        """Write the tiles of a map of classes, and the table of its areas."""
        land = self.land
        dtype = "uint8" if max(land.legend.codes) <= 255 else "uint16"
        areas, band = AreaCount(land.grid, land.legend), MapBand("class", dtype, 0, categorical=True)
        output = WRITERS.get("cog").open(path, land.grid, (band,), land.legend)
        try:
            for window, codes in tiles:
                output.put(window, codes[None].astype(dtype))
                areas.count(window, codes)
            output.close()
        except BaseException:
            output.discard()
            raise
        areas.areas().save(table)

    def measure(self) -> None:
        """Write the accuracy of each step, if the map has test polygons, and print it."""
        path = test_pixels_of(self.layout.path)
        if isinstance(path, str):
            self.forget("accuracy", self.layout.finish.score)
            self.progress.say(f"The accuracy of the finished map is not measured: {path}.")
            return
        self.once("accuracy", lambda: self._measured(Predictions.from_parquet(path)))

    def _measured(self, tested: Predictions) -> None:
        layout, land, recipe = self.layout, self.land, self.recipe
        files = {PIXELS: land.path("classes")}
        files |= {"voted": layout.map.voted} if self.settings.votes else {}
        files |= {"regularised": layout.map.regularised} if self.settings.regularises else {}
        draw = recipe.map.draw if layout.split(recipe.map.draw).score.exists() else None
        place = (land.grid, land.legend)
        units = drawn_units(layout, tested.polygon) if draw is not None else None
        found = accuracy_of_steps(tested, draw, files, place, recipe.evaluation.names, units)
        if found is None:
            self.progress.say("The accuracy of the finished map is not measured: no test pixel has a class on the map.")
            return
        write_json(layout.finish.score, found.as_dict())
        self.progress.say(f"{found}")

    def zones(self) -> None:
        """Sum the map by zone. The accuracy was measured on the classes as they are, so they are summed."""
        assert self.settings.zones is not None
        table = self.layout.finish.zones("csv")
        zones_of(self.layout.path, self.settings.zones, self.settings.zone, table, None, self.progress)

    def vectorise(self) -> None:
        """Write the polygons of the finished map, or of the map as it is."""
        layout, land = self.layout, self.land
        source = layout.map.voted if self.settings.votes else land.path("classes")
        source = layout.map.regularised if self.settings.regularises else source
        vectors = VectorMap(land, self._codes(source), self.settings.simplify)
        for old in layout.finish.all_polygons:
            old.unlink(missing_ok=True)
        with scratch(layout.finish.scratch) as folder:
            files = {name: layout.finish.polygons(name) for name in self.settings.formats}
            count = vectors.write(files, folder, self.progress)
        self.progress.say(quantity(count, "polygon"))


def _recorded(value: Any) -> Any:
    """Return the value of a setting for the record of the run."""
    return redacted(str(value)) if isinstance(value, Path) else value


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


def _within_of(settings: Finishing, layout: RunLayout) -> Path | None:
    """Return the raster of objects or the vector file of parcels that the settings name.

    Raises
    ------
    FinishError
        It does not exist.
    """
    if settings.within is None:
        return None
    if settings.within == "objects":
        if not layout.objects.ids.exists():
            raise FinishError(f"[finish] within: {layout.objects.ids} does not exist. Run 'bocage segment' first.")
        return layout.objects.ids
    path = Path(settings.within)
    if not path.exists():
        raise FinishError(
            f"[finish] within: {path} does not exist. Give the path of parcels or of a raster of objects."
        )
    return path


def _files_of(within: Path) -> list[Path]:
    return [*inspect(within).files] if is_raster(within) else vector_files(within)


def _keys(settings: Finishing, within: Path | None, provenance: Provenance) -> dict[str, str]:
    """Return, for each stage, the digest of its inputs and settings."""
    files = dict(provenance.stages["map"].files)
    classes = {name: files[name] for name in files if "classes" in name}
    place = (fingerprint(within) if is_raster(within) else fingerprint_vector(within)) if within else ""
    voting = digest(FORMAT, files if settings.vote == "probability" else classes, place, settings.vote)
    regular = (settings.majority, settings.mmu, dict(settings.mmu_of), settings.sieve)
    regularised = digest(FORMAT, classes, regular, *([voting] if within else []))
    tested = {stage: dict(of.files) for stage, of in provenance.stages.items() if stage.startswith("evaluate/")}
    zones = fingerprint_vector(settings.zones) if settings.zones else ""
    return {
        "vote": voting,
        "regularise": regularised,
        "vectors": digest(VECTORS, regularised, files, settings.simplify, settings.formats),
        "zones": digest(ZONES, files, tested, zones, settings.zone),
        "accuracy": digest(regularised, voting, tested),
    }
