"""Which reference polygons of a recipe trained a model, which is then not to be scored on them."""

import tomllib
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bocage.disk import artefact
from bocage.layout import ModelLayout, RunLayout
from bocage.provenance import Provenance
from bocage.report.transfer import Adaptation, Polygons
from bocage.samples import Labelled, Reference
from bocage.samples.coordinates import Coordinates
from bocage.samples.reference import fingerprint_reference
from bocage.scene import Scene


@dataclass(frozen=True)
class Evaluated:
    """Reference pixels on which a model is to be scored."""

    reference: Reference
    scene: Scene
    found: Labelled
    sources: Set[str]
    """Sources of the scene that the model reads."""

    @property
    def polygons(self) -> Polygons:
        """The reference, as records of a training name it."""
        return Polygons(fingerprint_reference(self.reference), self.reference.where)

    @property
    def images(self) -> set[str]:
        """Digests of the files that the model reads."""
        read = [cube for name, cube in self.scene.cubes.items() if name in self.sources]
        return {digest for cube in read for digest in cube.fingerprints().values()}

    def among(self, samples: Coordinates) -> NDArray[np.bool_] | None:
        """Return whether each pixel, (N,), is in a polygon at the place of one of these samples; None if not known."""
        return self.found.coordinates(self.scene.ids).among(samples, self.scene.grid)


@dataclass(frozen=True)
class Training:
    """A training in the history of a model."""

    folder: Path
    """Folder of the run or of the adaptation."""
    how: str
    """"run" with the imagery of the evaluation, "other imagery" for a run with other imagery, or "adaptation"."""
    references: list[Polygons]
    samples: Coordinates | None
    """Coordinates of the samples that trained; None if the folder does not have them."""
    divided: bool = True
    """Whether `samples` are without those of the test part; otherwise, it is not known which of them trained."""

    def met(self, evaluated: Evaluated) -> NDArray[np.bool_] | None:
        """Return whether each pixel, (N,), is in a polygon that trained; None: some may be, but it is not known which."""
        found = evaluated.among(self.samples) if self.samples else None
        if found is None and not any(evaluated.polygons.meet(one) for one in self.references):
            return np.zeros(len(evaluated.found.pixels), bool)
        return found if found is None or self.divided or not found.any() else None


