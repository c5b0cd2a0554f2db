"""Whether the reference polygons of a recipe trained a model, which is then not to be scored on them."""

import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bocage.disk import artefact
from bocage.layout import ModelLayout, RunLayout
from bocage.provenance import Provenance
from bocage.report.transfer import Adaptation, Polygons
from bocage.samples.reference import Reference, fingerprint_reference
from bocage.scene import Cube


@dataclass(frozen=True)
class TrainedOn:
    """A training that used polygons of a reference."""

    folder: str
    """Folder of the run or of the adaptation."""
    how: str
    """"run" with the same imagery, "other imagery" for a run with other imagery, or "adaptation"."""

    @classmethod
    def of(cls, model: ModelLayout, reference: Reference, cubes: Iterable[Cube]) -> "TrainedOn | None":
        """Return the training of a model that used polygons of a reference; None if there is none, or if it is not known.

        A model folder that was copied out of its run does not say how it was trained.

        Parameters
        ----------
        cubes
            Sources of the scene that the model reads.

        Raises
        ------
        RunFolderError
            The records of the run are damaged.
        """
        polygons, place = Polygons(fingerprint_reference(reference), reference.where), model.path.resolve()
        if adapted := Adaptation.load(RunLayout(place.parent).adapted):
            if adapted.polygons and adapted.polygons.meet(polygons):
                return cls(str(place.parent), "adaptation")
            before = ModelLayout(Path(adapted.transfer.folder))
            return cls.of(before, reference, cubes) if before.path != place else None
        run = next(
            (one for one in map(RunLayout, place.parents) if one.provenance.exists() and one.recipe.exists()), None
        )
        parts = place.relative_to(run.path).parts if run else ()
        if run is None or parts[0] != "splits":
            return None
        records = Provenance.load(run.provenance)
        if not any(polygons.meet(one) for one in _learnt(run, records, int(parts[1]), polygons.content)):
            return None
        images = {digest for cube in cubes for digest in cube.fingerprints().values()}
        return cls(str(run.path), "run" if images <= set(records.inputs.values()) else "other imagery")

    def __str__(self) -> str:
        """Return the warning, in sentences."""
        if self.how == "adaptation":
            return (
                f"The model was adapted with these reference polygons ({self.folder}): the figures are not an estimate of its "
                "accuracy."
            )
        if self.how == "run":
            return (
                f"Reference polygons and imagery are those of the run {self.folder}: a part of the polygons trained the model, "
                "so the figures are not an estimate of its accuracy. That on its test polygons is in the score.json of the run."
            )
        return (
            f"The reference polygons are those of the run {self.folder}, with other imagery: a part of them trained the model, "
            "so the figures are not an estimate of its accuracy at places where it was not trained."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of ``score.json``."""
        return asdict(self) | {"text": str(self)}


def _learnt(run: RunLayout, records: Provenance, draw: int, content: str) -> list[Polygons]:
    """Return the references of a run whose polygons trained in a draw: all but that of a site that is left out.

    A reference whose digest is not recorded under its path has the digest `content`, if any input has it.
    """
    with artefact(run.recipe):
        recipe = tomllib.loads(run.recipe.read_text(encoding="utf-8"))
        sites = [site["reference"] for site in recipe.get("site", ()) if site.get("reference")]
        if recipe.get("split", {}).get("site") == "leave-one-out":
            sites.pop(draw)
        references = sites or [recipe["reference"]]
        folder, known = Path(records.recipe).parent, records.inputs
        other, found = content if content in known.values() else "", []
        for one in references:
            names = (str(one["path"]), str(folder / str(one["path"])))
            here = next((known[name] for name in names if name in known), other)
            found.append(Polygons(here, str(one.get("where", ""))))
        return found
