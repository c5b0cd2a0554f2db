"""Maps of regions of a run, each in a folder of its own beside the map of the run."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from bocage.disk import artefact, safe_name, write_json
from bocage.errors import RunFolderError
from bocage.layout import MapLayout
from bocage.mapping import LandCoverMap, open_map, read_region
from bocage.run.opening import prepared
from bocage.run.stages import Run, map_key
from bocage.samples.reference import fingerprint_vector
from bocage.training import Trained
from bocage.vectorfile import vector_files


@dataclass(frozen=True)
class RegionChoice:
    """A region to map: polygons of a vector file, and the folder of their map."""

    file: Path
    """Vector file."""
    layer: str = ""
    """Layer of the file; empty: the only layer."""
    where: str = ""
    """SQL condition that selects polygons; empty: all."""
    name: str = ""
    """Name of the folder in ``maps/``; empty: name of the file without suffix."""

    @property
    def folder(self) -> str:
        """Name of the folder in ``maps/``, safe as the name of a folder."""
        return safe_name(self.name or self.file.stem)


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
    run.folder.inputs = run.folder.inputs.watching(vector_files(region.file))
    settings = replace(run.recipe.map, region=region.file, region_layer=region.layer, where=region.where)
    read_region(
        region.file, region.layer, region.where, run.scene.grid
    )  # reports a region that cannot be mapped before the scene is prepared
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
    """Record the region in its folder; a file may be edited or moved, but another file or condition needs another name."""
    record = {
        "file": str(region.file.resolve()),
        "layer": region.layer,
        "where": region.where,
        "content": fingerprint_vector(region.file),
    }
    if layout.region.exists() and not overwrite:
        with artefact(layout.region):
            before = json.loads(layout.region.read_text(encoding="utf-8"))
            moved = before["file"] != record["file"] and before["content"] != record["content"]
            other = any(before.get(key) != record[key] for key in ("layer", "where")) or moved
        if other:
            chosen = f" where {before['where']}" if before["where"] else ""
            raise RunFolderError(
                f"{layout.path} has the map of another region ({before['file']}{chosen}). Give this region another --name, or "
                "give --overwrite."
            )
    layout.path.mkdir(parents=True, exist_ok=True)
    write_json(layout.region, record)
