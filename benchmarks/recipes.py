"""Recipes as tables: those of the examples and of simulated landscapes, and the changes that several benchmarks need."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from benchmarks.frame import ROOT
from bocage.simulate import Simulation, simulate
from bocage.simulate.recipes import write_recipes

Table = dict[str, Any]


def read(path: Path) -> Table:
    """Return the table of a recipe file."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def example(name: str) -> Table:
    """Return the recipe of an example; its paths begin with ``${BOCAGE_DATA}``."""
    found = read(ROOT / f"examples/{name}.toml")
    if name == "wake":  # its results were measured on digital numbers; the training scales each band anyway
        for source in found["sources"].values():
            del source["scale"]
    return found


def write(path: Path, table: Mapping[str, Any]) -> Path:
    """Write a recipe file for a command, and return its path."""
    import tomli_w

    path.write_text(tomli_w.dumps(table), encoding="utf-8")
    return path


def landscape(folder: Path, settings: Simulation) -> Path:
    """Simulate a landscape if the folder is not complete, write its recipes, and return the folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / "reference.gpkg").exists():  # written last
            simulate(settings, folder)
        write_recipes(settings, folder)
    return folder


def without_fill(table: Table) -> Table:
    """Return a recipe whose series keep their acquisition dates: no gap filling."""
    sources = {name: {k: v for k, v in source.items() if k != "fill"} for name, source in table["sources"].items()}
    return {**table, "sources": sources}


def quick(table: Table, training: Table, **model: Any) -> Table:
    """Return a recipe that trains one epoch on few polygons, for benchmarks of the map; `model` changes the network."""
    return {
        **table,
        "model": {**table["model"], **model},
        "split": {**table["split"], "rare": "drop"},
        "training": {"epochs": 1, **training},
    }
