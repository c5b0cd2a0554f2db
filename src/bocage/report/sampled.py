"""Estimates from a labelled validation sample: the content of ``sample.json``, with the map that they are of."""

import json
from dataclasses import dataclass
from pathlib import Path

from bocage.disk import artefact, write_json
from bocage.evaluation import Adjusted
from bocage.layout import MapLayout, RunLayout
from bocage.mapping import Item
from bocage.progress import QUIET, Progress
from bocage.sources.raster import fingerprint


@dataclass(frozen=True)
class Sampled:
    """Estimates from a labelled validation sample."""

    estimates: Adjusted
    file: str
    """File name of the sample."""
    classes: str
    """Fingerprint of the classes of the map; empty in files of earlier versions."""

    def save(self, path: Path) -> None:
        """Write the file atomically."""
        write_json(path, {"file": self.file, "classes": self.classes, **self.estimates.as_dict()})

    @classmethod
    def load(cls, path: Path) -> "Sampled | None":
        """Read what :meth:`save` wrote; None if the file does not exist.

        Raises
        ------
        RunFolderError
            The file is damaged.
        """
        if not path.exists():
            return None
        with artefact(path):
            record = json.loads(path.read_text(encoding="utf-8"))
            return cls(Adjusted.from_dict(record), str(record["file"]), str(record.get("classes", "")))

    @classmethod
    def of_map(cls, layout: RunLayout, progress: Progress = QUIET) -> "Sampled | None":
        """Return the estimates of the map in a folder; None without any, or, with a message, if they are of another map.

        Raises
        ------
        RunFolderError
            A file is damaged.
        """
        found = cls.load(layout.sample)
        if found is None or found.classes == fingerprint_of(layout.map):
            return found
        which = "is of another map" if found.classes else "does not record its map (earlier version of Bocage)"
        progress.say(f"{layout.sample} {which} and is left out; run 'bocage evaluate --sample' again.")
        return None


def fingerprint_of(land: MapLayout) -> str | None:
    """Return the fingerprint of the classes of a map; None without a complete map."""
    classes = Item.load(land.item).files["classes"] if land.is_complete else None
    return fingerprint(classes) if classes and classes.exists() else None
