"""Maps of regions of a run, or of its series until a day, each in a folder of its own beside the map of the run."""

import datetime
import json
from dataclasses import dataclass, replace
from pathlib import Path

from bocage.disk import artefact, safe_name, write_json
from bocage.errors import RunFolderError
from bocage.layout import MapLayout
from bocage.mapping import LandCoverMap, Mapping, open_map, read_region
from bocage.run.opening import prepared
from bocage.run.stages import Run, map_key
from bocage.samples.reference import fingerprint_vector
from bocage.scene import scene_until
from bocage.training import Trained
from bocage.vectorfile import vector_files


@dataclass(frozen=True)
class RegionChoice:
    """A region to map (polygons of a vector file), or a day until which the series are used, and the folder of the map."""

    file: Path | None = None
    """Vector file; None: the region of the run."""
    layer: str = ""
    """Layer of the file; empty: the only layer."""
    where: str = ""
    """SQL condition that selects polygons; empty: all."""
    name: str = ""
    """Name of the folder in ``maps/``; empty: name of the file without suffix, and the day."""
    until: datetime.date | None = None
    """Last day of the series; None: that of the run."""

    @property
    def folder(self) -> str:
        """Name of the folder in ``maps/``, safe as the name of a folder."""
        parts = [self.file.stem if self.file else "", f"until-{self.until}" if self.until else ""]
        return safe_name(self.name or "-".join(filter(None, parts)))

    def settings(self, recipe: Mapping) -> Mapping:
        """Return the settings of the map."""
        own = replace(recipe, until=self.until or recipe.until)
        return replace(own, region=self.file, region_layer=self.layer, where=self.where) if self.file else own


def map_region(run: Run, region: RegionChoice, overwrite: bool = False) -> LandCoverMap | None:
    """Map a region with the model of the run into ``maps/<name>``; return None for a table of samples.

    A map of the same content and settings is kept. If the vector file changed, the windows that depend on the change are
    computed again. The map, the scores and the report of the run are not read and not changed.

    Raises
    ------
    RunFolderError
        The model is not trained, or ``maps/<name>`` has a map of another region and `overwrite` is False.
    MappingError
        The region cannot be read or is outside the map.
    """
    if run.scene.ids is not None:
        run.progress.say("The sources are tables of samples, so no map is computed.")
        return None
    number, layout = run.recipe.map.draw, run.layout.region(region.folder)
    run.folder.need(f"train/{number}", run.keys.train, "train")
    settings = region.settings(run.recipe.map)
    if region.file:
        run.folder.inputs = run.folder.inputs.watching(vector_files(region.file))
        # Reports a region that cannot be mapped before the scene is prepared.
        read_region(region.file, region.layer, region.where, run.scene.grid)
    if region.until:
        scene_until(run.scene, region.until, run.samples.cuts)  # reports a day before the first date
    _claim(layout, region, overwrite)
    trained = Trained.load(run.layout.split(number).model.path)

    def work() -> None:
        _prepared(run).make_map(trained, settings, layout)

    run.folder.once(f"region/{region.folder}", map_key(run.keys.train, settings), work, run.progress)
    return open_map(trained.legend, run.scene.grid, settings, layout.path)


def _prepared(run: Run) -> Run:
    scene, _ = prepared(run.recipe, run.scene, run.folder, run.progress)
    return replace(run, scene=scene)


def _claim(layout: MapLayout, region: RegionChoice, overwrite: bool) -> None:
    """Record region and day in the folder; a file may be edited or moved, but another file, condition or day is refused."""
    record = {
        "file": str(region.file.resolve()) if region.file else "",
        "layer": region.layer,
        "where": region.where,
        "content": fingerprint_vector(region.file) if region.file else "",
        "until": str(region.until or ""),
    }
    if layout.region.exists() and not overwrite:
        with artefact(layout.region):
            before = json.loads(layout.region.read_text(encoding="utf-8"))
            moved = before["file"] != record["file"] and before["content"] != record["content"]
            other = any(before.get(key, "") != record[key] for key in ("layer", "where", "until")) or moved
        if other:
            chosen = f" where {before['where']}" if before["where"] else ""
            chosen += f" until {before['until']}" if before.get("until") else ""
            raise RunFolderError(
                f"{layout.path} has a map of another region or day ({(before['file'] + chosen).strip()}). Give this map another "
                "--name, or give --overwrite."
            )
    layout.path.mkdir(parents=True, exist_ok=True)
    write_json(layout.region, record)
