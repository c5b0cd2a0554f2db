"""Doubt about the training polygons of the draws of a run, for ``[reference] doubtful``."""

from dataclasses import dataclass, replace

import numpy as np

from bocage.disk import artefact, remove_folder
from bocage.layout import DoctorLayout
from bocage.progress import Progress
from bocage.recipe import Recipe
from bocage.run.judging import chosen_pixels, judge, judge_of, of_present_classes
from bocage.samples import Samples
from bocage.samples.make import taken
from bocage.scene import Scene
from bocage.textfile import read_rows, write_csv
from bocage.training import map_pixels
from bocage.words import Note

HEAD = ("polygon", "class", "wrong", "suggested", "doubtful")
"""Columns of the table of a draw."""
LEAST = 1e-4
"""Smallest weight of a sample; the table has four decimals."""


@dataclass(frozen=True)
class DoubtOfDraws:
    """The doubt about the training and validation polygons of each draw, computed from these polygons only.

    Neither label nor imagery of a test polygon has an influence on it, and test polygons are never left out. The accuracy on
    them remains that of a model which has not seen them. The table of ``bocage doctor`` is not used, because the models behind it
    are trained on all polygons but one part.
    """

    recipe: Recipe
    samples: Samples
    layout: DoctorLayout
    key: str
    """Digest of the inputs and settings of the training."""

    def write(self, scene: Scene, number: int, progress: Progress) -> None:
        """Write the doubt about the polygons of draw `number`."""
        draw, settings, choice = self.samples.draw(number), self.recipe.doctor, self.recipe.choice
        members = draw.whole.train
        members = members[self.samples.label[members] >= 0]
        members = members[chosen_pixels(self.samples.pixels(members), settings)[0]]
        some = of_present_classes(taken(self.samples, members))
        network = choice.build(scene, self.samples.legend)
        judging, scratch = (
            judge_of(choice, settings, network.abilities.fitted),
            self.layout.scratch_of_draw(self.key, number),
        )
        if judging is not choice:
            judging = replace(judging, config=replace(judging.config, sources=tuple(network.footprints)))
            some = replace(some, cuts=map_pixels(some.cuts, network))
        judged = judge(judging, scene, some, settings, scratch, progress)
        doubt, names = judged.doubt(), some.legend.names
        columns = (judged.polygon, judged.label, doubt.wrong, doubt.suggested)
        rows = [
            (polygon, names[label], "" if np.isnan(wrong) else round(wrong, 4), names[other], int(wrong > settings.threshold))
            for polygon, label, wrong, other in zip(*(column.tolist() for column in columns), strict=True)
        ]  # fmt: skip
        path = self.layout.draw(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_csv(path, [HEAD, *rows])
        remove_folder(scratch)

    def read(self, number: int) -> dict[int, tuple[float, bool]]:
        """Return, by number of the judged polygon, the probability that the label is wrong, and whether it is doubtful."""
        path = self.layout.draw(number)
        with artefact(path):
            rows = [cells for _, cells in read_rows(path)[1:]]
            return {int(row[0]): (float(row[2] or 0), row[4] == "1") for row in rows}

    def trusted(self, number: int) -> Samples:
        """Return the samples with the trust in the labels of draw `number`.

        Samples that were not judged, among them the test part, have full trust. If all training polygons of a class are
        doubtful, the least doubtful one is used, because the class would be lost: validation polygons do not train a network
        that stops early. For the same reason, a weight is above 0.
        """
        found, samples = self.read(number), self.samples
        doubt = np.array([found.get(polygon, (0.0, False))[0] for polygon in samples.polygon.tolist()])
        if self.recipe.reference.doubtful == "weight":
            return replace(samples, trust=np.maximum(1 - doubt, LEAST))
        doubtful = np.isin(samples.polygon, [polygon for polygon, (_, flagged) in found.items() if flagged])
        trust = np.where(doubtful, 0.0, 1.0)
        train = samples.draw(number).train
        for label in np.unique(samples.label[train]):
            own = train[samples.label[train] == label]
            if not trust[own].any():
                trust[own[doubt[own] == doubt[own].min()]] = 1.0
        return replace(samples, trust=trust)

    def note(self, number: int) -> Note:
        """Return the note of the report on draw `number`, whose model made the map."""
        found = self.read(number)
        doubtful = sum(flagged for _, flagged in found.values())
        use, threshold = self.recipe.reference.doubtful, self.recipe.doctor.threshold
        return Note.of(f"doubt_{use}", n=doubtful, total=len(found), threshold=threshold, draw=number + 1)
