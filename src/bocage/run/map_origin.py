"""The run whose model made a map, and the file of its test pixels."""

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.disk import artefact, damaged, safe_name
from bocage.errors import TrainedError, UnknownNameError
from bocage.evaluation import Clusters, Predictions
from bocage.layout import FusionLayout, MapLayout, ReconciledLayout, RunLayout, SplitLayout
from bocage.machine import versions
from bocage.mapping import Item, is_edited
from bocage.provenance import Provenance
from bocage.report.transfer import Mapped

NOT_EVALUATED = "its model was not evaluated since its training (run 'bocage evaluate')"
OTHER_MODEL = "the map is not by the model that its run has now (run 'bocage map' again)"
NOT_AT_SITE = "the site has no test polygons in the draw of the map"
NOT_TESTED = "all polygons trained its model ([split] train = 1), so it has no test polygons"
NOT_OF_A_RUN = "the map is not that of an evaluated run, so it has no test polygons"
EDITED = "its classes.tif was changed since it was written, and the test pixels are those of the map before the change"
"""Why a map has no test pixels, as parts of sentences."""


@dataclass(frozen=True)
class MapOrigin:
    """Training from which a map comes."""

    run: RunLayout
    split: SplitLayout
    """Draw of the run whose model made the map."""
    site: str = ""
    """Name of the site of the map, in a run with several."""

    @classmethod
    def of(cls, folder: Path) -> "MapOrigin | str":
        """Return the origin of the map in a folder: of a run, or made by a model of a run from the same imagery.

        The reason, as a part of a sentence, for any other map: the test pixels of a model say nothing about a map of other
        imagery, of another model, or that was edited.
        """
        found = cls._claimed(folder)
        if found is None:
            return NOT_OF_A_RUN
        if not found._made(folder):
            return OTHER_MODEL
        return EDITED if is_edited(MapLayout.of(folder)) else found

    @classmethod
    def _claimed(cls, folder: Path) -> "MapOrigin | None":
        """Return the origin that the records of a folder give; the model may have been trained again since."""
        around = (folder, folder.resolve().parent)
        layout = next((one for one in map(RunLayout, around) if one.provenance.exists() and one.recipe.exists()), None)
        if layout is None and (found := cls._of_site(folder.resolve())):
            return found
        if layout is None:
            return next((found for found in map(cls._of_model, map(RunLayout, around)) if found), None)
        recipe = _recipe_table(layout)
        return cls(layout, layout.split(recipe.get("map", {}).get("draw", 0)))

    @classmethod
    def _of_site(cls, folder: Path) -> "MapOrigin | None":
        """Return the origin of the map of a site of a run with several, ``map/<site>``; None for any other folder."""
        layout = RunLayout(folder.parent.parent)
        if layout.map.path != folder.parent or not (layout.provenance.exists() and layout.recipe.exists()):
            return None
        recipe = _recipe_table(layout)
        site = next(
            (one["name"] for one in recipe.get("site", ()) if layout.site(safe_name(one["name"])).map.path == folder),
            "",
        )
        return cls(layout, layout.split(recipe.get("map", {}).get("draw", 0)), site) if site else None

    @classmethod
    def _of_model(cls, layout: RunLayout) -> "MapOrigin | None":
        """Return the origin of a map by ``bocage map --model``; None if its imagery or grid is not that of the model's run."""
        mapped = Mapped.load(layout.mapped)
        if mapped is None or mapped.adapted is not None or not layout.map.is_complete:
            return None
        split = SplitLayout(Path(mapped.transfer.folder).parent)
        run = RunLayout(split.path.parent.parent)
        if not (run.provenance.exists() and run.map.is_complete):
            return None
        own, there = Item.load(layout.map.item), Item.load(run.map.item)
        same = own.inputs == there.inputs and own.grid == there.grid
        return cls(run, split) if same and own.fingerprint == mapped.transfer.fingerprint else None

    def _made(self, folder: Path) -> bool:
        """Return whether the model of the draw, as it is now, made the map in a folder.

        The fingerprint of a model depends on the version of Bocage: for a map of another version, the records of the run decide.
        """
        from bocage.training import Trained  # imported here because PyTorch takes a second to import

        item = Item.load(MapLayout.of(folder).item)
        try:
            if Trained.load(self.split.model.path).fingerprint == item.fingerprint:
                return True
        except (TrainedError, UnknownNameError):  # removed, or damaged
            return self._recorded(item.fingerprint)
        return item.version != versions()["bocage"] and self._recorded(item.fingerprint)

    @property
    def test(self) -> Path | str:
        """File of the predictions of the model at its test pixels; without it, the reason as a part of a sentence.

        Predictions of an earlier model of the same draw are not those of the map: its test polygons may have trained this model.
        """
        evaluated = Provenance.load(self.run.provenance).is_evaluated(self.split.path.name)
        if not evaluated or not self.split.test.exists():
            return NOT_EVALUATED
        if len(self.read(self.split.test)):
            return self.split.test
        return NOT_AT_SITE if self.site else NOT_TESTED

    def read(self, test: Path) -> Predictions:
        """Read the predictions at the test pixels of the run, of those of several sites the ones of the site of the map."""
        tested = Predictions.from_parquet(test)
        return (
            tested.take(np.isin(tested.polygon, self.labelled("polygon")["polygon"].unique())) if self.site else tested
        )

    def labelled(self, *columns: str) -> pd.DataFrame:
        """Return columns of the table of all labelled pixels of the run, or of the site of the map."""
        with artefact(self.run.samples):
            table = pd.read_parquet(self.run.samples, columns=[*columns, *(["site"] if self.site else [])])
        return table[table["site"] == self.site] if self.site else table

    def _recorded(self, fingerprint: str) -> bool:
        """Return whether the map of the run has a fingerprint, is as it was written, and is not older than its training."""
        stages, place = Provenance.load(self.run.provenance).stages, self.run.path
        here = self.run.site(safe_name(self.site)).map if self.site else self.run.map
        land, training = (
            stages.get(f"map/{here.path.name}" if self.site else "map"),
            stages.get(f"train/{self.split.path.name}"),
        )
        if land is None or training is None or Item.load(here.item).fingerprint != fingerprint:
            return False
        classes = {name: total for name, total in land.files.items() if Path(name).stem == "classes"}
        return training.finished <= land.finished and not damaged(place, classes)