@dataclass(frozen=True)
class TrainedOn:
    """A training that used reference polygons of an evaluation."""

    folder: str
    """Folder of the run or of the adaptation."""
    how: str
    """"run" with the same imagery, "other imagery" for a run with other imagery, or "adaptation"."""
    total: int
    """Number of the reference polygons."""
    pixels: NDArray[np.bool_] | None
    """(N,) whether each reference pixel is in a polygon that trained; None: some are, but it is not known which."""
    polygons: int | None
    """Number of the reference polygons that trained; None: not known."""

    @classmethod
    def of(cls, model: ModelLayout, evaluated: Evaluated) -> "TrainedOn | None":
        """Return the last training of a model that used polygons of a reference; None if there is none, or if it is not known.

        Polygons are compared by their places, and samples of tables without places by their ids. For the folder of a run of an
        earlier version, which does not have them, the files are compared. A model folder that was copied out of its run does not
        say how it was trained. The pixels are those in polygons that trained in any training of the model.

        Raises
        ------
        RunFolderError
            The records of the run are damaged.
        """
        polygon = evaluated.found.pixels.polygon
        found = [(one, one.met(evaluated)) for one in _trainings(model, evaluated)]
        met = [(one, pixels) for one, pixels in found if pixels is None or pixels.any()]
        if not met:
            return None
        known = [pixels for _, pixels in met if pixels is not None]
        pixels = np.logical_or.reduce(known) if len(known) == len(met) else None
        count = None if pixels is None else len(np.unique(polygon[pixels]))
        return cls(str(met[0][0].folder), met[0][0].how, len(np.unique(polygon)), pixels, count)

    @property
    def others(self) -> bool:
        """Whether it is known that some reference polygons trained, and others did not."""
        return self.polygons is not None and self.polygons < self.total

    def __str__(self) -> str:
        """Return the warning, in sentences."""
        which = "part of the" if self.polygons is None else f"{self.polygons} of {self.total}"
        rest = " The other polygons have a score of their own." if self.others else ""
        if self.how == "adaptation":
            return (
                f"The model was adapted with {which} reference polygons ({self.folder}): the figures on all polygons are not an "
                f"estimate of its accuracy.{rest}"
            )
        places = (
            f"{which[0].upper()}{which[1:]} reference polygons trained the model, or are at places of polygons that did"
        )
        if self.how == "run":
            return (
                f"{places} (run {self.folder}), with the same imagery: the figures on all polygons are not an estimate of its "
                f"accuracy.{rest or ' That on its test polygons, if it has some, is in the score.json of the run.'}"
            )
        return (
            f"{places} (run {self.folder}), with other imagery: the figures on all polygons are not an estimate of its accuracy "
            f"at places where it was not trained.{rest}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of ``score.json``."""
        counts = {"polygons": self.polygons, "of_polygons": self.total}
        return {"folder": self.folder, "how": self.how, **counts, "text": str(self)}


def _trainings(model: ModelLayout, evaluated: Evaluated) -> Iterator[Training]:
    """Yield the trainings of a model, the last one first."""
    place = model.path.resolve()
    if adapted := Adaptation.load(RunLayout(place.parent).adapted):
        if adapted.polygons:
            samples = RunLayout(place.parent).adapted_pixels
            known = Coordinates.of_table(_read(samples)) if samples.exists() else None
            yield Training(place.parent, "adaptation", [adapted.polygons], known)
        before = ModelLayout.of(Path(adapted.transfer.folder))
        if before.path.resolve() != place:
            yield from _trainings(before, evaluated)
        return
    run = next((one for one in map(RunLayout, place.parents) if one.provenance.exists() and one.recipe.exists()), None)
    parts = place.relative_to(run.path).parts if run else ()
    if run is None or parts[0] != "splits":
        return
    records, draw = Provenance.load(run.provenance), int(parts[1])
    learnt, polygons = _learnt(run, records, draw, evaluated.polygons.content), evaluated.polygons
    if learnt.left_out and polygons.meet(learnt.left_out[1]) and not any(map(polygons.meet, learnt.references)):
        return  # the site was left out to measure the accuracy there
    how = "run" if evaluated.images <= set(records.inputs.values()) else "other imagery"
    yield Training(
        run.path, how, learnt.references, *_samples(run, draw, learnt.left_out[0] if learnt.left_out else "")
    )


def _samples(run: RunLayout, draw: int, left_out: str) -> tuple[Coordinates | None, bool]:
    """Return the samples of a run that trained or validated in a draw, and whether those of its test part are left out.

    The folder of a run of an earlier version has the test part only, and that only after an evaluation.
    """
    split = run.split(draw)
    if split.training.exists():
        return Coordinates.of_table(_read(split.training)), True
    if not run.samples.exists():
        return None, False
    table = _read(run.samples)
    if left_out and "site" in table:
        table = table[table.site != left_out]
    if split.test.exists():
        key = ["row", "column", "polygon"]
        tested = pd.MultiIndex.from_frame(_read(split.test)[key])
        table = table[~pd.MultiIndex.from_frame(table[key]).isin(tested)]
    return Coordinates.of_table(table), split.test.exists()


def _read(path: Path) -> pd.DataFrame:
    with artefact(path):
        return pd.read_parquet(path)


@dataclass(frozen=True)
class _Learnt:
    """References of a run in a draw."""

    references: list[Polygons]
    """Those whose polygons trained."""
    left_out: tuple[str, Polygons] | None
    """Name and reference of the site that is left out; None without one."""


def _learnt(run: RunLayout, records: Provenance, draw: int, content: str) -> _Learnt:
    """Return the references of a run in a draw.

    A reference whose digest is not recorded under its path has the digest `content`, if any input has it.
    """
    with artefact(run.recipe):
        recipe = tomllib.loads(run.recipe.read_text(encoding="utf-8"))
        sites = [site for site in recipe.get("site", ()) if site.get("reference")]
        out = sites[draw]["name"] if recipe.get("split", {}).get("site") == "leave-one-out" else None
        folder, known = Path(records.recipe).parent, records.inputs
        other = content if content in known.values() else ""

        def polygons(one: dict[str, Any]) -> Polygons:
            names = (str(one["path"]), str(folder / str(one["path"])))
            return Polygons(next((known[name] for name in names if name in known), other), str(one.get("where", "")))

        by_site = {str(site["name"]): polygons(site["reference"]) for site in sites}
        left_out = (str(out), by_site.pop(str(out))) if out is not None else None
        return _Learnt(list(by_site.values()) or [polygons(recipe["reference"])], left_out)
