"""What of a long piece of work is complete, and from what: a file of lines, each written durably when a part is done."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Journal:
    """Notes on the parts of a piece of work; the last note on a part counts. One process writes."""

    path: Path

    def __post_init__(self) -> None:
        self.notes: dict[str, dict[str, Any]] = dict(self._lines())

    def _lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        if not self.path.exists():
            return
        for line in self.path.read_text().splitlines():
            try:
                note = json.loads(line)
                yield note.pop("place"), note
            except (ValueError, KeyError):
                continue  # the line that was being written when the process was killed

    def add(self, place: str, **note: Any) -> None:
        """Note a part, durably: what is noted survives a power cut."""
        self.notes[place] = note
        with self.path.open("a") as stream:
            stream.write("\n" + json.dumps({"place": place, **note}))
            stream.flush()
            os.fsync(stream.fileno())

    def clear(self) -> None:
        """Forget everything."""
        self.notes.clear()
        self.path.unlink(missing_ok=True)