def test_pixels_of(folder: Path) -> Path | str:
    """Return the file of the predictions at the test pixels of a map: of a run, a fusion or a reconciled map.

    Without such a file, the reason as a part of a sentence.
    """
    made = (kind(one) for one in (folder, folder.resolve().parent) for kind in (FusionLayout, ReconciledLayout))
    if combined := next((one for one in made if one.summary.exists()), None):
        if is_edited(combined.map):
            return EDITED
        return combined.test if combined.test.exists() else "the maps behind it have no common test polygons"
    origin = MapOrigin.of(folder)
    return origin if isinstance(origin, str) else origin.test


def test_predictions_of(folder: Path, test: Path) -> Predictions:
    """Read the file of :func:`test_pixels_of`; of a run with several sites, the test pixels of the site of the map."""
    origin = MapOrigin._of_site(folder.resolve())
    return origin.read(test) if origin else Predictions.from_parquet(test)


def drawn_units(run: RunLayout, polygon: NDArray[Any]) -> Clusters:
    """Return the sampling units of test pixels in the polygons (N,) of a run: blocks if it draws blocks, else the polygons."""
    if not (run.score.exists() and run.samples.exists()):
        return Clusters(polygon)
    with artefact(run.score):
        drawn = json.loads(run.score.read_text(encoding="utf-8"))["design"].get("drawn")
    if drawn != "block":
        return Clusters(polygon)
    with artefact(run.samples):
        table = pd.read_parquet(run.samples, columns=["polygon", "block"]).drop_duplicates("polygon")
    return Clusters(table.set_index("polygon").block.reindex(polygon).to_numpy(), "block")


def _recipe_table(layout: RunLayout) -> dict[str, Any]:
    """Return the recipe of a run as a table, as the run stored it."""
    with artefact(layout.recipe):
        return tomllib.loads(layout.recipe.read_text(encoding="utf-8"))


def tested_at(folder: Path) -> Path | None:
    """Return the file of :func:`test_pixels_of`, or None."""
    path = test_pixels_of(folder)
    return None if isinstance(path, str) else path
