"""Vector files: their layers, and the files that they consist of."""

from pathlib import Path

import pyogrio

from bocage.shelf import did_you_mean

SHAPEFILE = (".dbf", ".shx", ".prj", ".cpg", ".DBF", ".SHX", ".PRJ", ".CPG")
"""Files beside a .shp that its content depends on."""


def only_layer(path: Path, wanted: str, setting: str) -> str:
    """Return the layer to read: the wanted one, or the only one with geometries (QGIS stores styles as a layer without).

    Raises
    ------
    LookupError
        The file has no such layer, or several and none is wanted; `setting` is where the user can name one.
    """
    listed = [(str(name), kind) for name, kind in pyogrio.list_layers(path)]
    names = [name for name, kind in listed if kind is not None] or [name for name, _ in listed]
    if wanted and wanted not in [name for name, _ in listed]:
        raise LookupError(
            f"{path} has no layer '{wanted}'.{did_you_mean(wanted, names)} Its layers: {', '.join(names)}."
        )
    if not wanted and len(names) > 1:
        raise LookupError(f"{path} has {len(names)} layers: {', '.join(names)}. Name one: {setting}.")
    return wanted or names[0]


def vector_files(path: Path) -> list[Path]:
    """Return the files of a vector file that exist: companions of a .shp, members of a .gdb, the write-ahead log of a .gpkg."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    beside = SHAPEFILE if path.suffix.lower() == ".shp" else ()
    files = {path, path.with_name(f"{path.name}-wal"), *(path.with_suffix(suffix) for suffix in beside)}
    return sorted(file for file in files if file.is_file())
